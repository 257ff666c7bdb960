"""The few CUDA calls that painting needs, over cuda-python; whatever fails is an EngineError."""

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

_NOT_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the default stream
_RELAXED = 2  # cudaStreamCaptureModeRelaxed: what other threads do meanwhile is their own
_DLPACK_CUDA = 2  # kDLCUDA
_DEFAULT_HOST = 0  # cudaHostAllocDefault


Rows = tuple[int, int]
"""Where rows begin on the GPU, and how many bytes each begins after the one before."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor: its number, name, compute capability as "9.0", and memory in MB."""

    number: int
    name: str
    capability: str
    memory_mb: int


class Cuda(Protocol):
    """What the engine asks of one GPU. Pointers and streams are plain numbers.

    Copies, launches and captures take effect in the order in which they are put on a stream; host
    memory must live, and stay as it is, until `wait` has returned for that stream. Stream 0 is the
    one that is there, in which FFmpeg decodes. `dlpack_device` is kind and number of the device,
    as DLPack counts them.
    """

    gpu: Gpu
    dlpack_device: tuple[int, int]

    def use(self) -> None:
        """Makes the GPU the calling thread's; first of all in every thread."""

    def take(self, size: int) -> int:
        """So many bytes of device memory."""

    def give_back(self, pointer: int) -> None:
        """Frees device memory."""

    def take_host(self, size: int) -> NDArray[np.uint8]:
        """So many bytes of page-locked host memory, which copies run from without stopping."""

    def give_back_host(self, array: NDArray[np.uint8]) -> None:
        """Frees page-locked memory."""

    def stream(self) -> int:
        """A new stream."""

    def end_stream(self, stream: int) -> None:
        """Destroys a stream."""

    def copy_in(self, pointer: int, array: NDArray[np.uint8], stream: int) -> None:
        """Host to device, put on a stream."""

    def copy_out(self, array: NDArray[np.uint8], pointer: int, stream: int) -> None:
        """Device to host, put on a stream."""

    def copy_rows(self, target: Rows, source: Rows, shape: tuple[int, int], stream: int) -> None:
        """Device to device, so many rows of so many bytes, put on a stream."""

    def capture(self, stream: int, work: Callable[[], None]) -> Any:
        """Records what `work` puts on a stream, without doing it, as a graph."""

    def launch(self, graph: Any, stream: int) -> None:
        """Puts a recorded graph on a stream."""

    def end_graph(self, graph: Any) -> None:
        """Destroys a graph."""

    def wait(self, stream: int) -> None:
        """Returns when all that was put on a stream is done."""


class CudaPython:
    """A `Cuda`, by NVIDIA's own binding."""

    def __init__(self, number: int = 0) -> None:
        """Raises EngineError where there is no such GPU, no driver or no binding."""
        trouble = gpu_trouble()
        if trouble:
            raise EngineError(trouble)
        from cuda.bindings import runtime

        self._runtime = runtime
        count = int(self._call("cudaGetDeviceCount"))
        if not 0 <= number < count:
            raise EngineError(f"there is no GPU {number}; this machine has {count}, from 0 up")
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
        return int(self._call("cudaStreamCreateWithFlags", _NOT_BLOCKING))

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
        """One call; its one result, if it has one."""
        code, *results = getattr(self._runtime, name)(*arguments)
        if int(code):
            raise EngineError(_in_words(int(code), code.name, name))
        return results[0] if results else None


_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
_LOST = {  # sticky: the process cannot use the GPU again
    46: "the GPU is not available: another program has it, or it is lost",
    214: "the GPU found an error in its memory that it cannot correct",
    700: "the GPU met an illegal address",
    702: "the GPU took too long; a display's watchdog has ended the work",
    719: "the GPU failed while it computed, or was lost",
}


def _in_words(code: int, name: str, call: str) -> str:
    if code == _OUT_OF_MEMORY:
        return (
            "the GPU has no memory left; paint smaller, as with --size 720p, close what else uses "
            "it, or paint on the CPU: --engine openvino"
        )
    said = _LOST.get(code, f"CUDA failed ({name} in {call})")
    return f"{said}; start again, or paint on the CPU: --engine openvino"


def gpus() -> list[Gpu]:
    """All GPUs that can be used."""
    if gpu_trouble():
        return []
    from cuda.bindings import runtime

    _, count = runtime.cudaGetDeviceCount()
    return [CudaPython(number).gpu for number in range(count)]


NO_DRIVER = (
    "there is no NVIDIA driver on this machine; if it has an NVIDIA GPU, install the driver from "
    "nvidia.com/drivers, else leave out what asks for one"
)


@cache
def gpu_trouble() -> str:
    """Why no GPU of NVIDIA's can be used, or nothing; safe to ask where there is no driver.

    The driver itself is asked first, as the library that it is: TensorRT and CUDA's runtime can end
    the process where it is missing.
    """
    driver = _driver()
    if driver is None:
        return NO_DRIVER
    of_driver, count = ctypes.c_int(), ctypes.c_int()
    code = driver.cuInit(0)
    if code:
        return (
            f"the NVIDIA driver does not start (error {code} of cuInit); see what `nvidia-smi` "
            "says, and, in a container, whether it was started with --gpus all"
        )
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no GPU; see what `nvidia-smi` says"
    try:
        from cuda.bindings import runtime
    except ImportError:
        return "the package cuda-python is not installed; install it with: pip install cuda-python"
    driver.cuDriverGetVersion(ctypes.byref(of_driver))
    _, of_runtime = runtime.cudaRuntimeGetVersion()
    # Minor versions go with each other, both ways (CUDA's minor version compatibility)
    if of_driver.value // 1000 < of_runtime // 1000:
        return (
            f"the NVIDIA driver is for CUDA {_version(of_driver.value)}, cuda-python for "
            f"{_version(of_runtime)}; upgrade the driver, or "
            f"pip install 'cuda-python<{of_driver.value // 1000 + 1}'"
        )
    return ""


def _driver() -> Any:
    """The driver's own library; None where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _version(number: int) -> str:
    """CUDA's 13040 as 13.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
