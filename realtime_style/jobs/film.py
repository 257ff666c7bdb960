"""The main job: a film in, a painted film out."""

from __future__ import annotations

import json
import math
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from realtime_style.engines.engine import Engine
from realtime_style.engines.registry import refuse_gpu_frames
from realtime_style.engines.tensorrt.cuda import Cuda, CudaPython
from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import MIN_SIDE_PX, Frame, GpuFrame, Size, StreamInfo
from realtime_style.jobs.pipeline import Pipeline, RunStats
from realtime_style.jobs.trace import Trace
from realtime_style.media.encoding import Encoding, gpu_encoder_name, usual_size
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.chain import PainterChain, build_gpu_painter, build_painter
from realtime_style.painting.gpu_source import GpuSource
from realtime_style.painting.gpu_stylizer import GpuStylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.system.paths import is_special, refuse_overwriting_source

RESIDENCIES = ("memory", "gpu")


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """One film to paint: a value that can be stored, sent to another process, and compared.

    Attributes:
        source: a film file, "-" (standard input), an address that FFmpeg opens, or a pattern for
            numbered pictures (frame_%04d.png).
        out: the new film: a file, "-" (standard output, Matroska) or such a pattern.
        plan: how its frames are painted.
        size: the size at which frames are painted; None paints at the film's own.
        output_size: the new film's size; None keeps the film's, or takes a smaller one for GIF and
            WebP. Pictures of another shape get bars.
        start_s, duration_s: the part of the film to paint, in seconds; None paints to the end.
        rate: of numbered pictures and raw streams, in frames per second; None takes 25, or what
            the stream says.
        encoding: how the new film is encoded.
        hwaccel: the device that decodes, one of `film_source.hwaccels()`; None decodes on the CPU.
        residency: where frames live: "memory", or "gpu" to decode, paint and encode in the memory
            of the first GPU of `plan.engine`; stability, grain and masks are not available there.
        overwrite: whether an existing film may be replaced, once the new one is complete.

    Raises:
        StyleError: a value that is out of range or that cannot be combined with another.
    """

    source: str
    out: str
    plan: PaintPlan = field(default_factory=PaintPlan)
    size: Size | None = None
    output_size: Size | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    rate: Fraction | None = None
    encoding: Encoding = field(default_factory=Encoding)
    hwaccel: str | None = None
    residency: str = "memory"
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "out"):  # paths are welcome, but text can be stored
            object.__setattr__(self, name, os.fspath(getattr(self, name)))
        if not math.isfinite(self.start_s) or self.start_s < 0:
            raise MediaError(
                f"the start must be 0 s or later, not {self.start_s:g} s", setting="start_s"
            )
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise MediaError(
                f"the duration must be positive and finite, not {self.duration_s:g} s",
                setting="duration_s",
            )
        if self.rate is not None and self.rate <= 0:
            raise MediaError(f"the frame rate must be above 0, not {self.rate}", setting="rate")
        if self.residency not in RESIDENCIES:
            raise MediaError(
                f"unknown residency '{self.residency}'; choose {' or '.join(RESIDENCIES)}",
                setting="residency",
            )
        if self.residency == "gpu":
            self._refuse_in_gpu_memory()

    def _refuse_in_gpu_memory(self) -> None:
        unwanted = {
            "size": self.size,
            "output_size": self.output_size,
            "bit_depth": self.encoding.bit_depth,
            "hwaccel": self.hwaccel,
        }
        for setting, value in unwanted.items():
            if value is not None:
                raise MediaError(
                    f"{setting} cannot be combined with frames in GPU memory", setting=setting
                )
        if self.plan.mask:
            raise MediaError(
                "people are not found in GPU memory, so frames there are painted whole",
                setting="only",
            )
        if len(self.plan.engine.devices) > 1:
            raise MediaError("frames in GPU memory need exactly one GPU", setting="devices")
        refuse_gpu_frames(self.plan.engine.name, self.plan.engine.precision)

    def as_json(self) -> str:
        """The request as one JSON object; `from_json` reads it.

        Raises:
            StyleFileError: the look holds an opened style, which has no name.
        """
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"plan": self.plan.as_dict(), "encoding": asdict(self.encoding)}
        for name in ("size", "output_size", "rate"):
            values[name] = None if values[name] is None else str(values[name])
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads the text of `as_json`.

        Raises:
            StyleError: it is not such a text, or a value in it is out of range.
        """
        try:
            values = json.loads(text)
            values["plan"] = PaintPlan.from_dict(values["plan"])
            values["encoding"] = Encoding(**values["encoding"])
            for name, kind in (
                ("size", Size.parse),
                ("output_size", Size.parse),
                ("rate", Fraction),
            ):
                values[name] = None if values[name] is None else kind(values[name])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise StyleError(f"this is not the JSON of a film request: {error}") from error


class FilmObserver(Protocol):
    """What a front end wants to know while a film is painted; called on the thread of `run`."""

    def on_build(self, part: float) -> None:
        """An engine is being built; `part` of it, 0..1, is done."""

    def on_frame(self, stats: RunStats) -> None:
        """A frame has been written.

        Args:
            stats: of the run so far. Every call gets the same object, which keeps changing: read
                it, do not keep it.
        """


@dataclass(frozen=True, slots=True)
class FilmReport:
    """What became of a film.

    `lost_s` is how much of the film could not be read, in seconds; `notes` says what changed
    apart from the painting. What is found when the new film is completed, as its job is left, is
    only in the job's `notes`.
    """

    out: str
    style: str
    look: str
    width: int
    height: int
    stats: RunStats
    engine: str
    device: str
    precision: str
    encoder: str
    lost_s: float
    notes: tuple[str, ...]


class FilmJob:
    """A film that is open and ready to be painted: made by `open_film`, painted by `run`.

    A context manager: leaving it closes both films; the new film exists only if all went well.
    After KeyboardInterrupt or an error the frames so far are kept as a film of their own, where
    `sink` says.

    Attributes:
        request: what was asked for.
        source, sink: the open films.
        painter: what paints the frames.
    """

    def __init__(
        self,
        request: FilmRequest,
        source: FileSource,
        sink: FileSink,
        painter: PainterChain | GpuStylizer,
        pipeline: Pipeline[Frame] | Pipeline[GpuFrame],
        closing: ExitStack,
    ) -> None:
        self.request = request
        self.source, self.sink, self.painter = source, sink, painter
        self._pipeline = pipeline
        self._closing = closing

    @property
    def engine(self) -> Engine:
        """What runs the network."""
        return self.painter.engine

    @property
    def notes(self) -> list[str]:
        """What changes apart from the painting, in sentences; may grow while painting."""
        notes = [
            f"sides are even: {size} becomes {size.width & ~1}x{size.height & ~1}"
            for size in (self.request.size, self.request.output_size)
            if size and size.width and (size.width % 2 or size.height % 2)
        ]
        if not self.request.output_size and self.sink.size != _own_size(self.source.info):
            width, height = self.sink.size
            notes.append(
                f"{Path(self.request.out).suffix} grows large, so it is written at "
                f"{width}x{height}; any output size can be chosen"
            )
        notes += [*self.source.notes, *self.sink.notes]
        plan = self.request.plan
        if self.request.residency == "gpu" and (plan.stability or plan.grain):
            notes.append("flicker reduction and grain are not available in GPU memory")
        return [*notes, *self.engine.notes]

    def prepare(self, observer: FilmObserver | None = None) -> None:
        """Gets the engine ready for the film's size, which takes long where it must be built.

        `run` does it too. Raises EngineError where the engine cannot be built.
        """
        info = self.source.info
        self.painter.prepare((info.width, info.height), observer.on_build if observer else None)

    def run(self, observer: FilmObserver | None = None) -> FilmReport:
        """Paints the film, once.

        Raises:
            StyleError: reading, painting or writing failed.
            KeyboardInterrupt: passed on.
        """
        self.prepare(observer)
        stats = self._pipeline.run(observer.on_frame if observer else None)
        if stats.frames == 0:
            raise MediaError(f"{self.source.name} has no frame in that part that could be decoded")
        info = self.source.info
        return FilmReport(
            out=self.request.out,
            style=self.painter.style.name,
            look=str(self.request.plan.look),
            width=info.width,
            height=info.height,
            stats=stats,
            engine=self.engine.name,
            device=self.engine.device,
            precision=self.engine.precision,
            encoder=self.sink.encoder,
            lost_s=self.source.lost_s,
            notes=tuple(self.notes),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._closing.__exit__(kind, error, tb)


def open_film(request: FilmRequest, trace: Trace | None = None) -> FilmJob:
    """Opens film, style, engine and output of a request.

    Args:
        trace: gets a span for all that a stage of the job does or waits for.

    Raises:
        StyleError: something cannot be read, written, found or run.
    """
    refuse_overwriting_source(request.source, request.out)
    cuda: Cuda | None = None
    if request.residency == "gpu":
        gpu_encoder_name(Path(request.out), request.encoding)
        cuda = CudaPython(request.plan.engine.devices[0])
    with ExitStack() as stack:
        source = stack.enter_context(_open_source(request))
        info = source.info
        _refuse_small(source.name, info)
        sink = stack.enter_context(_open_sink(request, source))
        painter: PainterChain | GpuStylizer
        pipeline: Pipeline[Frame] | Pipeline[GpuFrame]
        if cuda:
            painter = build_gpu_painter(request.plan, cuda, info.color)
            frames = GpuSource(source, cuda)
            pipeline = Pipeline(frames, painter, sink, trace)
        else:
            painter = build_painter(request.plan, info.color, in_flight=None)
            pipeline = Pipeline(source, painter, sink, trace)
        return FilmJob(request, source, sink, painter, pipeline, stack.pop_all())


def _refuse_small(name: str, info: StreamInfo) -> None:
    """Raises MediaError if frames are too small to be painted."""
    if min(info.width, info.height) >= MIN_SIDE_PX:
        return
    what, setting = f"is {info.source_width}x{info.source_height}", "source"
    if min(info.source_width, info.source_height) >= MIN_SIDE_PX:
        what, setting = f"would be painted at {info.width}x{info.height}", "size"
    raise MediaError(
        f"{name} {what}; the smallest picture that can be painted is {MIN_SIDE_PX}x{MIN_SIDE_PX}",
        setting=setting,
    )


def _own_size(info: StreamInfo) -> tuple[int, int]:
    """Width and height of a film before any scaling, in pixels, even."""
    return info.source_width & ~1, info.source_height & ~1


def refuse_out(request: FilmRequest, info: StreamInfo) -> None:
    """Raises MediaError if a request's film could not be begun; nothing is left behind.

    Pipes are not opened.

    Args:
        info: the frames that will come.
    """
    if request.out != "-" and not is_special(Path(request.out)):
        sink = FileSink(request.out, info, encoding=request.encoding, overwrite=request.overwrite)
        sink.discard()


def _gpu_device(request: FilmRequest) -> int | None:
    return request.plan.engine.devices[0] if request.residency == "gpu" else None


def _open_source(request: FilmRequest) -> FileSource:
    return FileSource(
        request.source,
        size=request.size,
        start_s=request.start_s,
        duration_s=request.duration_s,
        rate=request.rate,
        hwaccel=request.hwaccel,
        gpu_device=_gpu_device(request),
    )


def _open_sink(request: FilmRequest, source: FileSource) -> FileSink:
    info = source.info
    own_size, wanted = _own_size(info), request.output_size
    return FileSink(
        request.out,
        info,
        size=wanted.of(*own_size) if wanted else usual_size(Path(request.out), own_size),
        encoding=request.encoding,
        passthrough_of=source,
        overwrite=request.overwrite,
        gpu_device=_gpu_device(request),
    )
