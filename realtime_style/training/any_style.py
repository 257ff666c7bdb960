"""The training of G(x, s): an encoder that reads from any picture s how to paint a photo x."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.style.bank import Bank
from realtime_style.training import loop
from realtime_style.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, load_generator
from realtime_style.training.config import BUNDLED_BASE, TrainConfig
from realtime_style.training.dataset import UNREADABLE, PhotoFolder, open_rgb, pictures_below
from realtime_style.training.device import tune_cpu
from realtime_style.training.encoder import AnyStyleGenerator, StyleEncoder
from realtime_style.training.losses import GramLoss
from realtime_style.training.motion import motion_loss, moved_views
from realtime_style.training.objective import PaintingLosses, load_features
from realtime_style.training.observer import Observers, TrainObserver, TrainStep
from realtime_style.training.perceptual import Features
from realtime_style.training.schedule import trapezoid
from realtime_style.training.sheets import style_sheet
from realtime_style.training.state import Learner, TrainState
from realtime_style.training.style_choice import (
    LEARNING_RATE as CHOICE_LEARNING_RATE,
)
from realtime_style.training.style_choice import (
    STATISTICS_NOISE,
    VARIANTS,
    learn_choice,
    measure_palettes,
    paint_with_vectors,
)
from realtime_style.training.style_variants import StyleVariant, StyleVariants

_STYLE_SCALE = 150.0  # far above this value, only the logarithm of the style loss counts
_RESTRAINT = 10.0  # weight of the mean square of what is added to style vectors
_PALETTE_PHOTOS = 16  # how many photos are painted in each bundled style, to know its palette
_MAX_GRADIENT = 5.0
_LEARNING_RATE = 1e-5
_WEIGHT_DECAY = 0.01
_MIN_PAINTING_PX = 64
_MAX_SHOWN = 8  # most style pictures in a sheet


def train_any_style(
    config: TrainConfig,
    run_dir: Path,
    *,
    held_out: Sequence[str] = (),
    resume: bool = False,
    observer: TrainObserver = TrainObserver(),
) -> StyleEncoder:
    """Trains the encoder of G(x, s) on all paintings of a folder and on photos, on the CPU.

    First, the encoder learns which bundled style has the closest strokes (`learn_choice`); this is
    reported as step 0. Then every step paints a batch of photos, each in the style of another
    variant of the style pictures, with the losses of `train`, and trains how the encoder changes
    the chosen style.

    Args:
        config: `painting` is the folder of style pictures; losses, sizes and steps as for `train`.
        run_dir: receives checkpoints and sample sheets.
        held_out: file names of paintings that are not trained on, only shown in the sheets.
        resume: continue from the checkpoint in `run_dir`.
        observer: receives progress and notes.

    Returns:
        The trained encoder, on the CPU.

    Raises:
        TrainingError: unusable data, a checkpoint made for other bundled styles, or a loss in
            `config` that Gram matrices are not enough for.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    _refuse_losses_without_targets(config)
    torch.manual_seed(config.seed)
    tune_cpu()
    paintings, shown = _pictures(config.painting, held_out)

    bank = Bank()
    netG = AnyStyleGenerator(bank)
    netE = StyleEncoder(bank, load_generator(BUNDLED_BASE)[0])
    features = load_features(config, torch.device("cpu"))
    photos = PhotoFolder.of(config)
    variants = StyleVariants(paintings, photos.paths, config, features, netE)
    sheets = StyleSheets(
        run_dir, config, netE, netG, photos.samples(3, config.crop_px), shown[:_MAX_SHOWN]
    )
    state = _first_state(config, netE, bank)
    checkpoint = run_dir / CHECKPOINT_NAME
    run_dir.mkdir(parents=True, exist_ok=True)
    if resume:
        saved = load_checkpoint(checkpoint, holds="netE")
        if saved["bank"] != bank.digest:
            raise TrainingError(
                f"{checkpoint} was made for other bundled styles; train from the start"
            )
        state.load(saved, checkpoint)
    else:
        examples = photos.samples(_PALETTE_PHOTOS, config.crop_px)
        measure_palettes(netE, netG, examples, config)
        loss = learn_choice(netE, netG, variants, examples, config, features)
        Observers([sheets, observer]).on_step(TrainStep(0, {"choice": loss}, CHOICE_LEARNING_RATE))
    objective = AnyStyleObjective(config, features, netE, netG, variants)
    recipe = loop.Recipe(config.steps, trapezoid, checkpoint, config.checkpoint_every)
    loop.run(state, objective, photos.batch, recipe, Observers([sheets, observer]))
    return netE


def _first_state(config: TrainConfig, netE: StyleEncoder, bank: Bank) -> TrainState:
    optimizer = torch.optim.AdamW(
        netE.change.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    learner = Learner(netE, optimizer, _LEARNING_RATE, _MAX_GRADIENT)
    return TrainState(
        {"E": learner}, config.batch, {"bank": bank.digest, "config": config.as_dict()}
    )


def _pictures(folder: Path, held_out: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The paintings to train on; and those to show in the sheets, the ones held out first."""
    everything = [path for path in pictures_below(folder) if _is_usable(path)]
    paintings = [path for path in everything if path.name not in held_out]
    if not paintings:
        raise TrainingError(
            f"{folder} has no pictures to train on: none that can be read, has sides of at least "
            f"{_MIN_PAINTING_PX} pixels and is not held out",
            setting="painting",
        )
    return paintings, [*(path for path in everything if path.name in held_out), *paintings[::4]]


def _refuse_losses_without_targets(config: TrainConfig) -> None:
    """Raises TrainingError for losses that need more of a style than its Gram matrices."""
    for name in ("class_share", "recolor", "palette_weight", "nearest_color_weight"):
        if getattr(config, name):
            raise TrainingError(f"{name} must be 0 for the encoder of styles", setting=name)


def _is_usable(path: Path) -> bool:
    try:
        return min(open_rgb(path).size) >= _MIN_PAINTING_PX
    except UNREADABLE:
        return False


class AnyStyleObjective:
    """The losses of `PaintingLosses`, for a batch in which each photo has its own style."""

    def __init__(
        self,
        config: TrainConfig,
        features: Features,
        netE: StyleEncoder,
        netG: AnyStyleGenerator,
        variants: StyleVariants,
    ) -> None:
        self._config = config
        self._features = features
        self._netE, self._netG = netE, netG
        self._variants = variants

    def updates(self, state: TrainState, batch: Tensor) -> Iterator[loop.Update]:
        """The update of a batch of photos, (N, 3, S, S) in 0..1, S the crop and its margins."""
        config, step = self._config, state.step + 1
        rng = np.random.default_rng((config.seed, step))
        items = range(state.batch)
        wide = batch.contiguous(memory_format=torch.channels_last)
        chosen = [self._variants[int(rng.integers(VARIANTS))] for _ in items]
        statistics = torch.cat([variant.statistics for variant in chosen])
        noise = torch.from_numpy(rng.standard_normal(statistics.shape)).float()
        log_shares, changes = self._netE.read(
            statistics + STATISTICS_NOISE * self._netE.deviation * noise
        )
        means, factors = zip(*(variant.palette for variant in chosen), strict=True)
        vectors = self._netE.vector(log_shares, changes, torch.cat(means), torch.cat(factors))
        whole = paint_with_vectors(self._netG, wide, vectors, config)
        photo, fake = (functional.pad(rgb, [-config.margin_px] * 4) for rgb in (wide, whole))
        photo = photo.contiguous(memory_format=torch.channels_last)
        gram = _gram_loss(chosen)
        painting = PaintingLosses(config, self._features, lambda painted: gram(painted.pyramid))
        # As in the last step, so that the style has its full weight from the start
        losses = painting.of(photo, fake, config.steps, torch.Generator(), state.memory)
        if config.motion_weight and step > config.freeze_norm_at * config.steps:
            views = moved_views(wide, config.crop_px, config.seed, step, items)
            moved = paint_with_vectors(self._netG, views.rgb, vectors, config)
            losses["motion"] = config.motion_weight * motion_loss(
                whole.clamp(0, 1), moved.clamp(0, 1), views
            )
        # The Gram matrices of a dark or flat picture are small, so that relative errors are huge
        losses["style"] = _STYLE_SCALE * (losses["style"] / _STYLE_SCALE).log1p()
        losses["restraint"] = _RESTRAINT * changes.square().mean()
        yield loop.Update("E", losses)


def _gram_loss(variants: Sequence[StyleVariant]) -> GramLoss:
    """The style loss of a batch, each photo towards its own variant."""
    return GramLoss(
        [
            {name: torch.cat([each.targets[scale][name] for each in variants]) for name in layers}
            for scale, layers in enumerate(variants[0].targets)
        ]
    )


class StyleSheets(TrainObserver):
    """Writes a sheet, sample_NNNNNN.png, at step 0, every `sample_every` steps, and at the end."""

    def __init__(
        self,
        run_dir: Path,
        config: TrainConfig,
        netE: StyleEncoder,
        netG: AnyStyleGenerator,
        photos: Tensor,
        pictures: Sequence[Path],
    ) -> None:
        """Args: run_dir, the folder for the sheets; photos and pictures as for `style_sheet`."""
        self._run_dir = run_dir
        self._config = config
        self._netE, self._netG = netE, netG
        self._photos = photos
        self._pictures = pictures

    def on_step(self, step: TrainStep) -> None:
        """Writes a sheet if one is due."""
        if step.step % self._config.sample_every == 0 or step.step == self._config.steps:
            sheet = style_sheet(self._netE, self._netG, self._photos, self._pictures)
            sheet.save(self._run_dir / f"sample_{step.step:06d}.png")
