"""The few CUDA calls that painting needs, through cuda-python; failures raise EngineError."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import EngineError

_NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the default stream
_RELAXED = 2  # cudaStreamCaptureModeRelaxed: calls of other threads do not disturb a capture
_DLPACK_CUDA = 2  # kDLCUDA
_DEFAULT_HOST = 0  # cudaHostAllocDefault

Rows = tuple[int, int]
"""Address of the first of several rows in GPU memory, and the pitch between rows in bytes."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor.

    Attributes:
        number: its CUDA device number, from 0.
        name: its human-readable name.
        capability: its compute capability, such as "9.0".
        memory_mb: total memory, in MiB.
    """

    number: int
    name: str
    capability: str
    memory_mb: int


class Cuda(Protocol):
    """The CUDA calls that an engine makes, for one GPU. Pointers and streams are integers.

    Copies and launches run later, in the order in which they were put on a stream. The host memory
    that they use must exist and stay unchanged until `wait` has returned for that stream. Stream 0
    is CUDA's default stream, in which FFmpeg decodes.

    All methods raise EngineError if CUDA fails.

    Attributes:
        gpu: the GPU.
        dlpack_device: device type and device number, as DLPack defines them.
    """

    gpu: Gpu
    dlpack_device: tuple[int, int]

    def use(self) -> None:
        """Makes this GPU current in the calling thread; every thread must call it first."""

    def take(self, size: int) -> int:
        """Allocates `size` bytes of device memory, and returns its address."""

    def give_back(self, pointer: int) -> None:
        """Frees device memory that `take` allocated."""

    def take_host(self, size: int) -> NDArray[np.uint8]:
        """Allocates page-locked host memory, (size,) uint8, for copies that run asynchronously."""

    def give_back_host(self, array: NDArray[np.uint8]) -> None:
        """Frees page-locked memory that `take_host` allocated."""

    def stream(self) -> int:
        """Creates a stream."""

    def end_stream(self, stream: int) -> None:
        """Destroys a stream."""

    def copy_in(self, pointer: int, array: NDArray[np.uint8], stream: int) -> None:
        """Puts a copy of a host array to device memory on a stream."""

    def copy_out(self, array: NDArray[np.uint8], pointer: int, stream: int) -> None:
        """Puts a copy of device memory to a host array, of its size, on a stream."""

    def copy_rows(self, target: Rows, source: Rows, shape: tuple[int, int], stream: int) -> None:
        """Puts a copy within device memory on a stream; `shape` is (rows, bytes per row)."""

    def capture(self, stream: int, work: Callable[[], None]) -> Any:
        """Records what `work` puts on a stream as a CUDA graph, without running it."""

    def launch(self, graph: Any, stream: int) -> None:
        """Puts a recorded graph on a stream."""

    def end_graph(self, graph: Any) -> None:
        """Destroys a graph."""

    def wait(self, stream: int) -> None:
        """Waits until everything that was put on a stream is done."""


class CudaPython:
    """A `Cuda` that uses NVIDIA's Python binding."""

    def __init__(self, number: int = 0) -> None:
        """Opens a GPU by its device number.

        Raises:
            EngineError: there is no such GPU, no NVIDIA driver, or no cuda-python.
        """
        trouble = gpu_trouble()
        if trouble:  # only frames in GPU memory get here: engines are refused earlier
            raise EngineError(trouble, setting="residency")
        from cuda.bindings import runtime

        self._runtime = runtime
        count = int(self._call("cudaGetDeviceCount"))
        if not 0 <= number < count:
            raise EngineError(
                f"there is no GPU {number}; this machine has {count}, numbered from 0",
                setting="devices",
            )
        self._number = number
        self.dlpack_device = (_DLPACK_CUDA, number)
        self.use()
        found = self._call("cudaGetDeviceProperties", number)
        self.gpu = Gpu(
            number,
            found.name.decode(errors="replace").rstrip("\0"),
            f"{found.major}.{found.minor}",
            found.totalGlobalMem >> 20,
        )

    def use(self) -> None:
        """See `Cuda`."""
        self._call("cudaSetDevice", self._number)

    def take(self, size: int) -> int:
        """See `Cuda`."""
        return int(self._call("cudaMalloc", size))

    def give_back(self, pointer: int) -> None:
        """See `Cuda`."""
        self._call("cudaFree", pointer)

    def take_host(self, size: int) -> NDArray[np.uint8]:
        """See `Cuda`."""
        pointer = int(self._call("cudaHostAlloc", size, _DEFAULT_HOST))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(pointer))

    def give_back_host(self, array: NDArray[np.uint8]) -> None:
        """See `Cuda`."""
        self._call("cudaFreeHost", array.ctypes.data)

    def stream(self) -> int:
        """See `Cuda`."""
        return int(self._call("cudaStreamCreateWithFlags", _NON_BLOCKING))

    def end_stream(self, stream: int) -> None:
        """See `Cuda`."""
        self._call("cudaStreamDestroy", stream)

    def copy_in(self, pointer: int, array: NDArray[np.uint8], stream: int) -> None:
        """See `Cuda`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", pointer, array.ctypes.data, array.nbytes, kind, stream)

    def copy_out(self, array: NDArray[np.uint8], pointer: int, stream: int) -> None:
        """See `Cuda`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, pointer, array.nbytes, kind, stream)

    def copy_rows(self, target: Rows, source: Rows, shape: tuple[int, int], stream: int) -> None:
        """See `Cuda`."""
        rows, columns = shape
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._call("cudaMemcpy2DAsync", *target, *source, columns, rows, kind, stream)

    def capture(self, stream: int, work: Callable[[], None]) -> Any:
        """See `Cuda`."""
        mode = self._runtime.cudaStreamCaptureMode(_RELAXED)
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        finally:
            graph = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: int) -> None:
        """See `Cuda`."""
        self._call("cudaGraphLaunch", graph, stream)

    def end_graph(self, graph: Any) -> None:
        """See `Cuda`."""
        self._call("cudaGraphExecDestroy", graph)

    def wait(self, stream: int) -> None:
        """See `Cuda`."""
        self._call("cudaStreamSynchronize", stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Calls a function of the CUDA runtime, and returns its result, or None.

        Raises:
            EngineError: the function reports an error.
        """
        code, *results = getattr(self._runtime, name)(*arguments)
        if int(code):
            raise EngineError(_explained(int(code), code.name, name))
        return results[0] if results else None


_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
_LOST = {  # sticky errors: the process cannot use the GPU again
    46: "the GPU is not available: another program uses it, or it is lost",
    214: "the GPU found a memory error that it cannot correct",
    700: "the GPU accessed an illegal address",
    702: "the GPU took too long, and the display's watchdog stopped it",
    719: "the GPU failed while computing, or was lost",
}


def _explained(code: int, name: str, call: str) -> str:
    """A message for a CUDA error code, with what to do about it."""
    if code == _OUT_OF_MEMORY:
        return (
            "the GPU has no memory left; paint at a smaller size, close other programs that use "
            "the GPU, or paint on the CPU with the engine openvino"
        )
    what = _LOST.get(code, f"CUDA failed ({name} in {call})")
    return f"{what}; start again, or paint on the CPU with the engine openvino"


def gpus() -> list[Gpu]:
    """All usable NVIDIA GPUs, by number; empty if there are none."""
    if gpu_trouble():
        return []
    from cuda.bindings import runtime

    _, count = runtime.cudaGetDeviceCount()
    return [CudaPython(number).gpu for number in range(count)]


NO_DRIVER = (
    "there is no NVIDIA driver on this machine; if it has an NVIDIA GPU, install the driver from "
    "nvidia.com/drivers; otherwise paint on the CPU"
)
"""What `gpu_trouble` reports on machines without an NVIDIA driver."""


@cache
def gpu_trouble() -> str:
    """Why no NVIDIA GPU can be used, in one sentence with advice; "" if one can be used.

    The driver's library is loaded before anything else, because TensorRT and the CUDA runtime can
    kill the process if there is no driver.
    """
    driver = _driver()
    if driver is None:
        return NO_DRIVER
    of_driver, count = ctypes.c_int(), ctypes.c_int()
    code = driver.cuInit(0)
    if code:
        return (
            f"the NVIDIA driver does not start (error {code} of cuInit); check `nvidia-smi`, and "
            "start containers with --gpus all"
        )
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU; check `nvidia-smi`"
    try:
        from cuda.bindings import runtime
    except ImportError:
        return "the package cuda-python is not installed; install it with: pip install cuda-python"
    driver.cuDriverGetVersion(ctypes.byref(of_driver))
    _, of_runtime = runtime.cudaRuntimeGetVersion()
    # Any two minor versions of one major version work together (minor version compatibility)
    if of_driver.value // 1000 < of_runtime // 1000:
        return (
            f"the NVIDIA driver is for CUDA {_version(of_driver.value)}, cuda-python for "
            f"{_version(of_runtime)}; upgrade the driver, or "
            f"pip install 'cuda-python<{of_driver.value // 1000 + 1}'"
        )
    return ""


def _driver() -> Any:
    """The library of the NVIDIA driver; None if there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _version(number: int) -> str:
    """CUDA's version number 13040 as "13.4"."""
    return f"{number // 1000}.{number % 1000 // 10}"
