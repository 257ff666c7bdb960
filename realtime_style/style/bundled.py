"""The styles and networks that come with the package."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from realtime_style.errors import StyleFileError
from realtime_style.style.reading import _MAX_FILE_BYTES, _read_style
from realtime_style.style.style import Style

_PACKAGE = Path(str(resources.files("realtime_style")))


STANDARD, FAST = TIERS = ("standard", "fast")
"""In which sizes of network the bundled styles come; the fast one takes half the time."""


_FOLDERS = {STANDARD: "", FAST: FAST}


PLAINS = {tier: _PACKAGE / "models" / folder / "plain.onnx" for tier, folder in _FOLDERS.items()}
"""A style of each tier that is none: of the same base as the others, it draws the film as it is."""


ENCODER = PLAINS[STANDARD].with_name("encoder.onnx")
"""What reads a code for the bank of bundled styles from a picture."""


def bundled_styles(tier: str = STANDARD) -> dict[str, Path]:
    """The styles of a tier that come with the package, by name."""
    folder = _PACKAGE / "styles" / _FOLDERS[tier]
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def open_style(name: str | Path, tier: str = STANDARD) -> Style:
    """A bundled style by its name, in one of TIERS, or a style file by its path.

    Raises:
        StyleFileError: no such style, or a file that is not one (it is never run to find out), or
            one whose network is not of the tier that is asked for.
    """
    bundled = bundled_styles(tier)
    path = bundled.get(str(name), Path(name))
    if not path.name:
        raise StyleFileError(
            f"'{name}' names no style: give a file, or one of {', '.join(bundled)}"
        )
    if not path.is_file() and path.suffix == ".onnx":
        raise StyleFileError(
            f"there is no file {path}; give a style file, or one of {', '.join(bundled)}"
        )
    if not path.is_file():
        beside = path.with_name(f"{path.name}.onnx")
        near = (
            [str(beside)] if beside.is_file() else difflib.get_close_matches(str(name), bundled, 1)
        )
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise StyleFileError(
            f"there is no style '{name}'{meant}: give a file, or one of {', '.join(bundled)}"
        )
    about = path.stat()
    if not about.st_size:
        raise StyleFileError(f"{path} is empty; give a style file")
    if about.st_size > _MAX_FILE_BYTES:
        raise StyleFileError(
            f"{path} has {about.st_size / 1e6:.0f} MB; a style has at most "
            f"{_MAX_FILE_BYTES / 1e6:.0f}"
        )
    style = _read_style(path, about.st_mtime_ns, about.st_size)
    if tier != STANDARD and style.shapes() != open_style(PLAINS[tier]).shapes():
        raise StyleFileError(
            f"{path} is not of the {tier} tier; give --tier {tier} the name of a style "
            f"({', '.join(bundled)}), or a file that style-from --tier {tier} has made"
        )
    return style


def tier_of(style: Style) -> str:
    """Which of TIERS a style's network is of; STANDARD for networks of their own too."""
    shapes = style.shapes()
    return next(
        (tier for tier, plain in PLAINS.items() if open_style(plain).shapes() == shapes), STANDARD
    )
