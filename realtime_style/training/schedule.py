"""Schedules: how the learning rate and the weight of style move over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]
"""The learning rate over its peak, in 0..1, of a step (from 1) and the number of steps."""

_WARM_UP, _COOL_DOWN = 0.1, 0.4  # shares of the steps
_STYLE_RISES = 0.4  # share of the steps
_WARM_UP_STEPS = 50


def trapezoid(step: int, steps: int) -> float:
    """The learning rate as a share of its peak, in 0..1: cosine up, level, cosine down to 0.

    It stays level for half of the run because the style reaches its full weight late (Haegele et
    al., arXiv 2405.18392). Steps count from 1.
    """
    up = step / max(1.0, _WARM_UP * steps)
    down = (steps + 1 - step) / max(1.0, _COOL_DOWN * steps)
    return (1 - math.cos(math.pi * min(1.0, up, down))) / 2


def warm_cosine(step: int, steps: int) -> float:
    """The learning rate as a share of its peak, in 0..1: 50 steps up, then a cosine down to 0.

    For short runs that start near their goal (Loshchilov and Hutter, arXiv 1608.03983, eq. 5).
    Steps count from 1.
    """
    return min(1.0, step / _WARM_UP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2


def style_share(start: float, step: int, steps: int) -> float:
    """The weight of the style loss as a share of its full value, from `start` up to 1.

    It rises exponentially over the first 40 % of the steps: the generator learns to keep the
    content before the style pulls at full strength. Steps count from 1.
    """
    left = max(0.0, 1 - step / (_STYLE_RISES * steps))
    return math.pow(start, left)
