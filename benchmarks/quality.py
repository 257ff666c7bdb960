"""How well networks paint: the yardstick by which styles are judged, against published ones.

    python benchmarks/quality.py DATA candy.onnx=candy.jpg starry-night=starry.jpg ...

Each argument names a network (a bundled style, a style file, a picture to be painted like, or a
published network that takes float BGR of 720x720) and the painting that it learned;
`fast:STYLE` is a bundled style's faster network; `colors:PICTURE` is none, but photos given that
picture's colours. DATA holds the folders
`perceptual` (feature networks), `photos/bsds500` and `photos/jetson`. Twenty-four photos, by name
below, are the examination; no training may see them.

The total of a network is the mean of four terms, content and style on VGG-19 and on SqueezeNet,
each divided by what the published candy network gets: candy's total is 1, lower is better.

The total is historical and will be removed in the next release, because it ranks styles against
the eye. Styles are now judged by blind choice (blind.py), beside marks that are never added up
(marks.py).
"""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from painters import painter_of
from PIL import Image, ImageOps
from record import add_pairs, add_usual, keep, machine, rows_of, run
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.errors import StyleError
from realtime_style.style.bundled import FAST, STANDARD
from realtime_style.style.look import Look
from realtime_style.training.perceptual import Vgg

SIDE_PX = 720
PAINTING_PX = (256, 384, 512, 720, 1024)
"""Longer sides of the painting; of each network the size counts that suits it best."""
DIRECT_SIDE_PX = 384
DIRECT_PHOTOS = 8
DIRECT_MOST_STEPS = 200

PHOTOS = tuple(
    [f"bsds500/{name}.jpg" for name in (
        "test_100007", "test_107045", "test_134067", "test_160006", "test_187058", "test_206097",
        "test_230063", "test_259060", "test_306051", "test_36046", "test_43051", "test_71076",
    )]
    + [f"jetson/{name}.jpg" for name in (
        "airplane_0", "bird_1", "cat_1", "city_0", "dog_2", "fruit_1",
        "horse_2", "humans_4", "object_4", "peds_0", "room_1", "trail_1",
    )]
)  # fmt: skip

CANDY = {
    "vgg_content": 4.3471, "squeeze_content": 3.2683,
    "vgg_style": 0.02019, "squeeze_style": 0.29688,
}  # fmt: skip
"""The published candy network's four terms; set once, before the styles that are judged."""

VGG_CONTENT, VGG_STYLE = "relu3_1", ("relu1_1", "relu2_1", "relu3_1")
SQUEEZE_CONTENT, SQUEEZE_STYLE = "fire5", ("conv1", "fire3", "fire5", "fire9")

HISTORICAL = (
    "The total is historical and will be removed in the next release, because it ranks styles "
    "against the eye; pictures.md explains how styles are judged now.\n\n"
)
"""The text above the table."""

COLORS = "colors:"
"""Before a picture's name: no network, but its colours."""

FAST_TIER = f"{FAST}:"
"""Before a bundled style's name: its faster network."""

PUBLISHED = "published "
"""Before a published network's name in the results: a style of ours may have the same."""

Painter = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""RGB (H, W, 3) to RGB of the same shape."""

Seen = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Features of VGG-19 and of SqueezeNet."""


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 (arXiv 1602.07360) to fire9; weights named conv1, fire2.squeeze1x1, ..."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.weights = {key: value.float() for key, value in load_file(path).items()}

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Named outputs of RGB in 0..1, (N, 3, H, W)."""
        mean = torch.tensor([104.0, 117.0, 123.0])[:, None, None]
        x = functional.relu(self._conv("conv1", rgb.flip(1) * 255 - mean, stride=2))
        features = {"conv1": x}
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            squeezed = functional.relu(self._conv(f"fire{number}.squeeze1x1", x))
            x = torch.cat(
                (
                    functional.relu(self._conv(f"fire{number}.expand1x1", squeezed)),
                    functional.relu(self._conv(f"fire{number}.expand3x3", squeezed, padding=1)),
                ),
                1,
            )
            features[f"fire{number}"] = x
        return features

    def _conv(self, name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.conv2d(x, weight, bias, stride, padding)


class Yardstick:
    """Content and style terms of paintings, on VGG-19 and on SqueezeNet."""

    def __init__(self, perceptual: Path) -> None:
        """Args: perceptual, the folder of the feature networks."""
        self.vgg = Vgg(load_file(perceptual / "vgg19_normalised_relu3_1.fp32.safetensors"))
        self.squeeze = SqueezeNet(perceptual / "squeezenet1_1_imagenet.fp16.safetensors")

    def look(self, rgb: Tensor) -> Seen:
        """What the two networks see in RGB of 0..1, (1, 3, H, W)."""
        return self.vgg(rgb, frozenset(VGG_STYLE)), self.squeeze(rgb)

    def grams(self, rgb: Tensor) -> list[dict[str, Tensor]]:
        """Gram matrices of a painting, of VGG-19 and of SqueezeNet."""
        seen = self.look(rgb)
        return [
            {name: gram(found[name]) for name in names}
            for found, names in zip(seen, (VGG_STYLE, SQUEEZE_STYLE), strict=True)
        ]

    def terms(
        self,
        seen: Seen,
        photo_seen: Seen,
        targets: list[list[dict[str, Tensor]]],
    ) -> tuple[Tensor, Tensor]:
        """Contents (2,) and styles (sizes of the painting, 2) of one painted photo."""
        contents = [
            relative_error(found[layer], photo[layer])
            for found, photo, layer in zip(
                seen, photo_seen, (VGG_CONTENT, SQUEEZE_CONTENT), strict=True
            )
        ]
        ours = [
            {name: gram(found[name]) for name in names}
            for found, names in zip(seen, (VGG_STYLE, SQUEEZE_STYLE), strict=True)
        ]
        styles = [
            torch.stack(
                [
                    torch.stack([relative_error(mine[k], theirs[k]) for k in theirs]).mean()
                    for mine, theirs in zip(ours, target, strict=True)
                ]
            )
            for target in targets
        ]
        return torch.stack(contents), torch.stack(styles)


def gram(features: Tensor) -> Tensor:
    """Gram matrix over positions, (C, C), of (1, C, H, W)."""
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def relative_error(ours: Tensor, theirs: Tensor) -> Tensor:
    """Squared error over the energy of what should be there."""
    return (ours - theirs).square().sum() / theirs.square().sum()


CONTENT_SCALE = torch.tensor([CANDY["vgg_content"], CANDY["squeeze_content"]])
STYLE_SCALE = torch.tensor([CANDY["vgg_style"], CANDY["squeeze_style"]])


def total_of(contents: Tensor, styles: Tensor) -> Tensor:
    """The total of contents (2,) and styles (2,)."""
    return ((contents / CONTENT_SCALE).mean() + (styles / STYLE_SCALE).mean()) / 2


@dataclass
class Report:
    """One network's marks. `total` is 1 for the published candy network; lower is better."""

    name: str
    painting: str
    total: float = math.nan
    vgg_content: float = math.nan
    squeeze_content: float = math.nan
    vgg_style: float = math.nan
    squeeze_style: float = math.nan
    painting_px: int = 0
    frechet: float = math.nan
    art_frechet: float = math.nan
    grid: float = math.nan
    photo_grid: float = math.nan
    weave: float | None = None
    photo_weave: float | None = None
    edges: float = math.nan
    direct_steps: float | None = None


def tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 as (1, 3, H, W) in 0..1."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 255


def read_square(path: Path, side: int) -> NDArray[np.uint8]:
    """The middle of a picture as a square."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS))


def read_painting(path: Path, longer_side: int) -> NDArray[np.uint8]:
    """A whole painting with its longer side brought to a length."""
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    scale = longer_side / max(upright.size)
    size = (round(upright.width * scale), round(upright.height * scale))
    return np.asarray(upright.resize(size, Image.Resampling.LANCZOS))


def look_of(network: str) -> Look:
    """What a network's name says, with its tier."""
    tier = FAST if network.startswith(FAST_TIER) else STANDARD
    return Look(network.removeprefix(FAST_TIER), tier=tier)


def name_of(network: str) -> str:
    """How a network is called in results."""
    own = Path(network.removeprefix(COLORS).removeprefix(FAST_TIER)).stem
    return f"{own}, {FAST}" if network.startswith(FAST_TIER) else own


def open_painter(network: str, precision: str = "f32") -> tuple[Painter, bool]:
    """A painter, and whether it takes any size; published ones take 720x720 alone."""
    if network.startswith(COLORS):
        return color_transfer(read_painting(Path(network.removeprefix(COLORS)), SIDE_PX)), True
    try:
        stylizer = painter_of(look_of(network), precision=precision)
    except StyleError:
        if not Path(network).is_file():
            raise
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name

        def paint(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
            bgr = np.ascontiguousarray(rgb[..., ::-1].transpose(2, 0, 1)[None], np.float32)
            painted = session.run(None, {name: bgr})[0][0].transpose(1, 2, 0)[..., ::-1]
            return np.ascontiguousarray(painted.clip(0, 255).round().astype(np.uint8))

        return paint, False
    return stylizer.paint_rgb, True


def color_transfer(painting: NDArray[np.uint8]) -> Painter:
    """Gives photos a painting's mean and standard deviation in each channel of CIE L*a*b*.

    Reinhard et al., Color Transfer between Images, IEEE CG&A 2001, eq. 10 and 11.
    """

    def statistics(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Any, Any]:
        lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        return lab, lab.mean((0, 1)), lab.std((0, 1))

    _, target_mean, target_deviation = statistics(painting)

    def paint(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        lab, mean, deviation = statistics(rgb)
        moved = (lab - mean) / (deviation + 1e-3) * target_deviation + target_mean
        painted = cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB)
        return (painted.clip(0, 1) * 255).round().astype(np.uint8)

    return paint


# The other figures ------------------------------------------------------------------------------


def grid_energy(rgb: NDArray[np.uint8]) -> float:
    """The highest of three spectrum peaks, at periods of 2, 4 and 8 px, over its neighbourhood.

    1 means no peak. Power of luma under a Hann window; peaks are those of all multiples of the
    period's frequency along both axes and both ways across; the neighbourhood is 13x13 bins
    around, without the 5x5 in the middle.
    """
    luma = rgb @ np.array([0.2126, 0.7152, 0.0722])
    height, width = (side // 8 * 8 for side in luma.shape)
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.fft2((luma[:height, :width] - luma.mean()) * window)) ** 2
    worst = 0.0
    for period in (2, 4, 8):
        ratios = []
        for i in range(period):
            for j in range(period):
                if math.gcd(math.gcd(i, j), period) != 1:
                    continue  # a shorter period's, or the mean
                y, x = i * height // period, j * width // period
                rows, columns = np.arange(-6, 7) + y, np.arange(-6, 7) + x
                around = power[np.ix_(rows % height, columns % width)]
                peak = around[5:8, 5:8].mean()
                around[4:9, 4:9] = 0
                ratios.append(peak / (around.sum() / (169 - 25)))
        worst = max(worst, float(np.exp(np.log(ratios).mean())))
    return worst


def weave_share(rgb: NDArray[np.uint8]) -> float:
    """How much of the fine texture's power is in peaks of the spectrum, at whatever period: 0..1.

    Power of luma in Hann windows of 96x96 px that overlap by half, each a share of its own power in
    waves of at most 5 px, averaged. What a bin has above 1.5 times the mean of the 21x21 around it
    is peak.
    """
    size = 96
    luma = rgb @ np.array([0.2126, 0.7152, 0.0722])
    step = size // 2
    windows = sliding_window_view(luma, (size, size))[::step, ::step].reshape(-1, size, size)
    hann = np.hanning(size + 1)[:size]
    centred = windows - windows.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * np.outer(hann, hann))) ** 2
    at = np.fft.fftfreq(size)
    fine = np.hypot(at[:, None], at) >= 0.2
    # a window of one colour has no texture: half a code of noise counts as the least
    shares = (power / (power[:, fine].sum(1) + 6.5 * size**2)[:, None, None]).mean(0)
    around = cv2.blur(np.pad(shares, 10, mode="wrap"), (21, 21))[10:-10, 10:-10]
    return float(np.maximum(shares - 1.5 * around, 0)[fine].sum())


def edges_kept(photo: NDArray[np.uint8], painted: NDArray[np.uint8]) -> float:
    """Correlation of the gradient magnitudes of luma at a quarter of the size: -1..1."""

    def gradient(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        small = Image.fromarray(rgb).convert("L").reduce(4)
        gy, gx = np.gradient(np.asarray(small, np.float64))
        return np.hypot(gy, gx).ravel()

    return float(np.corrcoef(gradient(photo), gradient(painted))[0, 1])


class Inception:
    """Inception v3 of 2015 to mixed_7, averaged over positions: 768 numbers a picture."""

    def __init__(self, path: Path) -> None:
        self.weights = {key: value.float() for key, value in load_file(path).items()}

    def __call__(self, rgb: Tensor) -> NDArray[np.float64]:
        """(N, 3, 299, 299) in 0..1 to (N, 768)."""
        conv, pool = self._conv, functional.max_pool2d
        x = conv("conv", rgb * 2 - 1, stride=2)
        x = conv("conv_2", conv("conv_1", x), padding=1)
        x = pool(conv("conv_4", conv("conv_3", pool(x, 3, 2))), 3, 2)
        for name in ("mixed", "mixed_1", "mixed_2"):
            tower = conv(f"{name}_tower_conv_1", conv(f"{name}_tower_conv", x), padding=2)
            second = conv(f"{name}_tower_1_conv", x)
            second = conv(f"{name}_tower_1_conv_1", second, padding=1)
            second = conv(f"{name}_tower_1_conv_2", second, padding=1)
            x = torch.cat(
                (conv(f"{name}_conv", x), tower, second, conv(f"{name}_tower_2_conv", _mean3(x))), 1
            )
        tower = conv("mixed_3_tower_conv_1", conv("mixed_3_tower_conv", x), padding=1)
        tower = conv("mixed_3_tower_conv_2", tower, stride=2)
        x = torch.cat((conv("mixed_3_conv", x, stride=2), tower, pool(x, 3, 2)), 1)
        for name in ("mixed_4", "mixed_5", "mixed_6", "mixed_7"):
            tower = x
            for step in ("conv", "conv_1", "conv_2"):
                tower = conv(f"{name}_tower_{step}", tower, same=True)
            second = x
            for step in ("conv", "conv_1", "conv_2", "conv_3", "conv_4"):
                second = conv(f"{name}_tower_1_{step}", second, same=True)
            x = torch.cat(
                (conv(f"{name}_conv", x), tower, second, conv(f"{name}_tower_2_conv", _mean3(x))), 1
            )
        return x.mean((2, 3)).numpy().astype(np.float64)

    def _conv(
        self, name: str, x: Tensor, stride: int = 1, padding: int = 0, same: bool = False
    ) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        sides = (weight.shape[2] // 2, weight.shape[3] // 2) if same else (padding, padding)
        return functional.relu(functional.conv2d(x, weight, bias, stride, sides))


def _mean3(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def crops_of(rgb: NDArray[np.uint8], count: int) -> Iterator[Tensor]:
    """Squares of 299 px from anywhere in a picture, `count`, the same every time."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        y = rng.integers(0, rgb.shape[0] - 299 + 1)
        x = rng.integers(0, rgb.shape[1] - 299 + 1)
        yield tensor(rgb[y : y + 299, x : x + 299])


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Between two Gaussians fitted to (N, D) each (Heusel et al., NeurIPS 2017, eq. 6).

    Covariances of fewer samples than dimensions are singular: only distances of the same number
    of samples compare.
    """
    mean = np.square(a.mean(0) - b.mean(0)).sum()
    # tr sqrt(A B) is the sum of the singular values of the two centred sample matrices' product,
    # to which their orthogonal parts add nothing
    centred = [(x - x.mean(0)) / math.sqrt(len(x) - 1) for x in (a, b)]
    upper = [np.linalg.qr(x, mode="r") for x in centred]
    cross = np.linalg.svd(upper[0] @ upper[1].T, compute_uv=False).sum()
    return float(mean + np.square(centred[0]).sum() + np.square(centred[1]).sum() - 2 * cross)


# Direct optimisation ----------------------------------------------------------------------------


def direct_steps(
    yardstick: Yardstick, photos: list[NDArray[np.uint8]], paint: Painter, painting: Path
) -> float:
    """How many L-BFGS steps on the pixels reach the network's total; the median over photos.

    Gatys et al., CVPR 2016, from the photo itself, at 384x384. A photo whose total is not reached
    counts as the most steps tried.
    """
    targets = [yardstick.grams(tensor(read_painting(painting, px))) for px in PAINTING_PX]
    marks = []
    for rgb in photos:
        with torch.no_grad():
            seen = yardstick.look(tensor(rgb))
            marks.append(yardstick.terms(yardstick.look(tensor(paint(rgb))), seen, targets))
    totals = torch.stack(
        [torch.stack([total_of(contents, row) for row in styles]) for contents, styles in marks]
    )
    best = int(totals.mean(0).argmin())
    counts = []
    for rgb, goal in zip(photos, totals[:, best].tolist(), strict=True):
        with torch.no_grad():
            seen = yardstick.look(tensor(rgb))
        pixels = tensor(rgb).contiguous().requires_grad_()
        optimizer = torch.optim.LBFGS([pixels], max_iter=1, history_size=20)
        reached = DIRECT_MOST_STEPS
        for step in range(DIRECT_MOST_STEPS):

            def closure(pixels: Tensor = pixels, seen: Seen = seen) -> Tensor:
                optimizer.zero_grad()  # noqa: B023  (called at once)
                ours = yardstick.look(pixels)
                contents, styles = yardstick.terms(ours, seen, targets[best : best + 1])
                total = total_of(contents, styles[0])
                total.backward()  # type: ignore[no-untyped-call]
                return total

            total = float(optimizer.step(closure).detach())  # type: ignore[arg-type]
            if total <= goal:
                reached = step
                break
        counts.append(reached)
        print(f"  direct: {goal:.3f} after {reached} steps", flush=True)
    return float(np.median(counts))


# The examination --------------------------------------------------------------------------------


def examine(
    yardstick: Yardstick,
    inception: Inception,
    data: Path,
    network: str,
    painting: Path,
    precision: str,
    slow: bool,
    names: tuple[str, ...] = PHOTOS,
) -> Report:
    """All marks of one network, by the photos of these names."""
    paint, any_size = open_painter(network, precision)
    name = name_of(network)
    kind = COLORS if network.startswith(COLORS) else "" if any_size else PUBLISHED
    exact = precision == "f32" or not any_size
    report = Report(f"{kind}{name}{'' if exact else f', {precision}'}", painting.stem)
    targets = []
    with torch.no_grad():
        for px in PAINTING_PX:
            targets.append(yardstick.grams(tensor(read_painting(painting, px))))
        contents, styles, features, perceived = [], [], [], []
        grids, photo_grids, edges = [], [], []
        weaves, photo_weaves = [], []
        for name in names:
            photo = read_square(data / "photos" / name, SIDE_PX)
            painted = paint(photo)
            seen = yardstick.look(tensor(photo))
            ours = yardstick.look(tensor(painted))
            content, style = yardstick.terms(ours, seen, targets)
            contents.append(content)
            styles.append(style)
            features.append(inception(torch.cat(list(crops_of(painted, 4)))))
            perceived.append(unit_distance(ours[0], seen[0]))
            grids.append(grid_energy(painted))
            photo_grids.append(grid_energy(photo))
            weaves.append(weave_share(painted))
            photo_weaves.append(weave_share(photo))
            edges.append(edges_kept(photo, painted))
        mean_content, mean_style = torch.stack(contents).mean(0), torch.stack(styles).mean(0)
        totals = torch.stack([total_of(mean_content, row) for row in mean_style])
        best = int(totals.argmin())
        whole = read_painting(painting, SIDE_PX)
        theirs = inception(torch.cat(list(crops_of(whole, 4 * len(names)))))
    report.total = float(totals[best])
    report.vgg_content, report.squeeze_content = mean_content.tolist()
    report.vgg_style, report.squeeze_style = mean_style[best].tolist()
    report.painting_px = PAINTING_PX[best]
    report.frechet = frechet_distance(np.concatenate(features), theirs)
    report.art_frechet = (1 + float(np.mean(perceived))) * (1 + report.frechet)
    report.grid, report.photo_grid = float(np.mean(grids)), float(np.mean(photo_grids))
    report.weave, report.photo_weave = float(np.mean(weaves)), float(np.mean(photo_weaves))
    report.edges = float(np.mean(edges))
    if slow and any_size:
        photos = [
            read_square(data / "photos" / name, DIRECT_SIDE_PX)
            for name in PHOTOS[:: len(PHOTOS) // DIRECT_PHOTOS]
        ]
        report.direct_steps = direct_steps(yardstick, photos, paint, painting)
    return report


def unit_distance(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Squared distance of features of unit length, LPIPS's form (arXiv 1801.03924) unweighted."""
    distances = [
        (functional.normalize(ours[k], dim=1) - functional.normalize(theirs[k], dim=1))
        .square()
        .sum(1)
        .mean()
        for k in theirs
    ]
    return float(torch.stack(distances).mean())


HEADINGS = {
    "name": "network", "painting": "painting", "total": "total", "vgg_content": "content, VGG",
    "squeeze_content": "content, Squeeze", "vgg_style": "style, VGG",
    "squeeze_style": "style, Squeeze", "painting_px": "painting, px", "frechet": "Fréchet",
    "art_frechet": "ArtFID's form", "grid": "grid", "photo_grid": "photos' grid",
    "weave": "weave", "photo_weave": "photos' weave",
    "edges": "edges", "direct_steps": "L-BFGS steps",
}  # fmt: skip


def table(reports: list[Report]) -> str:
    """Reports as a Markdown table."""
    lines = [" | ".join(HEADINGS.values()), " | ".join("---" for _ in HEADINGS)]
    for report in reports:
        cells = []
        for value in asdict(report).values():
            if value is None:  # not counted, or not measured
                cells.append("")
            else:
                cells.append(f"{value:.3f}" if isinstance(value, float) else str(value))
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    """Examines, prints and writes a table and its figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_pairs(parser, "NETWORK")
    parser.add_argument("--precision", default="f32", help="of our networks")
    parser.add_argument("--direct", action="store_true", help="also count L-BFGS steps (slow)")
    parser.add_argument("--name", default="quality", help="of the files in benchmarks/results")
    add_usual(parser)
    arguments = parser.parse_args()
    yardstick = Yardstick(arguments.data / "perceptual")
    inception = Inception(
        arguments.data / "perceptual" / "inception_v3_2015_mixed7.fp16.safetensors"
    )
    for number, (network, painting) in enumerate(arguments.pairs):
        report = examine(
            yardstick,
            inception,
            arguments.data,
            network,
            painting,
            arguments.precision,
            arguments.direct and not arguments.quick,
            PHOTOS[::8] if arguments.quick else PHOTOS,
        )
        print("\n".join(table([report]).splitlines()[2 if number else 0 :]), flush=True)
        if not arguments.quick:
            write(report, arguments.name, arguments.out)


def write(report: Report, name: str, folder: Path | None = None) -> None:
    """Puts a report into the results, in the place of an older one of the same network."""
    reports = {(row["name"], row["painting"]): Report(**row) for row in rows_of(name, folder)}
    former = reports.get((report.name, report.painting))
    if report.direct_steps is None and former and former.total == report.total:
        report.direct_steps = former.direct_steps  # of the same weights: still true
    reports[report.name, report.painting] = report
    about = {"date": datetime.date.today().isoformat(), "torch": torch.__version__}
    result = {
        "machine": machine() | about,
        "photos": len(PHOTOS),
        "candy": CANDY,
        "rows": [asdict(each) for each in reports.values()],
    }
    every = list(reports.values())
    keep(name, result, HISTORICAL + table(every) + "\n", lambda file: plot(every, file), folder)


def plot(reports: list[Report], file: Path) -> None:
    """Totals as bars, of content and of style; the published candy network's is 1."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = sorted(reports, key=lambda report: -report.total)
    names = [f"{report.name} ({report.painting})" for report in shown]
    contents = [
        (r.vgg_content / CANDY["vgg_content"] + r.squeeze_content / CANDY["squeeze_content"]) / 4
        for r in shown
    ]
    figure, axes = pyplot.subplots(figsize=(9, 0.25 * len(shown) + 1), layout="constrained")
    axes.barh(names, contents, label="content")
    styles = [report.total - content for report, content in zip(shown, contents, strict=True)]
    axes.barh(names, styles, left=contents, label="style")
    axes.axvline(1, color="black", lw=0.5)
    axes.set_xlabel("total, lower is better")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    run(main)
