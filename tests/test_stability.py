"""Paint stands still where the film does, follows at once where it moves, and is new after cuts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Self

import numpy as np
import pytest
from conftest import painter_of
from numpy.typing import NDArray

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.jobs import pipeline
from realtime_style.painting.steady import Steady
from realtime_style.style.bundled import open_style

WIDTH, HEIGHT = 320, 192
SQUARE_PX = 48


@pytest.fixture(scope="module")
def stylizer():
    return painter_of("starry-night", precision="f32", color=open_style("starry-night").color)


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """An I420 picture of soft blots."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(40, 200, (HEIGHT * 3 // 2 // 16, WIDTH // 16))
    return np.kron(small, np.ones((16, 16))).astype(np.uint8)


def noisy(i420: NDArray[np.uint8], sigma: float, seed: int) -> NDArray[np.uint8]:
    """The same with a sensor's noise."""
    noise = np.random.default_rng(seed).normal(0, sigma, i420.shape)
    return (i420 + noise).round().clip(0, 255).astype(np.uint8)


def with_square(i420: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    """The same with a white square before it."""
    changed = i420.copy()
    changed[y : y + SQUARE_PX, x : x + SQUARE_PX] = 235
    return changed


def frame(i420: NDArray[np.uint8], number: int = 0) -> Frame:
    return Frame(i420, number, Fraction(1, 25))


def paint(steady: Steady, pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return [steady.begin(frame(picture, i))().i420.copy() for i, picture in enumerate(pictures)]


class Pooled:
    """A source of pictures whose buffers are used again as soon as they are released.

    Attributes:
        is_ahead: set once so many frames were taken that the queues are full, or all.
    """

    def __init__(self, film: list[NDArray[np.uint8]], depth: int) -> None:
        self.film, self.pool = film, FramePool()
        self.is_ahead = threading.Event()
        self._full = min(2 * depth, len(film) - 1)
        self.info = StreamInfo(WIDTH, HEIGHT, Fraction(25), Fraction(1, 25), ColorSpace())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        for number, picture in enumerate(self.film):
            if number == self._full:
                self.is_ahead.set()
            buffer = self.pool.take(HEIGHT, WIDTH)
            buffer[:] = picture
            yield Frame(buffer, number, Fraction(1, 25), pool=self.pool)


class Kept:
    """A sink that keeps all pictures, and takes none before an event."""

    def __init__(self, found: list[NDArray[np.uint8]], begins: threading.Event) -> None:
        self.found, self.begins = found, begins

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def write(self, frame: Frame) -> None:
        assert self.begins.wait(60)
        self.found.append(frame.i420.copy())


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.abs(a.astype(float) - b.astype(float))


def test_frames_on_their_way_at_once_change_nothing(stylizer):
    film = [noisy(with_square(scene(), 8 * i, 40), 2, i) for i in range(8)]
    film += [noisy(scene(1), 2, i) for i in range(4)]  # a cut
    steady = Steady(stylizer)
    begun, painted = deque(), []
    for i, picture in enumerate(film):
        begun.append(steady.begin(frame(picture, i)))
        if len(begun) == 3:
            painted.append(begun.popleft()().i420.copy())
    painted += [wait().i420.copy() for wait in begun]
    for ours, theirs in zip(painted, paint(Steady(stylizer), film), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
def test_a_still_scene_with_noise_trembles_less_than_its_noise(stylizer, sigma):
    film = [noisy(scene(), sigma, i) for i in range(16)]
    of_film = np.stack(film[8:]).std(0).mean()
    alone = np.stack(paint(Steady(stylizer, 0), film)[8:]).std(0).mean()
    steady = np.stack(paint(Steady(stylizer), film)[8:]).std(0).mean()
    assert steady < of_film
    assert steady < alone


def test_a_still_film_is_painted_exactly_once(stylizer):
    painted = paint(Steady(stylizer), [scene()] * 4)
    assert all(np.array_equal(painted[0], each) for each in painted[1:])


def test_without_stability_each_frame_is_painted_alone(stylizer):
    film = [noisy(scene(), 5, i) for i in range(3)]
    alone = [stylizer(frame(picture)).i420 for picture in film]
    for ours, theirs in zip(paint(Steady(stylizer, 0), film), alone, strict=True):
        assert np.array_equal(ours, theirs)


def test_the_first_frame_is_painted_as_alone(stylizer):
    assert np.array_equal(paint(Steady(stylizer), [scene()])[0], stylizer(frame(scene())).i420)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_what_moves_leaves_no_ghost(stylizer, sigma):
    still = scene()
    film = [noisy(with_square(still, 20 + 12 * i, 60), sigma, i) for i in range(16)]
    painted = paint(Steady(stylizer), film)
    for i in range(4, 16):
        alone = stylizer(frame(film[i])).i420
        # Where the square was one frame and more before, and where it is now
        left, right = 20 + 12 * max(0, i - 4), 20 + 12 * i + SQUARE_PX
        path = np.s_[60 : 60 + SQUARE_PX, left:right]
        trail = difference(painted[i][path], alone[path]).mean()
        ghost = difference(stylizer(frame(film[i - 1])).i420[path], alone[path]).mean()
        again = noisy(with_square(still, 20 + 12 * i, 60), sigma, 100 + i)
        of_noise = difference(stylizer(frame(again)).i420[path], alone[path]).mean()
        assert trail < 0.1 * ghost + of_noise


def test_an_encoders_faint_work_in_a_still_scene_does_not_show(stylizer):
    rng = np.random.default_rng(0)
    film = [scene()]
    for _ in range(16):
        picture = film[-1].copy()
        for y, x in rng.integers(0, (HEIGHT // 8, WIDTH // 8), (5, 2)) * 8:
            block = picture[y : y + 8, x : x + 8]
            block[:] = block.astype(int) + rng.choice([-4, 4])
        film.append(picture)
    steady, alone = paint(Steady(stylizer), film), [stylizer(frame(each)).i420 for each in film]
    ours, theirs = (
        np.mean([np.quantile(difference(a, b), 0.999) for a, b in pairwise(films[6:])])
        for films in (steady, alone)
    )
    assert ours < theirs / 3
    assert difference(steady[-1], alone[-1]).mean() < difference(steady[-1], alone[0]).mean()


def test_what_moves_faintly_is_followed_at_once(stylizer):
    film = []
    for i in range(12):
        film.append(scene())
        film[-1][60 : 60 + SQUARE_PX, 20 + 12 * i : 20 + 12 * i + SQUARE_PX] += 5
    painted = paint(Steady(stylizer), film)
    for i in range(4, 12):
        there = np.s_[60 : 60 + SQUARE_PX, 20 + 12 * i : 20 + 12 * i + SQUARE_PX]
        now, before = (stylizer(frame(film[n])).i420[there] for n in (i, i - 1))
        behind = difference(painted[i][there], now).mean()
        assert behind < 0.5 * difference(before, now).mean()


def test_what_stands_still_beside_what_moves_stands_still(stylizer):
    still = scene()
    film = [with_square(still, 4 + 4 * i, 8) for i in range(12)]
    painted = paint(Steady(stylizer), film)
    below = np.s_[150:HEIGHT]
    alone = [stylizer(frame(picture)).i420 for picture in film]
    ours, theirs = (
        np.stack([f[below] for f in films[4:]]).std(0).mean() for films in (painted, alone)
    )
    assert ours <= theirs + 0.01
    assert ours < 1


class Shifting:
    """Paints every frame flat, 40 codes lighter than the one before."""

    def begin(self, given: Frame) -> Callable[[], Frame]:
        i420 = np.full_like(given.i420, 80 + 40 * given.pts)
        return lambda: Frame(i420, given.pts, given.time_base, given.color)


@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (WIDTH - 6, HEIGHT - 10)])
def test_what_follows_at_once_has_no_edges(width: int, height: int) -> None:
    still = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    moved = with_square(still, 8, 8)
    film = [picture[: height * 3 // 2, :width].copy() for picture in (still, moved)]
    last = paint(Steady(Shifting()), film)[1][:height].astype(int)
    assert last[8, 8] == 120
    assert last[-1, -1] < 90
    assert max(np.abs(np.diff(last, axis=axis)).max() for axis in (0, 1)) <= 4


def test_after_a_cut_paint_is_at_once_that_of_the_new_scene(stylizer):
    film = [noisy(scene(0), 3, i) for i in range(5)] + [noisy(scene(1), 3, 9)]
    painted = paint(Steady(stylizer), film)
    assert difference(painted[-1], stylizer(frame(film[-1])).i420).mean() < 1


def lit(i420: NDArray[np.uint8], gain: float) -> NDArray[np.uint8]:
    """The same with less light: luma above black times a gain, and chroma around grey."""
    picture = i420.astype(float)
    picture[:HEIGHT] = 16 + gain * (picture[:HEIGHT] - 16)
    picture[HEIGHT:] = 128 + gain * (picture[HEIGHT:] - 128)
    return picture.round().clip(0, 255).astype(np.uint8)


def mean_change(pictures: list[NDArray[np.uint8]]) -> float:
    """From each picture to the next, luma."""
    return float(np.mean([difference(a, b)[:HEIGHT].mean() for a, b in pairwise(pictures)]))


def test_drifting_exposure_moves_no_strokes(stylizer):
    film = [noisy(lit(scene(), 1 - 0.012 * i), 1, i) for i in range(24)]
    painted = paint(Steady(stylizer), film)
    alone = paint(Steady(stylizer, 0), film)
    own = mean_change(film)
    assert mean_change(alone[4:]) > 1.2 * own
    assert mean_change(painted[4:]) < own
    for i in (8, 16, 23):  # and it is as light as it should be
        assert abs(float(painted[i][:HEIGHT].mean()) - alone[i][:HEIGHT].mean()) < 5
        assert abs(float(painted[i][HEIGHT:].mean()) - alone[i][HEIGHT:].mean()) < 5


def test_what_moves_in_drifting_light_leaves_no_ghost(stylizer):
    dim = [noisy(lit(scene(), 1 - 0.012 * i), 1, i) for i in range(16)]
    film = [
        with_square(picture, 16 + 14 * i, 64) if i < 12 else picture
        for i, picture in enumerate(dim)
    ]
    with_it, without = (paint(Steady(stylizer), each) for each in (film, dim))
    there = np.s_[56:120, 8:120]  # where it has been, some frames ago
    ghost = difference(with_it[-1], without[-1])[there].mean()
    texture = difference(without[-1], stylizer(frame(dim[-1])).i420)[there].mean()
    assert ghost < 1.5 * texture + 2
    now = with_square(np.zeros_like(dim[0]), 16 + 14 * 11, 64) > 0
    assert difference(with_it[11], stylizer(frame(film[11])).i420)[now].mean() < 8


def test_a_slow_fade_is_followed(stylizer):
    film = [(scene() * (1 - 0.01 * i)).astype(np.uint8) for i in range(30)]
    painted = paint(Steady(stylizer), film)
    for i in (10, 20, 29):
        assert difference(painted[i], stylizer(frame(film[i])).i420)[:HEIGHT].mean() < 6


def test_what_creeps_is_followed_in_time(stylizer):
    dim, bright = scene(), scene()
    film = [noisy(dim, 2, i) for i in range(6)]
    bright[60:120, 80:200] += 12  # less than what counts as motion amid strong noise
    film += [noisy(bright, 2, 100 + i) for i in range(60)]
    last = paint(Steady(stylizer), film)[-1]
    there = np.s_[70:110, 90:190]
    new, old = (stylizer(frame(each)).i420[there] for each in (bright, dim))
    assert difference(last[there], new).mean() < difference(last[there], old).mean()


def test_what_is_faint_and_slow_is_not_frozen_at_the_most_stability(stylizer):
    y, x = np.mgrid[:HEIGHT, :WIDTH]

    def film(i: int) -> NDArray[np.uint8]:
        blob = 25 * np.exp(-((x - 60 - 3 * i) ** 2 + (y - 96) ** 2) / (2 * 20**2))
        picture = scene().astype(float)
        picture[:HEIGHT] += blob
        return noisy(picture, 3, i)

    last = paint(Steady(stylizer, 1), [film(i) for i in range(40)])[-1]
    now, then = (stylizer(frame(film(i))).i420 for i in (39, 14))
    where_it_was = np.s_[76:116, 82:122]
    behind = difference(last[where_it_was], now[where_it_was]).mean()
    assert behind < 0.5 * difference(then[where_it_was], now[where_it_was]).mean()


def test_reset_forgets(stylizer):
    steady = Steady(stylizer)
    paint(steady, [noisy(scene(), 3, i) for i in range(3)])
    steady.reset()
    one = noisy(scene(), 3, 7)
    assert np.array_equal(paint(steady, [one])[0], stylizer(frame(one)).i420)


def test_the_same_film_gives_the_same_painting(stylizer):
    film = [with_square(noisy(scene(), 2, i), 10 * i, 40) for i in range(8)]
    first, again = (paint(Steady(stylizer), film) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_queues_and_buffers_change_nothing(stylizer, monkeypatch, depth):
    film = [noisy(with_square(scene(), 8 + 6 * i, 40), 2.0, i) for i in range(10)]
    found: list[NDArray[np.uint8]] = []
    monkeypatch.setattr(pipeline, "QUEUE_FRAMES", depth)
    source = Pooled(film, depth)
    pipeline.Pipeline(source, Steady(stylizer, 0.5), Kept(found, source.is_ahead)).run()
    assert np.array_equal(found, paint(Steady(stylizer, 0.5), film))


def test_the_size_may_change(stylizer):
    steady = Steady(stylizer)
    paint(steady, [scene()] * 2)
    small = np.ascontiguousarray(scene()[: 96 * 3 // 2, :160])
    assert np.array_equal(paint(steady, [small])[0], stylizer(frame(small)).i420)


@pytest.mark.parametrize(("width", "height"), [(16, 16), (22, 18), (30, 50), (638, 358)])
def test_any_even_size(stylizer, width, height):
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (height * 3 // 2, width), np.uint8)
    painted = paint(Steady(stylizer), [noisy(still, 2, i) for i in range(4)])
    assert painted[-1].shape == still.shape


@pytest.mark.parametrize("stability", [-0.1, 1.1])
def test_stability_out_of_range(stylizer, stability):
    with pytest.raises(ValueError, match="from 0 to 1"):
        Steady(stylizer, stability)
