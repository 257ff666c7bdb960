"""Frames of 8-bit YUV 4:2:0, which all stages exchange, and the description of a stream."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from realtime_style.color import ColorSpace

if TYPE_CHECKING:
    import av  # not at runtime: OpenCV must be imported first, if there is a window


MIN_SIDE_PX = 16
MAX_SIDE_PX = 8192

_LINES = {"4k": 2160, "8k": 4320}  # heights of sizes that have a name


class FramePool:
    """Reuses I420 buffers, so that frames need no new memory from the system. Thread-safe.

    The pool never holds more buffers than have been in use at the same time.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque()

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        """A uint8 buffer of shape (height * 3 // 2, width), with undefined content.

        Args:
            height, width: size of the picture in pixels, both even.
        """
        shape = (height * 3 // 2, width)
        while self._free:
            try:
                buffer = self._free.pop()
            except IndexError:  # another thread took the last one
                break
            if buffer.shape == shape:
                return buffer
        return np.empty(shape, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        """Puts a buffer back; the caller must not use it afterwards."""
        self._free.append(buffer)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture in 8-bit YUV 4:2:0; width and height are even.

    It is shown at `pts * time_base` seconds, for `duration * time_base` seconds.

    Attributes:
        i420: (H * 3 // 2, W) uint8, C-contiguous: H rows of luma, then the plane of Cb, then that
            of Cr, each with H/2 * W/2 values.
        pts: presentation time, in units of `time_base`.
        time_base: seconds per unit.
        color: colour space of the planes.
        duration: in units of `time_base`; 0 means until the next frame.
        pool: where `release` returns the buffer; None if it is not pooled.
    """

    i420: NDArray[np.uint8]
    pts: int
    time_base: Fraction
    color: ColorSpace = ColorSpace()
    duration: int = 0
    pool: FramePool | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError for an array that is not the planes of a picture with even sides."""
        planes = np.asarray(self.i420)
        is_uint8 = planes is self.i420 and planes.dtype == np.uint8 and planes.ndim == 2
        if (
            not is_uint8
            or planes.shape[0] % 3
            or planes.shape[1] % 2
            or not planes.flags.c_contiguous
        ):
            raise ValueError(
                "expected the planes of a picture with even sides, (H * 3 // 2, W) uint8, "
                f"C-contiguous, got {planes.shape} {planes.dtype}"
            )

    def release(self) -> None:
        """Returns the buffer to its pool, if any; the frame must not be used afterwards."""
        if self.pool:
            self.pool.give(self.i420)

    def blank(self, pool: FramePool, height: int | None = None, width: int | None = None) -> Frame:
        """A new frame with this one's time and colour space, and undefined content.

        Args:
            pool: where the new frame's buffer is taken from, and where `release` returns it.
            height, width: size of the new frame in pixels, both even; None takes this frame's.
        """
        buffer = pool.take(height or self.height, width or self.width)
        return Frame(buffer, self.pts, self.time_base, self.color, self.duration, pool)

    def kept(self) -> Self:
        """The same frame with a buffer of its own, which stays as it is."""
        return replace(self, i420=self.i420.copy(), pool=None)

    @property
    def height(self) -> int:
        """Height of the picture in pixels."""
        return int(self.i420.shape[0]) * 2 // 3

    @property
    def width(self) -> int:
        """Width of the picture in pixels."""
        return int(self.i420.shape[1])

    @property
    def luma(self) -> NDArray[np.uint8]:
        """A view of the luma plane, (1, 1, H, W) uint8."""
        return self.i420[: self.height][None, None]

    @property
    def chroma(self) -> NDArray[np.uint8]:
        """A view of Cb and Cr, (1, 2, H/2, W/2) uint8."""
        half = (1, 2, self.height // 2, self.width // 2)
        return self.i420[self.height :].reshape(half)


@dataclass(frozen=True, slots=True)
class GpuFrame:
    """One picture in GPU memory, in 8-bit NV12.

    Attributes:
        picture: PyAV's picture; its GPU memory is freed with the last reference to it.
        pts, time_base, color, duration: as in `Frame`.
    """

    picture: av.VideoFrame
    pts: int
    time_base: Fraction
    color: ColorSpace
    duration: int = 0

    def kept(self) -> Self:
        """See `Frame.kept`; the picture stays as it is anyway."""
        return self

    def release(self) -> None:
        """Does nothing: GPU frames are not pooled, unlike those of `Frame.release`."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source knows about its frames before the first one is read.

    Attributes:
        width, height: size of the frames in pixels, both even.
        rate: average frames per second.
        time_base: seconds per unit of the frames' `pts`.
        color: colour space of the frames.
        frames: number of frames; None if unknown.
        duration_s: length in seconds; None if unknown.
        source_width, source_height: size in the file or device in pixels, before any scaling.
        sample_aspect_ratio: width of a source pixel divided by its height; None if unknown.
        is_live: whether frames arrive in real time, from a camera or a stream.
        finest_rate: 1 / (the shortest time between two frames in seconds); None if unknown.
        source_color: what colours the source has, in words, where frames have others; else "".
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
    finest_rate: Fraction | None = None
    source_color: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """A requested picture size in pixels.

    Attributes:
        height: height of the picture.
        width: its width; None keeps the aspect ratio of the picture that is scaled.
    """

    height: int
    width: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a size such as "720p", "720", "4k" or "1280x720".

        Raises:
            ValueError: the text is not a size, or a side is below 16 or above 8192 pixels.
        """
        plain = text.strip().lower()
        lines = re.fullmatch(r"(\d{1,9})p?", plain)
        sides = re.fullmatch(r"(\d{1,9})\s*[x*\N{MULTIPLICATION SIGN}]\s*(\d{1,9})", plain)
        if plain in _LINES:
            size = cls(_LINES[plain])
        elif lines:
            size = cls(int(lines[1]))
        elif sides:
            size = cls(int(sides[2]), int(sides[1]))
        else:
            raise ValueError(f"'{text}' is not a size; write it as 720p, 4k or 1280x720")
        for side in (size.height, size.width or size.height):
            if not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
                raise ValueError(
                    f"{side} is out of range; sides have {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels"
                )
        return size

    def __str__(self) -> str:
        """The size as `parse` reads it, such as "720p" or "1280x720"."""
        return f"{self.width}x{self.height}" if self.width else f"{self.height}p"

    def of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in pixels, both even, that a picture of the given size is scaled to."""
        ours = self.width or max(2, round(width * self.height / height / 2) * 2)
        return ours & ~1, self.height & ~1
