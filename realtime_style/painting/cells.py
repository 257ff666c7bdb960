"""Cells of 4x4 luma pixels, and blocks of 2x2 cells, which temporal consistency and grain compare.

Comments in this package call one step of an 8-bit value in a plane a code.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame

CELL_PX = 4  # luma pixels along each side; 2 of chroma
BLOCK_CELLS = 2
BLOCK_PX = CELL_PX * BLOCK_CELLS
FRACTION_BITS = 7  # `Steady` keeps its painting in 128ths of codes, so that it can change slowly

Values = TypeVar("Values", np.uint8, np.int16)


def planes_of(i420: NDArray[Values]) -> tuple[NDArray[Values], NDArray[Values]]:
    """Views of luma, (H, W), and of Cb and Cr, (2, H/2, W/2), of an I420 picture."""
    height, width = i420.shape[0] * 2 // 3, i420.shape[1]
    return i420[:height], i420[height:].reshape(2, height // 2, width // 2)


def luma_cells(frame: Frame) -> NDArray[np.int16]:
    """The sum of the 16 luma pixels of each cell, (H // 4, W // 4) int16.

    It is the mean of the cell in 16ths of codes. For speed, four pixels are read as one 32-bit
    number, and its bytes are added as lanes.
    """
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    fours = frame.i420[: rows * CELL_PX, : columns * CELL_PX].view(np.uint32)
    lanes = fours & 0x00FF00FF
    lanes += (fours >> 8) & 0x00FF00FF
    lanes = np.add.reduce(lanes.reshape(rows, CELL_PX, columns), 1, dtype=np.uint32)
    cells: NDArray[np.int16] = ((lanes & 0xFFFF) + (lanes >> 16)).astype(np.int16)
    return cells


def frame_cells(frame: Frame) -> NDArray[np.int16]:
    """The mean of each cell in 16ths of codes, (3, H // 4, W // 4) int16: of luma, Cb and Cr.

    For speed, two chroma pixels are read as one 16-bit number.
    """
    chroma = planes_of(frame.i420)[1]
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    twos = chroma[:, : rows * 2, : columns * 2].view(np.uint16)
    sums = (twos & 0xFF) + (twos >> 8)
    cells = np.empty((3, rows, columns), np.int16)
    cells[0] = luma_cells(frame)
    cells[1:] = 4 * np.add.reduce(sums.reshape(2, rows, 2, columns), 2, dtype=np.uint16)
    return cells


def any_in_blocks(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any cell in each block is True.

    Args:
        cells: (rows, columns).

    Returns:
        (rows / 2, columns / 2), both rounded up.
    """
    rows, columns = (side + side % BLOCK_CELLS for side in cells.shape)
    even = np.zeros((rows, columns), np.bool_)
    even[: cells.shape[0], : cells.shape[1]] = cells
    either: NDArray[np.bool_] = even[::2] | even[1::2]
    return np.asarray(either[:, ::2] | either[:, 1::2], np.bool_)


def count_around(blocks: NDArray[np.bool_], by: int) -> NDArray[np.int32]:
    """For each block, how many blocks within `by` rows and columns of it are True; same shape."""
    counts = blocks.astype(np.int32)
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (by + 1, by)
        sums = np.pad(counts, wide).cumsum(axis, dtype=np.int32)
        after, before = (np.arange(n, n + blocks.shape[axis]) for n in (2 * by + 1, 0))
        counts = sums.take(after, axis) - sums.take(before, axis)
    return counts


def grow(blocks: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A copy in which the blocks within `by` rows and columns of a True one are True as well."""
    grown = blocks.copy()
    for along in (grown, grown.T):
        reach = 0
        while reach < by:  # each step is as long as leaves no gap to what has grown so far
            step = min(reach + 1, by - reach)
            before = along.copy()
            along[step:] |= before[:-step]
            along[:-step] |= before[step:]
            reach += step
    return grown


def enlarge(blocks: NDArray[np.bool_], scale: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Repeats each block as scale x scale values of a picture.

    Args:
        blocks: (rows, columns).
        scale: side of a block in the picture.
        shape: (height, width) of the result; the last blocks extend to its edges.
    """
    rows, columns = (
        np.minimum(np.arange(side) // scale, count - 1)
        for side, count in zip(shape, blocks.shape, strict=True)
    )
    return np.asarray(blocks.take(columns, 1).take(rows, 0), np.bool_)
