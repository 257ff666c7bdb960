"""The network of a sharp generator for one size of picture and canvas, which is faster than any."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from realtime_style.style.file_format import CANVAS_PLANES, OUTPUT_PLANES, PICTURE_PLANES

_KEYS = -0.75  # slope of Keys' cubic kernel at a distance of 1; PyTorch and ONNX take this one


def model_of_size(model: bytes, size: tuple[int, int], canvas: tuple[int, int]) -> bytes:
    """The same network for pictures of one size.

    All sizes become fixed, which lets engines fuse more. Where the ratio of picture and canvas is a
    whole number, strokes are enlarged by a convolution at the canvas's size, which gives the packed
    planes of the picture. That equals the enlargement that it replaces, in a fifth of the time.

    Args:
        model: a serialised ONNX model with inputs for a canvas, in float32 or in int8.
        size: width and height of the pictures.
        canvas: width and height of the canvas.

    Returns:
        The serialised model.
    """
    proto = onnx.load_model_from_string(model)
    for values, planes, (width, height) in (
        (proto.graph.input, PICTURE_PLANES, size),
        (proto.graph.input, CANVAS_PLANES, canvas),
        (proto.graph.output, OUTPUT_PLANES, size),
    ):
        for value in values:
            if value.name in planes:
                dims = value.type.tensor_type.shape.dim
                halves = planes[value.name]  # two channels are half as large
                dims[2].dim_value, dims[3].dim_value = height // halves, width // halves
    ratio = size[0] // canvas[0]
    if size == (ratio * canvas[0], ratio * canvas[1]):
        _enlarge_by_convolution(proto, ratio)
    return bytes(proto.SerializeToString())


def _enlarge_by_convolution(proto: ModelProto, ratio: int) -> None:
    """Replaces the enlargement of strokes; a network without it stays as it is.

    It is Concat(SpaceToDepth(Resize(DepthToSpace(luma))), Resize(chroma)) of parts of the packed
    planes of strokes, and becomes DepthToSpace(Conv(around(planes))). At a ratio of 1 nothing is
    enlarged.
    """
    graph = proto.graph
    maker = {output: node for node in graph.node for output in node.output}
    for joined in graph.node:
        sources = [maker.get(name) for name in joined.input]
        kinds = [source.op_type if source else "" for source in sources]
        if joined.op_type != "Concat" or kinds != ["SpaceToDepth", "Resize"]:
            continue
        strokes = maker[maker[joined.input[1]].input[0]].input[0]
        if ratio > 1:
            _insert(graph, joined, _enlargement(strokes, ratio, joined.output[0]))
            graph.node.remove(joined)
        else:
            for node in graph.node:
                node.input[:] = [strokes if n == joined.output[0] else n for n in node.input]
        _remove_unused(proto)
        return


def _enlargement(strokes: str, ratio: int, large: str) -> list[NodeProto | TensorProto]:
    """Nodes and constants that enlarge the packed planes of strokes by a whole number.

    Luma is surrounded by its outermost values. Packed, both phases of a row or column outside have
    the value of the outermost phase.
    """
    made: list[NodeProto | TensorProto] = []
    inside = strokes
    for axis, ends in (
        (2, {"first": (0, 1, [0, 1, 0, 1, 4, 5]), "last": (-1, 2**31, [2, 3, 2, 3, 4, 5])}),
        (3, {"first": (0, 1, [0, 0, 2, 2, 4, 5]), "last": (-1, 2**31, [1, 1, 3, 3, 4, 5])}),
    ):
        outside = []
        for end, (start, stop, phases) in ends.items():
            name = f"{large}.{end}{axis}"
            values = {"start": [start], "stop": [stop], "axis": [axis], "phases": phases}
            made += [numpy_helper.from_array(np.array(v), f"{name}.{k}") for k, v in values.items()]
            bounds = [f"{name}.start", f"{name}.stop", f"{name}.axis"]
            made.append(helper.make_node("Slice", [inside, *bounds], [name]))
            outside.append(f"{name}.outside")
            made.append(helper.make_node("Gather", [name, f"{name}.phases"], [outside[-1]], axis=1))
        around = [outside[0], inside, outside[1]]
        inside = f"{large}.around{axis}"
        made.append(helper.make_node("Concat", around, [inside], axis=axis))
    weight, enlarged = f"{large}.weight", f"{large}.phases"
    return [
        *made,
        numpy_helper.from_array(strokes_kernel(ratio), weight),
        helper.make_node("Conv", [inside, weight], [enlarged]),
        helper.make_node("DepthToSpace", [enlarged], [large], blocksize=ratio, mode="CRD"),
    ]


def _insert(graph: GraphProto, before: NodeProto, made: list[NodeProto | TensorProto]) -> None:
    """Inserts nodes before a node of a graph, and adds constants to it."""
    at = next(i for i, node in enumerate(graph.node) if node.output[0] == before.output[0])
    for each in made:
        if isinstance(each, TensorProto):
            graph.initializer.append(each)
        else:
            graph.node.insert(at, each)
            at += 1


def _remove_unused(proto: ModelProto) -> None:
    """Removes nodes and tensors that nothing reads."""
    graph = proto.graph
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)


def strokes_kernel(ratio: int) -> NDArray[np.float32]:
    """The kernel that enlarges packed planes by a whole number: luma by cubic interpolation.

    It reads 3x3 values of each plane, which for luma are 6x6 pixels, with a margin of 1. Chroma is
    enlarged bilinearly.

    Returns:
        (6 * ratio * ratio, 6, 3, 3): for each packed plane, the values at the ratio x ratio
        positions that one position becomes.
    """
    kernel = np.zeros((6, ratio, ratio, 6, 3, 3), np.float32)
    cubic = _taps(2 * ratio, 2, 2, _cubic)
    # Axes: position and phase, down and across; then position and phase of what is read
    luma = np.einsum("yi,xj->yxij", cubic, cubic).reshape((ratio, 2, ratio, 2, 3, 2, 3, 2))
    kernel[:4, :, :, :4] = luma.transpose(1, 3, 0, 2, 5, 7, 4, 6).reshape(
        (4, ratio, ratio, 4, 3, 3)
    )
    linear = _taps(ratio, 1, 1, _linear)
    for plane in (4, 5):
        kernel[plane, :, :, plane] = np.einsum("yi,xj->yxij", linear, linear)
    return kernel.reshape((-1, 6, 3, 3))


def _taps(
    larger: int, smaller: int, margin: int, kernel: Callable[[float], float]
) -> NDArray[np.float64]:
    """Weights of enlargement along one axis, (larger, smaller + 2 * margin).

    Args:
        larger: values that a group becomes.
        smaller: values of a group.
        margin: how many values before it, and after it, are read as well.
        kernel: the weight of a value at a distance.
    """
    centers = (np.arange(larger) + 0.5) * smaller / larger - 0.5
    at = np.arange(-margin, smaller + margin)
    return np.array([[kernel(abs(center - each)) for each in at] for center in centers])


def _linear(distance: float) -> float:
    return max(0.0, 1 - distance)


def _cubic(distance: float) -> float:
    """Keys' kernel (IEEE TASSP 1981, eq. 4)."""
    d = distance
    if d < 1:
        return (_KEYS + 2) * d**3 - (_KEYS + 3) * d**2 + 1
    return _KEYS * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0
