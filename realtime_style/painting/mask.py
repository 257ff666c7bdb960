"""Paints only people, or only what is around them."""

from __future__ import annotations

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from realtime_style.frame import Frame, FramePool
from realtime_style.media.converter import copy_planes, picture_of
from realtime_style.painting.cells import planes_of
from realtime_style.painting.matte import Matte
from realtime_style.painting.person import Found, PersonFinder
from realtime_style.painting.plan import BACKGROUND, BLUR, ORIGINAL, MaskPlan
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending

_BLUR_CELLS = 4  # side of the cells of the mask that are one pixel of the blurred picture
_BLUR_PASSES = 2  # each averages about 7x7 of those pixels
_LEAST = 1e-3  # share of background around a pixel of the blurred picture, at which it is grey


class Mask(Wrapper):
    """A `Painter` that paints only people, or only their background.

    It finds people in each frame, and lays their painting, or that of what is around them, over the
    frame itself, the frame blurred, or one colour. People are left out of the blur, so that no glow
    surrounds them.
    """

    def __init__(
        self, painter: Painter[Frame], plan: MaskPlan, finder: PersonFinder, *, steady: bool = True
    ) -> None:
        """Wraps a painter.

        Args:
            painter: paints whole frames.
            plan: what is painted.
            finder: finds people; only one painter at a time may use it.
            steady: see `PersonFinder.find`.
        """
        super().__init__(painter)
        self._plan, self._finder, self._steady = plan, finder, steady
        self._pool = FramePool()
        self._reformatter = VideoReformatter()
        self._flat: Frame | None = None  # a frame of the background's colour

    def reset(self) -> None:
        """See `Painter`."""
        super().reset()
        self._finder.reset()

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`; the painted frame is a new one of the same size, time and colours."""
        found = self._finder.find(frame, steady=self._steady)
        matte = Matte.of(found.mask, found.small.luma[0, 0], frame.luma[0, 0])
        if self._plan.only == BACKGROUND:
            matte = matte.inverted()
        unpainted = self._unpainted(frame, found)
        found.small.release()
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            matte.lay_over(painted.i420, unpainted.i420)
            painted.release()
            return unpainted

        return finish

    def _unpainted(self, frame: Frame, found: Found) -> Frame:
        """What is seen where nothing is painted: a new frame."""
        if self._plan.background == BLUR:
            return self._enlarged(_blurred(found), frame)
        unpainted = frame.blank(self._pool)
        seen = frame if self._plan.background == ORIGINAL else self._flat_for(frame)
        np.copyto(unpainted.i420, seen.i420)
        return unpainted

    def _enlarged(self, small: Frame, frame: Frame) -> Frame:
        """A small frame, enlarged to the size of another one; in one thread, which costs least."""
        large = frame.blank(self._pool)
        picture = self._reformatter.reformat(
            picture_of(small), frame.width, frame.height, "yuv420p",
            interpolation=Interpolation.BICUBIC, threads=1,
        )  # fmt: skip
        copy_planes(picture, large)
        return large

    def _flat_for(self, frame: Frame) -> Frame:
        """A frame of the background's colour, as large as another one."""
        flat = self._flat
        if flat is None or (flat.i420.shape, flat.color) != (frame.i420.shape, frame.color):
            flat = self._flat = _flat_frame(frame, self._plan.background_rgb)
        return flat


def _flat_frame(frame: Frame, rgb: tuple[int, int, int]) -> Frame:
    """A frame as large as another one, in one colour, 8-bit RGB."""
    flat = frame.kept()
    matrix, offset = frame.color.yuv_from_rgb()
    luma, cb, cr = (matrix @ (np.array(rgb) / 255) + offset) * 255
    flat.luma[...] = round(luma)
    flat.chroma[0, 0], flat.chroma[0, 1] = round(cb), round(cr)
    return flat


def _blurred(found: Found) -> Frame:
    """The background of a frame, blurred, 64x36; people are filled from their surroundings."""
    frame, back = found.small, 1 - found.mask
    height, width = (side // _BLUR_CELLS for side in back.shape)
    new = np.empty((height * 3 // 2, width), np.uint8)
    luma, chroma = planes_of(new)
    chroma_of = frame.chroma[0]
    for plane, weights, into in (
        (frame.luma[0, 0], back, luma),
        (chroma_of[0], _reduced(back, 2), chroma[0]),
        (chroma_of[1], _reduced(back, 2), chroma[1]),
    ):
        side = plane.shape[1] // into.shape[1]
        share = _reduced(weights, side)
        value = _reduced((plane.astype(np.float32) - 128) * weights, side)
        for _ in range(_BLUR_PASSES):
            share, value = _spread(share), _spread(value)
        into[...] = np.rint(value / np.maximum(share, np.float32(_LEAST))) + 128
    return Frame(new, frame.pts, frame.time_base, frame.color, frame.duration)


def _reduced(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Means of squares of `side` pixels."""
    for axis in (0, 1):
        along = plane.swapaxes(0, axis)
        total = along[::side].copy()
        for i in range(1, side):
            total += along[i::side]
        plane = total.swapaxes(0, axis)
    return plane / np.float32(side * side)


def _spread(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 7x7 pixels."""
    for axis in (0, 1):
        along = plane.swapaxes(0, axis)
        first, last = along[:1], along[-1:]
        wide = np.concatenate((first, first, first, along, last, last, last))
        total = wide[: len(along)].copy()
        for i in range(1, 7):
            total += wide[i : i + len(along)]
        plane = total.swapaxes(0, axis)
    return plane / np.float32(49)
