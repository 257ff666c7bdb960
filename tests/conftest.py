"""Media and styles that the tests make themselves."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from realtime_style.canvas import canvas_size
from realtime_style.cli import app
from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Engine, Plane, Planes
from realtime_style.frame import Frame, FramePool
from realtime_style.jobs.film import FilmReport, FilmRequest, open_film
from realtime_style.media.encoding import Encoding
from realtime_style.media.scaling import reduced_frame
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.file_format import describe
from realtime_style.style.look import Look
from realtime_style.style.style import Style
from realtime_style.system import interrupts
from realtime_style.tools.demo import draw_scene

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MILLISECOND = Fraction(1, 1000)
PLAIN_OUTPUT = {"COLUMNS": "200", "NO_COLOR": "1"}


def affine_style(
    gain: float = 1.0, bias: float = 0.0, color: ColorSpace | None = None, name: str = "affine"
) -> bytes:
    """A style file's bytes: luma becomes gain * luma + bias, chroma stays as it is."""
    return affine_model(gain, bias, color, name).SerializeToString()


def affine_model(
    gain: float = 1.0, bias: float = 0.0, color: ColorSpace | None = None, name: str = "affine"
) -> ModelProto:
    """The model of `affine_style`: a sharp generator without ReLUs, whose canvas changes nothing.

    What it adds to the picture is (gain - 1) * luma, from `recolor`, and the bias, from `range`.
    Its strokes are the mean of the canvas times 0.
    """
    eye = np.eye(6, dtype=np.float32)[:, :, None, None]
    change = np.diag(np.array([gain - 1] * 4 + [0.0] * 2, np.float32))[:, :, None, None]
    nothing, none = np.zeros_like(eye), np.zeros(6, np.float32)
    tensors = {
        "body.center": np.full((6, 1, 1), 128.0, np.float32),
        "body.stem.weight": eye, "body.head.weight": nothing,
        "recolor.first.weight": eye, "recolor.last.weight": change, "recolor.last.bias": none,
        "range.first.weight": eye, "range.last.weight": nothing,
        "range.last.bias": np.array([gain * 128 + bias] * 4 + [128.0] * 2, np.float32),
        "low": np.float32(0), "high": np.float32(255), "sides": np.array([2, 3], np.int64),
        "first_four": np.arange(4), "last_two": np.arange(4, 6),
    }  # fmt: skip
    nodes: list[NodeProto] = []

    def add(kind: str, inputs: str, output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(kind, inputs.split(), [output], **attributes))

    for luma, chroma, out in (
        ("luma", "chroma", "photo"),
        ("canvas_luma", "canvas_chroma", "small"),
    ):
        add("SpaceToDepth", luma, f"{out}.phases", blocksize=2)
        add("Concat", f"{out}.phases {chroma}", f"{out}.packed", axis=1)
        add("Cast", f"{out}.packed", f"{out}.wide", to=TensorProto.FLOAT)
        add("Sub", f"{out}.wide body.center", out)
    add("Conv", "small body.stem.weight", "stem")
    add("Conv", "stem body.head.weight", "head")
    add("ReduceMean", "head sides", "strokes", keepdims=1)
    add("Conv", "photo recolor.first.weight", "colors")
    add("Conv", "colors recolor.last.weight recolor.last.bias", "recolored")
    add("Add", "photo recolored", "with_colors")
    add("Add", "with_colors strokes", "sums")
    add("Conv", "sums range.first.weight", "ranged")
    add("Conv", "ranged range.last.weight range.last.bias", "range")
    add("Add", "sums range", "painted")
    add("Round", "painted", "rounded")
    add("Clip", "rounded low high", "clipped")
    add("Cast", "clipped", "codes", to=TensorProto.UINT8)
    add("Gather", "codes first_four", "four", axis=1)
    add("DepthToSpace", "four", "painted_luma", blocksize=2, mode="CRD")
    add("Gather", "codes last_two", "painted_chroma", axis=1)

    def planes(luma: str, chroma: str, sides: str) -> list[ValueInfoProto]:
        height, width = sides
        return [
            helper.make_tensor_value_info(luma, TensorProto.UINT8, [1, 1, height, width]),
            helper.make_tensor_value_info(
                chroma, TensorProto.UINT8, [1, 2, f"half_{height}", f"half_{width}"]
            ),
        ]

    graph = helper.make_graph(
        nodes,
        "affine",
        planes("luma", "chroma", "HW") + planes("canvas_luma", "canvas_chroma", "hw"),
        planes("painted_luma", "painted_chroma", "HW"),
        [numpy_helper.from_array(np.asarray(value), key) for key, value in tensors.items()],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    describe(model, name, {"title": "Affine"}, color or ColorSpace(), "0.1.0")
    return model


@pytest.fixture(autouse=True)
def _usual_scheduling() -> Iterator[None]:
    """SVT-AV1 gives root's thread a realtime priority, and so every program that is started later.

    A browser with such a priority leaves no time to the server that it waits for.
    """
    _leave_realtime()
    yield
    _leave_realtime()


def _leave_realtime() -> None:
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Tests of Ctrl-C also pass in a script's background job or under nohup, which ignore it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)
    interrupts._latest = signal.SIGINT


@pytest.fixture(scope="session")
def identity_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style that paints every picture as it is."""
    path = tmp_path_factory.mktemp("styles") / "identity.onnx"
    path.write_bytes(affine_style(name="identity"))
    return path


@pytest.fixture(scope="session")
def negative_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style that turns luma over: 255 - luma."""
    path = tmp_path_factory.mktemp("styles") / "negative.onnx"
    path.write_bytes(affine_style(gain=-1.0, bias=255.0, name="negative"))
    return path


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """For small tensors threads cost more than they bring, on a busy machine many times more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def add_picture(
    film: av.container.OutputContainer,
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
) -> av.VideoStream:
    """A new stream of pictures in a film being written."""
    stream = film.add_stream(codec, rate=rate, options=options or {})
    assert isinstance(stream, av.VideoStream)
    (stream.width, stream.height), stream.pix_fmt = size, pix_fmt
    return stream


def make_film(
    path: Path,
    *,
    size: tuple[int, int] = (64, 48),
    pts: Sequence[int] = tuple(range(10)),
    time_base: Fraction = Fraction(1, 25),
    rate: Fraction = Fraction(25),
    sound: str | None = "aac",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """A film of a rising grey, frame i of luma `grey(i)`, with a tone as long as the picture."""
    width, height = size
    with av.open(str(path), "w") as film:
        picture = add_picture(film, codec, size, pix_fmt, rate, options)
        picture.time_base = picture.codec_context.time_base = time_base
        tone = film.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for i, at in enumerate(pts):
            luma = np.full((height, width), grey(i), np.uint8)
            rest = np.full((height // 2, width), 128, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.concatenate((luma, rest)), "yuv420p")
            frame.pts, frame.time_base = at, time_base
            film.mux(picture.encode(frame.reformat(format=pix_fmt)))
        film.mux(picture.encode(None))
        if isinstance(tone, av.AudioStream):
            length = int((pts[-1] + 1) * time_base * 48_000)
            wave = np.sin(np.arange(length) * 2 * np.pi * 440 / 48_000).astype(np.float32)[None]
            for begin in range(0, length, 1024):
                block = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(wave[:, begin : begin + 1024]), "fltp", "mono"
                )
                block.sample_rate, block.pts = 48_000, begin
                block.time_base = Fraction(1, 48_000)
                film.mux(tone.encode(block))
            film.mux(tone.encode(None))
    return path


def without_length(film: Path, path: Path) -> Path:
    """The same film as it is sent live: Matroska that says nothing of its length."""
    with film.open("rb") as stream, av.open(stream) as whole, path.open("wb") as raw:

        class Pipe:
            def write(self, data: bytes) -> int:
                return raw.write(data)

        with av.open(Pipe(), "w", format="matroska") as live:  # what cannot seek has no length
            streams = {s.index: live.add_stream_from_template(s) for s in whole.streams}
            for packet in whole.demux():
                if packet.size:
                    packet.stream = streams[packet.stream.index]
                    live.mux_one(packet)
    return path


def grey(index: int) -> int:
    """The luma of frame `index` of `make_film`."""
    return 30 + 7 * (index % 25)


def scene_rgb(width: int = 128, height: int = 96, time_s: float = 0.0) -> NDArray[np.uint8]:
    """A picture with colours, edges and texture."""
    return draw_scene(time_s, width, height)


def times_of(path: Path) -> list[Fraction]:
    """When each frame of a film is shown, in seconds, exactly."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]  # type: ignore[operator]


def lumas_of(path: Path) -> list[float]:
    """Mean luma of each frame of a film."""
    with av.open(str(path)) as film:
        frames = film.decode(video=0)
        return [float(f.reformat(format="yuv420p").to_ndarray()[: f.height].mean()) for f in frames]


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """Each packet of a film's sound: its time in seconds and its bytes."""
    with av.open(str(path)) as film:
        packets = film.demux(audio=0)
        return [(p.pts * p.time_base, bytes(p)) for p in packets if p.size]  # type: ignore[operator]


def painter_of(
    style: str | Path | Style | Look,
    *,
    engine: str = "auto",
    precision: str = "auto",
    color: ColorSpace | None = None,
    grain: bool = True,
    stability: float = 0.0,
) -> PainterChain:
    """A painter of a style or look, of frames by themselves unless a stability is given."""
    look = style if isinstance(style, Look) else Look(style)
    plan = PaintPlan(look, EngineChoice(engine, precision), stability, grain)
    return build_painter(plan, color)


def paint_film(
    source: Path | str,
    out: Path | str,
    style: str | Path | Look,
    *,
    encoding: Encoding = Encoding(),
    precision: str = "auto",
) -> FilmReport:
    """Paints a whole film."""
    look = style if isinstance(style, Look) else Look(style)
    plan = PaintPlan(look, EngineChoice(precision=precision))
    with open_film(FilmRequest(str(source), str(out), plan, encoding=encoding)) as job:
        return job.run()


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def run_cli(*arguments: str | Path | float, cwd: Path | None = None) -> Done:
    """Runs `realtime-style` in this process, which takes no time to start."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        for name, value in PLAIN_OUTPUT.items():
            patch.setenv(name, value)
        handlers = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
        try:
            status = app.run([*map(str, arguments)])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Done(status, stdout.getvalue(), stderr.getvalue())


def spawn_cli(
    *arguments: str | Path | float, cwd: Path | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs `realtime-style` as a user does, in a process of its own."""
    return subprocess.run(
        cli_command(*arguments),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout_s,
        env=os.environ | PLAIN_OUTPUT,
    )


def cli_command(*arguments: str | Path | float) -> list[str]:
    """The command line that runs `realtime-style` in a process of its own."""
    return [sys.executable, "-m", "realtime_style", *map(str, arguments)]


def wait_until(
    is_so: Callable[[], bool], process: subprocess.Popen[str], limit_s: float = 150
) -> None:
    """Waits for something that a process does."""
    end_s = time.monotonic() + limit_s
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Ten grey frames of 64x48 at 25 fps, with sound."""
    return make_film(tmp_path / "film.mp4")


def planes_of(frame: Frame, strokes: float = 1.0) -> Planes:
    """What an engine is given of a frame: its planes, and those of a canvas."""
    size = canvas_size(frame.width, frame.height, strokes)
    canvas = reduced_frame(frame, size, VideoReformatter(), FramePool())
    return Planes(frame.luma, frame.chroma, canvas.luma, canvas.chroma)


def noise_planes(height: int, width: int, seed: int = 0) -> Planes:
    """A picture of noise for an engine."""
    i420 = np.random.default_rng(seed).integers(0, 256, (height * 3 // 2, width), np.uint8)
    return planes_of(Frame(i420, 0, Fraction(1)))


def painted_by(engine: Engine, planes: Planes) -> tuple[Plane, Plane]:
    """Luma and chroma that an engine paints."""
    out = np.zeros_like(planes.luma), np.zeros_like(planes.chroma)
    engine.infer(planes, *out)
    return out
