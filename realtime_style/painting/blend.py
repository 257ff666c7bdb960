"""Copies blocks of one I420 picture into another, with soft edges; see `cells` for blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime_style.painting.cells import BLOCK_PX, Values, enlarge, grow, planes_of

_FADE_BLOCKS = 2  # width of the soft edge around copied blocks, in blocks


def copy_blocks(
    source: NDArray[Values], target: NDArray[Values], blocks: NDArray[np.bool_]
) -> None:
    """Copies blocks of an I420 picture into another of the same size.

    Args:
        source, target: (H * 3 // 2, W); `target` is changed in place.
        blocks: (rows, columns), True for each block to copy.
    """
    if not blocks.any():
        return
    for scale, new, old in zip(
        (BLOCK_PX, BLOCK_PX // 2), planes_of(source), planes_of(target), strict=True
    ):
        np.copyto(old, new, where=enlarge(blocks, scale, old.shape[-2:]))


def fade_in(
    source: NDArray[np.int16], target: NDArray[np.int16], blocks: NDArray[np.bool_]
) -> None:
    """Blends in the surroundings of copied blocks, less with growing distance, so no edge shows.

    Args:
        source, target: as in `copy_blocks`, which must have been called before.
        blocks: the blocks that were copied, (rows, columns).
    """
    shares, grown = blocks.astype(np.float32), blocks
    for by in range(1, _FADE_BLOCKS + 1):
        grown = grow(grown, 1)
        np.maximum(shares, grown * np.float32(1 - by / _FADE_BLOCKS), out=shares)
    around = grown & ~blocks
    if not around.any():
        return
    wide = np.pad(shares, 1)
    over = np.maximum(wide[:-1], wide[1:])
    # For each corner of the blocks, the largest share of the four blocks that meet there
    corners = np.maximum(over[:, :-1], over[:, 1:])
    for scale, new, old in zip(
        (BLOCK_PX, BLOCK_PX // 2), planes_of(source), planes_of(target), strict=True
    ):
        rows, columns = (
            min(count, side // scale)
            for count, side in zip(blocks.shape, old.shape[-2:], strict=True)
        )
        ours, theirs = (
            plane[..., : rows * scale, : columns * scale].reshape(-1, rows, scale, columns, scale)
            for plane in (old, new)
        )
        ys, xs = np.nonzero(around[:rows, :columns])
        ramp = (np.arange(scale, dtype=np.float32) + 0.5) / scale
        above, below = (
            corners[ys + i, xs, None] * (1 - ramp) + corners[ys + i, xs + 1, None] * ramp
            for i in (0, 1)
        )
        share = above[:, None] + (below - above)[:, None] * ramp[:, None]  # (blocks, scale, scale)
        kept = ours[:, ys, :, xs]  # (blocks, planes, scale, scale)
        step = (theirs[:, ys, :, xs] - kept) * share[:, None]
        ours[:, ys, :, xs] = kept + step.astype(np.int16)
        bottom, right = np.s_[..., rows * scale :, :], np.s_[..., : rows * scale, columns * scale :]
        for part, axis, ends in ((bottom, -1, corners[rows]), (right, -2, corners[:, columns])):
            kept = old[part]  # the last blocks, where the sides are not multiples of the block
            if kept.size:
                places = (np.arange(kept.shape[axis]) + 0.5) / scale
                share = np.interp(places, np.arange(ends.size), ends)
                step = (new[part] - kept) * (share if axis == -1 else share[:, None])
                kept += step.astype(np.int16)
