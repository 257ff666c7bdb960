"""Marks painted pictures, one property at a time: light, edges, colours, faces, texture.

    python benchmarks/marks.py DATA udnie=udnie.jpg runs/new.onnx=udnie.jpg [--height 720]

Each argument names a network, as for quality.py, and the painting that it learned. The scenes are
those of scenes.py. Marks accompany blind choice (blind.py) and do not replace it. They are never
added up or averaged over paintings, because what suits one painting does not suit another.

light       correlation of luma with the photo's, in cells of 32 px; in brackets the lowest scene
edges       as in quality.py
stray       mean CIE76 distance of painted colours, at a quarter of the size, to the nearest colour
            of the painting
chroma      mean chroma over the painting's
faces       share of the photos' faces that are found in the same place after painting, by the LBP
            cascade of scikit-image
Fréchet     distance to the painting, on crops, in mixed_7 of Inception v3
LPIPS form  without weights, on VGG-19, at half the size
weave, grid as in quality.py
calm        local deviation of painted luma in the calmest third of the photo over that in its
            busiest third; in brackets the photo's own
"""

from __future__ import annotations

import argparse
import datetime
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from quality import (
    SIDE_PX,
    VGG_STYLE,
    Inception,
    Painter,
    crops_of,
    edges_kept,
    frechet_distance,
    grid_energy,
    name_of,
    read_painting,
    tensor,
    unit_distance,
    weave_share,
)
from record import add_pairs, add_usual, keep, machine, rows_of, run
from safetensors.torch import load_file
from scenes import HEIGHTS, Scene, network_painter, scenes
from skimage import data as skimage_data
from skimage.feature import Cascade
from torch.nn import functional

from realtime_style.training.perceptual import Vgg

LIGHT_PX = 32
AROUND_PX = 17
PAINTING_PX = 512
"""Longer side of the painting whose colours count."""
QUICK = ("face_009", "mate_Storm")
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_LAB_SHRINK = 4
_CROPS = 2  # per scene, for the Fréchet distance
_SAME_FACE = 0.4  # intersection over union
_FACE_LINES = 640  # of the pictures in which faces are looked for
_COLORS = 4096


@dataclass
class Marks:
    """The marks of one network at one height; see the top of this file."""

    name: str
    painting: str
    height: int
    light: float
    light_lowest: float
    edges: float
    stray: float
    chroma: float
    faces: float
    faces_in_photos: int
    frechet: float
    lpips_form: float
    weave: float
    grid: float
    calm: float
    photo_calm: float


def luma_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """BT.709 luma of RGB (H, W, 3), in 0..255."""
    return rgb.astype(np.float32) @ _LUMA


def light_kept(photo: NDArray[np.uint8], painted: NDArray[np.uint8]) -> float:
    """Correlation of luma in cells of 32 px: 1 where light follows light, -1 if inverted."""

    def cells(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        luma = luma_of(rgb)
        h, w = (side // LIGHT_PX * LIGHT_PX for side in luma.shape)
        return (
            luma[:h, :w]
            .reshape(h // LIGHT_PX, LIGHT_PX, w // LIGHT_PX, LIGHT_PX)
            .mean((1, 3))
            .ravel()
        )

    return float(np.corrcoef(cells(photo), cells(painted))[0, 1])


def lab_of(rgb: NDArray[np.uint8], shrink: int) -> NDArray[np.float32]:
    """The colours of a picture shrunk by a factor, in CIE L*a*b*, (N, 3)."""
    height, width = (side // shrink for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    lab: NDArray[np.float32] = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.reshape(-1, 3)


def stray(painted: NDArray[np.float32], painting: NDArray[np.float32]) -> float:
    """Mean distance of colours (N, 3) to the nearest of a painting's colours (M, 3)."""
    rng = np.random.default_rng(0)
    ours, theirs = (
        torch.from_numpy(each[rng.permutation(len(each))[:_COLORS]]) for each in (painted, painting)
    )
    return float(torch.cdist(ours, theirs).amin(1).mean())


def chroma_of(lab: NDArray[np.float32]) -> float:
    """Mean chroma C*ab of colours (N, 3)."""
    return float(np.hypot(lab[:, 1], lab[:, 2]).mean())


def deviation_around(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Standard deviation of luma in the 17x17 square around each pixel, (H, W)."""
    luma = luma_of(rgb)
    mean, square = (cv2.blur(each, (AROUND_PX, AROUND_PX)) for each in (luma, luma**2))
    deviation: NDArray[np.float32] = np.sqrt(np.maximum(square - mean**2, 0))
    return deviation


def calm_of(photo: NDArray[np.uint8], painted: NDArray[np.uint8]) -> float:
    """Local deviation of the painted picture in the photo's calmest third over its busiest."""
    where = deviation_around(photo)
    low, high = np.quantile(where, (1 / 3, 2 / 3))
    found = deviation_around(painted)
    return float(found[where <= low].mean() / max(found[where >= high].mean(), 1e-3))


class Faces:
    """Finds faces with the LBP cascade of scikit-image; OpenCV 5 includes none."""

    def __init__(self) -> None:
        self._cascade = Cascade(skimage_data.lbp_frontal_face_cascade_filename())

    def find(self, rgb: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
        """Boxes (top, left, bottom, right) in pixels of the picture scaled to 640 lines."""
        width = round(rgb.shape[1] * _FACE_LINES / rgb.shape[0])
        small = cv2.resize(rgb, (width, _FACE_LINES), interpolation=cv2.INTER_AREA)
        found = self._cascade.detect_multi_scale(
            small, scale_factor=1.15, step_ratio=1, min_size=(80, 80), max_size=(640, 640)
        )
        return [
            (box["r"], box["c"], box["r"] + box["height"], box["c"] + box["width"]) for box in found
        ]


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes (top, left, bottom, right)."""
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, height) * max(0, width)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return both / (areas - both)


def faces_again(faces: Faces, photo: NDArray[np.uint8], painted: NDArray[np.uint8]) -> list[bool]:
    """For each face in a photo, whether it is found in the painted photo too."""
    found = faces.find(photo)
    again = faces.find(painted) if found else []
    return [any(overlap(face, other) >= _SAME_FACE for other in again) for face in found]


@dataclass(frozen=True)
class Networks:
    """The networks that judge pictures."""

    vgg: Vgg
    inception: Inception
    faces: Faces


@dataclass(frozen=True)
class SceneMarks:
    """The marks of one painted scene; `faces` holds whether each face was found again."""

    light: float
    edges: float
    stray: float
    chroma: float
    faces: list[bool]
    lpips_form: float
    weave: float
    grid: float
    calm: float
    photo_calm: float
    features: NDArray[np.float64]


def mark_scene(
    networks: Networks,
    photo: NDArray[np.uint8],
    painted: NDArray[np.uint8],
    colors: NDArray[np.float32],
) -> SceneMarks:
    """The marks of one picture, RGB (H, W, 3); `colors` are the painting's, from `lab_of`."""
    lab = lab_of(painted, _LAB_SHRINK)
    with torch.no_grad():
        ours, theirs = (
            networks.vgg(functional.avg_pool2d(tensor(each), 2), frozenset(VGG_STYLE))
            for each in (painted, photo)
        )
        lpips_form = unit_distance(ours, theirs)
        features = networks.inception(torch.cat(list(crops_of(painted, _CROPS))))
    return SceneMarks(
        light_kept(photo, painted),
        edges_kept(photo, painted),
        stray(lab, colors),
        chroma_of(lab),
        faces_again(networks.faces, photo, painted),
        lpips_form,
        weave_share(painted),
        grid_energy(painted),
        calm_of(photo, painted),
        calm_of(photo, photo),
        features,
    )


def mark(
    networks: Networks,
    shown: list[Scene],
    network: str,
    painting: Path,
    paint: Painter,
    height: int,
) -> Marks:
    """The marks of one network over scenes of one height."""
    colors = lab_of(read_painting(painting, PAINTING_PX), _LAB_SHRINK)
    found = [mark_scene(networks, each.rgb, paint(each.rgb), colors) for each in shown]
    with torch.no_grad():
        whole = read_painting(painting, SIDE_PX)
        theirs = networks.inception(torch.cat(list(crops_of(whole, _CROPS * len(shown)))))
    again = [face for each in found for face in each.faces]

    def mean(name: str) -> float:
        return float(np.mean([getattr(each, name) for each in found]))

    return Marks(
        name=name_of(network),
        painting=painting.stem,
        height=height,
        light=mean("light"),
        light_lowest=min(each.light for each in found),
        edges=mean("edges"),
        stray=mean("stray"),
        chroma=mean("chroma") / chroma_of(colors),
        faces=float(np.mean(again)) if again else float("nan"),
        faces_in_photos=len(again),
        frechet=frechet_distance(np.concatenate([each.features for each in found]), theirs),
        lpips_form=mean("lpips_form"),
        weave=mean("weave"),
        grid=mean("grid"),
        calm=mean("calm"),
        photo_calm=mean("photo_calm"),
    )


def table(found: list[Marks]) -> str:
    """Marks as a Markdown table."""
    lines = [
        "| network | painting | lines | light (lowest) | edges | stray | chroma | faces | Fréchet "
        "| LPIPS form | weave | grid | calm (photos) |",
        "|---" * 13 + "|",
    ]
    for row in found:
        lines.append(
            f"| {row.name} | {row.painting} | {row.height} "
            f"| {row.light:.2f} ({row.light_lowest:.2f}) | {row.edges:.2f} | {row.stray:.1f} "
            f"| {row.chroma:.2f} | {row.faces:.2f} of {row.faces_in_photos} | {row.frechet:.2f} "
            f"| {row.lpips_form:.2f} | {row.weave:.3f} | {row.grid:.1f} "
            f"| {row.calm:.2f} ({row.photo_calm:.2f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Marks networks; prints and records the marks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_pairs(parser, "NETWORK")
    parser.add_argument(
        "--height", type=int, choices=HEIGHTS, default=HEIGHTS[0], help="lines of the pictures"
    )
    add_usual(parser)
    arguments = parser.parse_args()
    perceptual = arguments.data / "perceptual"
    networks = Networks(
        Vgg(load_file(perceptual / "vgg19_normalised_relu3_1.fp32.safetensors")),
        Inception(perceptual / "inception_v3_2015_mixed7.fp16.safetensors"),
        Faces(),
    )
    shown = list(scenes(arguments.data, arguments.height, QUICK if arguments.quick else ()))
    for network, painting in arguments.pairs:
        paint = network_painter(network)
        marks = mark(networks, shown, network, painting, paint, arguments.height)
        print(table([marks]), flush=True)
        if not arguments.quick:
            write(marks, arguments.out)


def write(marks: Marks, folder: Path | None = None) -> None:
    """Records marks; they replace those of the same network and height."""
    found = {(row["name"], row["height"]): Marks(**row) for row in rows_of("marks", folder)}
    found[marks.name, marks.height] = marks
    every = sorted(found.values(), key=lambda row: (row.painting, row.height, row.name))
    about = {"date": datetime.date.today().isoformat(), "torch": torch.__version__}
    result = {"machine": machine() | about, "rows": [asdict(each) for each in every]}
    keep("marks", result, table(every) + "\n", folder=folder)


if __name__ == "__main__":
    run(main)
