"""Parts of films, and where films begin: by their pictures, not by what decoders need before."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import MILLISECOND, add_picture, grey, lumas_of, make_film, times_of
from test_passthrough import ASS_HEADER, carry

from realtime_style.jobs.film import FilmRequest
from realtime_style.jobs.samples import frames_at, sample_times_s
from realtime_style.media.film_source import FileSource

PRIMING_MS = 21


def film_with_priming(path: Path) -> Path:
    """Two seconds, whose sound begins 21 ms before the picture: priming of AAC that was moved."""
    return make_film(path, pts=range(PRIMING_MS, 2000, 40), time_base=MILLISECOND)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_parts_are_counted_from_the_first_picture_after_priming(
    tmp_path: Path, ending: str
) -> None:
    film = film_with_priming(tmp_path / f"film{ending}")
    for start_s, length_s in ((0.0, 0.4), (0.4, 0.6), (1.0, 0.4)):
        with FileSource(film, start_s=start_s, duration_s=length_s) as source:
            frames = [(f.pts * f.time_base, f.duration * f.time_base) for f in source]
        assert len(frames) == round(25 * length_s)
        assert {lasts for _, lasts in frames} == {Fraction(1, 25)}
    with FileSource(film, start_s=1.0) as source:
        assert next(iter(source)).luma.mean() == pytest.approx(grey(25), abs=2)


def test_the_picture_at_a_sample_is_the_one_shown_then(tmp_path: Path) -> None:
    film = film_with_priming(tmp_path / "film.mkv")
    request = FilmRequest(str(film), "out.mp4", start_s=0.4, duration_s=0.4)
    times_s = sample_times_s(request, 10)
    assert times_s == pytest.approx([0.4 + i / 25 for i in range(10)])
    lumas = [frame.luma.mean() for frame in frames_at(request, times_s)]
    assert lumas == pytest.approx([grey(10 + i) for i in range(10)], abs=3)


def film_with_lines(path: Path, lines: list[tuple[int, int]]) -> Path:
    """Two seconds of grey, and lines of text: when each begins, and how long it is shown, in ms."""
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        text: Any = film.add_stream("subrip")
        text.codec_context.subtitle_header = ASS_HEADER
        film.start_encoding()
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey(i), np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for i, (begin_ms, length_ms) in enumerate(lines):
            line = av.Packet(f"line {i}".encode())
            line.pts = line.dts = begin_ms
            line.duration, line.time_base, line.stream = length_ms, MILLISECOND, text
            film.mux_one(line)
    return path


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_subtitles_begin_and_end_with_the_part(tmp_path: Path, ending: str) -> None:
    film = film_with_lines(tmp_path / "film.mkv", [(0, 300), (100, 600), (700, 200), (1000, 900)])
    out = tmp_path / f"out{ending}"
    carry(film, out, start_s=0.4, duration_s=0.8)
    with av.open(str(out)) as part:
        begin_s = next(part.decode(video=0)).time
    with av.open(str(out)) as part:
        shown = [
            (bytes(p)[-6:], round(p.pts * p.time_base - begin_s, 2), p.duration * p.time_base)
            for p in part.demux(part.streams.subtitles[0])
            if p.size > 2
        ]
    expected = [(b"line 1", 0, 0.3), (b"line 2", 0.3, 0.2), (b"line 3", 0.6, 0.2)]
    assert [(words, at) for words, at, _ in shown] == [(words, at) for words, at, _ in expected]
    assert [float(lasts) for *_, lasts in shown] == pytest.approx([0.3, 0.2, 0.2], abs=0.001)


def test_flv_begins_at_zero(tmp_path: Path, film: Path) -> None:
    out = tmp_path / "out.flv"
    carry(film, out)
    assert times_of(out) == [i * Fraction(40, 1000) for i in range(10)]
    assert lumas_of(out) == pytest.approx([grey(i) for i in range(10)], abs=2)
