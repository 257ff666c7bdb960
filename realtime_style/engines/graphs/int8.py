"""A style's network in 8-bit integers, which CPUs multiply several times as fast as floats."""

from __future__ import annotations

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from realtime_style.engines.graphs.precision import typed_model
from realtime_style.errors import EngineError
from realtime_style.style.file_format import Ranges, ranges_in

_LEVELS = 255
_MOST = 127  # of a kernel's codes: symmetric, as int8 kernels are multiplied
_MIDDLE = 128  # what a plane's code is taken as the distance from
_PLANES = ("luma", "chroma")


def has_ranges(model: bytes) -> bool:
    """Whether `int8_model` takes an ONNX model."""
    try:
        return ranges_in(onnx.load_model_from_string(model)) is not None
    except (DecodeError, ValueError):  # no model: the engine says so
        return False


def int8_model(model: bytes) -> bytes:
    """The same ONNX model with every convolution on 8-bit integers (QDQ form).

    Kernels are rounded here, to 255 steps in each output channel; what flows between convolutions,
    to 255 steps of the ranges that the style was exported with (Jacob et al., CVPR 2018, eq. 1).
    Planes are 8-bit integers already, and are neither widened at the beginning nor at the end:
    rounding to the codes of a plane is a quantisation of its own.

    Raises:
        EngineError: the style has no ranges, or is of a network that this is not written for.
    """
    proto = onnx.load_model_from_string(typed_model(model, "f32"))
    ranges = ranges_in(proto)
    if ranges is None:
        raise EngineError(
            "this style does not say what int8 needs to know; export it again with --frames "
            "PHOTOS, or paint with --precision bf16 or f32"
        )
    try:
        _Rounded(proto, ranges).rewrite()
        onnx.checker.check_model(proto, full_check=True)
    except (KeyError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EngineError(
            "this style's network is not one that can be painted in int8; paint with --precision "
            "bf16 or f32"
        ) from error
    return bytes(proto.SerializeToString())


class _Rounded:
    """Rewrites a model in place, node by node."""

    def __init__(self, proto: ModelProto, ranges: Ranges) -> None:
        self._graph = proto.graph
        self._weights = {t.name: numpy_helper.to_array(t) for t in self._graph.initializer}
        self._maker = {output: node for node in self._graph.node for output in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        for node in self._graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._ranges = {
            self._unpadded(node): ranges[node.input[1].removesuffix(".weight")]
            for node in self._graph.node
            if node.op_type == "Conv" and node.input[1] != "stem.weight"
        }
        self._nodes: list[NodeProto] = []
        self._now: dict[str, str] = {}  # what a tensor is called instead

    def rewrite(self) -> None:
        """Puts the new nodes into the graph, and the tensors that they need."""
        for node in self._graph.node:
            node.input[:] = [self._now.get(name, name) for name in node.input]
            self._rewrite(node)
            for output in node.output:
                if output in self._ranges and output not in self._now:
                    self._round(output, *self._ranges[output])
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:], self._graph.node[:], self._graph.value_info[:]
        self._graph.initializer.extend(kept)
        self._graph.node.extend(self._nodes)

    def _rewrite(self, node: NodeProto) -> None:
        given, made = node.input[0], node.output[0]
        if node.op_type == "Cast" and given in _PLANES:
            self._now[made] = given  # bytes go on as bytes
        elif node.op_type == "Sub" and node.input[1] == "center":
            self._add("planes.scale", np.float32(1))
            self._add("planes.zero", np.array(_MIDDLE, np.uint8))
            self._put("DequantizeLinear", [given, "planes.scale", "planes.zero"], made)
        elif node.op_type == "Conv":
            self._round_kernel(node)
            self._nodes.append(node)
        elif node.op_type == "DepthToSpace" and (relu := self._relu_after(made)):
            # Where ReLU follows, codes begin at 0: rounded first, bytes are moved, and no ReLU is
            # left to be done
            self._round(given, 0.0, self._ranges[relu][1])
            self._nodes.pop()
            node.input[0], node.output[0] = f"{given}.codes", f"{relu}.codes"
            self._nodes.append(node)
            grid = [f"{given}.scale", f"{given}.zero"]
            self._put("DequantizeLinear", [f"{relu}.codes", *grid], f"{relu}.rounded")
            self._now |= {made: f"{relu}.rounded", relu: f"{relu}.rounded"}
        elif node.op_type == "Relu" and made in self._now:
            pass  # done already
        elif node.op_type in ("Round", "Clip") and self._ends(node.input[0]):
            self._now[made] = given
        elif node.op_type == "Cast" and made in {output.name for output in self._graph.output}:
            self._add("painted.scale", np.float32(1))
            self._add("painted.zero", np.array(0, np.uint8))
            self._put("QuantizeLinear", [given, "painted.scale", "painted.zero"], made)
        else:
            self._nodes.append(node)

    def _round(self, name: str, low: float, high: float) -> None:
        """From here on a tensor has 8 bits."""
        low, high = min(low, 0.0), max(high, 0.0)  # 0 is exact: it is what ReLU makes most
        scale = max(high - low, 1e-6) / _LEVELS
        self._add(f"{name}.scale", np.float32(scale))
        self._add(f"{name}.zero", np.array(round(-low / scale), np.uint8))
        grid = [f"{name}.scale", f"{name}.zero"]
        self._put("QuantizeLinear", [name, *grid], f"{name}.codes")
        self._put("DequantizeLinear", [f"{name}.codes", *grid], f"{name}.rounded")
        self._now[name] = f"{name}.rounded"

    def _round_kernel(self, node: NodeProto) -> None:
        name = node.input[1]
        kernel = self._weights[name]
        scale = np.maximum(np.abs(kernel).max((1, 2, 3)), 1e-9) / _MOST
        self._add(f"{name}.codes", _codes(kernel / scale[:, None, None, None]).astype(np.int8))
        self._add(f"{name}.scale", scale.astype(np.float32))
        self._add(f"{name}.zero", np.zeros(len(scale), np.int8))
        parts = [f"{name}.{part}" for part in ("codes", "scale", "zero")]
        self._put("DequantizeLinear", parts, f"{name}.rounded", axis=0)
        node.input[1] = f"{name}.rounded"
        if name == "stem.weight":  # it sees the distance from the middle, not from the centre
            moved = kernel.sum((2, 3)) @ (_MIDDLE - self._weights["center"].reshape(-1))
            if len(node.input) > 2:
                moved += self._weights[node.input[2]]
            self._add("stem.moved", moved.astype(np.float32))
            node.input[:] = [*node.input[:2], "stem.moved"]

    def _unpadded(self, node: NodeProto) -> str:
        name = node.input[0]
        while name in self._maker and self._maker[name].op_type == "Pad":
            name = self._maker[name].input[0]
        return name

    def _relu_after(self, name: str) -> str:
        """The output of the ReLU that alone uses a tensor, if it is one to be rounded."""
        users = self._users.get(name, [])
        if len(users) == 1 and users[0].op_type == "Relu" and users[0].output[0] in self._ranges:
            return users[0].output[0]
        return ""

    def _ends(self, name: str) -> bool:
        """Whether a tensor does nothing but become the codes of a plane, 0 to 255."""
        planes = {output.name for output in self._graph.output}
        for user in self._users.get(name, []):
            bounds = [self._weights[bound] for bound in user.input[1:]]
            if user.op_type == "Clip" and bounds != [0, 255]:
                return False
            if user.op_type == "Cast" and user.output[0] in planes:
                continue
            if user.op_type not in ("Round", "Clip") or not self._ends(user.output[0]):
                return False
        return True

    def _put(self, kind: str, inputs: list[str], output: str, axis: int | None = None) -> None:
        node = helper.make_node(kind, inputs, [output])
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._nodes.append(node)

    def _add(self, name: str, values: NDArray[np.generic] | np.generic) -> None:
        if name not in self._weights:
            self._weights[name] = np.asarray(values)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))


def _codes(kernel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Whole numbers near those of a kernel, -127 to 127; those of each window have its sum.

    Neighbours in a window see much the same values: what rounding adds to them must cancel out.
    Where their sum is off by n, the n that were rounded furthest that way go the other way (Guo et
    al., ICLR 2022, "SQuant-K").
    """
    windows = kernel.reshape(*kernel.shape[:2], -1)
    codes = np.round(windows)
    left = windows - codes
    off = np.round(left.sum(2, keepdims=True))
    towards = np.sign(off)
    rank = np.argsort(np.argsort(-towards * left, 2), 2)
    codes += np.where(rank < np.abs(off), towards, 0)
    return np.clip(codes, -_MOST, _MOST).reshape(kernel.shape)
