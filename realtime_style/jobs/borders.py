"""Where the segments of a film begin: at cuts, or where none comes in time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

MIN_S, USUAL_S, MAX_S = 5.0, 20.0, 60.0
"""The shortest and the longest segment, and how long one is at least where cuts allow it."""


class BorderFinder:
    """Finds borders while a film is read, as early as they can be known.

    A segment ends at the first cut after `USUAL_S`, or else at the last one before it, but not
    before `MIN_S`. Without a cut it ends after `MAX_S`. No segment at the end is shorter than
    `MIN_S`.
    """

    def __init__(self) -> None:
        """Nothing has been read; the first segment begins at frame 0."""
        self._times_s: list[float] = []
        self._cuts: list[int] = []
        self._first = 0  # frame of the segment that is being read

    def add(self, time_s: float, *, is_cut: bool) -> int | None:
        """Reads the next frame.

        Args:
            time_s: when it is shown; later than the one before it.
            is_cut: whether it begins a scene.

        Returns:
            The number of the frame at which the next segment begins, if it is known by now.
        """
        if is_cut:
            self._cuts.append(len(self._times_s))
        self._times_s.append(time_s)
        left_s = time_s - self._times_s[self._first]
        if left_s < USUAL_S + MIN_S:
            return None
        is_sure = left_s >= MAX_S + MIN_S
        border = self._border(is_sure=is_sure)
        if border is not None:
            self._first = border
        return border

    def end(self) -> Iterator[int]:
        """The borders that were waiting for the end of the film."""
        while self._times_s and (border := self._border(is_sure=True)) is not None:
            self._first = border
            yield border

    def _border(self, *, is_sure: bool) -> int | None:
        """The next border; None at the end of the film.

        Args:
            is_sure: whether no frame that is still to come can change it; if not, None also means
                that it cannot be told.
        """
        times_s, first = self._times_s, self._first
        begin_s, end_s = times_s[first], times_s[-1]
        fitting = [
            cut
            for cut in self._cuts[bisect_right(self._cuts, first) :]
            if MIN_S <= times_s[cut] - begin_s <= MAX_S and end_s - times_s[cut] >= MIN_S
        ]
        late = [cut for cut in fitting if times_s[cut] - begin_s >= USUAL_S]
        if late:
            return late[0]
        left_s = end_s - begin_s
        if not is_sure or left_s <= MAX_S:
            return None
        if fitting:
            return fitting[-1]
        length_s = MAX_S if left_s >= MAX_S + MIN_S else left_s / 2
        forced = bisect_right(times_s, begin_s + length_s) - 1
        if times_s[forced] - begin_s < MIN_S:  # one frame is shown for very long
            forced += 1
        return forced if forced < len(times_s) else None


def find_borders(times_s: Sequence[float], cuts: Sequence[int]) -> list[int]:
    """The numbers of the frames at which the segments of a film begin, 0 first.

    Args:
        times_s: when each frame is shown, in seconds; rising.
        cuts: the numbers of frames that begin a scene.
    """
    finder, borders = BorderFinder(), [0]
    scenes = frozenset(cuts)
    for number, time_s in enumerate(times_s):
        border = finder.add(time_s, is_cut=number in scenes)
        if border is not None:
            borders.append(border)
    return [*borders, *finder.end()]
