import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import run_cli
from PIL import Image
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from realtime_style import open_stylizer
from realtime_style.demo import draw_scene
from realtime_style.errors import TrainingError
from realtime_style.training import train as train_module
from realtime_style.training.checkpoint import load_checkpoint, load_generator, save_generator
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import PhotoFolder, load_painting
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.train import TrainStep, train

SMALL = GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))
VGG_LAYERS = ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1")


pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
        crop_px=64,
        painting_px=96,
        painting_scales=(1, 2),
        device="cpu",
        checkpoint_every=2,
        sample_every=2,
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


def interrupt_at(step: int) -> Callable[[TrainStep], None]:
    def on_step(report: TrainStep) -> None:
        if report.step == step:
            signal.raise_signal(signal.SIGINT)

    return on_step


def test_a_run_leaves_all_it_promises(config: TrainConfig, tmp_path: Path) -> None:
    reports: list[TrainStep] = []
    config = dataclasses.replace(config, base=None)
    netG = train(config, tmp_path / "run", on_step=reports.append)
    run_dir = tmp_path / "run"
    assert netG.config == GeneratorConfig()
    assert [report.step for report in reports] == [1, 2, 3, 4]
    assert set(reports[0].losses) == {"content", "style", "tv", "gamut", "grid"}
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "checkpoint.pt",
        "generator.safetensors",
        "sample_000002.png",
        "sample_000004.png",
        "tensorboard",
    ]
    with Image.open(run_dir / "sample_000004.png") as sheet:
        painting_px = round(96 * 256 / 72)  # 160x120, shrunk to 96x72, as high as two photos
        assert sheet.size == (3 * 128 + painting_px, 256)
    assert scalars(run_dir, "loss/style") == [1, 2, 3, 4]

    state = load_checkpoint(run_dir / "checkpoint.pt")
    assert (state["step"], state["config"]) == (4, config.as_dict())
    exact, _ = load_generator(run_dir / "checkpoint.pt")
    half, metadata = load_generator(run_dir / "generator.safetensors")
    assert metadata == {"training": json.loads(json.dumps(config.as_dict()))}
    for name, value in netG.state_dict().items():
        assert torch.equal(exact.state_dict()[name], value)
        torch.testing.assert_close(half.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_loss_goes_down(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, steps=30, sample_every=100, checkpoint_every=100)
    totals: list[float] = []
    train(config, tmp_path / "run", on_step=lambda step: totals.append(sum(step.losses.values())))
    assert np.mean(totals[-5:]) < 0.8 * np.mean(totals[:5])


def test_resumed_run_equals_an_uninterrupted_one(config: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(config, checkpoint_every=100)
    whole = train(config, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", on_step=interrupt_at(2))
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 2
    assert not (tmp_path / "run/generator.safetensors").exists()
    steps: list[int] = []
    resumed = train(
        config, tmp_path / "run", resume=True, on_step=lambda report: steps.append(report.step)
    ).state_dict()
    assert steps == [3, 4]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert not torch.equal(whole["stem.weight"], Generator(SMALL).state_dict()["stem.weight"])


def test_ctrl_c_within_a_step_waits_for_its_end(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config, tmp_path / "whole").state_dict()
    step_of_adam = torch.optim.Adam.step

    def interrupted(self: torch.optim.Adam) -> None:
        signal.raise_signal(signal.SIGINT)
        step_of_adam(self)

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
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
    def interrupted_twice(self: torch.optim.Adam) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted_twice)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/checkpoint.pt").exists()


def test_a_crash_leaves_the_last_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    def on_step(report: TrainStep) -> None:
        if report.step == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        train(config, tmp_path / "run", on_step=on_step)
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
        train(config, tmp_path / "run", on_step=interrupt_at(2))
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


def test_loss_that_is_no_number_stops_the_run(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "total_variation", lambda rgb: rgb.sum() * float("nan"))
    with pytest.raises(TrainingError, match="no longer a number at step 1"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": Path("nowhere")}, "nowhere is not a folder"),
        ({"painting": Path(__file__)}, "cannot be read as a picture"),
        ({"painting": Path("nothing.png")}, "nothing.png cannot be read as a picture"),
        ({"crop_px": 100}, "multiple of 32 from 64 up, not 100"),
        ({"features": (Path("no.safetensors"),)}, "there is no file no.safetensors"),
        ({"base": Path("no.safetensors")}, "there is no file no.safetensors"),
        ({"base": Path(__file__)}, "not a checkpoint"),
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


def test_resume_without_a_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint\.pt"):
        train(config, tmp_path / "run", resume=True)


def test_painting_is_scaled_to_the_longer_side(config: TrainConfig) -> None:
    assert load_painting(config.painting, 80, 640).shape == (1, 3, 60, 80)
    assert load_painting(config.painting, 1000, 640).shape == (1, 3, 750, 1000)


def test_painting_loses_its_grain_but_not_its_colours(tmp_path: Path) -> None:
    rgb = np.full((120, 160, 3), (200, 120, 40), np.uint8)
    rgb[:, 80:] = (20, 60, 120)
    grain = np.random.default_rng(0).integers(-20, 21, (120, 160, 1))
    Image.fromarray((rgb + grain).clip(0, 255).astype(np.uint8)).save(tmp_path / "p.png")
    rough = load_painting(tmp_path / "p.png", 160, 160)
    fine = load_painting(tmp_path / "p.png", 160, 40)

    noise = [(p[0, 0, :, 8:70] - p[0, 0, :, 8:70].mean()).std() for p in (fine, rough)]
    assert noise[0] < noise[1] / 2
    torch.testing.assert_close(fine.mean((2, 3)), rough.mean((2, 3)), atol=0.01, rtol=0)


def test_batches_are_the_same_for_the_same_seed_and_step(tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    photos = PhotoFolder(folder, 64, seed=3)
    batches = [photos.batch(step, 4) for step in range(1, 9)]
    assert [path.name for path in photos.skipped] == ["broken.jpg"]
    for batch in batches:
        assert batch.shape == (4, 3, 64, 64)
        assert batch.min() >= 0
        assert 0.5 < batch.max() <= 1
    # whatever was read before, broken files among it
    assert torch.equal(PhotoFolder(folder, 64, seed=3).batch(8, 4), batches[-1])
    assert not torch.equal(batches[0], batches[1])
    assert not torch.equal(PhotoFolder(folder, 64, seed=4).batch(1, 4), batches[0])


def test_held_back_photos_are_never_trained_on(tmp_path: Path) -> None:
    for i in range(40):
        Image.new("L", (20, 20), 6 * i).save(tmp_path / f"{i}.png")
    photos = PhotoFolder(tmp_path, 32, seed=0)
    held_back = {int(path.stem) for path in photos.held_back}
    seen = {
        round(float(crop.mean()) * 255 / 6) for step in range(100) for crop in photos.batch(step, 4)
    }
    assert len(held_back) == 2
    assert seen == set(range(40)) - held_back
    shown = {round(float(sample.mean()) * 255 / 6) for sample in photos.samples(3)}
    assert shown == held_back


def test_no_readable_photo(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"not a picture")
    with pytest.raises(TrainingError, match="none of the 3 pictures could be read"):
        PhotoFolder(tmp_path, 32, seed=0).batch(1, 2)


def test_samples_leave_broken_photos_out(tmp_path: Path) -> None:
    for i in range(2):
        Image.new("RGB", (40, 30), (90, 60, 30)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    assert PhotoFolder(tmp_path, 32, seed=0).samples(3).shape == (2, 3, 64, 64)


def test_train_command_is_stopped_and_goes_on(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "mine.onnx"
    arguments = ["train", config.painting, "--content", config.content, "--out", out]
    arguments += ["--features", config.features[0], "--base", tmp_path / "base.safetensors"]
    arguments += ["--steps", "500", "--batch", "1", "--crop", "64", "--painting-size", "176"]
    process = subprocess.Popen(
        [sys.executable, "-m", "realtime_style.cli", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    checkpoint = tmp_path / "mine.training/checkpoint.pt"
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "go on with --resume" in said
    assert "Traceback" not in said
    assert 200 <= load_checkpoint(checkpoint)["step"] < 500
    assert not out.exists()

    refused = run_cli(*arguments)
    assert refused.returncode == 1
    assert "--resume goes on with it" in refused.stderr
    finished = run_cli(*arguments, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert f"{out}: ready" in finished.stderr
    picture = np.full((48, 64, 3), 90, np.uint8)
    assert open_stylizer(str(out), engine="onnxruntime").paint_rgb(picture).shape == picture.shape
