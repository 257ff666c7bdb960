"""Style training: a generator learns the strokes and colours of a painting, from its features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from realtime_style.training.batches import StyleBatches
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import PhotoFolder, note_skipped, paintings_of
from realtime_style.training.device import tune_cpu
from realtime_style.training.discriminator import Discriminator
from realtime_style.training.generator import Generator
from realtime_style.training.motion import ClipFolder
from realtime_style.training.objective import StyleObjective, load_features
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.part_training import go_on, run_part, saved_state
from realtime_style.training.recoloring import MEASURED_CROPS, Recoloring
from realtime_style.training.run_folder import RunPart
from realtime_style.training.state import Learner, TrainState

_MAX_GRADIENT = 10.0
_HOW_TO_READ = (
    "The style loss rises at first because its weight does: training starts with the photo "
    "unchanged. Judge by the sheet, and by whether the curves are level at the end."
)


def train_style(
    config: TrainConfig,
    part: RunPart,
    device: torch.device,
    start: Generator | None,
    resume: bool,
    observer: TrainObserver,
) -> Generator:
    """Trains a generator to paint in the style of paintings.

    Args:
        config: what to train on, and how.
        part: where everything goes.
        device: the training device.
        start: the generator to start from, which is trained in place; None reads `config.base`.
        resume: continue from the part's checkpoint.
        observer: receives progress and notes.

    Returns:
        The trained generator, on the device.

    Raises:
        TrainingError: see `train.train`.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    if start is None or resume:
        start = _first_generator(part.checkpoint if resume else config.base)
    tune_cpu()
    photos = PhotoFolder.of(config)
    whole_px = config.crop_px + 2 * config.margin_px
    clips = ClipFolder(config.clips, whole_px, config.seed) if config.clips else None
    paintings = paintings_of(config, observer)
    if clips and clips.skipped:
        note_skipped(observer, clips.skipped, f"files in {config.clips} that are not films")

    netG: Generator = start.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    features = load_features(config, device)
    netD = _discriminator(device) if config.adversarial != "none" else None
    recoloring = _recoloring(config, photos, paintings) if config.recolor else None
    objective = StyleObjective(config, paintings, features, netG, netD, device, recoloring)
    state = _first_state(config, netG, netD)
    if resume:
        go_on(state, saved_state(part, config), part, observer)
    run_part(
        config, part, netG, state, objective, StyleBatches(config, photos, clips).read,
        photos, paintings[0], observer, how_to_read=_HOW_TO_READ, card={},
    )  # fmt: skip
    return netG


def _recoloring(config: TrainConfig, photos: PhotoFolder, paintings: list[Tensor]) -> Recoloring:
    """The map of colours, from random photos; equal in every process."""
    return Recoloring([photos.batch(0, range(MEASURED_CROPS))], paintings)


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
