"""Light and hue: how closely a painting follows a photo in what is light, and what is warm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIGHT_PX = (8, 32)
"""Sides of the cells in which light is compared: small forms and large ones."""
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
_FLAT = 0.002  # variance of luma at which a photo counts half: a flat one has no light to follow
_GREY = 0.0005  # the same of the colour differences
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
    return _unlike(luma_of(painted), luma_of(photo), _FLAT)


def hue_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """The same of the colour differences, red less luma and blue less luma: warm follows warm.

    A style keeps its own palette, and lays out its colours as they lie in the photo. The variance
    that counts half is 0.0005. Shapes and range as for `light_loss`.
    """
    ours, theirs = (rgb[:, ::2] - luma_of(rgb) for rgb in (painted, photo))
    return _unlike(ours, theirs, _GREY)


def _unlike(painted: Tensor, photo: Tensor, least: float) -> Tensor:
    """1 minus the correlation of planes (N, C, H, W), plane by plane, in cells of each size."""
    errors = []
    for cell in LIGHT_PX:
        ours, theirs = (functional.avg_pool2d(each, cell).flatten(2) for each in (painted, photo))
        x, y = (each - each.mean(2, keepdim=True) for each in (ours, theirs))
        sizes = (x.square().sum(2) * y.square().sum(2) + 1e-12).sqrt()
        correlation = (x * y).sum(2) / (sizes + _LEAST_DEVIATIONS)
        variance = y.square().mean(2)
        errors.append(((1 - correlation) * variance / (variance + least)).mean())
    return torch.stack(errors).mean()
