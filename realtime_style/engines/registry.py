"""The table of engines: what each needs, and whether it can be used here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.errors import EngineError


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
        from realtime_style.engines.onnxruntime_providers import available_providers

        if kind.provider not in available_providers():
            return f"this ONNX Runtime is for CPUs; for the GPU: {kind.command}"
    return ""


def available_engines() -> list[str]:
    """Names of the engines that can be used here, the better first."""
    return [name for name in ENGINES if not engine_trouble(name)]


def refuse_on_gpu(name: str, precision: str) -> None:
    """Raises EngineError where an engine cannot paint pictures on a GPU, whatever there is."""
    builders = _builders()
    if name not in ("auto", *builders):
        raise EngineError(f"this takes TensorRT, not {name}; choose auto, {', '.join(builders)}")
    refuse_precision(builders[0] if name == "auto" else name, precision)


def _builders() -> list[str]:
    return [name for name, kind in ENGINES.items() if kind.module.startswith("tensorrt")]


def refuse_precision(name: str, precision: str) -> None:
    """Raises EngineError for a precision that the engine has on no machine."""
    if ENGINES[name].on_gpu and precision in ("bf16", "int8"):
        raise EngineError(f"{name} paints in f16 or f32, not in {precision}; use --precision f16")
    if not ENGINES[name].on_gpu and precision == "f16":
        raise EngineError(f"{name} paints on a CPU in int8, bf16 or f32; f16 needs a GPU")


def _usable(name: str, precision: str) -> str:
    """The name of an engine that can be used; raises EngineError where it cannot."""
    if name not in ENGINES:
        raise EngineError(f"there is no engine '{name}'; choose auto, {', '.join(ENGINES)}")
    refuse_precision(name, precision)
    if trouble := engine_trouble(name):
        raise EngineError(trouble)
    return name


def _keep_quiet(name: str) -> None:
    if name == "openvino":
        # OpenVINO tells its maker of every import, from a process of its own; it can do without
        # this package, and does not then
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
