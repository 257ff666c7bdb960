"""Reads the layers of a generator from its ONNX graph, and refuses every other network.

The kernels compute exactly one network. So the whole wiring of a graph is compared with it: each
operator, its inputs and its attributes. Only kernels, channels, dilations and the number of
residual blocks may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from realtime_style.errors import EngineError
from realtime_style.style.file_format import CENTER

Floats = NDArray[np.float32]

_PLAIN: dict[str, Any] = {  # attributes that change nothing with these values
    "allowzero": 0,
    "antialias": 0,
    "auto_pad": b"NOTSET",
    "axis": 0,
    "ceil_mode": 0,
    "cubic_coeff_a": -0.75,
    "exclude_outside": 0,
    "extrapolation_value": 0.0,
    "group": 1,
    "keep_aspect_ratio_policy": b"stretch",
    "keepdims": 1,
    "nearest_mode": b"floor",
    "noop_with_empty_axes": 0,
    "saturate": 1,
    "start": 0,
}
# Of operators that read around; one without padding may count its values
_AROUND = _PLAIN | {"pads": [0, 0, 0, 0], "count_include_pad": 1, "dilations": [1, 1]}
_END = np.iinfo(np.int64).max
_MAX_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of a generator, float32.

    Attributes:
        weight: (out, in, kernel, kernel).
        bias: (out,).
        padding: how often the outermost values of its input are repeated on each side.
        dilation: distance between the values that it reads.
        stride: distance between the places at which it reads.
    """

    weight: Floats
    bias: Floats
    padding: int = 0
    dilation: int = 1
    stride: int = 1

    @property
    def kernel(self) -> int:
        """How many values it reads along an axis."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, slots=True)
class Generator:
    """The layers of a generator; see "The network" in docs/architecture.md.

    Attributes:
        center: what is subtracted from packed planes, (6,).
        stem, down, blocks, up, head: the convolutions of its body; of each block two.
        recolor, range: the three layers of its two maps of colours, which are 1x1 convolutions.
    """

    center: Floats
    stem: Convolution
    down: Convolution
    blocks: tuple[tuple[Convolution, Convolution], ...]
    up: Convolution
    head: Convolution
    recolor: tuple[Convolution, ...]
    range: tuple[Convolution, ...]


def read_generator(model: bytes) -> Generator:
    """Reads a generator from a serialised ONNX model, which is not run.

    Args:
        model: from `Style.model_for`, so already checked as an untrusted file.

    Raises:
        EngineError: it is not an ONNX model, or its network is not that of a generator.
    """
    try:
        return _Wiring(onnx.load_model_from_string(model)).generator()
    except (DecodeError, ValueError, KeyError, IndexError, StopIteration) as error:
        raise EngineError(
            "WebGPU cannot load this model: its network is wired differently from the generators "
            f"that its kernels compute ({error}); choose another engine"
        ) from error


class _Wiring:
    """A graph that is compared from its outputs back to its inputs. Raises ValueError."""

    def __init__(self, proto: ModelProto) -> None:
        graph = proto.graph
        self._makers = {name: node for node in graph.node for name in node.output}
        self._tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        if len(graph.output) != 2:
            raise ValueError(f"{len(graph.output)} outputs")

    def generator(self) -> Generator:
        four = self._of("painted_luma", "DepthToSpace", blocksize=2, mode=b"CRD")[0]
        luma, phases = self._of(four, "Gather", axis=1)
        chroma, colors = self._of("painted_chroma", "Gather", axis=1)
        self._expect(phases, [0, 1, 2, 3])
        self._expect(colors, [4, 5])
        self._same(luma, chroma)
        clipped, *bounds = self._of(self._of(luma, "Cast", to=TensorProto.UINT8)[0], "Clip")
        self._expect(bounds[0], 0)
        self._expect(bounds[1], 255)
        painted = self._of(clipped, "Round")[0]
        sums, ranged = self._of(painted, "Add")
        colored, strokes = self._of(sums, "Add")
        photo, recolored = self._of(colored, "Add")
        center = self._planes(photo, "luma", "chroma")
        edges = self._strokes(strokes)
        head, shuffled = self._convolution(edges, relu=True)
        self._unpadded(head)
        enlarged = self._of(shuffled, "DepthToSpace", blocksize=2, mode=b"CRD")[0]
        up, trunk = self._convolution(enlarged)
        stem, down, blocks = self._trunk(trunk)
        return Generator(
            center, stem, down, blocks, up, head,
            self._color_map(recolored, photo), self._color_map(ranged, sums),
        )  # fmt: skip

    def _trunk(
        self, name: str
    ) -> tuple[Convolution, Convolution, tuple[tuple[Convolution, Convolution], ...]]:
        """Stem, down and blocks of the body whose last value is `name`."""
        blocks: list[tuple[Convolution, Convolution]] = []
        while self._makers[name].op_type == "Add":
            before, added = self._of(name, "Add")
            second, between = self._convolution(added, relu=True)
            first, source = self._convolution(between)
            self._same(source, before)
            self._unpadded(second)
            if len(blocks) == _MAX_BLOCKS:
                raise ValueError(f"more than {_MAX_BLOCKS} blocks")
            blocks.insert(0, (first, second))
            name = before
        down, between = self._convolution(self._of(name, "Relu")[0], relu=True)
        stem, small = self._convolution(between)
        self._unpadded(down)
        self._planes(small, "canvas_luma", "canvas_chroma")
        return stem, down, tuple(blocks)

    def _strokes(self, name: str) -> str:
        """What the body painted, from which strokes are made by subtracting means around."""
        luma, chroma = self._of(name, "Concat", axis=1)
        enlarged = self._of(luma, "SpaceToDepth", blocksize=2)[0]
        plane = self._resized(enlarged, "luma", 1, b"cubic")
        four = self._of(plane, "DepthToSpace", blocksize=2, mode=b"CRD")[0]
        two = self._resized(chroma, "chroma", 2, b"linear")
        strokes = self._sliced(four, 0, 4)
        self._same(strokes, self._sliced(two, 4, _END))
        edges, around = self._of(strokes, "Sub")
        cells = self._resized(around, "canvas_chroma", 6, b"linear")
        for _ in range(2):
            cells = self._of(cells, "AveragePool", kernel_shape=[5, 5], strides=[1, 1])[0]
            cells, padding = self._unpad(cells)
            if padding != 2:
                raise ValueError(f"means with a padding of {padding}")
        *lights, colors = self._of(cells, "Concat", axis=1)
        if len(lights) != 4 or len(set(lights)) != 1:
            raise ValueError("phases of luma with different means")
        light, axes = self._of(lights[0], "ReduceMean")
        self._expect(axes, [1])
        means = self._sliced(light, 0, 4)
        self._same(means, self._sliced(colors, 4, _END))
        pooled = self._of(means, "AveragePool", kernel_shape=[4, 4], strides=[4, 4])[0]
        self._same(pooled, edges)
        return edges

    def _planes(self, name: str, luma: str, chroma: str) -> Floats:
        """Compares how planes are packed, and returns their centre, (6,)."""
        packed, center = self._of(name, "Sub")
        self._same(center, CENTER)
        joined = self._of(packed, "Cast", to=TensorProto.FLOAT)[0]
        phases, colors = self._of(joined, "Concat", axis=1)
        self._same(self._of(phases, "SpaceToDepth", blocksize=2)[0], luma)
        self._same(colors, chroma)
        return self._floats(CENTER, (6, 1, 1)).reshape(-1)

    def _color_map(self, name: str, source: str) -> tuple[Convolution, ...]:
        """The three layers of a map of colours that reads `source`."""
        last, between = self._convolution(name, relu=True)
        second, before = self._convolution(between, relu=True)
        first, found = self._convolution(before)
        self._same(found, source)
        layers = (first, second, last)
        inner = second.weight.shape[0]
        shapes = [(inner, 6), (inner, inner), (6, inner)]
        if [layer.weight.shape[:2] for layer in layers] != shapes:
            raise ValueError("a map of colours of another shape")
        for layer in layers:
            self._unpadded(layer)
            if layer.kernel != 1:
                raise ValueError("a map of colours that reads around")
        return layers

    def _convolution(self, name: str, relu: bool = False) -> tuple[Convolution, str]:
        """A convolution, and what it reads: before its padding, and before the ReLU if `relu`."""
        node = self._makers[name]
        given = self._attributes(node, _AROUND)
        kernel = list(given.pop("kernel_shape", [0]))
        stride, dilation = (given.pop(each, [1, 1]) for each in ("strides", "dilations"))
        if node.op_type != "Conv" or given or len(set(stride)) > 1 or len(set(dilation)) > 1:
            raise ValueError(f"{node.op_type} {given} in place of a convolution")
        source, weight_name, bias_name = node.input
        if weight_name in self._makers:
            weight_name = self._of(weight_name, "Cast", to=TensorProto.FLOAT)[0]
        weight = self._floats(weight_name)
        if weight.ndim != 4 or list(weight.shape[2:]) != kernel or kernel[0] != kernel[1]:
            raise ValueError(f"a kernel of {weight.shape}")
        padding = 0
        if source in self._makers and self._makers[source].op_type == "Pad":
            source, padding = self._unpad(source)
        if relu:
            source = self._of(source, "Relu")[0]
        bias = self._floats(bias_name, (len(weight),))
        return Convolution(weight, bias, padding, int(dilation[0]), int(stride[0])), source

    def _unpadded(self, layer: Convolution) -> None:
        if layer.padding:
            raise ValueError(f"a padding of {layer.padding} where there is none")

    def _unpad(self, name: str) -> tuple[str, int]:
        """What is padded, and by how much on each side, by repeating its outermost values."""
        source, pads = self._of(name, "Pad", mode=b"edge")
        sides = self._tensors[pads].tolist()
        if sides != [0, 0, sides[2], sides[2]] * 2 or sides[2] < 0:
            raise ValueError(f"a padding of {sides}")
        return source, int(sides[2])

    def _resized(self, name: str, like: str, channels: int, mode: bytes) -> str:
        """What is resized to the height and width of an input."""
        source, region, scales, sizes = self._of(
            name, "Resize", mode=mode, coordinate_transformation_mode=b"half_pixel"
        )
        self._same(region + scales, "")
        before, sides = self._of(sizes, "Concat")
        self._expect(before, [1, channels])
        for axis, side in zip((2, 3), self._of(sides, "Concat"), strict=True):
            self._same(self._of(side, "Shape", start=axis, end=axis + 1)[0], like)
        return source

    def _sliced(self, name: str, start: int, end: int) -> str:
        """What is sliced along the channels, from `start` to before `end`."""
        source, *bounds = self._of(name, "Slice")
        for found, expected in zip(bounds, (start, end, 1, 1), strict=True):
            self._expect(found, [expected])
        return source

    def _of(self, name: str, kind: str, **attributes: Any) -> list[str]:
        """The inputs of the node that makes a value; it must be of a kind, with attributes."""
        node = self._makers[name]
        around = _AROUND if kind == "AveragePool" else _PLAIN
        found = self._attributes(node, around)
        expected = self._unlike(attributes, around)
        if node.op_type != kind or found != expected or len(node.output) != 1:
            raise ValueError(f"{node.op_type} {found} in place of {kind} {expected}")
        return list(node.input)

    def _attributes(self, node: NodeProto, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of a node that change anything."""
        found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return self._unlike(found, plain)

    @staticmethod
    def _unlike(found: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in found.items() if k not in plain or v != plain[k]}

    def _floats(self, name: str, shape: tuple[int, ...] | None = None) -> Floats:
        found = self._tensors[name]
        if found.dtype not in (np.float16, np.float32) or shape not in (None, found.shape):
            raise ValueError(f"{name} of {found.shape}")
        return found.astype(np.float32)

    def _expect(self, name: str, values: Any) -> None:
        """Compares a constant, of a fixed type of numbers, with values."""
        if self._tensors[name].tolist() != values:
            raise ValueError(f"{self._tensors[name].tolist()} in place of {values}")

    def _same(self, found: str, expected: str) -> None:
        if found != expected:
            raise ValueError(f"'{found}' in place of '{expected}'")
