"""Pictures for people to look at: sheet, gallery, looks and nothing (.jpg), gallery.webp, in docs.

    python benchmarks/sheet.py [--clip FILM] [--pictures PICTURE=TRAINED.onnx ...]

The sheet has six photos in four styles, the gallery one photo in every bundled style, the looks one
photo in rising strength, in blends, in variations and in its own colours; the photos are in the
public domain and come with scikit-image (of the extra [dev]). Nothing is what is painted without
one. With `--clip`, a film that may be shown is painted in several styles, side by side, as a small
animation. `--pictures` paints pictures.jpg instead: photos painted like each picture at once, by
the style that was trained for it, and with nothing of it but its colours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from quality import COLORS, open_painter
from record import run
from skimage import data

import realtime_style as rs
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.painting.from_noise import paint_from_noise

DOCS = Path(__file__).resolve().parents[1] / "docs"
TILE_PX, GAP_PX = 400, 8
SHEET_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins")
SHEET_STYLES = ("composition-vii", "great-wave", "starry-night", "the-scream")
GALLERY_PHOTO, GALLERY_COLUMNS, LABEL_PX = "chelsea", 5, 28
CLIP_STYLES = ("starry-night", "great-wave", "water-lilies", "mondrian", "woman-with-a-hat")
CLIP_WIDTH, CLIP_HEIGHT, CLIP_RATE, CLIP_SECONDS, CLIP_COLUMNS = 256, 144, 10, 2.4, 3


def read_photo(name: str) -> Image.Image:
    """The middle of a photo, as a square."""
    photo = Image.fromarray(getattr(data, name)()).convert("RGB")
    return ImageOps.fit(photo, (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)


def sheet() -> Image.Image:
    """A row a photo, a column a style, the photo first."""
    stylizers = [rs.open_stylizer(style, precision="f32") for style in SHEET_STYLES]
    step = TILE_PX + GAP_PX
    size = (step * (len(SHEET_STYLES) + 1) - GAP_PX, step * len(SHEET_PHOTOS) - GAP_PX)
    whole = Image.new("RGB", size, "white")
    for row, name in enumerate(SHEET_PHOTOS):
        photo = read_photo(name)
        whole.paste(photo, (0, row * step))
        for column, stylizer in enumerate(stylizers):
            painted = Image.fromarray(stylizer.paint_rgb(np.asarray(photo)))
            whole.paste(painted, ((column + 1) * step, row * step))
    return whole


def gallery() -> Image.Image:
    """One photo as it is, then in every bundled style, each with its name below."""
    photo = read_photo(GALLERY_PHOTO)
    tiles = [("the photo", photo)]
    tiles += [(style, _painted(rs.Look(style), photo)) for style in rs.bundled_styles()]
    return _labelled(tiles, GALLERY_COLUMNS)


def looks() -> Image.Image:
    """Rows of one photo: strengths, shares of a blend, variations, colours that are kept."""
    photo = read_photo("astronaut")
    rows = (
        {f"strength {s:g}": rs.Look("great-wave", strength=s) for s in (0, 0.35, 0.7, 1, 1.5)},
        {
            f"{1 - s:.0%} starry-night, {s:.0%} mondrian": rs.Look("starry-night", {"mondrian": s})
            for s in (0, 0.25, 0.5, 0.75, 1)
        },
        {
            f"variation {n}": rs.Look("woman-with-a-hat", variation=n)
            for n in (None, 1, 2, 3, 4)
        },
        {
            f"{name}, own colours": rs.Look(name, keep_colors=True)
            for name in ("starry-night", "great-wave", "mondrian", "night-cafe", "the-scream")
        },
    )  # fmt: skip
    tiles = [
        (name.replace("variation None", "woman-with-a-hat"), _painted(look, photo))
        for row in rows
        for name, look in row.items()
    ]
    return _labelled(tiles, len(rows[0]))


def nothing() -> Image.Image:
    """Paintings of nothing."""
    styles = ("great-wave", "composition-vii", "woman-with-a-hat", "starry-night")
    pictures = [
        paint_from_noise(rs.open_stylizer(style, precision="f32"), seed, rs.Size(600, 800))
        for seed, style in enumerate(styles, 11)
    ]
    return Image.fromarray(np.vstack((np.hstack(pictures[:2]), np.hstack(pictures[2:]))))


def pictures(pairs: list[str]) -> Image.Image:
    """A row a picture: two photos painted like it in each of the three ways.

    The pictures themselves are not shown: not all may be given on.
    """
    tiles = []
    for pair in pairs:
        picture, trained = pair.split("=", 1)
        name = Path(picture).stem.replace("_", " ")
        ways = {
            f"{name}, at once": picture, "trained": trained, "only its colours": COLORS + picture
        }  # fmt: skip
        painters = {way: open_painter(network)[0] for way, network in ways.items()}
        for photo in map(read_photo, ("chelsea", "coffee")):
            for way, paint in painters.items():
                tiles.append((way, Image.fromarray(paint(np.asarray(photo)))))
    return _labelled(tiles, 6)


def _painted(look: rs.Look, photo: Image.Image) -> Image.Image:
    return Image.fromarray(rs.open_stylizer(look, precision="f32").paint_rgb(np.asarray(photo)))


def _labelled(tiles: list[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Tiles in rows, each with its name below."""
    rows = -(-len(tiles) // columns)
    across, down = TILE_PX + GAP_PX, TILE_PX + LABEL_PX + GAP_PX
    whole = Image.new("RGB", (across * columns - GAP_PX, down * rows - GAP_PX), "white")
    draw = ImageDraw.Draw(whole)
    font = ImageFont.load_default(20)
    for number, (name, tile) in enumerate(tiles):
        x, y = number % columns * across, number // columns * down
        whole.paste(tile, (x, y))
        draw.text((x + 4, y + TILE_PX + 2), name, "black", font)
    return whole


def animation(clip: Path) -> list[Image.Image]:
    """The film beside its paintings, frame by frame."""
    with rs.FileSource(clip, size=rs.Size(2 * CLIP_HEIGHT, 2 * CLIP_WIDTH)) as source:
        color, rate = source.info.color, float(source.info.rate)
        stylizers = [rs.Steady(rs.open_stylizer(style, color=color)) for style in CLIP_STYLES]
        shown: list[Image.Image] = []
        for number, frame in enumerate(source):
            painted = [frame, *(stylizer(frame) for stylizer in stylizers)]
            if number >= len(shown) * rate / CLIP_RATE:
                shown.append(_tiled([_small(each) for each in painted]))
            if len(shown) == CLIP_RATE * CLIP_SECONDS:
                break
    return shown


def _small(frame: rs.Frame) -> Image.Image:
    rgb = rgb_from_frame(frame)
    return Image.fromarray(rgb).resize((CLIP_WIDTH, CLIP_HEIGHT), Image.Resampling.LANCZOS)


def _tiled(tiles: list[Image.Image]) -> Image.Image:
    rows = -(-len(tiles) // CLIP_COLUMNS)
    whole = Image.new("RGB", (CLIP_WIDTH * CLIP_COLUMNS, CLIP_HEIGHT * rows))
    for number, tile in enumerate(tiles):
        column, row = number % CLIP_COLUMNS, number // CLIP_COLUMNS
        whole.paste(tile, (column * CLIP_WIDTH, row * CLIP_HEIGHT))
    return whole


def main() -> None:
    """Paints and writes them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a film that may be shown")
    parser.add_argument("--pictures", nargs="+", default=[], metavar="PICTURE=TRAINED.onnx")
    arguments = parser.parse_args()
    clip = arguments.clip
    if arguments.pictures:
        pictures(arguments.pictures).save(DOCS / "pictures.jpg", quality=80)
        return
    sheet().save(DOCS / "sheet.jpg", quality=88)
    gallery().save(DOCS / "gallery.jpg", quality=88)
    looks().save(DOCS / "looks.jpg", quality=88)
    nothing().save(DOCS / "nothing.jpg", quality=88)
    if clip:
        first, *others = animation(clip)
        first.save(
            DOCS / "gallery.webp", save_all=True, append_images=others,
            duration=round(1000 / CLIP_RATE), loop=0, quality=50, method=6,
        )  # fmt: skip


if __name__ == "__main__":
    run(main)
