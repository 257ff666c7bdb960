from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import scene_rgb
from PIL import Image
from safetensors.torch import save_file

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from test_training import Calls, make_photos, random_vgg19  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.style.bank import Bank  # noqa: E402
from realtime_style.training import any_style, style_choice  # noqa: E402
from realtime_style.training.any_style import train_any_style  # noqa: E402
from realtime_style.training.config import TrainConfig  # noqa: E402
from realtime_style.training.encoder import StyleEncoder  # noqa: E402
from realtime_style.training.generator import Generator  # noqa: E402
from realtime_style.training.objective import load_features  # noqa: E402
from realtime_style.training.observer import TrainStep  # noqa: E402
from realtime_style.training.style_variants import StyleVariants, encoder_view  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    monkeypatch.setattr(any_style, "VARIANTS", 8)
    monkeypatch.setattr(style_choice, "VARIANTS", 8)
    monkeypatch.setattr(style_choice, "_STEPS", 2)
    save_file(random_vgg19(), tmp_path / "vgg19.safetensors")
    (tmp_path / "paintings").mkdir()
    for number in range(3):
        picture = Image.fromarray(scene_rgb(160, 120, 3.0 * number))
        picture.save(tmp_path / "paintings" / f"painting{number}.png")
    return TrainConfig(
        painting=tmp_path / "paintings",
        content=make_photos(tmp_path / "photos"),
        features=(tmp_path / "vgg19.safetensors",),
        steps=3,
        batch=2,
        crop_px=128,
        margin_px=8,
        painting_px=96,
        batch_share=0.0,
        freeze_norm_at=0.5,
        precision="f32",
        device="cpu",
        checkpoint_every=1,
        sample_every=3,
    )


def test_it_trains_and_goes_on_as_if_it_had_not_stopped(
    config: TrainConfig, tmp_path: Path
) -> None:
    reports: list[TrainStep] = []
    whole = train_any_style(config, tmp_path / "whole", observer=Calls(reports.append))
    assert [report.step for report in reports] == [0, 1, 2, 3]
    assert set(reports[0].losses) == {"choice"}
    expected = {"content", "structure", "tone", "style", "weave", "restraint"}
    assert expected <= set(reports[1].losses)
    assert "motion" not in reports[1].losses
    assert reports[3].losses["motion"] > 0
    assert (tmp_path / "whole" / "sample_000000.png").is_file()
    assert (tmp_path / "whole" / "sample_000003.png").is_file()

    def stop(step: TrainStep) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_any_style(config, tmp_path / "parts", observer=Calls(stop))
    parts = train_any_style(config, tmp_path / "parts", resume=True)
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["class_share", "recolor", "palette_weight", "nearest_color_weight"]
)
def test_losses_that_need_a_painting_are_refused(
    config: TrainConfig, tmp_path: Path, name: str
) -> None:
    with pytest.raises(TrainingError, match=f"{name} must be 0") as error:
        train_any_style(replace(config, **{name: 1.0}), tmp_path / "run")
    assert error.value.setting == name


def test_other_bundled_styles_are_refused(config: TrainConfig, tmp_path: Path) -> None:
    train_any_style(replace(config, steps=1), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "checkpoint.pt")
    torch.save(state | {"bank": "another"}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(TrainingError, match="for other bundled styles"):
        train_any_style(config, tmp_path / "run", resume=True)


def test_held_out_paintings_are_not_trained_on(config: TrainConfig, tmp_path: Path) -> None:
    names = [f"painting{number}.png" for number in range(3)]
    with pytest.raises(TrainingError, match="has no pictures to train on"):
        train_any_style(config, tmp_path / "run", held_out=names)


def test_variants_are_the_same_for_the_same_number_and_the_first_the_pictures(
    config: TrainConfig,
) -> None:
    paintings = sorted(config.painting.iterdir())
    photos = sorted(config.content.iterdir())
    features = load_features(config, torch.device("cpu"))
    netE = StyleEncoder(Bank(), Generator())  # noqa: N806
    one, again = (StyleVariants(paintings, photos, config, features, netE) for _ in range(2))
    for number in (0, 2, 7, 30):
        assert torch.equal(one[number].statistics, again[number].statistics)
    assert one[7] is one[7]
    with Image.open(paintings[2]) as picture:
        look = encoder_view(picture.convert("RGB"))
    assert torch.equal(one[2].statistics, netE.statistics(look))
    assert look.shape[2] * look.shape[3] == pytest.approx(512**2, rel=0.02)
    assert not np.allclose(one[7].statistics, one[30].statistics, rtol=0.05)


def test_the_changes_of_styles_are_trained_from_the_first_step(
    config: TrainConfig, tmp_path: Path
) -> None:
    netE = StyleEncoder(Bank(), Generator())  # noqa: N806
    log_shares = torch.zeros(1, len(netE.vectors)).log_softmax(1)
    change = torch.zeros(1, netE.vectors.shape[1], requires_grad=True)
    vector = netE.vector(log_shares, change, torch.zeros(1, 3), torch.eye(3)[None])
    vector.square().sum().backward()
    assert change.grad is not None
    assert torch.isfinite(change.grad).all()
    before = {name: value.clone() for name, value in netE.change.state_dict().items()}
    trained = train_any_style(replace(config, steps=1, motion_weight=0.0), tmp_path / "run")
    assert not torch.equal(trained.change[2].bias, torch.zeros_like(before["2.bias"]))
