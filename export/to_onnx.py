"""Turns a trained generator into a style file: an ONNX model from uint8 planes to uint8 planes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

import realtime_style
from export.frames import parity_frames, planes_of
from export.graph import rename_weights, store_as_half, trace
from export.parity import Parity, check_parity
from realtime_style.canvas import CANVAS_MULTIPLE
from realtime_style.engines.engine import Planes
from realtime_style.errors import StyleError
from realtime_style.frame import Frame
from realtime_style.style.file_format import (
    CANVAS_PLANES,
    OUTPUT_PLANES,
    PICTURE_PLANES,
    RANGELESS_WEIGHTS,
    Ranges,
    describe,
)
from realtime_style.style.reading import parse_style
from realtime_style.system.whole_file import whole_file
from realtime_style.training.checkpoint import load_any_generator
from realtime_style.training.color import PLANES_COLOR
from realtime_style.training.sharp import FoldedSharpGenerator, SharpGenerator

MAX_BYTES = 1_500_000
_OUTLIERS = 0.01  # percent of the values at each end that are left out of a measured range


class PlanesGenerator(nn.Module):
    """A folded sharp generator for uint8 planes, with its kernels rounded to float16."""

    def __init__(self, generator: FoldedSharpGenerator) -> None:
        """Args: generator; its kernels are rounded in place."""
        super().__init__()
        _round_kernels(generator)
        self.generator = generator

    def forward(
        self, luma: Tensor, chroma: Tensor, canvas_luma: Tensor, canvas_chroma: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Paints uint8 planes; see `FoldedSharpGenerator.forward`."""
        # Rounded while they are packed: bytes are moved faster than floats
        packed = _as_uint8(self.generator.packed(luma, chroma, canvas_luma, canvas_chroma))
        painted: tuple[Tensor, Tensor] = self.generator.unpacked(packed)
        return painted


def _round_kernels(generator: nn.Module) -> None:
    for parameter in generator.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.half().float()


def _as_uint8(plane: Tensor) -> Tensor:
    return plane.round().clamp(0, 255).to(torch.uint8)


def export_style(
    netG: SharpGenerator,
    out: Path,
    name: str,
    card: dict[str, Any],
    frames: Sequence[Frame],
    *,
    are_photos: bool = True,
) -> list[Parity]:
    """Writes a style file, after checking that it paints like the generator.

    Args:
        netG: a trained generator.
        out: the file to write; missing folders are made.
        name: the style's name.
        card: facts about the style, such as title and painter: values that JSON can hold, by name.
        frames: real pictures to compare on.
        are_photos: whether `frames` resemble what the style will paint. If not, the ranges of
            values cannot be measured on them, and the style does not support int8.

    Returns:
        What was measured for each available engine and precision.

    Raises:
        StyleError: the model differs from the generator, is too large, or cannot be written;
            nothing is written then.
    """
    planes = PlanesGenerator(netG.folded()).eval()
    model = generator_model(planes)
    pictures = [planes_of(frame) for frame in frames]
    ranges = input_ranges(planes, pictures) if are_photos else None
    describe(model, name, card, PLANES_COLOR, realtime_style.__version__, ranges)
    data = model.SerializeToString()
    if len(data) > MAX_BYTES:
        raise StyleError(f"the model has {len(data)} bytes; a style has at most {MAX_BYTES}")
    style = parse_style(data)
    results = check_parity(planes, style, pictures)
    write_model(out, data)
    return results


def export_trained(
    checkpoint: Path,
    out: Path,
    *,
    name: str | None = None,
    card: Path | None = None,
    pictures: Path | None = None,
) -> list[Parity]:
    """Writes the style file of a generator that training has written.

    Args:
        checkpoint: a checkpoint (.pt) or a generator (.safetensors).
        out: the file to write, .onnx; missing folders are made.
        name: the style's name; None takes the name of `out` without its ending.
        card: a JSON file with an object of facts about the style, which are added to how it was
            trained; None adds nothing.
        pictures: a photo or a folder of photos, to check parity and to measure ranges on. None uses
            the built-in test clip, and the style then does not support int8.

    Returns:
        What was measured for each available engine and precision.

    Raises:
        StyleError: a file cannot be read or written, or an engine does not paint like the
            generator; nothing is written then.
    """
    if out.suffix != ".onnx":
        raise StyleError(f"{out} cannot be a style: its name must end in .onnx", setting="out")
    netG, metadata = load_any_generator(checkpoint)
    if not isinstance(netG, SharpGenerator):
        raise StyleError(
            f"{checkpoint} is a generator of strokes, which only the first part of training is; "
            "train it further, until it paints pictures of any size"
        )
    if card is not None:
        metadata |= _read_card(card)
    frames = parity_frames(pictures)
    return export_style(
        netG, out, name or out.stem, metadata, frames, are_photos=pictures is not None
    )


def _read_card(file: Path) -> dict[str, Any]:
    try:
        card = json.loads(file.read_text())
    except OSError as error:
        raise StyleError(f"{file} cannot be read: {error.strerror}", setting="card") from error
    except ValueError as error:
        raise StyleError(f"{file} cannot be read as JSON: {error}", setting="card") from error
    if not isinstance(card, dict):
        raise StyleError(
            f'{file} is not a JSON object such as {{"title": ..., "painter": ..., "year": ...}}',
            setting="card",
        )
    return card


def input_ranges(planes: PlanesGenerator, pictures: Sequence[Planes]) -> Ranges:
    """Measures the range of the input of every convolution except the first, without outliers.

    At each end, one in ten thousand values of a frame may be outside the range. int8 clips these,
    and so represents all other values more finely.

    Args:
        planes: the network.
        pictures: photos to paint.
    """
    found: dict[str, tuple[float, float]] = {}

    def measure(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            low, high = np.percentile(inputs[0].numpy(), (_OUTLIERS, 100 - _OUTLIERS)).tolist()
            lowest, highest = found.get(name, (low, high))
            found[name] = (min(low, lowest), max(high, highest))

        return hook

    hooks = [
        module.register_forward_pre_hook(measure(name))
        for name, module in planes.generator.named_modules()
        if isinstance(module, nn.Conv2d) and f"{name}.weight" not in RANGELESS_WEIGHTS
    ]
    with torch.inference_mode():
        for picture in pictures:
            planes(*(torch.from_numpy(plane) for plane in picture))
    for hook in hooks:
        hook.remove()
    return found


def write_model(out: Path, data: bytes) -> None:
    """Writes a file, which appears only when it is complete; missing folders are made.

    Raises:
        StyleError: the file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise StyleError(f"{out} cannot be written: {error.strerror}", setting="out") from error


def generator_model(planes: PlanesGenerator) -> ModelProto:
    """The ONNX model of a generator, for pictures and canvases of any size.

    It has the inputs `luma`, `chroma`, `canvas_luma` and `canvas_chroma`: whoever runs it reduces
    the picture to a canvas, and so chooses how large strokes are. All sizes inside follow from
    those of the inputs, so one model serves all pictures and canvases, in every engine.
    """
    height, width = 8 * CANVAS_MULTIPLE, 12 * CANVAS_MULTIPLE
    shapes = (1, 1, 2 * height, 2 * width), (1, 2, height, width)
    canvas = (1, 1, height, width), (1, 2, height // 2, width // 2)
    h, w, a, b = (torch.export.Dim(name, min=2) for name in ("h", "w", "a", "b"))
    big, small = CANVAS_MULTIPLE, CANVAS_MULTIPLE // 2
    model = trace(
        planes,
        tuple(torch.zeros(shape, dtype=torch.uint8) for shape in (*shapes, *canvas)),
        [*PICTURE_PLANES, *CANVAS_PLANES],
        [*OUTPUT_PLANES],
        {
            "luma": {2: 2 * h, 3: 2 * w},
            "chroma": {2: h, 3: w},
            "canvas_luma": {2: big * a, 3: big * b},
            "canvas_chroma": {2: small * a, 3: small * b},
        },
    )
    rename_weights(model)
    store_as_half(model)
    return model
