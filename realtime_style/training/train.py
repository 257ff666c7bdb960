"""The training loop, from top to bottom."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from realtime_style.errors import TrainingError
from realtime_style.frame import ColorSpace
from realtime_style.training.checkpoint import (
    CHECKPOINT_NAME,
    load_checkpoint,
    load_generator,
    save_checkpoint,
    save_generator,
)
from realtime_style.training.classes import ClassGramLoss
from realtime_style.training.color import planes_from_rgb, rgb_from_planes
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import (
    SMALLEST_PHOTO_PX,
    PhotoFolder,
    load_paintings,
    painting_crops,
)
from realtime_style.training.discriminator import Discriminator
from realtime_style.training.generator import Generator
from realtime_style.training.light import hue_loss, light_loss
from realtime_style.training.losses import (
    ADVERSARIAL_KINDS,
    GramLoss,
    WassersteinLoss,
    adversarial_loss,
    content_layers,
    content_losses,
    discriminator_loss,
    gamut_loss,
    grid_loss,
    style_layers,
    tone_loss,
    total_variation,
    weave_loss,
)
from realtime_style.training.motion import (
    ClipFolder,
    MovedViews,
    feature_motion_loss,
    motion_loss,
    moved_views,
)
from realtime_style.training.optimizer import Muon
from realtime_style.training.palette import PALETTE_PX, Palette
from realtime_style.training.parallel import (
    BatchNorm,
    in_any_process,
    leads,
    mean_over_processes,
    own_gpu,
    part_of,
    process_count,
    processes,
    share_gradients,
    wait_for_all,
)
from realtime_style.training.perceptual import Features, load_networks
from realtime_style.training.report import write_report

_NAMED = 5  # files in a note
_MIN_PAINTING_PX = 32  # five poolings lead to one pixel
_MIN_CROP_PX = 128  # of smaller ones the tone loss sees no more than it can fit to anything
_MOST_ROLLBACKS = 5
_LARGEST_GRADIENT = 10.0  # norm; larger ones are shortened
_WARM_UP, _COOL_DOWN = 0.1, 0.4  # parts of the steps
_STYLE_RISES = 0.4  # part of the steps

_LEFT = (CHECKPOINT_NAME, "generator.safetensors", "report.md", "curves.png", "sheet.png")
"""Files that a run leaves, besides its logs and samples."""

_MALLOC = {  # the numbers of malloc.h
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_TOP_PAD": (-2, 2**28),
    "M_MMAP_MAX": (-4, 0),
}

PLANES_COLOR = ColorSpace()
"""The one colour space generators know: BT.709, limited range."""


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What one optimiser step reports: its number from 1, the losses by name, netG's rate."""

    step: int
    losses: dict[str, float]
    learning_rate: float


@dataclass
class TrainState:
    """All that changes while training: what a checkpoint holds.

    `rate` multiplies all learning rates (halved after a loss that is no number), `batch` may be
    smaller than asked for where memory was short. `history` is every step's losses, `colors` are
    those painted in the last few steps (see `Palette.spread_loss`).
    """

    netG: Generator
    netD: Discriminator | None
    optimizer_G: torch.optim.Optimizer
    optimizer_D: torch.optim.Optimizer | None
    batch: int
    step: int = 0
    rate: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    colors: list[list[Tensor]] = field(default_factory=lambda: [[] for _ in PALETTE_PX])

    def as_dict(self, config: TrainConfig) -> dict[str, Any]:
        """For `save_checkpoint`."""
        return {
            "netG": self.netG.state_dict(),
            "netD": self.netD.state_dict() if self.netD else None,
            "optimizer_G": self.optimizer_G.state_dict(),
            "optimizer_D": self.optimizer_D.state_dict() if self.optimizer_D else None,
            "generator_config": dataclasses.asdict(self.netG.config),
            "rng": torch.get_rng_state(),
            "config": config.as_dict(),
        } | {name: getattr(self, name) for name in _PLAIN}

    def load(self, state: dict[str, Any]) -> None:
        """Takes over what `as_dict` gave."""
        self.netG.load_state_dict(state["netG"])
        self.optimizer_G.load_state_dict(state["optimizer_G"])
        if self.netD and self.optimizer_D:
            self.netD.load_state_dict(state["netD"])
            self.optimizer_D.load_state_dict(state["optimizer_D"])
        torch.set_rng_state(state["rng"])
        for name in _PLAIN:
            setattr(self, name, copy.copy(state[name]))


_PLAIN = ("batch", "step", "rate", "rollbacks", "seconds", "history", "colors")


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    start: Generator | None = None,
    resume: bool = False,
    on_start: Callable[[], None] | None = None,
    on_step: Callable[[TrainStep], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Generator:
    """Trains a generator to paint any photo in the manner of a painting, or of several.

    It starts as `start`, else as the config's base. `run_dir` receives checkpoints, sample sheets
    (PNG), TensorBoard logs and, at the end, `generator.safetensors` and a report; what a run before
    left there goes, unless this one resumes it. `on_start` is called when all is loaded, and that
    is gone. Ctrl-C and SIGTERM end the step at work and save a checkpoint before it leaves; a
    second one leaves at once, with the checkpoint before. A loss that is no number leads back to
    the last good checkpoint, at half the learning rate; too little memory to half the batch;
    `on_note` is told. Under torchrun every process takes its part of each batch.

    Raises:
        TrainingError: unusable data or settings, a disk that is full, or a loss that is no number
            however small the learning rate.
        KeyboardInterrupt: passed on, after the state is saved.
    """
    _refuse_unusable(config)
    device = _device(config.device)
    torch.manual_seed(config.seed)
    with processes(device):
        if start is None or resume:
            start = _first_generator(run_dir / CHECKPOINT_NAME if resume else config.base)
            if not resume:
                _refuse_base_within(run_dir, config.base)
        try:
            with _disk_errors_said_once():
                return _train(
                    config, run_dir, device, start, resume,
                    on_start or (lambda: None), on_step or _nothing, on_note or _nothing,
                )  # fmt: skip
        except OSError as error:
            raise TrainingError(
                f"{error.filename or run_dir} cannot be written: {error.strerror or error}"
                + _last_checkpoint(run_dir)
            ) from error


def _train(
    config: TrainConfig,
    run_dir: Path,
    device: torch.device,
    start: Generator,
    resume: bool,
    on_start: Callable[[], None],
    on_step: Callable[[TrainStep], None],
    on_note: Callable[[str], None],
) -> Generator:
    torch.set_flush_denormal(True)
    _keep_freed_memory()
    checkpoint_path = run_dir / CHECKPOINT_NAME

    whole_px = config.crop_px + 2 * config.margin_px
    photos = PhotoFolder(
        config.content, whole_px, config.seed,
        portraits=config.portraits, portrait_share=config.portrait_share,
        largest_zoom=config.largest_zoom, small_share=config.small_share,
    )  # fmt: skip
    clips = ClipFolder(config.clips, whole_px, config.seed) if config.clips else None
    samples = photos.samples(3, 2 * config.crop_px)
    no_paintings: list[Path] = []
    paintings = load_paintings(
        config.painting, config.painting_px, config.painting_detail_px, no_paintings,
        trim=config.painting_trim,
    )  # fmt: skip
    for folder, kind, left_out in (
        (config.painting, "pictures", no_paintings),
        (config.clips, "films", clips.skipped if clips else []),
    ):
        if left_out:
            on_note(
                f"files of {folder} that were left out, since they are no {kind}: "
                f"{', '.join(path.name for path in left_out[:_NAMED])}"
            )
    smallest = min(min(painting.shape[-2:]) for painting in paintings)
    if smallest < _MIN_PAINTING_PX * max(config.painting_scales):
        raise TrainingError(
            f"{config.painting} is too small: its shorter side has {smallest} pixels at "
            f"--painting-size {config.painting_px}; it must have "
            f"{_MIN_PAINTING_PX * max(config.painting_scales)}"
        )
    objective = Objective(config, paintings, device)
    state = _first_state(config, start, device)
    if resume:
        saved = load_checkpoint(checkpoint_path)
        _refuse_other_settings(config, saved["config"])
        state.load(saved)
        on_note(f"goes on after step {state.step} of {config.steps}")
    netG_run: _Paints = state.netG.with_features
    if config.compile:
        netG_run = torch.compile(netG_run)

    run_dir.mkdir(parents=True, exist_ok=True)
    batches = _Batches(config, photos, clips, state)
    batches.wait()  # what cannot be trained on has been refused by then
    if leads() and not resume:
        _clear(run_dir)
    state.netG.train()
    good = copy.deepcopy(state.as_dict(config))
    log = _Log(run_dir / "tensorboard", state.step, paintings[0]) if leads() else None
    began, seconds_before = time.perf_counter(), state.seconds

    def go_back(**changes: float) -> None:
        """To the last good state, with changes to it."""
        nonlocal batches
        batches.close()
        state.load(copy.deepcopy(good))
        for name, value in changes.items():
            setattr(state, name, value)
        batches = _Batches(config, photos, clips, state)

    on_start()
    with interrupts_held_back() as stop_asked:
        try:
            while state.step < config.steps:
                step = state.step + 1
                try:
                    report = _step(config, objective, state, netG_run, batches.take(step))
                except _NotANumberError:
                    rollbacks, rate = state.rollbacks + 1, state.rate / 2
                    if rollbacks > _MOST_ROLLBACKS:
                        raise TrainingError(
                            f"the loss is no longer a number at step {step}, nor was it at "
                            f"{_MOST_ROLLBACKS} smaller learning rates; give a smaller "
                            "--learning-rate or other weights"
                        ) from None
                    go_back(rollbacks=rollbacks, rate=rate)
                    on_note(
                        f"the loss is no number at step {step}: back to step {state.step}, with "
                        f"{rate:g} of the learning rate"
                    )
                    continue
                except (MemoryError, RuntimeError) as error:
                    if not _is_out_of_memory(error) or process_count() > 1:
                        raise
                    if state.batch == 1:
                        raise TrainingError(
                            "out of memory with one photo a step; give a smaller --crop"
                        ) from error
                    go_back(batch=state.batch // 2)
                    on_note(
                        f"out of memory: from step {state.step} on, {state.batch} photos a step"
                    )
                    continue
                state.step = step
                state.seconds = seconds_before + time.perf_counter() - began
                state.history.append(report.losses)
                if log:
                    log.step(report, objective.seen)
                    if step % config.sample_every == 0 or step == config.steps:
                        sheet = sample_sheet(state.netG, samples, paintings[0])
                        sheet.save(run_dir / f"sample_{step:06d}.png")
                        log.sheet(sheet, step)
                if step % config.checkpoint_every == 0:
                    good = copy.deepcopy(state.as_dict(config))
                    if leads():
                        save_checkpoint(checkpoint_path, good)
                on_step(report)
                if in_any_process(stop_asked(), device):
                    if leads():
                        save_checkpoint(checkpoint_path, state.as_dict(config))
                    wait_for_all()  # where one has left, torchrun ends the others
                    raise KeyboardInterrupt
        finally:
            batches.close()
            if log:
                log.close()
    if photos.skipped:
        names = [str(path.relative_to(config.content)) for path in sorted(photos.skipped)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        on_note(
            f"pictures of {config.content} that were left out, since they cannot be read or are "
            f"smaller than {SMALLEST_PHOTO_PX} px: {', '.join(names[:_NAMED])}{more}"
        )
    if leads():
        save_checkpoint(checkpoint_path, state.as_dict(config))
        save_generator(
            run_dir / "generator.safetensors", state.netG, {"training": config.as_dict()}
        )
        sheet = sample_sheet(state.netG, samples, paintings[0])
        write_report(run_dir, config, state.history, state.seconds, sheet)
    return state.netG


def _last_checkpoint(run_dir: Path) -> str:
    whole = (run_dir / CHECKPOINT_NAME).exists()
    return "; the last checkpoint is whole: --resume goes on with it" if whole else ""


class _NotANumberError(Exception):
    """A gradient with NaN or infinity in it."""


class Objective:
    """All losses of a run. `seen` is what the last step saw besides them, for the log."""

    def __init__(self, config: TrainConfig, paintings: list[Tensor], device: torch.device) -> None:
        scales = config.painting_scales
        layers = {name for scale in scales for name in style_layers(scale) + content_layers(scale)}
        self.features = Features(load_networks(config.features), layers)
        self.features.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.paintings = paintings
        self.device = device
        self.config = config
        on_device = [painting.to(device) for painting in paintings]
        self.style: GramLoss | WassersteinLoss
        if config.statistic == "gram":
            self.style = GramLoss(self.features, on_device, scales, config.batch_share)
        else:
            self.style = WassersteinLoss(self.features, on_device, scales)
        self.within_classes = None
        if config.class_share:
            self.within_classes = ClassGramLoss(
                self.features, on_device, scales, config.light_classes, config.hue_classes
            )
        self.palette = Palette(on_device)
        self.seen: dict[str, float] = {}

    def autocast(self) -> torch.autocast:
        """The arithmetic of networks."""
        lower = self.config.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=lower)

    def of_pictures(
        self,
        photo: Tensor,
        unclamped: Tensor,
        step: int,
        random: torch.Generator,
        colors: list[list[Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """The weighted losses of painted photos, (N, 3, H, W), that need no discriminator.

        `colors` are those of earlier steps, to which this step's are added.
        """
        config = self.config
        painted = unclamped.clamp(0, 1)  # what a screen will show
        pairs: list[tuple[Tensor, Tensor]] = []
        pyramid = []
        with self.autocast():
            for scale in config.painting_scales:
                content = content_layers(scale)
                found = self.features(
                    functional.avg_pool2d(painted, scale), {*style_layers(scale), *content}
                )
                pyramid.append(found)
                if content:
                    with torch.no_grad():
                        aims = self.features(functional.avg_pool2d(photo, scale), content)
                    pairs += [(found[name], aims[name]) for name in content]
        size, likeness = content_losses(pairs)
        losses = {
            "content": config.content_weight * size,
            "structure": config.structure_weight * likeness,
            "style": style_weight_at(config, step) * self._style(pyramid, photo, random),
            "tone": config.tone_weight * tone_loss(painted, photo),
            "tv": config.tv_weight * total_variation(painted),
            "grid": config.grid_weight * grid_loss(painted),
            "weave": config.weave_weight * weave_loss(painted),
            "gamut": config.gamut_weight * gamut_loss(unclamped),
        }
        if config.light_weight:
            losses["light"] = config.light_weight * light_loss(painted, photo)
        if config.hue_weight:
            losses["hue"] = config.hue_weight * hue_loss(painted, photo)
        if config.palette_weight:
            losses["palette"] = config.palette_weight * self.palette.spread_loss(
                painted, random, colors or [[] for _ in PALETTE_PX]
            )
        if config.nearest_color_weight:
            losses["nearest_color"] = config.nearest_color_weight * self.palette.nearest_loss(
                painted, random
            )
        return losses

    def _style(
        self, pyramid: list[dict[str, Tensor]], photo: Tensor, random: torch.Generator
    ) -> Tensor:
        """The style loss: of whole pictures, within classes, or some of both."""
        share = self.config.class_share
        parts = []
        if share < 1:
            whole = (
                self.style(pyramid)
                if isinstance(self.style, GramLoss)
                else self.style(pyramid, random)
            )
            parts.append((1 - share) * whole)
        if self.within_classes:
            parts.append(share * self.within_classes(pyramid, photo))
        return torch.stack(parts).sum()


_Paints = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""As `Generator.with_features`."""


def _paint(objective: Objective, netG_run: _Paints, rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Paints RGB (N, 3, H, W); RGB, not clamped, and features."""
    luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
    with objective.autocast():
        luma, chroma, features = netG_run(luma, chroma)
    return rgb_from_planes(luma.float(), chroma.float(), PLANES_COLOR), features


def _step(
    config: TrainConfig,
    objective: Objective,
    state: TrainState,
    netG_run: _Paints,
    batch: _Batch,
) -> TrainStep:
    """One step of netD, if there is one, and of netG; _NotANumberError instead of a bad step."""
    step, items = state.step + 1, part_of(state.batch)
    if step > config.freeze_norm_at * config.steps:
        for module in state.netG.modules():
            if isinstance(module, BatchNorm):
                module.eval()
    random = torch.Generator().manual_seed(hash((config.seed, step)) % 2**63)
    rate = state.rate * trapezoid(step, config.steps)
    photo = batch.photo.to(objective.device).contiguous(memory_format=torch.channels_last)

    shown = photo  # (N, 3, crop_px + 2 * margin_px, the same)
    if config.noise:
        whole = torch.randn((state.batch, *photo.shape[1:]), generator=random)
        noise = whole[items.start : items.stop].to(photo.device)
        shown = (photo + config.noise * noise).clamp(0, 1)
    whole, features = _paint(objective, netG_run, shown)
    # What is painted near the border counts for nothing: a generator knows a border by its padding,
    # and would put there, crop after crop, the colours that it owes the painting
    photo, fake = (functional.pad(rgb, [-config.margin_px] * 4) for rgb in (photo, whole))
    photo = photo.contiguous(memory_format=torch.channels_last)

    report: dict[str, float] = {}
    if state.netD and state.optimizer_D:
        crops = painting_crops(objective.paintings, config.crop_px, config.seed, step, items)
        real = crops.to(objective.device).contiguous(memory_format=torch.channels_last)
        with objective.autocast():
            score_real, score_fake = state.netD(real), state.netD(fake.detach().clamp(0, 1))
        loss_D = discriminator_loss(config.adversarial, score_real.float(), score_fake.float())
        norm_D = _backward(loss_D, state.netD, state.optimizer_D)
        _set_rate(state.optimizer_D, rate * config.discriminator_learning_rate)
        state.optimizer_D.step()
        report["discriminator"] = float(mean_over_processes(loss_D.detach()))
        middle = 0.5 if config.adversarial == "lsgan" else 0.0
        objective.seen = {
            "gradient_norm/D": norm_D,
            "discriminator/accuracy_real": (score_real > middle).float().mean().item(),
            "discriminator/accuracy_fake": (score_fake < middle).float().mean().item(),
        }

    losses = objective.of_pictures(photo, fake, step, random, state.colors)
    if batch.views:
        views = batch.views.to(objective.device)
        moved, moved_features = _paint(objective, netG_run, views.rgb)
        losses["motion"] = config.motion_weight * motion_loss(
            whole.clamp(0, 1), moved.clamp(0, 1), views
        )
        losses["motion_features"] = config.motion_features_weight * feature_motion_loss(
            features, moved_features, views
        )
    if state.netD:
        state.netD.requires_grad_(False)
        with objective.autocast():
            score = state.netD(fake.clamp(0, 1))
        state.netD.requires_grad_(True)
        losses["adversarial"] = config.adversarial_weight * adversarial_loss(
            config.adversarial, score.float()
        )
    loss_G = torch.stack(list(losses.values())).sum()
    norm_G = _backward(loss_G, state.netG, state.optimizer_G)
    _set_rate(state.optimizer_G, rate * config.learning_rate)
    state.optimizer_G.step()
    objective.seen["gradient_norm/G"] = norm_G
    shared = mean_over_processes(torch.stack([value.detach() for value in losses.values()]))
    report |= dict(zip(losses, shared.tolist(), strict=True))
    return TrainStep(step, report, rate * config.learning_rate)


def _backward(loss: Tensor, net: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Gradients of a loss, shared by all processes and not too long; gives their former length."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    share_gradients(net.parameters())
    norm = float(nn.utils.clip_grad_norm_(net.parameters(), _LARGEST_GRADIENT))
    if not math.isfinite(norm):
        raise _NotANumberError
    return norm


def trapezoid(step: int, steps: int) -> float:
    """The learning rate over its peak: up along a cosine, level, down along a cosine to nothing.

    Level for long, since the style has its full weight only late (Haegele et al., arXiv
    2405.18392); steps count from 1.
    """
    up = step / max(1.0, _WARM_UP * steps)
    down = (steps + 1 - step) / max(1.0, _COOL_DOWN * steps)
    return (1 - math.cos(math.pi * min(1.0, up, down))) / 2


def style_weight_at(config: TrainConfig, step: int) -> float:
    """The weight of the style loss, which grows from a part of itself: content comes first."""
    left = max(0.0, 1 - step / (_STYLE_RISES * config.steps))
    return config.style_weight * math.pow(config.style_start, left)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _first_generator(file: Path | None) -> Generator:
    return load_generator(file)[0] if file else Generator()


def _first_state(config: TrainConfig, netG: Generator, device: torch.device) -> TrainState:
    netG = netG.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer_G = Muon(netG.parameters(), lr=config.learning_rate)
    netD, optimizer_D = None, None
    if config.adversarial != "none":
        netD = Discriminator().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer_D = torch.optim.Adam(
            netD.parameters(), lr=config.discriminator_learning_rate, betas=(0.5, 0.99)
        )
    return TrainState(netG, netD, optimizer_G, optimizer_D, config.batch)


@dataclass(frozen=True, slots=True)
class _Batch:
    """This process's photos of a step, (N, 3, H, W) in 0..1, and second views of them."""

    photo: Tensor
    views: MovedViews | None


class _Batches:
    """Batch after batch, read one step ahead on a thread."""

    def __init__(
        self, config: TrainConfig, photos: PhotoFolder, clips: ClipFolder | None, state: TrainState
    ) -> None:
        self._config = config
        self._photos = photos
        self._clips = clips
        self._items = part_of(state.batch)
        self._attempt = state.rollbacks  # what led to no number would do so again
        self._reader = ThreadPoolExecutor(1)
        self._next = self._submit(state.step + 1)

    def _submit(self, step: int) -> Future[_Batch]:
        return self._reader.submit(self._read, step)

    def _read(self, step: int) -> _Batch:
        config = self._config
        # Two views painted with statistics of their own would differ by these
        moves = config.motion_weight or config.motion_features_weight
        moves = moves and step > config.freeze_norm_at * config.steps
        if moves and self._clips and step % 2:
            return _Batch(*self._clips.batch(step, self._items, config.crop_px))
        photo = self._photos.batch(step, self._items, self._attempt)
        if not moves:
            return _Batch(photo, None)
        return _Batch(photo, moved_views(photo, config.crop_px, config.seed, step, self._items))

    def wait(self) -> None:
        """Until the next step's is read; raises TrainingError where no photo can be."""
        self._next.result()

    def take(self, step: int) -> _Batch:
        """The next step's."""
        batch = self._next.result()
        self._next = self._submit(step + 1)
        return batch

    def close(self) -> None:
        """Ends the thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)


class _Log:
    """Everything about a run, for TensorBoard."""

    def __init__(self, folder: Path, done: int, painting: Tensor) -> None:
        self._writer = SummaryWriter(folder, purge_step=done + 1 if done else None)
        if not done:
            self._writer.add_image("painting", painting[0], 0)

    def step(self, report: TrainStep, seen: dict[str, float]) -> None:
        for name, value in report.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, report.step)
        self._writer.add_scalar("learning_rate", report.learning_rate, report.step)
        for name, value in seen.items():
            self._writer.add_scalar(name, value, report.step)

    def sheet(self, sheet: Image.Image, step: int) -> None:
        pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
        self._writer.add_image(
            "samples", pixels.view(sheet.height, sheet.width, 3), step, dataformats="HWC"
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a disk that is full; said already
            self._writer.close()


def _clear(run_dir: Path) -> None:
    """Takes away what a run before has left, which would be taken for the new one's."""
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
    for left in (*(run_dir / name for name in _LEFT), *run_dir.glob("sample_*.png")):
        left.unlink(missing_ok=True)


@contextmanager
def _disk_errors_said_once() -> Iterator[None]:
    """TensorBoard's writing thread prints its errors, which its next caller gets as well."""
    former = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            former(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = former


def sample_sheet(netG: Generator, photos: Tensor, painting: Tensor) -> Image.Image:
    """Photos above, their paintings by the generator below, the painting itself at the right.

    Args:
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 4.
        painting: (1, 3, h, w) RGB in 0..1.
    """
    device = next(netG.parameters()).device
    was_training = netG.training
    netG.eval()
    with torch.no_grad():
        luma, chroma = netG(*planes_from_rgb(photos.to(device), PLANES_COLOR))
        painted = rgb_from_planes(luma, chroma, PLANES_COLOR).clamp(0, 1).cpu()
    netG.train(was_training)
    side = 2 * photos.shape[-2]
    width = round(painting.shape[-1] * side / painting.shape[-2])
    shown = functional.interpolate(painting, (side, width), mode="area")[0]
    rows = torch.cat((torch.cat(tuple(photos), 2), torch.cat(tuple(painted), 2)), 1)
    sheet = (torch.cat((rows, shown), 2) * 255).round().byte()
    return Image.fromarray(sheet.permute(1, 2, 0).numpy())


@contextmanager
def interrupts_held_back() -> Iterator[Callable[[], bool]]:
    """Makes Ctrl-C wait until it is asked for: half an optimiser step cannot be resumed from."""
    asked = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():  # signals do not come here
        yield lambda: False
        return
    former = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _keep_freed_memory() -> None:
    """Has glibc keep what a step frees for the next one.

    Else it asks the system for the same gigabyte again in every step, page by page: a sixth of
    the step's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _MALLOC.values():
            mallopt(option, value)


def _nothing(_: object) -> None:
    pass


def _is_out_of_memory(error: Exception) -> bool:
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


_WEIGHTS = (
    "content", "structure", "tone", "light", "hue", "palette", "nearest_color", "style",
    "tv", "gamut", "grid", "weave", "adversarial", "motion", "motion_features",
)  # fmt: skip
_RANGES = {  # what a setting may be; beyond, it is a slip
    "painting_px": (64, 2048),
    "painting_detail_px": (64, 4096),
    "painting_trim": (0, 0.5),
    "painting_scales": (1, 8),
    **{f"{name}_weight": (0, 1e6) for name in _WEIGHTS},
    "batch_share": (0, 1),
    "class_share": (0, 1),
    "light_classes": (1, 3),
    "portrait_share": (0, 1),
    "largest_zoom": (1, 16),
    "small_share": (0, 1),
    "style_start": (1e-6, 1),
    "noise": (0, 1),
    "freeze_norm_at": (0, 1),
    "learning_rate": (1e-9, 1e9),
    "discriminator_learning_rate": (1e-9, 1e9),
    "seed": (0, 2**63 - 1),
    "checkpoint_every": (1, 1e9),
    "sample_every": (1, 1e9),
}


def _refuse_unusable(config: TrainConfig) -> None:
    if config.margin_px < 0 or config.margin_px % 4:
        raise TrainingError(f"the margin must be a multiple of 4, not {config.margin_px}")
    if config.crop_px < _MIN_CROP_PX or config.crop_px % 32:
        raise TrainingError(
            f"the crop size must be a multiple of 32 from {_MIN_CROP_PX} up, not {config.crop_px}"
        )
    for what, value in (("step", config.steps), ("photo a step", config.batch)):
        if value < 1:
            raise TrainingError(f"there must be at least one {what}, not {value}")
    for name, (low, high) in _RANGES.items():
        values = getattr(config, name)
        for number in values if isinstance(values, tuple) else (values,):
            if not low <= number <= high:
                raise TrainingError(f"{name} must be from {low:g} to {high:g}, not {number:g}")
    for name, value_given, choices in (
        ("adversarial", config.adversarial, ("none", *ADVERSARIAL_KINDS)),
        ("statistic", config.statistic, ("gram", "wasserstein")),
        ("precision", config.precision, ("bf16", "f32")),
    ):
        if value_given not in choices:
            raise TrainingError(f"there is no {name} '{value_given}'; choose {', '.join(choices)}")


def _refuse_base_within(run_dir: Path, base: Path | None) -> None:
    """A run begun anew takes away what it would begin from, and stopped early leaves neither."""
    if base and base.resolve() in {(run_dir / name).resolve() for name in _LEFT}:
        raise TrainingError(
            f"{base} goes as its run is begun anew; give another --out, or a copy of it as --base"
        )


def _refuse_other_settings(config: TrainConfig, former: dict[str, Any]) -> None:
    """A run goes on as it began: its schedule and its crops hang on the settings."""
    asked = config.as_dict()
    for name in asked.keys() - {"device", "checkpoint_every", "sample_every"}:
        if asked[name] != former.get(name):
            raise TrainingError(
                f"the checkpoint was made with {name} = {former.get(name)}, not {asked[name]}; "
                "resume with the same settings"
            )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{own_gpu()}"
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        more = own_gpu() and name.startswith("cuda")
        how = "start no more processes than there are GPUs" if more else "use cpu, or auto"
        raise TrainingError(f"there is no device '{name}'; {how}") from error
