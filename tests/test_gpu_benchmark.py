from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import make_film

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

import gpu  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from realtime_style.canvas import canvas_size  # noqa: E402
from realtime_style.engines.choice import EngineChoice  # noqa: E402
from realtime_style.engines.engine import Planes  # noqa: E402
from realtime_style.engines.graphs.precision import typed_model  # noqa: E402
from realtime_style.engines.opening import open_engine  # noqa: E402
from realtime_style.errors import EngineError  # noqa: E402
from realtime_style.style.bundled import TIERS, open_style  # noqa: E402
from realtime_style.style.style import Style  # noqa: E402


@pytest.mark.parametrize(("tier", "size"), [("standard", (642, 480)), ("fast", (96, 64))])
def test_operations_are_counted_like_pytorch_does(tier: str, size: tuple[int, int]) -> None:
    style = open_style("great-wave", tier)
    model = onnx.load_model_from_string(typed_model(style.model_for(style.color), "f16"))
    folded = gpu.network_of(style)
    (width, height), (canvas_width, canvas_height) = size, canvas_size(*size)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        folded(
            torch.zeros(1, 1, height, width),
            torch.zeros(1, 2, height // 2, width // 2),
            torch.zeros(1, 1, canvas_height, canvas_width),
            torch.zeros(1, 2, canvas_height // 2, canvas_width // 2),
        )
    counted, moved = gpu.operations(model, width, height)
    assert counted == counter.get_total_flops()
    assert moved > 2 * sum(p.numel() for p in folded.parameters() if p.dim() == 4)


@pytest.mark.parametrize("tier", TIERS)
def test_pytorch_paints_what_the_style_paints_in_half_precision(tier: str) -> None:
    style = open_style("great-wave", tier)
    engine = open_engine(style.model_for(style.color), EngineChoice("openvino", "f32"))
    given = gpu.picture(96, 64)
    expected = gpu.blank(given)
    engine.infer(given, *expected)
    half = gpu.HalfPlanes(gpu.network_of(style)).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}
    with torch.inference_mode():
        painted = half(*map(torch.from_numpy, given))
    for plane, exact in zip(painted, expected, strict=True):
        assert np.abs(plane.numpy() - exact.astype(int)).mean() < 0.5
        assert exact.std() > 5


def test_failures_are_left_out_and_the_rest_is_kept() -> None:
    left_out: dict[str, str] = {}
    with gpu.leaving_out("tensorrt, 96x64", left_out):
        raise EngineError("TensorRT does not start: no reason")
    with gpu.leaving_out("torch, 96x64", left_out):
        raise RuntimeError("CUDA out of memory\nand more")
    assert left_out == {
        "tensorrt, 96x64": "TensorRT does not start: no reason",
        "torch, 96x64": "CUDA out of memory",
    }


class FallsOver:
    """Works at first, and fails when it is measured."""

    in_flight = 1

    def begin(self, planes: Planes, *out: np.ndarray) -> Callable[[], None]:
        return lambda: None

    def kernel_s(self, width: int, height: int, runs: int) -> float:
        raise EngineError("the GPU failed while it computed, or was lost")


def test_the_script_measures_the_engines_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(tmp_path / "film.mp4")

    def subject_of(name: str, style: Style) -> gpu.Subject:
        if name == "torch":
            raise EngineError("PyTorch finds no GPU")
        if name == "tensorrt":
            return FallsOver()
        return gpu.EngineSubject(
            open_engine(style.model_for(style.color), EngineChoice("openvino"))
        )

    monkeypatch.setattr(gpu, "subject_of", subject_of)
    monkeypatch.setattr(gpu, "REPEATS", 2)
    usual = gpu.open_engine
    openvino = EngineChoice("openvino")
    monkeypatch.setattr(gpu, "open_engine", lambda model, choice, **how: usual(model, openvino))
    monkeypatch.setattr(
        sys, "argv",
        ["gpu.py", "--engines", "torch", "tensorrt", "tensorrt-rtx", "--sizes", "96x64",
         "--seconds", "0.2", "--film", str(film), "--out", str(tmp_path / "out")],
    )  # fmt: skip
    gpu.main()
    found = json.loads((tmp_path / "out/gpu.json").read_text())
    assert [(row["engine"], row["size"]) for row in found["rows"]] == [
        ("tensorrt-rtx", "96x64"), ("tensorrt-rtx", "film.mp4"),
    ]  # fmt: skip
    assert found["rows"][1]["film_encoded_fps"] > 0
    assert found["left_out"] == {
        "torch": "PyTorch finds no GPU",
        "tensorrt, 96x64": "the GPU failed while it computed, or was lost",
    }
    assert (tmp_path / "out/gpu.png").exists()


def test_an_engine_is_measured_and_compared(tmp_path: Path) -> None:
    style = open_style("great-wave")
    engine = open_engine(style.model_for(style.color), EngineChoice("openvino", "f32"))
    given = gpu.picture(96, 64)
    reference = gpu.blank(given)
    engine.infer(given, *reference)
    measured = gpu.Measured(gpu.EngineSubject(engine), 96, 64, reference)
    for _ in range(2):
        measured.run(0.05)
    figures = measured.figures()
    assert figures["parity_db"] > 100
    assert figures["copies_fps"] > 0
    assert figures["latency_99_ms"] >= figures["latency_ms"] > 0
    assert "kernel_ms" not in figures  # this engine cannot measure it
    rows = [{"engine": "openvino", "size": "96x64"} | figures]
    assert "Skipped: a: b" in gpu.table({"gpu": "none"}, rows, {"a": "b"})
    gpu.plot(rows, tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").stat().st_size > 5000
