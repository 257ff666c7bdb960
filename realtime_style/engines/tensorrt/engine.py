"""TensorRT and TensorRT-RTX on an NVIDIA GPU, in float16 or float32."""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.engine import GpuEngine, GpuPicture, Plane
from realtime_style.engines.graphs.precision import (
    digest,
    nv12_model,
    structure_digest,
    typed_model,
)
from realtime_style.engines.tensorrt.builder import (
    PROFILES,
    Profile,
    build_engine,
    listening_log,
    refit_engine,
    refittable,
    started,
)
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.engines.tensorrt.plan_cache import PlanCache, PlanKey
from realtime_style.errors import EngineError

_ALIGNMENT = 256  # bytes; TensorRT requires aligned addresses
_NAMES = (("luma", "chroma"), ("painted_luma", "painted_chroma"))  # inputs, outputs


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
            gpu_frames: build for `begin_gpu_picture` (chroma in NV12) instead of `begin`.
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
        self._model = typed_model(model, self.precision)
        if gpu_frames:
            self._model = nv12_model(self._model)
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
        self, width: int, height: int, on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Engine.prepare`."""
        if self._profile is None or not self._profile.holds(width, height):
            self._load(self._profile_for(width, height), on_build)
        self._cuda.use()
        new = [slot.fit(width, height) for slot in self._slots]
        if any(new) and self._kernels:
            self._store_kernels()

    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """See `Engine.begin`."""
        height, width = luma.shape[2:]
        if chroma.shape[2:] != (height // 2, width // 2) or luma.shape != out_luma.shape:
            raise EngineError(
                f"TensorRT failed: luma of {width}x{height} and chroma of "
                f"{chroma.shape[3]}x{chroma.shape[2]} do not fit together"
            )
        slot = self._slot_for(width, height)
        slot.start(luma, chroma)
        return lambda: slot.finish(out_luma, out_chroma)

    def begin_gpu_picture(self, picture: GpuPicture, painted: GpuPicture) -> Callable[[], None]:
        """See `GpuEngine.begin_gpu_picture`."""
        if (picture.width, picture.height) != (painted.width, painted.height):
            raise EngineError("TensorRT failed: the output has another size than the picture")
        slot = self._slot_for(picture.width, picture.height)
        slot.start_gpu_picture(picture, painted)
        return slot.finish_gpu_picture

    def _slot_for(self, width: int, height: int) -> _Slot:
        if self._cancelled:
            raise EngineError("TensorRT failed: cancelled")
        self.prepare(width, height)
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

    def _profile_for(self, width: int, height: int) -> Profile:
        """The smallest profile that contains the size; if none does, a profile for this size."""
        for profile in PROFILES.values():
            if profile.holds(width, height):
                return profile
        self.notes.append(
            f"{width}x{height} is outside all profiles, so an engine is built for this size only"
        )
        return Profile((width, height), (width, height), (width, height))

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
            _Slot(self._cuda, context, self._log, gpu_frames=self._gpu_frames)
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

    def free(self) -> None:
        """Frees everything; a second call does nothing."""
        self.cuda.use()
        if self.graph is not None:
            self.cuda.end_graph(self.graph)
        for pointer in self.pointers:
            self.cuda.give_back(pointer)
        for array in self.arrays:
            self.cuda.give_back_host(array)
        self.graph, self.pointers, self.arrays = None, [], []


class _Slot:
    """Paints one picture at a time: buffers on host and GPU, a stream, and a CUDA graph."""

    def __init__(self, cuda: Cuda, context: Any, log: Any, *, gpu_frames: bool) -> None:
        self._cuda, self._context, self._log = cuda, context, log
        self._gpu_frames = gpu_frames
        self._stream = cuda.stream()
        self._memory = _Memory(cuda, [], [])
        self._size = (0, 0)
        self._pending = False
        self._block = 0  # size of a picture in bytes: luma, then chroma at an aligned address
        self._chroma_at = 0  # offset of chroma in bytes
        self._close = weakref.finalize(self, _close, cuda, self._stream, self._memory)

    def fit(self, width: int, height: int) -> bool:
        """Gets ready for a size in pixels. Returns False if the slot was ready for it already."""
        if self._size == (width, height):
            return False
        self.refuse_change()
        cuda, memory = self._cuda, self._memory
        self._size = (0, 0)  # no size, until everything has been allocated
        memory.free()
        self._chroma_at = -(-width * height // _ALIGNMENT) * _ALIGNMENT
        self._block = self._chroma_at + width * height // 2
        half = (height // 2, width // 2)
        shapes = ((1, 1, height, width), (1, *half, 2) if self._gpu_frames else (1, 2, *half))
        blocks = []
        for names in _NAMES:
            pointer = cuda.take(self._block)
            memory.pointers.append(pointer)
            blocks.append(pointer)
            if not self._gpu_frames:
                memory.arrays.append(cuda.take_host(self._block))
            for name, at in zip(names, (pointer, pointer + self._chroma_at), strict=True):
                self._context.set_tensor_address(name, at)
        for name, shape in zip(_NAMES[0], shapes, strict=True):
            if not self._context.set_input_shape(name, shape):
                raise EngineError(f"TensorRT refuses the size {width}x{height}: {self._log.last()}")
        scratch = int(self._context.update_device_memory_size_for_shapes())
        if scratch:
            pointer = cuda.take(scratch)
            memory.pointers.append(pointer)
            self._context.set_device_memory(pointer, scratch)
        self._enqueue()  # once before capturing, because the first call loads the kernels
        cuda.wait(self._stream)
        self._size = (width, height)
        self._blocks = blocks
        capturable = getattr(self._context, "is_stream_capturable", lambda stream: True)
        if capturable(self._stream):
            work = self._enqueue if self._gpu_frames else self._work
            memory.graph = cuda.capture(self._stream, work)
        return True

    def refuse_change(self) -> None:
        """Raises EngineError while a picture is in flight, which a change of size would lose."""
        if self._pending:
            raise EngineError("TensorRT failed: the size changed while a picture was in flight")

    def start(self, luma: NDArray[np.uint8], chroma: NDArray[np.uint8]) -> None:
        """Starts painting a picture in host memory; see `Engine.begin` for the shapes."""
        self._occupy()
        given = self._memory.arrays[0]
        given[: luma.size] = luma.reshape(-1)
        given[self._chroma_at :] = chroma.reshape(-1)
        self._run(self._work)

    def start_gpu_picture(self, picture: GpuPicture, painted: GpuPicture) -> None:
        """Starts painting a picture in GPU memory into another one."""
        self._occupy()
        given, made = self._blocks
        self._copy(picture, given, into=True)
        self._run(self._enqueue)
        self._copy(painted, made, into=False)

    def finish(self, luma: NDArray[np.uint8], chroma: NDArray[np.uint8]) -> None:
        """Waits for the picture, and copies the painted planes to the given arrays."""
        self._cuda.use()
        self._cuda.wait(self._stream)
        self._pending = False
        painted = self._memory.arrays[1]
        luma.reshape(-1)[:] = painted[: luma.size]
        chroma.reshape(-1)[:] = painted[self._chroma_at :]

    def finish_gpu_picture(self) -> None:
        """Waits for the picture that `start_gpu_picture` started."""
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
            raise EngineError("TensorRT failed: more pictures were begun than can be in flight")
        self._pending = True

    def _run(self, work: Callable[[], None]) -> None:
        """Launches the captured graph, or calls `work` if capturing was not possible."""
        if self._memory.graph is not None:
            self._cuda.launch(self._memory.graph, self._stream)
        else:
            work()

    def _copy(self, picture: GpuPicture, block: int, *, into: bool) -> None:
        """Copies a picture, whose rows have a pitch, into or from a block, whose rows are dense."""
        width, height = picture.width, picture.height
        for there, pitch, here, rows in (
            (picture.luma, picture.luma_pitch, block, height),
            (picture.chroma, picture.chroma_pitch, block + self._chroma_at, height // 2),
        ):
            own, other = (here, width), (there, pitch)
            ways = (own, other) if into else (other, own)
            self._cuda.copy_rows(*ways, (rows, width), self._stream)

    def _work(self) -> None:
        given, painted = self._memory.arrays
        self._cuda.copy_in(self._blocks[0], given, self._stream)
        self._enqueue()
        self._cuda.copy_out(painted, self._blocks[1], self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"TensorRT failed: {self._log.last()}")


def _close(cuda: Cuda, stream: int, memory: _Memory) -> None:
    wait, end = partial(cuda.wait, stream), partial(cuda.end_stream, stream)
    for step in (cuda.use, wait, memory.free, end):
        with contextlib.suppress(EngineError):  # a lost GPU, which was reported when it happened
            step()
