"""The command `webcam`: live painting."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_style.cli import console
from realtime_style.cli.console import Output
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    INPUT,
    LOOK,
    OUTPUT,
    PART,
    SIZE,
    TIME_FORMS,
    Background,
    Blend,
    Devices,
    Engine,
    Json,
    KeepColors,
    Only,
    Overwrite,
    Precision,
    Quiet,
    Stability,
    Strength,
    Strokes,
    StyleImage,
    StyleName,
    Tier,
    Variation,
    engine_of,
    look_of,
    mask_of,
    number,
    plan_of,
    required_size,
    seconds,
    size_of,
)
from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.errors import StyleError
from realtime_style.system import interrupts

if TYPE_CHECKING:
    from realtime_style.live.front_end import Shot
    from realtime_style.live.session import LiveJob

WEBCAM_EXAMPLES = examples(
    "webcam",
    "webcam --style mondrian --virtual-camera --no-window",
    "webcam --source film.mp4 --loop --record painted.mp4",
)

LiveSource = Annotated[
    str,
    typer.Option(
        "--source", metavar="SOURCE", rich_help_panel=INPUT,
        help="A camera (0, 1, /dev/video2), screen, test (a moving pattern), rtsp://..., "
        "http://... or a film to play.",
    ),
]  # fmt: skip
CameraSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", rich_help_panel=INPUT,
        help="Requested camera mode, 1280x720 or 720p; the actual one is printed.",
    ),
]  # fmt: skip
CameraRate = Annotated[
    float | None,
    typer.Option(
        "--camera-fps", parser=number(1, 240), metavar="RATE", rich_help_panel=INPUT,
        help="Requested frame rate of the camera.",
    ),
]  # fmt: skip
Loop = Annotated[bool, typer.Option("--loop", rich_help_panel=INPUT, help="Repeat the film.")]
List = Annotated[
    bool, typer.Option("--list", rich_help_panel=INPUT, help="List the cameras and exit.")
]
StyleImages = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=LOOK,
        help="A folder of pictures to use as styles; press o in the window for the next one.",
    ),
]  # fmt: skip
LiveSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="Paint at this size, 360p or 640x360. Default: what this computer keeps up with.",
    ),
]  # fmt: skip
MinSize = Annotated[
    str,
    typer.Option(
        "--min-size", metavar="SIZE", rich_help_panel=SIZE,
        help="Smallest painting size, such as 360p; below it, frames are dropped instead.",
    ),
]  # fmt: skip
TargetRate = Annotated[
    float | None,
    typer.Option(
        "--fps", parser=number(1, 240), metavar="RATE", rich_help_panel=SIZE,
        help="Target frame rate; the painting size is chosen to reach it. Default: the camera's.",
    ),
]  # fmt: skip
LiveLength = Annotated[
    float | None,
    typer.Option(
        "--duration", parser=seconds(0.1), metavar="TIME", rich_help_panel=PART,
        help=f"Stop after this time, {TIME_FORMS}.",
    ),
]  # fmt: skip
Record = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", rich_help_panel=OUTPUT,
        help="Record to a .mp4, .mov or .mkv file; playable while recording, even after a crash.",
    ),
]  # fmt: skip
Stream = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS", rich_help_panel=OUTPUT,
        help="Send to rtmp://..., udp://... or rtsp://...; may be repeated.",
    ),
]  # fmt: skip
MicrophoneName = Annotated[
    str | None,
    typer.Option(
        "--microphone", metavar="DEVICE", rich_help_panel=INPUT,
        help="Record and stream this microphone: default, or the name of a device. Without it "
        "films keep their own sound, and cameras are silent.",
    ),
]  # fmt: skip
VirtualCamera = Annotated[
    bool,
    typer.Option(
        "--virtual-camera", rich_help_panel=OUTPUT, help="Appear as a webcam in Zoom or OBS."
    ),
]
NoWindow = Annotated[
    bool, typer.Option("--no-window", rich_help_panel=OUTPUT, help="Open no window.")
]


def webcam(
    source: LiveSource = "0",
    camera_size: CameraSize = None,
    camera_fps: CameraRate = None,
    microphone: MicrophoneName = None,
    loop: Loop = False,
    list_: List = False,
    style: StyleName = DEFAULT_STYLE,
    style_image: StyleImage = None,
    style_images: StyleImages = None,
    blend: Blend = None,
    strength: Strength = 1.0,
    strokes: Strokes = "medium",
    keep_colors: KeepColors = False,
    variation: Variation = None,
    tier: Tier = "standard",
    stability: Stability = DEFAULT_STABILITY,
    only: Only = None,
    background: Background = None,
    size: LiveSize = None,
    min_size: MinSize = "360p",
    fps: TargetRate = None,
    duration: LiveLength = None,
    engine: Engine = "auto",
    precision: Precision = "auto",
    devices: Devices = "0",
    record: Record = None,
    stream: Stream = None,
    virtual_camera: VirtualCamera = False,
    no_window: NoWindow = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Paints a camera live: in a window, in a call, on a stream. Press h in the window for help.

    Late frames are dropped, so the delay stays low. An unplugged camera is reconnected
    when it returns.
    """
    output = Output(quiet, as_json)
    if list_:
        return _list_cameras(output)
    if not no_window:
        _load_window()
    from realtime_style.live.request import LiveRequest, live_job

    look = look_of(style, style_image, blend, strength, strokes, keep_colors, variation, tier)
    mask = mask_of(only, background)
    request = LiveRequest(
        source,
        plan_of(look, engine_of(engine, precision, devices), stability, mask),
        camera_size=size_of(camera_size, "camera_size"),
        camera_rate=camera_fps,
        loop=loop, style_images=style_images,
        size=size_of(size, "size"),
        min_size=required_size(min_size, "min_size"),
        rate=fps, duration_s=math.inf if duration is None else duration,
        window=not no_window,
        record=record,
        streams=tuple(stream or ()),
        microphone=microphone, virtual_camera=virtual_camera, overwrite=overwrite,
    )  # fmt: skip
    asked = _requested(camera_size, camera_fps)
    return _run(live_job(request, output.say), asked, output, has_window=request.window)


def _load_window() -> None:
    """Loads what windows need, before anything imports PyAV."""
    from realtime_style.live.opencv_window import load_opencv

    load_opencv()


def _requested(camera_size: str | None, camera_fps: float | None) -> str:
    """What was requested of the camera, in brackets; empty if nothing was."""
    asked = filter(None, (camera_size, f"{camera_fps:g} fps" if camera_fps else None))
    text = " ".join(asked)
    return f" (requested: {text})" if text else ""


def _list_cameras(output: Output) -> None:
    from realtime_style.live.devices import list_cameras

    cameras = list_cameras()
    output.json([{"source": name, "name": about} for name, about in cameras])
    if output.as_json:
        return
    for name, about in cameras:
        console.print_result(f"{name}  {about}")
    if not cameras:
        console.print_line("no camera is connected")


def _run(job: LiveJob, asked: str, output: Output, *, has_window: bool) -> None:
    """Runs a live job; raises `Abandon` where a device does not return."""
    bar = output.progress("painting")

    def on_shot(shot: Shot) -> None:
        interrupts.check()
        stats = job.stats
        if stats.frames == 1:
            info = job.feed.info
            assert info
            output.say(
                f"{job.feed.description}: {info.width}x{info.height}, {float(info.rate):.4g} fps"
                f"{asked}; style {shot.look}; engine {job.stage.engine}"
            )
            if has_window:
                output.say("press h in the window for help, q to quit")
        bar.line(
            lambda: (
                f"{stats.fps(time.monotonic()):.1f} fps, painted at {shot.painted.width}x"
                f"{shot.painted.height}, latency {stats.latency_ms(50):.0f} ms, "
                f"dropped {stats.dropped}"
            )
        )

    status, report = 0, {}
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            job.run(on_shot)
        for failed in job.failed:
            is_printed = job.has_reported(failed) and not output.quiet
            console.print_error(f"{failed.name} failed" if is_printed else failed.trouble)
            status = 1
    except StyleError as error:
        console.print_error(console.sentence(error))
        report["error"] = console.sentence(error)
        status = 1
    output.json(job.report() | report)
    if job.left_behind:
        raise console.Abandon(status)
    if status:
        raise typer.Exit(status)
