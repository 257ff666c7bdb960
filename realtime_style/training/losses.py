"""What a good painting is, as numbers to make small."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.perceptual import Features

GRID_PX = 4
GRID_WINDOW_PX = 32
CONTENT_LAYERS = ("relu3_1", "relu4_1")
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrix (Gatys et al., CVPR 2016, eq. 3) over the number of positions.

    (N, C, H, W) to (N, C, C) in float32. The product is taken in the features' own type and sums
    in float32 inside: in bfloat16 that costs a third, at an error (2^-9) far below any style loss.
    """
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)  # (N, HW, C): no copy where channels_last
    return (flat.transpose(1, 2) @ flat).float() / flat.shape[1]


def content_loss(painted: dict[str, Tensor], photo: dict[str, Tensor]) -> Tensor:
    """Squared error of features over the photo's energy (Johnson et al., ECCV 2016, eq. 2).

    Relative, so that it means the same at every layer: 0 for the photo itself, 1 for grey.
    Averaged over CONTENT_LAYERS; a scalar.
    """
    errors = [
        (painted[layer].float() - photo[layer].float()).square().sum()
        / photo[layer].float().square().sum()
        for layer in CONTENT_LAYERS
    ]
    return torch.stack(errors).mean()


def total_variation(rgb: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, both ways; (N, 3, H, W) in 0..1 to a scalar."""
    dy = (rgb[:, :, 1:] - rgb[:, :, :-1]).abs().mean()
    dx = (rgb[:, :, :, 1:] - rgb[:, :, :, :-1]).abs().mean()
    return dy + dx


def gamut_loss(rgb: Tensor) -> Tensor:
    """Mean squared distance of colours to what a screen can show; (N, 3, H, W), 0 within 0..1."""
    return (rgb - rgb.clamp(0, 1)).square().mean()


def grid_loss(rgb: Tensor) -> Tensor:
    """How far a picture's texture is tied to the grid of the network's strides.

    A generator whose trunk runs at a quarter of the size can fill calm areas with one tile of
    4x4 pixels again and again; it looks like a screen before the picture, and stands still when
    the film moves. In every window of 32x32 pixels, the 16 places within such a tile are averaged
    over all tiles; the variance of the averages is the grid's energy. Strokes that are not tied
    to the grid average out.

    (N, 3, H, W) in 0..1, sides multiples of 4, at least 32; to a scalar, 0 for no grid.
    """
    phases = functional.pixel_unshuffle(rgb, GRID_PX)  # (N, 3 * 16, H/4, W/4)
    means = functional.avg_pool2d(phases, GRID_WINDOW_PX // GRID_PX, GRID_WINDOW_PX // GRID_PX // 2)
    n, _, h, w = means.shape
    tiles = means.reshape(n, 3, GRID_PX**2, h, w)
    return tiles.var(2, unbiased=False).mean()


class StyleLoss(nn.Module):
    """Distance of a picture's Gram matrices to a painting's (Johnson et al., ECCV 2016, eq. 4).

    Each layer's squared error is relative to the painting's own energy, so that layers weigh the
    same. Looked at in several scales: the picture and the painting at full size for the touch of
    the brush, both shrunk for the larger forms.

    A batch's Gram matrices are averaged first: the batch as a whole must look like the painting,
    as the painting has calm and busy, light and dark places side by side. Asked of every crop for
    itself, each would need all of them, and a light sky would come out as a dark, busy one.
    """

    def __init__(self, features: Features, painting: Tensor, scales: tuple[int, ...]) -> None:
        """Args: painting, (1, 3, H, W) in 0..1; scales, by how much to shrink, starting with 1."""
        super().__init__()
        self.scales = scales
        self.targets: list[dict[str, Tensor]] = []
        with torch.no_grad():
            for scale in scales:
                found = features(functional.avg_pool2d(painting, scale))
                self.targets.append({name: gram_matrix(found[name]) for name in STYLE_LAYERS})

    def forward(self, pyramid: list[dict[str, Tensor]]) -> Tensor:
        """Features of the painted picture shrunk by each scale, to a scalar."""
        errors = [
            (gram_matrix(found[name]).mean(0, keepdim=True) - target[name]).square().sum()
            / target[name].square().sum()
            for found, target in zip(pyramid, self.targets, strict=True)
            for name in STYLE_LAYERS
        ]
        return torch.stack(errors).mean()
