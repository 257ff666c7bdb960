"""The bundled styles as a bank: a short code selects any style between and around them."""

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
"""Layers that enlarge: how many channels have four phases each, and how many follow without."""

_COLORS = 12  # values of a code's colour map: a 3x3 matrix of planes and an offset
_PLANES = (0, 0, 0, 0, 1, 2)  # plane of each head output: four phases of luma, then chroma
_LOOK_PX = 512  # square root of the pixel count at which a style picture is analysed
_MIN_LOOK_PX = 32

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of every style in the bank.

    Attributes:
        name: name of its tensors, without `.weight` or `.bias`.
        weights: kernels, (styles, out, in, height, width).
        offsets: biases, (styles, out).
        channel: (out,), the index of each output's gain and offset in a code. The four phases of
            an enlarged channel share theirs, so that no grid appears.
        shares, gains, shifts: where in a code the layer's values are.
        unit: what an offset of 1 in a code adds to a bias.
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
    """Width and height at which a style picture is analysed for its code, multiples of 4.

    The aspect ratio is kept, except that no side is below 32 pixels.
    """
    scale = _LOOK_PX / (width * height) ** 0.5
    new_width, new_height = (
        max(_MIN_LOOK_PX, round(side * scale / 4) * 4) for side in (width, height)
    )
    return new_width, new_height


def _matrices() -> FloatArray:
    """How each entry of a 3x3 matrix of planes acts on the six outputs of the head.

    Chroma takes the mean of its block's four phases of luma; each phase takes the block's chroma.
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
"""(9, 6, 6): how each entry of a colour map's matrix, in row order, acts on the head's outputs."""


class Bank:
    """A network in which every convolution is a mixture of the bundled styles' convolutions.

    A code holds, for each convolution, one weight per style (conditionally parameterised
    convolutions, Yang et al., NeurIPS 2019, eq. 1, but once per style instead of once per picture)
    and, for each channel, a gain and an offset (conditional instance normalisation, Dumoulin et
    al., ICLR 2017, eq. 5). Its last values are an affine map of luma and chroma, which recolours
    the painting. The result is an ordinary style.

    Attributes:
        styles: the styles in the bank.
        layers: their convolutions, by name.
        colors: where in a code the colour map is.
        code_size: number of values in a code.
    """

    def __init__(self, styles: Sequence[Style] | None = None) -> None:
        """Builds a bank.

        Args:
            styles: styles with one network shape; None takes those of `bank_styles`.
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
        self.code_size = at + _COLORS

    @property
    def digest(self) -> str:
        """Identifies the bank's weights, in hexadecimal: a code is valid only for one bank."""
        found = hashlib.sha256()
        for layer in self.layers:
            for part in (layer.weights, layer.offsets):
                found.update(part.astype(np.float32).tobytes())
        return found.hexdigest()[:16]

    def code_of(self, number: int) -> FloatArray:
        """The code, (code_size,), of the style with this index in `styles`."""
        code = np.zeros(self.code_size)
        for layer in self.layers:
            code[layer.shares.start + number] = 1
        code[self.colors][:9] = np.eye(3).ravel()
        return code

    def weights(self, code: FloatArray) -> dict[str, FloatArray]:
        """The weights, by name, that a code of shape (code_size,) describes."""
        found = {}
        for layer in self.layers:
            share, gain, shift = code[layer.shares], code[layer.gains], code[layer.shifts]
            scale = 1 + gain[layer.channel]
            kernel = np.tensordot(share, layer.weights, 1)
            found[f"{layer.name}.weight"] = kernel * scale[:, None, None, None]
            shifts = layer.unit * shift[layer.channel]
            found[f"{layer.name}.bias"] = share @ layer.offsets * scale + shifts
        color = code[self.colors]
        matrix = np.tensordot(color[:9], MATRICES, 1)
        found["head.weight"] = np.einsum("ij,jcyx->icyx", matrix, found["head.weight"])
        found["head.bias"] = matrix @ found["head.bias"] + 255 * color[9:][[*_PLANES]]
        return found

    def style(self, code: FloatArray, name: str, card: dict[str, Any]) -> Style:
        """The style that a code of shape (code_size,) describes."""
        ranges = union_of_ranges(style.ranges for style in self.styles)
        return self.styles[-1].with_weights(self.weights(code), name, card, ranges)
