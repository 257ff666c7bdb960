"""G(x, s): a generator of any style, which a picture s tells how to paint a photo x."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from realtime_style.style.bank import MATRICES, Bank
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb, rgb_from_planes
from realtime_style.training.generator import STEM_MARGIN, FoldedGenerator, Generator, pad_edges

_HIDDEN = 512
_PALETTE = 12  # values of a palette: 3 of the mean, 9 of the covariance factor
_MAX_CHANGE = 2.0  # length of what is added to a style vector: more turns dark pictures to mud
_MIN_VARIANCE = 1e-4  # added to variances of luma and chroma in 0..1


class StyleEncoder(nn.Module):
    """netE: turns a picture into a style vector for `Bank`.

    Its features are the first half of a generator that has learned several paintings. They are
    computed from the picture in the palette of photos, because colours say little about strokes.
    What counts is the mean and standard deviation of each channel of every layer (Huang and
    Belongie, ICCV 2017): what is in the picture, from brush strokes to larger forms, but not where.
    The features are not trained; the layers that interpret them are.

    The encoder chooses one of the bank's styles, because a mixture of many has no strokes left. It
    recolours that style so that what it paints has the picture's mean and covariance of luma and
    chroma. And it changes the style by adding to its style vector.

    Attributes:
        seen: how many statistics of features it uses.
    """

    def __init__(self, bank: Bank, eye: Generator) -> None:
        """Makes an encoder that has not been trained.

        Args:
            bank: the styles to choose from.
            eye: the generator whose first half computes the features; it is not changed.
        """
        super().__init__()
        folded = eye.folded().requires_grad_(False)
        self.center: Tensor
        self.register_buffer("center", folded.center)
        self.stem, self.down, self.blocks = folded.stem, folded.down, folded.blocks
        self.seen = 2 * (self.stem.out_channels + (1 + len(self.blocks)) * self.down.out_channels)
        count = self.seen + _PALETTE
        self.photo_mean: Tensor  # the palette of photos, see `palette_of`
        self.photo_factor: Tensor
        self.register_buffer("photo_mean", torch.zeros(1, 3))
        self.register_buffer("photo_factor", torch.eye(3)[None])
        self.mean: Tensor  # of each statistic, over the style pictures of the training
        self.deviation: Tensor  # standard deviation of each statistic
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.vectors: Tensor  # style vectors of the bank's styles, (styles, vector_size)
        vectors = np.stack([bank.vector_of(number) for number in range(len(bank.styles))])
        vectors[:, bank.colors] = 0
        self.register_buffer("vectors", torch.from_numpy(vectors).float(), persistent=False)
        # palettes of what the bank's styles paint: means, (styles, 3), and the inverses of the
        # covariance factors, (styles, 3, 3)
        self.palette_means: Tensor
        self.palette_inverses: Tensor
        self.register_buffer("palette_means", torch.zeros(len(vectors), 3))
        self.register_buffer("palette_inverses", torch.eye(3).repeat(len(vectors), 1, 1))
        self.choice = _two_layers(self.seen, len(bank.styles))
        self.change = _two_layers(count + len(bank.styles), bank.vector_size)
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)  # training starts with the chosen styles unchanged

    def forward(self, picture: Tensor) -> Tensor:
        """RGB in 0..1, (N, 3, H, W), of `look_size`, to style vectors, (N, vector_size)."""
        return self.vector(*self.read(self.statistics(picture)), *palette_of(picture))

    def statistics(self, picture: Tensor) -> Tensor:
        """What the encoder knows of each picture.

        Args:
            picture: (N, 3, H, W) RGB in 0..1, sides multiples of 4.

        Returns:
            (N, seen + 12): means and deviations of the features, then the 12 values of the palette.
        """
        mean, factor = palette_of(picture)
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
        return torch.cat((*seen, mean, factor.flatten(1)), 1)

    def read(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Chooses a style of the bank, and how to change it.

        Args:
            statistics: (N, seen + 12), from `statistics`.

        Returns:
            The logarithm of each style's probability, (N, styles), and what is to be added to the
            style vector of the most probable style, (N, vector_size), before its length is limited.
        """
        x = (statistics - self.mean) / self.deviation
        log_shares = self.choice(x[:, : self.seen]).log_softmax(1)
        return log_shares, self.change(torch.cat((x, _chosen(log_shares)), 1))

    def vector(self, log_shares: Tensor, change: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """Makes style vectors, (N, vector_size), of a choice and a palette.

        Args:
            log_shares, change: from `read`.
            mean, factor: the palette that the painting gets, from `palette_of`.
        """
        chosen = _chosen(log_shares)
        inverse = torch.einsum("ns,sij->nij", chosen, self.palette_inverses)
        matrix = factor @ inverse
        offset = mean - torch.einsum("nij,nj->ni", matrix, chosen @ self.palette_means)
        color = torch.cat((matrix.flatten(1), offset), 1)
        # Clamped before the root: training begins at 0, where the gradient of a root is infinite
        length = change.square().sum(1, keepdim=True).clamp_min(_MAX_CHANGE**2).sqrt()
        vector = chosen @ self.vectors + change * (_MAX_CHANGE / length)
        return torch.cat((vector[:, : -color.shape[1]], vector[:, -color.shape[1] :] + color), 1)


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


def _two_layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))


def _chosen(log_shares: Tensor) -> Tensor:
    """(N, styles): 1 for the most probable style, 0 for the others."""
    return (log_shares == log_shares.amax(1, keepdim=True)).to(log_shares.dtype)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (N, C) each, of features (N, C, h, w)."""
    mean = x.mean((2, 3))
    variance = (x - mean[..., None, None]).square().mean((2, 3))
    return mean, (variance + 1e-4).sqrt()


class AnyStyleGenerator(nn.Module):
    """netG for any style: the bank's network, with the weights that a style vector describes."""

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        self.bank = bank
        self.network: FoldedGenerator = Generator().folded().requires_grad_(False)
        self.matrices: Tensor
        self.register_buffer("matrices", torch.from_numpy(MATRICES).float(), persistent=False)
        for layer in bank.layers:
            for kind, values in (
                ("kernel", layer.weights), ("offset", layer.offsets), ("channel", layer.channel)
            ):  # fmt: skip
                tensor = torch.from_numpy(values)
                tensor = tensor.float() if tensor.is_floating_point() else tensor
                self.register_buffer(_key(kind, layer.name), tensor, persistent=False)

    def weights(self, vector: Tensor) -> dict[str, Tensor]:
        """`Bank.weights` of a style vector, (vector_size,), as tensors with gradients."""
        found = {}
        for layer in self.bank.layers:
            kernel, offset, channel = (
                self.get_buffer(_key(kind, layer.name)) for kind in ("kernel", "offset", "channel")
            )
            share, gain, shift = vector[layer.shares], vector[layer.gains], vector[layer.shifts]
            scale = 1 + gain[channel]
            mixed = torch.einsum("k,koiyx->oiyx", share, kernel)
            found[f"{layer.name}.weight"] = mixed * scale[:, None, None, None]
            found[f"{layer.name}.bias"] = share @ offset * scale + layer.unit * shift[channel]
        color = vector[self.bank.colors]
        matrix = torch.tensordot(color[:9], self.matrices, 1)
        offset = 255 * torch.cat((color[9:10].repeat(4), color[10:]))
        found["head.weight"] = torch.einsum("ij,jcyx->icyx", matrix, found["head.weight"])
        found["head.bias"] = matrix @ found["head.bias"] + offset
        return found

    def forward(self, luma: Tensor, chroma: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Paints each picture in its own style.

        Args:
            luma: (N, 1, H, W), see `Generator.forward`.
            chroma: (N, 2, H/2, W/2), see `Generator.forward`.
            vector: the style vector of each picture, (N, vector_size).

        Returns:
            Luma and chroma of the same shapes, not clamped.
        """
        painted = [
            functional_call(
                self.network,
                self.weights(vector[i]),
                (255 * luma[i : i + 1], 255 * chroma[i : i + 1]),
            )
            for i in range(len(vector))
        ]
        return (
            torch.cat([planes[0] for planes in painted]) / 255,
            torch.cat([planes[1] for planes in painted]) / 255,
        )


def _key(kind: str, layer: str) -> str:
    return f"{kind}_{layer.replace('.', '_')}"
