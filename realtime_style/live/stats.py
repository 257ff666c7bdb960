"""How fast and how late a live stream is."""

from __future__ import annotations

from collections import deque

import numpy as np

_LAST = 300  # frames that count


class LiveStats:
    """Counts of a whole run; rates and latencies of its last frames.

    Latency is from the moment a frame was had to the moment its painting is handed on, in
    milliseconds.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self._latencies_ms: deque[float] = deque(maxlen=_LAST)
        self._times_s: deque[float] = deque(maxlen=_LAST)

    def shown(self, latency_ms: float, now_s: float) -> None:
        """Takes in a frame that was handed on."""
        self.frames += 1
        self._latencies_ms.append(latency_ms)
        self._times_s.append(now_s)

    def fps(self, now_s: float, over_s: float = 2.0) -> float:
        """Frames a second in the last time."""
        since_s = now_s - over_s
        recent = [at for at in self._times_s if at >= since_s]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0

    def latency_ms(self, percent: float) -> float:
        """A percentile of the latency; 0 before the first frame."""
        return float(np.percentile(self._latencies_ms, percent)) if self._latencies_ms else 0.0
