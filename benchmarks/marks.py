"""Marks of painted pictures, each of its own: light, edges, colours, faces, texture.

    python benchmarks/marks.py DATA udnie=udnie.jpg runs/new.onnx=udnie.jpg [--height 720]

Each argument names a network, as for quality.py, and the painting that it learned. Scenes are those
of scenes.py. Marks stand beside blind choice (blind.py), never in its place, and are not added up
or averaged over paintings: what is right for one is wrong for another.

light: correlation of luma in cells of 32 px, photo and painted, mean of all scenes; in brackets in
the table the lowest of a scene. edges: as in quality.py. stray: mean CIE76 distance of a painted
colour, at a fourth of the size, to the nearest that the painting has. chroma: mean of the painted
scenes over the painting's. faces: of those found in photos by scikit-image's LBP cascade, how many
are found again in the same place. Fréchet: on mixed_7 of Inception v3, of crops, against the
painting's. LPIPS's form: unweighted, on VGG-19, at half the size. weave, grid: as in quality.py.
calm: local deviation of painted luma where the photo is calmest (a third of each scene) over that
where it is busiest; the photos' own stands beside it.
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
from scenes import HEIGHTS, Scene, painter_of, scenes
from skimage import data as skimage_data
from skimage.feature import Cascade
from torch.nn import functional

from realtime_style.training.perceptual import Vgg

LIGHT_PX = 32
AROUND_PX = 17
PAINTING_PX = 512  # longer side of the painting whose colours count
QUICK = ("face_009", "mate_Storm")
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_CROPS = 2  # of each scene, for the Fréchet distance
_SAME_FACE = 0.4  # intersection over union
_FACE_LINES = 640  # pictures are searched for faces at this size
_COLORS = 4096


@dataclass
class Marks:
    """One network's marks at one size; see above."""

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
    """Correlation of luma in cells of 32 px: 1 where light follows light, -1 turned over."""

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
    """Colours in CIE L*a*b*, (N, 3), of a picture shrunk by so much."""
    height, width = (side // shrink for side in rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    lab: NDArray[np.float32] = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.reshape(-1, 3)


def stray(painted: NDArray[np.float32], painting: NDArray[np.float32]) -> float:
    """Mean distance of colours (N, 3) to the nearest of a painting's (M, 3)."""
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
    """Local deviation of what is painted in the photo's calmest third over its busiest third."""
    where = deviation_around(photo)
    low, high = np.quantile(where, (1 / 3, 2 / 3))
    found = deviation_around(painted)
    return float(found[where <= low].mean() / max(found[where >= high].mean(), 1e-3))


class Faces:
    """Finds faces, by an LBP cascade that comes with scikit-image (OpenCV 5 ships none)."""

    def __init__(self) -> None:
        self._cascade = Cascade(skimage_data.lbp_frontal_face_cascade_filename())

    def find(self, rgb: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
        """Boxes (top, left, bottom, right), pixels of a picture of 640 lines."""
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
    """For each face in a photo, whether it is found in its painting, too."""
    found = faces.find(photo)
    again = faces.find(painted) if found else []
    return [any(overlap(face, other) >= _SAME_FACE for other in again) for face in found]


def mark(
    vgg: Vgg,
    inception: Inception,
    faces: Faces,
    shown: list[Scene],
    network: str,
    painting: Path,
    paint: Painter,
    height: int,
) -> Marks:
    """All marks of one network, by scenes of one height."""
    theirs = lab_of(read_painting(painting, PAINTING_PX), 4)
    lights, edges, far, chromas, again = [], [], [], [], []
    perceived, weaves, grids, calms, photo_calms, features = [], [], [], [], [], []
    for scene in shown:
        photo, painted = scene.rgb, paint(scene.rgb)
        lights.append(light_kept(photo, painted))
        edges.append(edges_kept(photo, painted))
        lab = lab_of(painted, 4)
        far.append(stray(lab, theirs))
        chromas.append(chroma_of(lab))
        again += faces_again(faces, photo, painted)
        weaves.append(weave_share(painted))
        grids.append(grid_energy(painted))
        calms.append(calm_of(photo, painted))
        photo_calms.append(calm_of(photo, photo))
        with torch.no_grad():
            ours, own = (
                vgg(functional.avg_pool2d(tensor(each), 2), frozenset(VGG_STYLE))
                for each in (painted, photo)
            )
            perceived.append(unit_distance(ours, own))
            features.append(inception(torch.cat(list(crops_of(painted, _CROPS)))))
    with torch.no_grad():
        whole = read_painting(painting, SIDE_PX)
        aims = inception(torch.cat(list(crops_of(whole, _CROPS * len(shown)))))
    return Marks(
        name_of(network),
        painting.stem,
        height,
        float(np.mean(lights)),
        float(np.min(lights)),
        float(np.mean(edges)),
        float(np.mean(far)),
        float(np.mean(chromas)) / chroma_of(theirs),
        float(np.mean(again)) if again else float("nan"),
        len(again),
        frechet_distance(np.concatenate(features), aims),
        float(np.mean(perceived)),
        float(np.mean(weaves)),
        float(np.mean(grids)),
        float(np.mean(calms)),
        float(np.mean(photo_calms)),
    )


def table(found: list[Marks]) -> str:
    """Marks as a Markdown table."""
    lines = [
        "| network | painting | lines | light (lowest) | edges | stray | chroma | faces | Fréchet "
        "| LPIPS's form | weave | grid | calm (photos') |",
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
    """Marks, prints and keeps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_pairs(parser, "NETWORK")
    parser.add_argument(
        "--height", type=int, choices=HEIGHTS, default=HEIGHTS[0], help="lines of the pictures"
    )
    add_usual(parser)
    arguments = parser.parse_args()
    perceptual = arguments.data / "perceptual"
    vgg = Vgg(load_file(perceptual / "vgg19_normalised_relu3_1.fp32.safetensors"))
    inception = Inception(perceptual / "inception_v3_2015_mixed7.fp16.safetensors")
    faces = Faces()
    shown = list(scenes(arguments.data, arguments.height, QUICK if arguments.quick else ()))
    for network, painting in arguments.pairs:
        marks = mark(
            vgg, inception, faces, shown, network, painting, painter_of(network),
            arguments.height,
        )  # fmt: skip
        print(table([marks]), flush=True)
        if not arguments.quick:
            write(marks, arguments.out)


def write(marks: Marks, folder: Path | None = None) -> None:
    """Puts marks into the results, in the place of older ones of the same network and size."""
    found = {(row["name"], row["height"]): Marks(**row) for row in rows_of("marks", folder)}
    found[marks.name, marks.height] = marks
    every = sorted(found.values(), key=lambda row: (row.painting, row.height, row.name))
    about = {"date": datetime.date.today().isoformat(), "torch": torch.__version__}
    result = {"machine": machine() | about, "rows": [asdict(each) for each in every]}
    keep("marks", result, table(every) + "\n", folder=folder)


if __name__ == "__main__":
    run(main)
