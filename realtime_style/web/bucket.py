"""Limits how often something may happen."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Allows `burst` events at once, and `per_s` a second in the long run. Not thread-safe."""

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: clock, returns the time in seconds."""
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left, self._at_s = burst, clock()

    def take(self) -> bool:
        """Whether one more event is allowed now; if so, it is counted."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
