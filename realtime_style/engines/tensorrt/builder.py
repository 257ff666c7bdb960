"""A style's ONNX model to a TensorRT engine: strongly typed, for any size within a profile.

Written for TensorRT 10.12 and later, for 11, and for TensorRT-RTX, which share one interface; what
not all of them have is felt for. None of it needs PyTorch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from realtime_style.errors import EngineError
from realtime_style.system.interrupts import interruptible


@dataclass(frozen=True, slots=True)
class Profile:
    """Which sizes an engine paints: luma's (width, height), multiples of 4.

    Any width and height from those of `least` to those of `most`; tuned for `best`.
    """

    least: tuple[int, int]
    best: tuple[int, int]
    most: tuple[int, int]

    def holds(self, width: int, height: int) -> bool:
        """Whether an engine of this profile paints pictures of this size."""
        sides = zip(self.least, (width, height), self.most, strict=True)
        return all(low <= side <= high for low, side, high in sides)

    def __str__(self) -> str:
        """For people to read, and for keys."""
        return " ".join(f"{width}x{height}" for width, height in (self.least, self.best, self.most))


PROFILES = {
    "webcam": Profile((32, 32), (1280, 720), (1280, 1280)),
    "1080p": Profile((32, 32), (1920, 1088), (1920, 1920)),
    "4k": Profile((32, 32), (3840, 2160), (4096, 4096)),
}
"""By the names of `engine build --profile`; upright pictures fit as well as broad ones."""


def build_engine(
    model: bytes,
    profile: Profile,
    trt: ModuleType,
    *,
    level: int | None = None,
    workspace_mb: int | None = None,
    use_gpu: Callable[[], None] = lambda: None,
    timing_cache: bytes = b"",
    on_progress: Callable[[float], None] = lambda part: None,
) -> tuple[bytes, bytes]:
    """Builds an engine; TensorRT-RTX needs no GPU for it.

    Args:
        model: ONNX, uint8 planes in and out; its own types are what is computed in.
        trt: the module `tensorrt` or `tensorrt_rtx`.
        level: of optimisation, 0 to 5; None is TensorRT's own, 3.
        workspace_mb: how much memory a layer may take for itself; None is all.
        use_gpu: makes the GPU that it is for the calling thread's; each thread has its own.
        timing_cache: what an earlier build has learned about this GPU.
        on_progress: called now and then with the part done, 0..1, on a thread of its own.

    Returns:
        The serialized engine, and the timing cache, empty where TensorRT keeps none.

    Raises:
        EngineError: TensorRT does not take the model, or fails to build.
        KeyboardInterrupt: passed on, once TensorRT has stopped.
    """
    use_gpu()
    log = listening_log(trt)
    builder = started(trt.Builder, log)
    network, _parser = _parsed(builder, model, trt, log)
    config = builder.create_builder_config()
    sizes = builder.create_optimization_profile()
    for given in map(network.get_input, range(network.num_inputs)):
        scale = 1 if given.name == "luma" else 2
        shapes = []
        for width, height in (profile.least, profile.best, profile.most):
            sides = iter((height // scale, width // scale))  # in the places that are left open
            shapes.append(tuple(next(sides) if side < 0 else side for side in given.shape))
        sizes.set_shape(given.name, *shapes)
    config.add_optimization_profile(sizes)
    if refittable(trt):
        config.set_flag(trt.BuilderFlag.REFIT)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # types of layers can be asked for
    if level is not None:
        config.builder_optimization_level = level
    if workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    if refittable(trt) and not config.set_timing_cache(
        config.create_timing_cache(timing_cache), ignore_mismatch=False
    ):  # of another GPU or version
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    progress = _progress(trt, on_progress)
    config.progress_monitor = progress

    def build() -> Any:
        use_gpu()
        return builder.build_serialized_network(network, config)

    plan = interruptible(build, progress.stopping.set)
    if plan is None:
        raise EngineError(f"TensorRT cannot build an engine: {log.last()}")
    learned = config.get_timing_cache() if refittable(trt) else None
    return bytes(plan), bytes(learned.serialize()) if learned else b""


def refittable(trt: ModuleType) -> bool:
    """Whether engines are built once, and given the weights of one style after the other.

    TensorRT times kernels while it builds, which takes a minute. TensorRT-RTX does not: it builds
    in a second, without a GPU unless weights are to be given later, and makes its kernels as it
    runs, for which it alone has a cache.
    """
    return not hasattr(trt, "IRuntimeCache")


def refit_engine(engine: Any, model: bytes, trt: ModuleType, log: Any) -> bool:
    """Gives an engine the weights of another model of its structure; whether that succeeded."""
    refitter = trt.Refitter(engine, log)
    return bool(
        trt.OnnxParserRefitter(refitter, log).refit_from_bytes(model)
        and refitter.refit_cuda_engine()
    )


def layer_types(model: bytes, trt: ModuleType) -> list[tuple[str, str, str]]:
    """Kind, input type and output type of each layer of the network that is parsed of a model."""
    log = listening_log(trt)
    builder = started(trt.Builder, log)
    network, _parser = _parsed(builder, model, trt, log)
    return [
        (layer.type.name, layer.get_input(0).dtype.name, layer.get_output(0).dtype.name)
        for layer in map(network.get_layer, range(network.num_layers))
        if layer.num_inputs
    ]


def _parsed(builder: Any, model: bytes, trt: ModuleType, log: Any) -> tuple[Any, Any]:
    """The network of a model, whose types are the model's, and the parser that it needs alive."""
    # Where there is no flag for it, there is no other kind of network
    strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    flags = 0 if strongly_typed is None else 1 << int(strongly_typed)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise EngineError(f"TensorRT does not take this model: {'; '.join(reasons)}")
    return network, parser


@cache
def listening_log(trt: ModuleType) -> Any:
    """TensorRT's logger for the whole process: prints nothing, and knows the last error, `last()`.

    TensorRT keeps the first one that it is given, and uses it to the process's very end.
    """

    class Log(trt.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._error = "it gives no reason"

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._error = message.strip()

        def last(self) -> str:
            return self._error

    return Log()


def started(kind: Callable[[Any], Any], log: Any) -> Any:
    """A builder or a runtime of TensorRT's; raises EngineError where it does not start."""
    try:
        made = kind(log)
    except TypeError:  # what the binding makes of a null pointer
        made = None
    if made is None:
        raise EngineError(f"TensorRT does not start: {log.last()}")
    return made


def _progress(trt: ModuleType, on_progress: Callable[[float], None]) -> Any:
    """TensorRT's monitor: nested phases, of a number of steps each, as one part of the whole."""

    class Progress(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopping = threading.Event()
            self._phases: dict[str, tuple[str | None, int, int]] = {}  # parent, steps, done
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
                on_progress(part)

    return Progress()
