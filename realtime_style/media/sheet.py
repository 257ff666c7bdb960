"""Sheets of pictures: a grid of small pictures, each with its name below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from realtime_style.media.lettering import Font, Lettering
from realtime_style.wording import one_line

_TILE_PX = 480  # longer side of each picture
_GAP_PX = 12
_TITLE_PX, _ABOUT_PX = 22, 16
_LINE_PX = 26  # from one line of a label to the next
_MIN_LABEL_PX = 220  # wide; narrower pictures lie further apart
_ABOUT_LINES = 3  # at most
_INSET = 0.3  # of a picture's shorter side
_SHAPE = 1.5  # of the whole sheet: width by height, roughly
_PAPER, _TITLE_INK, _ABOUT_INK = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture of a sheet.

    Attributes:
        rgb: (H, W, 3) uint8, of any size.
        title: the first line below it.
        about: smaller, in as many lines as it needs.
        inset: (H, W, 3) uint8, a picture that is shown in its corner; None shows none.
    """

    rgb: NDArray[np.uint8]
    title: str
    about: str = ""
    inset: NDArray[np.uint8] | None = None


def draw_sheet(tiles: Sequence[Tile], shape: float) -> NDArray[np.uint8]:
    """A sheet of at least one picture, row by row, (H, W, 3) uint8.

    Args:
        shape: of every picture as it is shown, width by height.
    """
    width, height = (_TILE_PX, round(_TILE_PX / shape))
    if shape < 1:
        width, height = round(_TILE_PX * shape), _TILE_PX
    label_width = max(width, _MIN_LABEL_PX)
    lettering = Lettering(*(text for tile in tiles for text in (tile.title, tile.about)))
    labels = [_label(tile, label_width, lettering) for tile in tiles]
    label_height = max(len(label) for label in labels) * _LINE_PX + _GAP_PX
    cell_width, cell_height = label_width + _GAP_PX, height + label_height + _GAP_PX
    columns = _columns(len(tiles), math.sqrt(len(tiles) * _SHAPE * cell_height / cell_width))
    rows = -(-len(tiles) // columns)
    size = (columns * cell_width + _GAP_PX, rows * cell_height + _GAP_PX)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        left = _GAP_PX + number % columns * cell_width
        top = _GAP_PX + number // columns * cell_height
        small = Image.fromarray(tile.rgb).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, top))
        if tile.inset is not None:
            inset = _inset(tile.inset, round(_INSET * min(width, height)))
            sheet.paste(inset, (left + width - inset.width, top + height - inset.height))
        for row, text in enumerate(label):
            font = lettering.font(_ABOUT_PX if row else _TITLE_PX)
            place = (left, top + height + _GAP_PX // 2 + row * _LINE_PX)
            draw.text(place, text, _ABOUT_INK if row else _TITLE_INK, font)
    return np.asarray(sheet)


def _inset(rgb: NDArray[np.uint8], side_px: int) -> Image.Image:
    """A small copy of a picture with a border of paper, whose longer side has some pixels."""
    small = Image.fromarray(rgb)
    small.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return ImageOps.expand(small, _GAP_PX // 3, _PAPER)


def _label(tile: Tile, width: int, lettering: Lettering) -> list[str]:
    """The lines below a picture, none wider than some pixels; the title is the first."""
    title, about = (lettering.drawable(one_line(text)) for text in (tile.title, tile.about))
    font, lines = lettering.font(_ABOUT_PX), [""]
    for word in about.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and len(lines) < _ABOUT_LINES and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    title = _shortened(title, lettering.font(_TITLE_PX), width)
    return [title, *(_shortened(line, font, width) for line in lines)]


def _columns(count: int, wanted: float) -> int:
    """A number of columns near the wanted one that leaves few places empty."""
    near = range(max(1, math.floor(wanted)), min(count, math.ceil(wanted) + 1) + 1)
    return min(near, default=count, key=lambda some: (-count % some, abs(some - wanted - 0.5)))


def _shortened(text: str, font: Font, width: int) -> str:
    """A text that is no wider than some pixels; what is left out becomes three dots."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
