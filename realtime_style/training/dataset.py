"""The data of style training: photos to paint, and paintings to learn from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError
from torch import Tensor

from realtime_style.errors import TrainingError
from realtime_style.system.paths import visible_files
from realtime_style.training.config import TrainConfig
from realtime_style.training.observer import TrainObserver

UNREADABLE = (
    OSError, ValueError, Image.DecompressionBombError,
    SyntaxError,  # PNG, when pixels are read
    TypeError,  # EXIF, when a photo is turned upright
    RuntimeError,  # AVIF
)  # fmt: skip
"""What Pillow raises for a file that is not a picture, is damaged, or is absurdly large."""

_SUFFIXES = frozenset(Image.registered_extensions())
_CACHE_BYTES = 1_000_000_000
_MAX_SHORT_PX = 1024  # shorter side of the photos in memory; larger ones are shrunk
_SMALL_SCALES = (0.4, 0.7)  # scales of small crops, where 1 is the photo's own size
_MAX_DRAWS = 20  # how many photos are tried, until one is large enough
MIN_PHOTO_PX = 64
"""Photos with a shorter side below this are skipped."""
_MIN_PAINTING_PX = 64
_MIN_SHORT_PX = 32  # of a scaled painting: the poolings of VGG reduce smaller ones to nothing
_MAX_NAMES = 5  # most names of skipped files in a note
_SHARP_RADIUS_PX = 2
_PHOTO, _REAL = 0, 1  # parts of seeds, so that photos and paintings get different random numbers
_HELD_BACK_OF = 20  # one of this many photos is not trained on, but shown in the sample sheets


class PhotoFolder:
    """Random crops of the photos in a folder and its subfolders.

    The same seed, step and item always give the same crop.

    Attributes:
        folder: the folder.
        paths: the photos to train on, in random order.
        held_back: one in 20 of the photos; they are used only by `samples`.
        skipped: photos that turned out to be unreadable or too small; grows while crops are read.
    """

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
        """Lists the photos.

        Args:
            folder: a folder of photos.
            crop_px: side of the crops in pixels.
            seed: seed of the random numbers.
            portraits: a second folder of photos.
            portrait_share: share of the crops that are taken from `portraits`, 0..1.
            largest_zoom: the factor by which crops may be enlarged, from 1.
            small_share: share of the crops that are shrunk to 0.4 to 0.7 of the photo's own scale,
                0..1. If it is above 0, other crops are not shrunk below 0.7.

        Raises:
            TrainingError: a folder does not exist, or has no pictures.
        """
        if not folder.is_dir():
            raise TrainingError(
                f"{folder} is not a folder; give a folder of photos", setting="content"
            )
        paths = pictures_below(folder)
        if not paths:
            raise _no_pictures(folder, "content")
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
        self._portraits_folder = portraits
        self._portraits = pictures_below(portraits) if portraits else []
        if portraits and not self._portraits:
            raise _no_pictures(portraits, "portraits")
        self._portrait_share = portrait_share if portraits else 0.0
        self._largest_zoom = largest_zoom
        self._small_share = small_share

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        """The photos of a configuration, in crops with its margins; raises as the constructor."""
        return cls(
            config.content,
            config.crop_px + 2 * config.margin_px,
            config.seed,
            portraits=config.portraits,
            portrait_share=config.portrait_share,
            largest_zoom=config.largest_zoom,
            small_share=config.small_share,
        )

    def batch(self, step: int, items: range, attempt: int = 0) -> Tensor:
        """Random crops, (N, 3, crop_px, crop_px) RGB in 0..1. See `BatchReader`.

        Each is a random square of a random photo, scaled to `crop_px`; half are mirrored. The side
        of the square is between `crop_px` / `largest_zoom` and the photo's shorter side. Some crops
        may be enlarged, because the frames of films are often larger than photos. Photos that are
        too small for this are used only if 20 draws find no larger one.

        Args:
            step: the training step, from 1.
            items: the numbers of the wanted crops in the whole batch.
            attempt: another number gives other crops.

        Raises:
            TrainingError: no photo of a folder can be read.
        """
        seeds = [(self._seed, step, item, _PHOTO, attempt) for item in items]
        return torch.stack([self._crop(np.random.default_rng(seed)) for seed in seeds])

    def whole(self, count: int, longer_px: int) -> list[Tensor]:
        """Some whole photos, of which `portrait_share` are portraits; always the same.

        Args:
            count: how many, at most. Photos that cannot be read are left out.
            longer_px: longer sides above this are reduced to it, in pixels.

        Returns:
            RGB in 0..1, each (1, 3, h, w); at least one.

        Raises:
            TrainingError: none can be read.
        """
        faces = round(self._portrait_share * count)
        step = max(1, len(self._portraits) // max(1, faces))
        found = []
        for path in (*self.paths[: count - faces], *self._portraits[::step][:faces]):
            try:
                photo = self._photo(path)
            except UNREADABLE:
                self.skipped.add(path)
                continue
            photo.thumbnail((longer_px, longer_px))
            found.append(_tensor(photo)[None])
        if not found:
            raise _none_usable(self.folder, "content")
        return found

    def _crop(self, rng: np.random.Generator) -> Tensor:
        photo = self._large_photo(rng)
        side = self._side(rng, min(photo.size))
        left = rng.uniform(0, photo.width - side)
        top = rng.uniform(0, photo.height - side)
        crop = photo.resize(
            (self._crop_px, self._crop_px),
            Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
        )
        return _tensor(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)

    def _side(self, rng: np.random.Generator, short: float) -> float:
        """The side of a random square of a photo with the shorter side `short`, in its pixels."""
        low, high = min(self._crop_px / self._largest_zoom, short), float(short)
        if self._small_share:
            largest, smallest = (self._crop_px / scale for scale in _SMALL_SCALES)
            if short > smallest and rng.random() < self._small_share:
                low, high = smallest, min(short, largest)
            else:
                high = max(low, min(short, smallest))
        return min(float(np.exp(rng.uniform(np.log(low), np.log(high)))), short)

    def _large_photo(self, rng: np.random.Generator) -> Image.Image:
        """A random photo that is large enough for a crop; if 20 are not, the largest of them."""
        portraits = self._portrait_share and rng.random() < self._portrait_share
        paths = self._portraits if portraits else self.paths
        largest = self._readable_photo(rng, paths)
        for _ in range(_MAX_DRAWS - 1):
            if min(largest.size) * self._largest_zoom >= self._crop_px:
                break
            photo = self._readable_photo(rng, paths)
            if min(photo.size) > min(largest.size):
                largest = photo
        return largest

    def _readable_photo(self, rng: np.random.Generator, paths: list[Path]) -> Image.Image:
        while not self.skipped.issuperset(paths):
            path = paths[rng.integers(len(paths))]
            if path in self.skipped:
                continue
            try:
                return self._photo(path)
            except UNREADABLE:
                self.skipped.add(path)
        if paths is self._portraits:
            raise _none_usable(self._portraits_folder, "portraits")
        raise _none_usable(self.folder, "content")

    def _photo(self, path: Path) -> Image.Image:
        """A photo, in RGB. It is kept in memory while there is room. Raises one of UNREADABLE."""
        if path in self._cache:
            return Image.fromarray(self._cache[path])
        photo = open_rgb(path)
        if min(photo.size) < MIN_PHOTO_PX:
            raise ValueError(f"{path} is {photo.width}x{photo.height}")
        largest = max(_MAX_SHORT_PX, 2 * self._crop_px)
        if min(photo.size) > largest:
            scale = largest / min(photo.size)
            photo = photo.resize(
                (round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BOX
            )
        if self._cache_bytes < _CACHE_BYTES:
            self._cache[path] = np.asarray(photo)
            self._cache_bytes += self._cache[path].nbytes
        return photo

    def note_skipped(self, observer: TrainObserver) -> None:
        """Names the photos that could not be used, if there are any."""
        if self.skipped:
            what = f"photos that cannot be read or are under {MIN_PHOTO_PX} px"
            note_skipped(observer, sorted(self.skipped), what)

    def samples(self, count: int, side_px: int) -> Tensor:
        """The central squares of some held-back photos, for samples.

        If no held-back photo can be read, photos to train on are used.

        Args:
            count: how many, at most.
            side_px: the side to which they are scaled, in pixels.

        Returns:
            (N, 3, side_px, side_px) RGB in 0..1, with N from 1 to `count`.

        Raises:
            TrainingError: no photo of the folder can be read.
        """
        for paths in (self.held_back, self.paths):
            shown: list[Tensor] = []
            for path in paths:
                with contextlib.suppress(*UNREADABLE):
                    shown.append(_tensor(ImageOps.fit(open_rgb(path), (side_px, side_px))))
                if len(shown) == count:
                    break
            if shown:
                return torch.stack(shown)
        raise _none_usable(self.folder, "content")


def _no_pictures(folder: Path, setting: str) -> TrainingError:
    return TrainingError(
        f"{folder} has no pictures, nor have its subfolders; files with the endings of pictures, "
        "such as .jpg, .png and .webp, are used",
        setting=setting,
    )


def _none_usable(folder: Path | None, setting: str) -> TrainingError:
    return TrainingError(
        f"no picture in {folder} is readable and at least {MIN_PHOTO_PX} px on its shorter side",
        setting=setting,
    )


def pictures_below(folder: Path) -> list[Path]:
    """Files in a folder and its subfolders that have the ending of a picture format, sorted."""
    return [p for p in visible_files(folder, recursive=True) if p.suffix.lower() in _SUFFIXES]


def load_paintings(
    path: Path,
    longer_side_px: int,
    detail_px: int,
    skipped: list[Path] | None = None,
    *,
    trim: float = 0.0,
    sharpness: float = 0.0,
) -> list[Tensor]:
    """Reads a painting, or all paintings of a folder.

    Args:
        path: a picture file, or a folder of them, with subfolders.
        longer_side_px: the longer side to which each is scaled, in pixels.
        detail_px: a larger painting is first shrunk to this longer side. That keeps the strokes and
            removes the grain of paper, canvas and scan, which would be painted everywhere.
        skipped: a list to which the files of a folder that cannot be read are added.
        trim: share of a painting's height that is cut off at the bottom, 0..0.5.
        sharpness: amount of an unsharp mask, applied last; 0 for none.

    Returns:
        RGB in 0..1, each (1, 3, H, W).

    Raises:
        TrainingError: the file, or every file of the folder, cannot be read as a picture.
    """
    paths = pictures_below(path) if path.is_dir() else [path]
    if not paths:
        raise _no_pictures(path, "painting")
    paintings, error = [], None
    for each in paths:
        try:
            paintings.append(_load_painting(each, longer_side_px, detail_px, trim, sharpness))
        except TrainingError as this:
            error = this
            if skipped is not None:
                skipped.append(each)
    if not paintings and error:
        raise error
    return paintings


def paintings_of(config: TrainConfig, observer: TrainObserver) -> list[Tensor]:
    """The paintings of a configuration, each (1, 3, H, W) in 0..1.

    Args:
        config: where they are, and how they are scaled.
        observer: is told which files were skipped.

    Raises:
        TrainingError: no painting can be read, or one is too small.
    """
    skipped: list[Path] = []
    paintings = load_paintings(
        config.painting,
        config.painting_px,
        config.painting_detail_px,
        skipped,
        trim=config.painting_trim,
        sharpness=config.painting_sharpness,
    )
    if skipped:
        note_skipped(observer, skipped, f"files in {config.painting} that are not pictures")
    shortest = min(min(painting.shape[-2:]) for painting in paintings)
    needed = _MIN_SHORT_PX * max(config.painting_scales)
    if shortest < needed:
        raise TrainingError(
            f"{config.painting} is too small: at a longer side of {config.painting_px} pixels its "
            f"shorter side has {shortest}; choose a longer side that leaves at least {needed}",
            setting="painting_px",
        )
    return paintings


def note_skipped(observer: TrainObserver, paths: list[Path], what: str) -> None:
    """Tells an observer which files were skipped: the first of them, and how many more."""
    names = ", ".join(path.name for path in paths[:_MAX_NAMES])
    more = f" and {len(paths) - _MAX_NAMES} more" if len(paths) > _MAX_NAMES else ""
    observer.on_note(f"skipped {what}: {names}{more}")


def _load_painting(
    path: Path, longer_side_px: int, detail_px: int, trim: float, sharpness: float
) -> Tensor:
    try:
        painting = open_rgb(path)
    except UNREADABLE as error:
        raise TrainingError(
            f"{path} cannot be read as a picture: {_reason(error)}", setting="painting"
        ) from error
    if min(painting.size) < _MIN_PAINTING_PX:
        raise TrainingError(
            f"{path} is {painting.width}x{painting.height}; a painting needs at least "
            f"{_MIN_PAINTING_PX} pixels on its shorter side",
            setting="painting",
        )
    kept = painting.height - round(trim * painting.height)
    painting = painting.crop((0, 0, painting.width, kept))
    painting.thumbnail((detail_px, detail_px), Image.Resampling.LANCZOS)
    scale = longer_side_px / max(painting.size)
    size = (max(1, round(painting.width * scale)), max(1, round(painting.height * scale)))
    painting = painting.resize(size, Image.Resampling.LANCZOS)
    mask = ImageFilter.UnsharpMask(_SHARP_RADIUS_PX, round(100 * sharpness), 0)
    return _tensor(painting.filter(mask) if sharpness else painting)[None]


def painting_crops(
    paintings: list[Tensor], crop_px: int, seed: int, step: int, items: range
) -> Tensor:
    """Random crops of paintings; half are mirrored.

    A painting that is smaller than a crop is extended by reflection.

    Args:
        paintings: RGB in 0..1, each (1, 3, H, W).
        crop_px: side of the crops in pixels.
        seed: seed of the random numbers.
        step: the training step, from 1.
        items: the numbers of the wanted crops in the whole batch.

    Returns:
        (N, 3, crop_px, crop_px) RGB in 0..1.
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
    """A picture in RGB, turned upright by its EXIF data; raises one of UNREADABLE."""
    # As an open file: Pillow would memory-map a named file, and misread rotated TIFFs
    with path.open("rb") as file, Image.open(file) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "its format is unknown" if isinstance(error, UnidentifiedImageError) else str(error)


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
