"""Losses that ask painted pictures to have the colours of the painting."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PALETTE_PX = (4, 16)
"""Sides of the square cells whose mean colours are compared, in pixels: of strokes and of areas."""

Colors = list[list[Tensor]]
"""Painted colours of earlier steps: for each of PALETTE_PX, one (cells, 3) RGB for each step."""

_DIRECTIONS = 16  # random directions along which colours are compared
_QUANTILES = 256  # quantiles that are compared along each
_MAX_EARLIER = 6  # how many earlier steps count, as one batch cannot have all colours of a painting
_NEAREST = 1536  # how many colours of the painting are drawn in each step


def no_colors() -> Colors:
    """The painted colours before the first step: none."""
    return [[] for _ in PALETTE_PX]


class Palette:
    """The colours of paintings, and two losses that measure the distance to them."""

    def __init__(self, paintings: list[Tensor]) -> None:
        """Args: paintings, RGB in 0..1, each (1, 3, H, W)."""
        self._colors = [
            torch.cat([_cells(painting, cell) for painting in paintings]) for cell in PALETTE_PX
        ]

    def spread_loss(self, painted: Tensor, random: torch.Generator, earlier: Colors) -> Tensor:
        """Sliced Wasserstein distance between painted colours and those of the paintings.

        It is the mean absolute difference of 256 quantiles along random directions (Pitié et al.,
        ICCV 2005; Bonneel et al., JMIV 2015), of mean colours in cells of 4 and of 16 pixels. The
        painted colours of the last 6 steps count as well, because a single batch may, for example,
        have no meadow to paint in the greens of the painting.

        Args:
            painted: (N, 3, H, W) RGB in 0..1. Receives the gradient.
            random: draws the directions, on the CPU.
            earlier: painted colours of earlier steps; changed in place, this step's are added.

        Returns:
            A scalar from 0, for the same colours in the same shares, to 1.
        """
        steps = torch.arange(_QUANTILES, device=painted.device)
        at = (steps + 0.5) / _QUANTILES
        errors = []
        for cell, theirs, kept in zip(PALETTE_PX, self._colors, earlier, strict=True):
            ours = _cells(painted, cell)
            directions = torch.randn(3, _DIRECTIONS, generator=random).to(painted.device)
            directions = functional.normalize(directions, dim=0)
            projected = torch.cat([ours, *(each.to(ours) for each in kept)]) @ directions
            targets = _quantiles(theirs @ directions, at)
            errors.append((_quantiles(projected, at) - targets).abs().mean())
            kept.append(ours.detach())
            del kept[:-_MAX_EARLIER]
        return torch.stack(errors).mean()

    def nearest_loss(self, painted: Tensor, random: torch.Generator) -> Tensor:
        """Mean distance from each painted colour to the nearest colour of the paintings.

        Colours are means of cells of 4 pixels; those of the paintings are 1536 that are drawn.

        Args:
            painted: (N, 3, H, W) RGB in 0..1. Receives the gradient.
            random: draws the colours of the paintings, on the CPU.

        Returns:
            A scalar; 0 if every painted colour is in the paintings.
        """
        theirs = self._colors[0]
        picks = torch.randint(len(theirs), (_NEAREST,), generator=random)
        ours = _cells(painted, PALETTE_PX[0])
        with torch.no_grad():
            drawn = theirs[picks.to(theirs.device)]
            nearest = drawn[torch.cdist(ours, drawn).argmin(1)]
        return ((ours - nearest).square().sum(1) + 1e-8).sqrt().mean()


def _cells(rgb: Tensor, cell: int) -> Tensor:
    """The mean colour of each square cell of side `cell`, (cells, 3), of RGB (N, 3, H, W)."""
    return functional.avg_pool2d(rgb.float(), cell).permute(0, 2, 3, 1).reshape(-1, 3)


def _quantiles(values: Tensor, at: Tensor) -> Tensor:
    """The quantiles of each column of values.

    Args:
        values: (P, D).
        at: (Q,), which quantiles, in 0..1.

    Returns:
        (Q, D).
    """
    ordered = values.sort(0).values
    place = at * (len(ordered) - 1)
    low = place.long()
    high = (low + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (place - low)[:, None])
