"""A style: one ONNX file and what it says of itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from realtime_style.color import ColorSpace
from realtime_style.errors import StyleFileError
from realtime_style.system.whole_file import whole_file

FORMAT = 1
"""The file format's version, raised when older readers could no longer paint with the file."""


Ranges = Mapping[str, tuple[float, float]]
"""From where to where the inputs of convolutions go on photos, by their names."""

_METADATA_KEY = "realtime_style"
_FLOATS = ("float16", "float32")
_FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
_RANGELESS = {"stem.weight"}  # it sees planes, whose range is known
_FOLDED = (  # what `Style.model_for` changes: name, rank, the axis of the six planes
    ("center", 3, 0),
    ("stem.weight", 4, 1),
    ("head.weight", 4, 0),
    ("head.bias", 1, 0),
)
_PLANES = {  # name: channels, of a (1, channels, any, any) uint8 tensor
    "inputs": {"luma": 1, "chroma": 2},
    "outputs": {"painted_luma": 1, "painted_chroma": 2},
}


@dataclass(frozen=True, slots=True)
class Style:
    """A style read from a file and checked. `model` must not be changed.

    Attributes:
        name: what `--style` calls it.
        card: painting, painter, year and how it was trained; keys may be missing.
        size_multiple: luma sides given to the model must be multiples of it.
        color: the colour space the model was trained in.
        ranges: what painting in 8-bit integers needs to know; None where it was not measured.
    """

    name: str
    card: dict[str, Any]
    size_multiple: int
    color: ColorSpace
    version: str
    model: ModelProto = field(repr=False)
    ranges: Ranges | None = field(default=None, repr=False)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all kernels and offsets, by their names, as `weights` gives them."""
        return {tensor.name: tuple(tensor.dims) for tensor in self._tensors()}

    def wiring(self) -> list[tuple[str, list[str], list[bytes]]]:
        """Of every node the operator, the inputs and the settings: what makes two networks one.

        What flows between nodes is called by its place: its name hangs on how it was exported.
        """
        places: dict[str, str] = {}
        nodes = []
        for number, node in enumerate(self.model.graph.node):
            inputs = [places.get(name, name) for name in node.input]
            settings = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
            nodes.append((node.op_type, inputs, settings))
            places |= {name: f"{number}.{i}" for i, name in enumerate(node.output)}
        return nodes

    def weights(self) -> dict[str, NDArray[np.float64]]:
        """All kernels and offsets by their names."""
        return {tensor.name: _array(tensor).astype(np.float64) for tensor in self._tensors()}

    def _tensors(self) -> Iterator[TensorProto]:
        for tensor in self.model.graph.initializer:
            if tensor.data_type in _FLOAT_TYPES and tensor.dims and tensor.name != "center":
                yield tensor

    def with_weights(
        self,
        weights: Mapping[str, NDArray[np.float64]],
        name: str,
        card: dict[str, Any],
        ranges: Ranges | None,
    ) -> Style:
        """The same network with other weights, as `weights` gives them: another style."""
        model = ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                values = weights[tensor.name].astype(_array(tensor).dtype)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        describe(model, name, card, self.size_multiple, self.color, self.version, ranges)
        return replace(self, name=name, card=card, model=model, ranges=ranges)

    def renamed(self, name: str) -> Style:
        """The same style under another name."""
        return self.with_weights({}, name, self.card, self.ranges)

    def save(self, out: Path) -> None:
        """Writes a style file; it appears only when complete. Raises StyleFileError."""
        try:
            with whole_file(out) as partial:
                partial.write_bytes(self.model.SerializeToString())
        except OSError as error:
            raise StyleFileError(f"{out} cannot be written: {error.strerror}") from error

    @property
    def reach_px(self) -> int:
        """How far from a pixel the network looks, at most, in luma pixels (its receptive field)."""
        graph = self.model.graph
        seen = {"luma": (1, 0), "chroma": (2, 0)}  # scale and reach, in luma pixels
        shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        for node in graph.node:
            known = [seen[name] for name in node.input if name in seen]
            if not known:  # a weight on its way to its type
                shapes |= {out: shapes[i] for i, out in zip(node.input, node.output, strict=False)}
                continue
            scale, reach = max(s for s, _ in known), max(r for _, r in known)
            numbers = {a.name: a.i for a in node.attribute}
            lists = {a.name: list(a.ints) for a in node.attribute}
            if node.op_type == "Conv":
                kernel = shapes[node.input[1]][2:]
                dilations = lists.get("dilations") or [1, 1]
                spans = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
                reach += scale * max(spans)  # unpadded: all of it may lie on one side
                scale *= max(lists.get("strides") or [1])
            elif node.op_type == "SpaceToDepth":
                reach += scale * (numbers["blocksize"] - 1)
                scale *= numbers["blocksize"]
            elif node.op_type == "DepthToSpace":
                scale //= numbers["blocksize"]
            seen |= dict.fromkeys(node.output, (scale, reach))
        return max(reach for _, reach in seen.values())

    def model_for(self, color: ColorSpace) -> bytes:
        """The ONNX model, for planes of the given colour space.

        Between the matrices and ranges of YUV the way is affine, so it folds into the first and
        the last convolution, which see luma (four phases) and chroma together at half size:
        exact, but that a pixel's luma takes its chroma unsmoothed from the block it lies in.
        """
        if (color.matrix, color.range) == (self.color.matrix, self.color.range):
            return bytes(self.model.SerializeToString())
        model = ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        into, into_offset = _planes_map(color, self.color)
        back, back_offset = _planes_map(self.color, color)
        center = _array(tensors["center"]).astype(np.float64).reshape(-1)  # subtracted before stem

        # stem(A x + a - c) = stem'(x - c'), with c' the film's own codes of the model's centre
        _store(tensors["center"], (np.linalg.inv(into) @ (center - into_offset))[:, None, None])
        stem = _array(tensors["stem.weight"]).astype(np.float64)
        _store(tensors["stem.weight"], np.einsum("oiyx,ij->ojyx", stem, into))
        head = _array(tensors["head.weight"]).astype(np.float64)
        bias = _array(tensors["head.bias"]).astype(np.float64)
        _store(tensors["head.weight"], np.einsum("ij,jcyx->icyx", back, head))
        _store(tensors["head.bias"], back @ bias + back_offset)
        return bytes(model.SerializeToString())


def _planes_map(
    source: ColorSpace, target: ColorSpace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(6, 6) and (6,): planes of 0..255 at half size (four phases of luma, Cb, Cr), mapped."""
    from_rgb, offset = source.yuv_from_rgb()
    to, to_offset = target.yuv_from_rgb()
    matrix = to @ np.linalg.inv(from_rgb)
    shift = (to_offset - matrix @ offset) * 255
    mapped = np.zeros((6, 6))
    mapped[:4, :4] = np.eye(4) * matrix[0, 0]
    mapped[:4, 4:] = matrix[0, 1:]
    mapped[4:, 4:] = matrix[1:, 1:]  # luma has no part in chroma: grey is grey in all of them
    return mapped, np.concatenate((np.repeat(shift[0], 4), shift[1:]))


def _array(tensor: TensorProto) -> NDArray[Any]:
    return np.asarray(numpy_helper.to_array(tensor))


def _store(tensor: TensorProto, values: NDArray[np.float64]) -> None:
    kept = _array(tensor)
    tensor.CopyFrom(
        numpy_helper.from_array(
            values.reshape((-1, *kept.shape[1:])).astype(kept.dtype), tensor.name
        )
    )


def ranges_of_all(styles: Iterable[Style]) -> Ranges | None:
    """Ranges that hold those of all styles, and of what lies between; None if one has none."""
    found: dict[str, tuple[float, float]] = {}
    for style in styles:
        if style.ranges is None:
            return None
        for name, (low, high) in style.ranges.items():
            least, most = found.get(name, (low, high))
            found[name] = (min(low, least), max(high, most))
    return found


def ranges_of(model: ModelProto) -> Ranges | None:
    """The ranges that a style's model carries, if it does."""
    about = next((p.value for p in model.metadata_props if p.key == _METADATA_KEY), "{}")
    return _read_ranges(json.loads(about))


def _read_ranges(metadata: dict[str, Any]) -> Ranges | None:
    """Raises ValueError and the like for what is none."""
    if "ranges" not in metadata:
        return None
    ranges = {str(n): (float(low), float(high)) for n, (low, high) in metadata["ranges"].items()}
    if not all(math.isfinite(low) and low <= high < math.inf for low, high in ranges.values()):
        raise ValueError("ranges that are none")
    return ranges


def describe(
    model: ModelProto,
    name: str,
    card: dict[str, Any],
    size_multiple: int,
    color: ColorSpace,
    version: str,
    ranges: Ranges | None = None,
) -> None:
    """Makes a style of a model, by what it says of itself; weights may not change afterwards."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "size_multiple": size_multiple,
        "color": {"matrix": color.matrix, "range": color.range},
        "card": card,
    }
    if ranges is not None:
        value["ranges"] = {n: [round(v, 4) for v in ends] for n, ends in ranges.items()}
    value["sha256"] = _checksum(model, value)
    for number, entry in enumerate(model.metadata_props):
        if entry.key == _METADATA_KEY:
            del model.metadata_props[number]
            break
    model.metadata_props.add(key=_METADATA_KEY, value=json.dumps(value))


def _checksum(model: ModelProto, metadata: dict[str, Any]) -> str:
    """Of all weights, and of what the file says of itself, but for the checksum there."""
    said = {key: value for key, value in metadata.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for tensor in model.graph.initializer:
        found.update(f"{tensor.name} {list(tensor.dims)}".encode())
        found.update(_array(tensor).tobytes())
    return found.hexdigest()
