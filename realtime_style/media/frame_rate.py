"""How many frames a second a stream has, which containers do not always say rightly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from realtime_style.media.timeline import has_times

_USUAL = Fraction(25)
_MAX = 240  # frames per second; what is above is a clock's rate, unless frames were counted


def frame_rate(stream: av.VideoStream) -> Fraction:
    """Average frames per second, as far as they are known before the film is read."""
    context: Any = stream.codec_context
    average, finest, coded = stream.average_rate, stream.guessed_rate, context.framerate
    if isinstance(stream.container, InputContainer) and not has_times(
        stream.container
    ):  # FFmpeg takes 25 for the average, whatever it is
        rates = [coded, finest, average]
    elif average and finest and average > finest:  # no average is above the finest step of all
        rates = [finest, average, coded]
    else:
        rates = [average, finest, coded]
    known = [Fraction(rate) for rate in rates if rate]
    if known and _is_counted(stream, known[0]):
        return known[0]
    return next((rate for rate in known if rate <= _MAX), _USUAL)


def _is_counted(stream: av.VideoStream, rate: Fraction) -> bool:
    """Whether the container's number of frames, and its length, confirm a rate."""
    if not stream.frames or not stream.duration or not stream.time_base:
        return False
    return abs(stream.frames / (stream.duration * stream.time_base) / rate - 1) < 0.01
