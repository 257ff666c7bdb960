"""Chooses the size to paint at, so that painting keeps up with the camera."""

from __future__ import annotations

from collections import deque
from statistics import median

FRACTIONS = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
"""The rungs of the ladder, as fractions of the camera's height."""

_MULTIPLE = 8  # of both sides: a multiple for every style, and whole cache lines
_MIN_HEIGHT_PX = 96
_START_PX = 640 * 360  # pixels of the first frames, before anything was measured
_RECENT = 9  # paintings whose median time counts, so that a single slow one changes nothing
_ENOUGH = 5  # paintings to measure before any step
_WARM_UP = 2  # the first paintings of a size take longer, and are not measured
_FULL = 0.95  # of the time for a frame: a size that takes more cannot keep up
_TARGET = 0.8  # of that time: what a size must fit into when stepping down to it
_ROOM = 0.75  # of that time: what the next larger size must fit into before stepping up
_PATIENCE_S = 2.0  # how long there must have been room before stepping up
_MAX_PATIENCE_S = 60.0
_REGRET_S = 10.0  # stepping down so soon after stepping up means that the step was a mistake


class SizeLadder:
    """Chooses the largest of a few sizes at which frames are painted in time.

    Painting time is proportional to pixels, so the time at one size predicts that at the others.
    Steps down are immediate and as large as needed. Steps up are one rung, after there has been
    room for a while. A step up that had to be undone doubles that while, so that the size does not
    alternate.

    Attributes:
        sizes: width and height of each rung, in pixels, the largest first.
    """

    def __init__(self, width: int, height: int, interval_s: float) -> None:
        """Args: width and height of the camera's frames; interval_s, the time for each frame."""
        self.sizes = sorted({_rung(width, height, part) for part in FRACTIONS}, reverse=True)
        self._interval_s = interval_s
        low = [i for i, (w, h) in enumerate(self.sizes) if w * h <= _START_PX]
        self._rung = low[0] if low else len(self.sizes) - 1
        self._costs: deque[float] = deque(maxlen=_RECENT)  # seconds per pixel
        self._patience_s = _PATIENCE_S
        self._room_since_s: float | None = None
        self._climbed_s: float | None = None
        self._is_new = True
        self._to_skip = _WARM_UP

    @property
    def size(self) -> tuple[int, int]:
        """Width and height to paint at now."""
        return self.sizes[self._rung]

    def observe(self, paint_s: float, now_s: float) -> None:
        """Records how long a painting at `size` took; `now_s` is the time on any clock."""
        if self._to_skip:
            self._to_skip -= 1
            return
        width, height = self.size
        self._costs.append(paint_s / (width * height))
        if len(self._costs) < _ENOUGH:
            return
        if self._is_new:  # the first measurement decides directly
            self._is_new = False
            self._go_to(self._largest_within(_TARGET))
        elif self._time_s(self._rung) > _FULL * self._interval_s:
            self._step_down(now_s)
        else:
            self._consider_step_up(now_s)

    def _step_down(self, now_s: float) -> None:
        if self._climbed_s is not None and now_s - self._climbed_s < _REGRET_S:
            self._patience_s = min(2 * self._patience_s, _MAX_PATIENCE_S)
        self._climbed_s = None
        next_smaller = min(self._rung + 1, len(self.sizes) - 1)
        self._go_to(max(self._largest_within(_TARGET), next_smaller))

    def _consider_step_up(self, now_s: float) -> None:
        if self._climbed_s is not None and now_s - self._climbed_s > _MAX_PATIENCE_S:
            self._patience_s = _PATIENCE_S  # the last step up has lasted: it was not a mistake
            self._climbed_s = None
        if not self._rung or self._time_s(self._rung - 1) > _ROOM * self._interval_s:
            self._room_since_s = None
            return
        if self._room_since_s is None:
            self._room_since_s = now_s
        if now_s - self._room_since_s >= self._patience_s:
            self._climbed_s = now_s
            self._go_to(self._rung - 1)

    def _go_to(self, rung: int) -> None:
        if rung != self._rung:
            self._rung = rung
            self._costs.clear()
            self._to_skip = _WARM_UP
        self._room_since_s = None

    def _largest_within(self, part: float) -> int:
        fitting = [i for i in range(len(self.sizes)) if self._time_s(i) <= part * self._interval_s]
        return fitting[0] if fitting else len(self.sizes) - 1

    def _time_s(self, rung: int) -> float:
        width, height = self.sizes[rung]
        return median(self._costs) * width * height


def _rung(width: int, height: int, part: float) -> tuple[int, int]:
    """A size of about a fraction of the camera's height, but not below 96 pixels.

    Both sides are multiples of 8, except that neither exceeds the camera's.
    """
    part = max(part, min(1.0, _MIN_HEIGHT_PX / height))
    rounded = (max(1, round(side * part / _MULTIPLE)) * _MULTIPLE for side in (width, height))
    fitting_width, fitting_height = map(min, rounded, (width & ~1, height & ~1))
    return fitting_width, fitting_height
