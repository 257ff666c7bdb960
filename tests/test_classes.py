import pytest
import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.training.classes import (
    ClassGramLoss,
    around_pixels,
    class_grams,
    classes_of,
    painting_bounds,
    photo_bounds,
)
from realtime_style.training.losses import GramLoss, gram_matrix, gram_targets, style_layers
from realtime_style.training.perceptual import Features, Vgg

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SCALES = (1, 2)


@pytest.fixture
def features() -> Features:
    torch.manual_seed(0)
    layers = [
        f"{block}_{i}" for block, n in ((1, 2), (2, 2), (3, 4), (4, 1)) for i in range(1, n + 1)
    ]
    state, channels = {}, 3
    for layer in layers:
        state[f"conv{layer}.weight"] = torch.randn(8, channels, 3, 3) * (2 / (9 * channels)) ** 0.5
        state[f"conv{layer}.bias"] = 0.1 * torch.randn(8)
        channels = 8
    return Features([Vgg(state)], {name for scale in SCALES for name in style_layers(scale)})


def two_halves() -> Tensor:
    """Dark with fine stripes on the left, light and smooth on the right; 128x256."""
    dark = torch.full((1, 3, 128, 128), 0.1)
    dark[:, :, ::4] = 0.3
    light = torch.full((1, 3, 128, 128), 0.8)
    light[:, 0] = 0.9
    return torch.cat((dark, light), 3)


def pyramid(features: Features, rgb: Tensor) -> list[dict[str, Tensor]]:
    return [features(functional.avg_pool2d(rgb, scale), style_layers(scale)) for scale in SCALES]


def test_classes_run_from_dark_to_light_and_by_hue() -> None:
    picture = torch.zeros(1, 3, 64, 192)
    picture[..., 64:128] = 0.45
    picture[..., 128:] = 0.8
    middles = (slice(None), 32, [16, 96, 176])

    def found(rgb: Tensor, light: int, hues: bool) -> list[int]:
        return classes_of(around_pixels(rgb), photo_bounds(light, hues), (64, 192))[middles][
            0
        ].tolist()

    assert found(picture, 3, False) == [0, 1, 2]
    assert found(picture, 3, True) == [0, 4, 8]
    assert photo_bounds(3, False).count == 3
    assert photo_bounds(3, True).count == 12
    for channel in range(3):
        colored = picture.clone()
        colored[:, channel] += 0.04
        assert found(colored, 3, True) == [0, 4, 8]
        colored[:, channel] += 0.03
        assert found(colored, 3, True) == [1 + channel, 5 + channel, 9 + channel]


def test_a_painting_is_divided_into_fixed_areas() -> None:
    painting = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    painting = functional.interpolate(painting, (192, 192), mode="bilinear")
    bounds = painting_bounds([painting], 3, True)
    shares = torch.bincount(
        classes_of(around_pixels(painting), bounds, (192, 192)).flatten(), minlength=12
    )
    shares = shares / 192**2
    assert shares.view(3, 4).sum(1).tolist() == pytest.approx([1 / 3] * 3, abs=0.01)
    hues = shares.view(3, 4)[:, 1:]
    assert (hues > 0.1 / 3).all()
    assert (hues < 0.19 / 3).all()


def test_only_the_bluest_parts_of_a_blue_painting_count_as_blue() -> None:
    blues = torch.linspace(0, 1, 64)[None, None, None].repeat(1, 3, 64, 1)
    blues[:, :2] *= 0.5
    bounds = painting_bounds([blues], 1, True)
    classes = classes_of(around_pixels(blues), bounds, (64, 64))
    assert set(classes.unique().tolist()) >= {0, 3}
    assert (classes == 3).float().mean() < 0.2


def test_class_grams_are_computed_from_the_positions_of_each_class() -> None:
    random = torch.Generator().manual_seed(0)
    found = torch.randn(2, 5, 6, 7, generator=random)
    classes = torch.randint(0, 2, (2, 6, 7), generator=random)
    grams, counts = class_grams(found, classes, 3)
    assert counts.sum() == 2 * 6 * 7
    assert counts[2] == 0
    assert grams[2].abs().sum() == 0
    for number in range(2):
        rows = found.permute(0, 2, 3, 1)[classes == number]
        torch.testing.assert_close(grams[number], rows.T @ rows / len(rows))
    whole, _ = class_grams(found, torch.zeros_like(classes), 1)
    torch.testing.assert_close(whole[0], gram_matrix(found).mean(0))


def test_gradients_reach_every_position() -> None:
    found = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    classes = torch.arange(36).view(1, 6, 6) % 3
    grams, _ = class_grams(found, classes, 3)
    (slope,) = torch.autograd.grad(grams.square().sum(), found)
    assert (slope.abs().sum(1) > 0).all()


def test_paint_in_its_own_class_costs_less_than_in_another(
    features: Features,
) -> None:
    painting = two_halves()
    photo = torch.cat((torch.full((1, 3, 128, 128), 0.1), torch.full((1, 3, 128, 128), 0.8)), 3)
    within = ClassGramLoss(features, [painting], SCALES, light=2, hues=False)
    right = within(pyramid(features, painting), photo)
    wrong = within(pyramid(features, painting.flip(3)), photo)
    assert right < 0.05
    assert wrong > 10 * right
    # The Gram matrix of the whole picture is nearly the same for both
    blind = GramLoss(gram_targets(features, [painting], SCALES))
    assert blind(pyramid(features, painting.flip(3))) < 0.05


def test_one_class_equals_the_gram_loss_of_the_batch(features: Features) -> None:
    painting = two_halves()
    painted = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    one = ClassGramLoss(features, [painting], SCALES, light=1, hues=False)
    whole = GramLoss(gram_targets(features, [painting], SCALES), batch_share=1)
    found = pyramid(features, painted)
    torch.testing.assert_close(one(found, painted), whole(found))


def test_paintings_are_weighted_by_area(features: Features) -> None:
    painting = two_halves()
    once = ClassGramLoss(features, [painting], SCALES, light=2, hues=False)
    twice = ClassGramLoss(features, [painting, painting], SCALES, light=2, hues=False)
    for a, b in zip(once.targets, twice.targets, strict=True):
        for name, aims in a.items():
            torch.testing.assert_close(aims, b[name])
