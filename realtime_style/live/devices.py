"""Opens cameras, screens and addresses; if one does not open, the error says why."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import av

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.live.inputs import SCREEN_RATE, DeviceSource, LiveSource, ScreenSource
from realtime_style.media.demuxer import reason_of

_OPEN_S, _READ_S = 8.0, 5.0  # how long an address may take to open, and to send the next packet
_TEST_PATTERN = "testsrc2"
_TEST_SIZE, _TEST_RATE = "1280x720", 30


def list_cameras() -> list[tuple[str, str]]:
    """The connected cameras: pairs of the `source` for `open_camera` and a name for people."""
    device_format, _ = _camera_format()
    try:
        devices = av.enumerate_input_devices(device_format)
    except (av.FFmpegError, ValueError):
        return []
    found = []
    for device in devices:
        if device.media_types and "video" not in device.media_types:
            continue
        description = device.description or device.name
        source = f"video={description}" if device_format == "dshow" else device.name
        found.append((source, description))
    return found


def open_camera(source: str, size: Size | None, rate: float | None) -> LiveSource:
    """Opens a camera.

    Args:
        source: the camera's number, from 0, or its source in `list_cameras`.
        size, rate: the mode to request, in pixels and frames per second; None leaves it to the
            camera. A size without a width means 16:9.

    Raises:
        MediaError: the camera is not connected, not allowed, in use, or does not have that mode.
    """
    device_format, numbered = _camera_format()
    name = numbered.format(source) if source.isdigit() else source
    if device_format == "dshow" and source.isdigit():
        cameras = list_cameras()
        if int(source) >= len(cameras):
            raise _not_connected(f"camera {source}")
        name = cameras[int(source)][0]
    if device_format == "v4l2" and not Path(name).exists():
        raise _not_connected(name)
    failure: av.FFmpegError | OSError | MediaError
    for options in _camera_modes(device_format, size, rate):
        try:
            return DeviceSource(av.open(name, format=device_format, options=options), name)
        except (av.FFmpegError, OSError, MediaError) as error:
            failure = error
    if isinstance(failure, MediaError):
        raise failure
    raise _refused(name, failure, size, rate) from failure


def open_screen(size: Size | None, rate: float | None) -> LiveSource:
    """Opens the screen for capture.

    Args:
        size: the part to capture, from the top left corner, in pixels; None captures all of it.
        rate: frames per second; None takes SCREEN_RATE.

    Raises:
        MediaError: the screen cannot be read, or is smaller than `size`.
    """
    if sys.platform not in ("darwin", "win32"):
        display = os.environ.get("DISPLAY", "")
        if not display:
            raise MediaError(
                "the screen cannot be read: there is no X display (DISPLAY is not set); in a "
                "Wayland session only windows of Xwayland can be captured"
            )
        return ScreenSource(display, size, rate)
    device_format, name = (
        ("avfoundation", "Capture screen 0") if sys.platform == "darwin" else ("gdigrab", "desktop")
    )
    options = {"framerate": f"{SCREEN_RATE}"} | _mode(size, rate)
    try:
        return DeviceSource(av.open(name, format=device_format, options=options), "screen")
    except (av.FFmpegError, OSError) as error:
        raise _refused("the screen", error, size, rate) from error


def open_test_pattern(size: Size | None, rate: float | None) -> LiveSource:
    """Opens FFmpeg's moving test pattern.

    Args:
        size: in pixels, 16:9 without a width; None is 1280x720.
        rate: frames per second; None is 30.
    """
    sides = _mode(size, None).get("video_size", _TEST_SIZE)
    rate = rate or _TEST_RATE
    graph = f"{_TEST_PATTERN}=size={sides}:rate={rate:g},format=yuv420p"
    return DeviceSource(av.open(graph, format="lavfi"), "test pattern", pace_s=1 / rate)


def open_address(address: str) -> LiveSource:
    """Opens an address such as rtsp://... or http://....

    Raises:
        MediaError: nothing answers there within 8 s, or it sends no pictures.
    """
    options = {"fflags": "nobuffer", "flags": "low_delay"}
    if address.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    try:
        container = av.open(address, options=options, timeout=(_OPEN_S, _READ_S))
    except (av.FFmpegError, OSError) as error:
        reason = reason_of(error, address)
        if isinstance(error, av.ExitError):
            reason = f"nothing has answered within {_OPEN_S:g} s"
        raise MediaError(f"{address} cannot be opened: {reason}", setting="source") from error
    return DeviceSource(container, address)


def _camera_format() -> tuple[str, str]:
    """FFmpeg's input format of this system's cameras, and a pattern for the name of camera {}."""
    if sys.platform == "darwin":
        return "avfoundation", "{}"
    if sys.platform == "win32":
        return "dshow", "video={}"
    return "v4l2", "/dev/video{}"


def _camera_modes(
    device_format: str, size: Size | None, rate: float | None
) -> list[dict[str, str]]:
    """FFmpeg's options for a camera, in the order in which to try them."""
    options = _mode(size, rate)
    if device_format == "avfoundation":
        options.setdefault("framerate", "30")  # avfoundation has no default
        options["pixel_format"] = "nv12"
    # Uncompressed frames exceed USB's capacity at full rate; MJPEG does not
    compressed = {"v4l2": {"input_format": "mjpeg"}, "dshow": {"vcodec": "mjpeg"}}
    if device_format in compressed:
        return [options | compressed[device_format], options]
    return [options]


def _mode(size: Size | None, rate: float | None) -> dict[str, str]:
    """FFmpeg's options for a size, which is 16:9 if it has no width, and for a rate."""
    options = {}
    if size:
        options["video_size"] = f"{size.width or round(size.height * 16 / 9)}x{size.height}"
    if rate:
        options["framerate"] = f"{rate:g}"
    return options


def _not_connected(name: str) -> MediaError:
    cameras = [camera for camera, _ in list_cameras()]
    found = f"connected: {', '.join(cameras)}" if cameras else "no camera is connected"
    return MediaError(
        f"there is no {name} ({found}); the source may also be a film, 'screen' or 'test'",
        setting="source",
    )


def _refused(
    name: str, error: av.FFmpegError | OSError, size: Size | None, rate: float | None
) -> MediaError:
    """The error for a device that did not open, with advice."""
    if isinstance(error, PermissionError):
        return MediaError(
            f"{name} cannot be read without permission: {_PERMISSION.get(sys.platform, _GROUP)}"
        )
    if error.errno == errno.EBUSY:
        return MediaError(
            f"{name} is in use by another program; close it (often a browser or a call)"
        )
    if size or rate:
        parts = [_mode(size, None).get("video_size"), f"{rate:g} frames per second" if rate else ""]
        return MediaError(
            f"{name} does not offer {' at '.join(filter(None, parts))} ({error.strerror})",
            setting="camera_size" if size else "camera_rate",
        )
    return MediaError(f"{name} cannot be opened: {error.strerror}", setting="source")


_GROUP = "join its group with `sudo usermod -aG video $USER`, then log in again"
_PERMISSION = {
    "darwin": "allow it in System Settings, Privacy & Security, Camera",
    "win32": "allow it in Settings, Privacy, Camera",
}
