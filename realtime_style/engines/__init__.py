"""Engines run a style's network on planes; one adapter a file, and the choice among them here."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import EngineError

ENGINES = {  # name: (module that must be there, how to get it); the better first
    "openvino": ("openvino", "pip install openvino"),
    "onnxruntime": ("onnxruntime", "pip install onnxruntime"),
}
PRECISIONS = ("auto", "f32", "bf16")


class Engine(Protocol):
    """A loaded network. One thread at a time may call it."""

    @property
    def name(self) -> str:
        """What `--engine` calls it."""

    @property
    def device(self) -> str:
        """What it runs on, for people to read."""

    @property
    def precision(self) -> str:
        """The arithmetic of its convolutions: f32 or bf16."""

    def infer(
        self,
        luma: NDArray[np.uint8],
        chroma: NDArray[np.uint8],
        out_luma: NDArray[np.uint8],
        out_chroma: NDArray[np.uint8],
    ) -> None:
        """Paints one picture into the given arrays.

        luma and out_luma are (1, 1, H, W), chroma and out_chroma (1, 2, H/2, W/2), all uint8 and
        C-contiguous; H and W are multiples of the style's size multiple and may change from call
        to call. Raises EngineError where the network fails, does not keep the sizes, or is
        cancelled.
        """

    def cancel(self) -> None:
        """Ends a call of `infer` in another thread, if there is one; no more calls may follow."""


def available_engines() -> list[str]:
    """Names of the engines whose library is installed, the better first."""
    return [name for name, (module, _) in ENGINES.items() if find_spec(module)]


def open_engine(model: bytes, name: str = "auto", precision: str = "auto") -> Engine:
    """Loads an ONNX model (of `Style.model_for`) into an engine.

    Args:
        name: "auto" (the best installed) or one of ENGINES.
        precision: "auto" (bf16 where the CPU has it, else f32), "f32" or "bf16".

    Raises:
        EngineError: the engine is not installed, does not have the precision, or cannot load it.
    """
    if precision not in PRECISIONS:
        raise EngineError(f"there is no precision '{precision}'; choose {', '.join(PRECISIONS)}")
    name = _installed(name)
    if name == "openvino":
        from realtime_style.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(model, precision)
    from realtime_style.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(model, precision)


def run_once(model: bytes, array: NDArray[np.uint8], name: str = "auto") -> NDArray[np.float32]:
    """The first output of any ONNX model of one input, in float32.

    Raises:
        EngineError: the engine is not installed, or fails.
    """
    if _installed(name) == "openvino":
        from realtime_style.engines.openvino_engine import run_once
    else:
        from realtime_style.engines.onnxruntime_engine import run_once
    return run_once(model, array)


def _installed(name: str) -> str:
    """The name of an engine that is there, ready to be imported; raises EngineError."""
    if name == "auto":
        name = next(iter(available_engines()), "openvino")
    if name not in ENGINES:
        raise EngineError(f"there is no engine '{name}'; choose auto, {', '.join(ENGINES)}")
    module, command = ENGINES[name]
    if not find_spec(module):
        raise EngineError(f"the engine '{name}' is not installed; install it with: {command}")
    if name == "openvino":
        # OpenVINO tells its maker of every import, from a process of its own; it can do without
        # this package, and does not then
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return name
