"""The weights of a generator, arranged as the kernels read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.webgpu.generator import Convolution, Floats, Generator

GROUP = 4
"""Channels of a group; kernels read and make whole groups."""

_PLANES = 6


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a generator as kernels read them.

    Attributes:
        kernels: of convolutions, (n, 4); stored in the precision's type.
        constants: biases, the centre and the maps of colours, (n, 4); always float32.
        at: where each layer begins in `kernels` and in `constants`.
    """

    kernels: Floats
    constants: Floats
    at: dict[str, tuple[int, int]]


def weights_of(generator: Generator) -> Weights:
    """Arranges the weights of a generator for the kernels."""
    kernels: list[Floats] = []
    constants: list[Floats] = []
    at: dict[str, tuple[int, int]] = {}

    def add(name: str, kernel: Floats | None, values: Floats) -> None:
        at[name] = sum(map(len, kernels)), sum(map(len, constants))
        kernels.extend([] if kernel is None else [kernel])
        constants.append(values)

    for name, layer in body_layers(generator):
        weight, bias = layer.weight, layer.bias
        if name == "up":
            weight, bias = _by_phase(weight), _by_phase(bias)
        add(name, _arranged(weight), _grouped(bias, 2 * GROUP).reshape(-1, GROUP))
    add("center", None, _grouped(generator.center, GROUP).reshape(-1, GROUP))
    add("recolor", None, _color_map(generator.recolor))
    add("range", None, _color_map(generator.range))
    return Weights(np.concatenate(kernels), np.concatenate(constants), at)


def body_layers(generator: Generator) -> Iterator[tuple[str, Convolution]]:
    """The convolutions of a generator's body by name, in their order."""
    yield "stem", generator.stem
    yield "down", generator.down
    for number, (first, second) in enumerate(generator.blocks):
        yield f"block {number} first", first
        yield f"block {number} second", second
    yield "up", generator.up
    yield "head", generator.head


def _by_phase(values: Floats) -> Floats:
    """Reorders channels along the first axis: of each four, first those of the first phase.

    Channel 4 * c + p is phase p of channel c after the pixel shuffle. For four channels c at a
    time, all of phase 0 come first, then all of phase 1, 2 and 3.
    """
    padded = _grouped(values, GROUP * GROUP)
    by_channel = padded.reshape((-1, GROUP, GROUP, *values.shape[1:]))
    return by_channel.swapaxes(1, 2).reshape((-1, *values.shape[1:]))


def _grouped(values: Floats, multiple: int, axis: int = 0) -> Floats:
    """Adds zeros at the end of an axis until its size is a multiple."""
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, -values.shape[axis] % multiple)
    return np.pad(values, widths)


def _arranged(weight: Floats) -> Floats:
    """A kernel (out, in, k, k) as (n, 4): by output group, tap and input channel."""
    padded = _grouped(_grouped(weight, 2 * GROUP), GROUP, axis=1)
    outputs, inputs, height, width = padded.shape
    groups = padded.reshape((outputs // GROUP, GROUP, inputs, height * width))
    return np.ascontiguousarray(groups.transpose(0, 3, 2, 1)).reshape(-1, GROUP)


def _color_map(layers: tuple[Convolution, ...]) -> Floats:
    """The three layers of a map of colours as (n, 4), in the order in which they are read."""
    first, second, last = (layer.weight[:, :, 0, 0] for layer in layers)
    biases = [layer.bias for layer in layers]
    first, second = _grouped(first, GROUP), _grouped(_grouped(second, GROUP), GROUP, axis=1)
    last = _grouped(last, GROUP, axis=1)
    of_first = np.concatenate((_grouped(biases[0], GROUP)[:, None], first), 1)
    rows = [of_first.reshape(-1, GROUP, 1 + _PLANES).swapaxes(1, 2).reshape(-1, GROUP)]
    rows.append(_grouped(biases[2], GROUP).reshape(-1, GROUP))
    of_second = _grouped(biases[1], GROUP)
    for start in range(0, len(second), GROUP):
        group = slice(start, start + GROUP)
        rows += [of_second[None, group], second[group].T, last[:4, group].T, last[4:, group]]
    return np.ascontiguousarray(np.concatenate(rows))


def as_bytes(values: Floats, precision: str) -> NDArray[np.uint8]:
    """Weights in the type of a precision, "f16" or "f32", as bytes."""
    typed = values.astype(np.float16 if precision == "f16" else np.float32)
    return np.frombuffer(typed.tobytes(), np.uint8)
