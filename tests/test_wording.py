"""The wording of messages: plurals, names of standard streams, odd file names on one line."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import affine_style, cli_command, make_film, run_cli, scene_rgb, times_of
from PIL import Image
from rich.console import Console

from realtime_style.cli import console
from realtime_style.cli.console import Output
from realtime_style.errors import MediaError
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.muxer import Muxer
from realtime_style.wording import counted, one_line, out_name, source_name

PACKAGE = Path(console.__file__).resolve().parents[1]
COUNTED = re.compile(
    r" (cores|engines|files|frames|inputs|nodes|packets|photos|pictures|steps|styles)\b"
)
ODD_NAMES = ["a\nb", "\x1b[31mred", os.fsdecode(b"\xff"), "x\u202ey\u2028z"]
SHOWN = [r"a\nb", r"\x1b[31mred", r"\xff", r"x\u202ey\u2028z"]


def test_a_noun_fits_its_number() -> None:
    assert [counted(i, "frame") for i in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


def test_no_message_makes_its_own_plural() -> None:
    for path in PACKAGE.rglob("*.py"):
        texts = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.JoinedStr))
        for text in texts:
            for number, noun in zip(text.values, text.values[1:], strict=False):
                if not isinstance(number, ast.FormattedValue) or isinstance(number.value, ast.Name):
                    continue  # names of limits are upper case, and more than one
                assert not COUNTED.match(str(getattr(noun, "value", ""))), (path, ast.unparse(text))


def test_standard_streams_have_names() -> None:
    assert [source_name("-"), source_name("a.mp4")] == ["standard input", "a.mp4"]
    assert [out_name("-"), out_name(Path("a.mp4"))] == ["standard output", "a.mp4"]


@pytest.mark.parametrize(("name", "shown"), [*zip(ODD_NAMES, SHOWN, strict=True)])
def test_a_message_is_one_line(name: str, shown: str) -> None:
    assert one_line(f"{name}.mp4 é 日本 :) \u200d") == f"{shown}.mp4 é 日本 :) \u200d"


def test_messages_call_standard_streams_by_their_names(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    with film.open("rb") as given, (tmp_path / "out.mkv").open("wb") as taken:
        command = cli_command("video", "-", "-", "-s", identity_style)
        done = subprocess.run(command, stdin=given, stdout=taken, stderr=subprocess.PIPE, text=True)
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("standard input: 64x48, 25 fps")
    assert last.startswith("standard output: 10 frames in ")
    assert len(times_of(tmp_path / "out.mkv")) == 10


def test_errors_call_standard_streams_by_their_names(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Muxer, "finish", fail)
    monkeypatch.setattr(sys, "stdin", film.open("rb"))
    monkeypatch.setattr(sys, "stdout", (tmp_path / "out.mkv").open("wb"))
    said = "standard output could not be completed: No space left"
    with FileSource(film) as source, pytest.raises(MediaError, match=said):  # noqa: PT012, SIM117
        with FileSink("-", source.info) as sink:
            for frame in source:
                sink.write(frame)
    with pytest.raises(MediaError, match="standard input has its own times"):
        FileSource("-", rate=Fraction(12))


@pytest.mark.parametrize(
    "line", ["image in.png -", "image - out.png", "image --from-noise 1 -", "compare - sheet.png"]
)
def test_pictures_are_files(line: str) -> None:
    done = run_cli(*line.split())
    assert done.returncode == 2
    assert "pictures are not piped; give the name of a file" in done.stderr


@pytest.mark.parametrize(("name", "shown"), [*zip(ODD_NAMES, SHOWN, strict=True)])
def test_every_line_about_a_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / "film.mp4", pts=range(2), sound=None).rename(f"{name}.mp4")
    Path(f"{name}.onnx").write_bytes(affine_style(name=name.encode(errors="replace").decode()))
    Image.fromarray(scene_rgb()).save(tmp_path / "p.png")
    style = ("-s", f"{name}.onnx")
    film = (f"{name}.mp4", f"out{name}.mp4", *style)
    for command, expected, status in (
        (("video", *film, "--json"), 3, 0),
        (("video", *film), 1, 1),
        (("video", f"{name}.mp4", f"none{name}.mp4", f"{name}/", *style), 7, 1),
        (("video", f"{name}.mp4", f"s{name}", "--sample", "1", *style), 1, 0),
        (("image", "p.png", f"out{name}.png", *style, "--json"), 1, 0),
        (("compare", f"{name}.mp4", f"sheet{name}.png", *style), 1, 0),
        (("style-from", "p.png", f"my{name}.onnx", "--json"), 1, 0),
        (("video", f"{name}.mp4", "x.mp4", "-s", f"none{name}"), 1, 1),
        (("video", f"{name}.mp4", "x.mp4", "--size", name), 2, 2),
        (("webcam", "--source", f"{name}.mp4", "--no-window", "--record", f"r{name}.mp4", *style),
         2, 0),
    ):  # fmt: skip
        done = run_cli(*command)
        assert done.returncode == status, done.stderr
        assert len(done.stderr.split("\n")) == expected + 1, done.stderr
        assert done.stderr.replace("\n", "").encode().decode().isprintable()
        assert shown in done.stderr
        if "--json" in command:
            (line,) = done.stdout.splitlines()
            assert json.loads(line)["out"] == command[2]


def test_a_bar_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    shown = Console(file=file, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(console, "_stderr", lambda: shown)
    with Output().progress("painting", 10) as bar:
        bar.update(5, "new\nline.onnx")
    assert r"new\nline.onnx" in file.getvalue()
