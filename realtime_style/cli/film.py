"""The commands `video` and `demo`: films."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_style.cli import console
from realtime_style.cli.batch import Batch, inputs_and_out, refuse_picture
from realtime_style.cli.console import ADVICE, BuildBar, Output, Stopped, as_size, clock
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    ENCODING,
    INPUT,
    MACHINE,
    OUTPUT,
    PART,
    SIZE,
    TIME_FORMS,
    Background,
    Blend,
    Devices,
    Engine,
    Files,
    Json,
    KeepColors,
    Only,
    Overwrite,
    Precision,
    Quiet,
    Recursive,
    SkipExisting,
    Stability,
    Strength,
    Strokes,
    StyleImage,
    StyleName,
    Tier,
    Variation,
    encoding_of,
    engine_of,
    look_of,
    mask_of,
    number,
    plan_of,
    rate_of,
    refuse_both_ways,
    seconds,
    size_of,
    usage_errors,
    whole,
)
from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.system import interrupts
from realtime_style.system.paths import is_numbered, is_special, temporary_folder
from realtime_style.wording import counted

if TYPE_CHECKING:
    from realtime_style.jobs.batch import Pair
    from realtime_style.jobs.execution import Execution
    from realtime_style.jobs.film import FilmJob, FilmReport, FilmRequest
    from realtime_style.jobs.pipeline import RunStats
    from realtime_style.jobs.trace import Trace

VIDEO_EXAMPLES = examples(
    "video holiday.mp4 painted.mp4 --style great-wave",
    "video holiday.mp4 looks --sample 5",
    "video films/ painted/ --recursive --size 720p --crf 24",
)
DEMO_EXAMPLES = examples(
    "demo demo.mp4",
    "demo demo.mp4 --style mondrian --duration 3",
    "demo demo.mp4 --tier fast --overwrite",
)

_FORECAST_S = 5.0  # of painting, after which the size of the film can be told

PaintSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="Paint at this size, 720p, 4k or 1280x720; smaller is faster and less sharp. "
        "Default: the size of IN.",
    ),
]  # fmt: skip
FilmSize = Annotated[
    str | None,
    typer.Option(
        "--output-size", metavar="SIZE", rich_help_panel=SIZE,
        help="Write at this size; another shape gets bars. Default: the size of IN; GIF and WebP "
        "are smaller.",
    ),
]  # fmt: skip
Start = Annotated[
    float,
    typer.Option(
        parser=seconds(0),
        metavar="TIME",
        rich_help_panel=PART,
        help=f"Start at this time, {TIME_FORMS}.",
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        parser=seconds(0), metavar="TIME", rich_help_panel=PART,
        help=f"Paint this long, {TIME_FORMS}. Default: to the end.",
    ),
]  # fmt: skip
Sample = Annotated[
    int | None,
    typer.Option(
        parser=whole(1), metavar="NUMBER", rich_help_panel=PART,
        help="Preview: paint only this many frames, spread over the film, as PNG files into the "
        "folder OUT.",
    ),
]  # fmt: skip
Codec = Annotated[
    str | None,
    typer.Option(
        metavar="CODEC", rich_help_panel=ENCODING,
        help="h264, h265, av1, vp9, prores, ffv1, or the name of an FFmpeg encoder.",
    ),
]  # fmt: skip
Crf = Annotated[
    float | None,
    typer.Option(
        parser=number(), metavar="NUMBER", rich_help_panel=ENCODING,
        help="Quality: lower is better, and makes larger files. Each codec has its own scale: h264 "
        "and h265 0 to 51 (default 27 and 28), vp9 and av1 0 to 63 (default 45 and 44).",
    ),
]  # fmt: skip
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET", rich_help_panel=ENCODING,
        help="Speed of the encoder. Default for h264: superfast, but looking ahead for an even "
        "quality.",
    ),
]  # fmt: skip
BitDepth = Annotated[
    int | None,
    typer.Option(
        parser=whole(1), metavar="BITS", rich_help_panel=ENCODING,
        help="Bits per colour channel: 8 or 10. Default: the encoder's choice.",
    ),
]  # fmt: skip
SequenceRate = Annotated[
    str | None,
    typer.Option(
        "--fps", metavar="RATE", rich_help_panel=INPUT,
        help="Frame rate of an image sequence or a raw stream (.h264), 24 or 30000/1001. Default: "
        "25, or what the stream says.",
    ),
]  # fmt: skip
HwAccel = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", rich_help_panel=MACHINE,
        help="Hardware decoder, such as cuda or qsv. Default: the CPU.",
    ),
]  # fmt: skip
Processes = Annotated[
    int,
    typer.Option(
        "--workers", metavar="NUMBER", min=1, max=256, rich_help_panel=MACHINE,
        help="Processes that paint a long film together, each with its share of the cores, or with "
        "one of the GPUs of --device.",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS", rich_help_panel=MACHINE,
        help="A Ray cluster that paints long films; auto takes the one that runs here. All its "
        "machines must see IN and OUT. Needs the extra [cluster].",
    ),
]  # fmt: skip
OnGpu = Annotated[
    bool,
    typer.Option(
        "--on-gpu", rich_help_panel=MACHINE,
        help="Decode, paint and encode on an NVIDIA GPU; frames never leave it.",
    ),
]  # fmt: skip
TraceFile = Annotated[
    Path | None,
    typer.Option(
        "--trace", metavar="FILE.json", rich_help_panel=OUTPUT,
        help="Write what each stage did when, for ui.perfetto.dev or chrome://tracing. One IN "
        "only.",
    ),
]  # fmt: skip
Restart = Annotated[
    bool,
    typer.Option(
        "--restart", rich_help_panel=PART,
        help="Start over: remove the finished segments of an earlier run.",
    ),
]  # fmt: skip
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", rich_help_panel=PART,
        help="Before going on with an earlier run, compare the whole film with what it was, rather "
        "than its size, its time, its beginning and its end.",
    ),
]  # fmt: skip
KeepStopped = Annotated[
    bool,
    typer.Option(
        "--keep-stopped", rich_help_panel=PART,
        help="When a long film is stopped, also write the frames so far as a film, OUT.stopped.",
    ),
]  # fmt: skip
DemoOut = Annotated[
    Path, typer.Argument(metavar="OUT", help="The film to write, for example demo.mp4.")
]
DemoLength = Annotated[
    float,
    typer.Option(
        "--duration", parser=seconds(0.5, 60), metavar="SECONDS", rich_help_panel=PART,
        help="Length of the clip, from 0.5 to 60.",
    ),
]  # fmt: skip


def video(
    paths: Files,
    fps: SequenceRate = None,
    style: StyleName = DEFAULT_STYLE,
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    strokes: Strokes = "medium",
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    stability: Stability = DEFAULT_STABILITY,
    only: Only = None,
    background: Background = None,
    size: PaintSize = None,
    output_size: FilmSize = None,
    start: Start = 0.0,
    duration: Duration = None,
    sample: Sample = None,
    restart: Restart = False,
    verify: Verify = False,
    keep_stopped: KeepStopped = False,
    codec: Codec = None,
    crf: Crf = None,
    preset: Preset = None,
    bit_depth: BitDepth = None,
    recursive: Recursive = False,
    skip_existing: SkipExisting = False,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    processes: Processes = 1,
    cluster: Cluster = None,
    hwaccel: HwAccel = None,
    on_gpu: OnGpu = False,
    overwrite: Overwrite = False,
    trace: TraceFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints films; sound, subtitles and timing stay as they are.

    OUT is written only on success; an existing file stays untouched otherwise. Films of more than a
    minute are painted in segments: after Ctrl-C, a crash or an error the same command goes on with
    the next one. Of shorter films Ctrl-C keeps the frames so far in a separate file; press it again
    to quit at once. Broken inputs are skipped.
    """
    inputs, out = inputs_and_out(paths)
    refuse_both_ways(skip_existing, overwrite)
    _refuse_combined(sample, on_gpu, skip_existing, as_json and out == "-")
    with Batch(Output(quiet, as_json), out, len(inputs), skip_existing) as batch:
        from realtime_style.jobs.execution import Execution
        from realtime_style.jobs.film import FilmRequest
        from realtime_style.jobs.trace import Trace

        refuse_picture(inputs[0], out)
        look = look_of(style, style_image, blend, strength, strokes, keep_colors, variation, tier)
        choice, mask = engine_of(engine, precision, devices), mask_of(only, background)
        plan = plan_of(look, choice, stability, mask)
        with usage_errors():
            request = FilmRequest(
                inputs[0],
                out,
                plan,
                size=size_of(size, "size"),
                output_size=size_of(output_size, "output_size"),
                start_s=start,
                duration_s=duration,
                rate=rate_of(fps),
                encoding=encoding_of(codec, crf, preset, bit_depth),
                hwaccel=hwaccel,
                overwrite=overwrite,
            )
        request = _in_gpu_memory(request) if on_gpu else request
        _refuse_trace(trace, sample, inputs, out, overwrite)
        record = Trace() if trace else None
        execution = Execution(processes, cluster, restart, keep_stopped, verify, record)
        _paint_all(batch, request, inputs, recursive, sample, execution, trace)


def _in_gpu_memory(request: FilmRequest) -> FilmRequest:
    with usage_errors(ADVICE["residency"]):
        return replace(request, residency="gpu")


def _refuse_combined(
    sample: int | None, on_gpu: bool, skip_existing: bool, is_json_in_film: bool
) -> None:
    """Refuses options that cannot be combined: with samples, or with a film on standard output."""
    if is_json_in_film:
        raise typer.BadParameter("standard output holds the film or JSON, not both")
    if sample is None:
        return
    for flag, is_given in (("--on-gpu", on_gpu), ("--skip-existing", skip_existing)):
        if is_given:
            raise typer.BadParameter("cannot be combined with --sample", param_hint=flag)


def _refuse_trace(
    trace: Path | None, sample: int | None, inputs: list[str], out: str, overwrite: bool
) -> None:
    """Refuses a trace that cannot be written, or of more than one film."""
    from realtime_style.system.paths import refuse_unwritable

    if trace is None:
        return
    if sample is not None or len(inputs) != 1 or Path(inputs[0]).is_dir():
        raise typer.BadParameter("a trace is of one film", param_hint="--trace")
    if trace in (Path(inputs[0]), Path(out)):
        raise typer.BadParameter(f"{trace} is the film", param_hint="--trace")
    refuse_unwritable(trace, "trace.json", overwrite=overwrite, setting="trace")


def _paint_all(
    batch: Batch,
    request: FilmRequest,
    inputs: list[str],
    recursive: bool,
    sample: int | None,
    execution: Execution,
    trace_file: Path | None,
) -> None:
    """Paints all inputs into the request's output, each as the request says."""
    from realtime_style.jobs.batch import (
        FILM_IF_MOVING_SUFFIXES,
        FILM_SUFFIXES,
        READ_ONLY_FILM_SUFFIXES,
        Pairing,
        pair_up,
    )
    from realtime_style.jobs.effort import film_effort

    def pairs_of(out: str) -> Pairing:
        return pair_up(
            inputs,
            out,
            FILM_SUFFIXES,
            read_only=READ_ONLY_FILM_SUFFIXES,
            if_moving=FILM_IF_MOVING_SUFFIXES,
            recursive=recursive,
            new_suffix=".mp4",
        )

    def paint(pair: Pair) -> dict[str, Any]:
        one = replace(request, source=pair.source, out=str(pair.out))
        return _paint(one, batch, execution, trace_file)

    def paint_sample(pair: Pair) -> dict[str, Any]:
        from realtime_style.jobs.samples import paint_samples

        assert sample
        one = replace(request, source=pair.source, out=str(pair.out.parent))
        return {"out": [str(path) for path in paint_samples(one, sample)]}

    def tell_samples(report: dict[str, Any]) -> None:
        for path in report["out"]:
            batch.output.say(path)

    if sample:
        found = pairs_of(f"{request.out}/")
        # the folder is made once there is something to put into it
        pairs = tuple(replace(pair, makes_folder=False) for pair in found.pairs)
        batch.expect(replace(found, pairs=pairs))
        batch.run(paint_sample, tell_samples)
        return
    batch.expect(
        pairs_of(request.out),
        lambda source: film_effort(source, request.start_s, request.duration_s),
    )
    batch.run(paint)


def demo(
    out: DemoOut,
    style: StyleName = DEFAULT_STYLE,
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    strokes: Strokes = "medium",
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    duration: DemoLength = 6.0,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a short built-in test clip."""
    output = Output(quiet, as_json)
    with Batch(output, str(out)) as batch, temporary_folder() as folder:
        from realtime_style.jobs.batch import Pair, Pairing
        from realtime_style.jobs.execution import Execution
        from realtime_style.jobs.film import FilmRequest, refuse_out
        from realtime_style.tools.demo import demo_info, write_demo_film

        look = look_of(style, style_image, blend, strength, strokes, keep_colors, variation, tier)
        plan = plan_of(look, engine_of(engine, precision), DEFAULT_STABILITY)
        clip = str(folder / "demo.mp4")
        request = FilmRequest(clip, str(out), plan, overwrite=overwrite)
        refuse_out(request, demo_info())
        output.say(f"drawing a clip of {duration:g} s")
        began_s = time.perf_counter()
        write_demo_film(Path(clip), duration)
        clock.leave_out(time.perf_counter() - began_s)
        batch.expect(Pairing((Pair(clip, out, makes_folder=False),)))
        batch.run(lambda pair: _paint(request, batch, Execution()))


class _Progress:
    """Shows a film being painted: a `FilmObserver`."""

    def __init__(self, batch: Batch, job: FilmJob) -> None:
        self._batch, self._job = batch, job
        self._frames = frames = job.source.info.frames
        self._has_told_size = False
        self.on_build = BuildBar(batch.output)
        self._painting = batch.output.progress(f"painting {batch.place}".strip(), frames)

    def on_plan(self, frames: int) -> None:
        """Shows that the film is read."""
        interrupts.check()
        self._painting.update(0, f"looking for scenes, {counted(frames, 'frame')} read")

    def on_frame(self, stats: RunStats) -> None:
        """Shows the frames so far; stops after Ctrl-C that a library swallowed."""
        interrupts.check()
        fps = (stats.frames - stats.resumed) / stats.wall_s
        of = f" of {self._frames}" if self._frames else ""
        missing = (self._frames or 0) - stats.resumed
        part = min(1, (stats.frames - stats.resumed) / missing) if missing > 0 else 0
        left = self._batch.left(", ", part)
        self._painting.update(stats.frames, f"{fps:.1f} fps{left}")
        self._painting.line(lambda: f"{counted(stats.frames, 'frame')}{of}, {fps:.1f} fps{left}")
        if stats.wall_s >= _FORECAST_S and not self._has_told_size:
            self._forecast()

    def _forecast(self) -> None:
        """Says once how large the film will be, as soon as that can be told."""
        expected = self._frames and self._job.expected_bytes(self._frames)
        if expected:
            self._batch.output.say(f"{self._job.sink.name} will have about {as_size(expected)}")
            self._has_told_size = True

    def close(self) -> None:
        """Ends the bars."""
        self.on_build.close()
        self._painting.close()


def _paint(
    request: FilmRequest, batch: Batch, execution: Execution, trace_file: Path | None = None
) -> dict[str, Any]:
    """Paints one film, and says how it went; returns that for JSON."""
    from realtime_style.jobs.film import open_film

    output = batch.output
    job = open_film(request, execution)
    began_s = time.perf_counter()
    progress = _Progress(batch, job)
    report = None
    try:
        with job:
            interrupts.check()
            _introduce(job, output)
            told = set(job.notes)
            report = job.run(progress)
    except KeyboardInterrupt:
        progress.close()
        if report is None or job.sink.complete_path != Path(request.out):
            raise _stopped(job) from None
        interrupts.remember()  # the film is complete: what follows it is stopped
    finally:
        progress.close()
        if execution.trace and trace_file:
            _write_trace(execution.trace, trace_file, output)
    with interrupts.remembered():
        return _tell(job, report, told, began_s, output)


def _write_trace(trace: Trace, path: Path, output: Output) -> None:
    """Writes a trace; a film is not lost because that fails."""
    try:
        trace.write(path)
    except OSError as error:
        output.say(f"note: {path} cannot be written: {error.strerror}")


def _tell(
    job: FilmJob, report: FilmReport, told: set[str], began_s: float, output: Output
) -> dict[str, Any]:
    """Says how painting a film went, with the notes not told yet; returns its summary."""
    start_s, wall_s = clock.lap(began_s)
    report = replace(report, notes=tuple(job.notes))  # some are found in the finished film
    for note in report.notes:
        if note not in told:
            output.say(f"note: {note}")
    frames = counted(report.stats.frames, "frame")
    fps = (report.stats.frames - report.stats.resumed) / wall_s
    took = f"{frames} in {wall_s:.1f} s, {fps:.1f} fps including start-up"
    output.say(f"{job.sink.name}: {took}; {_size_of(job)}")
    sizes = {"bytes": job.sink.size_bytes, "mbit_per_s": round(_mbit_per_s(job), 3)}
    return _summary(report, start_s, wall_s) | sizes


def _size_of(job: FilmJob) -> str:
    """The size of a finished film in words, with its bitrate if it is one file."""
    size = as_size(job.sink.size_bytes)
    if is_numbered(job.request.out):
        return size
    rate = _mbit_per_s(job)
    return f"{size}, {rate:.2g} Mbit/s" if 0 < rate < 10 else f"{size}, {rate:.0f} Mbit/s"


def _mbit_per_s(job: FilmJob) -> float:
    shown_s = job.sink.duration_s
    return job.sink.size_bytes * 8e-6 / shown_s if shown_s else 0.0


def _stopped(job: FilmJob) -> Stopped:
    """Says what is kept of a film that Ctrl-C ended."""
    interrupts.ignore()
    kept, frames, out = job.sink.complete_path, job.sink.frames, job.request.out
    if kept == Path(out):
        console.print_line(f"stopped; {out} is complete: {counted(frames, 'frame')}")
    else:
        kept_in = f"; frames kept in {kept}: {frames}" if kept else ""
        is_pipe = out == "-" or is_special(Path(out))
        became = "is incomplete" if is_pipe else "was not written"
        if job.segmented:
            kept_in += f"; {job.segmented.kept}"
        console.print_line(f"stopped; {job.sink.name} {became}{kept_in}")
    return Stopped({"stopped": out, "kept": kept and str(kept), "frames": frames})


def _summary(report: FilmReport, start_s: float, wall_s: float) -> dict[str, Any]:
    from realtime_style.system.memory import peak_memory_mb

    stats = report.stats
    return {
        "out": report.out,
        "style": report.style,
        "look": report.look,
        "width": report.width,
        "height": report.height,
        "frames": stats.frames,
        "resumed_frames": stats.resumed,
        "fps": round((stats.frames - stats.resumed) / wall_s, 3),
        "wall_s": round(wall_s, 3),
        "stages_s": {
            "start": round(start_s, 3),
            "read": round(stats.read_s, 3),
            "stylize": round(stats.paint_s, 3),
            "write": round(stats.write_s, 3),
            "finish": round(wall_s - start_s - stats.wall_s, 3),
        },
        "engine": report.engine,
        "device": report.device,
        "precision": report.precision,
        "encoder": report.encoder,
        "lost_s": round(report.lost_s, 3),
        "notes": list(report.notes),
        "peak_memory_mb": peak_memory_mb(),
    }


def _introduce(job: FilmJob, output: Output) -> None:
    info, engine = job.source.info, job.engine
    colors = f"{info.source_color}, painted as {info.color}" if info.source_color else info.color
    output.say(
        f"{Path(job.source.name).name}: {info.source_width}x{info.source_height}, "
        f"{float(info.rate):.5g} fps, {colors}; style {job.request.plan.look} at "
        f"{info.width}x{info.height}"
    )
    for note in job.notes:
        output.say(f"note: {note}")
    output.say(
        f"engine {engine.name}, {engine.precision}, on {engine.device}; encoder {job.sink.encoder}"
    )
