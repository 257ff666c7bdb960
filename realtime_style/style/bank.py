"""The bundled styles as a bank, of which a code makes any other style."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.style.bundled import PLAINS, STANDARD, bundled_styles, open_style
from realtime_style.style.style import Style, ranges_of_all

_PHASES = {"up": (16, 0), "head": (1, 2)}
"""Layers that enlarge: channels of four phases each, and others after them."""

_COLORS = 12  # of a code: a matrix of three planes and an offset
_PLANES = (0, 0, 0, 0, 1, 2)  # of what the head gives: four phases of luma, then chroma
_LOOK_PX = 512  # the square root of how many pixels of a style picture are looked at
_LEAST_LOOK_PX = 32

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution of every style in the bank.

    Attributes:
        name: without `.weight`.
        weights: (styles, out, in, kh, kw).
        offsets: (styles, out).
        channel: (out,), which gain and which offset of the code is each output's: the phases of an
            enlarged channel share theirs, that no grid comes in.
        shares, gains, shifts: where in a code the layer's part lies.
        unit: what an offset of 1 in a code adds.
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
    """The size at which a style picture is looked at for its code: sides are multiples of 4."""
    scale = _LOOK_PX / (width * height) ** 0.5
    narrow, high = (max(_LEAST_LOOK_PX, round(side * scale / 4) * 4) for side in (width, height))
    return narrow, high


def _matrices() -> FloatArray:
    """What each entry of a matrix of three planes adds to one of the head's six.

    Chroma takes the mean of its four phases of luma; each of them takes chroma as it is there.
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
"""(9, 6, 6): what each entry of a colour's matrix, row by row, is on the six planes of the head."""


class Bank:
    """A style's network, every convolution of which is mixed of the bundled styles'.

    A code says, for each convolution, how much it takes of each style's kernels (as conditionally
    parameterised convolutions do, Yang et al., NeurIPS 2019, but once for a style instead of once
    a picture), and, for each of its channels, a gain and an offset (as conditional instance
    normalisation does, Dumoulin et al., ICLR 2017), and how what is painted is then recoloured, by
    an affine map of luma and chroma. What it makes is a style like any other.
    """

    def __init__(self, styles: Sequence[Style] | None = None) -> None:
        """Args: styles of one shape; None takes the bundled ones, and the one that is none."""
        styles = styles or [*map(open_style, bundled_styles()), open_style(PLAINS[STANDARD])]
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
            unit = float(offsets.std(0).mean())  # as far as styles lie from each other
            self.layers.append(Layer(name, kernels, offsets, channel, shares, gains, shifts, unit))
            at = ends[-1]
        self.colors = slice(at, at + _COLORS)
        self.code_size = at + _COLORS

    @property
    def digest(self) -> str:
        """Names the bank's weights: codes are of no use with others."""
        found = hashlib.sha256()
        for layer in self.layers:
            for part in (layer.weights, layer.offsets):
                found.update(part.astype(np.float32).tobytes())
        return found.hexdigest()[:16]

    def code_of(self, number: int) -> FloatArray:
        """The code of a style in the bank, (code_size,)."""
        code = np.zeros(self.code_size)
        for layer in self.layers:
            code[layer.shares.start + number] = 1
        code[self.colors][:9] = np.eye(3).ravel()
        return code

    def weights(self, code: FloatArray) -> dict[str, FloatArray]:
        """The weights that a code, (code_size,), asks for."""
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
        """The style that a code asks for."""
        ranges = ranges_of_all(self.styles)
        return self.styles[-1].with_weights(self.weights(code), name, card, ranges)
