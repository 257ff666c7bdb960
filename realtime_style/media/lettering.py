"""Fonts for text in pictures: Pillow's own, or an installed one that has more letters."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_INSTALLED = (  # by their files, as Pillow finds them on Linux, macOS and Windows
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf",
    "arial.ttf", "NotoSansCJK-Regular.ttc", "DroidSansFallbackFull.ttf", "wqy-zenhei.ttc",
    "Arial Unicode.ttf", "msgothic.ttc", "msyh.ttc",
)  # fmt: skip
_TRIED_PX = 20
_NO_CHARACTER = "\uffff"  # every font draws its box for it


class Lettering:
    """Draws all texts of a picture in one font, which has their letters as far as any has.

    Pillow's own font is used where it has all letters, so that they look the same everywhere; it
    has no accents. A letter that the font lacks loses its accent, or becomes a question mark.
    """

    def __init__(self, *texts: str) -> None:
        """Chooses the font by the texts that will be drawn."""
        letters = frozenset("".join(map(_composed, texts)))
        self._name, fewest = "", len(letters) + 1
        for name in ("", *_INSTALLED):
            font = _font(name, _TRIED_PX)
            lacking = sum(not _has(font, letter) for letter in letters) if font else fewest
            if lacking < fewest:
                self._name, fewest = name, lacking
            if not lacking:
                break

    def font(self, size_px: int) -> Font:
        """The font for Pillow to draw with."""
        font = _font(self._name, size_px)
        assert font
        return font

    def drawable(self, text: str) -> str:
        """A text, on any number of lines, of letters that the font has."""
        font = self.font(_TRIED_PX)
        return "".join(_nearest(font, letter) for letter in _composed(text))


def _composed(text: str) -> str:
    """A text in which a letter and its accent are one character; file names may have two."""
    return unicodedata.normalize("NFC", text)


@cache
def _font(name: str, size_px: int) -> Font | None:
    """A font by its file, "" for Pillow's own; None if it is not installed."""
    if not name:
        return ImageFont.load_default(size_px)
    try:
        return ImageFont.truetype(name, size_px)
    except OSError:
        return None


@cache
def _has(font: Font, letter: str) -> bool:
    """Whether a font draws more than a box for a letter."""
    if letter.isspace():
        return True
    drawn, box = font.getmask(letter), font.getmask(_NO_CHARACTER)
    return (drawn.size, bytes(drawn)) != (box.size, bytes(box))


def _nearest(font: Font, letter: str) -> str:
    """A letter without its accent where the font lacks it; ? if it lacks that too."""
    if _has(font, letter):
        return letter
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part)
    )
    return "".join(part if _has(font, part) else "?" for part in plain)
