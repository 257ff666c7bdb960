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

FORMAT = 2
"""Version of the file format; raised whenever older readers could not paint with a newer file."""

METADATA_KEY = "realtime_style"
"""Key of the model's metadata entry that holds a style's description, as JSON."""

FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""ONNX element types that weights may have."""

PICTURE_PLANES = {"luma": 1, "chroma": 2}
"""Channels of the planes of the picture, uint8 inputs of (1, channels, height, width), by name."""

CANVAS_PLANES = {"canvas_luma": 1, "canvas_chroma": 2}
"""Further inputs, like PICTURE_PLANES: the planes of the picture, reduced to the canvas."""

OUTPUT_PLANES = {"painted_luma": 1, "painted_chroma": 2}
"""Channels of the planes of the painting, uint8 outputs of the picture's size, by name."""

CENTER = "body.center"
"""Name of the tensor that is subtracted from packed planes, so that 0 is a medium grey."""

FOLDED_TENSORS = (
    (CENTER, 3, 0, 6),
    ("body.stem.weight", 4, 1, 6),
    ("body.head.weight", 4, 0, 6),
    ("recolor.first.weight", 4, 1, 6),
    ("recolor.last.weight", 4, 0, 6),
    ("recolor.last.bias", 1, 0, 6),
    ("range.first.weight", 4, 1, 6),
    ("range.last.weight", 4, 0, 6),
    ("range.last.bias", 1, 0, 6),
)
"""Tensors that `Style.model_for` changes: name, number of axes, which axis has the packed planes
(four phases of luma, Cb, Cr), and the least size of that axis."""

RANGELESS_WEIGHTS = frozenset({"body.stem.weight", "recolor.first.weight"})
"""Weights of convolutions whose input range is not measured: they read planes, which are 0..255."""

Ranges = Mapping[str, tuple[float, float]]
"""The least and the greatest input value of each convolution, by the name of its weight without
`.weight`; measured on photos at export. Quantising the inputs to int8 needs them."""


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """The values of an ONNX tensor. Raises ValueError if they do not fit its shape or type."""
    return np.asarray(numpy_helper.to_array(tensor))


def describe(
    model: ModelProto,
    name: str,
    card: dict[str, Any],
    color: ColorSpace,
    version: str,
    ranges: Ranges | None = None,
) -> None:
    """Writes a style's metadata into its model, in place of older metadata.

    Call it last: the metadata holds a checksum of the weights.

    Args:
        model: changed in place.
        name: name of the style.
        card: facts such as title, painter and year; any keys, with values that JSON can hold.
        color: colour space of the planes that the model reads and writes.
        version: version of the package that made the style.
        ranges: see `Ranges`; stored with four decimals. None if they were not measured.
    """
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "version": version,
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
    """SHA-256, in hexadecimal, of all weights and of the metadata without its "sha256" entry."""
    described = {key: value for key, value in metadata.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for tensor in model.graph.initializer:
        found.update(f"{tensor.name} {list(tensor.dims)}".encode())
        found.update(array_of(tensor).tobytes())
    return found.hexdigest()


def read_ranges(metadata: dict[str, Any]) -> Ranges | None:
    """The input ranges of convolutions in a style's metadata; None if they were not measured.

    Args:
        metadata: untrusted; its entry "ranges" should map names to [least, greatest].

    Raises:
        AttributeError, TypeError: the entry is not a mapping, or a range is not a pair of numbers.
        ValueError: a range is not finite, or its ends are in the wrong order.
    """
    if "ranges" not in metadata:
        return None
    ranges = {str(n): (float(low), float(high)) for n, (low, high) in metadata["ranges"].items()}
    if not all(math.isfinite(low) and low <= high < math.inf for low, high in ranges.values()):
        raise ValueError("its ranges are not finite, or begin above their end")
    return ranges


def ranges_in(model: ModelProto) -> Ranges | None:
    """The input ranges of convolutions in a model's metadata; None if there are none.

    Args:
        model: of a style that was checked; raises the errors of `read_ranges` otherwise.
    """
    return read_ranges(json.loads(metadata_text(model) or "{}"))


def union_of_ranges(each: Iterable[Ranges | None]) -> Ranges | None:
    """For each convolution the smallest range that contains all the given ones.

    It also holds for every blend of the styles that the ranges are of. None if one of them is None.
    """
    found: dict[str, tuple[float, float]] = {}
    for ranges in each:
        if ranges is None:
            return None
        for name, (low, high) in ranges.items():
            least, greatest = found.get(name, (low, high))
            found[name] = (min(low, least), max(high, greatest))
    return found
