"""The command `image`: pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_style.cli.batch import Batch, inputs_and_out, refuse_film
from realtime_style.cli.console import BuildBar, Output
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    INPUT,
    SIZE,
    Background,
    Blend,
    Engine,
    Json,
    KeepColors,
    Only,
    Overwrite,
    Precision,
    Quiet,
    Recursive,
    SkipExisting,
    Strength,
    Strokes,
    StyleImage,
    StyleName,
    Tier,
    Variation,
    engine_of,
    look_of,
    mask_of,
    plan_of,
    refuse_both_ways,
    refuse_pipes,
    size_of,
    whole,
)
from realtime_style.defaults import DEFAULT_STYLE

if TYPE_CHECKING:
    from realtime_style.frame import Size
    from realtime_style.jobs.batch import Pair
    from realtime_style.painting.plan import PaintPlan

IMAGE_EXAMPLES = examples(
    "image photo.jpg painted.jpg --style mondrian",
    "image photos/ painted/ --recursive --size 720p",
    "image --from-noise 7 --size 1024x768 canvas.png",
)

Pictures = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... OUT",
        help="Pictures or folders to paint; then the file or folder to write, or a pattern such as "
        "painted/{name}.png.",
    ),
]
FromNoise = Annotated[
    int | None,
    typer.Option(
        parser=whole(0), metavar="SEED", rich_help_panel=INPUT,
        help="Generate a picture from noise; there is no IN, only OUT.",
    ),
]  # fmt: skip
PictureSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="Paint at this size, 720p or 1280x720; smaller is faster and less sharp. OUT has the "
        "size of IN; with --from-noise this one. Default: the size of IN; from noise 768p (4:3).",
    ),
]  # fmt: skip


def image(
    paths: Pictures,
    from_noise: FromNoise = None,
    style: StyleName = DEFAULT_STYLE,
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    strokes: Strokes = "medium",
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    only: Only = None,
    background: Background = None,
    size: PictureSize = None,
    recursive: Recursive = False,
    skip_existing: SkipExisting = False,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints pictures: JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF, up to 150 megapixels."""
    output = Output(quiet, as_json)
    refuse_both_ways(skip_existing, overwrite)
    refuse_pipes(*paths)
    with Batch(output, paths[-1], max(1, len(paths) - 1), skip_existing) as batch:
        if from_noise is None:
            inputs, out = inputs_and_out(paths)
            refuse_film(inputs)
        elif len(paths) != 1:
            raise typer.BadParameter(
                "with --from-noise there is nothing to read; give only OUT", param_hint="OUT"
            )
        choice = engine_of(engine, precision)
        look = look_of(style, style_image, blend, strength, strokes, keep_colors, variation, tier)
        plan = plan_of(look, choice, mask=mask_of(only, background))
        if from_noise is None:
            painted_at = size_of(size, "size")
            _paint_files(
                batch, plan, inputs, out, painted_at, recursive=recursive, overwrite=overwrite
            )
        else:
            _paint_noise(batch, plan, from_noise, size or "768p", overwrite=overwrite)


def _paint_files(
    batch: Batch,
    plan: PaintPlan,
    inputs: list[str],
    out: str,
    size: Size | None,
    *,
    recursive: bool,
    overwrite: bool,
) -> None:
    from realtime_style.jobs.batch import pair_up
    from realtime_style.jobs.effort import picture_effort
    from realtime_style.jobs.picture import paint_picture
    from realtime_style.media.still import PICTURE_SUFFIXES, READ_ONLY_PICTURE_SUFFIXES
    from realtime_style.painting.chain import build_painter

    found = pair_up(
        inputs,
        out,
        PICTURE_SUFFIXES,
        read_only=READ_ONLY_PICTURE_SUFFIXES,
        recursive=recursive,
        new_suffix=".png",
        takes_patterns=False,
    )
    batch.expect(found, picture_effort)
    painter, output = build_painter(plan), batch.output

    def paint(pair: Pair) -> dict[str, Any]:
        with BuildBar(output) as on_build:
            notes = paint_picture(
                pair.source, pair.out, painter,
                size=size, overwrite=overwrite, on_build=on_build,
            )  # fmt: skip
        return {"out": str(pair.out), "look": str(plan.look), "notes": notes}

    sources = {str(pair.out): Path(pair.source).name for pair in found.pairs}

    def tell(report: dict[str, Any]) -> None:
        for note in report["notes"]:
            output.say(f"note: {sources[report['out']]}: {note}")
        place = f" ({batch.place}{batch.left(', about ', 1)})" if batch.place else ""
        output.say(f"{report['out']}{place}")

    batch.run(paint, tell, announces=False)


def _paint_noise(batch: Batch, plan: PaintPlan, seed: int, size: str, *, overwrite: bool) -> None:
    from realtime_style.jobs.batch import Pair, Pairing
    from realtime_style.media.still import Picture, refuse_unwritable_picture, write_picture
    from realtime_style.painting.chain import build_painter
    from realtime_style.painting.from_noise import paint_from_noise

    canvas_size, out = size_of(size, "size"), Path(batch.out)
    assert canvas_size
    refuse_unwritable_picture(out, overwrite=overwrite)
    painter = build_painter(plan)

    def paint(pair: Pair) -> dict[str, Any]:
        with BuildBar(batch.output) as on_build:
            picture = Picture(paint_from_noise(painter, seed, canvas_size, on_build))
        notes = write_picture(pair.out, picture, overwrite=overwrite)
        return {
            "out": str(pair.out), "look": str(plan.look), "from_noise": seed, "notes": notes
        }  # fmt: skip

    batch.expect(Pairing((Pair("", out, makes_folder=False),)))
    batch.run(paint, lambda report: batch.output.say(report["out"]))
