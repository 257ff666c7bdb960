"""A faint grain lies under flat places, the same in every frame, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from conftest import painter_of
from numpy.typing import NDArray

from realtime_style import bundled_styles
from realtime_style.frame import Frame
from realtime_style.painting.grain import Grain

MOST = 9  # codes that the grain may change a pixel by: six standard deviations


def grain(seed: int = 0) -> Callable[[Frame], Frame]:
    """Lays the grain of a seed under a frame."""
    return Grain(seed).lay_under


def flat(height: int, width: int, code: int = 128) -> Frame:
    return Frame(np.full((height * 3 // 2, width), code, np.uint8), 7, Fraction(1, 25))


def luma(frame: Frame) -> NDArray[np.int16]:
    return frame.luma[0, 0].astype(np.int16)


def test_flat_places_get_a_grain_that_cannot_be_seen() -> None:
    change = luma(grain()(flat(512, 512))) - 128
    assert 1 < change.std() < 2
    assert abs(change.mean()) < 0.1
    assert abs(change).max() <= MOST


def test_only_luma_changes_and_the_frame_given_is_left_alone() -> None:
    frame = flat(64, 96)
    grained = grain()(frame)
    assert (frame.i420 == 128).all()
    assert (grained.chroma == 128).all()
    assert (grained.pts, grained.time_base, grained.color) == (7, Fraction(1, 25), frame.color)


def test_what_is_lively_is_given_back_itself() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 96)).astype(np.uint8)
    frame = Frame(noise, 0, Fraction(1))
    assert grain()(frame) is frame


def test_the_grain_ends_where_the_flat_place_ends() -> None:
    frame = flat(128, 256)
    lively = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    frame.i420[:128, 128:] = lively
    changed = luma(grain()(frame)) != luma(frame)
    assert changed[:, :100].mean() > 0.3
    assert not changed[:, 128:].any()


@pytest.mark.parametrize("code_per_px", [0.02, 0.35, 0.5, 1.0])
def test_slopes_are_flat_however_steep(code_per_px: float) -> None:
    frame = flat(128, 128)
    frame.i420[:128] = (64 + code_per_px * np.arange(128)).astype(np.uint8)
    changed = luma(grain()(frame)) != luma(frame)
    assert changed.mean() > 0.3


def test_noise_that_hides_the_grain_is_lively() -> None:
    frame = flat(128, 128)
    noise = np.random.default_rng(0).normal(0, 8, frame.i420[:128].shape)
    frame.i420[:128] = (128 + noise).round().astype(np.uint8)
    assert grain()(frame) is frame


def test_every_frame_has_the_same_grain_and_every_seed_its_own() -> None:
    laid = grain()
    first, second = laid(flat(64, 64)).i420, laid(flat(64, 64)).i420
    assert np.array_equal(first, second)
    assert np.array_equal(first, grain()(flat(64, 64)).i420)
    assert not np.array_equal(first, grain(seed=1)(flat(64, 64)).i420)


def test_the_grain_belongs_to_the_place_whatever_moves() -> None:
    moved = []
    for x in (128, 160):
        frame = flat(128, 256)
        frame.i420[32:96, x : x + 64] = 235
        moved.append(luma(grain()(frame))[:, :96])
    assert np.array_equal(*moved)


@pytest.mark.parametrize("code", [0, 255])
def test_black_and_white_do_not_wrap_around(code: int) -> None:
    grained = luma(grain()(flat(64, 64, code)))
    assert abs(grained - code).max() <= MOST
    assert (grained != code).any()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (18, 22), (50, 30), (358, 638)])
def test_any_even_size(height: int, width: int) -> None:
    grained = luma(grain()(flat(height, width)))
    assert grained.shape == (height, width)
    assert (grained[: height // 4 * 4, : width // 4 * 4] != 128).any()


def test_tiles_of_the_grain_fit_together() -> None:
    change = luma(grain()(flat(64, 1056))) - 128
    step = np.abs(np.diff(change, axis=1)).mean(0)
    assert step[511] < 2 * np.median(step)  # from the last column of a tile to the next one's first
    assert np.array_equal(change[:, :32], change[:, 1024:])


@pytest.mark.parametrize("style", list(bundled_styles()))
def test_a_white_sky_is_painted_with_strokes(style: str) -> None:
    white = np.full((256, 256, 3), 255, np.uint8)
    middle = np.s_[96:160, 96:160]
    strokes, dead = (
        painter_of(style, precision="f32", grain=has_grain).paint_rgb(white)[middle].std((0, 1))
        for has_grain in (True, False)
    )
    assert dead.max() < 1.5
    assert strokes.max() > 3
