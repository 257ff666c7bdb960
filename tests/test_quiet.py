"""Measuring only while the machine does nothing else."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import quiet

COMMAND = [sys.executable, "-c", 'print(\'x\\n{"frames": 3}\\n{"fps": 2.5}\')']


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /proc/stat, on a machine of one processor that nobody waits for."""
    path = tmp_path / "stat"
    path.write_text("cpu  100 0 0 1000 0 0 0 0 0 0\n")
    monkeypatch.setattr(quiet, "_STAT", path)
    monkeypatch.setattr(quiet, "_LOOK_S", 0.0)
    monkeypatch.setattr(quiet.os, "cpu_count", lambda: 1)
    return path


def busy_for(monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float]) -> None:
    """Each look finds that the processors have worked for the next number of seconds."""
    monkeypatch.setattr(quiet, "_busy_s", lambda: next(seconds))


def test_a_process_is_measured_with_what_it_printed(stat: Path) -> None:
    found = quiet.measure(COMMAND)
    assert found.report == {"frames": 3, "fps": 2.5}
    assert 0 <= found.cpu_s < found.wall_s + 1
    assert found.others == 0


def test_busy_seconds_are_those_of_all_work(stat: Path) -> None:
    stat.write_text("cpu  100 20 30 1000 500 7 3 9 0 0\ncpu0 1 1 1 1 1 1 1\n")
    assert quiet._busy_s() == pytest.approx(160 / quiet.os.sysconf("SC_CLK_TCK"))


def test_disturbed_runs_are_repeated(
    stat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quiet, "wait_until_quiet", lambda: True)
    busy_for(monkeypatch, iter([0.0, 1000.0, 1000.0, 1000.0]))
    assert quiet.measure(COMMAND).others == 0
    assert capsys.readouterr().err.count("disturbed") == 1


def test_of_disturbed_runs_the_least_disturbed_counts(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "wait_until_quiet", lambda: True)
    busy_for(monkeypatch, iter([0.0, 4000.0, 0.0, 1000.0, 0.0, 2000.0, 0.0, 3000.0]))
    found = quiet.measure(COMMAND)
    assert found.others * found.wall_s + found.cpu_s == pytest.approx(1000, rel=1e-3)


def test_it_waits_for_a_busy_machine(stat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([0.0, 50.0, 50.0, 90.0, 90.0, 90.0])
    busy_for(monkeypatch, looks)
    start = time.monotonic()
    assert quiet.wait_until_quiet()
    assert next(looks, None) is None
    assert time.monotonic() - start < 60


def test_it_does_not_wait_for_ever(stat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy_for(monkeypatch, (50.0 * i for i in range(1000)))
    assert not quiet.wait_until_quiet(patience_s=0.01)


def test_without_statistics_each_run_counts(
    stat: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quiet, "_STAT", tmp_path / "missing")
    assert math.isnan(quiet.measure(COMMAND).others)
