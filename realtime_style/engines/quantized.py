"""A style's network in 8-bit integers, which CPUs multiply several times as fast as floats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper

from realtime_style.engines.typed import typed_model
from realtime_style.errors import EngineError
from realtime_style.style import ranges_of

_LEVELS = 255
_MOST = 127  # of a kernel's values: symmetric, as int8 kernels are multiplied
_FIRST = "stem"  # its input are codes less the centre: that range is known


def has_ranges(model: bytes) -> bool:
    """Whether `int8_model` takes an ONNX model."""
    try:
        return ranges_of(onnx.load_model_from_string(model)) is not None
    except (DecodeError, ValueError):  # no model: the engine says so
        return False


def int8_model(model: bytes) -> bytes:
    """The same ONNX model with every convolution on 8-bit integers (QDQ form).

    Kernels are rounded here, to 255 steps in each output channel (Jacob et al., CVPR 2018, eq. 1,
    with a zero point of 0); their inputs in 255 steps of the ranges that the style has been
    exported with. Sums, and what lies between convolutions, stay as they were.

    Raises:
        EngineError: the style has no ranges.
    """
    proto = onnx.load_model_from_string(typed_model(model, "f32"))
    ranges = ranges_of(proto)
    if ranges is None:
        raise EngineError(
            "this style does not say what int8 needs to know; export it again with --frames "
            "PHOTOS, or paint with --precision bf16 or f32"
        )
    graph = proto.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    ranges = {**ranges, _FIRST: (float(-weights["center"].max()), 255.0)}
    nodes: list[NodeProto] = []
    rounded: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv":
            name = node.input[1].removesuffix(".weight")
            given = node.input[0]
            if given not in rounded:
                rounded.add(given)
                nodes += _rounded_input(graph, given, *ranges[name])
            nodes += _rounded_kernel(graph, node.input[1], weights[node.input[1]])
            node.input[0], node.input[1] = f"{given}.rounded", f"{node.input[1]}.rounded"
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _rounded_input(graph: GraphProto, name: str, low: float, high: float) -> Iterator[NodeProto]:
    low, high = min(low, 0.0), max(high, 0.0)  # 0 is exact: it is what ReLU makes most
    scale = max(high - low, 1e-6) / _LEVELS
    _add(graph, f"{name}.scale", np.float32(scale))
    _add(graph, f"{name}.zero", np.array(round(-low / scale), np.uint8))
    grid = [f"{name}.scale", f"{name}.zero"]
    yield helper.make_node("QuantizeLinear", [name, *grid], [f"{name}.codes"])
    yield helper.make_node("DequantizeLinear", [f"{name}.codes", *grid], [f"{name}.rounded"])


def _rounded_kernel(graph: GraphProto, name: str, kernel: NDArray[np.float32]) -> list[NodeProto]:
    scale = np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-9) / _MOST
    codes = np.round(kernel / scale[:, None, None, None]).astype(np.int8)
    _add(graph, f"{name}.codes", codes)
    _add(graph, f"{name}.scale", scale.astype(np.float32))
    _add(graph, f"{name}.zero", np.zeros(len(scale), np.int8))
    inputs = [f"{name}.{part}" for part in ("codes", "scale", "zero")]
    return [helper.make_node("DequantizeLinear", inputs, [f"{name}.rounded"], axis=0)]


def _add(graph: GraphProto, name: str, values: NDArray[np.generic] | np.generic) -> None:
    graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
