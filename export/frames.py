"""Pictures on which an exported style is compared with its generator."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

from realtime_style.canvas import canvas_size
from realtime_style.engines.engine import Planes
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import reduced_frame
from realtime_style.tools.demo import draw_scene
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.dataset import UNREADABLE, open_rgb

PARITY_FRAMES = 12
_MIN_PX = 32  # shortest side

# Few sizes, as engines compile a network for each; canvases have 2/3 and 1/2 of their lines
_SIZES = ((720, 540), (720, 720))


def parity_frames(pictures: Path | None) -> list[Frame]:
    """At most PARITY_FRAMES frames, of one of _SIZES or smaller, in the generators' colour space.

    Args:
        pictures: a picture; or a folder, of which evenly spread pictures are taken, and other files
            skipped. None takes two frames of the built-in test clip.

    Raises:
        StyleError: there is no picture.
    """
    if pictures is None:
        images = [Image.fromarray(draw_scene(time_s)) for time_s in (0.0, 3.0)]
    else:
        paths = sorted(pictures.rglob("*")) if pictures.is_dir() else [pictures]
        order = {path: number for number, path in enumerate(paths)}
        images = []
        step = max(1, len(paths) // PARITY_FRAMES)
        for path in sorted(paths, key=lambda path: order[path] % step):
            with contextlib.suppress(*UNREADABLE):
                images.append(open_rgb(path))
            if len(images) == PARITY_FRAMES:
                break
    if not images:
        raise StyleError(f"{pictures} has no picture to check parity on", setting="pictures")
    return [_frame(image, size) for image, size in zip(images, cycle(_SIZES), strict=False)]


def _frame(image: Image.Image, size: tuple[int, int]) -> Frame:
    """The middle of an image as a frame of a size, or smaller where the image is."""
    width, height = (
        max(min(most, side // 2 * 2), _MIN_PX) for side, most in zip(image.size, size, strict=True)
    )
    rgb = torch.from_numpy(np.array(ImageOps.fit(image, (width, height))))
    planes = planes_from_rgb(rgb.permute(2, 0, 1)[None].float() / 255, PLANES_COLOR)
    codes = torch.cat([(plane * 255).round().byte().flatten() for plane in planes])
    return Frame(codes.numpy().reshape(-1, width), 0, Fraction(1), PLANES_COLOR)


def planes_of(frame: Frame) -> Planes:
    """What an engine is given of a frame: its planes, and those of its canvas."""
    size = canvas_size(frame.width, frame.height)
    canvas = reduced_frame(frame, size, VideoReformatter(), FramePool())
    return Planes(frame.luma, frame.chroma, canvas.luma, canvas.chroma)
