"""The clock of live frames, in microseconds."""

from __future__ import annotations

import time
from fractions import Fraction

MICROSECOND = Fraction(1, 1_000_000)
"""The time base of live frames, whose `pts` is `now_us()` at the moment of capture."""


def now_us() -> int:
    """Microseconds of the monotonic clock, whose zero is undefined."""
    return time.monotonic_ns() // 1000
