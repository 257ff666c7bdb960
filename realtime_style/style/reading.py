"""Reads style files. They are untrusted input, and all checks of them are in this module.

A file is parsed and checked without running its network. Only then may an engine load it.
"""

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
from realtime_style.style.file_format import (
    CANVAS_PLANES,
    FLOAT_TYPES,
    FOLDED_TENSORS,
    FORMAT,
    OUTPUT_PLANES,
    PICTURE_PLANES,
    RANGELESS_WEIGHTS,
    array_of,
    checksum,
    metadata_text,
    read_ranges,
)
from realtime_style.style.style import Style
from realtime_style.wording import counted

_MAX_FILE_BYTES = 32 << 20
_MAX_CHANNELS = 2048
_MAX_NODES = 1000
_MAX_GROWTH = 64  # values in a tensor of the network, for each pixel of the picture
_MAX_ATTRIBUTE = 256  # far above any stride, padding, dilation or block size in use
# Heights and widths of picture and canvas for which all tensor sizes are computed
_CHECK_PX = (((128, 128), (64, 64)), ((64, 192), (64, 192)), ((320, 240), (64, 48)))
_OPSETS = range(13, 22)  # versions of operators that every engine runs, even in old releases
_MAX_IR_VERSION = 10

_OPERATORS = frozenset(
    [
        "Add",
        "AveragePool",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "DepthToSpace",
        "DequantizeLinear",
        "Gather",
        "Mul",
        "Pad",
        "QuantizeLinear",
        "ReduceMean",
        "Relu",
        "Resize",
        "Round",
        "Shape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Sub",
    ]
)


_BROKEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,  # JSON that is nested too deeply
    TypeError,
    ValueError,
)


def read_style(path: Path) -> Style:
    """Reads and checks a style file; an unchanged file is read only once.

    Raises:
        StyleFileError: the file is empty, too large, or not a usable style; the message begins
            with the path.
        OSError: the file does not exist or cannot be read.
    """
    about = path.stat()
    if not about.st_size:
        raise StyleFileError(f"{path} is empty; give a style file", setting="style")
    if about.st_size > _MAX_FILE_BYTES:
        raise StyleFileError(
            f"{path} has {about.st_size / 1e6:.0f} MB; a style has at most "
            f"{_MAX_FILE_BYTES / 1e6:.0f} MB",
            setting="style",
        )
    return _read(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=16)  # the live view opens the same files again at every key press
def _read(path: Path, mtime_ns: int, size_bytes: int) -> Style:
    try:
        return parse_style(path.read_bytes())
    except StyleFileError as error:
        raise StyleFileError(f"{path} is not a usable style: {error}", setting="style") from error


def parse_style(data: bytes) -> Style:
    """Checks the bytes of a style file and returns the style.

    Raises:
        StyleFileError: the bytes are not a style, are damaged, or hold a network that must not run;
            the message says why of "it", the file.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise StyleFileError("it is not an ONNX file") from error
    try:
        _check_version(model)
        description = metadata_text(model)
        _check_format(description)
        _check_nodes(model)
        _check_tensors(model)
        onnx.checker.check_model(model)
        _check_planes(model)
        _check_any_size(model)
        _check_folded_tensors(model)
        for picture, canvas in _CHECK_PX:
            _check_sizes(model, picture, canvas)
        _check_values(model)
    except onnx.checker.ValidationError as error:
        raise StyleFileError(f"ONNX finds it invalid: {_first_line(error)}") from error
    except onnx.shape_inference.InferenceError as error:
        raise StyleFileError(f"its sizes do not fit together: {_first_line(error)}") from error
    except (KeyError, TypeError, ValueError) as error:  # missing values, text that is not UTF-8
        raise StyleFileError(f"it is damaged: {error}") from error
    if description is None:
        raise StyleFileError("it is an ONNX model, but `realtime-style export` did not write it")
    return _described(model, description)


def _described(model: ModelProto, description: str) -> Style:
    """Checks the metadata of a checked model, and returns the style.

    Args:
        description: the metadata as JSON.
    """
    try:
        metadata = json.loads(description)
        style = Style(
            name=str(metadata["name"]),
            card=dict(metadata["card"]),
            color=ColorSpace(int(metadata["color"]["matrix"]), int(metadata["color"]["range"])),
            version=str(metadata["version"]),
            model=model,
            ranges=read_ranges(metadata),
        )
        style.color.yuv_from_rgb()  # raises for unknown matrices
        if style.color.range not in (LIMITED, FULL):
            raise ValueError(f"range {style.color.range}")
        _check_ranges(style)
        is_whole = metadata.get("sha256", "") in ("", checksum(model, metadata))
    except _BROKEN as error:
        raise StyleFileError(f"its description is broken: {error!r}") from error
    if not is_whole:  # styles that other programs write have no checksum
        raise StyleFileError("it is damaged: its checksum is wrong; download or make it again")
    return style


def _check_format(description: str | None) -> None:
    """Refuses files of other versions of the format, before anything in them is looked at.

    Args:
        description: the metadata as JSON, untrusted; None and broken ones are refused later.
    """
    try:
        found = json.loads(description or "{}").get("format", FORMAT)
    except _BROKEN:
        return
    if found == 1:  # networks that painted at the picture's own size
        raise StyleFileError(
            "it has format 1, of an earlier version of realtime-style; train it again with this one"
        )
    if found != FORMAT:
        raise StyleFileError(
            f"it has format {found}, this version reads {FORMAT}; "
            "upgrade with: pip install -U realtime-style"
        )


def _check_version(model: ModelProto) -> None:
    """Refuses versions of ONNX and of its operators that not every engine can run."""
    opsets = [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(opsets) != 1 or len(model.opset_import) != 1:
        raise StyleFileError("it needs other operators than those of one version of ONNX")
    if opsets[0].version not in _OPSETS:
        raise StyleFileError(
            f"it has ONNX operators of version {opsets[0].version}; all engines run versions "
            f"{_OPSETS[0]} to {_OPSETS[-1]}"
        )
    if model.ir_version > _MAX_IR_VERSION:
        raise StyleFileError(
            f"it is in version {model.ir_version} of the ONNX format; all engines read versions "
            f"up to {_MAX_IR_VERSION}"
        )


def _check_nodes(model: ModelProto) -> None:
    """Refuses operators, subgraphs and attributes that a generator does not need."""
    graph = model.graph
    if model.functions or graph.sparse_initializer:
        raise StyleFileError("it has functions or sparse tensors, which no style needs")
    if len(graph.node) > _MAX_NODES:
        raise StyleFileError(
            f"it has {counted(len(graph.node), 'node')}; a style has at most {_MAX_NODES}"
        )
    for node in graph.node:
        if node.domain or node.op_type not in _OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise StyleFileError(f"it uses the operator {name}, which no style needs")
        for attribute in node.attribute:
            if attribute.g.node or attribute.graphs or attribute.HasField("t"):
                raise StyleFileError(
                    f"its operator {node.op_type} carries a graph or a tensor, which no style needs"
                )
            if any(not 0 <= value <= _MAX_ATTRIBUTE for value in (attribute.i, *attribute.ints)):
                raise StyleFileError(
                    f"its operator {node.op_type} has {attribute.name} outside 0..{_MAX_ATTRIBUTE}"
                )


def _check_tensors(model: ModelProto) -> None:
    """Refuses tensors that point to other files or would take too much memory."""
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise StyleFileError(
                f"its tensor '{tensor.name}' points to another file, which no style needs"
            )
        if any(not 0 <= dim <= _MAX_CHANNELS for dim in tensor.dims):
            raise StyleFileError(
                f"its tensor '{tensor.name}' has the size {list(tensor.dims)}; a style has at most "
                f"{_MAX_CHANNELS} along each axis"
            )
        if tensor.data_type == TensorProto.INT64:  # paddings, and where slices begin and end
            for value in array_of(tensor).reshape(-1):
                if abs(int(value)) > _MAX_ATTRIBUTE and value != np.iinfo(np.int64).max:
                    raise StyleFileError(
                        f"its tensor '{tensor.name}' has the value {value}; a style has at most "
                        f"{_MAX_ATTRIBUTE}, above or below 0"
                    )


def _check_planes(model: ModelProto) -> None:
    """Refuses inputs and outputs whose names, types or channels are not those of a style."""
    graph = model.graph
    for side, expected, values in (
        ("inputs", PICTURE_PLANES | CANVAS_PLANES, graph.input),
        ("outputs", OUTPUT_PLANES, graph.output),
    ):
        found = {}
        for value in values:
            tensor = value.type.tensor_type
            dims = [dim.dim_value or None for dim in tensor.shape.dim]
            if tensor.elem_type == TensorProto.UINT8 and len(dims) == 4 and dims[0] == 1:
                found[value.name] = dims[1]
        if found != expected or len(values) != len(found):
            raise StyleFileError(
                f"its {side} are {[value.name for value in values]}; expected uint8 planes "
                + ", ".join(f"{name} (1, {c}, H, W)" for name, c in expected.items())
            )


def _check_any_size(model: ModelProto) -> None:
    """Refuses planes and inner tensors whose height or width is fixed."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.value_info):
        sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim][2:]
        if any(sides):
            raise StyleFileError(
                f"its tensor '{value.name}' has the fixed size {'x'.join(map(str, sides[::-1]))}; "
                "a style takes pictures of any size: export it with free heights and widths"
            )


def _check_folded_tensors(model: ModelProto) -> None:
    """Refuses models that lack the tensors of FOLDED_TENSORS, or have others of these names."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, rank, axis, planes in FOLDED_TENSORS:
        if name not in weights:
            raise StyleFileError(f"its tensor '{name}' is missing, which every style has")
        array = array_of(weights[name])
        fits = array.ndim == rank and (
            array.shape[axis] == planes if planes == 6 else array.shape[axis] >= planes
        )
        if not fits or array.dtype not in (np.float16, np.float32):
            raise StyleFileError(
                f"its tensor '{name}' has the size {list(array.shape)} and the type {array.dtype}; "
                f"expected {rank} axes, {planes} along axis {axis}, in float16 or float32"
            )


def _check_sizes(model: ModelProto, picture: tuple[int, int], canvas: tuple[int, int]) -> None:
    """Refuses networks whose tensors would be huge, judged by their sizes for a small picture.

    The sizes are inferred; the network is not run.

    Args:
        picture, canvas: their heights and widths in pixels.
    """
    sized = ModelProto()
    sized.CopyFrom(model)
    graph = sized.graph
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        sides = canvas if value.name in CANVAS_PLANES else picture
        for dim, side in zip(dims[2:], sides, strict=True):
            dim.dim_value = side // dims[1].dim_value  # two channels are half as large
    inferred = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    height, width = picture
    for value in inferred.value_info:
        dims = value.type.tensor_type.shape.dim
        sizes = [dim.dim_value for dim in dims]
        if not all(dim.HasField("dim_value") for dim in dims):
            raise StyleFileError(
                f"the size of its tensor '{value.name}' does not follow from those of its inputs"
            )
        if math.prod(sizes) > _MAX_GROWTH * height * width:
            raise StyleFileError(
                f"its tensor '{value.name}' grows to {sizes} from {width}x{height}, more than "
                f"{_MAX_GROWTH} values for each pixel"
            )


def _check_values(model: ModelProto) -> None:
    """Refuses weights that are NaN or infinite."""
    for tensor in model.graph.initializer:
        if tensor.data_type in FLOAT_TYPES and not np.isfinite(array_of(tensor)).all():
            raise StyleFileError(
                f"its tensor '{tensor.name}' has NaN or infinite values; export or train it again"
            )


def _check_ranges(style: Style) -> None:
    """Raises ValueError if the style has ranges, but not for all of its convolutions."""
    convolutions = {node.input[1] for node in style.model.graph.node if node.op_type == "Conv"}
    names = {name.removesuffix(".wide") for name in convolutions} - RANGELESS_WEIGHTS
    if style.ranges is not None and not names <= {f"{name}.weight" for name in style.ranges}:
        raise ValueError("its ranges belong to other convolutions")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
