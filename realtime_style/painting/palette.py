"""Gives a style other colours: its map to the painting's range is fitted to a picture's palette."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, TensorProto, helper
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.engines.network import Network
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import CHART
from realtime_style.style.color_transport import ColorTransport, in_oklab
from realtime_style.style.file_format import Ranges
from realtime_style.style.style import Style

CHART_SIDE = 32
"""Rows and columns of the chart of colours, `bundled.CHART`."""

_CELL_PX = 8  # of the chart, when it is painted
_SHUFFLE = 389  # a step through the cells of the chart, which has no factor in common with them
_COLORS = 512  # how many colours of the painted chart, and of the picture, are compared
_JITTER = 24.0  # standard deviation of what is added to planes of the chart, for rare colours
_WIDER = (1.0, 3.0)  # factors of its chroma, for the same
_EXAMPLES = 8192  # of the chart, on which a map is fitted
_OUTLIERS = 0.01  # percent of the values at the upper end that are left out of a range

_STEPS = 300
_BATCH = 1024
_RATE = 6e-3
_RIDGE = 1e-3  # added to the variances of what the last layer reads

_UNIT = 64.0  # of planes while a map is fitted, so that all its values are about as large
_LAYERS = (("first", _UNIT, 1.0), ("second", 1.0, 1.0), ("last", 1.0, _UNIT))
"""The convolutions of a map: name, unit of what it reads, unit of what it gives."""

Array = NDArray[np.float32]


def with_palette(
    style: Style, goal: ArrayLike, name: str, card: dict[str, Any], engine: str = "auto"
) -> Style:
    """A style with the same strokes in other colours.

    The style paints a chart of typical colours. What comes out is transported to the new colours,
    and the style's map to the painting's range is fitted to paint that. It takes about a second.

    Args:
        style: the style.
        goal: (P, 3) RGB in 0..1, the colours to paint with, in their shares.
        name, card: of the new style.
        engine: what runs the style's network; see `Network`.

    Raises:
        EngineError: the engine is not installed, or fails.
    """
    sums = sums_of(style, frame_from_rgb(chart_picture(), style.color), engine)
    range_map = RangeMap(style)
    painted = _rgb_of(range_map(sums), style.color).mean(1)
    transport = ColorTransport(_evenly(painted), _evenly(goal))
    x = _examples(sums)
    rgb = _rgb_of(range_map(x), style.color)
    recolored = transport(rgb.reshape(-1, 3)).reshape(rgb.shape)
    planes = _packed_of(recolored, style.color)
    range_map.fit(x, planes)
    ranges = style.ranges and {**style.ranges, **range_map.ranges(x)}
    return style.with_weights(range_map.weights(), name, card, ranges)


def chart_picture() -> NDArray[np.uint8]:
    """The chart, (256, 512, 3) uint8 RGB: sorted cells on the left, shuffled ones on the right."""
    with Image.open(CHART) as picture:
        cells = np.asarray(picture.convert("RGB"))
    flat = cells.reshape(-1, 3)
    shuffled = flat[np.arange(len(flat)) * _SHUFFLE % len(flat)].reshape(cells.shape)
    return np.concatenate((cells, shuffled), 1).repeat(_CELL_PX, 0).repeat(_CELL_PX, 1)


def sums_of(style: Style, picture: Frame, engine: str = "auto") -> Array:
    """What a style's map to the painting's range reads while it paints a picture.

    Args:
        style: any style.
        picture: a frame in the style's colour space, which is its own canvas; its sides are
            multiples of `canvas.CANVAS_MULTIPLE`.
        engine: see `Network`.

    Returns:
        (N, 6) float32, one row for each 2x2 pixels: packed planes minus the style's centre.
    """
    model = ModelProto()
    model.CopyFrom(style.model)
    graph = model.graph
    sums = next(node for node in reversed(graph.node) if node.op_type == "Add").input[0]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(sums, TensorProto.FLOAT, None))
    planes = {"luma": picture.luma, "chroma": picture.chroma}
    inputs = {**planes, **{f"canvas_{name}": plane for name, plane in planes.items()}}
    found = Network(model.SerializeToString(), engine)(inputs)[sums]
    packed: Array = found[0].reshape(6, -1).T.astype(np.float32)
    return packed


class RangeMap:
    """A style's map to the painting's range: x + last(relu(second(relu(first(x))))).

    It maps packed planes, (N, 6) float32: four phases of luma, Cb and Cr. It reads them minus the
    style's centre, and gives planes of 0..255.
    """

    def __init__(self, style: Style) -> None:
        """Takes the weights of a style."""
        weights = style.weights()
        self._layers = [
            (
                (weights[f"range.{name}.weight"][:, :, 0, 0].T * reads / gives).astype(np.float32),
                (weights[f"range.{name}.bias"] / gives).astype(np.float32),
            )
            for name, reads, gives in _LAYERS
        ]

    def __call__(self, x: Array) -> Array:
        """Maps packed planes."""
        mapped: Array = x + self._added(self._read(x)) * np.float32(_UNIT)
        return mapped

    def fit(self, x: Array, goal: Array) -> None:
        """Changes the weights until the map of `x`, (N, 6), is close to `goal`, (N, 6).

        By Adam (Kingma and Ba, ICLR 2015, algorithm 1), and in the end the last layer exactly.
        """
        random = np.random.default_rng(0)
        added = (goal - x) / np.float32(_UNIT)
        parts = [part for layer in self._layers for part in layer]
        means, squares = ([np.zeros_like(part) for part in parts] for _ in range(2))
        for step in range(1, _STEPS + 1):
            rows = random.integers(0, len(x), _BATCH)
            rate = _RATE * min(1.0, 2 * (1 - (step - 1) / _STEPS))
            scale = np.float32(rate * (1 - 0.99**step) ** 0.5 / (1 - 0.9**step))
            gradients = self._gradients(x[rows], added[rows])
            for part, gradient, mean, square in zip(parts, gradients, means, squares, strict=True):
                mean += np.float32(0.1) * (gradient - mean)
                square += np.float32(0.01) * (gradient**2 - square)
                part -= scale * mean / (np.sqrt(square) + np.float32(1e-8))
        self._solve_last(x, added)

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """The weights, by the names of the style's tensors."""
        found = {}
        for (name, reads, gives), (weight, bias) in zip(_LAYERS, self._layers, strict=True):
            kernel = weight.T[:, :, None, None].astype(np.float64)
            found[f"range.{name}.weight"] = kernel * gives / reads
            found[f"range.{name}.bias"] = bias.astype(np.float64) * gives
        return found

    def ranges(self, x: Array) -> Ranges:
        """The input ranges of the second and the last convolution for packed planes, (N, 6)."""
        _, *read = self._read(x)
        tops = [float(np.percentile(each, 100 - _OUTLIERS)) for each in read]
        return {f"range.{n}": (0.0, top) for n, top in zip(("second", "last"), tops, strict=True)}

    def _read(self, x: Array) -> list[Array]:
        """What each of the three convolutions reads."""
        read = [x / np.float32(_UNIT)]
        for weight, bias in self._layers[:2]:
            read.append(np.maximum(read[-1] @ weight + bias, 0))
        return read

    def _added(self, read: list[Array]) -> Array:
        """What the map adds, in _UNIT."""
        weight, bias = self._layers[2]
        added: Array = read[2] @ weight + bias
        return added

    def _gradients(self, x: Array, added: Array) -> list[Array]:
        """The gradients of all weights and biases for what should be added, (N, 6) in _UNIT."""
        read = self._read(x)
        back = (self._added(read) - added) / np.float32(len(x))
        found: list[Array] = []
        for number in (2, 1, 0):
            found[:0] = _alike(read[number].T @ back, back.sum(0))
            if number:
                back = back @ self._layers[number][0].T * (read[number] > 0)
        return found

    def _solve_last(self, x: Array, added: Array) -> None:
        """Changes the last layer by least squares."""
        read = self._read(x)
        error = (added - self._added(read)).astype(np.float64)
        inputs = np.concatenate((read[2], np.ones_like(x[:, :1])), 1).astype(np.float64)
        normal = inputs.T @ inputs / len(x)
        normal[np.diag_indices_from(normal)] += _RIDGE
        change = np.linalg.solve(normal, inputs.T @ error / len(x)).astype(np.float32)
        for part, each in zip(self._layers[2], _alike(change[:-1], change[-1]), strict=True):
            part += each


def _alike(weight: Array, bias: Array) -> list[Array]:
    """The nearest weight and bias of a layer that treat the phases of luma alike.

    Without this each phase would get a map of its own, and each flat area a grid. Mirroring the
    picture exchanges phases, and the four groups of hidden channels as well; the mean over all ways
    to mirror depends on none (`training.sharp.ColorMap` has such layers only).

    Args:
        weight: (reads, gives).
        bias: (gives,).
    """
    weights, biases = [], []
    for mirrored in range(4):
        phases = np.arange(4) ^ mirrored
        reads, gives = (
            np.append(phases, (4, 5))
            if count == 6
            else np.arange(count).reshape(4, -1)[phases].ravel()
            for count in weight.shape
        )
        weights.append(weight[np.ix_(reads, gives)])
        biases.append(bias[gives])
    return [np.asarray(np.mean(each, 0), np.float32) for each in (weights, biases)]


def _examples(sums: Array) -> Array:
    """What a map is fitted on: sums of the chart, and others near them, which photos have."""
    random = np.random.default_rng(0)
    x = sums[random.permutation(len(sums))[:_EXAMPLES]]
    noise = random.normal(0, _JITTER, x.shape).astype(np.float32)
    noise[:, :4] = 0.5 * noise[:, :4] + noise[:, :1]  # mostly the same for all phases
    wide = random.uniform(*_WIDER, (len(x), 1)).astype(np.float32)
    near: Array = (np.concatenate((x[:, :4], x[:, 4:] * wide), 1) + noise)[::2]
    return np.concatenate((x, near))


def _rgb_of(packed: Array, color: ColorSpace) -> Array:
    """The RGB of each phase of luma, (N, 4, 3) in about 0..1, of packed planes, (N, 6)."""
    matrix, offset = color.yuv_from_rgb()
    yuv: Array = np.empty((len(packed), 4, 3), np.float32)
    yuv[..., 0] = packed[:, :4]
    yuv[..., 1:] = packed[:, None, 4:]
    back = np.linalg.inv(matrix).T
    rgb: Array = ((yuv / 255 - offset) @ back).astype(np.float32)
    return rgb


def _packed_of(rgb: Array, color: ColorSpace) -> Array:
    """The packed planes, (N, 6), of RGB in 0..1, (N, 4, 3)."""
    matrix, offset = color.yuv_from_rgb()
    yuv = (rgb @ matrix.T.astype(np.float32) + offset.astype(np.float32)) * np.float32(255)
    return np.concatenate((yuv[..., 0], yuv[..., 1:].mean(1)), 1)


def _evenly(rgb: ArrayLike) -> NDArray[np.float64]:
    """_COLORS of the colours (P, 3) in 0..1, evenly from dark to light: none by chance."""
    colors = np.clip(np.asarray(rgb, np.float64), 0, 1)
    order = in_oklab(colors)[:, 0].argsort(kind="stable")
    chosen: NDArray[np.float64] = colors[
        order[np.linspace(0, len(order) - 1, _COLORS).round().astype(int)]
    ]
    return chosen
