"""Any picture as a style, at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

from realtime_style.engines.network import run_once
from realtime_style.errors import MediaError, StyleFileError
from realtime_style.media.still import PICTURE_SUFFIXES, read_picture
from realtime_style.style.bank import Bank, look_size
from realtime_style.style.bundled import ENCODER, STANDARD, bundled_styles, open_style
from realtime_style.style.style import Style

STYLE_PICTURE_SUFFIXES = PICTURE_SUFFIXES | {".gif"}
"""Of an animated one, the first picture counts."""

_LEAST_PX = 64  # of a style picture's shorter side: less holds no stroke
_LEAST_CONTRAST, _USUAL_CONTRAST = 3.0, 32.0  # standard deviations of luma, codes
_DARKEST, _LIGHTEST = 56.0, 200.0  # means of luma; 9 of 10 paintings lie between


def open_any_style(name: str | Path, tier: str = STANDARD) -> Style:
    """A bundled style in one of TIERS, a style file, or a picture to be painted like.

    Raises:
        StyleError: it is none of them, or cannot be used, or has no such tier.
    """
    if not is_picture(name):
        return open_style(name, tier)
    if tier != STANDARD:
        raise StyleFileError(f"{name} has no {tier} tier: pictures are painted like in {STANDARD}")
    return style_from_picture(name)


def is_picture(name: str | Path) -> bool:
    """Whether a file's name ends as a picture's."""
    return Path(name).suffix.lower() in STYLE_PICTURE_SUFFIXES


def refuse_no_picture(path: Path) -> None:
    """Raises MediaError where a file is not there, or its name ends as no picture's."""
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give one picture")
    if not path.is_file():
        styles = bundled_styles()
        known = f"; '{path}' is a style: --style {path}" if str(path) in styles else ""
        raise MediaError(f"there is no picture '{path}'{known}")
    if not is_picture(path):
        raise MediaError(
            f"'{path.suffix}' names no picture format; a style picture ends in "
            f"{', '.join(sorted(STYLE_PICTURE_SUFFIXES))}"
        )


def _as_light_as_paintings(rgb: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture, made lighter, darker or stronger where it is as hardly any painting is.

    In the palette of one that is nearly black nothing would be left of a film. None for a picture
    that shows nothing.
    """
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    mean, contrast = float(luma.mean()), float(luma.std())
    if contrast < _LEAST_CONTRAST:
        return None
    gain = max(1.0, _USUAL_CONTRAST / contrast)
    middle = min(max(mean, _DARKEST), _LIGHTEST)
    lit: NDArray[np.uint8] = ((rgb - mean) * gain + middle).round().clip(0, 255).astype(np.uint8)
    return lit


def style_from_picture(path: Path | str, *, engine: str = "auto") -> Style:
    """A style from one picture, without training: a bundled one, recoloured and changed.

    The encoder of G(x, s), which has seen many paintings, chooses the style with the nearest
    strokes, and says how its colours and layers change; nothing of this is done again for a frame.

    Raises:
        MediaError: not a picture, a damaged or too large one, or one too small to hold strokes.
        StyleFileError: the encoder does not belong to the bundled styles.
        EngineError: the engine is not installed, or fails.
    """
    picture = read_picture(path)
    height, width = picture.rgb.shape[:2]
    if min(height, width) < _LEAST_PX:
        raise MediaError(
            f"{path} is {width}x{height}; a picture to take a style from has at least "
            f"{_LEAST_PX}x{_LEAST_PX} pixels"
        )
    small = Image.fromarray(picture.rgb).resize(look_size(width, height), Image.Resampling.LANCZOS)
    lit = _as_light_as_paintings(np.asarray(small))
    if lit is None:
        raise MediaError(f"{path} is all of one colour; a style is taken from strokes and colours")
    seen = np.ascontiguousarray(lit.transpose(2, 0, 1)[None])
    if not ENCODER.is_file():
        raise StyleFileError(
            "this build has no encoder of style pictures; train a style: realtime-style train "
            f"{path} --content PHOTOS"
        )
    model = onnx.load(ENCODER)
    bank = Bank()
    made_for = next((p.value for p in model.metadata_props if p.key == "bank"), "")
    if made_for != bank.digest:
        raise StyleFileError(
            "the encoder of style pictures belongs to other bundled styles than those installed; "
            "install anew: pip install --force-reinstall realtime-style"
        )
    code = run_once(model.SerializeToString(), seen, engine)[0].astype(np.float64)
    name = Path(path).stem
    return bank.style(code, name, {"title": name, "made": {"of_picture": Path(path).name}})
