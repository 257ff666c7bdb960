"""A window of OpenCV. Only this module imports OpenCV; what to show is composed in `view`."""

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
    """A mouse position, in pixels of the picture on display, from the top left corner.

    `pressed` says whether the left button is down.
    """

    x: int
    y: int
    pressed: bool


class Window:
    """A window that shows pictures and reports keys and the mouse. Only for the main thread."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """Opens the window.

        Args:
            title: shown in the title bar; windows must have different ones.
            width, height: first size of the content in pixels.

        Raises:
            MediaError: there is no display, or this OpenCV cannot open windows.
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
                "this OpenCV cannot open windows; if opencv-python-headless is installed, replace "
                "it with opencv-python",
                setting="window",
            ) from error
        self._size = (width, height)

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the content in pixels."""
        with contextlib.suppress(self._cv2.error):
            _, _, width, height = self._cv2.getWindowImageRect(self._title)
            if width > 1 and height > 1:
                self._size = (width, height)
        return self._size

    def show(self, bgr: NDArray[np.uint8]) -> None:
        """Shows a picture, (H, W, 3) uint8, BGR."""
        self._cv2.imshow(self._title, bgr)

    def poll(self, wait_ms: int) -> tuple[list[str], list[Pointer]] | None:
        """The keys pressed and the mouse positions since the last call, both in order.

        It waits for a key up to `wait_ms` milliseconds, at least 1. A key is one printable ASCII
        character, such as "q" or "+", or "escape". It returns None once the window is closed.
        """
        keys = []
        code = self._cv2.waitKeyEx(max(1, wait_ms))
        while code != -1:
            character = code & 0xFFFF  # higher bits are flags; arrow keys are beyond ASCII
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
        """Fills the screen, or returns to a window if `on` is False."""
        cv2 = self._cv2
        state = cv2.WINDOW_FULLSCREEN if on else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, state)

    def close(self) -> None:
        """Closes the window; a second call does nothing."""
        with contextlib.suppress(self._cv2.error):
            self._cv2.destroyWindow(self._title)
            self._cv2.waitKey(1)

    def _on_mouse(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        pressed = bool(flags & self._cv2.EVENT_FLAG_LBUTTON) or event == self._cv2.EVENT_LBUTTONDOWN
        self._pointers.append(Pointer(x, y, pressed))


@cache
def load_opencv() -> Any:
    """Imports OpenCV, and checks that it can open windows.

    On Linux, call this before PyAV is imported. Both packages contain an X library; if PyAV's is
    loaded first, OpenCV's window uses parts of it and never opens (PyAV issue 978).

    Returns:
        The module `cv2`.

    Raises:
        MediaError: there is no display, OpenCV or a library is missing, or PyAV is loaded already.
    """
    is_linux = sys.platform.startswith("linux")
    if is_linux:
        _refuse_without_display()
        if "av" in sys.modules and "cv2" not in sys.modules:
            raise MediaError(
                "a window cannot be opened after PyAV was imported: call "
                "realtime_style.live.opencv_window.load_opencv() before importing anything else",
                setting="window",
            )
    try:
        import cv2
    except ImportError as error:
        raise MediaError(_missing_part(str(error)), setting="window") from error
    if is_linux:
        _refuse_without_permission()
    return cv2


def _refuse_without_permission() -> None:
    """Raises MediaError if the X server refuses access: Qt would end the whole process."""
    from PIL import ImageGrab

    try:
        ImageGrab.grab((0, 0, 1, 1), xdisplay=os.environ["DISPLAY"])
    except OSError as error:
        if "connection failed" in str(error):
            raise MediaError(
                f"the display {os.environ['DISPLAY']} refuses access (see XAUTHORITY, or xhost)",
                setting="window",
            ) from error


def _refuse_without_display() -> None:
    """Raises MediaError if there is no X server: Qt would end the whole process."""
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise MediaError(
            "there is no display to open a window on (DISPLAY is not set)", setting="window"
        )
    host, _, number = display.rpartition(":")
    number = number.partition(".")[0]
    if not number.isdigit():
        return
    try:
        if host in ("", "unix"):
            connection = _connect_unix(int(number))
        else:
            connection = socket.create_connection((host, 6000 + int(number)), _CONNECT_S)
    except OSError as error:
        raise MediaError(
            f"the display {display} does not answer ({error.strerror or error})", setting="window"
        ) from error
    # Left open: an X server resets when its last client disconnects, and would refuse the window
    connection.detach()


def _connect_unix(number: int) -> socket.socket:
    path = f"/tmp/.X11-unix/X{number}"
    for address in (path, "\0" + path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _missing_part(reason: str) -> str:
    if "libGL" in reason:
        return "OpenCV needs libGL for windows: sudo apt install libgl1"
    if "cv2" in reason and "No module" in reason:
        return "windows need OpenCV: pip install opencv-python"
    library = reason.partition(":")[0]
    return f"OpenCV cannot be loaded: {library} is missing; install it"
