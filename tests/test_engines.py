from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import noise_planes, painted_by, planes_of
from fake_gpu import FakeCuda

from realtime_style.color import ColorSpace
from realtime_style.engines import opening, openvino_engine, registry
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Engine, Planes
from realtime_style.engines.graphs.precision import typed_model
from realtime_style.engines.multi_device import MultiDeviceEngine
from realtime_style.engines.opening import open_engine, open_gpu_engine
from realtime_style.engines.registry import ENGINES, available_engines, engine_trouble
from realtime_style.engines.sized_networks import SizedNetworks
from realtime_style.engines.tensorrt import cuda
from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.errors import EngineError
from realtime_style.frame import Frame
from realtime_style.style.bundled import open_style

rng = np.random.default_rng(0)


@cache
def negative() -> bytes:
    """A generator of the usual wiring that turns luma over: 255 - luma."""
    style = open_style("starry-night", "fast")
    weights = {name: np.zeros(shape) for name, shape in style.shapes().items()}
    for plane in range(4):  # x becomes x - 2 * (relu(x) - relu(-x)), around the centre, 128
        for unit, sign in ((plane, 1), (plane + 4, -1)):
            weights["range.first.weight"][unit, plane] = sign
            weights["range.second.weight"][unit, unit] = 1
            weights["range.last.weight"][plane, unit] = -2 * sign
    weights["range.last.bias"][:] = [127] * 4 + [128] * 2
    return style.with_weights(weights, "negative", {}, None).model_for(style.color)


def refuse_missing(name: str) -> None:
    """Skips a test of an engine that cannot be used here; fails it where a GPU is required."""
    if ENGINES[name].is_nvidia and gpu_trouble() and os.environ.get("REQUIRE_GPU") == "1":
        pytest.fail(f"REQUIRE_GPU=1, but {gpu_trouble()}")
    if trouble := engine_trouble(name):
        pytest.skip(trouble)


EVERY = [
    pytest.param(name, marks=[pytest.mark.gpu] if kind.is_nvidia else [])
    for name, kind in ENGINES.items()
    if "f32" in kind.precisions
]


@pytest.fixture(params=EVERY)
def engine(request: pytest.FixtureRequest) -> Engine:
    refuse_missing(request.param)
    return open_engine(negative(), EngineChoice(request.param, "f32"))


def test_every_engine_paints_into_the_given_arrays(engine: Engine) -> None:
    planes = noise_planes(48, 64)
    kept = planes.copy()
    luma, chroma = painted_by(engine, planes)
    assert np.array_equal(luma, 255 - planes.luma.astype(int))
    assert np.array_equal(chroma, planes.chroma)
    assert all(map(np.array_equal, planes, kept))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_tensorrts_own_report_says_half_precision(name: str) -> None:
    refuse_missing(name)
    style = open_style("starry-night")
    engine = open_engine(style.model_for(style.color), EngineChoice(name))
    engine.prepare((640, 360), (640, 360))
    layers = engine.layers()  # type: ignore[attr-defined]
    convolutions = [str(layer) for layer in layers if "conv" in str(layer).lower()]
    assert convolutions
    assert all("half" in said.lower() or "fp16" in said.lower() for said in convolutions)
    assert not any("float" in said.lower() or "fp32" in said.lower() for said in convolutions)


def test_every_engine_takes_views_of_one_buffer_and_changing_sizes(engine: Engine) -> None:
    for height, width in ((48, 64), (16, 16), (200, 120), (48, 64), (720, 1280)):
        i420 = rng.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
        out = np.zeros_like(i420)
        half = (1, 2, height // 2, width // 2)
        planes = planes_of(Frame(i420, 0, Fraction(1)))
        engine.infer(planes, out[:height][None, None], out[height:].reshape(half))
        assert np.array_equal(out[:height], 255 - i420[:height])
        assert np.array_equal(out[height:], i420[height:])


def test_every_engine_forgets_former_frames(engine: Engine) -> None:
    frames = [noise_planes(32, 32, seed) for seed in range(4)]
    painted = [painted_by(engine, planes)[0] for planes in (*frames, *frames)]
    for first, second in zip(painted[:4], painted[4:], strict=True):
        assert np.array_equal(first, second)


def test_pictures_on_their_way_at_once_are_those_painted_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    style = open_style("starry-night", "fast")
    model = style.model_for(style.color)
    alone = open_engine(model, EngineChoice("openvino", "f32"))
    assert alone.in_flight == 1
    monkeypatch.setattr("realtime_style.engines.openvino_engine.usable_cores", lambda: 2)
    engine = open_engine(model, EngineChoice("openvino", "f32"), in_flight=None)
    assert engine.in_flight == 3
    sizes = ((64, 96), (32, 160), (64, 96), (96, 64))
    given = [noise_planes(*size, seed) for seed, size in enumerate(sizes)] * 2
    waiting: list[tuple[Callable[[], None], np.ndarray, np.ndarray]] = []
    painted = []

    def wait_for_first() -> None:
        wait, *out = waiting.pop(0)
        wait()
        painted.append(out)

    for planes in given:
        mine = planes.copy()
        out = np.zeros_like(planes.luma), np.zeros_like(planes.chroma)
        waiting.append((engine.begin(mine, *out), *out))
        for plane in mine:
            plane.fill(0)  # the inputs may be reused at once
        if len(waiting) == engine.in_flight:
            wait_for_first()
    while waiting:
        wait_for_first()
    for planes, found in zip(given, painted, strict=True):
        for ours, theirs in zip(found, painted_by(alone, planes), strict=True):
            assert np.abs(ours.astype(int) - theirs).max() <= 1  # sums in another order
            assert theirs.std() > 1


def test_what_is_painted_into_outlasts_the_painting_though_nobody_waits() -> None:
    style = open_style("starry-night")
    engine = open_engine(
        style.model_for(style.color), EngineChoice("openvino", "f32"), in_flight=None
    )
    planes = noise_planes(2048, 2048)
    out = np.zeros_like(planes.luma), np.zeros_like(planes.chroma)
    kept = weakref.ref(out[0])
    wait = engine.begin(planes, *out)
    del wait, out
    gc.collect()
    assert kept() is not None
    engine.cancel()
    del engine  # ends what is on its way
    gc.collect()
    assert kept() is None


def test_what_is_on_its_way_can_be_cancelled() -> None:
    style = open_style("starry-night")
    engine = open_engine(
        style.model_for(style.color), EngineChoice("openvino", "f32"), in_flight=None
    )
    planes = noise_planes(2048, 2048)
    wait = engine.begin(planes, np.zeros_like(planes.luma), np.zeros_like(planes.chroma))
    engine.cancel()
    with pytest.raises(EngineError):
        wait()


@pytest.mark.parametrize(
    ("name", "in_flight"), [("openvino", 1), ("openvino", None), ("onnxruntime", 1)]
)
def test_every_engine_can_be_cancelled(name: str, in_flight: int | None) -> None:
    refuse_missing(name)
    style = open_style("starry-night")
    engine = open_engine(
        style.model_for(style.color), EngineChoice(name, "f32"), in_flight=in_flight
    )
    large = noise_planes(4096, 4096)
    errors: list[EngineError] = []

    def paint() -> None:
        try:
            painted_by(engine, large)
        except EngineError as error:
            errors.append(error)

    thread = Thread(target=paint)
    thread.start()
    while thread.is_alive():  # again and again: the call may not have begun
        engine.cancel()
        time.sleep(0.01)
    thread.join()
    assert len(errors) == 1


def test_on_one_core_openvino_reports_errors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "usable_cores", lambda: 1)
    style = open_style("starry-night")
    engine = open_engine(style.model_for(style.color), EngineChoice("openvino", "f32"))
    planes = noise_planes(48, 64)._replace(chroma=noise_planes(32, 32).chroma)
    with pytest.raises(EngineError, match="failed"):
        engine.infer(planes, planes.luma.copy(), noise_planes(48, 64).chroma)


def test_every_engine_says_what_and_where_it_is(engine: Engine) -> None:
    assert engine.name in ENGINES
    assert engine.precision == "f32"
    assert engine.device


def test_every_engine_refuses_sizes_that_do_not_fit(engine: Engine) -> None:
    planes = noise_planes(48, 64)._replace(chroma=noise_planes(32, 32).chroma)
    with pytest.raises(EngineError, match="failed"):
        painted_by(engine, planes)


@pytest.mark.parametrize("name", [n for n, kind in ENGINES.items() if not kind.is_nvidia])
def test_every_engine_refuses_a_broken_model(name: str) -> None:
    refuse_missing(name)
    with pytest.raises(EngineError, match="cannot load"):
        open_engine(b"not a model", EngineChoice(name))


def test_bfloat16_is_used_or_refused_by_name() -> None:
    if open_engine(negative(), EngineChoice("openvino", "auto")).precision == "bf16":
        assert open_engine(negative(), EngineChoice("openvino", "bf16")).precision == "bf16"
    else:
        with pytest.raises(EngineError, match="f32 works"):
            open_engine(negative(), EngineChoice("openvino", "bf16"))
    if "onnxruntime" in available_engines():
        with pytest.raises(EngineError, match="onnxruntime paints in int8 or f32, not in bf16"):
            open_engine(negative(), EngineChoice("onnxruntime", "bf16"))


def test_what_is_not_there_is_an_error_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda module: None)
    with pytest.raises(EngineError, match=r"pip install onnxruntime"):
        open_engine(negative(), EngineChoice("onnxruntime"))
    with pytest.raises(EngineError, match="pip install openvino"):
        open_engine(negative())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(EngineError, match=r"choose auto, tensorrt, .*openvino, onnxruntime"):
        open_engine(negative(), EngineChoice("abacus"))
    with pytest.raises(EngineError, match="choose auto, f32, bf16, f16"):
        open_engine(negative(), EngineChoice(precision="f8"))


def test_the_runtime_never_imports_torch_nor_opencv(tmp_path: Path) -> None:
    code = """
import sys
import realtime_style.cli.app
from realtime_style.style.bundled import bundled_styles
for name in realtime_style.__all__:
    getattr(realtime_style, name)
style = next(iter(bundled_styles()), None)
assert style, "no bundled style"
import numpy
plan = realtime_style.PaintPlan(realtime_style.Look(style))
realtime_style.build_painter(plan).paint_rgb(numpy.zeros((32, 32, 3), numpy.uint8))
heavy = {"torch", "cv2", "tensorboard", "safetensors", "onnxscript"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signals_are_handled_after_engines_came_and_went(identity_style: Path) -> None:
    code = (
        "import faulthandler, gc, signal, sys; faulthandler.enable()\n"
        "from realtime_style import EngineChoice, Look, PaintPlan, build_painter\n"
        "plan = PaintPlan(Look(sys.argv[1]), EngineChoice('openvino'))\n"
        "first = build_painter(plan)\n"
        "for _ in range(3):\n"
        "    first = build_painter(plan); gc.collect()\n"
        "del first; gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(identity_style)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


ON_GPU = [name for name, kind in ENGINES.items() if kind.device != "cpu"]

# The choice, where there may be a GPU ---------------------------------------------------------


class Painted(Engine):
    """An engine that is one by name alone."""

    precision, device = "f16", "device"

    def __init__(self, name: str, notes: Sequence[str] = ()) -> None:
        super().__init__(notes)
        self.name = name

    def begin(
        self, planes: Planes, out_luma: np.ndarray, out_chroma: np.ndarray
    ) -> Callable[[], None]:
        raise AssertionError("nothing is painted here")

    def cancel(self) -> None: ...


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is the matter with each engine; empty where it works. Opening is only noted."""
    troubles: dict[str, str] = dict.fromkeys(ENGINES, "")

    def opened(
        model: bytes, name: str, choice: EngineChoice, in_flight: int | None, notes: Sequence[str]
    ) -> Engine:
        if troubles.get(f"open {name}"):
            raise EngineError(troubles[f"open {name}"])
        return Painted(name, notes)

    for module in (opening, registry):
        monkeypatch.setattr(module, "engine_trouble", lambda name: troubles[name])
    monkeypatch.setattr(opening, "gpu_trouble", lambda: troubles.get("gpu", ""))
    monkeypatch.setattr(registry, "software_trouble", lambda: troubles.get("adapters", ""))

    def refuse_slower(model: bytes, engine: Engine) -> None:
        if troubles.get("trial"):
            raise EngineError(troubles["trial"])

    monkeypatch.setattr(opening, "_refuse_slower", refuse_slower)
    monkeypatch.setattr(opening, "_open", opened)
    return troubles


def test_the_best_engine_is_chosen_and_why_not_a_better_one_is_said(
    machine: dict[str, str],
) -> None:
    assert open_engine(b"", EngineChoice("auto")).name == "tensorrt"
    machine["tensorrt"] = "it is not installed"
    engine = open_engine(b"", EngineChoice("auto"))
    assert engine.name == "tensorrt-rtx"
    assert engine.notes == ["tensorrt is not used: it is not installed"]
    machine["tensorrt-rtx"] = "likewise"
    assert open_engine(b"", EngineChoice("auto")).name == "onnxruntime-cuda"
    machine["open onnxruntime-cuda"] = "CUDA is missing"
    machine["onnxruntime-tensorrt"] = "TensorRT is missing"
    assert open_engine(b"", EngineChoice("auto")).name == "webgpu"
    machine["trial"] = "the CPU is faster"
    engine = open_engine(b"", EngineChoice("auto"))
    assert engine.name == "openvino"
    assert engine.notes[2] == "onnxruntime-cuda is not used: CUDA is missing"
    assert engine.notes[4] == "webgpu is not used: the CPU is faster"
    machine["trial"], machine["adapters"] = "", "it is software"
    engine = open_engine(b"", EngineChoice("auto"))
    assert engine.name == "openvino"
    assert engine.notes[4] == "webgpu is not used: it is software"
    assert open_engine(b"", EngineChoice("webgpu")).name == "webgpu"


def test_notes_of_the_choice_are_heard_of_several_gpus_too() -> None:
    passed_over = "tensorrt is not used: it is not installed"
    first, second = Painted("tensorrt-rtx", [passed_over]), Painted("tensorrt-rtx")
    several = MultiDeviceEngine([first, second])
    second.notes.append("one is rebuilt")
    assert several.notes == [passed_over, "one is rebuilt"]


def test_of_several_devices_none_waits_for_another() -> None:
    together = Barrier(2, timeout=20)

    class Slow(Painted):
        def begin(
            self, planes: Planes, out_luma: np.ndarray, out_chroma: np.ndarray
        ) -> Callable[[], None]:
            together.wait()
            out_luma[...] = 255 - planes.luma
            return lambda: None

    engine = MultiDeviceEngine([Slow("onnxruntime-cuda"), Slow("onnxruntime-cuda")])
    assert engine.in_flight == 2
    given = [noise_planes(16, 16, seed) for seed in range(2)]
    outs = [(np.zeros_like(each.luma), np.zeros_like(each.chroma)) for each in given]
    kept = [each.luma.copy() for each in given]
    waits = [engine.begin(each, *out) for each, out in zip(given, outs, strict=True)]
    for each in given:
        each.luma.fill(0)  # the caller's again
    for wait in waits:
        wait()
    for luma, (painted, _) in zip(kept, outs, strict=True):
        assert np.array_equal(painted, 255 - luma)


def test_a_tensorrt_that_cannot_be_loaded_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(module: str) -> object:
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(opening, "import_module", load)
    monkeypatch.setattr(opening, "CudaPython", lambda number: None)
    monkeypatch.setattr(opening, "gpu_trouble", lambda: "")
    there = ("tensorrt", "openvino")
    for module in (opening, registry):
        monkeypatch.setattr(
            module, "engine_trouble", lambda name: "" if name in there else "not here"
        )
    engine = open_engine(negative(), EngineChoice("auto", "f32"))
    assert engine.name == "openvino"
    assert "libnvinfer.so.10" in engine.notes[0]
    with pytest.raises(EngineError, match="reinstall it with: pip"):
        open_engine(negative(), EngineChoice("tensorrt"))


def test_the_other_tensorrt_is_taken_where_the_better_one_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (opening, registry):
        monkeypatch.setattr(module, "engine_trouble", lambda name: "")
    opened: list[str] = []

    def open_one(model: bytes, name: str, *how: object, **more: object) -> Engine:
        opened.append(name)
        if name == "tensorrt":
            raise EngineError("it does not start")
        return Painted(name)

    monkeypatch.setattr(opening, "open_tensorrt", open_one)
    cuda = FakeCuda()
    assert open_gpu_engine(b"", cuda).name == "tensorrt-rtx"
    assert opened == ["tensorrt", "tensorrt-rtx"]
    with pytest.raises(EngineError, match="does not start"):
        open_gpu_engine(b"", cuda, EngineChoice("tensorrt"))
    with pytest.raises(EngineError, match="need TensorRT, not openvino"):
        open_gpu_engine(b"", cuda, EngineChoice("openvino"))


# ONNX Runtime on a GPU, as far as there is none -----------------------------------------------


class Session:
    """An ONNX Runtime session that starts with some providers, or with none of those asked for."""

    at_work: list[str] = []  # noqa: RUF012
    models: list[bytes] = []  # noqa: RUF012

    def __init__(self, model: bytes, options: object, **asked: object) -> None:
        assert asked["enable_fallback"] == 0
        self.models.append(model)
        if not self.at_work:
            raise RuntimeError(
                "This session contains graph nodes that are assigned to the default CPU EP, but "
                "fallback to CPU EP has been explicitly disabled by the user."
            )

    def get_providers(self) -> list[str]:
        return self.at_work


@pytest.mark.parametrize(
    ("provider", "at_work", "missing"),
    [
        ("CUDAExecutionProvider", [], "with CUDA: CUDA or cuDNN is missing"),
        ("TensorrtExecutionProvider", ["CUDAExecutionProvider"], "with Tensorrt: TensorRT, CUDA"),
    ],
)
def test_what_onnx_runtime_lacks_on_a_gpu_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    provider: str,
    at_work: list[str],
    missing: str,
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from realtime_style.engines import onnxruntime_engine

    monkeypatch.setattr(Session, "at_work", at_work)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed"), raising=False)
    onnxruntime_engine.load_cuda.cache_clear()
    with pytest.raises(EngineError, match=missing):
        onnxruntime_engine.OnnxRuntimeEngine(negative(), "f16", "onnxruntime-cuda", provider)
    assert capsys.readouterr().out == ""  # where a film may go


@pytest.mark.parametrize("ratio", [1, 2, 1.5])
def test_on_a_gpu_onnx_runtime_moves_no_bytes_and_computes_in_one_type(
    monkeypatch: pytest.MonkeyPatch, ratio: float
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from realtime_style.engines import onnxruntime_engine

    monkeypatch.setattr(Session, "at_work", ["CUDAExecutionProvider"])
    monkeypatch.setattr(Session, "models", [])
    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime, "InferenceSession", Session)
        style = open_style("great-wave")
        engine = onnxruntime_engine.OnnxRuntimeEngine(
            style.model_for(style.color), "f16", "onnxruntime-cuda", "CUDAExecutionProvider"
        )
        engine.prepare((int(64 * ratio), int(48 * ratio)), (64, 48))
    proto = onnx.load_model_from_string(Session.models[-1])
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    assert onnx.TensorProto.UINT8 not in kinds.values()
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    kinds |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    assert floats & set(kinds.values()) == {onnx.TensorProto.FLOAT16}
    onnxruntime.InferenceSession(Session.models[-1])


def test_onnx_runtimes_engines_are_kept_style_by_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from realtime_style.engines.onnxruntime_engine import TENSORRT, _options

    monkeypatch.setenv("REALTIME_STYLE_CACHE", str(tmp_path))
    models = [open_style(name).model_for(ColorSpace()) for name in ("starry-night", "great-wave")]
    models.append(typed_model(models[0], "f16"))
    assert len({_options(TENSORRT, model)["trt_engine_cache_prefix"] for model in models}) == 3


def test_a_machine_without_a_gpu_hears_nothing_of_gpus(machine: dict[str, str]) -> None:
    machine |= dict.fromkeys(["gpu", *ON_GPU], "no driver")
    engine = open_engine(b"", EngineChoice("auto"))
    assert (engine.name, list(engine.notes)) == ("openvino", [])


def test_an_engine_that_is_asked_for_is_never_another(machine: dict[str, str]) -> None:
    machine["tensorrt"] = "there is no NVIDIA driver"
    with pytest.raises(EngineError, match="no NVIDIA driver"):
        open_engine(b"", EngineChoice("tensorrt"))
    machine["tensorrt"], machine["open tensorrt"] = "", "it does not start"
    with pytest.raises(EngineError, match="does not start"):
        open_engine(b"", EngineChoice("tensorrt"))


def test_an_error_of_the_cpus_engine_is_the_callers(machine: dict[str, str]) -> None:
    machine |= dict.fromkeys(ON_GPU, "no driver")
    machine["open openvino"] = "this CPU does not compute in bfloat16"
    with pytest.raises(EngineError, match="bfloat16"):
        open_engine(b"", EngineChoice("auto", "bf16"))


def test_half_precision_is_refused_by_name_on_a_cpu() -> None:
    for name in ("openvino", "onnxruntime"):
        refuse_missing(name)
        with pytest.raises(EngineError, match="not in f16"):
            open_engine(negative(), EngineChoice(name, "f16"))


class Driver:
    """NVIDIA's own library, as far as it is asked."""

    def __init__(self, code: int = 0, count: int = 1, version: int = 13000) -> None:
        self.code, self.count, self.version = code, count, version

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.code

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.count
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.version
        return 0


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (None, "no NVIDIA driver.*install"),
        (Driver(code=999), "does not start.*nvidia-smi.*--gpus all"),
        (Driver(count=0), "finds no GPU"),
        (Driver(version=11080), r"for CUDA 11\.8.*upgrade the driver, or pip install .*<12"),
        (Driver(version=99000), "^$"),
    ],
)
def test_what_is_the_matter_with_a_gpu_is_said_with_the_way_to_mend_it(
    driver: Driver | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cuda.bindings", reason="cuda-python is not installed")
    monkeypatch.setattr(cuda, "_driver", lambda: driver)
    gpu_trouble.cache_clear()
    try:
        assert re.search(said, gpu_trouble(), re.DOTALL)
    finally:
        gpu_trouble.cache_clear()


def test_networks_of_the_two_sizes_used_last_are_kept() -> None:
    loaded: list[int] = []

    def load(size: tuple[int, int], canvas: tuple[int, int]) -> str:
        loaded.append(size[0])
        return f"{size} {canvas}"

    networks = SizedNetworks[str]()
    for width in (64, 32, 64, 16, 64, 32):
        assert networks.of_size((width, 16), (16, 16), load) == f"{(width, 16)} (16, 16)"
    assert loaded == [64, 32, 16, 32]  # 32 had given way to 16, but 64 had been used since
    assert networks.kept() == ["(64, 16) (16, 16)", "(32, 16) (16, 16)"]


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "webgpu"])
def test_an_engine_is_freed_at_once(name: str) -> None:
    refuse_missing(name)
    engine = open_engine(negative(), EngineChoice(name, "f32"))
    painted_by(engine, noise_planes(48, 64))
    kept = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert kept() is None
    finally:
        gc.enable()
