"""How large to paint, so that painting keeps up with the camera."""

from __future__ import annotations

from collections import deque
from statistics import median

FRACTIONS = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
"""Of the camera's height: the rungs."""

_MULTIPLE = 8  # of both sides: any style's size multiple, and whole cache lines
_LEAST_LINES = 96
_BEGIN_PX = 640 * 360  # on the first frames, when nothing has been measured
_LOOK = 9  # paintings whose median counts: one slow one is no reason to step
_ENOUGH = 5
_UNUSUAL = 2  # the first paintings of a size take longer
_FULL = 0.95  # of the time between frames: more than that cannot be kept up
_AIM = 0.8  # what a smaller rung must fit into
_ROOM = 0.75  # what the next larger rung must fit into
_PATIENCE_S = 2.0  # how long there must have been room
_MOST_PATIENCE_S = 60.0
_REGRET_S = 10.0  # leaving a rung so soon after climbing to it was a mistake


class SizeLadder:
    """Chooses the largest of a few sizes at which frames can be painted in time.

    Time grows with pixels, so the time of one size tells that of the others. Down at once, as far
    as needed; up by one rung, after there has been room for a while. A climb that had to be taken
    back doubles that while: it does not flap.
    """

    def __init__(self, width: int, height: int, interval_s: float) -> None:
        """Args: width and height of the camera's frames; interval_s, the time for each frame."""
        self.sizes = sorted({_rung(width, height, part) for part in FRACTIONS}, reverse=True)
        self._interval_s = interval_s
        low = [i for i, (w, h) in enumerate(self.sizes) if w * h <= _BEGIN_PX]
        self._at = low[0] if low else len(self.sizes) - 1
        self._costs: deque[float] = deque(maxlen=_LOOK)  # seconds a pixel
        self._patience_s = _PATIENCE_S
        self._room_since_s: float | None = None
        self._climbed_s: float | None = None
        self._is_new = True
        self._to_skip = _UNUSUAL

    @property
    def size(self) -> tuple[int, int]:
        """Width and height to paint at now."""
        return self.sizes[self._at]

    def observe(self, paint_s: float, now_s: float) -> None:
        """Takes in how long a painting of this size took; `now_s` is any clock's time."""
        if self._to_skip:
            self._to_skip -= 1
            return
        width, height = self.size
        self._costs.append(paint_s / (width * height))
        if len(self._costs) < _ENOUGH:
            return
        if self._is_new:  # the first measure: straight to what it says
            self._is_new = False
            self._go_to(self._largest_within(_AIM))
        elif self._time_s(self._at) > _FULL * self._interval_s:
            self._step_down(now_s)
        else:
            self._perhaps_climb(now_s)

    def _step_down(self, now_s: float) -> None:
        if self._climbed_s is not None and now_s - self._climbed_s < _REGRET_S:
            self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S)
        self._climbed_s = None
        self._go_to(max(self._largest_within(_AIM), min(self._at + 1, len(self.sizes) - 1)))

    def _perhaps_climb(self, now_s: float) -> None:
        if self._climbed_s is not None and now_s - self._climbed_s > _MOST_PATIENCE_S:
            self._patience_s = _PATIENCE_S  # it has held for long: that was no mistake
            self._climbed_s = None
        if not self._at or self._time_s(self._at - 1) > _ROOM * self._interval_s:
            self._room_since_s = None
            return
        if self._room_since_s is None:
            self._room_since_s = now_s
        if now_s - self._room_since_s >= self._patience_s:
            self._climbed_s = now_s
            self._go_to(self._at - 1)

    def _go_to(self, rung: int) -> None:
        if rung != self._at:
            self._at = rung
            self._costs.clear()
            self._to_skip = _UNUSUAL
        self._room_since_s = None

    def _largest_within(self, part: float) -> int:
        fitting = [i for i in range(len(self.sizes)) if self._time_s(i) <= part * self._interval_s]
        return fitting[0] if fitting else len(self.sizes) - 1

    def _time_s(self, rung: int) -> float:
        width, height = self.sizes[rung]
        return median(self._costs) * width * height


def _rung(width: int, height: int, part: float) -> tuple[int, int]:
    """Both sides, multiples of 8, of about a part of the camera's, not below 96 lines."""
    part = max(part, min(1.0, _LEAST_LINES / height))
    ours = (max(1, round(side * part / _MULTIPLE)) * _MULTIPLE for side in (width, height))
    return min(next(ours), width & ~1), min(next(ours), height & ~1)
