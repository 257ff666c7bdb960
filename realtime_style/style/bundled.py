"""The styles and networks that are included in the package, and how a style is opened."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from realtime_style.errors import StyleFileError
from realtime_style.style.reading import read_style
from realtime_style.style.style import Style

STANDARD, FAST = TIERS = ("standard", "fast")
"""Network sizes in which the bundled styles come; the fast one takes about half the time."""

_PACKAGE = Path(str(resources.files("realtime_style")))
_FOLDERS = {STANDARD: "", FAST: FAST}

IDENTITIES = {
    tier: _PACKAGE / "models" / folder / "identity.onnx" for tier, folder in _FOLDERS.items()
}
"""The identity style of each tier: trained from the same base, it reproduces its input."""

ENCODER = IDENTITIES[STANDARD].with_name("encoder.onnx")
"""The network that computes, from a picture, a code for the bank of `bank_styles`."""


def bundled_styles(tier: str = STANDARD) -> dict[str, Path]:
    """The files of the bundled styles of a tier, by name, in alphabetical order."""
    folder = _PACKAGE / "styles" / _FOLDERS[tier]
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def bank_styles() -> list[Path]:
    """The files of the styles that the encoder chooses from, the identity last.

    They are the bundled styles as they were when the encoder was trained. The folder `models/bank`
    holds those that have changed since.
    """
    former = ENCODER.with_name("bank")
    files = [
        each if (each := former / path.name).is_file() else path
        for path in bundled_styles().values()
    ]
    return [*files, IDENTITIES[STANDARD]]


def open_style(name: str | Path, tier: str = STANDARD) -> Style:
    """Opens a bundled style by its name, or a style file by its path.

    The file is checked without being run, and read again only if it has changed.

    Args:
        name: name of a bundled style, or path of a style file.
        tier: one of TIERS. "fast" also requires a file's network to be of the fast tier;
            "standard" accepts any network.

    Raises:
        StyleFileError: there is no such style, the file is not a usable style, or its network is
            not of the tier.
    """
    bundled = bundled_styles(tier)
    path = bundled.get(str(name), Path(name))
    if not path.is_file():
        raise _not_found(name, list(bundled))
    style = read_style(path)
    if tier != STANDARD and style.shapes() != open_style(IDENTITIES[tier]).shapes():
        raise StyleFileError(
            f"{path} is not of the {tier} tier; give the name of a bundled style "
            f"({', '.join(bundled)}), or a file that was made for the {tier} tier",
            setting="tier",
        )
    return style


def tier_of(style: Style) -> str:
    """The tier that a style's network belongs to; STANDARD for networks of any other shape."""
    shapes = style.shapes()
    return next(
        (tier for tier, path in IDENTITIES.items() if open_style(path).shapes() == shapes), STANDARD
    )


def _not_found(name: str | Path, bundled: list[str]) -> StyleFileError:
    """The error for a style that does not exist, with the nearest name as a hint."""
    path = Path(name)
    choices = ", ".join(bundled)
    if not path.name:
        message = f"'{name}' is not a style; give a file, or one of {choices}"
    elif path.suffix == ".onnx":
        message = f"there is no file {path}; give a style file, or one of {choices}"
    else:
        beside = path.with_name(f"{path.name}.onnx")
        near = (
            [str(beside)] if beside.is_file() else difflib.get_close_matches(str(name), bundled, 1)
        )
        hint = f" (did you mean {near[0]}?)" if near else ""
        message = f"there is no style '{name}'{hint}; give a file, or one of {choices}"
    return StyleFileError(message, setting="style")
