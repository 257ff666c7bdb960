"""ONNX Runtime: on the CPU in float32 or int8, on an NVIDIA GPU in half precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, Planes, done
from realtime_style.engines.graphs.int8 import int8_model, refuse_inexact_cpu
from realtime_style.engines.graphs.precision import digest, outer_casts, typed_model
from realtime_style.engines.graphs.size import model_of_size
from realtime_style.engines.onnxruntime_providers import load_cuda
from realtime_style.engines.sized_networks import SizedNetworks
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.errors import EngineError
from realtime_style.system.cores import cpu_name_and_flags

TENSORRT = "TensorrtExecutionProvider"
_SMALL = (64, 64)  # a size of picture and canvas
_NO_FALLBACK = "fallback to CPU EP has been explicitly disabled"  # part of ONNX Runtime's message
_NOT_STARTED = {  # for each provider, why it may not start and what to do
    "CUDAExecutionProvider": "CUDA or cuDNN is missing or has another version; install them with: "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'",
    TENSORRT: "TensorRT, CUDA or cuDNN is missing or has another version; install them with: "
    "pip install 'realtime-style[gpu]' 'onnxruntime-gpu[cuda,cudnn]'",
}


def _options(provider: str, model: bytes) -> dict[str, Any]:
    """Options of a provider: TensorRT's engines are cached in this package's cache folder."""
    if provider != TENSORRT:
        return {}
    folder = PlanCache().folder / "onnxruntime"
    with contextlib.suppress(OSError):  # without the folder, TensorRT caches nothing
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
        # ONNX Runtime tells models apart by the names in them, which all styles share
        "trt_engine_cache_prefix": digest(model)[:16],
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(folder),
    }


class OnnxRuntimeEngine(Engine):
    """A style in ONNX Runtime. On a GPU, no part of the network falls back to the CPU."""

    def __init__(
        self,
        model: bytes,
        precision: str = "auto",
        name: str = "onnxruntime",
        provider: str = "",
        number: int = 0,
        *,
        notes: Sequence[str] = (),
    ) -> None:
        """Loads the model, and paints nothing yet; it is optimised for each size of picture.

        Args:
            model: a serialised ONNX model, from `Style.model_for`.
            precision: "int8" or "f32" on the CPU, "f16" or "f32" on a GPU; "auto" means f32 on the
                CPU and f16 on a GPU.
            name: the engine's name in `registry.ENGINES`.
            provider: ONNX Runtime's name of the GPU provider; "" runs on the CPU.
            number: number of the GPU, from 0.
            notes: see `Engine`.

        Raises:
            EngineError: the precision is not available, or the model cannot be loaded.
        """
        super().__init__(notes)
        self.name = name
        self._options = onnxruntime.SessionOptions()
        self._options.log_severity_level = 3
        self._provider, self._number = provider, number
        if provider:
            self.device = f"GPU {number}"
            self.precision = "f32" if precision == "f32" else "f16"
            model = outer_casts(model)  # CUDA has no SpaceToDepth of bytes
            self._options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            load_cuda()
        else:
            self.device = cpu_name_and_flags()[0]
            self.precision = "int8" if precision == "int8" else "f32"
            if self.precision == "int8":
                refuse_inexact_cpu()
                model = int8_model(model)
        self._model = model
        self._sessions = SizedNetworks[Any]()
        self._run_options = onnxruntime.RunOptions()
        # This shows whether the provider starts and takes the model
        self._sessions.of_size(_SMALL, _SMALL, self._load)

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """See `Engine.prepare`."""
        self._sessions.of_size(size, canvas, self._load)

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`; the picture is already painted when this returns."""
        session = self._sessions.of_size(planes.size, planes.canvas, self._load)
        binding = session.io_binding()
        try:
            for name, array in planes._asdict().items():
                binding.bind_input(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
            for name, array in (("painted_luma", out_luma), ("painted_chroma", out_chroma)):
                binding.bind_output(name, "cpu", 0, np.uint8, array.shape, array.ctypes.data)
            session.run_with_iobinding(binding, self._run_options)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        return done

    def _load(self, size: tuple[int, int], canvas: tuple[int, int]) -> Any:
        try:
            model = model_of_size(self._model, size, canvas)
        except DecodeError as error:
            raise EngineError(f"ONNX Runtime cannot load this model: {error}") from error
        provider = self._provider
        providers: list[Any] = ["CPUExecutionProvider"]
        if provider:
            model = typed_model(model, self.precision)
            providers = [(provider, {"device_id": self._number} | _options(provider, model))]
        if provider == TENSORRT:  # CUDA runs the operators that TensorRT does not support
            providers.append(("CUDAExecutionProvider", {"device_id": self._number}))
        try:
            session = onnxruntime.InferenceSession(
                model, self._options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            if provider and _NO_FALLBACK in str(error):  # that is, no GPU provider started
                raise _not_started(provider) from error
            raise EngineError(f"ONNX Runtime cannot load this model: {error}") from error
        if provider and provider not in session.get_providers():
            raise _not_started(provider)
        return session

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._run_options.terminate = True


def _not_started(provider: str) -> EngineError:
    name = provider.removesuffix("ExecutionProvider")
    return EngineError(f"ONNX Runtime does not start with {name}: {_NOT_STARTED[provider]}")


def load_network(
    model: bytes, threads: int | None = None
) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """Loads any ONNX model on the CPU, in float32; see `network.Network`.

    Returns:
        A function from inputs to outputs, by name. It raises EngineError where the network fails.

    Raises:
        EngineError: the model cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise EngineError(f"ONNX Runtime cannot load this model: {error}") from error
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {error}") from error

    return run
