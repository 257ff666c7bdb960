"""The encoder, which tells which of the included styles has the strokes of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.generator import STEM_MARGIN, Generator, pad_edges

_HIDDEN = 512
_MIN_VARIANCE = 1e-4  # added to variances of luma and chroma in 0..1


class StyleEncoder(nn.Module):
    """netE: reads from a picture the share of each style in its strokes.

    Its features are the first half of a generator that has learned several paintings. They are
    computed from the picture in the palette of photos, because colours say little about strokes.
    What counts is the mean and standard deviation of each channel of every layer (Huang and
    Belongie, ICCV 2017): what is in the picture, from brush strokes to larger forms, but not where.
    The features are not trained; the layers that interpret them are.

    Attributes:
        styles: the names of the styles.
        seen: how many statistics of features it uses.
    """

    def __init__(self, styles: Sequence[str], eye: Generator) -> None:
        """Makes an encoder that has not been trained.

        Args:
            styles: the names of the styles to choose from.
            eye: the generator whose first half computes the features; it is not changed.
        """
        super().__init__()
        self.styles = tuple(styles)
        folded = eye.folded().requires_grad_(False)
        self.center: Tensor
        self.register_buffer("center", folded.center)
        self.stem, self.down, self.blocks = folded.stem, folded.down, folded.blocks
        self.seen = 2 * (self.stem.out_channels + (1 + len(self.blocks)) * self.down.out_channels)
        self.photo_mean: Tensor  # the palette of photos, see `palette_of`
        self.photo_factor: Tensor
        self.register_buffer("photo_mean", torch.zeros(1, 3))
        self.register_buffer("photo_factor", torch.eye(3)[None])
        self.mean: Tensor  # of each statistic, over the style pictures of the training
        self.deviation: Tensor  # standard deviation of each statistic
        self.register_buffer("mean", torch.zeros(self.seen))
        self.register_buffer("deviation", torch.ones(self.seen))
        self.choice = nn.Sequential(
            nn.Linear(self.seen, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, len(self.styles))
        )

    def forward(self, picture: Tensor) -> Tensor:
        """RGB in 0..1, (N, 3, H, W), of `look_size`, to the shares of the styles, (N, styles)."""
        return self.log_shares(self.statistics(picture)).exp()

    def statistics(self, picture: Tensor) -> Tensor:
        """What the encoder knows of each picture.

        Args:
            picture: (N, 3, H, W) RGB in 0..1, sides multiples of 4.

        Returns:
            (N, seen): means and deviations of the features.
        """
        luma, chroma = planes_from_rgb(
            in_palette(picture, self.photo_mean, self.photo_factor), PLANES_COLOR
        )
        seen: list[Tensor] = []
        x = torch.cat((functional.pixel_unshuffle(255 * luma, 2), 255 * chroma), 1) - self.center
        x = functional.relu(self.stem(pad_edges(x, STEM_MARGIN)))
        seen += _statistics(x)
        x = functional.relu(self.down(x))
        seen += _statistics(x)
        for block in self.blocks:
            x = block(x)
            seen += _statistics(x)
        return torch.cat(seen, 1)

    def log_shares(self, statistics: Tensor) -> Tensor:
        """The logarithm of each style's share, (N, styles), for `statistics`, (N, seen)."""
        found: Tensor = self.choice((statistics - self.mean) / self.deviation).log_softmax(1)
        return found


def palette_of(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The palette of a picture: the mean of luma, Cb and Cr, and a factor of their covariance.

    The covariance is factor @ factor.T, with a lower triangular factor (Cholesky's). In a map from
    one palette to another, luma then depends only on luma, which keeps the strokes.

    Args:
        picture: (N, 3, H, W) RGB in 0..1, even sides.

    Returns:
        The mean, (N, 3), and the factor, (N, 3, 3), for planes in 0..1.
    """
    luma, chroma = planes_from_rgb(picture, PLANES_COLOR)
    planes = torch.cat((functional.avg_pool2d(luma, 2), chroma), 1).flatten(2)
    mean = planes.mean(2)
    apart = planes - mean[..., None]
    covariance = apart @ apart.transpose(1, 2) / planes.shape[2]
    a = (luma - mean[:, :1, None, None]).square().mean((1, 2, 3)) + _MIN_VARIANCE  # at full size
    b, c = covariance[:, 1, 0], covariance[:, 2, 0]
    x = a.sqrt()
    y, u = b / x, c / x
    z = (covariance[:, 1, 1] - y * y).clamp_min(0).add(_MIN_VARIANCE).sqrt()
    v = (covariance[:, 2, 1] - u * y) / z
    w = (covariance[:, 2, 2] - u * u - v * v).clamp_min(0).add(_MIN_VARIANCE).sqrt()
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, 1) for row in ((x, zero, zero), (y, z, zero), (u, v, w))]
    return mean, torch.stack(rows, 1)


def inverse_of(factor: Tensor) -> Tensor:
    """The inverse of lower triangular matrices, (N, 3, 3)."""
    x, z, w = factor.diagonal(dim1=1, dim2=2).reciprocal().unbind(1)
    y = -factor[:, 1, 0] * x * z
    v = -factor[:, 2, 1] * z * w
    u = -(factor[:, 2, 0] * x + factor[:, 2, 1] * y) * w
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, 1) for row in ((x, zero, zero), (y, z, zero), (u, v, w))]
    return torch.stack(rows, 1)


def side_by_side(pictures: Tensor) -> Tensor:
    """N pictures, (N, 3, H, W), as one, (1, 3, H, N * W)."""
    return torch.cat([*pictures[:, None]], 3)


def in_palette(pictures: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """Recolours pictures so that all of them together have a given palette.

    Args:
        pictures: (N, 3, H, W) RGB in 0..1, even sides.
        mean: (1, 3), from `palette_of`.
        factor: (1, 3, 3), from `palette_of`.

    Returns:
        The recoloured pictures, in the same shape, clamped to 0..1.
    """
    own_mean, own_factor = palette_of(side_by_side(pictures))
    matrix = (factor @ inverse_of(own_factor))[0]
    offset = (mean[0] - matrix @ own_mean[0])[:, None, None]
    luma, chroma = planes_from_rgb(pictures, PLANES_COLOR)
    half = torch.cat((functional.avg_pool2d(luma, 2), chroma), 1)
    luma = matrix[0, 0] * luma + offset[:1]  # the other entries of that row are 0
    chroma = torch.einsum("ij,njhw->nihw", matrix[1:], half) + offset[1:]
    return rgb_from_planes(luma, chroma, PLANES_COLOR).clamp(0, 1)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (N, C) each, of features (N, C, h, w)."""
    mean = x.mean((2, 3))
    variance = (x - mean[..., None, None]).square().mean((2, 3))
    return mean, (variance + 1e-4).sqrt()
