"""The pictures on which styles are judged: sixteen sharp photos and eight frames of films.

They must not be used for training. The photos are in DATA/photos/sharp_test, half of them show
faces; the frames are from eight clips in DATA/videos. The set is fixed, because marks on other
pictures cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image, ImageOps
from quality import COLORS, Painter, open_painter

HEIGHTS = (640, 720, 1080)
"""Lines of the pictures: a small film and the two usual sizes of films."""

PHOTOS = (
    "budgie_perched-osprey", "budgie_piazza-gae-aulenti", "budgie_tea-gardens",
    "face_005", "face_009", "face_012", "face_028", "face_031", "face_054", "face_056", "face_086",
    "lomiri_Bridge_by_Sander_Klootwijk", "lomiri_Picture_1A_by_freespace",
    "lomiri_Wine_by_Jakkub_Mede", "mate_Garden", "mate_Storm",
)  # fmt: skip
"""Files in DATA/photos/sharp_test, without the suffix."""

FRAMES = {
    "animegan3_1.mp4": 100, "cotracker_bear.mp4": 40, "imageio_cockatoo_yuv420.mp4": 100,
    "intel_asl_book.mkv": 60, "lengstrom_fox.mp4": 200, "lp_s32.mp4": 60, "mdn_frog.mp4": 120,
    "udacity_solidWhiteRight.mp4": 100,
}  # fmt: skip
"""Files in DATA/videos, and the number of the frame that is painted."""

_MULTIPLE = 8  # of both sides; published networks and the grid mark need it
_WIDEST = 16 / 9


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture to paint; `rgb` is (H, W, 3)."""

    name: str
    rgb: NDArray[np.uint8]


def scenes(
    data: Path, height: int, names: tuple[str, ...] = (), square: bool = False
) -> Iterator[Scene]:
    """Reads scenes.

    Args:
        data: the folder with photos and videos.
        height: lines of the pictures.
        names: which to read; empty reads all.
        square: only the middle square of every picture.
    """
    for name in PHOTOS:
        if not names or name in names:
            with Image.open(data / "photos" / "sharp_test" / f"{name}.jpg") as photo:
                yield Scene(
                    name, fitted(ImageOps.exif_transpose(photo).convert("RGB"), height, square)
                )
    for clip, number in FRAMES.items():
        name = Path(clip).stem
        if not names or name in names:
            yield Scene(name, fitted(_frame(data / "videos" / clip, number), height, square))


def fitted(picture: Image.Image, height: int, square: bool = False) -> NDArray[np.uint8]:
    """A picture scaled to a height; wider ones than 16:9 are cropped at both sides."""
    width = height * (1 if square else min(picture.width / picture.height, _WIDEST))
    size = (round(width / _MULTIPLE) * _MULTIPLE, height)
    return np.asarray(ImageOps.fit(picture, size, Image.Resampling.LANCZOS))


def _frame(clip: Path, number: int) -> Image.Image:
    with av.open(str(clip)) as container:
        for found, frame in enumerate(container.decode(video=0)):
            if found == number:
                return frame.to_image()
    raise OSError(f"{clip} has no frame {number}")


def network_painter(network: str) -> Painter:
    """A painter by its name, as for `quality.open_painter`.

    It also opens published networks that take float RGB of any size. Those of `quality` that take
    720x720 only paint that size.
    """
    if network.endswith(".onnx") and not network.startswith(COLORS) and Path(network).is_file():
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        (picture, *others) = session.get_inputs()
        if not others and not isinstance(picture.shape[2], int):
            return _published(session, picture.name)
    return open_painter(network)[0]


def _published(session: Any, name: str) -> Painter:
    def paint(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        floats = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)
        painted = session.run(None, {name: floats})[0][0].transpose(1, 2, 0)
        return np.ascontiguousarray(painted.clip(0, 255).round().astype(np.uint8))

    return paint
