"""Cameras and screens, and why one does not open."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import av

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.live.inputs import DeviceSource, LiveSource, ScreenSource

_OPEN_S, _READ_S = 8.0, 5.0  # what an address may take to answer
_SCREEN_RATE = 30
_PATTERN = "testsrc2"
_PATTERN_SIZE, _PATTERN_RATE = "1280x720", 30


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
