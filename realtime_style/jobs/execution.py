"""How a film job is run, which does not change what it paints."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_style.jobs.trace import Trace


@dataclass(frozen=True, slots=True)
class Execution:
    """How a film job is run.

    Attributes:
        processes: how many paint the segments of a long film, each with its share of the cores, or
            with one of the GPUs of the plan. More than 1 leave the trace empty.
        cluster: the address of a Ray cluster that paints the segments instead, or "auto"; all its
            machines must see the film and the folder of the new one.
        restart: whether finished segments of an earlier run are removed first; else it goes on.
        keeps_stopped: whether the frames so far of a long film become a film when it is stopped.
        verifies: whether the whole source is compared with what it was when an earlier run began,
            not only its size, its time, its head and its tail.
        trace: gets a span for all that a stage of the job does or waits for.
    """

    processes: int = 1
    cluster: str | None = None
    restart: bool = False
    keeps_stopped: bool = False
    verifies: bool = False
    trace: Trace | None = None


USUAL = Execution()
"""In this process, going on with what an earlier run has finished."""
