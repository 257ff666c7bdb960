"""Filters of photos: what is evened out, calm, or fine."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from realtime_style.training.filters import (  # noqa: E402
    box,
    calmness,
    evened_out,
    fine_detail,
    luma_of,
    sharpened,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def pooled(x: Tensor, radius: int) -> Tensor:
    padded = functional.pad(x, [radius] * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * radius + 1, 1)


def photos(count: int = 2, side: int = 64) -> Tensor:
    """Smooth pictures with an edge and some noise."""
    coarse = noise(count, 3, 5, 5)
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0.1, 0.9)
    smooth[..., : side // 3] *= 0.4
    return (smooth + 0.05 * (noise(count, 3, side, side, seed=1) - 0.5)).clamp(0, 1)


@pytest.mark.parametrize("radius", [1, 3, 8])
def test_a_box_is_the_mean_around(radius: int) -> None:
    torch.testing.assert_close(box(photos(), radius), pooled(photos(), radius))


def test_evening_out_is_the_guided_filter_twice() -> None:
    expected = photo = photos()
    for _ in range(2):  # He et al., algorithm 1
        guide = luma_of(expected)
        variance = pooled(guide * guide, 4) - pooled(guide, 4) ** 2
        scale = pooled(guide * expected, 4) - pooled(guide, 4) * pooled(expected, 4)
        scale = scale / (variance + 0.004)
        shift = pooled(expected, 4) - scale * pooled(guide, 4)
        expected = pooled(scale, 4) * guide + pooled(shift, 4)
    torch.testing.assert_close(evened_out(photo, 4), expected, rtol=0, atol=1e-5)
    assert (expected - photo).abs().mean() > 0.01


def test_evening_out_keeps_edges_and_flat_parts() -> None:
    picture = torch.full((1, 3, 32, 64), 0.2)
    picture[..., 32:] = 0.8
    found = evened_out(picture, 4)
    assert (found - picture)[..., [31, 32]].abs().max() < 0.1  # of a mean it would be 0.3
    torch.testing.assert_close(evened_out(picture[..., :32], 4), picture[..., :32])


def test_sharpened_edges_stand_out() -> None:
    picture = torch.full((1, 3, 8, 24), 0.4)
    picture[..., 12:] = 0.7
    found = sharpened(picture, 2.5)[0, 0, 4]
    assert found[:8].sub(0.4).abs().max() < 1e-6
    assert found[10:12].min() < 0.4 - 0.1
    assert found[12:14].max() > 0.7 + 0.1


def test_what_alternates_from_pixel_to_pixel_is_removed() -> None:
    picture = torch.full((1, 3, 16, 16), 0.5)
    picture[..., ::2] += 0.1
    inside = sharpened(picture, 2.5)[..., 4:-4, 4:-4]
    assert inside.max() - inside.min() < 0.06  # it was 0.1, and would be 0.3


@pytest.mark.parametrize("ratio", [1.0, 1.75])
def test_calm_parts_are_those_without_detail(ratio: float) -> None:
    luma = torch.full((1, 1, 96, 192), 0.5)
    luma[..., 96:] += 0.02 * torch.randn(96, 96, generator=torch.Generator().manual_seed(0))
    calm = calmness(luma, ratio)
    deviation = pooled((luma - pooled(luma, round(4 * ratio))).square(), round(8 * ratio)).sqrt()
    torch.testing.assert_close(calm, (1 - deviation / 0.04).clamp_min(0), rtol=0, atol=1e-4)
    assert calm[..., :64].min() > 0.99
    assert calm[..., 128:].max() < 0.7
    lively = luma_of(photos())
    lively[..., ::2] = 0
    assert calmness(lively, 1.0).max() == 0


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_fine_detail_depends_on_the_canvas(ratio: float) -> None:
    small = torch.zeros(1, 1, 64, 64)
    small[..., 28:36, ::4] = 0.8
    luma = small.repeat_interleave(int(ratio), 2).repeat_interleave(int(ratio), 3)
    fine, detail = fine_detail(luma, ratio)
    middle = luma.shape[2] // 2
    assert fine[0, 0, middle, middle] > 0.95
    assert fine[0, 0, : int(16 * ratio)].max() < 0.05
    torch.testing.assert_close(detail, luma - pooled(luma, round(3 * ratio)))
