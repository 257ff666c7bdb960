"""Scaling frames, and converting RGB pictures to frames and back, with swscale."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from realtime_style.color import FULL, ColorSpace
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.media.converter import SWSCALE_MATRIX, copy_planes, picture_of

# SWS_ACCURATE_RND: nothing is rounded down; chroma is repeated. With SWS_FULL_CHR_H_INT chroma is
# interpolated too
UNSHIFTED = Interpolation.BILINEAR | 0x40000
EXACT = UNSHIFTED | 0x2000


def frame_from_rgb(
    rgb: NDArray[np.uint8], color: ColorSpace, pts: int = 0, time_base: Fraction = Fraction(1)
) -> Frame:
    """A frame from an RGB picture, (H, W, 3) uint8; odd sides are padded by repeating the edge.

    Raises ValueError for arrays of another shape or type.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    height, width = rgb.shape[:2]
    if height % 2 or width % 2:
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(
        format="yuv420p",
        dst_colorspace=SWSCALE_MATRIX.get(color.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if color.range == FULL else ColorRange.MPEG,
    )
    return Frame(np.ascontiguousarray(picture.to_ndarray()), pts, time_base, color)


def rgb_from_frame(
    frame: Frame,
    size: tuple[int, int] | None = None,
    reformatter: VideoReformatter | None = None,
    pix_fmt: str = "rgb24",
) -> NDArray[np.uint8]:
    """The frame as an RGB picture, (H, W, 3) uint8.

    Args:
        size: width and height of the picture, for display: swscale's fast way, which is one code
            too dark and repeats chroma. None keeps the frame's size, and converts exactly.
        reformatter: one to reuse; None takes a new one.
        pix_fmt: "rgb24", or "bgr24" for libraries that want blue first.
    """
    picture = (reformatter or VideoReformatter()).reformat(
        picture_of(frame),
        *(size or (frame.width, frame.height)),
        pix_fmt,
        src_colorspace=SWSCALE_MATRIX.get(frame.color.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if frame.color.range == FULL else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BILINEAR if size else EXACT,
    )
    rgb: NDArray[np.uint8] = np.asarray(picture.to_ndarray(), np.uint8)
    return rgb


def is_of_source(info: StreamInfo, size: tuple[int, int]) -> bool:
    """Whether a size has the shape of the source's pictures, apart from the rounding of sides."""
    width, height = _source_size(info)
    return abs(Fraction(width * size[1], height * size[0]) - 1) * size[0] < 2


def place_of(info: StreamInfo, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where the pictures of a source lie in a film of a size, as large as they fit.

    Args:
        size: width and height of the film, in pixels, even.

    Returns:
        Left, top, width and height in pixels, all even.
    """
    width, height = size
    source_width, source_height = _source_size(info)
    shape = Fraction(source_width, source_height) * (info.sample_aspect_ratio or 1)
    fitting_width = min(width, max(2, round(height * shape / 2) * 2))
    fitting_height = min(height, max(2, round(width / shape / 2) * 2))
    if is_of_source(info, size) or max(width - fitting_width, height - fitting_height) <= 2:
        return 0, 0, width, height
    left, top = (width - fitting_width) // 2 & ~1, (height - fitting_height) // 2 & ~1
    return left, top, fitting_width, fitting_height


def _source_size(info: StreamInfo) -> tuple[int, int]:
    return (info.source_width or info.width) & ~1, (info.source_height or info.height) & ~1


def frame_with_bars(
    frame: Frame, place: tuple[int, int, int, int], reformatter: VideoReformatter, canvas: Frame
) -> Frame:
    """The frame scaled into a place of a canvas (left, top, width, height, even), black around."""
    left, top, width, height = place
    small = scaled_frame(frame, (width, height), reformatter, FramePool())
    canvas.luma[...] = 0 if frame.color.range == FULL else 16
    canvas.chroma[...] = 128
    canvas.luma[:, :, top : top + height, left : left + width] = small.luma
    half = (slice(top // 2, (top + height) // 2), slice(left // 2, (left + width) // 2))
    canvas.chroma[:, :, half[0], half[1]] = small.chroma
    return canvas


def scaled_frame(
    frame: Frame, size: tuple[int, int], reformatter: VideoReformatter, pool: FramePool
) -> Frame:
    """The same frame at another size (width and height, even), in a buffer of the pool."""
    shrinks = size[0] < frame.width
    how = Interpolation.AREA if shrinks else Interpolation.BICUBIC
    return _scaled(frame, size, reformatter, pool, how)


def reduced_frame(
    frame: Frame, size: tuple[int, int], reformatter: VideoReformatter, pool: FramePool
) -> Frame:
    """The same frame reduced as for training: by a triangle filter, as wide as two new pixels.

    Args and result as for `scaled_frame`; a frame of that size is copied.
    """
    return _scaled(frame, size, reformatter, pool, Interpolation.BILINEAR)


def _scaled(
    frame: Frame,
    size: tuple[int, int],
    reformatter: VideoReformatter,
    pool: FramePool,
    how: Interpolation,
) -> Frame:
    width, height = size
    scaled = frame.blank(pool, height, width)
    if size == (frame.width, frame.height):
        np.copyto(scaled.i420, frame.i420)
        return scaled
    picture = reformatter.reformat(picture_of(frame), width, height, "yuv420p", interpolation=how)
    copy_planes(picture, scaled)
    return scaled
