"""RGB pictures in memory to frames and back, by swscale."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from realtime_style.frame import FULL, ColorSpace, Frame
from realtime_style.runtime.converter import SWSCALE_MATRIX


def frame_from_rgb(
    rgb: NDArray[np.uint8], color: ColorSpace, pts: int = 0, time_base: Fraction = Fraction(1)
) -> Frame:
    """A frame of an RGB picture, (H, W, 3) uint8; an odd side is repeated to an even one."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
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


def rgb_from_frame(frame: Frame) -> NDArray[np.uint8]:
    """The frame as an RGB picture, (H, W, 3) uint8."""
    picture = av.VideoFrame.from_ndarray(frame.i420, "yuv420p").reformat(
        format="rgb24",
        src_colorspace=SWSCALE_MATRIX.get(frame.color.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if frame.color.range == FULL else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    rgb: NDArray[np.uint8] = np.asarray(picture.to_ndarray(), np.uint8)
    return rgb
