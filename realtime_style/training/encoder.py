"""G(x, s): a painter of any style, told by the picture s how to paint."""

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
_PALETTE = 12  # numbers
_MOST_CHANGE = 2.0  # length of what is added to a code: dark pictures ask for more, and get mud
_LEAST_VARIANCE = 1e-4  # of luma or chroma in 0..1, in a palette


class StyleEncoder(nn.Module):
    """netE: the code of a style, for `Bank`, from a picture in it.

    It looks through the first half of a generator that has learned several paintings, at the
    picture in the palette of photos, since colours say little of strokes, and asks what kinds of
    things are in it, not where: of every layer, each channel's mean and standard deviation (Huang
    and Belongie, ICCV 2017), from the touch of the brush to larger forms. These are not trained;
    what is made of them is.

    It chooses one of the bank's styles, since a mixture of many has no stroke left, recolours that
    one, so that what it paints has the picture's mean and covariance of luma and chroma, and
    changes it: what is added to its code may be any other.
    """

    def __init__(self, bank: Bank, eye: Generator) -> None:
        super().__init__()
        folded = eye.folded().requires_grad_(False)
        self.center: Tensor
        self.register_buffer("center", folded.center)
        self.stem, self.down, self.blocks = folded.stem, folded.down, folded.blocks
        self.seen = 2 * (self.stem.out_channels + (1 + len(self.blocks)) * self.down.out_channels)
        count = self.seen + _PALETTE
        self.photo_mean: Tensor  # the palette of photos, as of `palette_of`
        self.photo_factor: Tensor
        self.register_buffer("photo_mean", torch.zeros(1, 3))
        self.register_buffer("photo_factor", torch.eye(3)[None])
        self.mean: Tensor  # of the statistics, over the pictures that were learned from
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        self.codes: Tensor  # of the bank's styles
        codes = np.stack([bank.code_of(number) for number in range(len(bank.styles))])
        codes[:, bank.colors] = 0
        self.register_buffer("codes", torch.from_numpy(codes).float(), persistent=False)
        self.palette_means: Tensor  # of what the bank's styles paint, (styles, 3)
        self.palette_inverses: Tensor  # of the factors of its covariances, (styles, 3, 3)
        self.register_buffer("palette_means", torch.zeros(len(codes), 3))
        self.register_buffer("palette_inverses", torch.eye(3).repeat(len(codes), 1, 1))
        self.choice = _two_layers(self.seen, len(bank.styles))
        self.change = _two_layers(count + len(bank.styles), bank.code_size)
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)  # what is chosen is first painted as it is

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in 0..1, of a size that `look_size` gives, to (N, code_size)."""
        return self.code(*self.read(self.statistics(picture)), *palette_of(picture))

    def statistics(self, picture: Tensor) -> Tensor:
        """What kinds of things are in each picture, (N, seen), and its palette, (N, 12)."""
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
        """Which of the bank's styles a picture is like, and how that is to be changed.

        Returns:
            Logarithms of how likely each is chosen, (N, styles), and what is added to the code of
            the likeliest, (N, code_size).
        """
        x = (statistics - self.mean) / self.deviation
        log_shares = self.choice(x[:, : self.seen]).log_softmax(1)
        return log_shares, self.change(torch.cat((x, _chosen(log_shares)), 1))

    def code(self, log_shares: Tensor, change: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
        """The code, (N, code_size), of what `read` gives, in a palette as of `palette_of`."""
        chosen = _chosen(log_shares)
        inverse = torch.einsum("ns,sij->nij", chosen, self.palette_inverses)
        matrix = factor @ inverse
        offset = mean - torch.einsum("nij,nj->ni", matrix, chosen @ self.palette_means)
        color = torch.cat((matrix.flatten(1), offset), 1)
        # Clamped before the root, whose gradient at 0, where training begins, is infinite
        length = change.square().sum(1, keepdim=True).clamp_min(_MOST_CHANGE**2).sqrt()
        code = chosen @ self.codes + change * (_MOST_CHANGE / length)
        return torch.cat((code[:, : -color.shape[1]], code[:, -color.shape[1] :] + color), 1)


def palette_of(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of a picture's luma and chroma, (N, 3), and a factor of their covariance, (N, 3, 3).

    The factor is Cholesky's, lower triangular: the map from one palette to another then gives each
    point a luma that follows from its luma alone, and strokes stay what they are.

    Args:
        picture: (N, 3, H, W) RGB in 0..1, even sides.
    """
    luma, chroma = planes_from_rgb(picture, PLANES_COLOR)
    planes = torch.cat((functional.avg_pool2d(luma, 2), chroma), 1).flatten(2)
    mean = planes.mean(2)
    apart = planes - mean[..., None]
    covariance = apart @ apart.transpose(1, 2) / planes.shape[2]
    a = (luma - mean[:, :1, None, None]).square().mean((1, 2, 3)) + _LEAST_VARIANCE  # in full size
    b, c = covariance[:, 1, 0], covariance[:, 2, 0]
    x = a.sqrt()
    y, u = b / x, c / x
    z = (covariance[:, 1, 1] - y * y).clamp_min(0).add(_LEAST_VARIANCE).sqrt()
    v = (covariance[:, 2, 1] - u * y) / z
    w = (covariance[:, 2, 2] - u * u - v * v).clamp_min(0).add(_LEAST_VARIANCE).sqrt()
    none = torch.zeros_like(x)
    rows = [torch.stack(row, 1) for row in ((x, none, none), (y, z, none), (u, v, w))]
    return mean, torch.stack(rows, 1)


def inverse_of(factor: Tensor) -> Tensor:
    """The inverse of lower triangular matrices, (N, 3, 3)."""
    x, z, w = factor.diagonal(dim1=1, dim2=2).reciprocal().unbind(1)
    y = -factor[:, 1, 0] * x * z
    v = -factor[:, 2, 1] * z * w
    u = -(factor[:, 2, 0] * x + factor[:, 2, 1] * y) * w
    none = torch.zeros_like(x)
    rows = [torch.stack(row, 1) for row in ((x, none, none), (y, z, none), (u, v, w))]
    return torch.stack(rows, 1)


def side_by_side(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) as one picture, (1, 3, H, N * W)."""
    return torch.cat([*pictures[:, None]], 3)


def in_palette(pictures: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """Pictures, (N, 3, H, W), that together have a palette, (1, 3) and (1, 3, 3)."""
    own_mean, own_factor = palette_of(side_by_side(pictures))
    matrix = (factor @ inverse_of(own_factor))[0]
    offset = (mean[0] - matrix @ own_mean[0])[:, None, None]
    luma, chroma = planes_from_rgb(pictures, PLANES_COLOR)
    half = torch.cat((functional.avg_pool2d(luma, 2), chroma), 1)
    luma = matrix[0, 0] * luma + offset[:1]  # of a triangular matrix that is all
    chroma = torch.einsum("ij,njhw->nihw", matrix[1:], half) + offset[1:]
    return rgb_from_planes(luma, chroma, PLANES_COLOR).clamp(0, 1)


def _two_layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))


def _chosen(log_shares: Tensor) -> Tensor:
    """1 for the likeliest, 0 for the others."""
    return (log_shares == log_shares.amax(1, keepdim=True)).to(log_shares.dtype)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.mean((2, 3))
    variance = (x - mean[..., None, None]).square().mean((2, 3))
    return mean, (variance + 1e-4).sqrt()


class AnyStyleGenerator(nn.Module):
    """netG of any style: a bank's network, with the weights that a code asks for."""

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

    def weights(self, code: Tensor) -> dict[str, Tensor]:
        """As `Bank.weights`, of one code, (code_size,)."""
        found = {}
        for layer in self.bank.layers:
            kernel, offset, channel = (
                self.get_buffer(_key(kind, layer.name)) for kind in ("kernel", "offset", "channel")
            )
            share, gain, shift = code[layer.shares], code[layer.gains], code[layer.shifts]
            scale = 1 + gain[channel]
            mixed = torch.einsum("k,koiyx->oiyx", share, kernel)
            found[f"{layer.name}.weight"] = mixed * scale[:, None, None, None]
            found[f"{layer.name}.bias"] = share @ offset * scale + layer.unit * shift[channel]
        color = code[self.bank.colors]
        matrix = torch.tensordot(color[:9], self.matrices, 1)
        offset = 255 * torch.cat((color[9:10].repeat(4), color[10:]))
        found["head.weight"] = torch.einsum("ij,jcyx->icyx", matrix, found["head.weight"])
        found["head.bias"] = matrix @ found["head.bias"] + offset
        return found

    def forward(self, luma: Tensor, chroma: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """Paints each picture by its own code.

        Args:
            luma, chroma: as for `Generator.forward`.
            code: (N, code_size).
        """
        painted = [
            functional_call(
                self.network,
                self.weights(code[i]),
                (255 * luma[i : i + 1], 255 * chroma[i : i + 1]),
            )
            for i in range(len(code))
        ]
        return (
            torch.cat([planes[0] for planes in painted]) / 255,
            torch.cat([planes[1] for planes in painted]) / 255,
        )


def _key(kind: str, layer: str) -> str:
    return f"{kind}_{layer.replace('.', '_')}"
