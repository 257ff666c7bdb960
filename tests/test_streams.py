"""Standard streams that are closed, full, dumb, or read by nobody any more."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import cli_command, run_cli, times_of
from rich.table import Table

from realtime_style.cli import console
from realtime_style.cli.console import Output
from realtime_style.errors import StyleError
from realtime_style.system.streams import LastingStderr, finish, print_anything

NEEDS_SHELL = pytest.mark.skipif(sys.platform == "win32", reason="there is no /bin/sh")


@pytest.fixture(autouse=True)
def _console_of_this_test() -> Iterator[None]:
    console._stderr.cache_clear()
    yield
    console._stderr.cache_clear()


class Broken(io.StringIO):
    """A stream that fails at every write."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def flush(self) -> None:
        raise OSError(self._number, os.strerror(self._number))


def in_shell(redirections: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *cli_command(*arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@NEEDS_SHELL
@pytest.mark.slow
@pytest.mark.parametrize("redirections", ["<&- >&- 2>&-", "2>/dev/full"])
def test_a_film_is_whole_whatever_becomes_of_the_messages(
    tmp_path: Path, film: Path, identity_style: Path, redirections: str
) -> None:
    out = tmp_path / "out.mkv"
    done = in_shell(redirections, "video", film, out, "-s", identity_style)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(times_of(out)) == 10
    assert out.read_bytes().startswith(b"\x1aE\xdf\xa3")


@NEEDS_SHELL
@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "source", "out", "said"),
    [
        (">&-", "film.mp4", "-", "standard output cannot be written, or is closed"),
        ("<&-", "-", "out.mkv", "standard input cannot be read, or is closed"),
    ],
)
def test_closed_streams_cannot_hold_a_film(
    tmp_path: Path, film: Path, identity_style: Path, redirection: str, source: str, out: str,
    said: str,
) -> None:  # fmt: skip
    paths = [path if path == "-" else tmp_path / path for path in (source, out)]
    done = in_shell(redirection, "video", *paths, "-s", identity_style)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF])
def test_messages_that_cannot_be_printed_end_nothing(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(
        "contextlib.redirect_stderr", lambda stream: InPlaceOfStderr(Broken(number))
    )
    done = run_cli("video", film, tmp_path / "out.mkv", "-s", identity_style, "--json")
    assert done.returncode == 0
    assert len(times_of(tmp_path / "out.mkv")) == 10
    assert '"frames": 10' in done.stdout


class InPlaceOfStderr:
    def __init__(self, stream: io.StringIO) -> None:
        self._stream, self._former = stream, sys.stderr

    def __enter__(self) -> None:
        sys.stderr = self._stream

    def __exit__(self, *error: object) -> None:
        sys.stderr = self._former


def test_a_result_that_nobody_reads_is_no_error_but_one_that_is_lost_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    Output(as_json=True).json({})
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    for print_it in (lambda: Output(as_json=True).json({}), lambda: console.print_table(Table())):
        with pytest.raises(StyleError, match="standard output cannot be written: No space left"):
            print_it()
    monkeypatch.setattr(sys, "stderr", Broken(errno.EPIPE))
    finish()


def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
        monkeypatch.setattr(sys, name, stream)
    print_anything()
    console.print_line("é \udcff :fire: [red]x")
    console.print_result("日本")
    table = Table("é")
    table.add_row(":fire: ü")
    console.print_table(table)
    assert sys.stderr.buffer.getvalue() == rb"\xe9 \xff :fire: [red]x" + b"\n"  # type: ignore[attr-defined]
    printed = sys.stdout.buffer.getvalue()  # type: ignore[attr-defined]
    assert printed.startswith(rb"\u65e5\u672c" + b"\n")
    assert rb":fire: \xfc" in printed


@pytest.mark.parametrize(
    ("is_terminal", "environment", "has_bars"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
        (False, {"TERM": "xterm", "FORCE_COLOR": "1"}, False),
    ],
)
def test_bars_are_for_terminals_that_can_draw_them_and_lines_for_all_others(
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    environment: dict[str, str],
    has_bars: bool,
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    monkeypatch.setattr(console, "_LINE_EVERY_S", 0.0)
    with Output().progress("painting", 10) as bar:
        bar.update(5, "25.0 fps")
        bar.line(lambda: "5 frames of 10")
    assert ("5/10" in screen.getvalue()) is has_bars
    assert ("5 frames of 10" in screen.getvalue()) is not has_bars


def test_standard_error_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    stream = LastingStderr()
    assert (stream.encoding, stream.isatty()) == ("utf-8", False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_that_is_closed_ends_nothing(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        cli_command("video", film, tmp_path / "out.mkv", "-s", identity_style),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    assert os.read(controller, 1)
    os.close(controller)
    assert process.wait(120) == 0
    assert len(times_of(tmp_path / "out.mkv")) == 10
