"""Painting in 8-bit integers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from conftest import affine_style, painted_by, planes_of
from numpy.typing import NDArray
from PIL import Image

from realtime_style.color import FULL, SMPTE170M, ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.graphs.int8 import has_ranges, int8_model
from realtime_style.engines.opening import open_engine
from realtime_style.errors import EngineError, StyleFileError
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import TIERS, bundled_styles, open_style
from realtime_style.style.look import Look
from realtime_style.style.reading import parse_style
from realtime_style.style.style import Style
from realtime_style.system import cores

LEAST_DB = 34.0
LARGEST_GRID = 0.12  # codes
LARGEST_SHIFT = 0.2  # codes
ENGINES = ("openvino", "onnxruntime")


def photos() -> list[NDArray[np.uint8]]:
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    size = (384, 288)
    found = (data.astronaut(), data.coffee())
    return [np.asarray(Image.fromarray(rgb).resize(size)) for rgb in found]


def errors(
    style: Style, engine: str, color: ColorSpace | None = None
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The difference of int8 from f32 in luma and chroma, for each photo."""
    color = color or style.color
    model = style.model_for(color)
    exact, rounded = (open_engine(model, EngineChoice(engine, each)) for each in ("f32", "int8"))
    assert rounded.precision == "int8"
    found = []
    for rgb in photos():
        frame = frame_from_rgb(rgb, color)
        planes = []
        for each in (exact, rounded):
            painted = painted_by(each, planes_of(frame))
            planes.append([plane.astype(float) for plane in painted])
        found.append((planes[1][0] - planes[0][0], planes[1][1] - planes[0][1]))
    return found


class Rounding(NamedTuple):
    """What int8 changes, compared with f32, over all photos.

    Attributes:
        psnr_db: of all planes.
        grid: standard deviation of luma's mean error over the 16 positions in 4x4 pixels, in codes.
        shift: luma's mean error, in codes.
    """

    psnr_db: float
    grid: float
    shift: float


def rounding(style: Style, engine: str = "openvino", color: ColorSpace | None = None) -> Rounding:
    found = errors(style, engine, color)
    values = np.concatenate([plane.ravel() for planes in found for plane in planes])
    tiles = [luma.reshape(-1, 4, luma.shape[3] // 4, 4).mean((0, 2)) for luma, _ in found]
    means = np.mean(tiles, 0)
    psnr_db = 10 * np.log10(255**2 / np.square(values).mean())
    return Rounding(float(psnr_db), float(means.std()), float(means.mean()))


exact_integers = pytest.mark.skipif(
    cores.multiplies_integers() is False, reason="this CPU has neither VNNI nor AMX"
)


@exact_integers
@pytest.mark.parametrize(
    ("name", "tier"), [(name, tier) for tier in TIERS for name in bundled_styles(tier)]
)
def test_int8_paints_nearly_the_same_as_f32_without_a_grid(name: str, tier: str) -> None:
    found = rounding(open_style(name, tier))
    assert found.psnr_db > LEAST_DB
    assert found.grid < LARGEST_GRID
    assert abs(found.shift) < LARGEST_SHIFT


@exact_integers
def test_onnx_runtime_paints_nearly_the_same_in_int8() -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    found = rounding(open_style("starry-night"), "onnxruntime")
    assert found.psnr_db > LEAST_DB
    assert found.grid < LARGEST_GRID


@exact_integers
@pytest.mark.parametrize(
    "look",
    [
        Look("starry-night", blend={"mondrian": 0.5}),
        Look("great-wave", strength=0.3),
        Look("udnie", strength=0),
        Look("starry-night", strength=1.5),
        Look("udnie", strength=1.5, tier="fast"),
        Look("the-scream", variation=7),
    ],
    ids=str,
)
def test_blends_and_strengths_are_painted_in_int8(look: Look) -> None:
    found = rounding(look.mixed())
    assert found.psnr_db > LEAST_DB
    assert found.grid < LARGEST_GRID


@exact_integers
@pytest.mark.parametrize("name", ["starry-night", "udnie"])
def test_other_colour_spaces_are_painted_in_int8(name: str) -> None:
    found = rounding(open_style(name), color=ColorSpace(SMPTE170M, FULL))
    assert found.psnr_db > LEAST_DB
    assert found.grid < LARGEST_GRID


def test_every_convolution_multiplies_integers() -> None:
    style = open_style("starry-night")
    graph = onnx.load_model_from_string(int8_model(style.model_for(style.color))).graph
    onnx.checker.check_model(onnx.load_model_from_string(int8_model(style.model_for(style.color))))
    maker = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 18
    for node in convolutions:
        given = maker[node.input[0]]
        while given.op_type == "Pad":
            given = maker[given.input[0]]
        assert given.op_type == maker[node.input[1]].op_type == "DequantizeLinear"
    assert not {"Round", "Clip"} & {node.op_type for node in graph.node}
    kernels = {t.name: t for t in graph.initializer if t.data_type == onnx.TensorProto.INT8}
    assert sum(name.endswith(".weight.codes") for name in kernels) == 18


@pytest.mark.parametrize("tier", TIERS)
def test_where_relu_follows_codes_are_enlarged_instead_of_floats(tier: str) -> None:
    style = open_style("starry-night", tier)
    before = onnx.load_model_from_string(style.model_for(style.color)).graph
    after = onnx.load_model_from_string(int8_model(style.model_for(style.color))).graph
    enlarged = next(n for n in before.node if n.op_type == "DepthToSpace").output[0]
    assert [n.op_type for n in before.node if enlarged in n.input] == ["Relu"]
    maker = {output: node for node in after.node for output in node.output}
    first = next(n for n in after.node if n.op_type == "DepthToSpace")
    assert maker[first.input[0]].op_type == "QuantizeLinear"
    assert [n.op_type for n in after.node if first.output[0] in n.input] == ["DequantizeLinear"]
    relus = [sum(n.op_type == "Relu" for n in graph.node) for graph in (before, after)]
    assert relus[0] - relus[1] == 1
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in after.initializer}
    assert values[maker[first.input[0]].input[2]] == 0  # so that quantising clips below 0


def test_zero_is_exact_whatever_the_ranges() -> None:
    style = open_style("starry-night")
    assert style.ranges
    zeros = {}
    for low, high in ((10.0, 20.0), (-20.0, -10.0), (-10.0, 10.0)):
        ranges = dict.fromkeys(style.ranges, (low, high))
        model = style.with_weights({}, "other", {}, ranges).model.SerializeToString()
        graph = onnx.load_model_from_string(int8_model(model)).graph
        nodes = [n for n in graph.node if n.op_type == "QuantizeLinear"]
        values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        found = [int(values[node.input[2]]) for node in nodes]
        zeros[low] = {zero for zero in found if zero}  # 0: after ReLU, and the painted planes
        scales = {float(values[node.input[1]]) for node in nodes} - {1.0}
        assert max(scales) == pytest.approx((max(high, 0) - min(low, 0)) / 255)
    assert zeros == {10.0: set(), -20.0: {255}, -10.0: {128}}


def test_other_limits_than_those_of_a_plane_stay() -> None:
    style = open_style("starry-night")
    proto = onnx.load_model_from_string(style.model_for(style.color))
    (limit,) = {n.input[2] for n in proto.graph.node if n.op_type == "Clip"}
    for tensor in proto.graph.initializer:
        if tensor.name == limit:
            value = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full_like(value, 200), limit))
    graph = onnx.load_model_from_string(int8_model(proto.SerializeToString())).graph
    assert sum(node.op_type == "Clip" for node in graph.node) >= 1


@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_weights_that_are_too_large_to_be_rounded_are_refused(kind: str) -> None:
    style = open_style("starry-night", "fast")
    proto = onnx.load_model_from_string(style.model_for(style.color))
    for tensor in proto.graph.initializer:
        if tensor.name.startswith(("recolor.", "range.")) and tensor.name.endswith(kind):
            values = np.full(tensor.dims, 3e38, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(EngineError, match="cannot be converted to int8; paint in bf16") as caught:
        int8_model(proto.SerializeToString())
    assert caught.value.setting == "precision"


@exact_integers
@pytest.mark.parametrize("engine", ENGINES)
def test_a_style_without_ranges_is_refused_in_int8_and_auto_uses_floats(engine: str) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    style = parse_style(affine_style())
    model = style.model_for(style.color)
    assert not has_ranges(model)
    with pytest.raises(EngineError, match="export it again with photos"):
        open_engine(model, EngineChoice(engine, "int8"))
    assert open_engine(model, EngineChoice(engine)).precision in ("f32", "bf16")


def test_auto_chooses_int8_only_where_the_cpu_is_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from realtime_style.engines import openvino_engine

    style = open_style("starry-night")
    model = style.model_for(style.color)
    for has, precisions in ((True, {"int8"}), (False, {"bf16", "f32"})):
        monkeypatch.setattr(openvino_engine, "multiplies_integers", lambda has=has: has)
        assert open_engine(model, EngineChoice("openvino")).precision in precisions


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("flags", "paints"),
    [(("avx2", "avx512f"), False), (("avx2", "avx_vnni"), True), (("amx_int8",), True)],
    ids=["no VNNI", "VNNI", "AMX"],
)
def test_int8_is_refused_by_name_on_a_cpu_that_would_paint_wrong(
    monkeypatch: pytest.MonkeyPatch, engine: str, flags: tuple[str, ...], paints: bool
) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    monkeypatch.setattr(cores, "cpu_name_and_flags", lambda: ("A CPU", flags))
    style = open_style("starry-night", "fast")
    model, choice = style.model_for(style.color), EngineChoice(engine, "int8")
    if paints:
        assert open_engine(model, choice).precision == "int8"
        return
    with pytest.raises(
        EngineError, match=r"neither VNNI nor AMX.*; paint in bf16 or f32"
    ) as caught:
        open_engine(model, choice)
    assert caught.value.setting == "precision"
    assert "\n" not in str(caught.value)


def broken(change: Callable[[dict[str, object]], object]) -> bytes:
    proto = onnx.load(bundled_styles()["starry-night"])
    entry = proto.metadata_props[0]
    about = json.loads(entry.value)
    del about["sha256"]
    change(about)
    entry.value = json.dumps(about)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(ranges=7),
        lambda about: about.update(ranges={}),
        lambda about: about["ranges"].pop("body.up"),
        lambda about: about["ranges"].update({"body.up": [1]}),
        lambda about: about["ranges"].update({"body.up": [2, 1]}),
        lambda about: about["ranges"].update({"body.up": [0, float("inf")]}),
        lambda about: about["ranges"].update({"body.up": ["a", "b"]}),
    ],
)
def test_broken_ranges_are_refused(change: Callable[[dict[str, object]], object]) -> None:
    with pytest.raises(StyleFileError, match="its description is broken"):
        parse_style(broken(change))


def test_an_old_style_without_ranges_is_read(tmp_path: Path) -> None:
    style = parse_style(broken(lambda about: about.pop("ranges")))
    assert style.ranges is None
    assert Look(style, strength=0.5).mixed().ranges is None
    style.save(tmp_path / "kept.onnx")
    assert open_style(tmp_path / "kept.onnx").ranges is None


def test_ranges_are_stored_in_files_and_joined_in_blends(tmp_path: Path) -> None:
    style = open_style("starry-night")
    assert style.ranges
    style.renamed("other").save(tmp_path / "other.onnx")
    assert open_style(tmp_path / "other.onnx").ranges == style.ranges
    blend = Look("starry-night", blend={"mondrian": 0.5}).mixed()
    mondrian = open_style("mondrian").ranges
    assert blend.ranges
    assert mondrian
    for name, (low, high) in style.ranges.items():
        least, most = mondrian[name]
        assert blend.ranges[name] == (min(low, least), max(high, most))
