"""Temporal consistency: holds the painting still where the film stands still."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame
from realtime_style.painting.grain import CELL_PX, luma_cells
from realtime_style.painting.plan import DEFAULT_STABILITY
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending

_BLOCK_CELLS = 2  # blocks are held or not: 2x2 cells of 4x4 luma pixels and 2x2 chroma ones
_BLOCK_PX = CELL_PX * _BLOCK_CELLS
_SLACK = 2.0  # codes that a cell may differ by without any noise: the work of encoders
_FAINT = 4.0  # codes beyond that up to which a change is faint: an encoder's, a passing shade's
_FAINT_SHARE = 0.06  # of the blocks around: where more differ, something moves, however faintly
_NOISE_FACTOR = 5.0  # times the mean difference that noise makes: four standard deviations
_MAX_NOISE = (3.0, 6.0, 6.0)  # codes of a cell's mean, luma and chroma: more is not noise
_NOISE_CELLS = 8  # noise is measured in squares of so many cells
_SETTLED = 6  # frames after which something that moved counts as still
_DRIFT_SHIFT = 4  # a mean over 16 frames, in which noise cancels: what is left changes slowly
_DRIFT_BITS = 3  # below 16ths of codes, so that rounding does not add up
_DRIFT_SLACK, _DRIFT_NOISE_FACTOR = 0.75, 4.0  # likewise; held blocks have noise of their own
_LIGHT = 0.6  # codes by which half of the picture became lighter or darker, but not as one light
_LIT_SHARE = 0.6  # of the cells that must have changed as one, for it to be a change of light
_LIT_SLACK = 3.0  # codes within which they must have
_RELIT_FRAMES = 24  # in which a painting has followed a change of light
_LEAST_LIGHT = 0.5  # codes by which a change of light must change anything
_UNEVEN = 4.0  # codes by which cells may differ more then: cameras and encoders are not exact
_MAX_GAIN, _MAX_OFFSET_CODES = 0.25, 32.0  # a larger change between two frames is a cut
_FLAT = 16.0  # codes^2: where cells vary by less, light is an offset rather than a gain
_CUT_SHARE = 0.8  # of blocks that have changed: then there is nothing to hold
_FIELD_BLOCKS, _FIELD_SHARE = 5, 0.35  # a block moves if so many do, up to so many blocks away
_NEAR_BLOCKS = 2  # around a change, where paint follows at once
_REACH_BLOCKS = 13  # around a change, where the network's answer may have changed as well
_FADE_BLOCKS = 2  # around paint that follows at once, where it follows less and less: no edges
_PAINT_SLACK = 4.0  # codes of a cell by which paint must have changed, to be followed at once
_FRACTION_BITS = 7
_MAX_SHIFT = 6


class Steady(Wrapper):
    """A `Painter` for the frames of one film or camera, in order, whose paint does not flicker.

    The network is deterministic: an unchanged input is painted unchanged, except near something
    that moves. So the input is held: to the network, blocks of 8x8 pixels that have differed only
    by noise for some frames stay as they were. A block that differs by more is replaced at once,
    and follows the film until it has been still again for as long: in slow pans blocks are not
    held here and released there. Small differences that last are taken over too, and so are faint
    ones with little change around them: an encoder's work, which the painting follows slowly.

    The painting follows at once where the input changes, and as far around as the network's answer
    to that reaches; elsewhere slowly. Nothing moves the painting of things that stand still, and
    nothing of what has moved stays behind.

    Where a camera's exposure drifts, or a film fades, every stroke would move in every frame. If
    the whole picture has changed as one, by a gain and an offset in each plane, the network sees
    the new frame, and the painting takes its light at once but follows its strokes slowly.

    At cuts and in fast pans everything is replaced: those frames are painted as if each were the
    first. Output depends only on the frames and their order.
    """

    def __init__(self, painter: Painter[Frame], stability: float = DEFAULT_STABILITY) -> None:
        """Wraps a painter that paints each frame by itself.

        Args:
            stability: 0..1. How much a block may differ and still be held, from nothing to twice
                the usual, and how slowly paint follows there, down to 1/64 a frame.

        Raises:
            ValueError: a stability outside 0..1.
        """
        if not 0 <= stability <= 1:
            raise ValueError(f"stability must be from 0 to 1, not {stability:g}")
        super().__init__(painter)
        self._shift = math.ceil(_MAX_SHIFT * stability)
        self._patience = 2 * stability
        self._held: NDArray[np.uint8] | None = None  # I420, as the network sees it
        self._known = np.zeros(0, np.int16)  # cells as they were when their block became still
        self._still = np.zeros(0, np.uint8)  # frames for which each block has been still
        self._whole = False  # whether the last frame replaced everything
        self._paint = np.zeros(0, np.int16)  # I420, codes times 2^7
        self._fresh, self._step = np.empty((2, 0, 0), np.int16)  # scratch memory of `_settle`
        self._noise: list[float | None] = [None] * 3  # mean difference of cells, codes, per plane
        self._drift = np.zeros(0, np.int16)
        self._relit = 0  # frames for which the painting still follows a change of light

    def reset(self) -> None:
        """See `Painter`."""
        super().reset()
        self._held = None

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`; the painted frame is a new one of the same size, time and colours."""
        if not self._shift:
            return self._painter.begin(frame)
        held = self._held
        if held is not None and held.shape != frame.i420.shape:
            held = self._held = None
        cells = _cells(frame)
        if held is None:
            return self._begin_whole(frame, cells, fresh=True)
        light = _light_between(self._known, cells, self._noise[0] or 0.0)
        found = self._changed(cells, light)
        if found is None:
            return self._begin_whole(frame, cells, fresh=False)
        changed, drifted = found
        self._relit = max(0, self._relit - 1)
        if light:  # the network sees the whole new frame; the painting is relit, follows slowly
            drifted[:] = True
            self._relit = _RELIT_FRAMES
        relit = self._relit > 0
        self._whole = False
        self._still += self._still < _SETTLED
        self._still[changed] = 0
        living = self._still < _SETTLED
        _copy_blocks(frame.i420, held, living | drifted)
        renewed = _enlarged(changed | drifted, _BLOCK_CELLS, cells.shape[1:])
        np.copyto(self._known, cells, where=renewed)
        np.copyto(self._drift, 0, where=renewed)
        wait = self._painter.begin(
            Frame(held, frame.pts, frame.time_base, frame.color, frame.duration)
        )

        def finish() -> Frame:
            painted = wait()
            self._settle(painted, living, relit=relit)
            return painted

        return finish

    def _begin_whole(
        self, frame: Frame, cells: NDArray[np.int16], *, fresh: bool
    ) -> Pending[Frame]:
        """Replaces everything: at the beginning (`fresh`), after a cut and in a fast pan.

        After a beginning or a cut the frame is held at once; in a fast pan, where the last frame
        replaced everything as well, nothing is.
        """
        is_pan = not fresh and self._whole
        self._held = frame.i420.copy()
        self._known = cells
        blocks = _blocks(np.zeros(cells.shape[1:], np.bool_)).shape
        self._still = np.full(blocks, 0 if is_pan else _SETTLED, np.uint8)
        self._whole = not fresh
        self._relit = 0
        self._drift = np.zeros_like(cells)
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            self._paint = painted.i420.astype(np.int16) << _FRACTION_BITS
            return painted

        return finish

    def _changed(
        self, cells: NDArray[np.int16], light: _Light | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Which blocks, (rows, columns), have changed, and which have changed slowly.

        None if there is nothing to hold. `light` is a change of light since then, if there is one.
        """
        known = light.on(self._known) if light else self._known
        difference = cells - known  # 16ths of codes, (3, rows, columns) of cells
        if abs(float(np.median(difference[0, ::4, ::4]))) > 16 * _LIGHT:
            return None
        size = np.abs(difference)
        self._drift += ((difference << _DRIFT_BITS) - self._drift) >> _DRIFT_SHIFT
        drift = np.abs(self._drift) >> _DRIFT_BITS
        changed, faint, drifted = np.zeros((3, *size.shape[1:]), np.bool_)
        for plane in range(3):
            self._measure_noise(plane, size[plane])
            noise = self._noise[plane] or 0.0
            limit = _SLACK + _NOISE_FACTOR * noise + (_UNEVEN if light else 0.0)
            drift_limit = _DRIFT_SLACK + _DRIFT_NOISE_FACTOR * noise
            faint |= size[plane] > 16 * self._patience * limit
            changed |= size[plane] > 16 * self._patience * (limit + _FAINT)
            # Never more patience than usual: faint and slow changes would be frozen
            drifted |= drift[plane] > 16 * min(1.0, self._patience) * drift_limit
        blocks, differ = _blocks(changed), _blocks(faint)
        if differ.mean() > _CUT_SHARE:
            return None
        # Where most neighbours move, a block that looks still is only flat
        around = _around(differ, _FIELD_BLOCKS) / (2 * _FIELD_BLOCKS + 1) ** 2
        blocks |= differ & (around > _FAINT_SHARE)
        return _grown(blocks, 1) | (around > _FIELD_SHARE), _blocks(drifted) | differ

    def _measure_noise(self, plane: int, size: NDArray[np.int16]) -> None:
        """Updates a plane's noise level from the squares that differ least: all have noise."""
        square = min(_NOISE_CELLS, *size.shape)
        rows, columns = (side // square for side in size.shape)
        whole = size[: rows * square, : columns * square]
        by_rows = np.add.reduce(whole.reshape(rows, square, -1), 1, dtype=np.int32)
        sums = by_rows.reshape(rows, columns, square).sum(2).ravel()
        least = np.partition(sums, sums.size // 4)[sums.size // 4]
        measured = min(float(least) / (16 * square**2), _MAX_NOISE[plane])
        known = self._noise[plane]
        if known is None:
            self._noise[plane] = measured
        else:  # motion adds to it: a fall is believed at once, a rise slowly
            self._noise[plane] = known + (measured - known) / (4 if measured < known else 32)

    def _settle(self, painted: Frame, living: NDArray[np.bool_], *, relit: bool) -> None:
        """Lets the painting follow the network's, at once or slowly, and writes it into the frame.

        Args:
            painted: the network's answer; its planes are replaced.
            living: blocks, (rows, columns), in which the film moves.
            relit: whether the light has just changed, so that all of the answer differs.
        """
        if self._fresh.shape != painted.i420.shape:  # allocating it for every frame is slow
            self._fresh, self._step = np.empty((2, *painted.i420.shape), np.int16)
        fresh, step = self._fresh, self._step
        np.left_shift(painted.i420, _FRACTION_BITS, out=fresh, dtype=np.int16)
        if relit:
            _relight(self._paint, fresh)
        np.subtract(fresh, self._paint, out=step)
        near = _grown(living, _NEAR_BLOCKS)
        if living.any() and not relit:
            moved = _moved_paint(step[: painted.height])[: near.shape[0], : near.shape[1]]
            near |= moved & _grown(living, _REACH_BLOCKS)
        step >>= self._shift
        self._paint += step
        _copy_blocks(fresh, self._paint, near)
        _fade_in(fresh, self._paint, near)
        np.add(self._paint, 1 << _FRACTION_BITS - 1, out=step)
        step >>= _FRACTION_BITS
        np.copyto(painted.i420, step, casting="unsafe")


Values = TypeVar("Values", np.uint8, np.int16)


@dataclass(frozen=True, slots=True)
class _Light:
    """A change of light: new codes are gain * old codes + offset, for luma, Cb and Cr."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    def on(self, cells: NDArray[np.int16]) -> NDArray[np.int16]:
        """Cells from `_cells`, (3, rows, columns) int16, in the new light."""
        gains, offsets = (
            np.array(each, np.float32)[:, None, None] for each in (self.gains, self.offsets)
        )
        return np.asarray((gains * cells + 16 * offsets).round(), np.int16)


def _relight(paint: NDArray[np.int16], fresh: NDArray[np.int16]) -> None:
    """Gives a painting the mean and the contrast of a new one, plane by plane.

    Both are I420 in 128ths of codes; the first is changed in place. Only the network knows what a
    change of light does to a painting: mean and deviation of its answer tell.
    """
    for old, new in zip(_three(paint), _three(fresh), strict=True):
        ours, theirs = (plane[::4, ::4].astype(np.float32) for plane in (old, new))
        least = _FLAT * 4**_FRACTION_BITS
        gain = np.sqrt((theirs.var() + least) / (ours.var() + least))
        lit = gain * old + (theirs.mean() - gain * ours.mean())
        np.clip(lit, 0, 255 << _FRACTION_BITS, out=lit)
        np.copyto(old, lit, casting="unsafe")


def _three(i420: NDArray[np.int16]) -> tuple[NDArray[np.int16], ...]:
    """Luma, Cb and Cr, views."""
    luma, chroma = _planes(i420)
    return luma, chroma[0], chroma[1]


def _light_between(
    known: NDArray[np.int16], cells: NDArray[np.int16], noise: float
) -> _Light | None:
    """How the light has changed; None if it has not, or not everywhere in the same way.

    Args:
        known, cells: cells of an earlier frame and of this one, from `_cells`.
        noise: mean difference of luma cells that noise makes, in codes.
    """
    x, y = (part[:, ::4, ::4].reshape(3, -1).astype(np.float32) / 16 for part in (known, cells))
    gains, offsets, most = [], [], 0.0
    for ours, theirs in zip(x, y, strict=True):
        share, gain, offset = _fitted(ours, theirs, noise)
        codes = np.percentile(ours, (5, 50, 95)).tolist()
        shift = max(abs(gain * code + offset - code) for code in codes)
        if share < _LIT_SHARE or abs(gain - 1) > _MAX_GAIN or shift > _MAX_OFFSET_CODES:
            return None
        gains.append(gain)
        offsets.append(offset)
        most = max(most, shift)
    return _Light(tuple(gains), tuple(offsets)) if most > _LEAST_LIGHT else None


def _fitted(
    x: NDArray[np.float32], y: NDArray[np.float32], noise: float
) -> tuple[float, float, float]:
    """Fits y = gain * x + offset; returns the share of values that follow it, gain and offset."""
    share, gain, offset = 0.0, 1.0, float(np.median(y - x))
    for _ in range(2):
        follow = np.abs(y - gain * x - offset) < _LIT_SLACK + 2 * noise
        share = float(follow.mean())
        if not share:
            break
        ours, theirs = x[follow], y[follow]
        middle, now = float(ours.mean()), float(theirs.mean())
        varies = float(((ours - middle) ** 2).mean()) + _FLAT
        gain = (float(((ours - middle) * (theirs - now)).mean()) + _FLAT) / varies
        offset = now - gain * middle
    return share, gain, offset


def _planes(i420: NDArray[Values]) -> tuple[NDArray[Values], NDArray[Values]]:
    """Luma (H, W) and chroma (2, H/2, W/2), views."""
    height, width = i420.shape[0] * 2 // 3, i420.shape[1]
    return i420[:height], i420[height:].reshape(2, height // 2, width // 2)


def _cells(frame: Frame) -> NDArray[np.int16]:
    """Sums over cells, (3, H // 4, W // 4) int16, in 16ths of codes: luma, then both chromas.

    Two pixels are added at once, as lanes of one 16-bit number.
    """
    chroma = _planes(frame.i420)[1]
    rows, columns = frame.height // CELL_PX, frame.width // CELL_PX
    twos = chroma[:, : rows * 2, : columns * 2].view(np.uint16)
    sums = (twos & 0xFF) + (twos >> 8)
    cells = np.empty((3, rows, columns), np.int16)
    cells[0] = luma_cells(frame)
    cells[1:] = 4 * np.add.reduce(sums.reshape(2, rows, 2, columns), 2, dtype=np.uint16)
    return cells


def _blocks(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Blocks, (rows / 2, columns / 2) rounded up, in which any cell is true."""
    rows, columns = (side + side % _BLOCK_CELLS for side in cells.shape)
    even = np.zeros((rows, columns), np.bool_)
    even[: cells.shape[0], : cells.shape[1]] = cells
    either: NDArray[np.bool_] = even[::2] | even[1::2]
    return np.asarray(either[:, ::2] | either[:, 1::2], np.bool_)


def _around(blocks: NDArray[np.bool_], by: int) -> NDArray[np.int32]:
    """How many blocks within `by` rows and columns of each are true."""
    counts = blocks.astype(np.int32)
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (by + 1, by)
        sums = np.pad(counts, wide).cumsum(axis, dtype=np.int32)
        after, before = (np.arange(n, n + blocks.shape[axis]) for n in (2 * by + 1, 0))
        counts = sums.take(after, axis) - sums.take(before, axis)
    return counts


def _grown(blocks: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """True also for blocks within `by` rows and columns of a true one."""
    grown = blocks.copy()
    for along in (grown, grown.T):
        reach = 0
        while reach < by:  # moves what has grown so far as far as leaves no gap
            step = min(reach + 1, by - reach)
            before = along.copy()
            along[step:] |= before[:-step]
            along[:-step] |= before[step:]
            reach += step
    return grown


def _enlarged(blocks: NDArray[np.bool_], scale: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Each block as scale x scale values of a picture of that shape; the last reach its edges."""
    rows, columns = (
        np.minimum(np.arange(side) // scale, count - 1)
        for side, count in zip(shape, blocks.shape, strict=True)
    )
    return np.asarray(blocks.take(columns, 1).take(rows, 0), np.bool_)


def _copy_blocks(
    source: NDArray[Values], target: NDArray[Values], blocks: NDArray[np.bool_]
) -> None:
    """Copies the true blocks of an I420 picture."""
    if not blocks.any():
        return
    for scale, new, old in zip(
        (_BLOCK_PX, _BLOCK_PX // 2), _planes(source), _planes(target), strict=True
    ):
        np.copyto(old, new, where=_enlarged(blocks, scale, old.shape[-2:]))


def _fade_in(
    source: NDArray[np.int16], target: NDArray[np.int16], blocks: NDArray[np.bool_]
) -> None:
    """Blends an I420 picture in around blocks that were copied, less with growing distance."""
    shares, grown = blocks.astype(np.float32), blocks
    for by in range(1, _FADE_BLOCKS + 1):
        grown = _grown(grown, 1)
        np.maximum(shares, grown * np.float32(1 - by / _FADE_BLOCKS), out=shares)
    around = grown & ~blocks
    if not around.any():
        return
    wide = np.pad(shares, 1)
    over = np.maximum(wide[:-1], wide[1:])
    corners = np.maximum(
        over[:, :-1], over[:, 1:]
    )  # of blocks: the largest share of the four that meet
    for scale, new, old in zip(
        (_BLOCK_PX, _BLOCK_PX // 2), _planes(source), _planes(target), strict=True
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


def _moved_paint(step: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Blocks in which paint has changed much, from (H, W) luma differences in 128ths of codes."""
    size = np.abs(step[::2, ::2])
    each = _BLOCK_PX // 2
    rows, columns = (-(-side // each) for side in size.shape)
    whole = np.zeros((rows * each, columns * each), np.int16)
    whole[: size.shape[0], : size.shape[1]] = size
    by_rows = np.add.reduce(whole.reshape(rows, each, -1), 1, dtype=np.int32)
    sums = by_rows.reshape(rows, columns, each).sum(2)
    return np.asarray(sums > _PAINT_SLACK * (each**2 << _FRACTION_BITS))
