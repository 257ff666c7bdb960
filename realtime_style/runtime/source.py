"""Where frames come from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from realtime_style.errors import MediaError
from realtime_style.frame import (
    BT709,
    BT2020_NCL,
    FULL,
    LIMITED,
    SMPTE170M,
    ColorSpace,
    Frame,
    FramePool,
    Size,
    StreamInfo,
)

SWSCALE_MATRIX = {BT709: Colorspace.ITU709, BT2020_NCL: Colorspace.BT2020}  # else BT.601
_HD_LINES = 720  # films without a tag: BT.709 from here up, BT.601 below
_MATRICES = {1: BT709, 5: SMPTE170M, 6: SMPTE170M, 9: BT2020_NCL}  # H.273 code: ours


class FrameSource(Protocol):
    """A context manager that iterates over frames, all of one size and colour space."""

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        """Frames in the order they are shown; once. Raises MediaError where reading fails."""


class FileSource:
    """The frames of a film, and its sound as packets to be copied.

    While it iterates, packets of `audio_streams` are appended to `packets`; who takes none of
    them lets them pile up. Both are moved so that `start_s` is time zero.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        size: Size | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
    ) -> None:
        """Opens the film.

        Args:
            size: of the frames; None keeps the film's (odd sides lose one pixel).
            start_s: where to begin, in seconds of the film.
            duration_s: how much to read; None reads to the end.

        Raises:
            MediaError: the file is missing, is not a film, or has no picture.
        """
        if not Path(path).exists():
            raise MediaError(f"there is no file {path}")
        if duration_s is not None and duration_s <= 0:
            raise MediaError(f"a film of {duration_s:g} s has no frames; give a longer --duration")
        self.path = path
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{path} cannot be read as a film: {error.strerror}") from error
        video = self._container.streams.best("video")
        if video is None or not isinstance(video, av.VideoStream) or not video.width:
            self._container.close()
            raise MediaError(f"{path} has no picture to paint; give a film")
        video.thread_type = "AUTO"
        self._video = video
        self.audio_streams: tuple[av.AudioStream, ...] = tuple(self._container.streams.audio)
        self.packets: deque[Any] = deque()  # av.Packet, of any kind
        self.damaged_packets = 0
        self._start_s = start_s
        self._end_s = None if duration_s is None else start_s + duration_s
        self._pool = FramePool()
        self._reformatter = VideoReformatter()
        self.info = self._read_info(size)
        film_s = self._film_s
        if start_s and film_s is not None and start_s >= film_s:
            self._container.close()
            raise MediaError(f"{path} is {film_s:.2f} s long; there is nothing at {start_s:g} s")

    @property
    def _film_s(self) -> float | None:
        duration = self._container.duration  # microseconds
        return None if duration is None else duration / 1e6

    def _read_info(self, size: Size | None) -> StreamInfo:
        video = self._video
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        film_s = self._film_s
        frames: int | None = video.frames or (round(film_s * rate) if film_s else None)
        if film_s is not None and (self._start_s or self._end_s is not None):
            film_s = min(self._end_s or film_s, film_s) - self._start_s
            frames = round(film_s * rate)
        width, height = video.width & ~1, video.height & ~1
        if size:
            width, height = size.of(width, height)
        return StreamInfo(
            width=width,
            height=height,
            rate=Fraction(rate),
            time_base=Fraction(video.time_base or Fraction(1, 90000)),
            color=_color_of(video),
            frames=frames,
            duration_s=film_s,
            source_width=video.width,
            source_height=video.height,
            sample_aspect_ratio=video.sample_aspect_ratio,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`; packets that cannot be decoded are counted in `damaged_packets`."""
        time_base = self.info.time_base
        first = round(Fraction(self._start_s) / time_base)
        end = None if self._end_s is None else round(Fraction(self._end_s) / time_base)
        step = max(1, round(1 / (self.info.rate * time_base)))
        pts = -step
        for frame in self._decode():
            # streams of raw video carry no times: then every frame lasts as long as the next
            pts = frame.pts if frame.pts is not None else pts + step
            if pts < first:
                continue
            if end is not None and pts >= end:
                return
            yield self._converted(frame, pts - first)

    def _decode(self) -> Iterator[av.VideoFrame]:
        container = self._container
        if self._start_s:
            container.seek(round(self._start_s * 1e6))
        try:
            for packet in container.demux(self._video, *self.audio_streams):
                if packet.stream is not self._video:
                    self._keep(packet)
                    continue
                try:
                    for frame in packet.decode():
                        if isinstance(frame, av.VideoFrame):
                            yield frame
                except av.InvalidDataError:
                    self.damaged_packets += 1
        except av.FFmpegError as error:
            raise MediaError(f"{self.path} cannot be read to its end: {error.strerror}") from error

    def _keep(self, packet: Any) -> None:
        if packet.pts is None or packet.size == 0 or packet.time_base is None:
            return
        seconds = packet.pts * packet.time_base
        if self._start_s and seconds < self._start_s:
            return
        if self._end_s is not None and seconds >= self._end_s:
            return
        if self._start_s:
            shift = round(Fraction(self._start_s) / packet.time_base)
            packet.pts -= shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        self.packets.append(packet)

    def _converted(self, frame: av.VideoFrame, pts: int) -> Frame:
        info = self.info
        as_it_is = (info.source_width & ~1, info.source_height & ~1) == (info.width, info.height)
        if frame.format.name not in ("yuv420p", "yuvj420p") or not (
            as_it_is and (frame.width, frame.height) == (info.source_width, info.source_height)
        ):
            matrix = SWSCALE_MATRIX.get(info.color.matrix, Colorspace.ITU601)
            reach = ColorRange.JPEG if info.color.range == FULL else ColorRange.MPEG
            is_rgb = frame.format.is_rgb
            frame = self._reformatter.reformat(
                frame,
                info.width,
                info.height,
                "yuv420p",
                src_colorspace=None if is_rgb else matrix,
                dst_colorspace=matrix,
                src_color_range=ColorRange.JPEG if is_rgb else reach,
                dst_color_range=reach,
            )
        height, width = info.height, info.width
        buffer = self._pool.take(height, width)
        painted = Frame(buffer, pts, info.time_base, info.color, self._pool)
        targets = (painted.luma[0, 0], painted.chroma[0, 0], painted.chroma[0, 1])
        for plane, target in zip(frame.planes, targets, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            np.copyto(target, rows[: target.shape[0], : target.shape[1]])
        return painted


def _color_of(video: av.VideoStream) -> ColorSpace:
    context = video.codec_context
    by_size = BT709 if video.height >= _HD_LINES else SMPTE170M
    full = context.color_range == FULL or (video.pix_fmt or "").startswith("yuvj")
    return ColorSpace(
        matrix=_MATRICES.get(int(context.colorspace), by_size),
        range=FULL if full else LIMITED,
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )
