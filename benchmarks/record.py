"""What all benchmarks share: where results are kept, and the description of the machine.

A result is JSON (`machine`, `rows`, and whatever a benchmark adds), a Markdown table and usually a
plot, in benchmarks/results or the folder of `--out`. With `--quick` it is only printed: such runs
are too short for figures.
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
"""Aspect ratio of a size given by its lines only, such as 720p."""

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = (
    "openvino", "av", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-python",
)  # fmt: skip


def machine() -> dict[str, str]:
    """The machine and the versions of the packages that matter."""
    cpu = describe_cpu()
    return {
        "cpu": cpu["name"],
        "cores": str(cpu["cores"]),
        "instructions": " ".join(cpu["flags"]),
        "python": platform.python_version(),
        "realtime-style": __version__,
        **{name: found for name in _PACKAGES if (found := version_of(name))},
    }


def in_one_line(about: dict[str, Any]) -> str:
    """Formats a machine in one line."""
    return "; ".join(f"{key} {value}" for key, value in about.items())


def add_usual(parser: argparse.ArgumentParser) -> None:
    """Adds the options of scripts that measure."""
    parser.add_argument(
        "--quick", action="store_true",
        help="only try the script: too short to compare, nothing is written",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FOLDER",
        help="folder for the results; default: benchmarks/results, where they replace ours",
    )  # fmt: skip


def counted(text: str) -> int:
    """The type of counts: an integer of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an integer of at least 1")
    return int(text)


def sized(text: str) -> Size:
    """The type of sizes."""
    try:
        return Size.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(main: Callable[[], None]) -> None:
    """Calls a script's main; errors that its user can fix become one line and exit status 1."""
    try:
        main()
    except (OSError, StyleError) as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None


def add_pairs(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds the arguments of scripts that mark pictures: DATA, and what to mark."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="the folder of perceptual/, photos/ and videos/"
    )
    parser.add_argument(
        "pairs", type=_pair, nargs="+", metavar=f"{what}=PAINTING",
        help="what to mark: a style's name (fast:NAME for the fast tier) or an .onnx file, and the "
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
    """The rows of a stored result; empty if there is no such result."""
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
    """Writes a result as NAME.json and NAME.md, and with `plot` as NAME.png."""
    folder = folder or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown)
    if plot:
        plot(folder / f"{name}.png")
