"""The training of the encoder: which of the included styles has the strokes of a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from realtime_style.errors import TrainingError
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.color import paint_rgb
from realtime_style.training.config import BUNDLED_BASE, BUNDLED_STROKES, TrainConfig
from realtime_style.training.dataset import UNREADABLE, PhotoFolder, open_rgb, pictures_below
from realtime_style.training.device import autocast, tune_cpu
from realtime_style.training.encoder import StyleEncoder, in_palette, palette_of, side_by_side
from realtime_style.training.generator import Generator
from realtime_style.training.losses import gram_targets
from realtime_style.training.objective import load_features
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.perceptual import Features
from realtime_style.training.style_variants import StyleVariants, at_painting_size, encoder_view

STEPS = 1000
"""How many steps the encoder is trained."""

_VARIANTS = 400  # how many variants of style pictures are used; their statistics are kept
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.01
_BATCH = 64
_NOISE = 0.3  # noise added to statistics, in standard deviations, against overfitting
_CLOSENESS_POWER = 24.0  # the larger, the more of the probability the closest style gets
_MIN_DEVIATION = 1e-3
_PHOTOS = 16  # how many photos the palette of photos is measured on
_GUIDE_PHOTOS = 4  # how many of them are painted in each style, to know its strokes
_MIN_PAINTING_PX = 64

Targets = list[dict[str, Tensor]]
"""For each scale, the Gram matrices of a picture by layer, (1, C, C); see `gram_targets`."""


def train_encoder(
    config: TrainConfig, strokes: Path = BUNDLED_STROKES, observer: TrainObserver = TrainObserver()
) -> StyleEncoder:
    """Trains the encoder on all paintings of a folder and on photos, on the CPU.

    Every picture is compared with photos that are painted with the strokes of each style; the
    encoder learns to tell from its features which style is how close.

    Args:
        config: `painting` is the folder of style pictures; `content`, `features`, precision, seed,
            and the sizes of crops and paintings are used.
        strokes: the folder of the styles' generators of strokes, NAME.safetensors.
        observer: receives progress.

    Returns:
        The trained encoder.

    Raises:
        TrainingError: unusable data, or no generators.
    """
    torch.manual_seed(config.seed)
    tune_cpu()
    generators = {path.stem: load_generator(path)[0] for path in sorted(strokes.glob("*.safe*"))}
    if not generators:
        raise TrainingError(f"{strokes} holds no generators of strokes (NAME.safetensors)")
    features = load_features(config, torch.device("cpu"))
    folder = PhotoFolder.of(config)
    photos = folder.samples(_PHOTOS, config.crop_px)
    netE = StyleEncoder([*generators], load_generator(BUNDLED_BASE)[0])
    for buffer, value in zip(
        (netE.photo_mean, netE.photo_factor), palette_of(side_by_side(photos)), strict=True
    ):
        buffer.copy_(value)
    guide = StyleGuide(generators, photos[:_GUIDE_PHOTOS], config, features)
    learn_choice(netE, guide, StyleVariants(_paintings(config.painting), folder.paths), observer)
    return netE


def _paintings(folder: Path) -> list[Path]:
    found = [path for path in pictures_below(folder) if _is_usable(path)]
    if not found:
        raise TrainingError(
            f"{folder} has no pictures to train on: none that can be read and has sides of at "
            f"least {_MIN_PAINTING_PX} pixels",
            setting="painting",
        )
    return found


def _is_usable(path: Path) -> bool:
    try:
        return min(open_rgb(path).size) >= _MIN_PAINTING_PX
    except UNREADABLE:
        return False


class StyleGuide:
    """Knows how similar the strokes of each style are to those of a picture.

    It compares Gram matrices. All pictures are first recoloured to the palette of photos, because
    the style that is chosen is given the picture's palette anyway.
    """

    def __init__(
        self,
        generators: Mapping[str, Generator],
        photos: Tensor,
        config: TrainConfig,
        features: Features,
    ) -> None:
        """Paints photos with the strokes of every style, and computes their Gram matrices.

        Args:
            generators: paint the strokes of each style, by name.
            photos: (N, 3, S, S) RGB in 0..1.
            config: precision, scales and the size of paintings are used.
            features: the feature extractor.
        """
        self._config = config
        self._features = features
        self._palette = palette_of(side_by_side(photos))
        self._styles = [self._targets(self._painted(netG, photos)) for netG in generators.values()]

    def shares(self, picture: Image.Image) -> Tensor:
        """The probability of each style to have the strokes of a picture.

        Returns:
            (styles,) float32 in the order of the generators, with the sum 1; it is the higher, the
            smaller the distance of the Gram matrices.
        """
        aims = self._targets(at_painting_size(picture, self._config))
        distances = [
            torch.stack(
                [
                    (grams[name] - aim).square().sum() / aim.square().sum()
                    for grams, target in zip(style, aims, strict=True)
                    for name, aim in target.items()
                ]
            ).mean()
            for style in self._styles
        ]
        return (-_CLOSENESS_POWER / 2 * torch.stack(distances).log()).softmax(0)

    def _targets(self, pictures: Tensor) -> Targets:
        recolored = in_palette(pictures, *self._palette)
        with torch.no_grad(), autocast(torch.device("cpu"), self._config.precision):
            return gram_targets(self._features, [*recolored[:, None]], self._config.painting_scales)

    def _painted(self, netG: Generator, photos: Tensor) -> Tensor:
        with torch.no_grad(), autocast(torch.device("cpu"), self._config.precision):
            return paint_rgb(netG.eval(), photos).clamp(0, 1)


def learn_choice(
    netE: StyleEncoder, guide: StyleGuide, variants: StyleVariants, observer: TrainObserver
) -> None:
    """Trains the layers of the encoder that interpret its features.

    Args:
        netE: the encoder; the palette of photos is set.
        guide: tells the shares to learn, for the styles of netE.
        variants: the pictures to learn from.
        observer: receives the cross-entropy of each step.
    """
    shares, statistics = [], []
    with torch.no_grad():
        for number in range(_VARIANTS):
            picture = variants.picture(number)
            shares.append(guide.shares(picture))
            statistics.append(netE.statistics(encoder_view(picture)))
    goal, seen = torch.stack(shares), torch.cat(statistics)
    netE.mean.copy_(seen.mean(0))
    netE.deviation.copy_(seen.std(0) + _MIN_DEVIATION)
    optimizer = torch.optim.AdamW(
        netE.choice.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    random = torch.Generator().manual_seed(0)
    for step in range(1, STEPS + 1):
        numbers = torch.randint(_VARIANTS, (_BATCH,), generator=random)
        noise = torch.randn((_BATCH, seen.shape[1]), generator=random)
        log_shares = netE.log_shares(seen[numbers] + _NOISE * netE.deviation * noise)
        loss = -(goal[numbers] * log_shares).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        observer.on_step(TrainStep(step, {"choice": float(loss.detach())}, _LEARNING_RATE))
