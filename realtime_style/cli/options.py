"""Options that several commands share, and the conversion of their texts into values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_style.canvas import STROKE_SIZES
from realtime_style.cli.console import FLAGS
from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.errors import StyleError

if TYPE_CHECKING:
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.frame import Size
    from realtime_style.media.encoding import Encoding
    from realtime_style.painting.plan import MaskPlan, PaintPlan
    from realtime_style.style.look import Look

INPUT = "Input"
LOOK = "Look"
SIZE = "Size"
PART = "Part"
ENCODING = "Encoding"
BATCH = "Batch"
MACHINE = "Machine"
OUTPUT = "Output"

TIME_FORMS = "in seconds, m:ss or h:mm:ss"
"""How `seconds` reads times, for help pages."""


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[str], float]:
    """A parser for numbers in a range; unlike Typer's own, its error says what is accepted."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise typer.BadParameter(f"give a number{_range(least, most)}, not '{text}'")
        return value

    return read


def share(most: float) -> Callable[[str], float]:
    """A parser for numbers from 0 that may be percentages: 0.8 or 80%."""

    def read(text: str) -> float:
        try:
            value = _part(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= most:
            raise typer.BadParameter(f"give a number{_range(0, most)}, not '{text}'")
        return value

    return read


def _part(text: str) -> float:
    """The value of a text such as 0.8 or 80%; raises ValueError."""
    plain = str(text).strip()
    return float(plain[:-1]) / 100 if plain.endswith("%") else float(plain)


def seconds(least: float, most: float = math.inf) -> Callable[[str], float]:
    """A parser that turns a time, such as 83.5, 83.5s, 1:23.5 or 1:02:03.5, into seconds.

    It raises BadParameter for other texts, and for times outside `least` to `most` seconds.
    """

    def read(text: str) -> float:
        parts = str(text).strip().removesuffix("s").split(":")
        try:
            higher, last = [int(part) for part in parts[:-1]], float(parts[-1])
        except ValueError:
            higher, last = [], math.nan
        if len(parts) > 3 or (higher and not 0 <= last < 60) or min(higher, default=0) < 0:
            last = math.nan
        value = last
        for count, unit_s in zip(reversed(higher), (60, 3600), strict=False):
            value += count * unit_s
        if not least <= value <= most:
            raise typer.BadParameter(
                f"give seconds{_range(least, most)}, such as 83.5, or 1:23.5 or 1:02:03, not "
                f"'{text}'"
            )
        return value

    return read


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A parser for whole numbers in a range."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise typer.BadParameter(f"give a whole number{_range(least, most)}, not '{text}'")
        return value

    return read


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A shell's completion of a value by names, which are listed only when one is completed."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


def style_names() -> Iterable[str]:
    """The names of the included styles."""
    from realtime_style.style.bundled import bundled_styles

    return bundled_styles()


def _engine_names() -> Iterable[str]:
    from realtime_style.engines.registry import ENGINES

    return "auto", *ENGINES


def _precisions() -> Iterable[str]:
    from realtime_style.engines.registry import PRECISIONS

    return PRECISIONS


def _range(least: float, most: float) -> str:
    if most < math.inf:
        return f" from {least:g} to {most:g}"
    return f" of at least {least:g}" if least > -math.inf else ""


# Input ----------------------------------------------------------------------------------------

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... OUT",
        help="Files or folders to paint; then the file or folder to write, or a pattern such as "
        "painted/{name}.mp4.",
    ),
]

# Look -----------------------------------------------------------------------------------------

StyleName = Annotated[
    str,
    typer.Option(
        "--style", "-s", metavar="STYLE", rich_help_panel=LOOK,
        autocompletion=completing(style_names),
        help="An included style (see `realtime-style styles`), also by its title or painter; a "
        "style file or a picture.",
    ),
]  # fmt: skip
StyleImage = Annotated[
    Path | None,
    typer.Option(
        metavar="PICTURE", rich_help_panel=LOOK,
        help="Take the style from any picture, instead of --style.",
    ),
]  # fmt: skip
Blend = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STYLE:SHARE", rich_help_panel=LOOK,
        help="Blend in another style, for example great-wave:0.4; may be repeated. --style gets "
        "the rest.",
    ),
]  # fmt: skip
Strength = Annotated[
    float,
    typer.Option(
        parser=share(1.5), metavar="NUMBER", rich_help_panel=LOOK,
        help="Strength of the style: 0 keeps the picture, 1 is the style, up to 1.5 exaggerates.",
    ),
]  # fmt: skip
Strokes = Annotated[
    str,
    typer.Option(
        metavar="SIZE", rich_help_panel=LOOK,
        autocompletion=completing(lambda: STROKE_SIZES),
        help="Size of the strokes relative to the picture: small, medium, large, or a number such "
        "as 1.2 (1 is medium).",
    ),
]  # fmt: skip
KeepColors = Annotated[
    bool,
    typer.Option(
        "--keep-colors", rich_help_panel=LOOK,
        help="Keep the colours of the input; take only light and brush strokes from the style.",
    ),
]  # fmt: skip
Variation = Annotated[
    int | None,
    typer.Option(
        parser=whole(0), metavar="NUMBER", rich_help_panel=LOOK,
        help="Number of a variation; each gives a different one.",
    ),
]  # fmt: skip
Tier = Annotated[
    str,
    typer.Option(
        metavar="TIER", rich_help_panel=LOOK,
        autocompletion=completing(lambda: ("standard", "fast")),
        help="standard, or fast: a smaller network that takes about half the time.",
    ),
]  # fmt: skip
Stability = Annotated[
    float,
    typer.Option(
        parser=share(1), metavar="NUMBER", rich_help_panel=LOOK,
        help="Flicker reduction, from 0 (off) to 1.",
    ),
]  # fmt: skip

Only = Annotated[
    str | None,
    typer.Option(
        "--only", metavar="PART", rich_help_panel=LOOK,
        autocompletion=completing(lambda: ("person", "background")),
        help="Paint only people (person), or only what is around them (background).",
    ),
]  # fmt: skip
Background = Annotated[
    str | None,
    typer.Option(
        "--background", metavar="COLOUR", rich_help_panel=LOOK,
        autocompletion=completing(lambda: ("original", "blur", "green", "black", "white")),
        help="With --only person: what is around people. original (default), blur, or a colour "
        "such as green or #00b140.",
    ),
]  # fmt: skip

# Batch, output --------------------------------------------------------------------------------

Recursive = Annotated[
    bool,
    typer.Option("--recursive", "-r", rich_help_panel=BATCH, help="Include subfolders."),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing", rich_help_panel=BATCH,
        help="Leave files that exist already as they are, and paint only the others.",
    ),
]  # fmt: skip
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", "-y", rich_help_panel=OUTPUT, help="Replace existing output files."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="Print errors only.")
]
Json = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=OUTPUT, help="Print a JSON summary at the end."),
]
JsonTable = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON instead of a table."),
]
JsonText = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON instead of text."),
]

# Machine --------------------------------------------------------------------------------------

Engine = Annotated[
    str,
    typer.Option(
        metavar="ENGINE", rich_help_panel=MACHINE,
        autocompletion=completing(_engine_names),
        help="auto (the best one here), tensorrt, tensorrt-rtx, onnxruntime-cuda, "
        "onnxruntime-tensorrt, webgpu, openvino, onnxruntime, openvino-gpu or openvino-npu. If you "
        "name one, there is no fallback.",
    ),
]  # fmt: skip
Precision = Annotated[
    str,
    typer.Option(
        metavar="PRECISION", rich_help_panel=MACHINE,
        autocompletion=completing(_precisions),
        help="auto; f32, bf16 or int8 on a CPU; f16 or f32 on a GPU.",
    ),
]  # fmt: skip
Devices = Annotated[
    str,
    typer.Option(
        metavar="0,1,...", rich_help_panel=MACHINE, help="Numbers of the GPUs that share the work."
    ),
]


def refuse_both_ways(skip_existing: bool, overwrite: bool) -> None:
    """Raises BadParameter where existing files are to be skipped and replaced."""
    if skip_existing and overwrite:
        raise typer.BadParameter("cannot be combined", param_hint="--skip-existing, --overwrite")


def refuse_pipes(*names: str) -> None:
    """Raises BadParameter where "-" is given to a command that reads and writes pictures."""
    if "-" in names:
        raise typer.BadParameter(
            "pictures are not piped; give the name of a file", param_hint="'-'"
        )


# From texts to values --------------------------------------------------------------------------


@contextmanager
def usage_errors(advice: str = "") -> Iterator[None]:
    """A value that the library refuses while options become values is wrong usage: status 2.

    Args:
        advice: what to do about it, put behind the library's message.
    """
    try:
        yield
    except StyleError as error:
        message = f"{error}; {advice}" if advice else str(error)
        raise typer.BadParameter(message, param_hint=FLAGS.get(error.setting or "")) from error


def refuse_other(setting: str, text: str | None, choices: Iterable[str]) -> None:
    """Raises BadParameter for a text that is not one of the choices; None is always accepted.

    Args:
        setting: the library's name of the setting, such as "precision"; the error names its option.
        text: what the user gave.
    """
    if text is not None and text not in choices:
        raise typer.BadParameter(
            f"there is no '{text}'; choose {', '.join(choices)}", param_hint=FLAGS[setting]
        )


def look_of(
    style: str,
    style_image: Path | None,
    blend: list[str] | None,
    strength: float,
    strokes: str,
    keep_colors: bool,
    variation: int | None,
    tier: str,
) -> Look:
    """The look that the options of the group Look ask for.

    A style file brings its own tier, as long as --tier asks for none.
    """
    from realtime_style.style.bundled import STANDARD, TIERS, open_style, tier_of
    from realtime_style.style.look import Look

    refuse_other("tier", tier, TIERS)
    shares = _shares(blend or ())
    if style_image is not None:
        from realtime_style.painting.style_picture import refuse_no_picture

        if style != DEFAULT_STYLE:
            raise typer.BadParameter("give --style or --style-image, not both")
        refuse_no_picture(style_image)
        style = str(style_image)
    if tier == STANDARD and Path(style).suffix == ".onnx":
        tier = tier_of(open_style(style))
    with usage_errors():  # a share may be out of range
        return Look(style, shares, strength, variation, keep_colors, tier, strokes)


def plain_look(style: str, tier: str) -> Look:
    """A style's look without any further options."""
    return look_of(style, None, None, 1.0, "medium", False, None, tier)


def _shares(texts: Iterable[str]) -> dict[str | Path, float]:
    shares: dict[str | Path, float] = {}
    for text in texts:
        name, _, number_text = text.rpartition(":")
        try:
            shares[name] = shares.get(name, 0.0) + _part(number_text)
        except ValueError:
            raise typer.BadParameter(
                f"'{text}' has no share; write STYLE:SHARE, for example great-wave:0.4",
                param_hint="--blend",
            ) from None
    return shares


def engine_of(engine: str, precision: str, devices: str = "0") -> EngineChoice:
    """The engine that the options of the group Machine ask for."""
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.engines.registry import ENGINES, PRECISIONS

    refuse_other("engine", engine, ("auto", *ENGINES))
    refuse_other("precision", precision, PRECISIONS)
    numbers = devices.split(",")
    if not all(text.isdecimal() for text in numbers) or len(set(numbers)) < len(numbers):
        raise typer.BadParameter(
            f"'{devices}' is not a list of GPUs; write their numbers, each once, such as 0 or 0,1",
            param_hint="--devices",
        )
    return EngineChoice(engine, precision, tuple(map(int, numbers)))


def encoding_of(
    codec: str | None, crf: float | None, preset: str | None, bit_depth: int | None
) -> Encoding:
    """How films are encoded; raises StyleError for values out of range."""
    from realtime_style.media.encoding import Encoding

    return Encoding(codec, crf, preset, bit_depth)


def plan_of(
    look: Look, choice: EngineChoice, stability: float = 0.0, mask: MaskPlan | None = None
) -> PaintPlan:
    """How frames are painted; pictures have no order, so they need no stability."""
    from realtime_style.painting.plan import PaintPlan

    return PaintPlan(look, choice, stability, mask=mask)


def mask_of(only: str | None, background: str | None) -> MaskPlan | None:
    """Which part is painted; None paints all of it."""
    from realtime_style.painting.plan import ORIGINAL, PARTS, MaskPlan

    refuse_other("only", only, PARTS)
    if only is None:
        if background is not None:
            raise typer.BadParameter(
                "it is for --only person; add that", param_hint=FLAGS["background"]
            )
        return None
    with usage_errors():
        return MaskPlan(only, background or ORIGINAL)


def size_of(text: str | None, setting: str) -> Size | None:
    """A size written as 720p, 4k or 1280x720; None stays None."""
    return None if text is None else required_size(text, setting)


def required_size(text: str, setting: str) -> Size:
    """A size written as 720p, 4k or 1280x720."""
    from realtime_style.frame import Size

    try:
        return Size.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=FLAGS[setting]) from error


def rate_of(text: str | None) -> Fraction | None:
    """A frame rate written as 24 or 30000/1001; None stays None."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise typer.BadParameter(
            f"'{text}' is not a frame rate; write 24 or 30000/1001", param_hint="--fps"
        )
    return rate
