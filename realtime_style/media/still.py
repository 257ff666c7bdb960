"""Still pictures on disk, with their transparency and metadata."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from realtime_style.errors import MediaError
from realtime_style.frame import MIN_SIDE_PX
from realtime_style.system.paths import absent, refuse_unwritable
from realtime_style.system.whole_file import whole_file

PICTURE_SUFFIXES = frozenset(
    (
        ".avif", ".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
    )
)  # fmt: skip
"""Endings of pictures that are read and written, in lower case."""

READ_ONLY_PICTURE_SUFFIXES = frozenset((".apng", ".gif"))
"""Endings of pictures that are only read: their paintings get another ending."""

MAX_PICTURE_PX = 150_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
"""Pillow's names of all formats that are read: others run programs, or are seldom tested."""

_ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")  # of these, pictures that move

_DAMAGE = (  # what Pillow raises about damage and about metadata of unexpected types
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error, Image.DecompressionBombError,
)  # fmt: skip
_TURNS = {  # how a picture becomes upright, by its orientation in EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_MAX_DPI = 65535  # of JPEG
_JPEGS = (".jfif", ".jpe", ".jpeg", ".jpg")
_TIFFS = (".tif", ".tiff")
_MAX_JPEG_XMP = 65504  # bytes, without the name of the segment
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))\d")
_MAX_JPEG_EXIF = 65533  # bytes of one segment
_WITHOUT_ALPHA = (*_JPEGS, ".bmp")
_WITHOUT_EXIF = (".bmp", ".gif")
_EXIF_TABLES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_ABOUT_THE_PICTURE = {  # tags of a TIFF that describe the picture, not the file
    ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model,
    ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright,
}  # fmt: skip
_SETTINGS: dict[str, dict[str, object]] = {  # the texture of paint needs more than the defaults
    **{suffix: {"quality": 92, "subsampling": 0} for suffix in _JPEGS},
    ".avif": {"quality": 85},
    ".webp": {"quality": 90},
    ".tif": {"compression": "tiff_lzw"},
    ".tiff": {"compression": "tiff_lzw"},
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright picture from a file.

    Attributes:
        rgb: (H, W, 3) uint8.
        alpha: (H, W) uint8; None if it is opaque.
        exif: the file's own bytes, without the orientation; None if it has none.
        icc: the bytes of its RGB colour profile; None if it has none.
        dpi: dots per inch, across and down; None if it does not say.
        xmp: what programs say about it, in XML, without the orientation; None if it has none.
        notes: what was converted, as sentences.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    notes: list[str] = field(default_factory=list)


def is_picture(path: Path | str) -> bool:
    """Whether a file is a picture of a known format, whatever its name says."""
    try:
        with Image.open(path, formats=_FORMATS):
            return True
    except _DAMAGE:
        return False


def moves(path: Path | str) -> bool:
    """Whether a picture is an animation, and not only the pages of a document."""
    try:
        with Image.open(path, formats=_ANIMATED) as opened:
            return getattr(opened, "n_frames", 1) > 1
    except _DAMAGE:
        return False


def read_picture(path: Path | str) -> Picture:
    """Reads JPEG, PNG, WebP, AVIF, TIFF, BMP and GIF files; the first of several pictures.

    Raises:
        MediaError: no such file, not a picture, a damaged one, or one too large or too small.
    """
    if not Path(path).is_file():
        raise MediaError(absent(path, "picture"), setting="source")
    too_large = f"at most {MAX_PICTURE_PX // 1_000_000} million pixels can be painted"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large pictures, and about damage
            # as an open file: given a name, Pillow maps it into memory and misreads turned TIFFs
            with Path(path).open("rb") as file, Image.open(file, formats=_FORMATS) as opened:
                if opened.width * opened.height > MAX_PICTURE_PX:
                    raise MediaError(
                        f"{path} is {opened.width}x{opened.height}; {too_large}", setting="source"
                    )
                picture = _picture_of(opened)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path} is too large; {too_large}", setting="source") from error
    except UnidentifiedImageError as error:
        raise MediaError(
            f"{path} cannot be read as a picture: it is damaged, or not one of "
            f"{', '.join(_FORMATS)}; convert other formats, such as HEIC, to JPEG",
            setting="source",
        ) from error
    except _DAMAGE as error:
        raise MediaError(
            f"{path} cannot be read as a picture: {error}", setting="source"
        ) from error
    height, width = picture.rgb.shape[:2]
    if min(width, height) < MIN_SIDE_PX:
        raise MediaError(
            f"{path} is {width}x{height}; the smallest picture that can be painted is "
            f"{MIN_SIDE_PX}x{MIN_SIDE_PX}",
            setting="source",
        )
    return picture


def _picture_of(opened: ImageFile.ImageFile) -> Picture:
    """An opened picture, upright and in 8-bit RGB; raises what Pillow raises about damage."""
    notes = []
    if (count := getattr(opened, "n_frames", 1)) > 1:
        as_film = "; as a film, all are" if opened.format in _ANIMATED else ""
        notes.append(f"only the first of its {count} pictures is painted{as_film}")
    mode, icc = opened.mode, opened.info.get("icc_profile")
    xmp = _xmp_of(opened)  # before loading, which removes the orientation from some
    is_wide = any(";16" in str(tile[3]) for tile in opened.tile)
    try:
        exif = _exif_of(opened)
    except _DAMAGE:
        exif = None
        notes.append("its metadata about camera and place (EXIF) is damaged, and dropped")
    upright = _upright(opened)
    is_wide_grey = mode in ("I;16", "I;16B", "I;16L", "I", "F")
    if is_wide or is_wide_grey:
        values = "floating-point" if mode == "F" else "16-bit"
        notes.append(f"{values} values are converted to 8 bits")
    if is_wide_grey:
        grey = np.asarray(upright, np.float64)
        if not np.isfinite(grey).all():
            notes.append("pixels without a finite value are painted as black")
            grey = np.nan_to_num(grey, nan=0, posinf=0, neginf=0)
        max_grey = max(65535 if mode.startswith("I") else 1.0, float(grey.max()))
        upright = Image.fromarray((grey * (255 / max_grey)).clip(0, 255).astype(np.uint8))
    if mode in ("CMYK", "YCCK", "LAB"):
        notes.append(f"{mode} is converted to RGB")
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(upright, lab, srgb, outputMode="RGB")
        assert converted
        upright = converted
    if icc and icc[16:20] != b"RGB ":  # it describes inks or greys, not the new colours
        icc = None
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    pixels = np.asarray(upright.convert("RGBA" if has_alpha else "RGB"))
    return Picture(
        rgb=np.ascontiguousarray(pixels[..., :3]),
        alpha=pixels[..., 3] if has_alpha else None,
        exif=exif,
        icc=icc,
        dpi=_resolution_of(opened),
        xmp=xmp,
        notes=notes,
    )


def _upright(opened: ImageFile.ImageFile) -> Image.Image:
    """The picture turned as its EXIF says; as it is stored, if that says nothing usable."""
    opened.load()
    try:
        turn = _TURNS.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except _DAMAGE:
        turn = None
    return opened if turn is None else opened.transpose(turn)


def _resolution_of(opened: ImageFile.ImageFile) -> tuple[float, float] | None:
    """Dots per inch, across and down; None if it does not say, or nonsense."""
    try:
        across, down = (float(value) for value in opened.info["dpi"])
    except _DAMAGE:
        return None
    return (across, down) if 0 < across < _MAX_DPI and 0 < down < _MAX_DPI else None


def _exif_of(opened: Image.Image) -> bytes | None:
    """What the file says about the picture, except how it is turned and stored."""
    whole, exif = opened.getexif(), Image.Exif()  # a copy: Pillow turns the picture by the original
    if opened.format != "TIFF":
        exif.load(whole.tobytes())
    else:  # there it is mixed with tags about the file itself
        for tag in _ABOUT_THE_PICTURE & set(whole):
            exif[tag] = whole[tag]
        for table in _EXIF_TABLES:
            if values := whole.get_ifd(table):
                exif.get_ifd(table).update(values)
    exif.pop(ExifTags.Base.Orientation, None)
    return exif.tobytes() if len(exif) else None


def _xmp_of(opened: Image.Image) -> bytes | None:
    """What programs have written about the picture, for one that is upright."""
    xmp = opened.info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if not isinstance(xmp, bytes) or not xmp.strip(b"\0 "):
        return None
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def _without_tables(data: bytes) -> tuple[bytes, bool]:
    """EXIF without its tables about camera and place; whether it had any."""
    exif = Image.Exif()
    exif.load(data)
    found = [table for table in _EXIF_TABLES if table in exif]
    for table in found:
        del exif[table]
    return exif.tobytes(), bool(found)


def refuse_unwritable_picture(path: Path, *, overwrite: bool) -> None:
    """Raises MediaError if a picture cannot or must not be written; see `refuse_unwritable`."""
    refuse_unwritable(path, "out.png", overwrite=overwrite)
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        what = f"'{path.suffix}' is not a picture format"
        if not path.suffix:
            what = f"{path.name} has no ending, which names the format"
        raise MediaError(f"{what}; end {path.name} in .jpg, .png or .webp", setting="out")


def write_picture(path: Path | str, picture: Picture, *, overwrite: bool = False) -> list[str]:
    """Writes a picture in the format of its file name; the file appears only when complete.

    Returns:
        Notes on what the format cannot hold.

    Raises:
        MediaError: the path or the format cannot be used.
    """
    path = Path(path)
    refuse_unwritable_picture(path, overwrite=overwrite)
    suffix, formats = path.suffix.lower(), Image.registered_extensions()
    notes = []
    image = Image.fromarray(picture.rgb)
    if picture.alpha is not None:
        if suffix in _WITHOUT_ALPHA:
            notes.append(f"transparency dropped: {suffix} cannot hold it; the background is white")
            white = Image.new("RGB", image.size, (255, 255, 255))
            image = Image.composite(image, white, Image.fromarray(picture.alpha))
        else:
            image.putalpha(Image.fromarray(picture.alpha))
    settings = dict(_SETTINGS.get(suffix, {}))
    notes += _add_metadata(settings, suffix, picture)
    try:
        with whole_file(path) as partial:
            try:
                image.save(partial, formats[suffix], **settings)
            except _DAMAGE:
                if settings.pop("exif", None) is None:
                    raise
                image.save(partial, formats[suffix], **settings)
                notes.append("metadata (EXIF) dropped: it is damaged")
    except _DAMAGE as error:
        raise MediaError(f"{path} cannot be written: {error}", setting="out") from error
    return notes


def _add_metadata(settings: dict[str, object], suffix: str, picture: Picture) -> list[str]:
    """Adds the picture's metadata to Pillow's settings; returns notes on what does not fit."""
    notes = []
    exif, has_tables = picture.exif, False
    if exif and suffix in _TIFFS:
        exif, has_tables = _without_tables(exif)  # libtiff does not write them
    if has_tables or (exif and suffix in _WITHOUT_EXIF):
        notes.append(f"metadata about camera and place (EXIF) dropped: {suffix} cannot hold it")
    xmp = picture.xmp
    is_too_long = xmp is not None and suffix in _JPEGS and len(xmp) > _MAX_JPEG_XMP
    if xmp and (is_too_long or suffix in _WITHOUT_EXIF):
        reason = "holds 64 KB" if is_too_long else "cannot hold it"
        notes.append(f"metadata of programs (XMP) dropped: {suffix} {reason}")
        xmp = None
    if exif and suffix in _JPEGS and len(exif) > _MAX_JPEG_EXIF:
        notes.append(f"metadata (EXIF) of {len(exif) / 1024:.0f} KB dropped: {suffix} holds 64 KB")
        exif = None
    if xmp and suffix == ".png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode(errors="replace"))
        settings["pnginfo"] = text
    elif xmp and suffix in _TIFFS:
        tags = Image.Exif()
        tags.load(exif or b"")
        tags[ExifTags.Base.XMLPacket] = xmp
        exif = tags.tobytes()
    elif xmp:
        settings["xmp"] = xmp
    if exif:
        settings["exif"] = exif
    if picture.icc:
        settings["icc_profile"] = picture.icc
    if picture.dpi:
        settings["dpi"] = picture.dpi
    return notes
