"""What a machine keeps up with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_cli

from realtime_style.engines.engine import Planes
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.tools.bench import SIZES, Report, SizeReport, bench


def report(*sizes: tuple[str, int, float]) -> Report:
    return Report(
        "openvino int8",
        "CPU",
        "starry-night",
        [
            SizeReport("standard", name, *SIZES[name], 10.0, 12.0, rate, fps, 50)
            for name, rate, fps in sizes
        ],
    )


@pytest.mark.slow
def test_every_size_is_painted_live_and_as_a_film(identity_style: Path) -> None:
    said: list[tuple[str, str]] = []
    found = bench(
        PaintPlan(Look(identity_style)),
        tiers=["standard"],
        sizes=["360p", "480p"],
        seconds=0.05,
        on_size=lambda tier, size: said.append((tier, size)),
    )
    assert said == [("standard", "360p"), ("standard", "480p")]
    assert said == [(each.tier, each.size) for each in found.sizes]
    for each in found.sizes:
        assert (each.width, each.height) == SIZES[each.size]
        assert 0 < each.live_ms <= each.live_ms_95
        assert each.film_fps > 0
        assert each.frames >= 20
    assert found.engine.split()[0] in ("openvino", "onnxruntime") or found.device


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            report(("360p", 60, 90.0), ("720p", 60, 31.0), ("1080p", 24, 12.0)),
            "live at 60 fps: up to 720p; live at 24 fps: up to 1080p; films of 30 fps in real "
            "time: up to 720p; 1080p takes 2.5 minutes per minute of film",
        ),
        (
            report(("360p", 15, 10.0)),
            "live at 15 fps: up to 360p; 360p takes 3.0 minutes per minute of film",
        ),
        (
            report(("360p", 0, 5.0)),
            "live: too slow on this computer; 360p takes 6.0 minutes per minute of film",
        ),
        (
            report(("1080p", 60, 200.0)),
            "live at 60 fps: up to 1080p; films of 30 fps in real time: up to 1080p",
        ),
    ],
)
def test_it_recommends_what_was_measured(found: Report, words: str) -> None:
    assert found.recommendation() == words
    assert found.table().endswith(words)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([("standard", "720p", 30, 40.0)],
         ["webcam --size 720p", "video film.mp4 painted.mp4 --size 720p"]),
        ([("standard", "720p", 24, 12.0), ("fast", "720p", 60, 31.0)],
         ["webcam --size 720p --tier fast", "video film.mp4 painted.mp4 --size 720p --tier fast"]),
        ([("standard", "360p", 15, 12.0), ("standard", "720p", 0, 3.0)], ["webcam --size 360p"]),
        ([("fast", "720p", 30, 29.0), ("standard", "720p", 30, 29.0)], ["webcam --size 720p"]),
        ([("standard", "720p", 0, 3.0)], []),
    ],
)  # fmt: skip
def test_it_ends_in_commands_to_copy(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, str, int, float]], lines: list[str]
) -> None:
    sizes = [
        SizeReport(tier, name, *SIZES[name], 10.0, 12.0, rate, fps, 50)
        for tier, name, rate, fps in rows
    ]
    found = Report("openvino int8", "CPU", "starry-night", sizes)
    monkeypatch.setattr("realtime_style.tools.bench.bench", lambda *_, **__: found)
    shown = run_cli("bench").stdout
    said = [line.strip() for line in shown.splitlines() if line.startswith("  realtime-style ")]
    assert said == [f"realtime-style {line}" for line in lines]
    if lines:
        styled = run_cli("bench", "--style", "great-wave").stdout
        assert styled.count(" --style great-wave") == len(lines)


@pytest.mark.parametrize(("load", "is_noted"), [(0.1, False), (1.5, True)])
def test_a_busy_machine_is_noticed(
    identity_style: Path, monkeypatch: pytest.MonkeyPatch, load: float, is_noted: bool
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (4 * load, 0, 0), raising=False)
    monkeypatch.setattr("realtime_style.tools.bench._MAX_FRAMES", 2)
    monkeypatch.setattr("realtime_style.tools.bench._MIN_FRAMES", 2)
    plan = PaintPlan(Look(identity_style))
    found = bench(plan, tiers=["standard"], sizes=["360p"], seconds=0.001)
    assert any("busy (150% of its cores" in note for note in found.notes) == is_noted


@pytest.mark.slow
def test_the_command_says_it_in_words_and_in_json() -> None:
    run = run_cli("bench", "--quick", "--size", "360p", "--json")
    assert run.returncode == 0, run.stderr
    assert "measuring 360p" in run.stderr
    said = json.loads(run.stdout)
    rows = [(each["tier"], each["size"]) for each in said["sizes"]]
    assert rows == [("standard", "360p"), ("fast", "360p")]
    assert said["recommendation"]
    run = run_cli("bench", "--size", "8k")
    assert run.returncode == 2
    assert "choose 360p" in run.stderr


@pytest.mark.slow
def test_stopped_it_says_so() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime_style", "bench"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert process.stderr.readline().startswith("measuring")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.endswith("stopped\n")
    assert "Traceback" not in said


def test_advice_does_not_hang_on_the_order_of_sizes() -> None:
    sizes = [
        SizeReport("fast", name, *SIZES[name], 10.0, 12.0, rate, fps, 50)
        for name, rate, fps in (("360p", 60, 90.0), ("1080p", 30, 40.0))
    ]
    said = {
        Report("openvino int8", "CPU", "starry-night", rows).recommendation()
        for rows in (sizes, sizes[::-1])
    }
    assert len(said) == 1
    assert "in real time: up to 1080p" in said.pop()


def test_several_tiers_are_advised_one_by_one() -> None:
    rows = [
        SizeReport(tier, "720p", 1280, 720, 10.0, 12.0, rate, fps, 50)
        for tier, rate, fps in (("standard", 30, 25.0), ("fast", 60, 45.0))
    ]
    found = Report("openvino int8", "CPU", "starry-night", rows).recommendation().split("\n")
    assert found == [
        "standard tier: live at 30 fps: up to 720p; 720p takes 1.2 minutes per minute of film",
        "fast tier: live at 60 fps: up to 720p; films of 30 fps in real time: up to 720p",
    ]


def test_bench_says_how_long_a_device_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = SizeReport("fast", "360p", 640, 360, 5.0, 6.0, 30, 60.0, 20)
    sizes: list[tuple[int, int]] = []

    class Timed:
        name, precision, device, notes = "webgpu", "f16", "Radeon", ("a note",)

        def device_ms(self, planes: Planes) -> float | None:
            sizes.append(planes.size)
            return 3.14 if len(sizes) == 1 else None

    monkeypatch.setattr("realtime_style.tools.bench._measure", lambda *_: (measured, Timed()))
    said = "fast tier, 360p: Radeon computes 3.1 ms a picture"
    assert said in bench(tiers=["fast"], sizes=["360p"]).notes
    assert sizes == [(640, 360)]
    assert said not in bench(tiers=["fast"], sizes=["360p"]).notes
