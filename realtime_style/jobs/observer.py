"""What a front end is told while a film is painted."""

from __future__ import annotations

from typing import Protocol

from realtime_style.jobs.pipeline import RunStats


class FilmObserver(Protocol):
    """What a front end wants to know while a film is painted; called on the thread of `run`."""

    def on_build(self, part: float) -> None:
        """An engine is being built; `part` of it, 0..1, is done."""

    def on_plan(self, frames: int) -> None:
        """No segment can be painted yet: so many frames have been read to find the next one."""

    def on_frame(self, stats: RunStats) -> None:
        """A frame has been written.

        Args:
            stats: of the run so far. Every call gets the same object, which keeps changing: read
                it, do not keep it.
        """
