import dataclasses
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_training import config as config  # the fixture
from torch import Tensor

from realtime_style.demo import draw_scene
from realtime_style.training import base as base_module
from realtime_style.training.base import mean_generator, sharing_generators, train_base
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.config import TrainConfig
from realtime_style.training.generator import Generator, GeneratorConfig

pytestmark = pytest.mark.usefixtures("one_torch_thread")
SMALL = GeneratorConfig(trunk_channels=8, edge_channels=8, dilations=(1,))


@pytest.fixture
def several(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    folder = tmp_path / "paintings"
    folder.mkdir()
    for name, time_s in (("dawn", 2), ("dusk", 17)):
        Image.fromarray(draw_scene(time_s, 120, 90)).save(folder / f"{name}.png")
    monkeypatch.setattr(base_module, "Generator", lambda: Generator(SMALL))
    return dataclasses.replace(config, painting=folder, freeze_norm_at=1.0)


def test_generators_share_convolutions_and_nothing_else() -> None:
    one, two = sharing_generators(2)
    for (name, ours), theirs in zip(one.named_parameters(), two.parameters(), strict=True):
        assert (ours is theirs) == (ours.ndim == 4), name
    one.stem_norm.running_mean += 2  # type: ignore[operator]
    assert float(two.stem_norm.running_mean.sum()) == 0  # type: ignore[union-attr]
    mean = mean_generator([one, two])
    assert float(mean.stem_norm.running_mean.mean()) == 1  # type: ignore[union-attr]
    assert torch.equal(mean.stem.weight, one.stem.weight)


def weights(path: Path) -> dict[str, Tensor]:
    return load_generator(path)[0].state_dict()


def test_every_painting_has_its_turn(several: TrainConfig, tmp_path: Path) -> None:
    train_base(several, tmp_path / "run")
    dawn, dusk, mean = (
        weights(tmp_path / f"run/{name}.safetensors") for name in ("dawn", "dusk", "generator")
    )
    for name, value in dawn.items():
        if value.ndim == 4:
            assert torch.equal(value, dusk[name])
            assert torch.equal(value, mean[name])
    assert not torch.equal(dawn["stem_norm.weight"], dusk["stem_norm.weight"])
    turns = [int(one["stem_norm.num_batches_tracked"]) for one in (dawn, dusk)]
    assert turns == [several.steps // 2] * 2
    _, metadata = load_generator(tmp_path / "run/generator.safetensors")
    assert metadata["training"]["paintings"] == ["dawn.png", "dusk.png"]
    sheets = sorted(path.name for path in (tmp_path / "run").glob("sample_*.png"))
    assert len(sheets) == 2


def test_an_interrupted_run_goes_on_to_the_same_end(
    several: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_base(several, tmp_path / "whole")
    step = base_module.train_step

    def interrupted(*arguments: object) -> object:
        report = step(*arguments)  # type: ignore[arg-type]
        if report.step == 2:
            signal.raise_signal(signal.SIGTERM)
        return report

    monkeypatch.setattr(base_module, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_base(several, tmp_path / "cut")
    monkeypatch.setattr(base_module, "train_step", step)
    train_base(several, tmp_path / "cut", resume=True)
    for name in ("dawn", "dusk", "generator"):
        for ours, theirs in zip(
            weights(tmp_path / f"whole/{name}.safetensors").values(),
            weights(tmp_path / f"cut/{name}.safetensors").values(),
            strict=True,
        ):
            assert torch.equal(ours, theirs)
