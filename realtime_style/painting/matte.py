"""Refines a coarse mask by the picture, and lays one picture over another by it.

Pictures are I420, (H * 3 // 2, W) uint8, H and W even. Blocks are (rows, columns) of 8x8 pixels;
the last ones may reach beyond the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from realtime_style.painting.blend import planes, whole_blocks
from realtime_style.painting.cells import BLOCK_PX

# The mask follows the edges of the picture as by a guided filter (He, Sun, Tang 2010): near each
# cell it is taken as a linear function of luma, slope * luma + offset
_FLAT = 60.0  # codes^2; where luma varies less, the mask is only smoothed
_LEAST_TRUST, _FULL_TRUST = 0.12, 0.2  # of m * (1 - m), m the mean mask nearby; see `_lines`
_LOW, _HIGH = 0.3, 0.9  # of the refined mask; what is beyond belongs wholly to one side
_BITS = 7  # shares are in 128ths, so that products with differences of codes fit into 16 bits
_WHOLE = 1 << _BITS
_WHOLE_WORD = np.frombuffer(bytes([_WHOLE] * 8), np.uint64)[0]  # eight pixels' shares, read as one

Floats = NDArray[np.float32]
Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Matte:
    """How much each pixel of a picture belongs to its front.

    Attributes:
        front: the blocks, (rows, columns) bool, that belong to it wholly.
        edge: the blocks that belong to it in part; all others do not at all.
        shares: of the pixels of the n edge blocks, in the order of `np.nonzero`, (n, 8, 8) int16 in
            128ths.
    """

    front: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    shares: NDArray[np.int16]

    @classmethod
    def of(cls, mask: Floats, small_luma: Plane, luma: Plane) -> Self:
        """Refines a mask.

        Args:
            mask: (h, w) from 0 to 1; h and w are even.
            small_luma: luma of the picture, scaled to the mask's size, (h, w).
            luma: the same at the picture's size, (H, W).
        """
        lines = _lines(_halved(mask), _halved(small_luma.astype(np.float32)))
        shape = -(-luma.shape[0] // BLOCK_PX), -(-luma.shape[1] // BLOCK_PX)
        slope, offset = knots = _at_corners(lines, luma.shape, shape)
        bends = slope != 0
        # between its corners, a block's coefficients lie between theirs
        has_back, has_front = (_any_corner(bends | part) for part in (offset < _WHOLE, offset >= 1))
        edge, front = has_back & has_front, has_front & ~has_back
        ys, xs = np.nonzero(edge)
        shares = _shares(knots, luma, ys, xs)
        words = shares.view(np.uint64)
        is_front, is_back = ((words == word).all(1) for word in (_WHOLE_WORD, 0))
        front[ys[is_front], xs[is_front]] = True  # most blocks near an edge lie wholly on one side
        is_edge = ~(is_front | is_back)
        edge[...] = False
        edge[ys[is_edge], xs[is_edge]] = True
        kept = shares[is_edge].astype(np.int16)
        return cls(front, edge, kept.reshape(-1, BLOCK_PX, BLOCK_PX))

    def inverted(self) -> Self:
        """The matte of the rest of the picture."""
        return replace(self, front=~(self.front | self.edge), shares=_WHOLE - self.shares)

    def lay_over(self, front: Plane, back: Plane) -> None:
        """Lays a picture over another one.

        Args:
            front: the picture.
            back: the other one; changed in place into what is seen.
        """
        rows, columns = (count * BLOCK_PX for count in self.edge.shape)
        ys, xs = np.nonzero(self.edge)
        at, small = (ys, slice(None), xs), self._small_shares()
        for (side, ours), (_, theirs) in zip(planes(back), planes(front), strict=True):
            size = rows * side // BLOCK_PX, columns * side // BLOCK_PX
            whole, new = (_padded(plane, size) for plane in (ours, theirs))
            into, given = (whole_blocks(each, self.edge.shape, side) for each in (whole, new))
            shares = self.shares if side == BLOCK_PX else small
            mixed = _mixed(given[at], into[at], shares)
            np.copyto(into, given, where=self.front[:, None])
            into[at] = mixed.view(into.dtype).reshape(-1, side)
            if whole is not ours:
                ours[...] = whole[: ours.shape[0], : ours.shape[1]]

    def _small_shares(self) -> NDArray[np.int16]:
        """The shares of the pixels of chroma, (n, 4, 4)."""
        pairs = self.shares[:, ::2] + self.shares[:, 1::2]
        small: NDArray[np.int16] = pairs[..., ::2] + pairs[..., 1::2]
        small += np.int16(2)
        small >>= 2
        return small


def _mixed(
    front: NDArray[np.void], back: NDArray[np.void], shares: NDArray[np.int16]
) -> NDArray[np.uint8]:
    """Blocks of two pictures, mixed; in the shape of the shares."""
    kept = back.view(np.uint8).reshape(shares.shape)
    step = np.subtract(front.view(np.uint8).reshape(shares.shape), kept, dtype=np.int16)
    step *= shares
    step += np.int16(_WHOLE // 2)
    step >>= _BITS
    step += kept
    return step.astype(np.uint8)


def _lines(mask: Floats, guide: Floats) -> Floats:
    """Slope and offset of the shares, in 128ths, as a function of luma around each cell, (2, h, w).

    Farther from the mask's edge, the slope fades to exactly 0, and the offset to the mask itself,
    so that fewer blocks are computed pixel by pixel. Half of a 128th is added, because shares are
    rounded down.
    """
    products = np.stack((guide, mask, guide * mask, guide * guide))
    light, mean, both, square = _smoothed(products)
    slope = (both - light * mean) / (square - light * light + np.float32(_FLAT))
    lines = _smoothed(np.stack((slope, mean - slope * light)))
    trust = mean * (1 - mean)
    trust -= _LEAST_TRUST
    trust *= np.float32(1 / (_FULL_TRUST - _LEAST_TRUST))
    np.clip(trust, 0, 1, out=trust)
    lines[1] -= mask
    lines *= trust
    lines[1] += mask
    lines[1] -= _LOW
    lines *= np.float32(_WHOLE / (_HIGH - _LOW))
    lines[1] += np.float32(0.5)
    return lines


def _halved(plane: Floats) -> Floats:
    """Means of 2x2 values."""
    rows = plane[::2] + plane[1::2]
    means = rows[:, ::2] + rows[:, 1::2]
    means *= np.float32(0.25)
    return means


def _smoothed(maps: Floats) -> Floats:
    """Means of 5x5 cells, weighted 1 2 2 2 1 along each axis; maps are (n, h, w)."""
    for axis in (1, 2):
        along = maps.swapaxes(0, axis)
        first, last = along[:1], along[-1:]
        wide = np.concatenate((first, first, along, last, last))
        two = wide[:-1] + wide[1:]
        three = two[:-1] + two[1:]
        maps = (three[:-2] + three[2:]).swapaxes(0, axis)
    return maps * np.float32(1 / 64)


def _at_corners(lines: Floats, size: tuple[int, ...], blocks: tuple[int, int]) -> Floats:
    """The coefficients at the corners of all blocks, (2, rows + 1, columns + 1)."""
    for axis in (0, 1):
        places = np.arange(blocks[axis] + 1) * BLOCK_PX
        cells = lines.shape[axis + 1]
        at = np.clip(places * (cells / size[axis]) - 0.5, 0, cells - 1)
        before = np.minimum(at.astype(np.intp), cells - 2)
        part = (at - before).astype(np.float32)
        left, right = (lines.take(before + i, axis + 1) for i in (0, 1))
        right -= left
        right *= part[:, None] if axis == 0 else part
        left += right
        lines = left
    return lines


def _any_corner(corners: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each block whether any of its corners is True."""
    rows = corners[:-1] | corners[1:]
    return np.asarray(rows[:, :-1] | rows[:, 1:], np.bool_)


def _shares(
    knots: Floats, luma: Plane, ys: NDArray[np.intp], xs: NDArray[np.intp]
) -> NDArray[np.uint8]:
    """The shares of the pixels of the blocks in rows `ys` and columns `xs`, (n, 64) in 128ths."""
    around = np.stack([knots[:, ys + y, xs + x] for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))], -1)
    slope, offset = around @ _ramps()
    shape = knots.shape[1] - 1, knots.shape[2] - 1
    size = shape[0] * BLOCK_PX, shape[1] * BLOCK_PX
    blocks = whole_blocks(_padded(luma, size), shape, BLOCK_PX)
    slope *= blocks[ys, :, xs].view(np.uint8).reshape(slope.shape)
    slope += offset
    np.clip(slope, 0, _WHOLE, out=slope)
    shares: NDArray[np.uint8] = slope.astype(np.uint8)
    return shares


@cache
def _ramps() -> Floats:
    """The weights of the corners of a block in each of its pixels, (4, 64)."""
    part = (np.arange(BLOCK_PX) + 0.5) / BLOCK_PX
    beside = np.stack((1 - part, part))
    return np.asarray(np.einsum("iy,jx->ijyx", beside, beside).reshape(4, -1), np.float32)


def _padded(plane: Plane, size: tuple[int, int]) -> Plane:
    """The plane with its last pixels repeated below and to the right; itself if it is as large."""
    below, right = (whole - side for whole, side in zip(size, plane.shape, strict=True))
    if not (below or right):
        return plane
    return np.pad(plane, ((0, below), (0, right)), mode="edge")
