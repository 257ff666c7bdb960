"""The main job: a film in, a painted film out."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime_style.engines.engine import Engine
from realtime_style.engines.tensorrt.cuda import Cuda, CudaPython
from realtime_style.errors import MediaError
from realtime_style.frame import MIN_SIDE_PX, Frame, GpuFrame, StreamInfo
from realtime_style.jobs.execution import USUAL, Execution
from realtime_style.jobs.observer import FilmObserver as FilmObserver
from realtime_style.jobs.parts import PartsFolder, settings_of
from realtime_style.jobs.pipeline import Pipeline, RunStats
from realtime_style.jobs.planning import can_be_planned
from realtime_style.jobs.request import FilmRequest as FilmRequest
from realtime_style.jobs.request import film_size, gpu_device, open_source, own_size_of
from realtime_style.jobs.segmented import SegmentedFilm
from realtime_style.jobs.workers import LocalProcesses, ThisProcess, Workers
from realtime_style.media.encoding import gpu_encoder_name
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.chain import PainterChain, build_gpu_painter, build_painter
from realtime_style.painting.gpu_source import GpuSource
from realtime_style.painting.gpu_stylizer import GpuStylizer
from realtime_style.system.cores import usable_cores
from realtime_style.system.paths import is_special, refuse_overwriting_source


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
        segmented: how it is painted in segments; None if it is painted in one piece.
    """

    def __init__(
        self,
        request: FilmRequest,
        source: FileSource,
        sink: FileSink,
        painter: PainterChain | GpuStylizer,
        pipeline: Pipeline[Frame] | Pipeline[GpuFrame],
        closing: ExitStack,
        segmented: SegmentedFilm | None = None,
        execution: Execution = USUAL,
    ) -> None:
        self.request = request
        self._execution = execution
        self.segmented = segmented
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
        if not self.request.output_size and self.sink.size != own_size_of(self.source.info):
            width, height = self.sink.size
            notes.append(
                f"{Path(self.request.out).suffix} grows large, so it is written at "
                f"{width}x{height}; any output size can be chosen"
            )
        if self.segmented:
            notes += self.segmented.notes
        elif self._execution.processes > 1:
            notes.append("painted in one piece, by one process")
        planned = self.segmented.plan.notes if self.segmented else ()
        read = self.source.notes
        notes += [*read, *(note for note in planned if note not in read), *self.sink.notes]
        plan = self.request.plan
        if self.request.residency == "gpu" and (plan.stability or plan.grain):
            notes.append("flicker reduction and grain are not available in GPU memory")
        return [*notes, *self.engine.notes]

    def expected_bytes(self, frames: int) -> int | None:
        """How large a film of so many frames will be, by what is painted; None too early."""
        return (self.segmented or self.sink).expected_bytes(frames)

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
        if self.segmented:
            stats = self.segmented.run(self._workers(observer), self.sink, observer)
            self.source.skip_all()
            lost_s = self.segmented.plan.lost_s
        else:
            self.prepare(observer)
            stats = self._pipeline.run(observer.on_frame if observer else None)
            lost_s = self.source.lost_s
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
            lost_s=lost_s,
            notes=tuple(self.notes),
        )

    def _workers(self, observer: FilmObserver | None) -> Workers:
        """Who paints the segments."""
        assert self.segmented
        if self._execution.processes > 1:
            return LocalProcesses(self._execution.processes)
        assert isinstance(self.painter, PainterChain)
        self.prepare(observer)
        execution = self._execution
        return ThisProcess(
            self.painter, self.segmented.if_stopped, execution.trace, execution.on_painted
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
        if kind is None and self.segmented and self.sink.complete_path:
            self.segmented.complete(self.sink.complete_path)


def open_film(request: FilmRequest, execution: Execution = USUAL) -> FilmJob:
    """Opens film, style, engine and output of a request.

    Args:
        execution: how it is painted.

    Raises:
        StyleError: something cannot be read, written, found or run.
    """
    refuse_overwriting_source(request.source, request.out)
    cuda: Cuda | None = None
    if request.residency == "gpu":
        gpu_encoder_name(Path(request.out), request.encoding)
        cuda = CudaPython(request.plan.engine.devices[0])
    with ExitStack() as stack:
        source = stack.enter_context(open_source(request))
        info = source.info
        _refuse_small(source.name, info)
        threads = _encoder_threads(request, source)
        sink = stack.enter_context(_open_sink(request, source, threads))
        segmented: SegmentedFilm | None = None
        painter: PainterChain | GpuStylizer
        pipeline: Pipeline[Frame] | Pipeline[GpuFrame]
        if cuda:
            painter = build_gpu_painter(request.plan, cuda, info.color)
            frames = GpuSource(source, cuda)
            pipeline = Pipeline(frames, painter, sink, execution.trace)
        else:
            painter = build_painter(request.plan, info.color, in_flight=None)
            pipeline = Pipeline(source, painter, sink, execution.trace, execution.on_painted)
            if threads:
                segmented = _segmented(request, painter, sink, threads, execution)
        closing = stack.pop_all()
        return FilmJob(request, source, sink, painter, pipeline, closing, segmented, execution)


def _encoder_threads(request: FilmRequest, source: FileSource) -> int | None:
    """How many threads encode each segment; None for a film in one piece.

    Those that an earlier run began with, as bytes depend on them.
    """
    if not can_be_planned(request, source):
        return None
    with suppress(MediaError):  # reported later, unless the job starts over
        manifest = PartsFolder(Path(request.out)).manifest()
        if manifest:
            return manifest.plan.threads
    return usable_cores()


def _segmented(
    request: FilmRequest,
    painter: PainterChain,
    sink: FileSink,
    threads: int,
    execution: Execution,
) -> SegmentedFilm:
    if execution.restart:
        PartsFolder(Path(request.out)).remove()
    settings = settings_of(request, painter, sink.encoder, verifies=execution.verifies)
    return SegmentedFilm(request, settings, threads, keeps_stopped=execution.keeps_stopped)


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


def refuse_out(request: FilmRequest, info: StreamInfo) -> None:
    """Raises MediaError if a request's film could not be begun; nothing is left behind.

    Pipes are not opened.

    Args:
        info: the frames that will come.
    """
    if request.out != "-" and not is_special(Path(request.out)):
        sink = FileSink(request.out, info, encoding=request.encoding, overwrite=request.overwrite)
        sink.discard()


def _open_sink(request: FilmRequest, source: FileSource, threads: int | None) -> FileSink:
    info = source.info
    return FileSink(
        request.out,
        info,
        size=film_size(request, info),
        encoding=request.encoding,
        passthrough_of=source,
        overwrite=request.overwrite,
        gpu_device=gpu_device(request),
        threads=threads,
    )
