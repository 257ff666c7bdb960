"""Changed hues: crops in colours that are rare in photos, such as violet and bright green."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from realtime_style.training.batches import BatchReader
from realtime_style.training.color import PLANES_COLOR

_HUE = 4  # part of seeds, as in `dataset`, so that random numbers differ
_SATURATION = (0.5, 1.6)


@dataclass(frozen=True, slots=True)
class HueChanges:
    """Reads batches of photos, and changes hue and saturation of some of them.

    Attributes:
        photos: reads (N, 3, H, W) RGB in 0..1.
        share: share of the photos that are changed, in 0..1.
        seed: seed of the random numbers.
    """

    photos: BatchReader[Tensor]
    share: float
    seed: int

    def batch(self, step: int, items: range, attempt: int) -> Tensor:
        """See `BatchReader`."""
        batch = self.photos(step, items, attempt)
        for item, photo in zip(items, batch, strict=True):
            rng = np.random.default_rng((self.seed, step, item, _HUE, attempt))
            if rng.random() < self.share:
                turn, saturation = rng.uniform(-np.pi, np.pi), rng.uniform(*_SATURATION)
                photo.copy_(turned(photo, turn, saturation))
        return batch


def turned(rgb: Tensor, turn: float, saturation: float) -> Tensor:
    """Turns all hues about grey; luma stays, except in colours that leave the range.

    Args:
        rgb: (..., 3, H, W) in 0..1.
        turn: the angle in the plane of Cb and Cr, in radians.
        saturation: the factor of the distance from grey.

    Returns:
        The same shape and range.
    """
    yuv_from_rgb, _ = PLANES_COLOR.yuv_from_rgb()
    cosine, sine = saturation * np.cos(turn), saturation * np.sin(turn)
    of_yuv = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    matrix = np.linalg.inv(yuv_from_rgb) @ of_yuv @ yuv_from_rgb
    of_rgb = torch.as_tensor(matrix, dtype=rgb.dtype, device=rgb.device)
    return torch.einsum("ij,...jhw->...ihw", of_rgb, rgb).clamp(0, 1)
