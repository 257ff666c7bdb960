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
from realtime_style.style.file_format import FLOAT_TYPES, Ranges, array_of, describe
from realtime_style.system.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class Style:
    """A style that was read from a file and checked, or made from such styles.

    Styles are compared by value and picklable. `model` must not be changed.

    Attributes:
        name: the style's name in reports; bundled styles are chosen by it.
        card: painting, painter, year and training settings; any key may be missing.
        size_multiple: 1..64; the luma width and height given to the model must be multiples of it.
        color: colour space of the planes that `model` reads and writes.
        version: version of the package that made the file.
        model: the network as ONNX, from uint8 planes to uint8 planes; see `file_format`.
        ranges: input ranges of the convolutions, which int8 needs; None if they were not measured.
    """

    name: str
    card: dict[str, Any]
    size_multiple: int
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
            if tensor.data_type in FLOAT_TYPES and tensor.dims and tensor.name != "center":
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
        describe(model, name, card, self.size_multiple, self.color, self.version, ranges)
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

    @property
    def reach_px(self) -> int:
        """The greatest distance, in luma pixels, between an input pixel and one that it affects."""
        graph = self.model.graph
        # For each value of the network: luma pixels per step, and its reach so far
        seen = {"luma": (1, 0), "chroma": (2, 0)}
        shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for node in graph.node:
            known = [seen[name] for name in node.input if name in seen]
            if not known:  # a weight that is only converted to another type
                shapes |= {out: shapes[i] for i, out in zip(node.input, node.output, strict=False)}
                continue
            scale, reach = max(s for s, _ in known), max(r for _, r in known)
            numbers = {a.name: a.i for a in node.attribute}
            lists = {a.name: list(a.ints) for a in node.attribute}
            if node.op_type == "Conv":
                kernel = shapes[node.input[1]][2:]
                dilations = lists.get("dilations") or [1, 1]
                spans = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
                reach += scale * max(spans)  # unpadded, so all of it may lie on one side
                scale *= max(lists.get("strides") or [1])
            elif node.op_type == "SpaceToDepth":
                reach += scale * (numbers["blocksize"] - 1)
                scale *= numbers["blocksize"]
            elif node.op_type == "DepthToSpace":
                scale //= numbers["blocksize"]
            seen |= dict.fromkeys(node.output, (scale, reach))
        return max(reach for _, reach in seen.values())

    def model_for(self, color: ColorSpace) -> bytes:
        """The style's serialised ONNX model, changed to read and write planes of a colour space.

        The map between two YUV colour spaces is affine, so it folds into the first and the last
        convolution, which see luma (four phases) and chroma together at half size. The result is
        exact, except that each pixel's luma takes the chroma of its 2x2 block without smoothing.
        """
        if (color.matrix, color.range) == (self.color.matrix, self.color.range):
            return bytes(self.model.SerializeToString())
        model = ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        into, into_offset = _planes_map(color, self.color)
        back, back_offset = _planes_map(self.color, color)
        center = (
            array_of(tensors["center"]).astype(np.float64).reshape(-1)
        )  # subtracted from the input

        # stem(A x + a - c) = stem'(x - c'), where A x + a maps the film's planes to the model's,
        # and c' is the model's centre c in the film's colour space
        _store(tensors["center"], (np.linalg.inv(into) @ (center - into_offset))[:, None, None])
        stem = array_of(tensors["stem.weight"]).astype(np.float64)
        _store(tensors["stem.weight"], np.einsum("oiyx,ij->ojyx", stem, into))
        head = array_of(tensors["head.weight"]).astype(np.float64)
        bias = array_of(tensors["head.bias"]).astype(np.float64)
        _store(tensors["head.weight"], np.einsum("ij,jcyx->icyx", back, head))
        _store(tensors["head.bias"], back @ bias + back_offset)
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
