"""Conversion between RGB pictures and YUV 4:2:0 planes, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.color import ColorSpace


def planes_from_rgb(rgb: Tensor, color: ColorSpace) -> tuple[Tensor, Tensor]:
    """Converts RGB pictures to planes.

    Args:
        rgb: (N, 3, H, W) in 0..1, even sides.
        color: the colour space of the planes.

    Returns:
        Luma (N, 1, H, W) and chroma (N, 2, H/2, W/2): 8-bit values divided by 255, not rounded.
        Each chroma value is the mean of a 2x2 block.
    """
    matrix, offset = (
        torch.as_tensor(a, dtype=rgb.dtype, device=rgb.device) for a in color.yuv_from_rgb()
    )
    yuv = torch.einsum("ij,njhw->nihw", matrix, rgb) + offset[:, None, None]
    return yuv[:, :1], functional.avg_pool2d(yuv[:, 1:], 2)


def rgb_from_planes(luma: Tensor, chroma: Tensor, color: ColorSpace) -> Tensor:
    """Converts planes to RGB, (N, 3, H, W), not clamped; chroma is enlarged bilinearly.

    Args:
        luma: (N, 1, H, W) in 0..1.
        chroma: (N, 2, H/2, W/2) in 0..1.
        color: the colour space of the planes.
    """
    from_rgb, shift = color.yuv_from_rgb()
    inverse, offset = (
        torch.as_tensor(a, dtype=luma.dtype, device=luma.device)
        for a in (np.linalg.inv(from_rgb), shift)
    )
    full = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    yuv = torch.cat((luma, full), 1) - offset[:, None, None]
    return torch.einsum("ij,njhw->nihw", inverse, yuv)


PLANES_COLOR = ColorSpace()
"""The colour space of all generators: BT.709, limited range."""


def paint_rgb(paint: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], rgb: Tensor) -> Tensor:
    """Paints RGB pictures with a function that paints planes.

    Args:
        paint: `Generator.forward` or a function like it: planes to planes, both in 0..1.
        rgb: (N, 3, H, W) in 0..1, sides multiples of 4.

    Returns:
        The painted pictures, in the same shape, not clamped.
    """
    luma, chroma = paint(*planes_from_rgb(rgb, PLANES_COLOR))
    return rgb_from_planes(luma.float(), chroma.float(), PLANES_COLOR)
