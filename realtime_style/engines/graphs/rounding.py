"""Kernels of convolutions in 8-bit integers, rounded so that their errors cancel out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime_style.style.file_format import CENTER

MAX_CODE = 127
"""Codes are -MAX_CODE..MAX_CODE, which is symmetric, so that their zero point is 0."""

_LEAST = 1e-9  # of a kernel's largest value, which may be 0
_COLORS = 1024  # on which colour maps are rounded
_CHROMA = 30.0  # standard deviation of their chroma
_PHASES = 8.0  # the same of the differences between the phases of their luma
_STROKES = 20.0  # the same of what strokes add to luma
_MOST = 1e9  # of what a layer of a map gives for typical colours, in codes; usual are thousands
_RIDGE = 0.01  # share of the mean square of what a layer reads that is added to each square

Array = NDArray[np.float64]


class RoundedKernel(NamedTuple):
    """A kernel in integers.

    Attributes:
        codes: int8 (out, in, height, width); they stand for codes * scale.
        scale: float32 (out,).
        bias: float64 (out,), to be added instead of the former bias; None if that one stays.
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: Array | None = None

    @property
    def kernel(self) -> NDArray[np.float32]:
        """What the codes stand for."""
        return self.codes * self.scale[:, None, None, None]


def round_windows(kernel: NDArray[np.floating]) -> RoundedKernel:
    """Rounds a kernel to integers and keeps the sum of each 2-D window.

    The inputs under one window are similar, so the rounding errors within it should cancel out. If
    they add up to n, the n values with the largest errors in that direction are rounded the other
    way ("SQuant-K" of Guo et al., ICLR 2022).

    Output channels that are phases of one picture have the same sums, so that a flat input gives a
    flat output. They share a scale, and their sums stay the same, or they would add a grid.

    Args:
        kernel: float array (out, in, height, width).
    """
    windows = kernel.reshape(*kernel.shape[:2], -1)
    sums = windows.sum(2)
    step = np.maximum(np.abs(windows).max((1, 2)), _LEAST) / MAX_CODE
    apart = np.abs(sums[:, None] - sums).max(2)
    phases = apart < np.minimum(step, step[:, None]) / 2
    step = np.where(phases, step, 0.0).max(1)
    sums = phases @ sums / phases.sum(1, keepdims=True)

    windows = windows / step[:, None, None]
    codes = np.round(windows)
    off = np.round(sums / step[:, None])[:, :, None] - codes.sum(2, keepdims=True)
    towards = np.sign(off)
    rank = np.argsort(np.argsort(towards * (codes - windows), 2), 2)
    codes += np.where(rank < np.abs(off), towards, 0)
    codes = np.clip(codes, -MAX_CODE, MAX_CODE).reshape(kernel.shape)
    return RoundedKernel(codes.astype(np.int8), step.astype(np.float32))


def round_color_maps(weights: Mapping[str, NDArray[np.floating]]) -> dict[str, RoundedKernel]:
    """Rounds the convolutions of the two colour maps, `recolor` and `range`.

    A window of 1x1 has no neighbours, so errors must cancel out over its input channels instead:
    for typical colours, which are mapped layer by layer. The four phases of luma are output
    channels, so what does not cancel out adds a grid to the picture.

    Args:
        weights: a style's weights by name.

    Returns:
        The rounded kernels, by the names of the weights.

    Raises:
        KeyError: a weight is missing.
        FloatingPointError: a map makes values that are too large.
    """
    random = np.random.default_rng(0)
    photo = _typical_planes(random) - weights[CENTER].reshape(-1)
    recolor, change = _round_map(weights, "recolor", photo)
    strokes: Array = random.normal(0, _PHASES, (_COLORS, 6))
    strokes[:, :4] += random.normal(0, _STROKES, (_COLORS, 1))
    painting, _ = _round_map(weights, "range", photo + change + strokes)
    return recolor | painting


def _typical_planes(random: np.random.Generator) -> Array:
    """Packed planes (N, 6) in 0..255: any luma, nearly equal in its four phases; muted chroma."""
    luma = random.uniform(0, 255, (_COLORS, 1)) + random.normal(0, _PHASES, (_COLORS, 4))
    chroma = random.normal(128, _CHROMA, (_COLORS, 2))
    return np.clip(np.concatenate((luma, chroma), 1), 0, 255)


def _round_map(
    weights: Mapping[str, NDArray[np.floating]], name: str, planes: Array
) -> tuple[dict[str, RoundedKernel], Array]:
    """Rounds the three convolutions of a colour map.

    Args:
        weights: a style's weights by name.
        name: the name of the map.
        planes: what it reads, (N, 6).

    Returns:
        The rounded kernels, by the names of the weights, and what the map gives before rounding.
    """
    found = {}
    exact = rounded = planes
    for layer in ("first", "second", "last"):
        weight = f"{name}.{layer}.weight"
        kernel = weights[weight].astype(np.float64).sum((2, 3))
        bias = weights[f"{name}.{layer}.bias"].astype(np.float64)
        goal = exact @ kernel.T + bias
        if not np.abs(goal).max() < _MOST:
            raise FloatingPointError(f"{weight} makes values too large to be rounded")
        found[weight] = _fitted(kernel, bias, rounded, goal)
        exact = np.maximum(goal, 0)
        rounded = np.maximum(rounded @ found[weight].kernel.sum((2, 3)).T + found[weight].bias, 0)
    return found, goal


def _fitted(kernel: Array, bias: Array, read: Array, goal: Array) -> RoundedKernel:
    """Rounds a kernel of 1x1 so that it gives nearly what the exact one gives.

    Column after column is rounded. What the columns and the bias that follow must change to make up
    for each error is known in closed form (Frantar et al., "OPTQ", ICLR 2023, algorithm 1).

    Args:
        kernel: (out, in).
        bias: (out,).
        read: what the convolution reads behind other rounded ones, (N, in).
        goal: what it should give, (N, out).
    """
    read = np.column_stack((read, np.ones(len(read))))
    products = read.T @ read / len(read)
    squares = np.diag(products)[:-1]
    ridge = np.append(np.full(len(squares), _RIDGE * squares.mean() + _LEAST), 0)
    inverse = np.linalg.inv(products + np.diag(ridge))
    exact = np.column_stack((kernel, bias))
    exact += (goal - read @ exact.T).T @ read / len(read) @ inverse  # by least squares

    step = np.maximum(np.abs(exact[:, :-1]).max(1), _LEAST) / MAX_CODE
    codes = np.zeros(kernel.shape)
    order = np.append(np.argsort(-squares, kind="stable"), len(squares))  # the bias last
    left = exact[:, order] / step[:, None]
    share = np.linalg.cholesky(inverse[np.ix_(order, order)]).T
    for at, column in enumerate(order[:-1]):
        codes[:, column] = np.clip(np.round(left[:, at]), -MAX_CODE, MAX_CODE)
        error = (left[:, at] - codes[:, column]) / share[at, at]
        left[:, at + 1 :] -= np.outer(error, share[at, at + 1 :])
    return RoundedKernel(
        codes[:, :, None, None].astype(np.int8), step.astype(np.float32), left[:, -1] * step
    )
