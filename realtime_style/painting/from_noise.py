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

_FIRST_PX = 64  # least shorter side of the first sketch, which decides how large forms are
_SLOPE = 1.8  # amplitudes fall with this power of the frequency: 2 gives clouds, 1 gives crumbs
_FINEST = 1 / 6  # frequencies above this part of the shorter side's pixels are weakened
_FINE_SHARE = 0.3  # factor for the amplitudes of those frequencies
_WARP = 0.35  # how far pixels are shifted, over the shorter side: it turns clouds into forms
_CHROMA = 0.7  # strength of the colours


def paint_from_noise(
    painter: PainterChain,
    seed: int,
    size: Size,
    on_build: Callable[[float], None] | None = None,
) -> NDArray[np.uint8]:
    """Generates a painting, (H, W, 3) uint8 RGB.

    A small sketch of random, warped fields is painted, enlarged to twice its size, painted again,
    and so on: brush strokes grow to large forms, which get brush strokes of their own.

    Args:
        painter: paints in the wanted style.
        seed: the same seed, size and style give the same painting.
        size: size of the painting; 4:3 if it has no width.
        on_build: called while an engine is built, with the finished part of the work, 0..1.

    Raises:
        MediaError: the size is too small or too large.
        EngineError: the network fails, or its engine cannot be built.
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
    """Random forms of light and colour, (height, width, 3) uint8 RGB."""
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
    """A smooth random field, (H, W): its values are spread evenly over 0..1, opposite sides fit."""
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
