"""Distillation: a smaller sharp generator learns to paint as a trained one: the fast tier."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from realtime_style.training import loop
from realtime_style.training.checkpoint import load_checkpoint
from realtime_style.training.color import paint_rgb
from realtime_style.training.config import BUNDLED_BASE, BUNDLED_STROKES
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.device import in_precision, tune_cpu
from realtime_style.training.filters import box
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.hue import HueChanges
from realtime_style.training.mesh import remove_mesh
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.schedule import trapezoid
from realtime_style.training.sharp import HeadConfig, SharpGenerator
from realtime_style.training.sharp_overlay import MEASURED_RATIO, canvas_of
from realtime_style.training.sharp_training import (
    FITTED_CROPS,
    FITTED_PX,
    MAX_GRADIENT,
    Aim,
    SharpObjective,
    first_sharp,
    fit,
    in_other_hues,
    packed,
)
from realtime_style.training.state import Learner, TrainState

FAST = GeneratorConfig(trunk_channels=32, edge_channels=16, dilations=(1, 4, 8, 2))
"""The shape of the bodies of the fast tier."""

FAST_HEAD = HeadConfig(recolor_channels=16, range_channels=24)
"""The shape of the heads of the fast tier."""

FAST_STROKES = BUNDLED_STROKES / "fast"
"""The folder of the small generators that paint the strokes of the included styles. All come from
`FAST_BASE`, so that styles can be blended."""

FAST_BASE = BUNDLED_BASE.parent / "fast" / "base.safetensors"
"""A small generator that reproduces the photo: the start of bodies without strokes of their own."""

BATCH = 2
TEXTURE_WEIGHT = 2.0
LEARNING_RATE = 6e-4  # at 5e-3, with frozen normalisation, 14 of the 16 edge features die
CHECKPOINT_EVERY = 100
_HUE_SHARE = 0.3  # of crops in other hues
_PRECISION = "auto"
_MOST_STRONGER = 1.6
_CONTRAST_PER_GAIN = 0.6  # contrast grows by about this power of the gain: photos have their own
_STRENGTH_ROUNDS = 4
_LEAST_STEP = 1e-3  # of a gain's logarithm, that tells how contrast grows
_FLATTEST = 0.02


def distill(
    teacher: SharpGenerator,
    body: Generator,
    photos: PhotoFolder,
    steps: int,
    checkpoint: Path,
    *,
    head_config: HeadConfig = FAST_HEAD,
    norm_steps: int = 0,
    texture_weight: float = TEXTURE_WEIGHT,
    seed: int = 0,
    resume: bool = False,
    observer: TrainObserver = TrainObserver(),
) -> SharpGenerator:
    """Trains a sharp generator to paint as its teacher does (Hinton et al., arXiv 1503.02531).

    No feature extractor is needed: what the teacher paints depends only on the photo, so it can be
    learned pixel by pixel. Both maps of colours are fitted to the teacher's first. Runs on the CPU.

    Args:
        teacher: a trained generator.
        body: the smaller body to start from; it is not changed.
        photos: photos in crops of `sharp_training.CROP_PX` pixels.
        steps: optimiser steps.
        checkpoint: the file that checkpoints are written to.
        head_config: the shape of the smaller head.
        norm_steps: see `SharpObjective`: 0 for a body that paints strokes already.
        texture_weight: see `SharpObjective`.
        seed: of the random numbers.
        resume: continue from `checkpoint`.
        observer: receives progress and notes.

    Returns:
        The trained generator.

    Raises:
        TrainingError: photos or a checkpoint that cannot be used; see `loop.run`.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    tune_cpu()
    teacher = teacher.eval().requires_grad_(False)
    netG = first_sharp(body, dataclasses.replace(head_config, gain=float(teacher.head.gain[0])))
    netG.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    learner = Learner(netG, Muon(netG.parameters(), LEARNING_RATE), LEARNING_RATE, MAX_GRADIENT)
    about = {
        "generator_config": dataclasses.asdict(netG.config),
        "head_config": dataclasses.asdict(netG.head.config),
        "config": {"steps": steps},
    }
    state = TrainState({"G": learner}, BATCH, about)
    crops = photos.batch(0, range(FITTED_CROPS))[:, :, :FITTED_PX, :FITTED_PX]
    if resume:
        state.load(load_checkpoint(checkpoint), checkpoint)
    else:
        fit_to_teacher(netG, teacher, crops, seed)

    def finish() -> None:
        remove_mesh(netG.eval(), crops)
        make_as_strong(netG, teacher, crops)

    recipe = loop.Recipe(steps, trapezoid, checkpoint, CHECKPOINT_EVERY, finish)
    objective = SharpObjective(
        aim_of(teacher, _PRECISION), netG, seed,
        norm_steps=norm_steps, texture_weight=texture_weight, precision=_PRECISION,
    )  # fmt: skip
    loop.run(state, objective, HueChanges(photos.batch, _HUE_SHARE, seed).batch, recipe, observer)
    return netG.eval()


def aim_of(teacher: SharpGenerator, precision: str = "f32") -> Aim:
    """What a trained sharp generator paints, as an aim; for precision see `device.autocast`."""

    def paint(rgb: Tensor, ratio: float) -> Tensor:
        canvas = canvas_of(rgb, ratio)
        painted = in_precision(partial(teacher, canvas=canvas), rgb.device, precision)
        with torch.no_grad():
            return paint_rgb(painted, rgb).clamp(0, 1)

    return paint


def make_as_strong(netG: SharpGenerator, teacher: SharpGenerator, photos: Tensor) -> None:
    """Makes a generator's pictures as rich in contrast as those of its teacher, plane by plane.

    Where a small body cannot tell what its teacher would paint it has learned the mean of what it
    could be, which is weak and looks blurred. The contrast that counts is that of the pictures: the
    map of colours behind the strokes weakens it as well. No strokes are made more than
    _MOST_STRONGER times as strong.

    Args:
        netG: the gains of its head are changed in place.
        teacher: a trained generator.
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 16.
    """
    wanted = contrast_of(teacher, photos).log()
    gain = netG.head.log_gain
    first = gain.detach().clone()
    most = math.log(_MOST_STRONGER)
    slope = torch.full_like(first, _CONTRAST_PER_GAIN)
    missing = wanted - contrast_of(netG, photos).log()
    for _ in range(_STRENGTH_ROUNDS):  # the secant method
        before = gain.detach().clone()
        step = (missing / slope).clamp(first - most - before, first + most - before)
        with torch.no_grad():
            gain.add_(step)
        left = wanted - contrast_of(netG, photos).log()
        slope = torch.where(step.abs() > _LEAST_STEP, (missing - left) / step, slope)
        slope, missing = slope.clamp_min(_FLATTEST), left


def contrast_of(netG: SharpGenerator, photos: Tensor) -> Tensor:
    """How much fine contrast a generator's pictures have in luma, Cb and Cr, (3,).

    It is the standard deviation from the means over 9x9 half-size pixels.
    """
    paint = aim_of(netG)
    fine = []
    for part in torch.split(photos, 1):
        planes = packed(paint(part, MEASURED_RATIO))
        fine.append(planes - box(planes, 4))
    of_planes = torch.cat(fine)
    return torch.stack([of_planes[:, :4].std(), of_planes[:, 4].std(), of_planes[:, 5].std()])


def fit_to_teacher(
    netG: SharpGenerator, teacher: SharpGenerator, photos: Tensor, seed: int
) -> None:
    """Fits both maps of colours of a head to those of a teacher, which takes about a minute.

    Args:
        netG: its maps are trained in place.
        teacher: a trained generator.
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 16.
        seed: of the random numbers.
    """
    sums: list[Tensor] = []

    def keep(color_map: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sums.append(inputs[0])

    random = torch.Generator().manual_seed(seed)
    given = in_other_hues(photos, seed)
    hook = teacher.head.range.register_forward_pre_hook(keep)
    paint = aim_of(teacher)
    for part in torch.split(given[: 2 * len(photos)], 1):
        paint(part, MEASURED_RATIO)
    hook.remove()
    for ours, theirs, seen in (
        (netG.head.recolor, teacher.head.recolor, packed(given)),
        (netG.head.range, teacher.head.range, torch.cat(sums)),
    ):
        with torch.no_grad():
            wanted = torch.cat([theirs(part) for part in torch.split(seen, 1)])
        fit(ours, seen, wanted, random)
