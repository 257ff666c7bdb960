"""Speed of a style on an NVIDIA GPU, and how much of the GPU's capability it uses.

    python benchmarks/gpu.py [--engines torch torch-compiled onnxruntime-cuda tensorrt tensorrt-rtx]
        [--sizes 1280x720 1920x1080 3840x2160] [--seconds 3] [--film clip.mp4] [--tier fast]
        [--quick]

For each engine and size: the network by itself, repeatedly on the device (`kernel`); frames with
their copies from and to host memory, with as many in flight as the engine takes (`copies`); one
frame at a time, from host memory and back (`latency`). Engines take turns, five times, and medians
count. Each frame comes with its canvas, of medium strokes; `kernel in GPU memory` is the network
that makes the canvas itself, for frames that never leave the GPU. With --film, whole films too:
decoded and painted, and also encoded with libx264 (veryfast). PyTorch runs the same network in half
precision, channels last.

The roofline: operations are counted from the ONNX model's convolutions; bytes are what must cross
the GPU's memory if every layer except convolutions is fused; the ceilings are a large matrix
product in half precision and a large copy, measured in the same run. `share` is the time that the
roofline allows divided by the time taken. Parity is against float32 on the CPU.

Engines that are not installed are skipped, with the reason. Writes benchmarks/results/gpu.json, .md
and .png; for the fast tier gpu-fast.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from record import USUAL_SHAPE, add_usual, in_one_line, keep, machine, run, sized

from realtime_style.canvas import canvas_size
from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Engine, GpuEngine, Planes
from realtime_style.engines.graphs.precision import typed_model
from realtime_style.engines.opening import open_engine, open_gpu_engine
from realtime_style.engines.registry import ENGINES, engine_trouble
from realtime_style.engines.tensorrt.builder import input_shapes
from realtime_style.engines.tensorrt.cuda import CudaPython
from realtime_style.errors import EngineError, StyleError
from realtime_style.frame import FramePool, Size
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.pipeline import Pipeline
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import frame_from_rgb, reduced_frame
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.bundled import STANDARD, TIERS, open_style
from realtime_style.style.look import Look
from realtime_style.style.style import Style
from realtime_style.tools.demo import draw_scene
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.sharp import FoldedSharpGenerator, HeadConfig, SharpGenerator

STYLE = "starry-night"
TORCH = ("torch", "torch-compiled")
SIZES = ("1280x720", "1920x1080", "3840x2160")
REPEATS = 5
LEAST_LATENCIES = 5  # a run

_FIRST_LAYERS = ("recolor.first", "range.first")

Painted = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Subject(Protocol):
    """What is measured: an engine, or PyTorch."""

    in_flight: int

    def begin(
        self, planes: Planes, out_luma: NDArray[np.uint8], out_chroma: NDArray[np.uint8]
    ) -> Callable[[], None]:
        """See `Engine.begin`."""

    def kernel_s(self, width: int, height: int, runs: int) -> float:
        """Seconds per picture, of the network by itself."""


class HalfPlanes(torch.nn.Module):
    """A generator in half precision, uint8 planes in and out."""

    def __init__(self, folded: torch.nn.Module) -> None:
        super().__init__()
        self.folded = folded.half()

    def forward(self, *planes: torch.Tensor) -> list[torch.Tensor]:
        """Computes what the style file computes, from the planes of `Planes`."""
        painted = self.folded(*planes)
        return [plane.round().clamp(0, 255).byte() for plane in painted]


class TorchSubject:
    """The same network in PyTorch, in half precision on the GPU."""

    in_flight = 1

    def __init__(self, style: Style, compiled: bool) -> None:
        planes = HalfPlanes(network_of(style)).eval().cuda()
        planes = planes.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Any = planes
        if compiled:  # once per size, as its user would
            self.network = torch.compile(planes, mode="max-autotune", dynamic=False)

    def begin(
        self, planes: Planes, out_luma: NDArray[np.uint8], out_chroma: NDArray[np.uint8]
    ) -> Callable[[], None]:
        """Paints before it returns."""
        given = [torch.from_numpy(plane).pin_memory().cuda(non_blocking=True) for plane in planes]
        with torch.inference_mode():
            painted = self.network(*given)
        for out, tensor in zip((out_luma, out_chroma), painted, strict=True):
            torch.from_numpy(out).copy_(tensor)
        return lambda: None

    def kernel_s(self, width: int, height: int, runs: int) -> float:
        """Measured with CUDA events."""
        given = [torch.from_numpy(plane).cuda() for plane in picture(width, height)]
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.inference_mode():
            for _ in range(5):
                self.network(*given)
            begin.record()  # type: ignore[no-untyped-call]
            for _ in range(runs):
                self.network(*given)
            end.record()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1000 / runs


class EngineSubject:
    """One of our engines."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.in_flight = engine.in_flight

    def begin(
        self, planes: Planes, out_luma: NDArray[np.uint8], out_chroma: NDArray[np.uint8]
    ) -> Callable[[], None]:
        """Passes the call on to the engine."""
        return self.engine.begin(planes, out_luma, out_chroma)

    def kernel_s(self, width: int, height: int, runs: int) -> float:
        """Only if the engine can compute without copies; otherwise NaN."""
        return kernel_s(self.engine, width, height, runs)


def kernel_s(engine: Engine, width: int, height: int, runs: int) -> float:
    """Seconds per picture of an engine without copies; NaN if it cannot compute without them."""
    engine.prepare((width, height), canvas_size(width, height))
    compute = getattr(engine, "compute_again", None)
    if compute is None:
        return float("nan")
    compute(5)
    begin = time.perf_counter()
    compute(runs)
    return (time.perf_counter() - begin) / runs


def network_of(style: Style) -> FoldedSharpGenerator:
    """The network of a bundled style in PyTorch, with the weights of its file."""
    shapes = style.shapes()
    trunk_channels, edge_channels = shapes["body.down.weight"][:2]
    recolor, ranges = (shapes[f"{name}.weight"][0] for name in _FIRST_LAYERS)
    body = Generator(GeneratorConfig(trunk_channels, edge_channels))
    folded = SharpGenerator(body, HeadConfig(recolor, ranges)).folded()
    # Biases that are 0 are not in the file
    weights = {name: torch.zeros_like(weight) for name, weight in folded.state_dict().items()}
    weights |= {name: torch.from_numpy(weight) for name, weight in style.weights().items()}
    folded.load_state_dict(weights | {"body.center": folded.body.center})
    return folded


def picture(width: int, height: int) -> Planes:
    """A drawn scene, with its canvas of medium strokes."""
    frame = frame_from_rgb(draw_scene(1.0, width, height), ColorSpace())
    canvas = reduced_frame(frame, canvas_size(width, height), VideoReformatter(), FramePool())
    return Planes(frame.luma, frame.chroma, canvas.luma, canvas.chroma)


def blank(given: Planes) -> Painted:
    """Planes to paint a picture into."""
    return np.zeros_like(given.luma), np.zeros_like(given.chroma)


@dataclass
class Measured:
    """The measurements of one subject at one size, run by run."""

    subject: Subject
    width: int
    height: int
    reference: Painted
    kernels_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Warms up."""
        self.given = picture(self.width, self.height)
        self.outs = [blank(self.given) for _ in range(self.subject.in_flight)]
        for out in self.outs:
            self.subject.begin(self.given, *out)()

    def run(self, seconds: float) -> None:
        """One run of everything, for about this many seconds."""
        self.kernels_s.append(self.subject.kernel_s(self.width, self.height, 50))
        end = time.perf_counter() + seconds / 2
        for i in count():
            begin = time.perf_counter()
            if begin > end and i >= LEAST_LATENCIES:
                break
            self.subject.begin(self.given, *self.outs[0])()
            self.latencies_s.append(time.perf_counter() - begin)
        self.rates.append(throughput(self.subject, self.given, self.outs, seconds / 2))

    def figures(self) -> dict[str, float]:
        """Medians of the runs, and the subject's parity with the reference."""
        kernel_s = statistics.median(self.kernels_s)
        error = np.concatenate(
            [
                (painted.astype(float) - wanted).ravel()
                for painted, wanted in zip(self.outs[0], self.reference, strict=True)
            ]
        )
        kernel = {"kernel_ms": 1000 * kernel_s, "kernel_fps": 1 / kernel_s}
        return ({} if math.isnan(kernel_s) else kernel) | {
            "copies_fps": statistics.median(self.rates),
            "copies_fps_least": min(self.rates),
            "copies_fps_most": max(self.rates),
            "latency_ms": 1000 * statistics.median(self.latencies_s),
            "latency_99_ms": 1000 * float(np.percentile(self.latencies_s, 99)),
            "parity_db": float(10 * np.log10(255**2 / max(1e-9, np.square(error).mean()))),
        }


def throughput(subject: Subject, given: Planes, outs: list[Painted], seconds: float) -> float:
    """Frames per second, with as many in flight as the subject takes."""
    waits: list[Callable[[], None]] = []
    frames = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        waits.append(subject.begin(given, *outs[frames % subject.in_flight]))
        frames += 1
        if len(waits) == subject.in_flight:
            waits.pop(0)()
    for wait in waits:
        wait()
    return frames / (time.perf_counter() - begin)


class Discard:
    """A sink that discards every frame."""

    def __enter__(self) -> Discard:
        return self

    def __exit__(self, *error: object) -> None: ...

    def write(self, frame: Any) -> None:
        """Discards the frame."""


def whole_film(style: Style, engine: Engine, film: Path, stability: float) -> dict[str, float]:
    """Frames per second of a film: decoded and painted, and also encoded."""
    rates = {}
    for name in ("discarded", "encoded"):
        with tempfile.TemporaryDirectory() as folder, FileSource(film) as source:
            stylizer = Stylizer(style, engine, source.info.color)
            painter = build_painter(PaintPlan(stability=stability), stylizer=stylizer)
            painter.prepare((source.info.width, source.info.height))
            sink: Any = Discard()
            if name == "encoded":
                sink = FileSink(Path(folder) / "out.mp4", source.info)
            begin = time.perf_counter()
            with sink:
                stats = Pipeline(source, painter, sink).run()
            rates[f"film_{name}_fps"] = stats.frames / (time.perf_counter() - begin)
    return rates


def film_on_gpu(film: Path, engine: str, tier: str) -> float:
    """Frames per second of a film whose frames stay in GPU memory."""
    with tempfile.TemporaryDirectory() as folder:
        plan = PaintPlan(Look(STYLE, tier=tier), EngineChoice(engine))
        request = FilmRequest(str(film), f"{folder}/out.mp4", plan, residency="gpu")
        with open_film(request) as job:
            job.prepare()
            begin = time.perf_counter()
            frames = job.run().stats.frames
        return frames / (time.perf_counter() - begin)


def kernel_on_gpu(engine: Engine, style: Style, width: int, height: int) -> dict[str, float]:
    """Milliseconds per picture in GPU memory, whose canvas the engine makes itself."""
    if not isinstance(engine, GpuEngine):
        return {}
    choice = EngineChoice(engine.name)
    on_gpu = open_gpu_engine(style.model_for(style.color), CudaPython(0), choice)
    return {"kernel_on_gpu_ms": 1000 * kernel_s(on_gpu, width, height, 50)}


def operations(model: onnx.ModelProto, width: int, height: int) -> tuple[float, float]:
    """Operations of one picture, and bytes that its half-precision convolutions read and write."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    size = width, height
    shapes_in = input_shapes(size, canvas_size(*size), gpu_frames=False)
    for value in (*sized.graph.input, *sized.graph.output):
        dims = value.type.tensor_type.shape.dim
        shape = shapes_in[value.name.removeprefix("painted_")]
        for dim, side in zip(dims, shape, strict=True):
            dim.dim_value = side
    graph = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    counted, moved = 0.0, 0.0
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        given, weight, painted = (
            float(np.prod(shapes[name])) for name in (*node.input[:2], node.output[0])
        )
        _, inner, *kernel = shapes[node.input[1]]
        counted += 2 * painted * inner * float(np.prod(kernel))
        moved += 2 * (given + weight + painted)
    return counted, moved


def ceilings() -> dict[str, float]:
    """Operations per second of a large half-precision product, bytes per second of a large copy."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    b = torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
    c = torch.empty_like(b)

    def best_s(work: Callable[[], object]) -> float:
        times = []
        for _ in range(8):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(10):
                work()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - begin) / 10)
        return min(times)

    return {
        "operations_s": 2 * 8192**3 / best_s(lambda: a @ a),
        "bytes_s": 2 * b.numel() / best_s(lambda: c.copy_(b)),
    }


def subject_of(name: str, style: Style) -> Subject:
    """Opens what a name stands for; raises EngineError if it is not available."""
    if name in TORCH:
        if not torch.cuda.is_available():
            raise EngineError("PyTorch finds no GPU")
        return TorchSubject(style, name == "torch-compiled")
    if trouble := engine_trouble(name):
        raise EngineError(trouble)
    return EngineSubject(open_engine(style.model_for(style.color), EngineChoice(name)))


@contextmanager
def leaving_out(what: str, left_out: dict[str, str]) -> Iterator[None]:
    """Skips whatever fails in this block, noting and printing the reason."""
    try:
        yield
    except (StyleError, RuntimeError) as error:  # the latter of PyTorch
        left_out[what] = str(error).strip().splitlines()[0]
        print(f"{what}: skipped: {error}", flush=True)


def measure_sizes(
    subjects: dict[str, Subject],
    style: Style,
    sizes: list[tuple[int, int]],
    seconds: float,
    limits: dict[str, float],
    left_out: dict[str, str],
) -> list[dict[str, Any]]:
    """Measures pictures of each size; all subjects take turns, REPEATS times.

    Args:
        seconds: about how long each subject is measured at each size.
        limits: see `ceilings`; empty without PyTorch on a GPU.
        left_out: gets the reason for every failure.
    """
    model = onnx.load_model_from_string(typed_model(style.model_for(style.color), "f16"))
    cpu = open_engine(
        style.model_for(style.color),
        EngineChoice("openvino" if not engine_trouble("openvino") else "onnxruntime", "f32"),
    )
    rows = []
    for width, height in sizes:
        counted, moved = operations(model, width, height)
        given = picture(width, height)
        reference = blank(given)
        cpu.infer(given, *reference)
        size = f"{width}x{height}"
        compared = {}
        for name, subject in subjects.items():
            with leaving_out(f"{name}, {size}", left_out):
                compared[name] = Measured(subject, width, height, reference)
        for _ in range(REPEATS):
            for name, each in list(compared.items()):
                with leaving_out(f"{name}, {size}", left_out):
                    each.run(seconds / REPEATS)
                if f"{name}, {size}" in left_out:
                    del compared[name]
        for name, each in compared.items():
            row: dict[str, Any] = {"engine": name, "size": size}
            row |= each.figures()
            if isinstance(each.subject, EngineSubject):
                with leaving_out(f"{name} on the GPU, {size}", left_out):
                    row |= kernel_on_gpu(each.subject.engine, style, width, height)
            if limits and "kernel_ms" in row:
                floor_s = max(counted / limits["operations_s"], moved / limits["bytes_s"])
                row |= {"roofline_ms": 1000 * floor_s, "share": 1000 * floor_s / row["kernel_ms"]}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def measure_film(
    subjects: dict[str, Subject], style: Style, film: Path, stability: float, tier: str,
    left_out: dict[str, str],
) -> list[dict[str, Any]]:  # fmt: skip
    """Measures a whole film with each engine, and in GPU memory where the engine can."""
    rows = []
    for name, subject in subjects.items():
        if not isinstance(subject, EngineSubject):
            continue
        row: dict[str, Any] = {"engine": name, "size": film.name}
        with leaving_out(f"{name}, {film.name}", left_out):
            with FileSource(film) as source:
                color = source.info.color
            engine = open_engine(style.model_for(color), EngineChoice(name))
            row |= whole_film(style, engine, film, stability)
        if isinstance(subject.engine, GpuEngine):
            with leaving_out(f"{name} on the GPU, {film.name}", left_out):
                row["film_on_gpu_fps"] = film_on_gpu(film, name, tier)
        if len(row) > 2:
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def parsed_arguments() -> argparse.Namespace:
    """The command line's options."""
    names = [*TORCH, *(name for name, kind in ENGINES.items() if kind.is_nvidia)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--engines", nargs="+", default=names, choices=names, help="the engines to measure"
    )
    parser.add_argument(
        "--sizes", nargs="+", type=sized, default=list(map(Size.parse, SIZES)),
        help="picture sizes, such as 1280x720",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=3, help="seconds per engine and size")
    parser.add_argument("--film", type=Path, help="also paint this film as a whole")
    parser.add_argument("--stability", type=float, default=0.0, help="stability of whole films")
    parser.add_argument("--tier", choices=TIERS, default=STANDARD)
    add_usual(parser)
    return parser.parse_args()


def main() -> None:
    """Measures, prints, and writes benchmarks/results/gpu.json and .md."""
    arguments = parsed_arguments()
    seconds, tier = arguments.seconds / (10 if arguments.quick else 1), arguments.tier
    style = open_style(STYLE, tier)
    limits = ceilings() if torch.cuda.is_available() else {}
    subjects: dict[str, Subject] = {}
    left_out: dict[str, str] = {}
    for name in arguments.engines:
        with leaving_out(name, left_out):
            subjects[name] = subject_of(name, style)
    rows: list[dict[str, Any]] = []
    if subjects:
        sizes = [each.of(*USUAL_SHAPE) for each in arguments.sizes]
        rows += measure_sizes(subjects, style, sizes, seconds, limits, left_out)
    if arguments.film:
        stability = arguments.stability
        rows += measure_film(subjects, style, arguments.film, stability, tier, left_out)
    if not rows:
        raise SystemExit("error: nothing could be measured here")
    about = machine() | {"gpu": gpu(), "torch": torch.__version__, "tier": tier}
    markdown = table(about, rows, left_out)
    print(markdown)
    if not arguments.quick:
        result = {"machine": about, "ceilings": limits, "left_out": left_out, "rows": rows}
        name = "gpu" if tier == STANDARD else f"gpu-{tier}"
        keep(name, result, markdown, lambda file: plot(rows, file), arguments.out)


def gpu() -> str:
    """Name and driver, from nvidia-smi."""
    asked = ["nvidia-smi", "--query-gpu=name,driver_version,power.limit", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "none"


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draws frames per second with copies per engine and size, least to most of the runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if "copies_fps" in row][::-1]
    names = [f"{row['engine']}, {row['size']}" for row in shown]
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(shown) + 1), layout="constrained")
    axes.barh(names, [row["copies_fps"] for row in shown], color="tab:blue", alpha=0.6)
    for place, row in enumerate(shown):
        axes.plot([row["copies_fps_least"], row["copies_fps_most"]], [place, place], "k-")
        axes.annotate(f"  {row['copies_fps']:.0f}", (row["copies_fps_most"], place), va="center")
    axes.set_xlabel("frames per second, with copies")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


def table(about: dict[str, Any], rows: list[dict[str, Any]], left_out: dict[str, str]) -> str:
    """The figures as Markdown."""
    heads = {
        "engine": "engine", "size": "size", "kernel_ms": "kernel, ms", "kernel_fps": "kernel, fps",
        "kernel_on_gpu_ms": "kernel in GPU memory, ms",
        "share": "share of the roofline", "copies_fps": "with copies, fps",
        "latency_ms": "latency, ms", "latency_99_ms": "99 %", "parity_db": "parity, dB",
        "film_discarded_fps": "film painted, fps", "film_encoded_fps": "and encoded, fps",
        "film_on_gpu_fps": "encoded on the GPU, fps",
    }  # fmt: skip
    lines = [
        f"`python benchmarks/gpu.py`, style {STYLE}, half precision; " + in_one_line(about),
        "",
        "| " + " | ".join(heads.values()) + " |",
        "|---" * len(heads) + "|",
    ]
    for row in rows:
        cells = []
        for name in heads:
            value = row.get(name, "")
            cells.append(f"{value:.3g}" if isinstance(value, float) else str(value))
        lines.append("| " + " | ".join(cells) + " |")
    if left_out:
        lines += ["", *(f"Skipped: {name}: {reason}" for name, reason in left_out.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
