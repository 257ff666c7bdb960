"""The commands `styles`, `compare` and `style-from`: what paintings can look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realtime_style.cli.console import Output, print_result, print_table
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    LOOK,
    PART,
    SIZE,
    TIME_FORMS,
    Blend,
    Engine,
    Json,
    JsonTable,
    KeepColors,
    Overwrite,
    Precision,
    Quiet,
    Strength,
    Strokes,
    Tier,
    Variation,
    completing,
    engine_of,
    look_of,
    plan_of,
    refuse_pipes,
    seconds,
    size_of,
    style_names,
    usage_errors,
)
from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.errors import StyleError
from realtime_style.system import interrupts
from realtime_style.wording import counted

STYLES_EXAMPLES = examples("styles", "styles --json", "video film.mp4 out.mp4 --style udnie")
COMPARE_EXAMPLES = examples(
    "compare holiday.mp4 sheet.png",
    "compare photo.jpg sheet.jpg --size 480p --tier fast",
    "compare holiday.mp4 sheet.png --start 1:23 --style mondrian --style monet",
)
STYLE_FROM_EXAMPLES = examples(
    "style-from photo-of-a-painting.jpg my-style.onnx",
    "style-from starry-night mixed.onnx --blend great-wave:0.4",
    "style-from mondrian calmer.onnx --strength 0.7",
)

_WIDEST = 80  # columns of what `styles` prints

Original = Annotated[
    str,
    typer.Argument(metavar="STYLE|PICTURE", help="An included style, a style file or any picture."),
]
Compared = Annotated[
    str, typer.Argument(metavar="FILM|PHOTO", help="The film or picture to try the styles on.")
]
Sheet = Annotated[str, typer.Argument(metavar="OUT", help="The sheet to write, a .png or .jpg.")]
ComparedStyles = Annotated[
    list[str] | None,
    typer.Option(
        "--style", "-s", metavar="STYLE", rich_help_panel=LOOK,
        autocompletion=completing(style_names),
        help="Paint in this style, a style file or a picture; may be repeated. Default: all "
        "included styles.",
    ),
]  # fmt: skip
ComparedSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="Paint at this size, 720p, 4k or 1280x720. Default: the size of the film.",
    ),
]  # fmt: skip
FrameTime = Annotated[
    float | None,
    typer.Option(
        "--start", parser=seconds(0), metavar="TIME", rich_help_panel=PART,
        help=f"Take the frame at this time, {TIME_FORMS}. Default: the middle.",
    ),
]  # fmt: skip
StyleOut = Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")]


def styles(as_json: JsonTable = False) -> None:
    """Lists the included styles, with their paintings and painters."""
    from rich.table import Column, Table

    from realtime_style.style.bundled import bundled_cards, bundled_styles

    cards = {name: bundled_cards()[name] for name in bundled_styles()}
    if as_json:
        keys = ("title", "painter", "year")
        rows = [{"name": name} | {key: card[key] for key in keys} for name, card in cards.items()]
        Output(as_json=True).json(rows)
        return
    names = Column("style", no_wrap=True, min_width=max(map(len, cards)))  # they are typed
    others = (Column(name, overflow="fold") for name in ("painting", "painter", "year"))
    table = Table(names, *others, box=None, header_style="bold")
    for name, card in cards.items():
        table.add_row(name, card["title"], card["painter"], str(card["year"]))
    print_table(table, _WIDEST)
    print_result("")
    print_table(
        "All are equally fast, and about twice as fast with --tier fast. To see them on your "
        "film: `realtime-style compare FILM sheet.png`",
        _WIDEST,
    )


def compare(
    source: Compared,
    out: Sheet,
    style: ComparedStyles = None,
    strength: Strength = 1.0,
    strokes: Strokes = "medium",
    keep_colors: KeepColors = False,
    tier: Tier = "standard",
    size: ComparedSize = None,
    start: FrameTime = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints one frame in every style, on one sheet with their names, to choose from.

    A style that is taken from a picture (--style PICTURE) has that picture in its corner.
    """
    from realtime_style.jobs.comparison import ComparisonRequest, paint_comparison
    from realtime_style.style.bundled import bundled_styles, style_named

    output = Output(quiet, as_json)
    refuse_pipes(source, out)
    look = look_of(DEFAULT_STYLE, None, None, strength, strokes, keep_colors, None, tier)
    with usage_errors():  # a name may be that of several styles
        styles = tuple(style_named(name) for name in style or ())
    request = ComparisonRequest(
        source,
        out,
        styles,
        plan_of(look, engine_of(engine, precision)),
        size=size_of(size, "size"),
        start_s=start,
        overwrite=overwrite,
    )
    done: list[str] = []
    with output.progress("painting", len(styles or bundled_styles())) as bar:

        def on_style(name: str) -> None:
            interrupts.check()
            bar.update(len(done), name)
            done.append(name)

        names = paint_comparison(request, on_style)
    output.say(f"{out}: {counted(len(names), 'style')}")
    output.json({"out": out, "styles": names})


def style_from(
    source: Original,
    out: StyleOut,
    blend: Blend = None,
    strength: Strength = 1.0,
    variation: Variation = None,
    tier: Tier = "standard",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Saves a picture's style, or a blend of styles, as a style file."""
    from realtime_style.painting.style_picture import open_any_style
    from realtime_style.system.paths import refuse_unwritable

    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite)
    if out.suffix != ".onnx":
        raise StyleError(f"{out} cannot be a style; its name must end in .onnx", setting="out")
    look = look_of(source, None, blend, strength, "medium", False, variation, tier)
    made = look.mixed(open_any_style)
    made.renamed(out.stem).save(out)
    output = Output(quiet, as_json)
    output.say(f"{out}: {look}")
    output.json({"out": str(out), "look": str(look), "card": made.card})
