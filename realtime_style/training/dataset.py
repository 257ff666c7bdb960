"""Photos to learn on, and the paintings to learn from."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from realtime_style.errors import TrainingError

UNREADABLE = (
    OSError, ValueError, Image.DecompressionBombError,
    SyntaxError,  # PNG, once its pixels are read
    TypeError,  # EXIF, as a photo is set upright
    RuntimeError,  # AVIF
)  # fmt: skip
"""What Pillow raises for a file that is no picture, a broken or an absurd one."""

_SUFFIXES = frozenset(Image.registered_extensions())
_CACHE_BYTES = 1_000_000_000
_LARGEST_SHORT_PX = 1024  # photos are kept no larger than that
_SMALL = (0.7, 0.4)  # of its own scale: what a small crop is shrunk to, at most and at least
_DRAWS = 20  # of photos, until one is large enough
SMALLEST_PHOTO_PX = 64
"""Of a photo's shorter side; smaller ones are left out."""
_SMALLEST_PAINTING_PX = 64
_PHOTO, _REAL = 0, 1  # tell the random numbers of photos from those of real pictures
_HELD_BACK_OF = 20  # one photo in so many is never trained on: the sample sheets show these


class PhotoFolder:
    """Random crops of the photos below a folder, the same for the same seed, step and item."""

    def __init__(
        self,
        folder: Path,
        crop_px: int,
        seed: int,
        *,
        portraits: Path | None = None,
        portrait_share: float = 0.0,
        largest_zoom: float = 3.0,
        small_share: float = 0.0,
    ) -> None:
        """Raises TrainingError where a folder has no picture; for the rest see `TrainConfig`."""
        if not folder.is_dir():
            raise TrainingError(f"{folder} is not a folder; --content takes a folder of photos")
        paths = pictures_below(folder)
        if not paths:
            raise TrainingError(f"{folder} has no pictures; --content takes a folder of photos")
        self.folder = folder
        np.random.default_rng(0).shuffle(paths)
        held_back = len(paths) // _HELD_BACK_OF
        self.held_back = paths[:held_back]
        self.paths = paths[held_back:]
        self.skipped: set[Path] = set()
        self._cache: dict[Path, NDArray[np.uint8]] = {}
        self._cache_bytes = 0
        self._crop_px = crop_px
        self._seed = seed
        self._portraits = pictures_below(portraits) if portraits else []
        if portraits and not self._portraits:
            raise TrainingError(f"{portraits} has no pictures; portraits names a folder of photos")
        self._portrait_share = portrait_share if portraits else 0.0
        self._largest_zoom, self._small_share = largest_zoom, small_share

    def batch(self, step: int, items: range, attempt: int = 0) -> Tensor:
        """Crops of a step's batch by their numbers, (N, 3, crop_px, crop_px), RGB in 0..1.

        A crop's side is between `crop_px` over the largest zoom and the photo's shorter side,
        scaled to `crop_px`: films are larger than photo sets, so some crops may be enlarged. A
        photo that is too small for that is used only where no larger one turns up. Another
        `attempt` gives others.

        Raises:
            TrainingError: no photo of the folder can be read.
        """
        seeds = [(self._seed, step, item, _PHOTO, attempt) for item in items]
        return torch.stack([self._crop(np.random.default_rng(seed)) for seed in seeds])

    def _crop(self, rng: np.random.Generator) -> Tensor:
        photo = self._drawn(rng)
        short = float(min(photo.size))
        low, high = min(self._crop_px / self._largest_zoom, short), short
        if self._small_share:
            shrunk = [self._crop_px / scale for scale in _SMALL]
            if short > shrunk[0] and rng.random() < self._small_share:
                low, high = shrunk[0], min(short, shrunk[1])
            else:
                high = max(low, min(short, shrunk[0]))
        side = min(float(np.exp(rng.uniform(np.log(low), np.log(high)))), short)
        left = rng.uniform(0, photo.width - side)
        top = rng.uniform(0, photo.height - side)
        crop = photo.resize(
            (self._crop_px, self._crop_px),
            Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
        )
        return _tensor(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)

    def _drawn(self, rng: np.random.Generator) -> Image.Image:
        """A photo by chance that is large enough, or the largest of several."""
        paths = self.paths
        if self._portrait_share and rng.random() < self._portrait_share:
            paths = self._portraits
        largest: Image.Image | None = None
        for _ in range(_DRAWS):
            photo = self._readable(rng, paths)
            if largest is None or min(photo.size) > min(largest.size):
                largest = photo
            if min(largest.size) * self._largest_zoom >= self._crop_px:
                break
        assert largest is not None
        return largest

    def _readable(self, rng: np.random.Generator, paths: list[Path]) -> Image.Image:
        """A photo by chance, of those that can be read."""
        while not self.skipped.issuperset(paths):
            path = paths[rng.integers(len(paths))]
            if path in self.skipped:
                continue
            try:
                return self._photo(path)
            except UNREADABLE:
                self.skipped.add(path)
        raise self._none_usable()

    def _none_usable(self) -> TrainingError:
        return TrainingError(
            f"none of the pictures in {self.folder} can be read and has {SMALLEST_PHOTO_PX} px "
            "each way; --content takes a folder of photos"
        )

    def _photo(self, path: Path) -> Image.Image:
        """A photo, decoded once and kept as long as there is room."""
        if path in self._cache:
            return Image.fromarray(self._cache[path])
        photo = open_rgb(path)
        if min(photo.size) < SMALLEST_PHOTO_PX:
            raise ValueError(f"{path} is {photo.width}x{photo.height}")
        largest = max(_LARGEST_SHORT_PX, 2 * self._crop_px)
        if min(photo.size) > largest:
            scale = largest / min(photo.size)
            photo = photo.resize(
                (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BOX
            )
        if self._cache_bytes < _CACHE_BYTES:
            self._cache[path] = np.asarray(photo)
            self._cache_bytes += self._cache[path].nbytes
        return photo

    def samples(self, count: int, side_px: int) -> Tensor:
        """The middles of held-back photos, at most `count`: (N, 3, side_px, side_px)."""
        for paths in (self.held_back, self.paths):
            shown: list[Tensor] = []
            for path in paths:
                with contextlib.suppress(*UNREADABLE):
                    shown.append(_tensor(ImageOps.fit(open_rgb(path), (side_px, side_px))))
                if len(shown) == count:
                    break
            if shown:
                return torch.stack(shown)
        raise self._none_usable()


def pictures_below(folder: Path) -> list[Path]:
    """Files below a folder whose endings name a picture format, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)


def load_paintings(
    path: Path,
    longer_side_px: int,
    detail_px: int,
    skipped: list[Path] | None = None,
    *,
    trim: float = 0.0,
) -> list[Tensor]:
    """A painting, or all of a folder, as RGB in 0..1, each (1, 3, H, W) of the given longer side.

    What of a folder cannot be read is left out, and added to `skipped`.

    A larger one is first shrunk to a longer side of `detail_px`, which leaves the strokes and
    takes the grain of paper, canvas and scan, that a generator would paint all over its pictures.
    `trim` is the share of a painting's height that is cut off at the bottom.

    Raises:
        TrainingError: the file is not a picture, or none of the folder is.
    """
    paths = pictures_below(path) if path.is_dir() else [path]
    if not paths:
        raise TrainingError(f"{path} has no pictures; give a painting, or a folder of paintings")
    paintings, error = [], None
    for each in paths:
        try:
            paintings.append(_load_painting(each, longer_side_px, detail_px, trim))
        except TrainingError as this:
            error = this
            if skipped is not None:
                skipped.append(each)
    if not paintings and error:
        raise error
    return paintings


def _load_painting(path: Path, longer_side_px: int, detail_px: int, trim: float) -> Tensor:
    try:
        painting = open_rgb(path)
    except UNREADABLE as error:
        raise TrainingError(f"{path} cannot be read as a picture: {_reason(error)}") from error
    if min(painting.size) < _SMALLEST_PAINTING_PX:
        raise TrainingError(
            f"{path} is {painting.width}x{painting.height}; a painting needs "
            f"{_SMALLEST_PAINTING_PX} pixels each way"
        )
    kept = painting.height - round(trim * painting.height)
    painting = painting.crop((0, 0, painting.width, kept))
    painting.thumbnail((detail_px, detail_px), Image.Resampling.LANCZOS)
    scale = longer_side_px / max(painting.size)
    size = (max(1, round(painting.width * scale)), max(1, round(painting.height * scale)))
    return _tensor(painting.resize(size, Image.Resampling.LANCZOS))[None]


def painting_crops(
    paintings: list[Tensor], crop_px: int, seed: int, step: int, items: range
) -> Tensor:
    """Crops of a step's real pictures, (N, 3, crop_px, crop_px), some of them mirrored.

    A painting that is smaller than a crop is enlarged by reflection.
    """
    crops = []
    for item in items:
        rng = np.random.default_rng((seed, step, item, _REAL))
        painting = paintings[rng.integers(len(paintings))]
        short = [max(0, crop_px - side) for side in painting.shape[2:]]
        if any(short):
            wider = np.pad(painting[0].numpy(), ((0, 0), (0, short[0]), (0, short[1])), "symmetric")
            painting = torch.from_numpy(wider)[None]
        top = rng.integers(painting.shape[2] - crop_px + 1)
        left = rng.integers(painting.shape[3] - crop_px + 1)
        crop = painting[0, :, top : top + crop_px, left : left + crop_px]
        crops.append(crop.flip(2) if rng.random() < 0.5 else crop)
    return torch.stack(crops)


def open_rgb(path: Path) -> Image.Image:
    """A picture, upright, in RGB; raises one of UNREADABLE."""
    # as an open file: by its name Pillow maps it, and misreads turned TIFFs so
    with path.open("rb") as file, Image.open(file) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "its format is unknown" if isinstance(error, UnidentifiedImageError) else str(error)


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
