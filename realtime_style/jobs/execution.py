"""How a film job is run, which does not change what it paints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from realtime_style.frame import Frame
from realtime_style.jobs.trace import Trace


@dataclass(frozen=True, slots=True)
class Execution:
    """How a film job is run.

    Attributes:
        processes: how many paint the segments of a long film, each with its share of the cores, or
            with one of the GPUs of the plan. More than 1 leave the trace empty.
        restart: whether finished segments of an earlier run are removed first; else it goes on.
        keeps_stopped: whether the frames so far of a long film become a film when it is stopped.
        verifies: whether the whole source is compared with what it was when an earlier run began,
            not only its size, its time, its head and its tail.
        trace: gets a span for all that a stage of the job does or waits for.
        on_painted: called with each painted frame, in order, once it has been written; the frame
            must not be kept. Several processes and frames in GPU memory leave it uncalled.
    """

    processes: int = 1
    restart: bool = False
    keeps_stopped: bool = False
    verifies: bool = False
    trace: Trace | None = None
    on_painted: Callable[[Frame], None] | None = None


USUAL = Execution()
"""In this process, going on with what an earlier run has finished."""
