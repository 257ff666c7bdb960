"""Sheets of one picture in several styles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import grey, make_film, run_cli, scene_rgb
from PIL import Image

from realtime_style.errors import StyleError
from realtime_style.jobs.comparison import ComparisonRequest, paint_comparison
from realtime_style.media.lettering import Lettering
from realtime_style.media.sheet import Tile, _label, draw_sheet
from realtime_style.style.bundled import bundled_cards, bundled_styles


def tile(luma: int) -> Tile:
    return Tile(np.full((60, 80, 3), luma, np.uint8), "title", "about")


def lumas_in(sheet: Image.Image, shape: float, columns: int, count: int) -> list[int]:
    """The luma in the middle of each picture of a sheet."""
    grey_sheet = np.asarray(sheet.convert("L"))
    height, width = grey_sheet.shape
    cell = (width - 12) // columns
    cell_height = (height - 12) // -(-count // columns)
    picture_height = round((cell - 12) / shape)
    return [
        int(grey_sheet[12 + i // columns * cell_height + picture_height // 2,
                       12 + i % columns * cell + cell // 2])
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (6, 3), (13, 5)])
def test_pictures_lie_in_rows_with_few_places_empty(count: int, columns: int) -> None:
    sheet = draw_sheet([tile(10 * i) for i in range(count)], 4 / 3)
    assert sheet.shape[1] == 12 + columns * 492
    found = lumas_in(Image.fromarray(sheet), 4 / 3, columns, count)
    assert found == [10 * i for i in range(count)]


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_pictures_are_shown_in_the_shape_that_is_asked_for(shape: float) -> None:
    sheet = draw_sheet([tile(0)], shape)
    black = (sheet == 0).all(2)
    rows, columns = black[:, 12 + 5].sum(), black[12 + 5].sum()
    assert columns / rows == pytest.approx(shape, rel=0.01)
    assert max(rows, columns) == 480


def test_a_label_is_as_wide_as_its_picture() -> None:
    long = draw_sheet([Tile(np.zeros((60, 80, 3), np.uint8), "W" * 200, "Café " * 99)], 4 / 3)
    label = long[12 + 360 :]
    assert (label[:, 12:400] < 200).any()
    assert (label[:, 12 + 480 :] == 255).all()


@pytest.mark.parametrize(("shape", "lines"), [(0.1, 4), (9 / 16, 3), (16 / 9, 3)])
def test_the_labels_of_the_included_styles_are_whole(shape: float, lines: int) -> None:
    black = np.zeros((9, 9, 3), np.uint8)
    width = max(220, round(480 * min(shape, 1)))
    for card in bundled_cards().values():
        about = f"{card['painter']}, {card['title']}"
        title, *rest = _label(Tile(black, "x", about), width, Lettering(about))
        assert title == "x"
        assert " ".join(rest) in (about, about.replace("é", "e"))  # as the installed fonts have it
    long = "Georges Seurat, A Sunday Afternoon on the Island of La Grande Jatte"
    sheet = draw_sheet([Tile(black, "x", long)], shape)
    assert sheet.shape[0] == 12 + round(480 / max(shape, 1)) + lines * 26 + 24
    ink = (sheet[-24 - 26 : -24] < 200).any(2)  # the last line
    assert 0 < ink.sum() < ink.size / 4


def test_a_style_of_a_picture_has_that_picture_in_its_corner(tmp_path: Path) -> None:
    Image.new("RGB", (96, 72), (128, 128, 128)).save(tmp_path / "photo.png")
    striped = np.zeros((128, 96, 3), np.uint8)
    striped[:, :, 0] = 255
    striped[::8] = 0
    Image.fromarray(striped).save(tmp_path / "red.png")
    styles = ("-s", "red.png", "-s", "udnie")
    done = run_cli("compare", "photo.png", "sheet.png", *styles, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        rgb = np.asarray(sheet).astype(int)
    rows, columns = np.nonzero((rgb[12:372, 504:984] == 255).all(2))  # the border of the inset
    assert (rows.min(), rows.max(), columns.max()) == (360 - 108 - 8, 359, 479)
    assert columns.min() == 480 - 81 - 8
    inset = rgb[12 + 360 - 112 : 12 + 360 - 4, 504 + 480 - 85 : 504 + 480 - 4]
    assert np.abs(inset.mean((0, 1)) - striped.mean((0, 1))).max() < 8


def test_a_film_is_compared_at_a_frame_in_all_given_styles(
    tmp_path: Path, film: Path, identity_style: Path, negative_style: Path
) -> None:
    styles = ("-s", identity_style, "-s", negative_style)
    done = run_cli("compare", film, tmp_path / "sheet.png", *styles, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["styles"] == [str(identity_style), str(negative_style)]
    with Image.open(tmp_path / "sheet.png") as sheet:
        found = lumas_in(sheet, 4 / 3, 3, 3)
    middle = (grey(5) - 16) * 255 / 219  # of the film's limited range
    assert found == pytest.approx([middle, middle, (239 - grey(5)) * 255 / 219], abs=6)
    at = ("--start", "0.08")
    assert run_cli("compare", film, tmp_path / "early.png", *styles, *at).returncode == 0
    with Image.open(tmp_path / "early.png") as sheet:
        first = lumas_in(sheet, 4 / 3, 3, 3)[0]
    assert first == pytest.approx((grey(2) - 16) * 255 / 219, abs=5)
    again = run_cli("compare", film, tmp_path / "early.png", *styles)
    assert again.returncode == 1
    assert "exists already" in again.stderr


def test_numbered_pictures_are_compared_as_a_film(tmp_path: Path, identity_style: Path) -> None:
    for number in range(3):
        Image.new("L", (64, 48), 60 * number).save(tmp_path / f"frame_{number:02d}.png")
    done = run_cli("compare", "frame_%02d.png", "sheet.png", "-s", identity_style, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert lumas_in(sheet, 4 / 3, 2, 2) == pytest.approx([60, 60], abs=4)


@pytest.mark.slow
def test_a_photo_is_compared_in_every_included_style(tmp_path: Path) -> None:
    Image.fromarray(scene_rgb(96, 64)).save(tmp_path / "photo.png")
    said: list[str] = []
    request = ComparisonRequest(str(tmp_path / "photo.png"), str(tmp_path / "sheet.jpg"))
    assert paint_comparison(request, said.append) == list(bundled_styles()) == said


def test_all_styles_are_opened_before_the_first_is_painted(tmp_path: Path) -> None:
    Image.fromarray(scene_rgb(96, 64)).save(tmp_path / "photo.png")
    said: list[str] = []
    for last in ("none", "none.onnx", str(tmp_path / "none.png")):
        request = ComparisonRequest(
            str(tmp_path / "photo.png"), str(tmp_path / "sheet.png"), ("udnie", last)
        )
        with pytest.raises(StyleError, match="there is no"):
            paint_comparison(request, said.append)
    assert said == []


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("film.mp4", "sheet.mp4", "must end in .png"),
        ("film.mp4", "film.mp4", "painted over itself"),
        ("none.mp4", "sheet.png", "there is no file none.mp4"),
        ("none.jpg", "sheet.png", "there is no picture none.jpg"),
        ("film.mp4", "none/sheet.png", "there is no folder none"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path, source: str, out: str, message: str
) -> None:
    make_film(tmp_path / "film.mp4", pts=range(2), sound=None)
    done = run_cli("compare", source, out, "-s", "udnie", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
