"""The table of engines: what each one needs, and whether it can be used on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec

from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.engines.webgpu.adapters import adapter_trouble, software_trouble
from realtime_style.errors import EngineError


@dataclass(frozen=True, slots=True)
class EngineKind:
    """A row of ENGINES: what an engine needs, what it runs on, and its precisions.

    Attributes:
        module: the Python module that must be installed.
        command: the shell command that installs it.
        precisions: the precisions that it may be asked for, apart from "auto"; not every machine
            has all of them.
        device: "cpu", "cuda" (NVIDIA GPUs), or any other word for another kind of device.
        provider: the name of its device in ONNX Runtime or OpenVINO; "" on the CPU, and for other
            libraries.
        by_name_only: whether "auto" never takes it.
    """

    module: str
    command: str
    precisions: tuple[str, ...]
    device: str = "cpu"
    provider: str = ""
    by_name_only: bool = False

    @property
    def is_nvidia(self) -> bool:
        """Whether it runs on NVIDIA GPUs."""
        return self.device == "cuda"

    @property
    def has_numbers(self) -> bool:
        """Whether it runs on GPUs that `EngineChoice.devices` gives the numbers of."""
        return self.device in ("cuda", "webgpu")


_GPU = "pip install 'realtime-style[gpu]'"
_ORT_GPU = f"pip uninstall onnxruntime && {_GPU}"
_RTX = "pip install tensorrt-rtx cuda-python"
_OPENVINO = "pip install openvino"
_WEBGPU = "pip install 'realtime-style[webgpu]'"
_HALF = ("f16", "f32")

ENGINES = {  # by name, in the order in which "auto" tries them
    "tensorrt": EngineKind("tensorrt", _GPU, _HALF, "cuda"),
    "tensorrt-rtx": EngineKind("tensorrt_rtx", _RTX, _HALF, "cuda"),
    "onnxruntime-cuda": EngineKind("onnxruntime", _ORT_GPU, _HALF, "cuda", "CUDAExecutionProvider"),
    "onnxruntime-tensorrt": EngineKind(
        "onnxruntime", _ORT_GPU, _HALF, "cuda", "TensorrtExecutionProvider"
    ),
    "webgpu": EngineKind("wgpu", _WEBGPU, _HALF, "webgpu"),
    "openvino": EngineKind("openvino", _OPENVINO, ("int8", "bf16", "f32")),
    "onnxruntime": EngineKind("onnxruntime", "pip install onnxruntime", ("int8", "f32")),
    "openvino-gpu": EngineKind("openvino", _OPENVINO, _HALF, "intel-gpu", "GPU", by_name_only=True),
    "openvino-npu": EngineKind(
        "openvino", _OPENVINO, ("f16",), "intel-npu", "NPU", by_name_only=True
    ),
}

PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")

GPU_FRAME_ENGINES = ("tensorrt", "tensorrt-rtx")
"""Engines that can paint frames in GPU memory."""


def engine_trouble(name: str) -> str:
    """Why an engine of ENGINES cannot be used on this machine, and what to do; "" if it can."""
    kind = ENGINES[name]
    if kind.is_nvidia and (trouble := gpu_trouble()):
        return trouble
    if not find_spec(kind.module):
        return f"the engine '{name}' is not installed; install it with: {kind.command}"
    if kind.module == "wgpu":
        return adapter_trouble()
    if kind.module == "openvino" and kind.provider:
        silence_telemetry(name)
        from realtime_style.engines.openvino_engine import device_trouble

        return device_trouble(kind.provider)
    if kind.provider:
        from realtime_style.engines.onnxruntime_providers import available_providers

        if kind.provider not in available_providers():
            return f"this ONNX Runtime runs on CPUs only; for the GPU: {kind.command}"
    return ""


def automatic_trouble(name: str) -> str:
    """Why "auto" does not take an engine on this machine; "" if it may."""
    kind = ENGINES[name]
    if kind.by_name_only:
        return "it is experimental, and used only if you name it"
    return (software_trouble() if kind.module == "wgpu" else "") or engine_trouble(name)


def available_engines() -> list[str]:
    """Names of the engines that "auto" may take on this machine, best first."""
    return [name for name in ENGINES if not automatic_trouble(name)]


def refuse_gpu_frames(name: str, precision: str) -> None:
    """Raises EngineError if the engine cannot paint frames in GPU memory in the precision.

    Args:
        name: "auto" or a name in ENGINES.
        precision: one of PRECISIONS.
    """
    if name not in ("auto", *GPU_FRAME_ENGINES):
        raise EngineError(
            f"frames in GPU memory need TensorRT, not {name}; "
            f"choose auto, {', '.join(GPU_FRAME_ENGINES)}",
            setting="engine",
        )
    refuse_precision(GPU_FRAME_ENGINES[0] if name == "auto" else name, precision)


def refuse_precision(name: str, precision: str) -> None:
    """Raises EngineError for a precision that the engine has on no machine.

    Args:
        name: a name in ENGINES.
        precision: one of PRECISIONS; "auto" is always accepted.
    """
    precisions = ENGINES[name].precisions
    if precision != "auto" and precision not in precisions:
        *most, last = precisions
        raise EngineError(
            f"{name} paints in {', '.join(most)} or {last}, not in {precision}",
            setting="precision",
        )


def refuse_unusable(name: str, precision: str) -> None:
    """Raises EngineError if this machine cannot use the engine, or it lacks the precision.

    Args:
        name: a name in ENGINES.
        precision: one of PRECISIONS; "auto" is always accepted.
    """
    refuse_precision(name, precision)
    if trouble := engine_trouble(name):
        raise EngineError(trouble, setting="engine")


def silence_telemetry(name: str) -> None:
    """Keeps OpenVINO from reporting its import to Intel; other engines are left alone.

    OpenVINO reports through a separate package, openvino_telemetry, and runs without it. So that
    package is marked as missing before the import.
    """
    if ENGINES[name].module == "openvino":
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
