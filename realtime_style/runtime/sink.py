"""Where painted frames go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from realtime_style.errors import MediaError
from realtime_style.frame import FULL, Frame, StreamInfo
from realtime_style.runtime.converter import SWSCALE_MATRIX
from realtime_style.runtime.rest import RestOfFilm
from realtime_style.runtime.source import FileSource

_ENCODERS = {  # what people call a codec: FFmpeg's encoder
    "h264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
}
_DEFAULTS = {  # good pictures, at a speed that leaves the processor to the painting
    "libx264": {"crf": "20", "preset": "veryfast"},
    "libx265": {"crf": "23", "preset": "veryfast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "30", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    "libsvtav1": {"crf": "30", "preset": "10"},
}
_MAX_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63}
_X26_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_PRESETS = {
    "libx264": _X26_PRESETS,
    "libx265": _X26_PRESETS,
    "libsvtav1": tuple(map(str, range(14))),
}


class FrameSink(Protocol):
    """A context manager that takes frames; leaving it completes them, or discards on an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Frame) -> None:
        """Takes one frame; its buffer is free again on return. Raises MediaError on failure."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode. None leaves a setting to the container or the encoder.

    `codec` is h264, h265, vp9, av1 or an FFmpeg encoder's name; `crf` the quality (lower is
    better, each encoder has its own scale); `preset` the encoder's speed preset.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None


class FileSink:
    """A film on disk: written beside its name, put there when it is complete.

    If its context is left by KeyboardInterrupt, the frames until then become a film too, under a
    name of its own (out.stopped.mp4). `complete_path` says where the film is; None before, and
    where there is none.
    """

    def __init__(
        self,
        path: Path | str,
        info: StreamInfo,
        *,
        size: tuple[int, int] | None = None,
        encoding: Encoding = Encoding(),
        rest_of: FileSource | None = None,
        overwrite: bool = False,
    ) -> None:
        """Opens the film for writing.

        Args:
            info: the frames that will come.
            size: width and height of the film, even; None takes the frames'.
            rest_of: the film whose sound, subtitles, chapters and all else to carry over.
            overwrite: whether an existing film may be replaced, once the new one is complete.

        Raises:
            MediaError: the place, the container or the encoder will not do.
        """
        self.path = Path(path)
        if self.path.is_dir():
            raise MediaError(f"{path} is a folder; OUT is the name of a film, as out.mp4")
        if self.path.exists() and not overwrite:
            raise MediaError(
                f"{path} exists already; give another name, or replace it with --overwrite"
            )
        if not self.path.parent.is_dir():
            raise MediaError(f"there is no folder {self.path.parent} to write into")
        self._partial = self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
        options = {"movflags": "+faststart"} if self.path.suffix in (".mp4", ".mov", ".m4v") else {}
        try:
            self._container = av.open(str(self._partial), "w", options=options)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MediaError(
                f"{path} cannot be written: {reason}; its ending must name a film format, "
                "as .mp4, .mkv, .mov or .webm"
            ) from error
        self._info = info
        self._size = size or (info.width, info.height)
        self._reformatter = VideoReformatter()
        self.frames = 0
        self.complete_path: Path | None = None
        try:
            self._stream = self._add_video(encoding)
            self._rest = (
                RestOfFilm(rest_of, self._container, self._stream, self.path.suffix)
                if rest_of
                else None
            )
            try:
                self._container.start_encoding()  # opens the file: better now than half-way
            except (av.FFmpegError, OSError) as error:
                raise MediaError(f"{path} cannot be written: {error.strerror}") from error
        except BaseException:
            self._discard()
            raise

    @property
    def notes(self) -> list[str]:
        """What of the rest of the film is not a plain copy, in words."""
        return self._rest.notes if self._rest else []

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder at work."""
        return self._stream.codec_context.name

    def _add_video(self, encoding: Encoding) -> av.VideoStream:
        info = self._info
        name = encoding.codec or _default_codec(self.path)
        name = _ENCODERS.get(name, name)
        choice = f"try one of {', '.join(_ENCODERS)}"
        try:
            known = av.Codec(name, "w").type == "video"
        except ValueError:
            known = False
        if not known:
            raise MediaError(f"there is no video encoder '{encoding.codec}'; {choice}")
        try:
            stream = self._container.add_stream(name, rate=info.rate)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(
                f"{self.path.suffix} films cannot hold pictures of {name}; {choice}, or another "
                "ending for OUT, as .mkv"
            ) from error
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        stream.time_base = info.time_base
        context.time_base = info.time_base
        context.colorspace = info.color.matrix
        context.color_range = info.color.range
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = self._pixel_shape(info)
        context.options = _options(stream, encoding)
        context.thread_type = "AUTO"
        try:
            context.open(strict=False)
        except (av.FFmpegError, ValueError) as error:
            settings = ", ".join(f"{key} {value}" for key, value in context.options.items())
            raise MediaError(
                f"the encoder {name} does not take pictures of {self._size[0]}x{self._size[1]}"
                + (f" with {settings}" if settings else "")
            ) from error
        return stream

    def _pixel_shape(self, info: StreamInfo) -> Fraction:
        """The sample aspect ratio that shows the film as wide as it was."""
        assert info.sample_aspect_ratio
        whole_width, whole_height = info.source_width & ~1, info.source_height & ~1
        stretch = Fraction(whole_width * self._size[1], whole_height * self._size[0])
        if abs(stretch - 1) * self._size[0] < 2:  # sides are even: that is rounding, not a wish
            return info.sample_aspect_ratio
        return info.sample_aspect_ratio * stretch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt) and self.frames > 0
        if kind is not None and not stopped:
            self._discard()
            return
        try:
            self._mux(self._stream.encode(None))
            if self._rest:
                self._rest.finish()
            self._container.close()
            self.complete_path = self._name_if_stopped() if stopped else self.path
            os.replace(self._partial, self.complete_path)
        except (av.FFmpegError, OSError) as failure:
            self._discard()
            raise MediaError(f"{self.path} could not be completed: {failure.strerror}") from failure
        except BaseException:
            self._discard()
            raise

    def _name_if_stopped(self) -> Path:
        """A name of its own for what was painted until the stop: nothing is replaced by it."""
        names = (f"{self.path.stem}.stopped{i or ''}{self.path.suffix}" for i in count())
        return next(path for name in names if not (path := self.path.with_name(name)).exists())

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        # PyAV takes buffers whose height is no multiple of 4 for shorter ones: those are copied
        if frame.height % 4:
            picture = av.VideoFrame.from_ndarray(frame.i420, "yuv420p")
        else:
            picture = av.VideoFrame.from_numpy_buffer(frame.i420, "yuv420p")
        if (frame.width, frame.height) != self._size:
            matrix = SWSCALE_MATRIX.get(frame.color.matrix, Colorspace.ITU601)
            reach = ColorRange.JPEG if frame.color.range == FULL else ColorRange.MPEG
            picture = self._reformatter.reformat(
                picture,
                *self._size,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                src_color_range=reach,
                dst_color_range=reach,
            )
        picture.colorspace = frame.color.matrix
        picture.color_range = frame.color.range
        picture.pts = frame.pts
        picture.time_base = frame.time_base
        try:
            if self._rest:
                self._rest.mux_waiting()
            self._mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.path} cannot be written: {error.strerror}") from error
        self.frames += 1

    def _mux(self, packets: Sequence[av.Packet[Any]]) -> None:
        for packet in packets:
            self._container.mux_one(packet)

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._partial.unlink(missing_ok=True)


def _default_codec(path: Path) -> str:
    return "vp9" if path.suffix == ".webm" else "h264"


def _options(stream: av.VideoStream, encoding: Encoding) -> dict[str, str]:
    """Settings as FFmpeg's options, refused where the encoder does not have them."""
    encoder = stream.codec_context.name
    known = {option.name for option in stream.codec_context.supported_options.private}
    options = dict(_DEFAULTS.get(encoder, {}))
    for option, value in (("crf", encoding.crf), ("preset", encoding.preset)):
        if value is None:
            continue
        if option not in known:
            raise MediaError(f"the encoder {encoder} has no --{option}; leave it out")
        options[option] = f"{value:g}" if isinstance(value, float) else str(value)
    most = _MAX_CRF.get(encoder)
    if most and encoding.crf is not None and not 0 <= encoding.crf <= most:
        raise MediaError(f"--crf {encoding.crf:g} is out of range; {encoder} takes 0 to {most}")
    presets = _PRESETS.get(encoder)
    if presets and encoding.preset is not None and encoding.preset not in presets:
        raise MediaError(
            f"{encoder} has no preset '{encoding.preset}'; it has {', '.join(presets)}"
        )
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it asks nobody else
    return options
