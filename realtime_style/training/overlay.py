"""Overlays: the strokes of a painting laid over a photo in the painting's colours.

A generator that learns to paint overlays has strong strokes and keeps what the photo shows: light,
faces and forms come from the photo, strokes from a generator that was trained on the painting, and
colours from the painting itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.training.config import OverlaySettings
from realtime_style.training.distill import Aim
from realtime_style.training.light import luma_of
from realtime_style.training.recoloring import ColorTable, Recoloring

FITTED_ON = 16
"""How many overlays are measured, to give all overlays the painting's colours."""

# The edges of strokes must keep their colours, so cells are as small as these edges. Strokes that
# are added to a photo leave 0..1 on both sides
_COLORS = ColorTable(
    picture_cell_px=2, painting_cell_px=2, softness=0.002, low=-0.3, high=1.3, entries=25
)
_FITTED_AT_ONCE = 4

# Sizes are in pixels of the reduced pictures on which the filters run: half, quarter and eighth
_GUIDED_RADIUS = 2  # at half size
_GUIDED_EPSILON = 0.004  # variance of luma above which an edge is kept
_DETAIL_RADIUS = 4  # at half size: what is finer is detail
_CALM_RADIUS = 2  # at an eighth
_CALM_BELOW = 0.04  # standard deviation of luma in 0..1 from which a part of a photo is lively
_BLURRED_AT = 4
_BLURS = 3  # boxes: three are nearly a Gaussian


class Overlay:
    """What a generator with an overlay should paint of photos: an `Aim`.

    It is c(b(photo) + g * (p(photo) - blur(p(photo)))), where

    - b is the photo in the painting's colours (`Recoloring`), evened out by `evened_out`, so that
      the photo's own detail does not show between the strokes;
    - p is what the generator of strokes paints, at full size or on a photo of half the size,
      enlarged; minus its blur only the strokes are left, and neither light nor colours;
    - g is the gain, less where the photo is calm (`calmness`);
    - c is another `Recoloring`, from such sums to the painting, which brings them back to the
      painting's range: no light is burnt out, and no shadow is lost.
    """

    def __init__(
        self, strokes: Aim, photos: Tensor, paintings: list[Tensor], settings: OverlaySettings
    ) -> None:
        """Measures the colours of photos, of some overlays and of paintings; takes some seconds.

        Args:
            strokes: what the generator of strokes paints; see `painting_of`.
            photos: photos of all kinds, (N, 3, H, W) in 0..1, H and W multiples of 8, on the device
                on which overlays will be computed. FITTED_ON of them are laid over.
            paintings: each (1, 3, h, w) in 0..1, on the CPU.
            settings: how strong and how large the strokes are.
        """
        self._strokes = strokes
        self._settings = settings
        self._to_painting = Recoloring(photos.cpu(), paintings)
        parts = torch.split(photos[:FITTED_ON], _FITTED_AT_ONCE)
        sums = torch.cat([self._sum(part).cpu() for part in parts])
        self._to_range = Recoloring(sums, paintings, _COLORS)

    def __call__(self, photo: Tensor) -> Tensor:
        """Photos, (N, 3, H, W) RGB in 0..1, laid over with strokes: the same shape and range."""
        return self._to_range(self._sum(photo))

    @torch.no_grad()
    def _sum(self, photo: Tensor) -> Tensor:
        """Photo and strokes, not limited to 0..1."""
        photo = photo.contiguous()  # the filters run along rows
        settings = self._settings
        base = evened_out(self._to_painting(photo))
        painted = self._painted(photo).contiguous()
        strokes = painted - blurred(painted, settings.blur_px)
        gain = settings.gain * (1 - settings.calm * calmness(photo))
        return torch.addcmul(base, strokes, gain)

    def _painted(self, photo: Tensor) -> Tensor:
        """What the generator of strokes makes of photos: small strokes, large ones, or a mix."""
        large = self._settings.large
        if not large:
            return self._strokes(photo)
        painted = self._strokes(functional.avg_pool2d(photo, 2)).contiguous()
        enlarged = _enlarged(painted, 2, "bicubic").clamp_(0, 1)
        return enlarged if large == 1 else self._strokes(photo).lerp(enlarged, large)


def evened_out(rgb: Tensor, radius: int = _GUIDED_RADIUS) -> Tensor:
    """Removes fine detail from pictures, and keeps their edges.

    It is the guided filter (He et al., "Guided Image Filtering", TPAMI 2013, eq. 5, 6 and 8), twice
    in a row, with the picture's luma as its guide, a radius of 4 px and an epsilon of 0.004.
    Its coefficients are computed for cells of 2 px and enlarged (He and Sun, "Fast Guided Filter",
    arXiv 1505.00996), but from means over all pixels, so that detail finer than a cell counts.

    Args:
        rgb: (N, 3, H, W) in 0..1, sides even.
        radius: another radius, in units of 2 px.

    Returns:
        The same shape; it may leave 0..1 a little beside edges.
    """
    guide = luma_of(rgb)
    pixels = torch.cat((guide, guide * guide, rgb, guide * rgb), 1)
    luma, square, mean, product = torch.split(functional.avg_pool2d(pixels, 2), [1, 1, 3, 3], 1)
    scale, shift = _guided(luma, square, mean, product, radius)
    # The first pass returns scale * guide + shift, so what the second one needs follows from the
    # means of the guide; so does its own result, which is linear in the first one's luma
    of_luma, luma_shift = luma_of(scale), luma_of(shift)
    again, again_shift = _guided(
        of_luma * luma + luma_shift,
        of_luma.square() * square + 2 * of_luma * luma_shift * luma + luma_shift.square(),
        scale * luma + shift,
        of_luma * (scale * square + shift * luma) + luma_shift * (scale * luma + shift),
        radius,
    )
    both = torch.cat((again * of_luma, again * luma_shift + again_shift), 1)
    scale, shift = _enlarged(both, 2, "bilinear").chunk(2, 1)
    return torch.addcmul(shift, scale, guide)


def _guided(
    guide: Tensor, square: Tensor, mean: Tensor, product: Tensor, radius: int
) -> tuple[Tensor, Tensor]:
    """The scale and shift of a guided filter, which returns scale * guide + shift.

    Args:
        guide: means of the guide over cells, (N, 1, H, W).
        square: of its square, the same shape.
        mean: of the picture, (N, C, H, W).
        product: of guide times picture, (N, C, H, W).
        radius: of the windows, in cells.

    Returns:
        Both (N, C, H, W): means over all windows that a cell lies in.
    """
    sizes = [1, 1, mean.shape[1], mean.shape[1]]
    means = box(torch.cat((guide, square, mean, product), 1), radius)
    guide, square, mean, product = torch.split(means, sizes, 1)
    scale = (product - guide * mean) / (square - guide * guide + _GUIDED_EPSILON)
    shift = mean - scale * guide
    scale, shift = box(torch.cat((scale, shift), 1), radius).chunk(2, 1)
    return scale, shift


def calmness(photo: Tensor, scale: float = 1.0) -> Tensor:
    """How calm the parts of photos are, (N, 1, H, W): 1 in a flat part, 0 where there is detail.

    It is 1 - d / 0.04, or 0 if that is negative, where d is the standard deviation of luma from its
    mean over about 17 px, in a window of about 33 px.

    Args:
        photo: (N, 3, H, W) in 0..1, sides multiples of 8.
        scale: a factor for both sizes.
    """
    luma = luma_of(photo)
    luma, square = (functional.avg_pool2d(each, 2) for each in (luma, luma * luma))
    around = box(luma, round(scale * _DETAIL_RADIUS))
    detail = square - 2 * around * luma + around * around  # the mean of (luma - around) squared
    variance = box(
        functional.avg_pool2d(detail, 4), max(1, round(scale * _CALM_RADIUS))
    ).clamp_min_(0)
    return _enlarged((1 - variance.sqrt() / _CALM_BELOW).clamp_min_(0), 8, "bilinear")


def blurred(rgb: Tensor, radius_px: int) -> Tensor:
    """Pictures (N, C, H, W), sides multiples of 4, blurred by three boxes of a radius from 4 px.

    A blur this wide is the same at a quarter of the size.
    """
    small = functional.avg_pool2d(rgb, _BLURRED_AT)
    for _ in range(_BLURS):
        small = box(small, round(radius_px / _BLURRED_AT))
    return _enlarged(small, _BLURRED_AT, "bilinear")


def box(x: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 * radius + 1 values; the border of (N, C, H, W) is repeated.

    It adds up shifted pictures, along one axis after the other. For such radii that takes a tenth
    of the time of a pooling.
    """
    for axis, padding in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        count = x.shape[axis]
        padded = functional.pad(x, padding, mode="replicate")
        x = padded.narrow(axis, 0, count).clone()
        for start in range(1, 2 * radius + 1):
            x += padded.narrow(axis, start, count)
    return x.div_((2 * radius + 1) ** 2)


def _enlarged(x: Tensor, factor: int, mode: str) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)
