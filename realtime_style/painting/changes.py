"""Finds what has changed in a film since its blocks became still, and where its scenes begin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame
from realtime_style.painting.cells import (
    BLOCK_CELLS,
    any_in_blocks,
    count_around,
    enlarge,
    frame_cells,
    grow,
)
from realtime_style.painting.light import Light, light_between, median

# Cells are compared by their means, in codes (steps of an 8-bit value). A cell "differs" by how far
# its mean is from what it was when its block became still.
_SLACK = 2.0  # codes that a cell may differ by and still be held: compression makes such changes
_FAINT = 4.0  # codes above that limit, up to which a change is faint, such as a light shadow
_FAINT_SHARE = 0.06  # a faint change counts as motion if more of the blocks around it differ
_NOISE_FACTOR = 5.0  # times the mean difference that noise makes is added to the limit: 4 sigma
_MAX_NOISE = (3.0, 6.0, 6.0)  # most noise of luma, Cb and Cr, in codes; more is not noise
_NOISE_CELLS = 8  # noise is measured in squares of 8x8 cells
_DRIFT_SHIFT = 4  # slow changes are found in a running mean over 2^4 frames, in which noise cancels
_DRIFT_BITS = 3  # fractional bits of that mean, so that rounding errors do not add up
_DRIFT_SLACK, _DRIFT_NOISE_FACTOR = 0.75, 4.0  # limit of that mean, as _SLACK and _NOISE_FACTOR
_LIGHT = 0.6  # codes; if the median cell differs by more, and no `Light` was found, nothing is held
_UNEVEN = 4.0  # codes added to the limit in a change of light, which is never quite even
_CUT_SHARE = 0.8  # if more of the blocks differ, the frame is painted as if it were the first
_FIELD_BLOCKS, _FIELD_SHARE = 5, 0.35  # a block moves if that share of those within 5 blocks do


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed in a frame.

    Attributes:
        moved: (rows, columns), the blocks that have changed.
        drifted: (rows, columns), the blocks that have changed slowly or faintly.
        is_lit: whether the light of the whole picture has changed; all blocks have drifted then.
    """

    moved: NDArray[np.bool_]
    drifted: NDArray[np.bool_]
    is_lit: bool


class Changes:
    """Compares the frames of one film, in order, with what was held of those before.

    Attributes:
        known: the cells of the picture that is held, as `frame_cells` returns them.
        noise: of luma, Cb and Cr: the mean difference that it makes, in codes; None: not measured.
        is_cut: whether the latest frame begins a scene: it replaced everything, which the one
            before it did not.
        is_pan: whether the latest frame replaced everything, and the one before it did, too.
    """

    def __init__(self, stability: float) -> None:
        """Args: stability, 0..1; it decides how much a block may differ and still be held."""
        self._patience = 2 * stability
        self._scratch = np.empty((2, 0, 0, 0), np.int16)  # memory of `compare`
        self._drift = np.zeros(0, np.int16)  # running mean of differences, in 128ths of codes
        self.reset()

    def reset(self) -> None:
        """Forgets all frames; the next one is the first."""
        self.known: NDArray[np.int16] = np.zeros((3, 0, 0), np.int16)
        self.noise: list[float | None] = [None] * 3
        self.is_cut = self.is_pan = False

    def find(self, frame: Frame) -> Change | None:
        """What has changed in the next frame; it is taken as held from now on.

        Returns:
            None if nothing should be held: at the first frame, at cuts, and in fast pans.
        """
        cells = frame_cells(frame)
        is_first = self.known.shape != cells.shape
        if is_first:
            found = None
        else:
            light = light_between(self.known, cells, self.noise[0] or 0.0)
            found = self.compare(cells, light)
        if found is None:
            was_whole = self.is_cut or self.is_pan
            self.is_cut = not is_first and not was_whole
            self.is_pan = not is_first and was_whole
            self.known, self._drift = cells, np.zeros_like(cells)
            return None
        self.is_cut = self.is_pan = False
        moved, drifted = found
        if light:
            drifted[:] = True
        renewed = -enlarge(moved | drifted, BLOCK_CELLS, cells.shape[1:]).astype(np.int16)
        cells -= self.known  # as bits of `renewed` are all set or none, which is faster than where
        cells &= renewed
        self.known += cells
        self._drift &= ~renewed
        return Change(moved, drifted, light is not None)

    def compare(
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
        known = light.on(self.known) if light else self.known
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
            noise = self.noise[plane] or 0.0
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
        known = self.noise[plane]
        if known is None:
            self.noise[plane] = measured
        else:  # motion raises what is measured, so it is followed down quickly and up slowly
            self.noise[plane] = known + (measured - known) / (4 if measured < known else 32)
