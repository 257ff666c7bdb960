"""Where live frames come from: cameras, the screen, addresses, films played at their own pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
import numpy as np
from PIL import Image, ImageGrab

from realtime_style.color import ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, Size, StreamInfo
from realtime_style.live.clock import MICROSECOND, now_us
from realtime_style.media.converter import Converter
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.stages import FrameSource

_SCREEN_RATE = 30
_BEHIND_S = 0.5  # a film that is so late does not run after its own time


class LiveSource(FrameSource[Frame], Protocol):
    """A source of frames with `now_us()` as their time."""

    @property
    def description(self) -> str:
        """What it is, for people to read."""


class DeviceSource:
    """Frames of something that goes on by itself, each with the time at which it was had."""

    def __init__(
        self, container: av.container.InputContainer, name: str, pace_s: float | None = None
    ) -> None:
        """Reads the first picture.

        Args:
            container: opened; closed when the source is.
            name: for people to read.
            pace_s: seconds between frames of what comes as fast as it is read; None: it waits.

        Raises:
            MediaError: it gives no picture.
        """
        self._container, self.name, self._pace_s = container, name, pace_s
        try:
            if not container.streams.video:
                raise MediaError(f"{name} has no picture; give a camera, a screen or a film")
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"  # threads by frames hold some back
            self._stream = stream
            self._pictures = self._decode()
            first = next(self._pictures, None)
            if first is None:
                raise MediaError(f"{name} is open, but gives no picture")
            self._first = first
            self._converter = Converter(first, None, stream.sample_aspect_ratio)
            rate = stream.average_rate or stream.guessed_rate or Fraction(30)
            self.info = StreamInfo(
                width=self._converter.width,
                height=self._converter.height,
                rate=Fraction(rate),
                time_base=MICROSECOND,
                color=self._converter.color,
                source_width=self._converter.source_width,
                source_height=self._converter.source_height,
                is_live=True,
            )
        except av.FFmpegError as error:
            container.close()
            raise MediaError(f"{name} gives no picture: {error.strerror}") from error
        except BaseException:
            container.close()
            raise

    @property
    def description(self) -> str:
        """Its name, and how it gives its pictures."""
        context = self._stream.codec_context
        if context.name == "wrapped_avframe":  # drawn, not sent
            return self.name
        return f"{self.name} ({context.name}, {context.pix_fmt})"

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
        """See `FrameSource`."""

        def pictures() -> Iterator[av.VideoFrame]:
            due_s = time.monotonic()
            picture: av.VideoFrame | None = self._first
            while picture is not None:
                if self._pace_s is not None:
                    due_s = max(due_s + self._pace_s, time.monotonic() - _BEHIND_S)
                    time.sleep(max(0.0, due_s - time.monotonic()))
                picture.pts, picture.time_base = now_us(), MICROSECOND
                yield picture
                picture = next(self._pictures, None)

        try:
            yield from self._converter.convert(pictures(), MICROSECOND)
        except av.FFmpegError as error:
            raise MediaError(f"{self.name} gives no more pictures: {error.strerror}") from error

    def _decode(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # one spoilt picture; the next one comes
                continue


class ScreenSource(AbstractContextManager["ScreenSource"]):
    """The screen of an X server, grabbed by Pillow.

    FFmpeg's own way brings an X library, of which OpenCV's windows bring another of the same name:
    with both in one process it ends in a segmentation fault.
    """

    description = "screen (X11)"

    def __init__(self, display: str, size: Size | None, rate: float | None) -> None:
        """Grabs a first picture; raises MediaError where the display shows nothing."""
        self._display, self._box = display, None
        self._pace_s = 1 / (rate or _SCREEN_RATE)
        whole = self._grab()
        width, height = whole.size
        if size:
            wide, high = size.of(width, height)
            if wide > width or high > height:
                raise MediaError(f"the screen is {width}x{height}; {wide}x{high} is more than that")
            self._box = (0, 0, wide, high)
            width, height = wide, high
        exact = Fraction(rate or _SCREEN_RATE).limit_denominator(1001)
        self.info = StreamInfo(
            width & ~1, height & ~1, exact, MICROSECOND, ColorSpace(), is_live=True
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        due_s = time.monotonic()
        while True:
            time.sleep(max(0.0, due_s - time.monotonic()))
            at_us = now_us()
            rgb = np.asarray(self._grab())[: self.info.height, : self.info.width]
            yield frame_from_rgb(rgb, self.info.color, at_us, MICROSECOND)
            due_s = max(due_s + self._pace_s, time.monotonic() - self._pace_s)

    def _grab(self) -> Image.Image:
        try:
            return ImageGrab.grab(self._box, xdisplay=self._display).convert("RGB")
        except OSError as error:
            raise MediaError(f"the screen {self._display} cannot be read: {error}") from error


class FilmPlayer:
    """A film played at its own pace; frames that come too late are left to the pipeline."""

    def __init__(self, path: Path, *, loop: bool) -> None:
        """Raises MediaError where the film cannot be read."""
        self.name = str(path)
        self._path, self._loop = path, loop
        self._film = FileSource(path)
        self._closing = threading.Event()
        info = self._film.info
        self.info = StreamInfo(
            width=info.width,
            height=info.height,
            rate=info.rate,
            time_base=MICROSECOND,
            color=info.color,
            duration_s=info.duration_s,
            source_width=info.source_width,
            source_height=info.source_height,
            sample_aspect_ratio=info.sample_aspect_ratio,
            is_live=True,
        )

    @property
    def description(self) -> str:
        """Its name, and how it gives its pictures."""
        return f"{self._path.name} ({self._film.main_stream.codec_context.name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._film.__exit__(kind, error, tb)

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        due_s = time.monotonic()
        while True:
            first_s: float | None = None
            at_s = 0.0
            for frame in self._film:
                at_s = float(frame.pts * frame.time_base)
                first_s = at_s if first_s is None else first_s
                late_s = time.monotonic() - (due_s + at_s - first_s)
                if late_s > _BEHIND_S:
                    due_s += late_s
                elif self._closing.wait(max(0.0, -late_s)):
                    return
                yield Frame(
                    frame.i420, now_us(), MICROSECOND, frame.color, frame.duration, frame.pool
                )
            if not self._loop or first_s is None:
                return
            due_s += at_s - first_s + float(1 / self.info.rate)
            self._film.__exit__(None, None, None)
            self._film = FileSource(self._path)


# Opening devices, system by system --------------------------------------------------------------


OpenSource = Callable[[], LiveSource]
"""Opens a live source, as `LiveRequest.open` does; called again when it was lost."""
