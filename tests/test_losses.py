import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.training.color import planes_from_rgb, rgb_from_planes
from realtime_style.training.config import ADVERSARIAL_KINDS
from realtime_style.training.losses import (
    TONE_PX,
    GramLoss,
    WassersteinLoss,
    adversarial_loss,
    content_layers,
    content_losses,
    discriminator_loss,
    gamut_loss,
    gram_matrix,
    gram_targets,
    grid_loss,
    style_layers,
    tone_loss,
    total_variation,
    weave_loss,
)
from realtime_style.training.perceptual import Features, Vgg

COLORS = [ColorSpace(matrix, range_) for matrix in (SMPTE170M, BT709) for range_ in (LIMITED, FULL)]
SCALES = (1, 2)


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def features() -> Features:
    torch.manual_seed(0)
    layers = [
        f"{block}_{i}" for block, n in ((1, 2), (2, 2), (3, 4), (4, 1)) for i in range(1, 1 + n)
    ]
    state = {"conv0.weight": torch.eye(3)[:, :, None, None], "conv0.bias": -0.5 * torch.ones(3)}
    channels = 3
    for layer in layers:
        state[f"conv{layer}.weight"] = torch.randn(8, channels, 3, 3) * (2 / (9 * channels)) ** 0.5
        state[f"conv{layer}.bias"] = 0.1 * torch.randn(8)
        channels = 8
    wanted = {name for scale in SCALES for name in style_layers(scale) + content_layers(scale)}
    return Features([Vgg(state)], wanted)


def picture(seed: int, size: int = 64) -> Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def smooth_picture(size: int = 64) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    waves = (torch.sin(2 * x + 1), torch.cos(3 * y), torch.sin(2 * (x + y)))
    return torch.stack(waves)[None] * 0.45 + 0.5


def pyramid(features: Features, rgb: Tensor) -> list[dict[str, Tensor]]:
    return [features(functional.avg_pool2d(rgb, scale)) for scale in SCALES]


def test_gram_matrix_equals_its_definition() -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, 3, 3)
    for n in range(2):
        for i in range(3):
            for j in range(3):
                for row in range(4):
                    for column in range(5):
                        expected[n, i, j] += x[n, i, row, column] * x[n, j, row, column] / 20
    torch.testing.assert_close(gram_matrix(x), expected)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gram_matrix(channels_last), expected)


def test_gram_matrix_of_bfloat16_is_float32_and_near() -> None:
    x = torch.rand(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    gram = gram_matrix(x.bfloat16())
    assert gram.dtype == torch.float32
    torch.testing.assert_close(gram, gram_matrix(x), rtol=0.01, atol=0)


def test_content_loss_of_the_photo_itself_is_0_and_of_nothing_1(features: Features) -> None:
    photo, painted = ([*features(picture(seed)).values()] for seed in (1, 2))
    assert content_losses(zip(photo, photo, strict=True))[0] == 0
    nothing = [(torch.zeros_like(layer), layer) for layer in photo]
    assert content_losses(nothing)[0].item() == pytest.approx(1, abs=0.02)
    by_hand = [
        float((x - y).square().mean() / y.square().mean())
        for x, y in zip(painted, photo, strict=True)
    ]
    content = content_losses(zip(painted, photo, strict=True))[0].item()
    assert content == pytest.approx(sum(by_hand) / len(by_hand), rel=0.02)


def test_black_photos_do_not_divide_by_nothing() -> None:
    painted = torch.ones(1, 2, 4, 4, requires_grad=True)
    sum(content_losses([(painted, torch.zeros(1, 2, 4, 4))])).backward()  # type: ignore[no-untyped-call]
    assert painted.grad is not None
    assert torch.isfinite(painted.grad).all()


def test_structure_loss_is_one_minus_correlation() -> None:
    photo = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    photo[:, 2] = 0  # what does not vary in the photo does not count

    def of(painted: Tensor) -> float:
        return float(content_losses([(painted, photo), (painted, photo)])[1])

    assert of(photo) == pytest.approx(0, abs=1e-5)
    assert of(5 * photo + 3) == pytest.approx(0, abs=1e-5)  # stronger paint is no loss
    assert of(-photo) == pytest.approx(2, abs=1e-5)
    assert of(torch.zeros_like(photo)) == pytest.approx(1, abs=1e-5)
    by_hand = []
    other = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for n in range(2):
        correlations = [
            float(torch.corrcoef(torch.stack((other[n, c].ravel(), photo[n, c].ravel())))[0, 1])
            for c in range(2)
        ]
        varies = [float(photo[n, c].var(unbiased=False)) for c in range(2)]
        by_hand.append(
            sum((1 - r) * v for r, v in zip(correlations, varies, strict=True)) / sum(varies)
        )
    assert of(other) == pytest.approx(sum(by_hand) / 2, abs=1e-4)


def test_style_loss_of_the_painting_itself_is_0(features: Features) -> None:
    painting = smooth_picture()
    style_loss = GramLoss(gram_targets(features, [painting], SCALES), batch_share=1)
    assert style_loss(pyramid(features, painting)) < 1e-8
    other = style_loss(pyramid(features, picture(1)))
    half_way = style_loss(pyramid(features, (painting + picture(1)) / 2))
    assert other > half_way > 1e-4


def test_style_loss_does_not_look_at_places(features: Features) -> None:
    painting = picture(1)
    style_loss = GramLoss(gram_targets(features, [painting], SCALES), batch_share=1)
    moved = style_loss(pyramid(features, painting.roll((16, 32), (2, 3))))
    assert moved < 0.1 * style_loss(pyramid(features, smooth_picture()))


def test_style_loss_asks_the_batch_as_a_whole(features: Features) -> None:
    calm, busy = smooth_picture(), picture(1)
    style_loss = GramLoss(
        gram_targets(features, [torch.cat((calm, busy), 3)], SCALES), batch_share=1
    )
    alone = [style_loss(pyramid(features, half)) for half in (calm, busy)]
    assert style_loss(pyramid(features, torch.cat((calm, busy)))) < 0.1 * min(alone)


def test_style_loss_of_each_photo_and_of_the_batch_are_mixed(features: Features) -> None:
    painting, photos = smooth_picture(), torch.cat((picture(1), picture(2)))
    each, whole, mixed = (
        float(
            GramLoss(gram_targets(features, [painting], SCALES), share)(pyramid(features, photos))
        )
        for share in (0.0, 1.0, 0.25)
    )
    assert mixed == pytest.approx(0.75 * each + 0.25 * whole)
    apart = GramLoss(gram_targets(features, [painting], SCALES))
    alone = [float(apart(pyramid(features, photo[None]))) for photo in photos]
    assert each == pytest.approx(sum(alone) / 2)


def test_gram_loss_by_hand() -> None:
    class Grey(torch.nn.Module):
        def forward(self, rgb: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
            return dict.fromkeys(layers, rgb[:, :2])

    painting = torch.zeros(1, 3, 2, 2)
    painting[:, 0], painting[:, 1] = 1, 2  # Gram matrix 1, 2; 2, 4; its energy 25
    photo = torch.ones(1, 3, 2, 2)  # Gram matrix of ones: errors 0, 1; 1, 9, together 11
    loss = GramLoss(gram_targets(Grey(), [painting], (1,)))  # type: ignore[arg-type]
    assert float(loss([Grey()(photo, style_layers(1))])) == pytest.approx(11 / 25)


def test_wasserstein_loss_sees_what_gram_matrices_do_not(features: Features) -> None:
    painting = picture(1)
    loss = WassersteinLoss(features, [painting], SCALES)

    def of(rgb: Tensor) -> float:
        return float(loss(pyramid(features, rgb), torch.Generator().manual_seed(0)))

    same, moved, other = of(painting), of(painting.roll((16, 32), (2, 3))), of(smooth_picture())
    assert same < 0.02 * other
    assert moved < 0.05 * other


def test_wasserstein_loss_by_hand() -> None:
    class Copy(torch.nn.Module):
        def forward(self, rgb: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
            return dict.fromkeys(layers, rgb[:, :1])

    # one channel: every direction is +1 or -1; 2 everywhere against 1 everywhere
    loss = WassersteinLoss(Copy(), [torch.full((1, 3, 4, 4), 2.0)], (1,))  # type: ignore[arg-type]
    seen = Copy()(torch.ones(1, 3, 4, 4), style_layers(1))
    found = loss([seen], torch.Generator().manual_seed(0))
    assert float(found) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("kind", "of_netD", "of_netG"),
    [
        # scores: real 2 and 0, fake -1; sigmoid(2) = 0.8808, sigmoid(0) = 0.5, sigmoid(-1) = 0.2689
        ("log", -(math.log(0.880797) + math.log(0.5)) / 2 - math.log(1 - 0.268941), 1.313262),
        ("lsgan", ((1 + 1) / 2 + 1) / 2, 2.0),
        ("hinge", (0 + 1) / 2 + 0, 1.0),
    ],
)
def test_adversarial_losses_by_hand(kind: str, of_netD: float, of_netG: float) -> None:  # noqa: N803
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0])
    assert float(discriminator_loss(kind, real, fake)) == pytest.approx(of_netD, abs=1e-5)
    assert float(adversarial_loss(kind, fake)) == pytest.approx(of_netG, abs=1e-5)


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
def test_adversarial_losses_pull_the_right_way_and_stay_finite(kind: str) -> None:
    real, fake = (torch.tensor([score], requires_grad=True) for score in (0.3, 0.2))
    discriminator_loss(kind, real, fake).backward()  # type: ignore[no-untyped-call]
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad < 0 < fake.grad
    fake.grad = None
    adversarial_loss(kind, fake).backward()  # type: ignore[no-untyped-call]
    assert fake.grad < 0  # type: ignore[operator]
    extreme = torch.tensor([500.0])
    assert torch.isfinite(discriminator_loss(kind, -extreme, extreme))
    assert torch.isfinite(adversarial_loss(kind, -extreme))


def test_gradients_are_those_of_finite_differences(features: Features) -> None:
    painting, photo = smooth_picture(32).double(), picture(3, 32).double()
    networks = features.double()
    gram = GramLoss(gram_targets(networks, [painting], (1,)), batch_share=0.5)

    def contents(rgb: Tensor) -> tuple[Tensor, Tensor]:
        found, aims = networks(rgb), networks(photo)
        return content_losses((found[name], aims[name]) for name in found)

    # float32 within: coarse steps along random directions instead of gradcheck
    for loss in (
        lambda rgb: gram([networks(rgb)]),
        lambda rgb: contents(rgb)[0],
        lambda rgb: contents(rgb)[1],
        total_variation,
        grid_loss,
        lambda rgb: gamut_loss(rgb * 2 - 0.5),
    ):
        rgb = picture(4, 32).double().requires_grad_()
        loss(rgb).backward()
        assert rgb.grad is not None
        direction = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(1)).double()
        step = 1e-3 * direction / direction.norm()
        with torch.no_grad():
            change = float(loss(rgb + step) - loss(rgb - step)) / 2
        assert float((rgb.grad * step).sum()) == pytest.approx(change, rel=0.05, abs=1e-7)


def test_written_gradients_are_exact() -> None:
    rng = torch.Generator().manual_seed(2)
    ours = torch.rand(2, 3, 4, 5, generator=rng).double().requires_grad_()
    theirs = torch.rand(2, 3, 4, 5, generator=rng).double()
    assert torch.autograd.gradcheck(gram_matrix, (ours,))

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        return content_losses([(x, theirs), (2 * x, theirs)])

    assert torch.autograd.gradcheck(both, (ours,))


def cells(seed: int, count: int = 8) -> Tensor:
    """A picture of large flat squares, as large as what the tone loss looks at."""
    return functional.interpolate(picture(seed, count), scale_factor=TONE_PX, mode="nearest")


def test_tone_loss_asks_that_like_is_painted_alike_in_whatever_colours() -> None:
    photo = cells(0)
    matrix = torch.tensor([[0, -0.5, 0], [0.3, 0, 0.4], [1, 0, 0]])
    mixed = torch.einsum("ij,njhw->nihw", matrix, photo) + 0.2
    squared = photo.mean(1, keepdim=True).expand(-1, 3, -1, -1) ** 2
    for painted in (photo, 1 - photo, mixed, squared):
        assert tone_loss(painted, photo) == pytest.approx(0, abs=1e-3)


def test_tone_loss_of_forms_that_follow_nothing_is_what_is_left_of_a_fit() -> None:
    photo, blotches = (torch.cat([cells(i) for i in range(n, n + 4)]) for n in (0, 9))
    assert tone_loss(blotches, photo) > 0.85  # 5 of 64 numbers can be fitted to anything
    half = tone_loss(photo + 0.5 * (blotches - photo), photo)
    assert 0.3 < half < 0.7


def test_tone_loss_does_not_see_the_touch_of_the_brush_and_stays_finite() -> None:
    photo = cells(0)
    board = (torch.arange(photo.shape[-1]) // 8 % 2 * 0.4 - 0.2).expand_as(photo)
    assert tone_loss(photo + board, photo) == pytest.approx(0, abs=1e-3)
    grey = torch.full_like(photo, 0.5)
    painted = photo.clone().requires_grad_()
    for ours, theirs in ((grey, photo), (painted, grey)):
        assert torch.isfinite(tone_loss(ours, theirs))
    tone_loss(painted, grey).backward()
    assert painted.grad is not None
    assert torch.isfinite(painted.grad).all()


def test_total_variation() -> None:
    assert total_variation(torch.full((1, 3, 8, 8), 0.7)) == 0
    stripes = torch.tensor([0.0, 1.0] * 4).expand(1, 3, 8, 8)
    assert total_variation(stripes) == 1
    assert total_variation(stripes.transpose(2, 3)) == 1


def test_gamut_loss() -> None:
    assert gamut_loss(torch.tensor([0.0, 0.3, 1.0]).view(1, 3, 1, 1)) == 0
    assert gamut_loss(torch.tensor([1.5, 0.5, -0.5]).view(1, 3, 1, 1)).item() == pytest.approx(
        1 / 6
    )


@pytest.mark.parametrize("color", COLORS, ids=str)
def test_colors_come_back(color: ColorSpace) -> None:
    rgb = smooth_picture()
    back = rgb_from_planes(*planes_from_rgb(rgb, color), color)
    assert (back - rgb).abs().max() < 0.02
    assert (back - rgb)[..., 1:-1, 1:-1].abs().max() < 0.003  # there chroma has both neighbours
    flat = torch.tensor([0.2, 0.9, 0.4]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    back = rgb_from_planes(*planes_from_rgb(flat, color), color)
    torch.testing.assert_close(back, flat, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("color", "red", "white"),
    [
        (ColorSpace(SMPTE170M, LIMITED), (81.5, 90.2, 240), (235, 128, 128)),
        (ColorSpace(SMPTE170M, FULL), (76.2, 85.0, 255.5), (255, 128, 128)),
        (ColorSpace(BT709, LIMITED), (62.6, 102.3, 240), (235, 128, 128)),
        (ColorSpace(BT709, FULL), (54.2, 98.8, 255.5), (255, 128, 128)),
    ],
    ids=str,
)
def test_known_codes(color: ColorSpace, red: tuple[float, ...], white: tuple[float, ...]) -> None:
    for rgb, codes in (((1.0, 0.0, 0.0), red), ((1.0, 1.0, 1.0), white)):
        luma, chroma = planes_from_rgb(torch.tensor(rgb).view(1, 3, 1, 1).expand(1, 3, 4, 4), color)
        found = torch.cat((luma[0, :, 0, 0], chroma[0, :, 0, 0])) * 255
        assert found.tolist() == pytest.approx(codes, abs=0.1)


def test_grid_loss_sees_a_repeated_tile_and_not_the_same_values_in_disorder() -> None:
    tile = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    grid = tile.repeat(1, 1, 16, 16)
    order = torch.randperm(64 * 64, generator=torch.Generator().manual_seed(0))
    disorder = grid.flatten(2)[..., order].unflatten(2, (64, 64))
    assert grid_loss(torch.full((1, 3, 64, 64), 0.3)) == 0
    variance = tile.flatten(2).var(2, unbiased=False).mean()
    torch.testing.assert_close(grid_loss(grid), variance / (variance + 1e-5))
    torch.testing.assert_close(grid_loss(0.5 + grid / 10), grid_loss(grid), rtol=2e-2, atol=0)
    assert grid_loss(disorder) < grid_loss(grid) / 20


def test_weave_loss_sees_a_fine_period_and_neither_noise_nor_strokes() -> None:
    rng = torch.Generator().manual_seed(0)
    noise = 0.5 + torch.randn(2, 3, 288, 288, generator=rng) / 30
    assert weave_loss(torch.full((1, 3, 96, 96), 0.3)) < 1e-9
    assert weave_loss(noise) < 0.01
    x = torch.arange(288.0)
    for period in (2.5, 3.0, 4.2):
        weave = torch.sin(2 * torch.pi * x / period) / 30
        assert weave_loss(noise + weave) > 0.5
        assert weave_loss(noise + weave / 2) < weave_loss(noise + weave)
        assert weave_loss(noise[:, :, :, :64] + weave[:64]) > 0.3  # smaller than a window
    strokes = torch.sin(2 * torch.pi * x / 12) / 3
    assert weave_loss(noise + strokes) < 0.01
    edge = (x[:, None] * 0.3 + x > 170).float()
    assert weave_loss(noise + edge / 3) < 0.1


def test_weave_loss_pulls_the_weave_out_and_leaves_the_rest() -> None:
    noise = 0.5 + torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(0)) / 30
    weave = torch.sin(2 * torch.pi * torch.arange(192.0) / 3).expand_as(noise) / 30
    rgb = (noise + weave).requires_grad_()
    weave_loss(rgb).backward()
    assert rgb.grad is not None
    middle = (..., slice(48, 144), slice(48, 144))
    gradient, weave = rgb.grad[middle].flatten(), weave[middle].flatten()
    assert float(functional.cosine_similarity(gradient, weave, 0)) > 0.8
