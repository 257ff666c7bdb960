"""Adds a faint grain to flat areas of the canvas, so that the network paints strokes there."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame, FramePool
from realtime_style.painting.cells import CELL_PX, luma_cells

_TILE_PX = 512  # the grain repeats after this many pixels
_SOFTNESS_PX = 2.0  # standard deviation of the Gaussian that smooths the grain
_GRAIN_CODES = 1.5  # standard deviation of the grain, in codes of luma
_LEVELS = 4  # steps between no grain and full grain
_FINE = 64  # the grain is stored in fractions of codes: 1/64
# Curvature of luma, in codes between neighbouring cells: areas below the first value get the full
# grain, areas above the second none
_FLAT, _TEXTURED = 0.15, 0.5
_MAX_CURVATURE = 2.0  # larger ones count as this many codes, so that one edge makes no texture
_AROUND_CELLS = 2  # cells around each cell, on each side, whose curvature is averaged


class Grain:
    """A faint grain for the flat areas of canvases.

    A network gives equal output for equal input, so it paints a white sky as one flat area without
    strokes. With a grain too faint to be seen, it paints strokes there as it does elsewhere. The
    grain depends only on the place on the canvas, so it is the same in every frame.
    """

    def __init__(self, seed: int = 0, strength: float = 1.0) -> None:
        """Makes the grain.

        Args:
            seed: seed of the random grain.
            strength: 0 (no grain) to 1 (a standard deviation of 1.5 codes).
        """
        self._tile = (_tile(seed) * (strength * _GRAIN_CODES * _FINE)).round().astype(np.int16)
        self._pool = FramePool()

    def lay_under(self, frame: Frame) -> Frame:
        """A copy of a frame with grain; the frame itself if no part of it is flat."""
        strength = _flatness(luma_cells(frame))
        rows = np.flatnonzero(strength.any(1))
        if not rows.size:
            return frame
        grained = frame.blank(self._pool)
        np.copyto(grained.i420, frame.i420)
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        luma = grained.i420[top * CELL_PX : bottom * CELL_PX, : strength.shape[1] * CELL_PX]
        grain = strength[top:bottom].repeat(CELL_PX, 0).repeat(CELL_PX, 1)
        grain *= self._grain(top * CELL_PX, *luma.shape)
        grain += _LEVELS * _FINE // 2
        grain //= _LEVELS * _FINE
        grain += luma
        np.copyto(luma, grain.clip(0, 255, out=grain), casting="unsafe")
        return grained

    def _grain(self, top: int, height: int, width: int) -> NDArray[np.int16]:
        rows = np.arange(top, top + height) % _TILE_PX
        grain: NDArray[np.int16] = self._tile.take(rows, 0).take(np.arange(width) % _TILE_PX, 1)
        return grain


@lru_cache(maxsize=2)  # looks that differ only in strength have the same tile
def _tile(seed: int) -> NDArray[np.float64]:
    """Grain, (512, 512), with mean 0 and standard deviation 1; opposite sides fit together."""
    white = np.random.default_rng(seed).standard_normal((_TILE_PX, _TILE_PX))
    frequency = np.fft.fftfreq(_TILE_PX)
    bell = np.exp(-2 * (np.pi * _SOFTNESS_PX * frequency) ** 2)
    soft = np.fft.ifft2(np.fft.fft2(white) * bell[:, None] * bell).real
    return np.asarray(soft / soft.std())


def _flatness(cells: NDArray[np.int16]) -> NDArray[np.int16]:
    """How flat the surroundings of each cell are: from 0, textured, to _LEVELS, flat.

    Args:
        cells: (rows, columns), from `luma_cells`.

    Returns:
        (rows, columns) int16.
    """
    texture = np.zeros(cells.shape, np.int32)
    for axis in (0, 1):
        if cells.shape[axis] < 3:
            continue
        # Only curvature counts, because the network paints even gradients without strokes, too. It
        # is the second difference, which for noise is sqrt(3) times as large as the first
        curvature = np.abs(np.diff(cells, n=2, axis=axis)).astype(np.int32)
        curvature = (curvature * 37) >> 5  # times 2 / sqrt(3)
        np.minimum(curvature, round(32 * _MAX_CURVATURE), out=curvature)
        wide = [(0, 0), (0, 0)]
        wide[axis] = (1, 1)
        texture += np.pad(curvature, wide, mode="edge")
    by = _AROUND_CELLS
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (by, by)
        sums = np.cumsum(np.pad(texture, wide, mode="edge"), axis, dtype=np.int32)
        ahead = sums.take(np.arange(2 * by, sums.shape[axis]), axis)
        behind = sums.take(np.arange(cells.shape[axis] - 1), axis)
        texture = ahead
        rest = [slice(None)] * 2
        rest[axis] = slice(1, None)
        texture[tuple(rest)] -= behind
    mean = texture / (16 * 4 * (2 * by + 1) ** 2)  # codes between neighbouring cells
    strength = (_TEXTURED - mean) * (_LEVELS / (_TEXTURED - _FLAT))
    levels: NDArray[np.int16] = strength.round().clip(0, _LEVELS).astype(np.int16)
    return levels
