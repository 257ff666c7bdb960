"""The sharp generator: strokes painted on a small canvas, laid over the picture at its own size.

`SharpGenerator` is trained; `SharpGenerator.folded()` is what runs: the same function on planes of
0..255, with every constant folded into a convolution.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.canvas import CANVAS_MULTIPLE, canvas_size
from realtime_style.training.generator import (
    GAIN,
    MID,
    FoldedGenerator,
    Generator,
    GeneratorConfig,
    pad_edges,
)

PICTURE_MULTIPLE = 2
"""Luma height and width of pictures must be multiples of this."""

_CELL = CANVAS_MULTIPLE // 2  # of the means around strokes, in half-size pixels of the canvas
_BOX = 2  # radius of the boxes over these cells, of which there are two
_PLANES = 6  # at half size: four phases of luma, Cb, Cr
_PHASES = 4
# Entry [i][j] is the phase that lies to the first one as j lies to i: neither mirrored, mirrored
# across, down, or both
_OTHER_PHASE = [[i ^ j for j in range(_PHASES)] for i in range(_PHASES)]
_EDGE_UNIT = 255 / GAIN  # of folded edge features: as large as planes


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """The shape of a head.

    Attributes:
        recolor_channels: channels of the map from the photo's colours to the painting's.
        range_channels: channels of the map from sums to the painting's range.
        gain: how strong strokes are before training; 1 is as strong as the body paints them.
    """

    recolor_channels: int = 32
    range_channels: int = 32
    gain: float = 1.7


class ColorMap(nn.Module):
    """A map of colours: x + three convolutions of 1x1, on packed planes.

    Packed planes are half-size planes of a picture: four phases of luma, Cb and Cr, (N, 6, h, w).
    Mirroring a picture exchanges its phases, and the map of the mirrored picture is the mirrored
    map: so equal phases stay equal, and the map paints no grid. Therefore its hidden channels come
    in four groups, one per phase, whose weights depend only on how two phases lie to each other
    (Cohen and Welling, "Group Equivariant Convolutional Networks", ICML 2016).
    """

    def __init__(self, channels: int) -> None:
        """Args: channels, of each hidden layer, a multiple of 4. Raises ValueError for others."""
        super().__init__()
        if channels % _PHASES:
            raise ValueError(f"channels must be a multiple of {_PHASES}, not {channels}")
        of_phase = channels // _PHASES
        # Each layer is stored as what makes the group of the first phase
        self.first = nn.Conv2d(_PLANES, of_phase, 1)
        self.second = nn.Conv2d(channels, of_phase, 1)
        self.luma = nn.Conv2d(channels, 1, 1)
        self.chroma = nn.Conv2d(of_phase, 2, 1)  # of the sum of the groups
        for layer in (self.first, self.second, self.luma, self.chroma):
            _start(layer)
        with torch.no_grad():  # start near the identity
            self.luma.weight.mul_(0.1)
            self.chroma.weight.mul_(0.1 / _PHASES)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6, h, w) to the same."""
        first, second, last = self.layers()
        y = functional.relu(functional.conv2d(x, *first))
        return torch.add(
            x, functional.conv2d(functional.relu(functional.conv2d(y, *second)), *last)
        )

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """The whole weight and bias of each of the three convolutions."""
        first, second = self.first.weight, self.second.weight
        of_phase, channels = second.shape[:2]
        luma = first[:, _OTHER_PHASE].transpose(0, 1).flatten(0, 1)  # of all groups, phases
        first = torch.cat((luma, first[:, _PHASES:].repeat(_PHASES, 1, 1, 1)), 1)
        second = second.view(of_phase, _PHASES, of_phase)[:, _OTHER_PHASE].transpose(0, 1)
        luma = self.luma.weight.view(1, _PHASES, of_phase)[0, _OTHER_PHASE]
        chroma = self.chroma.weight.repeat(1, _PHASES, 1, 1)
        last = torch.cat((luma.reshape(_PHASES, channels, 1, 1), chroma))
        biases = [layer.bias for layer in (self.first, self.second, self.luma, self.chroma)]
        of_first, of_second, of_luma, of_chroma = (bias for bias in biases if bias is not None)
        return [
            (first, of_first.repeat(_PHASES)),
            (second.reshape(channels, channels, 1, 1), of_second.repeat(_PHASES)),
            (last, torch.cat((of_luma.repeat(_PHASES), of_chroma))),
        ]


class Head(nn.Module):
    """Lays strokes over a picture in the painting's colours, all as packed planes.

    It is range(recolor(photo) + gain * strokes).
    """

    def __init__(self, config: HeadConfig = HeadConfig()) -> None:
        super().__init__()
        self.config = config
        self.recolor = ColorMap(config.recolor_channels)
        # A logarithm, because it is divided by when it is folded
        self.log_gain = nn.Parameter(torch.full((3,), math.log(config.gain)))  # luma, Cb, Cr
        self.range = ColorMap(config.range_channels)

    @property
    def gain(self) -> Tensor:
        """The gain of each packed plane, (6,)."""
        return self.log_gain.exp()[[0, 0, 0, 0, 1, 2]]

    def forward(self, photo: Tensor, strokes: Tensor) -> Tensor:
        """Packed planes (N, 6, h, w), around 0 and of about unit variance; the same shape.

        Args:
            photo: the picture.
            strokes: what the body has painted, minus its means around.
        """
        if torch.is_autocast_enabled(photo.device.type):
            # The layout of bf16 convolutions, or each would rearrange what it reads and returns
            photo, strokes = (
                each.contiguous(memory_format=torch.channels_last) for each in (photo, strokes)
            )
        painted: Tensor = self.range(self.recolor(photo) + self.gain[:, None, None] * strokes)
        return painted


class SharpGenerator(nn.Module):
    """netG: paints a picture of any size with strokes that are sized to the picture.

    Its body, a `Generator`, paints the picture reduced to a canvas. Its head works at the picture's
    own size: it takes light, forms and colours from the picture, and only strokes from the canvas.
    """

    def __init__(
        self, body: Generator | None = None, head_config: HeadConfig = HeadConfig()
    ) -> None:
        """Args: body, which paints the strokes, None makes one; head_config."""
        super().__init__()
        self.body = body or Generator()
        self.head = Head(head_config)

    @property
    def config(self) -> GeneratorConfig:
        """The shape of the body."""
        return self.body.config

    def forward(
        self, luma: Tensor, chroma: Tensor, canvas: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Paints planes.

        Args:
            luma: (N, 1, H, W), 8-bit values divided by 255; H and W multiples of PICTURE_MULTIPLE.
            chroma: (N, 2, H/2, W/2), Cb and Cr, also divided by 255.
            canvas: height and width of the canvas, multiples of CANVAS_MULTIPLE, at most H and W.
                None takes the canvas of medium strokes.

        Returns:
            Luma and chroma of the same shapes and scale, not clamped.
        """
        height, width = canvas or canvas_size(*luma.shape[:1:-1])[::-1]
        small = reduced(luma, (height, width)), reduced(chroma, (height // 2, width // 2))
        painted = (pack(*self.body(*small)) - MID / 255) * GAIN
        strokes = enlarged_planes(painted - means_around(painted), luma, chroma)
        photo = (pack(luma, chroma) - MID / 255) * GAIN
        y = self.head(photo, strokes) / GAIN + MID / 255
        return functional.pixel_shuffle(y[:, :4], 2), y[:, 4:]

    def folded(self) -> FoldedSharpGenerator:
        """A copy in evaluation mode, without normalisation layers, for planes in 0..255."""
        return FoldedSharpGenerator(self)


def pack(luma: Tensor, chroma: Tensor) -> Tensor:
    """Packed planes (N, 6, h, w) of luma (N, 1, 2h, 2w) and chroma (N, 2, h, w)."""
    return torch.cat((functional.pixel_unshuffle(luma, 2), chroma), 1)


def reduced(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """A plane (N, C, h, w) reduced to a size, without aliasing."""
    if tuple(plane.shape[2:]) == size:
        return plane
    return functional.interpolate(
        plane, size=size, mode="bilinear", align_corners=False, antialias=True
    )


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) enlarged bilinearly to the height and width of another tensor."""
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def enlarged_planes(packed: Tensor, luma: Tensor, chroma: Tensor) -> Tensor:
    """Packed planes (N, 6, h, w) enlarged to the size of the planes of a picture, and packed.

    Luma is enlarged by cubic interpolation (Keys, IEEE TASSP 1981, eq. 4, with a = -0.75): at large
    ratios, the steps between pixels of a canvas would show as a mesh in bilinear interpolation.
    """
    big = functional.interpolate(
        functional.pixel_shuffle(packed[:, :4], 2),
        size=luma.shape[2:],
        mode="bicubic",
        align_corners=False,
    )
    return pack(big, enlarged(packed[:, 4:], chroma))


def means_around(packed: Tensor) -> Tensor:
    """The light and colours of packed planes, (N, 6, h, w): what is not strokes.

    They are means over about 40 px of the canvas, equal for all phases of luma: over cells of 8 px,
    then twice over 5x5 cells.
    """
    cells = functional.avg_pool2d(packed, _CELL)
    light = cells[:, :4].mean(1, keepdim=True)
    cells = torch.cat((light, light, light, light, cells[:, 4:]), 1)
    for _ in range(2):
        cells = functional.avg_pool2d(pad_edges(cells, _BOX), 2 * _BOX + 1, 1)
    return enlarged(cells, packed)


class FoldedColorMap(nn.Module):
    """The three convolutions of a colour map, for planes in 0..255 minus the centre."""

    def __init__(self, color_map: ColorMap) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            _convolution(weight, bias) for weight, bias in color_map.layers()
        )
        _scale(self.first, inputs=GAIN / 255)
        _scale(self.last, outputs=255 / GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """What the map adds to packed planes (N, 6, h, w)."""
        y: Tensor = self.last(functional.relu(self.second(functional.relu(self.first(x)))))
        return y


def _convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    layer = nn.Conv2d(weight.shape[1], len(weight), 1)
    layer.weight.copy_(weight)
    assert layer.bias is not None
    layer.bias.copy_(bias)
    return layer


class FoldedSharpGenerator(nn.Module):
    """A trained generator as convolutions, ReLUs, means and resizing, on planes of 0..255.

    The gain of strokes is folded into the body's head.
    """

    def __init__(self, netG: SharpGenerator) -> None:
        super().__init__()
        netG = copy.deepcopy(netG).float().eval()
        self.of_luma: Tensor
        self.of_chroma: Tensor
        self.register_buffer("of_luma", torch.arange(4), persistent=False)
        self.register_buffer("of_chroma", torch.arange(4, _PLANES), persistent=False)
        with torch.no_grad():
            head, gain = netG.head, netG.head.gain
            self.body = FoldedGenerator(netG.body)
            self.body.head.weight.mul_(gain[:, None, None, None] / _EDGE_UNIT)
            assert self.body.head.bias is not None
            # A constant is no stroke. But without any, OpenVINO is wrong in int8 (24 dB)
            self.body.head.bias.fill_(1.0)
            _scale(self.body.up, outputs=_EDGE_UNIT)
            self.recolor = FoldedColorMap(head.recolor)
            self.range = FoldedColorMap(head.range)
            assert self.range.last.bias is not None
            self.range.last.bias.add_(MID)

    def forward(
        self, luma: Tensor, chroma: Tensor, canvas_luma: Tensor, canvas_chroma: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Paints planes in 0..255, float or uint8.

        Args:
            luma, chroma: the planes of a picture, of the shapes of `SharpGenerator.forward`.
            canvas_luma: luma of the same picture, reduced to the canvas, (N, 1, h, w).
            canvas_chroma: likewise chroma, (N, 2, h/2, w/2).

        Returns:
            Float luma and chroma of the picture's shapes, not clamped.
        """
        return self.unpacked(self.packed(luma, chroma, canvas_luma, canvas_chroma))

    def packed(
        self, luma: Tensor, chroma: Tensor, canvas_luma: Tensor, canvas_chroma: Tensor
    ) -> Tensor:
        """Paints like `forward`, and returns packed planes, (N, 6, H/2, W/2)."""
        painted = self.body.packed(canvas_luma, canvas_chroma)
        strokes = enlarged_planes(painted - means_around(painted), luma, chroma)
        photo = pack(luma, chroma).to(self.body.center.dtype) - self.body.center
        sums = photo + self.recolor(photo) + strokes
        return torch.add(sums, self.range(sums))

    def unpacked(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """Luma (N, 1, 2h, 2w) and chroma (N, 2, h, w) of packed planes (N, 6, h, w)."""
        # Not slices: OpenVINO takes 8 ms to split a picture of 720p, but 2 ms to gather its planes
        luma = functional.pixel_shuffle(packed.index_select(1, self.of_luma), 2)
        return luma, packed.index_select(1, self.of_chroma)


def _start(layer: nn.Conv2d) -> None:
    assert layer.bias is not None
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)


def _scale(layer: nn.Conv2d, *, inputs: float = 1.0, outputs: float = 1.0) -> None:
    """Makes a layer read values divided by `inputs`, and return values times `outputs`."""
    assert layer.bias is not None
    layer.weight.mul_(inputs * outputs)
    layer.bias.mul_(outputs)
