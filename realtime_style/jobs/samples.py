"""Previews: a few painted frames spread over a film, before a long job."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from av.video.reformatter import VideoReformatter

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool, Size, StreamInfo
from realtime_style.jobs.film import FilmRequest
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import frame_with_bars, place_of, rgb_from_frame
from realtime_style.media.still import Picture, write_picture
from realtime_style.painting.chain import build_painter
from realtime_style.system.paths import (
    is_numbered,
    make_folder,
    name_part,
    refuse_no_folder,
    refuse_unwritable,
    with_mark,
)


def paint_samples(request: FilmRequest, count: int) -> list[Path]:
    """Paints a few frames spread over a film, each by itself, as PNG files of the film's new size.

    A film, or a part of one, with fewer frames gives all of them. The files are called after the
    film and the style.

    Args:
        request: `out` is the folder for the files, made if it is missing. `encoding` and
            `residency` are ignored.
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
    refuse_no_folder(folder)
    times_s = sample_times_s(request, count)
    with _open(request, times_s[0]) as source:
        info = source.info
    painter = build_painter(replace(request.plan, stability=0.0), info.color)
    name, style = f"{Path(request.source).stem}.png", name_part(painter.style.name)
    paths = [with_mark(folder / name, f"-{style}-{i + 1:02d}") for i in range(len(times_s))]
    for path in paths if folder.is_dir() else ():
        refuse_unwritable(path, "looks/", overwrite=request.overwrite)
    pictures = [
        Picture(rgb_from_frame(_in_size(painter(frame), info, request.output_size)))
        for frame in frames_at(request, times_s)
    ]
    make_folder(folder)
    for path, picture in zip(paths, pictures, strict=True):
        write_picture(path, picture, overwrite=request.overwrite)
    return paths


def frames_at(request: FilmRequest, times_s: Sequence[float]) -> Iterator[Frame]:
    """The frames of a film at some times, in seconds of the film, at the request's size.

    Raises MediaError where there is none.
    """
    for start_s in times_s:
        with _open(request, start_s) as source:
            yield next(iter(source))


def sample_times_s(request: FilmRequest, count: int) -> list[float]:
    """Times of frames spread over the part that a request asks for, in seconds of the film.

    They lie in the middles of as many equal parts; fewer than `count` if there are fewer frames.
    """
    start_s, duration_s = request.start_s, request.duration_s
    end_s = math.inf if duration_s is None else start_s + duration_s
    with FileSource(
        request.source,
        start_s=start_s,
        duration_s=duration_s,
        rate=request.rate,
        hwaccel=request.hwaccel,
    ) as source:
        times_s = [at for at in source.times_s() if start_s <= at < end_s] or [start_s]
    return sorted({times_s[int(len(times_s) * (i + 0.5) / count)] for i in range(count)})


def _open(request: FilmRequest, start_s: float) -> FileSource:
    return FileSource(
        request.source,
        size=request.size,
        start_s=start_s,
        rate=request.rate,
        hwaccel=request.hwaccel,
    )


def _in_size(frame: Frame, info: StreamInfo, output_size: Size | None) -> Frame:
    """A painted frame in the size, and with the bars, that it has in the new film."""
    own_size = (info.source_width & ~1, info.source_height & ~1)
    size = output_size.of(*own_size) if output_size else own_size
    if size == (frame.width, frame.height):
        return frame
    canvas = frame.blank(FramePool(), size[1], size[0])
    return frame_with_bars(frame, place_of(info, size), VideoReformatter(), canvas)
