"""Networks for GPUs: one float type throughout, NV12 chroma, and digests to cache them by."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

_TYPES = {"f16": (TensorProto.FLOAT16, np.float16), "f32": (TensorProto.FLOAT, np.float32)}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def typed_model(model: bytes, precision: str) -> bytes:
    """The same ONNX model with all floats of one type.

    A strongly typed TensorRT network, the only kind since TensorRT 11, computes in the types of
    its ONNX model. Styles store their weights in float16 and cast them; here the weights are
    stored in the type that is computed in, and the casts are removed. The final rounding stays in
    the graph: float16 is exact to 1/8 in 128..255.

    Args:
        model: a serialised ONNX model.
        precision: "f16" or "f32".
    """
    kind, dtype = _TYPES[precision]
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    weights = {tensor.name for tensor in graph.initializer}
    kept, uncast = [], {}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            uncast[node.output[0]] = node.input[0]
            continue
        for i, name in enumerate(node.input):
            node.input[i] = uncast.get(name, name)
        for attribute in node.attribute if node.op_type == "Cast" else ():
            if attribute.name == "to" and attribute.i in _FLOATS:
                attribute.i = kind
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    return bytes(proto.SerializeToString())


def nv12_model(model: bytes) -> bytes:
    """The same ONNX model with interleaved chroma, (1, H/2, W/2, 2), as video hardware stores it.

    This holds for its input and its output. The transpositions are placed between the casts from
    and to uint8, because TensorRT accepts uint8 only in casts.

    Args:
        model: a serialised ONNX model with chroma as planes, (1, 2, H/2, W/2).
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
            planar = node.output[0]
            node.output[0] = "side_by_side"
            nodes.append(
                helper.make_node("Transpose", ["side_by_side"], [planar], perm=(0, 3, 1, 2))
            )
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def digest(model: bytes) -> str:
    """SHA-256, in hexadecimal, of a model's network, without its description."""
    proto = onnx.load_model_from_string(model)
    return _digest(proto)


def structure_digest(model: bytes) -> str:
    """SHA-256, in hexadecimal, of a model's network without the values of its weights.

    Engines of models with the same digest can be refitted with each other's weights.
    """
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
