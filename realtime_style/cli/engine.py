"""The commands `engine build`, `engine list` and `engine clean`: TensorRT's engines."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_style.cli.console import BuildBar, Output, print_line, print_result
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    MACHINE,
    OUTPUT,
    JsonText,
    Quiet,
    StyleName,
    Tier,
    engine_of,
    plain_look,
    whole,
)
from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.errors import StyleError
from realtime_style.wording import counted

if TYPE_CHECKING:
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

BUILD_EXAMPLES = examples(
    "engine build",
    "engine build --profile 1080p --tier fast",
    "engine build --on-gpu --device 1",
)
LIST_EXAMPLES = examples("engine list", "engine list --json", "engine build --profile webcam")
CLEAN_EXAMPLES = examples("engine clean", "engine clean --quiet", "engine list")

_BUILD = "Engine"

Profile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SIZES", rich_help_panel=_BUILD,
        help="For which sizes: webcam, 1080p or 4k; may be repeated. Default: all.",
    ),
]  # fmt: skip
BuiltEngine = Annotated[
    str,
    typer.Option(
        "--engine", metavar="ENGINE", rich_help_panel=_BUILD, help="auto, tensorrt or tensorrt-rtx."
    ),
]
BuiltPrecision = Annotated[
    str,
    typer.Option(
        "--precision", metavar="PRECISION", rich_help_panel=_BUILD, help="auto (f16), f16 or f32."
    ),
]
Device = Annotated[
    int,
    typer.Option(
        parser=whole(0), metavar="NUMBER", rich_help_panel=MACHINE, help="The number of the GPU."
    ),
]
OnGpu = Annotated[
    bool,
    typer.Option(
        "--on-gpu", rich_help_panel=_BUILD,
        help="Build engines for `video --on-gpu`, which needs its own.",
    ),
]  # fmt: skip
Level = Annotated[
    int | None,
    typer.Option(
        parser=whole(0, 5), metavar="0..5", rich_help_panel=_BUILD,
        help="Optimisation level; a higher one takes longer to build. Default: TensorRT's own, 3.",
    ),
]  # fmt: skip
Workspace = Annotated[
    int | None,
    typer.Option(
        parser=whole(1), metavar="MB", rich_help_panel=_BUILD,
        help="Memory that a layer may use. Default: all.",
    ),
]  # fmt: skip
JsonLines = Annotated[
    bool,
    typer.Option(
        "--json", rich_help_panel=OUTPUT, help="Print a JSON summary of each engine, one a line."
    ),
]


def build(
    profile: Profile = None,
    engine: BuiltEngine = "auto",
    precision: BuiltPrecision = "auto",
    on_gpu: OnGpu = False,
    level: Level = None,
    workspace: Workspace = None,
    style: StyleName = DEFAULT_STYLE,
    tier: Tier = "standard",
    device: Device = 0,
    quiet: Quiet = False,
    as_json: JsonLines = False,
) -> None:
    """Pre-builds GPU engines, so that the first film starts at once.

    All styles of a tier share TensorRT's engines; TensorRT-RTX builds one for each style.
    """
    from realtime_style.color import ColorSpace
    from realtime_style.engines.opening import prebuild
    from realtime_style.engines.tensorrt.builder import PROFILES
    from realtime_style.painting.style_picture import open_any_style

    output, choice = Output(quiet, as_json), engine_of(engine, precision, str(device))
    model = plain_look(style, tier).mixed(open_any_style).model_for(ColorSpace())
    for name in profile or PROFILES:
        with BuildBar(output, f"building {name}") as on_build:
            try:
                built = prebuild(
                    model, name, choice, level=level, workspace_mb=workspace,
                    gpu_frames=on_gpu, on_build=on_build,
                )  # fmt: skip
            except StyleError as error:
                if error.setting == "devices":
                    error.setting = "device"  # this command takes only one
                if error.setting == "engine" and engine == "auto":
                    error.setting = None  # nobody asked for one
                raise
        report: dict[str, Any] = {"profile": name, "engine": built.name, "device": built.device}
        report |= {"precision": built.precision, "notes": list(built.notes)}
        for note in built.notes:
            output.say(f"note: {note}")
        output.say(f"{name}: {built.name} {built.precision} on {built.device}")
        output.json(report)


def list_built(as_json: JsonText = False) -> None:
    """Lists the engines that have been built."""
    cache = _cache()
    plans = cache.plans()
    if cache.trouble:
        print_line(f"note: {cache.trouble}")
    if as_json:
        rows = [
            {"path": str(plan.path), "bytes": plan.size, "key": plan.key and asdict(plan.key)}
            for plan in plans
        ]
        Output(as_json=True).json({"folder": str(cache.folder), "engines": rows})
        return
    for plan in plans:
        about = "damaged; `realtime-style engine clean` removes it"
        if plan.key:
            key = plan.key
            about = f"{key.builder} {key.precision} on {key.device}, for {key.profile}"
        print_result(f"{plan.path.name}  {plan.size / 1e6:.1f} MB  {about}")
    print_result(f"{counted(len(plans), 'engine')} in {cache.folder}")


def clean(quiet: Quiet = False) -> None:
    """Removes all built engines; they are built again when they are needed."""
    cache = _cache()
    freed = cache.clean()
    Output(quiet).say(f"removed {freed / 1e6:.1f} MB from {cache.folder}")


def _cache() -> PlanCache:
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

    return PlanCache()
