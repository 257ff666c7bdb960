"""A trained generator to one ONNX file: uint8 planes in, uint8 planes out."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxscript import opset20
from PIL import Image, ImageOps
from torch import Tensor, nn

import realtime_style
from export.parity import Parity, check_parity
from realtime_style.errors import StyleError
from realtime_style.frame import Frame
from realtime_style.style.bank import Bank
from realtime_style.style.file_format import Ranges, describe
from realtime_style.style.reading import parse_style
from realtime_style.system.whole_file import whole_file
from realtime_style.tools.demo import draw_scene
from realtime_style.training.checkpoint import load_generator
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.dataset import UNREADABLE, open_rgb
from realtime_style.training.encoder import StyleEncoder
from realtime_style.training.generator import SIZE_MULTIPLE, FoldedGenerator, Generator

OPSET = 20
MAX_BYTES = 1_500_000
PARITY_FRAMES = 12
_OUTLIERS = 0.01  # percent of values


class PlanesGenerator(nn.Module):
    """A folded generator on uint8 planes, weights rounded to what the file stores (FP16)."""

    def __init__(self, generator: FoldedGenerator) -> None:
        super().__init__()
        for parameter in generator.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.half().float()
        self.generator = generator

    def forward(self, luma: Tensor, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (1, 1, H, W) and (1, 2, H/2, W/2) to the same."""
        painted_luma, painted_chroma = self.generator(luma.float(), chroma.float())
        return _bytes(painted_luma), _bytes(painted_chroma)


def _bytes(plane: Tensor) -> Tensor:
    return plane.round().clamp(0, 255).to(torch.uint8)


def export_style(
    netG: Generator,
    out: Path,
    name: str,
    card: dict[str, Any],
    frames: Sequence[Frame],
    *,
    are_photos: bool = True,
) -> list[Parity]:
    """Writes a style file, once it has been shown to paint as the generator does.

    Args:
        frames: real pictures to compare on, sides multiples of SIZE_MULTIPLE.
        are_photos: whether they are like those to be painted; drawn ones say too little of the
            ranges that values have, and the style is then not for int8.

    Returns:
        What each engine at hand measured.

    Raises:
        StyleError: the model differs from the generator, or is too large; nothing is written.
    """
    planes = PlanesGenerator(netG.folded()).eval()
    model = _onnx_model(planes)
    ranges = input_ranges(planes, frames) if are_photos else None
    describe(model, name, card, SIZE_MULTIPLE, PLANES_COLOR, realtime_style.__version__, ranges)
    data = model.SerializeToString()
    if len(data) > MAX_BYTES:
        raise StyleError(f"the model has {len(data)} bytes; a style has at most {MAX_BYTES}")
    style = parse_style(data)
    results = check_parity(planes, style, frames)
    _write(out, data)
    return results


def export_trained(
    checkpoint: Path,
    out: Path,
    *,
    name: str | None = None,
    card: Path | None = None,
    pictures: Path | None = None,
) -> list[Parity]:
    """Writes the style file of a checkpoint or of unfolded weights.

    Args:
        name: the style's name; None takes the file's.
        card: a JSON file of what describes the style, joined with how it was trained.
        pictures: photos, one or a folder of them, to check parity and to measure ranges on;
            None takes the demo film's, and the style is then not for int8.

    Raises:
        StyleError: what cannot be read, or fails the check; nothing is written.
    """
    if out.suffix != ".onnx":
        raise StyleError(f"{out} cannot be a style; its name must end in .onnx")
    netG, metadata = load_generator(checkpoint)
    if card is not None:
        try:
            described = json.loads(card.read_text())
        except OSError as error:
            raise StyleError(f"{card} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StyleError(f"{card} cannot be read as JSON: {error}") from error
        if not isinstance(described, dict):
            raise StyleError(
                f'{card} is no JSON object; write {{"title": ..., "painter": ..., "year": ...}}'
            )
        metadata |= described
    frames = parity_frames(pictures)
    return export_style(
        netG, out, name or out.stem, metadata, frames, are_photos=pictures is not None
    )


def input_ranges(planes: PlanesGenerator, frames: Sequence[Frame]) -> Ranges:
    """From where to where the inputs of each convolution but the first go, but for outliers.

    One in ten thousand values of a picture may lie beyond either end, and is cut off: steps are
    finer for it.
    """
    found: dict[str, tuple[float, float]] = {}

    def listen(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hear(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            low, high = np.percentile(given[0].numpy(), (_OUTLIERS, 100 - _OUTLIERS)).tolist()
            least, most = found.get(name, (low, high))
            found[name] = (min(low, least), max(high, most))

        return hear

    hooks = [
        module.register_forward_pre_hook(listen(name))
        for name, module in planes.generator.named_modules()
        if isinstance(module, nn.Conv2d) and name != "stem"
    ]
    with torch.inference_mode():
        for frame in frames:
            planes(torch.from_numpy(frame.luma), torch.from_numpy(frame.chroma))
    for hook in hooks:
        hook.remove()
    return found


class PictureEncoder(nn.Module):
    """A trained encoder on uint8 RGB, weights rounded to what the file stores (FP16)."""

    def __init__(self, netE: StyleEncoder) -> None:
        super().__init__()
        for parameter in netE.parameters():
            if parameter.dim() > 1:
                parameter.data = parameter.data.half().float()
        self.encoder = netE

    def forward(self, picture: Tensor) -> Tensor:
        """uint8 (1, 3, H, W) to (1, code_size)."""
        code: Tensor = self.encoder(picture.float() / 255)
        return code


def export_encoder(netE: StyleEncoder, bank: Bank, out: Path) -> None:
    """Writes the encoder of G(x, s) for a bank; raises StyleError where it cannot be written."""
    picture = torch.zeros(1, 3, 192, 320, dtype=torch.uint8)
    h, w = torch.export.Dim("h", min=32, max=4096), torch.export.Dim("w", min=32, max=4096)
    model = _traced(
        PictureEncoder(netE).eval(), (picture,), ["picture"], ["code"], {"picture": {2: h, 3: w}}
    )
    _store_as_half(model)
    model.metadata_props.add(key="bank", value=bank.digest)
    _write(out, model.SerializeToString())


def _write(out: Path, data: bytes) -> None:
    """A file that appears only when complete."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise StyleError(f"{out} cannot be written: {error.strerror}") from error


def parity_frames(pictures: Path | None) -> list[Frame]:
    """A few frames to compare on, at most 720 pixels a side, in the generators' colour space."""
    if pictures is None:
        images = [Image.fromarray(draw_scene(time_s)) for time_s in (0.0, 3.0)]
    else:
        paths = sorted(pictures.rglob("*")) if pictures.is_dir() else [pictures]
        order = {path: number for number, path in enumerate(paths)}
        images = []
        step = max(1, len(paths) // PARITY_FRAMES)  # from all over the folder
        for path in sorted(paths, key=lambda path: order[path] % step):
            with contextlib.suppress(*UNREADABLE):
                images.append(open_rgb(path))
            if len(images) == PARITY_FRAMES:
                break
    if not images:
        raise StyleError(f"{pictures} has no picture to check parity on")
    return [_frame(image) for image in images]


def _frame(image: Image.Image) -> Frame:
    image.thumbnail((720, 720))
    width, height = (max(side // SIZE_MULTIPLE, 8) * SIZE_MULTIPLE for side in image.size)
    rgb = torch.from_numpy(np.array(ImageOps.fit(image, (width, height))))
    planes = planes_from_rgb(rgb.permute(2, 0, 1)[None].float() / 255, PLANES_COLOR)
    codes = torch.cat([(plane * 255).round().byte().flatten() for plane in planes])
    return Frame(codes.numpy().reshape(-1, width), 0, Fraction(1), PLANES_COLOR)


def _onnx_model(planes: PlanesGenerator) -> ModelProto:
    luma = torch.zeros(1, 1, 16 * SIZE_MULTIPLE, 24 * SIZE_MULTIPLE, dtype=torch.uint8)
    chroma = torch.zeros(1, 2, 8 * SIZE_MULTIPLE, 12 * SIZE_MULTIPLE, dtype=torch.uint8)
    h, w = torch.export.Dim("h", min=2), torch.export.Dim("w", min=2)
    model = _traced(
        planes,
        (luma, chroma),
        ["luma", "chroma"],
        ["painted_luma", "painted_chroma"],
        {"luma": {2: 4 * h, 3: 4 * w}, "chroma": {2: 2 * h, 3: 2 * w}},
    )
    _tidy_names(model)
    _store_as_half(model)
    return model


def _traced(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, Any],
) -> ModelProto:
    """A module as an ONNX model, without what the exporter notes down for itself."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            # else the fold of pixels is written as a dozen reshapes of computed sizes
            custom_translation_table={torch.ops.aten.pixel_unshuffle.default: _space_to_depth},
        )
    assert program is not None
    model: ModelProto = program.model_proto
    model.producer_name, model.producer_version = "realtime-style", realtime_style.__version__
    model.doc_string = model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.value_info[:]
    del model.metadata_props[:]
    return model


def _space_to_depth(x: onnxscript.FLOAT, downscale_factor: int) -> onnxscript.FLOAT:
    return opset20.SpaceToDepth(x, blocksize=downscale_factor)


def _tidy_names(model: ModelProto) -> None:
    """Weights by their names in FoldedGenerator, and what is subtracted first as `center`."""
    renamed = {
        tensor.name: tensor.name.removeprefix("generator.") for tensor in model.graph.initializer
    }
    for tensor in model.graph.initializer:
        tensor.name = renamed[tensor.name]
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _store_as_half(model: ModelProto) -> None:
    """Keeps kernels as FP16, widened by a Cast that engines fold away as they load."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if len(tensor.dims) in (2, 4) and tensor.data_type == TensorProto.FLOAT:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            wide = tensor.name + ".wide"
            for node in graph.node:
                node.input[:] = [wide if name == tensor.name else name for name in node.input]
            casts.append(helper.make_node("Cast", [tensor.name], [wide], to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
