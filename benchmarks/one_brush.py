"""Whether pictures of all sizes are painted with the same brush, relative to the picture.

    python benchmarks/one_brush.py DATA [starry-night fast:udnie ...]

Each scene is painted at every height of HEIGHTS, and the paintings are reduced to the lowest one.
Then their luma should have the same spectrum: the table gives the amplitude of each octave of waves
over the mean of all heights. What is finer than half the reduced picture's resolution is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from record import add_usual, in_one_line, keep, machine, run
from scenes import PHOTOS, network_painter

HEIGHTS = (360, 540, 720, 1080, 2160)
"""Lines of the pictures that are painted."""

OCTAVES = tuple((2.0**i, 2.0 ** (i + 1)) for i in range(2, 7))
"""Waves per picture height: the reduced picture has at most HEIGHTS[0] / 2."""

STYLES = ("starry-night", "udnie", "composition-vii", "great-wave")
SCENES = PHOTOS[::4]
_SHAPE = 16 / 9
_LUMA = (0.299, 0.587, 0.114)


def main() -> None:
    """Paints, compares, and records the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="the folder of perceptual/, photos/ and videos/"
    )
    parser.add_argument("styles", nargs="*", default=STYLES, help="names; fast:NAME: the fast tier")
    add_usual(parser)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for style in options.styles:
        for name in SCENES[:1] if options.quick else SCENES:
            with Image.open(options.data / "photos" / "sharp_test" / f"{name}.jpg") as photo:
                rows += compared(style, name, photo.convert("RGB"))
                print(f"{style}, {name}: {worst(rows[-len(HEIGHTS) :]):.3f}", flush=True)
    result = {"machine": machine(), "rows": rows}
    text = table(result)
    print(text)
    if not options.quick:
        keep("one_brush", result, text, folder=options.out)


def compared(style: str, scene: str, photo: Image.Image) -> list[dict[str, Any]]:
    """A row per height: the amplitude of each octave over the mean of all heights."""
    lowest = HEIGHTS[0]
    found = []
    for height in HEIGHTS:
        size = (round(height * _SHAPE / 2) * 2, height)
        painter = network_painter(style)  # one per size: each keeps what it has compiled
        painted = painter(np.asarray(ImageOps.fit(photo, size, Image.Resampling.LANCZOS)))
        small = Image.fromarray(painted).resize(
            (round(lowest * _SHAPE), lowest), Image.Resampling.BOX
        )
        found.append(amplitudes(np.asarray(small) @ np.array(_LUMA)))
    mean = np.mean(found, 0)
    return [
        {
            "style": style,
            "scene": scene,
            "height": height,
            "octaves": (each / mean).round(3).tolist(),
        }
        for height, each in zip(HEIGHTS, found, strict=True)
    ]


def amplitudes(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root mean square of the waves of each of OCTAVES in a picture, (H, W)."""
    height, width = luma.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((luma - luma.mean()) * window)) ** 2
    down, across = np.fft.fftfreq(height), np.fft.fftfreq(width)
    waves = height * np.hypot(down[:, None], across[None])
    return np.array(
        [np.sqrt(power[(waves >= low) & (waves < high)].mean()) for low, high in OCTAVES]
    )


def worst(rows: list[dict[str, Any]]) -> float:
    """The largest distance from 1 in some rows."""
    return max(abs(value - 1) for row in rows for value in row["octaves"])


def table(result: dict[str, Any]) -> str:
    """The result as Markdown: means over styles and scenes, and the value furthest from 1."""
    bands = " | ".join(f"{low:.0f} to {high:.0f}" for low, high in OCTAVES)
    lines = [
        "# One brush at all sizes",
        "",
        f"{in_one_line(result['machine'])}",
        "",
        f"Amplitude of luma's waves (per picture height) after reduction to {HEIGHTS[0]} lines, "
        "over the mean of all heights;",
        "means of styles and scenes, and the single value that is furthest from 1.",
        "",
        f"| lines | {bands} | furthest |",
        "|---" * (len(OCTAVES) + 2) + "|",
    ]
    for height in HEIGHTS:
        rows = [row for row in result["rows"] if row["height"] == height]
        means = np.mean([row["octaves"] for row in rows], 0)
        values = [value for row in rows for value in row["octaves"]]
        furthest = max(values, key=lambda value: abs(value - 1))
        lines.append(
            f"| {height} | {' | '.join(f'{mean:.2f}' for mean in means)} | {furthest:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
