"""Opens the engine that was chosen by name, or the best one that works on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from realtime_style.canvas import canvas_size
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Engine, GpuEngine
from realtime_style.engines.multi_device import MultiDeviceEngine
from realtime_style.engines.registry import (
    ENGINES,
    GPU_FRAME_ENGINES,
    automatic_trouble,
    engine_trouble,
    refuse_gpu_frames,
    refuse_precision,
    refuse_unusable,
    silence_telemetry,
)
from realtime_style.engines.tensorrt.cuda import Cuda, CudaPython, gpu_trouble
from realtime_style.errors import EngineError

if TYPE_CHECKING:
    from realtime_style.engines.webgpu.engine import WebGpuEngine


def open_engine(
    model: bytes, choice: EngineChoice = EngineChoice(), *, in_flight: int | None = 1
) -> Engine:
    """Loads an ONNX model (from `Style.model_for`) into an engine.

    Args:
        model: the serialised model.
        choice: which engine. A name gives that engine or an error; "auto" tries the engines from
            the best one on, until one works.
        in_flight: how many pictures will be begun before the first is waited for. 1 gives the
            shortest time for each picture; None gives the most pictures per second, although each
            takes longer.

    Raises:
        EngineError: the engine cannot be used, does not have the precision, or cannot load the
            model.
    """
    if choice.name != "auto":
        refuse_unusable(choice.name, choice.precision)
        return _open(model, choice.name, choice, in_flight, [])
    passed_over: list[str] = []
    for name, kind in ENGINES.items():
        trouble = automatic_trouble(name)
        if not trouble:
            # on a machine without a GPU, nobody needs to read why GPU engines are not used
            notes = [] if gpu_trouble() else passed_over
            try:
                refuse_precision(name, choice.precision)
                engine = _open(model, name, choice, in_flight, notes)
                if name == "webgpu":
                    _refuse_slower(model, engine)
                return engine
            except EngineError as error:
                if kind.device == "cpu":
                    raise
                trouble = str(error)
        passed_over.append(f"{name} is not used: {trouble}")
    raise EngineError(engine_trouble("openvino"), setting="engine")


def _open(
    model: bytes, name: str, choice: EngineChoice, in_flight: int | None, notes: Sequence[str]
) -> Engine:
    silence_telemetry(name)
    kind = ENGINES[name]
    if not kind.has_numbers and choice.devices != (0,):
        notes = [*notes, f"{name} uses no NVIDIA GPU; the GPU numbers are ignored"]
    devices = choice.devices if kind.has_numbers else (0,)
    engines = [
        _open_on(number, model, name, choice.precision, in_flight, notes if i == 0 else ())
        for i, number in enumerate(devices)
    ]
    return MultiDeviceEngine(engines) if len(engines) > 1 else engines[0]


def _refuse_slower(model: bytes, engine: Engine) -> None:
    """Raises EngineError if the CPU paints faster than an engine, measured when first asked."""
    from realtime_style.engines.webgpu.trial import refuse_slower

    choice = EngineChoice(_cpu_engine())
    refuse_slower(model, engine, choice.name, lambda: _open(model, choice.name, choice, None, []))


def _open_webgpu(
    number: int, model: bytes, precision: str, in_flight: int | None, notes: Sequence[str]
) -> WebGpuEngine:
    """Opens WebGPU; "auto" is float32 where the adapter has no float16, or paints wrong in it."""
    from realtime_style.engines.webgpu.engine import WebGpuEngine

    engine = WebGpuEngine(model, precision, number, in_flight=in_flight, notes=notes)
    try:
        _refuse_wrong(model, engine)
    except EngineError as error:
        if precision != "auto" or engine.precision == "f32":
            raise
        notes = [*notes, f"f16 is not used: {error}"]
        engine = WebGpuEngine(model, "f32", number, in_flight=in_flight, notes=notes)
        _refuse_wrong(model, engine)
    return engine


def _refuse_wrong(model: bytes, engine: WebGpuEngine) -> None:
    """Raises EngineError if a GPU paints something else than the CPU, when it is first used."""
    from realtime_style.engines.webgpu.trial import refuse_wrong

    adapter = engine.adapter
    if not adapter.is_software:
        choice = EngineChoice(_cpu_engine(), "f32")
        refuse_wrong(
            model, engine, adapter.identity, lambda: _open(model, choice.name, choice, 1, [])
        )


def _cpu_engine() -> str:
    """The engine that "auto" takes on the CPU."""
    return next(n for n, k in ENGINES.items() if k.device == "cpu" and not engine_trouble(n))


def _open_on(
    number: int,
    model: bytes,
    name: str,
    precision: str,
    in_flight: int | None,
    notes: Sequence[str],
) -> Engine:
    """Opens an engine on one device. A new engine adds its case here."""
    kind = ENGINES[name]
    match kind.module:
        case "tensorrt" | "tensorrt_rtx":
            return open_tensorrt(model, name, precision, CudaPython(number), notes=notes)
        case "onnxruntime":
            from realtime_style.engines.onnxruntime_engine import OnnxRuntimeEngine

            return OnnxRuntimeEngine(model, precision, name, kind.provider, number, notes=notes)
        case "wgpu":
            return _open_webgpu(number, model, precision, in_flight, notes)
        case "openvino":
            from realtime_style.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(
                model, precision, name, kind.provider or "CPU", in_flight=in_flight, notes=notes
            )
    raise AssertionError(f"{name} is in the table, but cannot be opened")


def open_gpu_engine(model: bytes, cuda: Cuda, choice: EngineChoice = EngineChoice()) -> GpuEngine:
    """Loads an ONNX model (from `Style.model_for`) into an engine for frames in GPU memory.

    Args:
        model: the serialised model.
        cuda: the GPU; the devices of `choice` are ignored.
        choice: "auto", "tensorrt" or "tensorrt-rtx", in "auto", "f16" or "f32".

    Raises:
        EngineError: it is another engine or precision, the engine cannot be used, or it cannot
            load the model.
    """
    return _open_first(
        choice,
        lambda name: open_tensorrt(model, name, choice.precision, cuda, gpu_frames=True),
    )


def prebuild(
    model: bytes,
    profile: str,
    choice: EngineChoice = EngineChoice(),
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    gpu_frames: bool = False,
    on_build: Callable[[float], None] | None = None,
) -> Engine:
    """Builds the TensorRT engine for a profile, unless it is cached already, and opens it.

    Args:
        model: a serialised ONNX model, from `Style.model_for`.
        profile: a name in `builder.PROFILES`.
        choice: as for `open_gpu_engine`; the engine is built on the first of its devices.
        level, workspace_mb: see `build_engine`; None accepts a cached engine however it was built.
        gpu_frames: whether the engine is for frames in GPU memory, as for `open_gpu_engine`.
        on_build: called with the finished part of the work, 0..1.

    Raises:
        EngineError: there is no such profile, no TensorRT or no GPU, or the build fails.
    """
    from realtime_style.engines.tensorrt.builder import PROFILES

    if profile not in PROFILES:
        raise EngineError(
            f"there is no profile '{profile}'; choose {', '.join(PROFILES)}", setting="profile"
        )
    engine = _open_first(
        choice,
        lambda name: open_tensorrt(
            model,
            name,
            choice.precision,
            CudaPython(choice.devices[0]),
            level=level,
            workspace_mb=workspace_mb,
            gpu_frames=gpu_frames,
        ),
    )
    size = PROFILES[profile].pictures.best
    engine.prepare(size, canvas_size(*size), on_build)
    return engine


def _open_first(choice: EngineChoice, open_one: Callable[[str], GpuEngine]) -> GpuEngine:
    """Opens the TensorRT that `choice` names; for "auto" the first that can be used."""
    refuse_gpu_frames(choice.name, choice.precision)
    troubles = []
    for name in GPU_FRAME_ENGINES if choice.name == "auto" else [choice.name]:
        try:
            refuse_unusable(name, choice.precision)
            return open_one(name)
        except EngineError as error:
            troubles.append(error)
    raise troubles[0]


def open_tensorrt(
    model: bytes,
    name: str,
    precision: str,
    cuda: Cuda,
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    gpu_frames: bool = False,
    notes: Sequence[str] = (),
) -> GpuEngine:
    """Loads a model into TensorRT or TensorRT-RTX on one GPU.

    Args:
        name: "tensorrt" or "tensorrt-rtx".
        model, precision, cuda, level, workspace_mb, gpu_frames, notes: see `TensorRtEngine`.

    Raises:
        EngineError: the library cannot be loaded, or does not start on this GPU.
    """
    from realtime_style.engines.tensorrt.engine import TensorRtEngine
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

    kind = ENGINES[name]
    try:
        trt = import_module(kind.module)
    except (ImportError, OSError, AttributeError) as error:  # parts of the library are missing
        raise EngineError(
            f"{name} cannot be loaded ({error}); reinstall it with: {kind.command}"
        ) from error
    return TensorRtEngine(
        model,
        precision,
        trt,
        cuda,
        PlanCache(),
        level=level,
        workspace_mb=workspace_mb,
        gpu_frames=gpu_frames,
        notes=notes,
    )
