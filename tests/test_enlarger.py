"""What was painted of a reduced frame gets the detail of the frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from conftest import painter_of, scene_rgb
from numpy.typing import NDArray

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import frame_from_rgb, reduced_frame
from realtime_style.painting.enlarger import Enlarger
from realtime_style.style.bundled import open_style


def enlarged(frame: Frame, gain: float, bias: float = 0.0) -> NDArray[np.int64]:
    """Luma of a frame that was reduced, painted by luma = gain * luma + bias, and enlarged."""
    size = frame.width // 2, frame.height // 2
    small = reduced_frame(frame, size, VideoReformatter(), FramePool())
    painted = small.blank(FramePool())
    painted.i420[...] = small.i420
    luma = gain * small.luma.astype(float) + bias
    painted.luma[...] = luma.round().clip(0, 255)
    whole = frame.blank(FramePool())
    whole.i420[...] = frame.i420
    Enlarger().enlarge(painted, small, whole)
    return whole.luma[0, 0].astype(int)


def picture() -> Frame:
    """A picture with sharp edges, 512x384."""
    rgb = scene_rgb(512, 384).copy()
    rgb[:, 200:202] = 255
    rgb[100:300, 300:400] = 20
    return frame_from_rgb(rgb, ColorSpace())


def test_an_unchanged_picture_is_as_sharp_as_before() -> None:
    frame = picture()
    difference = np.abs(enlarged(frame, 1.0) - frame.luma[0, 0])
    blurred = np.abs(enlarged(frame, 0.0, 128.0) - 128)
    assert difference.mean() < 1
    assert np.percentile(difference, 99) < 8
    assert blurred.max() <= 1  # what was painted flat stays flat


@pytest.mark.parametrize("gain", [0.5, 1.2, -0.8])
def test_detail_follows_the_painting(gain: float) -> None:
    frame = picture()
    bias = 20.0 if gain > 0 else 230.0
    expected = gain * frame.luma[0, 0].astype(float) + bias
    inside = (expected > 25) & (expected < 230)
    difference = np.abs(enlarged(frame, gain, bias) - expected)[inside]
    assert difference.mean() < 1.5


def test_noise_is_not_added_to_what_was_painted() -> None:
    noise = np.random.default_rng(0).normal(128, 1.5, (384 * 3 // 2, 512)).round()
    frame = Frame(noise.astype(np.uint8), 0, Fraction(1))
    assert enlarged(frame, 1.0).std() < 0.6 * frame.luma.std()


@pytest.mark.parametrize("size", [(3000, 1600), (1502, 2998)])
def test_large_pictures_are_painted_with_their_own_detail(
    negative_style: Path, size: tuple[int, int]
) -> None:
    rgb = scene_rgb(*size)[..., 1:2].repeat(3, 2)
    painted = painter_of(negative_style, grain=False).paint_rgb(rgb)
    assert painted.shape == rgb.shape
    light = rgb.mean(2), painted.mean(2)
    assert np.corrcoef(light[0].ravel(), light[1].ravel())[0, 1] < -0.995
    steps = [np.abs(np.diff(each, axis=1)).mean() for each in light]
    assert steps[1] > 0.9 * steps[0]  # as sharp as the picture


def test_a_style_is_as_sharp_at_any_size() -> None:
    rgb = scene_rgb(2560, 1440).copy()
    rgb[:, 1280:] //= 4  # an edge
    painted = painter_of(open_style("great-wave")).paint_rgb(rgb).mean(2)
    step = np.abs(np.diff(painted, axis=1))
    assert np.median(step[:, 1278:1281].max(1)) > 4 * np.median(step)
