"""The commands `bench` and `doctor`: what this machine can do."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_style.cli.console import Output, print_result, print_table
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    LOOK,
    SIZE,
    Devices,
    Engine,
    JsonTable,
    Precision,
    Quiet,
    StyleName,
    engine_of,
    plain_look,
    plan_of,
    refuse_other,
    size_of,
)
from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.errors import EngineError
from realtime_style.system import interrupts

if TYPE_CHECKING:
    from realtime_style.tools.bench import Report

BENCH_EXAMPLES = examples(
    "bench",
    "bench --quick",
    "bench --engine openvino --precision bf16 --size 720p",
)
DOCTOR_EXAMPLES = examples("doctor", "doctor --json", "bench --quick")

BenchTier = Annotated[
    str | None,
    typer.Option(
        "--tier", metavar="TIER", rich_help_panel=LOOK, help="standard or fast. Default: both."
    ),
]
BenchSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="360p, 480p, 720p or 1080p; may be repeated. Default: all.",
    ),
]  # fmt: skip
Quick = Annotated[
    bool,
    typer.Option(
        "--quick", rich_help_panel=SIZE, help="Measure only 360p and 720p, for a shorter time."
    ),
]


def bench(
    style: StyleName = DEFAULT_STYLE,
    tier: BenchTier = None,
    size: BenchSizes = None,
    quick: Quick = False,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    quiet: Quiet = False,
    as_json: JsonTable = False,
) -> None:
    """Measures how fast this computer paints, live and with films; takes about a minute."""
    from realtime_style.engines.registry import engine_trouble
    from realtime_style.style.bundled import STANDARD, TIERS, bundled_styles
    from realtime_style.tools.bench import SIZES
    from realtime_style.tools.bench import bench as measure

    output = Output(quiet, as_json)
    sizes = [str(size_of(each, "size")) for each in size or ()]
    for name in sizes:
        refuse_other("size", name, SIZES)
    choice = engine_of(engine, precision, devices)
    if engine != "auto" and (trouble := engine_trouble(engine)):
        raise EngineError(trouble, setting="engine")

    def on_size(tier: str, name: str) -> None:
        interrupts.check()
        output.say(f"measuring {name}, {tier} tier")

    look = plain_look(style, tier or STANDARD)
    report = measure(
        plan_of(look, choice, DEFAULT_STABILITY),
        tiers=TIERS if tier is None and look.style in bundled_styles() else (look.tier,),
        sizes=sizes or (["360p", "720p"] if quick else list(SIZES)),
        seconds=0.6 if quick else 2.5,
        on_size=on_size,
    )
    if as_json:
        output.json(report.as_dict())
        return
    print_table(report.table())
    _recommend(report, style)


def _recommend(report: Report, style: str) -> None:
    """Prints the command lines for what this computer keeps up with."""
    live, film = report.best_live(), report.best_film()
    lines = []
    if live:
        lines.append(f"webcam --size {live.size}{_look(style, live.tier)}")
    if film:
        lines.append(f"video film.mp4 painted.mp4 --size {film.size}{_look(style, film.tier)}")
    if lines:
        print_result("")
        print_result("for this computer:")
    for line in lines:
        print_result(f"  realtime-style {line}")


def _look(style: str, tier: str) -> str:
    """The options of a style and tier that are not the defaults."""
    named = f" --style {shlex.quote(style)}" if style != DEFAULT_STYLE else ""
    return named + (f" --tier {tier}" if tier != "standard" else "")


def doctor(as_json: JsonTable = False) -> None:
    """Tests every engine and codec on this machine, and says what it can do.

    The exit status is 1 if it cannot paint films.
    """
    from realtime_style.tools.doctor import (
        can_paint,
        examine,
        hardware_encoders,
        table,
        verdict,
    )

    report = examine()
    if as_json:
        Output(as_json=True).json(report | {"verdict": verdict(report)})
    else:
        print_table(table(report))
        for codec in hardware_encoders(report)[:1]:
            print_table(f"To encode on it: realtime-style video in.mp4 out.mp4 --codec {codec}")
    if not can_paint(report):
        raise typer.Exit(1)
