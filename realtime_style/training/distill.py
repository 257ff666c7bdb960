"""Distillation: a smaller generator learns to paint as a trained one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from realtime_style.errors import TrainingError
from realtime_style.system.interrupts import interrupts_held_back
from realtime_style.training.checkpoint import load_checkpoint, save_checkpoint
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.config import BUNDLED_BASE
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import BatchNorm
from realtime_style.training.train import TrainStep, trapezoid

FAST = GeneratorConfig(trunk_channels=32, edge_channels=16, dilations=(1, 4, 8, 2))
"""The shape of the fast tier: half of the standard one's time."""

FAST_BASE = BUNDLED_BASE.parent / "fast" / "base.safetensors"
"""What generators of the fast tier begin at: a generator of that shape that paints."""

CROP_PX = 256
BATCH = 4
LEARNING_RATE = 5e-3
CHECKPOINT_EVERY = 100
_EDGES_WEIGHT = 2.0
_LARGEST_GRADIENT = 1.0
_FREEZE_NORM_AT = 0.5  # of the steps: from there on, normalisation uses what will run


def distill(
    teacher: Generator,
    start: Generator,
    photos: PhotoFolder,
    steps: int,
    checkpoint: Path,
    *,
    resume: bool = False,
    on_step: Callable[[TrainStep], None] = lambda step: None,
) -> Generator:
    """Trains a generator to paint photos as its teacher does (Hinton et al., arXiv 1503.02531).

    No perceptual network is asked: what a teacher paints hangs on the photo alone, stroke by
    stroke, and can be learned pixel by pixel. The loss is the mean absolute difference of colours,
    and of differences of neighbours (edges, which are most of what a stroke is), in 0..1.

    Args:
        start: the smaller generator to begin with; it is trained itself.
        photos: crops of CROP_PX.
        checkpoint: a file; it is also gone on from, where `resume` is asked for.

    Raises:
        TrainingError: photos or a checkpoint that cannot be used.
        KeyboardInterrupt: passed on, after the state is saved.
    """
    torch.set_flush_denormal(True)
    paint = teacher.folded().eval().requires_grad_(False)
    netG: Generator = start.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = Muon(netG.parameters(), LEARNING_RATE)
    step = 0
    if resume:
        state = load_checkpoint(checkpoint)
        try:
            netG.load_state_dict(state["netG"])
        except RuntimeError as error:
            raise TrainingError(f"{checkpoint} is of a generator of another shape") from error
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    with interrupts_held_back() as stop_asked:
        while step < steps:
            step += 1
            if step > _FREEZE_NORM_AT * steps:
                for module in netG.modules():
                    if isinstance(module, BatchNorm):
                        module.eval()
            rgb = photos.batch(step, range(BATCH)).contiguous(memory_format=torch.channels_last)
            luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
            with torch.no_grad():
                planes = paint(255 * luma, 255 * chroma)
                aim = rgb_from_planes(planes[0] / 255, planes[1] / 255, PLANES_COLOR).clamp(0, 1)
            painted_luma, painted_chroma = netG(luma, chroma)
            painted = rgb_from_planes(painted_luma, painted_chroma, PLANES_COLOR)
            losses = {
                "color": (painted - aim).abs().mean(),
                "edges": _EDGES_WEIGHT * _edges_apart(painted, aim),
            }
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(netG.parameters(), _LARGEST_GRADIENT)
            rate = LEARNING_RATE * trapezoid(step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            on_step(TrainStep(step, {name: float(v.detach()) for name, v in losses.items()}, rate))
            stops = stop_asked()
            if step % CHECKPOINT_EVERY == 0 or step == steps or stops:
                save_checkpoint(
                    checkpoint,
                    {"netG": netG.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                    | {"config": {"steps": steps}},
                )
            if stops:
                raise KeyboardInterrupt
    return netG


def _edges_apart(painted: Tensor, aim: Tensor) -> Tensor:
    """Mean absolute difference of the differences of neighbours, both ways; (N, 3, H, W)."""
    apart = painted - aim
    dy, dx = apart.diff(dim=2), apart.diff(dim=3)
    return (dy.abs().mean() + dx.abs().mean()) / 2
