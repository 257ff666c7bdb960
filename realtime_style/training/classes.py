"""Style by classes: dark parts are painted like the painting's dark parts, warm like warm."""

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
MEASURES = ("light", "warmth", "texture")
"""What pixels are classed by: luma in 0..1, red less blue in -1..1, deviation of luma in 0..0.5."""
_OF_PHOTOS: dict[str, dict[int, tuple[float, ...]]] = {
    "light": {1: (), 2: (0.4,), 3: (0.28, 0.55)},
    "warmth": {1: (), 2: (0.04,), 3: (-0.02, 0.12)},
    "texture": {1: (), 2: (0.045,)},
}
"""Bounds between classes of photos by their number: about equal areas, taken over many photos."""
_OF_PAINTINGS: dict[str, dict[int, tuple[float, ...]]] = {
    "light": {1: (), 2: (0.5,), 3: (1 / 3, 2 / 3)},
    "warmth": {1: (), 2: (0.5,), 3: (0.22, 0.78)},
    "texture": {1: (), 2: (0.5,)},
}
"""The same of a painting, as shares of its area: warm and cold are its strongest colours."""
_LEAST_SHARE = 0.002  # of the batch: a class with less has too few pixels for a Gram matrix

Bounds = tuple[tuple[float, ...], ...]
"""Of one measure, the bounds within each class that the measures before it have made."""


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """Where classes meet: of each measure in MEASURES, within each class of those before it."""

    measures: tuple[Bounds, ...]

    @property
    def count(self) -> int:
        """How many classes there are."""
        last = self.measures[-1]
        return len(last) * (len(last[0]) + 1)


def photo_bounds(counts: Sequence[int]) -> ClassBounds:
    """Bounds for photos, the same for all: what is black in a photo is painted black.

    `counts` says how many classes there are of each measure.
    """
    measures, classes = [], 1
    for name, count in zip(MEASURES, counts, strict=True):
        measures.append((_OF_PHOTOS[name][count],) * classes)
        classes *= count
    return ClassBounds(tuple(measures))


def painting_bounds(paintings: Sequence[Tensor], counts: Sequence[int]) -> ClassBounds:
    """Bounds that part paintings, each (1, 3, H, W) in 0..1, into classes of fixed areas.

    So that every class has enough paint to learn from, whatever the painting: the warm parts of
    a blue painting are the least blue ones.
    """
    seen = [_measured(painting) for painting in paintings]
    classes = torch.zeros(sum(each[0].numel() for each in seen), dtype=torch.long)
    classes = classes.to(seen[0][0].device)
    measures, made = [], 1
    for number, (name, count) in enumerate(zip(MEASURES, counts, strict=True)):
        values = torch.cat([each[number].flatten() for each in seen])
        shares = _OF_PAINTINGS[name][count]
        bounds = tuple(_bounds_at(values[classes == which], shares) for which in range(made))
        classes = _parted(classes, values, bounds)
        measures.append(bounds)
        made *= count
    return ClassBounds(tuple(measures))


def classes_of(rgb: Tensor, bounds: ClassBounds, size: tuple[int, int]) -> Tensor:
    """The class of each place in RGB (N, 3, H, W), shrunk to a size (h, w): (N, h, w) integers.

    Numbers run from dark to light, within a light from cold to warm, then from calm to rough.
    """
    classes = torch.zeros(len(rgb), *size, dtype=torch.long, device=rgb.device)
    for values, of_measure in zip(_measured(rgb), bounds.measures, strict=True):
        small = functional.adaptive_avg_pool2d(values, size)[:, 0]
        classes = _parted(classes, small, of_measure)
    return classes


def _parted(classes: Tensor, values: Tensor, bounds: Bounds) -> Tensor:
    """Classes parted further by a measure: class c into c * n, ..., c * n + n - 1."""
    parted = torch.zeros_like(classes)
    for which, within in enumerate(bounds):
        part = torch.bucketize(values, torch.tensor(within, device=values.device))
        parted = torch.where(classes == which, which * (len(within) + 1) + part, parted)
    return parted


def _measured(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Light, warmth and texture in the square around each pixel, (N, 1, H, W) each."""
    rgb = rgb.float()
    luma = luma_of(rgb)
    mean, square = _around(luma), _around(luma**2)
    deviation = (square - mean**2).clamp_min(0).sqrt()
    return mean, _around(rgb[:, :1] - rgb[:, 2:]), _around(deviation)


def _around(values: Tensor) -> Tensor:
    """Means of the squares around pixels, (N, 1, H, W)."""
    edge = AROUND_PX // 2
    padded = functional.pad(values, (edge, edge, edge, edge), mode="replicate")
    return functional.avg_pool2d(padded, AROUND_PX, 1)


def _bounds_at(values: Tensor, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The values below which the given shares of all values lie."""
    ordered = values.sort().values
    return tuple(float(ordered[int(len(ordered) * share)]) for share in shares)


class ClassGramLoss(nn.Module):
    """Distance of Gram matrices within each class of places to the paintings' in that class.

    A Gram matrix of a whole picture (see `losses.GramLoss`) does not see where paint lies, and is
    content with dark paint on light places. Here every place of a painted photo counts in the class
    that its photo has there (the idea of guided Gram matrices, Gatys et al., CVPR 2017, eq. 5; hard
    masks, found by light, warmth and texture alone). Light then follows light while the style is
    asked for in full, and every colour of the painting has its place.

    Of each class, the squared error over the painting's energy; classes count by their areas. The
    photos of a batch are taken together.
    """

    def __init__(
        self,
        features: Features,
        paintings: list[Tensor],
        scales: tuple[int, ...],
        counts: Sequence[int],
    ) -> None:
        """Args: as for `GramLoss`; counts, how many classes of each measure in MEASURES."""
        super().__init__()
        self._bounds = photo_bounds(counts)
        theirs = painting_bounds(paintings, counts)
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
