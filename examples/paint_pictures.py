"""Paints every picture of a folder in three looks.

    python examples/paint_pictures.py photos/ painted/

A painter is built once for each look and used for all pictures: loading the network takes longer
than painting a picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import realtime_style as rs

LOOKS = {
    "wave": rs.Look("great-wave"),
    "half a scream": rs.Look("the-scream", strength=0.5),
    "night and mondrian": rs.Look("starry-night", blend={"mondrian": 0.4}),
}


def main(folder: str, out: str) -> None:
    """Writes OUT/LOOK/NAME.png for each picture and each look."""
    pictures = [path for path in sorted(Path(folder).iterdir()) if path.suffix in (".jpg", ".png")]
    for name, look in LOOKS.items():
        painter = rs.build_painter(rs.PaintPlan(look, stability=0))  # pictures have no order
        (Path(out) / name).mkdir(parents=True, exist_ok=True)
        for path in pictures:
            rgb = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            painted = painter.paint_rgb(np.asarray(rgb))  # (H, W, 3) uint8 in and out
            Image.fromarray(painted).save(Path(out) / name / f"{path.stem}.png")
            print(f"{name}: {path.name}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except rs.StyleError as error:
        raise SystemExit(f"error: {error}") from error
