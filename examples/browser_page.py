"""Writes a web page that paints camera, films and pictures on the viewer's own GPU, with WebGPU.

python examples/browser_page.py FOLDER

The folder can be put on any web host; nothing is installed, and no picture leaves the viewer's
device. To try it: python -m http.server --directory FOLDER, then open http://localhost:8000
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from realtime_style.engines.webgpu.generator import Generator, read_generator
from realtime_style.engines.webgpu.weights import Weights, body_layers, weights_of
from realtime_style.painting.grain import grain_limits, grain_tile
from realtime_style.style.bundled import bundled_cards, bundled_styles, open_style
from realtime_style.style.style import Style

PAGE = Path(__file__).parent / "browser"
TIER = "fast"
GRAIN_PX = 256  # side of the tile of grain; half of the program's, to be smaller


def layers_of(generator: Generator, weights: Weights) -> dict[str, Any]:
    """What the page must know of the network, which all styles share."""
    layers = {
        name: {
            "outputs": layer.weight.shape[0],
            "inputs": layer.weight.shape[1],
            "kernel": layer.kernel,
            "padding": layer.padding,
            "dilation": layer.dilation,
            "stride": layer.stride,
            "weights_at": weights.at[name][0],
            "biases_at": weights.at[name][1],
        }
        for name, layer in body_layers(generator)
    }
    places = {f"{name}_at": weights.at[name][1] for name in ("center", "recolor", "range")}
    groups = {
        f"{name}_groups": -(-len(layers[0].weight) // 4)
        for name, layers in (("recolor", generator.recolor), ("range", generator.range))
    }
    counts = {"kernels": len(weights.kernels), "constants": len(weights.constants)}
    return {"layers": layers, "blocks": len(generator.blocks)} | places | groups | counts


def without_strength(style: Style) -> dict[str, list[tuple[int, list[float]]]]:
    """The values that depend on the strength, as they are at strength 0: where each run begins.

    Weights between these and the style's own are those of a strength between 0 and 1.
    """
    ones = {name: np.ones(shape) for name, shape in style.shapes().items()}
    whole = style.with_weights(ones, "ones", {}, None)
    own, none = (arranged(each) for each in (whole, whole.with_strength(0)))
    found = {}
    for part in ("kernels", "constants"):
        ours, theirs = (getattr(each, part).reshape(-1) for each in (own, none))
        changed = np.flatnonzero(ours != theirs)
        runs = np.split(changed, np.flatnonzero(np.diff(changed) > 1) + 1)
        found[part] = [(int(run[0]), theirs[run].tolist()) for run in runs if len(run)]
    return found


def arranged(style: Style) -> Weights:
    """A style's weights as the kernels read them."""
    return weights_of(read_generator(style.model_for(style.color)))


def colors_of(style: Style) -> dict[str, list[float]]:
    """How the page converts colours of 0..255 to planes, and planes to colours of 0..1."""
    matrix, offset = style.color.yuv_from_rgb()
    back = np.linalg.inv(matrix)
    rows = np.column_stack((matrix, offset * 255))
    back_rows = np.column_stack((back / 255, -back @ offset))
    names = ("luma", "cb", "cr", "red", "green", "blue")
    return {name: row.tolist() for name, row in zip(names, (*rows, *back_rows), strict=True)}


def write_page(folder: Path) -> None:
    """Writes the page, its kernels and all styles of the fast tier into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in PAGE.iterdir():
        shutil.copy(file, folder)
    for kernel in (files("realtime_style.engines.webgpu") / "kernels").iterdir():
        (folder / kernel.name).write_bytes(kernel.read_bytes())
    styles = []
    for name in bundled_styles(TIER):
        style = open_style(name, TIER)
        weights = arranged(style)
        halves = weights.kernels.astype("<f2").tobytes()
        (folder / f"{name}.bin").write_bytes(halves + weights.constants.astype("<f4").tobytes())
        card = bundled_cards()[name]
        styles.append(
            {"name": name, "file": f"{name}.bin"} | {k: card[k] for k in ("title", "painter")}
        )
    about = layers_of(read_generator(style.model_for(style.color)), weights)
    tile = grain_tile(0, 1.0, GRAIN_PX)
    (folder / "grain.bin").write_bytes(tile.astype("<i2").tobytes())
    about["grain"] = {"file": "grain.bin", "side": GRAIN_PX, "limits": grain_limits()}
    about |= {"styles": styles, "color": colors_of(style), "strength": without_strength(style)}
    (folder / "styles.json").write_text(json.dumps(about))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {len(styles)} styles, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
