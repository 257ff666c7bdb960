"""What flows through the runtime: frames of 8-bit YUV 4:2:0, their colour space, their stream."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from realtime_style.color import ColorSpace

if TYPE_CHECKING:
    import av  # which must not come before a window's OpenCV


MIN_SIDE_PX = 16
MAX_SIDE_PX = 8192


class FramePool:
    """I420 buffers used again and again, so that no frame asks the system for memory.

    Any thread may take and give. Never holds more buffers than were in flight at once.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque()

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        """A buffer (height * 3 // 2, width), its content undefined; both sides even."""
        shape = (height * 3 // 2, width)
        while self._free:
            try:
                buffer = self._free.pop()
            except IndexError:  # another thread was faster
                break
            if buffer.shape == shape:
                return buffer
        return np.empty(shape, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        """Returns a buffer that nobody reads any more."""
        self._free.append(buffer)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture: 8-bit YUV 4:2:0, even sides.

    `i420` is (H * 3 // 2, W) uint8, C-contiguous: H rows of luma, then both chroma planes.
    It is shown at `pts * time_base` seconds, for `duration * time_base` (0: until the next). Who
    is done with a frame may `release()` it.
    """

    i420: NDArray[np.uint8]
    pts: int
    time_base: Fraction
    color: ColorSpace = ColorSpace()
    duration: int = 0
    pool: FramePool | None = field(default=None, repr=False, compare=False)

    def release(self) -> None:
        """Gives the buffer back to its pool, if it has one; the frame must not be used again."""
        if self.pool:
            self.pool.give(self.i420)

    def blank(self, pool: FramePool, height: int | None = None, width: int | None = None) -> Frame:
        """A frame of the same time and colours in a buffer of the pool, its content undefined.

        Args:
            height, width: its size, even; None takes this frame's.
        """
        buffer = pool.take(height or self.height, width or self.width)
        return Frame(buffer, self.pts, self.time_base, self.color, self.duration, pool)

    @property
    def height(self) -> int:
        """Luma rows."""
        return int(self.i420.shape[0]) * 2 // 3

    @property
    def width(self) -> int:
        """Luma columns."""
        return int(self.i420.shape[1])

    @property
    def luma(self) -> NDArray[np.uint8]:
        """The luma plane, (1, 1, H, W), a view."""
        return self.i420[: self.height][None, None]

    @property
    def chroma(self) -> NDArray[np.uint8]:
        """Both chroma planes, (1, 2, H/2, W/2), a view."""
        half = (1, 2, self.height // 2, self.width // 2)
        return self.i420[self.height :].reshape(half)


@dataclass(frozen=True, slots=True)
class GpuFrame:
    """One picture in a GPU's memory, 8-bit NV12; times and colours as of `Frame`.

    Its memory is free again once nobody holds the picture.
    """

    picture: av.VideoFrame
    pts: int
    time_base: Fraction
    color: ColorSpace
    duration: int = 0

    def release(self) -> None:
        """Nothing is to be given back, as of `Frame.release`."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source knows of its pictures before the first one.

    `width` and `height` are the frames', in pixels; `source_width` and `source_height` the film's
    own. `frames` and `duration_s` are None where unknown; `rate` is the average, in frames per
    second. `sample_aspect_ratio` is a source pixel's width over its height, None where unknown.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    color: ColorSpace
    frames: int | None = None
    duration_s: float | None = None
    source_width: int = 0
    source_height: int = 0
    sample_aspect_ratio: Fraction | None = None
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """A picture size as asked for: so many lines (width follows), or both sides, in pixels."""

    height: int
    width: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads "720p" or "1280x720"; raises ValueError for anything else."""
        lines = re.fullmatch(r"(\d{1,9})p", text)
        sides = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
        if lines:
            size = cls(int(lines[1]))
        elif sides:
            size = cls(int(sides[2]), int(sides[1]))
        else:
            raise ValueError(f"'{text}' is not a size; write it as 720p or 1280x720")
        for side in (size.height, size.width or size.height):
            if not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
                raise ValueError(
                    f"{side} is out of range; sides have {MIN_SIDE_PX} to {MAX_SIDE_PX}"
                )
        return size

    def __str__(self) -> str:
        """As it is asked for."""
        return f"{self.width}x{self.height}" if self.width else f"{self.height}p"

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height, both even, for a picture of the given size."""
        ours = self.width or max(2, round(width * self.height / height / 2) * 2)
        return ours & ~1, self.height & ~1
