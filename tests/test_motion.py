"""Second views show what they say they show, and the losses see flicker and nothing else."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from realtime_style.errors import TrainingError  # noqa: E402
from realtime_style.training.motion import (  # noqa: E402
    ClipFolder,
    MovedViews,
    feature_motion_loss,
    motion_loss,
    moved_views,
)

SIDE, VIEW = 256, 160


def smooth_pictures(count: int) -> torch.Tensor:
    """Pictures without fine detail, that interpolation does not blur; 0.2..0.8."""
    random = torch.Generator().manual_seed(0)
    small = torch.rand((count, 3, 12, 12), generator=random)
    large = functional.interpolate(small, (SIDE, SIDE), mode="bicubic", align_corners=False)
    return large.clamp(0, 1) * 0.6 + 0.2


def follow(pictures: torch.Tensor, views: MovedViews) -> torch.Tensor:
    return functional.grid_sample(
        pictures, views.grid, mode="bicubic", padding_mode="border", align_corners=False
    )


def test_views_show_their_pictures_by_their_motion_and_light():
    pictures = smooth_pictures(12)
    views = moved_views(pictures, VIEW, 0, 1, range(12))
    assert views.rgb.shape == (12, 3, VIEW, VIEW)
    # Noise is up to 0.04 strong; its mean over a picture is nothing
    error = ((views.rgb - follow(pictures, views) - views.lighter) * views.valid).mean((1, 2, 3))
    assert error.abs().max() < 0.002
    assert views.valid.mean() > 0.5


def test_views_differ_from_their_pictures():
    pictures = smooth_pictures(12)
    views = moved_views(pictures, VIEW, 0, 1, range(12))
    edge = (SIDE - VIEW) // 2
    middle = pictures[..., edge : edge + VIEW, edge : edge + VIEW]
    assert (views.rgb - middle).abs().mean((1, 2, 3)).median() > 0.02


def test_motion_hangs_on_seed_step_and_item_alone():
    pictures = smooth_pictures(4)
    together = moved_views(pictures, VIEW, 3, 5, range(4))
    alone = moved_views(pictures[2:], VIEW, 3, 5, range(2, 4))
    assert torch.equal(together.rgb[2:], alone.rgb)
    other = moved_views(pictures, VIEW, 3, 6, range(4))
    assert not torch.equal(together.grid, other.grid)


def still_views(count: int) -> MovedViews:
    """Views that show the middle, unmoved."""
    edge = (SIDE - VIEW) // 2
    at = (torch.arange(VIEW) + edge + 0.5) * 2 / SIDE - 1
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).expand(count, -1, -1, -1)
    rgb = smooth_pictures(count)[..., edge : edge + VIEW, edge : edge + VIEW]
    return MovedViews(rgb, grid, torch.ones(count, 1, VIEW, VIEW), torch.zeros_like(rgb))


def test_paint_that_moves_along_costs_nothing():
    pictures = smooth_pictures(2)
    painted = pictures.flip(1)
    views = still_views(2)
    moved = follow(painted, views)
    assert motion_loss(painted, moved, views) < 1e-9
    assert motion_loss(painted, moved + 0.1, views) == pytest.approx(0.01, rel=1e-3)


def test_nothing_is_asked_where_nothing_can_be_compared():
    pictures = smooth_pictures(1)
    views = still_views(1)
    views.valid[..., :80, :] = 0
    moved = follow(pictures, views)
    moved[..., :80, :] += 0.5
    assert motion_loss(pictures, moved, views) < 1e-9


def test_paint_may_become_lighter_with_the_picture():
    pictures = smooth_pictures(1)
    views = still_views(1)
    lighter = MovedViews(views.rgb + 0.1, views.grid, views.valid, views.lighter + 0.1)
    moved = follow(pictures, views) + 0.1
    assert motion_loss(pictures, moved, lighter) < 1e-9
    assert motion_loss(pictures, moved - 0.1, lighter) > 0.005


def test_motion_loss_reaches_both_paintings():
    painted = smooth_pictures(1).requires_grad_()
    moved = (smooth_pictures(1)[..., :VIEW, :VIEW]).clone().requires_grad_()
    motion_loss(painted, moved, still_views(1)).backward()
    assert painted.grad is not None
    assert moved.grad is not None
    assert painted.grad.abs().sum() > 0
    assert moved.grad.abs().sum() > 0


def test_feature_loss_is_relative_and_sees_what_moved():
    views = still_views(2)
    features = functional.avg_pool2d(smooth_pictures(2), 4)
    edge = (SIDE - VIEW) // 8
    moved = features[..., edge : edge + VIEW // 4, edge : edge + VIEW // 4]
    assert feature_motion_loss(features, moved, views) < 1e-4
    once, twice = (feature_motion_loss(k * features, k * moved + k * 0.1, views) for k in (1, 10))
    assert once > 0.005
    assert twice == pytest.approx(float(once), rel=0.05)


@pytest.fixture
def clips(tmp_path):
    """A folder with a film of a pattern that moves by three pixels a frame, and no film."""
    pytest.importorskip("cv2", exc_type=ImportError)
    with av.open(str(tmp_path / "pan.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 320, 288, "yuv420p"
        wide = functional.interpolate(
            torch.rand((1, 3, 36, 70), generator=torch.Generator().manual_seed(0)),
            (288, 560), mode="bicubic", align_corners=False,
        )  # fmt: skip
        rgb = (wide[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        for i in range(40):
            shown = np.ascontiguousarray(rgb[:, 3 * i : 3 * i + 320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shown)))
        container.mux(stream.encode())
    (tmp_path / "notes.txt").write_text("no film")
    return tmp_path


def test_clips_give_frames_and_their_motion(clips):
    folder = ClipFolder(clips, SIDE, 0)
    assert [path.name for path in folder.skipped] == ["notes.txt"]
    photos, views = folder.batch(3, range(4), VIEW)
    assert photos.shape == (4, 3, SIDE, SIDE)
    assert views.valid.mean() > 0.5
    error = ((views.rgb - follow(photos, views)) * views.valid).abs()
    edge = (SIDE - VIEW) // 2
    unmoved = (views.rgb - photos[..., edge : edge + VIEW, edge : edge + VIEW]) * views.valid
    assert error.mean() < 0.3 * unmoved.abs().mean()
    again, _ = folder.batch(3, range(4), VIEW)
    assert torch.equal(photos, again)


def test_clips_that_are_none(tmp_path):
    with pytest.raises(TrainingError, match="is not a folder"):
        ClipFolder(tmp_path / "nowhere", SIDE, 0)
    (tmp_path / "notes.txt").write_text("no film")
    with pytest.raises(TrainingError, match="no film that can be read"):
        ClipFolder(tmp_path, SIDE, 0)
