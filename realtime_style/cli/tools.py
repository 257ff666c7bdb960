"""The commands `bench` and `doctor`: what this machine can do."""

from __future__ import annotations

from typing import Annotated

import typer

from realtime_style.cli.console import Output, print_table
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
        tiers=TIERS if tier is None and style in bundled_styles() else (look.tier,),
        sizes=sizes or (["360p", "720p"] if quick else list(SIZES)),
        seconds=0.6 if quick else 2.5,
        on_size=on_size,
    )
    if as_json:
        output.json(report.as_dict())
    else:
        print_table(report.table())


def doctor(as_json: JsonTable = False) -> None:
    """Tests every engine and codec on this machine, and says what to install for more."""
    from realtime_style.tools.doctor import examine, table

    report = examine()
    if as_json:
        Output(as_json=True).json(report)
    else:
        print_table(table(report))
