"""A sheet of one picture in several styles, to choose one from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.jobs.film import FilmRequest
from realtime_style.jobs.picture import paint_rgb_at
from realtime_style.jobs.samples import frames_at, sample_times_s
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.media.sheet import Tile, draw_sheet
from realtime_style.media.still import PICTURE_SUFFIXES, Picture, read_picture, write_picture
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.style_picture import is_picture, open_any_style
from realtime_style.style.bundled import bundled_styles, style_named
from realtime_style.style.style import Style
from realtime_style.system.paths import is_numbered, refuse_overwriting_source, refuse_unwritable


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """One picture to paint in several styles.

    Attributes:
        source: a picture, or a film, of which one frame is taken.
        out: the sheet, a picture file.
        styles: names or files of styles; empty takes all bundled ones.
        plan: how to paint; the style of its look is ignored, and so is its stability.
        size: at which to paint; None paints at the source's own.
        start_s: when the frame of a film is shown, in seconds; None takes the middle.
        overwrite: whether an existing file may be replaced.
    """

    source: str
    out: str
    styles: tuple[str, ...] = ()
    plan: PaintPlan = field(default_factory=PaintPlan)
    size: Size | None = None
    start_s: float | None = None
    overwrite: bool = False


def paint_comparison(
    request: ComparisonRequest, on_style: Callable[[str], None] = lambda style: None
) -> list[str]:
    """Paints the picture in every style, and writes all of them, with their names, as one sheet.

    A style that is taken from a picture is shown with that picture in its corner.

    Args:
        on_style: called with the name of each style before it is painted.

    Returns:
        The styles, in the order of the sheet.

    Raises:
        StyleError: anything cannot be read, painted or written; then there is no new file.
    """
    out = Path(request.out)
    refuse_overwriting_source(request.source, out)
    refuse_unwritable(out, "sheet.png", overwrite=request.overwrite)
    if out.suffix.lower() not in PICTURE_SUFFIXES:
        raise MediaError(
            f"a sheet is a picture: {out} must end in .png, .jpg or .webp", setting="out"
        )
    names = [style_named(style) for style in request.styles] or list(bundled_styles())
    # all of them, before the first is painted
    styles = [open_any_style(name, request.plan.look.tier) for name in names]
    rgb, pixel_shape = _picture_of(request)
    tiles = [Tile(rgb, Path(request.source).name, "not painted")]
    for name, style in zip(names, styles, strict=True):
        on_style(name)
        plan = replace(request.plan, look=replace(request.plan.look, style=style), stability=0.0)
        painted = paint_rgb_at(build_painter(plan), rgb, request.size)
        picture = read_picture(name).rgb if is_picture(name) else None
        tiles.append(Tile(painted, Path(name).stem, _painting_of(style), picture))
    shape = rgb.shape[1] / rgb.shape[0] * float(pixel_shape)
    write_picture(out, Picture(draw_sheet(tiles, shape)), overwrite=request.overwrite)
    return names


def _picture_of(request: ComparisonRequest) -> tuple[NDArray[np.uint8], Fraction]:
    """The picture to paint, (H, W, 3) uint8 RGB, and the sample aspect ratio of its pixels."""
    is_picture = Path(request.source).suffix.lower() in PICTURE_SUFFIXES
    if is_picture and (Path(request.source).is_file() or not is_numbered(request.source)):
        return read_picture(request.source).rgb, Fraction(1)
    film = FilmRequest(request.source, request.out, start_s=request.start_s or 0.0)
    times_s = sample_times_s(film, 1) if request.start_s is None else [request.start_s]
    with FileSource(request.source) as source:
        pixel_shape = source.info.sample_aspect_ratio or Fraction(1)
    return rgb_from_frame(next(frames_at(film, times_s))), pixel_shape


def _painting_of(style: Style) -> str:
    """Painter and title of a style's painting, as far as its card tells; empty if it does not."""
    if picture := style.card.get("made", {}).get("of_picture"):
        return f"from {picture}"
    told = [style.card.get(key) for key in ("painter", "title")]
    return ", ".join(str(text) for text in told if text)
