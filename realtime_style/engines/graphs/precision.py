"""Networks for GPUs: one float type throughout, NV12 chroma, and digests as keys for caches."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

_TYPES = {"f16": (TensorProto.FLOAT16, np.float16), "f32": (TensorProto.FLOAT, np.float32)}
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def typed_model(model: bytes, precision: str) -> bytes:
    """Converts all floats of an ONNX model to one type, so that engines compute in it.

    A strongly typed TensorRT network, the only kind since TensorRT 11, computes in the types of
    its ONNX model. Style files store weights in float16 and cast them to float32. Here the weights
    are stored in the wanted type, and those casts are removed; float inputs get that type as well.
    The final rounding to integers is still right in float16, whose values between 128 and 255 are
    1/8 apart.

    Args:
        model: a serialised ONNX model.
        precision: "f16" or "f32".

    Returns:
        The serialised new model.
    """
    kind, dtype = _TYPES[precision]
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS:
            values = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in graph.input:
        if value.type.tensor_type.elem_type in _FLOATS:
            value.type.tensor_type.elem_type = kind
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


def outer_casts(model: bytes) -> bytes:
    """Moves casts to the inputs and outputs of an ONNX model, so that only they are uint8.

    Sharp generators move planes as bytes, which is faster on CPUs. TensorRT accepts uint8 only in
    casts. Call it before `typed_model`.

    Args:
        model: a serialised ONNX model from uint8 planes to uint8 planes.

    Returns:
        The serialised new model.
    """
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    source = {value.name: f"{value.name}.float" for value in graph.input}  # what to read instead
    nodes = [
        helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT)
        for name, wide in source.items()
    ]
    for node in graph.node:
        node.input[:] = [source.get(name, name) for name in node.input]
        if node.op_type == "Cast" and node.input[0] not in weights:
            source[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    for value in graph.output:
        wide = source.get(value.name, f"{value.name}.float")
        for node in nodes:
            node.output[:] = [wide if name == value.name else name for name in node.output]
        nodes.append(helper.make_node("Cast", [wide], [value.name], to=TensorProto.UINT8))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def nv12_model(model: bytes) -> bytes:
    """Changes an ONNX model's chroma, input and output, to the order of video hardware.

    The two transpositions are placed after the cast from uint8 and before the cast to uint8,
    because TensorRT accepts uint8 only in casts.

    Args:
        model: a serialised ONNX model with chroma as planes, (1, 2, H/2, W/2) uint8.

    Returns:
        The serialised new model, with interleaved chroma (NV12), (1, H/2, W/2, 2) uint8.
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
    """SHA-256, in hexadecimal, of a serialised model without its metadata: equal networks match."""
    proto = onnx.load_model_from_string(model)
    return _digest(proto)


def structure_digest(model: bytes) -> str:
    """SHA-256, in hexadecimal, of a serialised model without metadata and values of weights.

    An engine built for one model can be refitted with the weights of another that has the same
    structure digest.
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
