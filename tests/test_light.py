import pytest
import torch
from torch import Tensor

from realtime_style.training.light import hue_loss, light_loss, luma_of

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def picture(seed: int) -> Tensor:
    """Two pictures of 128x128 px with large random forms."""
    coarse = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


def test_luma_is_bt709() -> None:
    assert luma_of(torch.ones(1, 3, 2, 2)).flatten().tolist() == pytest.approx([1.0] * 4)
    green = torch.tensor([0.0, 1.0, 0.0])[None, :, None, None]
    assert luma_of(green).item() == pytest.approx(0.7152)


def test_light_may_be_darker_or_flatter_than_the_photo() -> None:
    photo = picture(0)
    assert light_loss(photo, photo) < 0.01
    assert light_loss(0.3 * photo, photo) < 0.02
    assert light_loss(0.3 * photo + 0.5, photo) < 0.02


def test_inverted_light_costs_twice_what_no_light_does() -> None:
    photo = picture(0)
    flat = light_loss(torch.full_like(photo, 0.5), photo).item()
    inverted = light_loss(1 - photo, photo).item()
    assert 0.7 < flat < 1
    assert inverted == pytest.approx(2 * flat, rel=0.05)


def test_flat_photos_have_no_light_loss() -> None:
    flat = torch.full((2, 3, 128, 128), 0.5) + 1e-4 * picture(1)
    assert light_loss(picture(0), flat) < 1e-3


def test_hue_follows_hue_in_any_palette() -> None:
    photo = picture(0)
    luma = luma_of(photo)
    pale = luma + 0.3 * (photo - luma)  # the same hues, less saturated
    inverted = luma - (photo - luma)
    assert hue_loss(photo, photo) < 0.01
    assert hue_loss(0.5 * pale + 0.2, photo) < 0.05
    assert hue_loss(inverted, photo) > 1.8
    assert 0.8 < hue_loss(luma.expand_as(photo), photo) < 1.1
    assert hue_loss(photo, luma.expand_as(photo)) < 0.01  # a grey photo has no hue to follow


def test_gradients_of_the_light_loss_lead_to_the_photo() -> None:
    photo, painted = picture(0), picture(1).requires_grad_()
    before = light_loss(painted, photo)
    (slope,) = torch.autograd.grad(before, painted)
    assert light_loss(painted - 200 * slope, photo) < before


def test_the_gradient_of_a_flat_picture_is_finite() -> None:
    painted = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    (slope,) = torch.autograd.grad(light_loss(painted, picture(0)[:1, :, :64, :64]), painted)
    assert torch.isfinite(slope).all()
