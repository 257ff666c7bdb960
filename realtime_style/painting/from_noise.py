"""Generates a picture from noise, painting by painting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realtime_style.errors import MediaError
from realtime_style.frame import MIN_SIDE_PX, Size
from realtime_style.media.still import MAX_PICTURE_PX
from realtime_style.painting.chain import PainterChain

_FIRST_PX = 64  # shorter side of the smallest sketch; it sets the size of the largest forms
_SLOPE = 1.8  # of amplitude over frequency: between clouds (2) and crumbs (1)
_FINEST = 1 / 6  # of the shorter side's frequencies; those above are weakened
_FINE_SHARE = 0.3
_WARP = 0.35  # of the shorter side, by which fields are warped: forms, not clouds
_CHROMA = 0.7


def paint_from_noise(
    painter: PainterChain,
    seed: int,
    size: Size,
    on_build: Callable[[float], None] | None = None,
) -> NDArray[np.uint8]:
    """Generates a painting, (H, W, 3) uint8 RGB; equal seeds, sizes and styles give equal ones.

    A small sketch of random, warped fields is painted, enlarged to twice its size, painted again,
    and so on: large forms grow out of brush strokes and have brush strokes of their own.

    Args:
        on_build: called with the part that is done, 0..1, while an engine is built.

    Raises:
        MediaError: the size is too small or too large.
        EngineError: the network failed.
    """
    width, height = size.width or round(size.height * 4 / 3), size.height
    if min(width, height) < MIN_SIDE_PX or width * height > MAX_PICTURE_PX:
        raise MediaError(
            f"{width}x{height} cannot be painted; a picture has at least "
            f"{MIN_SIDE_PX}x{MIN_SIDE_PX} and at most {MAX_PICTURE_PX // 1_000_000} million pixels",
            setting="size",
        )
    scale = 1
    while min(width, height) // (2 * scale) >= _FIRST_PX:
        scale *= 2
    rgb = sketch(seed, -(-width // scale), -(-height // scale))
    while True:
        rgb = painter.paint_rgb(rgb, on_build)
        if scale == 1:
            return rgb
        scale //= 2
        larger = (-(-width // scale), -(-height // scale))
        rgb = np.asarray(Image.fromarray(rgb).resize(larger, Image.Resampling.BICUBIC))


def sketch(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Random fields of light and colour with forms in them, (H, W, 3) uint8 RGB."""
    random = np.random.default_rng(seed)
    wide = (height + height % 2, width + width % 2)
    light, down, right, blue, red = (_field(random, *wide) for _ in range(5))
    y, x = np.mgrid[: wide[0], : wide[1]]
    far = _WARP * min(wide)
    bent = (
        (y + far * (down - 0.5)).astype(int) % wide[0],
        (x + far * (right - 0.5)).astype(int) % wide[1],
    )
    luma = light[bent]
    luma = luma * luma * (3 - 2 * luma)
    blue, red = (_CHROMA * (field[bent] - 0.5) for field in (blue, red))
    rgb = np.stack((luma + 1.57 * red, luma - 0.19 * blue - 0.47 * red, luma + 1.86 * blue), -1)
    return (rgb[:height, :width] * 255).clip(0, 255).astype(np.uint8)


def _field(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """A random field, (H, W), its values spread evenly over 0..1; it tiles without borders."""
    down = np.fft.fftfreq(height)[:, None] * height
    across = np.fft.rfftfreq(width)[None] * width
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf
    amplitude = frequency**-_SLOPE
    amplitude[frequency > min(height, width) * _FINEST] *= _FINE_SHARE
    phases = np.exp(2j * np.pi * random.random(amplitude.shape))
    spectrum = amplitude * random.rayleigh(size=amplitude.shape) * phases
    field = np.fft.irfft2(spectrum, (height, width))
    return field.ravel().argsort().argsort().reshape(height, width) / field.size
