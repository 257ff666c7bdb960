"""Training in two parts: strokes, then a sharp generator that lays them over photos."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from conftest import painter_of, run_cli  # noqa: E402
from test_training import (  # noqa: E402
    by_two_processes,
    config,  # noqa: F401
    interrupt_at,
    no_curves,  # noqa: F401
    scalars,
)
from torch import Tensor  # noqa: E402

from realtime_style.defaults import SHARP_STEPS  # noqa: E402
from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.style.bundled import bundled_styles  # noqa: E402
from realtime_style.training import recoloring, sharp_training  # noqa: E402
from realtime_style.training.checkpoint import (  # noqa: E402
    load_any_generator,
    load_checkpoint,
    load_generator,
    save_checkpoint,
    save_generator,
)
from realtime_style.training.color import paint_rgb  # noqa: E402
from realtime_style.training.config import (  # noqa: E402
    BUNDLED_STROKES,
    SharpSettings,
    TrainConfig,
    make_config,
)
from realtime_style.training.generator import Generator, GeneratorConfig  # noqa: E402
from realtime_style.training.hue import HueChanges, turned  # noqa: E402
from realtime_style.training.light import luma_of  # noqa: E402
from realtime_style.training.observer import TrainObserver, TrainStep  # noqa: E402
from realtime_style.training.optimizer import Muon  # noqa: E402
from realtime_style.training.sharp import HeadConfig, SharpGenerator  # noqa: E402
from realtime_style.training.sharp_overlay import SharpOverlay, painting_of  # noqa: E402
from realtime_style.training.sharp_training import (  # noqa: E402
    SIDES_PX,
    SharpObjective,
    first_sharp,
    fit_color_maps,
    photos_of,
    texture_difference,
)
from realtime_style.training.state import Learner, TrainState  # noqa: E402
from realtime_style.training.train import train  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread", "no_curves", "quick")

SMALL = GeneratorConfig(trunk_channels=8, edge_channels=4, dilations=(1,))
SETTINGS = SharpSettings(gain=1.0, calm=0.2, fine=0.5)


FILES = ["checkpoint.pt", "curves.png", "generator.safetensors", "report.md", "sheet.png"]
QUICK = {
    "CROP_PX": 128,
    "SIDES_PX": dict.fromkeys(SIDES_PX, 96),
    "_MARGIN_PX": 8,
    "_MEASURED_PHOTOS": 3,
    "FITTED_CROPS": 2,
    "FITTED_PX": 96,
    "_FIT_STEPS": 3,
    "_FIT_PIXELS": 512,
}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops, few colours and short fits."""
    for name, value in QUICK.items():
        monkeypatch.setattr(sharp_training, name, value)
    monkeypatch.setattr(recoloring, "_SAMPLES", 48)


@pytest.fixture
def two_parts(config: TrainConfig) -> TrainConfig:  # noqa: F811
    return dataclasses.replace(config, steps=2, sharp_steps=4)


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


def generator() -> Generator:
    torch.manual_seed(5)
    return Generator(SMALL).eval()


def pictures(count: int = 3, side: int = 96) -> Tensor:
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=random)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def overlay(strokes: Generator) -> SharpOverlay:
    painting = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) ** 2
    return SharpOverlay(painting_of(strokes), [pictures()], pictures(), [painting], SETTINGS)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in one.state_dict().items())


def test_both_parts_leave_all_they_promise(two_parts: TrainConfig, tmp_path: Path) -> None:
    seen, run_dir = Parts(), tmp_path / "run"
    netG = train(two_parts, run_dir, observer=seen)  # noqa: N806
    assert seen.parts == [("strokes", 2), ("sharp", 4)]
    assert [(name, step.step) for name, step in seen.steps] == [
        *(("strokes", step) for step in (1, 2)),
        *(("sharp", step) for step in (1, 2, 3, 4)),
    ]
    assert "style" in seen.steps[0][1].losses
    assert set(seen.steps[-1][1].losses) == {"tone", "color", "edges"}
    samples = {"strokes": "sample_000002.png", ".": "sample_000004.png"}
    for folder, sample in samples.items():
        names = sorted(path.name for path in (run_dir / folder).iterdir())
        more = ["strokes"] if folder == "." else []
        assert names == sorted([*FILES, sample, "tensorboard", *more])
    assert scalars(run_dir, "loss/edges") == [1, 2, 3, 4]
    assert scalars(run_dir / "strokes", "loss/style") == [1, 2]
    report = (run_dir / "report.md").read_text()
    assert "4 steps in" in report
    assert "| sharp_gain | 2.2 |" in report
    assert "laid over the photo" in report

    exact, _ = load_any_generator(run_dir / "checkpoint.pt")
    assert isinstance(exact, SharpGenerator)
    assert same(exact, netG)
    read, card = load_any_generator(run_dir / "generator.safetensors")
    assert same(read.half(), exact.half())
    assert exact.head.config.gain == 2.2
    assert card == {"training": json.loads(json.dumps(two_parts.as_dict()))}
    strokes, _ = load_generator(run_dir / "strokes/generator.safetensors")
    assert not same(strokes, exact.body)


@pytest.mark.parametrize(("part", "step"), [("strokes", 1), ("sharp", 3)])
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
    assert any(note.startswith(f"resuming after step {step} of") for note in seen.notes)
    assert same(resumed, whole)


def test_a_run_that_stopped_between_its_parts_trains_no_strokes_again(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    whole = train(two_parts, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(two_parts, tmp_path / "run", observer=Parts(stop_before="sharp"))
    assert not (tmp_path / "run/checkpoint.pt").exists()
    seen = Parts()
    assert same(train(two_parts, tmp_path / "run", resume=True, observer=seen), whole)
    assert seen.parts == [("sharp", 4)]
    assert [step.step for _, step in seen.steps] == [1, 2, 3, 4]


def test_a_run_is_resumed_only_with_the_strokes_it_began_with(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(two_parts, tmp_path / "run", observer=Parts(stop_before="sharp"))
    for change in ({"steps": 3}, {"sharp_gain": 2.0}):
        with pytest.raises(TrainingError, match=f"made with {next(iter(change))} = "):
            train(dataclasses.replace(two_parts, **change), tmp_path / "run", resume=True)


def test_checkpoints_older_than_sharp_generators_are_of_runs_without_one(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = next(each for each in dataclasses.fields(TrainConfig) if each.name == "sharp_steps")
    monkeypatch.setattr(setting, "default", 4)
    with pytest.raises(KeyboardInterrupt):
        train(
            dataclasses.replace(two_parts, sharp_steps=0),
            tmp_path / "run",
            observer=StopIn("training", 1),
        )
    saved = load_checkpoint(tmp_path / "run/checkpoint.pt")
    del saved["config"]["sharp_steps"]
    save_checkpoint(tmp_path / "run/checkpoint.pt", saved)
    with pytest.raises(TrainingError, match=r"made with sharp_steps = 0, not 4"):
        train(two_parts, tmp_path / "run", resume=True)


def test_strokes_of_an_earlier_run_are_laid_over(two_parts: TrainConfig, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(two_parts, run_dir)
    strokes = run_dir / "strokes/generator.safetensors"
    before = strokes.read_bytes()
    again = dataclasses.replace(two_parts, strokes=strokes, sharp_gain=0.5)
    seen = Parts()
    train(again, run_dir, observer=seen)
    assert seen.parts == [("sharp", 4)]
    assert strokes.read_bytes() == before
    _, card = load_any_generator(run_dir / "generator.safetensors")
    assert card["training"]["sharp_gain"] == 0.5
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
    with pytest.raises(KeyboardInterrupt):  # its own second part has no checkpoint yet
        train(dataclasses.replace(two_parts, seed=1), run_dir, observer=StopIn("strokes", 1))
    left = sorted(path.name for path in run_dir.iterdir())
    assert left == ["strokes"]
    train(dataclasses.replace(two_parts, sharp_steps=0), run_dir)
    assert [path.name for path in (run_dir / "strokes").iterdir()] == []


def test_every_setting_reaches_the_sharp_generator(two_parts: TrainConfig, tmp_path: Path) -> None:
    given = dataclasses.replace(two_parts, strokes=two_parts.base, sharp_steps=1)
    first, again = (train(given, tmp_path / name) for name in ("first", "again"))
    assert same(first, again)
    changes = {
        "sharp_gain": 0.0, "sharp_calm": 1.0, "sharp_fine": 0.0, "sharp_hue_share": 1.0,
        "sharp_learning_rate": 1e-3, "batch": 1, "seed": 1,
    }  # fmt: skip
    for name, value in changes.items():
        other = train(dataclasses.replace(given, **{name: value}), tmp_path / name)
        assert not same(first, other), name


def test_colours_are_measured_on_whole_photos(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Tensor]] = []

    class Watched(SharpOverlay):
        def __init__(self, strokes: object, photos: list[Tensor], *more: object) -> None:
            seen.append(photos)
            super().__init__(strokes, photos, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(sharp_training, "SharpOverlay", Watched)
    train(dataclasses.replace(two_parts, strokes=two_parts.base, sharp_steps=1), tmp_path / "run")
    assert [photo.shape for photo in seen[0]] == [(1, 3, 90, 120)] * 3


def test_the_body_starts_as_the_strokes_and_all_heads_alike() -> None:
    strokes = generator()
    before = torch.get_rng_state()
    first = first_sharp(strokes, HeadConfig(gain=1.0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    second = first_sharp(Generator(SMALL), HeadConfig(gain=1.0))
    assert same(first.body, strokes)
    assert not same(second.body, strokes)
    assert same(first.head, second.head)
    strong = first_sharp(strokes, HeadConfig(gain=2.2)).head
    torch.testing.assert_close(strong.gain, torch.full((6,), 2.2))
    assert torch.equal(strong.range.luma.weight, first.head.range.luma.weight)


def test_fitted_maps_are_those_of_the_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharp_training, "_FIT_STEPS", 300)
    aim = overlay(generator())
    netG = first_sharp(generator(), HeadConfig(gain=1.0))  # noqa: N806
    with torch.no_grad():
        netG.head.log_gain.fill_(-20)  # without strokes it is both maps, one after the other
    photos = pictures()
    expected = aim.to_range(aim.to_painting(photos))

    def distance() -> float:
        with torch.no_grad():
            return float((paint_rgb(netG.eval(), photos) - expected).abs().mean())

    before = distance()
    fit_color_maps(netG, aim, photos, 0)
    assert distance() < 0.35 * before
    assert distance() < 0.06


def test_it_comes_nearer_to_its_aim_at_every_ratio() -> None:
    aim, netG = overlay(generator()), first_sharp(generator(), HeadConfig(gain=1.0)).train()  # noqa: N806
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


def test_bf16_has_the_losses_of_f32_but_for_rounding() -> None:
    strokes = generator()
    aim = overlay(strokes)
    netG = first_sharp(strokes, HeadConfig(gain=1.0)).train()  # noqa: N806
    state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 1, {})
    crops = pictures(2, 128)

    def losses(precision: str) -> dict[str, float]:
        objective = SharpObjective(aim, netG, 0, precision=precision)
        (update,) = objective.updates(state, crops)
        return {name: float(value.detach()) for name, value in update.losses.items()}

    coarse, fine = losses("bf16"), losses("f32")
    assert coarse != fine
    assert coarse == pytest.approx(fine, rel=0.01)


def test_strokes_in_bf16_are_within_a_code() -> None:
    fine = painting_of(generator())(pictures())
    coarse = painting_of(generator(), "bf16")(pictures())
    assert not torch.equal(fine, coarse)
    assert (fine - coarse).abs().mean() < 0.3 / 255
    assert (fine - coarse).abs().max() < 3 / 255


def test_ratios_depend_on_the_step_and_all_come(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def aim(rgb: Tensor, ratio: float) -> Tensor:
        seen.append(ratio)
        return rgb

    netG = first_sharp(generator(), HeadConfig(gain=1.0))  # noqa: N806
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
    netG = first_sharp(strokes, HeadConfig(gain=1.0)).train()  # noqa: N806
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
    save_generator(path, first_sharp(generator(), HeadConfig(gain=1.0)), {})
    with pytest.raises(TrainingError, match="holds a sharp generator; give the generator of its"):
        load_generator(path)


def test_nan_leads_back_in_the_second_part_too(
    two_parts: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_loss, calls = sharp_training.edge_difference, [0]

    def spoilt_once(painted: Tensor, aim: Tensor) -> Tensor:
        calls[0] += 1
        return true_loss(painted, aim) * (float("nan") if calls[0] == 4 else 1)

    monkeypatch.setattr(sharp_training, "edge_difference", spoilt_once)
    seen = Parts()
    train(two_parts, tmp_path / "run", observer=seen)
    assert any(note.startswith("loss became NaN at step 4: back to step 2") for note in seen.notes)
    assert [step.step for part, step in seen.steps if part == "sharp"] == [1, 2, 3, 3, 4]


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
        two_parts, strokes=two_parts.base, sharp_steps=2, sharp_hue_share=1.0
    )
    seen = Parts()
    train(two_parts, tmp_path / "one", observer=seen)
    script = (
        "from realtime_style.training import recoloring, sharp_training\n"
        f"for name, value in {QUICK}.items(): setattr(sharp_training, name, value)\n"
        "recoloring._SAMPLES = 48\n"
        "import dataclasses\n"
        "config = dataclasses.replace(config, batch=1)  # rounded up\n"
        "train(config, here / 'two')\n"
    )
    by_two_processes(tmp_path, two_parts, script)
    history = load_checkpoint(tmp_path / "two/checkpoint.pt")["history"]
    for (_, ours), theirs in zip(seen.steps, history, strict=True):
        assert theirs == pytest.approx(ours.losses, rel=1e-3)


def test_strokes_need_steps_and_settings_have_ranges() -> None:
    files = {"painting": Path("p.jpg"), "content": Path("c"), "sharp_steps": 3}
    strokes = {"strokes": Path("s.safetensors")}
    assert make_config("standard", None, files | strokes).strokes == Path("s.safetensors")
    for change, setting in (
        (strokes | {"sharp_steps": 0}, "sharp_steps"),
        ({"sharp_gain": 11.0}, "sharp_gain"),
        ({"sharp_calm": -0.1}, "sharp_calm"),
        ({"sharp_fine": 2.0}, "sharp_fine"),
        ({"sharp_steps": -1}, "sharp_steps"),
        ({"sharp_hue_share": 2.0}, "sharp_hue_share"),
    ):
        with pytest.raises(TrainingError) as caught:
            make_config(None, None, files | change)
        assert caught.value.setting == setting


def test_the_fast_preset_takes_strokes_unless_they_are_to_be_trained(tmp_path: Path) -> None:
    data = {"painting": Path("p.jpg"), "content": Path("c")}
    usual = BUNDLED_STROKES / "starry-night.safetensors"
    assert make_config("fast", None, data).strokes == usual
    named = make_config("fast", None, data | {"strokes": Path("udnie")})
    assert named.strokes == BUNDLED_STROKES / "udnie.safetensors"
    own = make_config("fast", None, data | {"strokes": tmp_path / "own.pt"})
    assert own.strokes == tmp_path / "own.pt"
    for change in ({"steps": 50}, {"base": Path("b.pt")}):
        assert make_config("fast", None, data | change).strokes is None
    with pytest.raises(TrainingError, match=r"no strokes undie; give a file, or the .*, udnie, "):
        make_config(None, None, data | {"strokes": Path("undie")})


def test_settings_of_the_sharp_generator_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('strokes = "s.pt"\nsharp_steps = 5\nsharp_gain = 2\nsharp_fine = 0.5\n')
    found = make_config("best", file, {"painting": Path("p"), "content": Path("c")})
    assert found.strokes == tmp_path / "s.pt"
    assert (found.sharp_steps, found.sharp_gain, found.sharp_fine) == (5, 2.0, 0.5)
    assert TrainConfig(Path("p"), Path("c")).sharp_steps == SHARP_STEPS


def test_every_included_style_has_a_recipe_and_its_strokes() -> None:
    names = [*bundled_styles()]
    for name in names:
        recipe = Path(bundled_styles()[name]).with_suffix(".toml")
        found = make_config(None, recipe, {"painting": Path("p"), "content": Path("c")})
        assert found.strokes
        assert found.strokes.resolve() == BUNDLED_STROKES / f"{name}.safetensors"
        assert found.sharp_steps
        make_config(
            None, BUNDLED_STROKES / f"{name}.toml", {"painting": Path("p"), "content": Path("c")}
        )
    assert (
        load_generator(BUNDLED_STROKES / f"{names[0]}.safetensors")[0].config == GeneratorConfig()
    )


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
        "margin_px = 8\ncheckpoint_every = 2\nsharp_hue_share = 0.5"
    )
    command = ["train", two_parts.painting, "--content", two_parts.content, "--out", out]
    command += ["--features", two_parts.features[0], "--base", two_parts.base]
    command += ["--steps", "2", "--batch", "1", "--crop", "128", "--painting-size", "176"]
    command += ["--config", tmp_path / "small.toml", "--sharp-steps", "4", "--sharp-gain", "2"]
    true_updates, steps = SharpObjective.updates, [0]

    def interrupted(*arguments: object) -> object:
        steps[0] += 1
        if steps[0] == 3:
            interrupt_at(1).on_step(TrainStep(1, {}, 0.0))
        return true_updates(*arguments)

    monkeypatch.setattr(SharpObjective, "updates", interrupted)
    stopped = run_cli(*command)
    run_dir = tmp_path / "mine.training"
    assert stopped.returncode == 130, stopped.stderr
    assert "training of the strokes for 2 steps" in stopped.stderr
    assert "training of the sharp generator for 4 steps" in stopped.stderr
    assert f"saved as {run_dir / 'checkpoint.pt'}; continue with --resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    refused = run_cli(*command)
    assert "is left from an earlier run" in refused.stderr
    other = run_cli(*command, "--resume", "--sharp-gain", "1")
    assert "--sharp-gain: the checkpoint was made with sharp_gain = 2.0" in other.stderr
    finished = run_cli(*command, "--resume")
    assert finished.returncode == 0, finished.stderr
    assert "of the strokes" not in finished.stderr
    assert "resuming after step 3 of 4" in finished.stderr
    assert f"{out}: ready" in finished.stderr
    picture = np.full((48, 64, 3), 90, np.uint8)
    assert painter_of(str(out), engine="onnxruntime").paint_rgb(picture).shape == picture.shape
    again = run_cli(*command, "--resume")
    assert again.returncode == 1
    assert "its training has ended; to train on from there" in again.stderr
    assert f"--strokes {run_dir / 'strokes/generator.safetensors'}" in again.stderr


def test_the_command_refuses_to_replace_strokes_that_were_begun(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "mine.training/strokes").mkdir(parents=True)
    (tmp_path / "mine.training/strokes/checkpoint.pt").touch()
    out = tmp_path / "mine.onnx"
    refused = run_cli("train", two_parts.painting, "--content", two_parts.content, "--out", out)
    assert refused.returncode == 1
    assert "strokes/checkpoint.pt is left from an earlier run" in refused.stderr


def test_the_command_makes_no_style_of_strokes_alone(
    two_parts: TrainConfig, tmp_path: Path
) -> None:
    (tmp_path / "none.toml").write_text("sharp_steps = 0")
    refused = run_cli(
        "train", two_parts.painting, "--content", two_parts.content,
        "--out", tmp_path / "a.onnx", "--config", tmp_path / "none.toml",
    )  # fmt: skip
    assert refused.returncode == 1
    assert "--sharp-steps: without such steps there are only strokes" in refused.stderr
    assert not (tmp_path / "a.training").exists()


def test_texture_is_compared_wherever_it_is() -> None:
    """Strokes that lie elsewhere cost little, weak ones cost much; in light and in colours."""
    random = torch.Generator().manual_seed(7)
    strokes = torch.nn.functional.avg_pool2d(
        torch.randn((2, 1, 128, 128), generator=random), 3, 1, 1
    )
    for color in (torch.ones(3), torch.tensor([0.6, 0.0, -0.6])):
        aim = 0.5 + 0.2 * strokes * color.view(1, 3, 1, 1)
        moved = aim.roll((5, 9), (2, 3))
        weak = 0.5 + 0.5 * (aim - 0.5)
        for ratio in (1.0, 2.0):
            of_moved, of_weak = (texture_difference(each, aim, ratio) for each in (moved, weak))
            assert texture_difference(aim, aim, ratio) == 0
            assert of_moved < 0.5 * of_weak
            assert (moved - aim).abs().mean() > (weak - aim).abs().mean()  # as pixels see it


def test_texture_is_a_loss_only_with_a_weight() -> None:
    netG = SharpGenerator(Generator(SMALL), HeadConfig(8, 8))  # noqa: N806
    names = []
    for weight in (0.0, 1.5):
        objective = SharpObjective(lambda rgb, ratio: rgb / 2, netG, 0, texture_weight=weight)
        state = TrainState({"G": Learner(netG, Muon(netG.parameters(), 0.1), 0.1)}, 1, {})
        (update,) = objective.updates(state, pictures(1, 128))
        names.append(set(update.losses))
    assert names[1] - names[0] == {"texture"}
