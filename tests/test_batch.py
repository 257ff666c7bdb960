from __future__ import annotations

from pathlib import Path

import pytest

from realtime_style.errors import MediaError
from realtime_style.jobs.batch import FILM_SUFFIXES, pair_up


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("films/a.mp4", "films/b.MKV", "films/notes.txt", "films/more/c.mov", "d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def named(*sources: str, out: str, recursive: bool = False) -> dict[str, str]:
    pairs = pair_up(sources, out, FILM_SUFFIXES, recursive=recursive, new_suffix=".mp4")
    return {pair.source: pair.out.as_posix() for pair in pairs}


@pytest.mark.usefixtures("films")
def test_one_film_one_file() -> None:
    assert named("d.mp4", out="painted.mkv") == {"d.mp4": "painted.mkv"}
    assert named("-", out="painted.mkv") == {"-": "painted.mkv"}
    assert named("frame_%04d.png", out="p.mp4") == {"frame_%04d.png": "p.mp4"}


@pytest.mark.usefixtures("films")
def test_folders_and_patterns() -> None:
    assert named("films", out="new") == {"films/a.mp4": "new/a.mp4", "films/b.MKV": "new/b.MKV"}
    assert named("films", out="new/", recursive=True)["films/more/c.mov"] == "new/more/c.mov"
    assert named("d.mp4", out="films") == {"d.mp4": "films/d.mp4"}
    assert named("d.mp4", "films/a.mp4", out="{name}-wave.webm") == {
        "d.mp4": "d-wave.webm",
        "films/a.mp4": "a-wave.webm",
    }
    assert named("http://host/live", out="new/") == {"http://host/live": "new/live.mp4"}
    assert named("shot_%04d.png", "%03d.jpg", out="new/") == {
        "shot_%04d.png": "new/shot.mp4",
        "%03d.jpg": "new/film.mp4",
    }


@pytest.mark.parametrize(
    ("sources", "out", "message"),
    [
        (["d.mp4", "films/a.mp4"], "one.mp4", "2 inputs do not fit into one file one.mp4"),
        (["films/more", "films/more"], "new", "would both become new/c.mov"),
        (["d.mp4", "films/a.mp4"], "-", "2 inputs do not fit into standard output"),
        (["films"], "-", "2 inputs do not fit into standard output"),
        (["empty"], "new", "empty has nothing to paint"),
    ],
)
def test_what_does_not_fit(films: Path, sources: list[str], out: str, message: str) -> None:
    (films / "empty").mkdir()
    with pytest.raises(MediaError, match=message):
        pair_up(sources, out, FILM_SUFFIXES)
