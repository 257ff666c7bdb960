"""Muxer: packets to a file, a pipe or an address."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from realtime_style.errors import MediaError
from realtime_style.media.demuxer import RAW_BYTES
from realtime_style.media.encoding import CODECS
from realtime_style.media.mp4_boxes import show_no_subtitles
from realtime_style.media.packet import Packet
from realtime_style.media.passthrough import AFTER_ZERO, Passthrough, PassthroughSource
from realtime_style.media.pipes import OutputPipe
from realtime_style.media.timeline import has_times
from realtime_style.system.paths import ffmpeg_name
from realtime_style.wording import listed

_FILM_FORMATS = {  # by ending: FFmpeg's names, for advice
    ".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".avi": "avi",
}  # fmt: skip
_IN_DECODING_ORDER = ("avi", "asf", "mxf")  # containers that FFmpeg gives no other times
_DECODED_FROM_ZERO = AFTER_ZERO  # there, reordered pictures would begin late
_AT_ONE_RATE = ("yuv4mpegpipe",)  # and those that FFmpeg says have no times
_MXF_RATES = tuple(
    Fraction(rate * 1000, scale)
    for scale, rates in ((1000, (24, 25, 30, 48, 50, 60, 72, 75, 90, 96, 100, 120)),
                         (1001, (24, 30, 48, 60, 72, 90, 96, 120)))
    for rate in rates
)  # fmt: skip
_MXF_KEY_FRAME_EVERY = 100  # frames; its index counts no more than 127 back to a key frame

_REFUSALS = (  # how formats refuse a codec; where the file could be opened, nothing else is wrong
    av.ArgumentError, av.InvalidDataError, av.PatchWelcomeError, av.PermissionError,
)  # fmt: skip


class Muxer:
    """Writes the packets of the painted pictures and those copied from other streams, by time.

    Attributes:
        packet_bytes: total size of the packets written so far, in bytes.
    """

    def __init__(
        self,
        target: str | OutputPipe,
        *,
        ending: str,
        container_format: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Opens the container; files are created by `start`.

        Args:
            target: a path or an address as FFmpeg takes it, or a pipe.
            ending: the container's name in messages, such as ".mp4".
            container_format: FFmpeg's name of the format; None takes it from the path.
            options: FFmpeg's options of the format.

        Raises:
            av.FFmpegError, OSError, ValueError: it cannot be written, or has no such format.
        """
        self._ending, self._target = ending, target
        self._setting = "codec"  # which asked for the encoder
        self._container = av.open(
            target,
            "w",
            format=container_format,
            options=dict(options or {}),
            metadata_errors=RAW_BYTES,
        )
        self.packet_bytes = 0
        self._video: av.VideoStream | None = None
        self._passthrough: Passthrough | None = None
        self._first: tuple[int, int] | None = None  # pts and dts of the first packet
        self._begins_s = Fraction(0)
        self._subtitles: list[bool] = []  # whether each of them is the default

    @property
    def keeps_times(self) -> bool:
        """Whether frames may be stored in another order than they are shown in."""
        return self._container.format.name not in _IN_DECODING_ORDER + _DECODED_FROM_ZERO

    @property
    def has_times(self) -> bool:
        """Whether the format says when frames are shown; else all are shown equally long."""
        return has_times(self._container) and self._container.format.name not in _AT_ONE_RATE

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """The frames per second that a format without times may have; () for any."""
        return _MXF_RATES if self._container.format.name == "mxf" else ()

    @property
    def key_frame_every(self) -> int | None:
        """The most frames between two key frames that the format can hold; None for any."""
        return _MXF_KEY_FRAME_EVERY if self._container.format.name == "mxf" else None

    @property
    def notes(self) -> list[str]:
        """What passes through, but is not simply copied."""
        return self._passthrough.notes if self._passthrough else []

    def add_video(
        self,
        encoder: str,
        rate: Fraction,
        device: HWAccel | None = None,
        *,
        setting: str = "codec",
    ) -> av.VideoStream:
        """The stream of the painted pictures, for an `Encoder`.

        Args:
            encoder: FFmpeg's name.
            rate: frames per second.
            device: the GPU that encodes; None encodes as the encoder's name says.
            setting: what asked for the encoder; "out" if it is the usual one.

        Raises:
            MediaError: there is no such encoder or device, or the container cannot hold it.
        """
        self._setting = setting
        try:
            known = av.Codec(encoder, "w").type == "video"
        except ValueError:
            known = False
        if not known:
            raise MediaError(
                f"there is no video encoder '{encoder}'; try one of {', '.join(CODECS)}",
                setting="codec",
            )
        try:
            stream = self._container.add_stream(encoder, rate=rate, hwaccel=device)
        except av.ExternalError as error:
            raise MediaError(
                f"{encoder} cannot be used: {error.strerror}; it needs its own device and driver",
                setting="residency",
            ) from error
        except (av.FFmpegError, ValueError) as error:
            raise self._does_not_fit(encoder) from error
        assert isinstance(stream, av.VideoStream)
        self._video = stream
        return stream

    def add_sound(self, encoder: str, rate_hz: int, layout: str) -> av.AudioStream:
        """A stream of sound that is encoded with `mux_sound`; raises av.FFmpegError, ValueError."""
        stream = self._container.add_stream(encoder, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        return stream

    def mux_sound(self, packets: Iterable[Packet]) -> None:
        """Writes packets of sound; raises av.FFmpegError, OSError."""
        for packet in packets:
            self._mux_one(packet)

    def pass_through(self, source: PassthroughSource) -> None:
        """Adds all other streams of a film, its chapters and its metadata."""
        self._passthrough = Passthrough(source, self._container, self._video, self._ending)

    def start(self) -> None:
        """Writes the header.

        Raises:
            MediaError: the container cannot hold the streams.
            av.FFmpegError, OSError: it cannot be written.
        """
        self._subtitles = [
            Disposition.default in stream.disposition
            for stream in self._container.streams.subtitles
        ]
        try:
            self._container.start_encoding()
        except _REFUSALS as error:
            if self._video is None or not self._is_begun:
                raise
            raise self._does_not_fit(self._video.codec_context.name) from error

    def begin(self, begins_s: Fraction) -> None:
        """Lets the film begin at a time of its source, in seconds of it."""
        self._begins_s = begins_s
        if self._passthrough:
            self._passthrough.begin(begins_s)

    def adopt(self, packet: Packet) -> None:
        """Makes a packet one of the painted pictures, which another encoder has encoded."""
        assert self._video
        packet.stream = self._video

    def mux(self, packets: Iterable[Packet]) -> None:
        """Writes packets of the painted pictures, and before each the others up to its time.

        Raises av.FFmpegError, OSError.
        """
        for packet in packets:
            if packet.pts is not None and packet.dts is not None:
                self._first = self._first or (packet.pts, packet.dts)
                if self._passthrough:
                    time_s = float(packet.dts * packet.time_base + self._begins_s)
                    for other in self._passthrough.until(time_s):
                        self._mux_other(self._passthrough, other)
            self._mux_one(packet)

    def mux_last(self, packet: Packet, end_pts: int) -> None:
        """Writes the last packet of the painted pictures; raises the same errors as `mux`.

        In MP4 its duration, and possibly its dts, are changed so that the film ends at `end_pts`.

        Args:
            end_pts: the end of the last frame's display, in units of `packet.time_base`.
        """
        if self.is_mp4 and self._first and packet.dts is not None and packet.pts is not None:
            pts, dts = self._first
            if packet.pts + (packet.duration or 0) >= end_pts:
                packet.duration = end_pts - packet.pts
                packet.dts = max(packet.dts, packet.pts - (pts - dts))
            else:  # MP4 ends when the last packet in decoding order does
                packet.duration = end_pts - pts - (packet.dts - dts)
        self.mux([packet])

    def finish(self, end_s: float, *, is_stopped: bool) -> None:
        """Writes the last packets of all other streams, and completes the file.

        Raises the same errors as `mux`. Args as for `Passthrough.finish`.
        """
        if self._passthrough:
            for other in self._passthrough.finish(
                end_s + float(self._begins_s), is_stopped=is_stopped
            ):
                self._mux_other(self._passthrough, other)
        self.close()

    def _mux_other(self, passthrough: Passthrough, packet: Packet) -> None:
        """Writes a packet of another stream, which may be damaged: that does not end the film."""
        try:
            self._mux_one(packet)
        except (av.InvalidDataError, av.ArgumentError):
            passthrough.refused()

    def _mux_one(self, packet: Packet) -> None:
        self.packet_bytes += packet.size
        self._container.mux_one(packet)

    def keep_defaults(self, path: Path) -> None:
        """Mends the finished file where no subtitles are the default; raises OSError."""
        if self.is_mp4 and self._subtitles and not any(self._subtitles):
            show_no_subtitles(path)

    def compare(self, path: Path) -> None:
        """Compares the finished file with the film it was painted from; `notes` says the result."""
        if self._passthrough is None:
            return
        try:
            with av.open(ffmpeg_name(path), "r", metadata_errors=RAW_BYTES) as film:
                self._passthrough.compare(film)
        except (av.FFmpegError, OSError, ValueError):
            return  # some formats, such as animated WebP, are written but not read

    def close(self) -> None:
        """Completes the file as it is, and closes what packets are read from."""
        if self._passthrough:
            self._passthrough.close()
        self._container.close()

    def discard(self) -> None:
        """Closes everything and ignores errors; the file is incomplete."""
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self.close()

    @property
    def is_mp4(self) -> bool:
        """Whether the format knows how long frames are shown only in their decoding order."""
        return self._container.format.name in ("mp4", "mov", "ipod", "3gp", "3g2", "f4v")

    @property
    def _is_begun(self) -> bool:
        """Whether the target could be opened: what failed then is the format."""
        if not isinstance(self._target, str):
            return True
        return Path(self._target.removeprefix("file:")).exists()

    def _does_not_fit(self, encoder: str) -> MediaError:
        if self._container.format.name == "image2":
            how = f"written as {self._ending}"
            if self._setting == "codec":
                how = f"encoded with {encoder}"
            return MediaError(
                f"numbered pictures cannot be {how}; use .png, .jpg, .tif, .bmp or .webp without "
                "another codec",
                setting=self._setting,
            )
        holds = self._container.supported_codecs
        fitting = [
            name
            for name, ours in CODECS.items()
            if name != "hevc" and av.Codec(ours, "w").canonical_name in holds and ours != encoder
        ]
        advice = [f"try {' or '.join(fitting)}"] if fitting else []
        endings = [
            ending
            for ending, container_format in _FILM_FORMATS.items()
            if ending != self._ending and _holds(container_format, encoder)
        ]
        if endings:
            advice.append(f"{encoder} fits {listed(endings)}")
        return MediaError(
            f"{self._ending} films cannot hold pictures of {encoder}; "
            f"{', or '.join(advice) or 'try another ending, such as .mkv'}",
            setting=self._setting,
        )


def _holds(container_format: str, encoder: str) -> bool:
    with av.open(io.BytesIO(), "w", format=container_format) as container:
        return av.Codec(encoder, "w").canonical_name in container.supported_codecs
