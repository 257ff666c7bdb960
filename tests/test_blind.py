"""Blind sheets: what judges see and do not see, and how their answers are evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import blind
import numpy as np
import pytest
from conftest import scene_rgb
from PIL import Image
from scenes import Scene

NAMES = ("one", "two", "three", "four", "five", "six")


@pytest.fixture
def pair(tmp_path: Path) -> blind.Pair:
    Image.new("RGB", (80, 60), (200, 30, 30)).save(tmp_path / "red.png")
    return blind.Pair("first", "second", tmp_path / "red.png")


def planned(pair: blind.Pair, seed: int = 0) -> list[blind.Trial]:
    return [trial for _, trial in blind.plan([pair], NAMES, np.random.default_rng(seed))]


def answers_of(key: list[blind.Trial], choose: object) -> list[dict[str, str]]:
    return [
        {"sheet": trial.sheet, **dict.fromkeys(blind.QUESTIONS, choose(trial))}  # type: ignore[operator]
        for trial in key
    ]


def test_every_pair_appears_twice_with_swapped_sides_and_a_tenth_are_catches(
    pair: blind.Pair,
) -> None:
    trials = planned(pair)
    for name in NAMES:
        sides = {(t.a, t.b) for t in trials if t.scene == name and not t.catch}
        assert sides == {("first", "second"), ("second", "first")}
    catches = [trial for trial in trials if trial.catch]
    assert len(catches) == 1
    assert {side.startswith("colors:") for side in (catches[0].a, catches[0].b)} == {True, False}
    assert [trial.sheet for trial in trials] == [f"{n:04d}" for n in range(1, len(trials) + 1)]
    many = [t for _, t in blind.plan([pair] * 10, NAMES, np.random.default_rng(0))]
    assert sum(t.catch for t in many) / len(many) == pytest.approx(0.1, abs=0.01)


def test_order_and_sides_depend_on_the_seed(pair: blind.Pair) -> None:
    assert planned(pair) == planned(pair)
    assert planned(pair) != planned(pair, 1)
    scenes = [trial.scene for trial in planned(pair)]
    assert scenes != sorted(scenes, key=NAMES.index)


def test_a_judge_who_always_prefers_one_side_has_no_effect(pair: blind.Pair) -> None:
    key = planned(pair)
    answers = answers_of(key, lambda trial: "A")
    (of_scenes,) = blind.scores(key, answers, "hang").values()
    found = blind.wins(of_scenes, np.random.default_rng(0))
    assert found.share == 0.5
    assert found.low == found.high == 0.5
    assert blind.agreement(key, answers, "hang") == 0


def test_a_judge_who_always_prefers_one_network_is_recognised(pair: blind.Pair) -> None:
    key = planned(pair)
    answers = answers_of(key, lambda trial: "A" if trial.a == "second" else "B")
    ((names, of_scenes),) = blind.scores(key, answers, "hand").items()
    assert names == ("red", "first", "second")
    found = blind.wins(of_scenes, np.random.default_rng(0))
    assert (found.wins, found.sheets, found.share) == (0, 2 * len(NAMES), 0)
    assert blind.agreement(key, answers, "hand") == 1


def test_intervals_depend_on_scenes_and_not_on_sheets() -> None:
    few = {f"{n}": [float(n % 2)] * 2 for n in range(20)}
    more = {f"{n}": [float(n % 2)] * 2 for n in range(80)}
    rng = np.random.default_rng(0)
    widths = [found.high - found.low for found in (blind.wins(few, rng), blind.wins(more, rng))]
    # of a mean of 20 coins: 2 * 1.96 * 0.5 / sqrt(20)
    assert widths[0] == pytest.approx(0.44, abs=0.06)
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.2)


def test_strengths_are_the_odds_of_wins() -> None:
    strength = blind.bradley_terry({("a", "b"): (300, 100), ("b", "c"): (200, 200)})
    assert strength["a"] / strength["b"] == pytest.approx(3, rel=0.02)
    assert strength["b"] / strength["c"] == pytest.approx(1, rel=0.02)
    assert np.prod(list(strength.values())) == pytest.approx(1)
    assert np.isfinite(blind.bradley_terry({("a", "b"): (10, 0)})["a"])


def test_catches_are_noticed_or_not(pair: blind.Pair) -> None:
    key = planned(pair)
    good = answers_of(key, lambda trial: "B" if trial.a.startswith("colors:") else "A")
    assert blind.catches_seen(key, good) == (1, 1)
    bad = answers_of(key, lambda trial: "A" if trial.a.startswith("colors:") else "B")
    assert blind.catches_seen(key, bad) == (0, 1)


def test_sheets_show_everything_and_name_nothing(
    pair: blind.Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [Scene(name, scene_rgb(96, 64)) for name in NAMES]
    monkeypatch.setattr(blind, "scenes", lambda *_: iter(shown))
    monkeypatch.setattr(
        blind, "network_painter",
        lambda network: lambda rgb: np.full_like(rgb, 30 if network == "first" else 220),
    )  # fmt: skip
    key = tmp_path / "kept/key.json"
    trials = blind.make(tmp_path, tmp_path / "sheets", key, [pair], 64, seed=0)
    assert [blind.Trial(**row) for row in json.loads(key.read_text())] == trials
    for trial in trials:
        if trial.catch:
            continue
        pixels = np.asarray(Image.open(tmp_path / f"sheets/{trial.sheet}.jpg"))
        bottom = pixels[-32]
        a, b = bottom[20].mean(), bottom[-20].mean()
        assert a == pytest.approx(30 if trial.a == "first" else 220, abs=3)
        assert b == pytest.approx(30 if trial.b == "first" else 220, abs=3)
    (tmp_path / "sheets/index.html").write_text(blind.page(trials))
    for file in (tmp_path / "sheets").iterdir():
        assert b"first" not in file.read_bytes().replace(b"first line", b"")
    with pytest.raises(SystemExit, match="which judges see"):
        blind.make(tmp_path, tmp_path / "sheets", tmp_path / "sheets/key.json", [pair], 64, 0)


def test_wide_pictures_are_placed_one_above_the_other() -> None:
    wide = scene_rgb(1280, 720)
    painting = Image.new("RGB", (300, 400))
    assert blind.sheet(wide, painting, wide, wide).width == 1280
    narrow = scene_rgb(640, 640)
    assert blind.sheet(narrow, painting, narrow, narrow).width == 2 * 640 + 12


def test_answers_are_read_and_invalid_ones_refused(pair: blind.Pair, tmp_path: Path) -> None:
    key = planned(pair)
    file = tmp_path / "answers.csv"
    file.write_text("sheet,hand,read,hang\n" + "".join(f"{t.sheet},A,=, B\n" for t in key))
    answers = blind.read_answers([file])
    assert len(answers) == len(key)
    text = blind.report(key, answers)
    assert "| red | first | second | read | 0 | 12 | 12 | 0.50 | 0.50 to 0.50 |" in text
    assert "Catches noticed:" in text
    file.write_text("sheet,hand,read,hang\n0001,A,left,B\n")
    with pytest.raises(SystemExit, match="write A, B or ="):
        blind.read_answers([file])


def test_instruction_asks_the_three_questions() -> None:
    for question, text in blind.QUESTIONS.items():
        assert f"{question}  {text}" in blind.INSTRUCTION
