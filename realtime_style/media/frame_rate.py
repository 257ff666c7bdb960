"""How many frames per second a stream has, which containers do not always say rightly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from realtime_style.media.timeline import has_times

_USUAL = Fraction(25)
_TOLERANCE = 0.01
_MAX = 240  # above this it is the rate of a clock, unless the container has counted its frames


def frame_rate(
    stream: av.VideoStream, *, is_interlaced: bool = False, usual: Fraction = _USUAL
) -> Fraction:
    """Average frames per second, as far as they are known before the film is read.

    Args:
        is_interlaced: whether its pictures are; then packets may be fields, two of which are a
            frame.
        usual: the rate of a stream that says nothing of it.
    """
    average, finest, coded = _rates(stream)
    assert isinstance(stream.container, InputContainer)
    if not has_times(stream.container):  # FFmpeg takes 25 for the average, whatever it is
        known = [coded, finest, average]
    elif average and finest and average > finest:  # no average is above the finest step of all
        known = [finest, average, coded]
    elif is_interlaced and average and coded and abs(average / coded - 2) < _TOLERANCE:
        known = [coded]
    else:
        known = [average, finest, coded]
    rates = [rate for rate in known if rate]
    if rates and _is_counted(stream, rates[0]):
        return rates[0]
    return next((rate for rate in rates if rate <= _MAX), usual)


def finest_rate(stream: av.VideoStream) -> Fraction | None:
    """The rate of the shortest step between frames, as far as FFmpeg knows; None if it does not."""
    return _rates(stream)[1]


def _rates(stream: av.VideoStream) -> list[Fraction | None]:
    """Frames per second on average, of the finest step, and according to the codec."""
    context: Any = stream.codec_context
    rates = (stream.average_rate, stream.guessed_rate, context.framerate)
    return [Fraction(rate) if rate else None for rate in rates]


def _is_counted(stream: av.VideoStream, rate: Fraction) -> bool:
    """Whether the container's number of frames, and its length, confirm a rate."""
    if not stream.frames or not stream.duration or not stream.time_base:
        return False
    return abs(stream.frames / (stream.duration * stream.time_base) / rate - 1) < _TOLERANCE
