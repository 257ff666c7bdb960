"""The command `realtime-style`: parses, prints, maps errors to exit codes; no logic."""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import json  # noqa: E402  (the clock starts before the imports: start-up counts)
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Annotated, Any, NoReturn  # noqa: E402

import typer  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from realtime_style import __version__  # noqa: E402
from realtime_style.errors import StyleError  # noqa: E402
from realtime_style.training.config import TrainConfig  # noqa: E402

if TYPE_CHECKING:
    from realtime_style.frame import Size
    from realtime_style.runtime.pipeline import RunStats
    from realtime_style.runtime.video import VideoJob

app = typer.Typer(
    name="realtime-style",
    help="Turns any video into a moving painting, in real time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_say = Console(stderr=True, highlight=False, soft_wrap=True)
_LINE_EVERY_S = 5.0
_USUAL = TrainConfig(painting=Path(), content=Path())

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace OUT if it exists.")]
Style = Annotated[str, typer.Option("--style", "-s", help="A bundled style's name, or a file.")]
Engine = Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")]
Precision = Annotated[str, typer.Option(help="auto, f32 or bf16.")]
CodecName = Annotated[
    str | None, typer.Option(help="h264, h265, vp9, av1, or an FFmpeg encoder's name.")
]
Crf = Annotated[float | None, typer.Option(help="Quality; lower is better. h264: 20.")]
Preset = Annotated[str | None, typer.Option(help="The encoder's speed. h264: veryfast.")]


def main() -> None:
    """Runs the command line; every error of ours becomes one line and exit status 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except StyleError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _say.print("stopped")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except MemoryError:
        _fail("out of memory; paint at a smaller --size")


def _interrupt(number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str) -> NoReturn:
    _say.print(f"error: {message}", markup=False, style="red")
    sys.exit(1)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"realtime-style {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Turns any video into a moving painting, in real time."""


@app.command()
def video(
    film: Annotated[Path, typer.Argument(metavar="IN", help="The film to paint.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The painted film to write.")],
    style: Style = "starry-night",
    size: Annotated[
        str | None, typer.Option(help="Paint at this size, 720p or 1280x720; default: IN's.")
    ] = None,
    output_size: Annotated[
        str | None, typer.Option(help="Write at this size, 720p or 1280x720; default: IN's.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Begin here, in seconds.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0, help="Paint so many seconds.")] = None,
    codec: CodecName = None,
    crf: Crf = None,
    preset: Preset = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a film: every frame at its time, the sound as it was."""
    from realtime_style.runtime.sink import Encoding
    from realtime_style.runtime.video import VideoJob

    job = VideoJob(
        film,
        out,
        style,
        size=_size(size, "--size"),
        output_size=_size(output_size, "--output-size"),
        start_s=start,
        duration_s=duration,
        encoding=Encoding(codec, crf, preset),
        engine=engine,
        precision=precision,
        overwrite=overwrite,
    )
    _paint(job, out, quiet, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The painted film, as demo.mp4.")],
    style: Style = "starry-night",
    duration: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds.")] = 6.0,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a film that the program makes itself: nothing at hand is needed."""
    from tempfile import TemporaryDirectory

    from realtime_style.demo import write_demo_film
    from realtime_style.runtime.video import VideoJob

    with TemporaryDirectory(prefix="realtime-style-") as folder:
        film = Path(folder) / "demo.mp4"
        if not quiet:
            _say.print(f"drawing a film of {duration:g} s")
        write_demo_film(film, duration)
        job = VideoJob(film, out, style, engine=engine, precision=precision, overwrite=overwrite)
        _paint(job, out, quiet, as_json)


@app.command()
def styles(as_json: Json = False) -> None:
    """Lists the styles that come with the program."""
    from rich.table import Table

    from realtime_style.style import bundled_styles, open_style

    opened = [open_style(name) for name in bundled_styles()]
    if as_json:
        typer.echo(json.dumps([{"name": style.name, "card": style.card} for style in opened]))
        return
    table = Table("style", "painting", "painter", "year", box=None, header_style="bold")
    for style in opened:
        card = style.card
        table.add_row(style.name, *(str(card.get(key, "")) for key in ("title", "painter", "year")))
    Console(highlight=False).print(table)


@app.command()
def train(
    painting: Annotated[Path, typer.Argument(metavar="PAINTING", help="The picture to learn.")],
    content: Annotated[Path, typer.Option(help="A folder of photos to learn on.")],
    out: Annotated[Path, typer.Option(help="The style file to write, NAME.onnx.")],
    features: Annotated[
        list[Path] | None,
        typer.Option(help="VGG-19 weights; may be given again. Default: fetched once, 548 MB."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Start from this generator (.safetensors or .pt).")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = _USUAL.steps,
    batch: Annotated[int, typer.Option(min=1, help="Photos a step.")] = _USUAL.batch,
    crop: Annotated[
        int, typer.Option(min=64, help="Side of the crops, in pixels.")
    ] = _USUAL.crop_px,
    painting_size: Annotated[
        int, typer.Option(min=64, help="The painting's longer side; larger: larger strokes.")
    ] = _USUAL.painting_px,
    style_weight: Annotated[
        float, typer.Option(min=0, help="More: more paint, less photo.")
    ] = _USUAL.style_weight,
    learning_rate: Annotated[float, typer.Option(min=0, help="Its peak.")] = _USUAL.learning_rate,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same style.")
    ] = _USUAL.seed,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = _USUAL.device,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    r"""Learns a style from one painting. Needs the extra \[train].

    Checkpoints, sample sheets and TensorBoard logs go to the folder NAME.training beside OUT.
    """
    with _training_extra():
        from export.to_onnx import export_trained
        from realtime_style.training.checkpoint import CHECKPOINT_NAME
        from realtime_style.training.train import TrainStep
        from realtime_style.training.train import train as run_training
    if out.suffix != ".onnx":
        raise StyleError(f"--out is {out}; a style's file name ends in .onnx")
    _refuse_existing(out, overwrite)
    config = TrainConfig(
        painting=painting,
        content=content,
        features=tuple(features or ()),
        base=base,
        steps=steps,
        batch=batch,
        crop_px=crop,
        painting_px=painting_size,
        style_weight=style_weight,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    run_dir = out.with_suffix(".training")
    checkpoint = run_dir / CHECKPOINT_NAME
    if checkpoint.exists() and not (resume or overwrite):
        raise StyleError(
            f"{checkpoint} is there from a run before; --resume goes on with it, "
            "--overwrite begins anew"
        )
    with _progress(quiet) as progress:
        task = progress.add_task("training", total=steps, speed="", note="")
        lines = _Lines(quiet)

        def on_step(step: TrainStep) -> None:
            note = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
            progress.update(task, completed=step.step, note=note)
            lines.say(lambda: f"step {step.step} of {steps}: {note}")

        try:
            run_training(config, run_dir, resume=resume, on_step=on_step)
        except KeyboardInterrupt:
            progress.stop()
            if checkpoint.exists():
                _say.print(f"saved as {checkpoint}; go on with --resume", markup=False)
            raise
    results = export_trained(run_dir / "generator.safetensors", out)
    if not quiet:
        for result in results:
            _say.print(f"parity: {result}", markup=False)
        _say.print(f"{out}: ready; sample sheets in {run_dir}", markup=False)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint (.pt) or .safetensors.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")],
    name: Annotated[str | None, typer.Option(help="The style's name; default: OUT's.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="JSON: title, painter, year, whatever describes it.")
    ] = None,
    frames: Annotated[
        Path | None, typer.Option(help="A photo, or a folder of them, to check parity on.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    r"""Makes a style file of a trained generator, checked against it. Needs the extra \[train]."""
    with _training_extra():
        from export.to_onnx import export_trained
    _refuse_existing(out, overwrite)
    results = export_trained(checkpoint, out, name=name, card=card, pictures=frames)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "parity": [r.as_dict() for r in results]}))
        return
    for result in results:
        typer.echo(f"parity: {result}")
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def _size(text: str | None, option: str) -> Size | None:
    from realtime_style.frame import Size

    if text is None:
        return None
    try:
        return Size.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _refuse_existing(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise StyleError(f"{out} exists already; give another name, or replace it with --overwrite")


@contextmanager
def _training_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise StyleError(
            f"this command needs {error.name}, of the extra [train]; install it with: "
            "pip install 'realtime-style[train]' (in a checkout: pip install '.[train]')"
        ) from error


def _progress(quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_say,
        disable=quiet or not _say.is_terminal,
    )


class _Lines:
    """Plain progress lines, a few seconds apart, where there is no terminal to draw a bar on."""

    def __init__(self, quiet: bool) -> None:
        self._wanted = not quiet and not _say.is_terminal
        self._said_at = time.perf_counter()

    def say(self, text: Callable[[], str]) -> None:
        now = time.perf_counter()
        if self._wanted and now - self._said_at >= _LINE_EVERY_S:
            _say.print(text(), markup=False)
            self._said_at = now


def _paint(job: VideoJob, out: Path, quiet: bool, as_json: bool) -> None:
    """Runs an opened job to its end, and says how it went."""
    from realtime_style.runtime.video import peak_memory_mb

    info, engine = job.source.info, job.stylizer.engine
    began = time.perf_counter()
    try:
        with job:
            if not quiet:
                _introduce(job)
            stats = _run(job, quiet)
    except KeyboardInterrupt:
        kept = job.sink.complete_path
        _say.print(
            f"stopped; {out} was not written"
            + (f", {job.sink.frames} frames are in {kept}" if kept else ""),
            markup=False,
        )
        raise
    wall_s = time.perf_counter() - _STARTED
    damaged = job.source.damaged_packets
    if not quiet:
        if damaged:
            _say.print(f"note: {damaged} damaged packets of the film were left out", markup=False)
        _say.print(
            f"{out}: {stats.frames} frames in {wall_s:.1f} s, {stats.frames / wall_s:.1f} fps "
            "with all that came before and after",
            markup=False,
        )
    if as_json:
        report: dict[str, Any] = {
            "out": str(out),
            "style": job.stylizer.style.name,
            "width": info.width,
            "height": info.height,
            "frames": stats.frames,
            "fps": round(stats.frames / wall_s, 3),
            "wall_s": round(wall_s, 3),
            "stages_s": {
                "start": round(began - _STARTED, 3),
                "read": round(stats.read_s, 3),
                "stylize": round(stats.stylize_s, 3),
                "write": round(stats.write_s, 3),
                "finish": round(wall_s - (began - _STARTED) - stats.wall_s, 3),
            },
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            "encoder": job.sink.encoder,
            "damaged_packets": damaged,
            "notes": job.notes,
            "peak_memory_mb": peak_memory_mb(),
        }
        typer.echo(json.dumps(report))


def _run(job: VideoJob, quiet: bool) -> RunStats:
    """Runs a job with a progress bar, or with lines where there is no terminal."""
    info = job.source.info
    with _progress(quiet) as progress:
        task = progress.add_task("painting", total=info.frames, speed="", note="")
        lines = _Lines(quiet)

        def on_frame(stats: RunStats) -> None:
            fps = stats.frames / stats.wall_s
            progress.update(task, completed=stats.frames, speed=f"{fps:.1f} fps")
            of = f" of {info.frames}" if info.frames else ""
            lines.say(lambda: f"{stats.frames} frames{of}, {fps:.1f} fps")

        stats = job.run(on_frame)
        progress.update(task, total=stats.frames)
    return stats


def _introduce(job: VideoJob) -> None:
    info, engine = job.source.info, job.stylizer.engine
    _say.print(
        f"{Path(job.source.path).name}: {info.source_width}x{info.source_height}, "
        f"{float(info.rate):.5g} fps, {info.color}; style {job.stylizer.style.name} at "
        f"{info.width}x{info.height}",
        markup=False,
    )
    for note in job.notes:
        _say.print(f"note: {note}", markup=False)
    _say.print(
        f"engine {engine.name}, {engine.precision}, on {engine.device}; encoder {job.sink.encoder}",
        markup=False,
    )


if __name__ == "__main__":
    main()
