"""Style by classes: dark parts are painted like the painting's dark parts, calm like calm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.light import luma_of
from realtime_style.training.losses import gram_matrix, style_layers
from realtime_style.training.perceptual import Features

AROUND_PX = 17
"""Side of the square around a pixel by whose light and texture it is classed."""
_LIGHT_OF_PHOTO = {1: (), 2: (0.4,), 3: (0.28, 0.55)}  # luma between one class and the next
_TEXTURE_OF_PHOTO = {1: (), 2: (0.045,)}  # standard deviation of luma
_LEAST_SHARE = 0.002  # of the batch: a class with less has too few pixels for a Gram matrix


@dataclass(frozen=True, slots=True)
class ClassBounds:
    """Where classes meet: luma in 0..1, then of each class of light its own bounds of texture."""

    light: tuple[float, ...]
    texture: tuple[tuple[float, ...], ...]

    @property
    def count(self) -> int:
        """How many classes there are."""
        return sum(len(bounds) + 1 for bounds in self.texture)


def photo_bounds(light: int, texture: int) -> ClassBounds:
    """Bounds for photos, the same for all: what is black in a photo is painted black."""
    return ClassBounds(_LIGHT_OF_PHOTO[light], (_TEXTURE_OF_PHOTO[texture],) * light)


def painting_bounds(paintings: list[Tensor], light: int, texture: int) -> ClassBounds:
    """Bounds that part paintings, each (1, 3, H, W) in 0..1, into classes of equal areas."""
    seen = [_light_and_texture(painting) for painting in paintings]
    lumas = torch.cat([each[0].flatten() for each in seen])
    rough = torch.cat([each[1].flatten() for each in seen])
    of_light = _even_bounds(lumas, light)
    of_texture = []
    which = torch.bucketize(lumas, torch.tensor(of_light, device=lumas.device))
    for number in range(light):
        of_texture.append(_even_bounds(rough[which == number], texture))
    return ClassBounds(of_light, tuple(of_texture))


def classes_of(rgb: Tensor, bounds: ClassBounds, size: tuple[int, int]) -> Tensor:
    """The class of each place in RGB (N, 3, H, W), shrunk to a size (h, w): (N, h, w) integers.

    Classes are numbered from dark to light, and in each light from calm to rough.
    """
    luma, rough = (
        functional.adaptive_avg_pool2d(each, size)[:, 0] for each in _light_and_texture(rgb)
    )
    light = torch.bucketize(luma, torch.tensor(bounds.light, device=rgb.device))
    classes = torch.zeros_like(light)
    first = 0
    for number, texture in enumerate(bounds.texture):
        within = first + torch.bucketize(rough, torch.tensor(texture, device=rgb.device))
        classes = torch.where(light == number, within, classes)
        first += len(texture) + 1
    return classes


def _light_and_texture(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of luma in the square around each pixel, (N, 1, H, W) both."""
    luma = luma_of(rgb.float())
    edge = AROUND_PX // 2
    around = functional.pad(luma, (edge, edge, edge, edge), mode="replicate")
    mean, square = (functional.avg_pool2d(each, AROUND_PX, 1) for each in (around, around**2))
    deviation = (square - mean**2).clamp_min(0).sqrt()
    edges = functional.pad(deviation, (edge, edge, edge, edge), mode="replicate")
    return mean, functional.avg_pool2d(edges, AROUND_PX, 1)


def _even_bounds(values: Tensor, parts: int) -> tuple[float, ...]:
    """Bounds between equal shares of values."""
    ordered = values.sort().values
    return tuple(float(ordered[len(ordered) * part // parts]) for part in range(1, parts))


class ClassGramLoss(nn.Module):
    """Distance of Gram matrices within each class of light and texture to the paintings' there.

    A Gram matrix of a whole picture (see `losses.GramLoss`) does not see where paint lies, and is
    content with dark paint on light places. Here every place of a painted photo counts in the class
    that its photo has there (the idea of guided Gram matrices, Gatys et al., CVPR 2017, eq. 5; hard
    masks, found by light and texture alone). Light then follows light while the style is asked for
    in full, and a photo's calm places take after the painting's calm ones.

    Of each class, the squared error over the painting's energy; classes count by their areas. The
    photos of a batch are taken together.
    """

    def __init__(
        self,
        features: Features,
        paintings: list[Tensor],
        scales: tuple[int, ...],
        light: int,
        texture: int,
    ) -> None:
        """Args: as for `GramLoss`; light (1 to 3) and texture (1 or 2), the classes of each."""
        super().__init__()
        self._bounds = photo_bounds(light, texture)
        theirs = painting_bounds(paintings, light, texture)
        self.targets: list[dict[str, Tensor]] = []  # of each scale and layer: (classes, C, C)
        with torch.no_grad():
            for scale in scales:
                sums: dict[str, Tensor] = {}
                areas: dict[str, Tensor] = {}
                for painting in paintings:
                    small = functional.avg_pool2d(painting, scale)
                    for name, found in features(small, style_layers(scale)).items():
                        classes = classes_of(painting, theirs, _size(found))
                        grams, counts = class_grams(found, classes, theirs.count)
                        weighted = grams * counts[:, None, None]
                        sums[name] = sums.get(name, 0) + weighted
                        areas[name] = areas.get(name, 0) + counts
                self.targets.append(
                    {name: sums[name] / areas[name][:, None, None].clamp_min(1) for name in sums}
                )

    def forward(self, pyramid: list[dict[str, Tensor]], photo: Tensor) -> Tensor:
        """Features of the painted photos shrunk by each scale, and the photos, to a scalar."""
        errors = []
        for found, target in zip(pyramid, self.targets, strict=True):
            for name, aims in target.items():
                classes = classes_of(photo, self._bounds, _size(found[name]))
                grams, counts = class_grams(found[name], classes, len(aims))
                shares = counts / counts.sum()
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
    counts = torch.bincount(classes.flatten(), minlength=count)
    grams = []
    for rows in torch.split(flat[order], counts.tolist()):
        if len(rows):
            grams.append(gram_matrix(rows.T[None, :, :, None])[0])
        else:
            grams.append(features.new_zeros(channels, channels, dtype=torch.float32))
    return torch.stack(grams), counts.float()


def _size(features: Tensor) -> tuple[int, int]:
    return features.shape[2], features.shape[3]
