"""Pictures on disk: painted, with all that belongs to them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from realtime_style.errors import MediaError
from realtime_style.frame import MIN_SIDE_PX
from realtime_style.system.paths import refuse_unwritable
from realtime_style.system.whole_file import whole_file

if TYPE_CHECKING:
    pass

MAX_PICTURE_PX = 150_000_000
_WITHOUT_ALPHA = (".jpg", ".jpeg", ".bmp")
_WITHOUT_EXIF = (".bmp", ".gif")
_PARTS_OF_EXIF = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_SAID_IN_TIFF = {
    ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model,
    ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright,
}  # fmt: skip
_SETTINGS: dict[str, dict[str, object]] = {  # the texture of paint needs more than the defaults
    ".jpg": {"quality": 92, "subsampling": 0},
    ".jpeg": {"quality": 92, "subsampling": 0},
    ".webp": {"quality": 90},
    ".tif": {"compression": "tiff_lzw"},
    ".tiff": {"compression": "tiff_lzw"},
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright picture from a file.

    `rgb` is (H, W, 3) uint8, `alpha` (H, W) uint8 or None; `exif` and `icc` are the file's own
    bytes (EXIF without its orientation), `dpi` its dots an inch, None where it has none. `notes`
    says what was converted.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)


def read_picture(path: Path | str) -> Picture:
    """Reads JPEG, PNG, WebP, TIFF, BMP and what else Pillow opens; the first picture of several.

    Raises:
        MediaError: no such file, not a picture, a damaged one, or one too large or too small.
    """
    if not Path(path).is_file():
        raise MediaError(f"there is no picture {path}")
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, and of damage
            # as an open file: by its name Pillow maps it, and misreads turned TIFFs so
            with Path(path).open("rb") as file, Image.open(file) as opened:
                if opened.width * opened.height > MAX_PICTURE_PX:
                    raise MediaError(
                        f"{path} has {opened.width}x{opened.height} pixels; at most "
                        f"{MAX_PICTURE_PX // 1_000_000} million can be painted"
                    )
                if getattr(opened, "n_frames", 1) > 1:
                    notes.append("only the first of its pictures is painted")
                mode, icc = opened.mode, opened.info.get("icc_profile")
                dpi = opened.info.get("dpi")
                is_wide = any(";16" in str(tile[3]) for tile in opened.tile)
                exif = _exif_of(opened)
                upright = ImageOps.exif_transpose(opened)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(
            f"{path} has too many pixels; at most {MAX_PICTURE_PX // 1_000_000} million can be "
            "painted"
        ) from error
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path} cannot be read as a picture: it is of no kind that is known, or damaged"
        ) from error
    except (OSError, RuntimeError, SyntaxError, TypeError, ValueError) as error:  # of damage
        raise MediaError(f"{path} cannot be read as a picture: {error}") from error
    is_grey_wide = mode in ("I;16", "I;16B", "I;16L", "I", "F")
    if is_wide or is_grey_wide:
        notes.append("16-bit values are brought to 8 bits")
    if is_grey_wide:
        wide = np.asarray(upright, np.float64)
        most = 65535 if mode.startswith("I") else max(1.0, float(wide.max()))
        upright = Image.fromarray((wide * (255 / most)).clip(0, 255).astype(np.uint8))
    if mode in ("CMYK", "YCCK", "LAB"):
        notes.append(f"{mode} is converted to RGB")
    if icc and icc[16:20] != b"RGB ":  # it describes inks or greys, not the new colours
        icc = None
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    pixels = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
    if min(pixels.shape[:2]) < MIN_SIDE_PX:
        raise MediaError(
            f"{path} is {pixels.shape[1]}x{pixels.shape[0]}; the smallest picture that can be "
            f"painted is {MIN_SIDE_PX}x{MIN_SIDE_PX}"
        )
    return Picture(
        rgb=np.ascontiguousarray(pixels[..., :3]),
        alpha=pixels[..., 3] if has_alpha else None,
        exif=exif,
        icc=icc,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        notes=notes,
    )


def _exif_of(opened: Image.Image) -> bytes | None:
    """What the file says of the picture, but for how it is turned and how it is stored."""
    whole, exif = opened.getexif(), Image.Exif()  # a copy: by the former it is turned upright
    if opened.format != "TIFF":
        exif.load(whole.tobytes())
    else:  # where it is among what describes the file itself
        for tag in _SAID_IN_TIFF & set(whole):
            exif[tag] = whole[tag]
        for part in _PARTS_OF_EXIF:
            if said := whole.get_ifd(part):
                exif.get_ifd(part).update(said)
    exif.pop(ExifTags.Base.Orientation, None)
    return exif.tobytes() if len(exif) else None


def _without_parts(data: bytes) -> tuple[bytes, bool]:
    """EXIF without what lies in tables of its own, of the camera and the place; whether it had."""
    exif = Image.Exif()
    exif.load(data)
    there = [part for part in _PARTS_OF_EXIF if part in exif]
    for part in there:
        del exif[part]
    return exif.tobytes(), bool(there)


def write_picture(path: Path | str, picture: Picture, *, overwrite: bool = False) -> list[str]:
    """Writes a picture in the format of the file's ending; it appears only when complete.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        MediaError: the place or the format will not do.
    """
    path = Path(path)
    refuse_unwritable(path, "out.png", overwrite=overwrite)
    suffix = path.suffix.lower()
    kinds = Image.registered_extensions()
    if suffix not in kinds:
        raise MediaError(
            f"'{path.suffix}' names no picture format; end {path.name} in .jpg, .png or .webp"
        )
    notes = []
    image = Image.fromarray(picture.rgb)
    if picture.alpha is not None:
        if suffix in _WITHOUT_ALPHA:
            notes.append(f"{suffix} pictures hold no transparency; it is laid on white")
            white = Image.new("RGB", image.size, (255, 255, 255))
            image = Image.composite(image, white, Image.fromarray(picture.alpha))
        else:
            image.putalpha(Image.fromarray(picture.alpha))
    settings = dict(_SETTINGS.get(suffix, {}))
    exif, has_parts = picture.exif, False
    if exif and suffix in (".tif", ".tiff"):
        exif, has_parts = _without_parts(exif)  # libtiff writes none
    if has_parts or (exif and suffix in _WITHOUT_EXIF):
        notes.append(f"what the file says of camera and place (EXIF) is left out of {suffix}")
    if exif:
        settings["exif"] = exif
    if picture.icc:
        settings["icc_profile"] = picture.icc
    if picture.dpi:
        settings["dpi"] = picture.dpi
    try:
        with whole_file(path) as partial:
            image.save(partial, kinds[suffix], **settings)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MediaError(f"{path} cannot be written: {error}") from error
    return notes


PICTURE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
