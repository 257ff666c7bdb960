from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import run_cli

from realtime_style import __version__
from realtime_style.cli import app
from realtime_style.cli.help import option_groups, title
from realtime_style.cli.options import look_of
from realtime_style.engines.registry import ENGINES, GPU_FRAME_ENGINES, PRECISIONS
from realtime_style.engines.tensorrt.builder import PROFILES
from realtime_style.media.encoding import CODECS
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.bundled import STANDARD, TIERS
from realtime_style.style.look import Look
from realtime_style.tools.bench import SIZES
from realtime_style.training.config import ADVERSARIAL_KINDS, PRESETS, TrainConfig

ROOT: Any = typer.main.get_command(app.app)


def commands(group: Any = ROOT, name: str = "") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{word} ")
        else:
            yield name + word, command


COMMANDS = dict(commands())
JARGON = re.compile(r"\b(TEXT|INTEGER|FLOAT|BOOLEAN|PATH|RANGE|DIRECTORY)\b|<\w+|x<=|\[default|\{")


def parse(line: str) -> None:
    """Parses a command line as the program does, without running it."""
    words = shlex.split(line)
    name = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
    COMMANDS[name].make_context(name, words[len(name.split()) :])


def test_terminals_without_colours_get_plain_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert title("Look") == "\x1b[1mLook\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert title("Look") == "Look"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert title("Look") == "Look"


def test_there_is_a_page_for_every_command() -> None:
    assert [*COMMANDS] == [
        "video", "webcam", "web", "image", "demo", "styles", "compare", "style-from", "train",
        "export", "bench", "doctor", "engine build", "engine list", "engine clean",
        "jobs list", "jobs clean",
    ]  # fmt: skip
    assert run_cli("--version").stdout.strip() == f"realtime-style {__version__}"
    listed = run_cli("--help").stdout
    assert listed == run_cli().stdout == run_cli("-h").stdout
    for name in COMMANDS:
        assert name.split()[0] in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_is_in_plain_words(name: str) -> None:
    page = run_cli(*name.split(), "--help")
    assert (page.returncode, page.stderr) == (0, "")
    assert f"Usage: realtime-style {name} [OPTIONS]" in page.stdout
    assert ("[OPTIONS] [PAINTING]" in page.stdout) == (name == "train")
    assert not JARGON.findall(page.stdout.replace("{name}", ""))
    assert ("extra [train]" in page.stdout) == (name in ("train", "export"))
    assert max(map(len, page.stdout.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_group_a_text_and_a_word_for_its_value(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    groups = option_groups(command, command.make_context(name, [], resilient_parsing=True))
    assert [name[:6] for name, _ in groups.pop("Other")] == ["--help"]
    assert groups.keys() <= {
        "Arguments", "Input", "Look", "Size", "Part", "Encoding", "Batch", "Machine", "Output",
        "Data", "Painting", "Strokes", "Training", "Style", "Engine", "Network",
    }  # fmt: skip
    for rows in groups.values():
        for names, text in rows:
            assert names
            assert text.rstrip(")").endswith(tuple(".0123456789abcdefghijklmnopqrstuvwxyz")), names
            assert len(text) > 10
    for param in command.params:
        assert param.metavar or getattr(param, "is_flag", False), param.name


@pytest.mark.parametrize("name", COMMANDS)
def test_three_examples_that_can_be_typed(name: str) -> None:
    lines = COMMANDS[name].epilog.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"realtime-style {name}")
    for line in lines:
        program, words = line.split(maxsplit=1)
        assert program == "realtime-style"
        parse(words)


def test_defaults_are_the_librarys() -> None:
    """They are written out, because the library takes longer to load than a page of help."""
    page = " ".join(run_cli("train", "--help").stdout.split())
    settings = TrainConfig(painting=Path(), content=Path())
    for option, value in {
        "--steps": settings.steps,
        "--batch": settings.batch,
        "--crop": settings.crop_px,
        "--learning-rate": settings.learning_rate,
        "--seed": settings.seed,
        "--painting-size": settings.painting_px,
        "--style-weight": settings.style_weight,
        "--adversarial": settings.adversarial,
        "--noise": settings.noise,
        "--sharp-steps": settings.sharp_steps,
        "--sharp-gain": settings.sharp_gain,
        "--sharp-calm": settings.sharp_calm,
        "--sharp-fine": settings.sharp_fine,
    }.items():
        assert re.search(
            rf"{option} [^-]*Default: {value:g}\."
            if not isinstance(value, str)
            else rf"{option} .*Default: {value}\.",
            page,
        ), option
    look = Look()
    by_name = {param.name: param.default for param in COMMANDS["video"].params}
    assert (by_name["style"], by_name["strength"], by_name["tier"], by_name["stability"]) == (
        look.style, look.strength, STANDARD, PaintPlan().stability,
    )  # fmt: skip


def words_of(command: str, option: str) -> list[str]:
    """The words of an option's help."""
    params = COMMANDS[command].params
    return re.findall(r"[\w-]+", next(param.help for param in params if option in param.opts))


def test_names_to_choose_from_are_all_in_the_help() -> None:
    for command, engines in (("video", ENGINES), ("engine build", GPU_FRAME_ENGINES)):
        words = words_of(command, "--engine")
        assert [word for word in words if word in ENGINES] == [*engines]
    on_cpu, on_gpu = " ".join(words_of("video", "--precision")).split(" on a CPU ")
    for text, is_gpu in ((on_cpu, False), (on_gpu, True)):
        offered = {
            p
            for kind in ENGINES.values()
            if is_gpu == (kind.device != "cpu")
            for p in kind.precisions
        }
        assert {word for word in text.split() if word in PRECISIONS} - {"auto"} == offered
    words = words_of("engine build", "--precision")
    offered = {p for name in GPU_FRAME_ENGINES for p in ENGINES[name].precisions}
    assert {word for word in words if word in PRECISIONS} - {"auto"} == offered
    for command, option, names in (
        ("train", "--preset", PRESETS),
        ("train", "--adversarial", ADVERSARIAL_KINDS),
        ("video", "--tier", TIERS),
        ("bench", "--tier", TIERS),
        ("bench", "--size", SIZES),
        ("engine build", "--profile", PROFILES),
    ):
        assert {*names} <= {*words_of(command, option)}, option
    encoders = {CODECS[word] for word in words_of("video", "--codec") if word in CODECS}
    assert encoders == {*CODECS.values()}


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("--start", "1:23", 83), ("--start", "0:05.5", 5.5), ("--start", "1:02:03.5", 3723.5),
        ("--start", "90", 90), ("--start", "90s", 90), ("--duration", "2:00", 120),
        ("--strength", "80%", 0.8), ("--strength", "0.8", 0.8), ("--strength", "150%", 1.5),
        ("--stability", "25 %", 0.25),
    ],
)  # fmt: skip
def test_values_may_be_written_as_people_write_them(option: str, text: str, value: float) -> None:
    command = COMMANDS["video"]
    context = command.make_context("video", ["a", "b", option, text])
    assert context.params[option.removeprefix("--")] == pytest.approx(value)


def test_the_forms_of_a_time_are_in_the_help_of_every_option_that_takes_one() -> None:
    taking = [
        (name, param.help)
        for name, command in COMMANDS.items()
        for param in command.params
        if getattr(param, "metavar", None) == "TIME"
    ]
    assert [name for name, _ in taking] == ["video", "video", "webcam", "compare"]
    assert all("in seconds, m:ss or h:mm:ss" in text for _, text in taking)


def test_shares_of_a_blend_may_be_percentages() -> None:
    look = look_of(
        "great wave", None, ["Mondrian:40%", "udnie:0.1"], 1, "medium", False, None, STANDARD
    )
    assert look == Look("great-wave", {"mondrian": 0.4, "udnie": 0.1})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("video a b --start 1:75", "--start: give seconds"),
        ("video a b --start 1:-5", "--start: give seconds"),
        ("video a b --start 1:2:3:4", "--start: give seconds"),
        ("video a b --start 1.5:20", "--start: give seconds"),
        ("video a b --strength 151%", "--strength: give a number from 0 to 1.5, not '151%'"),
        ("video a b --size 50%", "--size: '50%' is not a size; write it as 720p, 4k or 1280x720"),
        ("video", "IN... OUT is missing"),
        ("video in.mp4", "IN... OUT: give at least one IN, and OUT as the last"),
        ("video a b --strength x", "--strength: give a number from 0 to 1.5, not 'x'"),
        ("video a b --strength 2", "--strength: give a number from 0 to 1.5, not '2'"),
        ("video a b --variation -1", "--variation: give a whole number of at least 0, not '-1'"),
        ("video a b --variation 1.5", "--variation: give a whole number of at least 0, not '1.5'"),
        ("video a b --crf good", "--crf: give a number, not 'good'"),
        (
            "video a b --start nan",
            "--start: give seconds of at least 0, such as 83.5, or 1:23.5 or 1:02:03, not",
        ),
        ("video a b --blend udnie", "--blend: 'udnie' has no share; write STYLE:SHARE"),
        ("video a b --size huge", "--size: "),
        ("video a b --fps none", "--fps: 'none' is not a frame rate"),
        ("video a b --fps 1/0", "--fps: '1/0' is not a frame rate"),
        ("video a b --devices x", "--devices: 'x' is not a list of GPUs"),
        ("video a b --tier slow", "--tier: there is no 'slow'; choose standard, fast"),
        ("video a b --engine abacus", "--engine: there is no 'abacus'; choose auto, "),
        ("video a b --precision f1", "--precision: there is no 'f1'; choose auto, "),
        ("video a b --startt 5", "No such option: --startt"),
        ("video a - --json", "standard output holds the film or JSON, not both"),
        ("video a b --on-gpu --size 720p", "--size: size cannot be combined with frames in GPU "),
        ("compare a b --start x", "--start: give seconds"),
        ("video a b -s gogh", "--style: 'gogh' may be night-cafe or starry-night; choose one"),
        ("image a b --blend gogh:1", "--blend: 'gogh' may be night-cafe or starry-night; choose"),
        ("compare a b -s udnie -s gogh", "--style: 'gogh' may be night-cafe or starry-night; "),
        ("bench -s gogh", "--style: 'gogh' may be night-cafe or starry-night; choose one"),
        ("style-from gogh b.onnx", "'gogh' may be night-cafe or starry-night; choose"),
        ("video a b --on-gpu --sample 3", "--on-gpu: cannot be combined with --sample"),
        ("video a b --duration 0", "--duration: the duration must be positive and finite"),
        ("video a b --duration inf", "--duration: the duration must be positive and finite"),
        ("webcam --fps 0", "--fps: give a number from 1 to 240, not '0'"),
        ("image --from-noise 1 a b", "OUT: with --from-noise there is nothing to read"),
        ("engine build --level 6", "--level: give a whole number from 0 to 5, not '6'"),
        ("train --crop 96", "--crop: give a whole number of at least 128, not '96'"),
        ("paint", "No such command 'paint'"),
        ("engine", "Missing command"),
    ],
)
def test_wrong_usage_is_one_line_and_where_to_read_on(tmp_path: Path, line: str, said: str) -> None:
    done = run_cli(*line.split(), cwd=tmp_path)
    assert not list(tmp_path.iterdir())
    assert done.returncode == 2
    first, *more = done.stderr.splitlines()
    assert first.startswith(f"error: {said}")
    assert len(more) <= 1
    assert not more or re.fullmatch(r"see realtime-style[ \w-]* --help", more[0])
    assert not JARGON.findall(done.stderr)


def test_help_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys\n"
        "from realtime_style.cli import app\n"
        "for words in (['--help'], ['video', '--help'], ['train', '--help'], ['--version']):\n"
        "    assert app.run(words) == 0\n"
        "print(*sys.modules, sep='\\n', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "realtime_style.cli.film" in loaded
    assert not loaded & {
        "av", "cv2", "export", "numpy", "onnx", "openvino", "PIL", "rich.console", "torch",
        "realtime_style.engines", "realtime_style.frame", "realtime_style.jobs",
        "realtime_style.live", "realtime_style.media", "realtime_style.painting",
        "realtime_style.style", "realtime_style.tools", "realtime_style.training",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("vi", ["video"]),
        ("video a b --style st", ["starry-night"]),
        ("video a b --tier ", ["standard", "fast"]),
        ("webcam --engine open", ["openvino", "openvino-gpu", "openvino-npu"]),
        ("compare a b --style gre", ["great-wave"]),
        ("image a b --precision b", ["bf16"]),
        ("engine ", ["build", "list", "clean"]),
        ("video --out", ["--output-size"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    monkeypatch: pytest.MonkeyPatch, line: str, completed: list[str]
) -> None:
    monkeypatch.setenv("_REALTIME_STYLE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"realtime-style {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) + line.endswith(" ")))
    done = run_cli()
    assert (done.returncode, done.stdout.split()) == (0, completed)


def test_it_runs_as_a_module() -> None:
    for module in ("realtime_style",):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"realtime-style {__version__}"
