"""Where live frames come from: cameras, the screen, addresses, films played at their own pace."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av
import numpy as np
from PIL import Image, ImageGrab

from realtime_style.errors import MediaError
from realtime_style.frame import ColorSpace, Frame, Size, StreamInfo
from realtime_style.runtime.converter import Converter
from realtime_style.runtime.picture import frame_from_rgb
from realtime_style.runtime.source import FileSource, FrameSource

MICROSECOND = Fraction(1, 1_000_000)
"""The time base of live frames: their pts is `now_us()` at the moment they were had."""

_OPEN_S, _READ_S = 8.0, 5.0  # what an address may take to answer
_SCREEN_RATE = 30
_PATTERN = "testsrc2"
_PATTERN_SIZE, _PATTERN_RATE = "1280x720", 30
_BEHIND_S = 0.5  # a film that is so late does not run after its own time


def now_us() -> int:
    """Microseconds of a clock that only goes on."""
    return time.monotonic_ns() // 1000


class LiveSource(FrameSource[Frame], Protocol):
    """A source of frames with `now_us()` as their time."""

    @property
    def description(self) -> str:
        """What it is, for people to read."""


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to open: `--source` and what is asked of it.

    `source` is a camera (a number or a device), "screen", "test" (a moving pattern), an address
    (rtsp://, http://, ...), or a film. `size` and `rate` (a second) are asked of cameras and
    screens; None takes what they give. `loop` plays films again and again.
    """

    source: str = "0"
    size: Size | None = None
    rate: float | None = None
    loop: bool = False

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera: people want to see themselves as in a mirror."""
        return self.source.isdigit() or self.source.startswith(("/dev/", "video="))

    @property
    def is_film(self) -> bool:
        """Whether it has an end of its own."""
        return not (self.is_camera or self.source in ("screen", "test") or "://" in self.source)

    def open(self) -> LiveSource:
        """Opens it; may wait for a device as long as that likes.

        Raises:
            MediaError: it is not there, taken, not permitted, or does not give what is asked.
        """
        if self.is_film:
            return FilmPlayer(Path(self.source), loop=self.loop)
        if self.source == "test":
            return _test_pattern(self.size, self.rate)
        if self.source == "screen":
            return _screen(self.size, self.rate)
        if self.is_camera:
            return _camera(self.source, self.size, self.rate)
        return DeviceSource(_address(self.source), self.source)


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
                self._film.packets.clear()  # sound is not played
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


def list_cameras() -> list[tuple[str, str]]:
    """What `--source` calls each camera, and its own name."""
    form, _ = _camera_format()
    try:
        devices = av.enumerate_input_devices(form)
    except (av.FFmpegError, ValueError):
        return []
    found = []
    for device in devices:
        if device.media_types and "video" not in device.media_types:
            continue
        name = device.name
        if form == "dshow":
            name = f"video={device.description or device.name}"
        found.append((name, device.description or device.name))
    return found


def _camera_format() -> tuple[str, str]:
    """FFmpeg's format of cameras here, and how camera number N is called."""
    if sys.platform == "darwin":
        return "avfoundation", "{}"
    if sys.platform == "win32":
        return "dshow", "video={}"
    return "v4l2", "/dev/video{}"


def _camera(source: str, size: Size | None, rate: float | None) -> DeviceSource:
    form, pattern = _camera_format()
    name = pattern.format(source) if source.isdigit() else source
    if form == "dshow" and source.isdigit():
        cameras = list_cameras()
        if int(source) >= len(cameras):
            raise _not_there(f"camera {source}")
        name = cameras[int(source)][0]
    if form == "v4l2" and not Path(name).exists():
        raise _not_there(name)
    options = _asked(size, rate)
    if form == "avfoundation":
        options.setdefault("framerate", "30")  # it has no usual rate
        options["pixel_format"] = "nv12"
    # Raw pictures of a size fill USB: cameras give those at a few frames a second, MJPEG at all
    packed = {"v4l2": {"input_format": "mjpeg"}, "dshow": {"vcodec": "mjpeg"}}.get(form)
    choices = [options | packed, options] if packed else [options]
    failure: av.FFmpegError | OSError | MediaError
    for choice in choices:
        try:
            return DeviceSource(av.open(name, format=form, options=choice), name)
        except (av.FFmpegError, OSError, MediaError) as error:
            failure = error
    if isinstance(failure, MediaError):
        raise failure
    raise _refused(name, failure, size, rate) from failure


def _screen(size: Size | None, rate: float | None) -> LiveSource:
    if sys.platform not in ("darwin", "win32"):
        display = os.environ.get("DISPLAY", "")
        if not display:
            raise MediaError(
                "the screen cannot be read: there is no X display (DISPLAY is not set); of a "
                "Wayland session only windows of Xwayland can be seen"
            )
        return ScreenSource(display, size, rate)
    form, name = (
        ("avfoundation", "Capture screen 0") if sys.platform == "darwin" else ("gdigrab", "desktop")
    )
    options = {"framerate": f"{_SCREEN_RATE}"} | _asked(size, rate)
    try:
        return DeviceSource(av.open(name, format=form, options=options), "screen")
    except (av.FFmpegError, OSError) as error:
        raise _refused("the screen", error, size, rate) from error


def _test_pattern(size: Size | None, rate: float | None) -> DeviceSource:
    sides = f"{size.width or size.height * 16 // 9}x{size.height}" if size else _PATTERN_SIZE
    rate = rate or _PATTERN_RATE
    graph = f"{_PATTERN}=size={sides}:rate={rate:g},format=yuv420p"
    return DeviceSource(av.open(graph, format="lavfi"), "test pattern", pace_s=1 / rate)


def _address(address: str) -> av.container.InputContainer:
    options = {"fflags": "nobuffer", "flags": "low_delay"}
    if address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    try:
        return av.open(address, options=options, timeout=(_OPEN_S, _READ_S))
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{address} cannot be opened: {error.strerror}") from error


def _asked(size: Size | None, rate: float | None) -> dict[str, str]:
    options = {}
    if size:
        options["video_size"] = f"{size.width or round(size.height * 16 / 9)}x{size.height}"
    if rate:
        options["framerate"] = f"{rate:g}"
    return options


def _not_there(name: str) -> MediaError:
    cameras = [camera for camera, _ in list_cameras()]
    found = f"there are {', '.join(cameras)}" if cameras else "no camera is connected"
    return MediaError(f"there is no {name}: {found}; --source takes a film or `test` as well")


def _refused(
    name: str, error: av.FFmpegError | OSError, size: Size | None, rate: float | None
) -> MediaError:
    """What to do about a device that does not open."""
    asked = " at ".join(filter(None, (
        _asked(size, None).get("video_size", ""), f"{rate:g} frames a second" if rate else ""
    )))  # fmt: skip
    if isinstance(error, PermissionError):
        return MediaError(f"{name} may not be read: {_PERMISSION.get(sys.platform, _GROUP)}")
    if error.errno == errno.EBUSY:
        return MediaError(
            f"{name} is in use by another program; close that one (browsers and calls keep cameras)"
        )
    if asked:
        return MediaError(
            f"{name} does not give {asked} ({error.strerror}); leave --camera-size and "
            "--camera-fps out, and it gives what it has"
        )
    return MediaError(f"{name} cannot be opened: {error.strerror}")


_GROUP = "join its group with `sudo usermod -aG video $USER`, and log in anew"
_PERMISSION = {
    "darwin": "allow it in System Settings, Privacy & Security, Camera",
    "win32": "allow it in Settings, Privacy, Camera",
}

OpenSource = Callable[[], LiveSource]
"""Opens a live source, as `LiveRequest.open` does; called again when it was lost."""
