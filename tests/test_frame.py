from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.frame import Frame, FramePool, Size


def test_planes_are_views_of_the_buffer() -> None:
    buffer = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
    frame = Frame(buffer, 3, Fraction(1, 25))
    assert (frame.height, frame.width) == (4, 8)
    assert frame.luma.shape == (1, 1, 4, 8)
    assert frame.chroma.shape == (1, 2, 2, 4)
    frame.luma[...] = 1
    frame.chroma[0, 1] = 7
    assert (buffer[:4] == 1).all()
    assert (buffer[5:] == 7).all()
    assert not (buffer[4] == 7).any()


@pytest.mark.parametrize(
    ("color", "rgb", "codes"),
    [  # codes from ITU-R BT.709-6 and BT.601-7, 8 bit
        (ColorSpace(BT709, LIMITED), (1, 1, 1), (235, 128, 128)),
        (ColorSpace(BT709, LIMITED), (0, 0, 0), (16, 128, 128)),
        (ColorSpace(BT709, LIMITED), (1, 0, 0), (63, 102, 240)),
        (ColorSpace(BT709, LIMITED), (0, 0, 1), (32, 240, 118)),
        (ColorSpace(SMPTE170M, LIMITED), (1, 0, 0), (81, 90, 240)),
        (ColorSpace(SMPTE170M, LIMITED), (0, 1, 0), (145, 54, 34)),
        (ColorSpace(SMPTE170M, FULL), (0, 0, 1), (29, 255.5, 107)),
    ],
)
def test_colours_have_the_codes_of_the_standards(
    color: ColorSpace, rgb: tuple[float, ...], codes: tuple[float, ...]
) -> None:
    matrix, offset = color.yuv_from_rgb()
    assert (matrix @ rgb + offset) * 255 == pytest.approx(codes, abs=0.51)


def test_the_pool_reuses_buffers_of_the_right_size() -> None:
    pool = FramePool()
    first = pool.take(48, 64)
    frame = Frame(first, 0, Fraction(1), pool=pool)
    frame.release()
    assert pool.take(48, 64) is first
    assert pool.take(48, 64) is not first
    pool.give(first)
    assert pool.take(96, 64).shape == (144, 64)


def test_a_blank_frame_has_the_time_and_colours_and_any_size() -> None:
    pool = FramePool()
    color = ColorSpace(SMPTE170M, FULL)
    frame = Frame(np.zeros((72, 64), np.uint8), 7, Fraction(1, 25), color, 2)
    same, other = frame.blank(pool), frame.blank(pool, 16, 32)
    for blank, size in ((same, (48, 64)), (other, (16, 32))):
        assert (blank.height, blank.width) == size
        assert (blank.pts, blank.time_base, blank.color, blank.duration) == (
            7, Fraction(1, 25), color, 2,
        )  # fmt: skip
        assert blank.pool is pool


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("720p", (1280, 720)),
        ("640x360", (640, 360)),
        ("361p", (642, 360)),
        ("101x77", (100, 76)),
        ("720", (1280, 720)),
        ("4k", (3840, 2160)),
        ("4K", (3840, 2160)),
        ("8k", (7680, 4320)),
        ("720P", (1280, 720)),
        ("640X360", (640, 360)),
        ("640 \N{MULTIPLICATION SIGN} 360", (640, 360)),
    ],
)
def test_sizes_are_even_and_keep_the_shape(text: str, size: tuple[int, int]) -> None:
    assert Size.parse(text).of(1920, 1080) == size


@pytest.mark.parametrize("text", ["", "0", "8p", "4k2", "x", "1280x", "1e3x20", "-5p", "99999p"])
def test_text_that_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size|is out of range"):
        Size.parse(text)
