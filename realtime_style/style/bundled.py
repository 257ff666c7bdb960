"""The styles and networks that are included in the package, and how a style is opened."""

from __future__ import annotations

import difflib
import json
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.errors import StyleFileError
from realtime_style.style.reading import read_style
from realtime_style.style.style import Style

STANDARD, FAST = TIERS = ("standard", "fast")
"""Network sizes in which the bundled styles come; the fast one takes about half the time."""

_PACKAGE = Path(str(resources.files("realtime_style")))
_FOLDERS = {STANDARD: "", FAST: FAST}
_SHORTEST_PART = 4  # letters of a name that is given only in part

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


@cache
def bundled_cards() -> dict[str, dict[str, Any]]:
    """What is known of each bundled style, by name: title, painter, year and figures."""
    files = {name: path.with_suffix(".json") for name, path in bundled_styles().items()}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


def style_named(text: str) -> str:
    """The name of the bundled style that a text means, or the text itself if it means none.

    A style may be named by its name, its painting's title or its painter, in any case, with any
    accents and signs, and by some of the words: "Starry_Night", "the great wave", "Hokusai". A
    painter of several styles stands for the default one if it is among them. A file of that name
    comes first.

    Raises:
        StyleFileError: several styles have that name.
    """
    if text in bundled_styles() or Path(text).is_file():
        return text
    words, known_as = _words(text), _known_as().items()
    found = [name for name, known in known_as if words in known]
    if not found and len("".join(words)) >= _SHORTEST_PART:
        found = [name for name, known in known_as if any(_holds(each, words) for each in known)]
    painted = [name for name in found if _holds(_words(bundled_cards()[name]["painter"]), words)]
    if len(found) > 1 and DEFAULT_STYLE in painted:
        return DEFAULT_STYLE
    if len(found) > 1:
        raise StyleFileError(f"'{text}' may be {' or '.join(found)}; choose one", setting="style")
    return found[0] if found else text


@cache
def _known_as() -> dict[str, list[list[str]]]:
    """Name, title and painter of each bundled style, in words, by name."""
    return {
        name: [_words(name), _words(card["title"]), _words(card["painter"])]
        for name, card in bundled_cards().items()
    }


def _words(text: str) -> list[str]:
    """The words of a name, without case, accents and signs, and without the article."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c))
    return plain.removeprefix("the ").split()


def _holds(words: list[str], part: list[str]) -> bool:
    """Whether some words follow each other among others."""
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


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
        name: a bundled style as `style_named` reads it, or the path of a style file.
        tier: one of TIERS. "fast" also requires a file's network to be of the fast tier;
            "standard" accepts any network.

    Raises:
        StyleFileError: there is no such style, the file is not a usable style, or its network is
            not of the tier.
    """
    bundled = bundled_styles(tier)
    path = bundled.get(style_named(str(name)), Path(name))
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
    kinds = f"a style is a picture, a style file (.onnx) or one of {', '.join(bundled)}"
    if not path.name:
        message = f"'{name}' is not a style; {kinds}"
    elif path.suffix == ".onnx":
        message = f"there is no file {path}; {kinds}"
    else:
        beside = path.with_name(f"{path.name}.onnx")
        near = [str(beside)] if beside.is_file() else _near(str(name))
        hint = f" (did you mean {near[0]}?)" if near else ""
        message = f"there is no style '{name}'{hint}; {kinds}"
    return StyleFileError(message, setting="style")


def _near(text: str) -> list[str]:
    """The bundled style whose name, title or painter is written most like a text, if any is."""
    known = {
        " ".join(words[i:]): name
        for name, names in _known_as().items()
        for words in names
        for i in range(len(words))
    }
    return [known[each] for each in difflib.get_close_matches(" ".join(_words(text)), known, 1)]
