"""Chooses the size to paint at, so that painting keeps up with the camera."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

FRACTIONS = (1.0, 5 / 6, 2 / 3, 1 / 2, 5 / 12, 1 / 3, 1 / 4, 1 / 6)
"""The rungs of the ladder, as fractions of the camera's height."""

_MULTIPLE = 8  # both sides are multiples of this, which suits every style and cache lines
_MIN_SIDE_PX = 96
_START_PX = 640 * 360  # pixels of the first frames, before anything was measured
_RECENT = 9  # frames whose median time counts, so that a single slow one changes nothing
_ENOUGH = 5  # frames to measure before any step
_WARM_UP = 2  # frames that are not measured after a change of size, because they take longer
# Multiples of the time for a frame:
_FULL = 0.95  # a size that takes more cannot keep up
_TARGET = 0.8  # what a size must fit into when stepping down to it
_ROOM = 0.75  # what the next larger size must fit into before stepping up
_LATE = 2.0  # a size that is kept is left only if it takes longer
_PATIENCE_S = 2.0  # how long the next larger size must have fitted before stepping up
_MAX_PATIENCE_S = 60.0
_REGRET_S = 10.0  # stepping down within this time after stepping up means that it was a mistake


class SizeLadder:
    """Chooses the largest of a few sizes at which frames are painted in time.

    The time to paint is proportional to the number of pixels, so the time at one size predicts the
    time at every other. Steps down are immediate and as large as needed. Steps up are one rung,
    after the larger size would have been fast enough for 2 seconds. That wait doubles whenever a
    step up had to be undone, so that the size does not alternate.

    A smaller size makes the picture less sharp; strokes keep their size. So that sharpness does not
    keep changing, the size is fixed after `keep_after_s`. If painting then falls behind, frames are
    dropped; the size shrinks only if more than half of the frames would be dropped, and later grows
    back to the fixed size at most.

    Attributes:
        sizes: (width, height) of each rung in pixels, the largest first.
    """

    def __init__(
        self,
        width: int,
        height: int,
        interval_s: float,
        *,
        min_side_px: int = _MIN_SIDE_PX,
        keep_after_s: float = math.inf,
    ) -> None:
        """Starts with a size of at most 640 * 360 pixels.

        Args:
            width, height: size of the camera's frames in pixels.
            interval_s: the time for each frame, in seconds.
            min_side_px: no size has a shorter side below this, unless the camera's is shorter.
            keep_after_s: seconds from the first frame, after which the size is kept.
        """
        self.sizes = sorted(
            {_rung(width, height, part, min_side_px) for part in FRACTIONS}, reverse=True
        )
        self._interval_s = interval_s
        self._keep_after_s = keep_after_s
        self._began_s: float | None = None
        self._kept_rung: int | None = None  # None while sizes are tried
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
        """The (width, height) in pixels to paint at now."""
        return self.sizes[self._rung]

    def observe(self, paint_s: float, now_s: float) -> None:
        """Records how long a frame at `size` took to paint, which may change `size`.

        Args:
            paint_s: the time that it took, in seconds.
            now_s: the present time, in seconds, of a clock that never goes back.
        """
        if self._to_skip:
            self._to_skip -= 1
            return
        width, height = self.size
        self._costs.append(paint_s / (width * height))
        self._began_s = now_s if self._began_s is None else self._began_s
        if len(self._costs) < _ENOUGH:
            return
        if self._kept_rung is None and now_s - self._began_s >= self._keep_after_s:
            self._kept_rung = self._rung
        most = _FULL if self._kept_rung is None else _LATE
        if self._is_new:  # the first measurement decides at once, without patience
            self._is_new = False
            self._go_to(self._largest_within(_TARGET))
        elif self._time_s(self._rung) > most * self._interval_s:
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
        largest = self._kept_rung or 0
        if self._rung <= largest or self._time_s(self._rung - 1) > _ROOM * self._interval_s:
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
        """The index of the largest size that takes at most a share of the time for a frame."""
        fitting = [i for i in range(len(self.sizes)) if self._time_s(i) <= part * self._interval_s]
        return fitting[0] if fitting else len(self.sizes) - 1

    def _time_s(self, rung: int) -> float:
        width, height = self.sizes[rung]
        return median(self._costs) * width * height


def _rung(width: int, height: int, part: float, min_side_px: int) -> tuple[int, int]:
    """(width, height) of about a fraction of the camera's, with a minimum for the shorter side.

    Both sides are multiples of 8, except where that would exceed the camera's size.
    """
    part = max(part, min(1.0, min_side_px / min(width, height)))
    rounded = (max(1, round(side * part / _MULTIPLE)) * _MULTIPLE for side in (width, height))
    fitting_width, fitting_height = map(min, rounded, (width & ~1, height & ~1))
    return fitting_width, fitting_height
