"""Sources of live frames: cameras, the screen, addresses, and films played in real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
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
from realtime_style.live.sound import FilmSound, Sound, SoundBus
from realtime_style.media.converter import Converter
from realtime_style.media.film_source import FileSource
from realtime_style.media.frame_rate import frame_rate
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.stages import FrameSource

SCREEN_RATE = 30
"""Frames per second of a screen, unless another rate is requested."""

_MAX_LAG_S = 0.5  # a film that falls further behind does not try to catch up


class LiveSource(FrameSource[Frame], Protocol):
    """A source that delivers frames in real time; their `pts` is `now_us()` at their capture."""

    @property
    def description(self) -> str:
        """Describes the source for people, such as "/dev/video0 (mjpeg, yuvj422p)"."""


OpenSource = Callable[[], LiveSource]
"""Opens a live source. Called again whenever the source was lost or has changed its size."""


class DeviceSource:
    """Frames of a camera, an address or another device that delivers them in real time."""

    def __init__(
        self, container: av.container.InputContainer, name: str, pace_s: float | None = None
    ) -> None:
        """Reads the first frame.

        Args:
            container: PyAV's open container; it is closed with this source, or if this fails.
            name: the device's name for people.
            pace_s: seconds between frames, for containers that deliver frames as fast as they are
                read; None for devices, which pace themselves.

        Raises:
            MediaError: the container delivers no frames.
        """
        self._container, self.name, self._pace_s = container, name, pace_s
        try:
            self._open()
        except av.FFmpegError as error:
            container.close()
            raise MediaError(f"{name} sends no video: {error.strerror}") from error
        except BaseException:
            container.close()
            raise

    def _open(self) -> None:
        if not self._container.streams.video:
            raise MediaError(
                f"{self.name} contains no video; choose a camera, a screen or a film",
                setting="source",
            )
        stream = self._stream = self._container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would hold some frames back
        self._pictures = self._decode()
        first = next(self._pictures, None)
        if first is None:
            raise MediaError(
                f"{self.name} opened but sent no frame; close other programs that use it, or "
                "choose another source"
            )
        self._first = first
        self._converter = Converter(first, None, stream.sample_aspect_ratio, stream.codec_context)
        rate = frame_rate(stream, is_interlaced=first.interlaced_frame, usual=Fraction(30))
        self.info = StreamInfo(
            width=self._converter.width,
            height=self._converter.height,
            rate=rate,
            time_base=MICROSECOND,
            color=self._converter.color,
            source_width=self._converter.source_width,
            source_height=self._converter.source_height,
            is_live=True,
        )

    @property
    def description(self) -> str:
        """The device's name, codec and pixel format."""
        context = self._stream.codec_context
        if context.name == "wrapped_avframe":  # generated frames have no codec
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
        try:
            yield from self._converter.convert(self._paced(), MICROSECOND)
        except av.FFmpegError as error:
            raise MediaError(f"{self.name} stopped delivering: {error.strerror}") from error

    def _paced(self) -> Iterator[av.VideoFrame]:
        due_s = time.monotonic()
        picture: av.VideoFrame | None = self._first
        while picture is not None:
            if self._pace_s is not None:
                due_s = max(due_s + self._pace_s, time.monotonic() - _MAX_LAG_S)
                time.sleep(max(0.0, due_s - time.monotonic()))
            picture.pts, picture.time_base = now_us(), MICROSECOND
            yield picture
            picture = next(self._pictures, None)

    def _decode(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except av.InvalidDataError:  # one damaged picture; the next one follows
                continue


class ScreenSource(AbstractContextManager["ScreenSource"]):
    """The screen of an X server, captured by Pillow.

    FFmpeg's screen capture loads an X library of the same name as the one in OpenCV's window; a
    process that loads both crashes.
    """

    description = "screen (X11)"

    def __init__(self, display: str, size: Size | None, rate: float | None) -> None:
        """Captures a first picture.

        Args:
            display: name of the X display, such as ":0".
            size: size of the part to capture, from the top left corner, in pixels; None captures
                the whole screen.
            rate: frames per second; None is `SCREEN_RATE`.

        Raises:
            MediaError: the display cannot be read, or is smaller than `size`.
        """
        self._display = display
        self._pace_s = 1 / (rate or SCREEN_RATE)
        self._size = screen_width, screen_height = self._grab().size
        width, height = size.of(screen_width, screen_height) if size else self._size
        if width > screen_width or height > screen_height:
            raise MediaError(
                f"the screen is {screen_width}x{screen_height}; {width}x{height} is larger",
                setting="camera_size",
            )
        self._part = slice(height & ~1), slice(width & ~1)
        exact_rate = Fraction(rate or SCREEN_RATE).limit_denominator(1001)
        self.info = StreamInfo(
            width & ~1, height & ~1, exact_rate, MICROSECOND, ColorSpace(), is_live=True
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`; ends with MediaError when the size of the screen changes."""
        due_s = time.monotonic()
        while True:
            time.sleep(max(0.0, due_s - time.monotonic()))
            captured_us = now_us()
            picture = self._grab()
            if picture.size != self._size:
                raise MediaError(f"the size of the screen {self._display} has changed")
            rgb = np.asarray(picture)[self._part]
            yield frame_from_rgb(rgb, self.info.color, captured_us, MICROSECOND)
            due_s = max(due_s + self._pace_s, time.monotonic() - self._pace_s)

    def _grab(self) -> Image.Image:
        try:
            return ImageGrab.grab(xdisplay=self._display).convert("RGB")
        except OSError as error:
            raise MediaError(f"the screen {self._display} cannot be read: {error}") from error


class FilmPlayer:
    """A film played in real time; its sound goes to a `SoundBus`, if one is given."""

    def __init__(self, path: Path, *, loop: bool, sounds: SoundBus | None = None) -> None:
        """Opens the film.

        Args:
            path: the film.
            loop: whether the film starts again when it ends.
            sounds: receives the sound of the film; None leaves the sound out.

        Raises:
            MediaError: the film cannot be read.
        """
        self.name = str(path)
        self._path, self._loop = path, loop
        self._sounds = sounds
        self._open()
        self.info = replace(self._film.info, time_base=MICROSECOND, frames=None, is_live=True)

    def _open(self) -> None:
        self._film = FileSource(self._path)
        self._sound = FilmSound(self._film) if self._sounds else None
        if self._sounds and self._sound and self._sound.exists:
            self._sounds.is_open = True

    def _close(self) -> None:
        if self._sound:
            self._sound.close()
        self._film.close()

    def _pass_sound(self, until_s: float, frame_s: float, shown_us: int) -> None:
        """Puts sound of the film on the bus, timed so that it fits the pictures.

        Args:
            until_s: up to which time of the film, in seconds.
            frame_s: the time in the film of a frame, in seconds.
            shown_us: when that frame is shown, in microseconds of `now_us`.
        """
        if self._sounds and self._sound and not self._sounds.is_heard:
            self._sound.skip(until_s)
        elif self._sounds and self._sound:
            for begin_s, samples in self._sound.until(until_s):
                time_us = shown_us + round((begin_s - frame_s) * 1_000_000)
                self._sounds.put(Sound(samples, time_us))

    @property
    def description(self) -> str:
        """The film's name and codec."""
        return f"{self._path.name} ({self._film.main_stream.codec_context.name})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._close()

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        due_s, step_s = time.monotonic(), float(1 / self.info.rate)
        while True:
            first_s: float | None = None
            frame_s = 0.0
            for frame in self._film:
                frame_s = float(frame.pts * frame.time_base)
                first_s = frame_s if first_s is None else first_s
                late_s = time.monotonic() - (due_s + frame_s - first_s)
                if late_s > _MAX_LAG_S:
                    due_s += late_s
                time.sleep(max(0.0, -late_s))
                shown_us = now_us()
                self._pass_sound(frame_s + step_s, frame_s, shown_us)
                yield replace(frame, pts=shown_us, time_base=MICROSECOND, duration=0)
            if not self._loop or first_s is None:
                return
            due_s += frame_s - first_s + step_s
            self._close()
            self._open()
