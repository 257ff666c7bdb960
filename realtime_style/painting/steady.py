"""Temporal consistency: holds the painting still where the film stands still."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from realtime_style.canvas import canvas_size
from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.frame import Frame
from realtime_style.painting.blend import copy_blocks, follow
from realtime_style.painting.cells import (
    BLOCK_CELLS,
    BLOCK_PX,
    FRACTION_BITS,
    STRIP_PX,
    any_in_blocks,
    count_around,
    enlarge,
    frame_cells,
    grow,
    strips,
)
from realtime_style.painting.light import Light, light_between, median, relight
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending

# Cells are compared by their means, in codes (steps of an 8-bit value). A cell "differs" by how far
# its mean is from what it was when its block became still.
_SLACK = 2.0  # codes that a cell may differ by and still be held: compression makes such changes
_FAINT = 4.0  # codes above that limit, up to which a change is faint, such as a light shadow
_FAINT_SHARE = 0.06  # a faint change counts as motion if more of the blocks around it differ
_NOISE_FACTOR = 5.0  # times the mean difference that noise makes is added to the limit: 4 sigma
_MAX_NOISE = (3.0, 6.0, 6.0)  # most noise of luma, Cb and Cr, in codes; more is not noise
_NOISE_CELLS = 8  # noise is measured in squares of 8x8 cells
_SETTLED = 6  # number of frames after which a block that has not changed counts as still
_DRIFT_SHIFT = 4  # slow changes are found in a running mean over 2^4 frames, in which noise cancels
_DRIFT_BITS = 3  # fractional bits of that mean, so that rounding errors do not add up
_DRIFT_SLACK, _DRIFT_NOISE_FACTOR = 0.75, 4.0  # limit of that mean, as _SLACK and _NOISE_FACTOR
_LIGHT = 0.6  # codes; if the median cell differs by more, and no `Light` was found, nothing is held
_RELIT_FRAMES = 24  # number of frames in which the painting follows a change of light
_UNEVEN = 4.0  # codes added to the limit in a change of light, which is never quite even
_CUT_SHARE = 0.8  # if more of the blocks differ, the frame is painted as if it were the first
_FIELD_BLOCKS, _FIELD_SHARE = 5, 0.35  # a block moves if that share of those within 5 blocks do
_NEAR_BLOCKS = 2  # within this distance of motion, the painting follows at once
_REACH_BLOCKS = 13  # within this distance on the canvas, where the network paints something new
_PAINT_SLACK = 4.0  # codes; the mean change of a block's paint above which it is something new
_MAX_SHIFT = 6  # at stability 1, the painting follows by 1/2^6 of the difference per frame


class Steady(Wrapper):
    """A `Painter` for the frames of one film or camera, in order, whose paint does not flicker.

    The network is deterministic: an unchanged input is painted unchanged, except near something
    that moves. So the input is held still. Blocks of 8x8 pixels that have differed only by noise
    for 6 frames are shown to the network as they were. A block that differs by more is replaced at
    once, and follows the film until it has been still for 6 frames again; this way a slow pan is
    not held in one place and released in another. Small differences that last replace a block, too.
    So do faint differences with little change around them, which compression makes; the painting
    follows those slowly.

    The painting follows at once where the input changes, and around it where the network paints
    something new; elsewhere it follows slowly. So still objects keep their paint, and moving
    objects leave none behind.

    When a camera's exposure drifts or a film fades, every stroke would move in every frame. If the
    whole picture has changed by one gain and one offset per plane, the network sees the new frame,
    and the painting takes over its brightness at once and its strokes slowly.

    At cuts and in fast pans everything is replaced: those frames are painted as if each were the
    first. Output depends only on the frames and their order.
    """

    def __init__(
        self,
        painter: Painter[Frame],
        stability: float = DEFAULT_STABILITY,
        strokes: float = 1.0,
    ) -> None:
        """Wraps a painter that paints each frame by itself.

        Args:
            painter: paints each frame by itself.
            stability: 0..1. It decides how much a block may differ and still be held (at 0 not at
                all, at 1 twice as much as at 0.5), and how slowly the painting follows there (at 1
                by 1/64 of the difference per frame).
            strokes: how large strokes are relative to the picture; see `canvas.STROKE_SIZES`.

        Raises:
            ValueError: a stability outside 0..1.
        """
        if not 0 <= stability <= 1:
            raise ValueError(f"stability must be from 0 to 1, not {stability:g}")
        super().__init__(painter)
        self._shift = math.ceil(_MAX_SHIFT * stability)
        self._patience = 2 * stability
        self._strokes = strokes
        self._held: NDArray[np.uint8] | None = None  # I420, as the network sees it
        self._known = np.zeros(0, np.int16)  # the cells of `_held`, as `frame_cells` returns them
        self._still = np.zeros(0, np.uint8)  # for how many frames each block has been still
        self._whole = False  # whether the last frame replaced everything
        self._has_cut = False
        self._paint = np.zeros(0, np.int16)  # the painting, I420 in 128ths of codes
        self._noise: list[float | None] = [None] * 3  # of luma, Cb, Cr: mean difference in codes
        self._scratch = np.empty((2, 0, 0, 0), np.int16)  # memory of `_changed`
        self._drift = np.zeros(0, np.int16)  # running mean of differences, in 128ths of codes
        self._relit = 0  # for how many frames the painting still follows a change of light

    def reset(self) -> None:
        """See `Painter`."""
        super().reset()
        self._held = None
        self._noise = [None] * 3
        self._whole = False
        self._has_cut = False

    @property
    def has_cut(self) -> bool:
        """Whether the latest frame replaced everything, and the one before it did not."""
        return self._has_cut

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`; the painted frame is a new one of the same size, time and colours."""
        if not self._shift:
            return self._painter.begin(frame)
        held = self._held
        if held is not None and held.shape != frame.i420.shape:
            held = self._held = None
        cells = frame_cells(frame)
        if held is None:
            return self._begin_whole(frame, cells, fresh=True)
        light = light_between(self._known, cells, self._noise[0] or 0.0)
        found = self._changed(cells, light)
        if found is None:
            return self._begin_whole(frame, cells, fresh=False)
        changed, drifted = found
        self._has_cut = False
        self._relit = max(0, self._relit - 1)
        if light:  # the network sees the whole new frame; the painting is relit and follows slowly
            drifted[:] = True
            self._relit = _RELIT_FRAMES
        relit = self._relit > 0
        self._whole = False
        self._still += self._still < _SETTLED
        self._still[changed] = 0
        living = self._still < _SETTLED
        copy_blocks(frame.i420, held, living | drifted)
        renewed = -enlarge(changed | drifted, BLOCK_CELLS, cells.shape[1:]).astype(np.int16)
        cells -= self._known  # as bits of `renewed` are all set or none, which is faster than where
        cells &= renewed
        self._known += cells
        self._drift &= ~renewed
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
        """Begins to paint a frame as if it were the first one, without holding anything.

        Its blocks count as still at once; but in a fast pan, where the last frame was painted in
        this way, too, they count as moving.

        Args:
            frame: the frame.
            cells: from `frame_cells`.
            fresh: whether this really is the first frame, rather than a cut or a fast pan.
        """
        is_pan = not fresh and self._whole
        self._has_cut = not fresh and not is_pan
        if self._held is None:
            self._held = np.empty_like(frame.i420)
        np.copyto(self._held, frame.i420)
        self._known = cells
        blocks = any_in_blocks(np.zeros(cells.shape[1:], np.bool_)).shape
        self._still = np.full(blocks, 0 if is_pan else _SETTLED, np.uint8)
        self._whole = not fresh
        self._relit = 0
        self._drift = np.zeros_like(cells)
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            if self._paint.shape != painted.i420.shape:
                self._paint = np.empty(painted.i420.shape, np.int16)
            np.copyto(self._paint, painted.i420)
            self._paint <<= FRACTION_BITS
            return painted

        return finish

    def _changed(
        self, cells: NDArray[np.int16], light: Light | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Finds the blocks that have changed since they were held.

        Args:
            cells: of the new frame, from `frame_cells`.
            light: the change of light since then; None if there is none.

        Returns:
            Two arrays (rows, columns) of blocks: those that have changed, and those that have
            changed slowly or faintly. None if so much has changed that nothing should be held.
        """
        known = light.on(self._known) if light else self._known
        if self._scratch.shape[1:] != cells.shape:  # allocating it for every frame is slow
            self._scratch = np.empty((2, *cells.shape), np.int16)
        difference, size = self._scratch
        np.subtract(cells, known, out=difference)  # 16ths of codes, (3, rows, columns) of cells
        if abs(median(difference[0, ::4, ::4])) > 16 * _LIGHT:
            return None
        np.abs(difference, out=size)
        difference *= np.int16(1 << _DRIFT_BITS)
        difference -= self._drift
        difference >>= _DRIFT_SHIFT
        self._drift += difference
        drift = np.abs(self._drift, out=difference)
        drift >>= _DRIFT_BITS
        changed, faint, drifted = np.zeros((3, *size.shape[1:]), np.bool_)
        for plane in range(3):
            self._measure_noise(plane, size[plane])
            noise = self._noise[plane] or 0.0
            limit = _SLACK + _NOISE_FACTOR * noise + (_UNEVEN if light else 0.0)
            drift_limit = _DRIFT_SLACK + _DRIFT_NOISE_FACTOR * noise
            # Whole numbers exceed a limit if they exceed it rounded down, which compares faster
            faint |= size[plane] > int(16 * self._patience * limit)
            changed |= size[plane] > int(16 * self._patience * (limit + _FAINT))
            # Limits of slow changes do not grow above those of stability 0.5, or these would freeze
            drifted |= drift[plane] > int(16 * min(1.0, self._patience) * drift_limit)
        blocks, differ = any_in_blocks(changed), any_in_blocks(faint)
        if differ.mean() > _CUT_SHARE:
            return None
        # Where many neighbours move, a block that looks still is probably only flat
        around = count_around(differ, _FIELD_BLOCKS) / (2 * _FIELD_BLOCKS + 1) ** 2
        blocks |= differ & (around > _FAINT_SHARE)
        return grow(blocks, 1) | (around > _FIELD_SHARE), any_in_blocks(drifted) | differ

    def _measure_noise(self, plane: int, size: NDArray[np.int16]) -> None:
        """Updates the noise of a plane.

        Noise is everywhere, motion is not; so it is measured where the frame differs least.

        Args:
            plane: 0 for luma, 1 for Cb, 2 for Cr.
            size: how much each cell differs, (rows, columns), in 16ths of codes.
        """
        square = min(_NOISE_CELLS, *size.shape)
        rows, columns = (side // square for side in size.shape)
        whole = size[: rows * square, : columns * square]
        by_rows = np.add.reduce(whole.reshape(rows, square, -1), 1, dtype=np.uint16)
        sums = by_rows.reshape(rows, columns, square).sum(2, dtype=np.int32).ravel()
        least = np.partition(sums, sums.size // 4)[sums.size // 4]
        measured = min(float(least) / (16 * square**2), _MAX_NOISE[plane])
        known = self._noise[plane]
        if known is None:
            self._noise[plane] = measured
        else:  # motion raises what is measured, so it is followed down quickly and up slowly
            self._noise[plane] = known + (measured - known) / (4 if measured < known else 32)

    def _settle(self, painted: Frame, living: NDArray[np.bool_], *, relit: bool) -> None:
        """Lets the painting follow what the network has painted, at once or slowly.

        Args:
            painted: what the network has painted; its planes are replaced by the painting.
            living: (rows, columns), the blocks in which the film moves.
            relit: whether the light has changed recently, so that paint differs everywhere.
        """
        if relit:
            relight(self._paint, painted.i420)
        near = grow(living, _NEAR_BLOCKS)
        if living.any() and not relit:
            canvas = canvas_size(painted.width, painted.height, self._strokes)
            reach = round(_REACH_BLOCKS * painted.width / canvas[0])
            around = grow(living, reach) & ~near
            rows = np.flatnonzero(around.any(1))
            if rows.size:  # only these rows of blocks are compared
                blocks = np.s_[int(rows[0]) : int(rows[-1]) + 1]
                part = np.s_[blocks.start * BLOCK_PX : min(blocks.stop * BLOCK_PX, painted.height)]
                moved = _moved_paint(painted.luma[0, 0, part], self._paint[part])
                near[blocks] |= moved[:, : near.shape[1]] & around[blocks]
        follow(painted.i420, self._paint, near, self._shift)


def _moved_paint(painted: NDArray[np.uint8], paint: NDArray[np.int16]) -> NDArray[np.bool_]:
    """The blocks, (rows, columns), in which the network paints something new.

    Args:
        painted: luma of what it has painted, (H, W).
        paint: luma of the painting so far, (H, W), in 128ths of codes.
    """
    limit = round(_PAINT_SLACK * (BLOCK_PX**2 // 4 << FRACTION_BITS))
    rows, columns = (-(-side // BLOCK_PX) for side in painted.shape)
    each = BLOCK_PX // 2  # every second pixel of every second row is compared
    sums = np.zeros((rows, columns * BLOCK_PX), np.uint16)
    most = np.full(painted.shape[1], limit + 1, np.int16)  # a row; with a number it takes longer
    buffer = np.empty(STRIP_PX // 2 + each * painted.shape[1], np.int16)
    for strip in strips(painted.shape, BLOCK_PX):
        old = paint[strip][::2]
        size = buffer[: old.size].reshape(old.shape)
        np.copyto(size, painted[strip][::2])
        size *= np.int16(1 << FRACTION_BITS)
        size -= old
        np.abs(size, out=size)
        np.minimum(size, most, out=size)  # so that sums of four fit into 16 bits
        into = sums[strip.start // BLOCK_PX :, : old.shape[1]]
        for row in range(each):
            part = size[row::each].view(np.uint16)
            into[: len(part)] += part
    np.minimum(sums, limit + 1, out=sums)
    compared = (sums[:, i::BLOCK_PX].astype(np.int32) for i in range(0, BLOCK_PX, 2))
    return np.asarray(sum(compared) > limit)
