"""Overlay training: a generator that paints strokes learns to lay them over the photo."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from realtime_style.training.checkpoint import load_generator
from realtime_style.training.config import TrainConfig, refuse_other_settings
from realtime_style.training.dataset import PhotoFolder, paintings_of
from realtime_style.training.device import tune_cpu
from realtime_style.training.distill import MAX_GRADIENT, DistillObjective, painting_of
from realtime_style.training.generator import Generator
from realtime_style.training.hue import HueChanges
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.overlay import Overlay
from realtime_style.training.parallel import shared_batch
from realtime_style.training.part_training import go_on, run_part, saved_state
from realtime_style.training.recoloring import MEASURED_CROPS
from realtime_style.training.run_folder import RunPart
from realtime_style.training.state import Learner, TrainState

MARGIN_PX = 32
"""Width of the border of each crop that is not judged: there an overlay lacks what is outside."""

_HOW_TO_READ = (
    "The losses are the mean differences, of colours and of edges, from the strokes laid over the "
    "photo. Judge by the sheet, and by whether the curves are level at the end."
)


def train_overlay(
    config: TrainConfig,
    part: RunPart,
    device: torch.device,
    own_strokes: Path | None,
    resume: bool,
    observer: TrainObserver,
) -> Generator:
    """Trains a generator to paint the strokes that it paints already over the photo; see `Overlay`.

    No feature extractor is needed. Networks compute in float32.

    Args:
        config: what to train on, and how.
        part: where everything goes.
        device: the training device.
        own_strokes: the generator that this run has trained to paint strokes; None takes
            `config.strokes`.
        resume: continue from the part's checkpoint.
        observer: receives progress and notes.

    Returns:
        The trained generator, on the device.

    Raises:
        TrainingError: see `train.train`.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    tune_cpu()
    saved = saved_state(part, config) if resume else None
    strokes, card = load_strokes(config, own_strokes)
    netG: Generator = strokes.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    photos = PhotoFolder.of(config, config.crop_px)
    paintings = paintings_of(config, observer)
    measured = photos.batch(0, range(MEASURED_CROPS)).to(device)
    overlay = Overlay(painting_of(netG), measured, paintings, config.overlay)
    objective = DistillObjective(overlay, netG, part.steps, margin_px=MARGIN_PX)
    state = _first_state(config, netG)
    if saved:
        go_on(state, saved, part, observer)

    crops = HueChanges(photos.batch, config.overlay_hue_share, config.seed)
    run_part(
        config, part, netG, state, objective, crops.batch,
        photos, paintings[0], observer, how_to_read=_HOW_TO_READ, card=card,
    )  # fmt: skip
    return netG


def load_strokes(config: TrainConfig, own: Path | None) -> tuple[Generator, dict[str, object]]:
    """The generator of strokes, and what the style's card should say about it."""
    if own:
        netG, about = load_generator(own)
        refuse_other_settings(config, about.get("training", {}))
        return netG, {}
    assert config.strokes
    netG, about = load_generator(config.strokes)
    return netG, {"strokes": about.get("training")}


def _first_state(config: TrainConfig, netG: Generator) -> TrainState:
    rate = config.overlay_learning_rate
    learner = Learner(netG, Muon(netG.parameters(), lr=rate), rate, MAX_GRADIENT)
    batch = shared_batch(config.overlay_batch)
    about = {"generator_config": dataclasses.asdict(netG.config), "config": config.as_dict()}
    return TrainState({"G": learner}, batch, about)
