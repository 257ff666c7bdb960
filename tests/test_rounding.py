"""Rounding kernels to 8-bit integers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_style.engines.graphs.rounding import (
    MAX_CODE,
    RoundedKernel,
    round_color_maps,
    round_windows,
)
from realtime_style.style.file_format import CENTER

Array = NDArray[np.float64]
Weights = dict[str, Array]


def sums(kernel: NDArray[np.floating] | NDArray[np.int8]) -> Array:
    """The sum of each 2-D window."""
    return np.asarray(kernel.sum((2, 3), dtype=np.float64))


def test_windows_keep_their_sums_and_values_move_by_less_than_a_step() -> None:
    kernel = np.random.default_rng(0).normal(size=(7, 5, 3, 3))
    rounded = round_windows(kernel)
    assert rounded.bias is None
    assert np.abs(rounded.codes).max((1, 2, 3)).tolist() == [MAX_CODE] * 7
    step = rounded.scale[:, None]
    assert np.abs(rounded.kernel - kernel).max() <= step.max()
    assert (np.abs(sums(rounded.kernel) - sums(kernel)) <= 0.51 * step).all()


def test_phases_answer_flat_input_alike() -> None:
    random = np.random.default_rng(1)
    kernel = random.normal(size=(10, 5, 3, 3)) * random.uniform(0.5, 2, (10, 1, 1, 1))
    for first in (0, 4):  # two pictures of four phases, and two other channels
        means = kernel[first : first + 4].mean((0, 2, 3))
        own = kernel[first : first + 4].mean((2, 3))
        kernel[first : first + 4] += (means - own)[:, :, None, None]
    rounded = round_windows(kernel.astype(np.float16).astype(np.float32))
    assert len(set(rounded.scale)) == 4
    for first in (0, 4):
        found = sums(rounded.codes)[first : first + 4]
        assert len(set(rounded.scale[first : first + 4])) == 1
        assert (found == found[0]).all()
    assert (np.abs(rounded.codes[8:]).max((1, 2, 3)) == MAX_CODE).all()


def test_a_kernel_of_zeros_stays_zero() -> None:
    rounded = round_windows(np.zeros((4, 3, 3, 3), np.float32))
    assert not rounded.codes.any()
    assert (rounded.scale > 0).all()


def maps(last: float = 1.0) -> Weights:
    """Random colour maps; their last layers are multiplied by a factor."""
    random = np.random.default_rng(2)
    weights: Weights = {CENTER: np.full((6, 1, 1), 128.0)}
    for name, channels in (("recolor", 16), ("range", 24)):
        shapes = {"first": (channels, 6), "second": (channels, channels), "last": (6, channels)}
        factors = {"first": 1 / 64, "second": 1.0, "last": 64 * last}
        for layer, (out, reads) in shapes.items():
            kernel = random.normal(size=(out, reads, 1, 1)) * (2 / reads) ** 0.5
            weights[f"{name}.{layer}.weight"] = kernel * factors[layer]
            weights[f"{name}.{layer}.bias"] = random.normal(0, 0.3, out) * factors[layer]
    return weights


def mapped(weights: Weights, rounded: dict[str, RoundedKernel], name: str, planes: Array) -> Array:
    """What a colour map gives for planes, (N, 6)."""
    for layer in ("first", "second", "last"):
        weight = f"{name}.{layer}.weight"
        kernel, bias = weights[weight], weights[f"{name}.{layer}.bias"]
        if weight in rounded:
            kernel, bias = rounded[weight].kernel.astype(float), np.asarray(rounded[weight].bias)
        planes = planes @ sums(kernel).T + bias
        if layer != "last":
            planes = np.maximum(planes, 0)
    return planes


def photos_colors() -> Array:
    """Packed planes (N, 6) minus 128, which differ from those that maps are rounded on."""
    random = np.random.default_rng(3)
    luma = random.uniform(-90, 100, (3000, 1)) + random.normal(0, 4, (3000, 4))
    return np.concatenate((luma, random.normal(5, 20, (3000, 2))), 1)


@pytest.mark.parametrize("name", ["recolor", "range"])
def test_errors_of_colour_maps_cancel_out(name: str) -> None:
    weights, planes = maps(), photos_colors()
    if name == "range":
        planes += mapped(weights, {}, "recolor", planes)
    exact = mapped(weights, {}, name, planes)
    found = round_color_maps(weights)
    nearest = {}
    for weight in found:
        plain = round_windows(weights[weight])  # a window of 1x1 is rounded to the nearest code
        nearest[weight] = plain._replace(bias=weights[weight.removesuffix("weight") + "bias"])
    error = mapped(weights, found, name, planes) - exact
    plain_error = mapped(weights, nearest, name, planes) - exact
    assert np.abs(error.mean(0)).max() < np.abs(plain_error.mean(0)).max() / 8
    assert error.std() < plain_error.std() / 4


def test_a_colour_map_that_changes_nothing_still_changes_nothing() -> None:
    weights = maps(last=0.0)
    found = round_color_maps(weights)
    for name in ("recolor", "range"):
        assert np.abs(mapped(weights, found, name, photos_colors())).max() < 1e-6


def test_colour_maps_that_no_colour_reaches_are_rounded() -> None:
    weights = maps()
    weights["range.first.bias"] -= 1e6  # before ReLU, so that nothing comes through
    found = round_color_maps(weights)
    exact = mapped(weights, {}, "range", photos_colors())
    assert np.abs(mapped(weights, found, "range", photos_colors()) - exact).max() < 1e-3
