"""Style training: a generator learns to paint any photo in the style of a painting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realtime_style.errors import TrainingError
from realtime_style.training import loop
from realtime_style.training.batches import StyleBatches
from realtime_style.training.checkpoint import (
    CHECKPOINT_NAME,
    load_checkpoint,
    load_generator,
    save_generator,
)
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import MIN_PHOTO_PX, PhotoFolder, load_paintings
from realtime_style.training.device import find_device, tune_cpu
from realtime_style.training.discriminator import Discriminator
from realtime_style.training.generator import Generator
from realtime_style.training.motion import ClipFolder
from realtime_style.training.objective import StyleObjective, load_features
from realtime_style.training.observer import Observers, TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import leads, processes
from realtime_style.training.recoloring import Recoloring
from realtime_style.training.records import Records
from realtime_style.training.report import write_report
from realtime_style.training.run_folder import (
    GENERATOR_NAME,
    one_disk_error,
    refuse_base_within,
)
from realtime_style.training.schedule import trapezoid
from realtime_style.training.state import Learner, TrainState

_MAX_NAMES = 5  # most names of skipped files in a note
_MIN_PAINTING_PX = 32  # the poolings of VGG reduce smaller paintings to nothing
_MAX_GRADIENT = 10.0
_RECOLORING_CROPS = 64  # how many crops are measured, for the colours of all photos


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    start: Generator | None = None,
    resume: bool = False,
    observer: TrainObserver = TrainObserver(),
) -> Generator:
    """Trains a generator to paint any photo in the style of a painting, or of several.

    Under torchrun, every process takes its share of each batch. For NaN, out-of-memory errors and
    Ctrl-C see `loop.run`.

    Args:
        config: what to train on, and how.
        run_dir: receives checkpoints, sample sheets (PNG), TensorBoard logs and, at the end,
            `generator.safetensors` and a report. The files of an earlier run are removed when
            training starts, unless it is resumed.
        start: the generator to start from, which is trained in place; None reads `config.base`.
        resume: continue from the checkpoint in `run_dir`.
        observer: receives progress and notes.

    Returns:
        The trained generator, on the training device.

    Raises:
        TrainingError: unusable data or settings, a full disk, or a loss that stays NaN.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    device = find_device(config.device)
    torch.manual_seed(config.seed)
    with processes(device):
        if start is None or resume:
            start = _first_generator(run_dir / CHECKPOINT_NAME if resume else config.base)
            if not resume:
                refuse_base_within(run_dir, config.base)
        with one_disk_error(run_dir):
            return _train(config, run_dir, device, start, resume, observer)


def _train(
    config: TrainConfig,
    run_dir: Path,
    device: torch.device,
    start: Generator,
    resume: bool,
    observer: TrainObserver,
) -> Generator:
    tune_cpu()
    photos = PhotoFolder.of(config)
    whole_px = config.crop_px + 2 * config.margin_px
    clips = ClipFolder(config.clips, whole_px, config.seed) if config.clips else None
    samples = photos.samples(3, 2 * config.crop_px)
    paintings = _load_paintings(config, observer)
    if clips and clips.skipped:
        _note_skipped(observer, clips.skipped, f"files in {config.clips} that are not films")

    netG: Generator = start.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features = load_features(config, device)
    netD = _discriminator(device) if config.adversarial != "none" else None
    recoloring = _recoloring(config, photos, paintings) if config.recolor else None
    objective = StyleObjective(config, paintings, features, netG, netD, device, recoloring)
    state = _first_state(config, netG, netD)
    recipe = loop.Recipe(
        config.steps, trapezoid, run_dir / CHECKPOINT_NAME, config.checkpoint_every
    )
    if resume:
        saved = load_checkpoint(run_dir / CHECKPOINT_NAME)
        _refuse_other_settings(config, saved["config"])
        state.load(saved, run_dir / CHECKPOINT_NAME)
        observer.on_note(f"resuming after step {state.step} of {config.steps}")
    netG.train()

    records = Records(run_dir, config, netG, samples, paintings[0], state.step)
    watched = Observers([records, observer]) if leads() else observer
    loop.run(state, objective, StyleBatches(config, photos, clips).read, recipe, watched)

    if photos.skipped:
        what = f"photos that cannot be read or are under {MIN_PHOTO_PX} px"
        _note_skipped(observer, sorted(photos.skipped), what)
    if leads():
        save_generator(run_dir / GENERATOR_NAME, netG, {"training": config.as_dict()})
        write_report(run_dir, config, state.history, state.seconds, records.sheet())
    return netG


def _recoloring(config: TrainConfig, photos: PhotoFolder, paintings: list[Tensor]) -> Recoloring:
    """The map of colours, from random photos; equal in every process."""
    return Recoloring(photos.batch(0, range(_RECOLORING_CROPS)), paintings)


def _first_generator(file: Path | None) -> Generator:
    return load_generator(file)[0] if file else Generator()


def _discriminator(device: torch.device) -> Discriminator:
    netD: Discriminator = Discriminator().to(  # type: ignore[call-overload]
        device=device, memory_format=torch.channels_last
    )
    return netD


def _first_state(config: TrainConfig, netG: Generator, netD: Discriminator | None) -> TrainState:
    optimizer_G = Muon(netG.parameters(), lr=config.learning_rate)
    learners = {"G": Learner(netG, optimizer_G, config.learning_rate, _MAX_GRADIENT)}
    if netD:
        rate = config.discriminator_learning_rate
        optimizer_D = torch.optim.Adam(netD.parameters(), lr=rate, betas=(0.5, 0.99))
        learners["D"] = Learner(netD, optimizer_D, rate, _MAX_GRADIENT)
    about = {
        "generator_config": dataclasses.asdict(netG.config),
        "config": config.as_dict(),
    }
    return TrainState(learners, config.batch, about)


def _load_paintings(config: TrainConfig, observer: TrainObserver) -> list[Tensor]:
    skipped: list[Path] = []
    paintings = load_paintings(
        config.painting,
        config.painting_px,
        config.painting_detail_px,
        skipped,
        trim=config.painting_trim,
        sharpness=config.painting_sharpness,
    )
    if skipped:
        _note_skipped(observer, skipped, f"files in {config.painting} that are not pictures")
    shortest = min(min(painting.shape[-2:]) for painting in paintings)
    needed = _MIN_PAINTING_PX * max(config.painting_scales)
    if shortest < needed:
        raise TrainingError(
            f"{config.painting} is too small: at a longer side of {config.painting_px} pixels its "
            f"shorter side has {shortest}; choose a longer side that leaves at least {needed}",
            setting="painting_px",
        )
    return paintings


def _note_skipped(observer: TrainObserver, paths: list[Path], what: str) -> None:
    names = ", ".join(path.name for path in paths[:_MAX_NAMES])
    more = f" and {len(paths) - _MAX_NAMES} more" if len(paths) > _MAX_NAMES else ""
    observer.on_note(f"skipped {what}: {names}{more}")


def _refuse_other_settings(config: TrainConfig, previous: dict[str, Any]) -> None:
    """Raises TrainingError if a run would be resumed with other settings than it began with.

    The schedule and the crops depend on them. A setting that is newer than the checkpoint counts as
    having had its default value.

    Args:
        previous: the settings in the checkpoint.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    previous = defaults | previous
    requested = config.as_dict()
    for name in requested.keys() - {"device", "checkpoint_every", "sample_every"}:
        if requested[name] != previous.get(name):
            raise TrainingError(
                f"the checkpoint was made with {name} = {previous.get(name)}, not "
                f"{requested[name]}; a run can only be resumed with the settings it began with",
                setting=name,
            )
