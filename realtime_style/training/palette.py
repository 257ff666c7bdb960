"""Palette: the colours of a painting, and how far what is painted is from them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PALETTE_PX = (4, 16)
"""Sides of the cells whose mean colours are compared: single strokes and areas."""
_DIRECTIONS = 16
_QUANTILES = 256
_QUEUE = 6  # earlier batches that count as well: no two photos have all of a painting's colours
_NEAREST = 1536  # colours of the painting, drawn for each step


class Palette:
    """Colours of paintings, RGB in 0..1, as two losses of painted photos."""

    def __init__(self, paintings: list[Tensor]) -> None:
        """Args: paintings, each (1, 3, H, W) in 0..1."""
        self._colors = [
            torch.cat([_cells(painting, cell) for painting in paintings]) for cell in PALETTE_PX
        ]

    def spread_loss(
        self, painted: Tensor, random: torch.Generator, earlier: list[list[Tensor]]
    ) -> Tensor:
        """Sliced Wasserstein distance of the colours, at a fourth and a sixteenth of the size.

        Along random directions (Pitie et al., ICCV 2005; Bonneel et al., JMIV 2015), the mean
        absolute difference of 256 quantiles. (N, 3, H, W) in 0..1 to a scalar in 0..1.

        `earlier` holds the colours of the last few batches for both sizes, which count as well (a
        painting's greens may all be in one photo's meadow); this batch's are added to it.
        """
        steps = torch.arange(_QUANTILES, device=painted.device)
        at = (steps + 0.5) / _QUANTILES
        errors = []
        for cell, theirs, queue in zip(PALETTE_PX, self._colors, earlier, strict=True):
            ours = _cells(painted, cell)
            directions = torch.randn(3, _DIRECTIONS, generator=random).to(painted.device)
            directions = functional.normalize(directions, dim=0)
            mine = torch.cat([ours, *queue]) @ directions
            aims = _quantiles(theirs @ directions, at)
            errors.append((_quantiles(mine, at) - aims).abs().mean())
            queue.append(ours.detach())
            del queue[:-_QUEUE]
        return torch.stack(errors).mean()

    def nearest_loss(self, painted: Tensor, random: torch.Generator) -> Tensor:
        """Mean distance of a painted colour to the nearest that the paintings have.

        At a fourth of the size; 0 where every colour is theirs. (N, 3, H, W) in 0..1 to a scalar.
        """
        theirs = self._colors[0]
        picks = torch.randint(len(theirs), (_NEAREST,), generator=random)
        ours = _cells(painted, PALETTE_PX[0])
        with torch.no_grad():
            nearest = theirs[picks.to(theirs.device)]
            nearest = nearest[torch.cdist(ours, nearest).argmin(1)]
        return ((ours - nearest).square().sum(1) + 1e-8).sqrt().mean()


def _cells(rgb: Tensor, cell: int) -> Tensor:
    """Mean colours in squares of so many pixels, (cells, 3), of (N, 3, H, W)."""
    return functional.avg_pool2d(rgb.float(), cell).permute(0, 2, 3, 1).reshape(-1, 3)


def _quantiles(values: Tensor, at: Tensor) -> Tensor:
    """Quantiles, at shares (Q,), of every column of (P, D): (Q, D)."""
    ordered = values.sort(0).values
    place = at * (len(ordered) - 1)
    low = place.long()
    high = (low + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], (place - low)[:, None])
