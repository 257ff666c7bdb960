"""Effect of strength: how far a painting is from its photo, and how close to its style.

    python benchmarks/strength.py DATA starry-night=starry.jpg ...

Each argument names a style and the painting that it learned. Six photos of quality.py, at 384x384,
are painted with every strength from 0 to 1.5. Distance is the root of the mean squared difference
of photo and painting, RGB in 0..1; at 0 it is also given in decibels. Style is the term of
quality.py on VGG-19, at the size of the painting that suits the style best at strength 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from painters import painter_of
from quality import PAINTING_PX, PHOTOS, Yardstick, read_painting, read_square, tensor
from record import add_pairs, add_usual, keep, machine, run

from realtime_style import Look

mpl.use("Agg")
import matplotlib.pyplot as plt

SIDE_PX = 384
STRENGTHS = [round(0.1 * i, 1) for i in range(16)]


def measure(
    style: str, painting: Path, photos: list[NDArray[np.uint8]], yardstick: Yardstick
) -> dict[str, list[float]]:
    """Distances and style terms of one style, one each per strength."""
    distances, terms = [], []
    with torch.no_grad():
        targets = [yardstick.grams(tensor(read_painting(painting, px))) for px in PAINTING_PX]
        seen = [yardstick.look(tensor(photo)) for photo in photos]
        for strength in STRENGTHS:
            stylizer = painter_of(Look(style, strength=strength), precision="f32")
            painted = [stylizer.paint_rgb(photo) for photo in photos]
            errors = [(a.astype(float) - b) / 255 for a, b in zip(painted, photos, strict=True)]
            distances.append(float(np.sqrt(np.mean([np.square(error).mean() for error in errors]))))
            styles = [
                yardstick.terms(yardstick.look(tensor(rgb)), of_photo, targets)[1][:, 0]
                for rgb, of_photo in zip(painted, seen, strict=True)
            ]
            terms.append(torch.stack(styles).mean(0))
    best = int(terms[STRENGTHS.index(1.0)].argmin())
    return {"distance": distances, "style": [float(term[best]) for term in terms]}


def plot(rows: dict[str, dict[str, list[float]]], file: Path) -> None:
    """Draws both over strength, one curve per style."""
    figure, axes = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    colors = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for (style, row), color in zip(rows.items(), colors, strict=False):
        axes[0].plot(STRENGTHS, row["distance"], ".-", label=style, color=color)
        axes[1].plot(STRENGTHS, row["style"], ".-", color=color)
    axes[0].set_ylabel("distance from the photo, RGB in 0..1")
    axes[1].set_ylabel("style term, VGG-19 (lower is closer to the painting)")
    axes[1].set_yscale("log")
    for each in axes:
        each.set_xlabel("strength")
        each.grid(alpha=0.3)
    figure.legend(loc="outside right", fontsize=9)
    figure.savefig(file, dpi=80)


def main() -> None:
    """Measures, prints, and writes benchmarks/results/strength.json, .md and .png."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_pairs(parser, "STYLE")
    add_usual(parser)
    arguments = parser.parse_args()
    yardstick = Yardstick(arguments.data / "perceptual")
    names = PHOTOS[::12] if arguments.quick else PHOTOS[::4]
    photos = [read_square(arguments.data / "photos" / name, SIDE_PX) for name in names]
    rows = {}
    heads = ["style", "at 0, dB", *(f"{s:g}" for s in STRENGTHS), "always grows"]
    lines = [
        "Distance between painting and photo, at each strength:",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    print("\n".join(lines))
    for style, painting in arguments.pairs:
        rows[style] = row = measure(style, painting, photos, yardstick)
        distances = row["distance"]
        cells = [style, f"{-20 * np.log10(distances[0]):.1f}", *(f"{d:.3f}" for d in distances)]
        cells.append("yes" if all(np.diff(distances) > 0) else "no")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if arguments.quick:
        return
    result = {"machine": machine(), "side_px": SIDE_PX, "strengths": STRENGTHS}
    result["rows"] = [{"name": style, **row} for style, row in rows.items()]
    keep("strength", result, "\n".join(lines) + "\n", lambda file: plot(rows, file), arguments.out)


if __name__ == "__main__":
    run(main)
