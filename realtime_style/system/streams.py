"""Standard input, output and error, which may be closed, full, or read by nobody any more."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO


def open_closed() -> None:
    """Opens those standard streams that are closed, such that using them fails with OSError.

    Otherwise the next file that is opened would take their place, and get what is printed. Called
    before any other file is opened.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # a system gives the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def print_anything() -> None:
    """Lets standard output escape what its encoding lacks, as standard error does."""
    with contextlib.suppress(AttributeError):  # a program has put something else there
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def silence(stream: TextIO) -> None:
    """Drops what is still to be printed there, so that the end of the process does not fail."""
    with (
        contextlib.suppress(OSError, ValueError),  # it has no number, or is closed
        open(os.devnull, "wb") as nothing,
    ):
        os.dup2(nothing.fileno(), stream.fileno())


def finish() -> None:
    """Prints what waits; what cannot be printed is dropped."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


class LastingStderr:
    """Standard error, for messages: what cannot be printed is dropped, and nothing is raised."""

    @property
    def encoding(self) -> str:
        """That of standard error."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            return sys.stderr.isatty()
        return False

    def fileno(self) -> int:
        """Its number. Raises OSError if it has none."""
        return sys.stderr.fileno()

    def write(self, text: str) -> int:
        """Prints a text, with escapes for what its encoding lacks."""
        try:
            sys.stderr.write(text)
        except UnicodeEncodeError:
            escaped = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
            return self.write(escaped)
        except (OSError, ValueError):
            silence(sys.stderr)
        return len(text)

    def flush(self) -> None:
        """Prints what waits."""
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            silence(sys.stderr)
