"""A process that paints segments for another one; see `LocalProcesses`.

It reads pickled tasks from standard input, and writes pickled messages to standard output: how many
frames of a segment it has encoded, the part when it is done, or a StyleError. It ends when either
is closed, so it never outlives the process that started it for long.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from typing import BinaryIO

from realtime_style.errors import StyleError
from realtime_style.jobs.request import FilmRequest, open_source
from realtime_style.jobs.segments import paint_segment
from realtime_style.jobs.workers import Task, share_of_cores
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.plan import PaintPlan

_TELL_S = 0.25


class Desk:
    """Paints tasks, and keeps the painter of the last one."""

    def __init__(self, out: BinaryIO) -> None:
        """Args: out, what messages are written to."""
        self._out = out
        self._kept: tuple[tuple[str, PaintPlan], PainterChain] | None = None
        self._next_s = 0.0

    def paint(self, task: Task) -> None:
        """Paints one; raises OSError if nobody listens any more."""
        try:
            part = paint_segment(
                task.request,
                task.segment,
                task.folder,
                threads=task.threads,
                painter=self._painter(task.request),
                on_frame=self._on_frame,
            )
            self._say(part)
        except StyleError as error:
            self._say(error)

    def _painter(self, request: FilmRequest) -> PainterChain:
        key = request.source, request.plan
        if self._kept is None or self._kept[0] != key:
            with open_source(request) as source:
                painter = build_painter(request.plan, source.info.color, in_flight=None)
            self._kept = key, painter
        return self._kept[1]

    def _on_frame(self, frames: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _TELL_S
            self._say(frames)

    def _say(self, message: object) -> None:
        pickle.dump(message, self._out)
        self._out.flush()


def main() -> None:
    """Paints what standard input asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    number, count = (int(argument) for argument in sys.argv[1:])
    share_of_cores(number, count)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # whatever a library prints is no message
        desk = Desk(out)
        try:
            while True:
                desk.paint(pickle.load(sys.stdin.buffer))
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    main()
