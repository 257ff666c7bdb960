"""Optimal transport between the colours of pictures, in Oklab."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_CHROMA = 2.0  # of Oklab's a and b over its lightness: larger keeps hues apart
_REACH = 0.05  # a squared distance in Oklab; see `loose_potential`
_MAP_SOFTNESS = 0.002  # of the map between the colours, a squared distance in Oklab
_ENTRIES = 17  # of the table along each channel

LMS = np.array([[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696],
                [0.08830246, 0.28171884, 0.6299787]])  # fmt: skip
"""(3, 3): from linear RGB to the responses of the three kinds of cones."""

OKLAB = np.array([[0.21045426, 0.7936178, -0.00407205], [1.9779985, -2.4285922, 0.45059371],
                  [0.02590404, 0.78277177, -0.80867577]])  # fmt: skip
"""(3, 3): from the cube roots of these responses to lightness, a and b."""

_SOFTNESS = (0.02, 0.01, 0.005, 0.002)
_ABSORPTIONS, _ITERATIONS = 2, 6  # for each softness, and for each of these
_MIN_MASS = 1e-100


def in_oklab(rgb: ArrayLike, chroma: float = 1.0) -> FloatArray:
    """Colours in Oklab (Ottosson 2020).

    Args:
        rgb: (P, 3) gamma-encoded RGB; values outside 0..1 are clamped.
        chroma: factor of a and b.

    Returns:
        (P, 3) float64: lightness in 0..1, a and b.
    """
    within = np.clip(np.asarray(rgb, np.float64), 0, 1)
    linear = np.where(within <= 0.04045, within / 12.92, ((within + 0.055) / 1.055) ** 2.4)
    places: FloatArray = np.cbrt(linear @ LMS.T) @ OKLAB.T * (1.0, chroma, chroma)
    return places


class ColorTransport:
    """A map of colours, after which pictures have about the colours of others, in their shares.

    It is the unbalanced optimal transport between both distributions of colours in Oklab (Chizat et
    al., "Scaling algorithms for unbalanced optimal transport problems", 2018): of all such maps the
    one that changes colours least, so light stays light. Colours between the given ones get the
    entropic map (Pooladian and Niles-Weed, arXiv 2109.12004, eq. 6), from a table.
    """

    def __init__(self, colors: ArrayLike, goal: ArrayLike) -> None:
        """Computes the map.

        Args:
            colors: (P, 3) RGB in 0..1, the colours to be mapped; all count equally.
            goal: (Q, 3) RGB in 0..1, the colours to get; all count equally.
        """
        goal = np.asarray(goal, np.float64)
        theirs = in_oklab(goal, _CHROMA)
        potential = loose_potential(_squares(in_oklab(colors, _CHROMA), theirs), _REACH)
        axis = np.linspace(0, 1, _ENTRIES)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        x = (potential - _squares(in_oklab(grid, _CHROMA), theirs)) / _MAP_SOFTNESS
        shares = np.exp(x - x.max(1, keepdims=True))
        mapped = shares @ goal / shares.sum(1, keepdims=True)
        self._table = mapped.astype(np.float32)

    def __call__(self, rgb: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps colours.

        Args:
            rgb: (P, 3) float32 RGB; values outside 0..1 are clamped.

        Returns:
            (P, 3) float32, in 0..1.
        """
        at = np.clip(rgb, 0, 1) * np.float32(_ENTRIES - 1)
        corner = np.minimum(at.astype(np.int32), _ENTRIES - 2)
        part = at - corner
        first = (corner[:, 0] * _ENTRIES + corner[:, 1]) * _ENTRIES + corner[:, 2]
        found = np.zeros_like(rgb)
        for r in (0, 1):
            for g in (0, 1):
                for b in (0, 1):
                    share = np.ones(len(rgb), np.float32)
                    for channel, upper in enumerate((r, g, b)):
                        share *= part[:, channel] if upper else 1 - part[:, channel]
                    entry = first + (r * _ENTRIES + g) * _ENTRIES + b
                    found += share[:, None] * self._table[entry]
        return found


def _squares(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """The squared distances, (P, Q), of points (P, 3) and (Q, 3)."""
    products = ours @ theirs.T
    sums: FloatArray = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * products
    return sums.clip(0)


def loose_potential(cost: FloatArray, reach: float) -> FloatArray:
    """The dual potential of the goal, (Q,), of the transport with a cost (P, Q) float64.

    It keeps the shares of neither side exactly: those that differ cost their Kullback-Leibler
    divergence times `reach` (Chizat et al., table 1). So colours about as far as that from all that
    the goal has left may share what is nearer instead.

    Computed by Sinkhorn's algorithm. For each softness the kernel is computed a few times, with the
    potentials so far (Schmitzer, SIAM J. Sci. Comput. 2019, section 3.1); the iterations are
    products of it with vectors.
    """
    ours, theirs = cost.shape
    g = np.zeros(theirs)
    for softness in _SOFTNESS:
        share = reach / (reach + softness)
        x = (g - cost) / softness  # the old potentials of `ours` fit the new softness badly
        highest = x.max(1)
        f = -share * softness * (np.log(np.exp(x - highest[:, None]).mean(1)) + highest)
        for _ in range(_ABSORPTIONS):
            kernel = np.exp((f[:, None] + g - cost) / softness)
            first_f, first_g = f, g
            for _ in range(_ITERATIONS):
                mass = kernel.T @ np.exp((f - first_f) / softness) / ours
                g = share * (first_g - softness * np.log(mass.clip(_MIN_MASS)))
                mass = kernel @ np.exp((g - first_g) / softness) / theirs
                f = share * (first_f - softness * np.log(mass.clip(_MIN_MASS)))
    return g
