"""A picture in, a painted picture out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from realtime_style.media.still import Picture, read_picture, write_picture
from realtime_style.system.paths import refuse_overwriting_source

if TYPE_CHECKING:
    from realtime_style.painting.stylizer import Stylizer


def paint_picture(
    source: Path | str, out: Path | str, stylizer: Stylizer, *, overwrite: bool = False
) -> list[str]:
    """Paints a file into another; returns what was converted on the way, in words.

    Raises:
        MediaError: it cannot be read or written; then there is no new file.
    """
    refuse_overwriting_source(source, out)
    picture = read_picture(source)
    painted = Picture(
        stylizer.paint_rgb(picture.rgb), picture.alpha, picture.exif, picture.icc, picture.dpi
    )
    return picture.notes + write_picture(out, painted, overwrite=overwrite)
