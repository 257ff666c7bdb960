"""A style: one ONNX model and its description."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from realtime_style.color import ColorSpace
from realtime_style.errors import StyleFileError
from realtime_style.style.file_format import CENTER, FLOAT_TYPES, Ranges, array_of, describe
from realtime_style.system.whole_file import whole_file

# The layers that make packed planes, which are added to the picture
_LAST_LAYERS = ("body.head", "recolor.last", "range.last")


@dataclass(frozen=True, slots=True)
class Style:
    """A style that was read from a file and checked, or made from such styles.

    Styles are compared by value and picklable. `model` must not be changed.

    Attributes:
        name: the style's name in reports; bundled styles are chosen by it.
        card: painting, painter, year and training settings; any key may be missing.
        color: colour space of the planes that `model` reads and writes.
        version: version of the package that made the file.
        model: the network as ONNX, from uint8 planes to uint8 planes; see `file_format`.
        ranges: input ranges of the convolutions, which int8 needs; None if they were not measured.
    """

    name: str
    card: dict[str, Any]
    color: ColorSpace
    version: str
    model: ModelProto = field(repr=False)
    ranges: Ranges | None = field(default=None, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the model, in hexadecimal; it covers the weights and the description."""
        return hashlib.sha256(self.model.SerializeToString(deterministic=True)).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all weights and biases, by name, in the order of `weights`."""
        return {tensor.name: tuple(tensor.dims) for tensor in self._tensors()}

    def wiring(self) -> list[tuple[str, list[str], list[bytes]]]:
        """(operator, inputs, attributes) of each node: equal for networks of one architecture.

        The names of values between nodes depend on how the file was exported, so they are replaced
        by the number of the node that makes them and of its output, such as "12.0".
        """
        positions: dict[str, str] = {}
        nodes = []
        for number, node in enumerate(self.model.graph.node):
            inputs = [positions.get(name, name) for name in node.input]
            attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
            nodes.append((node.op_type, inputs, attributes))
            positions |= {name: f"{number}.{i}" for i, name in enumerate(node.output)}
        return nodes

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """Copies of all weights and biases, float64, by name."""
        return {tensor.name: array_of(tensor).astype(np.float64) for tensor in self._tensors()}

    def _tensors(self) -> Iterator[TensorProto]:
        for tensor in self.model.graph.initializer:
            if tensor.data_type in FLOAT_TYPES and tensor.dims and tensor.name != CENTER:
                yield tensor

    def with_weights(
        self,
        weights: Mapping[str, NDArray[np.float64]],
        name: str,
        card: dict[str, Any],
        ranges: Ranges | None,
    ) -> Style:
        """A style with the same network and other weights.

        Args:
            weights: values by name, in the shapes of `shapes`. Weights that are not among them
                stay as they are.
            name: name of the new style.
            card: card of the new style.
            ranges: input ranges of the convolutions with the new weights; None if unknown.
        """
        model = ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                values = weights[tensor.name].astype(array_of(tensor).dtype)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        describe(model, name, card, self.color, self.version, ranges)
        return replace(self, name=name, card=card, model=model, ranges=ranges)

    def renamed(self, name: str) -> Style:
        """The same style under another name."""
        return self.with_weights({}, name, self.card, self.ranges)

    def save(self, out: Path) -> None:
        """Writes a style file. An existing file is replaced only once the new one is complete.

        Raises:
            StyleFileError: `out` cannot be written.
        """
        try:
            with whole_file(out) as partial:
                partial.write_bytes(self.model.SerializeToString())
        except OSError as error:
            raise StyleFileError(f"{out} cannot be written: {error.strerror}") from error

    def with_strength(self, amount: float) -> Style:
        """A style that changes pictures less, or more.

        All that the network adds to the picture is multiplied by a factor: the change of colours,
        the strokes, and the map to the painting's range. So 0 is the picture itself, and values
        between 0 and 1 lie between it and the painting. Above 1 only strokes become stronger:
        colours stay in the painting's range.

        Args:
            amount: the factor; 1 is the style as it is.
        """
        of_colors = min(1.0, amount)
        weights = {}
        for name, weight in self.weights().items():
            layer = name.removesuffix(".weight").removesuffix(".bias")
            if layer in _LAST_LAYERS:
                weights[name] = (amount if layer == "body.head" else of_colors) * weight
        # The centre, which is added at the end, is no change
        weights["range.last.bias"] += (1 - of_colors) * self._center()
        wider = max(1.0, amount)
        ranges = self.ranges and {n: (wider * a, wider * b) for n, (a, b) in self.ranges.items()}
        return self.with_weights(weights, self.name, self.card, ranges)

    def _center(self) -> NDArray[np.float64]:
        """The value of each packed plane, (6,), that the network calls 0."""
        (tensor,) = (each for each in self.model.graph.initializer if each.name == CENTER)
        return array_of(tensor).astype(np.float64).reshape(-1)

    def model_for(self, color: ColorSpace) -> bytes:
        """The style's serialised ONNX model, changed to read and write planes of a colour space.

        The map between two YUV colour spaces is affine, so it folds into the convolutions that read
        or make packed planes: four phases of luma, and chroma, at half size. The result is exact,
        except that each pixel's luma takes the chroma of its 2x2 block without smoothing.
        """
        if (color.matrix, color.range) == (self.color.matrix, self.color.range):
            return bytes(self.model.SerializeToString())
        model = ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        into, into_offset = _planes_map(color, self.color)
        back, back_offset = _planes_map(self.color, color)

        # Inside, packed planes are differences from a centre c, so only the matrices matter there:
        # A (x - c') = A x + a - c, where A x + a maps the film's planes to the model's, and c' is
        # the model's centre in the film's colour space
        center = np.linalg.inv(into) @ (self._center() - into_offset)
        _store(tensors[CENTER], center[:, None, None])
        for layer in ("body.stem", "recolor.first", "range.first"):
            weight = array_of(tensors[f"{layer}.weight"]).astype(np.float64)
            _store(tensors[f"{layer}.weight"], np.einsum("oiyx,ij->ojyx", weight, into))
        for layer in _LAST_LAYERS:
            weight = array_of(tensors[f"{layer}.weight"]).astype(np.float64)
            _store(tensors[f"{layer}.weight"], np.einsum("ij,jcyx->icyx", back, weight))
            if layer != "body.head":  # the means around strokes are subtracted, and so its bias
                bias = array_of(tensors[f"{layer}.bias"]).astype(np.float64)
                _store(tensors[f"{layer}.bias"], back @ bias)
        last = array_of(tensors["range.last.bias"]).astype(np.float64)
        _store(tensors["range.last.bias"], last + back_offset)  # planes again, not differences
        return bytes(model.SerializeToString())


def _planes_map(
    source: ColorSpace, target: ColorSpace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (6, 6) and offset (6,) that map half-size planes from `source` to `target`.

    The planes are four phases of luma, Cb and Cr, in 0..255.
    """
    from_rgb, offset = source.yuv_from_rgb()
    to, to_offset = target.yuv_from_rgb()
    matrix = to @ np.linalg.inv(from_rgb)
    shift = (to_offset - matrix @ offset) * 255
    mapped = np.zeros((6, 6))
    mapped[:4, :4] = np.eye(4) * matrix[0, 0]
    mapped[:4, 4:] = matrix[0, 1:]
    mapped[4:, 4:] = matrix[1:, 1:]  # chroma does not depend on luma: grey is grey in both
    return mapped, np.concatenate((np.repeat(shift[0], 4), shift[1:]))


def _store(tensor: TensorProto, values: NDArray[np.float64]) -> None:
    """Replaces a tensor's values; its type and its shape after the first axis are kept."""
    kept = array_of(tensor)
    values = values.reshape((-1, *kept.shape[1:])).astype(kept.dtype)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
