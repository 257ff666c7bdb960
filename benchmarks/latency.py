"""Delay of a live picture: from a frame's arrival to its painting on screen.

    python benchmarks/latency.py [--seconds 25] [--runs 3] [--rate 30] [--sizes 640x360 1280x720]
        [--busy] [--change style --every 5] [--quick]

A source delivers frames at a camera's rate, with the frame's number drawn into the picture as black
and white squares, and its inverse below. The window (a real one with --window, otherwise one that
drops the picture) receives the painting; the number is read from the paint, and the time since that
frame arrived is its latency. `--busy` runs another process that computes all the time. `--change`
repeatedly asks for another look and measures how long it takes to appear: another style, strength
or blend, the camera's colours and back, or a picture of `--style-images`.

Rows are run in turn. Medians count, except for the longest wait for a change, which is taken over
all runs. Rows are added to benchmarks/results/latency.json, .md and .png; a row measured again
replaces the old one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BITS = 16
STYLE = "starry-night"
ASKED = ("camera", "rate", "seconds", "precision", "fixed", "busy", "window", "change")
"""The keys that identify a row."""

if "--window" in sys.argv:
    from realtime_style.errors import StyleError
    from realtime_style.live.opencv_window import Window, load_opencv

    try:
        load_opencv()  # before anything imports PyAV
    except StyleError as error:
        raise SystemExit(f"error: {error}") from error

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from record import (  # noqa: E402
    USUAL_SHAPE,
    add_usual,
    counted,
    in_one_line,
    keep,
    machine,
    rows_of,
    run,
    sized,
)

from realtime_style.color import ColorSpace  # noqa: E402
from realtime_style.engines.choice import EngineChoice  # noqa: E402
from realtime_style.frame import Frame, Size, StreamInfo  # noqa: E402
from realtime_style.live.clock import MICROSECOND, now_us  # noqa: E402
from realtime_style.live.feed import Feed  # noqa: E402
from realtime_style.live.front_end import Shot  # noqa: E402
from realtime_style.live.session import LiveJob  # noqa: E402
from realtime_style.live.stage import LiveStage  # noqa: E402
from realtime_style.live.window_front_end import WindowFrontEnd  # noqa: E402
from realtime_style.media.scaling import frame_from_rgb  # noqa: E402
from realtime_style.painting.plan import PaintPlan  # noqa: E402
from realtime_style.style.bundled import bundled_styles  # noqa: E402
from realtime_style.style.look import Look  # noqa: E402
from realtime_style.tools.demo import draw_scene  # noqa: E402


class MarkedCamera:
    """A moving picture at an exact rate, with each frame's number drawn along its top."""

    def __init__(self, width: int, height: int, rate: float) -> None:
        self.info = StreamInfo(
            width, height, Fraction(rate), MICROSECOND, ColorSpace(), is_live=True
        )
        self.description = "marked camera"
        self._scenes = [
            frame_from_rgb(draw_scene(i / 8, width, height), ColorSpace()).i420 for i in range(8)
        ]
        self.there_us: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None

    def __iter__(self) -> Iterator[Frame]:
        begin = time.monotonic()
        while True:
            number = len(self.there_us)
            i420 = self._scenes[number // 8 % 8].copy()
            write_number(i420, self.info.width, self.info.height, number)
            time.sleep(max(0.0, begin + number / float(self.info.rate) - time.monotonic()))
            self.there_us.append(now_us())
            yield Frame(i420, self.there_us[-1], MICROSECOND)


def squares(width: int) -> Iterator[slice]:
    """Columns of the squares: one white and one black as references, then the bits."""
    side = width // (BITS + 2)
    for i in range(BITS + 2):
        yield slice(i * side, (i + 1) * side)


def write_number(i420: NDArray[np.uint8], width: int, height: int, number: int) -> None:
    """Draws a number into luma, its inverse below, and makes the strip grey."""
    side = width // (BITS + 2)
    bits = [1, 0, *((number >> i) & 1 for i in range(BITS))]
    for columns, bit in zip(squares(width), bits, strict=True):
        i420[:side, columns] = 235 if bit else 16
        i420[side : 2 * side, columns] = 16 if bit else 235
    chroma = i420[height:].reshape(2, height // 2, width // 2)
    chroma[:, :side] = 128


def read_number(bgr: NDArray[np.uint8]) -> int | None:
    """Reads the number from the painting; None if it and its inverse do not agree.

    A bit is read by which of its two squares is lighter, and counts where they are further apart
    than a quarter of what the first, which is known, are.
    """
    side = bgr.shape[1] // (BITS + 2)
    inner = slice(side // 4, side - side // 4)
    rows = bgr[:side].mean(2), bgr[side : 2 * side].mean(2)
    steps = [
        float(rows[0][inner, columns][:, inner].mean() - rows[1][inner, columns][:, inner].mean())
        for columns in squares(bgr.shape[1])
    ]
    if steps[0] <= 0 or steps[1] >= 0 or any(abs(step) < steps[0] / 4 for step in steps):
        return None
    return sum((step > 0) << i for i, step in enumerate(steps[2:]))


class Reader:
    """Replaces or wraps the window and reads the number in each picture."""

    def __init__(self, camera: MarkedCamera, window: Any, size: tuple[int, int]) -> None:
        self._camera, self._window, self.size = camera, window, size
        self.latencies_ms: list[float] = []
        self.times_s: list[float] = []
        self.unread = 0

    def show(self, bgr: NDArray[np.uint8]) -> None:
        """Shows a picture, records the time and reads the number."""
        if self._window:
            self._window.show(bgr)
        shown_us = now_us()
        number = read_number(bgr)
        if number is None or number >= len(self._camera.there_us):
            self.unread += 1
            return
        self.latencies_ms.append((shown_us - self._camera.there_us[number]) / 1000)
        self.times_s.append(shown_us / 1e6)

    def poll(self, wait_ms: int) -> tuple[list[str], list[Any]] | None:
        """The events of the real window, if there is one."""
        if self._window:
            return self._window.poll(wait_ms)  # type: ignore[no-any-return]
        time.sleep(wait_ms / 1000)
        return [], []

    def full_screen(self, on: bool) -> None:
        """Does nothing: not needed here."""

    def close(self) -> None:
        """Closes the window."""
        if self._window:
            self._window.close()


class Watcher:
    """Watches a job's shots, asks for the next look every so often, and ends the job in time."""

    def __init__(
        self, stage: LiveStage, looks: Iterator[Look] | None, every_s: float, seconds: float
    ) -> None:
        """Args: looks, to ask for, every `every_s` seconds; None keeps the first one."""
        self._stage, self._looks, self._every_s = stage, looks, every_s
        self._begin_s = time.monotonic()
        self._end_s = self._begin_s + seconds
        self._asked_s: list[float] = []
        self.sizes: list[tuple[int, int]] = []
        self.changes_ms: list[float] = []

    def on_shot(self, job: LiveJob, shot: Shot) -> None:
        """Takes in a shot that was shown."""
        self.sizes.append((shot.painted.width, shot.painted.height))
        now_s = time.monotonic()
        is_shown = shot.look == self._stage.look
        if is_shown and len(self.changes_ms) < len(self._asked_s):
            self.changes_ms.append((now_s - self._asked_s[-1]) * 1000)
        if self._looks and is_shown:
            last_s = self._asked_s[-1] if self._asked_s else self._begin_s
            if now_s - last_s > self._every_s:
                self._asked_s.append(time.monotonic())
                self._stage.choose_look(next(self._looks))
        if now_s > self._end_s:
            job.stop()


def measure(
    size: Size,
    rate: float,
    seconds: float,
    *,
    fixed: bool,
    real: bool,
    precision: str,
    change: str | None,
    every_s: float,
    pictures: Path | None,
) -> dict[str, Any]:
    """The figures of one run."""
    width, height = size.of(*USUAL_SHAPE)
    camera = MarkedCamera(width, height, rate)
    window = Window("latency", width, height) if real else None
    reader = Reader(camera, window, (width, height))
    styles = list(bundled_styles()) if change == "style" else [STYLE]
    if change == "picture":
        assert pictures
        styles += sorted(map(str, pictures.iterdir()))
    plan = PaintPlan(Look(styles[0]), EngineChoice(precision=precision))
    stage = LiveStage(styles, plan, size=size if fixed else None)
    job = LiveJob(
        Feed(lambda: camera, has_end=True),
        stage,
        open_front_end=lambda info: WindowFrontEnd(reader),
    )
    watcher = Watcher(stage, changes(change, styles) if change else None, every_s, seconds)
    job.run(lambda shot: watcher.on_shot(job, shot))
    about = {"camera": f"{width}x{height}", "rate": rate, "engine": stage.engine}
    return about | {"seconds": seconds} | figures(camera, reader, watcher)


def figures(camera: MarkedCamera, reader: Reader, watcher: Watcher) -> dict[str, Any]:
    """What a run measured; its first twentieth does not count."""
    warm = len(reader.latencies_ms) // 20
    latencies, times = reader.latencies_ms[warm:], reader.times_s[warm:]
    tenth = max(1, len(latencies) // 10)
    changes_ms = watcher.changes_ms
    return {
        "painted": "{}x{}".format(*watcher.sizes[-1]),
        "changes_of_size": sum(a != b for a, b in itertools.pairwise(watcher.sizes)),
        "fps": round((len(times) - 1) / (times[-1] - times[0]), 2),
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p95_ms": round(float(np.percentile(latencies, 95)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "p50_first_tenth_ms": round(float(np.median(latencies[:tenth])), 1),
        "p50_last_tenth_ms": round(float(np.median(latencies[-tenth:])), 1),
        "dropped": len(camera.there_us) - len(reader.latencies_ms) - reader.unread,
        "of": len(camera.there_us),
        "unread": reader.unread,
        "changes": len(changes_ms),
        "change_median_ms": round(float(np.median(changes_ms)), 1) if changes_ms else None,
        "change_most_ms": round(max(changes_ms), 1) if changes_ms else None,
    }


def changes(kind: str, styles: list[str]) -> Iterator[Look]:
    """Looks to ask for in turn, each once per round."""
    for number in itertools.count(1):
        if kind in ("style", "picture"):
            yield Look(styles[number % len(styles)])
        elif kind == "strength":
            yield Look(STYLE, strength=number % 100 / 100)
        elif kind == "blend":
            others = [name for name in bundled_styles() if name != STYLE]
            yield Look(STYLE, blend={others[number % len(others)]: number % 100 / 100})
        else:
            yield Look(STYLE, keep_colors=number % 2 == 1)


def main() -> None:
    """Measures, prints, and writes benchmarks/results/latency.json and .md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=25, help="seconds per run")
    parser.add_argument(
        "--runs", type=counted, default=3, help="runs of everything compared, in turn"
    )
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[30], help="the camera's frames per second"
    )
    parser.add_argument(
        "--sizes", type=sized, nargs="+", default=[Size(360, 640)], help="sizes of the camera"
    )
    parser.add_argument("--precision", default="auto", help="auto, f32, bf16 or int8")
    parser.add_argument("--fixed", action="store_true", help="paint at the camera's size")
    parser.add_argument("--busy", action="store_true", help="keep another core busy")
    parser.add_argument("--window", action="store_true", help="show it in a real window")
    kinds = ("style", "strength", "blend", "colors", "picture")
    parser.add_argument("--change", choices=kinds, help="what to change while it runs")
    parser.add_argument(
        "--every", type=float, default=5, metavar="SECONDS", help="seconds between changes"
    )
    parser.add_argument(
        "--style-images", type=Path, metavar="FOLDER", help="pictures for --change picture"
    )
    add_usual(parser)
    arguments = parser.parse_args()
    if arguments.change == "picture" and not arguments.style_images:
        parser.error("--change picture needs --style-images FOLDER")
    if arguments.quick:
        arguments.seconds, arguments.runs = 4, 1
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if arguments.busy else None
    runs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    try:
        for _, size, rate in itertools.product(
            range(arguments.runs), arguments.sizes, arguments.rate
        ):
            row = measure(
                size,
                rate,
                arguments.seconds,
                fixed=arguments.fixed,
                real=arguments.window,
                precision=arguments.precision,
                change=arguments.change,
                every_s=arguments.every,
                pictures=arguments.style_images,
            )
            row |= {name: getattr(arguments, name) for name in ASKED[-5:]}
            print(json.dumps(row), flush=True)
            runs.setdefault(_key(row), []).append(row)
    finally:
        if busy:
            busy.kill()
    if arguments.quick:
        return
    kept = {_key(row): row for row in rows_of("latency", arguments.out)}
    rows = list((kept | {key: merged(row) for key, row in runs.items()}).values())
    result = {"machine": machine(), "rows": rows}
    keep("latency", result, table(rows), lambda file: plot(rows, file), arguments.out)


def merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Makes one row of several runs: the one with the median p50, and all runs' figures."""
    row = dict(sorted(runs, key=lambda run: float(run["p50_ms"]))[len(runs) // 2])
    for name in ("p50_ms", "p99_ms"):
        row[name] = round(statistics.median(run[name] for run in runs), 1)
        row[f"{name}_of_runs"] = [run[name] for run in runs]
    if row["changes"]:
        row["changes"] = sum(run["changes"] for run in runs)
        row["change_median_ms"] = round(statistics.median(r["change_median_ms"] for r in runs), 1)
        row["change_most_ms"] = max(run["change_most_ms"] for run in runs)
    return row


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ASKED)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, below a line about the machine."""
    heads = {
        "camera": "camera", "rate": "requested fps", "how": "how", "seconds": "s",
        "engine": "engine",
        "painted": "painted at", "changes_of_size": "sizes changed", "fps": "fps",
        "p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99",
        "p50_first_tenth_ms": "p50, first tenth", "p50_last_tenth_ms": "p50, last tenth",
        "dropped": "dropped", "of": "of", "change": "changes of",
        "change_median_ms": "shown after", "change_most_ms": "most",
    }  # fmt: skip
    lines = [
        "# Live: from a frame's arrival to its painting on screen, ms",
        "",
        f"`python benchmarks/latency.py`, style {STYLE}; " + in_one_line(machine()),
        "",
        "| " + " | ".join(heads.values()) + " |",
        "|---" * len(heads) + "|",
    ]
    for row in rows:
        seconds = f"{len(row.get('p50_ms_of_runs', '1'))} x {row['seconds']:g}"
        cells = row | {"how": ", ".join(_how(row)), "seconds": seconds}
        lines.append("| " + " | ".join(str(cells[name] or "") for name in heads) + " |")
    return "\n".join([*lines, "", "![Latencies](latency.png)", ""])


def _how(row: dict[str, Any]) -> list[str]:
    return [name for name in ("fixed", "busy", "window") if row[name]]


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draws each row's median and 99th percentile; runs as dots."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [
        ", ".join(
            [row["camera"], f"{row['rate']:g} fps", row["engine"], *_how(row)]
            + ([f"changes of {row['change']}"] if row["change"] else [])
        )
        for row in rows
    ]
    places = range(len(rows), 0, -1)
    figure, axes = pyplot.subplots(figsize=(9, 0.35 * len(rows) + 1), layout="constrained")
    axes.barh(places, [row["p99_ms"] for row in rows], color="tab:blue", alpha=0.3, label="99 %")
    axes.barh(places, [row["p50_ms"] for row in rows], color="tab:blue", label="median")
    for place, row in zip(places, rows, strict=True):
        for name in ("p50_ms", "p99_ms"):
            dots = row.get(f"{name}_of_runs", [])
            axes.plot(dots, [place] * len(dots), "k.", markersize=3)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlabel("from a frame's arrival to its painting on screen, ms")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=100)


if __name__ == "__main__":
    run(main)
