"""Filters of photos and of painted pictures, from which the aims of sharp generators are made."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)  # BT.601: edges of red and blue count more than in BT.709
_GUIDED_EPSILON = 0.004  # variance of luma above which an edge is kept
_GUIDED_TIMES = 2

# Radii of boxes, in pixels of the canvas; standard deviations are of luma in 0..1
_CALM_DETAIL, _CALM_WINDOW = 4.0, 8.0
_CALM_BELOW = 0.04  # from this deviation a part of a photo is lively
_FINE_DETAIL, _FINE_WINDOW, _FINE_SPREAD = 3.0, 3.0, 2.0
_FINE_FROM, _FINE_TO = 0.008, 0.03  # deviations where detail begins to be fine, and is fine


def luma_of(rgb: Tensor) -> Tensor:
    """BT.601 luma of RGB (N, 3, H, W), as (N, 1, H, W) in the same range."""
    weights = torch.tensor(_LUMA, dtype=rgb.dtype, device=rgb.device)
    return (rgb * weights[:, None, None]).sum(1, keepdim=True)


def box(x: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 * radius + 1 values; the border of (N, C, H, W) is repeated.

    It adds up shifted pictures, along one axis after the other, which is faster than a pooling.
    """
    for axis, padding in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        padded = functional.pad(x, padding, mode="replicate")
        x = _sums_along(padded, axis, 2 * radius + 1)
    return x.div_((2 * radius + 1) ** 2)


def _sums_along(x: Tensor, axis: int, count: int) -> Tensor:
    """Sums of each `count` values in a row; along the axis `count - 1` fewer than there are in x.

    Sums of 1, 2, 4, ... values are made, each of two of those before, and the sum of `count` values
    of some of them.
    """
    length = x.shape[axis] - count + 1
    total = torch.zeros(())
    done = 0  # values that are in `total`
    sums, size = x, 1
    while size <= count:
        if count & size:
            part = sums.narrow(axis, done, length)
            total = total.add_(part) if done else part.clone()
            done += size
        size *= 2
        if size <= count:
            left = sums.shape[axis] - size // 2
            sums = sums.narrow(axis, 0, left) + sums.narrow(axis, size // 2, left)
    return total


def evened_out(rgb: Tensor, radius: int) -> Tensor:
    """Removes fine detail from pictures, and keeps their edges.

    It is the guided filter (He et al., "Guided Image Filtering", TPAMI 2013, eq. 5, 6 and 8), twice
    in a row, with the picture's luma as its guide and an epsilon of 0.004.

    Args:
        rgb: (N, 3, H, W) in 0..1.
        radius: of its windows, in pixels.

    Returns:
        The same shape; it may leave 0..1 a little beside edges.
    """
    for _ in range(_GUIDED_TIMES):
        guide = luma_of(rgb)
        pixels = torch.cat((guide, guide * guide, rgb, guide * rgb), 1)
        luma, square, mean, product = torch.split(box(pixels, radius), [1, 1, 3, 3], 1)
        scale = (product - luma * mean) / (square - luma * luma + _GUIDED_EPSILON)
        scale, shift = box(torch.cat((scale, mean - scale * luma), 1), radius).chunk(2, 1)
        rgb = torch.addcmul(shift, scale, guide)
    return rgb


def sharpened(rgb: Tensor, amount: float) -> Tensor:
    """Sharpens edges of pictures (N, 3, H, W), but no texture of single pixels.

    What alternates from pixel to pixel, as the weave of a generator does, is removed by the kernel
    (1, 2, 1) / 4. Then `amount` times the difference from the mean of 5x5 pixels is added.
    """
    for axis in (2, 3):
        before, after = (_shifted(rgb, axis, by) for by in (-1, 1))
        rgb = (before + 2 * rgb + after) / 4
    return rgb + amount * (rgb - box(rgb, 2))


def _shifted(rgb: Tensor, axis: int, by: int) -> Tensor:
    """Pictures moved by a pixel; the outermost ones are repeated."""
    last = rgb.shape[axis] - 1
    places = (torch.arange(last + 1, device=rgb.device) + by).clamp(0, last)
    return rgb.index_select(axis, places)


def calmness(luma: Tensor, ratio: float) -> Tensor:
    """How calm the parts of photos are: 1 in a flat part, 0 where there is detail.

    It is 1 - d / 0.04, or 0 if that is negative, where d is the standard deviation of luma from its
    mean around.

    Args:
        luma: of photos, (N, 1, H, W) in 0..1.
        ratio: of the sides of photo and canvas; sizes of detail are in pixels of the canvas.

    Returns:
        (N, 1, H, W).
    """
    detail = (luma - box(luma, round(_CALM_DETAIL * ratio))).square()
    deviation = box(detail, round(_CALM_WINDOW * ratio)).clamp_min_(0).sqrt()
    return (1 - deviation / _CALM_BELOW).clamp_min_(0)


def fine_detail(luma: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The detail of photos that is fine, such as that of eyes.

    Args:
        luma: of photos, (N, 1, H, W) in 0..1.
        ratio: of the sides of photo and canvas; detail of a few pixels of the canvas is fine.

    Returns:
        How fine the detail around each pixel is, (N, 1, H, W): 0 in a flat part, 1 at an eye; and
        the detail itself, what luma has over its mean around, the same shape.
    """
    detail = luma - box(luma, max(1, round(_FINE_DETAIL * ratio)))
    deviation = box(detail.square(), round(_FINE_WINDOW * ratio)).clamp_min_(0).sqrt()
    fine = ((deviation - _FINE_FROM) / (_FINE_TO - _FINE_FROM)).clamp_(0, 1)
    return box(fine, round(_FINE_SPREAD * ratio)), detail
