"""What every painter promises, whichever it is: see `stages.Painter`."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.frame import Frame, FramePool
from realtime_style.painting.chain import build_painter, load_stylizer
from realtime_style.painting.keep_colors import KeepColors
from realtime_style.painting.mask import Mask
from realtime_style.painting.person import PersonFinder
from realtime_style.painting.plan import MaskPlan, PaintPlan
from realtime_style.painting.steady import Steady
from realtime_style.painting.stylizer import Stylizer
from realtime_style.stages import Painter, Pending
from realtime_style.style.look import Look

Make = Callable[[Path, int | None], Painter[Frame]]


def stylizer(style: Path, in_flight: int | None) -> Stylizer:
    plan = PaintPlan(Look(style), EngineChoice(precision="f32"))
    return load_stylizer(plan, ColorSpace(), in_flight=in_flight)


def chain(style: Path, in_flight: int | None) -> Painter[Frame]:
    plan = PaintPlan(
        Look(style, keep_colors=True),
        EngineChoice(precision="f32"),
        stability=0.5,
        mask=MaskPlan("background"),
    )
    return build_painter(plan, ColorSpace(), in_flight=in_flight)


PAINTERS: dict[str, Make] = {
    "stylizer": stylizer,
    "keep_colors": lambda style, in_flight: KeepColors(stylizer(style, in_flight)),
    "mask": lambda style, in_flight: Mask(
        stylizer(style, in_flight), MaskPlan(background="blur"), PersonFinder()
    ),
    "steady": lambda style, in_flight: Steady(stylizer(style, in_flight)),
    "chain": chain,
}


@pytest.fixture(params=list(PAINTERS))
def make(request: pytest.FixtureRequest) -> Make:
    return PAINTERS[request.param]


def scene(number: int, width: int = 96, height: int = 64) -> Frame:
    i420 = np.random.default_rng(number // 3).integers(0, 256, (height * 3 // 2, width), np.uint8)
    i420[8:24, 8 + 2 * number : 24 + 2 * number] = 200
    return Frame(i420, 10 * number, Fraction(1, 250), ColorSpace(), duration=10)


def paint_all(painter: Painter[Frame], frames: list[Frame]) -> list[Frame]:
    """Paints with as many in flight as the painter takes."""
    pending: list[Pending[Frame]] = []
    painted = []
    for frame in frames:
        pending.append(painter.begin(frame))
        if len(pending) == painter.in_flight:
            painted.append(pending.pop(0)())
    return painted + [wait() for wait in pending]


@pytest.mark.parametrize("in_flight", [1, None])
def test_painted_frames_keep_order_times_size_and_colour(
    make: Make, in_flight: int | None, negative_style: Path
) -> None:
    painter = make(negative_style, in_flight)
    assert painter.in_flight >= 1
    frames = [scene(i) for i in range(7)]
    painted = paint_all(painter, frames)
    for ours, theirs in zip(painted, frames, strict=True):
        assert (ours.pts, ours.duration, ours.time_base, ours.color) == (
            theirs.pts, theirs.duration, theirs.time_base, theirs.color
        )  # fmt: skip
        assert ours.i420.shape == theirs.i420.shape
        assert ours.i420 is not theirs.i420


def test_frames_in_flight_change_nothing(make: Make, negative_style: Path) -> None:
    one, many = make(negative_style, 1), make(negative_style, None)
    alone = [one.begin(scene(i))().i420.copy() for i in range(7)]
    for ours, theirs in zip(paint_all(many, [scene(i) for i in range(7)]), alone, strict=True):
        assert np.array_equal(ours.i420, theirs)


def test_the_given_frame_is_left_alone_and_may_be_reused_at_once(
    make: Make, negative_style: Path
) -> None:
    expected = make(negative_style, None).begin(scene(1))().i420.copy()
    frame = scene(1)
    kept = frame.i420.copy()
    painter = make(negative_style, None)
    wait = painter.begin(frame)
    assert np.array_equal(frame.i420, kept)
    frame.i420.fill(0)  # as a decoder does with a buffer it was given back
    assert np.array_equal(wait().i420, expected)


def test_painted_frames_are_the_callers_until_released(make: Make, negative_style: Path) -> None:
    painter = make(negative_style, 1)
    first = painter.begin(scene(0))()
    kept = first.i420.copy()
    others = [painter.begin(scene(i))() for i in range(1, 5)]
    assert np.array_equal(first.i420, kept)
    for frame in (first, *others):
        frame.release()


def test_released_frames_are_painted_into_again(make: Make, negative_style: Path) -> None:
    painter = make(negative_style, 1)
    pools: set[FramePool | None] = set()
    for i in range(5):
        painted = painter.begin(scene(i))()
        pools.add(painted.pool)
        painted.release()
    (pool,) = pools
    assert pool
    assert len(pool._free) == 1, "one buffer serves all frames that are released in turn"


def test_reset_forgets_every_frame(make: Make, negative_style: Path) -> None:
    fresh, used = make(negative_style, 1), make(negative_style, 1)
    for i in range(4):
        used.begin(scene(i))()
    used.reset()
    assert np.array_equal(used.begin(scene(9))().i420, fresh.begin(scene(9))().i420)


def test_sizes_may_change(make: Make, negative_style: Path) -> None:
    painter = make(negative_style, 1)
    for width, height in ((96, 64), (34, 18), (96, 64)):
        painter.prepare((width, height))
        assert painter.begin(scene(0, width, height))().i420.shape == (height * 3 // 2, width)


class Recorder:
    """A painter that notes what is asked of it."""

    in_flight = 3

    def __init__(self) -> None:
        self.calls: list[object] = []

    def prepare(self, size: tuple[int, int], on_build: object = None) -> None:
        self.calls.append((size, on_build))

    def begin(self, frame: Frame) -> Pending[Frame]:
        return lambda: frame

    def reset(self) -> None:
        self.calls.append("reset")

    def cancel(self) -> None:
        self.calls.append("cancel")


def masked(painter: Recorder) -> Mask:
    return Mask(painter, MaskPlan(), PersonFinder())


@pytest.mark.parametrize("wrap", [KeepColors, Steady, masked])
def test_wrappers_pass_on_what_is_not_theirs(wrap: Callable[[Recorder], Painter[Frame]]) -> None:
    inner, parts = Recorder(), list[float]()
    painter = wrap(inner)
    painter.prepare((64, 48), parts.append)
    painter.reset()
    painter.cancel()
    assert inner.calls == [((64, 48), parts.append), "reset", "cancel"]
    assert painter.in_flight == 3
