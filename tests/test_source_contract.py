"""What every source of frames keeps to: `FrameSource`, run over all of them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import grey, make_film, without_length
from numpy.typing import NDArray
from PIL import Image

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, Size
from realtime_style.live.inputs import DeviceSource, FilmPlayer, ScreenSource
from realtime_style.media.film_source import FileSource
from realtime_style.stages import FrameSource
from realtime_style.web.page_source import Inbox

FRAMES = 8  # read of each source
LIVE = ("device", "player", "page", "screen")
UNEVEN_MS = (0, 40, 45, 130, 131, 500, 504, 1200)

Open = Callable[[], FrameSource[Frame]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which its files are served."""
    folder = tmp_path_factory.mktemp("served")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server without a screen; its name."""
    if not shutil.which("Xvfb"):
        pytest.skip("needs Xvfb (apt install xvfb)")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "320x240x24", "-noreset"],
        pass_fds=(write,),
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        yield f":{pipe.readline().strip()}"
    server.terminate()
    server.wait()


class StandIn:
    """Stands for `sys.stdin`, with a file behind it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")

    def fileno(self) -> int:
        return self._file.fileno()


class FullInbox(Inbox):
    """Always has a new picture from a browser."""

    def first(self, timeout_s: float = 0.0) -> av.VideoFrame:
        return next(iter(self))

    def __iter__(self) -> Iterator[av.VideoFrame]:
        for i in count():
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), i % 200, np.uint8), "yuv420p")
            self.put(picture)
            yield picture
            time.sleep(0.001)  # so that the clock goes on


def open_pipe(path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSource:
    monkeypatch.setattr(sys, "stdin", StandIn(path))
    return FileSource("-")


@pytest.fixture(
    params=[
        "film", "uneven", "part", "scaled", "pictures", "animation", "pipe", "address", *LIVE,
    ]
)  # fmt: skip
def source(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Open]:
    """The name of a source, and how to open it."""
    kind: str = request.param
    film = make_film(tmp_path / "film.mkv", pts=range(20))
    opens: Open
    if kind == "film":
        opens = functools.partial(FileSource, film)
    elif kind == "uneven":
        uneven = make_film(tmp_path / "uneven.mkv", pts=UNEVEN_MS, time_base=Fraction(1, 1000))
        opens = functools.partial(FileSource, uneven)
    elif kind == "part":
        opens = functools.partial(FileSource, film, start_s=0.2, duration_s=0.4)
    elif kind == "scaled":
        opens = functools.partial(FileSource, film, size=Size(32, 40))
    elif kind == "pictures":
        for i in range(FRAMES):
            Image.new("RGB", (64, 48), (grey(i),) * 3).save(tmp_path / f"f_{i:02}.png")
        opens = functools.partial(FileSource, tmp_path / "f_%02d.png")
    elif kind == "animation":
        pictures = [Image.new("RGB", (64, 48), (grey(i),) * 3) for i in range(FRAMES)]
        path = tmp_path / "a.webp"
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
        opens = functools.partial(FileSource, path)
    elif kind == "pipe":
        opens = functools.partial(
            open_pipe, without_length(film, tmp_path / "live.mkv"), monkeypatch
        )
    elif kind == "address":
        folder, address = request.getfixturevalue("server")
        shutil.copy(film, folder / "film.mkv")
        opens = functools.partial(FileSource, f"{address}/film.mkv")
    elif kind == "device":
        graph = "testsrc2=size=64x48:rate=100,format=yuv420p"
        opens = lambda: DeviceSource(av.open(graph, format="lavfi"), "pattern", pace_s=0.01)  # noqa: E731
    elif kind == "page":
        opens = FullInbox().open
    elif kind == "player":
        opens = functools.partial(FilmPlayer, film, loop=True)
    else:
        opens = functools.partial(
            ScreenSource, request.getfixturevalue("display"), Size(48, 64), 100
        )
    return kind, opens


def test_frames_are_what_info_says(source: tuple[str, Open]) -> None:
    kind, opens = source
    with opens() as opened:
        info = opened.info
        assert info.rate > 0
        assert info.is_live == (kind in LIVE)
        assert (info.width % 2, info.height % 2) == (0, 0)
        frames = list(islice(opened, FRAMES))
    assert len(frames) == FRAMES
    for frame in frames:
        assert (frame.width, frame.height) == (info.width, info.height)
        assert (frame.color, frame.time_base) == (info.color, info.time_base)
        assert frame.i420.dtype == np.uint8
        assert frame.i420.flags.c_contiguous
        assert frame.i420.shape == (info.height * 3 // 2, info.width)


def test_times_rise(source: tuple[str, Open]) -> None:
    kind, opens = source
    with opens() as opened:
        pts = [frame.pts for frame in islice(opened, FRAMES)]
    assert all(a < b for a, b in pairwise(pts))
    if kind == "uneven":
        assert pts == list(UNEVEN_MS)
    elif kind not in LIVE:
        assert pts[0] == 0


def test_a_frame_stays_as_it_is_until_it_is_released(source: tuple[str, Open]) -> None:
    _, opens = source
    with opens() as opened:
        frames = iter(opened)
        first = next(frames)
        before = first.i420.copy()
        others = list(islice(frames, FRAMES - 1))
        assert not any(np.shares_memory(first.i420, other.i420) for other in others)
        assert np.array_equal(first.i420, before)


def test_released_frames_are_read_into_again(source: tuple[str, Open]) -> None:
    """Buffers stay alive here, so that a new one cannot have the address of an earlier one."""
    _, opens = source
    buffers: list[NDArray[np.uint8]] = []
    pooled = 0
    with opens() as opened:
        for frame in islice(opened, FRAMES):
            pooled += frame.pool is not None
            if not any(frame.i420 is buffer for buffer in buffers):
                buffers.append(frame.i420)
            frame.release()
    assert pooled in (0, FRAMES)
    assert len(buffers) <= 2 if pooled else len(buffers) == FRAMES


def test_it_may_be_left_at_any_frame_and_by_any_error(source: tuple[str, Open]) -> None:
    _, opens = source
    with opens():
        pass
    with opens() as opened:
        next(iter(opened))
    with pytest.raises(RuntimeError, match="elsewhere"), opens() as opened:  # noqa: PT012
        next(iter(opened))
        raise RuntimeError("elsewhere")


@pytest.mark.parametrize("name", ["none.mkv", "none_%02d.png", "http://127.0.0.1:1/none.mkv"])
def test_what_cannot_be_opened_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = name if "://" in name else tmp_path / name
    for opens in (FileSource, functools.partial(FilmPlayer, loop=False)):
        with pytest.raises(MediaError) as refused:
            opens(path)  # type: ignore[operator]
        assert "\n" not in str(refused.value)
        assert refused.value.setting == "source"
