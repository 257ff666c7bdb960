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
    grow,
    strips,
)
from realtime_style.painting.changes import Changes
from realtime_style.painting.light import relight
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending

_SETTLED = 6  # number of frames after which a block that has not changed counts as still
_RELIT_FRAMES = 24  # number of frames in which the painting follows a change of light
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
        self._strokes = strokes
        self._changes = Changes(stability)
        self._held = np.zeros((0, 0), np.uint8)  # I420, as the network sees it
        self._still = np.zeros(0, np.uint8)  # for how many frames each block has been still
        self._paint = np.zeros(0, np.int16)  # the painting, I420 in 128ths of codes
        self._relit = 0  # for how many frames the painting still follows a change of light

    def reset(self) -> None:
        """See `Painter`."""
        super().reset()
        self._changes.reset()

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`; the painted frame is a new one of the same size, time and colours."""
        if not self._shift:
            return self._painter.begin(frame)
        if self._held.shape != frame.i420.shape:
            self._changes.reset()
        change = self._changes.find(frame)
        if change is None:
            return self._begin_whole(frame)
        self._relit = _RELIT_FRAMES if change.is_lit else max(0, self._relit - 1)
        relit = self._relit > 0
        self._still += self._still < _SETTLED
        self._still[change.moved] = 0
        living = self._still < _SETTLED
        copy_blocks(frame.i420, self._held, living | change.drifted)
        wait = self._painter.begin(
            Frame(self._held, frame.pts, frame.time_base, frame.color, frame.duration)
        )

        def finish() -> Frame:
            painted = wait()
            self._settle(painted, living, relit=relit)
            return painted

        return finish

    def _begin_whole(self, frame: Frame) -> Pending[Frame]:
        """Begins to paint a frame as if it were the first one, without holding anything.

        Its blocks count as still at once; but in a fast pan, where the last frame was painted in
        this way, too, they count as moving.
        """
        if self._held.shape != frame.i420.shape:
            self._held = np.empty_like(frame.i420)
        np.copyto(self._held, frame.i420)
        rows, columns = self._changes.known.shape[1:]
        blocks = (-(-rows // BLOCK_CELLS), -(-columns // BLOCK_CELLS))
        self._still = np.full(blocks, 0 if self._changes.is_pan else _SETTLED, np.uint8)
        self._relit = 0
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            if self._paint.shape != painted.i420.shape:
                self._paint = np.empty(painted.i420.shape, np.int16)
            np.copyto(self._paint, painted.i420)
            self._paint <<= FRACTION_BITS
            return painted

        return finish

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
