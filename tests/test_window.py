"""A real window on its own display (Xvfb), real keys and a real mouse (xdotool)."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import affine_style
from numpy.typing import NDArray
from PIL import Image

MISSING = [name for name in ("Xvfb", "xdotool") if not shutil.which(name)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"needs {' and '.join(MISSING)} (apt install xvfb xdotool)"
    ),
]
SCREEN = (1024, 768)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of an X server without a real screen."""
    read, write = os.pipe()
    size = f"{SCREEN[0]}x{SCREEN[1]}x24"
    server = subprocess.Popen(
        # -noreset: else it resets when its last client leaves, and refuses others meanwhile
        # -r: no key repeats itself, such as a key held down when its window closed
        ["Xvfb", "-displayfd", str(write), "-screen", "0", size, "-noreset", "-r"],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        yield f":{pipe.readline().strip()}"
    server.terminate()
    server.wait()


@dataclass
class Live:
    """The running command and its window, as a user sees them."""

    display: str
    process: subprocess.Popen[str]

    def __post_init__(self) -> None:
        self.wait_until(lambda: bool(self._windows()), 60)
        self.window = self._windows()[0]
        # One time in thirty Qt misses that its window is shown, where there is no window manager
        shown_s = time.monotonic()
        while not self.look().any():
            if self.process.poll() is not None:
                pytest.fail(f"it ended: {self.process.communicate()}")
            if time.monotonic() - shown_s > 10:
                self.xdo("windowunmap", self.window)
                self.xdo("windowmap", self.window)
                shown_s = time.monotonic()
            time.sleep(0.05)

    def xdo(self, *arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments],
            env=os.environ | {"DISPLAY": self.display},
            capture_output=True,
            text=True,
            timeout=10,
        )
        return done.stdout

    def _windows(self) -> list[str]:
        return self.xdo("search", "--onlyvisible", "--name", "^realtime-style$").split()

    def key(self, name: str) -> None:
        self.xdo("key", "--window", self.window, name)
        self.xdo("keyup", name)  # xdotool ends half-way if the key has closed its window

    def look(self) -> NDArray[np.uint8]:
        """The screen, (H, W, 3) RGB."""
        options = {"video_size": f"{SCREEN[0]}x{SCREEN[1]}", "framerate": "30", "draw_mouse": "0"}
        with av.open(self.display, format="x11grab", options=options) as screen:
            return next(screen.decode(video=0)).to_ndarray(format="rgb24")  # type: ignore[no-any-return]

    def wait_until(self, holds: Callable[[], bool], seconds: float = 90) -> bool:
        """Waits until a condition holds; the test fails if it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return True
            if self.process.poll() is not None:
                pytest.fail(f"it ended: {self.process.communicate()}")
            time.sleep(0.02)
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            Image.fromarray(self.look()).save(Path(folder) / "failed.png")
        pytest.fail("the condition did not come true")

    def end(self) -> tuple[int, dict[str, Any], str]:
        out, err = self.process.communicate(timeout=60)
        lines = out.splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}, err


Start = Callable[..., Live]


@pytest.fixture
def start(display: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the command with a dark grey film of 320x240 and the negative style."""
    style = tmp_path / "negative.onnx"
    style.write_bytes(affine_style(-1.0, 255.0, name="negative"))
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(50):
            dark = np.full((360, 320), 128, np.uint8)
            dark[:240] = 60
            out.mux(stream.encode(av.VideoFrame.from_ndarray(dark, "yuv420p")))
        out.mux(stream.encode(None))
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> Live:
        process = subprocess.Popen(
            [sys.executable, "-m", "realtime_style", "webcam", "--source", str(film), "--loop",
             "--style", str(style), "--json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=os.environ | {"DISPLAY": display, "NO_COLOR": "1", "COLUMNS": "200"},
        )  # fmt: skip
        started.append(process)
        return Live(display, process)

    yield run
    for process in started:
        process.kill()
        process.communicate()


LIGHT, DARK = 200, 90  # limits for the painting and the film, of luma 195 and 60


def share(picture: NDArray[np.uint8], *, light: bool) -> float:
    """The part of the screen that is as light as the painting, or as dark as the film."""
    grey = picture.mean(2)
    inside = (grey > LIGHT) & (grey < 225) if light else (grey > 40) & (grey < DARK)
    return float(inside.mean())


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent."""

    _fields_ = (
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("room", ctypes.c_char * 96),
    )  # fmt: skip


def ask_to_close(display: str, window: int) -> None:
    """Sends WM_DELETE_WINDOW, as a window manager does when its close button is clicked."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    x11.XInternAtom.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    x11.XSendEvent.argtypes = (
        ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p,
    )  # fmt: skip
    x11.XCloseDisplay.argtypes = (ctypes.c_void_p,)
    server = x11.XOpenDisplay(display.encode())
    message = ClientMessage(type=33, send_event=1, display=server, window=window, format=32)
    message.message_type = x11.XInternAtom(server, b"WM_PROTOCOLS", 0)
    message.data[0] = x11.XInternAtom(server, b"WM_DELETE_WINDOW", 0)
    x11.XSendEvent(server, window, 0, 0, ctypes.byref(message))
    x11.XCloseDisplay(server)


def test_keys_do_what_the_help_says(start: Start, tmp_path: Path) -> None:
    live = start()
    live.wait_until(lambda: share(live.look(), light=True) > 0.05)
    painted = share(live.look(), light=True)
    assert share(live.look(), light=False) < 0.01
    live.key("v")  # half of it is the film now
    live.wait_until(lambda: abs(share(live.look(), light=False) - painted / 2) < 0.02)
    rows, columns = np.nonzero(live.look().mean(2) > 40)
    x = columns.min() + (columns.max() - columns.min()) // 4
    y = (rows.min() + rows.max()) // 2
    live.xdo("mousemove", str(x), str(y), "mousedown", "1", "mousemove", str(x + 2), str(y))
    live.wait_until(lambda: abs(share(live.look(), light=False) - painted / 4) < 0.03)
    live.xdo("mouseup", "1")
    live.key("v")  # side by side: in the window's shape, each a quarter of it
    live.wait_until(lambda: abs(share(live.look(), light=True) - painted / 4) < 0.03)
    live.key("v")
    live.wait_until(lambda: share(live.look(), light=False) < 0.01)
    live.key("h")
    live.wait_until(lambda: (live.look().min(2) > 228).mean() > 0.0003)  # white letters
    live.key("h")
    live.key("s")
    live.wait_until(lambda: bool(list(tmp_path.glob("*.png"))))
    live.key("n")  # another style
    live.wait_until(lambda: share(live.look(), light=True) < 0.02)
    live.key("1")
    live.wait_until(lambda: share(live.look(), light=True) > 0.05)
    live.key("r")
    live.wait_until(lambda: has_pictures(tmp_path, "realtime-style*.mp4"))
    live.key("q")
    status, report, err = live.end()
    assert "press h in the window for help" in err
    assert status == 0, err
    assert report["frames"] > 20
    recorded = next(tmp_path.glob("realtime-style*.mp4"))
    with av.open(str(recorded)) as film:
        assert sum(1 for _ in film.decode(video=0)) > 10
    with Image.open(next(tmp_path.glob("*.png"))) as snapshot:
        assert snapshot.info["Style"] == "negative"


def has_pictures(folder: Path, pattern: str) -> bool:
    """Whether more than ten pictures of a recording are on disk; they come second by second."""
    try:
        with av.open(str(next(folder.glob(pattern)))) as film:
            return sum(packet.size > 0 for packet in film.demux(video=0)) > 10
    except (StopIteration, av.FFmpegError):  # no file, or nothing in it yet
        return False


def test_the_screen_is_painted_into_a_window_on_it(start: Start) -> None:
    live = start("--source", "screen", "--camera-size", "320x240")
    # the screen's black corner is white in it, which it sees again and paints black
    live.wait_until(lambda: (live.look() > 240).mean() > 0.01)
    seen: set[bytes] = set()

    def goes_on() -> bool:  # a screen that has changed has been painted at least once more
        seen.add(live.look().tobytes())
        # a window that moves changes the screen; a picture of itself alone may come to rest
        live.xdo("windowmove", live.window, str(10 * (len(seen) % 5)), "0")
        return len(seen) > 6

    live.wait_until(goes_on)
    live.key("q")
    status, report, err = live.end()
    assert status == 0, err
    assert report["frames"] > 5
    assert report["camera_size"] == [320, 240]


def test_resizing_keeps_the_shape_and_closing_quits(start: Start) -> None:
    live = start()
    live.wait_until(lambda: share(live.look(), light=True) > 0.05)
    live.key("x")  # any key ends the hint, which is light too
    live.xdo("windowsize", live.window, "400", "700")

    def has_shape() -> bool:
        rows, columns = np.nonzero(live.look().mean(2) > LIGHT)
        if not rows.size:  # nothing is drawn yet at the new size
            return False
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        return abs(width - 400) < 6 and abs(width / height - 4 / 3) < 0.03

    assert live.wait_until(has_shape)
    ask_to_close(live.display, int(live.window))
    status, report, err = live.end()
    assert status == 0, err
    assert report["frames"] > 0


def test_control_c_ends_it_and_completes_the_recording(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    live = start("--record", str(out))
    live.wait_until(lambda: share(live.look(), light=True) > 0.05)
    live.wait_until(lambda: has_pictures(tmp_path, "out.mp4"))
    live.process.send_signal(2)
    status, _, err = live.end()
    assert status == 0
    assert "Traceback" not in err
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) > 10
