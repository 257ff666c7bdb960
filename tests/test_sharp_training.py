"""Training of sharp generators: maps of colours are fitted, then all is learned at many ratios."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from conftest import run_cli  # noqa: E402
from test_training import (  # noqa: E402
    Calls,
    config,  # noqa: F401
    interrupt_at,
    no_curves,  # noqa: F401
)
from torch import Tensor  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training import recoloring, sharp_training  # noqa: E402
from realtime_style.training.checkpoint import (  # noqa: E402
    load_any_generator,
    load_generator,
    save_generator,
)
from realtime_style.training.color import paint_rgb  # noqa: E402
from realtime_style.training.config import SharpSettings, TrainConfig  # noqa: E402
from realtime_style.training.distill import painting_of  # noqa: E402
from realtime_style.training.generator import Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.observer import TrainStep  # noqa: E402
from realtime_style.training.optimizer import Muon  # noqa: E402
from realtime_style.training.sharp import SharpGenerator  # noqa: E402
from realtime_style.training.sharp_overlay import SharpOverlay  # noqa: E402
from realtime_style.training.sharp_training import (  # noqa: E402
    SIDES_PX,
    SharpObjective,
    first_sharp,
    fit_color_maps,
    photos_of,
)
from realtime_style.training.state import Learner, TrainState  # noqa: E402
from realtime_style.training.train import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread", "no_curves", "quick")

SMALL = GeneratorConfig(trunk_channels=8, edge_channels=4, dilations=(1,))
SETTINGS = SharpSettings(gain=1.0, calm=0.2, fine=0.5, chroma=0.7)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops, few colours and short fits."""
    for name, value in {
        "CROP_PX": 128,
        "SIDES_PX": dict.fromkeys(SIDES_PX, 96),
        "_MARGIN_PX": 8,
        "MEASURED_CROPS": 3,
        "_FITTED_CROPS": 2,
        "_FIT_STEPS": 3,
        "_FIT_PIXELS": 512,
    }.items():
        monkeypatch.setattr(sharp_training, name, value)
    monkeypatch.setattr(recoloring, "_SAMPLES", 48)


@pytest.fixture
def three_steps(config: TrainConfig) -> TrainConfig:  # noqa: F811
    return dataclasses.replace(config, steps=1, sharp_steps=3, checkpoint_every=1)


def generator() -> Generator:
    torch.manual_seed(5)
    return Generator(SMALL).eval()


def pictures(count: int = 3, side: int = 96) -> Tensor:
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=random)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def overlay(strokes: Generator) -> SharpOverlay:
    painting = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) ** 2
    return SharpOverlay(painting_of(strokes), pictures(), [painting], SETTINGS)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


def test_a_run_trains_strokes_and_then_a_sharp_generator(
    three_steps: TrainConfig, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    steps: list[TrainStep] = []
    netG = train(three_steps, run_dir, observer=Calls(steps.append))  # noqa: N806
    assert isinstance(netG, SharpGenerator)
    assert [step.step for step in steps] == [1, 1, 2, 3]
    assert set(steps[-1].losses) == {"tone", "color", "edges"}
    assert load_generator(run_dir / "strokes" / "generator.safetensors")[0].config == netG.config
    read, about = load_any_generator(run_dir / "generator.safetensors")
    assert isinstance(read, SharpGenerator)
    assert about["training"]["sharp_steps"] == 3
    assert same(read.half(), netG.half())
    assert {path.name for path in run_dir.iterdir()} >= {"sheet.png", "report.md", "checkpoint.pt"}


def test_it_goes_on_as_if_it_had_not_stopped(three_steps: TrainConfig, tmp_path: Path) -> None:
    start = tmp_path / "strokes.safetensors"
    save_generator(start, generator(), {})
    given = dataclasses.replace(three_steps, strokes=start)
    whole = train(given, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(given, tmp_path / "parts", observer=interrupt_at(2))
    parts = train(given, tmp_path / "parts", resume=True)
    assert same(parts, whole)


def test_the_body_starts_as_the_strokes_and_all_heads_alike() -> None:
    strokes = generator()
    before = torch.get_rng_state()
    first = first_sharp(strokes)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    second = first_sharp(Generator(SMALL))
    assert same(first.body, strokes)
    assert not same(second.body, strokes)
    assert same(first.head, second.head)


def test_fitted_maps_are_those_of_the_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharp_training, "_FIT_STEPS", 300)
    aim = overlay(generator())
    netG = first_sharp(generator())  # noqa: N806
    with torch.no_grad():
        netG.head.log_gain.fill_(-20)  # without strokes it is both maps, one after the other
    photos = pictures()
    expected = aim.to_range(aim.to_painting(photos))

    def distance() -> float:
        with torch.no_grad():
            return float((paint_rgb(netG.eval(), photos) - expected).abs().mean())

    before = distance()
    fit_color_maps(netG, aim, photos, 0)
    assert distance() < 0.3 * before
    assert distance() < 0.05


def test_it_comes_nearer_to_its_aim_at_every_ratio() -> None:
    aim, netG = overlay(generator()), first_sharp(generator()).train()  # noqa: N806
    learner = Learner(netG, Muon(netG.parameters(), 3e-3), 3e-3)
    state = TrainState({"G": learner}, 2, {})
    objective = SharpObjective(aim, netG, 0)
    crops = pictures(2, 128)
    totals = []
    for _ in range(24):
        (update,) = objective.updates(state, crops)
        total = sum(update.losses.values())
        assert isinstance(total, Tensor)
        learner.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        learner.optimizer.step()
        totals.append(float(total.detach()))
        state.step += 1
    assert sum(totals[-6:]) < 0.6 * sum(totals[:6])


def test_ratios_depend_on_the_step_and_all_come(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def aim(rgb: Tensor, ratio: float) -> Tensor:
        seen.append(ratio)
        return rgb

    netG = first_sharp(generator())  # noqa: N806
    for _ in range(2):
        state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 1, {})
        objective = SharpObjective(aim, netG, 7)  # type: ignore[arg-type]
        for step in range(24):
            state.step = step
            next(objective.updates(state, pictures(1, 128)))
    assert seen[:24] == seen[24:]
    assert set(seen) == set(SIDES_PX)


def test_normalisation_keeps_its_statistics() -> None:
    strokes = generator()
    netG = first_sharp(strokes).train()  # noqa: N806
    state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 1, {})
    next(SharpObjective(overlay(strokes), netG, 0).updates(state, pictures(1, 128)))
    assert same(netG.body, strokes)


def test_small_photos_show_all_of_a_crop() -> None:
    crops = pictures(1, 512)
    small = photos_of(crops, 256)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(crops, 2))
    assert torch.equal(photos_of(crops, 448), crops[..., :448, :448])


def test_a_sharp_generator_is_no_generator_of_strokes(tmp_path: Path) -> None:
    path = tmp_path / "sharp.safetensors"
    save_generator(path, first_sharp(generator()), {})
    with pytest.raises(TrainingError, match="holds a sharp generator; give the generator of its"):
        load_generator(path)


def test_the_command_refuses_what_nothing_paints_with_yet(tmp_path: Path) -> None:
    (tmp_path / "sharp.toml").write_text("sharp_steps = 4")
    arguments = ["train", "painting.png", "--content", tmp_path, "--out", tmp_path / "a.onnx"]
    refused = run_cli(*arguments, "--config", tmp_path / "sharp.toml")
    assert refused.returncode == 1
    assert "sharp.toml sets sharp_steps, but nothing paints with sharp generators" in refused.stderr
    assert not (tmp_path / "a.training").exists()
