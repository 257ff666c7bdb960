"""A smaller generator learns to paint as a larger one does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from test_training import Calls, make_photos  # noqa: E402
from torch import Tensor  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training import distill as distillation  # noqa: E402
from realtime_style.training.dataset import PhotoFolder  # noqa: E402
from realtime_style.training.distill import DistillObjective, distill, painting_of  # noqa: E402
from realtime_style.training.generator import Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.observer import TrainStep  # noqa: E402
from realtime_style.training.optimizer import Muon  # noqa: E402
from realtime_style.training.state import Learner, TrainState  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = GeneratorConfig(trunk_channels=8, edge_channels=4, dilations=(1,))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PhotoFolder:
    monkeypatch.setattr(distillation, "BATCH", 2)
    return PhotoFolder(make_photos(tmp_path / "photos"), 64, 0)


def teacher() -> Generator:
    torch.manual_seed(5)
    return Generator(GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))).eval()


def student() -> Generator:
    torch.manual_seed(6)
    return Generator(SMALL)


def test_it_comes_nearer_to_its_teacher(photos: PhotoFolder, tmp_path: Path) -> None:
    reports: list[TrainStep] = []
    watch = Calls(reports.append)
    netG = distill(teacher(), student(), photos, 40, tmp_path / "a.pt", observer=watch)  # noqa: N806
    assert [report.step for report in reports] == [*range(1, 41)]
    losses = [sum(report.losses.values()) for report in reports]
    assert sum(losses[-8:]) < 0.5 * sum(losses[:8])
    picture = photos.samples(1, 64)
    luma, chroma = picture[:, :1], picture[:, 1:, ::2, ::2]
    with torch.no_grad():
        aim = teacher()(luma, chroma)[0]
        before, after = (net.eval()(luma, chroma)[0] for net in (student(), netG))
    assert (after - aim).abs().mean() < 0.5 * (before - aim).abs().mean()


def test_it_goes_on_as_if_it_had_not_stopped(photos: PhotoFolder, tmp_path: Path) -> None:
    whole = distill(teacher(), student(), photos, 4, tmp_path / "whole.pt")

    def stop(step: TrainStep) -> None:
        if step.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        distill(teacher(), student(), photos, 4, tmp_path / "parts.pt", observer=Calls(stop))
    parts = distill(teacher(), student(), photos, 4, tmp_path / "parts.pt", resume=True)
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_checkpoint_of_another_shape_is_refused(photos: PhotoFolder, tmp_path: Path) -> None:
    distill(teacher(), student(), photos, 1, tmp_path / "a.pt")
    with pytest.raises(TrainingError, match="of another shape"):
        distill(teacher(), teacher(), photos, 2, tmp_path / "a.pt", resume=True)


def test_the_border_is_not_judged(photos: PhotoFolder) -> None:
    netG = student()  # noqa: N806
    batch = photos.batch(1, range(2))
    state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 2, {})
    paint = painting_of(netG.eval())

    def spoilt_border(rgb: Tensor) -> Tensor:
        aim = paint(rgb)
        border = torch.ones_like(aim)
        border[..., 8:-8, 8:-8] = aim[..., 8:-8, 8:-8]
        return border

    def losses(margin_px: int) -> dict[str, Tensor]:
        objective = DistillObjective(spoilt_border, netG, 0, margin_px=margin_px)
        return next(objective.updates(state, batch)).losses

    assert losses(0)["color"] > 0.1
    for loss in losses(8).values():
        assert loss < 1e-3
