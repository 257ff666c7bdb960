"""OpenVINO's other devices, for which "AUTO" stands in: here it is the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import noise_planes, painted_by

from realtime_style.engines import openvino_engine
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.opening import open_engine
from realtime_style.engines.openvino_engine import OpenVinoEngine
from realtime_style.engines.registry import ENGINES, automatic_trouble, engine_trouble
from realtime_style.engines.webgpu import trial
from realtime_style.errors import EngineError
from realtime_style.style.bundled import open_style

DEVICES = ("openvino-gpu", "openvino-npu")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_STYLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model() -> bytes:
    style = open_style("great-wave", "fast")
    return style.model_for(style.color)


def test_another_device_is_compared_with_the_cpu_once(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OpenVinoEngine(model, "f32", "openvino-gpu", "AUTO", in_flight=None)
    assert (engine.name, engine.precision, engine.in_flight) == ("openvino-gpu", "f32", 2)
    assert engine.notes[-1].startswith("openvino-gpu is experimental; it paints ")
    planes = noise_planes(72, 90)
    expected = painted_by(open_engine(model, EngineChoice("openvino", "f32")), planes)
    for ours, theirs in zip(painted_by(engine, planes), expected, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
    monkeypatch.setattr(trial, "compared_db", lambda *_: pytest.fail("compared again"))
    OpenVinoEngine(model, "f32", "openvino-gpu", "AUTO")


def test_a_device_that_paints_something_else_is_refused(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "compared_db", lambda *_: 31.4)
    for _ in range(2):
        with pytest.raises(EngineError, match=r"in f16 paints 31\.4 dB from the CPU, at least 40"):
            OpenVinoEngine(model, "auto", "openvino-npu", "AUTO")


def test_what_the_comparison_finds_is_the_distance_of_two_paintings(model: bytes) -> None:
    engine = OpenVinoEngine(model, "f32", "openvino-gpu", "AUTO")
    assert trial.compared_db(engine, OpenVinoEngine(model, "f32")) > 60
    style = open_style("mondrian", "fast")
    other = OpenVinoEngine(style.model_for(style.color), "f32")
    assert trial.compared_db(engine, other) < 30


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_that_is_not_there_is_an_error_and_auto_takes_none(
    name: str, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = type("Core", (), {"available_devices": ["CPU"]})()
    monkeypatch.setattr(openvino_engine, "_core", lambda: core)
    device = ENGINES[name].provider
    assert engine_trouble(name).startswith(f"OpenVINO finds no {device} of Intel's; ")
    with pytest.raises(EngineError, match=f"finds no {device}"):
        open_engine(model, EngineChoice(name))
    core.available_devices = ["CPU", f"{device}.0"]
    assert engine_trouble(name) == ""
    assert "experimental" in automatic_trouble(name)


def test_rubbish_is_refused_by_other_devices_too() -> None:
    with pytest.raises(EngineError, match="cannot load"):
        OpenVinoEngine(b"not a model", "f32", "openvino-gpu", "AUTO")
