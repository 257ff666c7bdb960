"""The network of a sharp generator for one size of picture and canvas, which is faster than any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from realtime_style.style.file_format import CANVAS_PLANES, OUTPUT_PLANES, PICTURE_PLANES

_KEYS = -0.75  # slope of Keys' cubic kernel at a distance of 1; PyTorch and ONNX take this one


def model_of_size(model: bytes, size: tuple[int, int], canvas: tuple[int, int]) -> bytes:
    """The same network for pictures of one size.

    All sizes become fixed, which lets engines fuse more. Where the ratio of picture and canvas is a
    whole number, strokes are enlarged by convolutions at the canvas's size, which give the packed
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

    It is Concat(SpaceToDepth(Resize(DepthToSpace(luma))), Resize(chroma)), and becomes
    Concat(DepthToSpace(Conv(Pad(DepthToSpace(luma)))), DepthToSpace(Conv(Pad(chroma)))). At a ratio
    of 1 nothing is enlarged.
    """
    graph = proto.graph
    maker = {output: node for node in graph.node for output in node.output}
    for joined in graph.node:
        sources = [maker.get(name) for name in joined.input]
        kinds = [source.op_type if source else "" for source in sources]
        if joined.op_type != "Concat" or kinds != ["SpaceToDepth", "Resize"]:
            continue
        luma, chroma = (maker[name].input[0] for name in joined.input)
        luma = maker[luma].input[0]
        if ratio == 1:
            joined.input[0] = maker[luma].input[0]
            for resize in [node for node in graph.node if node.op_type == "Resize"]:
                if maker[resize.input[0]].op_type == "Slice":  # so not the means around strokes
                    _read_instead(graph.node, resize.output[0], resize.input[0])
        else:
            joined.input[0] = _enlarged(proto, joined, luma, "luma", luma_kernel(ratio), 2)
            joined.input[1] = _enlarged(proto, joined, chroma, "chroma", chroma_kernel(ratio), 1)
        _remove_unused(proto)
        return


def _read_instead(nodes: Iterable[NodeProto], name: str, other: str) -> None:
    for node in nodes:
        node.input[:] = [other if each == name else each for each in node.input]


def _enlarged(
    proto: ModelProto,
    before: NodeProto,
    plane: str,
    name: str,
    kernel: NDArray[np.float32],
    stride: int,
) -> str:
    """Inserts the nodes that enlarge a plane of strokes before a node; the name of the result."""
    graph = proto.graph
    name = f"enlarged_{name}"
    phases = kernel.shape[0] // (4 if stride == 2 else 2)
    margin = (kernel.shape[2] - stride) // 2
    margins = np.array([0, 0, margin, margin] * 2)
    graph.initializer.append(numpy_helper.from_array(margins, f"{name}.margins"))
    graph.initializer.append(numpy_helper.from_array(kernel, f"{name}.weight"))
    at = next(i for i, node in enumerate(graph.node) if node.output[0] == before.output[0])
    nodes = [
        helper.make_node("Pad", [plane, f"{name}.margins"], [f"{name}.pad"], mode="edge"),
        helper.make_node(
            "Conv", [f"{name}.pad", f"{name}.weight"], [f"{name}.phases"], strides=[stride, stride]
        ),
        helper.make_node(
            "DepthToSpace",
            [f"{name}.phases"],
            [name],
            blocksize=math.isqrt(phases),
            mode="CRD",
        ),
    ]
    for node in reversed(nodes):
        graph.node.insert(at, node)
    return name


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


def luma_kernel(ratio: int) -> NDArray[np.float32]:
    """The kernel that makes four phases of luma, enlarged by a whole number by cubic interpolation.

    It reads 6x6 values of luma, with a margin of 2 and steps of 2.

    Returns:
        (4 * ratio * ratio, 1, 6, 6): for each phase, the values at the ratio x ratio positions that
        two rows and two columns become.
    """
    taps = _taps(2 * ratio, 2, 2, _cubic)
    # Axes: position and phase, down and across; then the values that are read
    kernel = np.einsum("yi,xj->yxij", taps, taps).reshape(ratio, 2, ratio, 2, 6, 6)
    kernel = kernel.transpose(1, 3, 0, 2, 4, 5).reshape(-1, 1, 6, 6)
    return np.ascontiguousarray(kernel, np.float32)


def chroma_kernel(ratio: int) -> NDArray[np.float32]:
    """The kernel that enlarges Cb and Cr bilinearly by a whole number, with a margin of 1.

    Returns:
        (2 * ratio * ratio, 2, 3, 3): for each plane, the ratio x ratio values that one becomes.
    """
    taps = _taps(ratio, 1, 1, _linear)
    kernel = np.zeros((2, ratio, ratio, 2, 3, 3), np.float32)
    for plane in range(2):
        kernel[plane, :, :, plane] = np.einsum("yi,xj->yxij", taps, taps)
    return kernel.reshape(-1, 2, 3, 3)


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
