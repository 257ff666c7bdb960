"""Temporal consistency of painted films: flicker, beside the film's own, with sharpness and style.

    python benchmarks/stability.py DATA starry-night=starry.jpg candy.onnx=candy.jpg ...
    python benchmarks/stability.py DATA starry-night=starry.jpg --stability 0 0.25 0.5 0.75 1
    python benchmarks/stability.py DATA candy.onnx=candy.jpg starry-night=starry.jpg --film out.mp4
    python benchmarks/stability.py DATA starry-night=starry.jpg --cost

Each argument names a network, as for quality.py, and the painting that it learned; `@0` after a
network's name paints each frame by itself, `@0.5` with that stability (ours only; the default is
that of `video`). Ten real clips of DATA/videos are used, forty frames of each, the middle square at
720x720, the only size of published networks.

Warping error: the square root of the mean squared difference (RGB in 0..1) between a frame and the
one before it, or ten before, warped onto it by the film's optical flow (DIS), where flow is
reliable (forward-backward check and motion boundaries, as in Lai et al., ECCV 2018, and ReCoNet).
The film's own error, by the same measure, stands beside it. Noise gain: a still photo with new
sensor noise in every frame; standard deviation over time of the painting divided by that of the
input, each averaged over pixels. Sharpness: mean magnitude of luma's gradient, in codes per pixel.
Style: the term of quality.py on VGG-19, for every tenth frame. `--cost` instead measures the
processor time, of all cores together, that flicker reduction takes per frame, beside painting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from painters import painter_of
from PIL import Image
from quality import (
    PAINTING_PX,
    PHOTOS,
    PUBLISHED,
    Yardstick,
    look_of,
    name_of,
    open_painter,
    read_painting,
    read_square,
    tensor,
)
from record import add_pairs, add_usual, keep, machine, rows_of, run

from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame
from realtime_style.painting.steady import Steady
from realtime_style.stages import Painter
from realtime_style.style.bundled import FAST
from realtime_style.training.motion import flow_back

mpl.use("Agg")
import cv2
import matplotlib.pyplot as plt

SIDE_PX = 720
FRAMES = 40
LONG = 10
CLIPS = {  # name: first frame; moving cameras and still ones, people, animals, cars, drawings
    "lp_d18.mp4": 0,
    "lp_d3.mp4": 0,
    "lp_s13.mp4": 0,
    "lp_s32.mp4": 0,
    "cotracker_bear.mp4": 0,
    "cotracker_cat.mp4": 0,
    "imageio_cockatoo_yuv420.mp4": 0,
    "intel_car-detection.mp4": 0,
    "mdn_rabbit.mp4": 0,
    "udacity_solidWhiteRight.mp4": 0,
}
SIGMAS = (2.0, 5.0, 10.0)
NOISE_FRAMES, NOISE_WARM_UP = 16, 8

Rgb = NDArray[np.uint8]
FilmPainter = Callable[[list[Rgb]], list[Rgb]]


@dataclass
class Row:
    """One network's marks; lists have one figure per clip."""

    name: str
    painting: str
    frames: int
    short: float = 0.0
    long: float = 0.0
    of_film_short: float = 0.0
    of_film_long: float = 0.0
    noise_gain: list[float] = field(default_factory=list)
    sharpness: float = 0.0
    style: float = 0.0
    by_clip: dict[str, list[float]] = field(default_factory=dict)
    over_time: dict[str, list[float]] = field(default_factory=dict)


def read_clip(path: Path, first: int, count: int) -> list[Rgb]:
    """Reads frames of a film, the middle square of each at 720x720."""
    frames = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number < first:
                continue
            if len(frames) == count:
                break
            rgb = frame.to_ndarray(format="rgb24")
            short = min(rgb.shape[:2])
            top, left = ((side - short) // 2 for side in rgb.shape[:2])
            square = Image.fromarray(rgb[top : top + short, left : left + short])
            frames.append(np.asarray(square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)))
    return frames


def film_painter(network: str, precision: str = "f32") -> tuple[str, FilmPainter]:
    """A row's name, and a function that paints a film's frames in order."""
    base, _, at = network.partition("@")
    try:
        stylizer = painter_of(look_of(base), precision=precision)
    except StyleError:
        paint, _ = open_painter(base)
        return f"{PUBLISHED}{Path(base).stem}", lambda frames: [paint(frame) for frame in frames]
    stability = float(at) if at else DEFAULT_STABILITY

    def paint_film(frames: list[Rgb]) -> list[Rgb]:
        steady = Steady(stylizer, stability)
        given = (frame_from_rgb(rgb, stylizer.color) for rgb in frames)
        return [rgb_from_frame(steady.begin(frame)()) for frame in given]

    how = "alone" if not stability else f"stability {stability:g}"
    how += "" if precision == "f32" else f", {precision}"
    return f"{name_of(base)}, {how}", paint_film


@dataclass
class Motion:
    """Flow of a clip: where each pixel was in an earlier frame, and where that is reliable."""

    maps: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_]]]

    @classmethod
    def of(cls, frames: list[Rgb], distance: int) -> Motion:
        """Args: distance, in frames, between the two."""
        maps = {}
        y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
        # Long-distance flow starts at every fifth frame: it changes little between neighbours
        for i in range(distance, len(frames), 1 if distance == 1 else 5):
            flow, sure = flow_back(frames[i - distance], frames[i])
            maps[i] = (np.stack((x + flow[..., 0], y + flow[..., 1]), -1), sure)
        return cls(maps)

    def errors(self, frames: list[Rgb], distance: int) -> list[float]:
        """The warping error of each frame that has a flow."""
        found = []
        for i, (where, sure) in self.maps.items():
            if not sure.any():
                continue
            before = cv2.remap(frames[i - distance], where, None, cv2.INTER_LINEAR)
            change = (frames[i].astype(np.float32) - before.astype(np.float32))[sure] / 255
            found.append(float(np.sqrt(np.square(change).mean())))
        return found


def noise_gains(paint: FilmPainter, photo: Rgb) -> list[float]:
    """Noise gain at each level: variation of the painting divided by that of a still photo."""
    gains = []
    for sigma in SIGMAS:
        rng = np.random.default_rng(0)
        film = [
            (photo + sigma * rng.standard_normal(photo.shape)).round().clip(0, 255).astype(np.uint8)
            for _ in range(NOISE_FRAMES + NOISE_WARM_UP)
        ]
        deviations = [
            np.stack(frames[NOISE_WARM_UP:]).astype(np.float32).std(0).mean(-1)
            for frames in (film, paint(film))
        ]
        gains.append(float(deviations[1].mean() / deviations[0].mean()))
    return gains


def sharpness(rgb: Rgb) -> float:
    """Mean magnitude of luma's gradient, in codes per pixel."""
    luma = rgb @ np.array([0.2126, 0.7152, 0.0722])
    gy, gx = np.gradient(luma)
    return float(np.hypot(gy, gx).mean())


def main() -> None:
    """Measures, prints and writes a table, its figures and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_pairs(parser, "NETWORK")
    parser.add_argument("--precision", default="f32", help="precision of our networks")
    parser.add_argument(
        "--stability", type=float, nargs="+", metavar="0..1", help="levels; default: the program's"
    )
    parser.add_argument(
        "--clips", nargs="+", choices=CLIPS, default=list(CLIPS), help="only these clips"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames per clip")
    parser.add_argument(
        "--film", type=Path, help="only write each clip side by side with its paintings"
    )
    parser.add_argument(
        "--cost", action="store_true", help="only measure the CPU time of flicker reduction"
    )
    parser.add_argument(
        "--name", default="stability", help="name of the files in benchmarks/results"
    )
    add_usual(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips, arguments.frames = arguments.clips[:2], LONG + 2
    if arguments.film:
        side_by_side(arguments)
        return
    if arguments.cost:
        costs(arguments)
        return
    clips = {
        name: read_clip(arguments.data / "videos" / name, CLIPS[name], arguments.frames)
        for name in arguments.clips
    }
    motions = {
        name: (Motion.of(frames, 1), Motion.of(frames, LONG)) for name, frames in clips.items()
    }
    yardstick = Yardstick(arguments.data / "perceptual")
    photo = read_square(arguments.data / "photos" / PHOTOS[0], SIDE_PX)
    print("\n".join(HEAD))
    for network, painting in arguments.pairs:
        versions = (
            [f"{network}@{s:g}" for s in arguments.stability] if arguments.stability else [network]
        )
        for version in versions:
            begin = time.perf_counter()
            row = measure(version, arguments.precision, painting, clips, motions, yardstick, photo)
            if not arguments.quick:
                write(row, arguments.name, arguments.out)
            print(line(row), f"({time.perf_counter() - begin:.0f} s)", flush=True)


def measure(
    network: str,
    precision: str,
    painting: Path,
    clips: dict[str, list[Rgb]],
    motions: dict[str, tuple[Motion, Motion]],
    yardstick: Yardstick,
    photo: Rgb,
) -> Row:
    """Measures all marks of one network."""
    name, paint = film_painter(network, precision)
    row = Row(name, painting.stem, len(next(iter(clips.values()))))
    with torch.no_grad():
        targets = [yardstick.grams(tensor(read_painting(painting, px))) for px in PAINTING_PX]
    styles, sharp = [], []
    for clip, frames in clips.items():
        painted = paint(frames)
        short, long = motions[clip]
        row.over_time[clip] = short.errors(painted, 1)
        row.by_clip[clip] = [
            float(np.mean(errors))
            for errors in (
                row.over_time[clip],
                short.errors(frames, 1),
                long.errors(painted, LONG),
                long.errors(frames, LONG),
            )
        ]
        with torch.no_grad():
            for i in range(5, len(frames), 10):
                seen = yardstick.look(tensor(frames[i]))
                _, style = yardstick.terms(yardstick.look(tensor(painted[i])), seen, targets)
                styles.append(style)
        sharp.append(float(np.mean([sharpness(rgb) for rgb in painted[::5]])))
    row.short, row.of_film_short, row.long, row.of_film_long = (
        float(np.median([errors[i] for errors in row.by_clip.values()])) for i in range(4)
    )
    row.noise_gain = noise_gains(paint, photo)
    row.sharpness = float(np.mean(sharp))
    row.style = float(torch.stack(styles).mean(0)[:, 0].min())
    return row


HEADINGS = (
    "network", "painting", "warping error", "the film's", "over 10 frames", "the film's",
    *(f"noise gain, {sigma:g}" for sigma in SIGMAS), "sharpness", "style",
)  # fmt: skip
HEAD = (f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|")


def line(row: Row) -> str:
    """Formats a row of the Markdown table."""
    cells = [
        row.name,
        row.painting,
        *(f"{v:.4f}" for v in (row.short, row.of_film_short, row.long, row.of_film_long)),
        *(f"{v:.2f}" for v in row.noise_gain),
        f"{row.sharpness:.2f}",
        f"{row.style:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def write(row: Row, name: str, folder: Path | None = None) -> None:
    """Adds a row to the results, replacing one of the same name, and plots all."""
    rows = [Row(**each) for each in rows_of(name, folder)]
    key = (row.name, row.painting)
    known = [(each.name, each.painting) for each in rows]
    if key in known:
        rows[known.index(key)] = row
    else:
        rows.append(row)
    result = {"machine": machine(), "side_px": SIDE_PX, "clips": CLIPS}
    result["rows"] = [asdict(each) for each in rows]
    standard = [row for row in rows if FAST not in row.name and "int8" not in row.name]
    table = "\n".join([*HEAD, *map(line, rows)]) + "\n"
    keep(name, result, table, lambda file: plot(standard or rows, file), folder)


def plot(rows: list[Row], file: Path) -> None:
    """Draws flicker over time: one plot per clip, one curve per network, published ones dashed."""
    clips = list(rows[0].over_time)
    down = -(-len(clips) // 2)
    figure, axes = plt.subplots(down, 2, figsize=(15, 2.6 * down), layout="constrained")
    colors = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for clip, field_ in zip(clips, axes.flat, strict=False):
        for number, row in enumerate(rows):
            field_.plot(
                range(1, 1 + len(row.over_time.get(clip, []))),
                row.over_time.get(clip, []),
                label=row.name,
                lw=2 if row.name.startswith(PUBLISHED) else 1,
                ls="--" if row.name.startswith(PUBLISHED) else "-",
                color=colors[number % len(colors)],
            )
        field_.set_title(f"{clip} (the film's own: {rows[0].by_clip[clip][1]:.3f})", fontsize=9)
        field_.set_ylim(bottom=0)
    figure.legend(*axes.flat[0].get_legend_handles_labels(), fontsize=8, loc="outside right")
    figure.supxlabel("frame")
    figure.supylabel("warping error")
    figure.savefig(file, dpi=80)
    plt.close(figure)


class Copier:
    """A painter that copies frames."""

    in_flight = 1

    def __init__(self) -> None:
        self._pool = FramePool()

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """Nothing takes long."""

    def begin(self, frame: Frame) -> Callable[[], Frame]:
        """See `Painter`."""
        copy = frame.blank(self._pool)
        copy.i420[:] = frame.i420
        return lambda: copy

    def reset(self) -> None:
        """Nothing is remembered."""

    def cancel(self) -> None:
        """Nothing takes long."""


def costs(arguments: argparse.Namespace) -> None:
    """Measures the CPU time of flicker reduction on a still and a moving clip, at 720p."""
    size, frames, rows = (1280, 720), 24, {}
    for clip in ("intel_car-detection.mp4", "udacity_solidWhiteRight.mp4"):
        pictures = read_clip(arguments.data / "videos" / clip, CLIPS[clip], frames)
        stylizer = painter_of(arguments.pairs[0][0])
        film = [
            frame_from_rgb(np.asarray(Image.fromarray(rgb).resize(size)), stylizer.color)
            for rgb in pictures
        ]
        copier = Copier()

        def cpu_ms(painter: Painter[Frame], film: list[Frame] = film) -> float:
            for frame in film[:4]:
                painter.begin(frame)().release()
            begin = time.process_time()
            for frame in film[4:]:
                painter.begin(frame)().release()
            return 1000 * (time.process_time() - begin) / (len(film) - 4)

        taken = [cpu_ms(Steady(copier)) - cpu_ms(copier) for _ in range(5)]
        painting = [cpu_ms(stylizer) for _ in range(5)]
        rows[clip] = {
            "size": "{}x{}".format(*size),
            "engine": f"{stylizer.engine.name} {stylizer.engine.precision}",
            "holding_cpu_ms": round(float(np.median(taken)), 2),
            "painting_cpu_ms": round(float(np.median(painting)), 1),
            "share": round(float(np.median(taken) / np.median(painting)), 4),
        }
        print(clip, rows[clip], flush=True)
    if arguments.quick:
        return
    network = arguments.pairs[0][0]
    result = {"machine": machine(), "stability": DEFAULT_STABILITY, "network": network}
    result["rows"] = [{"name": clip, **row} for clip, row in rows.items()]
    table = [f"Processor time of flicker reduction, beside painting ({network}):", ""]
    table += [
        "| clip | flicker reduction, ms per frame | painting, ms | share |",
        "|---|---|---|---|",
    ]
    table += [
        f"| {clip} | {row['holding_cpu_ms']} | {row['painting_cpu_ms']} | {row['share']} |"
        for clip, row in rows.items()
    ]
    keep("stability-cost", result, "\n".join(table) + "\n", folder=arguments.out)


def side_by_side(arguments: argparse.Namespace) -> None:
    """Writes a film of a clip side by side with each network's painting of it."""
    painters = [film_painter(network)[1] for network, _ in arguments.pairs]
    with av.open(str(arguments.film), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = (
            SIDE_PX * (len(painters) + 1),
            SIDE_PX,
            "yuv420p",
        )
        for name in arguments.clips:
            frames = read_clip(arguments.data / "videos" / name, CLIPS[name], arguments.frames)
            for row in zip(frames, *(paint(frames) for paint in painters), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.hstack(row))))
        container.mux(stream.encode())


if __name__ == "__main__":
    run(main)
