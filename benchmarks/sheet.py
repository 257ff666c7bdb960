"""Six photos in every bundled style, for people to look at: docs/sheet.jpg.

    python benchmarks/sheet.py [STYLE ...]

The photos are in the public domain and come with scikit-image (of the extra [dev]).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from skimage import data

import realtime_style as rs

OUT = Path(__file__).resolve().parents[1] / "docs" / "sheet.jpg"
TILE_PX = 400
GAP_PX = 8
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins")


def read_photo(name: str) -> Image.Image:
    """The middle of a photo, as a square."""
    photo = Image.fromarray(getattr(data, name)()).convert("RGB")
    return ImageOps.fit(photo, (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)


def main() -> None:
    """Paints and writes the sheet: a row a photo, a column a style, the photo first."""
    styles = sys.argv[1:] or list(rs.bundled_styles())
    stylizers = [rs.open_stylizer(style, precision="f32") for style in styles]
    step = TILE_PX + GAP_PX
    size = (step * (len(styles) + 1) - GAP_PX, step * len(PHOTOS) - GAP_PX)
    sheet = Image.new("RGB", size, "white")
    for row, name in enumerate(PHOTOS):
        photo = read_photo(name)
        sheet.paste(photo, (0, row * step))
        for column, stylizer in enumerate(stylizers):
            painted = Image.fromarray(stylizer.paint_rgb(np.asarray(photo)))
            sheet.paste(painted, ((column + 1) * step, row * step))
    sheet.save(OUT, quality=88)
    print(f"{OUT}: photos, {', '.join(styles)}")


if __name__ == "__main__":
    main()
