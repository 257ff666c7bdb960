"""The identity style: a generator of the common base that returns its input unchanged.

The strength of a style is set by blending its weights with those of the identity style.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realtime_style.training import loop
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.config import BUNDLED_BASE
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.device import autocast, tune_cpu
from realtime_style.training.generator import Generator, freeze_norm
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.schedule import warm_cosine
from realtime_style.training.state import Learner, TrainState

CROP_PX = 256
BATCH = 2
_LEARNING_RATE = 1e-3  # small, because generators near the base blend best with styles
_CHECKPOINT_EVERY = 100
_COLORFUL = 0.3  # share of the photos that get unnatural colours
_EXACT = 0.4  # share of the steps, at the end, that are computed in float32


def train_identity(
    photos: PhotoFolder,
    steps: int,
    *,
    base: Path = BUNDLED_BASE,
    observer: TrainObserver = TrainObserver(),
) -> Generator:
    """Trains a generator to return its input, on the CPU.

    The statistics of normalisation stay those of the base.

    Args:
        photos: photos in crops of CROP_PX pixels.
        steps: optimiser steps.
        base: the generator to start from.
        observer: receives progress and notes.

    Returns:
        The generator, in evaluation mode.

    Raises:
        TrainingError: photos or a base that cannot be used; see `loop.run`.
        KeyboardInterrupt: on Ctrl-C; nothing is saved.
    """
    tune_cpu()
    netG, _ = load_generator(base)
    netG.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    freeze_norm(netG)
    learner = Learner(netG, Muon(netG.parameters(), lr=_LEARNING_RATE), _LEARNING_RATE)
    about = {"generator_config": dataclasses.asdict(netG.config), "config": {"steps": steps}}
    state = TrainState({"G": learner}, BATCH, about)
    recipe = loop.Recipe(steps, warm_cosine, None, _CHECKPOINT_EVERY)
    loop.run(state, IdentityObjective(netG, steps), photos.batch, recipe, observer)
    return netG.eval()


class IdentityObjective:
    """The mean squared difference between a generator's input and output planes, in 0..1."""

    def __init__(self, netG: Generator, steps: int) -> None:
        self._netG = netG
        self._steps = steps

    def updates(self, state: TrainState, batch: Tensor) -> Iterator[loop.Update]:
        """The update of a batch of photos, (N, 3, H, W) RGB in 0..1."""
        step = state.step + 1
        rgb = _recolored(batch, np.random.default_rng(step))
        planes = planes_from_rgb(rgb.contiguous(memory_format=torch.channels_last), PLANES_COLOR)
        precision = "bf16" if step < (1 - _EXACT) * self._steps else "f32"
        with autocast(torch.device("cpu"), precision):
            drawn = self._netG(*planes)
        luma, chroma = (
            (ours.float() - plane).square().mean()
            for ours, plane in zip(drawn, planes, strict=True)
        )
        yield loop.Update("G", {"luma": luma, "chroma": chroma})


def _recolored(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Swaps channels and changes the saturation of some pictures, (N, 3, H, W) RGB in 0..1."""
    pictures = []
    for picture in rgb:
        if rng.random() < _COLORFUL:
            grey = picture.mean(0, keepdim=True)
            picture = picture[torch.from_numpy(rng.permutation(3))]
            picture = ((picture - grey) * rng.uniform(0, 4) + grey * rng.uniform(0.4, 1.4)).clamp(
                0, 1
            )
        pictures.append(picture)
    return torch.stack(pictures)
