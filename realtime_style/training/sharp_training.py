"""Training of a sharp generator: it learns to lay the strokes of a generator over photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
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
from realtime_style.training.device import tune_cpu
from realtime_style.training.distill import MAX_GRADIENT, edge_difference, painting_of
from realtime_style.training.generator import GAIN, MID, Generator, freeze_norm
from realtime_style.training.hue import HueChanges
from realtime_style.training.observer import TrainObserver
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import shared_batch
from realtime_style.training.part_training import go_on, run_part, saved_state
from realtime_style.training.run_folder import RunPart
from realtime_style.training.sharp import ColorMap, HeadConfig, SharpGenerator, pack
from realtime_style.training.sharp_overlay import MEASURED_RATIO, SharpOverlay, canvas_of
from realtime_style.training.state import Learner, TrainState

CROP_PX = 512
_LARGEST_ZOOM, _SMALL_SHARE = 1.2, 0.25  # of crops: the photo's own detail is learned from

# Side of the photos for each ratio to the canvas. Photos of small ratios are small, or a step of
# them would take four times as long
SIDES_PX = {1.0: 256, 1.5: 384, 1.75: 448, 2.0: 448, 3.0: 480}
_CUT_FROM_PX = 448  # photos of these sides are cut out of crops, smaller ones are reduced
_MARGIN_PX = 16  # of the canvas: the border that is not judged, as an overlay lacks what is outside
_RATIO = 5  # part of seeds, so that random numbers differ from those of `hue` and `dataset`

_MEASURED_PHOTOS, _MEASURED_PX = 96, 512  # photos whose colours are measured; their longer side
_FITTED_CROPS, _FITTED_PX = 24, 384  # crops that maps of colours are fitted on, each in three hues
_FIT_STEPS = 500
_FIT_PIXELS = 16_384  # of each step
_FIT_RATE = 4e-3
_FIT_WARM = 20  # steps until the rate is reached
_FIT_BETA = 0.05  # differences below this count as squares
_START_SEED = 0  # all heads start from the same random weights, so that styles can be blended

_TONE_PX, _TONE_WEIGHT = 16, 3.0
_EDGES_WEIGHT = 2.0
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

    Its body starts as the generator of strokes. No feature extractor is needed. Networks compute in
    float32.

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
    crops_of = dataclasses.replace(config, largest_zoom=_LARGEST_ZOOM, small_share=_SMALL_SHARE)
    photos = PhotoFolder.of(crops_of, CROP_PX)
    paintings = paintings_of(config, observer)
    observer.on_note("measuring the colours of photos and painting, which takes about a minute")
    measured = photos.batch(0, range(_FITTED_CROPS))[:, :, :_FITTED_PX, :_FITTED_PX].to(device)
    whole = photos.whole(_MEASURED_PHOTOS, _MEASURED_PX)
    aim = SharpOverlay(painting_of(strokes.to(device)), whole, measured, paintings, config.sharp)
    netG = first_sharp(strokes, config.sharp_gain)
    netG.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    state = _first_state(config, netG)
    if saved:
        go_on(state, saved, part, observer)
    else:
        fit_color_maps(netG, aim, measured, config.seed)

    crops = HueChanges(photos.batch, config.sharp_hue_share, config.seed)
    run_part(
        config, part, netG, state, SharpObjective(aim, netG, config.seed), crops.batch,
        photos, paintings[0], observer, how_to_read=_HOW_TO_READ, card=card,
    )  # fmt: skip
    return netG


def _load_strokes(config: TrainConfig, own: Path | None) -> tuple[Generator, dict[str, object]]:
    """The generator of strokes, and what the style's card should say about it."""
    if own:
        netG, about = load_generator(own)
        refuse_other_settings(config, about.get("training", {}))
        return netG, {}
    assert config.strokes
    netG, about = load_generator(config.strokes)
    return netG, {"strokes": about.get("training")}


def first_sharp(strokes: Generator, gain: float) -> SharpGenerator:
    """A sharp generator whose body is a copy of a generator.

    Its head is always the same, but for the gain of strokes.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(_START_SEED)
        netG = SharpGenerator(Generator(strokes.config), HeadConfig(gain=gain))
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
    hues = HueChanges(lambda step, items, attempt: photos.clone(), 1.0, seed)
    turned = [hues.batch(step, range(len(photos)), 0) for step in range(2)]
    given = torch.cat((photos, *turned))
    random = torch.Generator().manual_seed(seed)
    _fit(netG.head.recolor, given, aim.to_painting(given), random)
    parts = torch.split(torch.cat((photos, turned[0])), 1)
    sums = torch.cat([aim.sum_of(part, MEASURED_RATIO) for part in parts])
    _fit(netG.head.range, sums, aim.to_range(sums).clamp(0, 1), random)


def _fit(color_map: ColorMap, given: Tensor, wanted: Tensor, random: torch.Generator) -> None:
    """Fits a map of colours to pixels of RGB pictures, (N, 3, H, W), and their new colours."""
    x, y = (_packed_pixels(each) for each in (given, wanted))
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


def _packed_pixels(rgb: Tensor) -> Tensor:
    """RGB pictures as a head sees them, one pixel of packed planes in each row: (1, 6, P, 1)."""
    packed = (pack(*planes_from_rgb(rgb, PLANES_COLOR)) - MID / 255) * GAIN
    return packed.permute(1, 0, 2, 3).reshape(1, packed.shape[1], -1, 1)


class SharpObjective:
    """The distance of what a sharp generator paints of photos from what it should paint.

    Each step has one ratio of photo and canvas, drawn from 1 to 3, so that one generator paints
    films of all sizes. Normalisation is frozen: the body paints already.
    """

    def __init__(self, aim: SharpOverlay, netG: SharpGenerator, seed: int) -> None:
        """Computes nothing yet."""
        self._aim = aim
        self._netG = netG
        self._seed = seed

    def updates(self, state: TrainState, batch: Tensor) -> Iterator[loop.Update]:
        """The update of a batch of crops, (N, 3, CROP_PX, CROP_PX) RGB in 0..1."""
        freeze_norm(self._netG)
        rng = np.random.default_rng((self._seed, state.step + 1, _RATIO))
        ratio = tuple(SIDES_PX)[rng.integers(len(SIDES_PX))]
        rgb = photos_of(batch.to(state.device), SIDES_PX[ratio])
        rgb = rgb.contiguous(memory_format=torch.channels_last)
        aim = self._aim(rgb, ratio)
        painted = paint_rgb(partial(self._netG, canvas=canvas_of(rgb, ratio)), rgb)
        margin = -4 * round(_MARGIN_PX * ratio / 4)
        painted, aim = (functional.pad(each, [margin] * 4) for each in (painted, aim))
        apart = painted - aim
        losses = {
            "tone": _TONE_WEIGHT * functional.avg_pool2d(apart, _TONE_PX).abs().mean(),
            "color": apart.abs().mean(),
            "edges": _EDGES_WEIGHT * edge_difference(painted, aim),
        }
        yield loop.Update("G", losses)


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
