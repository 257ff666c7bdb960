"""A few painted frames across a film, to look at before a long job."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.media.still import Picture, write_picture
from realtime_style.painting.stylizer import open_stylizer
from realtime_style.style.look import DEFAULT_STYLE, Look
from realtime_style.style.style import Style
from realtime_style.system.paths import is_numbered, make_folder, refuse_unwritable


def paint_samples(
    film: Path | str,
    folder: Path,
    count: int,
    style: str | Path | Style | Look = DEFAULT_STYLE,
    *,
    size: Size | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    rate: Fraction | None = None,
    hwaccel: str | None = None,
    engine: str = "auto",
    precision: str = "auto",
    devices: Sequence[int] = (0,),
    overwrite: bool = False,
) -> list[Path]:
    """Paints a few frames across a film as PNG files in a folder, to look before a long job.

    A film, or a part of one, of fewer frames gives all of them. Arguments are as for `VideoJob`.

    Raises:
        StyleError: what went wrong, in one line; then nothing is written.
    """
    if folder.suffix.lower() in (".png", ".mp4", ".mkv", ".mov", ".webm") or is_numbered(folder):
        raise MediaError(f"samples go into a folder, not into {folder}; name one, as looks/")
    end_s = math.inf if duration_s is None else start_s + duration_s
    with FileSource(
        film, start_s=start_s, duration_s=duration_s, rate=rate, hwaccel=hwaccel
    ) as source:
        times = [at for at in source.times_s() if start_s <= at < end_s] or [start_s]
    chosen = sorted({times[int(len(times) * (i + 0.5) / count)] for i in range(count)})
    paths = [folder / f"{Path(film).stem}-{i + 1:02d}.png" for i in range(len(chosen))]
    for path in paths if folder.is_dir() else ():
        refuse_unwritable(path, "looks/", overwrite=overwrite)
    pictures, stylizer = [], None
    for at in chosen:
        with FileSource(film, size=size, start_s=at, rate=rate, hwaccel=hwaccel) as source:
            frame = next(iter(source))
        if stylizer is None:
            stylizer = open_stylizer(
                style, engine=engine, precision=precision, devices=devices, color=frame.color
            )
        pictures.append(Picture(rgb_from_frame(stylizer(frame))))
    make_folder(folder)
    for path, picture in zip(paths, pictures, strict=True):
        write_picture(path, picture, overwrite=overwrite)
    return paths
