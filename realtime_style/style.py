"""A style: one ONNX file and what it says of itself."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from realtime_style.errors import StyleFileError
from realtime_style.frame import FULL, LIMITED, ColorSpace
from realtime_style.whole_file import whole_file

FORMAT = 1
"""The file format's version, raised when older readers could no longer paint with the file."""

_PACKAGE = Path(str(resources.files("realtime_style")))

STANDARD, FAST = TIERS = ("standard", "fast")
"""In which sizes of network the bundled styles come; the fast one takes half the time."""

_FOLDERS = {STANDARD: "", FAST: FAST}

PLAINS = {tier: _PACKAGE / "models" / folder / "plain.onnx" for tier, folder in _FOLDERS.items()}
"""A style of each tier that is none: of the same base as the others, it draws the film as it is."""

ENCODER = PLAINS[STANDARD].with_name("encoder.onnx")
"""What reads a code for the bank of bundled styles from a picture."""

Ranges = Mapping[str, tuple[float, float]]
"""From where to where the inputs of convolutions go on photos, by their names."""

_METADATA_KEY = "realtime_style"
_MAX_FILE_BYTES = 32 << 20
_MAX_CHANNELS = 2048
_MAX_NODES = 1000
_MAX_GROWTH = 64  # values of an inner tensor for each value of luma
_MAX_ATTRIBUTE = 256  # no stride, padding, dilation or block of a painter's network comes near
_OPERATORS = frozenset(
    [
        "Add",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "DepthToSpace",
        "DequantizeLinear",
        "Mul",
        "Pad",
        "QuantizeLinear",
        "Relu",
        "Round",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Sub",
    ]
)
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


def bundled_styles(tier: str = STANDARD) -> dict[str, Path]:
    """The styles of a tier that come with the package, by name."""
    folder = _PACKAGE / "styles" / _FOLDERS[tier]
    return {path.stem: path for path in sorted(folder.glob("*.onnx"))}


def open_style(name: str | Path, tier: str = STANDARD) -> Style:
    """A bundled style by its name, in one of TIERS, or a style file by its path.

    Raises:
        StyleFileError: no such style, or a file that is not one (it is never run to find out), or
            one whose network is not of the tier that is asked for.
    """
    bundled = bundled_styles(tier)
    path = bundled.get(str(name), Path(name))
    if not path.name:
        raise StyleFileError(
            f"'{name}' names no style: give a file, or one of {', '.join(bundled)}"
        )
    if not path.is_file() and path.suffix == ".onnx":
        raise StyleFileError(
            f"there is no file {path}; give a style file, or one of {', '.join(bundled)}"
        )
    if not path.is_file():
        beside = path.with_name(f"{path.name}.onnx")
        near = (
            [str(beside)] if beside.is_file() else difflib.get_close_matches(str(name), bundled, 1)
        )
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise StyleFileError(
            f"there is no style '{name}'{meant}: give a file, or one of {', '.join(bundled)}"
        )
    about = path.stat()
    if not about.st_size:
        raise StyleFileError(f"{path} is empty; give a style file")
    if about.st_size > _MAX_FILE_BYTES:
        raise StyleFileError(
            f"{path} has {about.st_size / 1e6:.0f} MB; a style has at most "
            f"{_MAX_FILE_BYTES / 1e6:.0f}"
        )
    style = _read_style(path, about.st_mtime_ns, about.st_size)
    if tier != STANDARD and style.shapes() != open_style(PLAINS[tier]).shapes():
        raise StyleFileError(
            f"{path} is not of the {tier} tier; give --tier {tier} the name of a style "
            f"({', '.join(bundled)}), or a file that style-from --tier {tier} has made"
        )
    return style


def tier_of(style: Style) -> str:
    """Which of TIERS a style's network is of; STANDARD for networks of their own too."""
    shapes = style.shapes()
    return next(
        (tier for tier, plain in PLAINS.items() if open_style(plain).shapes() == shapes), STANDARD
    )


@lru_cache(maxsize=16)  # a live look is mixed again at every key, of styles that it knows
def _read_style(path: Path, mtime_ns: int, size_bytes: int) -> Style:
    """The style in a file as it is at a time; StyleFileErrors name the file."""
    try:
        return parse_style(path.read_bytes())
    except StyleFileError as error:
        raise StyleFileError(f"{path} is not a usable style: {error}") from error


def parse_style(data: bytes) -> Style:
    """A style from the bytes of its file.

    Raises:
        StyleFileError: the bytes are not a style, or one that this version must not run.
    """
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise StyleFileError("it is not an ONNX file") from error
    try:
        _refuse_unsafe(model)
        onnx.checker.check_model(model)
        _check_planes(model)
        _check_sizes(model)
        _check_values(model)
        about = next((p.value for p in model.metadata_props if p.key == _METADATA_KEY), None)
    except onnx.checker.ValidationError as error:
        raise StyleFileError(f"ONNX finds it invalid: {_first_line(error)}") from error
    except onnx.shape_inference.InferenceError as error:
        raise StyleFileError(f"its sizes do not fit together: {_first_line(error)}") from error
    except (KeyError, TypeError, ValueError) as error:  # tensors of too few values, text not UTF-8
        raise StyleFileError(f"it is damaged: {error}") from error
    if about is None:
        raise StyleFileError("it is an ONNX model, but not one of `realtime-style export`")
    try:
        metadata = json.loads(about)
        if metadata["format"] != FORMAT:
            raise StyleFileError(
                f"it has format {metadata['format']}, this version reads {FORMAT}; "
                "upgrade with: pip install -U realtime-style"
            )
        style = Style(
            name=str(metadata["name"]),
            card=dict(metadata["card"]),
            size_multiple=int(metadata["size_multiple"]),
            color=ColorSpace(int(metadata["color"]["matrix"]), int(metadata["color"]["range"])),
            version=str(metadata["version"]),
            model=model,
            ranges=_read_ranges(metadata),
        )
        style.color.yuv_from_rgb()
        if style.color.range not in (LIMITED, FULL):
            raise ValueError(f"range {style.color.range}")
        _check_ranges(style)
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise StyleFileError(f"what it says of itself is broken: {error!r}") from error
    except RecursionError as error:
        raise StyleFileError(f"what it says of itself is broken: {error!r}") from error
    if not 1 <= style.size_multiple <= 64:
        raise StyleFileError(f"size multiple {style.size_multiple} is not within 1..64")
    if metadata.get("sha256", "") not in ("", _checksum(model, metadata)):  # older ones have none
        raise StyleFileError("it is damaged: its checksum is wrong; fetch or make it again")
    return style


def _check_values(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type in _FLOAT_TYPES and not np.isfinite(_array(tensor)).all():
            raise StyleFileError(f"its tensor '{tensor.name}' has values that are no numbers")


def _check_ranges(style: Style) -> None:
    convolutions = {node.input[1] for node in style.model.graph.node if node.op_type == "Conv"}
    names = {name.removesuffix(".wide") for name in convolutions} - _RANGELESS
    if style.ranges is not None and not names <= {f"{name}.weight" for name in style.ranges}:
        raise ValueError("it has ranges of other convolutions")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _refuse_unsafe(model: ModelProto) -> None:
    graph = model.graph
    if model.functions or graph.sparse_initializer:
        raise StyleFileError("it has functions or sparse tensors, which no style needs")
    if len(graph.node) > _MAX_NODES:
        raise StyleFileError(f"it has {len(graph.node)} nodes; a style has at most {_MAX_NODES}")
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise StyleFileError(f"its tensor '{tensor.name}' points to another file")
        if any(not 0 <= dim <= _MAX_CHANNELS for dim in tensor.dims):
            raise StyleFileError(f"its tensor '{tensor.name}' has the size {list(tensor.dims)}")
        if tensor.data_type == TensorProto.INT64:  # paddings, and where slices begin and end
            for value in _array(tensor).reshape(-1):
                if abs(int(value)) > _MAX_ATTRIBUTE and value != np.iinfo(np.int64).max:
                    raise StyleFileError(f"its tensor '{tensor.name}' has the value {value}")
    for node in graph.node:
        if node.domain or node.op_type not in _OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise StyleFileError(f"it uses the operator {name}, which no style needs")
        for attribute in node.attribute:
            if attribute.g.node or attribute.graphs or attribute.HasField("t"):
                raise StyleFileError(f"its {node.op_type} carries a graph or a tensor")
            if any(not 0 <= value <= _MAX_ATTRIBUTE for value in (attribute.i, *attribute.ints)):
                raise StyleFileError(
                    f"its {node.op_type} has {attribute.name} out of 0..{_MAX_ATTRIBUTE}"
                )


def _check_planes(model: ModelProto) -> None:
    graph = model.graph
    for side, values in (("inputs", graph.input), ("outputs", graph.output)):
        found = {}
        for value in values:
            tensor = value.type.tensor_type
            dims = [dim.dim_value or None for dim in tensor.shape.dim]
            if tensor.elem_type == TensorProto.UINT8 and len(dims) == 4 and dims[0] == 1:
                found[value.name] = dims[1]
        if found != _PLANES[side] or len(values) != len(found):
            raise StyleFileError(
                f"its {side} are {[value.name for value in values]}; expected uint8 planes "
                + " and ".join(f"{name} (1, {c}, H, W)" for name, c in _PLANES[side].items())
            )
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for name, rank, axis in _FOLDED:
        array = _array(weights[name]) if name in weights else np.empty(())
        if array.ndim != rank or array.shape[axis] != 6 or array.dtype.name not in _FLOATS:
            raise StyleFileError(f"its tensor '{name}' is missing or odd: {list(array.shape)}")


def _check_sizes(model: ModelProto) -> None:
    """Follows a small picture's sizes through the network, without running it."""
    sized = ModelProto()
    sized.CopyFrom(model)
    graph = sized.graph
    side = 128
    for value in (*graph.input, *graph.output):
        channels = value.type.tensor_type.shape.dim[1].dim_value
        for dim in list(value.type.tensor_type.shape.dim)[2:]:
            dim.dim_value = side // channels
    inferred = onnx.shape_inference.infer_shapes(sized, strict_mode=True, data_prop=True).graph
    for value in inferred.value_info:
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if math.prod(sizes) > _MAX_GROWTH * side * side:
            raise StyleFileError(f"its tensor '{value.name}' grows to {sizes} from {side}x{side}")
