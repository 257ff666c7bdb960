"""OpenVINO on the CPU: the fastest arithmetic that the CPU has: integers, bfloat16, float32."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

import numpy as np
import openvino
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, done
from realtime_style.engines.graphs.int8 import has_ranges, int8_model
from realtime_style.errors import EngineError
from realtime_style.system.cores import multiplies_integers, usable_cores

_PRECISIONS = {
    "f32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
}


_MOST_AT_ONCE = 4  # pictures: each has its own memory, 40 MB at 1080p


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

    def __init__(self, model: bytes, precision: str = "auto", *, overlap: bool = False) -> None:
        """Args: overlap, see `open_engine`.

        Cores that share a picture wait for each other at every layer, and where an encoder or
        another program has taken one, for that. Where each has a picture of its own, none waits:
        more pictures a second, each of them later.
        """
        core = _core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise EngineError(
                "this CPU does not compute in bfloat16 (it has neither AMX nor AVX512_BF16); "
                "use --precision f32"
            )
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
        cores = usable_cores()
        at_once = min(cores, _MOST_AT_ONCE) if overlap else 1
        self.depth = at_once + 1 if overlap else 1  # one waits, that no core does
        settings = {
            "NUM_STREAMS": at_once,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[kind],
            # all cores, not only the fast or the physical ones that are picked by default
            "INFERENCE_NUM_THREADS": cores,
        }
        try:
            compiled = core.compile_model(core.read_model(model), "CPU", settings)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load this model: {_last_line(error)}") from error
        self._requests = [compiled.create_infer_request() for _ in range(self.depth)]
        # What each reads and writes: it must be there until the request has ended, even where
        # nobody waits for it any more
        self._planes: list[dict[str, openvino.Tensor]] = [{} for _ in self._requests]
        self._next = 0
        weakref.finalize(self, _end, self._requests, self._planes)

    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """See `Engine.begin`; where pictures do not overlap, it is done at once."""
        number = self._next
        request = self._requests[number]
        self._next = (number + 1) % self.depth
        if self.depth > 1:  # what is given may change while the request reads it
            luma, chroma = luma.copy(), chroma.copy()
        planes = {
            "luma": luma,
            "chroma": chroma,
            "painted_luma": out_luma,
            "painted_chroma": out_chroma,
        }
        tensors = {name: openvino.Tensor(it, shared_memory=True) for name, it in planes.items()}
        with _errors():
            for name, tensor in tensors.items():
                request.set_tensor(name, tensor)
            self._planes[number] = tensors
            if self.depth == 1:
                request.infer()
                return done
            request.start_async()

        def wait() -> None:
            with _errors():
                request.wait()
            tensors.clear()

        return wait

    def cancel(self) -> None:
        """See `Engine.cancel`; what it left half done makes the compiled graph refuse others."""
        for request in self._requests:
            request.cancel()


def _end(requests: list[openvino.InferRequest], planes: list[dict[str, openvino.Tensor]]) -> None:
    """Lets what is on its way end, before the memory that it uses goes."""
    for request in requests:
        with suppress(RuntimeError):
            request.cancel()
            request.wait()
    planes.clear()


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


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
