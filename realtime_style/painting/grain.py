"""A grain under flat areas, for the network to paint strokes from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame, FramePool
from realtime_style.painting.cells import CELL_PX, luma_cells
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending

_TILE_PX = 512  # the grain repeats after so many pixels
_SOFTNESS_PX = 2.0
_GRAIN_CODES = 1.5  # of luma, standard deviation
_LEVELS = 4  # steps of its strength
_FINE = 64  # steps per code in which it is stored
# codes from cell to cell, slopes left out: below the first all the grain, above the second none
_FLAT, _TEXTURED = 0.15, 0.5
_MAX_CURVATURE = 2.0  # codes that count of a cell: one edge does not make an area textured
_AROUND_CELLS = 2


class Grain(Wrapper):
    """A `Painter` that lays a faint, fixed grain under the flat areas of frames.

    A network gives equal answers to equal inputs, so it paints a white sky as one flat area without
    strokes. On a grain too faint to be seen it paints strokes there, as it does elsewhere. The
    grain belongs to the place in the picture, as that of a canvas does, and is the same in every
    frame.
    """

    def __init__(self, painter: Painter[Frame], seed: int = 0, strength: float = 1.0) -> None:
        """Wraps a painter.

        Args:
            seed: of the random grain.
            strength: 0..1 of the usual one.
        """
        super().__init__(painter)
        self._tile = (_tile(seed) * (strength * _GRAIN_CODES * _FINE)).round().astype(np.int16)
        self._pool = FramePool()

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        grained = self.lay_under(frame)
        wait = self._painter.begin(grained)
        if grained is not frame:
            grained.release()
        return wait

    def lay_under(self, frame: Frame) -> Frame:
        """A new frame with grain; the given one itself where none of its areas is flat."""
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


@lru_cache(maxsize=2)  # looks that differ only in strength share it
def _tile(seed: int) -> NDArray[np.float64]:
    """Grain, (512, 512), with a standard deviation of 1; opposite sides fit together."""
    white = np.random.default_rng(seed).standard_normal((_TILE_PX, _TILE_PX))
    frequency = np.fft.fftfreq(_TILE_PX)
    bell = np.exp(-2 * (np.pi * _SOFTNESS_PX * frequency) ** 2)
    soft = np.fft.ifft2(np.fft.fft2(white) * bell[:, None] * bell).real
    return np.asarray(soft / soft.std())


def _flatness(cells: NDArray[np.int16]) -> NDArray[np.int16]:
    """How flat the surroundings of each cell are, (rows, columns) int16, 0 to _LEVELS."""
    texture = np.zeros(cells.shape, np.int32)
    for axis in (0, 1):
        if cells.shape[axis] < 3:
            continue
        # The network paints constant gradients as flat as level areas: only curvature counts. The
        # second difference of noise is the square root of 3 times its first difference
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
    mean = texture / (16 * 4 * (2 * by + 1) ** 2)  # codes from cell to cell
    strength = (_TEXTURED - mean) * (_LEVELS / (_TEXTURED - _FLAT))
    levels: NDArray[np.int16] = strength.round().clip(0, _LEVELS).astype(np.int16)
    return levels
