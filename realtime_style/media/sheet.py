"""Sheets of pictures: a grid of small pictures, each with its name below."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from realtime_style.wording import one_line

_TILE_PX = 480  # longer side of each picture
_GAP_PX = 12
_TITLE_PX, _ABOUT_PX, _LINE_PX = 22, 16, 26
_LABEL_PX = 2 * _LINE_PX + _GAP_PX
_SHAPE = 1.5  # of the whole sheet: width by height, roughly
_PAPER, _TITLE_INK, _ABOUT_INK = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture of a sheet.

    Attributes:
        rgb: (H, W, 3) uint8, of any size.
        title: the first line below it.
        about: the second, smaller line.
    """

    rgb: NDArray[np.uint8]
    title: str
    about: str = ""


def draw_sheet(tiles: Sequence[Tile], shape: float) -> NDArray[np.uint8]:
    """A sheet of at least one picture, row by row, (H, W, 3) uint8.

    Args:
        shape: of every picture as it is shown, width by height.
    """
    width, height = (_TILE_PX, round(_TILE_PX / shape))
    if shape < 1:
        width, height = round(_TILE_PX * shape), _TILE_PX
    cell_width, cell_height = width + _GAP_PX, height + _LABEL_PX + _GAP_PX
    columns = _columns(len(tiles), math.sqrt(len(tiles) * _SHAPE * cell_height / cell_width))
    rows = -(-len(tiles) // columns)
    size = (columns * cell_width + _GAP_PX, rows * cell_height + _GAP_PX)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left = _GAP_PX + number % columns * cell_width
        top = _GAP_PX + number // columns * cell_height
        small = Image.fromarray(tile.rgb).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, top))
        lines = ((tile.title, _TITLE_PX, _TITLE_INK), (tile.about, _ABOUT_PX, _ABOUT_INK))
        for row, (text, font_px, ink) in enumerate(lines):
            font = ImageFont.load_default(font_px)
            place = (left, top + height + _GAP_PX // 2 + row * _LINE_PX)
            draw.text(place, _shortened(text, font, width), ink, font)
    return np.asarray(sheet)


def _columns(count: int, wanted: float) -> int:
    """A number of columns near the wanted one that leaves few places empty."""
    near = range(max(1, math.floor(wanted)), min(count, math.ceil(wanted) + 1) + 1)
    return min(near, default=count, key=lambda some: (-count % some, abs(some - wanted - 0.5)))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """A text that is no wider than some pixels; what is left out becomes three dots.

    Accents are left out too: Pillow's own font has none.
    """
    letters = unicodedata.normalize("NFKD", one_line(text))
    text = "".join(letter for letter in letters if not unicodedata.combining(letter))
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
