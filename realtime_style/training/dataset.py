"""Photos to learn on, and the painting to learn from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from realtime_style.errors import TrainingError

UNREADABLE = (OSError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no picture, a broken or an absurd one."""

_SUFFIXES = frozenset(Image.registered_extensions())
_HELD_BACK_OF = 20  # one photo in so many is never trained on: the sample sheets show these


class PhotoFolder:
    """Random crops of the photos below a folder, the same for the same seed and step."""

    def __init__(self, folder: Path, crop_px: int, seed: int) -> None:
        """Raises TrainingError where the folder has no picture."""
        if not folder.is_dir():
            raise TrainingError(f"{folder} is not a folder; --content takes a folder of photos")
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not paths:
            raise TrainingError(f"{folder} has no pictures; --content takes a folder of photos")
        np.random.default_rng(0).shuffle(paths)
        held_back = len(paths) // _HELD_BACK_OF
        self.held_back = paths[:held_back]
        self.paths = paths[held_back:]
        self.skipped: set[Path] = set()
        self._crop_px = crop_px
        self._seed = seed

    def batch(self, step: int, size: int) -> Tensor:
        """`size` crops as RGB in 0..1, (size, 3, crop_px, crop_px).

        A crop's side is between half of `crop_px` and the photo's shorter side, scaled to
        `crop_px`: films are larger than photo sets, so some crops are enlarged.

        Raises:
            TrainingError: no photo of the folder can be read.
        """
        rng = np.random.default_rng((self._seed, step))
        crops: list[Tensor] = []
        while len(crops) < size:
            if len(self.skipped) == len(self.paths):
                raise TrainingError(f"none of the {len(self.paths)} pictures could be read")
            path = self.paths[rng.integers(len(self.paths))]
            if path in self.skipped:
                continue
            try:
                photo = _open_rgb(path)
            except UNREADABLE:
                self.skipped.add(path)
                continue
            short = min(photo.size)
            side = np.exp(rng.uniform(np.log(min(self._crop_px / 2, short)), np.log(short)))
            left = rng.uniform(0, photo.width - side)
            top = rng.uniform(0, photo.height - side)
            crop = photo.resize(
                (self._crop_px, self._crop_px),
                Image.Resampling.BICUBIC,
                box=(left, top, left + side, top + side),
            )
            if rng.random() < 0.5:
                crop = ImageOps.mirror(crop)
            crops.append(_tensor(crop))
        return torch.stack(crops)

    def samples(self, count: int) -> Tensor:
        """The middles of held-back photos, at most `count`: (N, 3, 2 * crop_px, 2 * crop_px)."""
        side = 2 * self._crop_px
        shown: list[Tensor] = []
        for path in self.held_back or self.paths:
            with contextlib.suppress(*UNREADABLE):
                shown.append(_tensor(ImageOps.fit(_open_rgb(path), (side, side))))
            if len(shown) == count:
                break
        if not shown:
            raise TrainingError("none of the pictures to show in sample sheets could be read")
        return torch.stack(shown)


def load_painting(path: Path, longer_side_px: int, detail_px: int) -> Tensor:
    """A painting as RGB in 0..1, (1, 3, H, W), scaled to the given longer side.

    A larger one is first shrunk to a longer side of `detail_px`, which leaves the strokes and
    takes the grain of paper, canvas and scan, that a generator would paint all over its pictures.

    Raises:
        TrainingError: the file is not a picture.
    """
    try:
        painting = _open_rgb(path)
    except UNREADABLE as error:
        raise TrainingError(f"{path} cannot be read as a picture: {error}") from error
    painting.thumbnail((detail_px, detail_px), Image.Resampling.LANCZOS)
    scale = longer_side_px / max(painting.size)
    size = (max(1, round(painting.width * scale)), max(1, round(painting.height * scale)))
    return _tensor(painting.resize(size, Image.Resampling.LANCZOS))[None]


def _open_rgb(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
