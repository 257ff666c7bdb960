"""Measures processes only while the machine does nothing else: figures beside other jobs are wrong.

Before each run it waits until the processors are idle. After it, the processor time of all other
processes is compared with what the machine has: a run that was disturbed is repeated. On systems
without /proc/stat nothing is known about other processes, so each run counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_OF_OTHERS = 0.04
"""Share of the machine's processor time that others may take; more disturbs a run."""

_ATTEMPTS = 4
_LOOK_S = 1.0
_PATIENCE_S = 120.0
_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Measured:
    """A process that ran to its end.

    Attributes:
        wall_s: seconds from its start to its end.
        cpu_s: processor time of it and its children, in seconds.
        others: share of the machine's processor time that other processes took meanwhile; NaN if
            unknown.
        report: the JSON objects among the lines that it printed, joined.
    """

    wall_s: float
    cpu_s: float
    others: float
    report: dict[str, Any]


def measure(command: list[str]) -> Measured:
    """Runs a process, again if other processes disturbed it; the least disturbed run counts.

    Raises:
        SystemExit: the process failed.
    """
    found: list[Measured] = []
    for _ in range(_ATTEMPTS):
        wait_until_quiet()
        found.append(_run(command))
        if not found[-1].others > MOST_OF_OTHERS:
            return found[-1]
        print(f"disturbed: others took {found[-1].others:.0%} of the machine", file=sys.stderr)
    return min(found, key=lambda each: each.others)


def wait_until_quiet(patience_s: float = _PATIENCE_S) -> bool:
    """Waits until other processes leave the machine idle; False if they do not in that time."""
    end = time.monotonic() + patience_s
    while True:
        before, start = _busy_s(), time.monotonic()
        time.sleep(_LOOK_S)
        share = _share(before, _busy_s(), 0.0, time.monotonic() - start)
        if not share > MOST_OF_OTHERS:
            return True
        if time.monotonic() > end:
            print(f"the machine is busy ({share:.0%}); figures are too low", file=sys.stderr)
            return False


def _run(command: list[str]) -> Measured:
    busy, before, start = _busy_s(), os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall_s, after, busy_after = time.perf_counter() - start, os.times(), _busy_s()
    if done.returncode:
        raise SystemExit(f"error: {command} failed: {done.stderr[-2000:]}")
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    report: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            report |= json.loads(line)
    return Measured(wall_s, cpu_s, _share(busy, busy_after, cpu_s, wall_s), report)


def _share(before: float, after: float, own_s: float, wall_s: float) -> float:
    """The share of the machine that others took, from its busy seconds and one's own."""
    others_s = max(after - before - own_s, 0.0)  # in this order it stays NaN
    return others_s / (wall_s * (os.cpu_count() or 1))


def _busy_s() -> float:
    """Seconds that all processors have worked since the start of the machine; NaN if unknown."""
    try:
        name, *ticks = _STAT.read_text().splitlines()[0].split()
    except OSError:
        return float("nan")
    assert name == "cpu"
    user, nice, system, _, _, interrupt, soft_interrupt = map(int, ticks[:7])
    return (user + nice + system + interrupt + soft_interrupt) / os.sysconf("SC_CLK_TCK")
