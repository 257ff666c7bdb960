"""The times of frames in formats that show every frame for one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, GpuFrame, StreamInfo
from realtime_style.wording import counted

_MAX = 120  # steps per second; each without a frame of its own takes space in the file
_EVEN = Fraction(1, 2000)  # rates that differ by less are the same
_MAX_GAP_S = 3600  # a longer one is a damaged time
_LATE = 2  # steps: less is rounding


class EvenSteps:
    """Places frames on the steps of an AVI film, in which a frame lasts while steps are empty.

    Attributes:
        time_base: the length of a step, in seconds.
    """

    def __init__(self, info: StreamInfo, ending: str) -> None:
        """The frames' finest rate decides the length of a step; arguments as of `Numbers`."""
        self.time_base = 1 / _finest(info)
        self._ending = ending
        self._last: int | None = None
        self._is_late = False

    @property
    def note(self) -> str | None:
        """That frames are shown too late; None if they are not."""
        return _late(self._ending, self.time_base) if self._is_late else None

    def placed(self, frame: Frame | GpuFrame) -> Frame | GpuFrame:
        """The frame on the step nearest to its time, but after the frame before."""
        at = frame.pts * frame.time_base / self.time_base
        step = round(at) if self._last is None else max(round(at), self._last + 1)
        self._is_late |= step - at > _LATE
        self._last = step
        duration = round(frame.duration * frame.time_base / self.time_base)
        return replace(frame, pts=step, time_base=self.time_base, duration=duration)


class Numbers:
    """Numbers the frames of a film in a format without times, which shows all equally long.

    Attributes:
        time_base: how long each is shown, in seconds.
    """

    def __init__(self, info: StreamInfo, ending: str) -> None:
        """Args: info, the frames that will come; the ending of the film, in messages."""
        self.time_base = 1 / info.rate
        self._ending = ending
        self._is_exact = True
        self._next: int | None = None

    @property
    def note(self) -> str | None:
        """That frames had other times than they are shown at; None if none had so far."""
        if self._is_exact:
            return None
        return (
            f"all frames are shown equally long, {float(1 / self.time_base):.4g} in a second: "
            f"{self._ending} holds no times"
        )

    def placed(self, frame: Frame | GpuFrame) -> Frame | GpuFrame:
        """The frame with its number as its time."""
        at = frame.pts * frame.time_base / self.time_base
        number = round(at) if self._next is None else self._next
        self._is_exact &= abs(at - number) < 1
        self._next = number + 1
        return replace(frame, pts=number, time_base=self.time_base, duration=1)


class Repeats:
    """Repeats frames of a film in a format without times, so that each begins when it should.

    For formats that hold sound too, which would otherwise be heard at another time. The first frame
    is shown from the beginning; the film begins up to a step later than its source, so that a step
    begins with that frame.

    Attributes:
        rate: of the film, in frames per second: one of those that the format has.
        time_base: how long each frame is shown, in seconds.
        begins_s: when the film begins, in seconds of its source; 0 before the first frame.
    """

    def __init__(self, info: StreamInfo, ending: str, rates: Sequence[Fraction]) -> None:
        """Takes the lowest rate that shows all frames for whole steps, or else the next higher one.

        Args:
            info: the frames that will come.
            ending: of the film, in messages.
            rates: that the format has, in frames per second.

        Raises:
            MediaError: the film has more frames per second than that.
        """
        finest = _finest(info)
        higher = [rate for rate in sorted(rates) if rate > finest * (1 - _EVEN)]
        if not higher and info.rate > max(rates):
            raise MediaError(
                f"{ending} films have at most {float(max(rates)):.4g} fps, not "
                f"{float(info.rate):.4g}; try another ending, such as .mkv",
                setting="out",
            )
        even = [rate for rate in higher if _is_whole(rate / finest)]
        self.rate = (even or higher or [max(rates)])[0]
        self.time_base = 1 / self.rate
        self._ending = ending
        self._repeated = 0
        self.begins_s = Fraction(0)
        self._is_late = False
        self._next = 0  # step
        self._latest: Frame | GpuFrame | None = None
        self._lasts = 0  # steps: how long the latest frame says that it is shown

    @property
    def note(self) -> str | None:
        """What is repeated or late; None if nothing is."""
        notes = []
        if self._repeated:
            verb = "is" if self._repeated == 1 else "are"
            notes.append(
                f"{counted(self._repeated, 'frame')} {verb} repeated: {self._ending} shows all "
                f"equally long, {float(self.rate):.4g} in a second"
            )
        if self._is_late:
            notes.append(_late(self._ending, self.time_base))
        return "; ".join(notes) or None

    def placed(self, frame: Frame | GpuFrame) -> list[Frame | GpuFrame]:
        """The frame on the step nearest to its time; before it, the one before on empty steps."""
        at = frame.pts * frame.time_base / self.time_base
        if self._latest is None and at > 0:
            self.begins_s = at % 1 * self.time_base
        at -= self.begins_s / self.time_base
        step = max(self._next, round(at))
        self._is_late |= step - at > _LATE
        again = self._again(step, self._latest or frame)
        new = replace(frame, pts=step, time_base=self.time_base, duration=1)
        self._next = step + 1
        self._latest = new.kept()
        self._lasts = round(frame.duration * frame.time_base / self.time_base)
        return [*again, new]

    def last(self) -> list[Frame | GpuFrame]:
        """The last frame again, for as long as it says that it is shown."""
        if self._latest is None:
            return []
        return self._again(self._latest.pts + self._lasts, self._latest)

    def _again(self, step: int, frame: Frame | GpuFrame) -> list[Frame | GpuFrame]:
        """A frame on all empty steps before one."""
        if (step - self._next) * self.time_base > _MAX_GAP_S:
            return []
        empty = range(self._next, step)
        self._repeated += len(empty)
        return [replace(frame, pts=at, time_base=self.time_base, duration=1) for at in empty]


def _finest(info: StreamInfo) -> Fraction:
    """The rate of the shortest step between frames, as far as it is plausible."""
    return max(min(info.finest_rate or info.rate, Fraction(_MAX)), info.rate)


def _is_whole(ratio: Fraction) -> bool:
    return abs(ratio / max(1, round(ratio)) - 1) < _EVEN


def _late(ending: str, step_s: Fraction) -> str:
    return (
        f"frames follow faster than the {float(1 / step_s):.4g} in a second that {ending} shows: "
        "they are shown late"
    )
