"""Cost of a frame by its size: the time to paint one, from 360p to 4K, and a line through them.

    python benchmarks/pixels.py [--tiers standard fast] [--precision auto] [--quick]

Frames are painted one after the other at their own size, without decoding or encoding. Sizes take
turns, and the median of all turns counts. Writes benchmarks/results/pixels.json, .md and .png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from painters import painter_of
from record import add_usual, counted, in_one_line, keep, machine, run

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import TIERS
from realtime_style.style.look import Look
from realtime_style.tools.demo import draw_scene

SIZES = {
    "360p": (640, 360), "480p": (848, 480), "720p": (1280, 720), "1080p": (1920, 1080),
    "1440p": (2560, 1440), "4K": (3840, 2160),
}  # fmt: skip
WARM_UP_FRAMES, PIXELS_A_TURN = 2, 2e7


def scenes(width: int, height: int) -> list[Frame]:
    """Four different pictures."""
    return [
        Frame(frame_from_rgb(draw_scene(t / 4, width, height), ColorSpace()).i420, t, Fraction(1))
        for t in range(4)
    ]


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--tiers", nargs="+", choices=TIERS, default=list(TIERS), help="the tiers to measure"
    )
    parser.add_argument("--precision", default="auto", help="auto, f32, bf16 or int8")
    parser.add_argument("--turns", type=counted, default=5, help="turns of everything compared")
    add_usual(parser)
    options = parser.parse_args()
    if options.quick:
        options.turns = 1
    pictures = {size: scenes(*sides) for size, sides in SIZES.items()}
    stylizers = {
        tier: painter_of(Look(tier=tier), precision=options.precision, color=ColorSpace())
        for tier in options.tiers
    }
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.turns):
        for tier, stylizer in stylizers.items():
            for size, frames in pictures.items():
                count = max(4, round(PIXELS_A_TURN / np.prod(SIZES[size])))
                taken = times.setdefault((tier, size), [])
                for number in range(WARM_UP_FRAMES + count):
                    begin = time.perf_counter()
                    stylizer(frames[number % len(frames)]).release()
                    if number >= WARM_UP_FRAMES:
                        taken.append(1e3 * (time.perf_counter() - begin))
    rows = []
    for (tier, size), taken in times.items():
        width, height = SIZES[size]
        low, middle, high = statistics.quantiles(taken, n=4)
        rows.append(
            {"tier": tier, "size": size, "pixels": width * height, "ms": round(middle, 2),
             "quartiles_ms": [round(low, 2), round(high, 2)], "frames": len(taken)}
        )  # fmt: skip
    result = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine(),
        "precision": {tier: stylizer.engine.precision for tier, stylizer in stylizers.items()},
        "rows": rows,
        "lines": [line(tier, rows) for tier in options.tiers],
    }
    print(table(result))
    if not options.quick:
        keep("pixels", result, table(result), lambda file: plot(result, file), options.out)


def line(tier: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fits a line through a tier's times, weighted so that relative errors count."""
    mine = [row for row in rows if row["tier"] == tier]
    pixels, ms = (np.array([row[key] for row in mine], float) for key in ("pixels", "ms"))
    slope, start = np.polyfit(pixels, ms, 1, w=1 / ms)
    off = np.abs((start + slope * pixels) / ms - 1)
    return {
        "name": tier,
        "ms_per_megapixel": round(slope * 1e6, 2),
        "start_ms": round(float(start), 2),
        "largest_residual_percent": round(100 * float(off.max()), 1),
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["# The time to paint a frame, by its size", ""]
    lines += [f"`{result['command']}`; {in_one_line(result['machine'])}", ""]
    lines += ["| tier | size | precision | ms | quartiles | frames |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        low, high = row["quartiles_ms"]
        lines.append(
            f"| {row['tier']} | {row['size']} | {result['precision'][row['tier']]} | "
            f"{row['ms']:.2f} | {low} to {high} | {row['frames']} |"
        )
    lines.append("")
    for fit in result["lines"]:
        lines.append(
            f"- {fit['name']}: {fit['ms_per_megapixel']} ms per megapixel and "
            f"{fit['start_ms']} ms; "
            f"no size is further from that line than {fit['largest_residual_percent']} %"
        )
    return "\n".join([*lines, "", "![Time by pixels](pixels.png)", ""])


def plot(result: dict[str, Any], file: Path) -> None:
    """Draws times and their lines over pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for number, fit in enumerate(result["lines"]):
        mine = [row for row in result["rows"] if row["tier"] == fit["name"]]
        pixels = np.array([row["pixels"] for row in mine]) / 1e6
        color = f"C{number}"
        axes.plot(pixels, [row["ms"] for row in mine], "o", color=color, label=fit["name"])
        ends = np.array([0, pixels.max()])
        axes.plot(ends, fit["start_ms"] + fit["ms_per_megapixel"] * ends, color=color, lw=1)
    for size, (width, height) in SIZES.items():
        axes.annotate(size, (width * height / 1e6, 0), rotation=90, fontsize=8, va="bottom")
    axes.set_xlabel("megapixels")
    axes.set_ylabel("ms per frame, painting only")
    axes.set_ylim(0)
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run(main)
