"""The bundled styles as a bank: a short vector describes any style between and around them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.style.bundled import bank_styles, open_style
from realtime_style.style.file_format import union_of_ranges
from realtime_style.style.style import Style

_PHASES = {"up": (16, 0), "head": (1, 2)}
"""Layers that enlarge, by name: (a, b) means that 4 * a output channels, the four phases of each of
a enlarged channels, are followed by b ordinary ones."""

_COLORS = 12  # values of the colour map in a vector: a 3x3 matrix of planes, and three offsets
_PLANES = (0, 0, 0, 0, 1, 2)  # plane of each head output: four phases of luma, then Cb and Cr
_LOOK_PX = 512  # square root of the pixel count at which a style picture is analysed
_MIN_LOOK_PX = 32

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, as it is in every style of the bank. See `Bank` for style vectors.

    Attributes:
        name: name of its tensors, without `.weight` or `.bias`.
        weights: the kernels of all styles, (styles, out, in, height, width) float64.
        offsets: the biases of all styles, (styles, out) float64.
        channel: for each output channel, (out,) int64, the index of its gain in `gains` and of its
            shift in `shifts`. The four phases of an enlarged channel have the same index, because
            a grid would appear if they differed.
        shares, gains, shifts: the parts of a style vector that belong to this layer.
        unit: what a shift of 1 adds to a bias.
    """

    name: str
    weights: FloatArray
    offsets: FloatArray
    channel: NDArray[np.int64]
    shares: slice
    gains: slice
    shifts: slice
    unit: float


def look_size(width: int, height: int) -> tuple[int, int]:
    """The (width, height) at which the encoder reads a style picture, both multiples of 4.

    The result has about 512 * 512 pixels and the aspect ratio of the picture, except that no side
    is below 32 pixels.

    Args:
        width, height: size of the picture in pixels.
    """
    scale = _LOOK_PX / (width * height) ** 0.5
    new_width, new_height = (
        max(_MIN_LOOK_PX, round(side * scale / 4) * 4) for side in (width, height)
    )
    return new_width, new_height


def _matrices() -> FloatArray:
    """Computes MATRICES.

    Luma acts on chroma by the mean of its four phases; chroma acts on all four phases alike.
    """
    found = np.zeros((3, 3, 6, 6))
    for i, plane in enumerate(_PLANES):
        for j, other in enumerate(_PLANES):
            if plane == other == 0:
                found[0, 0, i, j] = i == j
            else:
                found[plane, other, i, j] = 1 / 4 if other == 0 else 1
    return found.reshape(9, 6, 6)


MATRICES = _matrices()
"""(9, 6, 6) float64: what an entry of 1 in the colour map's 3x3 matrix, entries in row order, does
to the head's six outputs: a (6, 6) matrix that they are multiplied by."""


class Bank:
    """A network in which every convolution is a mixture of the bundled styles' convolutions.

    A style vector, (vector_size,) float64, describes one such network, which is an ordinary style:

    - for each convolution, the share of each style in it (conditionally parameterised convolutions,
      Yang et al., NeurIPS 2019, eq. 1, but once per style instead of once per picture);
    - for each channel of a convolution, a gain, 0 for no change, and a shift of the bias
      (conditional instance normalisation, Dumoulin et al., ICLR 2017, eq. 5);
    - at the end, an affine map of luma, Cb and Cr, which recolours the painting.

    Attributes:
        styles: the styles in the bank.
        layers: their convolutions, in the order of their names.
        colors: the part of a style vector that is the colour map: a 3x3 matrix, row by row, and
            three offsets, in units of 255.
        vector_size: number of values in a style vector.
    """

    def __init__(self, styles: Sequence[Style] | None = None) -> None:
        """Builds a bank.

        Args:
            styles: styles whose networks have the same shape; None takes those of `bank_styles`.
        """
        styles = styles or [*map(open_style, bank_styles())]
        self.styles = list(styles)
        weights = [style.weights() for style in styles]
        self.layers: list[Layer] = []
        at = 0
        for name in sorted(n.removesuffix(".weight") for n in weights[0] if n.endswith(".weight")):
            kernels = np.stack([each[f"{name}.weight"] for each in weights])
            offsets = np.stack([each[f"{name}.bias"] for each in weights])
            channel = np.arange(kernels.shape[1])
            if name in _PHASES:
                fours, others = _PHASES[name]
                channel = np.concatenate((np.arange(fours).repeat(4), fours + np.arange(others)))
            count = int(channel[-1]) + 1
            ends = np.cumsum([at, len(styles), count, count]).tolist()
            shares, gains, shifts = (slice(a, b) for a, b in pairwise(ends))
            unit = float(offsets.std(0).mean())  # the typical difference between two styles
            self.layers.append(Layer(name, kernels, offsets, channel, shares, gains, shifts, unit))
            at = ends[-1]
        self.colors = slice(at, at + _COLORS)
        self.vector_size = at + _COLORS

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that identify the weights of the bank.

        A style vector has a meaning only in the bank that it was computed for.
        """
        found = hashlib.sha256()
        for layer in self.layers:
            for part in (layer.weights, layer.offsets):
                found.update(part.astype(np.float32).tobytes())
        return found.hexdigest()[:16]

    def vector_of(self, number: int) -> FloatArray:
        """The style vector, (vector_size,) float64, of the style with this index in `styles`."""
        vector = np.zeros(self.vector_size)
        for layer in self.layers:
            vector[layer.shares.start + number] = 1
        vector[self.colors][:9] = np.eye(3).ravel()
        return vector

    def weights(self, vector: FloatArray) -> dict[str, FloatArray]:
        """The kernels and biases that a style vector, (vector_size,), describes, by tensor name."""
        found = {}
        for layer in self.layers:
            share, gain, shift = vector[layer.shares], vector[layer.gains], vector[layer.shifts]
            scale = 1 + gain[layer.channel]
            kernel = np.tensordot(share, layer.weights, 1)
            found[f"{layer.name}.weight"] = kernel * scale[:, None, None, None]
            shifts = layer.unit * shift[layer.channel]
            found[f"{layer.name}.bias"] = share @ layer.offsets * scale + shifts
        color = vector[self.colors]
        matrix = np.tensordot(color[:9], MATRICES, 1)
        found["head.weight"] = np.einsum("ij,jcyx->icyx", matrix, found["head.weight"])
        found["head.bias"] = matrix @ found["head.bias"] + 255 * color[9:][[*_PLANES]]
        return found

    def style(self, vector: FloatArray, name: str, card: dict[str, Any]) -> Style:
        """Makes the style that a style vector describes.

        Args:
            vector: (vector_size,) float64.
            name, card: as in `Style`.
        """
        ranges = union_of_ranges(style.ranges for style in self.styles)
        return self.styles[-1].with_weights(self.weights(vector), name, card, ranges)
