"""ONNX Runtime: on the CPU in float32, on an NVIDIA GPU in half precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, done
from realtime_style.engines.graphs.int8 import int8_model
from realtime_style.engines.graphs.precision import digest, typed_model
from realtime_style.engines.onnxruntime_providers import _load_cuda
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.errors import EngineError
from realtime_style.system.cores import cpu_name_and_flags


def run_once(model: bytes, array: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The first output of a model of one input; raises EngineError where it fails."""
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {session.get_inputs()[0].name: array})[0], np.float32)
    except Exception as error:  # its exceptions share no base class
        raise EngineError(f"ONNX Runtime failed: {error}") from error


TENSORRT = "TensorrtExecutionProvider"
_NO_FALLBACK = "fallback to CPU EP has been explicitly disabled"  # as ONNX Runtime says it
_NOT_STARTED = {  # by provider, why it is not among those at work
    "CUDAExecutionProvider": "CUDA or cuDNN are missing, or of another version; install them with: "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    TENSORRT: "TensorRT, CUDA or cuDNN are missing, or of another version; install them with: "
    "pip install 'realtime-style[gpu]' 'onnxruntime-gpu[cuda,cudnn]'",
}


def _options(provider: str, model: bytes) -> dict[str, Any]:
    """TensorRT's engines are kept, in the folder of our own."""
    if provider != TENSORRT:
        return {}
    folder = PlanCache().folder / "onnxruntime"
    with contextlib.suppress(OSError):  # it then keeps nothing
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
        # by itself it tells models apart by the names in them, which all styles share
        "trt_engine_cache_prefix": digest(model)[:16],
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(folder),
    }


class OnnxRuntimeEngine(Engine):
    """An `Engine`. On a GPU the network runs there whole, or not at all."""

    def __init__(
        self,
        model: bytes,
        precision: str = "auto",
        name: str = "onnxruntime",
        provider: str = "",
        number: int = 0,
    ) -> None:
        """Args: provider, of a GPU, and which GPU; "" is the CPU."""
        self.name = name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if provider:
            self.device = f"GPU {number}"
            self.precision = "f32" if precision == "f32" else "f16"
            model = typed_model(model, self.precision)
            providers = [(provider, {"device_id": number} | _options(provider, model))]
            if provider == TENSORRT:  # what it does not take stays on the GPU
                providers.append(("CUDAExecutionProvider", {"device_id": number}))
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            _load_cuda()
        elif precision == "bf16":
            raise EngineError(
                "ONNX Runtime computes in int8 or f32 on a CPU; use --engine openvino for bf16"
            )
        else:
            self.device = cpu_name_and_flags()[0]
            self.precision = "int8" if precision == "int8" else "f32"
            if self.precision == "int8":
                model = int8_model(model)
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # its exceptions share no base class
            if provider and _NO_FALLBACK in str(error):  # to the CPU, for want of all others
                raise _not_started(provider) from error
            raise EngineError(f"ONNX Runtime cannot load this model: {error}") from error
        if provider and provider not in self._session.get_providers():
            raise _not_started(provider)
        self._binding = self._session.io_binding()
        self._run_options = onnxruntime.RunOptions()

    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """See `Engine.begin`; it is done at once."""
        binding = self._binding
        for name, array in (("luma", luma), ("chroma", chroma)):
            binding.bind_input(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
        for name, array in (("painted_luma", out_luma), ("painted_chroma", out_chroma)):
            binding.bind_output(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
        try:
            self._session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        return done

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._run_options.terminate = True


def _not_started(provider: str) -> EngineError:
    name = provider.removesuffix("ExecutionProvider")
    return EngineError(f"ONNX Runtime does not start with {name}: {_NOT_STARTED[provider]}")
