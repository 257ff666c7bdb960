"""A grain under flat places, for the network to paint strokes from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame, FramePool

CELL_PX = 4
_TILE_PX = 512  # the grain repeats itself after so many pixels
_SOFTNESS_PX = 2.0
_GRAIN = 1.5  # codes of luma, standard deviation
_LEVELS = 4  # of its strength
_FINE = 64  # steps a code in which it is kept
_FLAT, _LIVELY = 0.15, 0.5  # codes from cell to cell, but for slopes: all the grain, and none
_MOST = 2.0  # codes that count of a cell: one edge makes no place lively
_AROUND_CELLS = 2


class Canvas:
    """Lays a faint, fixed grain under the flat places of frames.

    A network that answers alike to what is alike paints a white sky as one dead field, a hole among
    the strokes. On a grain too faint to be seen it paints as it does elsewhere. The grain is that
    of a canvas: it belongs to the place in the picture, and is the same in every frame.
    """

    def __init__(self, seed: int = 0, strength: float = 1.0) -> None:
        """Args: seed, of the grain; strength, 0..1 of the usual."""
        self._tile = (_tile(seed) * (strength * _GRAIN * _FINE)).round().astype(np.int16)
        self._pool = FramePool()

    def __call__(self, frame: Frame) -> Frame:
        """The frame on its canvas: a new one, or itself where nothing in it is flat."""
        strength = _flatness(luma_cells(frame))
        rows = np.flatnonzero(strength.any(1))
        if not rows.size:
            return frame
        grained = frame.blank(self._pool)
        np.copyto(grained.i420, frame.i420)
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        luma = grained.i420[top * CELL_PX : bottom * CELL_PX, : strength.shape[1] * CELL_PX]
        strong = strength[top:bottom].repeat(CELL_PX, 0).repeat(CELL_PX, 1)
        strong *= self._grain(top * CELL_PX, *luma.shape)
        strong += _LEVELS * _FINE // 2
        strong //= _LEVELS * _FINE
        strong += luma
        np.copyto(luma, strong.clip(0, 255, out=strong), casting="unsafe")
        return grained

    def _grain(self, top: int, height: int, width: int) -> NDArray[np.int16]:
        rows = np.arange(top, top + height) % _TILE_PX
        grain: NDArray[np.int16] = self._tile.take(rows, 0).take(np.arange(width) % _TILE_PX, 1)
        return grain


@lru_cache(maxsize=2)  # looks that differ in strength alone have it in common
def _tile(seed: int) -> NDArray[np.float64]:
    """Grain of a standard deviation of 1, which goes on at the other side."""
    white = np.random.default_rng(seed).standard_normal((_TILE_PX, _TILE_PX))
    frequency = np.fft.fftfreq(_TILE_PX)
    bell = np.exp(-2 * (np.pi * _SOFTNESS_PX * frequency) ** 2)
    soft = np.fft.ifft2(np.fft.fft2(white) * bell[:, None] * bell).real
    return np.asarray(soft / soft.std())


def luma_cells(frame: Frame) -> NDArray[np.int16]:
    """Sums over cells of 4x4 luma pixels, (H // 4, W // 4): their means, in 16ths of codes.

    Four pixels are added at once, as parts of one larger number.
    """
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    fours = frame.i420[: rows * CELL_PX, : columns * CELL_PX].view(np.uint32)
    lanes = fours & 0x00FF00FF
    lanes += (fours >> 8) & 0x00FF00FF
    lanes = np.add.reduce(lanes.reshape(rows, CELL_PX, columns), 1, dtype=np.uint32)
    cells: NDArray[np.int16] = ((lanes & 0xFFFF) + (lanes >> 16)).astype(np.int16)
    return cells


def _flatness(cells: NDArray[np.int16]) -> NDArray[np.int16]:
    """How flat each cell's surroundings are, from 0 to _LEVELS."""
    lively = np.zeros(cells.shape, np.int32)
    for axis in (0, 1):
        if cells.shape[axis] < 3:
            continue
        # A plain slope is as flat as a level, and paints as dead: only what bends is lively. Noise
        # bends by the square root of 3 times what it steps
        bend = np.abs(np.diff(cells, n=2, axis=axis)).astype(np.int32)
        bend = (bend * 37) >> 5  # two steps, over the square root of 3
        np.minimum(bend, round(32 * _MOST), out=bend)
        wide = [(0, 0), (0, 0)]
        wide[axis] = (1, 1)
        lively += np.pad(bend, wide, mode="edge")
    by = _AROUND_CELLS
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (by, by)
        sums = np.cumsum(np.pad(lively, wide, mode="edge"), axis, dtype=np.int32)
        ahead = sums.take(np.arange(2 * by, sums.shape[axis]), axis)
        behind = sums.take(np.arange(cells.shape[axis] - 1), axis)
        lively = ahead
        rest = [slice(None)] * 2
        rest[axis] = slice(1, None)
        lively[tuple(rest)] -= behind
    mean = lively / (16 * 4 * (2 * by + 1) ** 2)  # codes from cell to cell
    strength = (_LIVELY - mean) * (_LEVELS / (_LIVELY - _FLAT))
    levels: NDArray[np.int16] = strength.round().clip(0, _LEVELS).astype(np.int16)
    return levels
