"""The memory that this process uses."""

from __future__ import annotations

import sys


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process, in MB (10**6 bytes); None where it is unknown."""
    try:
        # not `getrusage`, where a new process starts with the peak of the process that forked it
        with open("/proc/self/status", encoding="ascii") as lines:
            kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
            return int(kib) * 1024 / 1e6
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
