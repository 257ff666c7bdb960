import copy
import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.config import TrainConfig
from realtime_style.training.generator import Generator, GeneratorConfig, UpsampleConv
from realtime_style.training.parallel import BatchNorm

SMALL = GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))


pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def generator() -> Generator:
    # random weights, norms that look trained, and a head loud enough to show every fault
    torch.manual_seed(0)
    generator = Generator(SMALL)
    with torch.no_grad():
        for _ in range(3):
            generator(*planes(2, 64, 64))  # running statistics
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        for head in (generator.luma_head, generator.chroma_head):
            head.weight.mul_(10)
            head.bias.normal_(0, 0.3)
    return generator.eval()


def planes(count: int, height: int, width: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    luma = torch.rand(count, 1, height, width, generator=rng)
    return luma, torch.rand(count, 2, height // 2, width // 2, generator=rng)


@pytest.mark.parametrize("size", [(16, 16), (16, 64), (36, 20), (100, 52)])
def test_planes_keep_their_shapes(generator: Generator, size: tuple[int, int]) -> None:
    luma, chroma = planes(2, *size)
    with torch.no_grad():
        for painted in (generator(luma, chroma), generator.folded()(luma * 255, chroma * 255)):
            assert [plane.shape for plane in painted] == [luma.shape, chroma.shape]


@pytest.mark.parametrize("size", [(16, 16), (48, 68)])
def test_folded_equals_the_generator(generator: Generator, size: tuple[int, int]) -> None:
    luma, chroma = planes(1, *size)
    with torch.no_grad():
        expected = generator(luma, chroma)
        painted = generator.folded()(luma * 255, chroma * 255)
    for plane, wanted in zip(painted, expected, strict=True):
        assert wanted.std() > 0.02  # the picture is not lost
        torch.testing.assert_close(plane, wanted * 255, rtol=0, atol=0.02)


def test_folding_changes_neither_weights_nor_function(generator: Generator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folded = generator.folded()
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    after = generator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_frozen_normalisation_has_the_gradients_of_normalisation(generator: Generator) -> None:
    def gradients(frozen: bool) -> list[Tensor]:
        net = copy.deepcopy(generator).double().train()
        for module in net.modules():
            if isinstance(module, BatchNorm):
                module.eval()
                if not frozen:  # the layers themselves, with their running statistics
                    module.training = True
                    module.forward = functools.partial(  # type: ignore[method-assign]
                        functional.batch_norm,
                        running_mean=module.running_mean,
                        running_var=module.running_var,
                        weight=module.weight,
                        bias=module.bias,
                        eps=module.eps,
                    )
        luma, chroma = net(*(plane.double() for plane in planes(2, 32, 48)))
        (luma.square().mean() + chroma.square().mean()).backward()
        return [parameter.grad for parameter in net.parameters()]  # type: ignore[misc]

    for folded, layers in zip(gradients(True), gradients(False), strict=True):
        assert layers.abs().max() > 0
        torch.testing.assert_close(folded, layers, rtol=1e-8, atol=1e-10)


def test_planes_are_as_fine_in_bf16_as_the_features(generator: Generator) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        luma, chroma = generator(*planes(1, 64, 64))
    assert luma.dtype == chroma.dtype == torch.float32
    assert not torch.equal(luma, luma.bfloat16().float())


def test_folded_has_no_normalisation(generator: Generator) -> None:
    assert not [m for m in generator.folded().modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(("kernel", "margin"), [(3, 1), (5, 1), (7, 2), (9, 2)])
def test_upsample_conv_is_nearest_and_conv(kernel: int, margin: int) -> None:
    torch.manual_seed(kernel)
    up = UpsampleConv(3, 2, kernel).double()
    nn.init.normal_(up.bias)
    x = torch.randn(2, 3, 6 + 2 * margin, 9 + 2 * margin, dtype=torch.float64)
    enlarged = functional.interpolate(x, scale_factor=2, mode="nearest")
    cut = 2 * margin - kernel // 2  # surroundings that this kernel does not read
    enlarged = enlarged[:, :, cut : enlarged.shape[2] - cut, cut : enlarged.shape[3] - cut]
    expected = functional.conv2d(enlarged, up.weight, up.bias)
    assert expected.shape == (2, 2, 12, 18)
    torch.testing.assert_close(up(x), expected)


def test_flat_picture_has_no_grid_and_no_frame(generator: Generator) -> None:
    colors = []
    for value in (0.1, 0.9):
        luma, chroma = torch.full((1, 1, 48, 40), value), torch.full((1, 2, 24, 20), 1 - value)
        with torch.no_grad():
            painted = generator(luma, chroma)
        for plane in painted:
            center = plane[:, :, 10:11, 10:11]
            torch.testing.assert_close(plane, center.expand_as(plane), rtol=0, atol=1e-5)
        colors.append(painted[0].mean())
    assert abs(colors[0] - colors[1]) > 0.01  # what it paints depends on the picture


@pytest.mark.parametrize("axis", [2, 3])
def test_stripes_stay_stripes(generator: Generator, axis: int) -> None:
    # along a stripe nothing changes: no pixel may tell its phase or its distance to the border
    luma, chroma = (plane.select(axis, 0).unsqueeze(axis) for plane in planes(1, 48, 48))
    with torch.no_grad():
        painted = generator(luma.repeat_interleave(48, axis), chroma.repeat_interleave(24, axis))
    for plane in painted:
        first = plane.select(axis, 0).unsqueeze(axis)
        torch.testing.assert_close(plane, first.expand_as(plane), rtol=0, atol=1e-5)
        assert plane.std() > 0.02


def test_training_judges_nothing_that_knows_of_a_border() -> None:
    torch.manual_seed(0)
    generator = Generator().double().eval()
    luma, chroma = (plane.double() for plane in planes(1, 256, 256))
    whole = generator(luma, chroma)[0]
    cut = generator(luma[:, :, 32:], chroma[:, :, 16:])[0]  # the border in other places
    differs = (whole[:, :, 32:] - cut).abs().amax((0, 1, 3)) > 1e-14
    reach_px = int(differs.nonzero().max()) + 1
    margin_px = TrainConfig.__dataclass_fields__["margin_px"].default
    assert margin_px - 16 < reach_px <= margin_px
