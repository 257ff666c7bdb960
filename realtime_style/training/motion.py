"""Pairs of views of a scene whose motion is known, and losses that ask for equal paint in both.

A film flickers where something that only moves is painted differently in each frame. A generator
learns to avoid that from pairs of views: photos under a random motion (compound regularisation,
Wang et al., AAAI 2020), and frames of real films, related by optical flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from realtime_style.errors import TrainingError
from realtime_style.system.paths import ffmpeg_name, visible_files

_MOTION, _CLIP = 2, 3  # parts of seeds, as in `dataset`, so that random numbers differ
_STILL_SHARE = 0.15  # share of the views in which nothing moves, and only light and noise differ
_WHOLE_SHARE = 0.35  # share of the views that move by whole pixels, without interpolation
_SHIFT_PX, _TURN_DEG, _ZOOM = 16.0, 3.0, 0.05  # largest shift, turn and zoom
_WAVE_PX, _WAVES = 4.0, 4  # largest smooth flow, interpolated from 4x4 random vectors
_OBJECT_SHARE = 0.5  # share of the views in which an oval moves on its own
_RIM_PX = 9  # width of the oval's rim, where neither motion is right
_EDGE_PX = 16  # width of the view's border, which is painted without seeing what is beyond it
_GAIN, _OFFSET, _NOISE = 0.12, 0.04, 0.04  # largest change of light, and deviation of noise
_PAIRS_OF_CLIP = 12  # about how many pairs of frames are taken from a film
_CLIP_SHORT_PX = 480  # shorter side to which larger frames are shrunk
_MAX_STEP = 4  # most frames from the first to the second of a pair


@dataclass(frozen=True, slots=True)
class MovedViews:
    """Second views of N pictures, each of the middle of a picture, and where its pixels come from.

    Attributes:
        rgb: the views, (N, 3, s, s) RGB in 0..1.
        grid: the position in the picture from which each pixel of a view comes, (N, s, s, 2): x and
            y in the coordinates of `functional.grid_sample`.
        valid: (N, 1, s, s), 1 where view and picture can be compared, else 0.
        lighter: how much brighter each pixel of a view is than where it comes from, (N, 3, s, s).
    """

    rgb: Tensor
    grid: Tensor
    valid: Tensor
    lighter: Tensor

    def to(self, device: torch.device) -> MovedViews:
        """A copy on a device, with `rgb` in the memory format channels_last."""
        last = torch.channels_last
        return MovedViews(
            self.rgb.to(device).contiguous(memory_format=last),
            self.grid.to(device),
            self.valid.to(device),
            self.lighter.to(device),
        )


def moved_views(photos: Tensor, side_px: int, seed: int, step: int, items: range) -> MovedViews:
    """Makes second views of photos, each with its own motion, light and noise.

    The motion is a shift, turn, zoom and smooth flow, or a shift by whole pixels, or none. In half
    of the views an oval moves differently. Then the light is changed by a gain and an offset, and
    noise is added.

    Args:
        photos: (N, 3, S, S) RGB in 0..1.
        side_px: the side of the views, s, in pixels.
        seed: seed of the random numbers.
        step: the training step, from 1.
        items: the numbers of the photos in the whole batch. With the same seed and step, a number
            always gets the same motion.
    """
    views = []
    for photo, item in zip(photos, items, strict=True):
        rng = np.random.default_rng((seed, step, item, _MOTION))
        grid, valid = _motion(rng, photo.shape[-1], side_px)
        moved = _sample(photo[None], grid[None])[0].clamp(0, 1)
        gain = 1 + rng.uniform(-_GAIN, _GAIN)
        lit = (moved * gain + rng.uniform(-_OFFSET, _OFFSET)).clamp(0, 1)
        noise = rng.standard_normal(moved.shape, np.float32) * rng.uniform(0, _NOISE)
        noisy = (lit + torch.from_numpy(noise)).clamp(0, 1)
        views.append((noisy, grid, valid, lit - moved))
    return _stack(views)


def _stack(views: list[tuple[Tensor, Tensor, Tensor, Tensor]]) -> MovedViews:
    rgb, grid, valid, lighter = (torch.stack(parts) for parts in zip(*views, strict=True))
    return MovedViews(rgb, grid, valid, lighter)


def _motion(rng: np.random.Generator, side: int, view: int) -> tuple[Tensor, Tensor]:
    """Draws a random motion.

    Args:
        rng: draws the motion.
        side: side of the picture.
        view: side of the view, s.

    Returns:
        `grid` and `valid` of `MovedViews` for one view: (s, s, 2) and (1, s, s).
    """
    y, x = np.mgrid[:view, :view].astype(np.float32) - (view - 1) / 2
    kind = rng.random()
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    if kind > _STILL_SHARE:
        shift = rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2)
        if kind < _STILL_SHARE + _WHOLE_SHARE:
            dx, dy = (np.full_like(x, round(part)) for part in shift)
        else:
            turn, zoom = np.radians(rng.uniform(-_TURN_DEG, _TURN_DEG)), rng.uniform(-_ZOOM, _ZOOM)
            waves = rng.standard_normal((1, 2, _WAVES, _WAVES), np.float32)
            smooth = functional.interpolate(
                torch.from_numpy(waves), (view, view), mode="bicubic", align_corners=True
            )
            flow = smooth[0].numpy() * rng.uniform(0, _WAVE_PX) / 2
            dx = shift[0] + zoom * x - turn * y + flow[0]
            dy = shift[1] + zoom * y + turn * x + flow[1]
    valid = np.zeros((view, view), np.uint8)
    valid[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX] = 1
    if rng.random() < _OBJECT_SHARE:
        # An oval: the distance from its centre, in units of its axes, is 1 on the rim
        center, axes = rng.uniform(-0.3, 0.3, 2) * view, rng.uniform(0.1, 0.3, 2) * view
        angle = rng.uniform(0, np.pi)
        u, v = x - center[0], y - center[1]
        along = (u * np.cos(angle) + v * np.sin(angle)) / axes[0]
        across = (v * np.cos(angle) - u * np.sin(angle)) / axes[1]
        distance = np.hypot(along, across)
        own = np.round(rng.uniform(-_SHIFT_PX, _SHIFT_PX, 2))
        dx = np.where(distance < 1, dx + own[0], dx)
        dy = np.where(distance < 1, dy + own[1], dy)
        valid[np.abs(distance - 1) * min(axes) < _RIM_PX] = 0
    # The view is centred to within half a pixel, so that its pixels coincide with the picture's
    half = (side - view) // 2 + (view - 1) / 2
    return _grid(x + dx + half, y + dy + half, side, valid)


def _grid(
    x: NDArray[np.float32], y: NDArray[np.float32], side: int, valid: NDArray[np.uint8]
) -> tuple[Tensor, Tensor]:
    """Converts positions in a picture into `grid` and `valid` of `MovedViews`, for one view.

    Args:
        x, y: (s, s), in pixels.
        side: side of the picture; positions outside it become invalid.
        valid: (s, s), 1 or 0.
    """
    inside = (x >= 0) & (x <= side - 1) & (y >= 0) & (y <= side - 1)
    grid = (np.stack((x, y), -1) * 2 + 1) / side - 1
    return torch.from_numpy(grid.astype(np.float32)), torch.from_numpy(
        (valid * inside)[None].astype(np.float32)
    )


def _sample(pictures: Tensor, grid: Tensor, mode: str = "bicubic") -> Tensor:
    return functional.grid_sample(
        pictures.float(), grid, mode=mode, padding_mode="border", align_corners=False
    )


def motion_loss(painted: Tensor, painted_moved: Tensor, views: MovedViews) -> Tensor:
    """Mean squared difference between the painted view and the moved painting; a scalar.

    Where the light has changed, the painting may change by as much (the luminance term of ReCoNet,
    Gao et al., arXiv 1807.01197, eq. 6).

    Args:
        painted: the painted pictures, (N, 3, S, S) in 0..1. Receives a gradient.
        painted_moved: the painted views, (N, 3, s, s) in 0..1. Receives a gradient.
        views: the views before they were painted.
    """
    aim = _sample(painted, views.grid) + views.lighter
    error = (painted_moved - aim).square() * views.valid
    return (error.sum((1, 2, 3)) / (3 * views.valid.sum((1, 2, 3)) + 1)).mean()


def feature_motion_loss(features: Tensor, features_moved: Tensor, views: MovedViews) -> Tensor:
    """`motion_loss` for feature maps (ReCoNet, eq. 5), divided by their mean square; a scalar.

    Args:
        features: features of the pictures, (N, C, S/4, S/4). Receives a gradient.
        features_moved: features of the views, (N, C, s/4, s/4). Receives a gradient.
        views: the views.
    """
    shrunk = views.grid.shape[1] // features_moved.shape[2]
    grid = functional.avg_pool2d(views.grid.permute(0, 3, 1, 2), shrunk).permute(0, 2, 3, 1)
    valid = 1 - functional.max_pool2d(1 - views.valid, shrunk)
    aim = _sample(features, grid, "bilinear")
    error = ((features_moved.float() - aim).square() * valid).sum((1, 2, 3))
    energy = (aim.detach().square() * valid).sum((1, 2, 3))
    return (error / (energy + 1e-3)).mean()


class ClipFolder:
    """Pairs of frames of all films in a folder, a few frames apart.

    A dozen pairs of each film are kept in memory, shrunk to a shorter side of 480 pixels. The
    motion between the frames is found by `flow_back`.

    Attributes:
        skipped: files in the folder that cannot be read as films.
    """

    def __init__(self, folder: Path, crop_px: int, seed: int) -> None:
        """Reads the films.

        Args:
            folder: a folder of films; its subfolders are not searched.
            crop_px: side of the crops, S, in pixels.
            seed: seed of the random numbers.

        Raises:
            TrainingError: the folder has no film that can be read.
        """
        if not folder.is_dir():
            raise TrainingError(
                f"{folder} is not a folder; give a folder of films", setting="clips"
            )
        self._crop_px, self._seed = crop_px, seed
        self.skipped: list[Path] = []
        self._pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
        for path in visible_files(folder):
            try:
                pairs = list(_pairs_of(path))
            except (av.FFmpegError, ValueError):
                pairs = []
            self._pairs += pairs
            if not pairs:
                self.skipped.append(path)
        if not self._pairs:
            raise TrainingError(
                f"{folder} has no film that can be read; subfolders are not searched",
                setting="clips",
            )

    def batch(self, step: int, items: range, side_px: int) -> tuple[Tensor, MovedViews]:
        """Random crops of frames, and their views in later frames.

        The same seed, step and item give the same crop.

        Args:
            step: the training step, from 1.
            items: the numbers of the wanted crops in the whole batch.
            side_px: the side of the views, s, in pixels.

        Returns:
            The crops, (N, 3, S, S) RGB in 0..1, and the views.
        """
        photos, views = [], []
        for item in items:
            rng = np.random.default_rng((self._seed, step, item, _CLIP))
            first, second = self._pairs[rng.integers(len(self._pairs))]
            photo, view = self._crop(rng, first, second, side_px)
            photos.append(photo)
            views.append(view)
        return torch.stack(photos), _stack(views)

    def _crop(
        self,
        rng: np.random.Generator,
        first: NDArray[np.uint8],
        second: NDArray[np.uint8],
        side_px: int,
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        crop = self._crop_px
        short = min(first.shape[:2])
        side = int(np.exp(rng.uniform(np.log(short / 2), np.log(short))))
        top, left = (int(rng.integers(0, whole - side + 1)) for whole in first.shape[:2])
        before, after = (
            np.asarray(
                Image.fromarray(frame).resize(
                    (crop, crop),
                    Image.Resampling.BICUBIC,
                    box=(left, top, left + side, top + side),
                )
            )
            for frame in (first, second)
        )
        flow, sure = flow_back(before, after)
        edge = (crop - side_px) // 2
        middle = np.s_[edge : edge + side_px, edge : edge + side_px]
        y, x = np.mgrid[edge : edge + side_px, edge : edge + side_px].astype(np.float32)
        valid = sure[middle].astype(np.uint8)
        valid[:_EDGE_PX] = valid[-_EDGE_PX:] = valid[:, :_EDGE_PX] = valid[:, -_EDGE_PX:] = 0
        grid, valid_there = _grid(x + flow[middle][..., 0], y + flow[middle][..., 1], crop, valid)
        photo, moved = _tensor(before), _tensor(after[middle])
        came_from = _sample(photo[None], grid[None])[0]
        # Flow does not find changes of light. What is smooth in the difference counts as light, the
        # rest as noise
        lighter = functional.avg_pool2d((moved - came_from)[None], 31, 1, 15)[0]
        return photo, (moved, grid, valid_there, lighter)


def _pairs_of(path: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yields pairs of frames, (H, W, 3) uint8 RGB, spread over a film, 1 to 4 frames apart."""
    with av.open(ffmpeg_name(path)) as container:
        if not container.streams.video:
            return
        frames: list[NDArray[np.uint8]] = []
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        every = max(_MAX_STEP + 1, (stream.frames or 300) // _PAIRS_OF_CLIP)
        for number, frame in enumerate(container.decode(stream)):
            if number % every > _MAX_STEP:
                continue
            if number % every == 0:
                frames = []
            scale = min(1.0, _CLIP_SHORT_PX / min(frame.width, frame.height))
            frames.append(
                frame.to_ndarray(  # type: ignore[arg-type]
                    width=round(frame.width * scale),
                    height=round(frame.height * scale),
                    format="rgb24",
                )
            )
            if len(frames) > 1 and (len(frames) - 1) == 1 + (number // every) % _MAX_STEP:
                yield frames[0], frames[-1]


def flow_back(
    before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Backward optical flow between two frames, and where it is reliable.

    DIS flow is computed in both directions (Kroeger et al., ECCV 2016). It is reliable where both
    agree (Sundaram et al., ECCV 2010, eq. 5), except at motion boundaries, where it is blurred
    (eq. 6).

    Args:
        before: (H, W, 3) RGB, uint8.
        after: the same shape.

    Returns:
        For each pixel of `after`, how far away it was in `before`, (H, W, 2) float32, x and y in
        pixels; and whether that is reliable, (H, W) bool.

    Raises:
        TrainingError: OpenCV cannot be loaded.
    """
    cv2 = _opencv()
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back = dis.calc(grey[1], grey[0], None)
    forth = dis.calc(grey[0], grey[1], None)
    height, width = grey[0].shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    home = cv2.remap(forth, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR)
    error = np.square(back + home).sum(-1)
    size = np.square(back).sum(-1) + np.square(home).sum(-1)
    there_y, there_x = y + back[..., 1], x + back[..., 0]
    inside = (there_x >= 0) & (there_x < width) & (there_y >= 0) & (there_y < height)
    slope = sum(np.square(part).sum(-1) for part in np.gradient(back, axis=(0, 1)))
    on_boundary = slope > 0.01 * np.square(back).sum(-1) + 0.002
    return back, (error < 0.01 * size + 0.5) & inside & ~on_boundary


def _tensor(rgb: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255


def _opencv() -> Any:
    """Imports OpenCV, only when flow is needed: all other training works without it."""
    try:
        import cv2
    except ImportError as error:
        raise TrainingError(
            f"learning from films needs OpenCV, which cannot be loaded ({error}); on Debian and "
            "Ubuntu it may need: sudo apt install libgl1"
        ) from error
    return cv2
