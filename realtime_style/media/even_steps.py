"""The times of frames in formats that show every frame for one step."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from realtime_style.frame import Frame, GpuFrame, StreamInfo

_MAX = 120  # steps per second; each without a frame of its own takes space in the file


class EvenSteps:
    """Places frames on the steps of an AVI film, in which a frame lasts while steps are empty.

    Attributes:
        time_base: the length of a step, in seconds.
    """

    def __init__(self, info: StreamInfo) -> None:
        """Args: info, the frames that will come; their finest rate decides the length of a step."""
        finest = min(info.finest_rate or info.rate, Fraction(_MAX))
        self.time_base = 1 / max(finest, info.rate)
        self._last: int | None = None

    def placed(self, frame: Frame | GpuFrame) -> Frame | GpuFrame:
        """The frame on the step nearest to its time, but after the frame before."""
        step = round(frame.pts * frame.time_base / self.time_base)
        if self._last is not None:
            step = max(step, self._last + 1)
        self._last = step
        duration = round(frame.duration * frame.time_base / self.time_base)
        return replace(frame, pts=step, time_base=self.time_base, duration=duration)


class Numbers:
    """Numbers the frames of a film in a format without times, which shows all equally long.

    Attributes:
        time_base: how long each is shown, in seconds.
        is_exact: whether all frames so far had the times that they are shown at.
    """

    def __init__(self, info: StreamInfo) -> None:
        """Args: info, the frames that will come."""
        self.time_base = 1 / info.rate
        self.is_exact = True
        self._next: int | None = None

    def placed(self, frame: Frame | GpuFrame) -> Frame | GpuFrame:
        """The frame with its number as its time."""
        at = frame.pts * frame.time_base / self.time_base
        number = round(at) if self._next is None else self._next
        self.is_exact &= abs(at - number) < 1
        self._next = number + 1
        return replace(frame, pts=number, time_base=self.time_base, duration=1)
