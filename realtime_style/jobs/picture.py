"""A picture in, a painted picture out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.frame import Size
from realtime_style.media.still import (
    Picture,
    read_picture,
    refuse_unwritable_picture,
    write_picture,
)
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.system.paths import refuse_overwriting_source


def stylize_image(
    source: Path | str,
    out: Path | str,
    style: Look | str | Path = DEFAULT_STYLE,
    *,
    strength: float | None = None,
    tier: str | None = None,
    size: Size | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Paints one picture file into another: the shortest way, which loads the style each time.

    Args:
        style: a look, or a style's name or file.
        strength, tier: of the look; None leaves them as they are.
        size, overwrite: see `paint_picture`, which also paints many pictures faster.

    Returns:
        What was converted on the way, in sentences.

    Raises:
        StyleError: the style, the engine or a file cannot be used; then there is no new file.
    """
    plan = PaintPlan(style, stability=0.0, strength=strength, tier=tier)
    return paint_picture(source, out, build_painter(plan), size=size, overwrite=overwrite)


def paint_picture(
    source: Path | str,
    out: Path | str,
    painter: PainterChain,
    *,
    size: Size | None = None,
    overwrite: bool = False,
    on_build: Callable[[float], None] | None = None,
) -> list[str]:
    """Paints one picture file into another.

    Args:
        painter: built with stability 0: pictures have no order.
        size: at which to paint; None paints at the picture's own size, which the new one has too.
        overwrite: whether an existing file may be replaced.
        on_build: called with the part that is done, 0..1, while an engine is built.

    Returns:
        What was converted on the way, in sentences.

    Raises:
        MediaError: it cannot be read or written; then there is no new file.
    """
    refuse_overwriting_source(source, out)
    refuse_unwritable_picture(Path(out), overwrite=overwrite)
    picture = read_picture(source)
    painted = Picture(
        paint_rgb_at(painter, picture.rgb, size, on_build),
        picture.alpha,
        picture.exif,
        picture.icc,
        picture.dpi,
        picture.xmp,
    )
    return picture.notes + write_picture(out, painted, overwrite=overwrite)


def paint_rgb_at(
    painter: PainterChain,
    rgb: NDArray[np.uint8],
    size: Size | None,
    on_build: Callable[[float], None] | None = None,
) -> NDArray[np.uint8]:
    """Paints an RGB picture, (H, W, 3) uint8, at a size into a new one of its own size.

    A smaller size is faster and less sharp. None paints at its own size. Raises EngineError.
    """
    height, width = rgb.shape[:2]
    painted_size = size.of(width, height) if size else (width, height)
    if painted_size == (width, height):
        return painter.paint_rgb(rgb, on_build)
    small = Image.fromarray(rgb).resize(painted_size, Image.Resampling.LANCZOS)
    painted = Image.fromarray(painter.paint_rgb(np.asarray(small), on_build))
    return np.asarray(painted.resize((width, height), Image.Resampling.BICUBIC))
