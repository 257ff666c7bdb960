"""The ladder of sizes; time is whatever a test says it is."""

from __future__ import annotations

import itertools

import pytest

from realtime_style.live.ladder import SizeLadder

INTERVAL_S = 1 / 30
CAMERA = (1280, 720)


def pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def run(ladder: SizeLadder, s_per_pixel: float, seconds: float, start_s: float = 0.0) -> float:
    """Paints as fast as possible at a constant cost; returns the time at the end."""
    now_s = start_s
    while now_s < start_s + seconds:
        paint_s = s_per_pixel * pixels(ladder.size)
        now_s += max(paint_s, INTERVAL_S)
        ladder.observe(paint_s, now_s)
    return now_s


def settled(rung: int) -> SizeLadder:
    """A ladder that has measured, and chosen a rung; its time is zero."""
    ladder = SizeLadder(*CAMERA, INTERVAL_S)
    paint(ladder, INTERVAL_S * 0.799 / pixels(ladder.sizes[rung]), 7)
    assert ladder.size == ladder.sizes[rung]
    return ladder


def paint(ladder: SizeLadder, s_per_pixel: float, frames: int, now_s: float = 0.0) -> None:
    """Paints frames in no time at all."""
    for _ in range(frames):
        ladder.observe(s_per_pixel * pixels(ladder.size), now_s)


def cost(ladder: SizeLadder, rung: int, part: float) -> float:
    """Seconds per pixel with which painting at a rung takes a part of the time for a frame."""
    return part * INTERVAL_S / pixels(ladder.sizes[rung])


def climb_s(ladder: SizeLadder, s_per_pixel: float, start_s: float) -> float:
    """How long there is room until it steps up; 30 times a second."""
    size, since_s = ladder.size, None
    for i in itertools.count():
        now_s = start_s + i * INTERVAL_S
        ladder.observe(s_per_pixel * pixels(size), now_s)
        if ladder.size != size:
            assert ladder.sizes.index(ladder.size) == ladder.sizes.index(size) - 1
            assert since_s is not None
            return now_s - since_s
        if ladder._room_since_s is not None and since_s is None:
            since_s = now_s
        assert i < 10_000, "it does not step up"
    raise AssertionError


def test_sizes_have_the_cameras_shape_and_whole_multiples() -> None:
    for camera in ((1280, 720), (1920, 1080), (640, 480), (540, 960), (854, 480), (64, 48)):
        ladder = SizeLadder(*camera, INTERVAL_S)
        assert ladder.sizes[0] == camera
        for width, height in ladder.sizes[1:]:
            assert width % 8 == height % 8 == 0
            assert abs(width / height / (camera[0] / camera[1]) - 1) < 0.06
            assert height >= 96
        assert ladder.sizes == sorted(ladder.sizes, reverse=True)
        assert pixels(ladder.size) <= 640 * 360


def test_it_starts_small_but_no_smaller_than_needed() -> None:
    assert SizeLadder(1280, 720, INTERVAL_S).size == (640, 360)
    assert SizeLadder(640, 360, INTERVAL_S).size == (640, 360)
    assert min(SizeLadder(640, 480, INTERVAL_S).sizes) == (128, 96)


def test_it_settles_on_the_largest_size_that_keeps_up() -> None:
    for s_per_pixel in (1e-9, 3e-8, 8e-8, 3e-7, 1e-5):
        ladder = SizeLadder(*CAMERA, INTERVAL_S)
        run(ladder, s_per_pixel, 60)
        rung = ladder.sizes.index(ladder.size)
        assert s_per_pixel * pixels(ladder.size) <= INTERVAL_S or rung == len(ladder.sizes) - 1
        if rung:
            assert s_per_pixel * pixels(ladder.sizes[rung - 1]) > 0.7 * INTERVAL_S


def test_it_steps_down_within_half_a_second_and_up_again_after_a_while() -> None:
    ladder = SizeLadder(*CAMERA, INTERVAL_S)
    now_s = run(ladder, 8e-8, 20)
    usual = ladder.size
    now_s = run(ladder, 3e-7, 0.9, now_s)  # another program takes the cores
    assert ladder.size < usual
    now_s = run(ladder, 8e-8, 1.5, now_s)
    assert ladder.size < usual
    run(ladder, 8e-8, 20, now_s)
    assert ladder.size == usual


def test_the_first_five_measured_paintings_decide_and_two_are_not_measured() -> None:
    ladder = SizeLadder(*CAMERA, INTERVAL_S)
    paint(ladder, 1.0, 2)  # an engine that warms up
    paint(ladder, cost(ladder, 0, 0.1), 4)
    assert ladder.size == (640, 360)
    paint(ladder, cost(ladder, 0, 0.1), 1)
    assert ladder.size == CAMERA  # by several rungs at once


@pytest.mark.parametrize(("part", "steps"), [(0.94, 0), (0.96, 1)])
def test_a_size_is_left_once_it_takes_95_percent_of_the_time(part: float, steps: int) -> None:
    ladder = settled(2)
    paint(ladder, cost(ladder, 2, part), 20)
    assert (ladder.sizes.index(ladder.size) > 2) == bool(steps)


@pytest.mark.parametrize(("part", "rung"), [(0.79, 3), (0.81, 4)])
def test_a_smaller_size_takes_80_percent_of_the_time(part: float, rung: int) -> None:
    ladder = settled(2)
    s_per_pixel = cost(ladder, 3, part)
    assert s_per_pixel * pixels(ladder.sizes[2]) > INTERVAL_S
    paint(ladder, s_per_pixel, 9)
    assert ladder.size == ladder.sizes[rung]


def test_the_median_of_nine_paintings_counts() -> None:
    ladder = settled(2)
    paint(ladder, cost(ladder, 2, 0.79), 11)
    paint(ladder, 1.0, 4)  # one slow frame is no reason to step down, nor are four
    assert ladder.size == ladder.sizes[2]
    paint(ladder, 1.0, 1)
    assert ladder.size != ladder.sizes[2]


@pytest.mark.parametrize(("part", "climbs"), [(0.74, True), (0.76, False)])
def test_it_climbs_where_the_larger_size_takes_75_percent_of_the_time(
    part: float, climbs: bool
) -> None:
    ladder = settled(3)
    run(ladder, cost(ladder, 2, part), 30)
    assert ladder.size == ladder.sizes[2 if climbs else 3]


def test_there_must_have_been_room_for_two_seconds() -> None:
    ladder = settled(3)
    assert climb_s(ladder, cost(ladder, 2, 0.7), 0.0) == pytest.approx(2.0, abs=INTERVAL_S)


def test_room_must_last() -> None:
    ladder = settled(3)
    now_s = 0.0
    for _ in range(5):
        now_s = run(ladder, cost(ladder, 2, 0.7), 1.8, now_s)
        now_s = run(ladder, cost(ladder, 2, 0.9), 0.5, now_s)
    assert ladder.size == ladder.sizes[3]


def climbed_and_fell(ladder: SizeLadder, now_s: float, after_s: float) -> tuple[float, float]:
    """Lets it climb, and step down again after a while; the time it took, and the time now."""
    rung = ladder.sizes.index(ladder.size)
    took_s = climb_s(ladder, cost(ladder, rung - 1, 0.7), now_s)
    now_s += took_s + 1.0 + after_s
    paint(ladder, cost(ladder, rung - 1, 0.97), 7 + 9, now_s)
    assert ladder.size == ladder.sizes[rung]
    return took_s, now_s


def test_each_climb_that_is_regretted_doubles_the_patience_up_to_a_minute() -> None:
    ladder, now_s = settled(3), 0.0
    took = []
    for _ in range(8):
        took_s, now_s = climbed_and_fell(ladder, now_s, after_s=7.0)
        took.append(took_s)
    assert took == pytest.approx([2, 4, 8, 16, 32, 60, 60, 60], abs=2 * INTERVAL_S)


def test_a_step_down_after_ten_seconds_is_no_regret() -> None:
    ladder, now_s = settled(3), 0.0
    took = []
    for _ in range(3):
        took_s, now_s = climbed_and_fell(ladder, now_s, after_s=10.5)
        took.append(took_s)
    assert took == pytest.approx([2, 2, 2], abs=2 * INTERVAL_S)


@pytest.mark.parametrize(("lasts_s", "patience_s"), [(50.0, 4.0), (70.0, 2.0)])
def test_a_climb_that_lasts_a_minute_restores_the_patience(
    lasts_s: float, patience_s: float
) -> None:
    ladder, now_s = settled(3), 0.0
    _, now_s = climbed_and_fell(ladder, now_s, after_s=1.0)
    now_s += climb_s(ladder, cost(ladder, 2, 0.7), now_s)
    now_s = run(ladder, cost(ladder, 2, 0.79), lasts_s, now_s)
    assert ladder.size == ladder.sizes[2]
    paint(ladder, cost(ladder, 2, 0.97), 9, now_s)
    assert ladder.size == ladder.sizes[3]
    assert climb_s(ladder, cost(ladder, 2, 0.7), now_s) == pytest.approx(
        patience_s, abs=2 * INTERVAL_S
    )


def test_it_does_not_alternate_between_two_sizes() -> None:
    ladder = SizeLadder(*CAMERA, INTERVAL_S)
    changes, now_s, former = 0, 0.0, ladder.size
    while now_s < 300:
        # the larger size costs more per pixel than the smaller one predicts: a trap
        paint_s = pixels(ladder.size) * (1.3e-7 if pixels(ladder.size) > 230_000 else 6e-8)
        now_s += max(paint_s, INTERVAL_S)
        ladder.observe(paint_s, now_s)
        changes += ladder.size != former
        former = ladder.size
    assert 2 <= changes <= 24


@pytest.mark.parametrize(
    ("camera", "least"),
    [((1280, 720), (640, 360)), ((640, 480), (480, 360)), ((720, 1280), (360, 640)),
     ((320, 240), (320, 240))],
)  # fmt: skip
def test_the_shorter_side_is_never_below_the_minimum(
    camera: tuple[int, int], least: tuple[int, int]
) -> None:
    ladder = SizeLadder(*camera, INTERVAL_S, min_side_px=360)
    run(ladder, 1e-4, 2000)  # far too slow for any size
    assert ladder.size == min(ladder.sizes) == least


def kept() -> tuple[SizeLadder, float]:
    """A ladder that keeps its third size by now, and the time."""
    ladder = SizeLadder(*CAMERA, INTERVAL_S, keep_after_s=30)
    now_s = run(ladder, cost(ladder, 2, 0.8), 31)
    assert ladder.size == ladder.sizes[2]
    return ladder, now_s


def test_a_size_is_kept_after_a_while_so_that_strokes_keep_theirs() -> None:
    ladder, now_s = kept()
    now_s = run(ladder, cost(ladder, 0, 0.1), 60, now_s)  # there is room for the largest
    assert ladder.size == ladder.sizes[2]
    now_s = run(ladder, cost(ladder, 2, 1.9), 60, now_s)  # nearly half of the frames are late
    assert ladder.size == ladder.sizes[2]


def test_a_kept_size_is_left_for_as_long_as_most_frames_would_be_late() -> None:
    ladder, now_s = kept()
    now_s = run(ladder, cost(ladder, 2, 2.5), 5, now_s)
    assert ladder.size < ladder.sizes[2]
    run(ladder, cost(ladder, 0, 0.1), 60, now_s)
    assert ladder.size == ladder.sizes[2]
