"""Timecode: the clock of a recording that numbers its frames, hours:minutes:seconds:frames."""

from __future__ import annotations

import re
from fractions import Fraction

_TEXT = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")
_DROPPED = {30: 2, 60: 4}  # numbers at the start of most minutes, by those in a second
_KEY = "timecode"  # of metadata, in any case


def with_later_timecode(
    metadata: dict[str, str], later_s: Fraction, rate: Fraction | None
) -> dict[str, str]:
    """Metadata of a film whose part begins later than the film.

    Args:
        metadata: with the timecode of the film's first frame, if it has one; one that cannot be
            understood is left out.
        later_s: how much later, in seconds.
        rate: of the film, in frames per second; None if unknown.
    """
    if not later_s:
        return metadata
    moved = {}
    for key, value in metadata.items():
        text: str | None = value
        if key.lower() == _KEY:
            text = later_timecode(value, later_s, rate) if rate else None
        if text is not None:
            moved[key] = text
    return moved


def later_timecode(text: str, later_s: Fraction, rate: Fraction) -> str | None:
    """The timecode of a frame that is shown later than another; None if it is not a timecode.

    With ";" or "." before the frames, it drops numbers so that it keeps up with the time at 29.97
    and 59.94 frames per second: the first two (four) of each minute, but not of every tenth.

    Args:
        text: the timecode of the earlier frame.
        later_s: how much later, in seconds.
        rate: frames per second.
    """
    match = _TEXT.fullmatch(text.strip())
    per_second = round(rate)
    if match is None or not per_second or int(match[5]) >= per_second:
        return None
    hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
    dropped = _DROPPED.get(per_second, 0) if match[4] != ":" else 0
    all_minutes = 60 * hours + minutes
    number = (60 * all_minutes + seconds) * per_second + frames
    number -= dropped * (all_minutes - all_minutes // 10)
    number += round(later_s * rate)
    if dropped:
        per_minute = 60 * per_second - dropped
        tens, rest = divmod(number, 10 * per_minute + dropped)
        later_minutes = max(0, rest - dropped) // per_minute
        number += dropped * (9 * tens + later_minutes)
    seconds, frames = divmod(number, per_second)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}{match[4]}{frames:02}"
