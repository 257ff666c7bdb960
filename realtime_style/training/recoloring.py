"""Photos in a painting's colours: what a painted photo should look like, apart from its strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.style.color_transport import LMS, OKLAB, loose_potential

MEASURED_CROPS = 64
"""How many crops of photos are measured, for the colours of all photos."""

COLOR_PX = 16
"""Side of the cells in which colours are compared: larger than most strokes."""

_SAMPLES = 768  # colours of photos, and of paintings
_CHROMA = 2.0  # of Oklab's a and b over its lightness
_BEYOND = 0.6  # lightness of a value above 1, or below 0, for each unit beyond
_SOFTNESS = (0.02, 0.01, 0.005, 0.002, 0.001)
_ABSORPTIONS, _ITERATIONS = 2, 15  # for each softness, and for each of these
_MIN_MASS = 1e-100


@dataclass(frozen=True, slots=True)
class ColorTable:
    """How a map of colours is measured and stored.

    Attributes:
        picture_cell_px: side of the cells of pictures whose mean colours are measured: larger
            cells leave out noise and detail.
        painting_cell_px: the same of paintings: larger cells leave out craquelure and grain.
        softness: of the map between the samples, a squared distance in Oklab. Larger is smoother.
        low: the lowest value of a channel that is mapped; values below it are mapped as this.
        high: the highest.
        entries: entries of the table along each channel.
        chroma: weight of Oklab's a and b over its lightness. Larger keeps hues apart.
        reach: a squared distance in Oklab. Colours about as far from all that the painting has left
            may share what is nearer instead, so the painting's shares are kept only roughly. None
            keeps them exactly.
    """

    picture_cell_px: int = 8
    painting_cell_px: int = 4
    softness: float = _SOFTNESS[-1]
    low: float = 0.0
    high: float = 1.0
    entries: int = 17
    chroma: float = _CHROMA
    reach: float | None = None


PHOTO_COLORS = ColorTable()
"""The table for photos."""


class Recoloring:
    """A map from colours of pictures to colours of paintings, as a table.

    It is the optimal transport between both distributions of colours in Oklab: of all maps after
    which pictures have the paintings' colours in the paintings' shares, the one that changes
    colours least. Light stays light, and foliage becomes green where a painting has any green.

    Computed by Sinkhorn's algorithm (Cuturi, NeurIPS 2013, algorithm 1, on logarithms). Colours
    between the samples get the entropic map (Pooladian and Niles-Weed, arXiv 2109.12004, eq. 6).

    Attributes:
        table: (1, 3, entries, entries, entries): the new colour of every R, G, B.
    """

    def __init__(
        self, pictures: Sequence[Tensor], paintings: list[Tensor], kind: ColorTable = PHOTO_COLORS
    ) -> None:
        """Computes the map, which takes about a second.

        Args:
            pictures: each (N, 3, H, W), on the CPU; values may leave 0..1.
            paintings: each (1, 3, H, W) in 0..1, on the CPU.
            kind: how the map is measured and stored; the default is for photos.
        """
        self._low, self._high = kind.low, kind.high
        ours = _sample(pictures, kind.picture_cell_px)
        theirs = _sample(paintings, kind.painting_cell_px)
        near, goal = (_place(each, kind.chroma) for each in (ours, theirs))
        if kind.reach is None:
            potential = _potential(near, goal)
        else:
            cost = torch.cdist(near.double(), goal.double()).square()
            potential = torch.from_numpy(loose_potential(cost.numpy(), kind.reach)).float()
        axis = torch.linspace(kind.low, kind.high, kind.entries)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        cost = torch.cdist(_place(grid, kind.chroma), goal).square()
        mapped = torch.softmax((potential - cost) / kind.softness, 1) @ theirs
        # As grid_sample reads it
        self.table = mapped.reshape(*[kind.entries] * 3, 3).permute(3, 0, 1, 2)[None]

    def __call__(self, rgb: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the painting's colours, the same shape, in 0..1."""
        table = self.table.to(rgb.device).expand(len(rgb), -1, -1, -1, -1)
        scale = 2 / (self._high - self._low)
        # Its last axis is B, G, R, in -1..1
        at = rgb.flip(1).permute(0, 2, 3, 1)[:, None] * scale - (1 + scale * self._low)
        return functional.grid_sample(table, at, align_corners=True, padding_mode="border")[:, :, 0]


def color_loss(painted: Tensor, target: Tensor) -> Tensor:
    """Mean distance between colours in cells of 16 px.

    Args:
        painted: (N, 3, H, W) in 0..1. Receives the gradient.
        target: the same shape.

    Returns:
        A scalar; 0 for the same colours, whatever the strokes within a cell.
    """
    difference = functional.avg_pool2d(painted.float() - target.float(), COLOR_PX)
    return (difference.square().sum(1) + 1e-6).sqrt().mean()


def _cells(rgb: Tensor, cell: int) -> Tensor:
    return functional.avg_pool2d(rgb, cell).permute(0, 2, 3, 1).reshape(-1, 3)


def _sample(pictures: Sequence[Tensor], cell: int) -> Tensor:
    """_SAMPLES colours of pictures, (_SAMPLES, 3), evenly from dark to light: none by chance."""
    colors = torch.cat([_cells(each, cell) for each in pictures])
    order = _place(colors.clamp(0, 1))[:, 0].argsort()
    return colors[order[torch.linspace(0, len(order) - 1, _SAMPLES).round().long()]]


def _place(rgb: Tensor, chroma: float = _CHROMA) -> Tensor:
    """RGB (P, 3) in Oklab (Ottosson 2020), with a and b scaled by `chroma`.

    Colours outside 0..1 are where the nearest colour within is, only darker or lighter by _BEYOND
    times the mean distance of their channels from it.
    """
    within = rgb.clamp(0, 1)
    linear = torch.where(within <= 0.04045, within / 12.92, ((within + 0.055) / 1.055) ** 2.4)
    cones = (linear @ torch.from_numpy(LMS.T).float()).clamp_min(0) ** (1 / 3)
    place = cones @ torch.from_numpy(OKLAB.T).float() * torch.tensor((1.0, chroma, chroma))
    place[:, 0] += _BEYOND * (rgb - within).mean(1)
    return place


def _potential(ours: Tensor, theirs: Tensor) -> Tensor:
    """The dual potential of `theirs`, (Q,), of the transport from points (P, 3) to (Q, 3).

    For each softness the kernel is computed once, with the potentials so far (Schmitzer,
    SIAM J. Sci. Comput. 2019, section 3.1); the iterations are products of it with vectors.
    """
    cost = torch.cdist(ours.double(), theirs.double()).square()
    f, g = torch.zeros_like(cost[:, 0]), torch.zeros_like(cost[0])
    for softness in _SOFTNESS:
        # From one softness to the next the old potentials fit badly: make every row's sum 1
        f = -softness * torch.logsumexp((g - cost) / softness, 1)
        for _ in range(_ABSORPTIONS):
            kernel = torch.exp((f[:, None] + g - cost) / softness)
            v = torch.ones_like(g)
            for _ in range(_ITERATIONS):
                u = 1 / (len(ours) * (kernel @ v)).clamp_min(_MIN_MASS)
                v = 1 / (len(theirs) * (kernel.T @ u)).clamp_min(_MIN_MASS)
            f, g = f + softness * u.log(), g + softness * v.log()
    return g.float()
