"""The commands `styles` and `style-from`: what paintings can look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realtime_style.cli.console import Output, print_table
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    Blend,
    Json,
    JsonTable,
    Overwrite,
    Quiet,
    Strength,
    Tier,
    Variation,
    look_of,
)
from realtime_style.errors import StyleError

STYLES_EXAMPLES = examples("styles", "styles --json", "video film.mp4 out.mp4 --style udnie")
STYLE_FROM_EXAMPLES = examples(
    "style-from photo-of-a-painting.jpg my-style.onnx",
    "style-from starry-night mixed.onnx --blend great-wave:0.4",
    "style-from mondrian calmer.onnx --strength 0.7",
)

Original = Annotated[
    str,
    typer.Argument(metavar="STYLE|PICTURE", help="An included style, a style file or any picture."),
]
StyleOut = Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")]


def styles(as_json: JsonTable = False) -> None:
    """Lists the included styles."""
    from rich.table import Table

    from realtime_style.style.bundled import bundled_styles, open_style

    opened = [open_style(name) for name in bundled_styles()]
    if as_json:
        Output(as_json=True).json([{"name": style.name, "card": style.card} for style in opened])
        return
    table = Table("style", "painting", "painter", "year", box=None, header_style="bold")
    for style in opened:
        card = style.card
        table.add_row(style.name, *(str(card.get(key, "")) for key in ("title", "painter", "year")))
    print_table(table)


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
    look = look_of(source, None, blend, strength, False, variation, tier)
    made = look.mixed(open_any_style)
    made.renamed(out.stem).save(out)
    output = Output(quiet, as_json)
    output.say(f"{out}: {look}")
    output.json({"out": str(out), "look": str(look), "card": made.card})
