"""What a batch expects each of its files to take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import make_film
from PIL import Image

from realtime_style.cli import batch as batch_module
from realtime_style.cli.batch import Batch
from realtime_style.cli.console import Output
from realtime_style.jobs.batch import Pair, Pairing
from realtime_style.jobs.effort import efforts, film_effort, picture_effort


def test_films_count_by_their_frames_and_not_by_their_bytes(tmp_path: Path) -> None:
    small = make_film(tmp_path / "small.mp4", pts=range(20), sound=None)
    large = make_film(tmp_path / "large.avi", pts=range(20), sound=None, codec="rawvideo")
    assert large.stat().st_size > 20 * small.stat().st_size
    assert film_effort(str(small)) == pytest.approx(film_effort(str(large)), rel=0.01)
    start = film_effort(str(make_film(tmp_path / "one.mp4", pts=range(1), sound=None)))
    whole = film_effort(str(small))
    assert start
    assert whole
    assert whole - start == pytest.approx(19 * (64 * 48 + 300_000), rel=0.01)
    half = film_effort(str(small), 0.2, 0.4)
    assert half
    assert whole - half == pytest.approx(10 * (64 * 48 + 300_000), rel=0.01)
    assert film_effort(str(small), 9.0) == 12_000_000


def test_what_is_refused_at_once_takes_no_effort(tmp_path: Path) -> None:
    for name, content in (("empty.mp4", b""), ("words.mp4", b"words" * 99)):
        (tmp_path / name).write_bytes(content)
        assert film_effort(str(tmp_path / name)) == 0
        assert picture_effort(str(tmp_path / name)) == 0
    assert film_effort("-") is None
    assert film_effort("rtsp://host/live") is None


def test_pictures_count_by_their_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.new("RGB", (50, 40)).save(tmp_path / "plain.png")
    found = [picture_effort(str(tmp_path / name)) for name in ("noise.png", "plain.png")]
    assert found == [502_000, 502_000]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((3, 5), [3, 5]), ((3, None, 5), [3, 4, 5]), ((0, None, 6), [0, 6, 6]),
        ((None, None), [1, 1]), ((), []),
    ],
)  # fmt: skip
def test_the_unknown_counts_as_the_mean(known: Sequence[float], expected: list[float]) -> None:
    sources = [str(i) for i in range(len(known))]
    assert efforts(sources, lambda source: known[int(source)]) == expected


def test_of_many_files_only_some_are_opened() -> None:
    opened: list[str] = []

    def effort_of(source: str) -> float:
        opened.append(source)
        return 7.0

    assert efforts(["a"] * 1000, effort_of) == [7.0] * 1000
    assert len(opened) == 200


def test_the_time_left_follows_the_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(batch_module.time, "perf_counter", lambda: now_s[0])
    said: list[str] = []
    effort = {"a": 1.0, "b": 1.0, "c": 2.0}
    batch = Batch(Output(quiet=True), "out", len(effort))
    batch.expect(Pairing(tuple(Pair(each, Path(each)) for each in effort)), effort.get)

    def paint(pair: Pair) -> dict[str, object]:
        said.append(batch.left(""))
        now_s[0] += 10 * effort[pair.source]
        said.append(batch.left("", 1))
        return {}

    batch.run(paint)
    assert said == [
        "", "30 s left for all",
        "30 s left for all", "20 s left for all",
        "20 s left for all", "",
    ]  # fmt: skip
