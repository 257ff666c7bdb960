"""ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

import platform

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from realtime_style.errors import EngineError


def run_once(model: bytes, array: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The first output of a model of one input; raises EngineError where it fails."""
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {session.get_inputs()[0].name: array})[0], np.float32)
    except Exception as error:  # its exceptions share no base class
        raise EngineError(f"ONNX Runtime failed: {error}") from error


class OnnxRuntimeEngine:
    """An `Engine`."""

    name = "onnxruntime"
    precision = "f32"

    def __init__(self, model: bytes, precision: str = "auto") -> None:
        if precision == "bf16":
            raise EngineError(
                "ONNX Runtime computes in f32 on a CPU; use --engine openvino for bf16"
            )
        self.device = platform.processor() or platform.machine()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class
            raise EngineError(f"ONNX Runtime cannot load this model: {error}") from error
        self._binding = self._session.io_binding()
        self._run_options = onnxruntime.RunOptions()

    def infer(
        self,
        luma: NDArray[np.uint8],
        chroma: NDArray[np.uint8],
        out_luma: NDArray[np.uint8],
        out_chroma: NDArray[np.uint8],
    ) -> None:
        """See `Engine.infer`."""
        binding = self._binding
        for name, array in (("luma", luma), ("chroma", chroma)):
            binding.bind_input(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
        for name, array in (("painted_luma", out_luma), ("painted_chroma", out_chroma)):
            binding.bind_output(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
        self._run_options.terminate = False
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._run_options.terminate = True
