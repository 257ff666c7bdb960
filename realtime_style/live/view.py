"""Composes what a window shows: the painted picture, the camera's beside it, and text."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from realtime_style.frame import Frame
from realtime_style.live.front_end import Shot
from realtime_style.media.lettering import Lettering
from realtime_style.media.scaling import rgb_from_frame

Bgr: TypeAlias = NDArray[np.uint8]
"""A picture for a window, (H, W, 3) uint8, BGR."""

_DIVIDER_PX = 2
_LINES, _COLUMNS = 32, 26  # of text that should fit into a window; they decide the font size
_MIN_FONT_PX, _MAX_FONT_PX = 11, 28  # limits of the font size
_SHADE = 0.45  # factor for the brightness of the picture behind text
_MAX_PANELS = 8  # how many rendered texts are kept


class Mode(Enum):
    """What is shown: the painted picture, both halves beside a divider, or both pictures."""

    PAINTED = "painted"
    SPLIT = "split"
    SIDE_BY_SIDE = "side by side"


class Corner(Enum):
    """Where a text is shown."""

    TOP = "top left"
    BOTTOM = "bottom left"


class View:
    """Composes pictures for a window.

    Attributes:
        mode: what is shown.
        divider: position of the divider in split mode, as a share of the picture's width, 0..1:
            the original is on the left of it, the painted picture on the right.
        mirror: whether pictures are mirrored left to right.
    """

    def __init__(
        self, mode: Mode = Mode.PAINTED, divider: float = 0.5, *, mirror: bool = False
    ) -> None:
        self.mode, self.divider, self.mirror = mode, divider, mirror
        self._original_reformatter = VideoReformatter()
        self._painted_reformatter = VideoReformatter()
        self._panels: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def next_mode(self) -> None:
        """Switches to the next mode; after the last one, to the first."""
        modes = list(Mode)
        self.mode = modes[(modes.index(self.mode) + 1) % len(modes)]

    def toggle_mirror(self) -> None:
        """Turns mirroring on or off."""
        self.mirror = not self.mirror

    def move_divider(self, x: int, shot: Shot, size: tuple[int, int]) -> None:
        """Moves the divider.

        Args:
            x: the new position, in pixels from the left edge of the window.
            shot: the shot on display.
            size: (width, height) of the window in pixels.
        """
        left, _, width, _ = fit(shot.original.width, shot.original.height, *size)
        self.divider = min(1.0, max(0.0, (x - left) / max(1, width)))

    def compose(self, shot: Shot, size: tuple[int, int], texts: Mapping[Corner, str]) -> Bgr:
        """Composes the content of a window.

        Args:
            shot: the two pictures; the painted one is scaled to the original's size.
            size: (width, height) of the window in pixels.
            texts: what to write into the corners; empty texts are not drawn.

        Returns:
            A new picture of that size.
        """
        width, height = size
        content = np.zeros((height, width, 3), np.uint8)
        self._draw(shot, content)
        for corner, text in texts.items():
            if text:
                self._write(content, corner, text)
        return content

    def _draw(self, shot: Shot, content: Bgr) -> None:
        columns = 2 if self.mode is Mode.SIDE_BY_SIDE else 1
        left, top, width, height = fit(
            shot.original.width * columns, shot.original.height, content.shape[1], content.shape[0]
        )
        area = content[top : top + height, left : left + width]
        one = (width // columns, height)
        painted = self._bgr(shot.painted, one, self._painted_reformatter)
        if self.mode is Mode.PAINTED:
            area[...] = painted
            return
        original = self._bgr(shot.original, one, self._original_reformatter)
        if self.mode is Mode.SIDE_BY_SIDE:
            area[:, : one[0]] = original
            area[:, one[0] : 2 * one[0]] = painted
        else:
            x = round(self.divider * width)
            area[...] = painted
            area[:, :x] = original[:, :x]
            area[:, max(0, x - _DIVIDER_PX // 2) : x + _DIVIDER_PX // 2] = 255

    def _bgr(self, frame: Frame, size: tuple[int, int], reformatter: VideoReformatter) -> Bgr:
        bgr = rgb_from_frame(frame, size, reformatter, "bgr24")
        return bgr[:, ::-1] if self.mirror else bgr

    def _write(self, content: Bgr, corner: Corner, text: str) -> None:
        height, width = content.shape[:2]
        fitting_px = min(height / _LINES, width / _COLUMNS)
        font_px = round(min(max(fitting_px, _MIN_FONT_PX), _MAX_FONT_PX))
        panel = self._panels.get((text, font_px))
        if panel is None:
            if len(self._panels) >= _MAX_PANELS:
                self._panels.clear()
            panel = self._panels[text, font_px] = _panel(text, font_px)
        panel = panel[:height, :width]
        top = height - panel.shape[0] if corner is Corner.BOTTOM else 0
        area = content[top : top + panel.shape[0], : panel.shape[1]]
        area[...] = np.maximum((area * _SHADE).astype(np.uint8), panel[..., None])


def fit(width: int, height: int, into_width: int, into_height: int) -> tuple[int, int, int, int]:
    """(left, top, width, height) of a picture that is scaled to fit into an area, in its centre.

    Args:
        width, height: size of the picture in pixels.
        into_width, into_height: size of the area in pixels.
    """
    scale = min(into_width / width, into_height / height)
    width, height = max(2, round(width * scale)), max(2, round(height * scale))
    width, height = min(width, into_width), min(height, into_height)
    return (into_width - width) // 2, (into_height - height) // 2, width, height


def _panel(text: str, font_px: int) -> NDArray[np.uint8]:
    """Draws a text in white on black, with a margin; (H, W) uint8."""
    lettering = Lettering(text)
    text, font = lettering.drawable(text), lettering.font(font_px)
    margin = font_px // 2
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    picture = Image.new("L", (round(box[2]) + 2 * margin, round(box[3]) + 2 * margin))
    ImageDraw.Draw(picture).multiline_text((margin, margin), text, 255, font)
    return np.asarray(picture)
