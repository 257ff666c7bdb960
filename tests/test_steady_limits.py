"""The limits of temporal consistency and of the grain, one by one, as numbers.

Each test finds where behaviour changes and compares that with what the limit means. A limit that
is changed moves the place where behaviour changes, and its test fails.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_style.frame import Frame
from realtime_style.painting import grain, light
from realtime_style.painting.grain import Grain
from realtime_style.painting.light import Light, light_between
from realtime_style.painting.steady import Steady
from realtime_style.stages import Pending

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 384
BLOCK_PX = 8
Y, X = 192, 320  # a block in the middle


class Recorder:
    """A painter that keeps what it is given and answers with it, or with flat pictures."""

    in_flight = 1

    def __init__(self, codes: list[int] | None = None) -> None:
        self.seen: list[Picture] = []
        self.codes = codes

    def prepare(self, size: tuple[int, int], on_build: object = None) -> None: ...

    def reset(self) -> None: ...

    def cancel(self) -> None: ...

    def begin(self, frame: Frame) -> Pending[Frame]:
        self.seen.append(frame.i420.copy())
        answer = frame.i420.copy()
        if self.codes:
            answer[...] = self.codes[len(self.seen) - 1]
        painted = Frame(answer, frame.pts, frame.time_base, frame.color, frame.duration)
        return lambda: painted


def still(code: int = 128) -> Picture:
    """A picture with texture, so that a change of one block is no change of light."""
    rng = np.random.default_rng(0)
    picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    picture[:HEIGHT] = np.kron(
        rng.integers(code - 40, code + 40, (HEIGHT // 8, WIDTH // 8)), np.ones((8, 8))
    )
    return picture


def stepped(codes: float, blocks: int = 1, y: int = Y, x: int = X) -> Picture:
    """The same with some blocks in a row lighter; fractions of codes as shares of their pixels."""
    picture = still()
    for number in range(blocks):
        place = np.s_[y : y + BLOCK_PX, x + number * BLOCK_PX : x + (number + 1) * BLOCK_PX]
        whole, share = int(codes), codes - int(codes)
        lighter = np.arange(16).reshape(4, 4) < round(16 * share)
        picture[place] += whole + np.tile(lighter, (2, 2)).astype(np.uint8)
    return picture


def run(pictures: list[Picture], stability: float = 0.5) -> tuple[list[Picture], list[Picture]]:
    """What the network sees of a film, and what is painted."""
    recorder = Recorder()
    steady = Steady(recorder, stability)
    painted = [
        steady.begin(Frame(picture, i, Fraction(1, 25)))().i420.copy()
        for i, picture in enumerate(pictures)
    ]
    return recorder.seen, painted


def least(holds: Callable[[float], bool], steps: NDArray[np.float64]) -> float:
    """The first step at which something holds; not at the first one, but at the last."""
    found = [holds(float(step)) for step in steps]
    assert not found[0]
    assert found[-1]
    return float(steps[found.index(True)])


def is_seen(codes: float, stability: float = 0.5) -> bool:
    seen, _ = run([still(), still(), stepped(codes)], stability)
    return not np.array_equal(seen[-1], seen[0])


def is_followed_at_once(codes: float) -> bool:
    pictures = [still(), still(), stepped(codes)]
    _, painted = run(pictures)
    return int(painted[-1][Y, X]) == int(pictures[-1][Y, X])


def test_a_block_may_differ_by_two_codes_and_be_held() -> None:
    assert least(is_seen, np.arange(1, 4, 0.125)) == 2.125


def test_twice_as_much_at_full_stability_and_half_at_a_quarter() -> None:
    assert least(lambda codes: is_seen(codes, 1.0), np.arange(2, 7, 0.125)) == 4.125
    assert least(lambda codes: is_seen(codes, 0.25), np.arange(0.5, 3, 0.125)) == 1.125


def test_paint_follows_at_once_beyond_six_codes() -> None:
    assert least(is_followed_at_once, np.arange(4, 9, 0.125)) == 6.125


def test_faint_changes_are_followed_at_once_where_many_blocks_differ() -> None:
    def follows(blocks: float) -> bool:
        picture = still()
        for number in range(int(blocks)):  # in a square of five a side
            row, column = divmod(number, 5)
            at = Y + (row - 2) * BLOCK_PX, X + (column - 2) * BLOCK_PX
            picture = np.maximum(picture, stepped(4, 1, *at))
        _, painted = run([still(), still(), picture])
        first = Y - 2 * BLOCK_PX, X - 2 * BLOCK_PX
        return int(painted[-1][first]) == int(picture[first])

    assert least(follows, np.arange(2.0, 20.0)) == 8  # of 121 blocks around, more than 6 %


def test_a_block_that_moved_is_held_again_after_six_frames() -> None:
    rng = np.random.default_rng(1)
    film = [still(), still(), stepped(40)]
    # flicker that is within what is held, and that the network sees as long as the block lives
    for _ in range(12):
        film.append(stepped(40) + rng.integers(0, 2, still().shape, np.uint8))
    seen, _ = run(film)
    block = np.s_[Y : Y + 8, X : X + 8]
    changes = [
        i for i in range(3, len(seen)) if not np.array_equal(seen[i][block], seen[i - 1][block])
    ]
    assert changes == list(range(3, 3 + 5))


@pytest.mark.parametrize(("stability", "share"), [(1.0, 1 / 64), (0.5, 1 / 8), (0.1, 1 / 2)])
def test_paint_follows_by_a_power_of_two_a_frame(stability: float, share: float) -> None:
    recorder = Recorder([100, 100, 164, 164])
    steady = Steady(recorder, stability)
    painted = [
        steady.begin(Frame(still(), i, Fraction(1, 25)))().i420.copy()[0, 0] for i in range(4)
    ]
    assert int(painted[2]) - 100 == pytest.approx(64 * share, abs=0.51)


@pytest.mark.parametrize(("blocks_away", "follows"), [(2, True), (3, False)])
def test_paint_near_a_change_follows_at_once(blocks_away: int, follows: bool) -> None:
    # blocks around the changed one live as well; two more follow, then fading, then slowly
    film = [still(), still(), stepped(60)]
    recorder = Recorder([100, 100, 103])  # too little for the wider reach
    steady = Steady(recorder)
    painted = [
        steady.begin(Frame(picture, i, Fraction(1, 25)))().i420.copy()
        for i, picture in enumerate(film)
    ]
    at = X + BLOCK_PX * (1 + blocks_away) + 4
    assert (int(painted[-1][Y + 4, at]) == 103) is follows


@pytest.mark.parametrize(("blocks_away", "follows"), [(14, True), (18, False)])
def test_paint_that_changed_much_follows_within_thirteen_blocks(
    blocks_away: int, follows: bool
) -> None:
    film = [still(), still(), stepped(60)]
    recorder = Recorder([100, 100, 150])
    steady = Steady(recorder)
    painted = [
        steady.begin(Frame(picture, i, Fraction(1, 25)))().i420.copy()
        for i, picture in enumerate(film)
    ]
    at = X + BLOCK_PX * blocks_away + 4
    assert (int(painted[-1][Y + 4, at]) == 150) is follows


def test_a_cut_replaces_everything_from_four_fifths_on() -> None:
    other = 255 - still()[:, ::-1]

    def is_cut(share: float) -> bool:
        steady = Steady(Recorder())
        changed = still()
        changed[:HEIGHT, : round(WIDTH * share / 8) * 8] = other[
            :HEIGHT, : round(WIDTH * share / 8) * 8
        ]
        for number, picture in enumerate((still(), still(), changed)):
            steady.begin(Frame(picture, number, Fraction(1, 25)))()
        return steady._changes.is_cut

    assert least(is_cut, np.arange(0.5, 1.0, 0.025)) == pytest.approx(0.83, abs=0.04)


def cells(seed: int = 0) -> NDArray[np.int16]:
    """Cells of a picture, in sixteenths of codes."""
    rng = np.random.default_rng(seed)
    return rng.integers(16 * 60, 16 * 140, (3, 96, 160)).astype(np.int16)


def lit(gain: float = 1.0, offset_codes: float = 0.0) -> NDArray[np.int16]:
    return (gain * cells() + 16 * offset_codes).round().astype(np.int16)


def test_light_may_change_by_a_quarter_or_by_32_codes() -> None:
    middle = 100.0  # codes; a gain around it moves nothing much else
    assert light_between(cells(), lit(1.2, -0.2 * middle), 0.0)
    assert not light_between(cells(), lit(1.3, -0.3 * middle), 0.0)
    assert light_between(cells(), lit(offset_codes=31), 0.0)
    assert not light_between(cells(), lit(offset_codes=33), 0.0)


def test_light_must_change_by_half_a_code() -> None:
    assert not light_between(cells(), lit(offset_codes=0.4), 0.0)
    assert light_between(cells(), lit(offset_codes=0.6), 0.0)


@pytest.mark.parametrize(("share", "is_light"), [(0.65, True), (0.55, False)])
def test_three_fifths_of_the_cells_must_change_as_one(share: float, is_light: bool) -> None:
    changed = lit(offset_codes=8)
    columns = round(changed.shape[2] * share)
    changed[:, :, columns:] = cells(1)[:, :, columns:]
    assert bool(light_between(cells(), changed, 0.0)) is is_light


def test_the_grain_is_one_and_a_half_codes_and_as_fine_as_two_pixels() -> None:
    flat = Frame(np.full((512 * 3 // 2, 512), 128, np.uint8), 0, Fraction(1, 25))
    laid = Grain().lay_under(flat).luma[0, 0].astype(float) - 128
    assert laid.std() == pytest.approx(1.5, abs=0.1)  # rounding adds 0.03
    spectrum = np.abs(np.fft.fft2(laid)) ** 2
    beside = np.fft.ifft2(spectrum).real[0, :8]
    # a Gauss bell of s pixels leaves exp(-d^2 / (4 s^2)) of its square at a distance d
    assert beside[2] / beside[0] == pytest.approx(np.exp(-4 / 16), abs=0.08)


@pytest.mark.parametrize(
    ("noise_codes", "strength"), [(0.0, 1.0), (0.13, 1.0), (0.28, 0.5), (0.6, 0.0)]
)
def test_textured_areas_get_less_grain_and_the_most_textured_none(
    noise_codes: float, strength: float
) -> None:
    # noise of cells: one value a cell of 4x4 pixels, in sixteenths of codes
    rng = np.random.default_rng(0)
    cells = (
        rng.normal(0, noise_codes * np.sqrt(np.pi) / 2 * 16, (128, 128)).round().astype(np.int16)
    )
    levels = grain._flatness((cells + 16 * 128).astype(np.int16))
    assert levels[8:-8, 8:-8].mean() / grain._LEVELS == pytest.approx(strength, abs=0.17)


def settled(noise_codes: float = 0.0) -> Steady:
    """After two still frames; with a noise level of luma that the next frame leaves behind."""
    steady = Steady(Recorder())
    for number in range(2):
        steady.begin(Frame(still(), number, Fraction(1, 25)))()
    steady._changes.noise[0] = noise_codes / (1 - 1 / 4)  # a quieter frame takes a quarter off
    return steady


def test_noise_widens_the_limit_by_five_times_its_mean_difference() -> None:
    def seen(codes: float) -> bool:
        steady = settled(noise_codes=1.0)
        steady.begin(Frame(stepped(codes), 2, Fraction(1, 25)))()
        return not np.array_equal(steady._held, still())

    assert least(seen, np.arange(5, 10, 0.125)) == pytest.approx(7.125, abs=0.07)


@pytest.mark.parametrize(("plane", "codes"), [(0, 3.0), (1, 6.0), (2, 6.0)])
def test_more_than_a_few_codes_are_not_noise(plane: int, codes: float) -> None:
    steady = Steady(Recorder())
    steady._changes._measure_noise(plane, np.full((96, 160), 16 * 20, np.int16))
    assert steady._changes.noise[plane] == codes


def test_noise_is_measured_in_squares_of_eight_cells() -> None:
    sizes = np.full((96, 96), 16, np.int16)
    for row in range(0, 96, 16):  # a quarter of the squares of 8 cells is still, and a few more
        for column in range(0, 96, 16):
            sizes[row : row + 8, column : column + 8] = 0
    sizes[8:16, 8:16] = 0
    steady = Steady(Recorder())
    steady._changes._measure_noise(0, sizes)
    assert steady._changes.noise[0] == 0


def test_noise_that_falls_is_believed_sooner_than_noise_that_rises() -> None:
    steady = Steady(Recorder())
    steady._changes.noise[0] = 1.0
    steady._changes._measure_noise(0, np.full((96, 96), 32, np.int16))  # 2 codes
    assert steady._changes.noise[0] == pytest.approx(1 + 1 / 32)
    steady._changes.noise[0] = 1.0
    steady._changes._measure_noise(0, np.zeros((96, 96), np.int16))
    assert steady._changes.noise[0] == pytest.approx(1 - 1 / 4)


def test_under_a_change_of_light_blocks_may_differ_by_four_codes_more() -> None:
    def differs(codes: float) -> bool:
        steady = settled()
        cells = steady._changes.known.copy()
        lighter = Light((1.0, 1.0, 1.0), (8.0, 0.0, 0.0))
        cells = lighter.on(cells)
        cells[0, 40:42, 40:42] += round(16 * codes)
        found = steady._changes.compare(cells, lighter)
        assert found is not None
        return bool(found[1].any())

    # the difference is measured against the lit cells, whose median has not moved
    assert least(differs, np.arange(4, 9, 0.125)) == 6.125


def test_paint_follows_a_change_of_light_for_24_frames() -> None:
    steady = settled()
    lighter = (still().astype(int) + 10).clip(0, 255).astype(np.uint8)
    steady.begin(Frame(lighter, 2, Fraction(1, 25)))()
    assert steady._relit == 24


def test_where_cells_hardly_vary_light_is_an_offset_rather_than_a_gain() -> None:
    x = np.tile(np.array([96.0, 104.0], np.float32), 200)  # a variance of 16 codes^2
    y = (2 * (x - 100) + 100).astype(np.float32)
    _, gain, _ = light._fitted(x, y, 2.0)
    assert gain == pytest.approx((32 + 16) / (16 + 16))


def drift_seen(codes: float, frames: int) -> bool:
    """Whether a difference too small to be seen at once is seen after so many frames."""
    seen, _ = run([still(), still()] + [stepped(codes)] * frames)
    return not np.array_equal(seen[-1], still())


def test_small_differences_that_last_are_taken_over() -> None:
    assert least(lambda codes: drift_seen(codes, 120), np.arange(0.5, 1.6, 0.125)) == 1.0
    # as a mean over 16 frames reaches three quarters of a code
    expected = np.log(1 - 0.75 / 1.5) / np.log(15 / 16)
    frames = least(lambda count: drift_seen(1.5, int(count)), np.arange(1.0, 40.0))
    assert frames == pytest.approx(expected, abs=2.5)


def test_a_block_moves_where_a_third_of_those_around_it_do() -> None:
    def moves(columns: float) -> bool:
        steady = settled()
        cells = steady._changes.known.copy()
        # a field left of a still block, as high as what counts, two blocks away at least
        cells[0, 2 * 18 : 2 * 31, 2 * (38 - int(columns)) : 2 * 38] += 16 * 50
        found = steady._changes.compare(cells, None)
        assert found is not None
        return bool(found[0][24, 40])

    # of 11 rows and 11 columns of blocks: 11 * columns / 121 must exceed 0.35
    assert not moves(3)
    far = settled()
    cells = far._changes.known.copy()
    cells[0, :, 2 * 41 :] += 16 * 50
    found = far._changes.compare(cells, None)
    assert found is not None
    changed = found[0][24]
    # five blocks left of a border 5 / 11 of the surroundings move, at four 4 / 11, at three 3 / 11
    assert [bool(changed[column]) for column in (36, 37, 38, 39, 40)] == [
        False, False, False, True, True,
    ]  # fmt: skip


def test_noise_widens_the_limit_of_what_lasts_by_four_times_its_mean_difference() -> None:
    def drifted(codes: float) -> bool:
        steady = settled(noise_codes=1.0)
        steady._changes._drift[0, 40, 40] = (
            round(16 * codes * 16 / 15) << 3
        )  # a frame takes a 16th off
        found = steady._changes.compare(steady._changes.known.copy(), None)
        assert found is not None
        return bool(found[1].any())

    assert least(drifted, np.arange(3, 7, 0.0625)) == pytest.approx(4.75, abs=0.13)


def test_half_of_the_picture_may_change_by_six_tenths_of_a_code() -> None:
    def is_new(codes: float) -> bool:
        steady = settled()
        return (
            steady._changes.compare(steady._changes.known + np.int16(round(16 * codes)), None)
            is None
        )

    assert least(is_new, np.arange(0.25, 1.0, 0.0625)) == 0.625
