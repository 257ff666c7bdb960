"""Any name that a file system allows works, for whatever a user names."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest
from conftest import make_film, run_cli, times_of
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame
from realtime_style.jobs.batch import FILM_SUFFIXES, pair_up
from realtime_style.live.encoded_sink import EncodedSink
from realtime_style.live.request import LiveRequest, _pictures_in
from realtime_style.painting.chain import PainterChain
from realtime_style.system.paths import (
    free_name,
    hidden_name,
    is_address,
    is_numbered,
    name_part,
    visible_files,
    with_mark,
)

if sys.platform == "win32":
    pytest.skip("Windows allows none of these names", allow_module_level=True)

STEMS = [
    "2022-01-26T20:57:04Z",
    "Movie: Title",
    "http:x",
    "concat:a|b",
    "file:x",
    "a%20d",
    "100%",
    "%d",
    "{x}",
    "{name}",
    "[1080p] *?",
    "new\nline",
    ":fire:",
    "[red]x",
    os.fsdecode(b"latin1 \xe9"),
    "a" * 251,
    "é" * 125,
]


@pytest.mark.parametrize("stem", STEMS)
def test_any_name_works_for_film_folder_and_style(
    tmp_path: Path, film: Path, identity_style: Path, stem: str
) -> None:
    source, folder = tmp_path / f"{stem}.mp4", tmp_path / stem
    film.rename(source)
    folder.mkdir()
    shutil.copy(identity_style, style := tmp_path / f"{stem}.onn"[:250])
    style = style.rename(style.with_suffix(".onnx")) if len(stem) < 200 else identity_style
    for out in (folder / f"{stem}.mkv", folder / f"{stem}.mp4"):
        done = run_cli("video", source, out, "-s", style, "-q")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(times_of_local(out)) == 10
    done = run_cli("video", source, folder / "again", "-s", style, "-q", "--sample", "1")
    assert done.returncode == 0, done.stderr
    done = run_cli("video", folder, tmp_path / "all", "-s", style, "-q")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "all").iterdir()} == {f"{stem}.mkv", f"{stem}.mp4"}
    assert not list(tmp_path.rglob(".*"))


def times_of_local(path: Path) -> list[Fraction]:
    return times_of(Path(f"file:{path}"))


@pytest.mark.parametrize("stem", STEMS)
def test_any_name_works_for_pictures(tmp_path: Path, identity_style: Path, stem: str) -> None:
    source, out = tmp_path / f"{stem}.png", tmp_path / "out" / f"{stem}.png"
    out.parent.mkdir()
    Image.new("RGB", (32, 32), (90, 60, 30)).save(source)
    done = run_cli("image", source, out, "-s", identity_style, "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("stem", STEMS)
def test_any_name_works_for_recordings_and_live_films(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.mp4"
    frame = Frame(np.full((72, 64), 128, np.uint8), 0, Fraction(1, 25), ColorSpace())
    with EncodedSink(str(path), frame, (64, 48), Fraction(25), sent=False) as sink:
        sink.write(frame)
    assert len(times_of_local(path)) == 1
    for source in (str(path), f"{tmp_path}/{stem}.mp4"):
        with LiveRequest(source, record=Path("x.mp4")).open_source() as film:
            assert len(list(film)) == 1


def test_a_live_film_may_lie_where_devices_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "video=x.mp4", sound=None)
    assert LiveRequest("video=x.mp4").is_film
    assert LiveRequest("video=A camera").is_camera
    assert LiveRequest("/dev/video7").is_camera


def test_patterns_have_the_ending_of_a_picture() -> None:
    assert is_numbered("frame_%04d.png")
    assert is_numbered("100%%_%d.JPEG")
    for name in ("100%d.mp4", "a%15d.mkv", "%05d", "frame_%04d.png/film.mp4", "f_%999d.png",
                 "a%20dog.gif"):  # fmt: skip
        assert not is_numbered(name)


def test_a_number_is_as_wide_as_its_pattern_says(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    """FFmpeg puts zeros before it, also where the pattern begins with none."""
    out = tmp_path / "my%15d.png"
    done = run_cli("video", film, out, "-s", identity_style, "-q", "--duration", "0.08")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in sorted(tmp_path.glob("my*"))] == [
        f"my{i:015}.png" for i in (1, 2)
    ]


def test_pictures_whose_names_would_be_too_long_are_refused_before_painting(
    tmp_path: Path, film: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.jobs.film.build_painter", None)
    too_long = "a" * 245 + "%15d.png"
    for name, said in (
        (too_long, "File name too long"),
        ("f_%999d.png", "is one picture, not a film"),
    ):
        done = run_cli("video", film, tmp_path / name, "-s", identity_style, "-q")
        assert done.returncode == 1
        assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_one_picture_may_be_called_as_patterns_are(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32), (90, 60, 30)).save("p%05d.png")
    Path("q00001.png").touch()
    style = ("-s", identity_style, "-q")
    for out in ("p%15d.png", "q%05d.png"):  # these would be the same sequence, or there already
        done = run_cli("image", "p%05d.png", out, *style, "--skip-existing")
        assert (done.returncode, Path(out).is_file()) == (0, True), done.stderr
    done = run_cli("image", "p%05d.png", "in%03d/", *style)
    assert (done.returncode, Path("in%03d/p%05d.png").is_file()) == (0, True)
    done = run_cli("compare", "p%05d.png", "sheet%2d.png", *style)
    assert (done.returncode, Path("sheet%2d.png").is_file()) == (0, True)


def test_pictures_in_a_folder_with_a_colon_are_a_sequence(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    folder = tmp_path / "a:b 50%d"
    folder.mkdir()
    done = run_cli("video", film, folder / "f 100%_%03d.png", "-s", identity_style, "-q")
    assert done.returncode == 0, done.stderr
    assert len(list(folder.iterdir())) == 10
    done = run_cli("video", folder / "f 100%_%03d.png", tmp_path / "b.mkv", "-s", identity_style)
    assert done.returncode == 0, done.stderr
    assert len(times_of(tmp_path / "b.mkv")) == 10


def test_braces_are_a_pattern_only_with_name_and_only_where_no_folder_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "{name}").mkdir()

    def out_of(out: str) -> str:
        (pair,) = pair_up(["film.mp4"], out, FILM_SUFFIXES).pairs
        return pair.out.as_posix()

    assert out_of("{nam}.mp4") == "{nam}.mp4"
    assert out_of("{name}/") == "{name}/film.mp4"
    assert out_of("{name}") == "{name}/film.mp4"
    assert out_of("{name}/{name}.mkv") == "{name}/film.mkv"
    assert out_of("new/{name}/{name}.mkv") == "new/film/film.mkv"


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_address("http://host/film.mp4")
    assert is_address("RTSP://host")
    for text in ("-", "a:b.mp4", "C://film.mp4", "folder/http://x"):
        assert not is_address(text)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "x.mp4").touch()
    assert not is_address("http://x.mp4")


def test_names_that_would_be_too_long_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 125 + ".mp4")
    path.touch()
    for near in (free_name(path), with_mark(path, ".stopped"), hidden_name(path, ".partial.mp4")):
        near.touch()
        assert near.suffix == ".mp4"
    assert with_mark(tmp_path / "a.mp4", ".stopped") == tmp_path / "a.stopped.mp4"
    assert hidden_name(tmp_path / "a.mp4", ".partial.mp4") == tmp_path / ".a.partial.mp4"
    others = [hidden_name(path.with_name("a" * 250 + i + ".mp4"), ".partial.mp4") for i in "12"]
    assert others[0] != others[1]


def test_the_name_of_a_style_is_no_path() -> None:
    assert name_part("great-wave") == "great-wave"
    assert name_part("../../etc/a b:ü") == "..-..-etc-a-b-ü"
    assert len(name_part("a" * 300)) == 40


# OUT that is not a plain file ------------------------------------------------------------------


def test_a_link_is_written_through_and_the_new_file_keeps_the_permissions(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.mp4", tmp_path / "link.mp4"
    real.write_bytes(b"former")
    real.chmod(0o640)
    link.symlink_to(real)
    done = run_cli("video", film, link, "-s", identity_style, "-q")
    assert done.returncode == 1
    assert real.read_bytes() == b"former"
    done = run_cli("video", film, link, "-s", identity_style, "-q", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    assert len(times_of(real)) == 10
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    dangling = tmp_path / "dangling.mp4"
    dangling.symlink_to(tmp_path / "disk" / "new.mp4")
    done = run_cli("video", film, dangling, "-s", identity_style, "-q")
    assert done.returncode == 0, done.stderr
    assert dangling.is_symlink()
    assert len(times_of(tmp_path / "disk" / "new.mp4")) == 10
    picture = tmp_path / "in.png"
    Image.new("RGB", (32, 32)).save(picture)
    (tmp_path / "out.png").symlink_to(tmp_path / "disk" / "real.png")
    done = run_cli("image", picture, tmp_path / "out.png", "-s", identity_style, "-q")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
        "new.mp4", "real.mp4", "real.png",
    ]  # fmt: skip


def painted_into(command: str, source: Path, pipe: Path, style: Path) -> bytes:
    """What a reader of a new named pipe receives while a film or picture is painted into it."""
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    done = run_cli(command, source, pipe, "-s", style, "-q")
    reader.join(60)
    assert done.returncode == 0, done.stderr
    return received[0]


@pytest.mark.parametrize(
    ("name", "container"),
    [("p.mkv", "matroska"), ("p.mp4", "mp4"), ("p.ts", "mpegts"), ("p", "matroska")],
)
def test_a_named_pipe_is_written_to(
    tmp_path: Path, film: Path, identity_style: Path, name: str, container: str
) -> None:
    pipe = tmp_path / name
    received = painted_into("video", film, pipe, identity_style)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["film.mp4", name])
    (tmp_path / "received").write_bytes(received)
    with av.open(str(tmp_path / "received")) as painted:
        assert container in painted.format.name
        assert sum(1 for _ in painted.decode(video=0)) == 10


def test_a_picture_is_written_to_a_named_pipe(tmp_path: Path, identity_style: Path) -> None:
    pipe, source = tmp_path / "p.png", tmp_path / "in.png"
    Image.new("RGB", (32, 32), (90, 90, 90)).save(source)
    received = painted_into("image", source, pipe, identity_style)
    assert received.startswith(b"\x89PNG")
    assert received.endswith(b"IEND\xaeB`\x82")


def test_devices_are_never_replaced(film: Path, identity_style: Path) -> None:
    before = os.stat(os.devnull)
    done = run_cli("video", film, os.devnull, "-s", identity_style, "-q", "--overwrite")
    assert done.returncode == 0, done.stderr
    after = os.stat(os.devnull)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)


def test_a_second_run_with_the_same_out_is_refused_at_once(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    from realtime_style.media.film_sink import FileSink
    from realtime_style.media.film_source import FileSource

    (tmp_path / "link.mkv").symlink_to(tmp_path / "out.mkv")
    with FileSource(film) as source:
        sink = FileSink(tmp_path / "out.mkv", source.info)
        for name in ("out.mkv", "link.mkv"):
            done = run_cli("video", film, tmp_path / name, "-s", identity_style, "-q")
            assert done.returncode == 1
            assert "is being written by another run (process " in done.stderr
            assert str(os.getpid()) in done.stderr
        with sink:
            for frame in source:
                sink.write(frame)
                frame.release()
    assert len(times_of(tmp_path / "out.mkv")) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "link.mkv", "out.mkv"]


def test_a_second_run_with_the_same_pictures_is_refused_at_once(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    from realtime_style.system.whole_file import PartialSequence

    first = PartialSequence(tmp_path / "f_%02d.png")
    first.partial.with_name("f_01.png").write_bytes(b"first")
    done = run_cli("video", film, tmp_path / "f_%02d.png", "-s", identity_style, "-q")
    assert done.returncode == 1
    assert "is being written by another run" in done.stderr
    first.put_in_place()
    assert (tmp_path / "f_01.png").read_bytes() == b"first"


def test_a_second_recording_into_one_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.mp4"
    frame = Frame(np.full((72, 64), 128, np.uint8), 0, Fraction(1, 25), ColorSpace())
    with EncodedSink(str(path), frame, (64, 48), Fraction(25), sent=False) as sink:
        sink.write(frame)
        with pytest.raises(MediaError, match="another run") as caught:
            EncodedSink(str(path), frame, (64, 48), Fraction(25), sent=False)
        assert caught.value.setting == "record"
    assert len(times_of(path)) == 1
    assert [found.name for found in tmp_path.iterdir()] == ["r.mp4"]


def test_what_a_killed_run_left_does_not_stop_the_next(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    hidden_name(tmp_path / "out.mp4", ".partial.mp4.lock").write_text(" (process 1 on elsewhere)")
    (tmp_path / ".out.partial.mp4").write_bytes(b"half")
    done = run_cli("video", film, tmp_path / "out.mp4", "-s", identity_style, "-q")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "out.mp4"]


def test_a_film_that_appeared_meanwhile_is_not_replaced(tmp_path: Path, film: Path) -> None:
    from realtime_style.media.film_sink import FileSink
    from realtime_style.media.film_source import FileSource

    out = tmp_path / "out.mkv"
    with FileSource(film) as source:
        sink = FileSink(out, source.info)
        said = r"the painted film was saved as .*out\.painted\.mkv"
        with pytest.raises(MediaError, match=said), sink:  # noqa: PT012
            for frame in source:
                sink.write(frame)
                out.write_bytes(b"theirs")
                frame.release()
    assert out.read_bytes() == b"theirs"
    assert len(times_of(tmp_path / "out.painted.mkv")) == 10


@pytest.mark.parametrize(
    ("command", "out", "message"),
    [
        ("video in.mp4", "loop.mp4", "loop.mp4 is a link that leads back to itself"),
        ("video in.mp4", "loop_%02d.png", "loop_01.png is a link that leads back to itself"),
        ("video in.mp4", "file/x.mp4", "file is not a folder"),
        ("video in.mp4", "ring/x.mp4", "ring is not a folder"),
        ("video in.mp4", "file/new/", "file is not a folder"),
        ("video in.mp4", "ring/", "ring is not a folder"),
        ("video in.mp4", "locked/x.mp4", "the folder locked is not writable"),
        ("video in.mp4", "locked/new/", "the folder locked is not writable"),
        ("video in.mp4", "gone/x.mp4", "gone is not a folder"),
        ("video in.mp4 --sample 1", "file", "file is not a folder"),
        ("video in.mp4 --sample 1", "ring/new", "ring is not a folder"),
        ("video in.mp4 --sample 1", "locked", "the folder locked is not writable"),
        ("image in.png", "loop.png", "loop.png is a link that leads back to itself"),
        ("image in.png", "file/x.png", "file is not a folder"),
        ("image in.png", "there.png", "there.png exists already"),
        ("image in.png", "locked/x.png", "the folder locked is not writable"),
        ("image in.png", "out.xyz", "'.xyz' is not a picture format"),
        ("image in.png", "out.psd", "'.psd' is not a picture format"),
        ("image in.png", "out", "out has no ending, which names the format; end out in .jpg"),
        ("image --from-noise 1", "loop.png", "loop.png is a link that leads back to itself"),
        ("image --from-noise 1", "out.xyz", "'.xyz' is not a picture format"),
        ("compare in.png", "loop.png", "loop.png is a link that leads back to itself"),
        ("compare in.png", "locked/x.png", "the folder locked is not writable"),
        ("style-from in.png", "loop.onnx", "loop.onnx is a link that leads back to itself"),
        ("style-from in.png", "file/x.onnx", "file is not a folder"),
        ("demo", "loop.mp4", "loop.mp4 is a link that leads back to itself"),
        ("webcam --source in.mp4 --no-window --record", "loop.mp4", "loop.mp4 is a link that"),
    ],
)
def test_where_nothing_can_be_written_is_refused_before_painting(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    out: str,
    message: str,
) -> None:
    film.rename(tmp_path / "in.mp4")
    Image.new("RGB", (32, 32), (90, 60, 30)).save(tmp_path / "in.png")
    for name in ("loop.mp4", "loop.png", "loop.onnx", "loop_01.png", "ring"):
        (tmp_path / name).symlink_to(name)
    for name in ("file", "there.png"):
        (tmp_path / name).touch()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "locked").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    access = os.access

    def refuse(*arguments: object, **settings: object) -> None:
        pytest.fail("it paints")

    def is_allowed(path: Path, mode: int) -> bool:  # root may do anything
        return Path(path).name != "locked" and access(path, mode)

    monkeypatch.setattr(os, "access", is_allowed)
    monkeypatch.setattr(PainterChain, "paint_rgb", refuse)
    monkeypatch.setattr(PainterChain, "begin", refuse)
    style = () if command.startswith("style-from") else ("-s", identity_style)
    force = () if out == "there.png" else ("-y",)
    done = run_cli(*command.split(), out, *style, *force, "-q", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# Places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("no/demo.mp4", "there is no folder"),
        ("demo.xyz", "its ending must name a film format"),
        ("demo.png", "is one picture, not a film; give a pattern"),
        ("taken.mp4", "exists already"),
        ("", "is a folder"),
    ],
)
def test_a_demo_checks_out_before_it_draws(
    tmp_path: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
    message: str,
) -> None:
    def refuse(*arguments: object) -> None:
        pytest.fail("it draws")

    monkeypatch.setattr("realtime_style.tools.demo.write_demo_film", refuse)
    (tmp_path / "taken.mp4").write_bytes(b"precious")
    done = run_cli("demo", tmp_path / out, "-s", identity_style)
    assert done.returncode == 1
    assert message in done.stderr
    assert "drawing" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]


def test_a_demo_is_drawn_where_out_is_fit(tmp_path: Path, identity_style: Path) -> None:
    done = run_cli("demo", tmp_path / "d.mkv", "-s", identity_style, "--duration", "0.5", "-q")
    assert done.returncode == 0, done.stderr
    assert len(times_of(tmp_path / "d.mkv")) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["d.mkv"]


def test_where_nothing_can_be_written_one_line_says_so(
    tmp_path: Path, film: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webp = tmp_path / "in.webp"
    pictures = [Image.new("RGB", (32, 32), (i, i, i)) for i in (60, 120)]
    pictures[0].save(webp, save_all=True, append_images=pictures[1:])

    def nowhere(*arguments: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setattr("tempfile._get_default_tempdir", nowhere)
    monkeypatch.setattr("tempfile.tempdir", None)
    for command in (
        ("demo", tmp_path / "d.mkv", "-s", identity_style),
        ("doctor",),
        ("video", webp, tmp_path / "w.mkv", "-s", identity_style),
    ):
        done = run_cli(*command)
        assert done.returncode == 1
        assert done.stderr.startswith("error: there is no place for temporary files")
        assert len(done.stderr.splitlines()) == 1
    done = run_cli("video", film, tmp_path / "f.mkv", "-s", identity_style, "-q")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["video", "image"])
def test_names_that_the_system_refuses_are_refused_in_one_line(
    tmp_path: Path, film: Path, identity_style: Path, command: str
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "in.png")
    source = film if command == "video" else tmp_path / "in.png"
    long = tmp_path / ("a" * 300 + source.suffix)
    for paths in ((long, tmp_path / f"out{source.suffix}"), (source, long), (source, long / "x")):
        done = run_cli(command, *paths, "-s", identity_style)
        assert done.returncode == 1
        assert len([line for line in done.stderr.splitlines() if "error" in line]) == 1
        assert "File name too long" in done.stderr


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(Path, "iterdir", locked)
    done = run_cli("video", tmp_path / "locked", tmp_path / "out/", "-s", identity_style)
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}/locked: Permission denied\n")


def test_hidden_files_are_left_alone_everywhere(tmp_path: Path) -> None:
    for name in ("b.jpg", "._b.jpg", "a/.c.jpg", ".cache/d.jpg", "a/e.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = visible_files(tmp_path, recursive=True)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/e.jpg", "b.jpg"]
    assert [path.name for path in visible_files(tmp_path)] == ["b.jpg"]
    assert [Path(name).name for name in _pictures_in(tmp_path)] == ["b.jpg"]


def test_a_film_is_read_from_a_named_pipe_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime_style.media import demuxer
    from realtime_style.media.film_source import FileSource

    describe = demuxer.describe

    def unknown(film: av.container.InputContainer) -> object:
        return {i: replace(stream, is_known=False) for i, stream in describe(film).items()}

    monkeypatch.setattr(demuxer, "describe", unknown)  # FFmpeg would look further in a file
    film, pipe = make_film(tmp_path / "film.mkv"), tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    writer = Thread(target=lambda: pipe.write_bytes(film.read_bytes()), daemon=True)
    writer.start()
    with FileSource(pipe) as source:
        assert len(list(source)) == 10
    writer.join(60)
