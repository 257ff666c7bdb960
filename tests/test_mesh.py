"""Strokes that alternate from pixel to pixel of the canvas are painted smoothly instead."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from realtime_style.training.color import (  # noqa: E402
    PLANES_COLOR,
    paint_rgb,
    planes_from_rgb,
)
from realtime_style.training.generator import GAIN, MID, Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.mesh import remove_mesh  # noqa: E402
from realtime_style.training.sharp import HeadConfig, SharpGenerator, pack, reduced  # noqa: E402
from realtime_style.training.sharp_overlay import MEASURED_RATIO, canvas_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def generator() -> SharpGenerator:
    torch.manual_seed(3)
    body = Generator(GeneratorConfig(trunk_channels=8, edge_channels=4, dilations=(1,)))
    return SharpGenerator(body, HeadConfig(8, 8)).eval()


def photos(seed: int) -> torch.Tensor:
    """Clouds with noise, (3, 3, 112, 112) in 0..1."""
    random = torch.Generator().manual_seed(seed)
    clouds = torch.rand((3, 3, 8, 8), generator=random)
    clouds = torch.nn.functional.interpolate(clouds, size=(112, 112), mode="bicubic")
    return (clouds + 0.1 * torch.randn(clouds.shape, generator=random)).clamp(0, 1)


def strokes_of(netG: SharpGenerator, rgb: torch.Tensor) -> np.ndarray:  # noqa: N803
    """Luma that the body paints, (N, h, w), about in -2..2."""
    height, width = canvas_of(rgb, MEASURED_RATIO)
    luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
    small = reduced(luma, (height, width)), reduced(chroma, (height // 2, width // 2))
    with torch.no_grad():
        packed = (pack(*netG.body(*small)) - MID / 255) * GAIN
    return torch.nn.functional.pixel_shuffle(packed[:, :4], 2)[:, 0].numpy()


def smoothed(planes: np.ndarray) -> np.ndarray:
    kernel = np.array([-1, 4, 10, 4, -1]) / 16
    for axis in (1, 2):
        planes = np.apply_along_axis(np.convolve, axis, planes, kernel, "valid")
    return planes


def alternation(planes: np.ndarray) -> float:
    """Deviation of what changes its sign from pixel to pixel, both down and across."""
    return float(np.mean([
        (planes[:, 1:-1] - (planes[:, :-2] + planes[:, 2:]) / 2).std(),
        (planes[:, :, 1:-1] - (planes[:, :, :-2] + planes[:, :, 2:]) / 2).std(),
    ]))  # fmt: skip


def test_it_paints_as_before_but_smoothly(generator: SharpGenerator) -> None:
    rgb = photos(0)
    before = strokes_of(generator, rgb)
    remove_mesh(generator, photos(1))
    after = strokes_of(generator, rgb)
    wanted = smoothed(before)
    apart = after[:, 2:-2, 2:-2] - wanted
    assert apart.std() < 0.15 * wanted.std()
    assert alternation(after) < 0.6 * alternation(before)


def test_nothing_but_one_kernel_changes(generator: SharpGenerator) -> None:
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    remove_mesh(generator, photos(1))
    after = generator.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert changed == ["body.luma_head.weight"]
    assert not generator.training


def test_a_smooth_generator_is_left_as_it_is(generator: SharpGenerator) -> None:
    """Done twice, it changes little: only waves of 4 px and less lose some more."""
    rgb = photos(0)
    remove_mesh(generator, photos(1))
    once = strokes_of(generator, rgb)
    remove_mesh(generator, photos(1))
    assert (strokes_of(generator, rgb) - once).std() < 0.2 * once.std()


def test_a_generator_in_training_stays_in_training(generator: SharpGenerator) -> None:
    generator.train()
    statistics = generator.body.stem_norm.running_mean.clone()
    remove_mesh(generator, photos(1))
    assert generator.training
    assert torch.equal(generator.body.stem_norm.running_mean, statistics)


def test_a_flat_picture_stays_flat(generator: SharpGenerator) -> None:
    remove_mesh(generator, photos(1))
    with torch.no_grad():
        painted = paint_rgb(generator, torch.full((1, 3, 112, 112), 0.4))
    assert painted.flatten(2).std(2).max() < 1e-4


def test_a_generator_without_strokes_is_left_as_it_is(generator: SharpGenerator) -> None:
    with torch.no_grad():
        generator.body.up_norm.bias.fill_(-100)  # no feature of the last layer is ever above 0
    before = generator.body.luma_head.weight.clone()
    remove_mesh(generator, photos(1))
    assert torch.equal(generator.body.luma_head.weight, before)
