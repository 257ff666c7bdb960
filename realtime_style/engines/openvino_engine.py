"""OpenVINO on the CPU, in the fastest arithmetic that it has: int8, bfloat16 or float32.

On Intel's GPUs and NPUs it runs in float16. That is experimental: what such a device paints is
compared with the CPU's painting when it is first used.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any

import openvino
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, Planes, done
from realtime_style.engines.graphs.int8 import has_ranges, int8_model, refuse_inexact_cpu
from realtime_style.engines.graphs.precision import outer_casts
from realtime_style.engines.graphs.size import model_of_size
from realtime_style.engines.sized_networks import SizedNetworks
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.engines.webgpu.trial import refuse_wrong
from realtime_style.errors import EngineError
from realtime_style.system.cores import multiplies_integers, usable_cores

_PRECISIONS = {
    "f32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "f16": openvino.Type.f16,
}
_CPU = "CPU"
_MAX_STREAMS = 4  # pictures that are painted at the same time; each takes 40 MB at 1080p


@cache
def _core() -> openvino.Core:
    """OpenVINO's Core, one for the whole process.

    The CPU plugin replaces the stack on which signals are handled, and restores the former one
    when its Core is destroyed. If the lives of two Cores overlapped, the second would restore the
    stack of the first, which is freed by then, and the next Ctrl-C would be a segmentation fault.
    """
    return openvino.Core()


class OpenVinoEngine(Engine):
    """A style in OpenVINO. Compiling takes 0.3 s, so nothing is cached on disk."""

    def __init__(
        self,
        model: bytes,
        precision: str = "auto",
        name: str = "openvino",
        device: str = _CPU,
        *,
        in_flight: int | None = 1,
        notes: Sequence[str] = (),
    ) -> None:
        """Gets the model ready; it is compiled for each size of picture.

        Args:
            model: a serialised ONNX model, from `Style.model_for`.
            precision: "int8", "bf16", "f32", or "auto" for the fastest that this CPU has. On other
                devices "f16", "f32", or "auto" for f16.
            name: the engine's name in `registry.ENGINES`.
            device: OpenVINO's name of the device: "CPU", "GPU" or "NPU".
            in_flight: see `open_engine`. With 1, all cores share a picture: they wait for each
                other at every layer, and for a core that an encoder is using. With more, each
                core paints its own picture and none waits.
            notes: see `Engine`.

        Raises:
            EngineError: this CPU does not have the precision, the model cannot be read, or another
                device paints something else than the CPU.
        """
        super().__init__(notes)
        self.name = name
        self._openvino_device = device
        core = _core()
        self._networks = SizedNetworks[_Network]()
        self._cancelled = threading.Event()
        if device != _CPU:
            self._start_device(model, precision, in_flight)
            return
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = _precision_for(model, precision, has_bf16)
        arithmetic = self.precision
        if self.precision == "int8":
            refuse_inexact_cpu()
            model = int8_model(model)
            arithmetic = "bf16" if has_bf16 else "f32"  # for everything but convolutions
        self._model = model
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        cores = usable_cores()
        streams = min(cores, _MAX_STREAMS, in_flight or _MAX_STREAMS)
        # one more picture than there are streams, so that no core waits for the next one
        self.in_flight = 1 if in_flight == 1 else streams + 1
        self._settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[arithmetic],
            # all cores; by default OpenVINO uses only the fast or the physical ones
            "INFERENCE_NUM_THREADS": cores,
        }
        with _loading():
            core.read_model(model)

    def _start_device(self, model: bytes, precision: str, in_flight: int | None) -> None:
        """Gets the model ready for another device than the CPU, and compares what it paints."""
        self.precision = "f16" if precision == "auto" else precision
        self.in_flight = 1 if in_flight == 1 else 2
        # Integers only at inputs and outputs: not every device moves bytes from space to depth
        with _loading():
            self._model = outer_casts(model)
            self.device = str(_core().get_property(self._openvino_device, "FULL_DEVICE_NAME"))
        self._settings = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision],
            "PERFORMANCE_HINT": "LATENCY" if self.in_flight == 1 else "THROUGHPUT",
        }
        folder = PlanCache().folder / "openvino"
        with suppress(OSError):  # without the folder, it is compiled each time
            folder.mkdir(parents=True, exist_ok=True)
            self._settings["CACHE_DIR"] = str(folder)
        about = f"{self.device}, OpenVINO {openvino.get_version()}"
        psnr_db = refuse_wrong(model, self, about, lambda: OpenVinoEngine(model, "f32"))
        self.notes.append(f"{self.name} is experimental; it paints {psnr_db:.0f} dB from the CPU")

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """See `Engine.prepare`."""
        self._networks.of_size(size, canvas, self._compile)

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`; if `in_flight` is 1, the picture is painted when this returns."""
        network = self._networks.of_size(planes.size, planes.canvas, self._compile)
        if self._cancelled.is_set():
            raise EngineError("OpenVINO failed: cancelled")
        return network.begin(planes, out_luma, out_chroma)

    def _compile(self, size: tuple[int, int], canvas: tuple[int, int]) -> _Network:
        core = _core()
        with _loading():
            model = core.read_model(model_of_size(self._model, size, canvas))
            compiled = core.compile_model(model, self._openvino_device, self._settings)
        return _Network(compiled, self.in_flight)

    def cancel(self) -> None:
        """See `Engine.cancel`; a compiled graph that was cancelled refuses further calls."""
        self._cancelled.set()
        for network in self._networks.kept():
            network.cancel()


class _Network:
    """A network compiled for one size, with requests that paint in turn."""

    def __init__(self, compiled: openvino.CompiledModel, in_flight: int) -> None:
        self._requests = [compiled.create_infer_request() for _ in range(in_flight)]
        # The arrays that each request reads and writes. They must live until the request has
        # ended, even if nobody waits for it any more
        self._planes: list[dict[str, openvino.Tensor]] = [{} for _ in self._requests]
        self._next = 0
        weakref.finalize(self, _end, self._requests, self._planes)

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`."""
        number = self._next
        request = self._requests[number]
        self._next = (number + 1) % len(self._requests)
        if len(self._requests) > 1:  # the caller may reuse its arrays once this returns
            planes = planes.copy()
        painted = {"painted_luma": out_luma, "painted_chroma": out_chroma}
        tensors = {
            name: openvino.Tensor(plane, shared_memory=True)
            for name, plane in (planes._asdict() | painted).items()
        }
        with _errors():
            for name, tensor in tensors.items():
                request.set_tensor(name, tensor)
            self._planes[number] = tensors
            # Not infer(), which on one core neither reports errors nor can be cancelled
            request.start_async()
            if len(self._requests) == 1:
                request.wait()
                return done

        # A bound method, because it keeps this object alive, and so the request that is waited for
        return partial(self._wait, request, tensors)

    def _wait(self, request: openvino.InferRequest, tensors: dict[str, openvino.Tensor]) -> None:
        with _errors():
            request.wait()
        tensors.clear()

    def cancel(self) -> None:
        """Makes running requests end early."""
        for request in self._requests:
            request.cancel()


def _end(requests: list[openvino.InferRequest], planes: list[dict[str, openvino.Tensor]]) -> None:
    """Ends the requests in flight, and only then frees the memory that they use."""
    for request in requests:
        with suppress(RuntimeError):
            request.cancel()
            request.wait()
    planes.clear()


def _precision_for(model: bytes, precision: str, has_bf16: bool) -> str:
    """The precision to compute in, for a requested one that may be "auto"; raises EngineError."""
    if precision == "bf16" and not has_bf16:
        raise EngineError(
            "this CPU does not compute in bfloat16 (it has neither AMX nor AVX512_BF16); f32 works",
            setting="precision",
        )
    if precision != "auto":
        return precision
    if multiplies_integers() and has_ranges(model):
        return "int8"
    return "bf16" if has_bf16 else "f32"


def device_trouble(device: str) -> str:
    """Why OpenVINO cannot use a device, such as "GPU", and what to do; "" if it can."""
    if any(found.partition(".")[0] == device for found in _core().available_devices):
        return ""
    return (
        f"OpenVINO finds no {device} of Intel's; if there is one, install its driver "
        "(docs.openvino.ai, 'Additional Configurations for Hardware')"
    )


def load_network(
    model: bytes, threads: int | None = None
) -> Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """Loads any ONNX model on the CPU, in float32; see `network.Network`.

    Returns:
        A function from inputs to outputs, by name. It raises EngineError where the network fails.

    Raises:
        EngineError: the model cannot be loaded.
    """
    core = _core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _PRECISIONS["f32"]}
    if threads:
        settings |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    with _loading():
        compiled = core.compile_model(core.read_model(model), "CPU", settings)

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        request = compiled.create_infer_request()
        with _errors():
            request.start_async(dict(inputs))
            request.wait()
        return {
            output.get_any_name(): request.get_tensor(output).data.copy()
            for output in compiled.outputs
        }

    return run


@contextmanager
def _loading() -> Iterator[None]:
    """Turns the errors of OpenVINO's readers and compilers into EngineError."""
    try:
        yield
    except (RuntimeError, DecodeError) as error:
        raise EngineError(f"OpenVINO cannot load this model: {_last_line(error)}") from error


@contextmanager
def _errors() -> Iterator[None]:
    """Turns OpenVINO's errors into EngineError."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"OpenVINO failed: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
