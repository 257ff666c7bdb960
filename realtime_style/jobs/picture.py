"""A picture in, a painted picture out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realtime_style.media.still import Picture, read_picture, write_picture
from realtime_style.painting.chain import PainterChain
from realtime_style.system.paths import refuse_overwriting_source


def paint_picture(
    source: Path | str,
    out: Path | str,
    painter: PainterChain,
    *,
    overwrite: bool = False,
    on_build: Callable[[float], None] | None = None,
) -> list[str]:
    """Paints one picture file into another.

    Args:
        painter: built with stability 0: pictures have no order.
        overwrite: whether an existing file may be replaced.
        on_build: called with the part that is done, 0..1, while an engine is built.

    Returns:
        What was converted on the way, in sentences.

    Raises:
        MediaError: it cannot be read or written; then there is no new file.
    """
    refuse_overwriting_source(source, out)
    picture = read_picture(source)
    painted = Picture(
        painter.paint_rgb(picture.rgb, on_build),
        picture.alpha,
        picture.exif,
        picture.icc,
        picture.dpi,
    )
    return picture.notes + write_picture(out, painted, overwrite=overwrite)
