"""Measures how fast this computer paints, in less than a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import cycle, product
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

import av

from realtime_style.engines.engine import Engine
from realtime_style.engines.webgpu.trial import noise
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.media.film_source import FileSource
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.bundled import STANDARD, TIERS
from realtime_style.system.cores import load_per_core
from realtime_style.system.paths import temporary_folder
from realtime_style.tools.demo import draw_scene
from realtime_style.wording import one_line

SIZES = {"360p": (640, 360), "480p": (848, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
RATES = (60, 30, 24, 15)
"""Usual frame rates of cameras and films."""

T = TypeVar("T")

_RATE = 30  # of the test film
_SCENES = 12  # different pictures of the test film
_WARM_UP_FRAMES = 4
_MIN_FRAMES, _MAX_FRAMES = 20, 240
_MAX_BUSY = 0.4  # load per core before it begins, above which the figures are too low
_MAX_LOAD = 0.95  # of the time between frames that painting may take, to keep a rate


@dataclass(frozen=True, slots=True)
class SizeReport:
    """What was measured at one size.

    Attributes:
        tier: one of TIERS.
        size: a name of SIZES; `width` and `height` are its pixels.
        live_ms: how long painting a live frame takes, median.
        live_ms_95: the 95th percentile.
        live_rate: the highest of RATES that 95 of 100 frames keep; 0 if none is kept.
        film_fps: frames per second of a whole film job: decoded, painted, encoded as H.264.
        frames: how many frames that film had.
    """

    tier: str
    size: str
    width: int
    height: int
    live_ms: float
    live_ms_95: float
    live_rate: int
    film_fps: float
    frames: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, one `SizeReport` for each tier and size.

    Attributes:
        engine: the engine's name and precision, such as "openvino int8".
        device: the device that it ran on, human-readable.
        style: the look, as `str` writes it.
        notes: sentences of the engine, such as why a better one is not used.
    """

    engine: str
    device: str
    style: str
    sizes: list[SizeReport]
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the recommendation."""
        return asdict(self) | {"recommendation": self.recommendation()}

    def recommendation(self) -> str:
        """What to choose on this computer, in words; one line per tier."""
        tiers = dict.fromkeys(each.tier for each in self.sizes)
        if len(tiers) == 1:
            return _advice(self.sizes)
        return "\n".join(
            f"{tier} tier: {_advice([each for each in self.sizes if each.tier == tier])}"
            for tier in tiers
        )

    def best_live(self) -> SizeReport | None:
        """The size and tier for a camera: the largest at 30 fps, else that of the highest rate."""
        kept = [each for each in self.sizes if each.live_rate]
        most = min(30, max((each.live_rate for each in kept), default=0))
        return max((e for e in kept if e.live_rate >= most), default=None, key=_by_size_and_tier)

    def best_film(self) -> SizeReport | None:
        """The largest size, in the better tier, whose films are painted in real time, or none."""
        kept = [each for each in self.sizes if each.film_fps >= _RATE]
        return max(kept, default=None, key=_by_size_and_tier)

    def table(self) -> str:
        """The measurements as a human-readable table."""
        lines = [
            f"{self.engine} on {self.device}, style {one_line(self.style)}",
            "tier       size     live, ms    95th pct.    live    film, fps",
        ]
        for each in self.sizes:
            rate = f"{each.live_rate} fps" if each.live_rate else "-"
            lines.append(
                f"{each.tier:<10} {each.size:<6} {each.live_ms:>10.1f} {each.live_ms_95:>12.1f}"
                f" {rate:>7} {each.film_fps:>12.1f}"
            )
        lines += (f"note: {note}" for note in self.notes)
        return "\n".join([*lines, self.recommendation()])


def _by_size_and_tier(report: SizeReport) -> tuple[int, bool]:
    """The larger size is better, then the standard tier."""
    return report.width * report.height, report.tier == STANDARD


def _advice(sizes: Sequence[SizeReport]) -> str:
    """What to choose within one tier."""
    sizes = sorted(sizes, key=lambda report: report.width * report.height)
    said = []
    largest = ""
    for rate in RATES:
        kept = [report.size for report in sizes if report.live_rate >= rate]
        if kept and kept[-1] != largest:
            largest = kept[-1]
            said.append(f"live at {rate} fps: up to {largest}")
    if not said:
        said.append("live: too slow on this computer")
    for report in reversed(sizes):
        if report.film_fps >= _RATE:
            said.append(f"films of {_RATE} fps in real time: up to {report.size}")
            break
    slowest = sizes[-1]
    if slowest.film_fps < _RATE:
        minutes = _RATE / slowest.film_fps
        said.append(f"{slowest.size} takes {minutes:.1f} minutes per minute of film")
    return "; ".join(said)


def bench(
    plan: PaintPlan | None = None,
    *,
    tiers: Sequence[str] = TIERS,
    sizes: Sequence[str] = tuple(SIZES),
    seconds: float = 2.5,
    on_size: Callable[[str, str], None] = lambda tier, size: None,
) -> Report:
    """Paints a built-in test clip at every size, live and as a film.

    Args:
        plan: the look (its tier is ignored) and the engine; None takes the defaults.
        tiers: some of TIERS; a style file has only one.
        sizes: names of SIZES.
        seconds: roughly how long each measurement takes.
        on_size: called with tier and size before they are measured.

    Raises:
        StyleError: the style or the engine cannot be used.
        ValueError: no tier or no size was given.
    """
    plan = plan or PaintPlan()
    busy = _busy_note()
    scenes = [draw_scene(i / _RATE, *SIZES["360p"]) for i in range(_SCENES)]
    reports: list[SizeReport] = []
    of_device: list[str] = []
    used: Engine | None = None
    with temporary_folder() as folder:
        for tier, size in product(tiers, sizes):
            on_size(tier, size)
            tried = replace(plan, look=replace(plan.look, tier=tier))
            report, used = _measure(folder, scenes, tried, size, seconds)
            reports.append(report)
            of_device += _device_note(used, report)
    if used is None:
        raise ValueError("there is no tier or no size to measure")
    notes = [*used.notes, *of_device, *busy]
    return Report(f"{used.name} {used.precision}", used.device, str(plan.look), reports, notes)


def _device_note(engine: Engine, report: SizeReport) -> list[str]:
    """How long the device itself takes for a picture, where the engine measures that."""
    time_ms = engine.device_ms(noise((report.width, report.height)))
    if time_ms is None:
        return []
    return [
        f"{report.tier} tier, {report.size}: {engine.device} computes {time_ms:.1f} ms a picture"
    ]


def _busy_note() -> list[str]:
    """A note that other programs use the computer, if so; empty if not."""
    load = load_per_core()
    if load is None or load <= _MAX_BUSY:
        return []
    return [
        f"other programs keep this computer busy ({load:.0%} of its cores in the last minute); "
        "measure again when it is idle"
    ]


def _measure(
    folder: Path, scenes: Sequence[Any], plan: PaintPlan, size: str, seconds: float
) -> tuple[SizeReport, Engine]:
    """Measures one plan at one size, live and as a film."""
    width, height = SIZES[size]
    film = folder / f"{plan.look.tier}-{size}.mp4"
    out = film.with_stem(f"{film.stem}-painted")
    _write_film(film, scenes, width, height, _SCENES)
    taken_s, engine = _paint_live(film, seconds, plan)
    frames = round(min(max(seconds / median(taken_s), _MIN_FRAMES), _MAX_FRAMES))
    _write_film(film, scenes, width, height, frames)
    with open_film(FilmRequest(str(film), str(out), plan)) as job:
        stats = job.run().stats
    slow_s = quantiles(taken_s, n=20)[-1]
    report = SizeReport(
        tier=plan.look.tier,
        size=size,
        width=width,
        height=height,
        live_ms=round(1000 * median(taken_s), 2),
        live_ms_95=round(1000 * slow_s, 2),
        live_rate=max((rate for rate in RATES if slow_s <= _MAX_LOAD / rate), default=0),
        film_fps=round(stats.frames / stats.wall_s, 2),
        frames=stats.frames,
    )
    return report, engine


def _paint_live(film: Path, seconds: float, plan: PaintPlan) -> tuple[list[float], Engine]:
    """How long each frame takes, painted one after the other as from a camera; and the engine."""
    with FileSource(film) as source:
        frames, color = list(source), source.info.color
    painter = build_painter(plan, color)
    taken_s: list[float] = []
    end = None
    for number, frame in enumerate(_there_and_back(frames)):
        begin = time.perf_counter()
        painter(frame).release()
        now = time.perf_counter()
        if number < _WARM_UP_FRAMES:
            continue
        end = end or now + seconds
        taken_s.append(now - begin)
        if now > end and len(taken_s) >= _MIN_FRAMES:
            break
    return taken_s, painter.engine


def _there_and_back(items: Sequence[T]) -> Iterator[T]:
    return cycle([*items, *items[-2:0:-1]])


def _write_film(path: Path, scenes: Sequence[Any], width: int, height: int, frames: int) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, scene in zip(range(frames), _there_and_back(scenes), strict=False):
            frame = av.VideoFrame.from_ndarray(scene, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, _RATE)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
