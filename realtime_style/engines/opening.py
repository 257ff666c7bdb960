"""Opens an engine by its name, or the best one there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from realtime_style.engines.engine import Engine, GpuEngine
from realtime_style.engines.multi_device import SeveralEngines
from realtime_style.engines.registry import (
    ENGINES,
    PRECISIONS,
    _builders,
    _keep_quiet,
    _usable,
    engine_trouble,
    refuse_on_gpu,
    refuse_precision,
)
from realtime_style.engines.tensorrt.cuda import Cuda, CudaPython, gpu_trouble
from realtime_style.errors import EngineError


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
                refuse_precision(each, precision)
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
    from realtime_style.engines.tensorrt.builder import PROFILES

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
    from realtime_style.engines.tensorrt.engine import TensorRtEngine
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

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
