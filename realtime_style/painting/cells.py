"""Cells of 4x4 luma pixels, and blocks of 2x2 cells, which temporal consistency and grain compare.

Comments in this package call one step of an 8-bit value in a plane a code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame

CELL_PX = 4  # luma pixels along each side; 2 of chroma
BLOCK_CELLS = 2
BLOCK_PX = CELL_PX * BLOCK_CELLS
STRIP_PX = 1 << 16  # pixels that are computed at a time; as 16-bit numbers they fit into a cache
FRACTION_BITS = 7  # `Steady` keeps its painting in 128ths of codes, so that it can change slowly

Values = TypeVar("Values", np.uint8, np.int16)


def planes_of(i420: NDArray[Values]) -> tuple[NDArray[Values], NDArray[Values]]:
    """Views of luma, (H, W), and of Cb and Cr, (2, H/2, W/2), of an I420 picture."""
    height, width = i420.shape[0] * 2 // 3, i420.shape[1]
    return i420[:height], i420[height:].reshape(2, height // 2, width // 2)


def strips(shape: tuple[int, ...], step: int) -> Iterator[slice]:
    """Slices of the rows of a plane; what is computed of one slice stays in a processor's cache.

    Args:
        shape: (height, width) of the plane.
        step: slices begin at multiples of this many rows.
    """
    height, width = shape
    rows = step * max(1, STRIP_PX // (width * step))
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def luma_cells(frame: Frame) -> NDArray[np.int16]:
    """The sum of the 16 luma pixels of each cell, (H // 4, W // 4) int16.

    It is the mean of the cell in 16ths of codes.
    """
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    pairs = _pair_sums(frame.i420[: rows * CELL_PX, : columns * CELL_PX], CELL_PX)
    return (pairs[:, ::2] + pairs[:, 1::2]).view(np.int16)


def frame_cells(frame: Frame) -> NDArray[np.int16]:
    """The mean of each cell in 16ths of codes, (3, H // 4, W // 4) int16: of luma, Cb and Cr."""
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    cells = np.empty((3, rows, columns), np.int16)
    cells[0] = luma_cells(frame)
    for plane, mean in zip(planes_of(frame.i420)[1], cells[1:], strict=True):
        np.multiply(_pair_sums(plane[: rows * 2, : columns * 2], 2).view(np.int16), 4, out=mean)
    return cells


def _pair_sums(plane: NDArray[np.uint8], rows: int) -> NDArray[np.uint16]:
    """Sums of two pixels side by side in each of some rows.

    For speed, the two pixels are read as one 16-bit number.

    Args:
        plane: (H, W), H a multiple of `rows`, W even.
        rows: how many rows are added.

    Returns:
        (H // rows, W // 2).
    """
    pairs = plane.view(np.uint16)
    sums = np.empty((pairs.shape[0] // rows, pairs.shape[1]), np.uint16)
    buffer = np.empty((2, STRIP_PX // 2 + rows * pairs.shape[1]), np.uint16)
    for strip in strips(plane.shape, rows):
        both = pairs[strip]
        left, right = buffer[:, : both.size].reshape(2, *both.shape)
        np.bitwise_and(both, 0xFF, out=left)
        np.right_shift(both, 8, out=right)
        left += right
        into = sums[strip.start // rows : strip.stop // rows]
        np.add.reduce(left.reshape(-1, rows, pairs.shape[1]), 1, out=into)
    return sums


def any_in_blocks(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any cell in each block is True.

    Args:
        cells: (rows, columns).

    Returns:
        (rows / 2, columns / 2), both rounded up.
    """
    rows, columns = (side + side % BLOCK_CELLS for side in cells.shape)
    if (rows, columns) != cells.shape:
        cells = np.pad(cells, ((0, rows - cells.shape[0]), (0, columns - cells.shape[1])))
    either = cells[::2] | cells[1::2]
    return np.asarray(either.view(np.uint16) != 0, np.bool_)


def count_around(blocks: NDArray[np.bool_], by: int) -> NDArray[np.uint8]:
    """For each block, how many blocks within `by` rows and columns of it are True; same shape.

    Args:
        blocks: (rows, columns).
        by: at most 7, so that counts fit into eight bits.
    """
    counts = blocks.view(np.uint8)
    for axis in (0, 1):
        before = counts.swapaxes(0, axis)
        counts = counts.copy()
        along = counts.swapaxes(0, axis)
        for step in range(1, by + 1):
            along[step:] += before[:-step]
            along[:-step] += before[step:]
    return counts


def grow(blocks: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """A copy in which the blocks within `by` rows and columns of a True one are True as well."""
    grown = blocks.copy()
    before = np.empty_like(grown)
    for along, scratch in ((grown, before), (grown.T, before.T)):
        reach = 0
        while reach < by:  # each step is as long as leaves no gap to what has grown so far
            step = min(reach + 1, by - reach)
            scratch[...] = along
            along[step:] |= scratch[:-step]
            along[:-step] |= scratch[step:]
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
