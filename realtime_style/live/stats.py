"""Frame rate and latency of a live stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

_RECENT_FRAMES = 300


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """The figures of a live stream at one moment.

    Attributes:
        frames: how many frames were painted and passed on, in the whole run.
        dropped: how many frames were skipped because a newer one was there, in the whole run.
        fps: frames per second over the last two seconds.
        latency_p50_ms, latency_p95_ms, latency_p99_ms: percentiles of the latency of the last 300
            frames; 0 before the first frame.
    """

    frames: int = 0
    dropped: int = 0
    fps: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    latency_p99_ms: float = 0.0


class LiveStats:
    """Counts the frames of a run, and measures rate and latency of the last 300.

    Latency is the time from the capture of a frame to the moment when the painted frame was passed
    to the front end and the outputs, in milliseconds.

    Attributes:
        frames: how many frames were painted and passed on.
        dropped: how many frames were skipped because a newer one was there.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self._latencies_ms: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self._times_s: deque[float] = deque(maxlen=_RECENT_FRAMES)

    def add(self, latency_ms: float, now_s: float, dropped: int = 0) -> None:
        """Counts a frame that was passed on.

        Args:
            latency_ms: the frame's latency in milliseconds.
            now_s: when the frame was passed on, in seconds of the monotonic clock.
            dropped: how many frames have been dropped since the run began.
        """
        self.frames += 1
        self.dropped = dropped
        self._latencies_ms.append(latency_ms)
        self._times_s.append(now_s)

    def fps(self, now_s: float, window_s: float = 2.0) -> float:
        """Frames per second over the last `window_s` seconds; 0 with fewer than two frames."""
        since_s = now_s - window_s
        recent = list(takewhile(lambda time_s: time_s >= since_s, reversed(self._times_s)))
        return (len(recent) - 1) / (recent[0] - recent[-1]) if len(recent) > 1 else 0.0

    def latency_ms(self, percent: float) -> float:
        """The latency that `percent` (0..100) of the last 300 frames do not exceed; 0 if none."""
        return _percentile(sorted(self._latencies_ms), percent)

    def figures(self, now_s: float) -> LiveFigures:
        """The figures at the time `now_s`, in seconds of the monotonic clock."""
        ordered = sorted(self._latencies_ms)
        p50, p95, p99 = (_percentile(ordered, percent) for percent in (50, 95, 99))
        return LiveFigures(self.frames, self.dropped, self.fps(now_s), p50, p95, p99)


def _percentile(ordered: list[float], percent: float) -> float:
    """A percentile, 0..100, of sorted values, interpolated linearly; 0 if there are none.

    np.percentile takes ten times as long for a few hundred values, and this is called often.
    """
    if not ordered:
        return 0.0
    below, part = divmod(percent / 100 * (len(ordered) - 1), 1)
    low, high = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
    return low + part * (high - low)
