"""Fakes of CUDA and TensorRT for tests without a GPU; they check how they are used."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from realtime_style.engines.tensorrt.cuda import Gpu, Rows
from realtime_style.errors import EngineError

Work = Callable[[], None]


class FakeCuda:
    """Device memory is host memory; work on a stream is done when the stream is waited for."""

    dlpack_device = (1, 0)  # a CPU, so that FFmpeg accepts the memory

    def __init__(self, number: int = 0, memory: int = 1 << 30) -> None:
        self.gpu = Gpu(number, "Fake GPU", "0.0", memory >> 20)
        self.memory, self.left = memory, memory
        self.buffers: dict[int, NDArray[np.uint8]] = {}
        self.host: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, list[Work]] = {}
        self.graphs: list[list[Work]] = []
        self.launches = 0
        self.lost = False
        self._capturing: list[Work] | None = None
        self._next = 4096
        self._used = threading.local()

    def _check(self) -> None:
        assert getattr(self._used, "device", False), "`use` comes first in every thread"
        if self.lost:
            raise EngineError("the GPU failed while computing, or was lost; start again")

    def use(self) -> None:
        self._used.device = True

    def take(self, size: int) -> int:
        self._check()
        assert self._capturing is None
        if size > self.left:
            raise EngineError("the GPU has no memory left; paint at a smaller size")
        self.left -= size
        room = np.random.default_rng(size).integers(0, 256, size + 256, np.uint8)
        ahead = -room.ctypes.data % 256
        self.buffers[room.ctypes.data + ahead] = room[ahead : ahead + size]
        return room.ctypes.data + ahead

    def give_back(self, pointer: int) -> None:
        self._check()
        self.left += self.buffers.pop(pointer).size

    def take_host(self, size: int) -> NDArray[np.uint8]:
        array = np.zeros(size, np.uint8)
        self.host[array.ctypes.data] = array
        return array

    def give_back_host(self, array: NDArray[np.uint8]) -> None:
        del self.host[array.ctypes.data]

    def stream(self) -> int:
        self._check()
        self._next += 256
        self.streams[self._next] = []
        return self._next

    def end_stream(self, stream: int) -> None:
        assert not self.streams.pop(stream)

    def at(self, pointer: int, size: int) -> NDArray[np.uint8]:
        """`size` bytes of device memory from an address on, which must be allocated."""
        for start, buffer in self.buffers.items():
            if start <= pointer and pointer + size <= start + buffer.size:
                return buffer[pointer - start : pointer - start + size]
        raise AssertionError(f"{size} bytes at {pointer} are not allocated")

    def put(self, stream: int, work: Work) -> None:
        self._check()
        queue = self.streams[stream] if self._capturing is None else self._capturing
        queue.append(work)

    def copy_in(self, pointer: int, array: NDArray[np.uint8], stream: int) -> None:
        assert array.ctypes.data in self.host, "copies run from page-locked memory"
        self.at(pointer, array.size)
        self.put(stream, lambda: np.copyto(self.at(pointer, array.size), array))

    def copy_out(self, array: NDArray[np.uint8], pointer: int, stream: int) -> None:
        assert array.ctypes.data in self.host, "copies run into page-locked memory"
        self.at(pointer, array.size)
        self.put(stream, lambda: np.copyto(array, self.at(pointer, array.size)))

    def copy_rows(self, target: Rows, source: Rows, shape: tuple[int, int], stream: int) -> None:
        rows, columns = shape
        ends = [(pointer, (rows - 1) * pitch + columns) for pointer, pitch in (target, source)]
        assert any(self.is_taken(*end) for end in ends), "neither end is on the GPU"

        def copy() -> None:
            for row in range(rows):
                to, there = (start + row * pitch for start, pitch in (target, source))
                ctypes.memmove(to, there, columns)

        if stream == 0:
            copy()
        else:
            self.put(stream, copy)

    def is_taken(self, pointer: int, size: int) -> bool:
        return any(
            start <= pointer and pointer + size <= start + buffer.size
            for start, buffer in self.buffers.items()
        )

    def capture(self, stream: int, work: Work) -> Any:
        assert not self.streams[stream], "a capture begins on an idle stream"
        self._capturing = []
        work()
        graph, self._capturing = self._capturing, None
        self.graphs.append(graph)
        return graph

    def launch(self, graph: Any, stream: int) -> None:
        self._check()
        assert any(graph is each for each in self.graphs)
        self.launches += 1
        self.streams[stream].extend(graph)

    def end_graph(self, graph: Any) -> None:
        self.graphs = [each for each in self.graphs if each is not graph]

    def wait(self, stream: int) -> None:
        self._check()
        assert self._capturing is None
        queue = self.streams[stream] if stream else []
        while queue:
            queue.pop(0)()


@dataclass
class FakeContext:
    """Runs `FakeEngine.paint` on what is in device memory."""

    engine: FakeEngine
    cuda: FakeCuda
    addresses: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scratch: int = 0
    runs: int = 0

    def set_tensor_address(self, name: str, pointer: int) -> None:
        assert pointer % 256 == 0, "TensorRT needs aligned addresses"
        self.addresses[name] = pointer

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert len(shape) == len(self.engine.inputs[name][0])
        if name in ("luma", "canvas_luma") and any(
            side > most for side, most in zip(shape[3:1:-1], self.engine.most, strict=True)
        ):
            return False
        self.shapes[name] = shape
        self.scratch = 0
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        return int(np.prod(self.shapes["luma"]))

    def set_device_memory(self, pointer: int, size: int) -> None:
        assert size >= self.update_device_memory_size_for_shapes()
        self.cuda.at(pointer, size)
        self.scratch = size

    def execute_async_v3(self, stream: int) -> bool:
        assert self.scratch, "the context has no memory"
        assert self.shapes.keys() == self.engine.inputs.keys(), "an input has no shape"
        shapes = dict(self.shapes)
        self.runs += 1

        def compute() -> None:
            given = {}
            for name, shape in shapes.items():
                dtype = self.engine.inputs[name][1]
                size = int(np.prod(shape)) * dtype.itemsize
                given[name] = self.cuda.at(self.addresses[name], size).view(dtype).reshape(shape)
            for name, plane in self.engine.paint(given).items():
                self.cuda.at(self.addresses[name], plane.size)[:] = plane.reshape(-1)

        self.cuda.put(stream, compute)
        return True


class FakeEngine:
    """Paints the negative of luma, or runs the model.

    Attributes:
        most: width and height of the largest pictures.
        inputs: the shape, as in the model, and the type of each input, by name.
    """

    def __init__(self, trt: FakeTensorRt, most: tuple[int, int], model: bytes) -> None:
        self.trt, self.most = trt, most
        self.inputs: dict[str, tuple[list[int], np.dtype[Any]]] = {}
        self.refit(model)

    def refit(self, model: bytes) -> None:
        for value in onnx.load_model_from_string(model).graph.input:
            kind = value.type.tensor_type
            shape = [dim.dim_value for dim in kind.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            self.inputs[value.name] = shape, np.dtype(dtype)
        self._session: Any = None
        if self.trt.runs_models:
            import onnxruntime

            self._session = onnxruntime.InferenceSession(model)

    def create_runtime_config(self) -> FakeRuntimeConfig:
        return FakeRuntimeConfig(self.trt)

    def create_execution_context(self, kind: Any) -> FakeContext | None:
        if not self.trt.has_room:
            return None
        if isinstance(kind, FakeRuntimeConfig):
            assert (kind.strategy, kind.cache is not None) == (2, True)
            assert kind.dynamic_shapes_kernel_specialization_strategy == "eager"
        else:
            assert kind == 2
        self.trt.contexts.append(FakeContext(self, self.trt.cuda))
        return self.trt.contexts[-1]

    def paint(self, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
        """The outputs of the network, by name."""
        if "canvas_luma" in given:
            self.trt.canvas = given["canvas_luma"][0, 0].astype(np.float32)
        else:
            rows, luma, columns = (
                given[name].astype(np.float32) for name in ("luma_rows", "luma", "luma_columns")
            )
            self.trt.canvas = rows @ luma[0, 0] @ columns
        if self._session:
            names = [output.name for output in self._session.get_outputs()]
            return dict(zip(names, self._session.run(names, given), strict=True))
        chroma = given["chroma"]
        if self.trt.chroma is not None:
            chroma = np.full_like(chroma, self.trt.chroma)
        return {"painted_luma": 255 - given["luma"], "painted_chroma": chroma}


class FakeTensorRt:
    """The parts of the module that are used; its engines are their largest size and their model.

    Attributes:
        chroma: the value of all painted chroma; None leaves chroma as it is.
        canvas: luma of the canvas that was painted last, float32.
        runs_models: whether models are run, in place of painting negatives.
    """

    __name__ = "tensorrt"

    def __init__(self, cuda: FakeCuda, version: str = "10.13") -> None:
        self.__version__ = version
        self.builds = 0
        self.chroma: int | None = None
        self.canvas = np.zeros((1, 1), np.float32)
        self.runs_models = False
        self.cuda = cuda
        self.contexts: list[FakeContext] = []
        self.refuses = b""
        self.has_room = True
        self.timing_caches: list[bytes] = []
        self.refits = True
        self.refitted: list[bytes] = []
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)
        self.LayerInformationFormat = SimpleNamespace(JSON=1)
        severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)
        self.ILogger = type("ILogger", (), {"Severity": severity})

    def Runtime(self, log: Any) -> Any:  # noqa: N802
        return SimpleNamespace(deserialize_cuda_engine=self._load)

    def _load(self, plan: bytes) -> FakeEngine | None:
        about, _, model = plan.partition(b"\n")
        if about == self.refuses or not plan.startswith(b"plan "):
            return None
        width, height = map(int, about.split()[1].split(b"x"))
        return FakeEngine(self, (width, height), model)

    def refit(self, engine: FakeEngine, model: bytes, trt: Any, log: Any) -> bool:
        """Replaces `refit_engine`."""
        self.refitted.append(model)
        engine.refit(model)
        return self.refits

    def build(self, model: bytes, profile: Any, trt: Any, **asked: Any) -> tuple[bytes, bytes]:
        """Replaces `build_engine`."""
        self.builds += 1
        self.timing_caches.append(asked["timing_cache"])
        asked["use_gpu"]()
        asked["on_build"](0.5)
        asked["on_build"](1.0)
        return b"plan %dx%d %d\n%s" % (*profile.pictures.most, self.builds, model), b"learned"


class FakeTensorRtRtx(FakeTensorRt):
    """TensorRT-RTX, which compiles a kernel for every new size."""

    __name__ = "tensorrt_rtx"

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__(cuda, "1.6")
        self.IRuntimeCache = object
        self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager")
        self.known: list[bytes] = []

    def build(self, model: bytes, profile: Any, trt: Any, **asked: Any) -> tuple[bytes, bytes]:
        """Replaces `build_engine`."""
        return super().build(model, profile, trt, **asked)[0], b""


class FakeRuntimeConfig:
    """TensorRT-RTX's configuration; its cache holds the sizes that contexts were given."""

    def __init__(self, trt: FakeTensorRt) -> None:
        self._trt = trt
        self.strategy, self.cache = 0, None
        self.dynamic_shapes_kernel_specialization_strategy = "lazy"

    def set_execution_context_allocation_strategy(self, strategy: int) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> Any:
        def serialize() -> bytes:
            sizes = {context.shapes["luma"] for context in self._trt.contexts if context.shapes}
            return b"kernels of " + repr(sorted(sizes)).encode()

        return SimpleNamespace(serialize=serialize, deserialize=self._trt.known.append)

    def set_runtime_cache(self, cache: Any) -> None:
        self.cache = cache
