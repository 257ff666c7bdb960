"""Measures the colours of photos, for the chart on which style pictures give a style its palette.

    python -m export.chart PHOTOS realtime_style/models/chart.png

PHOTOS is a folder of photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from realtime_style.painting.palette import CHART_SIDE
from realtime_style.style.color_transport import in_oklab

_SIDE_PX = 64  # to which photos are reduced, so that each counts equally


def typical_colors(photos: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The colours of photos, evenly from dark to light, and for each lightness from hue to hue.

    Args:
        photos: (H, W, 3) uint8 RGB each, all of one size.

    Returns:
        (CHART_SIDE, CHART_SIDE, 3) uint8 RGB: dark colours in the top row, light ones at the
        bottom, and in each row the colours in the order of their hues.
    """
    colors = np.concatenate([photo.reshape(-1, 3) for photo in photos])
    lightness, a, b = in_oklab(colors / 255).T
    rows = np.array_split(lightness.argsort(kind="stable"), CHART_SIDE)
    chart = np.empty((CHART_SIDE, CHART_SIDE, 3), np.uint8)
    for row, found in enumerate(rows):
        around = found[np.arctan2(b[found], a[found]).argsort(kind="stable")]
        steps = np.linspace(0, len(around) - 1, CHART_SIDE).round().astype(int)
        chart[row] = colors[around[steps]]
    return chart


def main() -> None:
    """Measures the photos of a folder and writes the chart."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    arguments = parser.parse_args()
    photos = []
    for path in sorted(arguments.photos.iterdir()):
        try:
            with Image.open(path) as photo:
                small = photo.convert("RGB").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
        except (UnidentifiedImageError, OSError):
            continue
        photos.append(np.asarray(small))
    Image.fromarray(typical_colors(photos)).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
