import numpy as np
import pytest
import torch
from torch import Tensor

from realtime_style.training.palette import Palette, no_colors

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def flat(*rgb: float, side: int = 64) -> Tensor:
    return torch.tensor(rgb)[None, :, None, None].expand(1, 3, side, side).clone()


def two_colors() -> Tensor:
    """The left half red, the right half blue."""
    return torch.cat((flat(0.8, 0.1, 0.1), flat(0.1, 0.1, 0.8)), 3)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nearest_loss_is_the_distance_to_the_painting() -> None:
    palette = Palette([two_colors()])
    assert palette.nearest_loss(flat(0.8, 0.1, 0.1), random()) < 1e-3
    assert palette.nearest_loss(flat(0.8, 0.4, 0.1), random()).item() == pytest.approx(
        0.3, abs=0.01
    )


def test_spread_loss_needs_all_colors_of_the_painting() -> None:
    painting = two_colors()
    right = Palette([painting]).spread_loss(painting.flip(3), random(), no_colors())
    half = Palette([painting]).spread_loss(flat(0.8, 0.1, 0.1), random(), no_colors())
    assert right < 0.01
    assert half > 0.1


def test_spread_loss_is_the_mean_difference_of_sorted_projections() -> None:
    painting, painted = (torch.rand(1, 3, 256, 256, generator=random(seed)) for seed in (1, 2))
    painted = painted * 0.5
    found = Palette([painting]).spread_loss(painted, random(5), no_colors()).item()
    directions = random(5)
    errors = []
    for cell in (4, 16):
        along = torch.randn(3, 16, generator=directions)
        along = (along / along.norm(dim=0)).numpy()
        sides = [
            rgb[0].unfold(1, cell, cell).unfold(2, cell, cell).mean((3, 4)).flatten(1).T.numpy()
            for rgb in (painted, painting)
        ]
        sorted_ = [np.sort(side @ along, axis=0) for side in sides]
        errors.append(np.abs(sorted_[0] - sorted_[1]).mean())
    assert found == pytest.approx(np.mean(errors), rel=0.05)


def test_colors_of_the_last_steps_count_too() -> None:
    red, blue = flat(0.8, 0.1, 0.1), flat(0.1, 0.1, 0.8)
    alone = Palette([two_colors()]).spread_loss(blue, random(), no_colors())
    palette, earlier = Palette([two_colors()]), no_colors()
    palette.spread_loss(red, random(), earlier)
    assert palette.spread_loss(blue, random(), earlier) < alone / 2
    for _ in range(10):
        palette.spread_loss(blue, random(), earlier)
    assert palette.spread_loss(blue, random(), earlier) == alone  # red is long ago


def test_gradients_are_finite_where_colors_agree() -> None:
    painted = two_colors().requires_grad_()
    palette = Palette([two_colors()])
    loss = palette.spread_loss(painted, random(), no_colors()) + palette.nearest_loss(
        painted, random()
    )
    (slope,) = torch.autograd.grad(loss, painted)
    assert torch.isfinite(slope).all()
