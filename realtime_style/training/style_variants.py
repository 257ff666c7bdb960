"""Style pictures to train an encoder on: crops of paintings and photos, many in other colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from realtime_style.style.picture_encoder import look_size
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import UNREADABLE, open_rgb

_PHOTO_SHARE = 0.25  # share of the variants that are of photos, with textures no painting has
_RECOLORED_SHARE = 0.6  # share of the variants that are recoloured
_INVERTED_SHARE = 0.1  # share of the recoloured ones that are inverted
_MIN_CROP_PX = 64


class StyleVariants:
    """Variants of style pictures, numbered from 0 without end.

    The first ones are the paintings themselves, the others are random crops of paintings and
    photos, many of them in other colours. A number always gives the same variant.
    """

    def __init__(self, paintings: Sequence[Path], photos: Sequence[Path]) -> None:
        """Reads nothing yet.

        Args:
            paintings: files, all of which can be read.
            photos: files; those that cannot be read are skipped.
        """
        self._paintings, self._photos = list(paintings), list(photos)

    def picture(self, number: int) -> Image.Image:
        """The picture of the variant with a number, in RGB and full size."""
        if number < len(self._paintings):
            return open_rgb(self._paintings[number])
        rng = np.random.default_rng((number, len(self._paintings)))
        while True:
            of_photos = self._photos and rng.random() < _PHOTO_SHARE
            paths = self._photos if of_photos else self._paintings
            try:
                picture = _crop(open_rgb(paths[rng.integers(len(paths))]), rng)
            except UNREADABLE:
                continue
            return _recolored(picture, rng) if rng.random() < _RECOLORED_SHARE else picture


def encoder_view(picture: Image.Image) -> Tensor:
    """Scales a picture to the size at which the encoder reads it, `look_size`.

    Returns:
        (1, 3, h, w) RGB in 0..1.
    """
    return _resized(picture, *look_size(*picture.size))


def at_painting_size(picture: Image.Image, config: TrainConfig) -> Tensor:
    """Scales a picture so that its longer side has `config.painting_px` pixels.

    Returns:
        (1, 3, h, w) RGB in 0..1; both sides are even, and at least 32.
    """
    scale = config.painting_px / max(picture.size)
    width, height = (max(32, round(side * scale / 2) * 2) for side in picture.size)
    return _resized(picture, width, height)


def _resized(picture: Image.Image, width: int, height: int) -> Tensor:
    small = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255


def _crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random crop with a third to all of the picture's width and height; half are mirrored."""
    share = np.exp(rng.uniform(np.log(1 / 3), 0))
    width, height = (max(_MIN_CROP_PX, round(side * share)) for side in picture.size)
    left = rng.integers(max(1, picture.width - width + 1))
    top = rng.integers(max(1, picture.height - height + 1))
    crop = picture.crop((left, top, left + width, top + height))
    return ImageOps.mirror(crop) if rng.random() < 0.5 else crop


def _recolored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Changes hue, saturation, contrast and brightness at random, and inverts some pictures."""
    hsv = np.asarray(picture.convert("HSV")).copy()
    hsv[..., 0] += np.uint8(rng.integers(256))
    picture = Image.fromarray(hsv, "HSV").convert("RGB")
    for change, low, high in (
        (ImageEnhance.Color, 0.2, 1.6),
        (ImageEnhance.Contrast, 0.6, 1.4),
        (ImageEnhance.Brightness, 0.7, 1.3),
    ):
        picture = change(picture).enhance(rng.uniform(low, high))
    return ImageOps.invert(picture) if rng.random() < _INVERTED_SHARE else picture
