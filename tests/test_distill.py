"""A smaller sharp generator learns to paint as a larger one does."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from test_sharp_training import QUICK, pictures  # noqa: E402
from test_training import Calls, make_photos  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.style.bundled import bundled_styles  # noqa: E402
from realtime_style.training import distill as distillation  # noqa: E402
from realtime_style.training import sharp_training  # noqa: E402
from realtime_style.training.checkpoint import load_generator  # noqa: E402
from realtime_style.training.dataset import PhotoFolder  # noqa: E402
from realtime_style.training.distill import (  # noqa: E402
    FAST,
    FAST_BASE,
    FAST_HEAD,
    FAST_STROKES,
    aim_of,
    contrast_of,
    distill,
    fit_to_teacher,
    make_as_strong,
)
from realtime_style.training.generator import Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.observer import TrainStep  # noqa: E402
from realtime_style.training.sharp import HeadConfig, SharpGenerator  # noqa: E402
from realtime_style.training.sharp_training import CROP_PX, crops_of, first_sharp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = GeneratorConfig(trunk_channels=8, edge_channels=4, dilations=(1,))
SMALL_HEAD = HeadConfig(8, 8)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PhotoFolder:
    for name, value in QUICK.items():
        monkeypatch.setattr(sharp_training, name, value)
    monkeypatch.setattr(distillation, "FITTED_CROPS", 2)
    monkeypatch.setattr(distillation, "FITTED_PX", 96)
    return crops_of(make_photos(tmp_path / "photos"), 0)


def teacher() -> SharpGenerator:
    torch.manual_seed(5)
    body = Generator(GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2)))
    netG = SharpGenerator(body, HeadConfig(gain=1.5)).eval()  # noqa: N806
    with torch.no_grad():  # colours of its own
        netG.head.recolor.luma.bias.fill_(0.3)
        netG.head.recolor.chroma.bias.copy_(torch.tensor([-0.4, 0.2]))
        netG.head.range.luma.weight.mul_(3)
    return netG


def body() -> Generator:
    torch.manual_seed(6)
    return Generator(SMALL)


def test_it_comes_nearer_to_its_teacher(
    photos: PhotoFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "LEARNING_RATE", 5e-3)  # in a few steps
    reports: list[TrainStep] = []
    watch, start = Calls(reports.append), body()
    before = start.state_dict()["stem.weight"].clone()
    netG = distill(  # noqa: N806
        teacher(), start, photos, 40, tmp_path / "a.pt", head_config=SMALL_HEAD, norm_steps=20,
        observer=watch,
    )  # fmt: skip
    assert [report.step for report in reports] == [*range(1, 41)]
    losses = [sum(report.losses.values()) for report in reports]
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])
    assert netG.head.config == HeadConfig(8, 8, netG.head.config.gain)
    assert netG.head.config.gain == pytest.approx(1.5)
    assert torch.equal(start.stem.weight, before)


def test_maps_of_colours_are_those_of_the_teacher(
    photos: PhotoFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharp_training, "_FIT_STEPS", 300)
    seen = pictures(2)
    netG = first_sharp(body(), SMALL_HEAD)  # noqa: N806
    netG.body.load_state_dict(body().state_dict())
    with torch.no_grad():
        netG.head.log_gain.fill_(-20)
    silent = teacher()
    with torch.no_grad():
        silent.head.log_gain.fill_(-20)  # without strokes only the maps are left
    expected = aim_of(silent)(seen, 2.0)

    def distance() -> float:
        return float((aim_of(netG.eval())(seen, 2.0) - expected).abs().mean())

    before = distance()
    fit_to_teacher(netG, silent, seen, 0)
    assert distance() < 0.3 * before


def test_pictures_get_the_contrast_of_the_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    def contrast(of: SharpGenerator, photos: torch.Tensor) -> torch.Tensor:
        return 0.3 + 0.5 * of.head.log_gain.detach().exp()  # photos have their own

    monkeypatch.setattr(distillation, "contrast_of", contrast)
    netG, strong = teacher(), teacher()  # noqa: N806
    with torch.no_grad():
        netG.head.log_gain.sub_(torch.tensor([0.3, 2.0, -0.2]))
    make_as_strong(netG, strong, pictures(1))
    luma, cb, cr = (netG.head.log_gain - strong.head.log_gain).tolist()
    assert luma == pytest.approx(0, abs=0.005)
    assert cb == pytest.approx(math.log(1.6) - 2)  # no more than that
    assert cr == pytest.approx(0, abs=0.005)


def test_contrast_is_that_of_each_plane() -> None:
    weak, strong = teacher(), teacher()
    with torch.no_grad():
        for head in (weak.head, strong.head):
            head.range.luma.weight.zero_()
            head.range.chroma.weight.zero_()
        strong.head.log_gain[1] += 1
    grown = contrast_of(strong, pictures(1)) / contrast_of(weak, pictures(1))
    assert grown[1] > 1.005
    assert grown[0] == pytest.approx(1, abs=0.003)


def test_it_goes_on_as_if_it_had_not_stopped(photos: PhotoFolder, tmp_path: Path) -> None:
    whole = distill(teacher(), body(), photos, 4, tmp_path / "whole.pt")

    def stop(step: TrainStep) -> None:
        if step.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        distill(teacher(), body(), photos, 4, tmp_path / "parts.pt", observer=Calls(stop))
    parts = distill(teacher(), body(), photos, 4, tmp_path / "parts.pt", resume=True)
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_checkpoint_of_another_shape_is_refused(photos: PhotoFolder, tmp_path: Path) -> None:
    distill(teacher(), body(), photos, 1, tmp_path / "a.pt", head_config=SMALL_HEAD)
    with pytest.raises(TrainingError, match="of another shape"):
        distill(teacher(), body(), photos, 2, tmp_path / "a.pt", resume=True)


def test_the_fast_tier_has_strokes_of_every_included_style() -> None:
    for name in bundled_styles():
        start, _ = load_generator(FAST_STROKES / f"{name}.safetensors")
        assert start.config == FAST


def test_the_fast_tier_is_much_smaller() -> None:
    start, _ = load_generator(FAST_BASE)
    assert start.config == FAST
    small, usual = first_sharp(start, FAST_HEAD), SharpGenerator()

    def work(netG: SharpGenerator) -> tuple[int, int]:  # noqa: N803
        counts = [sum(p.numel() for p in part.parameters()) for part in (netG.body, netG.head)]
        return counts[0], counts[1]

    assert work(small)[0] < 0.35 * work(usual)[0]
    assert work(small)[1] < 0.55 * work(usual)[1]
    assert CROP_PX == 512
