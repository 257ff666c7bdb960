"""Frame rate of whole jobs: tiers, sizes and precisions, and a published network run by others.

    python benchmarks/frame_rate.py                          # a film that the script draws
    python benchmarks/frame_rate.py --film clip.mp4 --peer candy.onnx

Every figure comes from a separate process, timed from its start to its end. Everything compared is
run in turn, several times, and the median counts; runs that other processes disturbed are repeated
(quiet.py). Writes frame_rate.json, .md and .png to a folder of benchmarks/results for this kind of
CPU (amx, vnni). `--quick` only tries the script. Needs the extras [train] (for the plot and PyTorch
as a peer) and [onnxruntime]; a published network reads and writes with OpenCV, as its users do.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import av
import numpy as np
import openvino
from packaging.requirements import Requirement
from painters import painter_of
from peers import PEERS, open_peer
from quiet import Measured, measure
from record import RESULTS, add_usual, counted, in_one_line, keep, machine, run

from realtime_style.canvas import canvas_size
from realtime_style.frame import Frame, Size
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.pipeline import RunStats
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.grain import Grain
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.steady import Steady
from realtime_style.stages import Pending
from realtime_style.style.look import Look
from realtime_style.system.cores import usable_cores
from realtime_style.tools.demo import RATE, draw_scene, write_tune

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
LOOP_S = 4
SETTLED = 100  # frames after which memory should not grow
BASELINE = "ONNX Runtime"
"""The peer with which a published network is usually run."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job to measure: a size, options of `realtime-style video`, and a part of the frames."""

    name: str
    size: str = "720p"
    options: tuple[str, ...] = ()
    part: float = 1.0


CASES = (
    Case("standard, 720p"),
    Case("fast, 720p", options=("--tier", "fast")),
    Case("fast, 720p, veryfast", options=("--tier", "fast", "--preset", "veryfast")),
    Case("standard, 1080p", "1080p", part=0.34),
    Case("fast, 1080p", "1080p", ("--tier", "fast"), part=0.5),
    Case("standard, 720p, bf16", options=("--precision", "bf16"), part=0.34),
    Case("standard, 720p, f32", options=("--precision", "f32"), part=0.2),
    Case("fast, 720p, f32", options=("--tier", "fast", "--precision", "f32"), part=0.34),
)


def watched(text: str) -> int:
    """The type of `--memory-frames`: 0, or enough to tell growth from start-up."""
    if not text.isdecimal() or 0 < int(text) <= SETTLED:
        raise argparse.ArgumentTypeError(f"'{text}' must be 0 or a number above {SETTLED}")
    return int(text)


def write_clip(path: Path, film: Path | None, frames: int, size: str) -> None:
    """Writes a clip with sound that loops the first seconds of the film, or of a drawn one."""
    width, height = SIZES[size]
    if film is None:
        pictures = [
            av.VideoFrame.from_ndarray(draw_scene(i / RATE, width, height), "rgb24")
            for i in range(LOOP_S * RATE)
        ]
    else:
        with av.open(str(film)) as source:
            pictures = []
            for frame in source.decode(video=0):
                pictures.append(frame.reformat(width, height, "yuv420p"))
                if len(pictures) == LOOP_S * RATE:
                    break
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        sound = clip.add_stream("aac", rate=48_000, layout="stereo")
        for i in range(frames):
            picture = pictures[i % len(pictures)].reformat(format="yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, RATE)
            clip.mux(stream.encode(picture))
        clip.mux(stream.encode(None))
        write_tune(clip, sound, frames / RATE)


def stage_decode(clip: Path, tier: str) -> int:
    """Decodes as the job does."""
    frames = 0
    with FileSource(clip) as source:
        for frame in source:
            frame.release()
            frames += 1
    return frames


def stage_grain(clip: Path, tier: str) -> int:
    """Lays grain under the canvases of all frames."""
    frames, used_s, grain = 0, 0.0, Grain()
    with FileSource(clip) as source:
        width, height = canvas_size(source.info.width, source.info.height)
    with FileSource(clip, size=Size(height, width)) as source:
        for frame in source:
            start = time.thread_time()
            grain.lay_under(frame)
            used_s += time.thread_time() - start
            frames += 1
    print(json.dumps({"cpu_s": used_s}))
    return frames


def stage_consistency(clip: Path, tier: str) -> int:
    """Holds paintings of all frames still; a painting is the frame itself."""
    frames, used_s, steady = 0, 0.0, Steady(_Untouched())
    with FileSource(clip) as source:
        for frame in source:
            start = time.thread_time()
            steady.begin(frame)()
            used_s += time.thread_time() - start
            frames += 1
    print(json.dumps({"cpu_s": used_s}))
    return frames


class _Untouched:
    """A painter that returns copies of the frames."""

    in_flight = 1

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None: ...

    def reset(self) -> None: ...

    def cancel(self) -> None: ...

    def begin(self, frame: Frame) -> Pending[Frame]:
        copy = Frame(frame.i420.copy(), frame.pts, frame.time_base, frame.color, frame.duration)
        return lambda: copy


def stage_paint(clip: Path, tier: str, precision: str = "auto", part: float = 1.0) -> int:
    """Paints one real frame repeatedly, with grain, but each by itself."""
    with FileSource(clip) as source:
        frame = next(iter(source))
        frames = max(2, round((source.info.frames or 0) * part))
        stylizer = painter_of(Look(tier=tier), color=source.info.color, precision=precision)
        stylizer(frame).release()  # warm-up
        start = time.process_time()
        for _ in range(frames):
            stylizer(frame).release()
        print(json.dumps({"cpu_s": time.process_time() - start}))
    return frames


def stage_paint_f32(clip: Path, tier: str) -> int:
    """The same in float32, with a quarter of the frames."""
    return stage_paint(clip, tier, "f32", 0.25)


def stage_encode(clip: Path, tier: str) -> int:
    """Encodes a few real painted frames in turn, as the job does."""
    with FileSource(clip) as source, tempfile.TemporaryDirectory() as folder:
        stylizer = painter_of(Look(tier=tier), color=source.info.color)
        painted = [stylizer(frame) for frame, _ in zip(source, range(24), strict=False)]
        start = time.process_time()
        with FileSink(Path(folder) / "out.mp4", source.info) as sink:
            for i in range(source.info.frames or 0):
                shown = painted[i % len(painted)]
                sink.write(Frame(shown.i420, i, Fraction(1, RATE), shown.color))
        print(json.dumps({"cpu_s": time.process_time() - start}))
        return sink.frames


def stage_memory(clip: Path, tier: str) -> int:
    """Runs the job and prints resident memory at frame SETTLED and at the last frame."""
    resident: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_film(FilmRequest(str(clip), f"{folder}/out.mp4", PaintPlan(Look(tier=tier)))) as job,
    ):
        stats = job.run(_Resident(resident)).stats
    print(json.dumps(resident))
    return stats.frames


class _Resident:
    """Notes resident memory as frames are written."""

    def __init__(self, resident: dict[str, float]) -> None:
        self.resident = resident

    def on_build(self, part: float) -> None: ...

    def on_plan(self, frames: int) -> None: ...

    def on_frame(self, stats: RunStats) -> None:
        self.resident.update(_resident(stats.frames))


def _resident(frames: int) -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    key = "first_mb" if frames <= SETTLED else "last_mb"
    return {key: pages * resource.getpagesize() / 1e6}


def stage_peer(clip: Path, kind: str, network: str) -> int:
    """A published network run the usual way: OpenCV in, float BGR, a peer, OpenCV out."""
    import cv2

    capture = cv2.VideoCapture(str(clip))
    size = tuple(int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    paint = open_peer(kind, network, *size)
    frames, begin = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        writer = cv2.VideoWriter(f"{folder}/out.mp4", cv2.VideoWriter.fourcc(*"mp4v"), RATE, size)
        while True:
            found, picture = capture.read()
            if not found:
                break
            y = paint(picture.transpose(2, 0, 1)[None].astype(np.float32))
            writer.write(y[0].clip(0, 255).transpose(1, 2, 0).astype(np.uint8))
            frames += 1
            begin = begin or time.perf_counter()
        writer.release()
    # from the first picture on: a peer's compilation does not count
    print(json.dumps({"fps": (frames - 1) / (time.perf_counter() - begin)}))
    return frames


STAGES = {
    "decode": stage_decode,
    "paint": stage_paint,
    "paint-f32": stage_paint_f32,
    "grain": stage_grain,
    "consistency": stage_consistency,
    "encode": stage_encode,
    "memory": stage_memory,
}


def job_row(case: Case, clips: dict[str, Path], folder: Path, frames: int) -> dict[str, Any]:
    """One run of a case: the process's times and its own report."""
    count = max(2, round(frames * case.part))
    command = [sys.executable, "-m", "realtime_style", "video", str(clips[case.size])]
    command += [str(folder / "out.mp4"), "--json", "-q", "-y", "--duration", f"{count / RATE:.4f}"]
    found = measure([*command, *case.options])
    row = {key: found.report[key] for key in ("engine", "precision", "peak_memory_mb", "frames")}
    frames = row["frames"]
    return (
        row | {"fps": frames / found.wall_s, "cpu_ms": 1e3 * found.cpu_s / frames} | others(found)
    )


def others(found: Measured) -> dict[str, float]:
    """The entry of a row that says how much of the machine other processes took."""
    return {} if math.isnan(found.others) else {"others": round(found.others, 3)}


def medians(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Makes a row from several runs."""
    row: dict[str, Any] = {"name": name, **runs[0]}
    for figure, digits in (("fps", 2), ("cpu_ms", 1), ("peak_memory_mb", 0)):
        if figure in row:
            row[figure] = round(statistics.median(run[figure] for run in runs), digits)
    row["fps_of_runs"] = [round(run["fps"], 2) for run in runs]
    if "others" in row:
        row["others"] = max(run["others"] for run in runs)
    return row


def stages(clip: Path, tier: str, runs: int) -> dict[str, float]:
    """CPU milliseconds per frame of each stage by itself."""
    found: dict[str, float] = {}
    for name in ("decode", "grain", "consistency", "paint", "encode", "paint-f32"):
        times_ms = []
        for _ in range(runs):
            command = [sys.executable, __file__, "--stage", name, "--clip", str(clip)]
            job = measure([*command, "--tier", tier])
            times_ms.append(1e3 * job.report.get("cpu_s", job.cpu_s) / job.report["frames"])
        found[f"{name.replace('-', '_')}_cpu_ms"] = round(statistics.median(times_ms), 2)
    return found


def installed_mb() -> float:
    """Disk space of the program and its dependencies, without extras, in MB."""
    names, files = ["realtime-style"], 0
    for name in names:  # grows
        for text in distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                known = needed.name.lower().replace("_", "-")
                names += [known] if known not in names else []
    for name in names[1:]:
        for file in distribution(name).files or ():
            place = Path(str(file.locate()))
            files += place.stat().st_size if place.is_file() else 0
    own = Path(sys.modules["realtime_style"].__file__ or "").parent
    shipped = (f for f in own.rglob("*") if f.is_file() and f.suffix in (".py", ".onnx", ".json"))
    return (files + sum(file.stat().st_size for file in shipped)) / 1e6


def parsed() -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "--film", type=Path, help="the film to loop; default: one that the script draws"
    )
    parser.add_argument(
        "--frames", type=counted, default=900, help="frames per job; slow jobs take fewer"
    )
    parser.add_argument(
        "--runs", type=counted, default=3, help="runs of everything compared, in turn"
    )
    parser.add_argument("--peer", type=Path, help="a published network (BGR float 0..255, ONNX)")
    parser.add_argument("--peer-frames", type=counted, default=30, help="frames per job of a peer")
    parser.add_argument(
        "--memory-frames",
        type=watched,
        default=10_000,
        help="frames over which memory is watched; 0: skip",
    )
    add_usual(parser)
    parser.add_argument("--stage", choices=[*STAGES, *PEERS], help=argparse.SUPPRESS)
    parser.add_argument("--tier", help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for given in (options.film, options.peer):
        if given and not given.is_file():
            parser.error(f"there is no file {given}")
    if options.quick:
        options.frames, options.runs, options.peer_frames, options.memory_frames = 60, 1, 4, 300
    return options


def main() -> None:
    """Measures everything and writes the results."""
    options = parsed()
    if options.stage in STAGES:
        print(json.dumps({"frames": STAGES[options.stage](options.clip, options.tier)}))
        return
    if options.stage:
        stage_peer(options.clip, options.stage, str(options.peer))
        return
    result: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {size: folder / f"{size}.mp4" for size in SIZES}
        for size, clip in clips.items():
            count = options.memory_frames if size == "360p" else options.frames
            write_clip(clip, options.film, count, size)
        result |= measured_jobs(options, clips, folder)
        result["stages"] = measured_stages(clips["720p"], result["rows"], options.runs)
        if options.memory_frames:
            result["resident_mb"] = measured_memory(clips["360p"], options.memory_frames)
    result["installed_mb"] = round(installed_mb(), 1)
    print(table(result))
    if not options.quick:
        folder = options.out / cpu_kind() if options.out == RESULTS else options.out
        keep("frame_rate", result, table(result), lambda file: plot(result, file), folder)


def measured_jobs(
    options: argparse.Namespace, clips: dict[str, Path], folder: Path
) -> dict[str, Any]:
    """Rates of all jobs and of the published network, run in turn, and the time to start."""
    short = folder / "short.mp4"
    write_clip(short, options.film, options.peer_frames, "720p")
    runs: dict[str, list[dict[str, Any]]] = {}
    starts = []
    cases = [case for case in CASES if "bf16" not in case.options or has_bf16()]
    for _ in range(options.runs):
        for case in cases:
            runs.setdefault(case.name, []).append(job_row(case, clips, folder, options.frames))
            print(f"{case.name}: {runs[case.name][-1]['fps']:.2f} fps", flush=True)
        for kind in PEERS if options.peer else ():
            command = [sys.executable, __file__, "--stage", kind, "--clip", str(short)]
            peer = measure([*command, "--peer", str(options.peer)])
            runs.setdefault(kind, []).append(peer.report | others(peer))
            print(f"{kind}: {peer.report['fps']:.3f} fps", flush=True)
        starts.append(
            job_row(Case("start", part=2 / options.frames), clips, folder, options.frames)
        )
    rows = [medians(name, found) for name, found in runs.items()]
    baseline = next((row["fps"] for row in rows if row["name"] == BASELINE), None)
    for row in rows if baseline else ():
        row["times_the_published_network"] = round(row["fps"] / baseline, 2)
    start_s = statistics.median(run["frames"] / run["fps"] for run in starts)
    return {"rows": rows, "start_s": round(start_s, 3)}


def cpu_kind() -> str:
    """The folder of the results for CPUs like this one: amx, vnni, or other."""
    flags = machine()["instructions"].split()
    return next((kind for kind in ("amx", "vnni") if any(kind in flag for flag in flags)), "other")


def has_bf16() -> bool:
    """Whether this CPU computes in bfloat16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def measured_stages(clip: Path, rows: list[dict[str, Any]], runs: int) -> list[dict[str, Any]]:
    """CPU time of each stage by itself, and how far the job is from an even share of them."""
    cores, found = usable_cores(), []
    for tier in ("standard", "fast"):
        name = f"{tier}, 720p"
        alone = stages(clip, tier, runs)
        fps = next(row["fps"] for row in rows if row["name"] == name)
        f32_ms = alone["paint_f32_cpu_ms"]
        counted_twice = f32_ms + alone["grain_cpu_ms"]  # painting has its grain
        share = 1e3 / fps / ((sum(alone.values()) - counted_twice) / cores)
        found.append(
            {
                "name": name,
                **alone,
                "paint_times_f32": round(f32_ms / alone["paint_cpu_ms"], 2),
                "wall_over_stages_by_cores": round(share, 3),
            }
        )
    return found


def measured_memory(clip: Path, frames: int) -> dict[str, float]:
    """Resident memory early in a job and at its end, in MB."""
    command = [sys.executable, __file__, "--stage", "memory", "--clip", str(clip)]
    report = measure([*command, "--tier", "fast"]).report
    return {
        f"at frame {SETTLED}": round(report["first_mb"], 1),
        f"at frame {frames}": round(report["last_mb"], 1),
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "# Frame rate of the whole job",
        "",
        f"`{result['command']}`; {in_one_line(result['machine'])}",
        "",
        "Decoded, painted and encoded with libx264 (its default unless stated otherwise), sound",
        "copied, from the start of the process to its end. Peers: a published network between",
        "OpenCV's reader and writer at 720p, from its first picture on. Others: the largest share",
        "of the machine that other processes took in a run.",
        "",
        "| what | precision | fps | runs | CPU, ms per frame | peak, MB | times the published |"
        " others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [row["name"], row.get("precision", ""), f"{row['fps']:.2f}"]
        cells += [", ".join(map(str, row["fps_of_runs"])), row.get("cpu_ms", "")]
        cells += [row.get("peak_memory_mb", ""), row.get("times_the_published_network", "")]
        cells.append(f"{row['others']:.1%}" if "others" in row else "")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        "CPU milliseconds per frame of each stage by itself; wall time divided by an even share:",
        "",
    ]
    for row in result["stages"]:
        figures = ", ".join(f"{key} {value}" for key, value in row.items() if key != "name")
        lines.append(f"- {row['name']}: {figures}")
    if "resident_mb" in result:
        held = ", ".join(f"{value} MB {when}" for when, value in result["resident_mb"].items())
        lines.append(f"- resident, fast tier, 360p: {held}")
    lines.append(f"- two frames, start and end of the process included: {result['start_s']} s")
    lines.append(f"- installed, without extras: {result['installed_mb']} MB")
    return "\n".join(lines) + "\n"


def plot(result: dict[str, Any], file: Path) -> None:
    """Draws bars of all rows, with the runs as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = result["rows"][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(rows) + 1), layout="constrained")
    colors = ["tab:blue" if "engine" in row else "tab:gray" for row in rows]
    axes.barh([row["name"] for row in rows], [row["fps"] for row in rows], color=colors, alpha=0.6)
    for place, row in enumerate(rows):
        axes.plot(row["fps_of_runs"], [place] * len(row["fps_of_runs"]), "k.", markersize=3)
        axes.annotate(f"  {row['fps']:.1f}", (max(row["fps_of_runs"]), place), va="center")
    axes.set_xlabel("frames per second, whole job (grey: a published network, by other programs)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    run(main)
