"""OpenVINO on the CPU: the fastest arithmetic that the CPU has: integers, bfloat16, float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import openvino
from numpy.typing import NDArray

from realtime_style.engines.cores import multiplies_integers, usable_cores
from realtime_style.engines.engine import Engine, Plane, done
from realtime_style.engines.quantized import has_ranges, int8_model
from realtime_style.errors import EngineError

_PRECISIONS = {
    "f32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
}


@cache
def _core() -> openvino.Core:
    """One for the whole process.

    The CPU plugin swaps the stack that signals are handled on, and swaps it back when its Core
    goes. Of two Cores whose lives overlap, the second brings back the first one's, which is gone
    by then: the next Ctrl-C ends in a segmentation fault.
    """
    return openvino.Core()


class OpenVinoEngine(Engine):
    """An `Engine`. Compiling takes 0.1 s, so nothing is kept on disk for the next time."""

    name = "openvino"

    def __init__(self, model: bytes, precision: str = "auto") -> None:
        core = _core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise EngineError(
                "this CPU does not compute in bfloat16 (it has neither AMX nor AVX512_BF16); "
                "use --precision f32"
            )
        if precision == "f16":
            raise EngineError("OpenVINO paints on a CPU in int8, bf16 or f32; f16 needs a GPU")
        if precision == "auto" and multiplies_integers() and has_ranges(model):
            precision = "int8"
        if precision == "auto":
            precision = "bf16" if has_bf16 else "f32"
        kind = precision
        if precision == "int8":
            model = int8_model(model)
            kind = "bf16" if has_bf16 else "f32"  # of what is no convolution
        self.precision = precision
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _PRECISIONS[kind],
            # all cores, not only the fast or the physical ones that LATENCY picks by itself
            "INFERENCE_NUM_THREADS": usable_cores(),
        }
        try:
            compiled = core.compile_model(core.read_model(model), "CPU", settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load this model: {_last_line(error)}") from error
        self._request = compiled.create_infer_request()

    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """See `Engine.begin`; it is done at once."""
        request = self._request
        try:
            request.set_tensor("luma", openvino.Tensor(luma, shared_memory=True))
            request.set_tensor("chroma", openvino.Tensor(chroma, shared_memory=True))
            request.set_tensor("painted_luma", openvino.Tensor(out_luma, shared_memory=True))
            request.set_tensor("painted_chroma", openvino.Tensor(out_chroma, shared_memory=True))
            request.infer()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {_last_line(error)}") from error
        return done

    def cancel(self) -> None:
        """See `Engine.cancel`; what it left half done makes the compiled graph refuse others."""
        self._request.cancel()


def run_once(model: bytes, array: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The first output of a model of one input; raises EngineError where it fails."""
    core = _core()
    try:
        compiled = core.compile_model(
            core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": _PRECISIONS["f32"]}
        )
        return np.asarray(compiled(array)[0], np.float32)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
