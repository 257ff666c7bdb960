"""Accents and other letters in the texts of sheets and windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from realtime_style.live.view import _panel
from realtime_style.media import lettering
from realtime_style.media.lettering import Lettering
from realtime_style.media.sheet import Tile, draw_sheet


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs a font, by its file, that has only certain letters: those of a made-up one.

    It draws every letter as Pillow's own font draws "o", and any other as that draws a box.
    """
    fonts: dict[str, str] = {}
    own_font, own_has = lettering._font, lettering._has

    def font(name: str, size_px: int) -> object:
        return own_font(name, size_px) if not name else (name if name in fonts else None)

    def has(font: object, letter: str) -> bool:
        return letter in fonts[font] if isinstance(font, str) else own_has(font, letter)  # type: ignore[arg-type]

    monkeypatch.setattr(lettering, "_font", font)
    monkeypatch.setattr(lettering, "_has", has)
    return fonts.__setitem__


def test_pillows_font_has_letters_but_no_accents() -> None:
    font = ImageFont.load_default(20)
    assert all(lettering._has(font, letter) for letter in "aZ09 ,.()-\n")
    assert not any(lettering._has(font, letter) for letter in "é\u4e2dЖ")


@pytest.mark.usefixtures("installed")
def test_without_other_fonts_accents_are_left_out() -> None:
    letters = Lettering("Café")
    assert letters.drawable("Café\nGöteborg") == "Cafe\nGoteborg"
    assert letters.drawable("Cafe\u0301") == "Cafe"  # as macOS names files
    assert letters.drawable("\u4e2d") == "?"


def test_the_font_is_the_first_that_has_all_letters(
    installed: Callable[[str, str], None],
) -> None:
    installed("LiberationSans-Regular.ttf", "Cafeé")
    installed("NotoSansCJK-Regular.ttc", "Cafeé\u4e2d")
    assert Lettering("Cafe", "Ca")._name == ""
    assert Lettering("Cafe", "Café")._name == "LiberationSans-Regular.ttf"
    assert Lettering("Cafe\u0301").drawable("Cafe\u0301") == "Café"
    assert Lettering("Café \u4e2d")._name == "NotoSansCJK-Regular.ttc"
    some = Lettering("éЖ")  # nothing has both
    assert (some._name, some.drawable("éЖ")) == ("LiberationSans-Regular.ttf", "é?")


def has_accents() -> bool:
    return Lettering("é")._name != ""


@pytest.mark.skipif(not has_accents(), reason="no installed font has accents")
@pytest.mark.parametrize("with_accent", ["Café", "Cafe\u0301"])
def test_accents_are_drawn(with_accent: str) -> None:
    """One pixel above the e more than without it, and no box."""
    black = np.zeros((48, 64, 3), np.uint8)
    plain, accented = (
        (draw_sheet([Tile(black, f"é {word}")], 4 / 3)[372:] < 128).any(2).sum()
        for word in ("Cafe", with_accent)
    )
    assert 2 < accented - plain < 30
    assert (_panel(with_accent, 20) > 128).sum() > (_panel("Cafe", 20) > 128).sum()


def test_texts_without_accents_look_the_same_everywhere() -> None:
    picture = Image.new("L", (80, 40))
    ImageDraw.Draw(picture).multiline_text((10, 10), "Udnie", 255, ImageFont.load_default(20))
    drawn = _panel("Udnie", 20)
    height, width = min(drawn.shape[0], 40), min(drawn.shape[1], 80)
    assert np.array_equal(drawn[:height, :width], np.asarray(picture)[:height, :width])
