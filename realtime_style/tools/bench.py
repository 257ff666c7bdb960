"""What this machine keeps up with, tried in less than a minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import cycle, product
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import av

from realtime_style.engines.engine import Engine
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.media.film_source import FileSource
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.bundled import TIERS
from realtime_style.tools.demo import draw_scene

SIZES = {"360p": (640, 360), "480p": (848, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
RATES = (60, 30, 24, 15)
"""Of cameras and films, pictures a second, that are asked for."""

T = TypeVar("T")

_RATE = 30
_SCENES = 12  # different pictures of the film; drawn small, they are enlarged
_WARM_UP_FRAMES = 4
_LEAST_FRAMES, _MOST_FRAMES = 20, 240
_KEPT = 0.95  # of the time between pictures: more than that cannot be kept up


@dataclass(frozen=True, slots=True)
class SizeReport:
    """What was measured at one size.

    Attributes:
        tier: one of TIERS.
        live_ms: the time that a live picture takes to be painted, median.
        live_ms_95: what 95 of 100 stay below.
        live_rate: the highest of RATES that is kept up so; 0 for none.
        film_fps: frames a second of a whole job: decoded, painted, encoded as H.264.
        frames: of that film.
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
    """Of all sizes; `engine` as people call it."""

    engine: str
    device: str
    style: str
    sizes: list[SizeReport]
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, and the recommendation."""
        return asdict(self) | {"recommendation": self.recommendation()}

    def recommendation(self) -> str:
        """What to choose here, in words; a line for each tier where there are several."""
        tiers = dict.fromkeys(each.tier for each in self.sizes)
        if len(tiers) == 1:
            return _advice(self.sizes)
        return "\n".join(
            f"{tier} tier: {_advice([each for each in self.sizes if each.tier == tier])}"
            for tier in tiers
        )

    def table(self) -> str:
        """For people to read."""
        lines = [
            f"{self.engine} on {self.device}, style {self.style}",
            "tier       size     live, ms   95 % below   keeps    film, fps",
        ]
        for each in self.sizes:
            keeps = f"{each.live_rate}/s" if each.live_rate else "-"
            lines.append(
                f"{each.tier:<10} {each.size:<6} {each.live_ms:>10.1f} {each.live_ms_95:>12.1f}"
                f" {keeps:>7} {each.film_fps:>12.1f}"
            )
        lines += (f"note: {note}" for note in self.notes)
        return "\n".join([*lines, self.recommendation()])


def _advice(sizes: Sequence[SizeReport]) -> str:
    """Of one tier."""
    sizes = sorted(sizes, key=lambda report: report.width * report.height)
    said = []
    largest = ""
    for rate in RATES:
        kept = [report.size for report in sizes if report.live_rate >= rate]
        if kept and kept[-1] != largest:
            largest = kept[-1]
            said.append(f"live, {largest} keeps {rate} pictures a second")
    if not said:
        said.append("this machine is too slow to paint live")
    for report in reversed(sizes):
        if report.film_fps >= _RATE:
            said.append(f"films of {_RATE} fps take no longer than they are at {report.size}")
            break
    slowest = sizes[-1]
    if slowest.film_fps < _RATE:
        minutes = _RATE / slowest.film_fps
        said.append(f"a minute of such film takes {minutes:.1f} minutes at {slowest.size}")
    return "; ".join(said)


def bench(
    plan: PaintPlan | None = None,
    *,
    tiers: Sequence[str] = TIERS,
    sizes: Sequence[str] = tuple(SIZES),
    seconds: float = 2.5,
    on_size: Callable[[str, str], None] = lambda tier, size: None,
) -> Report:
    """Paints a film that it draws itself, at every size, live and as a file.

    Args:
        plan: the look (its tier is ignored) and the engine; None takes the defaults.
        tiers: some of TIERS; a style file has one alone.
        sizes: names of SIZES.
        seconds: about how long to try each way at each size.
        on_size: called with each tier and size as they begin.

    Raises:
        StyleError: the style or the engine cannot be used.
        ValueError: nothing is asked for.
    """
    plan = plan or PaintPlan()
    scenes = [draw_scene(i / _RATE, *SIZES["360p"]) for i in range(_SCENES)]
    reports: list[SizeReport] = []
    used: Engine | None = None
    with TemporaryDirectory(prefix="realtime-style-") as folder:
        for tier, size in product(tiers, sizes):
            on_size(tier, size)
            tried = replace(plan, look=replace(plan.look, tier=tier))
            width, height = SIZES[size]
            film = Path(folder) / f"{tier}-{size}.mp4"
            out = film.with_stem(f"{film.stem}-painted")
            _write_film(film, scenes, width, height, _SCENES)
            taken_s, used = _paint_live(film, seconds, tried)
            frames = round(min(max(seconds / median(taken_s), _LEAST_FRAMES), _MOST_FRAMES))
            _write_film(film, scenes, width, height, frames)
            with open_film(FilmRequest(str(film), str(out), tried)) as job:
                stats = job.run().stats
            slow_s = quantiles(taken_s, n=20)[-1]
            kept = [rate for rate in RATES if slow_s <= _KEPT / rate]
            reports.append(
                SizeReport(
                    tier,
                    size,
                    width,
                    height,
                    round(1000 * median(taken_s), 2),
                    round(1000 * slow_s, 2),
                    max(kept, default=0),
                    round(stats.frames / stats.wall_s, 2),
                    stats.frames,
                )
            )
    if used is None:
        raise ValueError("no tier or no size is asked for")
    return Report(f"{used.name} {used.precision}", used.device, str(plan.look), reports, used.notes)


def _paint_live(film: Path, seconds: float, plan: PaintPlan) -> tuple[list[float], Engine]:
    """How long each picture takes, one after the other, as a camera's do; and what paints them."""
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
        if now > end and len(taken_s) >= _LEAST_FRAMES:
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
