"""Enlarges what was painted of a reduced frame, and gives it the detail of the frame itself."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import scaled_frame

_CELL_PX = 4  # the slope is measured in cells of 4x4 pixels of the reduced frame
_AROUND_CELLS = 1  # cells around each cell, on each side, that are measured with it
_NOISE = 6.0  # codes^2; where luma varies less, the frame has only noise, which is not added
_MOST = 1.25  # steepest slope, up or down
_ONE, _ZERO = 64, 128  # the code of a slope s is _ONE * s + _ZERO
_STRIP_ROWS = 64  # rows that are computed at a time, which fit into a processor's cache


class Enlarger:
    """Enlarges paintings to the size of frames that were reduced before painting.

    Enlarging blurs. The reduced frame, enlarged, shows what reducing has removed: its difference
    from the frame is the detail. The painting gets that detail times the slope with which its luma
    follows that of the frame nearby, as in a guided filter (He and Sun, "Fast Guided Filter", 2015,
    eq. 5). So edges become as sharp as in the film, and strokes, which the film does not have, and
    areas that were painted flat stay as they are.
    """

    def __init__(self) -> None:
        self._pool = FramePool()
        self._reformatters = VideoReformatter(), VideoReformatter(), VideoReformatter()

    def enlarge(self, painted: Frame, reduced: Frame, whole: Frame) -> None:
        """Replaces a frame by its painting.

        Args:
            painted: what was painted of the reduced frame.
            reduced: the reduced frame, of the same size.
            whole: the frame itself, which becomes the painting.
        """
        for_painted, for_reduced, for_slopes = self._reformatters
        size = whole.width, whole.height
        large = scaled_frame(painted, size, for_painted, self._pool)
        blurred = _enlarged(reduced.luma[0, 0], size, for_reduced)
        slopes = _enlarged(_slopes(reduced.luma[0, 0], painted.luma[0, 0]), size, for_slopes)
        luma = whole.luma[0, 0]
        for top in range(0, whole.height, _STRIP_ROWS):
            rows = np.s_[top : top + _STRIP_ROWS]
            detail = luma[rows].astype(np.int16)
            detail -= blurred[rows]
            detail *= slopes[rows].astype(np.int16) - _ZERO
            detail += _ONE // 2
            detail //= _ONE
            detail += large.luma[0, 0, rows]
            np.copyto(luma[rows], detail.clip(0, 255, out=detail), casting="unsafe")
        whole.chroma[...] = large.chroma
        large.release()


def _slopes(reduced: NDArray[np.uint8], painted: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of how much painted luma changes where that of the frame changes.

    Args:
        reduced, painted: luma, (H, W).

    Returns:
        (H // 4, W // 4): the slopes of straight lines through the values around each cell.
    """
    rows, columns = (side // _CELL_PX for side in reduced.shape)
    sums = np.empty((4, rows, columns), np.float32)
    for top in range(0, rows, _STRIP_ROWS // _CELL_PX):
        cells = np.s_[top : top + _STRIP_ROWS // _CELL_PX]
        lines = np.s_[top * _CELL_PX : min(top * _CELL_PX + _STRIP_ROWS, rows * _CELL_PX)]
        x, y = (
            plane[lines, : columns * _CELL_PX].astype(np.uint16) for plane in (reduced, painted)
        )
        for total, each in zip(sums, (x, y, x * x, x * y), strict=True):
            total[cells] = _sums(each)
    mean_x, mean_y, mean_xx, mean_xy = (_around(total / _CELL_PX**2) for total in sums)
    slopes = (mean_xy - mean_x * mean_y) / (mean_xx - mean_x * mean_x + _NOISE)
    return (_ONE * slopes.clip(-_MOST, _MOST) + _ZERO).round().astype(np.uint8)


def _sums(values: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """The sum of each cell, (H // 4, W // 4), of (H, W)."""
    rows = values.reshape(-1, _CELL_PX, values.shape[1])
    lines = rows[:, 0].astype(np.uint32)
    for number in range(1, _CELL_PX):
        lines += rows[:, number]
    return np.asarray(sum(lines[:, number::_CELL_PX] for number in range(_CELL_PX)))


def _around(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each cell and those around it, of (h, w)."""
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (_AROUND_CELLS, _AROUND_CELLS)
        padded = np.pad(cells, wide, mode="edge")
        count = cells.shape[axis]
        shifted = [padded.take(np.arange(i, i + count), axis) for i in range(2 * _AROUND_CELLS + 1)]
        cells = np.asarray(np.mean(shifted, 0), np.float32)
    return cells


def _enlarged(
    plane: NDArray[np.uint8], size: tuple[int, int], reformatter: VideoReformatter
) -> NDArray[np.uint8]:
    """A plane (h, w) enlarged to a size, as (H, W)."""
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), "gray")
    large = reformatter.reformat(picture, *size, "gray", interpolation=Interpolation.BICUBIC)
    rows = np.frombuffer(memoryview(large.planes[0]), np.uint8)
    return rows.reshape(-1, large.planes[0].line_size)[: size[1], : size[0]].copy()
