"""Reads style files: every check of an untrusted file is here."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from realtime_style.color import FULL, LIMITED, ColorSpace
from realtime_style.errors import StyleFileError
from realtime_style.style.style import (
    _FLOAT_TYPES,
    _FLOATS,
    _FOLDED,
    _METADATA_KEY,
    _PLANES,
    _RANGELESS,
    FORMAT,
    Style,
    _array,
    _checksum,
    _read_ranges,
)

_MAX_FILE_BYTES = 32 << 20


_MAX_CHANNELS = 2048


_MAX_NODES = 1000


_MAX_GROWTH = 64  # values of an inner tensor for each value of luma


_MAX_ATTRIBUTE = 256  # no stride, padding, dilation or block of a painter's network comes near


_OPERATORS = frozenset(
    [
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "DepthToSpace",
        "DequantizeLinear",
        "Mul",
        "Pad",
        "QuantizeLinear",
        "Relu",
        "Round",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Sub",
    ]
)


@lru_cache(maxsize=16)  # a live look is mixed again at every key, of styles that it knows
def _read_style(path: Path, mtime_ns: int, size_bytes: int) -> Style:
    """The style in a file as it is at a time; StyleFileErrors name the file."""
    try:
        return parse_style(path.read_bytes())
    except StyleFileError as error:
        raise StyleFileError(f"{path} is not a usable style: {error}") from error


def parse_style(data: bytes) -> Style:
    """A style from the bytes of its file.

    Raises:
        StyleFileError: the bytes are not a style, or one that this version must not run.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise StyleFileError("it is not an ONNX file") from error
    try:
        _refuse_unsafe(model)
        onnx.checker.check_model(model)
        _check_planes(model)
        _check_sizes(model)
        _check_values(model)
        about = next((p.value for p in model.metadata_props if p.key == _METADATA_KEY), None)
    except onnx.checker.ValidationError as error:
        raise StyleFileError(f"ONNX finds it invalid: {_first_line(error)}") from error
    except onnx.shape_inference.InferenceError as error:
        raise StyleFileError(f"its sizes do not fit together: {_first_line(error)}") from error
    except (KeyError, TypeError, ValueError) as error:  # tensors of too few values, text not UTF-8
        raise StyleFileError(f"it is damaged: {error}") from error
    if about is None:
        raise StyleFileError("it is an ONNX model, but not one of `realtime-style export`")
    try:
        metadata = json.loads(about)
        if metadata["format"] != FORMAT:
            raise StyleFileError(
                f"it has format {metadata['format']}, this version reads {FORMAT}; "
                "upgrade with: pip install -U realtime-style"
            )
        style = Style(
            name=str(metadata["name"]),
            card=dict(metadata["card"]),
            size_multiple=int(metadata["size_multiple"]),
            color=ColorSpace(int(metadata["color"]["matrix"]), int(metadata["color"]["range"])),
            version=str(metadata["version"]),
            model=model,
            ranges=_read_ranges(metadata),
        )
        style.color.yuv_from_rgb()
        if style.color.range not in (LIMITED, FULL):
            raise ValueError(f"range {style.color.range}")
        _check_ranges(style)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise StyleFileError(f"what it says of itself is broken: {error!r}") from error
    except RecursionError as error:
        raise StyleFileError(f"what it says of itself is broken: {error!r}") from error
    if not 1 <= style.size_multiple <= 64:
        raise StyleFileError(f"size multiple {style.size_multiple} is not within 1..64")
    if metadata.get("sha256", "") not in ("", _checksum(model, metadata)):  # older ones have none
        raise StyleFileError("it is damaged: its checksum is wrong; fetch or make it again")
    return style


def _check_values(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type in _FLOAT_TYPES and not np.isfinite(_array(tensor)).all():
            raise StyleFileError(f"its tensor '{tensor.name}' has values that are no numbers")


def _check_ranges(style: Style) -> None:
    convolutions = {node.input[1] for node in style.model.graph.node if node.op_type == "Conv"}
    names = {name.removesuffix(".wide") for name in convolutions} - _RANGELESS
    if style.ranges is not None and not names <= {f"{name}.weight" for name in style.ranges}:
        raise ValueError("it has ranges of other convolutions")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _refuse_unsafe(model: ModelProto) -> None:
    graph = model.graph
    if model.functions or graph.sparse_initializer:
        raise StyleFileError("it has functions or sparse tensors, which no style needs")
    if len(graph.node) > _MAX_NODES:
        raise StyleFileError(f"it has {len(graph.node)} nodes; a style has at most {_MAX_NODES}")
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise StyleFileError(f"its tensor '{tensor.name}' points to another file")
        if any(not 0 <= dim <= _MAX_CHANNELS for dim in tensor.dims):
            raise StyleFileError(f"its tensor '{tensor.name}' has the size {list(tensor.dims)}")
        if tensor.data_type == TensorProto.INT64:  # paddings, and where slices begin and end
            for value in _array(tensor).reshape(-1):
                if abs(int(value)) > _MAX_ATTRIBUTE and value != np.iinfo(np.int64).max:
                    raise StyleFileError(f"its tensor '{tensor.name}' has the value {value}")
    for node in graph.node:
        if node.domain or node.op_type not in _OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise StyleFileError(f"it uses the operator {name}, which no style needs")
        for attribute in node.attribute:
            if attribute.g.node or attribute.graphs or attribute.HasField("t"):
                raise StyleFileError(f"its {node.op_type} carries a graph or a tensor")
            if any(not 0 <= value <= _MAX_ATTRIBUTE for value in (attribute.i, *attribute.ints)):
                raise StyleFileError(
                    f"its {node.op_type} has {attribute.name} out of 0..{_MAX_ATTRIBUTE}"
                )


def _check_planes(model: ModelProto) -> None:
    graph = model.graph
    for side, values in (("inputs", graph.input), ("outputs", graph.output)):
        found = {}
        for value in values:
            tensor = value.type.tensor_type
            dims = [dim.dim_value or None for dim in tensor.shape.dim]
            if tensor.elem_type == TensorProto.UINT8 and len(dims) == 4 and dims[0] == 1:
                found[value.name] = dims[1]
        if found != _PLANES[side] or len(values) != len(found):
            raise StyleFileError(
                f"its {side} are {[value.name for value in values]}; expected uint8 planes "
                + " and ".join(f"{name} (1, {c}, H, W)" for name, c in _PLANES[side].items())
            )
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for name, rank, axis in _FOLDED:
        array = _array(weights[name]) if name in weights else np.empty(())
        if array.ndim != rank or array.shape[axis] != 6 or array.dtype.name not in _FLOATS:
            raise StyleFileError(f"its tensor '{name}' is missing or odd: {list(array.shape)}")


def _check_sizes(model: ModelProto) -> None:
    """Follows a small picture's sizes through the network, without running it."""
    sized = ModelProto()
    sized.CopyFrom(model)
    graph = sized.graph
    side = 128
    for value in (*graph.input, *graph.output):
        channels = value.type.tensor_type.shape.dim[1].dim_value
        for dim in list(value.type.tensor_type.shape.dim)[2:]:
            dim.dim_value = side // channels
    inferred = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    for value in inferred.value_info:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if math.prod(sizes) > _MAX_GROWTH * side * side:
            raise StyleFileError(f"its tensor '{value.name}' grows to {sizes} from {side}x{side}")
