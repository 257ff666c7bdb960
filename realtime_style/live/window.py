"""The window: OpenCV's highgui, and nothing else; what needs no window is elsewhere."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import MediaError

_CONNECT_S = 1.0
_ESCAPE = 27


@dataclass(frozen=True, slots=True)
class Pointer:
    """The mouse, in pixels of the picture shown; `pressed` while its left button is down."""

    x: int
    y: int
    pressed: bool


class Window:
    """A window that shows pictures and tells of keys and the mouse. For the main thread alone."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """Opens it.

        Raises:
            MediaError: there is no display, or OpenCV has no windows here.
        """
        self._cv2 = cv2 = load_opencv()
        self._title = title
        self._pointers: deque[Pointer] = deque(maxlen=64)
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.resizeWindow(title, width, height)
            cv2.setMouseCallback(title, self._on_mouse)
        except cv2.error as error:
            raise MediaError(
                "this OpenCV has no windows (opencv-python-headless?); install opencv-python, or "
                "use --no-window"
            ) from error
        self._size = (width, height)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture that fills it, in pixels."""
        with contextlib.suppress(self._cv2.error):
            _, _, width, height = self._cv2.getWindowImageRect(self._title)
            if width > 1 and height > 1:
                self._size = (width, height)
        return self._size

    def show(self, bgr: NDArray[np.uint8]) -> None:
        """Shows a picture, (H, W, 3) uint8, blue first."""
        self._cv2.imshow(self._title, bgr)

    def poll(self, wait_ms: int) -> tuple[list[str], list[Pointer]] | None:
        """Keys (characters, or "escape") and pointers since the last time; None once closed."""
        keys = []
        code = self._cv2.waitKeyEx(max(1, wait_ms))
        while code != -1:
            character = code & 0xFFFF  # above it are flags; arrows and the like are beyond ASCII
            if character == _ESCAPE:
                keys.append("escape")
            elif ord(" ") <= character <= ord("~"):
                keys.append(chr(character))
            code = self._cv2.waitKeyEx(1)
        try:
            is_open = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) >= 1
        except self._cv2.error:
            is_open = False
        if not is_open:
            return None
        pointers = list(self._pointers)
        self._pointers.clear()
        return keys, pointers

    def full_screen(self, on: bool) -> None:
        """Fills the screen, or is a window again."""
        cv2 = self._cv2
        state = cv2.WINDOW_FULLSCREEN if on else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, state)

    def close(self) -> None:
        """Closes it; once more does no harm."""
        with contextlib.suppress(self._cv2.error):
            self._cv2.destroyWindow(self._title)
            self._cv2.waitKey(1)

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        pressed = bool(flags & self._cv2.EVENT_FLAG_LBUTTON) or event == self._cv2.EVENT_LBUTTONDOWN
        self._pointers.append(Pointer(x, y, pressed))


@cache
def load_opencv() -> Any:
    """OpenCV, ready to open windows; on Linux to be called before PyAV is imported.

    Both bring an X library of their own. Where PyAV's is there first, OpenCV's window takes parts
    of it, and never opens: it turns in a loop (PyAV issue 978).

    Raises:
        MediaError: there is no display, OpenCV is not there or lacks a library, or PyAV was first.
    """
    is_linux = sys.platform.startswith("linux")
    if is_linux:
        _refuse_without_display()
        if "av" in sys.modules and "cv2" not in sys.modules:
            raise MediaError(
                "a window cannot be opened once PyAV is there: call "
                "realtime_style.live.window.load_opencv() before importing anything else"
            )
    try:
        import cv2
    except ImportError as error:
        raise MediaError(_what_is_missing(str(error))) from error
    if is_linux:
        _refuse_without_permission()
    return cv2


def _refuse_without_permission() -> None:
    """Qt ends the whole process, too, where the display does not let it in."""
    from PIL import ImageGrab

    try:
        ImageGrab.grab((0, 0, 1, 1), xdisplay=os.environ["DISPLAY"])
    except OSError as error:
        if "connection failed" in str(error):
            raise MediaError(
                f"the display {os.environ['DISPLAY']} lets nobody in without permission (see "
                "XAUTHORITY, or xhost); use --no-window with --record, --stream or --virtual-camera"
            ) from error


def _refuse_without_display() -> None:
    """Qt ends the whole process where it finds no display: better to look before."""
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise MediaError(
            "there is no display to open a window on (DISPLAY is not set); use --no-window with "
            "--record, --stream or --virtual-camera"
        )
    host, _, number = display.rpartition(":")
    number = number.partition(".")[0]
    if not number.isdigit():
        return
    try:
        if host in ("", "unix"):
            door = _connect_unix(int(number))
        else:
            door = socket.create_connection((host, 6000 + int(number)), _CONNECT_S)
    except OSError as error:
        raise MediaError(
            f"the display {display} does not answer ({error.strerror or error}); use --no-window "
            "with --record, --stream or --virtual-camera"
        ) from error
    # Left open: an X server without any other client begins anew when its last one goes, and the
    # window that comes next would find nobody there
    door.detach()


def _connect_unix(number: int) -> socket.socket:
    path = f"/tmp/.X11-unix/X{number}"
    for address in (path, "\0" + path):
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(_CONNECT_S)
        try:
            door.connect(address)
        except OSError as error:
            door.close()
            failure = error
        else:
            return door
    raise failure


def _what_is_missing(reason: str) -> str:
    if "libGL" in reason:
        return "OpenCV needs libGL for windows: sudo apt install libgl1 (or use --no-window)"
    if "cv2" in reason and "No module" in reason:
        return "windows need OpenCV: pip install opencv-python (or use --no-window)"
    library = reason.partition(":")[0]
    return f"OpenCV cannot be loaded: {library} is missing; install it, or use --no-window"
