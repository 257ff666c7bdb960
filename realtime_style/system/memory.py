"""Memory of this process."""

from __future__ import annotations

import sys


def peak_memory_mb() -> float | None:
    """The most memory this process has had resident, in MB; None where the system does not say."""
    try:
        # not of `getrusage`: a process begins there with what the one that started it had
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
