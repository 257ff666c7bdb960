"""The training of G(x, s): an encoder that tells a bank of styles how to paint like any picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.style.bank import Bank, look_size
from realtime_style.style.bundled import IDENTITIES, STANDARD
from realtime_style.system.interrupts import interrupts_held_back
from realtime_style.training.checkpoint import load_checkpoint, load_generator, save_checkpoint
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.config import BUNDLED_BASE, TrainConfig
from realtime_style.training.dataset import UNREADABLE, PhotoFolder, open_rgb, pictures_below
from realtime_style.training.encoder import (
    AnyStyleGenerator,
    StyleEncoder,
    in_palette,
    inverse_of,
    palette_of,
    side_by_side,
)
from realtime_style.training.losses import GramLoss, gram_targets
from realtime_style.training.motion import motion_loss, moved_views
from realtime_style.training.train import Objective, TrainStep, trapezoid

_VARIANTS = 400  # crops and colourings of style pictures, whose Gram matrices are kept
_PHOTO_SHARE = 0.25  # of them that are of photos: textures and palettes that no painting has
_CHOICE_STEPS = 1000  # before the first, that learn to choose among the bank's styles
_CHOICE_BATCH = 64
_CHOICE_LEARNING_RATE = 1e-3
_NOISE = 0.3  # on statistics, in standard deviations: few paintings are known, many are meant
_GUIDE_POWER = 24.0  # how much nearer styles count more
_LEAST_DEVIATION = 1e-3
_PALETTE_PHOTOS = 16  # that styles have painted, to know their colours by
_GUIDE_PHOTOS = 4  # that styles have painted, to know them by
_STYLE_SCALE = 150.0  # weighted style losses far above count by their logarithm
_RESTRAINT = 10.0  # on the mean square of the code's changes
_LARGEST_GRADIENT = 5.0
_LEARNING_RATE = 1e-5
_WEIGHT_DECAY = 0.01


Targets = list[dict[str, Tensor]]
"""Gram matrices of a picture by layers, one set a scale."""


@dataclass(frozen=True, slots=True)
class StyleVariant:
    """A style picture as it is trained with: what the encoder sees, and what its paint must match.

    `statistics` are (1, statistics), `palette` as of `palette_of`, `targets` as of `gram_targets`.
    """

    statistics: Tensor
    palette: tuple[Tensor, Tensor]
    targets: Targets


class StyleVariants:
    """Crops of pictures in other colours, the same for the same number; kept once made."""

    def __init__(
        self,
        paintings: Sequence[Path],
        photos: Sequence[Path],
        objective: Objective,
        netE: StyleEncoder,
    ) -> None:
        self._paintings, self._photos = list(paintings), list(photos)
        self._objective = objective
        self._netE = netE
        self._kept: dict[int, StyleVariant] = {}

    def __getitem__(self, number: int) -> StyleVariant:
        """Variant `number`, from 0 up; the first ones are the paintings themselves."""
        if number not in self._kept:
            self._kept[number] = self._variant(self.picture(number))
        return self._kept[number]

    def _variant(self, picture: Image.Image) -> StyleVariant:
        config = self._objective.config
        whole = _at_painting_size(picture, config)
        with self._objective.autocast():
            targets = gram_targets(self._objective.features, [whole], config.painting_scales)
        with torch.no_grad():
            look = look_at(picture)
            return StyleVariant(self._netE.statistics(look), palette_of(look), targets)

    def picture(self, number: int) -> Image.Image:
        """What variant `number` is made of."""
        if number < len(self._paintings):
            return open_rgb(self._paintings[number])
        rng = np.random.default_rng((number, len(self._paintings)))
        while True:
            of_photos = self._photos and rng.random() < _PHOTO_SHARE
            paths = self._photos if of_photos else self._paintings
            try:
                picture = _crop(open_rgb(paths[rng.integers(len(paths))]), rng)
            except UNREADABLE:  # of which a folder of photos may have some; paintings are looked at
                continue
            return _recolored(picture, rng) if rng.random() < 0.6 else picture


def look_at(picture: Image.Image) -> Tensor:
    """A picture as the encoder sees it, (1, 3, h, w)."""
    return _resized(picture, *look_size(*picture.size))


def _at_painting_size(picture: Image.Image, config: TrainConfig) -> Tensor:
    scale = config.painting_px / max(picture.size)
    width, height = (max(32, round(side * scale / 2) * 2) for side in picture.size)
    return _resized(picture, width, height)


def _resized(picture: Image.Image, width: int, height: int) -> Tensor:
    small = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return torch.from_numpy(small.copy()).permute(2, 0, 1)[None].float() / 255


def _crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """From a third of the picture's sides to all of it, some of them mirrored."""
    share = np.exp(rng.uniform(np.log(1 / 3), 0))
    width, height = (max(64, round(side * share)) for side in picture.size)
    left = rng.integers(max(1, picture.width - width + 1))
    top = rng.integers(max(1, picture.height - height + 1))
    crop = picture.crop((left, top, left + width, top + height))
    return ImageOps.mirror(crop) if rng.random() < 0.5 else crop


def _recolored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """In other hues, as saturated and as strong in contrast as may be."""
    hsv = np.asarray(picture.convert("HSV")).copy()
    hsv[..., 0] += np.uint8(rng.integers(256))
    picture = Image.fromarray(hsv, "HSV").convert("RGB")
    for change, low, high in (
        (ImageEnhance.Color, 0.2, 1.6),
        (ImageEnhance.Contrast, 0.6, 1.4),
        (ImageEnhance.Brightness, 0.7, 1.3),
    ):
        picture = change(picture).enhance(rng.uniform(low, high))
    return ImageOps.invert(picture) if rng.random() < 0.1 else picture


def train_any_style(
    config: TrainConfig,
    run_dir: Path,
    *,
    held_out: Sequence[str] = (),
    resume: bool = False,
    on_step: Callable[[TrainStep], None] = lambda step: None,
) -> StyleEncoder:
    """Trains the encoder of G(x, s) on all paintings of a folder and on photos.

    Every step paints a batch of photos, each in the style of another variant, with the losses of
    `train` (Gram matrices of that variant). Before that, the encoder learns which of the bank's
    styles has the nearest strokes: changes of one keep them, a mixture of all has none.

    Args:
        config: `painting` is the folder of style pictures; losses, sizes and steps as for `train`.
        run_dir: receives checkpoints and sample sheets.
        held_out: file names of paintings that are left out, and shown in the sheets.

    Raises:
        TrainingError: unusable data, or a checkpoint of another bank.
        KeyboardInterrupt: passed on, after the state is saved.
    """
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    everything = [path for path in pictures_below(config.painting) if _is_picture(path)]
    paintings = [path for path in everything if path.name not in held_out]
    if not paintings:
        raise TrainingError(f"{config.painting} has no pictures; give a folder of paintings")
    bank = Bank()
    netG = AnyStyleGenerator(bank)
    netE = StyleEncoder(bank, load_generator(BUNDLED_BASE)[0])
    optimizer = torch.optim.AdamW(
        netE.change.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    objective = Objective(config, [look_at(open_rgb(paintings[0]))], torch.device("cpu"))
    photos = PhotoFolder(config.content, config.crop_px + 2 * config.margin_px, config.seed)
    variants = StyleVariants(paintings, photos.paths, objective, netE)
    shown = [*(path for path in everything if path.name in held_out), *paintings[::4]][:8]
    samples = photos.samples(3, config.crop_px)
    run_dir.mkdir(parents=True, exist_ok=True)
    checkpoint, step = run_dir / "checkpoint.pt", 0
    if resume:
        state = load_checkpoint(checkpoint, holds="netE")
        if state["bank"] != bank.digest:
            raise TrainingError(f"{checkpoint} is of other bundled styles; begin anew")
        netE.load_state_dict(state["netE"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    else:
        painted = photos.samples(_PALETTE_PHOTOS, config.crop_px)
        mean, factor = palette_of(side_by_side(painted))
        netE.photo_mean.copy_(mean)
        netE.photo_factor.copy_(factor)
        for number in range(len(bank.styles)):
            one = _painted_as_it_is(bank, netG, objective, painted, number)
            mean, factor = palette_of(side_by_side(one))
            netE.palette_means[number] = mean[0]
            netE.palette_inverses[number] = inverse_of(factor)[0]
        guide = _Guide(bank, netG, objective, painted[:_GUIDE_PHOTOS])
        loss = _learn_to_choose(netE, variants, guide, config.seed)
        on_step(TrainStep(0, {"choice": loss}, _CHOICE_LEARNING_RATE))
        style_sheet(netE, netG, samples, shown).save(run_dir / f"sample_{step:06d}.png")
    with interrupts_held_back() as stop_asked:
        while step < config.steps:
            step += 1
            on_step(_step(config, objective, netE, netG, optimizer, photos, variants, step))
            stops = stop_asked()
            if step % config.checkpoint_every == 0 or step == config.steps or stops:
                save_checkpoint(
                    checkpoint,
                    {"netE": netE.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                    | {"bank": bank.digest, "config": config.as_dict()},
                )
            if step % config.sample_every == 0 or step == config.steps:
                sheet = style_sheet(netE, netG, samples, shown)
                sheet.save(run_dir / f"sample_{step:06d}.png")
            if stops:
                raise KeyboardInterrupt
    return netE


def _step(
    config: TrainConfig,
    objective: Objective,
    netE: StyleEncoder,
    netG: AnyStyleGenerator,
    optimizer: torch.optim.Optimizer,
    photos: PhotoFolder,
    variants: StyleVariants,
    step: int,
) -> TrainStep:
    rng = np.random.default_rng((config.seed, step))
    items = range(config.batch)
    wide = photos.batch(step, items).contiguous(memory_format=torch.channels_last)
    chosen = [variants[int(rng.integers(_VARIANTS))] for _ in items]
    statistics = torch.cat([variant.statistics for variant in chosen])
    noise = torch.from_numpy(rng.standard_normal(statistics.shape)).float()
    log_shares, changes = netE.read(statistics + _NOISE * netE.deviation * noise)
    means, factors = zip(*(variant.palette for variant in chosen), strict=True)
    code = netE.code(log_shares, changes, torch.cat(means), torch.cat(factors))
    style = GramLoss.towards(
        [
            {
                name: torch.cat([variant.targets[scale][name] for variant in chosen])
                for name in chosen[0].targets[scale]
            }
            for scale in range(len(config.painting_scales))
        ]
    )
    objective.style = style
    whole = _paint(objective, netG, wide, code)
    photo, fake = (functional.pad(rgb, [-config.margin_px] * 4) for rgb in (wide, whole))
    photo = photo.contiguous(memory_format=torch.channels_last)
    losses = objective.of_pictures(photo, fake, config.steps, torch.Generator())
    if config.motion_weight and step > config.freeze_norm_at * config.steps:
        views = moved_views(wide, config.crop_px, config.seed, step, items)
        moved = _paint(objective, netG, views.rgb, code)
        losses["motion"] = config.motion_weight * motion_loss(
            whole.clamp(0, 1), moved.clamp(0, 1), views
        )
    # Of a dark or flat picture the Gram matrices are small, and relative errors beyond all others
    losses["style"] = _STYLE_SCALE * (losses["style"] / _STYLE_SCALE).log1p()
    losses["restraint"] = _RESTRAINT * changes.square().mean()
    loss = torch.stack(list(losses.values())).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(torch.nn.utils.clip_grad_norm_(netE.change.parameters(), _LARGEST_GRADIENT))
    rate = _LEARNING_RATE * trapezoid(step, config.steps)
    for group in optimizer.param_groups:
        group["lr"] = rate
    if np.isfinite(norm):  # a step of no number is left out
        optimizer.step()
    values = torch.stack([value.detach() for value in losses.values()]).tolist()
    return TrainStep(step, dict(zip(losses, values, strict=True)), rate)


def _paint(objective: Objective, netG: AnyStyleGenerator, rgb: Tensor, code: Tensor) -> Tensor:
    luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
    with objective.autocast():
        luma, chroma = netG(luma, chroma, code)
    return rgb_from_planes(luma.float(), chroma.float(), PLANES_COLOR)


def _learn_to_choose(
    netE: StyleEncoder, variants: StyleVariants, guide: _Guide, seed: int
) -> float:
    """Trains the encoder to know the nearest styles, without painting; to the loss at the end."""
    everything = [variants[number] for number in range(_VARIANTS)]
    nearness = torch.stack([guide.nearness(variants.picture(n)) for n in range(_VARIANTS)])
    statistics = torch.cat([variant.statistics for variant in everything])
    netE.mean.copy_(statistics.mean(0))
    netE.deviation.copy_(statistics.std(0) + _LEAST_DEVIATION)
    optimizer = torch.optim.AdamW(
        netE.choice.parameters(), _CHOICE_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
    )
    random = torch.Generator().manual_seed(seed)
    loss = torch.zeros(())
    for _ in range(_CHOICE_STEPS):
        numbers = torch.randint(_VARIANTS, (_CHOICE_BATCH,), generator=random)
        noise = torch.randn((_CHOICE_BATCH, statistics.shape[1]), generator=random)
        log_shares, _ = netE.read(statistics[numbers] + _NOISE * netE.deviation * noise)
        loss = -(nearness[numbers] * log_shares).sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    netE.choice.requires_grad_(False)
    return float(loss.detach())


class _Guide:
    """Knows how near the strokes of each style of the bank come to a picture's.

    By Gram matrices, all in the palette of photos: colours are brought along in any case.
    """

    def __init__(
        self, bank: Bank, netG: AnyStyleGenerator, objective: Objective, photos: Tensor
    ) -> None:
        self._objective = objective
        self._palette = palette_of(side_by_side(photos))
        self._count = len(bank.styles)
        self._styles: dict[int, Targets] = {}
        for number, style in enumerate(bank.styles):
            if (
                style.name != IDENTITIES[STANDARD].stem
            ):  # a photo is often near, and never a painting
                painted = _painted_as_it_is(bank, netG, objective, photos, number)
                self._styles[number] = self._targets(painted)

    def nearness(self, picture: Image.Image) -> Tensor:
        """Shares of the bank's styles by how near they come, (styles,)."""
        aims = self._targets(_at_painting_size(picture, self._objective.config))
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
        shares[[*self._styles]] = (-_GUIDE_POWER / 2 * torch.stack(distances).log()).softmax(0)
        return shares

    def _targets(self, pictures: Tensor) -> Targets:
        recolored = in_palette(pictures, *self._palette)
        with torch.no_grad(), self._objective.autocast():
            return gram_targets(
                self._objective.features,
                [*recolored[:, None]],
                self._objective.config.painting_scales,
            )


def _painted_as_it_is(
    bank: Bank, netG: AnyStyleGenerator, objective: Objective, photos: Tensor, number: int
) -> Tensor:
    code = torch.from_numpy(bank.code_of(number)).float()[None]
    with torch.no_grad():
        return _paint(objective, netG, photos, code.expand(len(photos), -1)).clamp(0, 1)


def style_sheet(
    netE: StyleEncoder,
    netG: AnyStyleGenerator,
    photos: Tensor,
    pictures: Sequence[Path],
) -> Image.Image:
    """A row a style picture, that first, then each photo painted like it."""
    side = photos.shape[-1]
    rows = []
    with torch.no_grad():
        for path in pictures:
            picture = open_rgb(path)
            code = netE(look_at(picture))
            luma, chroma = planes_from_rgb(photos, PLANES_COLOR)
            luma, chroma = netG(luma, chroma, code.expand(len(photos), -1))
            painted = rgb_from_planes(luma, chroma, PLANES_COLOR).clamp(0, 1)
            tiles = [np.asarray(ImageOps.fit(picture, (side, side)))]
            tiles += [(rgb * 255).round().byte().permute(1, 2, 0).numpy() for rgb in painted]
            rows.append(np.hstack(tiles))
    return Image.fromarray(np.vstack(rows))


def _is_picture(path: Path) -> bool:
    try:
        return min(open_rgb(path).size) >= 64
    except UNREADABLE:
        return False
