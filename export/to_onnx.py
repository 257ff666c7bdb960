"""A trained generator to one ONNX file: uint8 planes in, uint8 planes out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxscript import opset20
from torch import Tensor, nn

import realtime_style
from export.parity import Parity, check_parity
from realtime_style.errors import StyleError
from realtime_style.frame import Frame
from realtime_style.style import metadata_entry, parse_style
from realtime_style.training.generator import SIZE_MULTIPLE, FoldedGenerator, Generator
from realtime_style.training.train import PLANES_COLOR

OPSET = 20
MAX_BYTES = 1_500_000


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
) -> list[Parity]:
    """Writes a style file, once it has been shown to paint as the generator does.

    Args:
        frames: real pictures to compare on, sides multiples of SIZE_MULTIPLE.

    Returns:
        What each engine at hand measured.

    Raises:
        StyleError: the model differs from the generator, or is too large; nothing is written.
    """
    planes = PlanesGenerator(netG.folded()).eval()
    model = _onnx_model(planes)
    key, value = metadata_entry(name, card, SIZE_MULTIPLE, PLANES_COLOR, realtime_style.__version__)
    model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    if len(data) > MAX_BYTES:
        raise StyleError(f"the model has {len(data)} bytes; a style has at most {MAX_BYTES}")
    style = parse_style(data)
    results = check_parity(planes, style, frames)
    partial = out.with_name(f".{out.name}.partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(data)
    partial.replace(out)
    return results


def _onnx_model(planes: PlanesGenerator) -> ModelProto:
    luma = torch.zeros(1, 1, 16 * SIZE_MULTIPLE, 24 * SIZE_MULTIPLE, dtype=torch.uint8)
    chroma = torch.zeros(1, 2, 8 * SIZE_MULTIPLE, 12 * SIZE_MULTIPLE, dtype=torch.uint8)
    h, w = torch.export.Dim("h", min=2), torch.export.Dim("w", min=2)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            planes,
            (luma, chroma),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["luma", "chroma"],
            output_names=["painted_luma", "painted_chroma"],
            dynamic_shapes={"luma": {2: 4 * h, 3: 4 * w}, "chroma": {2: 2 * h, 3: 2 * w}},
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
    _tidy_names(model)
    _store_as_half(model)
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
        if len(tensor.dims) == 4 and tensor.data_type == TensorProto.FLOAT:
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
