"""A style's network as a GPU takes it: of one float type throughout, weights as they are."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

_TYPES = {"f16": (TensorProto.FLOAT16, np.float16), "f32": (TensorProto.FLOAT, np.float32)}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def typed_model(model: bytes, precision: str) -> bytes:
    """The same ONNX model with every float of one type, float16 ("f16") or float32 ("f32").

    What a strongly typed TensorRT network (the only kind since TensorRT 11) computes in is what its
    ONNX model says. Weights, which styles keep in half precision, no longer pass through a Cast:
    they are the convolutions' own. Rounding to codes stays in the graph: codes of 0..255 are exact
    in float16, which has eighths of them from 128 up.
    """
    kind, dtype = _TYPES[precision]
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    weights = {tensor.name for tensor in graph.initializer}
    kept, own = [], {}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            own[node.output[0]] = node.input[0]
            continue
        for i, name in enumerate(node.input):
            node.input[i] = own.get(name, name)
        for attribute in node.attribute if node.op_type == "Cast" else ():
            if attribute.name == "to" and attribute.i in _FLOATS:
                attribute.i = kind
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    return bytes(proto.SerializeToString())


def nv12_model(model: bytes) -> bytes:
    """The same ONNX model with chroma in and out as video hardware keeps it, (1, H/2, W/2, 2).

    Blue and red lie side by side there. They are set apart between the casts, as TensorRT takes
    bytes for nothing but casts.
    """
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    (chroma,) = (value for value in graph.input if value.name == "chroma")
    (painted,) = (value for value in graph.output if value.name == "painted_chroma")
    for value in (chroma, painted):
        dims = value.type.tensor_type.shape.dim
        moved = [dims[i].SerializeToString() for i in (0, 2, 3, 1)]
        for dim, as_bytes in zip(dims, moved, strict=True):
            dim.ParseFromString(as_bytes)
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] == "painted_chroma":
            nodes.append(
                helper.make_node("Transpose", node.input, ["interleaved"], perm=(0, 2, 3, 1))
            )
            node.input[0] = "interleaved"
        nodes.append(node)
        if node.op_type == "Cast" and node.input[0] == "chroma":
            apart = node.output[0]
            node.output[0] = "side_by_side"
            nodes.append(
                helper.make_node("Transpose", ["side_by_side"], [apart], perm=(0, 3, 1, 2))
            )
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def digest(model: bytes) -> str:
    """SHA-256 of all that a model computes, but not of what it says of itself."""
    proto = onnx.load_model_from_string(model)
    return _digest(proto)


def structure_digest(model: bytes) -> str:
    """SHA-256 of all but the values of weights: engines of the same one differ in these alone."""
    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.data_type in _FLOATS:
            for field in ("raw_data", "float_data", "int32_data"):
                tensor.ClearField(field)
    return _digest(proto)


def _digest(proto: ModelProto) -> str:
    graph = proto.graph
    del proto.metadata_props[:]
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
    for value in graph.value_info:
        del value.metadata_props[:]
    for field in ("producer_name", "producer_version", "doc_string"):
        proto.ClearField(field)
    return hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
