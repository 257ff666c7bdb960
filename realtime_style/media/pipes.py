"""Standard input and output, named pipes and devices, as FFmpeg reads and writes them.

FFmpeg cannot pass on a KeyboardInterrupt that is raised while it calls one of these: the pipe ends
there instead, and its user checks `interrupt` afterwards.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.system.interrupts import Latch


class StandardInput:
    """A film that is read from a pipe; it ends where Ctrl-C is pressed.

    Attributes:
        is_empty: whether nothing has come from it so far.
    """

    def __init__(self) -> None:
        """Raises MediaError where nothing is piped in."""
        self.interrupt = Latch()
        self.is_empty = True
        try:
            os.read(sys.stdin.fileno(), 0)
        except OSError as error:
            raise MediaError(
                f"standard input cannot be read, or is closed: {error.strerror}", setting="source"
            ) from error
        if os.isatty(sys.stdin.fileno()):
            raise MediaError(
                "standard input is a terminal; pipe a film into it, or give a file",
                setting="source",
            )

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self.interrupt.is_set:
            with self.interrupt.hold():
                data = os.read(sys.stdin.fileno(), size)
                self.is_empty &= not data
                return data
        return b""


class OutputPipe:
    """A film that is written to a pipe, however slow its reader is; after Ctrl-C all is dropped.

    Attributes:
        name: what messages call it; FFmpeg takes the container from its ending.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Opens it, which waits for the reader of a named pipe.

        Args:
            path: a named pipe or a device; None is standard output.

        Raises:
            MediaError: it cannot be written, or is a terminal.
        """
        self.interrupt = Latch()
        self.name = str(path) if path else "standard output"
        self._is_ours = path is not None
        try:
            self._file = os.open(path, os.O_WRONLY) if path else sys.stdout.fileno()
            os.write(self._file, b"")
        except OSError as error:
            raise MediaError(
                f"{self.name} cannot be written, or is closed: {error.strerror}", setting="out"
            ) from error
        if os.isatty(self._file):
            self.close()
            raise MediaError(
                f"{self.name} is a terminal, which cannot show a film; give a file, or pipe it "
                "into a program",
                setting="out",
            )

    def write(self, data: bytes) -> int:
        """Writes all of it; raises OSError if the reader has gone."""
        left = memoryview(data)
        with self.interrupt.hold():
            while left and not self.interrupt.is_set:
                left = left[os.write(self._file, left) :]
        return len(data)

    def close(self) -> None:
        """Closes a named pipe or a device; standard output stays open."""
        if self._is_ours:
            self._is_ours = False
            os.close(self._file)
