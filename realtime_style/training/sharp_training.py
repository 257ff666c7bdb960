"""Training of a sharp generator: it learns to lay the strokes of a generator over photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.training import loop
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.color import PLANES_COLOR, paint_rgb, planes_from_rgb
from realtime_style.training.config import TrainConfig, refuse_other_settings
from realtime_style.training.dataset import PhotoFolder, paintings_of
from realtime_style.training.device import in_precision, tune_cpu
from realtime_style.training.filters import luma_of
from realtime_style.training.generator import GAIN, MID, Generator, freeze_norm
from realtime_style.training.hue import HueChanges
from realtime_style.training.mesh import remove_mesh
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import shared_batch
from realtime_style.training.part_training import go_on, run_part, saved_state
from realtime_style.training.run_folder import RunPart
from realtime_style.training.sharp import ColorMap, HeadConfig, SharpGenerator, pack
from realtime_style.training.sharp_overlay import (
    MEASURED_RATIO,
    SharpOverlay,
    canvas_of,
    painting_of,
)
from realtime_style.training.state import Learner, TrainState

Aim = Callable[[Tensor, float], Tensor]
"""What should be painted of photos, (N, 3, H, W) RGB in 0..1, at a ratio of photo and canvas: the
same shape, in 0..1, without a gradient. H and W are multiples of 8."""

CROP_PX = 512
MAX_GRADIENT = 1.0
_LARGEST_ZOOM, _SMALL_SHARE = 1.2, 0.25  # of crops

# Side of the photos for each ratio to the canvas. Photos of small ratios are small, or a step of
# them would take four times as long
SIDES_PX = {1.0: 256, 1.5: 384, 1.75: 448, 2.0: 448, 3.0: 480}
_CUT_FROM_PX = 448  # photos of these sides are cut out of crops, smaller ones are reduced
_MARGIN_PX = 16  # of the canvas: the border that is not judged, as an overlay lacks what is outside
_RATIO = 5  # part of seeds, so that random numbers differ from those of `hue` and `dataset`

_MEASURED_PHOTOS, _MEASURED_PX = 96, 512  # photos whose colours are measured; their longer side
FITTED_CROPS, FITTED_PX = 24, 384  # crops that maps of colours are fitted on, each in three hues
_FIT_STEPS = 500
_FIT_PIXELS = 16_384  # of each step
_FIT_RATE = 4e-3
_FIT_WARM = 20  # steps until the rate is reached
_FIT_BETA = 0.05  # differences below this count as squares
_LEAST_GAIN = 0.01  # that a head starts with: the logarithm of its gain is learned
_START_SEED = 0  # all heads start from the same random weights, so that styles can be blended

_TONE_PX, _TONE_WEIGHT = 16, 3.0
_EDGES_WEIGHT = 2.0
_TEXTURE_SIZES, _TEXTURE_CELL = (0.5, 1, 2, 4, 8), 32  # in pixels of the canvas
_TEXTURE_LEAST = 0.002  # of deviations, which keeps the gradient of the root finite
_HOW_TO_READ = (
    "The losses are the mean differences, of light, of colours and of edges, from the strokes laid "
    "over the photo. They begin low, because the maps of colours are fitted before the first step. "
    "Judge by the sheet."
)


def train_sharp(
    config: TrainConfig,
    part: RunPart,
    device: torch.device,
    own_strokes: Path | None,
    resume: bool,
    observer: TrainObserver,
) -> SharpGenerator:
    """Trains a sharp generator to paint what `SharpOverlay` makes of photos.

    Its body starts as the generator of strokes. No feature extractor is needed.

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
    strokes, card = _load_strokes(config, own_strokes)
    photos = crops_of(
        config.content, config.seed, portraits=config.portraits, share=config.portrait_share
    )
    paintings = paintings_of(config, observer)
    observer.on_note("measuring the colours of photos and painting, which takes about a minute")
    measured = photos.batch(0, range(FITTED_CROPS))[:, :, :FITTED_PX, :FITTED_PX].to(device)
    whole = photos.whole(_MEASURED_PHOTOS, _MEASURED_PX)
    paint_strokes = painting_of(strokes.to(device), config.precision)
    aim = SharpOverlay(paint_strokes, whole, measured, paintings, config.sharp)
    netG = first_sharp(strokes, HeadConfig(gain=max(_LEAST_GAIN, config.sharp_gain)))
    netG.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = _first_state(config, netG)
    if saved:
        go_on(state, saved, part, observer)
    else:
        fit_color_maps(netG, aim, measured, config.seed)

    crops = HueChanges(photos.batch, config.sharp_hue_share, config.seed)
    objective = SharpObjective(aim, netG, config.seed, precision=config.precision)
    run_part(
        config, part, netG, state, objective, crops.batch,
        photos, paintings[0], observer, how_to_read=_HOW_TO_READ, card=card,
        finish=partial(remove_mesh, netG, measured),
    )  # fmt: skip
    return netG


def crops_of(
    folder: Path, seed: int, *, portraits: Path | None = None, share: float = 0.0
) -> PhotoFolder:
    """Photos in crops of CROP_PX, hardly enlarged: the photos' own detail is learned from.

    Args:
        folder: a folder of photos.
        seed: of the random numbers.
        portraits: a second folder, of faces.
        share: share of the crops that are taken from it, 0..1.

    Raises:
        TrainingError: a folder does not exist, or has no pictures.
    """
    return PhotoFolder(
        folder, CROP_PX, seed, portraits=portraits, portrait_share=share,
        largest_zoom=_LARGEST_ZOOM, small_share=_SMALL_SHARE,
    )  # fmt: skip


def _load_strokes(config: TrainConfig, own: Path | None) -> tuple[Generator, dict[str, object]]:
    """The generator of strokes, and what the style's card should say about it."""
    if own:
        netG, about = load_generator(own)
        refuse_other_settings(config, about.get("training", {}))
        return netG, {}
    assert config.strokes
    netG, about = load_generator(config.strokes)
    return netG, {"strokes": about.get("training")}


def first_sharp(strokes: Generator, head_config: HeadConfig) -> SharpGenerator:
    """A sharp generator whose body is a copy of a generator.

    All heads of a shape start alike, but for the gain of strokes.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(_START_SEED)
        netG = SharpGenerator(Generator(strokes.config), head_config)
    netG.body.load_state_dict(strokes.state_dict())
    return netG


def fit_color_maps(
    netG: SharpGenerator,
    aim: SharpOverlay,
    photos: Tensor,
    seed: int,
) -> None:
    """Fits both maps of colours of a head to those of an overlay, which takes about a minute.

    In training they would be learned slowly: colours that are rare in photos would take thousands
    of steps.

    Args:
        netG: its maps are trained in place.
        aim: the overlay.
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 16. Each is used three times: as it is,
            and twice in other hues.
        seed: of the random numbers.
    """
    given = in_other_hues(photos, seed)
    random = torch.Generator().manual_seed(seed)
    fit(netG.head.recolor, packed(given), packed(aim.to_painting(given)), random)
    parts = torch.split(given[: 2 * len(photos)], 1)
    sums = torch.cat([aim.sum_of(part, MEASURED_RATIO) for part in parts])
    fit(netG.head.range, packed(sums), packed(aim.to_range(sums).clamp(0, 1)), random)


def in_other_hues(photos: Tensor, seed: int) -> Tensor:
    """Photos (N, 3, H, W), and twice the same in other hues: (3 * N, 3, H, W)."""
    hues = HueChanges(lambda step, items, attempt: photos.clone(), 1.0, seed)
    return torch.cat((photos, *(hues.batch(step, range(len(photos)), 0) for step in range(2))))


def fit(color_map: ColorMap, given: Tensor, wanted: Tensor, random: torch.Generator) -> None:
    """Fits a map of colours to pixels, which takes some seconds.

    Args:
        color_map: it is trained in place.
        given: packed planes as a head sees them, (N, 6, h, w); see `packed`.
        wanted: what the map should make of them, the same shape.
        random: chooses the pixels of each step.
    """
    x, y = (each.permute(1, 0, 2, 3).reshape(1, each.shape[1], -1, 1) for each in (given, wanted))
    optimizer = torch.optim.Adam(color_map.parameters(), lr=_FIT_RATE)
    for step in range(_FIT_STEPS):
        rate = min(1, (step + 1) / _FIT_WARM, 2 * (1 - step / _FIT_STEPS))
        for group in optimizer.param_groups:
            group["lr"] = _FIT_RATE * rate
        chosen = torch.randint(x.shape[2], (_FIT_PIXELS,), generator=random).to(x.device)
        mapped = color_map(x[:, :, chosen])
        loss = functional.smooth_l1_loss(mapped, y[:, :, chosen], beta=_FIT_BETA)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def packed(rgb: Tensor) -> Tensor:
    """RGB pictures (N, 3, 2h, 2w) as a head sees them, (N, 6, h, w)."""
    return (pack(*planes_from_rgb(rgb, PLANES_COLOR)) - MID / 255) * GAIN


class SharpObjective:
    """The distance of what a sharp generator paints of photos from what it should paint.

    Each step has one ratio of photo and canvas, drawn from 1 to 3, so that one generator paints
    films of all sizes.
    """

    def __init__(
        self,
        aim: Aim,
        netG: SharpGenerator,
        seed: int,
        *,
        norm_steps: int = 0,
        texture_weight: float = 0.0,
        precision: str = "f32",
    ) -> None:
        """Computes nothing yet.

        Args:
            aim: what should be painted.
            netG: the generator in training.
            seed: of the random numbers.
            norm_steps: steps after which normalisation uses its running statistics; 0 for a body
                that paints already.
            texture_weight: of the loss of `texture_difference`.
            precision: of the generator; see `device.autocast`. All losses are float32.
        """
        self._aim = aim
        self._precision = precision
        self._netG = netG
        self._seed = seed
        self._norm_steps = norm_steps
        self._texture_weight = texture_weight

    def updates(self, state: TrainState, batch: Tensor) -> Iterator[loop.Update]:
        """The update of a batch of crops, (N, 3, CROP_PX, CROP_PX) RGB in 0..1."""
        if state.step >= self._norm_steps:
            freeze_norm(self._netG)
        rng = np.random.default_rng((self._seed, state.step + 1, _RATIO))
        ratio = tuple(SIDES_PX)[rng.integers(len(SIDES_PX))]
        rgb = photos_of(batch.to(state.device), SIDES_PX[ratio])
        rgb = rgb.contiguous(memory_format=torch.channels_last)
        aim = self._aim(rgb, ratio)
        paint = partial(self._netG, canvas=canvas_of(rgb, ratio))
        painted = paint_rgb(in_precision(paint, rgb.device, self._precision), rgb)
        margin = -4 * round(_MARGIN_PX * ratio / 4)
        painted, aim = (functional.pad(each, [margin] * 4) for each in (painted, aim))
        apart = painted - aim
        losses = {
            "tone": _TONE_WEIGHT * functional.avg_pool2d(apart, _TONE_PX).abs().mean(),
            "color": apart.abs().mean(),
            "edges": _EDGES_WEIGHT * edge_difference(painted, aim),
        }
        if self._texture_weight:
            losses["texture"] = self._texture_weight * texture_difference(painted, aim, ratio)
        yield loop.Update("G", losses)


def edge_difference(painted: Tensor, aim: Tensor) -> Tensor:
    """Mean absolute difference of the edges, down and across, of two (N, 3, H, W); a scalar."""
    apart = painted - aim
    dy, dx = apart.diff(dim=2), apart.diff(dim=3)
    return (dy.abs().mean() + dx.abs().mean()) / 2


def texture_difference(painted: Tensor, aim: Tensor, ratio: float) -> Tensor:
    """By how much strokes are weaker or stronger than they should be, wherever they are.

    A generator that cannot tell where exactly its aim has a stroke learns the mean of what it could
    be, which is weak and blurred. Here strokes may be elsewhere: the deviations of edges in four
    directions, of five sizes, are compared in cells of 32 px of the canvas, for light and for
    colours.

    Args:
        painted, aim: (N, 3, H, W) in 0..1.
        ratio: of the sides of photo and canvas.

    Returns:
        A scalar: the mean absolute difference of these deviations.
    """
    total = painted.new_zeros(())
    planes = [torch.cat((luma_of(rgb), rgb - luma_of(rgb)), 1) for rgb in (painted, aim)]
    for size in _TEXTURE_SIZES:
        pixels = max(1, round(size * ratio))
        cell = max(1, round(_TEXTURE_CELL * ratio / pixels))
        ours, theirs = (_edge_deviations(each, pixels, cell) for each in planes)
        total = total + (ours - theirs).abs().mean()
    return total / len(_TEXTURE_SIZES)


def _edge_deviations(planes: Tensor, pixels: int, cell: int) -> Tensor:
    """Deviations of edges in cells, (N, 4 * C, h, w), of planes reduced by a whole number."""
    small = functional.avg_pool2d(planes, pixels) if pixels > 1 else planes
    here, right = small[:, :, :-1, :-1], small[:, :, :-1, 1:]
    below, across = small[:, :, 1:, :-1], small[:, :, 1:, 1:]
    edges = torch.cat((right - here, below - here, across - here, below - right), 1)
    cell = min(cell, *edges.shape[2:])
    return (functional.avg_pool2d(edges.square(), cell) + _TEXTURE_LEAST**2).sqrt()


def photos_of(crops: Tensor, side_px: int) -> Tensor:
    """Photos of a side, from crops that are at least as large: small ones show all of a crop."""
    if side_px < _CUT_FROM_PX:
        return functional.interpolate(crops, size=(side_px, side_px), mode="area")
    return crops[:, :, :side_px, :side_px].contiguous()


def _first_state(config: TrainConfig, netG: SharpGenerator) -> TrainState:
    rate = config.sharp_learning_rate
    learner = Learner(netG, Muon(netG.parameters(), lr=rate), rate, MAX_GRADIENT)
    batch = shared_batch(config.batch)
    about = {
        "generator_config": dataclasses.asdict(netG.config),
        "head_config": dataclasses.asdict(netG.head.config),
        "config": config.as_dict(),
    }
    return TrainState({"G": learner}, batch, about)
