"""Converts the network that finds people, MediaPipe's selfie segmentation, from TFLite to ONNX.

    npm pack @mediapipe/selfie_segmentation@0.1.1675465747
    tar xzf mediapipe-selfie_segmentation-0.1.1675465747.tgz
    pip install tflite==2.18.0
    python -m export.person_mask package/selfie_segmentation_landscape.tflite \
        realtime_style/models/person_mask.onnx

The weights stay as they are, in float16. The network reads a picture of any shape, scaled to
256x144, (1, 144, 256, 3) uint8 RGB, and gives how much each pixel belongs to a person,
(1, 144, 256) uint8, from 0 to 255.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SOURCE = "@mediapipe/selfie_segmentation 0.1.1675465747, selfie_segmentation_landscape.tflite"
SHA256 = "4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894"

_OPSET, _IR_VERSION = 14, 8
_RELU = 1  # TFLite's code of a fused activation; 0 is none
_SAME = 0  # TFLite's code of a padding
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}  # TFLite's codes of tensors


class Conversion:
    """A graph of ONNX that grows by the operators of a graph of TFLite, in their order."""

    def __init__(self, tflite: Any, content: bytes) -> None:
        """Reads a network.

        Args:
            tflite: the package of that name, which parses the file.
            content: of the file.
        """
        self._tflite = tflite
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)
        self._constants: dict[int, NDArray[Any]] = {}  # outputs of operators that are constant
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        """The converted network, with the conversion from and to uint8 around it."""
        (given,), (found,) = self._graph.InputsAsNumpy(), self._graph.OutputsAsNumpy()
        self._add("Cast", ["picture"], "picture_f32", to=TensorProto.FLOAT)
        self._add("Div", ["picture_f32", self._weight(np.float32(255))], "picture_unit")
        self._add("Transpose", ["picture_unit"], _name(given), perm=[0, 3, 1, 2])
        names = {code: name for name, code in vars(self._tflite.BuiltinOperator).items()}
        for number in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(number)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            self._convert(names[max(code.DeprecatedBuiltinCode(), code.BuiltinCode())], operator)
        self._add("Squeeze", [_name(found), self._weight(np.array([1]))], "mask_unit")
        self._add("Mul", ["mask_unit", self._weight(np.float32(255))], "mask_f32")
        self._add("Round", ["mask_f32"], "mask_whole")
        self._add("Cast", ["mask_whole"], "mask", to=TensorProto.UINT8)
        sides = self._shape(given)[:3]
        graph = helper.make_graph(
            self._nodes,
            "person_mask",
            [helper.make_tensor_value_info("picture", TensorProto.UINT8, [*sides, 3])],
            [helper.make_tensor_value_info("mask", TensorProto.UINT8, sides)],
            self._weights,
        )
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION)
        model.producer_name = "realtime-style export.person_mask"
        about = {"source": SOURCE, "source_sha256": SHA256, "license": "Apache-2.0"}
        helper.set_model_props(model, about)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _convert(self, kind: str, operator: Any) -> None:
        converters: dict[str, Callable[[Any], None]] = {
            "DEQUANTIZE": self._dequantize,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise_conv,
            "CUSTOM": self._transposed_conv,
            "RESIZE_BILINEAR": self._resize,
            "HARD_SWISH": self._hard_swish,
            "MUL": lambda each: self._combine("Mul", self._tflite.MulOptions, each),
            "ADD": lambda each: self._combine("Add", self._tflite.AddOptions, each),
            "RELU": lambda each: self._plain("Relu", each),
            "LOGISTIC": lambda each: self._plain("Sigmoid", each),
            "MEAN": lambda each: self._plain("GlobalAveragePool", each),
        }
        if kind not in converters:
            raise ValueError(f"the network has an operator that is not known here, {kind}")
        converters[kind](operator)

    def _dequantize(self, operator: Any) -> None:
        """Weights that are stored in float16: they stay so."""
        (given,), (made,) = operator.InputsAsNumpy(), operator.OutputsAsNumpy()
        self._constants[made] = self._constant(given)

    def _conv(self, operator: Any) -> None:
        options = _options(self._tflite.Conv2DOptions, operator)
        kernel = self._constant(operator.Inputs(1)).transpose(0, 3, 1, 2)
        self._add_conv(operator, options, kernel, groups=1)

    def _depthwise_conv(self, operator: Any) -> None:
        options = _options(self._tflite.DepthwiseConv2DOptions, operator)
        kernel = self._constant(operator.Inputs(1)).transpose(3, 0, 1, 2)
        self._add_conv(operator, options, kernel, groups=len(kernel))

    def _add_conv(self, operator: Any, options: Any, kernel: NDArray[Any], *, groups: int) -> None:
        x, made = _name(operator.Inputs(0)), _name(operator.Outputs(0))
        bias = self._weight(self._constant(operator.Inputs(2)))
        self._add(
            "Conv", [x, self._weight(kernel), bias],
            self._before_activation(options, made),
            group=groups,
            kernel_shape=kernel.shape[2:],
            strides=[options.StrideH(), options.StrideW()],
            auto_pad="SAME_UPPER" if options.Padding() == _SAME else "VALID",
        )  # fmt: skip

    def _transposed_conv(self, operator: Any) -> None:
        """MediaPipe's own operator Convolution2DTransposeBias, here of 2x2 with steps of 2."""
        kernel = self._constant(operator.Inputs(1)).transpose(3, 0, 1, 2)
        bias = self._weight(self._constant(operator.Inputs(2)))
        x, made = _name(operator.Inputs(0)), _name(operator.Outputs(0))
        self._add(
            "ConvTranspose", [x, self._weight(kernel), bias], made,
            kernel_shape=[2, 2], strides=[2, 2],
        )  # fmt: skip

    def _resize(self, operator: Any) -> None:
        options = _options(self._tflite.ResizeBilinearOptions, operator)
        small, large = (self._shape(i) for i in (operator.Inputs(0), operator.Outputs(0)))
        if not options.HalfPixelCenters() or large[1:3] != [2 * side for side in small[1:3]]:
            raise ValueError("the network resizes in a way that is not known here")
        factors = self._weight(np.array([1, 1, 2, 2], np.float32))
        x, made = _name(operator.Inputs(0)), _name(operator.Outputs(0))
        self._add("Resize", [x, "", factors], made, mode="linear")

    def _hard_swish(self, operator: Any) -> None:
        """As x * HardSigmoid(x), which older runtimes know too."""
        x, made = _name(operator.Inputs(0)), _name(operator.Outputs(0))
        self._add("HardSigmoid", [x], f"{made}_share", alpha=1 / 6, beta=0.5)
        self._add("Mul", [x, f"{made}_share"], made)

    def _combine(self, kind: str, options_of: Any, operator: Any) -> None:
        options = _options(options_of, operator)
        inputs = [_name(i) for i in operator.InputsAsNumpy()]
        self._add(kind, inputs, self._before_activation(options, _name(operator.Outputs(0))))

    def _plain(self, kind: str, operator: Any) -> None:
        self._add(kind, [_name(operator.Inputs(0))], _name(operator.Outputs(0)))

    def _before_activation(self, options: Any, made: str) -> str:
        """The name to give an output, behind which `_add` puts its fused activation."""
        code = options.FusedActivationFunction()
        if code == 0:
            return made
        if code != _RELU:
            raise ValueError(f"the network has an activation that is not known here, {code}")
        return f"{made}_linear"

    def _add(self, kind: str, inputs: list[str], made: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [made], **attributes))
        if made.endswith("_linear"):
            self._nodes.append(helper.make_node("Relu", [made], [made.removesuffix("_linear")]))

    def _weight(self, values: Any) -> str:
        """The name of new weights in float32; those of float16 are stored so, and converted."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values).copy(order="C"), name))
        if np.asarray(values).dtype == np.float16:
            self._add("Cast", [name], f"{name}_f32", to=TensorProto.FLOAT)
            return f"{name}_f32"
        return name

    def _constant(self, number: int) -> NDArray[Any]:
        if number in self._constants:
            return self._constants[number]
        tensor = self._graph.Tensors(number)
        content = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(content, _TYPES[tensor.Type()]).reshape(self._shape(number))

    def _shape(self, number: int) -> list[int]:
        return [int(side) for side in self._graph.Tensors(number).ShapeAsNumpy()]


def _name(number: int) -> str:
    return f"t{number}"


def _options(kind: Any, operator: Any) -> Any:
    options, table = kind(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def main() -> None:
    """Converts the file named on the command line."""
    import tflite

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    content = arguments.source.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{arguments.source} is not the file of {SOURCE}")
    onnx.save(Conversion(tflite, content).model(), arguments.out)


if __name__ == "__main__":
    main()
