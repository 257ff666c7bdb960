"""What the results of all benchmarks have in common: where they lie, and the machine they are of.

A result is JSON (`machine` and `rows`, and what a benchmark adds), a Markdown table and mostly a
plot, in benchmarks/results or the folder of `--out`. With `--quick` it is printed alone: too
short for figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_style import __version__
from realtime_style.errors import StyleError
from realtime_style.frame import Size
from realtime_style.tools.doctor import describe_cpu, version_of

USUAL_SHAPE = (16, 9)
"""Of a size that says its lines alone, as 720p."""

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = (
    "openvino", "av", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-python",
)  # fmt: skip


def machine() -> dict[str, str]:
    """What the figures hold for."""
    cpu = describe_cpu()
    return {
        "cpu": cpu["name"],
        "cores": str(cpu["cores"]),
        "instructions": " ".join(cpu["flags"]),
        "python": platform.python_version(),
        "realtime-style": __version__,
        **{name: found for name in _PACKAGES if (found := version_of(name))},
    }


def said(about: dict[str, Any]) -> str:
    """A machine in one line."""
    return "; ".join(f"{key} {value}" for key, value in about.items())


def add_usual(parser: argparse.ArgumentParser) -> None:
    """The options of scripts that measure."""
    parser.add_argument(
        "--quick", action="store_true",
        help="try the script: as little as will do, too short to compare, nothing kept",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FOLDER",
        help="for the results; default: benchmarks/results, where they replace ours",
    )  # fmt: skip


def counted(text: str) -> int:
    """The type of arguments that count: 1, 2, ..."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 up")
    return int(text)


def sized(text: str) -> Size:
    """The type of arguments that are sizes."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(main: Callable[[], None]) -> None:
    """Calls a script's main; what its user can mend ends it with one line and status 1."""
    try:
        main()
    except (OSError, StyleError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None


def add_pairs(parser: argparse.ArgumentParser, what: str) -> None:
    """The arguments of scripts that mark pictures: DATA, and what is marked."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="the folder of perceptual/, photos/ and videos/"
    )
    parser.add_argument(
        "pairs", type=_pair, nargs="+", metavar=f"{what}=PAINTING",
        help="what to mark, a style's name (fast:NAME of the fast tier) or an .onnx file, and the "
        "picture file of its painting",
    )  # fmt: skip


def _pair(text: str) -> tuple[str, Path]:
    network, equals, painting = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"'{text}' has no painting: write {text}=PICTURE.jpg")
    if not Path(painting).is_file():
        raise argparse.ArgumentTypeError(f"there is no picture {painting}")
    if network.endswith((".onnx", ".jpg", ".png")) and not Path(network.split(":")[-1]).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {network}")
    return network, Path(painting)


def rows_of(name: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a result that is kept; none where there is no such result."""
    file = (folder or RESULTS) / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())["rows"] if file.exists() else []
    return rows


def keep(
    name: str,
    result: dict[str, Any],
    markdown: str,
    plot: Callable[[Path], None] | None = None,
    folder: Path | None = None,
) -> None:
    """Writes a result as NAME.json and NAME.md, and by `plot` as NAME.png."""
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown)
    if plot:
        plot(folder / f"{name}.png")
