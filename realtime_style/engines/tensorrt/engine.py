"""TensorRT and TensorRT-RTX on an NVIDIA GPU, in float16 or float32."""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.engine import GpuEngine, GpuPicture, Plane, Planes
from realtime_style.engines.graphs.canvas import reducing_model, reductions
from realtime_style.engines.graphs.precision import (
    digest,
    nv12_model,
    outer_casts,
    structure_digest,
    typed_model,
)
from realtime_style.engines.tensorrt.builder import (
    PROFILES,
    Profile,
    build_engine,
    input_shapes,
    listening_log,
    refit_engine,
    refittable,
    started,
)
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.engines.tensorrt.plan_cache import PlanCache, PlanKey
from realtime_style.errors import EngineError
from realtime_style.style.file_format import PICTURE_PLANES

_ALIGNMENT = 256  # bytes; TensorRT requires aligned addresses
_FLOATS: dict[str, type[np.floating[Any]]] = {"f16": np.float16, "f32": np.float32}


class TensorRtEngine(GpuEngine):
    """A style in TensorRT or TensorRT-RTX.

    Several pictures are in flight, each in its own slot. The work of a slot (copy in, compute, copy
    out) is recorded once per size as a CUDA graph, so that a picture costs one launch.

    TensorRT's engine is built for a range of sizes and for all styles of one shape: the weights of
    a style are set when the engine is loaded, which takes milliseconds. TensorRT-RTX has an engine
    for each style (see `refittable`).
    """

    in_flight = 3

    def __init__(
        self,
        model: bytes,
        precision: str,
        trt: ModuleType,
        cuda: Cuda,
        cache: PlanCache,
        *,
        level: int | None = None,
        workspace_mb: int | None = None,
        gpu_frames: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        """Starts TensorRT; the engine is built or loaded by `prepare`.

        Args:
            model: a serialised ONNX model, from `Style.model_for`.
            precision: "f32" or "f16"; "auto" means f16.
            trt: the module `tensorrt` or `tensorrt_rtx`.
            cuda: the GPU.
            cache: where built engines are kept.
            level, workspace_mb: see `build_engine`; None accepts an engine however it was built.
            gpu_frames: build for `begin_gpu_picture` (chroma in NV12, and the engine makes the
                canvas) instead of `begin`.
            notes: see `Engine`.

        Raises:
            EngineError: TensorRT does not start on this GPU.
        """
        super().__init__(notes)
        self.precision = "f32" if precision == "f32" else "f16"
        self.name = trt.__name__.replace("_", "-")
        self._trt, self._cuda, self._cache = trt, cuda, cache
        gpu = cuda.gpu
        self.device = f"{gpu.name} (GPU {gpu.number})"
        self._gpu_frames = gpu_frames
        model = outer_casts(model)
        if gpu_frames:
            model = nv12_model(reducing_model(model))
        self._model = typed_model(model, self.precision)
        self._key = PlanKey(
            model=(structure_digest if refittable(trt) else digest)(self._model),
            profile="",
            precision=self.precision,
            builder=f"{self.name} {trt.__version__}",
            device=f"{gpu.name} {gpu.capability}",
            level=level,
            workspace_mb=workspace_mb,
        )
        self._log = listening_log(trt)
        cuda.use()
        self._runtime = started(trt.Runtime, self._log)
        self._profile: Profile | None = None
        self._engine: Any = None
        self._kernels: Any = None  # TensorRT-RTX's cache of compiled kernels
        self._slots: list[_Slot] = []
        self._next = 0
        self._cancelled = False

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """See `Engine.prepare`."""
        if self._profile is None or not self._profile.holds(size, canvas):
            self._load(self._profile_for(size, canvas), on_build)
        self._cuda.use()
        new = [slot.fit(size, canvas) for slot in self._slots]
        if any(new) and self._kernels:
            self._store_kernels()

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`."""
        given = [plane.shape for plane in planes]
        fitting = [*input_shapes(planes.size, planes.canvas, gpu_frames=False).values()]
        if [*given, out_luma.shape, out_chroma.shape] != [*fitting, *fitting[:2]]:
            raise EngineError(f"TensorRT failed: planes of {given} do not fit together")
        slot = self._slot_for(planes.size, planes.canvas)
        slot.start(planes)
        return lambda: slot.finish(out_luma, out_chroma)

    def begin_gpu_picture(
        self, picture: GpuPicture, painted: GpuPicture, canvas: tuple[int, int]
    ) -> Callable[[], None]:
        """See `GpuEngine.begin_gpu_picture`."""
        if (picture.width, picture.height) != (painted.width, painted.height):
            raise EngineError("TensorRT failed: the output has another size than the picture")
        slot = self._slot_for((picture.width, picture.height), canvas)
        slot.start_gpu_picture(picture, painted)
        return slot.finish_gpu_picture

    def _slot_for(self, size: tuple[int, int], canvas: tuple[int, int]) -> _Slot:
        if self._cancelled:
            raise EngineError("TensorRT failed: cancelled")
        self.prepare(size, canvas)
        slot = self._slots[self._next]
        self._next = (self._next + 1) % self.in_flight
        return slot

    def cancel(self) -> None:
        """See `Engine.cancel`; pictures in flight are finished, which takes milliseconds."""
        self._cancelled = True

    def compute_again(self, count: int) -> None:
        """Runs the network `count` times at the last size, without copies, to measure it."""
        self._cuda.use()
        self._slots[0].compute(count)

    def layers(self) -> list[dict[str, Any]]:
        """The layers as TensorRT's inspector describes them; empty before the engine is loaded."""
        if self._engine is None:
            return []
        inspector = self._engine.create_engine_inspector()
        text = inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)
        return list(json.loads(text).get("Layers", []))

    def _profile_for(self, size: tuple[int, int], canvas: tuple[int, int]) -> Profile:
        """The smallest profile that contains the sizes; if none does, a profile for them only."""
        for profile in PROFILES.values():
            if profile.holds(size, canvas):
                return profile
        self.notes.append(
            f"{size[0]}x{size[1]}, painted on a canvas of {canvas[0]}x{canvas[1]}, is outside all "
            "profiles, so an engine is built for this size only"
        )
        return Profile.of_size(size, canvas)

    def _load(self, profile: Profile, on_build: Callable[[float], None] | None = None) -> None:
        """Loads the engine for a profile from the cache, or builds it, and replaces all slots."""
        key = replace(self._key, profile=str(profile))
        for slot in self._slots:
            slot.refuse_change()
        self._cuda.use()
        plan = self._cache.read(key)
        self._note_trouble()
        engine = self._runtime.deserialize_cuda_engine(plan) if plan else None
        if engine is not None and refittable(self._trt):
            fits = refit_engine(engine, self._model, self._trt, self._log)
            engine = engine if fits else None
        if plan and engine is None:
            self.notes.append(
                f"the cached engine cannot be used ({self._log.last()}) and is rebuilt"
            )
        if engine is None:
            engine = self._runtime.deserialize_cuda_engine(self._build(key, profile, on_build))
        if engine is None:
            raise EngineError(
                f"TensorRT cannot load the engine that it has just built ({self._log.last()}); "
                "paint on the CPU with the engine openvino"
            )
        contexts = self._contexts(engine)  # if this fails, the previous engine can still be used
        for slot in self._slots:
            slot.close()
        self._profile, self._engine = profile, engine
        self._slots = [
            _Slot(self._cuda, context, self._log, self.precision, gpu_frames=self._gpu_frames)
            for context in contexts
        ]
        self._next = 0

    def _contexts(self, engine: Any) -> list[Any]:
        """Creates one execution context for each slot, whose memory the slot allocates."""
        managed = getattr(self._trt.ExecutionContextAllocationStrategy, "USER_MANAGED")  # noqa: B009
        how = managed
        if not refittable(self._trt):  # TensorRT-RTX compiles kernels when it runs
            how = engine.create_runtime_config()
            how.set_execution_context_allocation_strategy(managed)
            # Compile at once: a CUDA graph records the kernels that exist when it is captured
            eager = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
            how.dynamic_shapes_kernel_specialization_strategy = eager
            self._kernels = how.create_runtime_cache()
            known = self._cache.read_learned(self._key.builder, self._key.device)
            if known:
                self._kernels.deserialize(known)
            how.set_runtime_cache(self._kernels)
        contexts = [engine.create_execution_context(how) for _ in range(self.in_flight)]
        if None in contexts:
            raise EngineError(
                f"TensorRT cannot start the engine on this GPU ({self._log.last()}); close other "
                "programs that use the GPU, or paint on the CPU with the engine openvino"
            )
        return contexts

    def _store_kernels(self) -> None:
        """Stores the kernels that were compiled for a new size, for the next process."""
        learned = bytes(self._kernels.serialize())
        if learned != self._cache.read_learned(self._key.builder, self._key.device):
            self._cache.write_learned(self._key.builder, self._key.device, learned)
            self._note_trouble()

    def _build(
        self, key: PlanKey, profile: Profile, on_build: Callable[[float], None] | None
    ) -> bytes:
        plan, learned = build_engine(
            self._model,
            profile,
            self._trt,
            level=key.level,
            workspace_mb=key.workspace_mb,
            use_gpu=self._cuda.use,
            timing_cache=self._cache.read_learned(key.builder, key.device),
            on_build=on_build or (lambda part: None),
        )
        self._cache.write(key, plan)
        self._cache.write_learned(key.builder, key.device, learned)
        self._note_trouble()
        return plan

    def _note_trouble(self) -> None:
        if self._cache.trouble and self._cache.trouble not in self.notes:
            self.notes.append(self._cache.trouble)


@dataclass(slots=True)
class _Memory:
    """What a slot has allocated: on the GPU (`pointers`), page-locked (`arrays`), and its graph."""

    cuda: Cuda
    pointers: list[int]
    arrays: list[NDArray[np.uint8]]
    graph: Any = None

    def take(self, size: int) -> int:
        """Allocates `size` bytes on the GPU."""
        pointer = self.cuda.take(size)
        self.pointers.append(pointer)
        return pointer

    def take_host(self, size: int) -> NDArray[np.uint8]:
        """Allocates `size` bytes of page-locked memory."""
        array = self.cuda.take_host(size)
        self.arrays.append(array)
        return array

    def give_back_host(self) -> None:
        """Frees all page-locked memory."""
        while self.arrays:
            self.cuda.give_back_host(self.arrays.pop())

    def free(self) -> None:
        """Frees everything; a second call does nothing."""
        self.cuda.use()
        if self.graph is not None:
            self.cuda.end_graph(self.graph)
        for pointer in self.pointers:
            self.cuda.give_back(pointer)
        self.give_back_host()
        self.graph, self.pointers = None, []


class _Block:
    """Tensors in one piece of GPU memory, each at an aligned address.

    Attributes:
        pointer: address of the first byte.
        offsets: for each tensor, by name, where it begins, in bytes.
        size: size in bytes.
    """

    def __init__(
        self, memory: _Memory, shapes: Mapping[str, tuple[int, ...]], dtype: type[np.generic]
    ) -> None:
        self.size, self.offsets = 0, {}
        for name, shape in shapes.items():
            self.offsets[name] = self.size
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            self.size += -(-size // _ALIGNMENT) * _ALIGNMENT
        self.pointer = memory.take(self.size)


class _Slot:
    """Paints one picture at a time: buffers on host and GPU, a stream, and a CUDA graph."""

    def __init__(
        self, cuda: Cuda, context: Any, log: Any, precision: str, *, gpu_frames: bool
    ) -> None:
        self._cuda, self._context, self._log = cuda, context, log
        self._float = _FLOATS[precision]
        self._gpu_frames = gpu_frames
        self._stream = cuda.stream()
        self._memory = _Memory(cuda, [], [])
        self._sizes: tuple[tuple[int, int], ...] = ()  # of the picture and of its canvas
        self._pending = False
        self._given: _Block
        self._painted: _Block
        self._close = weakref.finalize(self, _close, cuda, self._stream, self._memory)

    def fit(self, size: tuple[int, int], canvas: tuple[int, int]) -> bool:
        """Gets ready for pictures and canvases of a size, width and height in pixels.

        Returns False if the slot was ready for it already.
        """
        if self._sizes == (size, canvas):
            return False
        self.refuse_change()
        cuda, memory = self._cuda, self._memory
        self._sizes = ()  # none, until everything has been allocated
        memory.free()
        self._take(size, canvas)
        scratch = int(self._context.update_device_memory_size_for_shapes())
        if scratch:
            self._context.set_device_memory(memory.take(scratch), scratch)
        self._enqueue()  # once before capturing, because the first call loads the kernels
        cuda.wait(self._stream)
        self._sizes = (size, canvas)
        capturable = getattr(self._context, "is_stream_capturable", lambda stream: True)
        if capturable(self._stream):
            work = self._enqueue if self._gpu_frames else self._work
            memory.graph = cuda.capture(self._stream, work)
        return True

    def _take(self, size: tuple[int, int], canvas: tuple[int, int]) -> None:
        """Allocates all inputs and outputs for a size, and tells TensorRT where they are."""
        shapes = input_shapes(size, canvas, gpu_frames=self._gpu_frames)
        matrices = reductions(size, canvas) if self._gpu_frames else {}
        painted = {f"painted_{name}": shapes[name] for name in PICTURE_PLANES}
        given = {name: shape for name, shape in shapes.items() if name not in matrices}
        self._given, self._painted = (
            _Block(self._memory, tensors, np.uint8) for tensors in (given, painted)
        )
        blocks = [self._given, self._painted]
        if matrices:
            blocks.append(self._upload(matrices))
        else:
            for block in blocks:
                self._memory.take_host(block.size)
        for block in blocks:
            for name, offset in block.offsets.items():
                self._context.set_tensor_address(name, block.pointer + offset)
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                width, height = size
                raise EngineError(f"TensorRT refuses the size {width}x{height}: {self._log.last()}")

    def _upload(self, matrices: Mapping[str, NDArray[np.float32]]) -> _Block:
        """Copies the inputs that stay the same for all pictures of a size to GPU memory."""
        shapes = {name: matrix.shape for name, matrix in matrices.items()}
        block = _Block(self._memory, shapes, self._float)
        staged = self._memory.take_host(block.size)
        for name, matrix in matrices.items():
            values = matrix.astype(self._float).reshape(-1).view(np.uint8)
            staged[block.offsets[name] :][: values.size] = values
        self._cuda.copy_in(block.pointer, staged, self._stream)
        self._cuda.wait(self._stream)
        self._memory.give_back_host()
        return block

    def refuse_change(self) -> None:
        """Raises EngineError while a picture is in flight, which a change of size would lose."""
        if self._pending:
            raise EngineError("TensorRT failed: the size changed while a picture was in flight")

    def start(self, planes: Planes) -> None:
        """Starts painting a picture in host memory."""
        self._occupy()
        given = self._memory.arrays[0]
        for name, plane in planes._asdict().items():
            given[self._given.offsets[name] :][: plane.size] = plane.reshape(-1)
        self._run(self._work)

    def start_gpu_picture(self, picture: GpuPicture, painted: GpuPicture) -> None:
        """Starts painting a picture in GPU memory into another one."""
        self._occupy()
        self._copy(picture, self._given, into=True)
        self._run(self._enqueue)
        self._copy(painted, self._painted, into=False)

    def finish(self, luma: NDArray[np.uint8], chroma: NDArray[np.uint8]) -> None:
        """Waits for the picture, and copies the painted planes to the given arrays."""
        self.finish_gpu_picture()
        painted = self._memory.arrays[1]
        for plane, offset in zip((luma, chroma), self._painted.offsets.values(), strict=True):
            plane.reshape(-1)[:] = painted[offset:][: plane.size]

    def finish_gpu_picture(self) -> None:
        """Waits for the picture that was started."""
        self._cuda.use()
        self._cuda.wait(self._stream)
        self._pending = False

    def compute(self, count: int) -> None:
        """Runs the network `count` times on the last picture, and waits."""
        for _ in range(count):
            self._enqueue()
        self._cuda.wait(self._stream)

    def close(self) -> None:
        """Frees everything; the slot must not be used afterwards."""
        self._close()

    def _occupy(self) -> None:
        if self._pending:
            raise EngineError("internal error: more pictures than slots were begun in TensorRT")
        self._pending = True

    def _run(self, work: Callable[[], None]) -> None:
        """Launches the captured graph, or calls `work` if capturing was not possible."""
        if self._memory.graph is not None:
            self._cuda.launch(self._memory.graph, self._stream)
        else:
            work()

    def _copy(self, picture: GpuPicture, block: _Block, *, into: bool) -> None:
        """Copies a picture, whose rows have a pitch, into or from a block, whose rows are dense."""
        width, height = picture.width, picture.height
        luma, chroma = (block.pointer + offset for offset in block.offsets.values())
        for there, pitch, here, rows in (
            (picture.luma, picture.luma_pitch, luma, height),
            (picture.chroma, picture.chroma_pitch, chroma, height // 2),
        ):
            own, other = (here, width), (there, pitch)
            ways = (own, other) if into else (other, own)
            self._cuda.copy_rows(*ways, (rows, width), self._stream)

    def _work(self) -> None:
        given, painted = self._memory.arrays
        self._cuda.copy_in(self._given.pointer, given, self._stream)
        self._enqueue()
        self._cuda.copy_out(painted, self._painted.pointer, self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"TensorRT failed: {self._log.last()}")


def _close(cuda: Cuda, stream: int, memory: _Memory) -> None:
    wait, end = partial(cuda.wait, stream), partial(cuda.end_stream, stream)
    for step in (cuda.use, wait, memory.free, end):
        with contextlib.suppress(EngineError):  # a lost GPU, which was reported when it happened
            step()
