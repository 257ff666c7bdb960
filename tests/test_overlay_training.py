"""Training in two parts: strokes, and then their overlay over photos."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from conftest import run_cli  # noqa: E402
from test_training import (  # noqa: E402
    by_two_processes,
    config,  # noqa: F401
    interrupt_at,
    no_curves,  # noqa: F401
    scalars,
)
from torch import Tensor  # noqa: E402

from realtime_style.defaults import OVERLAY_STEPS  # noqa: E402
from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training import distill, overlay, overlay_training, recoloring  # noqa: E402
from realtime_style.training.checkpoint import (  # noqa: E402
    load_checkpoint,
    load_generator,
    save_checkpoint,
    save_generator,
)
from realtime_style.training.config import TrainConfig, make_config  # noqa: E402
from realtime_style.training.generator import Generator  # noqa: E402
from realtime_style.training.hue import HueChanges, turned  # noqa: E402
from realtime_style.training.light import luma_of  # noqa: E402
from realtime_style.training.observer import TrainObserver, TrainStep  # noqa: E402
from realtime_style.training.train import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread", "no_curves", "few_colors")

FILES = ["checkpoint.pt", "curves.png", "generator.safetensors", "report.md", "sheet.png"]


@pytest.fixture
def few_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer colours are measured, for speed."""
    monkeypatch.setattr(recoloring, "_SAMPLES", 64)
    monkeypatch.setattr(overlay_training, "MEASURED_CROPS", 4)
    monkeypatch.setattr(overlay, "FITTED_ON", 2)


@pytest.fixture
def two_parts(config: TrainConfig) -> TrainConfig:  # noqa: F811
    return dataclasses.replace(config, steps=2, overlay_steps=4, overlay_batch=2)


class Parts(TrainObserver):
    """Remembers parts and steps; raises KeyboardInterrupt when a part begins to load."""

    def __init__(self, stop_before: str | None = None) -> None:
        self.parts: list[tuple[str, int]] = []
        self.steps: list[tuple[str, TrainStep]] = []
        self.notes: list[str] = []
        self._stop_before = stop_before

    def on_part(self, name: str, steps: int) -> None:
        if name == self._stop_before:
            raise KeyboardInterrupt
        self.parts.append((name, steps))

    def on_step(self, step: TrainStep) -> None:
        self.steps.append((self.parts[-1][0], step))

    def on_note(self, note: str) -> None:
        self.notes.append(note)


class StopIn(Parts):
    """Stops in a step of a part."""

    def __init__(self, part: str, step: int) -> None:
        super().__init__()
        self._stop, self._interrupt = part, interrupt_at(step)

    def on_step(self, step: TrainStep) -> None:
        super().on_step(step)
        if self.parts[-1][0] == self._stop:
            self._interrupt.on_step(step)


def same(one: Generator, other: Generator) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


def test_both_parts_leave_all_they_promise(two_parts: TrainConfig, tmp_path: Path) -> None:
    seen, run_dir = Parts(), tmp_path / "run"
    netG = train(two_parts, run_dir, observer=seen)  # noqa: N806
    assert seen.parts == [("strokes", 2), ("overlay", 4)]
    assert [(name, step.step) for name, step in seen.steps] == [
        *(("strokes", step) for step in (1, 2)),
        *(("overlay", step) for step in (1, 2, 3, 4)),
    ]
    assert "style" in seen.steps[0][1].losses
    assert set(seen.steps[-1][1].losses) == {"color", "edges"}
    samples = {"strokes": "sample_000002.png", ".": "sample_000004.png"}
    for folder, sample in samples.items():
        names = sorted(path.name for path in (run_dir / folder).iterdir())
        more = ["strokes"] if folder == "." else []
        assert names == sorted([*FILES, sample, "tensorboard", *more])
    assert scalars(run_dir, "loss/edges") == [1, 2, 3, 4]
    assert scalars(run_dir / "strokes", "loss/style") == [1, 2]
    report = (run_dir / "report.md").read_text()
    assert "4 steps in" in report
    assert "| overlay_gain | 1.6 |" in report
    assert "laid over the photo" in report

    exact, _ = load_generator(run_dir / "checkpoint.pt")
    assert same(exact, netG)
    _, card = load_generator(run_dir / "generator.safetensors")
    assert card == {"training": json.loads(json.dumps(two_parts.as_dict()))}
    strokes, _ = load_generator(run_dir / "strokes/generator.safetensors")
    assert not same(strokes, netG)


@pytest.mark.parametrize(("part", "step"), [("strokes", 1), ("overlay", 3)])
def test_whichever_part_was_interrupted_is_continued(
    two_parts: TrainConfig, tmp_path: Path, part: str, step: int
) -> None:
    whole = train(two_parts, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(two_parts, tmp_path / "run", observer=StopIn(part, step))
    seen = Parts()
    resumed = train(two_parts, tmp_path / "run", resume=True, observer=seen)
    assert seen.parts[0][0] == part
    assert seen.steps[0][1].step == step + 1
    assert seen.notes[0].startswith(f"resuming after step {step} of")
    assert same(resumed, whole)


def test_a_run_that_stopped_between_its_parts_trains_no_strokes_again(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    whole = train(two_parts, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(two_parts, tmp_path / "run", observer=Parts(stop_before="overlay"))
    assert not (tmp_path / "run/checkpoint.pt").exists()
    seen = Parts()
    assert same(train(two_parts, tmp_path / "run", resume=True, observer=seen), whole)
    assert seen.parts == [("overlay", 4)]
    assert [step.step for _, step in seen.steps] == [1, 2, 3, 4]


def test_a_run_is_resumed_only_with_the_strokes_it_began_with(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(two_parts, tmp_path / "run", observer=Parts(stop_before="overlay"))
    for change in ({"steps": 3}, {"overlay_gain": 2.0}):
        with pytest.raises(TrainingError, match=f"made with {next(iter(change))} = "):
            train(dataclasses.replace(two_parts, **change), tmp_path / "run", resume=True)


def test_checkpoints_older_than_overlays_are_of_runs_without_one(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = next(each for each in dataclasses.fields(TrainConfig) if each.name == "overlay_steps")
    monkeypatch.setattr(setting, "default", 4)
    with pytest.raises(KeyboardInterrupt):
        train(
            dataclasses.replace(two_parts, overlay_steps=0),
            tmp_path / "run",
            observer=StopIn("training", 1),
        )
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    del saved["config"]["overlay_steps"]
    save_checkpoint(tmp_path / "run/checkpoint.pt", saved)
    with pytest.raises(TrainingError, match=r"made with overlay_steps = 0, not 4"):
        train(two_parts, tmp_path / "run", resume=True)


def test_strokes_of_an_earlier_run_are_laid_over(two_parts: TrainConfig, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(two_parts, run_dir)
    strokes = run_dir / "strokes/generator.safetensors"
    before = strokes.read_bytes()
    again = dataclasses.replace(two_parts, strokes=strokes, overlay_gain=0.5)
    seen = Parts()
    train(again, run_dir, observer=seen)
    assert seen.parts == [("overlay", 4)]
    assert strokes.read_bytes() == before
    _, card = load_generator(run_dir / "generator.safetensors")
    assert card["training"]["overlay_gain"] == 0.5
    assert card["training"]["strokes"] == "generator.safetensors"
    assert card["strokes"] == json.loads(json.dumps(two_parts.as_dict()))


def test_strokes_that_would_be_removed_are_refused(two_parts: TrainConfig, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    file = run_dir / "generator.safetensors"
    assert two_parts.base
    save_generator(file, load_generator(two_parts.base)[0], {})
    with pytest.raises(TrainingError, match="would be removed") as caught:
        train(dataclasses.replace(two_parts, strokes=file), run_dir)
    assert caught.value.setting == "strokes"
    assert file.exists()


def test_files_of_an_earlier_run_are_not_taken_for_this_one(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    train(two_parts, run_dir)
    with pytest.raises(KeyboardInterrupt):  # its own overlay has no checkpoint yet
        train(dataclasses.replace(two_parts, seed=1), run_dir, observer=StopIn("strokes", 1))
    left = sorted(path.name for path in run_dir.iterdir())
    assert left == ["strokes"]
    train(dataclasses.replace(two_parts, overlay_steps=0), run_dir)
    assert [path.name for path in (run_dir / "strokes").iterdir()] == []


def test_the_generator_learns_the_overlay(two_parts: TrainConfig, tmp_path: Path) -> None:
    two_parts = dataclasses.replace(two_parts, overlay_steps=40, checkpoint_every=100)
    seen = Parts()
    train(two_parts, tmp_path / "run", observer=seen)
    losses = [sum(step.losses.values()) for part, step in seen.steps if part == "overlay"]
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:8])


def test_every_setting_reaches_the_overlay(two_parts: TrainConfig, tmp_path: Path) -> None:
    config = dataclasses.replace(two_parts, strokes=two_parts.base, overlay_steps=1)  # noqa: F811
    first, again = (train(config, tmp_path / name) for name in ("first", "again"))
    assert same(first, again)
    changes = {
        "overlay_gain": 0.5, "overlay_calm": 1.0, "overlay_blur_px": 8, "overlay_large": 0.5,
        "overlay_hue_share": 1.0, "overlay_learning_rate": 1e-3, "overlay_batch": 1, "seed": 1,
    }  # fmt: skip
    for name, value in changes.items():
        other = train(dataclasses.replace(config, **{name: value}), tmp_path / name)
        assert not same(first, other), name


def test_nan_leads_back_in_the_second_part_too(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss, calls = distill.edge_difference, [0]

    def spoilt_once(painted: Tensor, aim: Tensor) -> Tensor:
        calls[0] += 1
        return true_loss(painted, aim) * (float("nan") if calls[0] == 4 else 1)

    monkeypatch.setattr(distill, "edge_difference", spoilt_once)
    seen = Parts()
    train(two_parts, tmp_path / "run", observer=seen)
    assert seen.notes[0].startswith("loss became NaN at step 4: back to step 2")
    assert [step.step for part, step in seen.steps if part == "overlay"] == [1, 2, 3, 3, 4]


def test_a_full_disk_in_the_second_part_leaves_its_checkpoint(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_save = torch.save

    def full(state: dict[str, object], path: Path) -> None:
        if state["step"] == 4:
            raise OSError(28, "No space left on device")
        true_save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        train(two_parts, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run/checkpoint.pt")["step"] == 2


def test_two_processes_lay_over_as_one_does(two_parts: TrainConfig, tmp_path: Path) -> None:
    two_parts = dataclasses.replace(
        two_parts, strokes=two_parts.base, overlay_steps=2, overlay_hue_share=1.0
    )
    seen = Parts()
    train(two_parts, tmp_path / "one", observer=seen)
    script = (
        "from realtime_style.training import overlay, overlay_training, recoloring\n"
        "recoloring._SAMPLES, overlay_training.MEASURED_CROPS, overlay.FITTED_ON = 64, 4, 2\n"
        "import dataclasses\n"
        "config = dataclasses.replace(config, overlay_batch=1)  # rounded up\n"
        "train(config, here / 'two')\n"
    )
    by_two_processes(tmp_path, two_parts, script)
    history = load_checkpoint(tmp_path / "two/checkpoint.pt")["history"]
    for (_, ours), theirs in zip(seen.steps, history, strict=True):
        assert theirs == pytest.approx(ours.losses, rel=1e-3)


def test_strokes_need_steps_and_settings_have_ranges() -> None:
    files = {"painting": Path("p.jpg"), "content": Path("c"), "overlay_steps": 3}
    strokes = {"strokes": Path("s.safetensors")}
    assert make_config("fast", None, files | strokes).strokes == Path("s.safetensors")
    for change, setting in (
        (strokes | {"overlay_steps": 0}, "overlay_steps"),
        ({"overlay_gain": 11.0}, "overlay_gain"),
        ({"overlay_calm": -0.1}, "overlay_calm"),
        ({"overlay_blur_px": 2}, "overlay_blur_px"),
        ({"overlay_large": 2.0}, "overlay_large"),
        ({"overlay_steps": -1}, "overlay_steps"),
        ({"overlay_hue_share": 2.0}, "overlay_hue_share"),
    ):
        with pytest.raises(TrainingError) as caught:
            make_config(None, None, files | change)
        assert caught.value.setting == setting


def test_settings_of_the_overlay_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('strokes = "s.pt"\noverlay_steps = 5\noverlay_gain = 2\noverlay_large = 0.5\n')
    found = make_config("best", file, {"painting": Path("p"), "content": Path("c")})
    assert found.strokes == tmp_path / "s.pt"
    assert (found.overlay_steps, found.overlay_gain, found.overlay_large) == (5, 2.0, 0.5)
    assert TrainConfig(Path("p"), Path("c")).overlay_steps == OVERLAY_STEPS


def test_hues_turn_and_light_stays() -> None:
    rgb = 0.4 + 0.2 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    for turn in (0.0, 1.0, -3.0):
        torch.testing.assert_close(luma_of(turned(rgb, turn, 1.2)[None]), luma_of(rgb[None]))
    torch.testing.assert_close(turned(rgb, 0.0, 1.0), rgb)
    torch.testing.assert_close(turned(turned(rgb, 1.0, 1.0), -1.0, 1.0), rgb)
    grey = luma_of(rgb[None])[0].expand(3, -1, -1)
    torch.testing.assert_close(turned(rgb, 1.0, 0.0), grey)
    red = torch.tensor([0.6, 0.4, 0.4])[:, None, None]
    assert turned(red, np.pi, 1.0)[0] < red[0]


def test_a_share_of_the_crops_gets_other_hues() -> None:
    photo = torch.tensor([0.7, 0.4, 0.3])[:, None, None].expand(3, 4, 4)

    def read(step: int, items: range, attempt: int) -> Tensor:
        return torch.stack([photo] * len(items))

    def changed(share: float, items: range, attempt: int = 0) -> Tensor:
        return HueChanges(read, share, 7).batch(3, items, attempt)

    assert torch.equal(changed(0.0, range(8)), read(3, range(8), 0))
    many = changed(0.25, range(400))
    count = sum(not torch.equal(each, photo) for each in many)
    assert 70 <= count <= 130
    assert torch.equal(changed(0.25, range(100, 200)), many[100:200])
    assert not torch.equal(changed(0.25, range(400), attempt=1), many)


def test_the_command_says_which_part_runs_and_goes_on(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "mine.onnx"
    (tmp_path / "small.toml").write_text(
        "margin_px = 8\ncheckpoint_every = 2\noverlay_batch = 1\noverlay_hue_share = 0.5"
    )
    command = ["train", two_parts.painting, "--content", two_parts.content, "--out", out]
    command += ["--features", two_parts.features[0], "--base", two_parts.base]
    command += ["--steps", "2", "--batch", "1", "--crop", "128", "--painting-size", "176"]
    command += ["--config", tmp_path / "small.toml", "--overlay-steps", "4", "--overlay-gain", "2"]
    true_updates, steps = distill.DistillObjective.updates, [0]

    def interrupted(*arguments: object) -> object:
        steps[0] += 1
        if steps[0] == 3:
            interrupt_at(1).on_step(TrainStep(1, {}, 0.0))
        return true_updates(*arguments)

    monkeypatch.setattr(distill.DistillObjective, "updates", interrupted)
    stopped = run_cli(*command)
    run_dir = tmp_path / "mine.training"
    assert stopped.returncode == 130, stopped.stderr
    assert "training of the strokes for 2 steps" in stopped.stderr
    assert "training of the overlay for 4 steps" in stopped.stderr
    assert f"saved as {run_dir / 'checkpoint.pt'}; continue with --resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    refused = run_cli(*command)
    assert "is left from an earlier run" in refused.stderr
    other = run_cli(*command, "--resume", "--overlay-gain", "1")
    assert "--overlay-gain: the checkpoint was made with overlay_gain = 2.0" in other.stderr
    finished = run_cli(*command, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert "of the strokes" not in finished.stderr
    assert out.exists()


def test_the_command_refuses_to_replace_strokes_that_were_begun(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "mine.training/strokes").mkdir(parents=True)
    (tmp_path / "mine.training/strokes/checkpoint.pt").touch()
    out = tmp_path / "mine.onnx"
    refused = run_cli("train", two_parts.painting, "--content", two_parts.content, "--out", out)
    assert refused.returncode == 1
    assert "strokes/checkpoint.pt is left from an earlier run" in refused.stderr
