"""Turns a PyTorch module into an ONNX model that holds nothing but the network."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxscript import opset20
from torch import Tensor, nn

import realtime_style

OPSET = 20


def trace(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: dict[str, Any],
) -> ModelProto:
    """Exports a module to ONNX, and removes the exporter's metadata.

    Args:
        module: the module, in evaluation mode.
        arguments: example inputs.
        inputs: names of the inputs.
        outputs: names of the outputs.
        dynamic: the sizes that may vary, by input and dimension, as `dynamic_shapes` of
            `torch.onnx.export`.
    """
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
            # Otherwise pixel_unshuffle becomes a dozen reshapes with computed sizes
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


def rename_weights(model: ModelProto) -> None:
    """Gives the weights their names in `FoldedGenerator`, such as `stem.weight` and `center`."""
    renamed = {
        tensor.name: tensor.name.removeprefix("generator.") for tensor in model.graph.initializer
    }
    for tensor in model.graph.initializer:
        tensor.name = renamed[tensor.name]
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def store_as_half(model: ModelProto) -> None:
    """Stores kernels and matrices as float16, each with a Cast to float32.

    Engines compute the casts when they load the model, so painting takes no longer.
    """
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
