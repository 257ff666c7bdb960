"""Engines run a style's network on planes; one adapter a file, and the choice among them here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.cuda import Cuda, CudaPython, gpu_trouble
from realtime_style.engines.engine import Engine, GpuEngine
from realtime_style.engines.several import SeveralEngines
from realtime_style.errors import EngineError

__all__ = [
    "ENGINES", "PRECISIONS", "Engine", "GpuEngine", "available_engines", "engine_trouble",
    "open_engine", "open_gpu_engine", "run_once",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that could be there: its library, how to get that, and what it runs on.

    `provider` is what ONNX Runtime calls the device.
    """

    module: str
    command: str
    on_gpu: bool = False
    provider: str = ""


_ORT_GPU = "pip uninstall onnxruntime && pip install 'realtime-style[gpu]'"
ENGINES = {  # the better first
    "tensorrt": EngineKind("tensorrt", "pip install 'realtime-style[gpu]'", True),
    "tensorrt-rtx": EngineKind("tensorrt_rtx", "pip install tensorrt-rtx cuda-python", True),
    "onnxruntime-cuda": EngineKind("onnxruntime", _ORT_GPU, True, "CUDAExecutionProvider"),
    "onnxruntime-tensorrt": EngineKind("onnxruntime", _ORT_GPU, True, "TensorrtExecutionProvider"),
    "openvino": EngineKind("openvino", "pip install openvino"),
    "onnxruntime": EngineKind("onnxruntime", "pip install onnxruntime"),
}
PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")


def engine_trouble(name: str) -> str:
    """Why an engine of ENGINES cannot be used here, and how to mend it; nothing if it can."""
    kind = ENGINES[name]
    if kind.on_gpu and (trouble := gpu_trouble()):
        return trouble
    if not find_spec(kind.module):
        return f"the engine '{name}' is not installed; install it with: {kind.command}"
    if kind.provider:
        from realtime_style.engines.onnxruntime_engine import available_providers

        if kind.provider not in available_providers():
            return f"this ONNX Runtime is for CPUs; for the GPU: {kind.command}"
    return ""


def available_engines() -> list[str]:
    """Names of the engines that can be used here, the better first."""
    return [name for name in ENGINES if not engine_trouble(name)]


def open_engine(
    model: bytes,
    name: str = "auto",
    precision: str = "auto",
    devices: Sequence[int] = (0,),
    *,
    overlap: bool = False,
) -> Engine:
    """Loads an ONNX model (of `Style.model_for`) into an engine.

    Args:
        name: "auto" (the best that there is) or one of ENGINES.
        precision: "auto" (f16 on a GPU; int8 or bf16 where OpenVINO and the CPU have it, else
            f32), "f32", "bf16", "f16" or "int8".
        devices: numbers of the GPUs to share the pictures among.
        overlap: whether several pictures will be begun before the first is waited for, as those of
            a film may: cores then paint one each, rather than all of them one after the other.

    Raises:
        EngineError: the engine cannot be used, does not have the precision, or cannot load it.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"there is no precision '{precision}'; choose {', '.join(PRECISIONS)}")
    if name != "auto":
        return _opened(model, _usable(name, precision), precision, devices, overlap)
    passed_over: list[str] = []
    for each, kind in ENGINES.items():
        trouble = engine_trouble(each)
        if not trouble:
            try:
                _refuse_precision(each, precision)
                engine = _opened(model, each, precision, devices, overlap)
            except EngineError as error:
                if not kind.on_gpu:
                    raise
                trouble = str(error)
            else:
                if not gpu_trouble():  # else there is none that could have been used
                    engine.notes = [*engine.notes, *passed_over]
                return engine
        passed_over.append(f"{each} is not used: {trouble}")
    raise EngineError(engine_trouble("openvino"))


def _opened(
    model: bytes, name: str, precision: str, devices: Sequence[int], overlap: bool
) -> Engine:
    _keep_quiet(name)
    kind = ENGINES[name]
    open_on: Callable[[int], Engine]
    if kind.module.startswith("tensorrt"):

        def open_on(number: int) -> Engine:
            return _tensorrt(model, name, precision, CudaPython(number))

    elif kind.module == "onnxruntime":
        from realtime_style.engines.onnxruntime_engine import OnnxRuntimeEngine

        def open_on(number: int) -> Engine:
            return OnnxRuntimeEngine(model, precision, name, kind.provider, number)

    else:
        from realtime_style.engines.openvino_engine import OpenVinoEngine

        def open_on(number: int) -> Engine:
            return OpenVinoEngine(model, precision, overlap=overlap)

    if not devices:
        raise EngineError("there is no GPU to use; give at least one, as --devices 0")
    engines = [open_on(number) for number in (devices if kind.on_gpu else (0,))]
    if not kind.on_gpu and tuple(devices) != (0,):
        unused = f"{name} paints on the CPU; --devices names GPUs, and is not used"
        engines[0].notes = [*engines[0].notes, unused]
    return SeveralEngines(engines) if len(engines) > 1 else engines[0]


def open_gpu_engine(
    model: bytes, cuda: Cuda, name: str = "auto", precision: str = "auto"
) -> GpuEngine:
    """Loads an ONNX model (of `Style.model_for`) into an engine for pictures on a GPU.

    Args:
        name: "auto", "tensorrt" or "tensorrt-rtx"; no other engine takes such pictures.
        precision: "auto" (f16), "f16" or "f32".

    Raises:
        EngineError: the engine cannot be used, or cannot load it.
    """
    return _tensorrt_of(
        name, precision, lambda each: _tensorrt(model, each, precision, cuda, on_gpu=True)
    )


def refuse_on_gpu(name: str, precision: str) -> None:
    """Raises EngineError where an engine cannot paint pictures on a GPU, whatever there is."""
    builders = _builders()
    if name not in ("auto", *builders):
        raise EngineError(f"this takes TensorRT, not {name}; choose auto, {', '.join(builders)}")
    _refuse_precision(builders[0] if name == "auto" else name, precision)


def _builders() -> list[str]:
    return [name for name, kind in ENGINES.items() if kind.module.startswith("tensorrt")]


def _tensorrt_of(name: str, precision: str, open_one: Callable[[str], GpuEngine]) -> GpuEngine:
    """The TensorRT that is named, or for "auto" the better one that can be used."""
    refuse_on_gpu(name, precision)
    troubles = []
    for each in _builders() if name == "auto" else [name]:
        try:
            return open_one(_usable(each, precision))
        except EngineError as error:
            troubles.append(error)
    raise troubles[0]


def prebuild(
    model: bytes,
    profile: str,
    name: str = "auto",
    precision: str = "auto",
    device: int = 0,
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    on_gpu: bool = False,
    on_build: Callable[[float], None] | None = None,
) -> Engine:
    """Builds the TensorRT engine for a profile of PROFILES, unless it is kept already.

    Args:
        level, workspace_mb: as for `build_engine`; None takes what is kept, however it was built.
        on_gpu: whether it is for pictures that are on the GPU, as `open_gpu_engine` takes them.

    Raises:
        EngineError: there is no TensorRT or no GPU here, or it cannot build.
    """
    from export.to_tensorrt import PROFILES

    if profile not in PROFILES:
        raise EngineError(f"there is no profile '{profile}'; choose {', '.join(PROFILES)}")
    engine = _tensorrt_of(
        name,
        precision,
        lambda each: _tensorrt(
            model, each, precision, CudaPython(device),
            level=level, workspace_mb=workspace_mb, on_gpu=on_gpu,
        ),
    )  # fmt: skip
    engine.on_build = on_build
    engine.prepare(*PROFILES[profile].best)
    return engine


def _tensorrt(
    model: bytes,
    name: str,
    precision: str,
    cuda: Cuda,
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    on_gpu: bool = False,
) -> GpuEngine:
    from realtime_style.engines.plan_cache import PlanCache
    from realtime_style.engines.tensorrt_engine import TensorRtEngine

    module = ENGINES[name].module
    try:
        trt = import_module(module)
    except (ImportError, OSError, AttributeError) as error:  # a part of it is missing
        raise EngineError(
            f"{name} cannot be loaded ({error}); install it anew with: {ENGINES[name].command}"
        ) from error
    return TensorRtEngine(
        model,
        precision,
        trt,
        cuda,
        PlanCache(),
        level=level,
        workspace_mb=workspace_mb,
        on_gpu=on_gpu,
    )


def run_once(model: bytes, array: NDArray[np.uint8], name: str = "auto") -> NDArray[np.float32]:
    """The first output of any ONNX model of one input, on the CPU, in float32.

    Raises:
        EngineError: no engine for the CPU is installed, or it fails.
    """
    on_cpu = [each for each in available_engines() if not ENGINES[each].on_gpu]
    name = _usable(name if name in on_cpu else next(iter(on_cpu), "openvino"), "f32")
    _keep_quiet(name)
    if name == "openvino":
        from realtime_style.engines.openvino_engine import run_once
    else:
        from realtime_style.engines.onnxruntime_engine import run_once
    return run_once(model, array)


def _refuse_precision(name: str, precision: str) -> None:
    """Raises EngineError for a precision that the engine has on no machine."""
    if ENGINES[name].on_gpu and precision in ("bf16", "int8"):
        raise EngineError(f"{name} paints in f16 or f32, not in {precision}; use --precision f16")
    if not ENGINES[name].on_gpu and precision == "f16":
        raise EngineError(f"{name} paints on a CPU in int8, bf16 or f32; f16 needs a GPU")


def _usable(name: str, precision: str) -> str:
    """The name of an engine that can be used; raises EngineError where it cannot."""
    if name not in ENGINES:
        raise EngineError(f"there is no engine '{name}'; choose auto, {', '.join(ENGINES)}")
    _refuse_precision(name, precision)
    if trouble := engine_trouble(name):
        raise EngineError(trouble)
    return name


def _keep_quiet(name: str) -> None:
    if name == "openvino":
        # OpenVINO tells its maker of every import, from a process of its own; it can do without
        # this package, and does not then
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
