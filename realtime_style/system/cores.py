"""The CPU: its usable cores, its name and its instructions for networks."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_FLAGS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
)  # fmt: skip
_INTEGERS = {"avx_vnni", "avx512_vnni", "amx_int8"}


def usable_cores() -> int:
    """Number of logical cores this process may run on; all of them if the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_per_core() -> float | None:
    """Programs that wanted to run in the last minute, for each core; None where it is unknown."""
    if not hasattr(os, "getloadavg"):
        return None
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return None


@contextmanager
def scheduling_kept() -> Iterator[None]:
    """Runs a block after which this thread is scheduled by the system as before.

    For libraries that give the calling thread a realtime priority: it then takes its core from
    every other program.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


@cache
def cpu_name_and_flags() -> tuple[str, tuple[str, ...] | None]:
    """The CPU's name, and those of its instruction sets that speed up networks.

    The names are those of Linux's /proc/cpuinfo, such as "avx512_vnni". None instead of the
    instruction sets where they are unknown, which is the case on every other system.
    """
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            facts = dict(line.rstrip().split("\t: ", 1) for line in lines if "\t: " in line)
    except OSError:
        return name, None
    found = next((v for k, v in facts.items() if k.startswith("flags")), "").split()
    return facts.get("model name", name), tuple(flag for flag in _FLAGS if flag in found)


def multiplies_integers() -> bool | None:
    """Whether the CPU multiplies 8-bit integers exactly, by VNNI or AMX; None if unknown.

    Without them, x86 CPUs add pairs of products in 16 bits, where the sums saturate.
    """
    flags = cpu_name_and_flags()[1]
    return None if flags is None else not _INTEGERS.isdisjoint(flags)
