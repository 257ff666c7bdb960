"""Colour spaces: how the values of YUV planes stand for colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Codes of ITU-T H.273, tables 2 to 4, as FFmpeg's AVColorSpace uses them
BT709 = 1
UNSPECIFIED = 2
BT470BG = 5
SMPTE170M = 6
BT2020_NCL = 9

# FFmpeg's AVColorRange
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
    """How the values of YUV planes stand for colours, in the codes of ITU-T H.273.

    Attributes:
        matrix: how YUV is computed from RGB: BT709, BT470BG, SMPTE170M or BT2020_NCL.
        range: LIMITED (luma 16..235, chroma 16..240) or FULL (0..255).
        primaries, transfer: any H.273 code, such as UNSPECIFIED; passed on to the painted film,
            but not used in calculations.
    """

    matrix: int = BT709
    range: int = LIMITED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    def yuv_from_rgb(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrix (3, 3) and offset (3,), float64, such that yuv = matrix @ rgb + offset.

        `rgb` is gamma-encoded R'G'B' in 0..1; `yuv` is plane values divided by 255 (H.273,
        section 8.3).

        Raises:
            KeyError: `matrix` is not one of the four that the class lists.
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
        """Matrix and range in human-readable form, such as "BT.709 limited"."""
        matrix = {BT709: "BT.709", BT2020_NCL: "BT.2020"}.get(self.matrix, "BT.601")
        return f"{matrix} {'full' if self.range == FULL else 'limited'}"
