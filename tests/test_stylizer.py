from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import painter_of, scene_rgb
from numpy.typing import NDArray
from PIL import Image

from realtime_style import Look, bundled_styles
from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.engines.registry import available_engines
from realtime_style.errors import StyleFileError
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb

rng = np.random.default_rng(0)
SPACES = [ColorSpace(m, r) for m in (BT709, SMPTE170M) for r in (LIMITED, FULL)]


def noise(height: int, width: int, color: ColorSpace = ColorSpace()) -> Frame:
    i420 = rng.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
    return Frame(i420, 7, Fraction(1, 25), color)


@pytest.mark.parametrize(
    ("height", "width"), [(48, 64), (50, 66), (16, 16), (18, 22), (720, 1280), (270, 480)]
)
def test_a_painted_frame_has_size_time_and_colour_of_the_frame(
    negative_style: Path, height: int, width: int
) -> None:
    frame = noise(height, width)
    painted = painter_of(negative_style, precision="f32")(frame)
    assert np.array_equal(painted.luma, 255 - frame.luma)
    assert np.array_equal(painted.chroma, frame.chroma)
    assert (painted.pts, painted.time_base, painted.color) == (7, Fraction(1, 25), frame.color)


@pytest.mark.parametrize("style", list(bundled_styles()))
@pytest.mark.parametrize(("height", "width"), [(16, 16), (98, 130), (96, 128)])
def test_bundled_styles_paint_any_even_size(style: str, height: int, width: int) -> None:
    painted = painter_of(style)(noise(height, width))
    assert (painted.height, painted.width) == (height, width)
    assert painted.luma.std() > 2


@pytest.mark.parametrize("style", list(bundled_styles()))
def test_texture_is_not_tied_to_the_grid_of_the_network(style: str) -> None:
    torch = pytest.importorskip("torch")
    from realtime_style.training.losses import grid_loss

    rgb = painter_of(style).paint_rgb(scene_rgb(424, 240))
    painted = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    wider = torch.nn.functional.interpolate(painted, (256, 452), mode="bicubic")
    # enlarged by 7 %, a grid of 4 pixels is one no more, while free texture stays what it was
    assert grid_loss(painted).sqrt() < 1.5 * grid_loss(wider).sqrt()


@pytest.mark.parametrize("style", list(bundled_styles()))
def test_texture_has_no_weave(style: str) -> None:
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from realtime_style.training.losses import weave_loss

    rgb = painter_of(style).paint_rgb(data.astronaut())
    painted = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255
    assert weave_loss(painted) < 0.06  # a visible one has 0.1 to 0.2, photos up to 0.04


@pytest.mark.parametrize("color", SPACES, ids=str)
def test_an_identity_leaves_every_colour_space_as_it_is(
    identity_style: Path, color: ColorSpace
) -> None:
    frame = noise(48, 64, color)
    painted = painter_of(identity_style, color=color, precision="f32")(frame)
    off = np.abs(painted.i420.astype(int) - frame.i420)
    assert off.max() <= 2


@pytest.mark.parametrize("color", SPACES[1:], ids=str)
@pytest.mark.parametrize("style", list(bundled_styles()))
def test_a_film_is_painted_alike_in_any_colour_space(style: str, color: ColorSpace) -> None:
    from realtime_style.media.scaling import rgb_from_frame

    rgb = scene_rgb(192, 128)
    ours = rgb_from_frame(painter_of(style)(frame_from_rgb(rgb, ColorSpace())))
    theirs = rgb_from_frame(painter_of(style, color=color)(frame_from_rgb(rgb, color)))
    assert np.abs(ours.astype(int) - theirs).mean() < 6
    assert np.abs(ours.mean((0, 1)) - theirs.mean((0, 1))).max() < 4


@pytest.mark.parametrize("shape", [(95, 127, 3), (64, 64, 3), (16, 16, 3)])
def test_rgb_pictures_keep_their_size(identity_style: Path, shape: tuple[int, int, int]) -> None:
    rgb = np.full(shape, (200, 80, 40), np.uint8)
    painted = painter_of(identity_style, grain=False).paint_rgb(rgb)
    assert painted.shape == shape
    assert np.abs(painted.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_what_is_no_rgb_picture_is_refused(identity_style: Path, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        painter_of(identity_style).paint_rgb(bad)


@pytest.mark.skipif(len(available_engines()) < 2, reason="only one engine is installed")
@pytest.mark.parametrize("style", list(bundled_styles()))
def test_engines_agree(style: str) -> None:
    frame = frame_from_rgb(scene_rgb(192, 128), ColorSpace())
    first, second = (
        painter_of(style, engine=name, precision="f32")(frame).i420.astype(int)
        for name in available_engines()
    )
    assert np.abs(first - second).max() <= 1
    assert (first != second).mean() < 1e-3


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StyleFileError, match="starry-night"):
        painter_of("no-such-style")


def strokes_of(style: str, height: int, strokes: float = 1.0) -> NDArray[np.float64]:
    """What a style paints of one picture at a size, as luma of 320x180 without large forms."""
    rgb = np.asarray(Image.fromarray(scene_rgb(1920, 1080)).resize((height * 16 // 9, height)))
    painted = painter_of(Look(style, strokes=strokes), precision="f32").paint_rgb(rgb)
    small = Image.fromarray(painted).convert("L").resize((320, 180), Image.Resampling.BOX)
    forms = small.resize((20, 11), Image.Resampling.BOX).resize((320, 180))
    return np.asarray(small, float).ravel() - np.asarray(forms, float).ravel()


@pytest.mark.parametrize("style", ["udnie", "mondrian"])
def test_pictures_of_all_sizes_are_painted_with_one_brush(style: str) -> None:
    ours = strokes_of(style, 360)
    for height in (720, 1080):
        assert np.corrcoef(ours, strokes_of(style, height))[0, 1] > 0.93
    assert np.corrcoef(ours, strokes_of(style, 360, strokes=2.0))[0, 1] < 0.85  # a larger brush
