"""Standard input and output, as FFmpeg reads and writes them.

FFmpeg cannot pass on a KeyboardInterrupt that is raised while it calls one of these: the pipe ends
there instead, and its user checks `interrupt` afterwards.
"""

from __future__ import annotations

import os
import sys

from realtime_style.system.interrupts import Latch


class StandardInput:
    """A film that is read from a pipe; it ends where Ctrl-C is pressed."""

    def __init__(self) -> None:
        self.interrupt = Latch()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end."""
        if not self.interrupt.is_set:
            with self.interrupt.hold():
                return os.read(sys.stdin.fileno(), size)
        return b""


class StandardOutput:
    """A film that is written to a pipe, however slow its reader is; after Ctrl-C all is dropped."""

    def __init__(self) -> None:
        self.interrupt = Latch()

    def write(self, data: bytes) -> int:
        """Writes all of it; raises OSError if the reader has gone."""
        left = memoryview(data)
        with self.interrupt.hold():
            while left and not self.interrupt.is_set:
                left = left[os.write(sys.stdout.fileno(), left) :]
        return len(data)
