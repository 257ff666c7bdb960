"""A published network, run by other programs the way their users run it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Floats = NDArray[np.float32]
Peer = Callable[[Floats], Floats]
"""A picture, float32 (1, 3, H, W), painted."""


def fixed_model(network: str, width: int, height: int) -> onnx.ModelProto:
    """Sets the network's input size; published files state an arbitrary one."""
    model = onnx.load(network)
    weights = {tensor.name for tensor in model.graph.initializer}
    pictures = [value for value in model.graph.input if value.name not in weights]
    for value in (*pictures, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        dims[2].dim_value, dims[3].dim_value = height, width
    for node in model.graph.node:
        if node.op_type == "ConvTranspose":
            _let_grow(node)
    del model.graph.value_info[:]
    return model


def _let_grow(node: onnx.NodeProto) -> None:
    """Replaces a transposed convolution's fixed output size with equivalent padding."""
    about = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if "output_shape" not in about:
        return
    kept = [a for a in node.attribute if a.name not in ("output_shape", "auto_pad")]
    more = [
        (size - kernel) % stride
        for size, kernel, stride in zip(
            about["output_shape"], about["kernel_shape"], about["strides"], strict=True
        )
    ]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("output_padding", more)])


def _onnxruntime(model: onnx.ModelProto) -> Peer:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = _input(model)
    return lambda picture: np.asarray(session.run(None, {name: picture})[0])


def _openvino(model: onnx.ModelProto) -> Peer:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU")
    return lambda picture: np.asarray(compiled(picture)[0])


def _opencv(model: onnx.ModelProto) -> Peer:
    import cv2

    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))

    def paint(picture: Floats) -> Floats:
        net.setInput(picture)
        return np.asarray(net.forward())

    return paint


def _torch(model: onnx.ModelProto) -> Peer:
    return _torch_peer(model, compiled=False)


def _torch_compiled(model: onnx.ModelProto) -> Peer:
    return _torch_peer(model, compiled=True)


PEERS: dict[str, Callable[[onnx.ModelProto], Peer]] = {
    "ONNX Runtime": _onnxruntime,
    "OpenVINO": _openvino,
    "OpenCV DNN": _opencv,
    "PyTorch": _torch,
    "PyTorch, compiled": _torch_compiled,
}


def open_peer(kind: str, network: str, width: int, height: int) -> Peer:
    """Opens a published network for pictures of one size, in one of PEERS."""
    return PEERS[kind](fixed_model(network, width, height))


def _input(model: onnx.ModelProto) -> str:
    weights = {tensor.name for tensor in model.graph.initializer}
    return next(value.name for value in model.graph.input if value.name not in weights)


def _torch_peer(model: onnx.ModelProto, compiled: bool) -> Peer:
    """Runs the network's operators in order, as PyTorch functions."""
    import torch

    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
    }
    steps = [
        (_torch_operator(node), tuple(node.input), node.output[0]) for node in model.graph.node
    ]
    first, last = _input(model), model.graph.output[0].name

    def forward(picture: torch.Tensor) -> torch.Tensor:
        values = {**weights, first: picture}
        for operator, inputs, output in steps:
            values[output] = operator(*[values[name] for name in inputs])
        return values[last]

    network: Any = torch.compile(forward) if compiled else forward

    def paint(picture: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(picture)).numpy())

    return paint


def _torch_operator(node: onnx.NodeProto) -> Callable[..., Any]:
    import torch
    from torch.nn import functional

    about = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    match node.op_type:
        case "Add":
            return torch.add
        case "Mul":
            return torch.mul
        case "Relu":
            return functional.relu
        case "Tanh":
            return torch.tanh
        case "Pad":
            _, _, top, left, _, _, bottom, right = about["pads"]
            return partial(functional.pad, pad=[left, right, top, bottom], mode="reflect")
        case "Conv":
            padding = list(about.get("pads", (0, 0)))[:2]
            return partial(functional.conv2d, stride=list(about["strides"]), padding=padding)
        case "ConvTranspose":
            more = list(about.get("output_padding", (0, 0)))
            return partial(
                functional.conv_transpose2d, stride=list(about["strides"]), output_padding=more
            )
        case "InstanceNormalization":
            eps = about["epsilon"]
            return lambda x, scale, shift: functional.instance_norm(
                x, weight=scale, bias=shift, eps=eps
            )
        case "Slice":
            parts = {axis: slice(None) for axis in range(4)}
            for axis, start, end in zip(about["axes"], about["starts"], about["ends"], strict=True):
                parts[axis] = slice(start, end)
            return lambda x: x[tuple(parts.values())]
    raise ValueError(f"PyTorch has no operator for {node.op_type}")
