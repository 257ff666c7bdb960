"""The training loop, from top to bottom."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from realtime_style.training.color import planes_from_rgb, rgb_from_planes
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import PhotoFolder, load_painting
from realtime_style.training.generator import Generator
from realtime_style.training.losses import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    StyleLoss,
    content_loss,
    gamut_loss,
    grid_loss,
    total_variation,
)
from realtime_style.training.perceptual import load_features

_MIN_PAINTING_PX = 32  # five poolings lead to one pixel

PLANES_COLOR = ColorSpace()
"""The one colour space generators know: BT.709, limited range."""


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What one optimiser step reports: its number from 1, the losses by name, the rate."""

    step: int
    losses: dict[str, float]
    learning_rate: float


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    resume: bool = False,
    on_step: Callable[[TrainStep], None] | None = None,
) -> Generator:
    """Trains a generator to paint any photo in the manner of one painting.

    `run_dir` receives checkpoints, sample sheets (PNG), TensorBoard logs and, at the end,
    `generator.safetensors`. Ctrl-C ends the step at work and saves a checkpoint before it leaves;
    a second one leaves at once, with the checkpoint before.

    Raises:
        TrainingError: unusable data or settings, or a loss that is no longer a number.
        KeyboardInterrupt: passed on, after the state is saved.
    """
    if config.crop_px < 64 or config.crop_px % 32:
        raise TrainingError(
            f"the crop size must be a multiple of 32 from 64 up, not {config.crop_px}"
        )
    if config.steps < 1:
        raise TrainingError(f"there must be at least one step, not {config.steps}")
    device = _device(config.device)
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    checkpoint_path = run_dir / CHECKPOINT_NAME

    photos = PhotoFolder(config.content, config.crop_px, config.seed)
    samples = photos.samples(3)
    painting = load_painting(config.painting, config.painting_px, config.painting_detail_px)
    if min(painting.shape[-2:]) < _MIN_PAINTING_PX * max(config.painting_scales):
        raise TrainingError(
            f"{config.painting} is too small: {painting.shape[-1]}x{painting.shape[-2]}; its "
            f"shorter side must have {_MIN_PAINTING_PX * max(config.painting_scales)} pixels"
        )
    features = load_features(config.features, set(CONTENT_LAYERS) | set(STYLE_LAYERS))
    features = features.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    style_loss = StyleLoss(features, painting.to(device), config.painting_scales)
    features.bfloat16()

    start_from = checkpoint_path if resume else config.base
    netG: Generator = load_generator(start_from)[0] if start_from else Generator()
    netG = netG.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(netG.parameters(), lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.15
    )
    done = 0
    if resume:
        state = load_checkpoint(checkpoint_path)
        _refuse_other_settings(config, state["config"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        done = state["step"]

    def state_now() -> dict[str, object]:
        return {
            "netG": netG.state_dict(),
            "generator_config": dataclasses.asdict(netG.config),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "step": done,
            "config": config.as_dict(),
        }

    run_dir.mkdir(parents=True, exist_ok=True)
    netG.train()
    log = SummaryWriter(run_dir / "tensorboard", purge_step=done + 1 if done else None)
    with closing(log), _interrupts_held_back() as stop_asked:
        for step in range(done + 1, config.steps + 1):
            photo = photos.batch(step, config.batch).to(device)  # (N, 3, crop_px, crop_px)
            photo = photo.contiguous(memory_format=torch.channels_last)
            luma, chroma = planes_from_rgb(photo, PLANES_COLOR)
            with torch.autocast(device.type, torch.bfloat16):
                painted_planes = netG(luma, chroma)
            luma, chroma = (plane.float() for plane in painted_planes)
            unclamped = rgb_from_planes(luma, chroma, PLANES_COLOR)
            painted = unclamped.clamp(0, 1)  # what a screen will show
            with torch.autocast(device.type, torch.bfloat16):
                pyramid = [
                    features(functional.avg_pool2d(painted, scale))
                    for scale in config.painting_scales
                ]
                with torch.no_grad():
                    photo_features = features(photo)
            losses = {
                "content": config.content_weight * content_loss(pyramid[0], photo_features),
                "style": config.style_weight * style_loss(pyramid),
                "tv": config.tv_weight * total_variation(painted),
                "grid": config.grid_weight * grid_loss(painted),
                "gamut": config.gamut_weight * gamut_loss(unclamped),
            }
            loss_G = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(loss_G):
                raise TrainingError(
                    f"the loss is no longer a number at step {step}; resume from the last "
                    f"checkpoint with a lower learning rate than {config.learning_rate}"
                )
            optimizer.zero_grad(set_to_none=True)
            loss_G.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(netG.parameters(), 10.0)
            optimizer.step()
            scheduler.step()
            done = step

            report = TrainStep(
                step,
                {name: value.item() for name, value in losses.items()},
                float(scheduler.get_last_lr()[0]),
            )
            for name, value in report.losses.items():
                log.add_scalar(f"loss/{name}", value, step)
            log.add_scalar("learning_rate", report.learning_rate, step)
            if step % config.sample_every == 0 or step == config.steps:
                sheet = sample_sheet(netG, samples, painting)
                sheet.save(run_dir / f"sample_{step:06d}.png")
            if step % config.checkpoint_every == 0:
                save_checkpoint(checkpoint_path, state_now())
            if on_step:
                on_step(report)
            if stop_asked():
                save_checkpoint(checkpoint_path, state_now())
                raise KeyboardInterrupt
    save_checkpoint(checkpoint_path, state_now())
    save_generator(run_dir / "generator.safetensors", netG, {"training": config.as_dict()})
    return netG


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
def _interrupts_held_back() -> Iterator[Callable[[], bool]]:
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
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"there is no device '{name}'; use cpu, or auto") from error
