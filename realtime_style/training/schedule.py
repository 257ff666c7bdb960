"""Schedules: how the learning rate and the weight of the style loss change during a run."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]
"""Gives the learning rate as a share of its peak, 0..1, for a step (from 1) and the number of
steps."""

_WARM_UP, _COOL_DOWN = 0.1, 0.4  # of `trapezoid`, as shares of the steps
_STYLE_RISES = 0.4  # share of the steps in which the weight of the style loss rises
_WARM_UP_STEPS = 50  # of `warm_cosine`


def trapezoid(step: int, steps: int) -> float:
    """A `Schedule`: up along a cosine, level, and down along a cosine to almost 0.

    It is level for half of the run, because the style loss reaches its full weight late (Haegele et
    al., arXiv 2405.18392).
    """
    up = step / max(1.0, _WARM_UP * steps)
    down = (steps + 1 - step) / max(1.0, _COOL_DOWN * steps)
    return (1 - math.cos(math.pi * min(1.0, up, down))) / 2


def warm_cosine(step: int, steps: int) -> float:
    """A `Schedule`: up for 50 steps, and down along a cosine to 0.

    It is for short runs that start near their goal (Loshchilov and Hutter, arXiv 1608.03983, eq.
    5).
    """
    return min(1.0, step / _WARM_UP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2


def style_share(start: float, step: int, steps: int) -> float:
    """The weight of the style loss as a share of its full value.

    It rises exponentially from `start` to 1 in the first 40 % of the steps, so that the generator
    learns to keep the content before the style has its full weight.

    Args:
        start: the share at the beginning, above 0, at most 1.
        step: number of the step, from 1.
        steps: number of all steps.
    """
    left = max(0.0, 1 - step / (_STYLE_RISES * steps))
    return math.pow(start, left)
