"""Strokes are laid over photos in the painting's colours."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training.config import OverlaySettings  # noqa: E402
from realtime_style.training.light import luma_of  # noqa: E402
from realtime_style.training.overlay import (  # noqa: E402
    Overlay,
    blurred,
    calmness,
    evened_out,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SETTINGS = OverlaySettings(gain=1.0, calm=0.0, blur_px=8, large=0.0)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def box(x: Tensor, radius: int) -> Tensor:
    padded = functional.pad(x, [radius] * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * radius + 1, 1)


def photos(count: int = 2, side: int = 64) -> Tensor:
    """Smooth pictures with an edge and some noise."""
    coarse = noise(count, 3, 5, 5)
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0.1, 0.9)
    smooth[..., : side // 3] *= 0.4
    return (smooth + 0.05 * (noise(count, 3, side, side, seed=1) - 0.5)).clamp(0, 1)


def stripes(photo: Tensor) -> Tensor:
    """Light strokes of 4 px, 8 px apart, over flat grey that shows nothing of the photo."""
    painted = torch.full_like(photo, 0.4)
    painted[..., (torch.arange(photo.shape[3]) % 8) < 4] = 0.6
    return painted


def test_evening_out_is_the_guided_filter_twice() -> None:
    expected = photo = photos(side=96)
    for _ in range(2):  # He et al., algorithm 1
        guide = luma_of(expected)
        variance = box(guide * guide, 4) - box(guide, 4) ** 2
        scale = (box(guide * expected, 4) - box(guide, 4) * box(expected, 4)) / (variance + 0.004)
        shift = box(expected, 4) - scale * box(guide, 4)
        expected = box(scale, 4) * guide + box(shift, 4)
    found = evened_out(photo)
    assert (found - expected).abs().mean() < 0.004
    assert (found - photo).abs().mean() > 3 * (found - expected).abs().mean()


def test_evening_out_keeps_edges_and_flat_parts() -> None:
    picture = torch.full((1, 3, 32, 64), 0.2)
    picture[..., 32:] = 0.8
    found = evened_out(picture)
    assert (found - picture)[..., [31, 32]].abs().max() < 0.1  # of a mean it would be 0.3
    torch.testing.assert_close(evened_out(picture[..., :32]), picture[..., :32])


def test_a_blur_is_three_boxes() -> None:
    picture = photos(side=160)
    expected = box(box(box(picture, 28), 28), 28)
    apart = (blurred(picture, 28) - expected).abs()
    assert apart.mean() < 0.01
    assert apart.max() < 0.05  # at the border, where a mean of 4 px is repeated instead of one
    torch.testing.assert_close(blurred(torch.full((1, 3, 32, 32), 0.3), 28).mean().item(), 0.3)


def test_calm_parts_are_those_without_detail() -> None:
    photo = torch.full((1, 3, 64, 128), 0.5)
    photo[..., 64:] += 0.02 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    calm = calmness(photo)
    assert calm.shape == (1, 1, 64, 128)
    assert calm[..., :32].min() > 0.99
    luma = luma_of(photo)
    deviation = box((luma - box(luma, 8)).square(), 16).sqrt()
    expected = (1 - deviation / 0.04).clamp_min(0)
    assert (calm - expected)[..., 96:].abs().max() < 0.1
    lively = photos()
    lively[..., ::2] = 0
    assert calmness(lively).max() == 0


def test_strokes_are_laid_over_the_photo() -> None:
    photo, painting = photos(), photos(1)
    plain, strong, calm = (
        Overlay(stripes, photo, [painting], OverlaySettings(gain, calm, 8, 0.0))._sum(photo)
        for gain, calm in ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0))
    )
    strokes = (strong - plain)[..., 16:-16].unflatten(3, (-1, 8))
    light, dark = strokes[..., 1:3].mean(), strokes[..., 5:7].mean()
    assert (light - dark).item() == pytest.approx(2 * 0.2, rel=0.1)  # the gain times the stroke
    assert (strong - plain).mean().abs() < 0.01  # the light of what was painted is left out
    left = 1 - calmness(photo)
    torch.testing.assert_close(calm - plain, (strong - plain) * left, rtol=0, atol=1e-5)


def test_large_strokes_are_painted_at_half_the_size() -> None:
    photo = photos()

    def painted(large: float) -> Tensor:
        settings = OverlaySettings(1.0, 0.0, 8, large)
        return Overlay(stripes, photo, [photo], settings)._painted(photo)

    small, mixed, large = painted(0.0), painted(0.5), painted(1.0)
    assert torch.equal(small, stripes(photo))
    enlarged = functional.interpolate(stripes(photo[..., ::2, ::2]), scale_factor=2, mode="bicubic")
    torch.testing.assert_close(large, enlarged.clamp(0, 1))
    torch.testing.assert_close(mixed, (small + large) / 2)


def test_an_overlay_has_the_range_of_the_painting() -> None:
    painting = 0.2 + 0.5 * photos(1)
    photo = photos(4)
    overlay = Overlay(stripes, photo, [painting], OverlaySettings(3.0, 0.0, 8, 0.0))
    found = overlay(photo)
    assert overlay._sum(photo).max() > 1
    assert found.shape == photo.shape
    assert not found.requires_grad
    assert found.min() >= painting.min() - 1e-3
    assert found.max() <= painting.max() + 1e-3
    assert luma_of(found).std().item() == pytest.approx(luma_of(painting).std().item(), rel=0.3)


def test_an_overlay_does_not_depend_on_chance() -> None:
    photo = photos()
    first, again = (Overlay(stripes, photo, [photo], SETTINGS)(photo) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ((-1.0, 0.0, 8, 0.0), "overlay_gain"),
        ((1.0, 1.5, 8, 0.0), "overlay_calm"),
        ((1.0, 0.0, 3, 0.0), "overlay_blur_px"),
        ((1.0, 0.0, 8, float("nan")), "overlay_large"),
    ],
)
def test_settings_are_checked(values: tuple[float, float, int, float], setting: str) -> None:
    with pytest.raises(TrainingError, match=f"{setting} must be from") as caught:
        OverlaySettings(*values)
    assert caught.value.setting == setting
