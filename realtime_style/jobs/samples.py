"""Previews: a few painted frames spread over a film, before a long job."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.jobs.film import FilmRequest
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.media.still import Picture, write_picture
from realtime_style.painting.chain import build_painter
from realtime_style.system.paths import is_numbered, make_folder, refuse_unwritable, with_mark


def paint_samples(request: FilmRequest, count: int) -> list[Path]:
    """Paints a few frames spread over a film, each by itself, as PNG files.

    A film, or a part of one, with fewer frames gives all of them.

    Args:
        request: `out` is the folder for the files, made if it is missing. `output_size`,
            `encoding` and `residency` are ignored.
        count: how many frames.

    Returns:
        The files, in the film's order.

    Raises:
        StyleError: anything cannot be read, painted or written; then nothing is written.
    """
    folder = Path(request.out)
    if folder.suffix.lower() in (".png", ".mp4", ".mkv", ".mov", ".webm") or is_numbered(folder):
        raise MediaError(
            f"samples go into a folder, not into {folder}; name one, such as looks/", setting="out"
        )
    times_s = _times_s(request)
    chosen = sorted({times_s[int(len(times_s) * (i + 0.5) / count)] for i in range(count)})
    name = folder / f"{Path(request.source).stem}.png"
    paths = [with_mark(name, f"-{i + 1:02d}") for i in range(len(chosen))]
    for path in paths if folder.is_dir() else ():
        refuse_unwritable(path, "looks/", overwrite=request.overwrite)
    plan = replace(request.plan, stability=0.0)
    pictures, painter = [], None
    for start_s in chosen:
        with FileSource(
            request.source,
            size=request.size,
            start_s=start_s,
            rate=request.rate,
            hwaccel=request.hwaccel,
        ) as source:
            frame = next(iter(source))
        painter = painter or build_painter(plan, frame.color)
        pictures.append(Picture(rgb_from_frame(painter(frame))))
    make_folder(folder)
    for path, picture in zip(paths, pictures, strict=True):
        write_picture(path, picture, overwrite=request.overwrite)
    return paths


def _times_s(request: FilmRequest) -> list[float]:
    """When the frames of the part are shown, in seconds of the film."""
    start_s, duration_s = request.start_s, request.duration_s
    end_s = math.inf if duration_s is None else start_s + duration_s
    with FileSource(
        request.source,
        start_s=start_s,
        duration_s=duration_s,
        rate=request.rate,
        hwaccel=request.hwaccel,
    ) as source:
        return [at for at in source.times_s() if start_s <= at < end_s] or [start_s]
