"""The style file format: an ONNX model with a fixed interface, and metadata that describes it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from realtime_style.color import ColorSpace

FORMAT = 1
"""Version of the file format; raised whenever older readers could not paint with a newer file."""

METADATA_KEY = "realtime_style"
"""Key of the model's metadata entry that holds a style's description, as JSON."""

FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""ONNX element types that weights may have."""

INPUT_PLANES = {"luma": 1, "chroma": 2}
"""Channels of each input, a uint8 tensor of shape (1, channels, height, width), by name."""

OUTPUT_PLANES = {"painted_luma": 1, "painted_chroma": 2}
"""Channels of each output, a uint8 tensor of shape (1, channels, height, width), by name."""

FOLDED_TENSORS = (
    ("center", 3, 0),
    ("stem.weight", 4, 1),
    ("head.weight", 4, 0),
    ("head.bias", 1, 0),
)
"""Tensors that `Style.model_for` changes: name, rank, and the axis of the six half-size planes."""

RANGELESS_WEIGHTS = frozenset({"stem.weight"})
"""Convolutions without measured input ranges: they read planes, whose range is 0..255."""

Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest input of each convolution, measured on photos, by the weight's name."""


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """The values of an ONNX tensor. Raises ValueError if they do not fit its shape or type."""
    return np.asarray(numpy_helper.to_array(tensor))


def describe(
    model: ModelProto,
    name: str,
    card: dict[str, Any],
    size_multiple: int,
    color: ColorSpace,
    version: str,
    ranges: Ranges | None = None,
) -> None:
    """Writes a style's metadata into its model, in place of older metadata.

    The weights must not change afterwards, because the metadata holds their checksum.

    Args:
        model: changed in place.
        name: name of the style.
        card: free-form facts, such as title, painter and year; must be JSON.
        size_multiple: luma width and height given to the model must be multiples of it.
        color: colour space of the planes that the model reads and writes.
        version: version of the package that made the style.
        ranges: see `Ranges`; rounded to four decimals.
    """
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "size_multiple": size_multiple,
        "color": {"matrix": color.matrix, "range": color.range},
        "card": card,
    }
    if ranges is not None:
        metadata["ranges"] = {n: [round(v, 4) for v in ends] for n, ends in ranges.items()}
    metadata["sha256"] = checksum(model, metadata)
    for number, entry in enumerate(model.metadata_props):
        if entry.key == METADATA_KEY:
            del model.metadata_props[number]
            break
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(metadata))


def metadata_text(model: ModelProto) -> str | None:
    """A model's style metadata as JSON text; None for models that are not styles."""
    return next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)


def checksum(model: ModelProto, metadata: dict[str, Any]) -> str:
    """SHA-256 of all weights and of the metadata, except for the checksum in it."""
    described = {key: value for key, value in metadata.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for tensor in model.graph.initializer:
        found.update(f"{tensor.name} {list(tensor.dims)}".encode())
        found.update(array_of(tensor).tobytes())
    return found.hexdigest()


def read_ranges(metadata: dict[str, Any]) -> Ranges | None:
    """The ranges in a style's metadata; None where they were not measured.

    Raises:
        AttributeError, TypeError, ValueError: the entry is malformed or not finite.
    """
    if "ranges" not in metadata:
        return None
    ranges = {str(n): (float(low), float(high)) for n, (low, high) in metadata["ranges"].items()}
    if not all(math.isfinite(low) and low <= high < math.inf for low, high in ranges.values()):
        raise ValueError("ranges that are not finite or not in order")
    return ranges


def ranges_in(model: ModelProto) -> Ranges | None:
    """The ranges that a checked style's model carries; None if it carries none."""
    return read_ranges(json.loads(metadata_text(model) or "{}"))


def union_of_ranges(each: Iterable[Ranges | None]) -> Ranges | None:
    """Ranges that contain all the given ones, and so those of any blend; None if one is None."""
    found: dict[str, tuple[float, float]] = {}
    for ranges in each:
        if ranges is None:
            return None
        for name, (low, high) in ranges.items():
            least, greatest = found.get(name, (low, high))
            found[name] = (min(low, least), max(high, greatest))
    return found
