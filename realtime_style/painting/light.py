"""Detects changes of light between frames, such as fades, and applies them to a painting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime_style.painting.cells import FRACTION_BITS, STRIP_PX, Values, planes_of, strips

# A code is a step of an 8-bit value
_LIT_SHARE = 0.6  # in a change of light, at least this share of the cells follows one line
_LIT_SLACK = 3.0  # how many codes a cell may be off that line
_MIN_LIGHT = 0.5  # smaller changes, in codes, are ignored
_MAX_GAIN, _MAX_OFFSET_CODES = 0.25, 32.0  # larger changes of gain and values are cuts, not light
_FLAT = 16.0  # codes^2; where the variance of cells is less, the change is taken as an offset


@dataclass(frozen=True, slots=True)
class Light:
    """A change of light: new values are gain * old values + offset.

    Attributes:
        gains: of luma, Cb and Cr.
        offsets: of luma, Cb and Cr, in codes.
    """

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    def on(self, cells: NDArray[np.int16]) -> NDArray[np.int16]:
        """Applies the change to cells from `frame_cells`, (3, rows, columns) int16."""
        gains, offsets = (
            np.array(each, np.float32)[:, None, None] for each in (self.gains, self.offsets)
        )
        return np.asarray((gains * cells + 16 * offsets).round(), np.int16)


def relight(paint: NDArray[np.int16], painted: NDArray[np.uint8]) -> None:
    """Gives a painting the mean and the contrast of a new one, plane by plane.

    The change of light in the film cannot be applied to the painting itself, since only the network
    knows what becomes of it. The mean and the deviation of what it has painted show that.

    Args:
        paint: the painting, I420 in 128ths of codes; changed in place.
        painted: what the network has painted in the new light, I420 in codes.
    """
    for old, new in zip(_three(paint), _three(painted), strict=True):
        ours = old[::4, ::4].astype(np.float32)
        theirs = new[::4, ::4].astype(np.float32) * (1 << FRACTION_BITS)
        least = _FLAT * 4**FRACTION_BITS
        gain = np.sqrt((theirs.var() + least) / (ours.var() + least))
        offset = theirs.mean() - gain * ours.mean()
        buffer = np.empty(STRIP_PX + old.shape[1], np.float32)
        for rows in strips(old.shape, 1):
            lit = buffer[: old[rows].size].reshape(old[rows].shape)
            np.multiply(old[rows], gain, out=lit)
            lit += offset
            np.clip(lit, 0, 255 << FRACTION_BITS, out=lit)
            np.copyto(old[rows], lit, casting="unsafe")


def _three(i420: NDArray[Values]) -> tuple[NDArray[Values], ...]:
    """Views of luma, (H, W), Cb and Cr, (H/2, W/2)."""
    luma, chroma = planes_of(i420)
    return luma, chroma[0], chroma[1]


def light_between(known: NDArray[np.int16], cells: NDArray[np.int16], noise: float) -> Light | None:
    """How the light has changed between two frames.

    Args:
        known: cells of the earlier frame, from `frame_cells`.
        cells: cells of the later frame.
        noise: mean difference between luma cells that noise makes, in codes.

    Returns:
        None if the light has not changed, or has not changed everywhere in the same way.
    """
    x, y = (part[:, ::4, ::4].reshape(3, -1).astype(np.float32) / 16 for part in (known, cells))
    gains, offsets, most = [], [], 0.0
    for ours, theirs in zip(x, y, strict=True):
        share, gain, offset = _fitted(ours, theirs, noise)
        shift = max(abs(gain * code + offset - code) for code in _quantiles(ours, 0.05, 0.5, 0.95))
        if share < _LIT_SHARE or abs(gain - 1) > _MAX_GAIN or shift > _MAX_OFFSET_CODES:
            return None
        gains.append(gain)
        offsets.append(offset)
        most = max(most, shift)
    return Light(tuple(gains), tuple(offsets)) if most > _MIN_LIGHT else None


def _fitted(
    x: NDArray[np.float32], y: NDArray[np.float32], noise: float
) -> tuple[float, float, float]:
    """Fits y = gain * x + offset, leaving outliers out.

    Returns:
        The share of values that are close to that line, the gain, and the offset.
    """
    share, gain, offset = 0.0, 1.0, median(y - x)
    for _ in range(2):
        follow = np.abs(y - gain * x - offset) < _LIT_SLACK + 2 * noise
        share = np.count_nonzero(follow) / follow.size
        if not share:
            break
        ours, theirs = (x, y) if share == 1 else (x[follow], y[follow])
        middle, now = _mean(ours), _mean(theirs)
        ours, theirs = ours - middle, theirs - now
        gain = (_mean(ours * theirs) + _FLAT) / (_mean(ours * ours) + _FLAT)
        offset = now - gain * middle
    return share, gain, offset


def median(values: NDArray[np.float32] | NDArray[np.int16]) -> float:
    """The middle value; the mean of the two in the middle if there are two."""
    return _quantiles(values, 0.5)[0]


# NumPy's functions for these give the same, but take several times as long for so few values


def _quantiles(values: NDArray[np.float32] | NDArray[np.int16], *shares: float) -> list[float]:
    """Values that these shares of all values are below, between two values in proportion."""
    ordered = np.sort(values, axis=None)
    found = []
    for share in shares:
        place = share * (ordered.size - 1)
        left = int(place)
        low, high = float(ordered[left]), float(ordered[min(left + 1, ordered.size - 1)])
        found.append(low + (high - low) * (place - left))
    return found


def _mean(values: NDArray[np.float32]) -> float:
    return float(np.add.reduce(values) / values.size)
