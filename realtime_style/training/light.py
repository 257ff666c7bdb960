"""Light: how bright a picture is where, and how closely a painting follows a photo in it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIGHT_PX = (8, 32)
"""Sides of the cells in which light is compared: small forms and large ones."""
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
_FLAT = 0.002  # variance of luma at which a photo counts half: a flat one has no light to follow
_LEAST_DEVIATIONS = 1e-4  # product of two sums of squares' roots


def luma_of(rgb: Tensor) -> Tensor:
    """BT.709 luma of RGB (N, 3, H, W), as (N, 1, H, W) in the same range."""
    weights = torch.tensor(_LUMA, dtype=rgb.dtype, device=rgb.device)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def light_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """1 minus the correlation of luma, in cells of 8 and of 32 px; 0 where light follows light.

    A correlation leaves a style its own darkness and contrast: a night scene stays one. Photos
    count by their own variance v of luma, as v / (v + 0.002), since in a flat one there is nothing
    to follow.

    (N, 3, H, W) in 0..1 both, sides at least 64; to a scalar from 0 to 2. Gradients go to
    `painted`.
    """
    errors = []
    for cell in LIGHT_PX:
        ours, theirs = (
            functional.avg_pool2d(luma_of(rgb), cell).flatten(1) for rgb in (painted, photo)
        )
        x, y = (each - each.mean(1, keepdim=True) for each in (ours, theirs))
        sizes = (x.square().sum(1) * y.square().sum(1) + 1e-12).sqrt()
        correlation = (x * y).sum(1) / (sizes + _LEAST_DEVIATIONS)
        variance = y.square().mean(1)
        errors.append(((1 - correlation) * variance / (variance + _FLAT)).mean())
    return torch.stack(errors).mean()
