"""Colour spaces: how plane values mean colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    pass  # which must not come before a window's OpenCV


BT709 = 1


BT470BG = 5


SMPTE170M = 6


BT2020_NCL = 9


UNSPECIFIED = 2


LIMITED = 1


FULL = 2


_LUMA_WEIGHTS = {  # (Kr, Kb): ITU-T H.273, table 4
    BT709: (0.2126, 0.0722),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    BT2020_NCL: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class ColorSpace:
    """How plane values mean colours. Codes are those of ITU-T H.273, as FFmpeg uses them.

    `range` is 1 (limited: luma 16..235, chroma 16..240) or 2 (full: 0..255), FFmpeg's AVColorRange.
    `matrix` and `range` are always known codes; `primaries` and `transfer` may be 2 (unspecified).
    """

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    def yuv_from_rgb(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrix (3, 3) and offset (3,): yuv = matrix @ rgb + offset, all values in 0..1.

        `rgb` is gamma-coded R'G'B'; `yuv` is plane values over 255. (H.273, section 8.3.)
        """
        kr, kb = _LUMA_WEIGHTS[self.matrix]
        luma = np.array([kr, 1 - kr - kb, kb])
        cb = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
        cr = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
        if self.range == FULL:
            scale, offset = np.array([1.0, 1.0, 1.0]), np.array([0.0, 128, 128]) / 255
        else:
            scale, offset = np.array([219.0, 224, 224]) / 255, np.array([16.0, 128, 128]) / 255
        return np.stack((luma, cb, cr)) * scale[:, None], offset

    def __str__(self) -> str:
        matrix = {BT709: "BT.709", BT2020_NCL: "BT.2020"}.get(self.matrix, "BT.601")
        return f"{matrix} {'full' if self.range == FULL else 'limited'}"
