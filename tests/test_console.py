from __future__ import annotations

import ast
import io
import json
import re
import time
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import make_film, run_cli
from PIL import Image
from rich.console import Console
from test_help import COMMANDS

from realtime_style.cli import console
from realtime_style.cli.console import ADVICE, FLAGS, Bar, BuildBar, Clock, Output, sentence
from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import MediaError, StyleError
from realtime_style.jobs.film import FilmRequest
from realtime_style.live.request import LiveRequest
from realtime_style.media.encoding import Encoding
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.training.config import TrainConfig

PACKAGE = Path(console.__file__).resolve().parents[1]
SOURCES = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "export").glob("*.py")]
REQUESTS = (FilmRequest, LiveRequest, PaintPlan, Look, EngineChoice, Encoding, TrainConfig)
OPTIONS = {
    name
    for command in COMMANDS.values()
    for param in command.params
    for name in (*param.opts, *re.findall(r"\w+", str(param.metavar)))
}


def settings_of(path: Path) -> set[str]:
    """The names that the errors of a module give to `setting`."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    words = (word for call in calls for word in call.keywords if word.arg == "setting")
    return {word.value.value for word in words if isinstance(word.value, ast.Constant)}


def test_every_setting_that_an_error_names_has_a_flag() -> None:
    used = set().union(*map(settings_of, SOURCES)) - {None}
    assert {"duration_s", "engine", "precision"} <= used
    in_files_only = {field.name for field in fields(TrainConfig)}  # of `train --config`
    assert used - FLAGS.keys() <= in_files_only


def test_the_library_names_no_flags() -> None:
    """Its caller may be a program; `FLAGS` turns the name of an argument into a flag."""
    others = {"--force-reinstall", "--gpus"}  # of pip and of Docker
    for path in SOURCES:
        if "cli" in path.relative_to(PACKAGE.parent).parts:
            continue
        tree = ast.parse(path.read_text())
        options = {  # of a module that is run by itself
            id(node)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "parser.add_argument"
            for node in ast.walk(call)
        }
        if options:
            options |= {id(node) for node in ast.walk(tree.body[0])}  # says how to run it
        texts = [node.value for node in ast.walk(tree) if id(node) not in options
                 and isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", " ".join(texts)))
        assert named <= others, path


def test_every_flag_is_of_an_argument_of_the_library() -> None:
    """Errors may name any argument of a request, also those that no error names yet."""
    arguments = {field.name for request in REQUESTS for field in fields(request)}
    used = set().union(*map(settings_of, SOURCES))
    assert FLAGS.keys() <= used | arguments
    assert ADVICE.keys() <= FLAGS.keys()


def test_every_flag_is_one_of_a_command() -> None:
    for flag in FLAGS.values():
        assert flag in OPTIONS
    for advice in ADVICE.values():
        for flag in re.findall(r"--[\w-]+", advice):
            assert flag in OPTIONS


def test_an_error_names_the_option_that_caused_it() -> None:
    assert sentence(StyleError("it failed")) == "it failed"
    assert sentence(StyleError("0 s", setting="duration_s")) == "--duration: 0 s"
    assert sentence(MediaError("there is no file a.mp4", setting="source")) == (
        "there is no file a.mp4"
    )
    assert sentence(MediaError("a.mp4 exists already", setting="overwrite")) == (
        "a.mp4 exists already; give another name, or replace it with --overwrite"
    )
    assert sentence(StyleError("unheard of", setting="unheard_of")) == "unheard of"


def test_an_error_names_no_option_that_its_command_does_not_have(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    for line, said in (
        ("style-from zzz b.onnx", "error: there is no style 'zzz'; a style is"),
        ("style-from small.png b.onnx", "error: small.png is 32x32; a picture to take a style"),
        ("image small.png b.png -s small.png", "error: small.png is 32x32; a picture to take a"),
        ("image small.png b.png -s zzz", "error: --style: there is no style 'zzz'"),
        ("engine build --style zzz", "error: --style: there is no style 'zzz'"),
    ):
        assert run_cli(*line.split(), cwd=tmp_path).stderr.startswith(said), line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "error: out of memory; paint at a smaller --size\n"),
        (BrokenPipeError(), ""),
        (StyleError("no [markup] here", setting="tier"), "error: no [markup] here\n"),
    ],
)
def test_errors_are_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("realtime_style.tools.doctor.examine", fail)
    done = run_cli("doctor")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("realtime_style.tools.doctor.examine", fail)
    with pytest.raises(ZeroDivisionError):
        run_cli("doctor")


def test_an_error_that_a_library_makes_of_ctrl_c_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("initialization failed")

    monkeypatch.setattr("realtime_style.tools.doctor.examine", fail)
    monkeypatch.setattr("realtime_style.system.interrupts._came", True)
    done = run_cli("doctor")
    assert (done.returncode, done.stderr) == (130, "stopped\n")


def test_what_is_said_after_ctrl_c_does_not_raise_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=False)
    monkeypatch.setattr("realtime_style.system.interrupts._came", True)
    Output().say("recording.mp4: 25 frames")
    assert file.getvalue() == "recording.mp4: 25 frames\n"


def screen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    file = io.StringIO()
    shown = Console(file=file, force_terminal=terminal, width=100, highlight=False)
    monkeypatch.setattr(console, "_stderr", lambda: shown)
    return file


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=True)
    with Output().progress("painting", 10) as bar:
        bar.update(5, "25.0 fps")
        bar.line(lambda: "not on a terminal")
    assert "painting" in file.getvalue()
    assert "5/10" in file.getvalue()
    assert "25.0 fps" in file.getvalue()
    assert "not on" not in file.getvalue()


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=False)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = Bar("painting", 10, quiet=False)
    for now[0] in (101.0, 104.9, 105.1, 106.0, 110.2):
        bar.update(1, "fps")
        bar.line(lambda: f"at {now[0]}")
    assert file.getvalue() == "at 105.1\nat 110.2\n"


def test_a_clock_counts_laps_without_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    clock = Clock()
    clock.start(90.0)
    clock.leave_out(4.0)
    assert clock.lap(98.0) == (4.0, 6.0)
    now[0] = 107.0
    assert clock.lap(101.0) == (1.0, 7.0)


def test_a_demo_does_not_count_its_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(path: Path, duration_s: float) -> None:
        moments[0] += 1000
        make_film(path, pts=range(3), sound=None)

    moments, read = [0.0], time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: read() + moments[0])
    monkeypatch.setattr("realtime_style.tools.demo.write_demo_film", draw)
    done = run_cli("demo", tmp_path / "d.mkv", "-s", "mondrian", "--json")
    assert json.loads(done.stdout)["wall_s"] < 1000


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=True)
    output = Output(quiet=True)
    output.say("hello")
    with output.progress("painting") as bar, BuildBar(output) as on_build:
        bar.update(1, "")
        bar.line(lambda: "hello")
        on_build(0.5)
    assert file.getvalue() == ""


def test_a_build_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = screen(monkeypatch, terminal=False)
    with BuildBar(Output()) as on_build:
        on_build(0.1)
        on_build(0.9)
    assert file.getvalue().count("building an engine for this GPU") == 1
