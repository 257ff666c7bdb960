"""Sheets: pictures that show what a generator has learned."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from realtime_style.training.color import paint_rgb
from realtime_style.training.generator import Generator
from realtime_style.training.sharp import SharpGenerator


def sample_sheet(netG: Generator | SharpGenerator, photos: Tensor, painting: Tensor) -> Image.Image:
    """Draws photos in the top row, the painted photos below them, and the painting on the right.

    Args:
        netG: on any device, in training or evaluation mode, which is kept.
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 4.
        painting: (1, 3, h, w) RGB in 0..1.
    """
    device = next(netG.parameters()).device
    was_training = netG.training
    netG.eval()
    with torch.no_grad():
        painted = paint_rgb(netG, photos.to(device)).clamp(0, 1).cpu()
    netG.train(was_training)
    side = 2 * photos.shape[-2]
    width = round(painting.shape[-1] * side / painting.shape[-2])
    shown = functional.interpolate(painting, (side, width), mode="area")[0]
    rows = torch.cat((torch.cat(tuple(photos), 2), torch.cat(tuple(painted), 2)), 1)
    sheet = (torch.cat((rows, shown), 2) * 255).round().byte()
    return Image.fromarray(sheet.permute(1, 2, 0).numpy())
