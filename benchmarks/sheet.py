"""Draws the pictures of the README and the documentation, into docs/images.

    python benchmarks/sheet.py [--clip FILM] [--street PHOTO] [--pictures PICTURE ...]

Without options it draws four pictures: the sheet (six photos in four styles), the gallery (one
photo in every bundled style), the looks (one photo at rising strengths, in blends, in variations
and with its own colours) and nothing (paintings generated from noise). Their photos are in the
public domain and come with scikit-image (extra [dev]).

`--clip` adds gallery.webp: a film beside its paintings in several styles. `--street` draws only
street.webp: a camera moves over a photo, and a divider moves between the film and its painting.
`--pictures` draws only pictures.jpg: photos painted with the style of each picture.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
from painters import painter_of
from PIL import Image, ImageDraw, ImageFont, ImageOps
from record import run
from skimage import data

import realtime_style as rs
from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.painting.from_noise import paint_from_noise

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"
TILE_PX, GAP_PX = 400, 8
SHEET_PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins")
SHEET_STYLES = ("composition-vii", "great-wave", "starry-night", "the-scream")
GALLERY_PHOTO, GALLERY_COLUMNS, LABEL_PX = "chelsea", 5, 28
CLIP_STYLES = ("starry-night", "great-wave", "water-lilies", "mondrian", "woman-with-a-hat")
CLIP_WIDTH, CLIP_HEIGHT, CLIP_RATE, CLIP_SECONDS, CLIP_COLUMNS = 256, 144, 10, 2.4, 3
STREET_STYLE, STREET_WIDTH, STREET_HEIGHT = "starry-night", 640, 360
STREET_FRAMES, STREET_FRAME_MS, STREET_QUALITY = 48, 83, 47


def read_photo(name: str) -> Image.Image:
    """Returns the middle of a scikit-image photo, as a square."""
    photo = Image.fromarray(getattr(data, name)()).convert("RGB")
    return ImageOps.fit(photo, (TILE_PX, TILE_PX), Image.Resampling.LANCZOS)


def sheet() -> Image.Image:
    """One row per photo: the photo, then its paintings in four styles."""
    stylizers = [painter_of(style, precision="f32") for style in SHEET_STYLES]
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
    """One photo, then its painting in every bundled style, each with its name below."""
    photo = read_photo(GALLERY_PHOTO)
    tiles = [("the photo", photo)]
    tiles += [(style, _painted(rs.Look(style), photo)) for style in rs.bundled_styles()]
    return _labelled(tiles, GALLERY_COLUMNS)


def looks() -> Image.Image:
    """Rows of one photo: strengths, blends, variations, and styles in the photo's own colours."""
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
    """Four paintings generated from noise."""
    styles = ("great-wave", "composition-vii", "woman-with-a-hat", "starry-night")
    pictures = [
        paint_from_noise(painter_of(style, precision="f32"), seed, rs.Size(600, 800))
        for seed, style in enumerate(styles, 11)
    ]
    return Image.fromarray(np.vstack((np.hstack(pictures[:2]), np.hstack(pictures[2:]))))


def pictures(names: list[str]) -> Image.Image:
    """One row per photo: the photo painted in the style of each picture.

    The style pictures are left out: not all of them may be redistributed.
    """
    looks = {Path(name).stem.replace("_", " "): rs.Look(name) for name in names}
    tiles = [
        (title, _painted(look, photo))
        for photo in map(read_photo, ("chelsea", "coffee"))
        for title, look in looks.items()
    ]
    return _labelled(tiles, len(names))


def _painted(look: rs.Look, photo: Image.Image) -> Image.Image:
    return Image.fromarray(painter_of(look, precision="f32").paint_rgb(np.asarray(photo)))


def _labelled(tiles: list[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Puts tiles into rows, each with its name below."""
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
    """Frames of a film, each beside its paintings."""
    with rs.FileSource(clip, size=rs.Size(2 * CLIP_HEIGHT, 2 * CLIP_WIDTH)) as source:
        color, rate = source.info.color, float(source.info.rate)
        stylizers = [
            painter_of(style, color=color, stability=DEFAULT_STABILITY) for style in CLIP_STYLES
        ]
        shown: list[Image.Image] = []
        for number, frame in enumerate(source):
            painted = [frame, *(stylizer(frame) for stylizer in stylizers)]
            if number >= len(shown) * rate / CLIP_RATE:
                shown.append(_tiled([_small(each) for each in painted]))
            if len(shown) == CLIP_RATE * CLIP_SECONDS:
                break
    return shown


def street(photo: Path) -> list[Image.Image]:
    """Frames of a camera's move over a photo, painted up to a divider that moves across.

    The move is a loop: the last frame leads to the first.
    """
    picture = Image.open(photo).convert("RGB")
    shown: list[Image.Image] = []
    with tempfile.TemporaryDirectory() as folder:
        filmed, painted = Path(folder, "filmed"), Path(folder, "painted")
        filmed.mkdir()
        painted.mkdir()
        for number in range(STREET_FRAMES):
            _looked_at(picture, number / STREET_FRAMES).save(filmed / f"{number:03d}.png")
        plan = rs.PaintPlan(rs.Look(STREET_STYLE))
        request = rs.FilmRequest(str(filmed / "%03d.png"), str(painted / "%03d.png"), plan)
        with rs.open_film(request) as job:
            job.run()
        pairs = zip(sorted(filmed.iterdir()), sorted(painted.iterdir()), strict=True)
        for number, (before, after) in enumerate(pairs):
            swing = math.cos(math.tau * number / STREET_FRAMES)
            divider = round(STREET_WIDTH * (0.5 - 0.4 * swing))
            both = Image.open(before).convert("RGB")
            both.paste(Image.open(after).crop((0, 0, divider, STREET_HEIGHT)), (0, 0))
            ImageDraw.Draw(both).line((divider, 0, divider, STREET_HEIGHT), "white", 2)
            shown.append(both)
    return shown


def _looked_at(picture: Image.Image, turn: float) -> Image.Image:
    """What a camera sees of a picture at a part of its move, `turn` in 0..1."""
    zoom = 0.84 - 0.1 * math.cos(math.tau * turn)  # the part of the picture's width that is seen
    width = picture.width * zoom
    height = width * STREET_HEIGHT / STREET_WIDTH
    left = (picture.width - width) * (0.5 + 0.5 * math.sin(math.tau * turn))
    top = (picture.height - height) * 0.5
    return picture.resize(
        (STREET_WIDTH, STREET_HEIGHT), Image.Resampling.LANCZOS,
        (left, top, left + width, top + height),
    )  # fmt: skip


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
    """Paints the pictures and writes them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clip", type=Path, help="draw gallery.webp from this film")
    parser.add_argument("--street", type=Path, metavar="PHOTO", help="draw only street.webp")
    parser.add_argument("--pictures", nargs="+", default=[], metavar="PICTURE",
                        help="draw only pictures.jpg")  # fmt: skip
    arguments = parser.parse_args()
    clip = arguments.clip
    if arguments.pictures:
        pictures(arguments.pictures).save(IMAGES / "pictures.jpg", quality=80)
        return
    if arguments.street:
        save_animation("street.webp", street(arguments.street), STREET_FRAME_MS, STREET_QUALITY)
        return
    sheet().save(IMAGES / "sheet.jpg", quality=88)
    gallery().save(IMAGES / "gallery.jpg", quality=88)
    looks().save(IMAGES / "looks.jpg", quality=88)
    nothing().save(IMAGES / "nothing.jpg", quality=88)
    if clip:
        save_animation("gallery.webp", animation(clip), round(1000 / CLIP_RATE), 50)


def save_animation(name: str, frames: list[Image.Image], frame_ms: int, quality: int) -> None:
    """Writes an animated WebP that repeats without end."""
    first, *others = frames
    first.save(
        IMAGES / name, save_all=True, append_images=others,
        duration=frame_ms, loop=0, quality=quality, method=6,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
