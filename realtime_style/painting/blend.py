"""Copies blocks of I420 pictures, and lets a painting follow another; see `cells` for blocks.

Pictures in 128ths of codes are int16, those in codes uint8; all have shape (H * 3 // 2, W). Blocks
are (rows, columns) bool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime_style.painting.cells import (
    BLOCK_PX,
    FRACTION_BITS,
    STRIP_PX,
    Values,
    enlarge,
    grow,
    planes_of,
    strips,
)

_FADE_BLOCKS = 2  # width of the soft edge around copied blocks, in blocks


def copy_blocks(
    source: NDArray[Values], target: NDArray[Values], blocks: NDArray[np.bool_]
) -> None:
    """Copies blocks of an I420 picture into another of the same size.

    Args:
        source, target: two pictures, both in codes or both in 128ths; `target` is changed in place.
        blocks: True for each block to copy; the last ones extend to the picture's edges.
    """
    if not blocks.any():
        return
    for (scale, old), (_, new) in zip(planes(target), planes(source), strict=True):
        _copy_in_plane(new, old, blocks, scale)


def follow(
    painted: NDArray[np.uint8], paint: NDArray[np.int16], blocks: NDArray[np.bool_], shift: int
) -> None:
    """Lets a painting follow what is painted: at once in blocks, slowly elsewhere.

    Args:
        painted: what is painted, in codes; becomes the painting, rounded.
        paint: the painting so far, in 128ths of codes; changed in place.
        blocks: True for each block that follows at once; the last ones extend to the edges.
        shift: elsewhere it follows by 1 / 2^shift of the difference.
    """
    edge = _Edge.around(blocks)
    fresh = edge.read(painted) if edge else []
    for (scale, old), (_, new) in zip(planes(paint), planes(painted), strict=True):
        _follow_in_plane(new, old, blocks, scale, shift)
    if edge:
        edge.fade_in(fresh, paint, painted)


def _follow_in_plane(
    new: NDArray[np.uint8],
    old: NDArray[np.int16],
    blocks: NDArray[np.bool_],
    scale: int,
    shift: int,
) -> None:
    """See `follow`, which fades in the surroundings of blocks as well."""
    any_in_row = np.asarray(blocks.any(1))
    buffer = np.empty((2, STRIP_PX + scale * old.shape[1]), np.int16)
    for rows in strips(old.shape, scale):
        paint = old[rows]
        fresh, step = buffer[:, : paint.size].reshape(2, *paint.shape)
        np.copyto(fresh, new[rows])
        fresh *= np.int16(1 << FRACTION_BITS)  # a product takes half as long as a shift
        np.subtract(fresh, paint, out=step)
        step >>= shift
        paint += step
        first, last = (min(side // scale, len(blocks) - 1) for side in (rows.start, rows.stop))
        if any_in_row[first : last + 1].any():
            _copy_in_plane(fresh, paint, blocks[first : last + 1], scale)
        np.add(paint, np.int16(1 << FRACTION_BITS - 1), out=step)
        step >>= FRACTION_BITS
        np.copyto(new[rows], step, casting="unsafe")


@dataclass(frozen=True, slots=True)
class _Edge:
    """The surroundings of copied blocks, which are blended so that no edge shows.

    Attributes:
        ys, xs: rows and columns of the blocks around those that were copied.
        kinds: what share of the copied picture each of them has, as an index for `_ramps`.
        corners: that share at each corner of all blocks, in steps of 1 / _FADE_BLOCKS.
    """

    ys: NDArray[np.intp]
    xs: NDArray[np.intp]
    kinds: NDArray[np.intp]
    corners: NDArray[np.uint8]

    @classmethod
    def around(cls, blocks: NDArray[np.bool_]) -> _Edge | None:
        """The edge of blocks; None if there is none. Shares decrease with distance."""
        shares, grown = np.zeros(blocks.shape, np.uint8), blocks
        for _ in range(_FADE_BLOCKS):
            shares += grown
            grown = grow(grown, 1)
        ys, xs = np.nonzero(grown & ~blocks)
        if not ys.size:
            return None
        wide = np.pad(shares, 1)
        over = np.maximum(wide[:-1], wide[1:])
        # For each corner of the blocks, the largest share of the four blocks that meet there
        corners = np.maximum(over[:, :-1], over[:, 1:])
        kinds = np.zeros(len(ys), np.intp)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kinds = kinds * (_FADE_BLOCKS + 1) + corners[ys + y, xs + x]
        return cls(ys, xs, kinds, corners)

    def read(self, painted: NDArray[np.uint8]) -> list[_Parts]:
        """The parts of each plane of a picture in codes that will be faded in."""
        return [
            _Parts(items[self._inside(items)].view(np.uint8), *(part.copy() for part in rest))
            for _, items, *rest in self._split(painted)
        ]

    def fade_in(
        self, fresh: list[_Parts], paint: NDArray[np.int16], shown: NDArray[np.uint8]
    ) -> None:
        """Blends them in.

        Args:
            fresh: what `read` returned for the picture from which blocks were copied.
            paint: the picture they were copied into, in 128ths of codes; changed in place.
            shown: the same in codes; changed in place.
        """
        for parts, (scale, items, *ours), (_, out, *shows) in zip(
            fresh, self._split(paint), self._split(shown), strict=True
        ):
            at = self._inside(items)
            kept = items[at].view(np.int16)  # (blocks, scale * scale)
            inside = (self.ys < items.shape[0]) & (self.xs < items.shape[2])
            kinds = self.kinds if inside.all() else self.kinds[inside]
            _blend(parts.blocks, kept, _ramps(scale).take(kinds, 0))
            items[at] = kept.view(items.dtype)
            out[at] = _rounded(kept).view(out.dtype)
            ends = self.corners[items.shape[0]], self.corners[:, items.shape[2]]
            for part, old, show, end, axis in zip(
                parts[1:], ours, shows, ends, (-1, -2), strict=True
            ):
                if old.size:
                    places = (np.arange(old.shape[axis]) + 0.5) / scale
                    share = np.interp(places, np.arange(end.size), end / _FADE_BLOCKS)
                    _blend(part, old, share if axis == -1 else share[:, None])
                    show[...] = _rounded(old)

    def _inside(self, items: NDArray[np.void]) -> tuple[Any, ...]:
        """An index of those blocks that lie wholly in a plane, for what `whole_blocks` returns."""
        inside = (self.ys < items.shape[0]) & (self.xs < items.shape[2])
        if inside.all():
            return self.ys, slice(None), self.xs
        return self.ys[inside], slice(None), self.xs[inside]

    def _split(self, i420: NDArray[Values]) -> Iterator[tuple[Any, ...]]:
        """For each plane the side of its blocks, the blocks wholly in it, and the rest of it.

        That rest, below and to the right, are the last blocks if sides are not multiples of blocks.
        """
        shape = self.corners.shape[0] - 1, self.corners.shape[1] - 1
        for scale, plane in planes(i420):
            items = whole_blocks(plane, shape, scale)
            rows, columns = items.shape[0] * scale, items.shape[2] * scale
            yield scale, items, plane[rows:], plane[:rows, columns:]


class _Parts(NamedTuple):
    """What `_Edge` reads of a plane: blocks, (n, side, side), and the rest below and right."""

    blocks: NDArray[np.uint8]
    below: NDArray[np.uint8]
    right: NDArray[np.uint8]


def _blend(fresh: NDArray[np.uint8], kept: NDArray[np.int16], share: NDArray[Any]) -> None:
    """Moves pixels in 128ths of codes by a share of the way to those in codes, rounding to zero."""
    step = fresh.astype(np.int16)
    step *= np.int16(1 << FRACTION_BITS)
    step -= kept
    kept += (step * share).astype(np.int16)


def _rounded(paint: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Pixels in codes of those in 128ths of codes."""
    codes = paint + np.int16(1 << FRACTION_BITS - 1)
    codes >>= FRACTION_BITS
    return codes.astype(np.uint8)


@cache
def _ramps(scale: int) -> NDArray[np.float32]:
    """The shares of a block's pixels by those at its corners, (3^4, scale * scale) from 0 to 1.

    Args:
        scale: side of a block in pixels.
    """
    ramp = (np.arange(scale, dtype=np.float32) + 0.5) / scale
    beside = np.stack([1 - ramp, ramp])
    steps = _FADE_BLOCKS + 1
    corners = np.indices([steps] * 4).reshape(2, 2, -1) / np.float32(_FADE_BLOCKS)
    shares = np.einsum("yxk,yr,xc->krc", corners, beside, beside)
    return np.asarray(shares.reshape(steps**4, -1), np.float32)


def planes(i420: NDArray[Values]) -> list[tuple[int, NDArray[Values]]]:
    """Views of luma, (H, W), Cb and Cr, (H/2, W/2), each with the side of a block in its pixels."""
    luma, (cb, cr) = planes_of(i420)
    return [(BLOCK_PX, luma), (BLOCK_PX // 2, cb), (BLOCK_PX // 2, cr)]


def whole_blocks(plane: NDArray[Values], shape: tuple[int, ...], scale: int) -> NDArray[np.void]:
    """A view of the blocks that lie wholly in a plane, (rows, scale, columns).

    One item is a row of a block, so that copying takes one step for all of its pixels.
    """
    rows, columns = (
        min(count, side // scale) for count, side in zip(shape, plane.shape, strict=True)
    )
    row: Any = np.dtype((np.void, scale * plane.itemsize))
    items: NDArray[np.void] = plane[: rows * scale, : columns * scale].view(row)
    return items.reshape(rows, scale, columns)


def _copy_in_plane(
    source: NDArray[Values], target: NDArray[Values], blocks: NDArray[np.bool_], scale: int
) -> None:
    """Copies blocks of a plane into another of the same size; see `copy_blocks`."""
    new, old = (whole_blocks(each, blocks.shape, scale) for each in (source, target))
    rows, _, columns = old.shape
    np.copyto(old, new, where=blocks[:rows, None, :columns])
    bottom, right = np.s_[rows * scale :, :], np.s_[: rows * scale, columns * scale :]
    for part, last in ((bottom, blocks[-1:]), (right, blocks[:rows, -1:])):
        if target[part].size:  # the last blocks, where the sides are not multiples of the block
            where = enlarge(last, scale, target[part].shape)
            np.copyto(target[part], source[part], where=where)
