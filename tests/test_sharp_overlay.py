"""Strokes of a canvas are laid over photos at their own size, at every ratio of both."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from torch import Tensor  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training import recoloring  # noqa: E402
from realtime_style.training.config import SharpSettings  # noqa: E402
from realtime_style.training.filters import box, evened_out, luma_of  # noqa: E402
from realtime_style.training.sharp_overlay import (  # noqa: E402
    SharpOverlay,
    canvas_of,
    means_around,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread", "few_colors")

SETTINGS = SharpSettings(gain=1.0, calm=0.0, fine=0.0)


@pytest.fixture
def few_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer colours are measured, for speed."""
    monkeypatch.setattr(recoloring, "_SAMPLES", 64)


def flat(value: float, side: int = 96) -> Tensor:
    return torch.full((1, 3, side, side), value)


def gradient(side: int = 96) -> Tensor:
    return torch.linspace(0.2, 0.8, side).expand(1, 3, side, side).clone()


def stripes(photo: Tensor) -> Tensor:
    """Light strokes of 4 px, 8 px apart, over flat grey that shows nothing of the photo."""
    painted = torch.full_like(photo, 0.4)
    painted[..., (torch.arange(photo.shape[3]) % 8) < 4] = 0.6
    return painted


def moved_along(photo: Tensor) -> Tensor:
    """Paints each picture as it is: strokes that move with it."""
    return photo.clone()


def overlay(strokes: object = stripes, **changes: float) -> SharpOverlay:
    settings = dataclasses.replace(SETTINGS, **changes)
    return SharpOverlay(strokes, [gradient()], gradient(), [gradient()], settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ratio", "side"), [(1.0, 96), (1.5, 144), (2.0, 192), (3.0, 288)])
def test_strokes_are_as_large_as_on_the_canvas_at_every_ratio(ratio: float, side: int) -> None:
    photo = gradient(side)
    # One of the two paintings is moved by 2 px, so of strokes of 4 px half are left everywhere:
    # strokes of 8 px, 16 apart, keep three quarters
    strokes = [
        overlay(wide_stripes, gain=gain).sum_of(photo, ratio)[0, 0, side // 2] for gain in (2, 0)
    ]
    difference = strokes[0] - strokes[1]
    spectrum = torch.fft.rfft(difference[: int(64 * ratio)]).abs()
    assert int(spectrum.argmax()) == 4  # four strokes on 64 px of the canvas
    assert difference.mean().abs() < 0.02


def wide_stripes(photo: Tensor) -> Tensor:
    painted = torch.full_like(photo, 0.4)
    painted[..., (torch.arange(photo.shape[3]) % 16) < 8] = 0.6
    return painted


def test_the_grid_of_the_generator_is_gone() -> None:
    # `stripes` ignores the photo: strokes of 4 px that stay where they are, 2 px between both
    # paintings, are a grid; half a period of 4 px it removes altogether
    def grid(photo: Tensor) -> Tensor:
        painted = torch.full_like(photo, 0.4)
        painted[..., ::4] = painted[..., 1::4] = 0.6
        return painted

    with_grid = overlay(grid, gain=2.0).sum_of(gradient(), 1.0)
    without = overlay(grid, gain=0.0).sum_of(gradient(), 1.0)
    torch.testing.assert_close(with_grid, without, rtol=0, atol=1e-5)


def test_what_moves_with_the_photo_is_not_blurred() -> None:
    photo = gradient()
    photo[..., 40:44] = 0.9
    found = overlay(moved_along, gain=1.0)
    torch.testing.assert_close(found._without_grid(photo), photo)


def test_strokes_keep_their_colours_and_are_sharpened() -> None:
    def colored(photo: Tensor) -> Tensor:
        painted = wide_stripes(photo)
        painted[:, 2] = 0.4  # yellow strokes
        return painted

    photo = gradient()
    base, found = (overlay(colored, gain=gain).sum_of(photo, 1.0) for gain in (0.0, 1.0))
    strokes = (found - base)[..., 32:64]
    assert strokes[:, 2].abs().max() < 1e-5
    assert strokes[:, 0].max() - strokes[:, 0].min() > 1.4 * 0.2  # painted 0.2 apart


def test_strokes_are_weaker_where_it_is_calm_and_where_detail_is_fine() -> None:
    photo = torch.full((1, 3, 96, 192), 0.5)
    fine = torch.rand(96, 64, generator=torch.Generator().manual_seed(0))
    photo[..., 128:] = 0.2 + 0.6 * fine
    gains = {
        name: (overlay(wide_stripes, **changes).sum_of(photo, 1.0))
        for name, changes in (
            ("none", {"gain": 0.0}),
            ("plain", {}),
            ("calm", {"calm": 0.5}),
            ("fine", {"fine": 0.5}),
        )
    }
    plain, calm, weak = (gains[name] - gains["none"] for name in ("plain", "calm", "fine"))
    left, right = slice(16, 80), slice(148, 180)
    torch.testing.assert_close(calm[..., left], 0.5 * plain[..., left])
    torch.testing.assert_close(calm[..., right], plain[..., right], rtol=0, atol=1e-4)
    torch.testing.assert_close(weak[..., left], plain[..., left])
    torch.testing.assert_close(weak[..., right], 0.5 * plain[..., right], rtol=0, atol=1e-4)


def test_fine_detail_of_the_photo_stays_and_all_else_is_evened_out() -> None:
    photo = flat(0.5)
    photo[..., 40:56, 40:56] += 0.06 * (torch.arange(16) % 2 - 0.5)
    found = overlay(gain=0.0).sum_of(photo, 1.0)
    luma, evened = luma_of(photo), evened_out(overlay().to_painting(photo), 2)
    detail = luma - box(luma, 3)
    middle = slice(44, 52)
    expected = evened + detail
    assert (found - expected)[..., middle, middle].abs().max() < 1e-3
    assert (evened - expected)[..., middle, middle].abs().max() > 0.02
    torch.testing.assert_close(found[..., :24], evened[..., :24])


def test_means_around_are_in_the_size_of_the_photo() -> None:
    painted = gradient(64)
    found = means_around(painted, gradient(128))
    assert found.shape == (1, 3, 128, 128)
    assert (found - gradient(128))[..., 48:-48].abs().max() < 0.02
    stripes_left = means_around(stripes(painted), painted)
    torch.testing.assert_close(stripes_left, torch.full_like(painted, 0.5))


def test_the_result_has_the_paintings_colours() -> None:
    photo = gradient()
    painting = 0.5 + 0.3 * gradient()  # light, and of little contrast
    found = SharpOverlay(wide_stripes, [photo], photo, [painting], SETTINGS)(photo, 2.0)
    assert found.min() > painting.min() - 0.03
    assert found.max() < painting.max() + 0.03


def test_the_canvas_has_the_ratio() -> None:
    assert canvas_of(torch.zeros(1, 3, 480, 384), 1.5) == (320, 256)
    assert canvas_of(torch.zeros(1, 3, 480, 480), 3.0) == (160, 160)


@pytest.mark.parametrize(("setting", "value"), [("gain", 11), ("calm", 1.1), ("fine", -0.1)])
def test_settings_out_of_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(TrainingError, match=f"sharp_{setting} must be from 0") as error:
        dataclasses.replace(SETTINGS, **{setting: value})
    assert error.value.setting == f"sharp_{setting}"
