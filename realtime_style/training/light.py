"""Losses of light and hue: painted pictures are light, and warm, where the photo is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LIGHT_PX = (8, 32)
"""Sides of the square cells whose means are compared, in pixels: for small and large forms."""
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
_HALF_LUMA = 0.002  # variance of luma in 0..1 at which a photo counts half
_HALF_CHROMA = 0.0005  # likewise of colour differences
_MIN_NORMS = 1e-4  # added to the product of two norms, against division by 0


def luma_of(rgb: Tensor) -> Tensor:
    """BT.709 luma of RGB (N, 3, H, W), as (N, 1, H, W) in the same range."""
    weights = torch.tensor(_LUMA, dtype=rgb.dtype, device=rgb.device)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def light_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """1 minus the correlation of painted luma with the photo's, in cells of 8 and of 32 pixels.

    A correlation ignores brightness and contrast, so a dark style stays dark. Each photo is
    weighted by v / (v + 0.002), where v is the variance of its luma, because a flat photo has no
    light to follow.

    Args:
        painted: (N, 3, H, W) in 0..1, sides at least 64. Receives the gradient.
        photo: the same shape.

    Returns:
        A scalar from 0 to 2: 0 where light follows light, 2 where it is inverted.
    """
    return _uncorrelated(luma_of(painted), luma_of(photo), _HALF_LUMA)


def hue_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """1 minus the correlation of the painted colour differences, R - Y and B - Y, with the photo's.

    A style keeps its palette, but warm and cold colours are where they are in the photo. Photos are
    weighted as in `light_loss`, with 0.0005 instead of 0.002; so are arguments and range.
    """
    ours, theirs = (rgb[:, ::2] - luma_of(rgb) for rgb in (painted, photo))
    return _uncorrelated(ours, theirs, _HALF_CHROMA)


def _uncorrelated(painted: Tensor, photo: Tensor, half: float) -> Tensor:
    """1 minus the correlation of planes (N, C, H, W), weighted by variance / (variance + half).

    Returns:
        A scalar: the mean over photos, planes and sizes of cells.
    """
    errors = []
    for cell in LIGHT_PX:
        ours, theirs = (functional.avg_pool2d(each, cell).flatten(2) for each in (painted, photo))
        x, y = (each - each.mean(2, keepdim=True) for each in (ours, theirs))
        norms = (x.square().sum(2) * y.square().sum(2) + 1e-12).sqrt()
        correlation = (x * y).sum(2) / (norms + _MIN_NORMS)
        variance = y.square().mean(2)
        errors.append(((1 - correlation) * variance / (variance + half)).mean())
    return torch.stack(errors).mean()
