"""Changes of light between frames, and what they do to a painting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime_style.painting.cells import FRACTION_BITS, planes_of

_LIT_SHARE = 0.6  # of the cells that must have changed as one, for it to be a change of light
_LIT_SLACK = 3.0  # codes within which they must have
_MIN_LIGHT = 0.5  # codes by which a change of light must change anything
_MAX_GAIN, _MAX_OFFSET_CODES = 0.25, 32.0  # a larger change between two frames is a cut
_FLAT = 16.0  # codes^2: where cells vary by less, light is an offset rather than a gain


@dataclass(frozen=True, slots=True)
class Light:
    """A change of light: new codes are gain * old codes + offset, for luma, Cb and Cr."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    def on(self, cells: NDArray[np.int16]) -> NDArray[np.int16]:
        """Cells from `frame_cells`, (3, rows, columns) int16, in the new light."""
        gains, offsets = (
            np.array(each, np.float32)[:, None, None] for each in (self.gains, self.offsets)
        )
        return np.asarray((gains * cells + 16 * offsets).round(), np.int16)


def relight(paint: NDArray[np.int16], fresh: NDArray[np.int16]) -> None:
    """Gives a painting the mean and the contrast of a new one, plane by plane.

    Both are I420 in 128ths of codes; the first is changed in place. Only the network knows what a
    change of light does to a painting: mean and deviation of its answer tell.
    """
    for old, new in zip(_three(paint), _three(fresh), strict=True):
        ours, theirs = (plane[::4, ::4].astype(np.float32) for plane in (old, new))
        least = _FLAT * 4**FRACTION_BITS
        gain = np.sqrt((theirs.var() + least) / (ours.var() + least))
        lit = gain * old + (theirs.mean() - gain * ours.mean())
        np.clip(lit, 0, 255 << FRACTION_BITS, out=lit)
        np.copyto(old, lit, casting="unsafe")


def _three(i420: NDArray[np.int16]) -> tuple[NDArray[np.int16], ...]:
    """Luma, Cb and Cr, views."""
    luma, chroma = planes_of(i420)
    return luma, chroma[0], chroma[1]


def light_between(known: NDArray[np.int16], cells: NDArray[np.int16], noise: float) -> Light | None:
    """How the light has changed; None if it has not, or not everywhere in the same way.

    Args:
        known, cells: cells of an earlier frame and of this one, from `frame_cells`.
        noise: mean difference of luma cells that noise makes, in codes.
    """
    x, y = (part[:, ::4, ::4].reshape(3, -1).astype(np.float32) / 16 for part in (known, cells))
    gains, offsets, most = [], [], 0.0
    for ours, theirs in zip(x, y, strict=True):
        share, gain, offset = _fitted(ours, theirs, noise)
        codes = np.percentile(ours, (5, 50, 95)).tolist()
        shift = max(abs(gain * code + offset - code) for code in codes)
        if share < _LIT_SHARE or abs(gain - 1) > _MAX_GAIN or shift > _MAX_OFFSET_CODES:
            return None
        gains.append(gain)
        offsets.append(offset)
        most = max(most, shift)
    return Light(tuple(gains), tuple(offsets)) if most > _MIN_LIGHT else None


def _fitted(
    x: NDArray[np.float32], y: NDArray[np.float32], noise: float
) -> tuple[float, float, float]:
    """Fits y = gain * x + offset; returns the share of values that follow it, gain and offset."""
    share, gain, offset = 0.0, 1.0, float(np.median(y - x))
    for _ in range(2):
        follow = np.abs(y - gain * x - offset) < _LIT_SLACK + 2 * noise
        share = float(follow.mean())
        if not share:
            break
        ours, theirs = x[follow], y[follow]
        middle, now = float(ours.mean()), float(theirs.mean())
        varies = float(((ours - middle) ** 2).mean()) + _FLAT
        gain = (float(((ours - middle) * (theirs - now)).mean()) + _FLAT) / varies
        offset = now - gain * middle
    return share, gain, offset
