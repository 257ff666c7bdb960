"""Standard input and output, where FFmpeg would swallow a KeyboardInterrupt."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import make_film

from realtime_style.color import ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.pipes import OutputPipe, StandardInput


@pytest.fixture
def interrupted_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Standard input is a film; reads and writes until Ctrl-C are counted down in the list."""
    left = [10**9]
    read, write = os.read, os.write
    film = make_film(tmp_path / "film.mkv", size=(320, 240), pts=range(20), codec="rawvideo")
    monkeypatch.setattr(sys, "stdin", film.open("rb"))

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    def counted_read(file: int, size: int) -> bytes:
        count()
        return read(file, size)

    def counted_write(file: int, data: bytes) -> int:
        count()
        return write(file, data)

    monkeypatch.setattr(os, "read", counted_read)
    monkeypatch.setattr(os, "write", counted_write)
    return left


def test_standard_input_ends_where_ctrl_c_is_pressed(interrupted_pipe: list[int]) -> None:
    pipe = StandardInput()
    assert len(pipe.read(100)) == 100
    interrupted_pipe[0] = 1
    assert pipe.read(100) == b""
    assert pipe.interrupt.is_set
    assert pipe.read(100) == b""  # it does not go on afterwards
    with pytest.raises(KeyboardInterrupt):
        pipe.interrupt.check()


def test_standard_output_drops_what_comes_after_ctrl_c(
    interrupted_pipe: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", (tmp_path / "out.mkv").open("wb"))
    pipe = OutputPipe()
    assert pipe.write(b"first") == 5
    interrupted_pipe[0] = 1
    assert pipe.write(b"second") == 6
    assert pipe.write(b"third") == 5
    assert pipe.interrupt.is_set
    assert (tmp_path / "out.mkv").read_bytes() == b"first"


@pytest.mark.parametrize("reads", [1, 2])
def test_ctrl_c_while_a_piped_film_is_opened(interrupted_pipe: list[int], reads: int) -> None:
    interrupted_pipe[0] = reads
    with pytest.raises(KeyboardInterrupt):
        FileSource("-")


def test_ctrl_c_while_a_reader_takes_nothing(
    interrupted_pipe: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", (tmp_path / "out.mkv").open("wb"))
    info = StreamInfo(128, 96, Fraction(25), Fraction(1, 25), ColorSpace())
    rng = np.random.default_rng(0)
    written = 0
    with pytest.raises(KeyboardInterrupt), FileSink("-", info) as sink:  # noqa: PT012
        interrupted_pipe[0] = 3
        for i in range(500):
            sink.write(Frame(rng.integers(0, 255, (144, 128), np.uint8), i, Fraction(1, 25)))
            written += 1
    assert written < 500
    assert sink.complete_path is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_films_are_neither_written_to_a_terminal_nor_read_from_one(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, terminal = os.openpty()
    monkeypatch.setattr(sys, "stdin", os.fdopen(os.dup(terminal), "rb"))
    monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(terminal), "wb"))
    with pytest.raises(MediaError, match="standard input is a terminal; pipe a film"):
        FileSource("-")
    with FileSource(film) as source:
        for out in ("-", os.ttyname(terminal)):
            with pytest.raises(MediaError, match="is a terminal, which cannot show a film"):
                FileSink(out, source.info, overwrite=True)
    os.set_blocking(controller, False)
    with pytest.raises(BlockingIOError):  # nothing has been written
        os.read(controller, 1)
    os.close(terminal)
    os.close(controller)
