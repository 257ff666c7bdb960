"""Where painted frames go."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from realtime_style.color import FULL
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, GpuFrame, StreamInfo
from realtime_style.media.animation import GIF_STEPS, palette_graph, set_last_duration
from realtime_style.media.converter import SWSCALE_MATRIX, picture_of
from realtime_style.media.encoding import (
    CODECS,
    HARDWARE,
    Encoding,
    encoded_color,
    encoder_name,
    encoder_options,
    gpu_encoder_name,
    pixel_format,
)
from realtime_style.media.film_source import RAW_BYTES, FileSource, nvidia_device
from realtime_style.media.passthrough import Passthrough
from realtime_style.media.scaling import EXACT, UNSHIFTED
from realtime_style.system.cores import usable_cores
from realtime_style.system.interrupts import _undisturbed
from realtime_style.system.paths import (
    escaped_pattern,
    free_name,
    is_numbered,
    name_of,
    numbered,
    refuse_unwritable,
)

_STOP_S = 0.4  # for the encoder's last frames after Ctrl-C
_MOST_TICKS = 1_000_000  # a second
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_WITHOUT_TIMES = ("avi", "asf")  # containers that know the order of decoding alone


class _Pipe:
    """Standard output, as PyAV writes it. FFmpeg hears of no Ctrl-C: what comes then is dropped."""

    def __init__(self) -> None:
        self.is_stopped = False

    def write(self, data: bytes) -> int:
        """Writes all of it, however long its reader takes; nothing any more after Ctrl-C."""
        rest = memoryview(data)
        try:
            while rest and not self.is_stopped:
                rest = rest[os.write(sys.stdout.fileno(), rest) :]
        except KeyboardInterrupt:
            self.is_stopped = True
        return len(data)


class _NotReplacedError(MediaError):
    """The new film is complete, but under another name."""


class FileSink:
    """A film on disk: written beside its name, put there when it is complete.

    "-" is standard output (Matroska), a pattern as frame_%04d.png a sequence of pictures.

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
        passthrough_of: FileSource | None = None,
        overwrite: bool = False,
        gpu_device: int | None = None,
    ) -> None:
        """Opens the film for writing.

        Args:
            info: the frames that will come.
            size: width and height of the film, even; None takes the frames'.
            passthrough_of: the film whose sound, subtitles, chapters and all else to carry over.
            overwrite: whether an existing film may be replaced, once the new one is complete.
            gpu_device: the number of the NVIDIA GPU that encodes, where the frames are already.

        Raises:
            MediaError: the place, the container or the encoder will not do.
        """
        self.path = Path(path)
        self._is_pipe = str(path) == "-"
        self._pipe = _Pipe()
        self._is_sequence = is_numbered(self.path)
        self._refuse_unwritable(overwrite)
        self._partial = self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
        if self._is_sequence:  # a folder of them, emptied into place at the end
            folder = self.path.with_name(f".{self.path.stem}.partial".replace("%", ""))
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
            folder.mkdir()
            self._partial = folder / self.path.name
        options = {}
        self._is_mp4 = self.path.suffix.lower() in (".mp4", ".mov", ".m4v")
        if self._is_mp4:
            # edit lists count in the movie's own ticks: as fine as the frames', or starts are moved
            ticks = max(1000, min(info.time_base.denominator, _MOST_TICKS))
            options = {"movflags": "+faststart", "movie_timescale": str(ticks)}
        if self.path.suffix.lower() == ".webp" and not self._is_sequence:
            options = {"loop": "0"}  # for ever, as GIF does by itself
        try:
            if self._is_pipe:
                self._container = av.open(
                    self._pipe, "w", format="matroska", metadata_errors=RAW_BYTES
                )
            else:
                self._container = av.open(
                    escaped_pattern(self._partial) if self._is_sequence else str(self._partial),
                    "w",
                    format="image2" if self._is_sequence else None,
                    options=options,
                    metadata_errors=RAW_BYTES,
                )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MediaError(
                f"{path} cannot be written: {reason}; its ending must name a film format, "
                "as .mp4, .mkv, .mov or .webm"
            ) from error
        self._is_gif = self.path.suffix.lower() == ".gif"
        self._last_hundredth: int | None = None  # of a GIF, whose times have no finer steps
        self._left_out = 0
        self._taken_away = 0  # pictures of a longer sequence that was there
        self._info = info
        self._gpu_device = gpu_device
        self._size = size or (info.width, info.height)
        self._reformatter = VideoReformatter()
        self._durations: dict[int, int] = {}  # of frames in the encoder, by their pts
        self._end_pts: int | None = None  # when the last frame has been shown, if it says so
        self._start: tuple[int, int] | None = None  # the first packet's pts and dts
        self.frames = 0
        self._muxed_frames = 0
        self._last_duration_ms = 0
        self.complete_path: Path | None = None
        try:
            self._stream = self._add_video(encoding)
            self._palette: Graph | None = None
            if self._stream.codec_context.pix_fmt == "pal8":
                self._palette = palette_graph(*self._size, info.time_base)
            self._passthrough = (
                Passthrough(
                    passthrough_of, self._container, self._stream, self.path.suffix or ".mkv"
                )
                if passthrough_of
                else None
            )
            try:
                self._container.start_encoding()  # opens the file: better now than half-way
            except av.ArgumentError as error:
                raise self._does_not_fit(self.encoder) from error
            except (av.FFmpegError, OSError) as error:
                raise MediaError(f"{path} cannot be written: {error.strerror}") from error
        except BaseException:
            self._discard()
            raise

    def _refuse_unwritable(self, overwrite: bool) -> None:
        if self._is_pipe:
            return
        there = sorted(numbered(self.path).values()) if self._is_sequence else []
        refuse_unwritable(there[0] if there else self.path, "out.mp4", overwrite=overwrite)
        if self.path.suffix.lower() in _PICTURES and not self._is_sequence:
            raise MediaError(
                f"{self.path} is one picture; give a pattern, as frame_%04d{self.path.suffix}, or "
                "paint a picture with `realtime-style image`"
            )

    @property
    def notes(self) -> list[str]:
        """What of the rest of the film is not a plain copy, in words."""
        notes = self._passthrough.notes if self._passthrough else []
        if self._left_out:
            notes = [*notes, f"frames left out, that .gif cannot show so briefly: {self._left_out}"]
        if self._taken_away:
            notes = [*notes, f"pictures of the former film, taken away: {self._taken_away}"]
        return notes

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder at work."""
        return self._stream.codec_context.name

    def _add_video(self, encoding: Encoding) -> av.VideoStream:
        info = self._info
        name = encoder_name(self.path, encoding, self._is_sequence)
        try:
            known = av.Codec(name, "w").type == "video"
        except ValueError:
            known = False
        if not known:
            raise MediaError(
                f"there is no video encoder '{encoding.codec}'; try one of {', '.join(CODECS)}"
            )
        device = None
        if self._gpu_device is not None:
            name = gpu_encoder_name(self.path, encoding)
            device = nvidia_device(self._gpu_device)
        try:
            stream = self._container.add_stream(name, rate=info.rate, hwaccel=device)
        except av.ExternalError as error:
            raise MediaError(
                f"{name} cannot be used: {error.strerror}; it needs its own device and driver; "
                "leave --on-gpu out"
            ) from error
        except (av.FFmpegError, ValueError) as error:
            raise self._does_not_fit(name) from error
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        stream.width, stream.height = self._size
        stream.pix_fmt = "nv12" if device else pixel_format(context.codec, encoding.bit_depth)
        self._color = encoded_color(info.color, name, stream.pix_fmt)
        stream.time_base = info.time_base
        context.time_base = info.time_base
        context.colorspace = self._color.matrix
        context.color_range = self._color.range
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = self._pixel_shape(info)
        context.options = encoder_options(stream, encoding)
        context.thread_type = "AUTO"
        if name == "libx264":  # else it takes half as many more, each with pictures of its own
            context.thread_count = usable_cores()
        if self._container.format.name in _WITHOUT_TIMES:
            context.max_b_frames = 0
        try:
            context.open(strict=False)
        except (av.FFmpegError, ValueError) as error:
            settings = ", ".join(f"{key} {value}" for key, value in context.options.items())
            reason = getattr(error, "strerror", None) or error
            asked = (
                f"the encoder {name} cannot be opened for pictures of {self._size[0]}x"
                f"{self._size[1]}{f' with {settings}' if settings else ''} ({reason})"
            )
            if name.endswith(HARDWARE):
                raise MediaError(
                    f"{asked}: it needs its own device, an NVIDIA GPU for nvenc say, with its "
                    "driver, and a size that this takes; without one try --codec h264"
                ) from error
            raise MediaError(f"{asked}; try another --codec or --output-size") from error
        return stream

    def _does_not_fit(self, encoder: str) -> MediaError:
        holds = self._container.supported_codecs
        fitting = [
            name
            for name, ours in CODECS.items()
            if name != "hevc" and av.Codec(ours, "w").canonical_name in holds and ours != encoder
        ]
        return MediaError(
            f"{self.path.suffix} films cannot hold pictures of {encoder}; "
            + (f"try --codec {' or '.join(fitting)}, or " if fitting else "give ")
            + "another ending for OUT, as .mkv"
        )

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
            if stopped:
                self._flush_for(_STOP_S)
                if not self.frames:  # all of them were still within the encoder
                    self._discard()
                    return
            else:
                last = self._stream.encode(None)
                self._mux(last[:-1])
                self._mux(last[-1:], is_end=True)
            if self._passthrough:
                self._passthrough.finish()
            self._container.close()
            if not self._is_pipe:
                self.complete_path = self._name_if_stopped() if stopped else self.path
                if self.path.suffix.lower() == ".webp" and not self._is_sequence:
                    set_last_duration(self._partial, self._last_duration_ms)
                self._put_in_place(self.complete_path)
        except _NotReplacedError:
            raise
        except (av.FFmpegError, OSError) as failure:
            self._discard()
            raise MediaError(f"{self.path} could not be completed: {failure.strerror}") from failure
        except BaseException:
            self._discard()
            raise

    def _flush_for(self, seconds: float) -> None:
        """Takes from the encoder what it gives in that time; of large frames it may be slow."""
        end = time.perf_counter() + seconds
        for packet in self._stream.encode_lazy(None):
            self._mux([packet])
            if time.perf_counter() > end:
                break
        self.frames = self._muxed_frames

    def _name_if_stopped(self) -> Path:
        """A name of its own for what was painted until the stop: nothing is replaced by it."""
        names = (f"{self.path.stem}.stopped{i or ''}{self.path.suffix}" for i in count())
        paths = map(self.path.with_name, names)
        if self._is_sequence:
            return next(path for path in paths if not numbered(path))
        return next(path for path in paths if not path.exists())

    def write(self, frame: Frame | GpuFrame) -> None:
        """See `FrameSink.write`."""
        picture = frame.picture if isinstance(frame, GpuFrame) else self._as_encoded(frame)
        picture.pts = frame.pts
        picture.time_base = frame.time_base
        if frame.duration:
            self._durations[frame.pts] = frame.duration
            self._end_pts = frame.pts + frame.duration
            self._last_duration_ms = round(frame.duration * frame.time_base * 1000)
        try:
            if self._passthrough:
                self._passthrough.mux_waiting()
            if self._palette:
                picture = self._with_palette(picture)
            if self._is_gif and self._is_too_near(frame):
                return
            # A reader of a pipe that reads no more must not keep Ctrl-C waiting
            with contextlib.nullcontext() if self._is_pipe else _undisturbed():
                self._mux(self._stream.encode(picture))
                self.frames += 1
            if self._pipe.is_stopped:
                raise KeyboardInterrupt
        except (av.FFmpegError, OSError) as error:
            name = "standard output" if self._is_pipe else self.path
            raise MediaError(f"{name} cannot be written: {error.strerror}") from error

    def _is_too_near(self, frame: Frame | GpuFrame) -> bool:
        """Whether a frame comes before the one before can have been shown."""
        hundredth = round(frame.pts * frame.time_base * 100)
        if self._last_hundredth is not None and hundredth - self._last_hundredth < GIF_STEPS:
            self._left_out += 1
            return True
        self._last_hundredth = hundredth
        return False

    def _as_encoded(self, frame: Frame) -> av.VideoFrame:
        """The frame in the size and the pixel format that the encoder takes."""
        picture = picture_of(frame)
        pix_fmt = "rgb24" if self._palette else self._stream.codec_context.pix_fmt or "yuv420p"
        same = (self._color.matrix, self._color.range) == (frame.color.matrix, frame.color.range)
        if (frame.width, frame.height) == self._size and pix_fmt == "yuv420p" and same:
            picture.colorspace, picture.color_range = frame.color.matrix, frame.color.range
            return picture
        matrix, to_matrix = (
            SWSCALE_MATRIX.get(color.matrix, Colorspace.ITU601)
            for color in (frame.color, self._color)
        )
        reach = ColorRange.JPEG if frame.color.range == FULL else ColorRange.MPEG
        is_rgb = av.VideoFormat(pix_fmt).is_rgb
        # a palette takes twice as long of the many colours between those of repeated chroma
        to_rgb = UNSHIFTED if self._palette else EXACT
        picture = self._reformatter.reformat(
            picture,
            *self._size,
            pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=None if is_rgb else to_matrix,
            src_color_range=reach,
            dst_color_range=ColorRange.JPEG if self._color.range == FULL else ColorRange.MPEG,
            interpolation=to_rgb if is_rgb else None,
        )
        picture.colorspace, picture.color_range = self._color.matrix, self._color.range
        return picture

    def _with_palette(self, picture: av.VideoFrame) -> av.VideoFrame:
        """256 colours of the picture's own, dithered."""
        assert self._palette
        self._palette.push(picture)
        return self._palette.vpull()

    def _put_in_place(self, target: Path) -> None:
        if not self._is_sequence:
            try:
                os.replace(self._partial, target)
            except OSError as error:  # another program has it open, on Windows say
                kept = free_name(target.with_stem(f"{target.stem}.painted"))
                try:
                    os.replace(self._partial, kept)
                except OSError:
                    kept = self._partial
                raise _NotReplacedError(
                    f"{target} cannot be written: {error.strerror}; the painted film is {kept}"
                ) from error
            return
        former, new = numbered(target), numbered(self._partial)
        for number, path in sorted(new.items()):
            os.replace(path, target.with_name(name_of(target, number)))
        for number in former.keys() - new.keys():  # of a longer film that is replaced
            former[number].unlink()
            self._taken_away += 1
        self._partial.parent.rmdir()

    def _mux(self, packets: Sequence[av.Packet[Any]], *, is_end: bool = False) -> None:
        self._muxed_frames += len(packets)
        for packet in packets:
            if packet.pts is not None and packet.dts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
                self._start = self._start or (packet.pts, packet.dts)
                if is_end and self._is_mp4 and self._end_pts is not None:
                    # MP4 takes the film to end when the last packet in the order of decoding does
                    pts, dts = self._start
                    packet.duration = self._end_pts - pts - (packet.dts - dts)
            self._container.mux_one(packet)

    def _discard(self) -> None:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        if self._is_pipe:
            return
        if self._is_sequence:
            shutil.rmtree(self._partial.parent, ignore_errors=True)
        else:
            self._partial.unlink(missing_ok=True)
