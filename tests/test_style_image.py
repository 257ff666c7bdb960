"""Any picture as a style, at once."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import make_film, painter_of, run_cli, scene_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from realtime_style import Look, open_style
from realtime_style.engines.network import Network
from realtime_style.errors import MediaError, StyleFileError
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.painting import palette, style_picture
from realtime_style.painting.chain import build_painter
from realtime_style.painting.palette import RangeMap, chart_picture, sums_of, with_palette
from realtime_style.painting.style_picture import open_any_style, style_from_picture
from realtime_style.style.bundled import bundled_styles, tier_of
from realtime_style.style.picture_encoder import ENCODER, look_size
from realtime_style.style.style import Style
from realtime_style.system.cores import multiplies_integers

PHOTO = scene_rgb(256, 192, 1.0)


def strokes(
    path: Path, colors: list[str], seed: int = 0, size: tuple[int, int] = (400, 300)
) -> Path:
    """A picture of many thick lines in a few colours."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", size, colors[0])
    draw = ImageDraw.Draw(picture)
    for number in range(400):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        dx, dy = random.integers(-30, 30, 2)
        draw.line((x, y, x + dx, y + dy), colors[number % len(colors)], 6)
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def blue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strokes(tmp_path_factory.mktemp("blue") / "blue.png", ["#102050", "#3060c0", "#a0c0f0"])


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strokes(tmp_path_factory.mktemp("red") / "red.jpg", ["#501010", "#c03020", "#f0d080"])


@pytest.fixture(scope="module")
def in_blue(blue: Path) -> Style:
    return style_from_picture(blue)


@pytest.fixture(scope="module")
def in_red(red: Path) -> Style:
    return style_from_picture(red)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Palettes are fitted badly, in no time."""
    monkeypatch.setattr(palette, "_STEPS", 2)


def painted(look: Look, precision: str = "f32") -> NDArray[np.uint8]:
    return painter_of(look, precision=precision).paint_rgb(PHOTO)


def test_paintings_have_the_pictures_colours(in_blue: Style, in_red: Style) -> None:
    cold, warm = painted(Look(in_blue)).astype(float), painted(Look(in_red)).astype(float)
    assert (cold[..., 2] - cold[..., 0]).mean() > 30
    assert (warm[..., 0] - warm[..., 2]).mean() > 30
    for each in (cold, warm):  # light stays light
        assert np.corrcoef(PHOTO.mean(2).ravel(), each.mean(2).ravel())[0, 1] > 0.6


def test_no_photo_is_painted_in_colours_that_the_picture_has_not(in_blue: Style) -> None:
    """Not even one whose colours are purer than all of the chart's."""
    cells = np.random.default_rng(0).integers(0, 2, (6, 8, 3), dtype=np.uint8) * 255
    pure = cells.repeat(32, 0).repeat(32, 1)
    cold = build_painter(in_blue).paint_rgb(pure).astype(float)
    assert (cold[..., 0] - cold[..., 2] < 16).mean() > 0.99  # nothing is red


def test_a_picture_always_gives_the_same_style(blue: Path, in_blue: Style) -> None:
    assert style_from_picture(blue) == in_blue


def test_the_style_with_the_most_similar_strokes_is_recoloured(
    blue: Path, in_blue: Style, quick: None
) -> None:
    names = json.loads(onnx.load(ENCODER).metadata_props[0].value)
    assert set(names) == set(bundled_styles())
    nearest = style_picture._nearest_style(style_picture._read(blue), "auto")
    own, found = open_style(nearest).weights(), in_blue.weights()
    changed = {name for name, weight in found.items() if not np.array_equal(weight, own[name])}
    assert changed == {
        f"range.{layer}.{kind}"
        for layer in ("first", "second", "last")
        for kind in ("weight", "bias")
    }


def test_what_is_made_of_a_picture_is_a_style_like_any_other(
    in_blue: Style, blue: Path, quick: None
) -> None:
    assert in_blue.name == "blue"
    assert in_blue.card == {"title": "blue", "made": {"of_picture": "blue.png"}}
    assert in_blue.ranges is not None
    for look in (
        Look(in_blue, strength=0.5),
        Look(in_blue, {"great-wave": 0.4}),
        Look("great-wave", {blue: 0.4}),
        Look(in_blue, variation=3),
    ):
        assert painted(look).shape == PHOTO.shape


@pytest.mark.skipif(not multiplies_integers(), reason="this CPU has no integer arithmetic")
@pytest.mark.parametrize("name", ["in_blue", "in_red"])
def test_integers_paint_it_as_well(name: str, request: pytest.FixtureRequest) -> None:
    look = Look(request.getfixturevalue(name))
    exact, whole = (painted(look, precision).astype(float) for precision in ("f32", "int8"))
    error = np.square(exact - whole).mean()
    assert 10 * math.log10(255**2 / error) > 34


def test_the_map_that_is_fitted_is_the_networks(in_blue: Style) -> None:
    """`sums_of` and `RangeMap`, one after the other, paint as the whole network does."""
    picture = frame_from_rgb(chart_picture(), in_blue.color)
    network = Network(in_blue.model.SerializeToString())
    planes = {"luma": picture.luma, "chroma": picture.chroma}
    out = network(planes | {f"canvas_{name}": plane for name, plane in planes.items()})
    packed = RangeMap(in_blue)(sums_of(in_blue, picture)).clip(0, 255)
    luma = out["painted_luma"][0, 0].astype(float)
    for phase in range(4):
        expected = luma[phase // 2 :: 2, phase % 2 :: 2].ravel()
        assert np.abs(packed[:, phase] - expected).max() < 0.6  # rounding to 8 bits
    chroma = out["painted_chroma"][0].reshape(2, -1)
    assert np.abs(packed[:, 4:].T - chroma).max() < 0.6


def test_ranges_hold_for_what_the_new_map_reads(in_blue: Style) -> None:
    sums = sums_of(in_blue, frame_from_rgb(chart_picture(), in_blue.color))
    _, second, last = RangeMap(in_blue)._read(sums)
    assert in_blue.ranges is not None
    for name, read in (("range.second", second), ("range.last", last)):
        low, high = in_blue.ranges[name]
        assert low == 0
        assert read.max() / 2 < high < 2 * read.max()
        assert (read <= high).mean() > 0.999


def test_flat_pictures_stay_flat(in_blue: Style) -> None:
    """Equal phases of luma remain equal, or each flat area would have a grid."""
    greys = np.linspace(-100, 100, 41, dtype=np.float32)[:, None]
    packed = np.concatenate((greys.repeat(4, 1), np.zeros((41, 2), np.float32)), 1)
    for style in (open_style("night-cafe"), in_blue):
        luma = RangeMap(style)(packed)[:, :4]
        assert np.abs(luma - luma.mean(1, keepdims=True)).max() < 0.1


def test_a_style_in_its_own_colours_is_itself() -> None:
    style = open_style("mondrian")
    sums = sums_of(style, frame_from_rgb(chart_picture(), style.color))
    own = palette._rgb_of(RangeMap(style)(sums), style.color).mean(1)
    same = with_palette(style, own, "same", {})
    assert np.abs(RangeMap(same)(sums) - RangeMap(style)(sums)).mean() < 4


def test_a_picture_has_a_fast_tier(blue: Path, in_blue: Style, quick: None) -> None:
    fast = open_any_style(blue, "fast")
    assert tier_of(fast) == "fast"
    assert tier_of(in_blue) == "standard"
    assert fast.card == in_blue.card


def test_a_look_has_its_shape_and_sides_of_fours() -> None:
    assert look_size(4000, 3000) == (592, 444)
    assert look_size(512, 512) == (512, 512)
    for width, height in ((64, 6400), (333, 777), (5000, 64)):
        look = look_size(width, height)
        assert all(side % 4 == 0 and side >= 32 for side in look)
        assert max(look) <= 5200


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGBA", "P", "I;16"])
def test_pictures_of_every_kind(blue: Path, tmp_path: Path, mode: str) -> None:
    picture = Image.open(blue)
    if mode == "I;16":
        other = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        other = picture.convert(mode)
    path = tmp_path / f"other.{'tif' if mode == 'CMYK' else 'png'}"
    other.save(path)
    read = style_picture._read(path).astype(float)
    assert read.shape == (*look_size(400, 300)[::-1], 3)
    alike = np.corrcoef(read.mean(2).ravel(), style_picture._read(blue).mean(2).ravel())[0, 1]
    assert alike > 0.95


def test_the_first_picture_of_an_animation_counts(blue: Path, red: Path, tmp_path: Path) -> None:
    frames = [Image.open(path).convert("RGB").resize((400, 300)) for path in (blue, red)]
    frames[0].save(tmp_path / "still.png")
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    still, moving = (style_picture._read(tmp_path / name) for name in ("still.png", "moving.webp"))
    assert np.array_equal(still, moving)


def test_bad_pictures_are_refused_in_one_line(blue: Path, tmp_path: Path) -> None:
    (tmp_path / "rubbish.png").write_bytes(b"rubbish")
    (tmp_path / "cut.png").write_bytes(blue.read_bytes()[:500])
    Image.new("RGB", (63, 500)).save(tmp_path / "tiny.png")
    Image.new("1", (30_000, 30_000)).save(tmp_path / "huge.png")
    (tmp_path / "text.txt").write_text("no picture")
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (200, 200), "white").save(tmp_path / "white.png")
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(PHOTO).save(photo)
    for name, words in (
        ("rubbish.png", "cannot be read as a picture"),
        ("cut.png", "cannot be read as a picture"),
        ("tiny.png", "is 63x500; a picture to take a style from has at least 64x64 pixels"),
        ("huge.png", "is too large; at most 150 million pixels"),
        ("text.txt", "is not the ending of a picture file"),
        ("missing.png", "there is no picture"),
        ("folder", "is a folder; give one picture"),
        ("white.png", "has only one colour"),
    ):
        run = run_cli("image", photo, out, "--style-image", tmp_path / name)
        assert run.returncode == 1
        assert words in " ".join(run.stderr.split()), run.stderr
        assert run.stderr.count("error:") == 1
        assert "Traceback" not in run.stderr
        assert not out.exists()


@pytest.mark.parametrize("names", ['["udnie", "another"]', "[]"])
def test_an_encoder_of_other_styles_is_refused(
    blue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    model = onnx.load(ENCODER)
    model.metadata_props[0].value = names
    onnx.save(model, tmp_path / "encoder.onnx")
    monkeypatch.setattr(style_picture, "ENCODER", tmp_path / "encoder.onnx")
    with pytest.raises(StyleFileError, match="does not match the bundled styles"):
        style_from_picture(blue)
    with pytest.raises(MediaError, match="there is no picture"):
        style_from_picture(tmp_path / "none.png")


def test_films_pictures_and_cameras_are_painted_like_a_picture(
    blue: Path, tmp_path: Path, quick: None
) -> None:
    film, photo = make_film(tmp_path / "in.mp4", pts=range(4)), tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    run = run_cli("video", film, tmp_path / "out.mp4", "--style-image", blue, "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout.splitlines()[-1])
    assert (said["style"], said["look"]) == ("blue", "blue")
    run = run_cli("image", photo, tmp_path / "out.png", "--style-image", blue, "--json")
    assert run.returncode == 0, run.stderr
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png")).shape, PHOTO.shape)
    live = tmp_path / "live.mkv"
    run = run_cli(
        "webcam", "--source", film, "--no-window", "--record", live, "--style-image", blue
    )
    assert run.returncode == 0, run.stderr
    assert live.is_file()


def test_a_pictures_style_is_kept_as_a_file(blue: Path, tmp_path: Path, quick: None) -> None:
    out = tmp_path / "mine.onnx"
    run = run_cli("style-from", blue, out, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["card"]["made"] == {"of_picture": "blue.png"}
    kept = open_style(out)
    assert kept.name == "mine"
    assert np.array_equal(painted(Look(out)), painted(Look(blue)))
    run = run_cli("style-from", tmp_path / "none.png", tmp_path / "other.onnx")
    assert run.returncode == 1
    assert "there is no picture" in run.stderr
    run = run_cli("style-from", "mondrain", tmp_path / "other.onnx")
    assert run.returncode == 1
    assert "there is no style 'mondrain' (did you mean mondrian?)" in run.stderr


def test_dark_and_flat_pictures_leave_something_to_be_seen(blue: Path, tmp_path: Path) -> None:
    light = np.asarray(Image.open(blue).convert("RGB"))
    for name, faint in (("dark", light / 8), ("pale", 230 + light / 16)):
        path = tmp_path / f"{name}.png"
        Image.fromarray(faint.astype(np.uint8)).save(path)
        luma = painted(Look(path)).mean(2)
        assert luma.std() > 12, name
        assert 40 < luma.mean() < 215, name
        assert np.corrcoef(PHOTO.mean(2).ravel(), luma.ravel())[0, 1] > 0.6, name


def test_a_style_and_a_picture_are_one_too_many(blue: Path, tmp_path: Path) -> None:
    for other in (("--style", "great-wave"), ("--tier", "slow"), ("--blend", "mondrian:1.3")):
        run = run_cli("image", blue, tmp_path / "out.png", "--style-image", blue, *other)
        assert run.returncode == 2, run.stderr
        assert "Traceback" not in run.stderr


def test_nobody_is_told_that_a_picture_was_looked_at(blue: Path) -> None:
    """OpenVINO tells its maker of its use, unless it is kept from it before it is imported."""
    script = (
        "import sys; from realtime_style.painting.style_picture import style_from_picture; "
        "style_from_picture(sys.argv[1], engine='openvino'); "
        "assert 'openvino' in sys.modules; assert sys.modules['openvino_telemetry'] is None"
    )
    subprocess.run([sys.executable, "-c", script, str(blue)], check=True, timeout=120)
