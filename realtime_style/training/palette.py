"""Losses of colour: painted pictures have the colours of the painting."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PALETTE_PX = (4, 16)
"""Sides of the cells whose mean colours are compared: single strokes and areas."""

Colors = list[list[Tensor]]
"""Painted colours of earlier steps: for each of PALETTE_PX, one (cells, 3) per step."""

_DIRECTIONS = 16
_QUANTILES = 256
_MAX_EARLIER = 6  # steps; no two photos have all of a painting's colours
_NEAREST = 1536  # colours of the painting, drawn in each step


def no_colors() -> Colors:
    """Before the first step."""
    return [[] for _ in PALETTE_PX]


class Palette:
    """The colours of paintings, RGB in 0..1, and two losses towards them."""

    def __init__(self, paintings: list[Tensor]) -> None:
        """Args: paintings, each (1, 3, H, W) in 0..1."""
        self._colors = [
            torch.cat([_cells(painting, cell) for painting in paintings]) for cell in PALETTE_PX
        ]

    def spread_loss(self, painted: Tensor, random: torch.Generator, earlier: Colors) -> Tensor:
        """Sliced Wasserstein distance between painted colours and those of the paintings.

        Along random directions (Pitié et al., ICCV 2005; Bonneel et al., JMIV 2015), the mean
        absolute difference of 256 quantiles, of mean colours in cells of 4 and of 16 px. The
        colours of the last steps count too: a painting's greens may all be in one photo's meadow.

        Args:
            painted: (N, 3, H, W) in 0..1. Receives the gradient.
            random: draws the directions.
            earlier: this step's colours are added to it.

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
        """Mean distance between a painted colour and the nearest colour of the paintings.

        Of mean colours in cells of 4 px, among 1536 colours drawn from the paintings.

        Args:
            painted: (N, 3, H, W) in 0..1. Receives the gradient.
            random: draws the paintings' colours.

        Returns:
            A scalar; 0 if the paintings have every colour.
        """
        theirs = self._colors[0]
        picks = torch.randint(len(theirs), (_NEAREST,), generator=random)
        ours = _cells(painted, PALETTE_PX[0])
        with torch.no_grad():
            drawn = theirs[picks.to(theirs.device)]
            nearest = drawn[torch.cdist(ours, drawn).argmin(1)]
        return ((ours - nearest).square().sum(1) + 1e-8).sqrt().mean()


def _cells(rgb: Tensor, cell: int) -> Tensor:
    """Mean colours in square cells, (cells, 3), of RGB (N, 3, H, W)."""
    return functional.avg_pool2d(rgb.float(), cell).permute(0, 2, 3, 1).reshape(-1, 3)


def _quantiles(values: Tensor, at: Tensor) -> Tensor:
    """The quantiles at shares (Q,) of each column of values (P, D), as (Q, D)."""
    ordered = values.sort(0).values
    place = at * (len(ordered) - 1)
    low = place.long()
    high = (low + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (place - low)[:, None])
