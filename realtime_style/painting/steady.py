"""Holds the painting still where the film stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame
from realtime_style.painting.grain import CELL_PX, luma_cells
from realtime_style.stages import Painter

DEFAULT_STABILITY = 0.5

_BLOCK_CELLS = 2  # what is held or not: blocks of 2x2 cells of 4x4 luma pixels and 2x2 chroma ones
_BLOCK_PX = CELL_PX * _BLOCK_CELLS
_SLACK = 2.0  # codes that a cell may differ by with no noise at all: what encoders do
_FAINT = 4.0  # codes beyond that up to which a change is faint: an encoder's, a passing shade's
_FAINT_SHARE = 0.06  # of the blocks around: where more differ, something moves, however faintly
_NOISE_FACTOR = 5.0  # times the mean difference that noise makes: four standard deviations
_MOST_NOISE = (3.0, 6.0, 6.0)  # codes of a cell's mean, luma and chroma: more is not noise
_NOISE_CELLS = 8  # noise is listened for in squares of so many cells
_SETTLED = 6  # frames after which what has moved counts as still
_DRIFT_SHIFT = 4  # 16 frames, over whose mean noise cancels: what is left has changed slowly
_DRIFT_BITS = 3  # below 16ths of codes, that rounding does not add up
_DRIFT_SLACK, _DRIFT_NOISE_FACTOR = 0.75, 4.0  # likewise; what is held has noise of its own
_LIGHT = 0.6  # codes by which half of the picture became lighter or darker, not as one light
_LIT_SHARE = 0.6  # of the cells that must have changed as one, for it to be light
_LIT_SLACK = 3.0  # codes, within which they have
_RELIT_FRAMES = 24  # in which a painting has followed
_LEAST_LIGHT = 0.5  # codes that it must change anything by
_UNEVEN = 4.0  # codes by which cells may differ more then: cameras and encoders are not exact
_MOST_GAIN, _MOST_SHIFT_CODES = 0.25, 32.0  # more, from one frame to the next, is a cut
_FLAT = 16.0  # codes^2: light is a shift rather than a gain where cells vary by less
_CUT_SHARE = 0.8  # of blocks that have changed: there is nothing to hold
_FIELD_BLOCKS, _FIELD_SHARE = 5, 0.35  # a block moves if so many do, up to so many blocks away
_NEAR_BLOCKS = 2  # around what has changed, where paint follows at once
_REACH_BLOCKS = 13  # around it, where the network's answer may have changed as well
_FADE_BLOCKS = 2  # around what follows at once, where paint does so less and less: no edges
_PAINT_SLACK = 4.0  # codes of a cell by which it must have, to be followed at once
_FRACTION_BITS = 7
_MOST_SHIFT = 6


class Steady:
    """A stylizer for the frames of one film or camera, in order, whose paint does not flicker.

    The network is deterministic: what it sees unchanged, it paints unchanged, but for what moves
    near by. So the input is held: blocks of 8x8 pixels that have differed by no more than noise for
    some frames stay as they were for the network. One that differs by more is replaced at once, and
    lives on with the film until it has been still again for as long: in slow pans nothing is held
    here and let go there. Small differences that last are taken over as well, and faint ones with
    little else around them: an encoder's work, for the painting to follow slowly.

    The painting follows at once where the input lives, and as far around as the network's answer to
    that reaches; elsewhere slowly. Nothing moves the painting of what stands still, and nothing of
    what has moved stays behind.

    Where a camera's exposure drifts, or a film is faded, every stroke would move in every frame. If
    all has changed as one, by a gain and an offset of each plane, the network sees all of the
    frame, and the painting is made as light as its answer, but follows its strokes slowly.

    At cuts and in fast pans all is replaced: frames are then painted as they would be alone. What
    comes out hangs on the frames and their order alone.
    """

    def __init__(self, stylizer: Painter[Frame], stability: float = DEFAULT_STABILITY) -> None:
        """Holds nothing yet.

        Args:
            stylizer: paints one frame, whatever was before it.
            stability: 0..1, how much a block may differ and still be held, from nothing to twice
                the usual, and how slowly paint follows there, down to a 64th a frame.
        """
        if not 0 <= stability <= 1:
            raise ValueError(f"stability goes from 0 to 1, not {stability:g}")
        self.stylizer = stylizer
        self._shift = math.ceil(_MOST_SHIFT * stability)
        self._patience = 2 * stability
        self._held: NDArray[np.uint8] | None = None  # I420, as the network sees it
        self._known = np.zeros(0, np.int16)  # cells as they were when a block began to be still
        self._still = np.zeros(0, np.uint8)  # frames for which each block has been
        self._whole = False  # whether the last frame replaced all
        self._paint = np.zeros(0, np.int16)  # I420, the codes times 2^7
        self._fresh, self._step = np.empty((2, 0, 0), np.int16)  # room to settle in
        self._noise: list[float | None] = [None] * 3  # mean difference of cells, codes, a plane
        self._drift = np.zeros(0, np.int16)
        self._relit = 0  # frames for which the painting still follows a change of light

    def reset(self) -> None:
        """Forgets all frames: the next one is the first, after a seek say."""
        self._held = None

    def __call__(self, frame: Frame) -> Frame:
        """Paints the next frame: a new one of its size and time; the given one is left alone.

        Raises:
            EngineError: the network failed.
        """
        return self.begin(frame)()

    def begin(self, frame: Frame) -> Callable[[], Frame]:
        """Begins to paint the next frame, as `Stylizer.begin`: waited for in their order."""
        if not self._shift:
            return self.stylizer.begin(frame)
        held = self._held
        if held is not None and held.shape != frame.i420.shape:
            held = self._held = None
        cells = _cells(frame)
        found, light = None, None
        if held is not None:
            light = _light_between(self._known, cells, self._noise[0] or 0.0)
            found = self._changed(cells, light)
        if held is None or found is None:
            # At a beginning and after a cut all is held at once, in a fast pan nothing
            moves_on = held is not None and self._whole
            self._held = frame.i420.copy()
            self._known = cells
            blocks = _blocks(np.zeros(cells.shape[1:], np.bool_)).shape
            self._still = np.full(blocks, 0 if moves_on else _SETTLED, np.uint8)
            self._whole = held is not None
            self._relit = 0
            self._drift = np.zeros_like(cells)
            wait = self.stylizer.begin(frame)

            def finish_anew() -> Frame:
                painted = wait()
                self._paint = painted.i420.astype(np.int16) << _FRACTION_BITS
                return painted

            return finish_anew
        changed, drifted = found
        self._relit = max(0, self._relit - 1)
        if light:  # then all is new to the network, and the painting follows slowly, relit
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
        as_held = Frame(held, frame.pts, frame.time_base, frame.color, frame.duration)
        wait = self.stylizer.begin(as_held)

        def finish() -> Frame:
            painted = wait()
            self._settle(painted, living, relit=relit)
            return painted

        return finish

    def _changed(
        self, cells: NDArray[np.int16], light: _Light | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Which blocks, (rows, columns), have changed, and which have slowly.

        None if there is nothing to hold. Args: light, which has changed all of them besides.
        """
        known = light.on(self._known) if light else self._known
        difference = cells - known  # 16ths of codes, (3, cell rows, cell columns)
        if abs(float(np.median(difference[0, ::4, ::4]))) > 16 * _LIGHT:
            return None
        size = np.abs(difference)
        self._drift += ((difference << _DRIFT_BITS) - self._drift) >> _DRIFT_SHIFT
        drift = np.abs(self._drift) >> _DRIFT_BITS
        changed, faint, drifted = np.zeros((3, *size.shape[1:]), np.bool_)
        for plane in range(3):
            self._listen(plane, size[plane])
            noise = self._noise[plane] or 0.0
            limit = _SLACK + _NOISE_FACTOR * noise + (_UNEVEN if light else 0.0)
            drift_limit = _DRIFT_SLACK + _DRIFT_NOISE_FACTOR * noise
            faint |= size[plane] > 16 * self._patience * limit
            changed |= size[plane] > 16 * self._patience * (limit + _FAINT)
            # Never more patience than the usual: faint and slow things would be frozen
            drifted |= drift[plane] > 16 * min(1.0, self._patience) * drift_limit
        blocks, differ = _blocks(changed), _blocks(faint)
        if differ.mean() > _CUT_SHARE:
            return None
        # Where most of the neighbours move, what looks still is only flat
        around = _around(differ, _FIELD_BLOCKS) / (2 * _FIELD_BLOCKS + 1) ** 2
        blocks |= differ & (around > _FAINT_SHARE)
        return _grown(blocks, 1) | (around > _FIELD_SHARE), _blocks(drifted) | differ

    def _listen(self, plane: int, size: NDArray[np.int16]) -> None:
        """Takes a plane's level of noise from the squares that differ least: noise is in all."""
        square = min(_NOISE_CELLS, *size.shape)
        rows, columns = (side // square for side in size.shape)
        whole = size[: rows * square, : columns * square]
        by_rows = np.add.reduce(whole.reshape(rows, square, -1), 1, dtype=np.int32)
        sums = by_rows.reshape(rows, columns, square).sum(2).ravel()
        least = np.partition(sums, sums.size // 4)[sums.size // 4]
        heard = min(float(least) / (16 * square**2), _MOST_NOISE[plane])
        known = self._noise[plane]
        if known is None:
            self._noise[plane] = heard
        else:  # what moves adds to it: falls are believed, rises by and by
            self._noise[plane] = known + (heard - known) / (4 if heard < known else 32)

    def _settle(self, painted: Frame, living: NDArray[np.bool_], *, relit: bool) -> None:
        """Lets the painting follow, at once or slowly, and puts it into the frame.

        Where it was relit just now, the network's answer differs everywhere, not for what lives.
        """
        if self._fresh.shape != painted.i420.shape:  # memory that is new for each frame is slow
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
    """How the light has changed: codes are gain * former + offset, of luma, Cb and Cr."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    def on(self, cells: NDArray[np.int16]) -> NDArray[np.int16]:
        """Cells, as of `_cells`, in the light of now."""
        gains, offsets = (
            np.array(each, np.float32)[:, None, None] for each in (self.gains, self.offsets)
        )
        return np.asarray((gains * cells + 16 * offsets).round(), np.int16)


def _relight(paint: NDArray[np.int16], fresh: NDArray[np.int16]) -> None:
    """Makes a painting as light and as strong in contrast as a new one is, plane by plane.

    Both are I420, of one scale; the first is changed in place. What light does to a painting, its
    style alone knows: mean and deviation of the new one tell.
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
    """How the light has changed; None where it has not, or not as one.

    Args:
        known, cells: of a former frame and of now, as of `_cells`.
        noise: mean difference of luma's cells that noise makes, in codes.
    """
    x, y = (part[:, ::4, ::4].reshape(3, -1).astype(np.float32) / 16 for part in (known, cells))
    gains, offsets, most = [], [], 0.0
    for ours, theirs in zip(x, y, strict=True):
        share, gain, offset = _fitted(ours, theirs, noise)
        codes = np.percentile(ours, (5, 50, 95)).tolist()
        shift = max(abs(gain * code + offset - code) for code in codes)
        if share < _LIT_SHARE or abs(gain - 1) > _MOST_GAIN or shift > _MOST_SHIFT_CODES:
            return None
        gains.append(gain)
        offsets.append(offset)
        most = max(most, shift)
    return _Light(tuple(gains), tuple(offsets)) if most > _LEAST_LIGHT else None


def _fitted(
    x: NDArray[np.float32], y: NDArray[np.float32], noise: float
) -> tuple[float, float, float]:
    """The share of values that follow y = gain * x + offset, gain and offset."""
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
    """Sums over cells, (3, H // 4, W // 4), in 16ths of codes: luma, then both chromas.

    Two pixels are added at once, as parts of one larger number.
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
    """Blocks in which any cell is true."""
    rows, columns = (side + side % _BLOCK_CELLS for side in cells.shape)
    even = np.zeros((rows, columns), np.bool_)
    even[: cells.shape[0], : cells.shape[1]] = cells
    either: NDArray[np.bool_] = even[::2] | even[1::2]
    return np.asarray(either[:, ::2] | either[:, 1::2], np.bool_)


def _around(blocks: NDArray[np.bool_], by: int) -> NDArray[np.int32]:
    """How many blocks are true up to so many blocks away, in rows and columns."""
    counts = blocks.astype(np.int32)
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (by + 1, by)
        sums = np.pad(counts, wide).cumsum(axis, dtype=np.int32)
        after, before = (np.arange(n, n + blocks.shape[axis]) for n in (2 * by + 1, 0))
        counts = sums.take(after, axis) - sums.take(before, axis)
    return counts


def _grown(blocks: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """True also up to so many blocks away, in rows and columns."""
    grown = blocks.copy()
    for along in (grown, grown.T):
        reach = 0
        while reach < by:  # what has grown so far is moved as far as leaves no gap
            step = min(reach + 1, by - reach)
            before = along.copy()
            along[step:] |= before[:-step]
            along[:-step] |= before[step:]
            reach += step
    return grown


def _enlarged(blocks: NDArray[np.bool_], scale: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Every block as scale x scale values of a picture of a shape; the last ones go to its end."""
    rows, columns = (
        np.minimum(np.arange(side) // scale, count - 1)
        for side, count in zip(shape, blocks.shape, strict=True)
    )
    return np.asarray(blocks.take(columns, 1).take(rows, 0), np.bool_)


def _copy_blocks(
    source: NDArray[Values], target: NDArray[Values], blocks: NDArray[np.bool_]
) -> None:
    """Copies some of the blocks of an I420 picture."""
    if not blocks.any():
        return
    for scale, new, old in zip(
        (_BLOCK_PX, _BLOCK_PX // 2), _planes(source), _planes(target), strict=True
    ):
        np.copyto(old, new, where=_enlarged(blocks, scale, old.shape[-2:]))


def _fade_in(
    source: NDArray[np.int16], target: NDArray[np.int16], blocks: NDArray[np.bool_]
) -> None:
    """Mixes an I420 picture in around blocks where it has been copied, less the further away."""
    shares, grown = blocks.astype(np.float32), blocks
    for by in range(1, _FADE_BLOCKS + 1):
        grown = _grown(grown, 1)
        np.maximum(shares, grown * np.float32(1 - by / _FADE_BLOCKS), out=shares)
    around = grown & ~blocks
    if not around.any():
        return
    wide = np.pad(shares, 1)
    over = np.maximum(wide[:-1], wide[1:])
    corners = np.maximum(over[:, :-1], over[:, 1:])  # of blocks: the most of the four that meet
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
            kept = old[part]  # the last blocks, where sides are no multiples
            if kept.size:
                places = (np.arange(kept.shape[axis]) + 0.5) / scale
                share = np.interp(places, np.arange(ends.size), ends)
                step = (new[part] - kept) * (share if axis == -1 else share[:, None])
                kept += step.astype(np.int16)


def _moved_paint(step: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Blocks whose luma differs much, of (H, W) differences in 128ths of codes."""
    size = np.abs(step[::2, ::2])
    each = _BLOCK_PX // 2
    rows, columns = (-(-side // each) for side in size.shape)
    whole = np.zeros((rows * each, columns * each), np.int16)
    whole[: size.shape[0], : size.shape[1]] = size
    by_rows = np.add.reduce(whole.reshape(rows, each, -1), 1, dtype=np.int32)
    sums = by_rows.reshape(rows, columns, each).sum(2)
    return np.asarray(sums > _PAINT_SLACK * (each**2 << _FRACTION_BITS))
