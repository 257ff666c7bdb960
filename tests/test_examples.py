"""The programs of examples/ and the README's lines of Python run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_film, scene_rgb, sound_of, times_of
from PIL import Image

import realtime_style as rs

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow  # each example runs in a separate process


def run_example(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_every_example_is_tested() -> None:
    tested = set(re.findall(r'run_example\("(\w+)"', Path(__file__).read_text()))
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_a_page_for_browsers_is_written(tmp_path: Path) -> None:
    done = run_example("browser_page", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    assert re.search(r"page: 12 styles, 2\.\d MB", done.stdout)
    names = {path.name for path in (tmp_path / "page").iterdir()}
    assert {"index.html", "painter.js", "styles.json", "convolution.wgsl", "udnie.bin"} <= names


def test_a_film_is_painted_with_progress(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run_example("paint_film", film, out)
    assert done.returncode == 0, done.stderr
    assert "frames: 10" in done.stderr
    assert "10 frames in" in done.stdout
    assert times_of(out) == times_of(film)
    request = rs.FilmRequest.from_json((tmp_path / "out.json").read_text())
    assert (request.source, request.out) == (str(film), str(out))


def test_a_folder_of_pictures_is_painted_in_three_looks(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(scene_rgb(96, 64)).save(photos / "scene.png")
    Image.fromarray(scene_rgb(64, 96, 1.0)).save(photos / "tall.jpg")
    done = run_example("paint_pictures", photos, tmp_path / "painted")
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "painted").rglob("*.png"))
    assert len(written) == 6
    pictures = [np.asarray(Image.open(path)) for path in written if path.stem == "scene"]
    assert {picture.shape for picture in pictures} == {(64, 96, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_frames_are_streamed(film: Path, tmp_path: Path) -> None:
    out, preview = tmp_path / "out.mp4", tmp_path / "preview.png"
    done = run_example("stream_frames", film, out, preview)
    assert done.returncode == 0, done.stderr
    assert times_of(out) == times_of(film)
    assert sound_of(out) == sound_of(film)
    assert Image.open(preview).size == (64, 48)


@pytest.mark.parametrize(("name", "out"), [("paint_film", "out.mp4"), ("stream_frames", "out.mp4")])
def test_an_error_is_one_line(name: str, out: str, tmp_path: Path) -> None:
    done = run_example(name, tmp_path / "nofile.mp4", tmp_path / out)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*nofile\.mp4.*\n", done.stderr)


def test_the_lines_of_python_in_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_film(tmp_path / "in.mp4")
    monkeypatch.chdir(tmp_path)
    pages = ("README.md", "docs/library.md")
    blocks = [re.findall(r"```python\n(.+?)```", (ROOT / page).read_text(), re.S) for page in pages]
    assert all(blocks)
    Image.fromarray(scene_rgb(96, 64)).save("photo.jpg")
    for page in blocks:
        Path("out.mp4").unlink(missing_ok=True)
        exec("\n".join(page), {})
    assert times_of(tmp_path / "out.mp4") == times_of(tmp_path / "in.mp4")
    assert "10 frames" in capsys.readouterr().out
