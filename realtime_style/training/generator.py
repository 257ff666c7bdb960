"""The generator: a small convolutional network from YUV 4:2:0 planes to YUV 4:2:0 planes.

`Generator` is trained; `Generator.folded()` is what runs: the same function on planes of 0..255,
with every normalisation folded into a convolution.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from realtime_style.training.parallel import BatchNorm

SIZE_MULTIPLE = 4
"""Luma height and width must be multiples of this: the trunk runs at a quarter of the luma size."""

STEM_MARGIN = 2  # padding before the stem, in half-size pixels: stem and down each read 1
HEAD_MARGIN = 2  # padding before up, in quarter-size pixels: up reads 1, the heads 2 at half size
MID = 128.0  # 8-bit value of zero chroma and of mid-grey luma; subtracted, so that 0 means grey
_MOMENTUM = 0.03  # so that the running statistics, used after training, average about 30 batches
GAIN = 4.0  # brings planes in 0..1 to about unit variance


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """The shape of a generator.

    Attributes:
        trunk_channels: channels at a quarter of the luma size.
        edge_channels: channels at half of the luma size.
        dilations: for each residual block, the dilation of its first convolution.
    """

    trunk_channels: int = 64
    edge_channels: int = 16
    dilations: tuple[int, ...] = (1, 4, 8, 2)


class UpsampleConv(nn.Module):
    """Nearest-neighbour enlargement by 2 and a convolution, computed on the small picture.

    Equal to `conv(upsample(x))` (Odena et al., "Deconvolution and Checkerboard Artifacts", 2016):
    a flat input gives a flat output, so it cannot make a grid of 2 pixels. Computed as one
    convolution at the small size and a pixel shuffle, it is as fast as a sub-pixel convolution.

    Input (N, in_channels, h + 2m, w + 2m), output (N, out_channels, 2h, 2w). The input has a margin
    of m values on each side: 1 for kernels of 3 and 5, 2 for kernels of 7 and 9.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.taps: Tensor
        self.register_buffer("taps", _phase_taps(kernel), persistent=False)

    def subpixel_weight(self, weight: Tensor) -> Tensor:
        """Turns a kernel for the enlarged picture, (out, in, k, k), into one for the small picture.

        Returns:
            (4 * out, in, c, c): the kernels of the four phases of each output channel.
        """
        return torch.einsum("oiyx,pjy,qkx->opqijk", weight, self.taps, self.taps).flatten(0, 2)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.enlarged(x, self.weight, self.bias)

    def normalized(self, x: Tensor, norm: BatchNorm) -> Tensor:
        """`norm(self(x))`; see `_normalized`."""
        if norm.training:
            return torch.as_tensor(norm(self(x)))
        return self.enlarged(x, *norm.folded(self.weight, self.bias))

    def enlarged(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Like `forward`, with another weight and bias."""
        y = functional.conv2d(x, self.subpixel_weight(weight), bias.repeat_interleave(4))
        return functional.pixel_shuffle(y, 2)


def _phase_taps(kernel: int) -> Tensor:
    """How a kernel's taps on a picture enlarged by 2 fall on the small picture, along one axis.

    Returns:
        (2, coarse, kernel): entry [p, j, d] is 1 if tap d, for an output pixel at an even (p = 0)
        or odd (p = 1) position, falls on the small picture's pixel at offset j - coarse // 2; else
        0.
    """
    radius = kernel // 2
    coarse = 2 * ((radius + 1) // 2) + 1
    taps = torch.zeros(2, coarse, kernel)
    for phase in range(2):
        for d in range(kernel):
            taps[phase, (phase + d - radius) // 2 + coarse // 2, d] = 1.0
    return taps


def pad_edges(x: Tensor, margin: int) -> Tensor:
    """Repeats the outermost values of (N, C, h, w) `margin` times on each side.

    Padding with zeros would be free, but would tell the network where the picture ends, and it
    would learn to paint a border there. To save time, several convolutions share one wide padding.
    """
    return functional.pad(x, (margin, margin, margin, margin), mode="replicate")


def _normalized(x: Tensor, conv: nn.Conv2d, norm: BatchNorm) -> Tensor:
    """`norm(conv(x))`; a frozen normalisation is folded into the convolution, which is faster."""
    if norm.training:
        return torch.as_tensor(norm(conv(x)))
    assert conv.bias is not None
    weight, bias = norm.folded(conv.weight, conv.bias)
    return functional.conv2d(x, weight, bias, conv.stride, dilation=conv.dilation)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(dilated_conv(pad(x)))))), in the same shape.

    One padding serves both convolutions.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, dilation=dilation)
        self.first_norm = BatchNorm(channels, momentum=_MOMENTUM)
        self.second = nn.Conv2d(channels, channels, 3)
        self.second_norm = BatchNorm(channels, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to the same."""
        y = pad_edges(x, self.first.dilation[0] + 1)
        y = functional.relu(_normalized(y, self.first, self.first_norm))
        y = _normalized(y, self.second, self.second_norm)
        return torch.add(x, y)


class Generator(nn.Module):
    """netG: paints a picture; input and output are planes of one YUV 4:2:0 colour space.

    It has batch normalisation rather than instance normalisation, because that can be folded into
    the convolutions: it costs nothing, and a painting does not depend on statistics of the frame,
    so it does not flicker and tiles of a picture match.
    """

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        self.config = config
        trunk, edge = config.trunk_channels, config.edge_channels
        self.stem = nn.Conv2d(6, edge, 3)
        self.stem_norm = BatchNorm(edge, momentum=_MOMENTUM)
        self.down = nn.Conv2d(edge, trunk, 3, stride=2)
        self.down_norm = BatchNorm(trunk, momentum=_MOMENTUM)
        self.blocks = nn.ModuleList(ResidualBlock(trunk, dilation) for dilation in config.dilations)
        self.up = UpsampleConv(trunk, edge, 3)
        self.up_norm = BatchNorm(edge, momentum=_MOMENTUM)
        # A kernel of 9 at full size reads 5x5 values at half size, like the chroma kernel, so that
        # both become one convolution when they are folded
        self.luma_head = UpsampleConv(edge, 1, 9)
        self.chroma_head = nn.Conv2d(edge, 2, 5)
        with torch.no_grad():  # start near grey: untrained heads would leave the range
            self.luma_head.weight.mul_(0.1)
            self.chroma_head.weight.mul_(0.1)

    def forward(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Paints planes.

        Args:
            luma: (N, 1, H, W), 8-bit values divided by 255; H and W multiples of SIZE_MULTIPLE.
            chroma: (N, 2, H/2, W/2), Cb and Cr, also divided by 255.

        Returns:
            Luma and chroma of the same shapes and scale, not clamped.
        """
        return self.with_features(luma, chroma)[:2]

    def with_features(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Paints like `forward`; also returns the trunk's features, (N, trunk, H/4, W/4)."""
        x = torch.cat((functional.pixel_unshuffle(luma, 2), chroma), 1)  # (N, 6, H/2, W/2)
        x = pad_edges((x - MID / 255) * GAIN, STEM_MARGIN)
        x = functional.relu(_normalized(x, self.stem, self.stem_norm))
        x = functional.relu(_normalized(x, self.down, self.down_norm))  # (N, trunk, H/4, W/4)
        for block in self.blocks:
            x = block(x)
        features = x
        x = functional.relu(self.up.normalized(pad_edges(x, HEAD_MARGIN), self.up_norm))
        luma, chroma = self.luma_head(x), self.chroma_head(x)
        # Added in float32: near mid-grey, bf16 has steps of half a code to a code
        wide = torch.promote_types(luma.dtype, torch.float32)
        luma, chroma = (each.to(wide) / GAIN + MID / 255 for each in (luma, chroma))
        return luma, chroma, features

    def folded(self) -> FoldedGenerator:
        """A copy in evaluation mode, without normalisation layers, for planes in 0..255."""
        return FoldedGenerator(self)


def freeze_norm(net: nn.Module) -> None:
    """Makes all batch normalisation of a network use its running statistics, as after training."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.eval()


class FoldedBlock(nn.Module):
    """A residual block without its normalisation layers."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first = fuse_conv_bn_eval(block.first, block.first_norm)
        self.second = fuse_conv_bn_eval(block.second, block.second_norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to the same."""
        y = pad_edges(x, self.first.dilation[0] + 1)
        y = self.second(functional.relu(self.first(y)))
        return torch.add(x, y)


class FoldedGenerator(nn.Module):
    """A trained generator as only convolutions, ReLUs and additions, on planes of 0..255.

    Every normalisation is folded into the convolution before it, every enlargement is a convolution
    and a pixel shuffle, and the first and the last weights include the scaling of the planes.
    """

    def __init__(self, netG: Generator) -> None:
        super().__init__()
        netG = copy.deepcopy(netG).float().eval()
        self.center: Tensor
        self.register_buffer("center", torch.full((6, 1, 1), MID))
        with torch.no_grad():
            self.stem = fuse_conv_bn_eval(netG.stem, netG.stem_norm)
            self.stem.weight.mul_(GAIN / 255)
            self.down = fuse_conv_bn_eval(netG.down, netG.down_norm)
            self.blocks = nn.ModuleList(
                FoldedBlock(block) for block in netG.blocks if isinstance(block, ResidualBlock)
            )
            norm = netG.up_norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            up_weight, up_bias = fuse_conv_bn_weights(
                netG.up.weight,
                netG.up.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            self.up = _conv(netG.up.subpixel_weight(up_weight), up_bias.repeat_interleave(4))
            head, chroma_head = netG.luma_head, netG.chroma_head
            assert chroma_head.bias is not None
            weight = torch.cat((head.subpixel_weight(head.weight), chroma_head.weight))
            bias = torch.cat((head.bias.repeat_interleave(4), chroma_head.bias))
            self.head = _conv(weight * (255 / GAIN), bias * (255 / GAIN) + MID)

    def forward(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Paints float planes in 0..255, of the shapes of `Generator.forward`; not clamped."""
        x = self.packed(luma, chroma)
        return functional.pixel_shuffle(x[:, :4], 2), x[:, 4:]

    def packed(self, luma: Tensor, chroma: Tensor) -> Tensor:
        """Paints planes, uint8 or float: four phases of luma, then Cb and Cr, (N, 6, H/2, W/2)."""
        # Packed before they are converted: bytes are moved faster than floats
        x = (
            torch.cat((functional.pixel_unshuffle(luma, 2), chroma), 1).to(self.center.dtype)
            - self.center
        )
        x = functional.relu(self.stem(pad_edges(x, STEM_MARGIN)))
        x = functional.relu(self.down(x))
        for block in self.blocks:
            x = block(x)
        x = functional.relu(functional.pixel_shuffle(self.up(pad_edges(x, HEAD_MARGIN)), 2))
        painted: Tensor = self.head(x)
        return painted


def _conv(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1])
    conv.weight.copy_(weight)
    conv.bias.copy_(bias)  # type: ignore[union-attr]
    return conv
