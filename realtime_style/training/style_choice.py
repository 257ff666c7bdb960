"""The first part of the encoder's training: which bundled style is closest to a picture."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from realtime_style.style.bundled import IDENTITIES, STANDARD
from realtime_style.training.color import paint_rgb
from realtime_style.training.config import TrainConfig
from realtime_style.training.device import autocast
from realtime_style.training.encoder import (
    AnyStyleGenerator,
    StyleEncoder,
    in_palette,
    inverse_of,
    palette_of,
    side_by_side,
)
from realtime_style.training.losses import gram_targets
from realtime_style.training.perceptual import Features
from realtime_style.training.style_variants import StyleVariants, Targets, at_painting_size

LEARNING_RATE = 1e-3
VARIANTS = 400  # how many variants of style pictures are used; their Gram matrices are kept
STATISTICS_NOISE = 0.3  # noise added to statistics, in standard deviations, against overfitting
_STEPS = 1000
_BATCH = 64
_CLOSENESS_POWER = 24.0  # the larger, the more of the probability the closest style gets
_MIN_DEVIATION = 1e-3
_GUIDE_PHOTOS = 4  # how many photos are painted in each bundled style, to know its strokes
_WEIGHT_DECAY = 0.01


def measure_palettes(
    netE: StyleEncoder, netG: AnyStyleGenerator, photos: Tensor, config: TrainConfig
) -> None:
    """Measures the palettes that netE uses: that of photos, and that of each painted style.

    Args:
        netE: its palettes are set.
        netG: paints in the styles of its bank.
        photos: (N, 3, S, S) RGB in 0..1.
        config: its precision is used for painting.
    """
    mean, factor = palette_of(side_by_side(photos))
    netE.photo_mean.copy_(mean)
    netE.photo_factor.copy_(factor)
    for number in range(len(netG.bank.styles)):
        painted = _paint_in_style(netG, photos, number, config)
        mean, factor = palette_of(side_by_side(painted))
        netE.palette_means[number] = mean[0]
        netE.palette_inverses[number] = inverse_of(factor)[0]


def learn_choice(
    netE: StyleEncoder,
    netG: AnyStyleGenerator,
    variants: StyleVariants,
    photos: Tensor,
    config: TrainConfig,
    features: Features,
) -> float:
    """Trains netE to choose the bundled style whose strokes are most similar to a picture's.

    The layers that choose are a classifier of statistics, which are computed only once, so that a
    thousand steps take seconds. Afterwards they are frozen. Targets are those of `StyleGuide`.

    Args:
        netE: trained in place; the mean and deviation of its statistics are set as well.
        netG: paints in the styles of its bank.
        variants: the style pictures to train on.
        photos: (N, 3, S, S) RGB in 0..1; a few of them are painted to know each style's strokes.
        config: precision, scales and seed are used.
        features: the feature extractor.

    Returns:
        The cross-entropy in the last step.
    """
    everything = [variants[number] for number in range(VARIANTS)]
    guide = StyleGuide(netG, photos[:_GUIDE_PHOTOS], config, features)
    shares = torch.stack([guide.shares(variants.picture(n)) for n in range(VARIANTS)])
    statistics = torch.cat([variant.statistics for variant in everything])
    netE.mean.copy_(statistics.mean(0))
    netE.deviation.copy_(statistics.std(0) + _MIN_DEVIATION)
    optimizer = torch.optim.AdamW(
        netE.choice.parameters(), LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    random = torch.Generator().manual_seed(config.seed)
    loss = torch.zeros(())
    for _ in range(_STEPS):
        numbers = torch.randint(VARIANTS, (_BATCH,), generator=random)
        noise = torch.randn((_BATCH, statistics.shape[1]), generator=random)
        log_shares, _ = netE.read(statistics[numbers] + STATISTICS_NOISE * netE.deviation * noise)
        loss = -(shares[numbers] * log_shares).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    netE.choice.requires_grad_(False)
    return float(loss.detach())


class StyleGuide:
    """Knows how similar the strokes of each bundled style are to those of a picture.

    It compares Gram matrices. All pictures are first recoloured to the palette of photos, because
    netE recolours the style that it chooses anyway.
    """

    def __init__(
        self, netG: AnyStyleGenerator, photos: Tensor, config: TrainConfig, features: Features
    ) -> None:
        """Paints photos in every style of the bank, and computes their Gram matrices.

        Args:
            netG: paints in the styles of its bank.
            photos: (N, 3, S, S) RGB in 0..1.
            config: precision, scales and the size of paintings are used.
            features: the feature extractor.
        """
        self._config = config
        self._features = features
        self._palette = palette_of(side_by_side(photos))
        self._count = len(netG.bank.styles)
        self._styles: dict[int, Targets] = {}
        for number, style in enumerate(netG.bank.styles):
            # The identity style is left out: a photo is often close to it, a painting never
            if style.name != IDENTITIES[STANDARD].stem:
                self._styles[number] = self._targets(_paint_in_style(netG, photos, number, config))

    def shares(self, picture: Image.Image) -> Tensor:
        """The probability of each style of the bank to have the strokes of a picture.

        Returns:
            (styles,) float32 in the order of `Bank.styles`, with the sum 1; it is the higher, the
            smaller the distance of the Gram matrices. The identity style has 0.
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
            for style in self._styles.values()
        ]
        shares = torch.zeros(self._count)
        shares[[*self._styles]] = (-_CLOSENESS_POWER / 2 * torch.stack(distances).log()).softmax(0)
        return shares

    def _targets(self, pictures: Tensor) -> Targets:
        recolored = in_palette(pictures, *self._palette)
        with torch.no_grad(), autocast(torch.device("cpu"), self._config.precision):
            return gram_targets(self._features, [*recolored[:, None]], self._config.painting_scales)


def _paint_in_style(
    netG: AnyStyleGenerator, photos: Tensor, number: int, config: TrainConfig
) -> Tensor:
    """Paints photos, (N, 3, S, S) in 0..1, in the style with this index in the bank; clamped."""
    vector = torch.from_numpy(netG.bank.vector_of(number)).float()[None].expand(len(photos), -1)
    with torch.no_grad():
        return paint_with_vectors(netG, photos, vector, config).clamp(0, 1)


def paint_with_vectors(
    netG: AnyStyleGenerator, rgb: Tensor, vectors: Tensor, config: TrainConfig
) -> Tensor:
    """Paints pictures, each in the style that its style vector describes.

    Args:
        netG: the generator.
        rgb: (N, 3, H, W) in 0..1, sides multiples of 4.
        vectors: (N, vector_size).
        config: its precision is used.

    Returns:
        The painted pictures, in the shape of `rgb`, not clamped.
    """

    def paint(luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(rgb.device, config.precision):
            planes: tuple[Tensor, Tensor] = netG(luma, chroma, vectors)
            return planes

    return paint_rgb(paint, rgb)
