"""The style that is none: a generator of the common base that draws its input as it is.

    python -m realtime_style.training.plain PHOTOS identity.safetensors

Strength leads from it to a style.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from realtime_style.training.checkpoint import load_generator, save_generator
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.config import BUNDLED_BASE
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.generator import Generator
from realtime_style.training.optimizer import Muon
from realtime_style.training.parallel import BatchNorm

_CROP_PX, _BATCH = 256, 2
_LEARNING_RATE = 1e-3  # small: the nearer to the base, the better the way to the styles
_WARM_UP_STEPS = 50
_GAUDY = 0.3  # part of the photos in colours that no camera sees
_EXACT = 0.4  # last part of the steps, in float32


def train_plain(
    photos: PhotoFolder,
    steps: int,
    on_step: Callable[[int, float], None] = lambda step, psnr: None,
    base: Path = BUNDLED_BASE,
) -> Generator:
    """From a base, by the squared error of planes; normalisation stays the base's."""
    torch.set_flush_denormal(True)
    netG, _ = load_generator(base)
    netG.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    for module in netG.modules():
        if isinstance(module, BatchNorm):
            module.eval()
    optimizer = Muon(netG.parameters(), lr=_LEARNING_RATE)
    for step in range(1, steps + 1):
        rgb = _recolored(photos.batch(step, range(_BATCH)), np.random.default_rng(step))
        planes = planes_from_rgb(rgb.contiguous(memory_format=torch.channels_last), PLANES_COLOR)
        with torch.autocast("cpu", torch.bfloat16, enabled=step < (1 - _EXACT) * steps):
            drawn = netG(*planes)
        loss = torch.stack(
            [(a.float() - b).square().mean() for a, b in zip(drawn, planes, strict=True)]
        ).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        rate = min(1.0, step / _WARM_UP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * _LEARNING_RATE
        optimizer.step()
        on_step(step, -10 * math.log10(loss.item() / 2))
    netG.eval()
    return netG


def _recolored(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """(N, 3, H, W) in 0..1, some with channels exchanged and made stronger or weaker."""
    pictures = []
    for picture in rgb:
        if rng.random() < _GAUDY:
            grey = picture.mean(0, keepdim=True)
            picture = picture[torch.from_numpy(rng.permutation(3))]
            picture = ((picture - grey) * rng.uniform(0, 4) + grey * rng.uniform(0.4, 1.4)).clamp(
                0, 1
            )
        pictures.append(picture)
    return torch.stack(pictures)


def main() -> None:
    """Trains and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument(
        "--base", type=Path, default=BUNDLED_BASE, help="another one to train on, as OUT itself"
    )
    arguments = parser.parse_args()

    def on_step(step: int, psnr: float) -> None:
        if step % 100 == 0:
            print(f"step {step} of {arguments.steps}: {psnr:.1f} dB", flush=True)

    photos = PhotoFolder(arguments.photos, _CROP_PX, 0)
    netG = train_plain(photos, arguments.steps, on_step, arguments.base)
    save_generator(arguments.out, netG, {"training": {"steps": arguments.steps}})


if __name__ == "__main__":
    main()
