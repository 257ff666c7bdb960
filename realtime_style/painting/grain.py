"""Adds a faint grain to flat areas of the canvas, so that the network paints strokes there."""

from __future__ import annotations

from functools import cache, lru_cache

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
_MOST = 64  # larger curvatures, in 32nds of codes, count as this, so that one edge is no texture
_STRIP_CELLS = 16  # rows of cells that are computed at a time, which fit into a processor's cache
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
        self._tile = grain_tile(seed, strength)
        self._pool = FramePool()

    @property
    def tile(self) -> NDArray[np.int16]:
        """The grain in 64ths of codes, (512, 512), which is repeated over canvases."""
        return self._tile

    def lay_under(self, frame: Frame) -> Frame:
        """A copy of a frame with grain; the frame itself if no part of it is flat."""
        strength = _flatness(luma_cells(frame))
        rows = np.flatnonzero(strength.any(1))
        if not rows.size:
            return frame
        grained = frame.blank(self._pool)
        np.copyto(grained.i420, frame.i420)
        width = strength.shape[1] * CELL_PX
        # The same level four times, side by side, in each 64-bit number
        levels = (strength.astype(np.uint64) * 0x0001_0001_0001_0001).view(np.int16)
        buffer = np.empty((_STRIP_CELLS * CELL_PX, width), np.int16)
        for top in range(rows[0] // _STRIP_CELLS * _STRIP_CELLS, rows[-1] + 1, _STRIP_CELLS):
            here = levels[top : top + _STRIP_CELLS, None]
            luma = grained.i420[top * CELL_PX : (top + len(here)) * CELL_PX, :width]
            grain = buffer[: len(luma)]
            first = top * CELL_PX % _TILE_PX  # strips do not cross the edge of a tile
            for left in range(0, width, _TILE_PX):
                at = np.s_[..., left : left + _TILE_PX]
                tile = self._tile[first : first + len(luma), : grain[at].shape[1]]
                by_cells = (tile.shape[0] // CELL_PX, CELL_PX, tile.shape[1])
                np.multiply(tile.reshape(by_cells), here[at], out=grain[at].reshape(by_cells))
            grain += _LEVELS * _FINE // 2
            grain >>= (_LEVELS * _FINE).bit_length() - 1
            grain += luma
            np.copyto(luma, grain.clip(0, 255, out=grain), casting="unsafe")
        return grained


def grain_tile(seed: int, strength: float, side_px: int = _TILE_PX) -> NDArray[np.int16]:
    """Grain in 64ths of codes, (side_px, side_px); opposite sides fit together.

    Args:
        seed, strength: see `Grain`.
        side_px: a multiple of `cells.CELL_PX`.
    """
    scale = strength * _GRAIN_CODES * _FINE
    return (_tile(seed, side_px) * scale).round().astype(np.int16)


def grain_limits() -> tuple[int, ...]:
    """The greatest texture, as `_flatness` sums it up, that gets one level of grain, two, ..."""
    return tuple(int(np.flatnonzero(_levels() >= level)[-1]) for level in range(1, _LEVELS + 1))


@lru_cache(maxsize=2)  # looks that differ only in strength have the same tile
def _tile(seed: int, side_px: int) -> NDArray[np.float64]:
    """Grain with mean 0 and standard deviation 1, (side_px, side_px)."""
    white = np.random.default_rng(seed).standard_normal((side_px, side_px))
    frequency = np.fft.fftfreq(side_px)
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
    texture = np.zeros(cells.shape, np.int16)
    for axis in (0, 1):
        if cells.shape[axis] < 3:
            continue
        # Only curvature counts, because the network paints even gradients without strokes, too. It
        # is the second difference, which for noise is sqrt(3) times as large as the first
        curvature = np.abs(np.diff(cells, n=2, axis=axis))
        np.minimum(curvature, _MOST // 37 * 32 + 32, out=curvature)  # so that products fit
        curvature *= 37  # times 2 / sqrt(3), in 32nds
        curvature >>= 5
        np.minimum(curvature, _MOST, out=curvature)
        texture += curvature.take(range(-1, cells.shape[axis] - 1), axis, mode="clip")
    by = _AROUND_CELLS
    for axis, count in enumerate(cells.shape):
        wide = texture.take(range(-by, count + by), axis, mode="clip").swapaxes(0, axis)
        texture = sum((wide[i : i + count] for i in range(1, 2 * by + 1)), wide[:count])
        texture = texture.swapaxes(0, axis)
    levels: NDArray[np.int16] = _levels().take(texture)
    return levels


@cache
def _levels() -> NDArray[np.int16]:
    """The strength of grain by texture, as `_flatness` sums it up: from 0 to _LEVELS."""
    cells = (2 * _AROUND_CELLS + 1) ** 2
    texture = np.arange(2 * _MOST * cells + 1)
    mean = texture / (16 * 4 * cells)  # codes between neighbouring cells
    strength = (_TEXTURED - mean) * (_LEVELS / (_TEXTURED - _FLAT))
    return strength.round().clip(0, _LEVELS).astype(np.int16)
