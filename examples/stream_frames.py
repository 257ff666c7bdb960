"""Reads frames, paints them and writes them: the parts of a job, one by one.

    python examples/stream_frames.py in.mp4 out.mp4 [PREVIEW.png]

Use this where a whole job is not enough: to choose frames, change them on the way, or take them
from somewhere else. Frames are 8-bit YUV 4:2:0 (`frame.luma`, `frame.chroma`), each with its time.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator

from PIL import Image

import realtime_style as rs
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.stages import Pending


def main(source: str, out: str, preview: str | None = None) -> None:
    """Paints a film; writes every 25th frame to PREVIEW, for an image viewer that reloads it."""
    with rs.FileSource(source) as film:
        # Frames of one film, in order: with stability, paint stands still where the film does.
        painter = rs.build_painter(rs.PaintPlan("great-wave", stability=0.5), film.info.color)
        painter.prepare((film.info.width, film.info.height))
        # `passthrough_of` carries over sound, subtitles and everything else.
        with rs.FileSink(out, film.info, passthrough_of=film) as sink:
            for number, painted in enumerate(paint_all(film, painter)):
                if preview and number % 25 == 0:
                    Image.fromarray(rgb_from_frame(painted)).save(preview)
                sink.write(painted)
                painted.release()  # its buffer is used again


def paint_all(film: rs.FileSource, painter: rs.Painter[rs.Frame]) -> Iterator[rs.Frame]:
    """Yields painted frames, in order, with as many in flight as the painter takes."""
    begun: deque[Pending[rs.Frame]] = deque()
    for frame in film:
        begun.append(painter.begin(frame))
        frame.release()  # the painter has read it
        if len(begun) >= painter.in_flight:
            yield begun.popleft()()
    while begun:
        yield begun.popleft()()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except rs.StyleError as error:
        raise SystemExit(f"error: {error}") from error
