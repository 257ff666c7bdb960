"""The styles and networks that are included in the package, and how a style is opened."""

from __future__ import annotations

import difflib
import json
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from realtime_style.errors import StyleFileError
from realtime_style.style.reading import read_style
from realtime_style.style.style import Style
from realtime_style.system.paths import absent

STANDARD, FAST = TIERS = ("standard", "fast")
"""The two sizes of the bundled styles' networks; the fast one takes about half the time."""

_PACKAGE = Path(str(resources.files("realtime_style")))
_FOLDERS = {STANDARD: "", FAST: FAST}
_SHORTEST_PART = 4  # letters: shorter texts must be a whole name, title or painter

CHART = _PACKAGE / "models" / "chart.png"
"""Typical colours of photos, sorted, one a pixel."""


def bundled_styles(tier: str = STANDARD) -> dict[str, Path]:
    """The files of the bundled styles of a tier, by name, in alphabetical order."""
    folder = _PACKAGE / "styles" / _FOLDERS[tier]
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


@cache
def bundled_cards() -> dict[str, dict[str, Any]]:
    """The card of each bundled style, by name: title, painter, year, data and figures."""
    files = {name: path.with_suffix(".json") for name, path in bundled_styles().items()}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}


def style_named(text: str, *, setting: str = "style") -> str:
    """The name of the bundled style that a text means, or the text itself if it means none.

    The text may be the style's name, the title of the painting or the painter, or some words of
    them. Case, accents and punctuation do not matter: "Starry_Night", "the great wave", "Hokusai".
    If there is a file of that name, the text is returned as it is.

    Args:
        setting: the argument that names the style, for the error.

    Raises:
        StyleFileError: the text fits several styles.
    """
    if text in bundled_styles() or Path(text).is_file():
        return text
    words, known_as = _words(text), _known_as().items()
    found = [name for name, known in known_as if words in known]
    if not found and len("".join(words)) >= _SHORTEST_PART:
        found = [name for name, known in known_as if any(_holds(each, words) for each in known)]
    if len(found) > 1:
        raise StyleFileError(f"'{text}' may be {' or '.join(found)}; choose one", setting=setting)
    return found[0] if found else text


@cache
def _known_as() -> dict[str, list[list[str]]]:
    """For each bundled style, by name: the words of its name, of its title and of its painter."""
    return {
        name: [_words(name), _words(card["title"]), _words(card["painter"])]
        for name, card in bundled_cards().items()
    }


def _words(text: str) -> list[str]:
    """The words of a text in lower case, without accents, punctuation and a leading "the"."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c))
    return plain.removeprefix("the ").split()


def _holds(words: list[str], part: list[str]) -> bool:
    """Whether the words of `part` follow each other somewhere in `words`."""
    return any(words[i : i + len(part)] == part for i in range(len(words) - len(part) + 1))


def open_style(name: str | Path, tier: str = STANDARD) -> Style:
    """Opens a bundled style by its name, or a style file by its path.

    The file is checked without being run. An unchanged file is read only once.

    Args:
        name: a bundled style, in any form that `style_named` accepts, or the path of a style file.
        tier: one of TIERS, which selects the file of a bundled style. With "fast", a style file
            must have a network of the fast tier; with "standard", it may have any network.

    Raises:
        StyleFileError: there is no such style, the file is not a usable style, or its network is
            not of the tier.
    """
    bundled = bundled_styles(tier)
    path = bundled.get(style_named(str(name)), Path(name))
    if not path.is_file():
        raise _not_found(name, list(bundled))
    style = read_style(path)
    if tier != STANDARD and style.shapes() != _shapes(tier):
        raise StyleFileError(
            f"{path} is not of the {tier} tier; give the name of a bundled style "
            f"({', '.join(bundled)}), or a file that was made for the {tier} tier",
            setting="tier",
        )
    return style


def tier_of(style: Style) -> str:
    """The tier that a style's network belongs to; STANDARD for networks of any other shape."""
    shapes = style.shapes()
    return next((tier for tier in TIERS if _shapes(tier) == shapes), STANDARD)


def _shapes(tier: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a tier's styles."""
    return read_style(next(iter(bundled_styles(tier).values()))).shapes()


def _not_found(name: str | Path, bundled: list[str]) -> StyleFileError:
    """The error for a style that does not exist, with the most similar name as a hint."""
    path = Path(name)
    kinds = f"a style is a picture, a style file (.onnx) or one of {', '.join(bundled)}"
    if not path.name:
        message = f"'{name}' is not a style; {kinds}"
    elif path.suffix == ".onnx":
        message = f"{absent(path)}; {kinds}"
    else:
        beside = path.with_name(f"{path.name}.onnx")
        near = [str(beside)] if beside.is_file() else _near(str(name))
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        message = f"there is no style '{name}'{hint}; {kinds}"
    return StyleFileError(message, setting="style")


def _near(text: str) -> list[str]:
    """The bundled styles whose name, title or painter is spelled most like a text, if any is."""
    known: dict[str, list[str]] = {}
    for name, names in _known_as().items():
        for words in names:
            for i in range(len(words)):
                known.setdefault(" ".join(words[i:]), []).append(name)
    nearest = difflib.get_close_matches(" ".join(_words(text)), known, 1)
    return list(dict.fromkeys(name for each in nearest for name in known[each]))
