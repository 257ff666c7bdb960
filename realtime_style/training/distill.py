"""Distillation: a generator learns to paint what another function makes of a photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.training import loop
from realtime_style.training.checkpoint import load_checkpoint
from realtime_style.training.color import PLANES_COLOR, paint_rgb, planes_from_rgb, rgb_from_planes
from realtime_style.training.config import BUNDLED_BASE
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.device import tune_cpu
from realtime_style.training.generator import (
    FoldedGenerator,
    Generator,
    GeneratorConfig,
    freeze_norm,
)
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.schedule import trapezoid
from realtime_style.training.state import Learner, TrainState

FAST = GeneratorConfig(trunk_channels=32, edge_channels=16, dilations=(1, 4, 8, 2))
"""The shape of the fast tier's generators, which take half the time of the standard tier's."""

FAST_BASE = BUNDLED_BASE.parent / "fast" / "base.safetensors"
"""The generator from which all generators of the fast tier start, so that styles can be blended."""

Aim = Callable[[Tensor], Tensor]
"""What should be painted of photos: (N, 3, H, W) RGB in 0..1 to the same shape, in 0..1, without a
gradient. H and W are multiples of 8."""

CROP_PX = 256
BATCH = 4
LEARNING_RATE = 5e-3
CHECKPOINT_EVERY = 100
_EDGES_WEIGHT = 2.0
MAX_GRADIENT = 1.0
_FREEZE_NORM_AT = 0.5  # share of the steps after which normalisation uses running statistics


def distill(
    teacher: Generator,
    start: Generator,
    photos: PhotoFolder,
    steps: int,
    checkpoint: Path,
    *,
    resume: bool = False,
    observer: TrainObserver = TrainObserver(),
) -> Generator:
    """Trains a generator to paint photos as its teacher does (Hinton et al., arXiv 1503.02531).

    No feature extractor is needed: what the teacher paints depends only on the photo, so it can be
    learned pixel by pixel. Runs on the CPU.

    Args:
        teacher: a trained generator.
        start: the smaller generator to start from; it is trained in place.
        photos: photos in crops of CROP_PX pixels.
        steps: optimiser steps.
        checkpoint: the file that checkpoints are written to.
        resume: continue from `checkpoint`.
        observer: receives progress and notes.

    Returns:
        `start`, trained.

    Raises:
        TrainingError: photos or a checkpoint that cannot be used; see `loop.run`.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    tune_cpu()
    netG: Generator = start.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    learner = Learner(netG, Muon(netG.parameters(), LEARNING_RATE), LEARNING_RATE, MAX_GRADIENT)
    about = {"generator_config": dataclasses.asdict(netG.config), "config": {"steps": steps}}
    state = TrainState({"G": learner}, BATCH, about)
    if resume:
        state.load(load_checkpoint(checkpoint), checkpoint)
    recipe = loop.Recipe(steps, trapezoid, checkpoint, CHECKPOINT_EVERY)
    objective = DistillObjective(painting_of(teacher), netG, steps)
    loop.run(state, objective, photos.batch, recipe, observer)
    return netG


def painting_of(netG: Generator) -> Aim:
    """What a trained generator paints, in 0..1, as an aim."""
    folded: FoldedGenerator = netG.folded().eval().requires_grad_(False)

    def paint(rgb: Tensor) -> Tensor:
        rgb = rgb.contiguous(memory_format=torch.channels_last)
        luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
        with torch.no_grad():
            luma, chroma = folded(255 * luma, 255 * chroma)
            return rgb_from_planes(luma / 255, chroma / 255, PLANES_COLOR).clamp(0, 1)

    return paint


class DistillObjective:
    """The distance of what a generator paints of photos from what it should paint.

    It is the mean absolute difference of colours, in 0..1, plus that of edges (the differences
    between neighbouring pixels), which are most of what a stroke is.
    """

    def __init__(self, aim: Aim, netG: Generator, steps: int, *, margin_px: int = 0) -> None:
        """Computes nothing yet.

        Args:
            aim: what should be painted.
            netG: the generator in training.
            steps: number of steps of the whole run; after half of them, normalisation is frozen.
            margin_px: width of the border of each photo that is painted but not judged.
        """
        self._aim = aim
        self._netG = netG
        self._steps = steps
        self._margin_px = margin_px

    def updates(self, state: TrainState, batch: Tensor) -> Iterator[loop.Update]:
        """The update of a batch of photos, (N, 3, H, W) RGB in 0..1."""
        if state.step + 1 > _FREEZE_NORM_AT * self._steps:
            freeze_norm(self._netG)
        rgb = batch.to(state.device).contiguous(memory_format=torch.channels_last)
        aim, painted = (
            functional.pad(each, [-self._margin_px] * 4)
            for each in (self._aim(rgb), paint_rgb(self._netG, rgb))
        )
        losses = {
            "color": (painted - aim).abs().mean(),
            "edges": _EDGES_WEIGHT * edge_difference(painted, aim),
        }
        yield loop.Update("G", losses)


def edge_difference(painted: Tensor, aim: Tensor) -> Tensor:
    """Mean absolute difference of the edges, down and across, of two (N, 3, H, W); a scalar."""
    apart = painted - aim
    dy, dx = apart.diff(dim=2), apart.diff(dim=3)
    return (dy.abs().mean() + dx.abs().mean()) / 2
