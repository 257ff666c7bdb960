import pytest
import torch
from torch import Tensor

from realtime_style.training import recoloring
from realtime_style.training.light import luma_of
from realtime_style.training.recoloring import ColorTable, Recoloring, color_loss

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def colors(*rgb: tuple[float, float, float], spread: float = 0.0) -> Tensor:
    """A picture of vertical stripes, (1, 3, 64, 64 for each colour)."""
    stripes = [torch.tensor(each)[None, :, None, None].expand(1, 3, 64, 64) for each in rgb]
    noise = torch.rand(1, 3, 64, 64 * len(rgb), generator=torch.Generator().manual_seed(0))
    return (torch.cat(stripes, 3) + spread * (noise - 0.5)).clamp(0, 1)


PHOTO = colors((0.1, 0.1, 0.1), (0.2, 0.5, 0.2), (0.4, 0.6, 0.9), (0.95, 0.9, 0.9), spread=0.1)
PAINTING = colors((0.9, 0.9, 0.7), (0.1, 0.05, 0.1), (0.3, 0.5, 0.8), (0.1, 0.6, 0.3))


def middles(rgb: Tensor) -> Tensor:
    """The mean colour of each stripe, (stripes, 3)."""
    return rgb.unflatten(3, (-1, 64)).mean((2, 4))[0].T


def test_every_colour_gets_the_nearest_of_the_painting() -> None:
    found = middles(Recoloring([PHOTO], [PAINTING])(PHOTO))
    expected = middles(PAINTING)[[1, 3, 2, 0]]
    assert torch.allclose(found, expected, atol=0.05)


def test_colours_have_the_shares_that_they_have_in_the_painting() -> None:
    grey = torch.linspace(0.3, 0.6, 256).expand(1, 3, 64, 256)
    painting = colors((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    painted = luma_of(Recoloring([grey], [painting])(grey))
    assert (painted < 0.5).float().mean().item() == pytest.approx(0.75, abs=0.06)
    assert (painted[..., 1:] - painted[..., :-1]).min() > -0.01  # light stays light


def test_several_paintings_are_one_palette() -> None:
    halves = [PAINTING[..., :128], PAINTING[..., 128:]]
    both = Recoloring([PHOTO], halves)(PHOTO)
    assert torch.allclose(middles(both), middles(PAINTING)[[1, 3, 2, 0]], atol=0.05)


def test_photos_of_several_sizes_are_measured_together() -> None:
    halves = [PHOTO[..., :128], torch.cat(PHOTO[..., 128:].split(64, 3), 2)]
    found = Recoloring(halves, [PAINTING])(PHOTO)
    assert torch.allclose(middles(found), middles(PAINTING)[[1, 3, 2, 0]], atol=0.08)


def test_the_map_does_not_depend_on_chance() -> None:
    first, again = (Recoloring([PHOTO], [PAINTING]).table for _ in range(2))
    assert torch.equal(first, again)


def test_a_colour_is_where_it_belongs_in_the_table() -> None:
    recoloring = Recoloring([PHOTO], [PAINTING])
    axis = torch.linspace(0, 1, 5)
    identity = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))[None]
    recoloring.table = identity
    picture = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(recoloring(picture), picture, atol=1e-6)


def test_color_loss_is_the_distance_of_colours_and_ignores_strokes() -> None:
    target = colors((0.5, 0.5, 0.5))
    assert color_loss(target + torch.tensor([0.3, 0.0, 0.4])[:, None, None], target).item() == (
        pytest.approx(0.5, abs=1e-3)
    )
    strokes = torch.zeros(1, 3, 64, 64)
    strokes[..., ::2], strokes[..., 1::2] = 0.3, -0.3
    assert color_loss(target + strokes, target) < 2e-3


def test_colours_outside_the_range_of_a_picture_come_back_in_order() -> None:
    """Beyond white is lighter than white, so it takes the place of the painting's white."""
    beyond = torch.linspace(-0.3, 1.3, 256).expand(1, 3, 64, 256)
    painting = torch.linspace(0.2, 0.8, 256).expand(1, 3, 64, 256)
    kind = ColorTable(2, 2, softness=0.002, low=-0.3, high=1.3, entries=25)
    painted = luma_of(Recoloring([beyond], [painting], kind)(beyond))[0, 0, 0]
    assert (painted.diff() > -1e-3).all()
    assert painted[-1] - painted[-32] > 0.04
    assert (painted - painting[0, 0, 0]).abs().mean() < 0.05


@pytest.fixture
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For speed."""
    monkeypatch.setattr(recoloring, "_SAMPLES", 256)


@pytest.mark.usefixtures("fewer_samples")
def test_a_loose_map_does_not_spread_a_colour_over_all_of_the_painting() -> None:
    grey = colors((0.5, 0.5, 0.5), (0.55, 0.55, 0.55), spread=0.02)
    painting = colors((0.5, 0.5, 0.5), (0.05, 0.05, 0.3), (0.9, 0.2, 0.1))
    exact, loose = (
        middles(Recoloring([grey], [painting], ColorTable(softness=0.002, reach=reach))(grey))
        for reach in (None, 0.02)
    )
    assert (loose - middles(grey)).abs().max() < 0.15  # it takes mostly the grey
    assert (exact - middles(grey)).abs().max() > 0.2


@pytest.mark.usefixtures("fewer_samples")
def test_a_loose_map_takes_the_paintings_colours() -> None:
    found = middles(Recoloring([PHOTO], [PAINTING], ColorTable(reach=0.05))(PHOTO))
    expected = middles(PAINTING)[[1, 3, 2, 0]]
    assert torch.allclose(found, expected, atol=0.06)


@pytest.mark.usefixtures("fewer_samples")
def test_a_large_reach_keeps_the_shares() -> None:
    kinds = [ColorTable(softness=0.002, reach=reach) for reach in (None, 1000.0)]
    exact, loose = (Recoloring([PHOTO], [PAINTING], kind)(PHOTO) for kind in kinds)
    assert (exact - loose).abs().mean() < 0.02


@pytest.mark.usefixtures("fewer_samples")
def test_a_high_weight_of_chroma_keeps_hues() -> None:
    photo = colors((0.6, 0.45, 0.45), (0.45, 0.5, 0.6))
    painting = colors((0.3, 0.33, 0.4), (0.8, 0.65, 0.65))  # its blue is dark, its red is light
    kinds = [ColorTable(chroma=chroma, reach=0.05) for chroma in (8.0, 2.0)]
    found = middles(Recoloring([photo], [painting], kinds[0])(photo))
    assert found[0, 0] > found[0, 2]
    assert found[1, 2] > found[1, 0]
