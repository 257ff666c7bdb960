"""The command `realtime-style`: parses, prints, maps errors to exit codes; no logic."""

from __future__ import annotations

import signal
import threading
import time

_started = time.perf_counter()  # before the imports: start-up counts
_usual_end: object = None
if threading.current_thread() is threading.main_thread():
    # Ctrl-C while modules are loaded ends the process as it would end any other
    _usual_end = signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import asdict, replace  # noqa: E402
from fractions import Fraction  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402
from typing import TYPE_CHECKING, Annotated, Any, NoReturn  # noqa: E402

import typer  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import (  # noqa: E402
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from realtime_style import __version__  # noqa: E402
from realtime_style.errors import StyleError, StyleFileError  # noqa: E402
from realtime_style.painting.plan import DEFAULT_STABILITY  # noqa: E402
from realtime_style.training.config import (  # noqa: E402
    ADVERSARIAL_KINDS,
    PRESETS,
    TrainConfig,
    make_config,
)

if TYPE_CHECKING:
    from realtime_style.frame import Size
    from realtime_style.jobs.batch import Pair
    from realtime_style.jobs.film import FilmJob
    from realtime_style.jobs.pipeline import RunStats
    from realtime_style.live.painter import Shot
    from realtime_style.live.session import LiveJob
    from realtime_style.style.look import Look

app = typer.Typer(
    name="realtime-style",
    help="Turns any video into a moving painting, in real time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
engine_app = typer.Typer(help="Engines that are built for this machine's GPU, and kept.")
app.add_typer(engine_app, name="engine")
_say = Console(stderr=True, highlight=False, soft_wrap=True)
_LINE_EVERY_S = 5.0
_USUAL = TrainConfig(painting=Path(), content=Path())

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace OUT if it exists.")]
Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... OUT",
        help="Files or folders to paint; then a file, a folder or a pattern with {name} to write.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into the folders of folders too.")
]
Style = Annotated[str, typer.Option("--style", "-s", help="A bundled style's name, or a file.")]
StyleImage = Annotated[
    Path | None,
    typer.Option(help="Any picture, to be painted like, instead of --style."),
]
Blend = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STYLE:SHARE",
        help="Another style in it, as great-wave:0.4; may be given again. The style has the rest.",
    ),
]
Strength = Annotated[
    float, typer.Option(min=0, max=1.5, help="0: the film, drawn anew; 1: the style; then more.")
]
KeepColors = Annotated[
    bool, typer.Option("--keep-colors", help="Keep the film's colours, under the painting's light.")
]
Variation = Annotated[
    int | None, typer.Option(min=0, help="Another version of the style for each number.")
]
Tier = Annotated[
    str, typer.Option(help="standard, or fast: a smaller network that takes half the time.")
]


def _one_engine(name: str) -> str:
    from realtime_style.engines.registry import ENGINES

    _refuse_other("--engine", name, ("auto", *ENGINES))
    return name


def _one_precision(name: str) -> str:
    from realtime_style.engines.registry import PRECISIONS

    _refuse_other("--precision", name, PRECISIONS)
    return name


Engine = Annotated[
    str,
    typer.Option(
        callback=_one_engine,
        help="auto (the best), tensorrt, tensorrt-rtx, onnxruntime-cuda, "
        "onnxruntime-tensorrt, openvino, onnxruntime.",
    ),
]
Devices = Annotated[str, typer.Option(metavar="0,1,...", help="GPUs to share the frames among.")]
Stability = Annotated[
    float,
    typer.Option(min=0, max=1, help="How firmly paint stands still where the film does; 0: off."),
]
Precision = Annotated[
    str, typer.Option(callback=_one_precision, help="auto, f32, bf16 or int8 (CPU), f16 (GPU).")
]
CodecName = Annotated[
    str | None,
    typer.Option(help="h264, h265, av1, vp9, prores, ffv1, or an FFmpeg encoder's name."),
]
Crf = Annotated[float | None, typer.Option(help="Quality; lower is better. h264: 20.")]
Preset = Annotated[str | None, typer.Option(help="The encoder's speed. h264: veryfast.")]


class _Told(KeyboardInterrupt):
    """Ctrl-C, of which the user has been told what came of it; for `--json`, `report` says it."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__()
        self.report = report


def main() -> None:
    """Runs the command line; every error of ours becomes one line and exit status 1."""
    # also where a script ignores it; then asked to end; the terminal is closed
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        stop = end.__context__ and end.__context__.__cause__  # what Typer makes of Ctrl-C
        if isinstance(stop, KeyboardInterrupt):
            _end_stopped(told=isinstance(stop, _Told))
        raise
    except (Exception, KeyboardInterrupt) as error:
        # A library that is being loaded makes an error of its own of Ctrl-C
        if _interrupted or isinstance(error, KeyboardInterrupt):
            _end_stopped(told=False)
        if isinstance(error, StyleError):
            _fail(str(error))
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        if isinstance(error, MemoryError):
            _fail("out of memory; paint at a smaller --size")
        raise


def _end_stopped(*, told: bool) -> NoReturn:
    """Ends the process at once: threads that wait for a source or a device would hold it up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not told:
        _say.print("stopped")
    sys.stdout.flush()
    os._exit(130)


_interrupted = False


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return  # a module that is being loaded may take the process along: `_heed` it later
        frame = frame.f_back
    raise KeyboardInterrupt


def _heed() -> None:
    """Stops where Ctrl-C was pressed while modules were loaded, or swallowed by a library."""
    if _interrupted:
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
    paths: Paths,
    style: Style = "starry-night",
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
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
    bit_depth: Annotated[
        int | None, typer.Option(help="8 or 10 bits a colour; default: the encoder's usual.")
    ] = None,
    stability: Stability = DEFAULT_STABILITY,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    fps: Annotated[
        str | None, typer.Option(help="Of numbered pictures, as 24 or 30000/1001; default: 25.")
    ] = None,
    hwaccel: Annotated[
        str | None, typer.Option(help="Decode on a device: cuda, qsv, ...; default: the CPU.")
    ] = None,
    on_gpu: Annotated[
        bool,
        typer.Option(
            "--on-gpu", help="Decode, paint and encode on an NVIDIA GPU; frames never leave it."
        ),
    ] = False,
    recursive: Recursive = False,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Paint only so many frames across the film, as PNG, into OUT."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints films: every frame at its time, sound and all else as it was."""
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.engines.registry import refuse_gpu_frames
    from realtime_style.jobs.batch import FILM_SUFFIXES, pair_up
    from realtime_style.jobs.film import FilmRequest, open_film
    from realtime_style.jobs.samples import paint_samples
    from realtime_style.media.encoding import Encoding
    from realtime_style.painting.plan import PaintPlan

    look = _look(style, style_image, blend, strength, keep_colors, variation, tier)
    sources, out = _sources_and_out(paths)
    if out == "-" and as_json:
        raise typer.BadParameter("standard output holds the film or JSON, not both")
    paint_size, film_size = _size(size, "--size"), _size(output_size, "--output-size")
    encoding = Encoding(codec, crf, preset, bit_depth)
    numbers = _devices(devices)
    if on_gpu:
        for option, given in (
            ("--size", size), ("--output-size", output_size), ("--bit-depth", bit_depth),
            ("--hwaccel", hwaccel), ("--sample", sample),
        ):  # fmt: skip
            if given is not None:
                raise typer.BadParameter("does not go with --on-gpu", param_hint=option)
        if len(numbers) > 1:
            raise typer.BadParameter("goes with one GPU", param_hint="--on-gpu")
        refuse_gpu_frames(engine, precision)

    plan = PaintPlan(look, EngineChoice(engine, precision, numbers), stability)

    def request_for(pair: Pair) -> FilmRequest:
        return FilmRequest(
            pair.source,
            str(pair.out.parent if sample else pair.out),
            plan,
            size=paint_size,
            output_size=film_size,
            start_s=start,
            duration_s=duration,
            rate=_rate(fps),
            encoding=encoding,
            hwaccel=hwaccel,
            residency="gpu" if on_gpu else "memory",
            overwrite=overwrite,
        )

    def paint(pair: Pair) -> dict[str, Any]:
        return _paint(open_film(request_for(pair)), quiet)

    def paint_sample(pair: Pair) -> dict[str, Any]:
        assert sample
        written = paint_samples(request_for(pair), sample)
        if not quiet:
            for path in written:
                _say.print(f"{path}", markup=False)
        return {"out": [str(path) for path in written]}

    if sample:
        if output_size is not None:
            raise typer.BadParameter("does not go with --sample", param_hint="--output-size")
        pairs = pair_up(sources, f"{out}/", FILM_SUFFIXES, recursive=recursive)
        # The folder is made once there is something to put into it
        pairs = [replace(pair, makes_folder=False) for pair in pairs]
        _paint_all(pairs, paint_sample, quiet, as_json)
        return
    pairs = pair_up(sources, out, FILM_SUFFIXES, recursive=recursive, new_suffix=".mp4")
    _paint_all(pairs, paint, quiet, as_json)


@app.command()
def webcam(
    source: Annotated[
        str,
        typer.Option(
            help="A camera (0, 1, /dev/video2), screen, test, rtsp://... or a film to play."
        ),
    ] = "0",
    style: Style = "starry-night",
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    size: Annotated[
        str | None,
        typer.Option(help="Paint at this size, 360p or 640x360; default: what can be kept up."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=1, max=240, help="Frames a second to keep up; default: the camera's."),
    ] = None,
    camera_size: Annotated[
        str | None, typer.Option(help="Ask the camera for 1280x720 or 720p.")
    ] = None,
    camera_fps: Annotated[
        float | None, typer.Option(min=1, max=240, help="Ask the camera for so many frames.")
    ] = None,
    style_images: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures to be painted like; key o."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Play a film again and again.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the cameras, and end.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Record to a .mp4, .mov or .mkv; playable at any moment.")
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help="Send to rtmp://..., udp://..., rtsp://...; may be given again."),
    ] = None,
    virtual_camera: Annotated[
        bool, typer.Option("--virtual-camera", help="Be a camera for calls and other programs.")
    ] = False,
    no_window: Annotated[bool, typer.Option("--no-window", help="Open no window.")] = False,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="End after so many seconds.")
    ] = None,
    stability: Stability = DEFAULT_STABILITY,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a camera live: in a window, in a call, on a stream. Press h in the window for help."""
    if not (no_window or list_):
        from realtime_style.live.window import load_opencv

        load_opencv()  # before anything imports PyAV
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.live.devices import list_cameras
    from realtime_style.live.request import LiveRequest
    from realtime_style.live.session import live_job
    from realtime_style.painting.plan import PaintPlan

    if list_:
        cameras = list_cameras()
        if as_json:
            typer.echo(json.dumps([{"source": name, "name": about} for name, about in cameras]))
        for name, about in cameras if not as_json else ():
            typer.echo(f"{name}  {about}")
        if not cameras and not as_json:
            _say.print("no camera is connected", markup=False)
        return

    said: set[str] = set()

    def say(message: str) -> None:
        if not quiet:
            _say.print(message, markup=False)
            said.add(message)

    job = live_job(
        LiveRequest(source, _size(camera_size, "--camera-size"), camera_fps, loop),
        PaintPlan(
            _look(style, style_image, blend, strength, keep_colors, variation, tier),
            EngineChoice(engine, precision, _devices(devices)),
            stability,
        ),
        size=_size(size, "--size"), fps=fps, duration_s=math.inf if duration is None else duration,
        window=not no_window, record=record,
        style_images=style_images, streams=stream or (), to_virtual_camera=virtual_camera,
        overwrite=overwrite, say=say,
    )  # fmt: skip
    wishes = [camera_size, f"{camera_fps:g} fps" if camera_fps else None]
    asked = " ".join(filter(None, wishes))
    _run_live(job, f" (asked for {asked})" if asked else "", said, quiet, as_json)


@app.command()
def image(
    paths: Paths,
    style: Style = "starry-night",
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    engine: Engine = "auto",
    precision: Precision = "auto",
    from_noise: Annotated[
        int | None,
        typer.Option(min=0, metavar="SEED", help="Paint out of nothing: no IN, only OUT."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="With --from-noise: 1024x768, or 768p (4:3); default: 768p.")
    ] = None,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints pictures: JPEG, PNG, WebP, TIFF, BMP; of any size up to 150 megapixels."""
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.jobs.batch import pair_up
    from realtime_style.jobs.picture import paint_picture
    from realtime_style.media.still import PICTURE_SUFFIXES, Picture, write_picture
    from realtime_style.painting.chain import build_painter
    from realtime_style.painting.plan import PaintPlan

    if from_noise is not None:
        from realtime_style.painting.from_noise import paint_from_noise
        from realtime_style.system.paths import refuse_unwritable

        if len(paths) != 1:
            raise typer.BadParameter(
                "with --from-noise there is nothing to read; give OUT alone", param_hint="OUT"
            )
        canvas_size = _size(size or "768p", "--size")
        assert canvas_size
        new = Path(paths[0])
        refuse_unwritable(new, "out.png", overwrite=overwrite)
        look = _look(style, style_image, blend, strength, keep_colors, variation, tier)
        painter = build_painter(PaintPlan(look, EngineChoice(engine, precision), stability=0))
        with _building(quiet) as on_build:
            picture = Picture(paint_from_noise(painter, from_noise, canvas_size, on_build))
        notes = write_picture(new, picture, overwrite=overwrite)
        if not quiet:
            _say.print(f"{new}", markup=False)
        if as_json:
            report = {"out": str(new), "look": str(look), "from_noise": from_noise, "notes": notes}
            typer.echo(json.dumps(report))
        return
    if size is not None:
        raise typer.BadParameter("goes with --from-noise alone", param_hint="--size")
    sources, out = _sources_and_out(paths)
    pairs = pair_up(sources, out, PICTURE_SUFFIXES, recursive=recursive, new_suffix=".png")
    look = _look(style, style_image, blend, strength, keep_colors, variation, tier)
    painter = build_painter(PaintPlan(look, EngineChoice(engine, precision), stability=0))

    def paint(pair: Pair) -> dict[str, Any]:
        with _building(quiet) as on_build:
            notes = paint_picture(
                pair.source, pair.out, painter, overwrite=overwrite, on_build=on_build
            )
        if not quiet:
            for note in notes:
                _say.print(f"note: {Path(pair.source).name}: {note}", markup=False)
            _say.print(f"{pair.out}", markup=False)
        return {"out": str(pair.out), "look": str(look), "notes": notes}

    _paint_all(pairs, paint, quiet, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Says what this machine can do, having tried it, and what to install for more."""
    from realtime_style.tools.doctor import examine, table

    report = examine()
    if as_json:
        typer.echo(json.dumps(report))
    else:
        Console(highlight=False, soft_wrap=True).print(table(report), markup=False)


@engine_app.command("build")
def build_engine(
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Sizes: webcam, 1080p or 4k; may be given again. Default: all."),
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, tensorrt or tensorrt-rtx.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto (f16), f16 or f32.")] = "auto",
    device: Annotated[int, typer.Option(min=0, help="The GPU's number.")] = 0,
    style: Style = "starry-night",
    tier: Tier = "standard",
    on_gpu: Annotated[
        bool, typer.Option("--on-gpu", help="Engines for `video --on-gpu`, which are others.")
    ] = False,
    level: Annotated[
        int | None, typer.Option(min=0, max=5, help="How hard to optimise; TensorRT's own is 3.")
    ] = None,
    workspace: Annotated[
        int | None, typer.Option(min=1, metavar="MB", help="Memory that a layer may take.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Builds engines ahead, that no film has to wait for.

    All styles of a tier share TensorRT's; TensorRT-RTX builds one for each style.
    """
    from realtime_style.color import ColorSpace
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.engines.opening import prebuild
    from realtime_style.engines.tensorrt.builder import PROFILES
    from realtime_style.painting.style_picture import open_any_style

    look = _look(style, None, None, 1.0, False, None, tier)
    model = look.mixed(open_any_style).model_for(ColorSpace())
    for name in profile or PROFILES:
        with _progress(quiet) as progress:
            task = progress.add_task(f"building {name}", total=1.0, speed="", note="")
            built = prebuild(
                model, name, EngineChoice(engine, precision, (device,)), level=level,
                workspace_mb=workspace, gpu_frames=on_gpu,
                on_build=partial(_complete, progress, task),
            )  # fmt: skip
        report: dict[str, Any] = {"profile": name, "engine": built.name, "device": built.device}
        report |= {"precision": built.precision, "notes": list(built.notes)}
        if not quiet:
            for note in built.notes:
                _say.print(f"note: {note}", markup=False)
            _say.print(f"{name}: {built.name} {built.precision} on {built.device}", markup=False)
        if as_json:
            typer.echo(json.dumps(report))


@engine_app.command("list")
def list_engines(as_json: Json = False) -> None:
    """Lists the engines that are kept."""
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

    cache = PlanCache()
    plans = cache.plans()
    if cache.trouble:
        _say.print(f"note: {cache.trouble}", markup=False)
    if as_json:
        rows = [
            {"path": str(plan.path), "bytes": plan.size, "key": plan.key and asdict(plan.key)}
            for plan in plans
        ]
        typer.echo(json.dumps({"folder": str(cache.folder), "engines": rows}))
        return
    for plan in plans:
        about = "damaged; `realtime-style engine clean` takes it away"
        if plan.key:
            key = plan.key
            about = f"{key.builder} {key.precision} on {key.device}, for {key.profile}"
        typer.echo(f"{plan.path.name}  {plan.size / 1e6:.1f} MB  {about}")
    typer.echo(f"{len(plans)} engines in {cache.folder}")


@engine_app.command("clean")
def clean_engines(quiet: Quiet = False) -> None:
    """Takes all kept engines away; they are built again when they are needed."""
    from realtime_style.engines.tensorrt.plan_cache import PlanCache

    cache = PlanCache()
    freed = cache.clean()
    if not quiet:
        _say.print(f"{freed / 1e6:.1f} MB taken away from {cache.folder}", markup=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The painted film, as demo.mp4.")],
    style: Style = "starry-night",
    style_image: StyleImage = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    duration: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds.")] = 6.0,
    engine: Engine = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a film that the program makes itself: nothing at hand is needed."""
    from tempfile import TemporaryDirectory

    from realtime_style.engines.choice import EngineChoice
    from realtime_style.jobs.batch import Pair
    from realtime_style.jobs.film import FilmRequest, open_film
    from realtime_style.painting.plan import PaintPlan
    from realtime_style.tools.demo import write_demo_film

    look = _look(style, style_image, blend, strength, keep_colors, variation, tier)
    with TemporaryDirectory(prefix="realtime-style-") as folder:
        film = Path(folder) / "demo.mp4"
        if not quiet:
            _say.print(f"drawing a film of {duration:g} s")
        write_demo_film(film, duration)
        plan = PaintPlan(look, EngineChoice(engine, precision))
        job = open_film(FilmRequest(str(film), str(out), plan, overwrite=overwrite))
        _paint_all(
            [Pair(str(film), out, makes_folder=False)],
            lambda pair: _paint(job, quiet),
            quiet,
            as_json,
        )


@app.command()
def bench(
    style: Style = "starry-night",
    tier: Annotated[str | None, typer.Option(help="standard or fast; default: both.")] = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    size: Annotated[
        list[str] | None,
        typer.Option(help="360p, 480p, 720p or 1080p; may be given again. Default: all."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only 360p and 720p, and each for a shorter time.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Says what this machine keeps up with, live and with films; tries it for a minute."""
    from realtime_style.engines.choice import EngineChoice
    from realtime_style.engines.registry import engine_trouble
    from realtime_style.painting.plan import PaintPlan
    from realtime_style.style.bundled import STANDARD, TIERS, bundled_styles
    from realtime_style.tools.bench import SIZES
    from realtime_style.tools.bench import bench as measure

    for name in size or ():
        if name not in SIZES:
            raise typer.BadParameter(f"choose {', '.join(SIZES)}", param_hint="--size")

    def on_size(tier: str, name: str) -> None:
        _heed()
        if not quiet:
            _say.print(f"trying {name}, {tier} tier")

    if engine != "auto" and (trouble := engine_trouble(engine)):
        raise StyleError(trouble)
    look = _look(style, None, None, 1.0, False, None, tier or STANDARD)
    report = measure(
        PaintPlan(look, EngineChoice(engine, precision, _devices(devices))),
        tiers=TIERS if tier is None and style in bundled_styles() else (look.tier,),
        sizes=size or (["360p", "720p"] if quick else list(SIZES)),
        seconds=0.6 if quick else 2.5,
        on_size=on_size,
    )
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        Console(highlight=False, soft_wrap=True).print(report.table(), markup=False)


@app.command()
def styles(as_json: Json = False) -> None:
    """Lists the styles that come with the program."""
    from rich.table import Table

    from realtime_style.style.bundled import bundled_styles, open_style

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
def style_from(
    source: Annotated[
        str,
        typer.Argument(
            metavar="STYLE|PICTURE", help="A style to mix or to dose, or any picture to paint like."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")],
    blend: Blend = None,
    strength: Strength = 1.0,
    variation: Variation = None,
    tier: Tier = "standard",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Keeps a picture's style, or a mixture of styles, as a style file."""
    from realtime_style.painting.style_picture import open_any_style
    from realtime_style.system.paths import refuse_unwritable

    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite)
    if out.suffix != ".onnx":
        raise StyleError(f"{out} cannot be a style; its name must end in .onnx")
    look = _look(source, None, blend, strength, False, variation, tier)
    made = look.mixed(open_any_style)
    made.renamed(out.stem).save(out)
    if not quiet:
        _say.print(f"{out}: {look}", markup=False)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "look": str(look), "card": made.card}))


@app.command()
def train(
    painting: Annotated[
        Path | None,
        typer.Argument(metavar="PAINTING", help="The picture to learn, or a folder of them."),
    ] = None,
    content: Annotated[Path | None, typer.Option(help="A folder of photos to learn on.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The style file to write; default: PAINTING's name, .onnx.")
    ] = None,
    styles_dir: Annotated[
        Path | None,
        typer.Option(help="A folder of paintings by one hand, instead of PAINTING."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="fast, standard or best; what follows overrides it.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings as TOML; options override it.")
    ] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="VGG weights; may be given again. Default: VGG-19, fetched once."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="Start from this generator (.safetensors or .pt); 'none': from nothing. "
            "Default: the bundled base, which draws the photo as it is."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help=f"Optimiser steps; default: {_USUAL.steps}.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help=f"Photos a step; default: {_USUAL.batch}.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            min=128,
            help=f"Side of the crops, pixels, a multiple of 32; default: {_USUAL.crop_px}.",
        ),
    ] = None,
    painting_size: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=2048,
            help="The painting's longer side; larger: larger strokes. "
            f"Default: {_USUAL.painting_px}.",
        ),
    ] = None,
    style_weight: Annotated[
        float | None,
        typer.Option(min=0, help=f"More: more paint, less photo; default: {_USUAL.style_weight}."),
    ] = None,
    adversarial: Annotated[
        str | None,
        typer.Option(help="A discriminator as well: log, lsgan or hinge; default: none."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Noise on the photos, so that films' noise is not paint."),
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(help="A folder of films, to learn from their motion too. Needs OpenCV."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help=f"Its peak; default: {_USUAL.learning_rate}.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same style; default: 0.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    r"""Learns a style from one painting, or from several. Needs the extra \[train].

    Checkpoints, sheets, a report and TensorBoard logs go to the folder NAME.training beside OUT.
    """
    from realtime_style.system.paths import refuse_unwritable

    with _training_extra():
        from export.to_onnx import export_trained
        from realtime_style.training.checkpoint import CHECKPOINT_NAME
        from realtime_style.training.observer import TrainObserver, TrainStep
        from realtime_style.training.parallel import leads
        from realtime_style.training.train import train as run_training
    if painting is not None and styles_dir is not None:
        raise typer.BadParameter("give PAINTING or --styles-dir, not both")
    if styles_dir is not None and not styles_dir.is_dir():
        raise StyleError(f"there is no folder {styles_dir}; --styles-dir takes one of paintings")
    _refuse_other("--preset", preset, PRESETS)
    _refuse_other("--adversarial", adversarial, ("none", *ADVERSARIAL_KINDS))
    if crop is not None and crop % 32:
        raise typer.BadParameter(f"{crop} is no multiple of 32", param_hint="--crop")
    options = {
        "painting": painting or styles_dir,
        "content": content,
        "features": tuple(features) if features else None,
        "base": base,
        "steps": steps,
        "batch": batch,
        "crop_px": crop,
        "painting_px": painting_size,
        "style_weight": style_weight,
        "adversarial": adversarial,
        "noise": noise,
        "clips": clips,
        "learning_rate": learning_rate,
        "seed": seed,
        "device": device,
    }
    settings = make_config(preset, config, options)
    out = out or Path(f"{settings.painting.stem}.onnx")
    if out.suffix != ".onnx":
        raise StyleError(f"--out is {out}; a style's file name ends in .onnx")
    run_dir = out.with_suffix(".training")
    checkpoint = run_dir / CHECKPOINT_NAME
    has_ended = not checkpoint.exists() or (run_dir / "generator.safetensors").exists()
    if out.exists() and resume and not overwrite and has_ended:
        raise StyleError(
            f"{out} is ready, its training has ended; to train on from there, give another --out "
            f"and --base {run_dir / 'generator.safetensors'}"
        )
    # a run that goes on may replace what it was begun to replace
    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite or (resume and not has_ended))
    if checkpoint.exists() and not (resume or overwrite) and leads():
        raise StyleError(
            f"{checkpoint} is there from a run before; --resume goes on with it, "
            "--overwrite begins anew"
        )
    quiet = quiet or not leads()
    if not quiet:
        _say.print(f"loads {settings.painting} and {settings.content}", markup=False)
    with _progress(quiet) as progress:
        task = progress.add_task("training", total=settings.steps, speed="", note="")
        lines = _Lines(quiet)

        class Watch(TrainObserver):
            begun = resume  # else a checkpoint that is there is of the run before

            def on_start(self) -> None:
                self.begun = True
                if not quiet:
                    _say.print(
                        f"learns, {settings.steps} steps; all that comes of it goes to {run_dir}",
                        markup=False,
                    )

            def on_step(self, step: TrainStep) -> None:
                _heed()
                note = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
                progress.update(task, completed=step.step, note=note)
                lines.say(lambda: f"step {step.step} of {settings.steps}: {note}")

            def on_note(self, note: str) -> None:
                if not quiet:
                    _say.print(f"note: {note}", markup=False)

        watch = Watch()
        try:
            run_training(settings, run_dir, resume=resume, observer=watch)
        except KeyboardInterrupt:
            progress.stop()
            if watch.begun and checkpoint.exists():
                _say.print(f"saved as {checkpoint}; go on with --resume", markup=False)
            else:
                _say.print("stopped; nothing was saved")
            raise _Told({}) from None
    if not leads():
        return
    results = export_trained(run_dir / "generator.safetensors", out, pictures=settings.content)
    if not quiet:
        for result in results:
            _say.print(f"parity: {result}", markup=False)
        _say.print(f"{out}: ready; sheet and report in {run_dir}", markup=False)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint (.pt) or .safetensors.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")],
    name: Annotated[str | None, typer.Option(help="The style's name; default: OUT's.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="JSON: title, painter, year, whatever describes it.")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(help="Photos, one or a folder, to check parity on; int8 needs some."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    r"""Makes a style file of a trained generator, checked against it. Needs the extra \[train]."""
    from realtime_style.system.paths import refuse_unwritable

    with _training_extra():
        from export.to_onnx import export_trained
    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite)
    results = export_trained(checkpoint, out, name=name, card=card, pictures=frames)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "parity": [r.as_dict() for r in results]}))
        return
    for result in results:
        typer.echo(f"parity: {result}")
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def _refuse_other(option: str, text: str | None, choices: Iterable[str]) -> None:
    if text is not None and text not in choices:
        raise typer.BadParameter(
            f"there is no '{text}'; choose {', '.join(choices)}", param_hint=option
        )


def _look(
    style: str,
    style_image: Path | None,
    blend: list[str] | None,
    strength: float,
    keep_colors: bool,
    variation: int | None,
    tier: str,
) -> Look:
    from realtime_style.style.bundled import STANDARD, TIERS, open_style, tier_of
    from realtime_style.style.look import DEFAULT_STYLE, Look

    shares: dict[str | Path, float] = {}
    for text in blend or ():
        name, _, share = text.rpartition(":")
        try:
            shares[name] = shares.get(name, 0.0) + float(share)
        except ValueError:
            raise typer.BadParameter(
                f"'{text}' has no share; write STYLE:SHARE, as great-wave:0.4",
                param_hint="--blend",
            ) from None
    _refuse_other("--tier", tier, TIERS)
    if style_image is not None:
        from realtime_style.painting.style_picture import refuse_no_picture

        if style != DEFAULT_STYLE:
            raise typer.BadParameter("give --style or --style-image, not both")
        refuse_no_picture(style_image)
        style = str(style_image)
    if tier == STANDARD and Path(style).suffix == ".onnx":
        tier = tier_of(open_style(style))
    try:
        return Look(style, shares, strength, variation, keep_colors, tier)
    except StyleFileError as error:  # a share that is none, or more than all
        raise typer.BadParameter(str(error)) from error


def _devices(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isdecimal() for number in numbers) or len(set(numbers)) < len(numbers):
        raise typer.BadParameter(
            f"'{text}' names no GPUs; write their numbers, each once, as 0 or 0,1",
            param_hint="--devices",
        )
    return tuple(map(int, numbers))


def _size(text: str | None, option: str) -> Size | None:
    from realtime_style.frame import Size

    if text is None:
        return None
    try:
        return Size.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _rate(text: str | None) -> Fraction | None:
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise typer.BadParameter(f"'{text}' is no rate; write 24 or 30000/1001", param_hint="--fps")
    return rate


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


def _sources_and_out(paths: list[str]) -> tuple[list[str], str]:
    if len(paths) < 2:
        raise typer.BadParameter(
            "give at least one IN, and OUT as the last", param_hint="IN... OUT"
        )
    if not all(paths):
        raise typer.BadParameter("one of them is empty", param_hint="IN... OUT")
    return paths[:-1], paths[-1]


def _paint_all(
    pairs: list[Pair], paint: Callable[[Pair], dict[str, Any]], quiet: bool, as_json: bool
) -> None:
    """Paints one after the other; one that fails does not stop the rest, but the exit tells."""
    from realtime_style.system.paths import make_folder

    reports, failed = [], []
    for pair in pairs:
        try:
            _heed()
            if pair.makes_folder:
                make_folder(pair.out.parent)
            reports.append(paint(pair))
        except StyleError as error:
            if len(pairs) == 1:
                raise
            failed.append({"in": pair.source, "error": str(error)})
            _say.print(f"error: {error}", markup=False, style="red")
        except KeyboardInterrupt as stop:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what could be kept is kept
            if not isinstance(stop, _Told):
                painted = f"; painted: {len(reports)} of {len(pairs)}" if len(pairs) > 1 else ""
                _say.print(f"stopped{painted}", markup=False)
                stop = _Told({"stopped": str(pair.out), "kept": None})
            if as_json:
                many = {"painted": reports, "failed": failed, "stopped": stop.report}
                typer.echo(json.dumps(stop.report if len(pairs) == 1 else many))
            raise stop from None
    if len(pairs) > 1 and not quiet:
        _say.print(f"{len(reports)} of {len(pairs)} painted", markup=False)
    if as_json:
        many = {"painted": reports, "failed": failed}
        typer.echo(json.dumps(reports[0] if len(pairs) == 1 else many))
    if failed:
        raise typer.Exit(1)


def _paint(job: FilmJob, quiet: bool) -> dict[str, Any]:
    """Runs an opened job to its end, and says how it went."""
    from realtime_style.system.memory import peak_memory_mb

    global _started
    out, info, engine = job.sink.path, job.source.info, job.engine
    began = time.perf_counter()
    try:
        with job:
            _heed()
            if not quiet:
                _introduce(job)
            said = len(job.notes)
            with _building(quiet) as on_build:
                job.prepare(_Observer(on_build))
            stats = _run(job, quiet)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what could be kept is kept
        kept = job.sink.complete_path
        _say.print(
            f"stopped; {out} was not written"
            + (f"; frames kept in {kept}: {job.sink.frames}" if kept else ""),
            markup=False,
        )
        raise _Told(
            {"stopped": str(out), "kept": kept and str(kept), "frames": job.sink.frames}
        ) from None
    wall_s = time.perf_counter() - _started
    if not quiet:
        for note in job.notes[said:]:
            _say.print(f"note: {note}", markup=False)
        frames = "1 frame" if stats.frames == 1 else f"{stats.frames} frames"
        _say.print(
            f"{out}: {frames} in {wall_s:.1f} s, {stats.frames / wall_s:.1f} fps "
            "with all that came before and after",
            markup=False,
        )
    report = {
        "out": str(out),
        "style": job.painter.style.name,
        "look": str(job.request.plan.look),
        "width": info.width,
        "height": info.height,
        "frames": stats.frames,
        "fps": round(stats.frames / wall_s, 3),
        "wall_s": round(wall_s, 3),
        "stages_s": {
            "start": round(began - _started, 3),
            "read": round(stats.read_s, 3),
            "stylize": round(stats.paint_s, 3),
            "write": round(stats.write_s, 3),
            "finish": round(wall_s - (began - _started) - stats.wall_s, 3),
        },
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "encoder": job.sink.encoder,
        "lost_s": round(job.source.lost_s, 3),
        "notes": job.notes,
        "peak_memory_mb": peak_memory_mb(),
    }
    _started = time.perf_counter()  # the next film's clock starts where this one's stopped
    return report


def _complete(progress: Progress, task: TaskID, part: float) -> None:
    progress.update(task, completed=round(100 * part), total=100)


@contextmanager
def _building(quiet: bool) -> Iterator[Callable[[float], None]]:
    """Shows how far an engine is that must be built first; for most there is nothing to show."""
    with _progress(quiet) as progress:
        tasks: list[TaskID] = []

        def on_build(part: float) -> None:
            if not tasks:
                if not quiet:
                    _say.print("builds an engine for this GPU, once; it is kept")
                tasks.append(progress.add_task("building", total=100, speed="", note=""))
            _complete(progress, tasks[0], part)

        yield on_build


class _Observer:
    """Passes on what a film job tells."""

    def __init__(
        self,
        on_build: Callable[[float], None] = lambda part: None,
        on_frame: Callable[[RunStats], None] = lambda stats: None,
    ) -> None:
        self.on_build, self.on_frame = on_build, on_frame


def _run(job: FilmJob, quiet: bool) -> RunStats:
    """Runs a job with a progress bar, or with lines where there is no terminal."""
    info = job.source.info
    with _progress(quiet) as progress:
        task = progress.add_task("painting", total=info.frames, speed="", note="")
        lines = _Lines(quiet)

        def on_frame(stats: RunStats) -> None:
            _heed()
            fps = stats.frames / stats.wall_s
            progress.update(task, completed=stats.frames, speed=f"{fps:.1f} fps")
            of = f" of {info.frames}" if info.frames else ""
            lines.say(lambda: f"{stats.frames} frames{of}, {fps:.1f} fps")

        stats = job.run(_Observer(on_frame=on_frame)).stats
        progress.update(task, total=stats.frames)
    return stats


def _run_live(job: LiveJob, asked: str, said: set[str], quiet: bool, as_json: bool) -> None:
    """Runs a live job; where a device does not return, the process ends without waiting for it."""
    lines = _Lines(quiet)

    def on_shot(shot: Shot) -> None:
        _heed()
        stats = job.stats
        if stats.frames == 1 and not quiet:
            info = job.feed.info
            assert info
            _say.print(
                f"{job.feed.description}: {info.width}x{info.height}, {float(info.rate):.4g} fps"
                f"{asked}; style {shot.look}; engine {job.painter.engine}",
                markup=False,
            )
        lines.say(
            lambda: (
                f"{stats.fps(time.monotonic()):.1f} fps, painted at {shot.painted.width}x"
                f"{shot.painted.height}, latency {stats.latency_ms(50):.0f} ms, "
                f"dropped {stats.dropped}"
            )
        )

    job.on_shot = on_shot
    status = 0
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            job.run()
        for output in job.failed:
            trouble = f"{output.name} failed" if output.trouble in said else output.trouble
            _say.print(f"error: {trouble}", markup=False, style="red")
            status = 1
        if as_json:
            typer.echo(json.dumps(job.report()))
    except StyleError as error:
        _say.print(f"error: {error}", markup=False, style="red")
        if as_json:
            typer.echo(json.dumps(job.report() | {"error": str(error)}))
        status = 1
    if job.left_behind:
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def _introduce(job: FilmJob) -> None:
    info, engine = job.source.info, job.engine
    _say.print(
        f"{Path(job.source.path).name}: {info.source_width}x{info.source_height}, "
        f"{float(info.rate):.5g} fps, {info.color}; style {job.request.plan.look} at "
        f"{info.width}x{info.height}",
        markup=False,
    )
    for note in job.notes:
        _say.print(f"note: {note}", markup=False)
    _say.print(
        f"engine {engine.name}, {engine.precision}, on {engine.device}; encoder {job.sink.encoder}",
        markup=False,
    )


if callable(_usual_end):  # all is loaded; `main` takes over
    signal.signal(signal.SIGINT, _usual_end)

if __name__ == "__main__":
    main()
