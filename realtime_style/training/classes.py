"""Style within classes: dark parts of a photo are painted like the painting's dark parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.light import luma_of
from realtime_style.training.losses import gram_matrix, style_layers
from realtime_style.training.perceptual import Features

NEIGHBOURHOOD_PX = 17
"""Side of the square around a pixel that decides its class."""
HUES = 4
"""Classes of hue: neutral, red, green, blue."""
_PHOTO_LUMA: dict[int, tuple[float, ...]] = {1: (), 2: (0.4,), 3: (0.28, 0.55)}
"""Luma between the classes of photos, by their number: about equal areas over many photos."""
_PAINTING_SHARES: dict[int, tuple[float, ...]] = {1: (), 2: (0.5,), 3: (1 / 3, 2 / 3)}
"""The same for paintings, as shares of their area."""
_PHOTO_EXCESS = 0.05
"""How far a channel of a photo must exceed the other two to count as its hue."""
_PAINTING_HUE_SHARE = 0.18
"""The largest share of a painting's class of light that counts as one hue."""
_MIN_SHARE = 0.002  # of the batch: smaller classes have too few pixels for a Gram matrix


Around = tuple[Tensor, Tensor]
"""Luma (N, 1, H, W) and excess (N, 3, H, W) in -1..1, both means around each pixel.

The excess is a channel minus the mean of the other two.
"""


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """The bounds between classes.

    Attributes:
        light: luma in 0..1 between one class of light and the next.
        hues: for each class of light, by how much red, green and blue must exceed the other
            channels; empty without classes of hue.
    """

    light: tuple[float, ...]
    hues: tuple[tuple[float, ...], ...]

    @property
    def count(self) -> int:
        """The number of classes."""
        return len(self.hues) * (HUES if self.hues[0] else 1)


def photo_bounds(light: int, hues: bool) -> ClassBounds:
    """The bounds for every photo: what is black in a photo is painted black.

    Args:
        light: classes of light, 1 to 3.
        hues: divide them by hue.
    """
    return ClassBounds(_PHOTO_LUMA[light], ((_PHOTO_EXCESS,) * 3 if hues else (),) * light)


def painting_bounds(paintings: Sequence[Tensor], light: int, hues: bool) -> ClassBounds:
    """Bounds that divide paintings, each (1, 3, H, W) in 0..1, into classes of fixed areas.

    Every class then has enough paint to learn from, whatever the painting: the reds of a blue
    painting are its least blue parts.
    """
    around = [around_pixels(painting) for painting in paintings]
    lumas = torch.cat([luma.flatten() for luma, _ in around])
    excesses = torch.cat([excess.permute(0, 2, 3, 1).reshape(-1, 3) for _, excess in around])
    light_bounds = _bounds_at(lumas, _PAINTING_SHARES[light])
    numbers = torch.bucketize(lumas, torch.tensor(light_bounds, device=lumas.device))
    hue_bounds: list[tuple[float, ...]] = []
    for number in range(light):
        within = excesses[numbers == number] if hues else excesses[:0]
        share = (1 - _PAINTING_HUE_SHARE,)
        hue_bounds.append(tuple(_bounds_at(column, share)[0] for column in within.T if len(column)))
    return ClassBounds(light_bounds, tuple(hue_bounds))


def classes_of(around: Around, bounds: ClassBounds, size: tuple[int, int]) -> Tensor:
    """The class of each position, as integers (N, h, w).

    Classes are numbered from dark to light, and within a light neutral, red, green, blue.

    Args:
        around: of `around_pixels`.
        bounds: of `photo_bounds` or `painting_bounds`.
        size: (h, w), to which the picture is shrunk.
    """
    luma, excess = (functional.adaptive_avg_pool2d(each, size) for each in around)
    light = torch.bucketize(luma[:, 0], torch.tensor(bounds.light, device=luma.device))
    if not bounds.hues[0]:
        return light
    needed = torch.tensor(bounds.hues, device=luma.device)[light]  # (N, h, w, 3)
    strongest = (excess.permute(0, 2, 3, 1) - needed).max(3)
    hue = torch.where(strongest.values > 0, strongest.indices + 1, 0)
    return light * HUES + hue


def around_pixels(rgb: Tensor) -> Around:
    """What decides the classes of a picture (N, 3, H, W) in 0..1."""
    edge = NEIGHBOURHOOD_PX // 2
    # Contiguous, and along one axis after the other: takes a fiftieth of the time
    rgb = rgb.float().contiguous()
    padded = functional.pad(rgb, (edge, edge, edge, edge), mode="replicate")
    along = functional.avg_pool2d(padded, (1, NEIGHBOURHOOD_PX), 1)
    around = functional.avg_pool2d(along, (NEIGHBOURHOOD_PX, 1), 1)
    return luma_of(around), (3 * around - around.sum(1, keepdim=True)) / 2


def _bounds_at(values: Tensor, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The values below which the given shares of all values lie."""
    ordered = values.sort().values
    return tuple(float(ordered[int(len(ordered) * share)]) for share in shares)


class ClassGramLoss(nn.Module):
    """Distance of Gram matrices to the paintings', class by class.

    The Gram matrix of a whole picture (see `losses.GramLoss`) does not see where paint is, so dark
    paint may cover light parts. Here every position of a painted photo counts in the class that the
    photo has there (guided Gram matrices: Gatys et al., CVPR 2017, eq. 5; with hard masks, from
    light and hue only). Light then follows light at full style, and every colour of the painting
    has its place.

    The squared error of each class is divided by the energy of the painting's class and weighted
    by the class's area. The photos of a batch are taken together.
    """

    def __init__(
        self,
        features: Features,
        paintings: list[Tensor],
        scales: tuple[int, ...],
        light: int,
        hues: bool,
        *,
        recolored: bool = False,
    ) -> None:
        """Computes the paintings' Gram matrices.

        Args:
            features: the feature extractor.
            paintings: each (1, 3, H, W) in 0..1.
            scales: factors by which pictures are shrunk.
            light: classes of light, 1 to 3.
            hues: divide them by hue.
            recolored: photos are in the paintings' colours, so the same bounds divide both.
        """
        super().__init__()
        bounds = painting_bounds(paintings, light, hues)
        self._bounds = bounds if recolored else photo_bounds(light, hues)
        self.targets = [_targets(features, paintings, scale, bounds) for scale in scales]

    def forward(self, pyramid: list[dict[str, Tensor]], photo: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            pyramid: features of the painted photos, shrunk by each scale.
            photo: the photos, (N, 3, H, W) in 0..1.
        """
        around = around_pixels(photo)
        errors = []
        for found, targets in zip(pyramid, self.targets, strict=True):
            for name, target in targets.items():
                classes = classes_of(around, self._bounds, _size(found[name]))
                grams, areas = class_grams(found[name], classes, len(target))
                shares = areas / areas.sum()
                shares = shares * (shares >= _MIN_SHARE)
                energy = target.square().sum((1, 2))
                error = (grams - target).square().sum((1, 2)) / (energy + 1e-12)
                errors.append((error * shares).sum())
        return torch.stack(errors).mean()


@torch.no_grad()
def _targets(
    features: Features, paintings: list[Tensor], scale: int, bounds: ClassBounds
) -> dict[str, Tensor]:
    """By layer, the Gram matrices of the classes, (classes, C, C): means over the paintings."""
    sums: dict[str, Tensor] = {}
    areas: dict[str, Tensor] = {}
    for painting in paintings:
        small = functional.avg_pool2d(painting, scale)
        around = around_pixels(painting)
        for name, found in features(small, style_layers(scale)).items():
            classes = classes_of(around, bounds, _size(found))
            grams, area = class_grams(found, classes, bounds.count)
            sums[name] = sums.get(name, 0) + grams * area[:, None, None]
            areas[name] = areas.get(name, 0) + area
    return {name: sums[name] / areas[name][:, None, None].clamp_min(1) for name in sums}


def class_grams(features: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The Gram matrix of the positions of each class, and how many positions it has.

    Sorted by class, all classes together cost as much as one Gram matrix of the whole.

    Args:
        features: (N, C, h, w).
        classes: (N, h, w), integers below `count`.
        count: the number of classes.

    Returns:
        (count, C, C) in float32, zeros for a class without positions; and (count,).
    """
    channels = features.shape[1]
    flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
    order = classes.flatten().argsort()
    areas = torch.bincount(classes.flatten(), minlength=count)
    grams = []
    for rows in torch.split(flat[order], areas.tolist()):
        if len(rows):
            grams.append(gram_matrix(rows.T[None, :, :, None])[0])
        else:
            grams.append(features.new_zeros(channels, channels, dtype=torch.float32))
    return torch.stack(grams), areas.float()


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]
