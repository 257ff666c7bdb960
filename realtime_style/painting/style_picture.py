"""Makes a style from one picture, at once and without training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from realtime_style.engines.network import Network
from realtime_style.errors import MediaError, StyleFileError
from realtime_style.media.still import PICTURE_SUFFIXES, READ_ONLY_PICTURE_SUFFIXES, read_picture
from realtime_style.painting.palette import with_palette
from realtime_style.style.bundled import STANDARD, bundled_styles, open_style
from realtime_style.style.picture_encoder import ENCODER, STYLES_KEY, look_size
from realtime_style.style.style import Style
from realtime_style.system.paths import absent

STYLE_PICTURE_SUFFIXES = PICTURE_SUFFIXES | READ_ONLY_PICTURE_SUFFIXES
"""Endings of pictures to take a style from, in lower case; of an animation the first picture."""

_CELL_PX = 4  # of cells whose mean colours count: larger than noise and craquelure
_MIN_PX = 64  # least shorter side of a style picture; smaller ones show no strokes
_MIN_CONTRAST, _USUAL_CONTRAST = 3.0, 32.0  # standard deviations of 8-bit luma
_DARKEST, _LIGHTEST = 56.0, 200.0  # means of 8-bit luma; those of 9 in 10 paintings lie between


def open_any_style(name: str | Path, tier: str = STANDARD) -> Style:
    """Opens a bundled style, a style file, or a picture to take a style from.

    Args:
        name: the name of a bundled style, or a path; see `open_style` and `is_picture`.
        tier: one of TIERS.

    Raises:
        StyleError: there is no such style or file, it cannot be used, or it lacks the tier.
    """
    return style_from_picture(name, tier) if is_picture(name) else open_style(name, tier)


def is_picture(name: str | Path) -> bool:
    """Whether a name ends in one of STYLE_PICTURE_SUFFIXES; the file need not exist."""
    return Path(name).suffix.lower() in STYLE_PICTURE_SUFFIXES


def refuse_no_picture(path: Path) -> None:
    """Raises MediaError if a path is not a file whose name has the ending of a picture."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give one picture", setting="style_image")
    if not path.is_file():
        if str(path) in bundled_styles():
            raise MediaError(
                f"'{path}' is a bundled style, not a picture; choose it as the style",
                setting="style_image",
            )
        raise MediaError(absent(path, "picture"), setting="style_image")
    if not is_picture(path):
        raise MediaError(
            f"'{path.suffix}' is not the ending of a picture file; expected one of "
            f"{', '.join(sorted(STYLE_PICTURE_SUFFIXES))}",
            setting="style_image",
        )


def _as_light_as_paintings(rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Brings the brightness and the contrast of a picture into the range of most paintings.

    In the palette of a nearly black picture, nothing of a film could be seen.

    Args:
        rgb: (H, W, 3) uint8 RGB.

    Returns:
        A new picture of the same shape; None if the picture has only one colour.
    """
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    mean, contrast = float(luma.mean()), float(luma.std())
    if contrast < _MIN_CONTRAST:
        return None
    gain = max(1.0, _USUAL_CONTRAST / contrast)
    middle = min(max(mean, _DARKEST), _LIGHTEST)
    lit: NDArray[np.uint8] = ((rgb - mean) * gain + middle).round().clip(0, 255).astype(np.uint8)
    return lit


def style_from_picture(path: Path | str, tier: str = STANDARD, *, engine: str = "auto") -> Style:
    """Makes a style from one picture, without training: a bundled one, in the picture's colours.

    A trained network, the encoder, chooses the bundled style with the most similar strokes. It and
    the style run once for this, not for every frame.

    Args:
        path: the picture.
        tier: one of TIERS, of the bundled style.
        engine: what runs both networks; see `Network`.

    Raises:
        MediaError: the file is not a picture, is damaged, too large or too small, or has only one
            colour.
        StyleFileError: the encoder does not match the bundled styles.
        EngineError: the engine is not installed, or fails.
    """
    seen = _read(Path(path))
    name = Path(path).stem
    style = open_style(_nearest_style(seen, engine), tier)
    card = {"title": name, "made": {"of_picture": Path(path).name}}
    return with_palette(style, _colors(seen), name, card, engine)


def _read(path: Path) -> NDArray[np.uint8]:
    """A style picture, (H, W, 3) uint8 RGB, of `look_size`, about as light as paintings."""
    picture = read_picture(path)
    height, width = picture.rgb.shape[:2]
    if min(height, width) < _MIN_PX:
        raise MediaError(
            f"{path} is {width}x{height}; a picture to take a style from has at least "
            f"{_MIN_PX}x{_MIN_PX} pixels",
        )
    small = Image.fromarray(picture.rgb).resize(look_size(width, height), Image.Resampling.LANCZOS)
    lit = _as_light_as_paintings(np.asarray(small))
    if lit is None:
        raise MediaError(
            f"{path} has only one colour; a style is taken from strokes and colours",
        )
    return lit


def _nearest_style(rgb: NDArray[np.uint8], engine: str) -> str:
    """The name of the bundled style whose strokes are most similar to those of a picture."""
    if not ENCODER.is_file():
        raise StyleFileError(
            "this build has no encoder of style pictures; train a style on the picture instead"
        )
    model = onnx.load(ENCODER)
    listed = (p.value for p in model.metadata_props if p.key == STYLES_KEY)
    names = json.loads(next(listed, "[]"))
    if not names or not set(names) <= set(bundled_styles()):
        raise StyleFileError(
            "the encoder of style pictures does not match the bundled styles; reinstall with: "
            "pip install --force-reinstall realtime-style"
        )
    network = Network(model.SerializeToString(), engine)
    seen = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])
    (shares,) = network({model.graph.input[0].name: seen})[model.graph.output[0].name]
    return str(names[int(shares.argmax())])


def _colors(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean colours of a picture's cells, (P, 3) in 0..1."""
    rows, columns = (side // _CELL_PX for side in rgb.shape[:2])
    cells = rgb[: rows * _CELL_PX, : columns * _CELL_PX].reshape(
        rows, _CELL_PX, columns, _CELL_PX, 3
    )
    colors: NDArray[np.float64] = cells.mean((1, 3)).reshape(-1, 3) / 255
    return colors
