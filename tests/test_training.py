import dataclasses
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import run_cli
from PIL import Image, features
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.tools.demo import draw_scene
from realtime_style.training import device as device_module
from realtime_style.training import objective, report, style_training
from realtime_style.training import train as train_module
from realtime_style.training.checkpoint import (
    load_checkpoint,
    load_generator,
    save_checkpoint,
    save_generator,
)
from realtime_style.training.config import BUNDLED_BASE, TrainConfig, make_config
from realtime_style.training.dataset import PhotoFolder, load_paintings, painting_crops
from realtime_style.training.discriminator import Discriminator
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.losses import discriminator_loss
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import processes
from realtime_style.training.schedule import trapezoid
from realtime_style.training.state import Learner, TrainState
from realtime_style.training.train import train

SMALL = GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))
VGG_LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1")


pytestmark = pytest.mark.usefixtures("one_torch_thread", "no_curves")


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file instead of the curves, which take longer to draw than short runs train."""
    monkeypatch.setattr(report, "draw_curves", lambda path, history: path.touch())


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    torch.manual_seed(5)
    save_generator(tmp_path / "base.safetensors", Generator(SMALL), {})
    save_file(random_vgg19(), tmp_path / "vgg19.safetensors")
    Image.fromarray(draw_scene(9, 160, 120)).save(tmp_path / "painting.png")
    return TrainConfig(
        painting=tmp_path / "painting.png",
        content=make_photos(tmp_path / "photos"),
        features=(tmp_path / "vgg19.safetensors",),
        base=tmp_path / "base.safetensors",
        steps=4,
        batch=2,
        crop_px=128,
        margin_px=8,
        painting_px=96,
        painting_scales=(1, 2),
        device="cpu",
        sharp_steps=0,
        checkpoint_every=2,
        sample_every=100,
    )


def random_vgg19() -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    state = {"conv0.weight": 4 * torch.eye(3)[:, :, None, None], "conv0.bias": -2 * torch.ones(3)}
    channels = 3
    for layer in VGG_LAYERS:
        scale = (2 / (9 * channels)) ** 0.5
        state[f"conv{layer}.weight"] = torch.randn(8, channels, 3, 3, generator=rng) * scale
        state[f"conv{layer}.bias"] = torch.zeros(8)
        channels = 8
    return state


def make_photos(folder: Path) -> Path:
    folder.mkdir()
    scenes = [Image.fromarray(draw_scene(time_s, 120, 90)) for time_s in range(5)]
    for i, scene in enumerate(scenes[:3]):
        scene.save(folder / f"photo{i}.jpg")
    scenes[3].convert("L").save(folder / "grey.png")
    scenes[4].convert("RGBA").save(folder / "transparent.png")
    (folder / "broken.jpg").write_bytes((folder / "photo0.jpg").read_bytes()[:300])
    (folder / "notes.txt").write_text("not a picture")
    return folder


def scalars(run_dir: Path, tag: str) -> list[int]:
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    return [event.step for event in events.Scalars(tag)]


class Calls(TrainObserver):
    """Passes what it is told to functions."""

    def __init__(
        self,
        on_step: Callable[[TrainStep], object] = lambda step: None,
        on_note: Callable[[str], object] = lambda note: None,
        on_start: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_step, self._on_note, self._on_start = on_step, on_note, on_start

    def on_start(self) -> None:
        self._on_start()

    def on_step(self, step: TrainStep) -> None:
        self._on_step(step)

    def on_note(self, note: str) -> None:
        self._on_note(note)


def interrupt_at(step: int) -> TrainObserver:
    def on_step(report: TrainStep) -> None:
        if report.step == step:
            signal.raise_signal(signal.SIGINT)

    return Calls(on_step)


def test_a_run_leaves_all_it_promises(config: TrainConfig, tmp_path: Path) -> None:
    reports: list[TrainStep] = []
    config = dataclasses.replace(config, base=None, sample_every=2)
    netG = train(config, tmp_path / "run", observer=Calls(reports.append))
    run_dir = tmp_path / "run"
    assert netG.config == GeneratorConfig()
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert set(reports[0].losses) == {
        "content",
        "structure",
        "tone",
        "style",
        "tv",
        "gamut",
        "grid",
        "weave",
    }
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "checkpoint.pt",
        "curves.png",
        "generator.safetensors",
        "report.md",
        "sample_000002.png",
        "sample_000004.png",
        "sheet.png",
        "tensorboard",
    ]
    with Image.open(run_dir / "sample_000004.png") as sheet:
        painting_px = round(96 * 512 / 72)  # 160x120, shrunk to 96x72, as high as two photos
        assert sheet.size == (3 * 256 + painting_px, 512)
    assert scalars(run_dir, "loss/style") == [1, 2, 3, 4]

    state = load_checkpoint(run_dir / "checkpoint.pt")
    assert (state["step"], state["config"]) == (4, config.as_dict())
    exact, _ = load_generator(run_dir / "checkpoint.pt")
    half, metadata = load_generator(run_dir / "generator.safetensors")
    assert metadata == {"training": json.loads(json.dumps(config.as_dict()))}
    for name, value in netG.state_dict().items():
        assert torch.equal(exact.state_dict()[name], value)
        torch.testing.assert_close(half.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_the_report_shows_every_loss(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    sheet = Image.new("RGB", (60, 40), (90, 60, 30))
    for losses in ({"style": 2.0}, {f"loss{i}": 10.0**i for i in range(-4, 4)} | {"hinge": -1.0}):
        history = [{name: value / step for name, value in losses.items()} for step in range(1, 31)]
        report.write_report(tmp_path, config, history, 60.0, sheet, "Lower is better.")
        text = (tmp_path / "report.md").read_text()
        assert "30 steps in 1.0 minutes, 2000 ms per step" in text
        for name, value in losses.items():
            last = value * (1 / 28 + 1 / 29 + 1 / 30) / 3
            assert f"| {name} | {last:.4f} |" in text
        with Image.open(tmp_path / "curves.png") as curves:
            rows = -(-len(losses) // 3)
            assert curves.size == (1200, 260 * rows)
            assert np.asarray(curves.convert("L")).std() > 10
        with Image.open(tmp_path / "sheet.png") as written:
            assert written.size == sheet.size


def test_loss_goes_down(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, steps=45, checkpoint_every=100, style_start=1.0)
    totals: list[float] = []
    train(
        config,
        tmp_path / "run",
        observer=Calls(lambda step: totals.append(sum(step.losses.values()))),
    )
    assert np.mean(totals[-6:]) < 0.3 * np.mean(totals[:6])


def test_resumed_run_equals_an_uninterrupted_one(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, checkpoint_every=100)
    whole = train(config, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", observer=interrupt_at(2))
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 2
    assert not (tmp_path / "run/generator.safetensors").exists()
    steps: list[int] = []
    count = Calls(lambda report: steps.append(report.step))
    resumed = train(config, tmp_path / "run", resume=True, observer=count).state_dict()
    assert steps == [3, 4]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert not torch.equal(whole["stem.weight"], Generator(SMALL).state_dict()["stem.weight"])


def test_ctrl_c_within_a_step_waits_for_its_end(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config, tmp_path / "whole").state_dict()
    step_of_muon = Muon.step

    def interrupted(self: Muon) -> None:
        signal.raise_signal(signal.SIGINT)
        step_of_muon(self)

    monkeypatch.setattr(Muon, "step", interrupted)
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is former
    monkeypatch.undo()
    resumed = train(config, tmp_path / "run", resume=True).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_second_ctrl_c_does_not_wait(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_twice(self: Muon) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Muon, "step", interrupted_twice)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/checkpoint.pt").exists()


def test_a_crash_leaves_the_last_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    def on_step(report: TrainStep) -> None:
        if report.step == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, tmp_path / "run", observer=Calls(on_step))
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 2


def test_same_seed_same_weights(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, steps=2)
    first, again, other = (
        train(dataclasses.replace(config, seed=seed), tmp_path / f"run{i}").state_dict()
        for i, seed in enumerate((1, 1, 2))
    )
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert not torch.equal(other["stem.weight"], first["stem.weight"])


def test_resumed_log_has_every_step(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", observer=interrupt_at(2))
    train(config, tmp_path / "run", resume=True)
    assert sorted(scalars(tmp_path / "run", "loss/style")) == [1, 2, 3, 4]


def test_base_is_where_training_starts(config: TrainConfig, tmp_path: Path) -> None:
    assert config.base is not None
    base, _ = load_generator(config.base)
    config = dataclasses.replace(config, steps=2, learning_rate=1e-9)
    netG = train(config, tmp_path / "run")
    assert netG.config == SMALL
    for parameter, start in zip(netG.parameters(), base.parameters(), strict=True):
        torch.testing.assert_close(parameter, start, rtol=0, atol=1e-7)


def test_a_loss_that_is_no_number_leads_back_and_slows_down(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config, steps=6)
    true_loss, calls = objective.total_variation, [0]

    def spoilt_once(rgb: Tensor) -> Tensor:
        calls[0] += 1
        return true_loss(rgb) * (float("nan") if calls[0] == 4 else 1)

    monkeypatch.setattr(objective, "total_variation", spoilt_once)
    notes: list[str] = []
    reports: list[TrainStep] = []
    netG = train(config, tmp_path / "run", observer=Calls(reports.append, notes.append))
    assert notes[:1] == [
        "loss became NaN at step 4: back to step 2, with the learning rate halved (now 0.5 of its "
        "full value)"
    ]
    assert [report.step for report in reports] == [1, 2, 3, 3, 4, 5, 6]
    assert reports[3].learning_rate == reports[2].learning_rate / 2
    assert all(torch.isfinite(value).all() for value in netG.state_dict().values())
    assert len(load_checkpoint(tmp_path / "run/checkpoint.pt")["history"]) == 6


def test_a_loss_that_is_never_a_number_ends_the_run(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "total_variation", lambda rgb: rgb.sum() * float("nan"))
    with pytest.raises(TrainingError, match="NaN at step 1, also at 5 smaller") as caught:
        train(config, tmp_path / "run")
    assert caught.value.setting == "learning_rate"


def test_too_little_memory_halves_the_batch(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss = objective.total_variation

    def hungry(rgb: Tensor) -> Tensor:
        if len(rgb) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return true_loss(rgb)

    monkeypatch.setattr(objective, "total_variation", hungry)
    notes: list[str] = []
    train(config, tmp_path / "run", observer=Calls(on_note=notes.append))
    assert notes[0] == "out of memory: from step 0 on, 1 photo a step"
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["batch"] == 1

    def starved(rgb: Tensor) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(objective, "total_variation", starved)
    with pytest.raises(TrainingError, match="out of memory with one photo a step"):
        train(config, tmp_path / "again")


def test_a_full_disk_leaves_the_former_checkpoint(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = [0]
    true_save = torch.save

    def full(state: object, path: Path) -> None:
        saves[0] += 1
        if saves[0] == 2:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        true_save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        train(config, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 2
    assert not list((tmp_path / "run").glob(".*.partial*"))


MODES: dict[str, dict[str, object]] = {
    "log": {"adversarial": "log"},
    "lsgan": {"adversarial": "lsgan"},
    "hinge": {"adversarial": "hinge"},
    "wasserstein": {"statistic": "wasserstein"},
    "each photo": {"batch_share": 0.0},
    "noise": {"noise": 0.05},
    "bf16": {"precision": "bf16"},
    "frozen": {"freeze_norm_at": 0.5},
    "no motion": {"motion_weight": 0.0, "motion_features_weight": 0.0},
    "motion from the start": {"freeze_norm_at": 0.0},
    "within classes": {"class_share": 0.5, "hue_classes": True},
    "light and palette": {
        "class_share": 1.0, "light_weight": 5.0, "hue_weight": 5.0, "palette_weight": 5.0,
        "nearest_color_weight": 5.0,
    },
    "recolored": {"recolor": True, "color_weight": 5.0, "class_share": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains_and_goes_on_bit_for_bit(
    config: TrainConfig, tmp_path: Path, mode: str
) -> None:
    config = dataclasses.replace(config, **MODES[mode])
    reports: list[TrainStep] = []
    whole = train(config, tmp_path / "whole", observer=Calls(reports.append)).state_dict()
    expected = {"content", "structure", "tone", "style", "tv", "gamut", "grid", "weave"}
    if config.adversarial != "none":
        expected |= {"adversarial", "discriminator"}
        assert scalars(tmp_path / "whole", "discriminator/accuracy_real") == [1, 2, 3, 4]
    if config.light_weight:
        expected |= {"light", "hue", "palette", "nearest_color"}
    if config.color_weight:
        expected |= {"color"}
    frozen = config.freeze_norm_at * config.steps
    moves = {"motion", "motion_features"} if config.motion_weight else set()
    for step in reports:
        assert set(step.losses) == expected | (moves if step.step > frozen else set())
    assert scalars(tmp_path / "whole", "gradient_norm/G") == [1, 2, 3, 4]
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", observer=interrupt_at(3))
    resumed = train(config, tmp_path / "run", resume=True).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_clips_are_learned_from_too(config: TrainConfig, tmp_path: Path) -> None:
    pytest.importorskip("cv2", exc_type=ImportError)
    clips = tmp_path / "clips"
    clips.mkdir()
    with av.open(str(clips / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for i in range(12):
            drawn = av.VideoFrame.from_ndarray(draw_scene(i / 25, 160, 128))
            container.mux(stream.encode(drawn))
        container.mux(stream.encode())
    (clips / "notes.txt").write_text("no film")
    config = dataclasses.replace(config, freeze_norm_at=0.0)
    photos_alone = train(config, tmp_path / "alone").state_dict()
    config = dataclasses.replace(config, clips=clips)
    notes: list[str] = []
    with_clips = train(config, tmp_path / "with", observer=Calls(on_note=notes.append)).state_dict()
    assert any("notes.txt" in note for note in notes)
    assert not torch.equal(with_clips["stem.weight"], photos_alone["stem.weight"])


def test_frozen_statistics_stay_while_weights_move(config: TrainConfig, tmp_path: Path) -> None:
    assert config.base is not None
    base = load_generator(config.base)[0].state_dict()
    config = dataclasses.replace(config, freeze_norm_at=0.0, steps=3)
    trained = train(config, tmp_path / "run").state_dict()
    assert torch.equal(trained["stem_norm.running_mean"], base["stem_norm.running_mean"])
    assert torch.equal(
        trained["blocks.0.first_norm.running_var"], base["blocks.0.first_norm.running_var"]
    )
    assert not torch.equal(trained["stem_norm.weight"], base["stem_norm.weight"])
    assert not torch.equal(trained["stem.weight"], base["stem.weight"])


def test_noise_changes_what_the_generator_sees(config: TrainConfig, tmp_path: Path) -> None:
    quiet, noisy = (
        train(dataclasses.replace(config, noise=noise), tmp_path / str(noise)).state_dict()
        for noise in (0.0, 0.1)
    )
    assert not torch.equal(quiet["stem.weight"], noisy["stem.weight"])


def test_a_loss_of_no_weight_is_not_computed(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(rgb: Tensor) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(objective, "total_variation", fail)
    reports: list[TrainStep] = []
    config = dataclasses.replace(config, steps=1, tv_weight=0.0)
    train(config, tmp_path / "run", observer=Calls(reports.append))
    assert "tv" not in reports[0].losses
    assert "grid" in reports[0].losses
    names = [f.name for f in dataclasses.fields(config) if f.name.endswith("_weight")]
    nothing = dataclasses.replace(config, **dict.fromkeys(names, 0.0))
    with pytest.raises(TrainingError, match="no loss of painted photos has a weight above 0"):
        train(nothing, tmp_path / "run")


def test_losses_remember_through_checkpoints_and_rollbacks(tmp_path: Path) -> None:
    netG = Generator(SMALL)
    state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 2, {"config": {}})
    state.memory["colors"] = [torch.ones(2)]
    save_checkpoint(tmp_path / "checkpoint.pt", state.as_dict())
    state.memory["colors"].append(torch.zeros(2))
    state.step = 7
    state.load(load_checkpoint(tmp_path / "checkpoint.pt"))
    assert state.step == 0
    assert torch.equal(torch.stack(state.memory["colors"]), torch.ones(1, 2))
    saved = state.as_dict()
    del saved["optimizer_G"]
    with pytest.raises(TrainingError, match=r"a\.pt was written by another kind of training"):
        state.load(saved, Path("a.pt"))


def test_each_step_moves_its_own_network_alone(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config, adversarial="hinge", steps=2)
    moved: list[tuple[bool, bool]] = []
    states: list[TrainState] = []
    first_state = style_training._first_state

    def kept(*arguments: Any) -> TrainState:
        states.append(first_state(*arguments))
        return states[-1]

    step_of: dict[type, Any] = {kind: kind.step for kind in (Muon, torch.optim.Adam)}

    def watched(self: torch.optim.Optimizer) -> None:
        nets = [states[-1].learners[name].net for name in "GD"]
        before = [[p.detach().clone() for p in net.parameters()] for net in nets]
        step_of[type(self)](self)
        changes = [
            any(not torch.equal(p, old) for p, old in zip(net.parameters(), olds, strict=True))
            for net, olds in zip(nets, before, strict=True)
        ]
        moved.append((changes[0], changes[1]))

    monkeypatch.setattr(style_training, "_first_state", kept)
    for kind in step_of:
        monkeypatch.setattr(kind, "step", watched)
    train(config, tmp_path / "run")
    assert moved == [(False, True), (True, False)] * 2  # netD, then netG


def test_netD_learns_to_tell_the_painting_from_photos() -> None:  # noqa: N802
    torch.manual_seed(0)
    netD = Discriminator(8)
    optimizer = torch.optim.Adam(netD.parameters(), 2e-3)
    real = torch.rand(4, 3, 64, 64).round()  # hard dots against soft blots
    fake = functional.interpolate(torch.rand(4, 3, 8, 8), scale_factor=8, mode="bilinear")
    for _ in range(40):
        optimizer.zero_grad()
        discriminator_loss("hinge", netD(real), netD(fake)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert netD(real).min() > netD(fake).max()
    assert netD(real).shape == (4, 1, 3, 3)  # one score a patch of 46 pixels, 8 apart


def test_a_folder_of_paintings_is_one_hand(config: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "paintings"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(draw_scene(i, 160, 120)).save(folder / f"{i}.png")
    paintings = load_paintings(folder, 96, 640)
    assert [painting.shape for painting in paintings] == [(1, 3, 72, 96)] * 3
    crops = painting_crops(paintings, 64, 0, 1, range(8))
    assert crops.shape == (8, 3, 64, 64)
    assert torch.equal(crops[3:5], painting_crops(paintings, 64, 0, 1, range(3, 5)))
    assert painting_crops(paintings, 128, 0, 1, range(2)).shape == (2, 3, 128, 128)
    config = dataclasses.replace(config, painting=folder, adversarial="log", steps=2)
    train(config, tmp_path / "run")


def by_two_processes(
    folder: Path, config: TrainConfig | None, script: str, *, torchrun: bool = False
) -> None:
    """Runs a script in two processes that train together; it knows the folder as `here`.

    torchrun takes seconds to start; without it the processes get the variables that it would set.
    """
    (folder / "config").write_bytes(pickle.dumps(config))
    (folder / "script.py").write_text(
        "import os, pickle, signal, time\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from realtime_style.training import loop, report\n"
        "from realtime_style.training.observer import TrainObserver\n"
        "from realtime_style.training.parallel import BatchNorm, leads, part_of, processes\n"
        "from realtime_style.training.train import train\n"
        "torch.set_num_threads(1)\n"
        "report.draw_curves = lambda path, history: None\n"
        "here = Path(__file__).parent\n"
        "config = pickle.loads((here / 'config').read_bytes())\n" + script
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(folder / "script.py")]
    if torchrun:
        module = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
        commands = [([sys.executable, *module, *command[1:]], environment)]
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
        ranks = ({"RANK": rank, "LOCAL_RANK": rank} for rank in "01")
        commands = [(command, environment | rank) for rank in ranks]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables
        )
        for command, variables in commands
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_two_processes_equal_one(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config,
        precision="f32",
        adversarial="hinge",
        batch_share=0.5,
        noise=0.02,
        steps=3,
        learning_rate=1e-3,  # of a larger one, two steps make whole codes of rounding
    )
    reports: list[TrainStep] = []
    one = train(config, tmp_path / "one", observer=Calls(reports.append))
    by_two_processes(tmp_path, config, "train(config, here / 'two')", torchrun=True)
    two, _ = load_generator(tmp_path / "two/checkpoint.pt")
    history = load_checkpoint(tmp_path / "two/checkpoint.pt")["history"]
    for ours, theirs in zip(reports, history, strict=True):
        # where gradients are nothing but rounding, Adam makes whole steps of it: later ones differ
        close = {"rel": 1e-4, "abs": 1e-8} if ours.step == 1 else {"rel": 0.1, "abs": 0.01}
        assert theirs == pytest.approx(ours.losses, **close)
    planes = torch.rand(1, 1, 64, 64), torch.rand(1, 2, 32, 32)
    for alone, together in zip(one.eval()(*planes), two.eval()(*planes), strict=True):
        torch.testing.assert_close(alone, together, rtol=0, atol=5e-3)


def test_what_one_process_is_asked_ends_all_in_order(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, steps=8, checkpoint_every=100)
    by_two_processes(
        tmp_path,
        config,
        "true_save, true_wait = loop.save_checkpoint, loop.wait_for_all\n"
        "def save_once_the_other_waits(path, state):\n"
        "    while not (here / 'waits').exists():\n"
        "        assert not (here / 'left').exists()\n"
        "        time.sleep(0.01)\n"
        "    true_save(path, state)\n"
        "def wait():\n"
        "    if not leads():\n"
        "        (here / 'waits').touch()\n"
        "    true_wait()\n"
        "loop.save_checkpoint, loop.wait_for_all = save_once_the_other_waits, wait\n"
        "class Watch(TrainObserver):\n"
        "    def on_step(self, step):\n"
        "        if step.step == 3 and not leads():\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "try:\n"
        "    train(config, here / 'run', observer=Watch())\n"
        "except KeyboardInterrupt:\n"
        "    (here / ('led' if leads() else 'left')).touch()\n",
    )
    assert (tmp_path / "led").exists()
    assert (tmp_path / "left").exists()
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 3


def test_normalisation_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    whole = 100 + 0.003 * torch.randn(4, 8, 5, 6, generator=rng)  # squares are all rounding
    weights = torch.randn(4, 8, 5, 6, generator=rng)
    torch.save((whole, weights), tmp_path / "given")
    by_two_processes(
        tmp_path,
        None,
        "whole, weights = torch.load(here / 'given')\n"
        "with processes(torch.device('cpu')):\n"
        "    items = part_of(4)\n"
        "    norm, x = BatchNorm(8), whole[items.start : items.stop].requires_grad_()\n"
        "    normal = norm(x)\n"
        "    (normal * weights[items.start : items.stop]).sum().backward()\n"
        "    found = normal.detach(), x.grad, norm.running_mean, norm.running_var\n"
        "    torch.save(found, here / f'found{items.start}')\n",
    )
    one, x = torch.nn.BatchNorm2d(8), whole.clone().requires_grad_()
    normal = one(x)
    (normal * weights).sum().backward()
    first, second = (torch.load(tmp_path / f"found{start}") for start in (0, 2))
    assert x.grad is not None
    for i, expected in enumerate((normal.detach(), x.grad)):
        ours = torch.cat((first[i], second[i]))
        torch.testing.assert_close(ours, expected, rtol=0, atol=0.02 * float(expected.std()))
    for found in (first, second):
        torch.testing.assert_close(found[2], one.running_mean)
        torch.testing.assert_close(found[3], one.running_var)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda _, device: SimpleNamespace(device=device))
    assert device_module.find_device("auto") == device_module.find_device("cuda") == "cuda:1"

    def missing(_: int, device: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(torch, "zeros", missing)
    with pytest.raises(TrainingError, match="no device 'cuda:1'; start no more processes than"):
        device_module.find_device("auto")
    with pytest.raises(TrainingError, match="no device 'gpu'; choose cpu or auto"):
        device_module.find_device("gpu")
    calls: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", calls.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with processes(torch.device("cuda:1")):
        assert calls == [torch.device("cuda:1"), "nccl"]


@pytest.mark.parametrize(
    ("capabilities", "is_bf16"),
    [({"avx512_f": True, "avx512_bf16": False}, False), ({"amx_bf16": True}, True), ({}, False)],
)
def test_bf16_is_chosen_where_the_processor_has_it(
    capabilities: dict[str, bool], is_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    device_module.has_bf16.cache_clear()
    cpu = torch.device("cpu")
    found = []
    for precision in ("auto", "bf16", "f32"):
        with device_module.autocast(cpu, precision):
            found.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16)
    device_module.has_bf16.cache_clear()
    assert found == [is_bf16, True, False]


def test_learning_rate_rises_stays_and_falls() -> None:
    rates = [trapezoid(step, 100) for step in range(1, 101)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[4] == pytest.approx(0.5)
    assert rates[9:61] == [1.0] * 52
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert 0 < rates[-1] < 0.01
    assert trapezoid(1, 1) == 1


def test_settings_come_from_presets_files_and_options(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'content = "photos"\nsteps = 7\nstyle_weight = 5\npainting_scales = [1, 2]\n'
        'features = ["a.safetensors"]\n'
    )
    config = make_config("fast", file, {"painting": Path("p.jpg"), "steps": 9, "seed": None})
    assert config.steps == 9
    assert config.content == tmp_path / "photos"
    assert config.features == (tmp_path / "a.safetensors",)
    assert config.style_weight == 5.0
    assert config.painting_scales == (1, 2)
    assert config.base == BUNDLED_BASE
    assert load_generator(BUNDLED_BASE)[0].config == GeneratorConfig()
    none = make_config("fast", file, {"painting": Path("p.jpg"), "base": Path("none")})
    assert none.base is None
    best = make_config("best", None, {"painting": Path("p"), "content": Path("c")})
    assert best.steps > TrainConfig(Path("p"), Path("c")).steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz = 3", r"sets 'stepz', which is not a setting; did you mean steps\?"),
        ("steps = 'many'", r"steps = 'many'; it should be a whole number"),
        ("steps = true", "steps = True; it should be a whole number"),
        ("painting_scales = 2", "it should be a list of whole numbers"),
        ("base = 3", "it should be a file or folder name"),
        ("steps = ", "cannot be read as TOML"),
    ],
)
def test_bad_settings_in_a_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(TrainingError, match=message):
        make_config(None, tmp_path / "mine.toml", {})


def test_bad_preset_and_missing_paths() -> None:
    with pytest.raises(TrainingError, match="no preset 'slow'; choose fast, standard, best"):
        make_config("slow", None, {})
    with pytest.raises(TrainingError, match="no painting is given"):
        make_config(None, None, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": Path("nowhere")}, "nowhere is not a folder"),
        ({"painting": Path(__file__)}, "cannot be read as a picture"),
        ({"painting": Path("nothing.png")}, "nothing.png cannot be read as a picture"),
        ({"crop_px": 150}, "multiple of 32 from 128 up, not 150"),
        ({"crop_px": 96}, "multiple of 32 from 128 up, not 96"),
        ({"features": (Path("no.safetensors"),)}, "there is no file no.safetensors"),
        ({"base": Path("no.safetensors")}, "there is no file no.safetensors"),
        ({"base": Path(__file__)}, "not a checkpoint"),
        ({"adversarial": "wgan"}, "no adversarial 'wgan'; choose none, log, lsgan, hinge"),
        ({"statistic": "mean"}, "no statistic 'mean'; choose gram, wasserstein"),
        ({"batch": 0}, "batch must be from 1 to 1e\\+09, not 0"),
        ({"painting_px": 20_000}, "painting_px must be from 64 to 2048, not 20000"),
        ({"painting_scales": (1, 0)}, "painting_scales must be from 1 to 8, not 0"),
        ({"learning_rate": -1.0}, "learning_rate must be from"),
        ({"batch_share": 7.0}, "batch_share must be from 0 to 1, not 7"),
        ({"checkpoint_every": 0}, "checkpoint_every must be from 1"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_unusable_settings(
    config: TrainConfig, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(dataclasses.replace(config, **change), tmp_path / "run")


def test_folder_without_pictures(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("not a picture")
    with pytest.raises(TrainingError, match="has no pictures"):
        train(dataclasses.replace(config, content=tmp_path / "empty"), tmp_path / "run")


def test_folder_of_broken_and_tiny_pictures_alone(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/broken.jpg").write_bytes(b"not a picture")
    Image.new("RGB", (20, 20)).save(tmp_path / "bad/tiny.png")
    with pytest.raises(TrainingError, match=r"no picture in .*bad is readable"):
        train(dataclasses.replace(config, content=tmp_path / "bad"), tmp_path / "run")


def test_pictures_left_out_are_named(config: TrainConfig, tmp_path: Path) -> None:
    (config.content / "broken.jpg").write_bytes(b"not a picture")
    notes: list[str] = []
    config = dataclasses.replace(config, steps=4, motion_weight=0, motion_features_weight=0)
    train(config, tmp_path / "run", observer=Calls(on_note=notes.append))
    assert any("skipped photos" in note and "broken.jpg" in note for note in notes)


@pytest.mark.parametrize("fails", ["log", "sample", "folder"])
def test_a_place_that_cannot_be_written_is_said(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], fails: str,
) -> None:  # fmt: skip
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    targets = {
        "log": ("tensorboard.summary.writer.record_writer.RecordWriter.write", full),
        "sample": ("PIL.Image.Image.save", full),
        "folder": ("pathlib.Path.mkdir", full),
    }
    monkeypatch.setattr(*targets[fails])
    with pytest.raises(TrainingError, match="cannot be written: No space left on device"):
        train(dataclasses.replace(config, steps=40), tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err


def test_begun_anew_nothing_of_the_run_before_is_left_among_the_logs(
    config: TrainConfig, tmp_path: Path
) -> None:
    train(dataclasses.replace(config, steps=4, sample_every=2), tmp_path / "run")
    train(dataclasses.replace(config, steps=3, sample_every=3), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("sample_*")] == ["sample_000003.png"]
    assert len(list((tmp_path / "run/tensorboard").iterdir())) == 1


def test_begun_anew_and_stopped_at_once_there_is_nothing_to_go_on_with(
    config: TrainConfig, tmp_path: Path
) -> None:
    train(config, tmp_path / "run")
    (tmp_path / "run/notes.txt").write_text("the user's own")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataclasses.replace(config, seed=1), tmp_path / "run", observer=Calls(on_start=stop))
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert left == ["notes.txt", "tensorboard"]


def test_begun_anew_and_refused_nothing_of_the_run_before_is_lost(
    config: TrainConfig, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    train(config, run_dir)
    files = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    (tmp_path / "tiny").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "tiny/photo.png")
    for change, message in (
        ({"content": tmp_path / "tiny"}, "no picture in"),
        ({"base": run_dir / "generator.safetensors"}, "would be removed when training starts"),
        ({"base": run_dir / "../run/checkpoint.pt"}, "would be removed when training starts"),
    ):
        with pytest.raises(TrainingError, match=message):
            train(dataclasses.replace(config, **change), run_dir)
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == files


def test_train_command_goes_on_with_a_run_that_was_to_replace_a_style(
    config: TrainConfig, tmp_path: Path
) -> None:
    out, run_dir = tmp_path / "s.onnx", tmp_path / "s.training"
    out.write_bytes(b"the style of before")
    run_dir.mkdir()
    (run_dir / "checkpoint.pt").write_bytes(b"rubbish")
    features = [option for path in config.features or () for option in ("--features", path)]
    command = "train", config.painting, "--content", config.content, "--out", out, "--resume"
    run = run_cli(*command, *features)
    assert run.returncode == 1
    assert "checkpoint.pt" in run.stderr.splitlines()[-1]  # is read
    (run_dir / "generator.safetensors").write_bytes(b"of a run that has ended")
    assert "is ready, its training has ended" in run_cli(*command).stderr
    assert out.read_bytes() == b"the style of before"


def test_train_command_does_not_take_the_run_before_for_its_own(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.training").mkdir()
    (tmp_path / "mine.training/checkpoint.pt").touch()
    monkeypatch.setattr(train_module, "train", stopped_while_loading)
    command = "train", config.painting, "--content", config.content, "--out", tmp_path / "mine.onnx"
    for option, said in (("--overwrite", "nothing was saved"), ("--resume", "with --resume")):
        run = run_cli(*command, option)
        assert run.returncode == 130
        assert said in run.stderr


def stopped_while_loading(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_resume_without_a_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint\.pt"):
        train(config, tmp_path / "run", resume=True)


def test_checkpoints_without_newer_settings_are_resumed_only_with_defaults(
    config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, steps=2, checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", observer=interrupt_at(1))
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    for name in ("class_share", "portraits"):
        del saved["config"][name]
    save_checkpoint(tmp_path / "run/checkpoint.pt", saved)
    with pytest.raises(TrainingError, match=r"made with class_share = 0\.0, not 0\.5"):
        train(dataclasses.replace(config, class_share=0.5), tmp_path / "run", resume=True)
    train(config, tmp_path / "run", resume=True)


def test_painting_is_scaled_to_the_longer_side(config: TrainConfig) -> None:
    assert load_paintings(config.painting, 80, 640)[0].shape == (1, 3, 60, 80)
    assert load_paintings(config.painting, 1000, 640)[0].shape == (1, 3, 750, 1000)


def test_painting_loses_its_grain_but_not_its_colours(tmp_path: Path) -> None:
    rgb = np.full((120, 160, 3), (200, 120, 40), np.uint8)
    rgb[:, 80:] = (20, 60, 120)
    grain = np.random.default_rng(0).integers(-20, 21, (120, 160, 1))
    Image.fromarray((rgb + grain).clip(0, 255).astype(np.uint8)).save(tmp_path / "p.png")
    rough = load_paintings(tmp_path / "p.png", 160, 160)[0]
    fine = load_paintings(tmp_path / "p.png", 160, 40)[0]

    noise = [(p[0, 0, :, 8:70] - p[0, 0, :, 8:70].mean()).std() for p in (fine, rough)]
    assert noise[0] < noise[1] / 2
    torch.testing.assert_close(fine.mean((2, 3)), rough.mean((2, 3)), atol=0.01, rtol=0)


def test_the_bottom_of_a_painting_is_trimmed(tmp_path: Path) -> None:
    scan = np.zeros((100, 200, 3), np.uint8)
    scan[-9:] = 255
    Image.fromarray(scan).save(tmp_path / "scan.png")
    (trimmed,) = load_paintings(tmp_path / "scan.png", 200, 200, trim=0.1)
    assert trimmed.shape == (1, 3, 90, 200)
    assert trimmed.max() == 0
    assert load_paintings(tmp_path / "scan.png", 200, 200)[0].max() == 1


def test_a_painting_is_sharpened_only_at_its_edges(tmp_path: Path) -> None:
    scan = np.full((100, 200, 3), 80, np.uint8)
    scan[:, 100:] = 160
    Image.fromarray(scan).save(tmp_path / "scan.png")
    soft, sharp = (
        load_paintings(tmp_path / "scan.png", 200, 200, sharpness=amount)[0][0, 0]
        for amount in (0.0, 1.0)
    )
    assert sharp[:, :90].equal(soft[:, :90])
    assert sharp[50, 99] < soft[50, 99] - 0.02
    assert sharp[50, 100] > soft[50, 100] + 0.02


def test_batches_are_the_same_for_the_same_seed_and_step(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    photos = PhotoFolder(folder, 64, seed=3)
    batches = [photos.batch(step, range(4)) for step in range(1, 9)]
    assert [path.name for path in photos.skipped] == ["broken.jpg"]
    for batch in batches:
        assert batch.shape == (4, 3, 64, 64)
        assert batch.min() >= 0
        assert 0.5 < batch.max() <= 1
    # whatever was read before, broken files among it
    assert torch.equal(PhotoFolder(folder, 64, seed=3).batch(8, range(4)), batches[-1])
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(PhotoFolder(folder, 64, seed=4).batch(1, range(4)), batches[0])


def test_crops_are_scaled_within_limits(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    Image.fromarray(ramp).save(tmp_path / "large.png")
    Image.new("L", (66, 66), 255).save(tmp_path / "small.png")

    def slopes(zoom: float, small: float) -> list[float]:
        photos = PhotoFolder(tmp_path, 96, seed=0, largest_zoom=zoom, small_share=small)
        crops = torch.cat([photos.batch(step, range(4)) for step in range(20)])
        found = ((crops[:, 0, 48, 80] - crops[:, 0, 48, 16]) * 255 / 64).abs()
        return [float(each) for each in found]

    near = slopes(1.2, 0)  # codes per pixel: 1 at the photo's own scale, 1/1.2 at the largest zoom
    assert min(near) > 0.8
    assert min(slopes(3, 0)) < 0.5  # small.png is used too
    shrunk = [slope for slope in slopes(1.2, 0.5) if slope > 1 / 0.68]
    assert 20 < len(shrunk) < 60
    assert max(shrunk) < 1 / 0.38


def test_photos_are_used_if_all_are_too_small(tmp_path: Path) -> None:
    Image.new("L", (70, 70), 255).save(tmp_path / "small.png")
    photos = PhotoFolder(tmp_path, 128, seed=0, largest_zoom=1.2)
    assert photos.batch(1, range(2)).mean() == 1


def test_a_share_of_the_crops_comes_from_portraits(tmp_path: Path) -> None:
    for folder, light in (("photos", 50), ("portraits", 200)):
        (tmp_path / folder).mkdir()
        for i in range(3):
            Image.new("L", (80, 80), light + i).save(tmp_path / folder / f"{i}.png")
    photos = PhotoFolder(
        tmp_path / "photos", 64, 0, portraits=tmp_path / "portraits", portrait_share=0.25
    )
    crops = torch.cat([photos.batch(step, range(4)) for step in range(100)])
    assert (crops.mean((1, 2, 3)) > 0.5).float().mean().item() == pytest.approx(0.25, abs=0.06)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty has no pictures"):
        PhotoFolder(tmp_path / "photos", 64, 0, portraits=tmp_path / "empty")
    (tmp_path / "empty/broken.png").write_bytes(b"not a picture")
    photos = PhotoFolder(tmp_path / "photos", 64, 0, portraits=tmp_path / "empty", portrait_share=1)
    with pytest.raises(TrainingError, match=r"no picture in .*empty is readable") as error:
        photos.batch(1, range(2))
    assert error.value.setting == "portraits"


def test_held_back_photos_are_never_trained_on(tmp_path: Path) -> None:
    for i in range(40):
        Image.new("L", (64, 64), 6 * i).save(tmp_path / f"{i}.png")
    photos = PhotoFolder(tmp_path, 32, seed=0)
    held_back = {int(path.stem) for path in photos.held_back}
    seen = {
        round(float(crop.mean()) * 255 / 6)
        for step in range(100)
        for crop in photos.batch(step, range(4))
    }
    assert len(held_back) == 2
    assert seen == set(range(40)) - held_back
    shown = {round(float(sample.mean()) * 255 / 6) for sample in photos.samples(3, 64)}
    assert shown == held_back


def test_no_readable_photo(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"not a picture")
    with pytest.raises(TrainingError, match=r"no picture in .* is readable"):
        PhotoFolder(tmp_path, 32, seed=0).batch(1, range(2))


@pytest.mark.parametrize("kind", ["png", "jpg", "avif"])
def test_damage_that_is_found_only_as_pixels_are_read_leaves_a_photo_out(
    tmp_path: Path, kind: str
) -> None:
    if not features.check("avif") and kind == "avif":
        pytest.skip("Pillow has no AVIF here")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "N"  # lies on its side, and says what it is of
    noise.save(tmp_path / f"broken.{kind}", exif=exif)
    data = (tmp_path / f"broken.{kind}").read_bytes()
    change = {
        "png": (b"IDAT", b"\x12DAT"),
        "jpg": (b"\x01\x0e\0\2", b"\x02\xbc\0\2"),  # XMP that is text, not bytes
        "avif": (b"iloc", b"\x12loc"),
    }[kind]
    begin, part, end = data.rpartition(change[0])
    assert part
    (tmp_path / f"broken.{kind}").write_bytes(begin + change[1] + end)
    Image.new("RGB", (80, 80), (90, 60, 30)).save(tmp_path / "whole.png")
    photos = PhotoFolder(tmp_path, 32, seed=0)
    assert photos.batch(1, range(8)).shape == (8, 3, 32, 32)
    assert [path.name for path in photos.skipped] == [f"broken.{kind}"]
    assert photos.samples(2, 64).shape == (1, 3, 64, 64)
    with pytest.raises(TrainingError, match=rf"broken\.{kind} cannot be read as a picture"):
        load_paintings(tmp_path / f"broken.{kind}", 96, 640)


def test_samples_leave_broken_photos_out(tmp_path: Path) -> None:
    for i in range(2):
        Image.new("RGB", (40, 30), (90, 60, 30)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    assert PhotoFolder(tmp_path, 32, seed=0).samples(3, 64).shape == (2, 3, 64, 64)


def test_train_command_refuses_crops_that_are_too_small() -> None:
    refused = run_cli("train", "painting.jpg", "--content", "photos", "--crop", "96")
    assert refused.returncode == 2
    assert "128" in refused.stderr
