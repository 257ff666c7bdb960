"""Networks that reduce the picture to the canvas themselves, for pictures in GPU memory."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from realtime_style.style.file_format import CANVAS_PLANES, PICTURE_PLANES

REDUCTIONS = {
    "canvas_luma": ("luma_rows", "luma_columns"),
    "canvas_chroma": ("chroma_rows", "chroma_columns"),
}
"""For each plane of the canvas, the two matrices that `reducing_model` makes it with."""


def reducing_model(model: bytes) -> bytes:
    """Replaces the canvas, as input of an ONNX model, by matrices that reduce the picture to it.

    Reduction along an axis is linear, so the planes of the canvas are rows @ plane @ columns. The
    matrices depend only on the sizes of picture and canvas: they are set once, and then a picture
    in GPU memory never leaves it. Call it after `outer_casts`, and before `typed_model` and
    `nv12_model`.

    Args:
        model: a serialised ONNX model with uint8 inputs that only casts read.

    Returns:
        The serialised new model. In place of `canvas_luma` (1, 1, h, w) and `canvas_chroma`
        (1, 2, h/2, w/2), it has the float inputs of REDUCTIONS: for luma (h, H) and (W, w), for
        chroma (h/2, H/2) and (W/2, w/2); `reductions` computes them.
    """
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    inputs = {value.name: value for value in graph.input}
    others = [node for node in graph.node if not inputs.keys() & set(node.input)]
    casts = {node.input[0]: node for node in graph.node if inputs.keys() & set(node.input)}
    matrices, nodes = [], []
    for canvas, plane in zip(CANVAS_PLANES, PICTURE_PLANES, strict=True):
        rows, columns = REDUCTIONS[canvas]
        small, large = (
            [dim.dim_value or dim.dim_param for dim in inputs[name].type.tensor_type.shape.dim[2:]]
            for name in (canvas, plane)
        )
        for name, shape in ((rows, (small[0], large[0])), (columns, (large[1], small[1]))):
            matrices.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        nodes += [
            helper.make_node("MatMul", [rows, casts[plane].output[0]], [f"{canvas}.rows"]),
            helper.make_node("MatMul", [f"{canvas}.rows", columns], casts[canvas].output),
        ]
    del graph.input[:], graph.node[:]
    graph.input.extend([*(inputs[name] for name in PICTURE_PLANES), *matrices])
    graph.node.extend([*(casts[name] for name in PICTURE_PLANES), *nodes, *others])
    return bytes(proto.SerializeToString())


def reductions(size: tuple[int, int], canvas: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """The inputs of a `reducing_model` for pictures of a size, by name.

    Args:
        size: width and height of the pictures in pixels, both even.
        canvas: width and height of the canvas, both even.
    """
    matrices = {}
    for name, halves in CANVAS_PLANES.items():
        width, height = (side // halves for side in size)
        canvas_width, canvas_height = (side // halves for side in canvas)
        rows, columns = REDUCTIONS[name]
        matrices[rows] = reduction(height, canvas_height)
        matrices[columns] = np.ascontiguousarray(reduction(width, canvas_width).T)
    return matrices


def reduction(larger: int, smaller: int) -> NDArray[np.float32]:
    """The matrix that reduces an axis bilinearly without aliasing, (smaller, larger).

    Each new value is a mean, weighted by a triangle that is as wide as two new pixels, as in
    PyTorch's `interpolate` with `antialias`, with which styles are trained.
    """
    ratio = larger / smaller
    centers = (np.arange(smaller) + 0.5) * ratio
    apart = np.abs(np.arange(larger) + 0.5 - centers[:, None]) / ratio
    weights = np.maximum(0, 1 - apart)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)
