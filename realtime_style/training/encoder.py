"""G(x, s): a painter of any style, told by the picture s how to paint."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from realtime_style.bank import Bank
from realtime_style.training.generator import FoldedGenerator, Generator

_CHANNELS = (32, 64, 128, 192, 256)
_HIDDEN = 512
_SHARPNESS = 4.0


class StyleEncoder(nn.Module):
    """netE: the code of a style, for `Bank`, from a picture in it.

    What counts of a style is what kinds of things are in it, and not where: of every layer, each
    channel's mean and standard deviation over the picture (Huang and Belongie, ICCV 2017) are kept,
    from the touch of the brush to larger forms.

    It chooses one of the bank's styles, since a mixture of many has no stroke left, and changes
    that one: what it adds to its code may be any other.
    """

    def __init__(self, bank: Bank) -> None:
        super().__init__()
        sizes = (3, *_CHANNELS)
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(sizes)
        )
        self.hidden = nn.Linear(2 * sum(sizes), _HIDDEN)
        self.choice = nn.Linear(_HIDDEN, len(bank.styles))
        self.change = nn.Linear(_HIDDEN + len(bank.styles), bank.code_size)
        self.codes: Tensor  # of the bank's styles
        codes = np.stack([bank.code_of(number) for number in range(len(bank.styles))])
        self.register_buffer("codes", torch.from_numpy(codes).float(), persistent=False)
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.choice.bias)
        nn.init.zeros_(self.change.weight)  # what is chosen is first painted as it is
        nn.init.zeros_(self.change.bias)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in 0..1, of about LOOK_PX^2 pixels, to (N, code_size)."""
        return self.code(*self.read(picture))

    def code(self, log_shares: Tensor, change: Tensor) -> Tensor:
        """The code, (N, code_size), that is meant by what `read` gives."""
        return _chosen(log_shares) @ self.codes + change

    def read(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the bank's styles a picture is like, and how that is to be changed.

        Returns:
            Logarithms of how likely each is chosen, (N, styles), and what is added to the code of
            the likeliest, (N, code_size).
        """
        x = picture * 2 - 1
        seen = [*_statistics(x)]
        for layer in self.layers:
            x = functional.relu(layer(x))
            seen += _statistics(x)
        hidden = functional.relu(self.hidden(torch.cat(seen, 1)))
        log_shares = (_SHARPNESS * self.choice(hidden)).log_softmax(1)
        return log_shares, self.change(torch.cat((hidden, _chosen(log_shares)), 1))


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
