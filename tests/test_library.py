"""What `import realtime_style as rs` offers, as a program uses it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_cli, scene_rgb
from PIL import Image

import realtime_style as rs
from realtime_style.style.bundled import tier_of


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(scene_rgb(96, 64)).save(path)
    return path


def test_a_picture_file_is_painted_in_one_call(
    tmp_path: Path, photo: Path, negative_style: Path
) -> None:
    out = tmp_path / "out.png"
    assert rs.stylize_image(photo, out, negative_style) == []
    painted, source = np.asarray(Image.open(out)).astype(int), scene_rgb(96, 64).astype(int)
    assert painted.shape == source.shape
    correlation = np.corrcoef(painted.mean(2).ravel(), source.mean(2).ravel())[0, 1]
    assert correlation < -0.95
    with pytest.raises(rs.MediaError, match="exists already"):
        rs.stylize_image(str(photo), str(out), negative_style)
    rs.stylize_image(str(photo), str(out), negative_style, overwrite=True)


def test_strength_and_tier_are_taken_where_a_style_is() -> None:
    look = rs.Look("great-wave", strength=0.4, tier="fast")
    assert rs.PaintPlan("Hokusai", strength=0.4, tier="fast") == rs.PaintPlan(look)
    assert rs.PaintPlan(rs.Look("great-wave", tier="fast"), strength=0.4) == rs.PaintPlan(look)
    assert rs.PaintPlan().look == rs.Look()
    painter = rs.build_painter("great wave", strength=0.4, tier="fast")
    wanted = rs.build_painter(rs.PaintPlan(look))
    assert painter.style == wanted.style
    assert tier_of(painter.style) == "fast"
    assert rs.build_painter(rs.PaintPlan("great-wave"), tier="fast", strength=0.4).style == (
        wanted.style
    )
    with pytest.raises(rs.StyleFileError, match=r"strength must be from 0 to 1\.5"):
        rs.PaintPlan("great-wave", strength=2)
    with pytest.raises(rs.StyleFileError, match="there is no tier 'slow'"):
        rs.build_painter("great-wave", tier="slow")


def test_the_style_of_one_call_has_its_strength(tmp_path: Path, photo: Path) -> None:
    source = scene_rgb(96, 64).astype(int)

    def difference(strength: float) -> float:
        out = tmp_path / f"{strength}.png"
        rs.stylize_image(photo, out, "mondrian", strength=strength, tier="fast")
        return float(np.abs(np.asarray(Image.open(out)) - source).mean())

    assert difference(0.3) < 0.7 * difference(1.0)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8),
        np.zeros((32, 32, 3), np.float32), np.zeros((3, 32, 32), np.uint8),
        np.zeros((0, 32, 3), np.uint8), np.zeros((32, 8, 3), np.uint8), None, "photo.jpg",
        [[1, 2, 3]],
    ],
)  # fmt: skip
def test_arrays_that_are_no_pictures_are_refused(rgb: Any, identity_style: Path) -> None:
    painter = rs.build_painter(str(identity_style))
    with pytest.raises(ValueError, match=r"expected .*\(H, W, 3\) uint8"):
        painter.paint_rgb(rgb)


@pytest.mark.parametrize(
    "planes",
    [
        np.zeros((48, 64, 3), np.uint8), np.zeros((72, 64), np.float32),
        np.zeros((73, 64), np.uint8), np.zeros((72, 63), np.uint8),
        np.zeros((72, 128), np.uint8)[:, ::2], np.zeros(72, np.uint8), [[1, 2], [3, 4], [5, 6]],
    ],
)  # fmt: skip
def test_arrays_that_are_no_planes_are_refused(planes: Any) -> None:
    with pytest.raises(ValueError, match=r"\(H \* 3 // 2, W\) uint8"):
        rs.Frame(planes, 0, Fraction(1, 25))


def test_frames_that_come_as_arrays_stand_still_where_the_film_does() -> None:
    """As the guide to the library shows it: one painter, with a stability, for all frames."""
    random = np.random.default_rng(3)
    still = scene_rgb(128, 96).astype(int)
    noisy = [
        np.clip(still + random.normal(0, 2, still.shape), 0, 255).astype(np.uint8)
        for _ in range(12)
    ]

    def flicker(stability: float) -> float:
        painter = rs.build_painter(rs.PaintPlan("great-wave", stability=stability))
        painted = [painter.paint_rgb(rgb).astype(int) for rgb in noisy]
        return float(np.abs(np.diff(painted[6:], axis=0)).mean())

    assert flicker(0.5) < 0.3 * flicker(0)


def test_a_picture_is_painted_at_a_size_and_keeps_its_own(
    tmp_path: Path, photo: Path, identity_style: Path
) -> None:
    out = tmp_path / "out.png"
    done = run_cli("image", photo, out, "-s", identity_style, "--size", "32p")
    assert done.returncode == 0, done.stderr
    painted = Image.open(out)
    assert painted.size == (96, 64)
    small = Image.open(photo).resize((48, 32), Image.Resampling.LANCZOS)
    blurred = np.asarray(small.resize((96, 64), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(np.asarray(painted) - blurred)
    assert difference.mean() < 4
    assert np.abs(np.asarray(painted) - scene_rgb(96, 64).astype(int)).mean() > 1.5 * (
        difference.mean()
    )
