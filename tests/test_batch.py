from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from conftest import lumas_of, make_film, run_cli
from PIL import Image

from realtime_style.cli.console import duration
from realtime_style.errors import MediaError
from realtime_style.jobs.batch import (
    FILM_IF_MOVING_SUFFIXES,
    FILM_SUFFIXES,
    READ_ONLY_FILM_SUFFIXES,
    Pairing,
    names_of,
    pair_up,
)
from realtime_style.jobs.film import FilmJob
from realtime_style.media.animation import is_animation


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("films/a.mp4", "films/b.MKV", "films/notes.txt", "films/more/c.mov", "d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def paired(*sources: str, out: str, recursive: bool = False) -> Pairing:
    return pair_up(
        sources,
        out,
        FILM_SUFFIXES,
        read_only=READ_ONLY_FILM_SUFFIXES,
        if_moving=FILM_IF_MOVING_SUFFIXES,
        recursive=recursive,
        new_suffix=".mp4",
    )


def named(*sources: str, out: str, recursive: bool = False) -> dict[str, str]:
    pairing = paired(*sources, out=out, recursive=recursive)
    return {pair.source: pair.out.as_posix() for pair in pairing.pairs}


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
        (["d.mp4", "films/a.mp4"], "one.mp4", "2 inputs cannot go into one file one.mp4"),
        (["films/more", "films/more"], "new", "would both become new/c.mov"),
        (["d.mp4", "films/a.mp4"], "-", "2 inputs cannot go to standard output"),
        (["films"], "-", "2 inputs cannot go to standard output"),
        (["empty"], "new", "empty has nothing to paint"),
    ],
)
def test_what_does_not_fit(films: Path, sources: list[str], out: str, message: str) -> None:
    (films / "empty").mkdir()
    with pytest.raises(MediaError, match=message):
        pair_up(sources, out, FILM_SUFFIXES)


def test_hidden_files_and_the_paintings_themselves_are_no_inputs(films: Path) -> None:
    for name in ("._a.mp4", ".a.partial.mp4", ".cache/x.mp4", "painted/a.mp4", "notes.srt"):
        path = films / "films" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    pairing = paired("films", out="films/painted", recursive=True)
    assert [pair.source for pair in pairing.pairs] == [
        "films/a.mp4",
        "films/b.MKV",
        "films/more/c.mov",
    ]
    assert [path.name for path in pairing.skipped] == ["notes.srt", "notes.txt"]
    assert set(pairing.skipped.values()) == {""}
    assert named("films/._a.mp4", out="x.mp4") == {"films/._a.mp4": "x.mp4"}  # asked for by name


def test_every_film_that_can_be_read_is_taken_and_gets_a_name_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.VOB", "b.m2t", "c.mxf", "d.f4v", "e.dv", "e.mp4", "f.divx", "f.qt", "g.heic"):
        (tmp_path / "in" / name).touch()
    assert sorted(named("in", out="new/").values()) == [
        "new/a.VOB", "new/b.m2t", "new/c.mxf", "new/d.f4v", "new/e.dv.mp4", "new/e.mp4",
        "new/f.mp4", "new/f.qt.mp4",
    ]  # fmt: skip
    assert paired("in", out="new/").skipped == {Path("in/g.heic"): ""}


def test_pictures_that_move_are_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    pictures = [Image.new("RGB", (64, 48), (40 * i, 90, 30)) for i in range(3)]
    for name in ("a.avif", "b.png", "c.apng", "d.gif", "e.webp"):
        pictures[0].save(f"in/{name}", save_all=True, append_images=pictures[1:])
        assert is_animation(Path("in", name)) == (name != "d.gif")
    for name in ("f.avif", "g.png", "h.jpg"):
        pictures[0].save(f"in/{name}")
        assert not is_animation(Path("in", name))
    Path("in/i.png").touch()
    assert named("in", out="new/") == {
        "in/a.avif": "new/a.avif", "in/b.png": "new/b.mp4", "in/c.apng": "new/c.apng",
        "in/d.gif": "new/d.gif", "in/e.webp": "new/e.webp",
    }  # fmt: skip
    still = "a still picture"
    assert paired("in", out="new/").skipped == {
        Path("in/f.avif"): still, Path("in/g.png"): still, Path("in/h.jpg"): "",
        Path("in/i.png"): still,
    }  # fmt: skip


def test_names_from_the_web_do_not_become_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a%20dog.gif", "v%3db.gif", "100%d.mp4", "w%3dc.webp", "x%3d.y4m"):
        (tmp_path / "in" / name).touch()
    assert named("in", out="new/") == {
        "in/100%d.mp4": "new/100%d.mp4", "in/a%20dog.gif": "new/a%20dog.gif",
        "in/v%3db.gif": "new/v_3db.gif", "in/w%3dc.webp": "new/w_3dc.webp",
        "in/x%3d.y4m": "new/x%3d.mp4",
    }  # fmt: skip
    assert named("in/v%3db.gif", out="new/") == {"in/v%3db.gif": "new/v_3db.gif"}
    assert named("in/v%3db.gif", out="{name}.gif") == {"in/v%3db.gif": "v_3db.gif"}
    assert named("in/v%3db.gif", out="{name}.mp4") == {"in/v%3db.gif": "v%3db.mp4"}
    assert named("in/v%3db.gif", out="{name}_%03d.png") == {"in/v%3db.gif": "v_3db_%03d.png"}
    assert named("gone%3d.png", out="new/") == {"gone%3d.png": "new/gone.mp4"}


@pytest.mark.usefixtures("films")
def test_wildcards_work_where_the_shell_does_not_expand_them() -> None:
    assert set(named("films/*", out="new/")) == {"films/a.mp4", "films/b.MKV", "films/notes.txt",
                                                 "films/more/c.mov"}  # fmt: skip
    assert set(named("**/*.mov", out="new/")) == {"films/more/c.mov"}
    assert named("d*.mp4", out="one.mp4") == {"d.mp4": "one.mp4"}
    assert named("none*.mp4", out="one.mp4") == {"none*.mp4": "one.mp4"}
    Path("d[1].mp4").touch()
    assert named("d[1].mp4", out="one.mp4") == {"d[1].mp4": "one.mp4"}
    assert named("http://host/a?b=*", out="one.mp4") == {"http://host/a?b=*": "one.mp4"}


def test_a_folder_without_films_says_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.heic", "b.txt", ".hidden.mp4"):
        (tmp_path / "in" / name).touch()
    with pytest.raises(
        MediaError, match=r"in has nothing to paint: it has a\.heic, b\.txt; expected"
    ):
        paired("in", out="new/")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither links nor pipes")
def test_what_is_no_file_is_named_with_the_reason(films: Path) -> None:
    os.mkfifo(films / "films" / "pipe.mp4")
    (films / "films" / "loop.mp4").symlink_to("loop.mp4")
    (films / "films" / "gone.mp4").symlink_to("nowhere.mp4")
    (films / "films" / "whole.mp4").symlink_to("a.mp4")
    (films / "films" / "more" / "up").symlink_to("..")
    pairing = paired("films", out="new")
    assert [Path(pair.source).name for pair in pairing.pairs] == ["a.mp4", "b.MKV", "whole.mp4"]
    assert names_of(pairing.skipped) == (
        "gone.mp4 (a link that leads nowhere), loop.mp4 (a link that leads nowhere), "
        "pipe.mp4 (not a file), notes.txt"
    )
    deep = paired("films", out="new", recursive=True).skipped
    assert deep[Path("films/more/up")] == "a link to a folder"
    assert len(deep) == 5


def test_a_subfolder_that_cannot_be_read_is_named(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, *a: Path(path).name != "more" and access(path, *a)
    )
    assert (
        paired("films", out="new", recursive=True).skipped[Path("films/more")] == "cannot be read"
    )
    assert Path("films/more") not in paired("films", out="new").skipped


def test_names_and_durations_in_words() -> None:
    paths = {Path(f"{i}.txt"): "" for i in range(7)}
    assert names_of(paths) == "0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more"
    assert names_of({Path("0.txt"): "", Path("1.txt"): "odd"}) == "0.txt, 1.txt (odd)"
    assert [duration(s) for s in (0.4, 59.4, 59.6, 185, 3723)] == [
        "1 s", "59 s", "1:00 min", "3:05 min", "1:02:03 h",
    ]  # fmt: skip


def test_what_is_there_is_skipped_and_no_error(tmp_path: Path, identity_style: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_film(tmp_path / "in" / name, pts=range(3), sound=None)
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mp4").write_bytes(b"painted before")
    paint = ("video", tmp_path / "in", tmp_path / "out", "-s", identity_style, "--skip-existing")
    done = run_cli(*paint, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [Path(film["out"]).name for film in report["painted"]] == ["a.mp4", "c.mp4"]
    assert report["existing"] == [str(tmp_path / "out" / "b.mp4")]
    assert "note: 1 file skipped: notes.txt\n" in done.stderr
    assert "1 of 3 exists already\n" in done.stderr
    assert f"2 of 3: {tmp_path / 'in' / 'a.mp4'}\n" in done.stderr
    assert f"3 of 3: {tmp_path / 'in' / 'c.mp4'}; about " in done.stderr
    assert "left for all" in done.stderr
    assert "2 of 3 painted in " in done.stderr
    assert (tmp_path / "out" / "b.mp4").read_bytes() == b"painted before"
    done = run_cli(*paint, "--json")
    assert (done.returncode, json.loads(done.stdout)["painted"]) == (0, [])
    done = run_cli("video", tmp_path / "in" / "a.mp4", tmp_path / "out" / "a.mp4",
                   "-s", identity_style, "--skip-existing")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, f"{tmp_path / 'out' / 'a.mp4'} exists already\n")
    done = run_cli(*paint, "--overwrite")
    assert (done.returncode, "cannot be combined" in done.stderr) == (2, True)


def test_an_unforeseen_error_is_one_line_of_its_file_and_the_rest_goes_on(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [make_film(tmp_path / f"{name}.mp4", pts=range(3), sound=None) for name in "abcd"]
    errors = [ZeroDivisionError("of\nours"), MemoryError(), MediaError("it is odd"), None]
    run = FilmJob.run

    def fail(job: FilmJob, *arguments: object) -> object:
        if error := errors.pop(0):
            raise error
        return run(job)

    monkeypatch.setattr(FilmJob, "run", fail)
    done = run_cli("video", *films, tmp_path / "out/", "-s", identity_style, "-q", "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {films[0]}: unexpected error: ZeroDivisionError: of ours",
        f"error: {films[1]}: out of memory; paint at a smaller --size",
        f"error: {films[2]}: it is odd",
    ]
    assert len(json.loads(done.stdout)["failed"]) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["d.mp4"]
    assert len(lumas_of(tmp_path / "out" / "d.mp4")) == 3
