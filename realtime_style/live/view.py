"""What the window shows: the painted picture beside or instead of the camera's, and text."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from realtime_style.frame import Frame
from realtime_style.media.scaling import rgb_from_frame

Bgr = NDArray[np.uint8]
"""(H, W, 3), blue first, as windows want it."""

_DIVIDER_PX = 2
_LINES, _COLUMNS = 32, 26  # of text in a window, if its size allows
_LEAST_TEXT_PX, _MOST_TEXT_PX = 11, 28
_SHADE = 0.45  # of the picture that is left behind text


class Mode(Enum):
    """What is shown of a shot."""

    PAINTED = "painted"
    SPLIT = "split"
    BESIDE = "side by side"


@dataclass
class View:
    """How shots are shown. `divider` is where the split lies, 0..1 of the picture's width."""

    mode: Mode = Mode.PAINTED
    divider: float = 0.5
    mirror: bool = False
    _reformatters: dict[str, VideoReformatter] = field(default_factory=dict, repr=False)
    _panels: dict[tuple[object, ...], NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def compose(
        self, original: Frame, painted: Frame, width: int, height: int, texts: dict[str, str]
    ) -> Bgr:
        """A window's content of the given size.

        Args:
            original, painted: the two pictures; the original's shape is what is shown.
            texts: what to write into the corners "top" and "bottom"; empty ones are left out.
        """
        canvas = np.zeros((height, width, 3), np.uint8)
        columns = 2 if self.mode is Mode.BESIDE else 1
        left, top, wide, high = fit(original.width * columns, original.height, width, height)
        place = canvas[top : top + high, left : left + wide]
        one = wide // columns
        ours = self._bgr("painted", painted, one, high)
        if self.mode is Mode.BESIDE:
            place[:, :one] = self._bgr("original", original, one, high)
            place[:, one : 2 * one] = ours
        elif self.mode is Mode.SPLIT:
            at = round(self.divider * wide)
            place[...] = ours
            place[:, :at] = self._bgr("original", original, one, high)[:, :at]
            place[:, max(0, at - _DIVIDER_PX // 2) : at + _DIVIDER_PX // 2] = 255
        else:
            place[...] = ours
        for corner, text in texts.items():
            if text:
                self._write(canvas, corner, text)
        return canvas

    def divider_at(self, x: int, original: Frame, width: int, height: int) -> float:
        """The divider for a place in the window, in pixels from the left."""
        left, _, wide, _ = fit(original.width, original.height, width, height)
        return min(1.0, max(0.0, (x - left) / max(1, wide)))

    def _bgr(self, name: str, frame: Frame, width: int, height: int) -> Bgr:
        reformatter = self._reformatters.setdefault(name, VideoReformatter())
        bgr = rgb_from_frame(frame, (width, height), reformatter, "bgr24")
        return bgr[:, ::-1] if self.mirror else bgr

    def _write(self, canvas: Bgr, corner: str, text: str) -> None:
        fitting_px = min(canvas.shape[0] / _LINES, canvas.shape[1] / _COLUMNS)
        size_px = round(min(max(fitting_px, _LEAST_TEXT_PX), _MOST_TEXT_PX))
        panel = self._panels.get((text, size_px))
        if panel is None:
            if len(self._panels) > 8:
                self._panels.clear()
            panel = self._panels[text, size_px] = _panel(text, size_px)
        panel = panel[: canvas.shape[0], : canvas.shape[1]]
        rows = slice(0, panel.shape[0])
        if corner == "bottom":
            rows = slice(canvas.shape[0] - panel.shape[0], canvas.shape[0])
        place = canvas[rows, : panel.shape[1]]
        place[...] = np.maximum((place * _SHADE).astype(np.uint8), panel[..., None])


def fit(width: int, height: int, into_width: int, into_height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture as large as fits, in the middle, of its shape."""
    scale = min(into_width / width, into_height / height)
    wide, high = max(2, round(width * scale)), max(2, round(height * scale))
    wide, high = min(wide, into_width), min(high, into_height)
    return (into_width - wide) // 2, (into_height - high) // 2, wide, high


def _panel(text: str, size_px: int) -> NDArray[np.uint8]:
    """White text on black, (H, W), as much as it needs."""
    font = ImageFont.load_default(size_px)
    margin = size_px // 2
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    picture = Image.new("L", (round(box[2]) + 2 * margin, round(box[3]) + 2 * margin))
    ImageDraw.Draw(picture).multiline_text((margin, margin), text, 255, font)
    return np.asarray(picture)
