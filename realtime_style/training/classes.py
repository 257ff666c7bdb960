"""Style by classes: dark places are painted like the painting's dark ones, green like green."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.light import luma_of
from realtime_style.training.losses import gram_matrix, style_layers
from realtime_style.training.perceptual import Features

AROUND_PX = 17
"""Side of the square around a pixel by which it is classed."""
HUES = 4
"""Classes of hue: neutral, red, green, blue."""
_LIGHT_OF_PHOTOS: dict[int, tuple[float, ...]] = {1: (), 2: (0.4,), 3: (0.28, 0.55)}
"""Luma between the classes of photos, by their number: about equal areas of many photos."""
_LIGHT_OF_PAINTINGS: dict[int, tuple[float, ...]] = {1: (), 2: (0.5,), 3: (1 / 3, 2 / 3)}
"""The same of a painting, as shares of its area."""
_HUE_OF_PHOTOS = 0.05
"""By how much a colour must stand out of a photo's place."""
_HUE_OF_PAINTINGS = 0.18
"""The share of a painting's area, within a class of light, that counts as one hue, at most."""
_LEAST_SHARE = 0.002  # of the batch: a class with less has too few pixels for a Gram matrix


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """Where classes meet.

    `light`: luma in 0..1 between one class of light and the next. `hues`: for each class of light,
    by how much red, green and blue must stand out to count, or nothing where hues do not.
    """

    light: tuple[float, ...]
    hues: tuple[tuple[float, ...], ...]

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(self.hues) * (HUES if self.hues[0] else 1)


def photo_bounds(light: int, hues: bool) -> ClassBounds:
    """Bounds for photos, the same for all: what is black in a photo is painted black."""
    return ClassBounds(_LIGHT_OF_PHOTOS[light], ((_HUE_OF_PHOTOS,) * 3 if hues else (),) * light)


def painting_bounds(paintings: Sequence[Tensor], light: int, hues: bool) -> ClassBounds:
    """Bounds that part paintings, each (1, 3, H, W) in 0..1, into classes of fixed areas.

    So that every class has enough paint to learn from, whatever the painting: the reds of a blue
    painting are its least blue parts.
    """
    seen = [_measured(painting) for painting in paintings]
    lumas = torch.cat([luma.flatten() for luma, _ in seen])
    colors = torch.cat([color.permute(0, 2, 3, 1).reshape(-1, 3) for _, color in seen])
    of_light = _bounds_at(lumas, _LIGHT_OF_PAINTINGS[light])
    which = torch.bucketize(lumas, torch.tensor(of_light, device=lumas.device))
    of_hues: list[tuple[float, ...]] = []
    for number in range(light):
        within = colors[which == number] if hues else colors[:0]
        share = (1 - _HUE_OF_PAINTINGS,)
        of_hues.append(tuple(_bounds_at(column, share)[0] for column in within.T if len(column)))
    return ClassBounds(of_light, tuple(of_hues))


def classes_of(rgb: Tensor, bounds: ClassBounds, size: tuple[int, int]) -> Tensor:
    """The class of each place in RGB (N, 3, H, W), shrunk to a size (h, w): (N, h, w) integers.

    Numbers run from dark to light, within a light from neutral over red and green to blue.
    """
    luma, colors = (functional.adaptive_avg_pool2d(each, size) for each in _measured(rgb))
    light = torch.bucketize(luma[:, 0], torch.tensor(bounds.light, device=rgb.device))
    if not bounds.hues[0]:
        return light
    needed = torch.tensor(bounds.hues, device=rgb.device)[light]  # (N, h, w, 3)
    more = colors.permute(0, 2, 3, 1) - needed
    strongest = more.max(3)
    hue = torch.where(strongest.values > 0, strongest.indices + 1, 0)
    return light * HUES + hue


def _measured(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W) and how far each colour stands out (N, 3, H, W), around each pixel.

    A colour stands out by what it has over the mean of the other two: -1..1.
    """
    rgb = rgb.float()
    edge = AROUND_PX // 2
    padded = functional.pad(rgb, (edge, edge, edge, edge), mode="replicate")
    around = functional.avg_pool2d(padded, AROUND_PX, 1)
    return luma_of(around), (3 * around - around.sum(1, keepdim=True)) / 2


def _bounds_at(values: Tensor, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The values below which the given shares of all values lie."""
    ordered = values.sort().values
    return tuple(float(ordered[int(len(ordered) * share)]) for share in shares)


class ClassGramLoss(nn.Module):
    """Distance of Gram matrices within each class of places to the paintings' in that class.

    A Gram matrix of a whole picture (see `losses.GramLoss`) does not see where paint lies, and is
    content with dark paint on light places. Here every place of a painted photo counts in the class
    that its photo has there (the idea of guided Gram matrices, Gatys et al., CVPR 2017, eq. 5; hard
    masks, found by light and hue alone). Light then follows light while the style is asked for in
    full, and every colour of the painting has its place.

    Of each class, the squared error over the painting's energy; classes count by their areas. The
    photos of a batch are taken together.
    """

    def __init__(
        self,
        features: Features,
        paintings: list[Tensor],
        scales: tuple[int, ...],
        light: int,
        hues: bool,
    ) -> None:
        """Args: as for `GramLoss`; light, classes of it (1 to 3); hues, whether these count."""
        super().__init__()
        self._bounds = photo_bounds(light, hues)
        theirs = painting_bounds(paintings, light, hues)
        self.targets: list[dict[str, Tensor]] = []  # of each scale and layer: (classes, C, C)
        with torch.no_grad():
            for scale in scales:
                sums: dict[str, Tensor] = {}
                areas: dict[str, Tensor] = {}
                for painting in paintings:
                    small = functional.avg_pool2d(painting, scale)
                    for name, found in features(small, style_layers(scale)).items():
                        classes = classes_of(painting, theirs, _size(found))
                        grams, counted = class_grams(found, classes, theirs.count)
                        weighted = grams * counted[:, None, None]
                        sums[name] = sums.get(name, 0) + weighted
                        areas[name] = areas.get(name, 0) + counted
                self.targets.append(
                    {name: sums[name] / areas[name][:, None, None].clamp_min(1) for name in sums}
                )

    def forward(self, pyramid: list[dict[str, Tensor]], photo: Tensor) -> Tensor:
        """Features of the painted photos shrunk by each scale, and the photos, to a scalar."""
        errors = []
        for found, target in zip(pyramid, self.targets, strict=True):
            for name, aims in target.items():
                classes = classes_of(photo, self._bounds, _size(found[name]))
                grams, counted = class_grams(found[name], classes, len(aims))
                shares = counted / counted.sum()
                shares = shares * (shares >= _LEAST_SHARE)
                energy = aims.square().sum((1, 2))
                error = (grams - aims).square().sum((1, 2)) / (energy + 1e-12)
                errors.append((error * shares).sum())
        return torch.stack(errors).mean()


def class_grams(features: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Gram matrices of the places of each class, and how many places each has.

    Features (N, C, h, w) and classes (N, h, w), numbers below `count`; to (count, C, C) in float32
    and (count,). A class without a place has a matrix of zeros.
    """
    channels = features.shape[1]
    flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
    order = classes.flatten().argsort()
    counted = torch.bincount(classes.flatten(), minlength=count)
    grams = []
    for rows in torch.split(flat[order], counted.tolist()):
        if len(rows):
            grams.append(gram_matrix(rows.T[None, :, :, None])[0])
        else:
            grams.append(features.new_zeros(channels, channels, dtype=torch.float32))
    return torch.stack(grams), counted.float()


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]
