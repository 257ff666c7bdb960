"""Builds TensorRT engines from ONNX models: strongly typed, for any size within a profile.

Works with TensorRT from 10.12 on, including 11, and with TensorRT-RTX. They share one interface;
parts that only some of them have are looked up by name. PyTorch is not needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from realtime_style.canvas import CANVAS_MULTIPLE, canvas_size
from realtime_style.engines.graphs.canvas import REDUCTIONS
from realtime_style.errors import EngineError
from realtime_style.frame import MIN_SIDE_PX
from realtime_style.style.file_format import CANVAS_PLANES, PICTURE_PLANES
from realtime_style.system.interrupts import interruptible


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes in pixels, (width, height): of pictures (luma, even) or of canvases.

    Those of canvases are multiples of CANVAS_MULTIPLE.

    Attributes:
        least, most: the smallest and the largest width and height. Any width in that range may be
            combined with any height.
        best: the size that the engine is tuned for.
    """

    least: tuple[int, int]
    best: tuple[int, int]
    most: tuple[int, int]

    def holds(self, size: tuple[int, int]) -> bool:
        """Whether a size, width and height in pixels, is in the range."""
        sides = zip(self.least, size, self.most, strict=True)
        return all(low <= side <= high for low, side, high in sides)

    def __str__(self) -> str:
        """The three sizes as text, for messages and for cache keys."""
        return " ".join(f"{width}x{height}" for width, height in (self.least, self.best, self.most))


@dataclass(frozen=True, slots=True)
class Profile:
    """What an engine paints: any picture of a range, with any canvas of a range."""

    pictures: SizeRange
    canvases: SizeRange

    @classmethod
    def of_range(cls, pictures: SizeRange) -> Profile:
        """A profile for pictures of a range with strokes of any size, tuned for medium ones.

        A canvas is never larger than its picture. Strokes are never so large that its sides are
        shorter than those of the smallest picture.
        """
        least, most = (
            (
                width // CANVAS_MULTIPLE * CANVAS_MULTIPLE,
                height // CANVAS_MULTIPLE * CANVAS_MULTIPLE,
            )
            for width, height in (pictures.least, pictures.most)
        )
        return cls(pictures, SizeRange(least, canvas_size(*pictures.best), most))

    @classmethod
    def of_size(cls, size: tuple[int, int], canvas: tuple[int, int]) -> Profile:
        """A profile for one size of pictures and of canvases, width and height in pixels."""
        return cls(SizeRange(size, size, size), SizeRange(canvas, canvas, canvas))

    def holds(self, size: tuple[int, int], canvas: tuple[int, int]) -> bool:
        """Whether an engine of this profile paints pictures of a size with canvases of a size."""
        return self.pictures.holds(size) and self.canvases.holds(canvas)

    def __str__(self) -> str:
        """All sizes as text, for messages and for cache keys."""
        return f"{self.pictures} (canvas {self.canvases})"


PROFILES = {
    name: Profile.of_range(SizeRange((MIN_SIDE_PX, MIN_SIDE_PX), best, most))
    for name, best, most in (
        ("webcam", (1280, 720), (1280, 1280)),
        ("1080p", (1920, 1080), (1920, 1920)),
        ("4k", (3840, 2160), (4096, 4096)),
    )
}
"""The usual profiles, by name; pictures in portrait format fit as well."""


def input_shapes(
    size: tuple[int, int], canvas: tuple[int, int], *, gpu_frames: bool
) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's inputs, by name.

    Args:
        size: width and height of the pictures in pixels.
        canvas: width and height of their canvases.
        gpu_frames: whether the network is for pictures in GPU memory: its chroma is in NV12 order,
            and in place of the canvas it has matrices; see `reducing_model`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for names, (width, height) in ((PICTURE_PLANES, size), (CANVAS_PLANES, canvas)):
        for name, channels in names.items():  # planes of two channels are half as large
            shapes[name] = (1, channels, height // channels, width // channels)
    if gpu_frames:
        for plane, (name, (rows, columns)) in zip(PICTURE_PLANES, REDUCTIONS.items(), strict=True):
            small, large = shapes.pop(name)[2:], shapes[plane][2:]
            shapes |= {rows: (small[0], large[0]), columns: (large[1], small[1])}
        _, channels, height, width = shapes["chroma"]
        shapes["chroma"] = (1, height, width, channels)
    return shapes


def build_engine(
    model: bytes,
    profile: Profile,
    trt: ModuleType,
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    use_gpu: Callable[[], None] = lambda: None,
    timing_cache: bytes = b"",
    on_build: Callable[[float], None] = lambda part: None,
) -> tuple[bytes, bytes]:
    """Builds an engine. TensorRT needs the GPU that it will run on; TensorRT-RTX needs none.

    Args:
        model: a serialised ONNX model with the inputs of `input_shapes` and uint8 outputs. The
            engine computes in the float types of the model; see `typed_model`.
        profile: the sizes that the engine will paint.
        trt: the module `tensorrt` or `tensorrt_rtx`.
        level: optimisation level, 0 to 5; None is TensorRT's default, 3.
        workspace_mb: most memory that one layer may use for itself, in MiB; None is unlimited.
        use_gpu: makes the GPU current in the calling thread; it is called in every thread.
        timing_cache: the timing cache of an earlier build for this GPU; b"" if there is none.
        on_build: called from time to time, on another thread, with the finished part, 0..1.

    Returns:
        The serialised engine, and the new timing cache, which is empty for TensorRT-RTX.

    Raises:
        EngineError: TensorRT does not accept the model, or the build fails.
        KeyboardInterrupt: on Ctrl-C, once TensorRT has stopped.
    """
    use_gpu()
    log = listening_log(trt)
    builder = started(trt.Builder, log)
    network, _parser = parsed(builder, model, trt, log)
    config = _config(builder, network, profile, trt, timing_cache)
    if level is not None:
        config.builder_optimization_level = level
    if workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    progress = _progress(trt, on_build)
    config.progress_monitor = progress

    def build() -> Any:
        use_gpu()
        return builder.build_serialized_network(network, config)

    plan = interruptible(build, progress.stopping.set)
    if plan is None:
        raise EngineError(
            f"TensorRT cannot build an engine ({log.last()}); paint on the CPU with the engine "
            "openvino"
        )
    learned = config.get_timing_cache() if refittable(trt) else None
    return bytes(plan), bytes(learned.serialize()) if learned else b""


def _config(
    builder: Any, network: Any, profile: Profile, trt: ModuleType, timing_cache: bytes
) -> Any:
    """TensorRT's configuration of a build, with the sizes of a profile."""
    config = builder.create_builder_config()
    sizes = builder.create_optimization_profile()
    names = [network.get_input(i).name for i in range(network.num_inputs)]
    gpu_frames = not set(CANVAS_PLANES).issubset(names)
    pictures, canvases = profile.pictures, profile.canvases
    least, best, most = (
        input_shapes(size, canvas, gpu_frames=gpu_frames)
        for size, canvas in (
            (pictures.least, canvases.least),
            (pictures.best, canvases.best),
            (pictures.most, canvases.most),
        )
    )
    for name in names:
        sizes.set_shape(name, least[name], best[name], most[name])
    config.add_optimization_profile(sizes)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for `layers`
    if refittable(trt):
        config.set_flag(trt.BuilderFlag.REFIT)
        learned = config.create_timing_cache(timing_cache)
        if not config.set_timing_cache(learned, ignore_mismatch=False):
            # the cache is from another GPU or another version of TensorRT
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return config


def refittable(trt: ModuleType) -> bool:
    """Whether one engine is built for all styles, and refitted with the weights of each.

    True for TensorRT: it times kernels while it builds, which takes a minute, so engines are
    reused. False for TensorRT-RTX: it builds an engine in a second, without a GPU if the engine is
    not refittable, and compiles kernels only when the engine runs. It is recognised by having a
    cache for those kernels.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
    """
    return not hasattr(trt, "IRuntimeCache")


def refit_engine(engine: Any, model: bytes, trt: ModuleType, log: Any) -> bool:
    """Gives an engine the weights of another model with the same structure.

    Args:
        engine: changed in place.
        model: the serialised ONNX model that has the weights.
        trt: the module `tensorrt`.
        log: from `listening_log`.

    Returns:
        False if TensorRT refuses; the engine must not be used then.
    """
    refitter = trt.Refitter(engine, log)
    return bool(
        trt.OnnxParserRefitter(refitter, log).refit_from_bytes(model)
        and refitter.refit_cuda_engine()
    )


def parsed(builder: Any, model: bytes, trt: ModuleType, log: Any) -> tuple[Any, Any]:
    """Reads a serialised ONNX model into a strongly typed TensorRT network.

    Returns:
        The network, and its parser, which must live as long as the network.

    Raises:
        EngineError: TensorRT does not accept the model.
    """
    # TensorRT 11 has no such flag, because all its networks are strongly typed
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    flags = 0 if strongly_typed is None else 1 << int(strongly_typed)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise EngineError(f"TensorRT does not accept this model: {'; '.join(reasons)}")
    return network, parser


@cache
def listening_log(trt: ModuleType) -> Any:
    """A logger for TensorRT that prints nothing, and whose `last()` returns the last error.

    There is one for the whole process, because TensorRT keeps the first logger that it is given
    and uses it until the process ends.
    """

    class Log(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._error = "TensorRT gives no reason"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._error = message.strip()

        def last(self) -> str:
            return self._error

    return Log()


def started(kind: Callable[[Any], Any], log: Any) -> Any:
    """Creates a TensorRT builder or runtime.

    Args:
        kind: `Builder` or `Runtime` of the module.
        log: from `listening_log`.

    Raises:
        EngineError: TensorRT does not start.
    """
    try:
        made = kind(log)
    except TypeError:  # how the binding reports a null pointer
        made = None
    if made is None:
        raise EngineError(f"TensorRT does not start: {log.last()}")
    return made


def _progress(trt: ModuleType, on_build: Callable[[float], None]) -> Any:
    """A progress monitor that turns TensorRT's nested phases into one finished part, 0..1.

    Setting its event `stopping` ends the build.
    """

    class Progress(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopping = threading.Event()
            self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, steps done
            self._most = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = (parent_phase, num_steps, 0)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._phases:
                parent, steps, _ = self._phases[phase_name]
                self._phases[phase_name] = (parent, steps, step + 1)
                self._tell(phase_name)
            return not self.stopping.is_set()

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

        def _tell(self, phase: str | None) -> None:
            part = 0.0
            while phase in self._phases:
                parent, steps, done = self._phases[phase]
                part = min(1.0, (done + part) / max(1, steps))
                phase = parent
            if part > self._most:
                self._most = part
                on_build(part)

    return Progress()
