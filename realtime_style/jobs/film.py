"""The main job: a film in, a painted film out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime_style.engines.tensorrt.cuda import CudaPython
from realtime_style.errors import MediaError
from realtime_style.frame import MIN_SIDE_PX, Frame, GpuFrame, Size
from realtime_style.jobs.pipeline import Pipeline, RunStats
from realtime_style.media.encoding import Encoding, gpu_encoder_name
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.gpu import GpuSource, GpuStylizer, open_gpu_stylizer
from realtime_style.painting.steady import DEFAULT_STABILITY, Steady
from realtime_style.painting.stylizer import Stylizer, open_stylizer
from realtime_style.style.look import DEFAULT_STYLE, Look
from realtime_style.style.style import Style
from realtime_style.system.paths import refuse_overwriting_source


class VideoJob:
    """One film on its way: opened and ready when made, painted by `run`.

    A context manager: leaving it closes both films; the new one is in place only if all went well.
    """

    def __init__(
        self,
        film: Path | str,
        out: Path | str,
        style: str | Path | Style | Look = DEFAULT_STYLE,
        *,
        size: Size | None = None,
        output_size: Size | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        encoding: Encoding = Encoding(),
        rate: Fraction | None = None,
        hwaccel: str | None = None,
        stability: float = DEFAULT_STABILITY,
        engine: str = "auto",
        precision: str = "auto",
        devices: Sequence[int] = (0,),
        on_gpu: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Opens film, style, engine and output.

        Args:
            size: at which size to paint; None paints at the film's own.
            output_size: the new film's size; None keeps the film's.
            start_s, duration_s: which part of the film, in seconds.
            rate: of numbered pictures, a second; None takes 25.
            hwaccel: the device that decodes; None decodes on the CPU.
            stability: 0..1, how firmly paint stands still where the film does; 0 paints every
                frame alone.
            devices: numbers of the GPUs to share the frames among; CPUs have none.
            on_gpu: whether frames are decoded, painted and encoded on the first of them, and never
                leave it; every frame is painted alone then, whatever the stability.

        Raises:
            StyleError: anything that cannot be read, written, found or run, said in one line.
        """
        out = Path(out)
        if not all(map(math.isfinite, (start_s, duration_s or 0))):
            raise MediaError("a film has no infinite part; give --start and --duration in seconds")
        if not 0 <= stability <= 1:
            raise MediaError(f"stability goes from 0 to 1, not {stability:g}")
        refuse_overwriting_source(film, out)
        if on_gpu:
            gpu_encoder_name(out, encoding)
        cuda = CudaPython(devices[0]) if on_gpu else None
        with ExitStack() as stack:
            self.source = stack.enter_context(
                FileSource(
                    film,
                    size=size,
                    start_s=start_s,
                    duration_s=duration_s,
                    rate=rate,
                    hwaccel=hwaccel,
                    gpu_device=devices[0] if on_gpu else None,
                )
            )
            info = self.source.info
            if min(info.width, info.height) < MIN_SIDE_PX:
                raise MediaError(
                    f"{film} is {info.width}x{info.height}; the smallest picture that can be "
                    f"painted is {MIN_SIDE_PX}x{MIN_SIDE_PX}"
                )
            own = (info.source_width & ~1, info.source_height & ~1)
            self.sink = stack.enter_context(
                FileSink(
                    out,
                    info,
                    size=output_size.of(*own) if output_size else own,
                    encoding=encoding,
                    passthrough_of=self.source,
                    overwrite=overwrite,
                    gpu_device=devices[0] if on_gpu else None,
                )
            )
            self._of_sizes = [
                f"sides are even: {asked} becomes {asked.width & ~1}x{asked.height & ~1}"
                for asked in (size, output_size)
                if asked and asked.width and (asked.width % 2 or asked.height % 2)
            ]
            self.look = style if isinstance(style, Look) else Look(style)
            self.stylizer: Stylizer | GpuStylizer
            self._pipeline: Pipeline[Frame] | Pipeline[GpuFrame]
            if cuda:
                self.stylizer = open_gpu_stylizer(
                    self.look, cuda, info.color, engine=engine, precision=precision
                )
                frames = GpuSource(self.source, cuda, self.stylizer.style.size_multiple)
                self._pipeline = Pipeline(frames, self.stylizer, self.sink)
            else:
                self.stylizer = open_stylizer(
                    self.look,
                    engine=engine,
                    precision=precision,
                    devices=devices,
                    color=info.color,
                    overlap=True,
                )
                steady = Steady(self.stylizer, stability)
                self._pipeline = Pipeline(self.source, steady, self.sink)
            self._stack = stack.pop_all()

    @property
    def notes(self) -> list[str]:
        """What changes besides the painting, in words; it may grow while painting."""
        alone = ["every frame is painted alone: on the GPU nothing is held still"]
        of_painting = alone if isinstance(self.stylizer, GpuStylizer) else []
        of_painting += self.stylizer.engine.notes
        return [*self._of_sizes, *self.source.notes, *self.sink.notes, *of_painting]

    def prepare(self) -> None:
        """Makes the engine ready for the film's size, which may take long where it is built first.

        `run` does it as well; raises EngineError where it cannot be done.
        """
        self.stylizer.prepare(self.source.info.width, self.source.info.height)

    def run(self, on_frame: Callable[[RunStats], None] | None = None) -> RunStats:
        """Paints the film; raises what the stages raise."""
        self.prepare()
        pipeline = self._pipeline
        pipeline.on_frame, pipeline.cancel = on_frame, self.stylizer.cancel
        pipeline.painted_at_once = self.stylizer.engine.depth
        stats = pipeline.run()
        if stats.frames == 0:
            raise MediaError(f"{self.source.path} has no frame there that could be read")
        return stats

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, tb)


def stylize_video(
    film: Path | str,
    out: Path | str,
    style: str | Path | Style | Look = DEFAULT_STYLE,
    *,
    size: str | None = None,
    output_size: str | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    encoding: Encoding = Encoding(),
    stability: float = DEFAULT_STABILITY,
    engine: str = "auto",
    precision: str = "auto",
    devices: Sequence[int] = (0,),
    overwrite: bool = False,
    on_frame: Callable[[RunStats], None] | None = None,
) -> RunStats:
    """Paints a film: every frame at its time, the sound as it was.

    Sizes are "720p" or "1280x720"; the rest as for `VideoJob`.

    Raises:
        StyleError: what went wrong, in one line; then there is no new film.
    """
    try:
        paint_size, film_size = (Size.parse(text) if text else None for text in (size, output_size))
    except ValueError as error:
        raise MediaError(str(error)) from error
    with VideoJob(
        film,
        out,
        style,
        size=paint_size,
        output_size=film_size,
        start_s=start_s,
        duration_s=duration_s,
        encoding=encoding,
        stability=stability,
        engine=engine,
        precision=precision,
        devices=devices,
        overwrite=overwrite,
    ) as job:
        return job.run(on_frame)
