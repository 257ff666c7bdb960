"""Networks in 8-bit integers, which CPUs multiply several times faster than floats."""

from __future__ import annotations

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from realtime_style.engines.graphs.precision import typed_model
from realtime_style.engines.graphs.rounding import RoundedKernel, round_color_maps, round_windows
from realtime_style.errors import EngineError
from realtime_style.style.file_format import CENTER, RANGELESS_WEIGHTS, Ranges, ranges_in
from realtime_style.system.cores import multiplies_integers

_LEVELS = 255  # steps between the lowest and the highest uint8 value
_MIDDLE = 128  # zero point of the planes


def has_ranges(model: bytes) -> bool:
    """Whether a serialised ONNX model carries the ranges that `int8_model` needs."""
    try:
        return ranges_in(onnx.load_model_from_string(model)) is not None
    except (DecodeError, ValueError):  # not a model, which the engine will report
        return False


def int8_model(model: bytes) -> bytes:
    """The same ONNX model with all convolutions in 8-bit integers, in QDQ form.

    Real values r are stored as integers q with r = scale * (q - zero) (Jacob et al., CVPR 2018,
    eq. 1). Kernels have one scale per output channel; inputs of convolutions have one scale each,
    from the ranges that were measured when the style was exported. The planes are 8-bit integers
    already and stay so: their rounding at the end is a quantisation with scale 1.

    Args:
        model: a serialised ONNX model of a style, from `Style.model_for`.

    Returns:
        The serialised int8 model, with the same inputs and outputs.

    Raises:
        EngineError: the style has no ranges, or its network has an unknown structure.
    """
    proto = onnx.load_model_from_string(typed_model(model, "f32"))
    ranges = ranges_in(proto)
    if ranges is None:
        raise EngineError(
            "this style has no measured ranges, which int8 needs; export it again with photos "
            "(frames), or paint in bf16 or f32",
            setting="precision",
        )
    try:
        with np.errstate(over="raise", invalid="raise"):
            _Quantizer(proto, ranges).rewrite()
        onnx.checker.check_model(proto, full_check=True)
    except (
        KeyError,  # a tensor or a range is missing
        FloatingPointError,  # weights are too large
        np.linalg.LinAlgError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise EngineError(
            "this style's network cannot be converted to int8; paint in bf16 or f32",
            setting="precision",
        ) from error
    return bytes(proto.SerializeToString())


def refuse_inexact_cpu() -> None:
    """Refuses int8 on CPUs that would paint visibly wrong in it.

    Without VNNI or AMX, x86 CPUs add products of 8-bit integers in 16 bits, where the sums
    saturate: 24.6 dB from f32 instead of 46.6.

    Raises:
        EngineError: this is an x86 CPU with neither VNNI nor AMX. Where this is not known, int8 is
            allowed.
    """
    if multiplies_integers() is False:
        raise EngineError(
            "this CPU has neither VNNI nor AMX, and int8 would paint visibly wrong on it; paint in "
            "bf16 or f32",
            setting="precision",
        )


class _Quantizer:
    """Rewrites a float32 model in place, node by node, into its int8 form."""

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
            if node.op_type == "Conv" and node.input[1] not in RANGELESS_WEIGHTS
        }
        self._color_maps = round_color_maps(self._weights)
        self._nodes: list[NodeProto] = []
        self._renamed: dict[str, str] = {}  # from replaced tensors to their replacements

    def rewrite(self) -> None:
        """Replaces the nodes of the graph, and removes the tensors that are no longer used."""
        for node in self._graph.node:
            node.input[:] = [self._renamed.get(name, name) for name in node.input]
            self._rewrite(node)
            for output in node.output:
                if output in self._ranges and output not in self._renamed:
                    self._round(output, *self._ranges[output])
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:], self._graph.node[:], self._graph.value_info[:]
        self._graph.initializer.extend(kept)
        self._graph.node.extend(self._nodes)

    def _rewrite(self, node: NodeProto) -> None:
        given, made = node.input[0], node.output[0]
        if node.op_type == "Cast" and self._goes_to(made) == TensorProto.FLOAT:
            self._renamed[made] = given  # planes stay uint8
        elif node.op_type == "Sub" and node.input[1] == CENTER:
            self._add("planes.scale", np.float32(1))
            self._add("planes.zero", np.array(_MIDDLE, np.uint8))
            self._put("DequantizeLinear", [given, "planes.scale", "planes.zero"], made)
        elif node.op_type == "Conv":
            self._round_kernel(node)
            self._nodes.append(node)
        elif node.op_type == "DepthToSpace" and (relu := self._relu_after(made)):
            # Quantised before the move, bytes are moved instead of floats. As 0 is the lowest
            # value that can be stored, quantising does the work of the ReLU as well
            self._round(given, 0.0, self._ranges[relu][1])
            self._nodes.pop()
            node.input[0], node.output[0] = f"{given}.codes", f"{relu}.codes"
            self._nodes.append(node)
            grid = [f"{given}.scale", f"{given}.zero"]
            self._put("DequantizeLinear", [f"{relu}.codes", *grid], f"{relu}.rounded")
            self._renamed |= {made: f"{relu}.rounded", relu: f"{relu}.rounded"}
        elif node.op_type == "Relu" and made in self._renamed:
            pass  # quantising has done the work of this ReLU
        elif node.op_type in ("Round", "Clip") and self._becomes_plane(node.input[0]):
            self._renamed[made] = given
        elif node.op_type == "Cast" and self._goes_to(made) == TensorProto.UINT8:
            self._add("painted.scale", np.float32(1))
            self._add("painted.zero", np.array(0, np.uint8))
            self._put("QuantizeLinear", [given, "painted.scale", "painted.zero"], made)
        else:
            self._nodes.append(node)

    def _round(self, name: str, low: float, high: float) -> None:
        """Quantises a tensor to uint8; nodes rewritten after this read the rounded values.

        Args:
            name: the tensor.
            low, high: the range of its values; values outside are clipped.
        """
        low, high = min(low, 0.0), max(high, 0.0)  # 0 must be exact, because ReLU gives many zeros
        scale = max(high - low, 1e-6) / _LEVELS
        self._add(f"{name}.scale", np.float32(scale))
        self._add(f"{name}.zero", np.array(round(-low / scale), np.uint8))
        grid = [f"{name}.scale", f"{name}.zero"]
        self._put("QuantizeLinear", [name, *grid], f"{name}.codes")
        self._put("DequantizeLinear", [f"{name}.codes", *grid], f"{name}.rounded")
        self._renamed[name] = f"{name}.rounded"

    def _round_kernel(self, node: NodeProto) -> None:
        """Quantises a convolution's kernel to int8, with one scale per output channel."""
        name = node.input[1]
        rounded = self._color_maps.get(name) or round_windows(self._weights[name])
        self._add(f"{name}.codes", rounded.codes)
        self._add(f"{name}.scale", rounded.scale)
        self._add(f"{name}.zero", np.zeros(len(rounded.scale), np.int8))
        parts = [f"{name}.{part}" for part in ("codes", "scale", "zero")]
        self._put("DequantizeLinear", parts, f"{name}.rounded", axis=0)
        bias = self._moved(name, rounded)
        if rounded.bias is not None:
            bias += rounded.bias
        elif len(node.input) > 2:
            bias += self._weights[node.input[2]]
        self._add(f"{name}.bias", bias.astype(np.float32))
        node.input[:] = [node.input[0], f"{name}.rounded", f"{name}.bias"]

    def _moved(self, name: str, rounded: RoundedKernel) -> NDArray[np.float64]:
        """What makes up for planes from which 128 is subtracted now, not the centre."""
        off = _MIDDLE - self._weights[CENTER].reshape(-1).astype(np.float64)
        if name in RANGELESS_WEIGHTS:
            moved: NDArray[np.float64] = rounded.kernel.sum((2, 3)) @ off
            return moved
        # The last layer of `recolor` is added to the planes
        return off if name == "recolor.last.weight" else np.zeros(len(rounded.scale))

    def _unpadded(self, node: NodeProto) -> str:
        """The name of a convolution's input before padding."""
        name = node.input[0]
        while name in self._maker and self._maker[name].op_type == "Pad":
            name = self._maker[name].input[0]
        return name

    def _goes_to(self, name: str) -> int:
        """The ONNX type to which a node casts its input; only planes are cast in a generator."""
        (to,) = (a.i for a in self._maker[name].attribute if a.name == "to")
        return int(to)

    def _relu_after(self, name: str) -> str:
        """The output of the only node that reads a tensor, if a ReLU to be quantised; else ""."""
        users = self._users.get(name, [])
        if len(users) == 1 and users[0].op_type == "Relu" and users[0].output[0] in self._ranges:
            return users[0].output[0]
        return ""

    def _becomes_plane(self, name: str) -> bool:
        """Whether all that is done with a tensor is rounding it and clipping it to an output."""
        for user in self._users.get(name, []):
            bounds = [self._weights[bound] for bound in user.input[1:]]
            if user.op_type == "Clip" and bounds != [0, 255]:
                return False
            if user.op_type == "Cast" and self._goes_to(user.output[0]) == TensorProto.UINT8:
                continue
            if user.op_type not in ("Round", "Clip") or not self._becomes_plane(user.output[0]):
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
