"""Losses of light and hue: painted pictures are light, and warm, where the photo is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIGHT_PX = (8, 32)
"""Sides of the cells in which light is compared: small and large forms."""
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
_HALF_LUMA = 0.002  # variance of luma at which a photo counts half
_HALF_CHROMA = 0.0005  # the same for colour differences
_MIN_NORMS = 1e-4  # of the product of two norms


def luma_of(rgb: Tensor) -> Tensor:
    """BT.709 luma of RGB (N, 3, H, W), as (N, 1, H, W) in the same range."""
    weights = torch.tensor(_LUMA, dtype=rgb.dtype, device=rgb.device)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def light_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """1 minus the correlation of luma with the photo's, in cells of 8 and of 32 px.

    A correlation ignores brightness and contrast, so a dark style stays dark. Each photo is
    weighted by v / (v + 0.002), where v is its variance of luma: a flat photo has no light to
    follow.

    Args:
        painted: (N, 3, H, W) in 0..1, sides at least 64. Receives the gradient.
        photo: the same shape.

    Returns:
        A scalar from 0 to 2: 0 where light follows light, 2 where it is inverted.
    """
    return _uncorrelated(luma_of(painted), luma_of(photo), _HALF_LUMA)


def hue_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """1 minus the correlation of the colour differences R - Y and B - Y with the photo's.

    A style keeps its palette, and places warm and cold colours as they are in the photo. A photo
    counts half at a variance of 0.0005. Arguments and range as for `light_loss`.
    """
    ours, theirs = (rgb[:, ::2] - luma_of(rgb) for rgb in (painted, photo))
    return _uncorrelated(ours, theirs, _HALF_CHROMA)


def _uncorrelated(painted: Tensor, photo: Tensor, half: float) -> Tensor:
    """1 minus the correlation of each plane (N, C, H, W), a mean over planes and cell sizes."""
    errors = []
    for cell in LIGHT_PX:
        ours, theirs = (functional.avg_pool2d(each, cell).flatten(2) for each in (painted, photo))
        x, y = (each - each.mean(2, keepdim=True) for each in (ours, theirs))
        norms = (x.square().sum(2) * y.square().sum(2) + 1e-12).sqrt()
        correlation = (x * y).sum(2) / (norms + _MIN_NORMS)
        variance = y.square().mean(2)
        errors.append(((1 - correlation) * variance / (variance + half)).mean())
    return torch.stack(errors).mean()
