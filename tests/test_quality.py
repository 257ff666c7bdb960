"""The yardstick's own arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import quality
import torch
from conftest import SHARED_DATA, scene_rgb

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_grid_energy_sees_grids_alone() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(100, 156, (240, 240, 3), np.uint8)
    assert quality.grid_energy(noise) == pytest.approx(1, abs=0.3)
    for period in (2, 4, 8):
        tile = rng.integers(-6, 7, (period, period, 1))
        grid = np.tile(tile, (240 // period, 240 // period, 1))
        assert quality.grid_energy((noise + grid).clip(0, 255).astype(np.uint8)) > 4


def test_weave_share_sees_any_fine_period_alone() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(128, 12, (300, 300, 3))
    x = np.arange(300)[None, :, None]
    strokes = 40 * np.sin(x * 2 * np.pi / 15)
    for clean in (noise, noise + strokes):
        assert quality.weave_share(clean.clip(0, 255).astype(np.uint8)) < 0.02
    for period in (2.6, 3.0, 4.3):
        weave = 10 * np.sin(x * 2 * np.pi / period)
        share = quality.weave_share((noise + weave).clip(0, 255).astype(np.uint8))
        assert share == pytest.approx(0.41, abs=0.05)  # 50 of 50 + 144 * 0.56 * 0.87


def test_frechet_distance_is_that_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (20_000, 2)) * (1, 3)
    b = rng.normal(0, 1, (20_000, 2)) * (2, 1) + (5, 0)
    assert quality.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert quality.frechet_distance(a, b) == pytest.approx(25 + 1 + 4, rel=0.03)


def test_edges_are_kept_or_not() -> None:
    photo = scene_rgb(256, 192)
    assert quality.edges_kept(photo, photo) == pytest.approx(1)
    assert quality.edges_kept(photo, 255 - photo) > 0.95  # turned over, its edges are there
    assert abs(quality.edges_kept(photo, photo[::-1])) < 0.5


def test_total_is_1_for_the_published_network() -> None:
    candy = quality.CANDY
    contents = torch.tensor([candy["vgg_content"], candy["squeeze_content"]])
    styles = torch.tensor([candy["vgg_style"], candy["squeeze_style"]])
    assert float(quality.total_of(contents, styles)) == pytest.approx(1)
    assert float(quality.total_of(contents * 0, styles)) == pytest.approx(0.5)
    assert len(set(quality.PHOTOS)) == 24


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the feature networks are not here")
def test_terms_are_0_for_the_thing_itself_and_grow() -> None:
    yardstick = quality.Yardstick(SHARED_DATA / "perceptual")
    photo, other = (quality.tensor(scene_rgb(160, 128, time_s)) for time_s in (0, 3))
    with torch.no_grad():
        seen = yardstick.look(photo)
        own = yardstick.terms(seen, seen, [yardstick.grams(photo)])
        alien = yardstick.terms(yardstick.look(other.flip(3)), seen, [yardstick.grams(photo)])
    assert all(float(term.max()) < 1e-9 for term in own)
    assert all(float(term.min()) > 1e-4 for term in alien)


def test_results_take_the_place_of_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("record.RESULTS", tmp_path)
    quality.write(quality.Report("a", "sea", total=1.5, direct_steps=80), "marks")
    quality.write(quality.Report("b", "sea", total=0.5), "marks")
    quality.write(quality.Report("a", "sea", total=1.5), "marks")
    quality.write(quality.Report("b", "sky", total=0.7), "marks")
    rows = json.loads((tmp_path / "marks.json").read_text())["rows"]
    assert [(r["name"], r["painting"], r["total"]) for r in rows] == [
        ("a", "sea", 1.5), ("b", "sea", 0.5), ("b", "sky", 0.7)]  # fmt: skip
    assert rows[0]["direct_steps"] == 80  # counted for the same total
    quality.write(quality.Report("a", "sea", total=1.2), "marks")
    assert json.loads((tmp_path / "marks.json").read_text())["rows"][0]["direct_steps"] is None
    assert (tmp_path / "marks.md").read_text().count("\n") == 7
