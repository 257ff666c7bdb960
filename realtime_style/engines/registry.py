"""The table of engines: what each needs, and whether it can be used here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.errors import EngineError


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine: the module it needs, how to install that, and what it runs on.

    `provider` is ONNX Runtime's name of the device, "" for engines of other libraries.
    """

    module: str
    command: str
    is_gpu: bool = False
    provider: str = ""


_ORT_GPU = "pip uninstall onnxruntime && pip install 'realtime-style[gpu]'"

ENGINES = {  # best first
    "tensorrt": EngineKind("tensorrt", "pip install 'realtime-style[gpu]'", True),
    "tensorrt-rtx": EngineKind("tensorrt_rtx", "pip install tensorrt-rtx cuda-python", True),
    "onnxruntime-cuda": EngineKind("onnxruntime", _ORT_GPU, True, "CUDAExecutionProvider"),
    "onnxruntime-tensorrt": EngineKind("onnxruntime", _ORT_GPU, True, "TensorrtExecutionProvider"),
    "openvino": EngineKind("openvino", "pip install openvino"),
    "onnxruntime": EngineKind("onnxruntime", "pip install onnxruntime"),
}

PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")

GPU_FRAME_ENGINES = ("tensorrt", "tensorrt-rtx")
"""Engines that can paint frames in GPU memory."""


def engine_trouble(name: str) -> str:
    """Why an engine of ENGINES cannot be used here and what to do about it; "" if it can."""
    kind = ENGINES[name]
    if kind.is_gpu and (trouble := gpu_trouble()):
        return trouble
    if not find_spec(kind.module):
        return f"the engine '{name}' is not installed; install it with: {kind.command}"
    if kind.provider:
        from realtime_style.engines.onnxruntime_providers import available_providers

        if kind.provider not in available_providers():
            return f"this ONNX Runtime runs on CPUs only; for the GPU: {kind.command}"
    return ""


def available_engines() -> list[str]:
    """Names of the engines that can be used here, best first."""
    return [name for name in ENGINES if not engine_trouble(name)]


def refuse_gpu_frames(name: str, precision: str) -> None:
    """Raises EngineError where an engine can never paint frames in GPU memory, on any machine."""
    if name not in ("auto", *GPU_FRAME_ENGINES):
        raise EngineError(
            f"frames in GPU memory need TensorRT, not {name}; "
            f"choose auto, {', '.join(GPU_FRAME_ENGINES)}",
            setting="engine",
        )
    refuse_precision(GPU_FRAME_ENGINES[0] if name == "auto" else name, precision)


def refuse_precision(name: str, precision: str) -> None:
    """Raises EngineError for a precision that the engine does not have on any machine."""
    if ENGINES[name].is_gpu and precision in ("bf16", "int8"):
        raise EngineError(f"{name} paints in f16 or f32, not in {precision}", setting="precision")
    if not ENGINES[name].is_gpu and precision == "f16":
        raise EngineError(
            f"{name} paints on a CPU in int8, bf16 or f32; f16 needs a GPU", setting="precision"
        )


def refuse_unusable(name: str, precision: str) -> None:
    """Raises EngineError where an engine cannot be used here, or does not have the precision."""
    refuse_precision(name, precision)
    if trouble := engine_trouble(name):
        raise EngineError(trouble, setting="engine")


def silence_telemetry(name: str) -> None:
    """Keeps OpenVINO from reporting every import to its maker, from a process of its own.

    OpenVINO runs without its telemetry package, and then reports nothing.
    """
    if name == "openvino":
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
