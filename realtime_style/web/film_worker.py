"""A process that paints one film or picture for the queue; see `film_queue`.

It reads a task as one line of JSON from standard input, and writes what it has done as lines of
JSON to standard output. It stops when standard input is closed, so it never outlives the server.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import Frame
from realtime_style.jobs.execution import Execution
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.picture import paint_picture
from realtime_style.jobs.pipeline import RunStats
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.painting.chain import build_painter
from realtime_style.system import interrupts
from realtime_style.system.whole_file import whole_file

_NICE = 10  # live sessions, in the server's process, come first
_TELL_S = 0.5
_NEWEST_S = 1.0
_NEWEST_LINES = 180


class Teller:
    """Tells how far a film is: a `FilmObserver`."""

    def __init__(self, newest: Path) -> None:
        """Args: newest, a file where the newest painted frame is kept, small."""
        self._next_s = self._next_newest_s = 0.0
        self._newest = newest
        self._newest_frames = 0

    def on_build(self, part: float) -> None:
        """See `FilmObserver`."""
        _tell({"building": part})

    def on_plan(self, frames: int) -> None:
        """See `FilmObserver`."""
        interrupts.check()

    def on_frame(self, stats: RunStats) -> None:
        """See `FilmObserver`."""
        interrupts.check()
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _TELL_S
            told = {"frames": stats.frames, "resumed": stats.resumed, "wall_s": stats.wall_s}
            _tell(told | {"newest": self._newest_frames})

    def on_painted(self, frame: Frame) -> None:
        """Keeps a painted frame as a small picture, once a second."""
        now_s = time.monotonic()
        if now_s < self._next_newest_s:
            return
        self._next_newest_s = now_s + _NEWEST_S
        width = max(2, round(frame.width * _NEWEST_LINES / frame.height / 2) * 2)
        with whole_file(self._newest) as partial:
            Image.fromarray(rgb_from_frame(frame, (width, _NEWEST_LINES))).save(partial, "JPEG")
        self._newest_frames += 1


def main() -> None:
    """Paints what standard input asks for."""
    interrupts.install()
    if hasattr(os, "nice"):
        os.nice(_NICE)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_at_end, daemon=True).start()
    try:
        _tell(_paint(FilmRequest.from_json(task["request"]), task))
    except KeyboardInterrupt:
        _tell({"stopped": True})
    except StyleError as error:
        _tell({"error": str(error)})
    except Exception as error:  # the server tells its user
        _tell({"error": f"painting failed: {error!r}"})
    interrupts.end_process(0)  # the thread that reads standard input waits for ever


def _paint(request: FilmRequest, task: Mapping[str, str]) -> dict[str, Any]:
    """Paints, and returns what is to be told at the end."""
    if task["kind"] == "picture":
        painter = build_painter(request.plan)
        return {"done": paint_picture(request.source, request.out, painter, size=request.size)}
    teller = Teller(Path(task["newest"]))
    execution = Execution(on_painted=teller.on_painted)
    try:
        job = open_film(request, execution)
    except MediaError as error:
        if error.setting != "restart":
            raise
        job = open_film(request, replace(execution, restart=True))  # by another version
    with job:
        stats = job.run(teller).stats
    new = stats.frames - stats.resumed
    return {"done": list(job.notes), "fps": new / stats.wall_s if stats.wall_s else 0.0}


def _stop_at_end() -> None:
    sys.stdin.read()
    interrupts.remember()
    _thread.interrupt_main()


def _tell(values: Mapping[str, Any]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
