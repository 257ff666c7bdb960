"""Gives a style another palette: what it paints gets the colours of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.engines.network import Network
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import CHART
from realtime_style.style.color_transport import ColorTransport, in_oklab
from realtime_style.style.file_format import CANVAS_PLANES, PICTURE_PLANES, Ranges
from realtime_style.style.style import Style

CHART_SIDE = 32
"""Rows and columns of the chart of colours, `bundled.CHART`."""

_CELL_PX = 8  # of the chart, when it is painted
_SHUFFLE = 389  # a step through the cells of the chart, which has no factor in common with them
_COLORS = 768  # how many colours of the painted chart, and of the picture, are compared
_JITTER = 24.0  # standard deviation of what is added to planes of the chart, for rare colours
_STEPS = 240
_BATCH = 2048
_RATE = 3e-3
_RIDGE = 1e-3  # of the last layer's weights, relative to the variance of what it reads
_OUTLIERS = 0.01  # percent of the values at the upper end that are left out of a range

_UNIT = 64.0  # of planes while a map is fitted, so that all its values are about as large
_LAYERS = (("first", _UNIT, 1.0), ("second", 1.0, 1.0), ("last", 1.0, _UNIT))
"""The convolutions of a map: name, unit of what it reads, unit of what it gives."""

Array = NDArray[np.float32]


class RangeMap:
    """A style's map to the painting's range: x + last(relu(second(relu(first(x))))).

    Args and results are packed planes, (N, 6) float32: four phases of luma, Cb and Cr, in 0..255;
    arguments minus the style's centre.
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

    def hidden(self, x: Array) -> list[Array]:
        """What each of the three convolutions reads."""
        read = [x / np.float32(_UNIT)]
        for weight, bias in self._layers[:2]:
            read.append(np.maximum(read[-1] @ weight + bias, 0))
        return read

    def __call__(self, x: Array) -> Array:
        """Maps packed planes."""
        weight, bias = self._layers[2]
        mapped: Array = x + (self.hidden(x)[2] @ weight + bias) * np.float32(_UNIT)
        return mapped

    def fit(self, x: Array, goal: Array) -> None:
        """Changes the weights until the map of `x` is close to `goal`.

        By Adam (Kingma and Ba, ICLR 2015, algorithm 1), and in the end the last layer exactly.
        """
        random = np.random.default_rng(0)
        added = (goal - x) / np.float32(_UNIT)
        flat = [part for layer in self._layers for part in layer]
        means = [np.zeros_like(part) for part in flat]
        squares = [np.zeros_like(part) for part in flat]
        for step in range(1, _STEPS + 1):
            rows = random.integers(0, len(x), _BATCH)
            read = self.hidden(x[rows])
            weight, bias = self._layers[2]
            back = (read[2] @ weight + bias - added[rows]) / np.float32(_BATCH)
            gradients: list[Array] = []
            for number in (2, 1, 0):
                gradients[:0] = [read[number].T @ back, back.sum(0)]
                if number:
                    back = back @ self._layers[number][0].T * (read[number] > 0)
            rate = _RATE * min(1.0, 2 * (1 - (step - 1) / _STEPS))
            for part, gradient, mean, square in zip(flat, gradients, means, squares, strict=True):
                mean += 0.1 * (gradient - mean)
                square += 0.01 * (gradient**2 - square)
                scale = rate * (1 - 0.99**step) ** 0.5 / (1 - 0.9**step)
                part -= np.float32(scale) * mean / (np.sqrt(square) + np.float32(1e-8))
        self._solve_last(x, added)

    def _solve_last(self, x: Array, added: Array) -> None:
        read = self.hidden(x)[2]
        weight, bias = self._layers[2]
        error = (added - read @ weight - bias).astype(np.float64)
        ones = np.concatenate((read, np.ones((len(read), 1), np.float32)), 1).astype(np.float64)
        normal = ones.T @ ones / len(x)
        normal[np.diag_indices_from(normal)] += _RIDGE
        change = np.linalg.solve(normal, ones.T @ error / len(x)).astype(np.float32)
        weight += change[:-1]
        bias += change[-1]

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """The weights by the names of the style's tensors."""
        found = {}
        for (name, reads, gives), (weight, bias) in zip(_LAYERS, self._layers, strict=True):
            kernel = weight.T[:, :, None, None].astype(np.float64)
            found[f"range.{name}.weight"] = kernel * gives / reads
            found[f"range.{name}.bias"] = bias.astype(np.float64) * gives
        return found

    def ranges(self, x: Array) -> Ranges:
        """The input ranges of the second and the last convolution."""
        _, *read = self.hidden(x)
        tops = [float(np.percentile(each, 100 - _OUTLIERS)) for each in read]
        return {f"range.{n}": (0.0, top) for n, top in zip(("second", "last"), tops, strict=True)}


def chart_picture() -> NDArray[np.uint8]:
    """The chart, (256, 512, 3) uint8 RGB: sorted cells on the left, shuffled ones on the right."""
    with Image.open(CHART) as picture:
        cells = np.asarray(picture.convert("RGB"))
    flat = cells.reshape(-1, 3)
    shuffled = flat[np.arange(len(flat)) * _SHUFFLE % len(flat)].reshape(cells.shape)
    return np.concatenate((cells, shuffled), 1).repeat(_CELL_PX, 0).repeat(_CELL_PX, 1)


def sums_of(style: Style, picture: Frame, engine: str) -> Array:
    """What a style's map to the painting's range reads while it paints a picture.

    Args:
        style: any style.
        picture: a frame of the style's colour space, which is its own canvas.
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
    planes = dict.fromkeys((*PICTURE_PLANES, *CANVAS_PLANES))
    inputs = {n: picture.chroma if "chroma" in n else picture.luma for n in planes}
    found = Network(model.SerializeToString(), engine)(inputs)[sums]
    packed: Array = found[0].reshape(6, -1).T.astype(np.float32)
    return packed


def rgb_of(packed: Array, color: ColorSpace) -> Array:
    """The RGB of each luma phase, (N, 4, 3) in about 0..1, of packed planes, (N, 6)."""
    matrix, offset = color.yuv_from_rgb()
    yuv = np.empty((len(packed), 4, 3), np.float32)
    yuv[..., 0] = packed[:, :4]
    yuv[..., 1:] = packed[:, None, 4:]
    back = np.linalg.inv(matrix).T.astype(np.float32)
    rgb: Array = (yuv / np.float32(255) - offset.astype(np.float32)) @ back
    return rgb


def packed_of(rgb: Array, color: ColorSpace) -> Array:
    """The packed planes, (N, 6), of RGB in 0..1, (N, 4, 3)."""
    matrix, offset = color.yuv_from_rgb()
    yuv = (rgb @ matrix.T.astype(np.float32) + offset.astype(np.float32)) * np.float32(255)
    return np.concatenate((yuv[..., 0], yuv[..., 1:].mean(1)), 1)


def evenly(rgb: NDArray[Any], count: int = _COLORS) -> NDArray[np.float64]:
    """`count` of the colours (P, 3) in 0..1, evenly from dark to light: none by chance."""
    rgb = np.clip(np.asarray(rgb, np.float64), 0, 1)
    order = in_oklab(rgb)[:, 0].argsort(kind="stable")
    return rgb[order[np.linspace(0, len(order) - 1, count).round().astype(int)]]


def in_palette(
    style: Style, goal: NDArray[Any], name: str, card: dict[str, Any], engine: str = "auto"
) -> Style:
    """A style that paints in other colours.

    Its strokes stay as they are; its map to the painting's range is fitted to what it painted
    before, transported to the new colours.

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
    painted = rgb_of(range_map(sums), style.color).mean(1)
    transport = ColorTransport(evenly(painted), evenly(goal))
    noise = np.random.default_rng(0).normal(0, _JITTER, sums.shape).astype(np.float32)
    noise[:, :4] = 0.5 * noise[:, :4] + noise[:, :1]
    x = np.concatenate((sums, sums[::2] + noise[::2]))
    rgb = rgb_of(range_map(x), style.color)
    recolored = transport(rgb.reshape(-1, 3)).reshape(rgb.shape)
    range_map.fit(x, packed_of(recolored, style.color))
    ranges = style.ranges and {**style.ranges, **range_map.ranges(x)}
    return style.with_weights(range_map.weights(), name, card, ranges)
