"""How long each of several files takes, relative to the others, by their headers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import av
from PIL import Image

from realtime_style.system.paths import ffmpeg_name

_FILM_PX = 12_000_000  # opening a film and completing it take as long as painting so many pixels
_FRAME_PX = 300_000  # and each of its frames, whatever its size
_PICTURE_PX = 500_000
_MAX_OPENED = 200  # files; of more, the others count as the mean of these


def film_effort(source: str, start_s: float = 0.0, duration_s: float | None = None) -> float | None:
    """The effort of painting a part of a film, in pixels; None if it is no file.

    A file that is no film takes no effort: it is refused at once.
    """
    if not Path(source).is_file():
        return None
    try:
        with av.open(ffmpeg_name(source)) as film:
            video = film.streams.video[0]
            rate = float(video.average_rate or 25)
            length_s = (film.duration or 0) / av.time_base
            frames = video.frames or length_s * rate
            if length_s:
                end_s = min(length_s, start_s + (math.inf if duration_s is None else duration_s))
                frames *= max(0.0, end_s - start_s) / length_s
            return _FILM_PX + frames * (video.width * video.height + _FRAME_PX)
    except (av.FFmpegError, OSError, ValueError, IndexError, AttributeError):
        return 0.0


def picture_effort(source: str) -> float | None:
    """The effort of painting a picture, in pixels; 0 if it cannot be read."""
    try:
        with Image.open(source) as picture:
            return _PICTURE_PX + picture.width * picture.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0.0


def efforts(sources: Sequence[str], effort_of: Callable[[str], float | None]) -> list[float]:
    """The effort of each source; what is not known counts as the mean of what is."""
    found = [effort_of(source) for source in sources[:_MAX_OPENED]]
    known = [effort for effort in found if effort]
    usual = sum(known) / len(known) if known else 1.0
    found += [None] * (len(sources) - len(found))
    return [usual if effort is None else effort for effort in found]
