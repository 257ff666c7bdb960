"""The arithmetic of the marks."""

from __future__ import annotations

from pathlib import Path

import marks
import numpy as np
import pytest
from conftest import SHARED_DATA, scene_rgb
from PIL import Image
from scenes import FRAMES, PHOTOS, fitted, scenes
from skimage import data as skimage_data

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def blocks(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return coarse.repeat(32, 0).repeat(32, 1)


def test_light_is_kept_inverted_or_lost() -> None:
    photo = blocks()
    assert marks.light_kept(photo, photo) == pytest.approx(1)
    assert marks.light_kept(photo, photo // 3 + 40) == pytest.approx(1, abs=0.01)
    assert marks.light_kept(photo, 255 - photo) == pytest.approx(-1)
    assert abs(marks.light_kept(photo, blocks(1))) < 0.4
    noise = np.random.default_rng(0).integers(-60, 61, photo.shape)
    rough = (photo + noise).clip(0, 255).astype(np.uint8)
    assert marks.light_kept(photo, rough) > 0.97  # strokes are not light


def test_stray_is_the_distance_to_the_nearest_colour() -> None:
    painting = marks.lab_of(np.full((64, 64, 3), 128, np.uint8), 4)
    assert marks.stray(painting, painting) < 0.01
    moved = painting + np.array([0, 3, 4], np.float32)
    assert marks.stray(moved, painting) == pytest.approx(5, abs=0.01)
    both = np.concatenate((painting, moved))
    assert marks.stray(painting, both) < 0.01  # a picture need not have all colours
    assert marks.chroma_of(moved) == pytest.approx(5, abs=0.01)


def test_calm_measures_paint_in_calm_parts() -> None:
    rng = np.random.default_rng(0)
    photo = np.full((128, 192, 3), 128, np.uint8)
    photo[:, 96:] = rng.integers(60, 200, (128, 96, 1))
    assert marks.calm_of(photo, photo) < 0.1
    everywhere = rng.integers(60, 200, (128, 192, 1)).repeat(3, 2).astype(np.uint8)
    assert marks.calm_of(photo, everywhere) == pytest.approx(1, abs=0.1)


def test_faces_count_only_in_the_same_place() -> None:
    photo = np.asarray(Image.fromarray(skimage_data.astronaut()).resize((640, 640)))
    faces = marks.Faces()
    assert marks.faces_again(faces, photo, photo) == [True]
    assert marks.faces_again(faces, photo, np.full_like(photo, 128)) == [False]
    assert marks.faces_again(faces, photo, np.roll(photo, 250, 1)) == [False]
    assert marks.faces_again(faces, np.full_like(photo, 128), photo) == []
    assert marks.overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert marks.overlap((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert marks.overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0


def test_scenes_are_fitted_to_16_by_9() -> None:
    for size, expected in (((1600, 900), (720, 1280)), ((1000, 1000), (720, 720))):
        assert fitted(Image.new("RGB", size), 720).shape[:2] == expected
    assert fitted(Image.new("RGB", (3000, 900)), 1080).shape[:2] == (1080, 1920)
    assert fitted(Image.new("RGB", (540, 960)), 640).shape[:2] == (640, 360)
    assert fitted(Image.new("RGB", (540, 960)), 720, square=True).shape[:2] == (720, 720)


def test_half_of_the_sixteen_photos_are_faces(tmp_path: Path) -> None:
    folder = tmp_path / "photos/sharp_test"
    folder.mkdir(parents=True)
    for name in PHOTOS:
        Image.fromarray(scene_rgb(100, 80)).save(folder / f"{name}.jpg")
    shown = list(scenes(tmp_path, 640, PHOTOS))
    assert [scene.name for scene in shown] == list(PHOTOS)
    assert sum(name.startswith("face") for name in PHOTOS) == len(PHOTOS) // 2 == 8
    assert len(FRAMES) == 8


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the benchmark data are missing")
def test_frames_of_films_are_read() -> None:
    (scene,) = scenes(SHARED_DATA, 640, ("mdn_frog",))
    assert scene.rgb.shape == (640, 960, 3)


def test_marks_are_recorded_by_network_and_height(tmp_path: Path) -> None:
    def of(height: int, light: float) -> marks.Marks:
        return marks.Marks("new", "red", height, light, *[0.5] * 5, 7, *[0.5] * 6)

    for each in (of(640, 0.5), of(720, 0.6), of(640, 0.9)):
        marks.write(each, tmp_path)
    text = (tmp_path / "marks.md").read_text()
    assert text.count("| new | red |") == 2
    assert "| 640 | 0.90 (0.50) |" in text
    assert "| 720 | 0.60 (0.50) |" in text
