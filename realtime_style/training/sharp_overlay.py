"""What a sharp generator should paint: strokes of a canvas, laid over the photo at its own size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.canvas import CANVAS_MULTIPLE
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.config import SharpSettings
from realtime_style.training.device import autocast
from realtime_style.training.filters import calmness, evened_out, fine_detail, luma_of, sharpened
from realtime_style.training.generator import MID, FoldedGenerator, Generator, pad_edges
from realtime_style.training.recoloring import ColorTable, Recoloring
from realtime_style.training.sharp import reduced

Strokes = Callable[[Tensor], Tensor]
"""What a generator of strokes paints: (N, 3, H, W) RGB in 0..1 to the same shape, in 0..1, without
a gradient. H and W are multiples of 8."""

MEASURED_RATIO = 1.75
"""The ratio of photo and canvas at which the colours of sums are measured: that of 720p."""

# Shares of the painting's colours are kept only roughly. Otherwise a painting without a light part
# darkens every sky, and one colour of a photo is torn into several
PHOTO_COLORS = ColorTable(softness=0.002, reach=0.02)
SUM_COLORS = ColorTable(
    picture_cell_px=2, painting_cell_px=2, softness=0.002, low=-0.3, high=1.3, entries=25,
    chroma=4.0, reach=0.05,
)  # fmt: skip

_MOVED_PX = 2  # by how much one of two paintings is moved against the grid of the generator
_SHARPNESS = 2.5  # of what is painted: paint has edges, enlarged pictures have none
_BEYOND = 0.2  # by how much sharpened paintings may leave 0..1
_MEASURED_AT_ONCE = 4
_EVENED_RADIUS = 2.0  # in pixels of the canvas
_MEANS_BOX = 2  # radius in cells of CANVAS_MULTIPLE px, as in `sharp.means_around`


class SharpOverlay:
    """What a sharp generator should paint of photos, at any ratio of photo and canvas.

    It is c(b(photo) + g * s(photo) + d(photo)), where

    - b is the photo in the painting's colours (`Recoloring`), evened out, so that its own detail
      does not show between the strokes;
    - s is what the generator of strokes paints on the canvas, sharpened and enlarged, minus its
      means around: only strokes are left, neither light nor large colours. It is the mean of two
      paintings, one of them moved by 2 px, which removes the generator's grid;
    - g is the gain, less where the photo is calm and where it has fine detail;
    - d is that fine detail, so that eyes are seen;
    - c is another `Recoloring`, from such sums to the painting: no light is burnt out, and no
      shadow is lost.
    """

    def __init__(
        self,
        strokes: Strokes,
        photos: Sequence[Tensor],
        crops: Tensor,
        paintings: list[Tensor],
        settings: SharpSettings,
    ) -> None:
        """Measures the colours of photos, of sums and of paintings; takes some seconds.

        Args:
            strokes: what the generator of strokes paints; see `painting_of`.
            photos: whole photos, for the colours of all that may be painted: in crops some colours
                are rare that photos have. Each (1, 3, h, w) in 0..1, on the CPU.
            crops: photos to lay strokes over, for the colours of sums, (N, 3, H, W) in 0..1, H and
                W multiples of 16, on the device of `strokes`.
            paintings: each (1, 3, h, w) in 0..1, on the CPU.
            settings: how strong the strokes are, and where.
        """
        self._strokes = strokes
        self._settings = settings
        self.to_painting = Recoloring(photos, paintings, PHOTO_COLORS)
        parts = torch.split(crops, _MEASURED_AT_ONCE)
        sums = [self.sum_of(part, MEASURED_RATIO).cpu() for part in parts]
        self.to_range = Recoloring(sums, paintings, SUM_COLORS)

    def __call__(self, photo: Tensor, ratio: float) -> Tensor:
        """Photos, (N, 3, H, W) RGB in 0..1, with strokes; the same shape and range.

        Args:
            photo: the photos; H and W are multiples of 8.
            ratio: of the sides of photo and canvas, at least 1; see `canvas_of`.
        """
        return self.to_range(self.sum_of(photo, ratio)).clamp(0, 1)

    @torch.no_grad()
    def sum_of(self, photo: Tensor, ratio: float) -> Tensor:
        """Photo and strokes, not limited to 0..1; see `__call__`."""
        photo = photo.contiguous()  # the filters run along rows
        settings = self._settings
        painted = self._without_grid(reduced(photo, canvas_of(photo, ratio)))
        painted = sharpened(painted, _SHARPNESS).clamp_(-_BEYOND, 1 + _BEYOND)
        strokes = functional.interpolate(
            painted, size=photo.shape[2:], mode="bicubic", align_corners=False
        ) - means_around(painted, photo)
        luma = luma_of(photo)
        fine, detail = fine_detail(luma, ratio)
        gain = settings.gain * (1 - settings.calm * calmness(luma, ratio))
        base = evened_out(self.to_painting(photo), round(_EVENED_RADIUS * ratio))
        return base + gain * (1 - settings.fine * fine) * strokes + fine * detail

    def _without_grid(self, canvas: Tensor) -> Tensor:
        """The mean of two paintings of the same pictures, one of them moved by _MOVED_PX."""
        return (self._moved(canvas, 0) + self._moved(canvas, _MOVED_PX)) / 2

    def _moved(self, canvas: Tensor, by: int) -> Tensor:
        left = CANVAS_MULTIPLE - by
        wide = functional.pad(canvas, (by, left, by, left), mode="replicate")
        return functional.pad(self._strokes(wide), (-by, -left, -by, -left))


def painting_of(netG: Generator, precision: str = "f32") -> Strokes:
    """What a trained generator paints, computed in a precision; see `device.autocast`."""
    folded: FoldedGenerator = netG.folded().eval().requires_grad_(False)
    assert folded.head.bias is not None
    folded.head.bias -= MID  # added in float32 below: bf16 has steps of a code above 128

    def paint(rgb: Tensor) -> Tensor:
        rgb = rgb.contiguous(memory_format=torch.channels_last)
        luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
        with torch.no_grad():
            with autocast(rgb.device, precision):
                planes = folded(255 * luma, 255 * chroma)
            luma, chroma = ((plane.float() + MID) / 255 for plane in planes)
            return rgb_from_planes(luma, chroma, PLANES_COLOR).clamp(0, 1)

    return paint


def canvas_of(photo: Tensor, ratio: float) -> tuple[int, int]:
    """Height and width of the canvas of photos (N, 3, H, W), whose sides are `ratio` times that."""
    height, width = (
        CANVAS_MULTIPLE * round(side / ratio / CANVAS_MULTIPLE) for side in photo.shape[2:]
    )
    return height, width


def means_around(painted: Tensor, photo: Tensor) -> Tensor:
    """Light and colours of paintings on a canvas, (N, 3, h, w): what is not strokes.

    They are the means that `sharp.means_around` takes of planes, here of RGB, in the size of
    `photo`.
    """
    cells = functional.avg_pool2d(painted, CANVAS_MULTIPLE)
    for _ in range(2):
        cells = functional.avg_pool2d(pad_edges(cells, _MEANS_BOX), 2 * _MEANS_BOX + 1, 1)
    return functional.interpolate(cells, size=photo.shape[2:], mode="bilinear", align_corners=False)
