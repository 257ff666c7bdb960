"""What matters in training: the same short training repeatedly, with one thing changed each time.

    python benchmarks/ablation.py DATA PHOTOS RUNS --start GENERATOR [--only NAME ...] [--time]

DATA is as for quality.py; PHOTOS is a folder of training photos, without those of quality.py; RUNS
receives one folder per variant. Most variants continue from GENERATOR, which has learned the
painting for some time: the value of a loss shows near the end. Others start from the common base,
those with another architecture from random weights. Variants that have been measured before are not
trained again; `--time` measures their time per step again, on a machine that does nothing else. The
painting is Picabia's Udnie, which the common base has not seen. Writes
benchmarks/results/ablation.md, .json and .jpg.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from quality import (
    CANDY,
    PHOTOS,
    SIDE_PX,
    Yardstick,
    edges_kept,
    grid_energy,
    read_painting,
    read_square,
    tensor,
    total_of,
)
from record import RESULTS, keep, machine, run
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.color import ColorSpace
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.color import planes_from_rgb, rgb_from_planes
from realtime_style.training.config import BUNDLED_BASE, TrainConfig
from realtime_style.training.generator import Generator, GeneratorConfig, pad_edges
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.parallel import BatchNorm
from realtime_style.training.train import train

PAINTING = "styles/picabia_udnie.jpg"
PAINTING_PX = 256  # the size at which quality.py finds the published Udnie network best
STEPS, LONGER_STEPS, TIMED_STEPS = 120, 240, 12
EXAMINED = PHOTOS[::3]
SHOWN = (PHOTOS[0], PHOTOS[19])
TILE_PX = 300


class QuarterHead(Generator):
    """No half-size stage after the trunk: one convolution and a pixel shuffle by 4."""

    def __init__(self) -> None:
        super().__init__()
        trunk = self.config.trunk_channels
        self.quarter = nn.Conv2d(trunk, 24, 3)
        with torch.no_grad():
            self.quarter.weight.mul_(0.1)

    def with_features(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Generator.with_features`."""
        x = torch.cat((functional.pixel_unshuffle(luma, 2), chroma), 1)
        x = functional.relu(self.stem_norm(self.stem(pad_edges((x - 128 / 255) * 4, 2))))
        x = functional.relu(self.down_norm(self.down(x)))
        for block in self.blocks:
            x = block(x)
        y = self.quarter(pad_edges(x, 1)) / 4 + 128 / 255
        return functional.pixel_shuffle(y[:, :16], 4), functional.pixel_shuffle(y[:, 16:], 2), x


def with_instance_norm() -> Generator:
    """A generator that normalises every picture by itself, also at inference."""
    netG = Generator()
    for parent in list(netG.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNorm):
                setattr(parent, name, nn.InstanceNorm2d(child.num_features, affine=True))
    return netG


@dataclass(frozen=True)
class Variant:
    """One thing changed. `netG` makes the generator to start from; None takes GENERATOR."""

    changes: dict[str, Any] = field(default_factory=dict)
    netG: Callable[[], Generator] | None = None


def base() -> Generator:
    """Loads the common base."""
    return load_generator(BUNDLED_BASE)[0]


LONGER = {"steps": LONGER_STEPS, "learning_rate": 5e-3, "freeze_norm_at": 0.5}
VARIANTS = {
    "the recipe": Variant(),
    "40 steps": Variant({"steps": 40}),
    "a learning rate of 5e-3": Variant({"learning_rate": 5e-3}),
    "a margin of 32 px": Variant({"margin_px": 32}),
    "one scale": Variant({"painting_scales": (1,)}),
    "three scales": Variant({"painting_scales": (1, 2, 4)}),
    "no structure loss": Variant({"structure_weight": 0.0}),
    "no grid loss": Variant({"grid_weight": 0.0}),
    "batch statistics for half of the steps": Variant({"freeze_norm_at": 0.5}),
    "batch statistics to the end": Variant({"freeze_norm_at": 1.0}),
    "Gram matrices of each photo": Variant({"batch_share": 0.0}),
    "sliced Wasserstein": Variant({"statistic": "wasserstein"}),
    "noise 0.05": Variant({"noise": 0.05}),
    "adversarial, log": Variant({"adversarial": "log"}),
    "adversarial, lsgan": Variant({"adversarial": "lsgan"}),
    "adversarial, hinge": Variant({"adversarial": "hinge"}),
    "from the base": Variant(LONGER | {"style_start": 0.05}, base),
    "from the base, style in full": Variant(LONGER, base),
    "from nothing": Variant(LONGER, Generator),
    "from nothing, instance norm": Variant(LONGER, with_instance_norm),
    "from nothing, 32 channels": Variant(
        LONGER, lambda: Generator(GeneratorConfig(trunk_channels=32))
    ),
    "from nothing, head at a quarter": Variant(LONGER, QuarterHead),
}


@dataclass
class Row:
    """The result of a variant; terms as in quality.py, on eight of its photos."""

    name: str
    total: float
    vgg_content: float
    vgg_style: float
    squeeze_style: float
    edges: float
    grid: float
    step_ms: float | None  # None until measured


def paint(netG: Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paints a photo with a generator; RGB (H, W, 3)."""
    with torch.no_grad():
        luma, chroma = netG(*planes_from_rgb(tensor(rgb), ColorSpace()))
        painted = rgb_from_planes(luma, chroma, ColorSpace()).clamp(0, 1)
    return (painted[0].permute(1, 2, 0) * 255).round().byte().numpy()


def start_of(variant: Variant, given: Path) -> Generator:
    """The generator from which a variant starts."""
    return variant.netG() if variant.netG else load_generator(given)[0]


def measure(
    name: str,
    variant: Variant,
    given: Path,
    usual: TrainConfig,
    yardstick: Yardstick,
    data: Path,
    run: Path,
) -> Row:
    """Trains a variant, paints with it and leaves two pictures in its folder."""
    torch.manual_seed(0)
    netG = train(replace(usual, **variant.changes), run, start=start_of(variant, given)).eval()
    target = [yardstick.grams(tensor(read_painting(data / PAINTING, PAINTING_PX)))]
    contents, styles, edges, grids = [], [], [], []
    for photo_name in EXAMINED:
        photo = read_square(data / "photos" / photo_name, SIDE_PX)
        painted = paint(netG, photo)
        with torch.no_grad():
            content, style = yardstick.terms(
                yardstick.look(tensor(painted)), yardstick.look(tensor(photo)), target
            )
        contents.append(content)
        styles.append(style[0])
        edges.append(edges_kept(photo, painted))
        grids.append(grid_energy(painted))
    content, style = torch.stack(contents).mean(0), torch.stack(styles).mean(0)
    for i, photo_name in enumerate(SHOWN):
        photo = read_square(data / "photos" / photo_name, SIDE_PX)
        Image.fromarray(paint(netG, photo)).save(run / f"shown{i}.png")
    return Row(
        name,
        float(total_of(content, style)),
        float(content[0]),
        float(style[0]),
        float(style[1]),
        float(np.mean(edges)),
        float(np.mean(grids)),
        None,
    )


def step_ms(variant: Variant, given: Path, usual: TrainConfig, run: Path) -> float:
    """Measures the median time of a few steps."""
    config = replace(usual, **(variant.changes | {"steps": TIMED_STEPS}))
    clock = StepClock()
    train(config, run, start=start_of(variant, given), observer=clock)
    return 1000 * float(np.median(np.diff(clock.times_s)[1:]))


class StepClock(TrainObserver):
    """Notes when the training starts and when each step ends."""

    def __init__(self) -> None:
        self.times_s = [time.perf_counter()]

    def on_step(self, step: TrainStep) -> None:
        """Notes the time."""
        self.times_s.append(time.perf_counter())


def sheet(rows: list[Row], runs: Path, data: Path) -> Image.Image:
    """Two photos, then every variant's paintings of them, with its name and total."""
    columns, caption = 4, 22
    tiles: list[tuple[str, list[Image.Image]]] = [
        ("photos", [Image.fromarray(read_square(data / "photos" / n, SIDE_PX)) for n in SHOWN])
    ]
    for row in rows:
        folder = runs / row.name.replace(" ", "-")
        pictures = [Image.open(folder / f"shown{i}.png").convert("RGB") for i in range(len(SHOWN))]
        tiles.append((f"{row.name}: {row.total:.2f}", pictures))
    height, width = len(SHOWN) * TILE_PX + caption, TILE_PX
    lines = -(-len(tiles) // columns)
    whole = Image.new("RGB", (columns * width, lines * height), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(15)
    for i, (text, pictures) in enumerate(tiles):
        x, y = i % columns * width, i // columns * height
        draw.text((x + 4, y + 2), text, "black", font)
        for j, picture in enumerate(pictures):
            # the middle at full size: texture and grids would be invisible if scaled down
            edge = (SIDE_PX - TILE_PX) // 2
            middle = picture.crop((edge, edge, edge + TILE_PX, edge + TILE_PX))
            whole.paste(middle, (x, y + caption + j * TILE_PX))
    return whole


def table(rows: list[Row]) -> str:
    """Formats rows as a Markdown table."""
    lines = [
        "Terms are relative to the published candy network, as in quality.py, on eight photos.",
        "",
        "| variant | total | content, VGG | style, VGG | style, Squeeze | edges | grid | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ms = f"{row.step_ms:.0f}" if row.step_ms else ""
        terms = [
            getattr(row, name) / CANDY[name]
            for name in ("vgg_content", "vgg_style", "squeeze_style")
        ]
        cells = " | ".join(f"{term:.2f}" for term in terms)
        lines.append(
            f"| {row.name} | {row.total:.3f} | {cells} | {row.edges:.2f} | {row.grid:.1f} | {ms} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains the variants that have not been trained, and writes all results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="the folder of perceptual/, photos/ and styles/")
    parser.add_argument("photos", type=Path, help="photos to train on")
    parser.add_argument("runs", type=Path, help="folder for trained variants; existing ones stay")
    parser.add_argument(
        "--start", type=Path, required=True, metavar="GENERATOR", help="the generator to start from"
    )
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="only these variants"
    )
    parser.add_argument("--time", action="store_true", help="measure the time per step again")
    arguments = parser.parse_args()
    data = arguments.data
    networks = (
        "vgg19_normalised_relu3_1.fp32",
        "vgg19_cd16x_small_relu5_1.fp32",
        "vgg16_ssd300voc_relu3_3.fp32",
    )
    usual = TrainConfig(
        painting=data / PAINTING,
        content=arguments.photos,
        features=tuple(data / "perceptual" / f"{name}.safetensors" for name in networks),
        steps=STEPS,
        sharp_steps=0,
        crop_px=320,
        painting_px=PAINTING_PX,
        painting_detail_px=PAINTING_PX,
        content_weight=2.4,
        structure_weight=20.0,
        style_weight=200.0,
        grid_weight=200.0,
        motion_weight=0.0,
        tone_weight=0.0,
        motion_features_weight=0.0,
        style_start=1.0,
        learning_rate=1.5e-3,
        freeze_norm_at=0.0,
        checkpoint_every=10_000,
        sample_every=10_000,
    )
    yardstick = Yardstick(data / "perceptual")
    rows = []
    for name in VARIANTS:
        run = arguments.runs / name.replace(" ", "-")
        if not (run / "row.json").exists():
            if name not in arguments.only:
                continue
            row = measure(name, VARIANTS[name], arguments.start, usual, yardstick, data, run)
            (run / "row.json").write_text(json.dumps(asdict(row)))
        row = Row(**json.loads((run / "row.json").read_text()))
        if arguments.time and name in arguments.only:
            row.step_ms = step_ms(VARIANTS[name], arguments.start, usual, arguments.runs / "timed")
            (run / "row.json").write_text(json.dumps(asdict(row)))
        rows.append(row)
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    result = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    keep("ablation", result, table(rows))
    sheet(rows, arguments.runs, data).save(RESULTS / "ablation.jpg", quality=88)


if __name__ == "__main__":
    run(main)
