"""The sharp generator: strokes from a canvas of any size, all else from the picture."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from realtime_style.training.generator import Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.sharp import (  # noqa: E402
    ColorMap,
    HeadConfig,
    SharpGenerator,
    enlarged_planes,
    means_around,
    pack,
    reduced,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))
SMALL_HEAD = HeadConfig(recolor_channels=8, range_channels=8)
SIZES = [  # of pictures, and of their canvases: height and width
    ((48, 64), (48, 64)),
    ((72, 96), (48, 64)),
    ((96, 128), (48, 64)),
    ((144, 192), (48, 64)),
    ((192, 128), (48, 32)),
    ((50, 86), (40, 64)),
]


def loud_generator(config: GeneratorConfig = SMALL) -> SharpGenerator:
    """Random weights, norms that look trained, and heads loud enough to show every fault."""
    torch.manual_seed(0)
    netG = SharpGenerator(Generator(config), SMALL_HEAD)  # noqa: N806
    with torch.no_grad():
        for _ in range(3):
            netG.body(*planes(2, 64, 64))  # running statistics
        for module in netG.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
        for layer in (netG.body.luma_head, netG.body.chroma_head):
            layer.weight.mul_(6)
            layer.bias.normal_(0, 0.3)
        netG.head.log_gain.copy_(torch.tensor((0.5, 0.2, -0.4)))
        for layer in (*netG.head.recolor.children(), *netG.head.range.children()):
            layer.bias.normal_(0, 0.1)
    return netG.eval()


@pytest.fixture
def generator() -> SharpGenerator:
    return loud_generator()


def planes(count: int, height: int, width: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    luma = torch.rand(count, 1, height, width, generator=rng)
    return luma, torch.rand(count, 2, height // 2, width // 2, generator=rng)


def paint_folded(
    netG: SharpGenerator,  # noqa: N803
    luma: Tensor,
    chroma: Tensor,
    canvas: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    small = reduced(luma, canvas), reduced(chroma, (canvas[0] // 2, canvas[1] // 2))
    painted: tuple[Tensor, Tensor] = netG.folded()(
        *(255 * plane for plane in (luma, chroma, *small))
    )
    return painted


@pytest.mark.parametrize(("size", "canvas"), SIZES)
def test_folded_equals_the_generator_at_every_ratio(
    generator: SharpGenerator, size: tuple[int, int], canvas: tuple[int, int]
) -> None:
    luma, chroma = planes(2, *size)
    with torch.no_grad():
        expected = generator(luma, chroma, canvas)
        painted = paint_folded(generator, luma, chroma, canvas)
    for plane, wanted, given in zip(painted, expected, (luma, chroma), strict=True):
        assert plane.shape == given.shape
        assert wanted.std() > 0.02  # the picture is not lost
        torch.testing.assert_close(plane, wanted * 255, rtol=0, atol=0.02)


def test_folding_changes_neither_weights_nor_function(generator: SharpGenerator) -> None:
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folded = generator.folded()
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    after = generator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_bytes_are_painted_like_floats(generator: SharpGenerator) -> None:
    given = [
        (255 * plane).round() for pair in (planes(1, 64, 96), planes(1, 32, 48)) for plane in pair
    ]
    folded = generator.folded()
    with torch.no_grad():
        expected = folded(*given)
        painted = folded(*(plane.to(torch.uint8) for plane in given))
    assert all(torch.equal(one, other) for one, other in zip(painted, expected, strict=True))


def test_without_strokes_it_maps_colours(generator: SharpGenerator) -> None:
    with torch.no_grad():
        generator.head.log_gain.fill_(-math.inf)
        luma, chroma = planes(1, 96, 128)
        whole = generator(luma, chroma, (48, 64))
        part = generator(luma[..., 32:64, 32:64], chroma[..., 16:32, 16:32], (16, 16))
    torch.testing.assert_close(whole[0][..., 32:64, 32:64], part[0])
    torch.testing.assert_close(whole[1][..., 16:32, 16:32], part[1])


@pytest.mark.parametrize("channels", [8, 32])
def test_maps_of_colours_treat_the_phases_of_luma_alike(channels: int) -> None:
    torch.manual_seed(0)
    color_map = ColorMap(channels)
    with torch.no_grad():
        for parameter in color_map.parameters():
            parameter.normal_(0, 0.4)
        packed = torch.randn(2, 6, 8, 10)
        mapped = color_map(packed)
        assert (mapped - packed).std() > 0.1
        luma, chroma = functional.pixel_shuffle(packed[:, :4], 2), packed[:, 4:]
        for sides in ([2], [3], [2, 3]):
            mirrored = color_map(pack(luma.flip(sides), chroma.flip(sides)))
            expected = pack(
                functional.pixel_shuffle(mapped[:, :4], 2).flip(sides), mapped[:, 4:].flip(sides)
            )
            torch.testing.assert_close(mirrored, expected)


def test_hidden_channels_come_in_fours() -> None:
    with pytest.raises(ValueError, match="a multiple of 4, not 10"):
        ColorMap(10)


@pytest.mark.parametrize(("size", "canvas"), SIZES)
def test_a_flat_picture_has_neither_grid_nor_frame(
    generator: SharpGenerator, size: tuple[int, int], canvas: tuple[int, int]
) -> None:
    luma, chroma = (torch.full_like(plane, 0.3) for plane in planes(1, *size))
    with torch.no_grad():
        painted = generator(luma, chroma, canvas)
    for plane in painted:
        first = plane[:, :, :1, :1]
        torch.testing.assert_close(plane, first.expand_as(plane), rtol=0, atol=1e-5)


def test_means_around_are_those_of_cells_and_two_boxes() -> None:
    packed = torch.rand(1, 6, 40, 48, generator=torch.Generator().manual_seed(0))
    light = packed[:, :4].mean(1, keepdim=True)
    cells = functional.avg_pool2d(torch.cat((light.expand(-1, 4, -1, -1), packed[:, 4:]), 1), 4)
    for _ in range(2):
        cells = functional.avg_pool2d(functional.pad(cells, [2] * 4, mode="replicate"), 5, 1)
    expected = functional.interpolate(cells, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(means_around(packed), expected)


def test_enlarged_planes_are_those_of_the_enlarged_picture() -> None:
    luma, chroma = planes(1, 32, 48)
    large = planes(1, 96, 144)
    found = enlarged_planes(pack(luma, chroma), *large)
    expected = pack(
        *(
            functional.interpolate(plane, scale_factor=3, mode=mode, align_corners=False)
            for plane, mode in ((luma, "bicubic"), (chroma, "bilinear"))
        )
    )
    torch.testing.assert_close(found, expected)


def test_reduction_does_not_alias() -> None:
    stripes = torch.zeros(1, 1, 24, 96)
    stripes[..., ::2] = 1  # every second column: not reduced, or all alike
    assert torch.equal(reduced(stripes, (24, 96)), stripes)
    small = reduced(stripes, (8, 32))
    assert (small[..., 1:-1] - 0.5).abs().max() < 0.1


def test_it_starts_as_the_picture_with_strokes() -> None:
    torch.manual_seed(0)
    netG = SharpGenerator(Generator(SMALL)).eval()  # noqa: N806
    luma, chroma = (0.3 + 0.4 * plane for plane in planes(1, 64, 64))
    with torch.no_grad():
        painted = netG(luma, chroma, (32, 32))[0]
    assert (painted - luma).abs().mean() < 0.1
    assert netG.head.gain.tolist() == pytest.approx([1.7] * 6)
