"""What style training minimises: the losses of painted photos, and of a discriminator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.training.batches import StyleBatch
from realtime_style.training.classes import ClassGramLoss
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import painting_crops
from realtime_style.training.device import autocast
from realtime_style.training.discriminator import Discriminator
from realtime_style.training.generator import Generator, freeze_norm
from realtime_style.training.light import hue_loss, light_loss
from realtime_style.training.loop import Update
from realtime_style.training.losses import (
    GramLoss,
    WassersteinLoss,
    adversarial_loss,
    content_layers,
    content_losses,
    discriminator_loss,
    gamut_loss,
    gram_targets,
    grid_loss,
    style_layers,
    tone_loss,
    total_variation,
    weave_loss,
)
from realtime_style.training.motion import MovedViews, feature_motion_loss, motion_loss
from realtime_style.training.palette import Palette, no_colors
from realtime_style.training.parallel import part_of
from realtime_style.training.perceptual import Features, load_networks
from realtime_style.training.recoloring import Recoloring, color_loss
from realtime_style.training.schedule import style_share
from realtime_style.training.state import TrainState

Pyramid = list[dict[str, Tensor]]
"""Features of pictures by layer, one set for each scale."""


@dataclass(frozen=True)
class Painted:
    """Painted photos as the losses see them.

    Attributes:
        photo: what was painted, (N, 3, H, W) in 0..1, on the training device; with `recolor`, in
            the painting's colours.
        unclamped: what the generator returned for it, the same shape, any range.
        rgb: the same in 0..1, as a screen shows it.
        pyramid: features of `rgb`, shrunk by each of the configuration's scales.
        photo_pyramid: features of `photo`, only of the content layers.
        random: random numbers that are the same in every process.
        memory: what losses keep between steps, `TrainState.memory`.
    """

    photo: Tensor
    unclamped: Tensor
    rgb: Tensor
    pyramid: Pyramid
    photo_pyramid: Pyramid
    random: torch.Generator
    memory: dict[str, Any]

    @cached_property
    def content_and_structure(self) -> tuple[Tensor, Tensor]:
        """See `content_losses`, which computes both at once."""
        pairs = [
            (found[name], aim)
            for found, aims in zip(self.pyramid, self.photo_pyramid, strict=True)
            for name, aim in aims.items()
        ]
        return content_losses(pairs)


PaintedLoss = Callable[[Painted], Tensor]
"""A loss of painted photos: a scalar, not weighted."""


@dataclass(frozen=True, slots=True)
class Term:
    """A loss as it enters the objective.

    Attributes:
        name: in logs and reports.
        weight: a number, or a function of the step (from 1). At 0 the loss is not computed.
        loss: the function.
    """

    name: str
    weight: float | Callable[[int], float]
    loss: PaintedLoss


def terms_of(config: TrainConfig, style: PaintedLoss) -> tuple[Term, ...]:
    """Every loss of painted photos, except `palette_terms`.

    To add one, add its line here and its weight to the config.
    """
    return (
        Term("content", config.content_weight, lambda painted: painted.content_and_structure[0]),
        Term(
            "structure", config.structure_weight, lambda painted: painted.content_and_structure[1]
        ),
        Term("style", lambda step: style_weight_at(config, step), style),
        Term("tone", config.tone_weight, lambda painted: tone_loss(painted.rgb, painted.photo)),
        Term("tv", config.tv_weight, lambda painted: total_variation(painted.rgb)),
        Term("grid", config.grid_weight, lambda painted: grid_loss(painted.rgb)),
        Term("weave", config.weave_weight, lambda painted: weave_loss(painted.rgb)),
        Term("gamut", config.gamut_weight, lambda painted: gamut_loss(painted.unclamped)),
        Term("light", config.light_weight, lambda painted: light_loss(painted.rgb, painted.photo)),
        Term("color", config.color_weight, lambda painted: color_loss(painted.rgb, painted.photo)),
        Term("hue", config.hue_weight, lambda painted: hue_loss(painted.rgb, painted.photo)),
    )


def palette_terms(config: TrainConfig, palette: Palette) -> tuple[Term, ...]:
    """The losses towards the colours of paintings; earlier colours are in the state's memory."""

    def spread(painted: Painted) -> Tensor:
        earlier = painted.memory.setdefault("palette", no_colors())
        return palette.spread_loss(painted.rgb, painted.random, earlier)

    def nearest(painted: Painted) -> Tensor:
        return palette.nearest_loss(painted.rgb, painted.random)

    return (
        Term("palette", config.palette_weight, spread),
        Term("nearest_color", config.nearest_color_weight, nearest),
    )


def style_weight_at(config: TrainConfig, step: int) -> float:
    """The weight of the style loss in a step (from 1); see `style_share`."""
    return config.style_weight * style_share(config.style_start, step, config.steps)


class PaintingLosses:
    """The weighted losses of painted photos: all of them but motion and a discriminator."""

    def __init__(
        self,
        config: TrainConfig,
        features: Features,
        style: PaintedLoss,
        more: tuple[Term, ...] = (),
    ) -> None:
        """Sets the losses up.

        Args:
            config: weights and scales.
            features: of `load_features`.
            style: of `style_loss`, or one for its own batch.
            more: further losses, such as `palette_terms`.
        """
        self._config = config
        self._features = features
        self._terms = terms_of(config, style) + more

    def of(
        self,
        photo: Tensor,
        unclamped: Tensor,
        step: int,
        random: torch.Generator,
        memory: dict[str, Any],
    ) -> dict[str, Tensor]:
        """Weighted losses by name, scalars. Arguments as in `Painted`; step, from 1.

        Raises:
            TrainingError: all weights are 0.
        """
        config = self._config
        rgb = unclamped.clamp(0, 1)
        pyramid: Pyramid = []
        photo_pyramid: Pyramid = []
        with autocast(photo.device, config.precision):
            for scale in config.painting_scales:
                content = content_layers(scale)
                layers = {*style_layers(scale), *content}
                pyramid.append(self._features(functional.avg_pool2d(rgb, scale), layers))
                with torch.no_grad():
                    small = functional.avg_pool2d(photo, scale)
                    photo_pyramid.append(self._features(small, content) if content else {})
        painted = Painted(photo, unclamped, rgb, pyramid, photo_pyramid, random, memory)
        losses = {}
        for term in self._terms:
            weight = term.weight(step) if callable(term.weight) else term.weight
            if weight:
                losses[term.name] = weight * term.loss(painted)
        if not losses:
            raise TrainingError("no loss of painted photos has a weight above 0")
        return losses


def load_features(config: TrainConfig, device: torch.device) -> Features:
    """The feature extractor of all losses of a configuration.

    Raises:
        TrainingError: weights that cannot be read, or that lack a layer.
    """
    layers = {
        name
        for scale in config.painting_scales
        for name in style_layers(scale) + content_layers(scale)
    }
    features = Features(load_networks(config.features), layers)
    features.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return features


def style_loss(config: TrainConfig, features: Features, paintings: list[Tensor]) -> PaintedLoss:
    """The style loss towards paintings, each (1, 3, H, W) in 0..1 on the training device.

    It compares whole pictures, classes of their parts, or some of both; see `class_share`.
    """
    share = config.class_share
    if not share:
        return _whole_style_loss(config, features, paintings)
    classes = ClassGramLoss(
        features,
        paintings,
        config.painting_scales,
        config.light_classes,
        config.hue_classes,
        recolored=config.recolor,
    )
    if share == 1:
        return lambda painted: classes(painted.pyramid, painted.photo)
    whole = _whole_style_loss(config, features, paintings)

    def both(painted: Painted) -> Tensor:
        within: Tensor = classes(painted.pyramid, painted.photo)
        return (1 - share) * whole(painted) + share * within

    return both


def _whole_style_loss(
    config: TrainConfig, features: Features, paintings: list[Tensor]
) -> PaintedLoss:
    scales = config.painting_scales
    if config.statistic == "gram":
        gram = GramLoss(gram_targets(features, paintings, scales), config.batch_share)
        return lambda painted: gram(painted.pyramid)
    wasserstein = WassersteinLoss(features, paintings, scales)
    return lambda painted: wasserstein(painted.pyramid, painted.random)


class StyleObjective:
    """The objective of `train`: one generator learns a style, with or without a discriminator."""

    def __init__(
        self,
        config: TrainConfig,
        paintings: list[Tensor],
        features: Features,
        netG: Generator,
        netD: Discriminator | None,
        device: torch.device,
        recoloring: Recoloring | None = None,
    ) -> None:
        """Sets the losses up.

        Args:
            config: weights and settings.
            paintings: each (1, 3, H, W) in 0..1, on the CPU.
            features: of `load_features`.
            netG: the generator, on the device.
            netD: the discriminator, on the device.
            device: the training device.
            recoloring: changes photos before painted ones are compared with them.
        """
        self._config = config
        self._paintings = paintings
        self._device = device
        self._recoloring = recoloring
        self._netG, self._netD = netG, netD
        self._run_netG = torch.compile(netG.with_features) if config.compile else netG.with_features
        on_device = [each.to(device) for each in paintings]
        style = style_loss(config, features, on_device)
        palette = palette_terms(config, Palette(on_device))
        self._losses = PaintingLosses(config, features, style, palette)

    def updates(self, state: TrainState, batch: StyleBatch) -> Iterator[Update]:
        """An update of netD, if there is one, and then of netG."""
        config, step, items = self._config, state.step + 1, part_of(state.batch)
        if step > config.freeze_norm_at * config.steps:
            freeze_norm(self._netG)
        random = torch.Generator().manual_seed(hash((config.seed, step)) % 2**63)
        photo = batch.photo.to(self._device).contiguous(memory_format=torch.channels_last)
        shown = photo  # (N, 3, crop_px + 2 * margin_px, the same)
        if config.noise:
            noise = torch.randn((state.batch, *photo.shape[1:]), generator=random)
            noise = noise[items.start : items.stop].to(photo.device)
            shown = (photo + config.noise * noise).clamp(0, 1)
        whole, features = self._paint(shown)
        # The margin is not judged: a generator recognises the border by its padding, and would put
        # the painting's colours along the border of every crop, and nowhere else
        photo, fake = (functional.pad(rgb, [-config.margin_px] * 4) for rgb in (photo, whole))
        photo = photo.contiguous(memory_format=torch.channels_last)
        if self._netD:
            yield self._discriminate(self._netD, fake.detach(), step, items)
        if self._recoloring:
            photo = self._recoloring(photo).contiguous(memory_format=torch.channels_last)
        losses = self._losses.of(photo, fake, step, random, state.memory)
        if batch.views:
            losses |= self._motion_losses(whole, features, batch.views.to(self._device))
        if self._netD:
            losses["adversarial"] = config.adversarial_weight * self._adversarial(self._netD, fake)
        yield Update("G", losses)

    def _paint(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """RGB (N, 3, H, W) to painted RGB, not clamped, and the trunk's features."""
        luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
        with autocast(self._device, self._config.precision):
            luma, chroma, features = self._run_netG(luma, chroma)
        return rgb_from_planes(luma.float(), chroma.float(), PLANES_COLOR), features

    def _discriminate(self, netD: Discriminator, fake: Tensor, step: int, items: range) -> Update:
        config = self._config
        crops = painting_crops(self._paintings, config.crop_px, config.seed, step, items)
        real = crops.to(self._device).contiguous(memory_format=torch.channels_last)
        with autocast(self._device, config.precision):
            score_real, score_fake = netD(real), netD(fake.clamp(0, 1))
        loss = discriminator_loss(config.adversarial, score_real.float(), score_fake.float())
        middle = 0.5 if config.adversarial == "lsgan" else 0.0
        seen = {
            "discriminator/accuracy_real": (score_real > middle).float().mean().item(),
            "discriminator/accuracy_fake": (score_fake < middle).float().mean().item(),
        }
        return Update("D", {"discriminator": loss}, seen)

    def _adversarial(self, netD: Discriminator, fake: Tensor) -> Tensor:
        netD.requires_grad_(False)
        with autocast(self._device, self._config.precision):
            score = netD(fake.clamp(0, 1))
        netD.requires_grad_(True)
        return adversarial_loss(self._config.adversarial, score.float())

    def _motion_losses(
        self, whole: Tensor, features: Tensor, views: MovedViews
    ) -> dict[str, Tensor]:
        """The losses between painted photos and their painted second views."""
        config = self._config
        moved, moved_features = self._paint(views.rgb)
        motion = motion_loss(whole.clamp(0, 1), moved.clamp(0, 1), views)
        of_features = feature_motion_loss(features, moved_features, views)
        return {
            "motion": config.motion_weight * motion,
            "motion_features": config.motion_features_weight * of_features,
        }
