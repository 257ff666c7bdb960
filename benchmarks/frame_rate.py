"""The whole job's frame rate, against its stages alone and against a published network.

    python benchmarks/frame_rate.py                          # a film that the program draws
    python benchmarks/frame_rate.py --film clip.mp4 --peer candy.onnx

Every figure is a process of its own, timed from its start to its end. Writes
benchmarks/results/frame_rate.json and .md. Needs the extras [train] and [onnxruntime] only for
--peer (OpenCV and ONNX Runtime run the published network as its users do).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import numpy as np

from realtime_style.demo import RATE, draw_scene, write_tune
from realtime_style.doctor import describe_cpu
from realtime_style.engines.cores import usable_cores
from realtime_style.frame import Frame
from realtime_style.runtime.sink import FileSink
from realtime_style.runtime.source import FileSource
from realtime_style.runtime.stylizer import open_stylizer
from realtime_style.runtime.video import VideoJob

RESULTS = Path(__file__).parent / "results"
WIDTH, HEIGHT = 1280, 720
LOOP_S = 4


def write_clip(path: Path, film: Path | None, frames: int) -> None:
    """A 720p clip with sound, looping the first seconds of the film, or of the drawn one."""
    if film is None:
        pictures = [
            av.VideoFrame.from_ndarray(draw_scene(i / RATE, WIDTH, HEIGHT), "rgb24")
            for i in range(LOOP_S * RATE)
        ]
    else:
        with av.open(str(film)) as source:
            pictures = []
            for frame in source.decode(video=0):
                pictures.append(frame.reformat(WIDTH, HEIGHT, "yuv420p"))
                if len(pictures) == LOOP_S * RATE:
                    break
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=RATE, options={"crf": "18", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = clip.add_stream("aac", rate=48_000, layout="stereo")
        for i in range(frames):
            picture = pictures[i % len(pictures)].reformat(format="yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, RATE)
            clip.mux(stream.encode(picture))
        clip.mux(stream.encode(None))
        write_tune(clip, sound, frames / RATE)


def stage_decode(clip: Path, style: str) -> int:
    """Decodes, as the job does."""
    frames = 0
    with FileSource(clip) as source:
        for frame in source:
            frame.release()
            frames += 1
    return frames


def stage_paint(clip: Path, style: str) -> int:
    """Paints one real frame again and again."""
    with FileSource(clip) as source:
        frame = next(iter(source))
        frames = source.info.frames or 0
        stylizer = open_stylizer(style, color=source.info.color)
        for _ in range(frames):
            stylizer(frame).release()
    return frames


def stage_encode(clip: Path, style: str) -> int:
    """Encodes real painted frames, a few in turn, as the job does."""
    with FileSource(clip) as source, tempfile.TemporaryDirectory() as folder:
        stylizer = open_stylizer(style, color=source.info.color)
        painted = [stylizer(frame) for frame, _ in zip(source, range(24), strict=False)]
        start = time.process_time()
        with FileSink(Path(folder) / "out.mp4", source.info) as sink:
            for i in range(source.info.frames or 0):
                shown = painted[i % len(painted)]
                sink.write(Frame(shown.i420, i, Fraction(1, RATE), shown.color))
        print(json.dumps({"cpu_s": time.process_time() - start}))
        return sink.frames


def stage_memory(clip: Path, style: str) -> int:
    """Runs the job and prints resident memory at frame 100 and at the last."""
    resident: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        VideoJob(clip, Path(folder) / "out.mp4", style) as job,
    ):
        stats = job.run(lambda s: resident.update(_resident(s.frames)))
    print(json.dumps(resident))
    return stats.frames


def _resident(frames: int) -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    key = "first_mb" if frames <= 100 else "last_mb"
    return {key: pages * resource.getpagesize() / 1e6}


def stage_peer(clip: Path, network: str) -> int:
    """A published network the usual way: OpenCV in, float BGR, ONNX Runtime, OpenCV out."""
    import cv2
    import onnx
    import onnxruntime

    model = onnx.load(network)
    weights = {tensor.name for tensor in model.graph.initializer}
    pictures = [value for value in model.graph.input if value.name not in weights]
    for value in (*pictures, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = HEIGHT, WIDTH
    del model.graph.value_info[:]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = pictures[0].name
    capture = cv2.VideoCapture(str(clip))
    frames = 0
    with tempfile.TemporaryDirectory() as folder:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(f"{folder}/out.mp4", fourcc, RATE, (WIDTH, HEIGHT))
        while True:
            found, picture = capture.read()
            if not found:
                break
            x = picture.transpose(2, 0, 1)[None].astype(np.float32)
            (y,) = session.run(None, {name: x})
            writer.write(y[0].clip(0, 255).transpose(1, 2, 0).astype(np.uint8))
            frames += 1
        writer.release()
    return frames


STAGES = {
    "decode": stage_decode,
    "paint": stage_paint,
    "encode": stage_encode,
    "memory": stage_memory,
    "peer": stage_peer,
}


def measure(arguments: list[str]) -> tuple[float, float, dict[str, Any]]:
    """Wall seconds, CPU seconds and the last JSON line of a process."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True)
    wall_s, after = time.perf_counter() - start, os.times()
    if done.returncode:
        sys.exit(f"{arguments} failed: {done.stderr[-2000:]}")
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    said: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            said |= json.loads(line)
    return wall_s, cpu_s, said


def main() -> None:
    """Measures everything and writes the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--film", type=Path, help="a film to loop; default: a drawn one")
    parser.add_argument("--style", default="starry-night")
    parser.add_argument("--frames", type=int, default=900)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer", type=Path, help="a published network (BGR float 0..255, ONNX)")
    parser.add_argument("--peer-frames", type=int, default=60)
    parser.add_argument("--memory-frames", type=int, default=3000)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        stage = STAGES[options.stage]
        frames = stage(options.clip, options.style)
        print(json.dumps({"frames": frames}))
        return

    def stage_of(name: str, clip: Path, style: str) -> tuple[float, float, dict[str, Any]]:
        command = [sys.executable, __file__, "--stage", name, "--clip", str(clip)]
        return measure([*command, "--style", style])

    result: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        clip, short, long = (Path(folder) / name for name in ("clip.mp4", "short.mp4", "long.mp4"))
        write_clip(clip, options.film, options.frames)
        write_clip(short, options.film, options.peer_frames)
        walls, cpus, peers = [], [], []
        for i in range(options.runs):
            job = [sys.executable, "-m", "realtime_style.cli", "video", str(clip)]
            job += [f"{folder}/out{i}.mp4", "--style", options.style, "--json", "-q"]
            wall_s, cpu_s, said = measure(job)
            walls.append(wall_s)
            cpus.append(cpu_s)
            print(f"job {i + 1}: {options.frames / wall_s:.2f} fps", flush=True)
            if options.peer:
                wall_s, _, peer = stage_of("peer", short, str(options.peer))
                peers.append(peer["frames"] / wall_s)
                print(f"published network {i + 1}: {peers[-1]:.3f} fps", flush=True)
        fps = options.frames / statistics.median(walls)
        result |= {key: said[key] for key in ("engine", "precision", "encoder", "peak_memory_mb")}
        result |= {
            "frames": options.frames,
            "fps": round(fps, 2),
            "fps_of_runs": [round(options.frames / wall, 2) for wall in walls],
            "cpu_ms_per_frame": round(1e3 * statistics.median(cpus) / options.frames, 1),
        }
        alone: dict[str, float] = {}
        for name in ("decode", "paint", "encode"):
            times = []
            for _ in range(options.runs):
                _, cpu_s, said = stage_of(name, clip, options.style)
                times.append(said.get("cpu_s", cpu_s))
            alone[name] = statistics.median(times)
        cores = usable_cores()
        ideal_s = sum(alone.values()) / cores
        result |= {
            "stage_alone_cpu_ms_per_frame": {
                name: round(1e3 * cpu_s / options.frames, 2) for name, cpu_s in alone.items()
            },
            "wall_over_stages_cpu_by_cores": round(statistics.median(walls) / ideal_s, 3),
        }
        if peers:
            result |= {
                "published_network_fps": round(statistics.median(peers), 3),
                "times_the_published_network": round(fps / statistics.median(peers), 2),
            }
        if options.memory_frames:
            write_clip(long, options.film, options.memory_frames)
            _, _, said = stage_of("memory", long, options.style)
            result["resident_mb"] = {
                "at frame 100": round(said["first_mb"], 1),
                f"at frame {options.memory_frames}": round(said["last_mb"], 1),
            }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "frame_rate.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "frame_rate.md").write_text(table(result))
    print(table(result))


def machine() -> dict[str, str]:
    """What the figures hold for."""
    cpu = describe_cpu()
    packages = ("realtime-style", "openvino", "av", "onnxruntime")
    return {
        "cpu": cpu["name"],
        "cores": str(cpu["cores"]),
        "instructions": " ".join(cpu["flags"]),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = [f"`{result['command']}`", "", "| figure | value |", "|---|---|"]
    for name, value in (*result["machine"].items(), *result.items()):
        if name in ("command", "machine"):
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(value, dict):
            shown = ", ".join(f"{key}: {figure}" for key, figure in value.items())
        rows.append(f"| {name.replace('_', ' ')} | {shown} |")
    return "# Frame rate of the whole job, 1280x720\n\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
