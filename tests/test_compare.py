"""Two results of a benchmark beside each other."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import compare

SCRIPT = Path(__file__).parents[1] / "benchmarks/compare.py"
RESULT = {
    "machine": {"cpu": "A", "cores": "2"},
    "fps": 20.0,
    "fps_of_runs": [19.9, 20.0, 20.1],
    "cpu_ms_per_frame": 100.0,
    "stages": {"paint_ms": 40.0},
    "frames": 900,
    "rows": [
        {"name": "one", "short": 0.05, "of_film_short": 0.01, "noise_gain": 0.0},
        {"name": "two", "short": 0.08, "of_film_short": 0.01, "noise_gain": 0.0},
    ],
}


def worse(now: object) -> set[str]:
    return {c.figure for c in compare.changes(RESULT, now, 0.05) if c.is_regression}


def test_worse_figures_are_found_in_both_directions() -> None:
    now = copy.deepcopy(RESULT)
    assert worse(now) == set()
    now |= {"fps": 18.0, "stages": {"paint_ms": 44.0}, "frames": 100}
    now["rows"][1]["short"] = 0.09
    now["rows"][0]["noise_gain"] = 0.1
    expected = {"fps", "stages/paint_ms", "rows/two/short", "rows/one/noise_gain"}
    assert worse(now) == expected
    now |= {"fps": 25.0, "stages": {"paint_ms": 20.0}}
    now["rows"][1]["short"] = 0.01
    assert worse(now) == {"rows/one/noise_gain"}


def test_properties_of_the_machine_are_not_figures() -> None:
    before = {"machine": {}, "ceilings": {"operations_s": 5e14}, "rows": []}
    after = {"machine": {}, "ceilings": {"operations_s": 8e14}, "rows": []}
    assert list(compare.changes(before, after, 0.05)) == []


def test_rows_are_distinguished_by_all_settings() -> None:
    before = {"machine": {}, "rows": [
        {"tier": tier, "rate": rate, "change": change, "p50_ms": ms}
        for tier, rate, change, ms in (
            ("fast", 30, None, 1.0), ("fast", 30, "style", 2.0), ("fast", 60, None, 3.0),
            ("standard", 30, None, 4.0),
        )
    ]}  # fmt: skip
    now = copy.deepcopy(before)
    assert [c.part for c in compare.changes(before, now, 0.05)] == [0.0] * 4
    now["rows"][2]["p50_ms"] = 30.0
    found = [c.figure for c in compare.changes(before, now, 0.05) if c.is_regression]
    assert found == ["rows/fast, 60/p50_ms"]


def test_rows_are_matched_by_name() -> None:
    now = copy.deepcopy(RESULT)
    now["rows"].reverse()
    now["rows"].append({"name": "three", "short": 9.0})
    assert worse(now) == set()


def test_the_spread_of_runs_counts_as_chance() -> None:
    now = copy.deepcopy(RESULT) | {"fps": 18.0, "fps_of_runs": [16.0, 18.0, 20.0]}
    assert worse(now) == set()
    now["fps_of_runs"] = [17.9, 18.0, 18.1]
    assert worse(now) == {"fps"}


def test_the_script_prints_what_is_worse_and_fails(tmp_path: Path) -> None:
    old, new, none = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "none.json"
    old.write_text(json.dumps(RESULT))
    new.write_text(json.dumps(RESULT | {"fps": 10.0, "machine": {"cpu": "B"}}))
    none.write_text("[]")

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCRIPT), *map(str, files)], capture_output=True, text=True
        )

    found = run(old, new)
    assert found.returncode == 1
    assert "differs          cpu: A and B" in found.stdout
    assert "differs          cores: 2 and none" in found.stdout
    assert "WORSE     50.0%  fps: 20 to 10" in found.stdout
    assert run(old, old).returncode == 0
    new.write_text(json.dumps({key: value for key, value in RESULT.items() if key != "fps"}))
    without = run(old, new)
    assert "gone             fps" in without.stdout
    assert without.returncode == 1  # else half a result would pass
    assert "not a benchmark result" in run(old, none).stderr
    assert "error: there is no file" in run(old, tmp_path / "missing.json").stderr
