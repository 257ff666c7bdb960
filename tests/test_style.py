import dataclasses
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import affine_style, painted_by, planes_of
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.to_onnx import PlanesGenerator, export_style
from realtime_style.cli.options import plain_look
from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.opening import open_engine
from realtime_style.errors import StyleFileError
from realtime_style.frame import Frame
from realtime_style.style.bundled import FAST, STANDARD, bundled_styles, open_style, tier_of
from realtime_style.style.file_format import FOLDED_TENSORS
from realtime_style.style.look import Look
from realtime_style.style.reading import parse_style
from realtime_style.style.style import Style
from realtime_style.tools.demo import draw_scene
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.sharp import HeadConfig, SharpGenerator

COLORS = [ColorSpace(matrix, range_) for matrix in (SMPTE170M, BT709) for range_ in (LIMITED, FULL)]
CARD = {"title": "Small", "year": 2024}


def random_generator() -> SharpGenerator:
    torch.manual_seed(0)
    body = Generator(GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2)))
    head = HeadConfig(recolor_channels=8, range_channels=8)
    generator = SharpGenerator(body, head)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
        body.luma_head.weight.mul_(20)
        body.chroma_head.weight.mul_(20)
    return generator


def draw_frame(color: ColorSpace, width: int = 96, height: int = 64) -> Frame:
    rgb = torch.tensor(draw_scene(0, width, height)).permute(2, 0, 1)[None] / 255
    rgb = 0.2 + 0.6 * rgb  # not clipped in any colour space
    codes = [(plane * 255).round().byte().flatten() for plane in planes_from_rgb(rgb, color)]
    return Frame(torch.cat(codes).numpy().reshape(-1, width), 0, Fraction(1), color)


@pytest.fixture(scope="module")
def style_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("style") / "small.onnx"
    export_style(random_generator(), out, "small", CARD, [draw_frame(PLANES_COLOR)])
    return out.read_bytes()


@pytest.fixture
def model(style_bytes: bytes) -> ModelProto:
    return ModelProto.FromString(style_bytes)


def initializer(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def node(model: ModelProto, op_type: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == op_type)


def change_metadata(model: ModelProto, **changes: Any) -> None:
    about = model.metadata_props[0]
    about.value = json.dumps(json.loads(about.value) | changes)


def test_an_exported_style_is_read_back(style_bytes: bytes) -> None:
    style = parse_style(style_bytes)
    assert (style.name, style.card) == ("small", CARD)
    assert style.color == PLANES_COLOR


# Each function turns a valid model into one that must be refused.


def _external(model: ModelProto) -> None:
    tensor = initializer(model, "body.down.weight")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    tensor.ClearField("raw_data")


def _external_in_part(model: ModelProto) -> None:
    initializer(model, "body.down.weight").external_data.add(key="location", value="weights.bin")


def _operator(op_type: str, domain: str = "") -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.node.append(helper.make_node(op_type, ["luma"], ["more"], domain=domain))

    return change


def _subgraph(model: ModelProto) -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "inner", [], [])
    node(model, "Conv").attribute.append(helper.make_attribute("body", graph))


def _tensor_attribute(model: ModelProto) -> None:
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    node(model, "Conv").attribute.append(helper.make_attribute("value", tensor))


def _function(model: ModelProto) -> None:
    model.functions.append(helper.make_function("evil", "F", [], [], [], []))


def _sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(1)


def _dim(value: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        initializer(model, "body.down.weight").dims[0] = value

    return change


def _pad(*values: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        name = node(model, "Pad").input[1]
        tensor = helper.make_tensor(name, TensorProto.INT64, [8], [0, 0, *values, 0, 0, *values])
        initializer(model, name).CopyFrom(tensor)

    return change


def _unknown_type(model: ModelProto) -> None:
    initializer(model, "body.stem.weight").data_type = 92


def _more_values_than_size(model: ModelProto) -> None:
    initializer(model, "body.stem.weight").dims[0] -= 1


def _pad_without_values(model: ModelProto) -> None:
    initializer(model, node(model, "Pad").input[1]).ClearField("raw_data")


def _attribute(op_type: str, name: str, value: int | list[int]) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        attributes = node(model, op_type).attribute
        attribute = next(attribute for attribute in attributes if attribute.name == name)
        attribute.CopyFrom(helper.make_attribute(name, value))

    return change


def _opset(version: int) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def _newer_format(model: ModelProto) -> None:
    model.ir_version = 11


def _second_opset(model: ModelProto) -> None:
    model.opset_import.add(domain="", version=13)


def _opset_of_others(model: ModelProto) -> None:
    model.opset_import.add(domain="com.example", version=1)


def _fixed_planes(model: ModelProto) -> None:
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim[2:]:
            dim.dim_value = 128


def _fixed_inside(model: ModelProto) -> None:
    model.graph.value_info.append(
        helper.make_tensor_value_info("stem", TensorProto.FLOAT, [1, 6, 64, 48])
    )


def _cut(model: ModelProto) -> None:
    """A network that gives pictures of at most 128 pixels width, whatever it is given."""
    for node in model.graph.node:
        for number, name in enumerate(node.output):
            if name == "painted_luma":
                node.output[number] = "uncut"
    for name, value in (("cut.from", 0), ("cut.to", 128), ("cut.axis", 3)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    model.graph.node.append(
        helper.make_node("Slice", ["uncut", "cut.from", "cut.to", "cut.axis"], ["painted_luma"])
    )


def _many_nodes(model: ModelProto) -> None:
    """A chain of 1,000 additions in front of the output."""
    last = model.graph.node[-1].input[0]
    for i in range(1000):
        model.graph.node.insert(
            len(model.graph.node) - 1, helper.make_node("Relu", [last], [f"more.{i}"])
        )
        last = f"more.{i}"
    model.graph.node[-1].input[0] = last


def _growing(model: ModelProto) -> None:
    """Two paddings that make a small picture 16 times as wide and high."""
    pads = helper.make_tensor("wide", TensorProto.INT64, [8], [0, 0, 256, 256, 0, 0, 256, 256])
    model.graph.initializer.append(pads)
    first = next(n for n in model.graph.node if n.op_type == "Cast" and "wide" not in n.output[0])
    at = list(model.graph.node).index(first) + 1
    for i in range(2):
        given = first.output[0] if i == 0 else "grown.0"
        model.graph.node.insert(at + i, helper.make_node("Pad", [given, "wide"], [f"grown.{i}"]))


def _resized(scale: int) -> Callable[[ModelProto], None]:
    """A picture that is resized by a factor which the file only has as a weight."""

    def change(model: ModelProto) -> None:
        scales = np.array([1, 1, scale, scale], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(scales, "scales"))
        resize = helper.make_node("Resize", ["luma", "", "scales"], ["resized"], mode="nearest")
        model.graph.node.append(resize)

    return change


def _resized_by_values(model: ModelProto) -> None:
    """A picture that is resized to sizes which are computed from its values."""
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([4], np.int64), "values.number")
    )
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["luma"], ["values"], to=TensorProto.INT64),
            helper.make_node("Gather", ["values", "values.number"], ["row"], axis=3),
            helper.make_node("ReduceMean", ["row"], ["sizes"], keepdims=0),
            helper.make_node("Resize", ["luma", "", "", "sizes"], ["resized"], mode="nearest"),
        ]
    )


def _other_ranges(model: ModelProto) -> None:
    about = json.loads(model.metadata_props[0].value)
    about["ranges"] = {f"other.{name}": ends for name, ends in about["ranges"].items()}
    model.metadata_props[0].value = json.dumps(about)


def _rename_input(model: ModelProto) -> None:
    model.graph.input[0].name = "brightness"
    for each in model.graph.node:
        each.input[:] = ["brightness" if name == "luma" else name for name in each.input]


def _third_output(model: ModelProto) -> None:
    extra = helper.make_tensor_value_info("cat", TensorProto.FLOAT, [1, 6, None, None])
    model.graph.output.append(extra)


def _one_output(model: ModelProto) -> None:
    del model.graph.output[1]


def _channels(model: ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[1].dim_value = 3


def _batch(model: ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 2


def _float_planes(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _rename_tensor(name: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        initializer(model, name).name = "renamed"
        for each in model.graph.node:
            each.input[:] = ["renamed" if key == name else key for key in each.input]

    return change


def _missing_tensor(model: ModelProto) -> None:
    model.graph.initializer.remove(initializer(model, "body.down.weight"))


def _no_metadata(model: ModelProto) -> None:
    del model.metadata_props[:]


def _raw_metadata(text: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.metadata_props[0].value = text

    return change


def _metadata(**changes: Any) -> Callable[[ModelProto], None]:
    return lambda model: change_metadata(model, **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external, "down.weight' points to another file"),
        (_external_in_part, "down.weight' points to another file"),
        (_operator("Loop"), "the operator Loop"),
        (_operator("NonZero"), "the operator NonZero"),
        (_operator("ConvTranspose"), "the operator ConvTranspose"),
        (_operator("Conv", "com.microsoft"), r"the operator com\.microsoft\.Conv"),
        (_subgraph, "carries a graph or a tensor"),
        (_tensor_attribute, "carries a graph or a tensor"),
        (_function, "functions or sparse"),
        (_sparse, "functions or sparse"),
        (_dim(1 << 40), r"down.weight' has the size \[1099511627776,"),
        (_dim(-1), r"down.weight' has the size \[-1,"),
        (_dim(2000), "body.down.weight"),  # more values than the tensor has
        (_pad(1, 1_000_000), "has the value 1000000; a style has at most 256"),
        (_pad(-70_000, 1), "has the value -70000"),
        (_pad_without_values, "it is damaged"),
        (_unknown_type, "damaged"),
        (_more_values_than_size, "damaged"),
        (_attribute("Conv", "strides", [1, 100_000]), "strides outside 0..256"),
        (_attribute("Conv", "dilations", [1 << 40, 1]), "dilations outside 0..256"),
        (_attribute("Conv", "group", -1), "group outside 0..256"),
        (_attribute("SpaceToDepth", "blocksize", 4096), "blocksize outside 0..256"),
        (_opset(12), "operators of version 12; all engines run versions 13 to 21"),
        (_opset(40), "operators of version 40"),
        (_newer_format, "version 11 of the ONNX format; all engines read versions up to 10"),
        (_second_opset, "other operators than those of one version"),
        (_opset_of_others, "other operators than those of one version"),
        (_fixed_planes, "'luma' has the fixed size 128x128; a style takes pictures of any size"),
        (_fixed_inside, "'stem' has the fixed size 48x64"),
        (_cut, "its sizes do not fit together"),
        (_many_nodes, r"nodes; a style has at most 1000"),
        (_growing, r"its tensor 'grown.0' grows to \[1, 6, 544, 544\] from 128x128"),
        (_resized(100), r"its tensor 'resized' grows to \[1, 1, 12800, 12800\]"),
        (_resized_by_values, "does not follow from those of its inputs|do not fit together"),
        (_other_ranges, "its ranges belong to other convolutions"),
        (_rename_input, r"inputs are \['brightness', 'chroma', 'canvas_luma', 'canvas_chroma'\]"),
        (_third_output, "outputs are .*'cat'"),
        (_one_output, r"outputs are \['painted_luma'\]"),
        (_channels, "expected uint8 planes"),
        (_batch, "expected uint8 planes"),
        (_float_planes, "expected uint8 planes"),
        *((_rename_tensor(name), f"'{name}' is missing") for name, _, _, _ in FOLDED_TENSORS),
        (_missing_tensor, "invalid.*down.weight"),
        (_no_metadata, "`realtime-style export` did not write it"),
        (_raw_metadata('{"format": 1'), "description is broken"),
        (_raw_metadata("[1]"), "description is broken"),
        (_raw_metadata("[" * 100_000), "description is broken"),
        (_metadata(format=1), "has format 1, of an earlier version .* train it again"),
        (_metadata(format=3), "has format 3, this version reads 2; upgrade"),
        (_metadata(color={"matrix": 99, "range": 1}), "description is broken"),
        (_metadata(color={}), "description is broken"),
        (_metadata(card=3), "description is broken"),
    ],
)
def test_unusable_models_are_refused(
    model: ModelProto, change: Callable[[ModelProto], None], message: str
) -> None:
    change(model)
    with pytest.raises(StyleFileError, match=message):
        parse_style(model.SerializeToString())


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"GIF89a not a network"])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(StyleFileError):
        parse_style(data)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(style_bytes: bytes, part: float) -> None:
    with pytest.raises(StyleFileError, match="not an ONNX file"):
        parse_style(style_bytes[: int(len(style_bytes) * part)])


def test_damaged_files_are_read_or_refused(style_bytes: bytes) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(300):
        data = bytearray(affine_style() if i % 2 else style_bytes)
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] = rng.integers(256)
        if i % 5 == 0:
            begin = rng.integers(len(data))
            del data[begin : begin + rng.integers(1, 20)]
        try:
            assert isinstance(parse_style(bytes(data)), Style)
        except StyleFileError:
            refused += 1
    assert 0 < refused < 300


def test_a_changed_weight_is_noticed_and_a_file_without_a_checksum_is_not_refused() -> None:
    whole = bundled_styles()["great-wave"].read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(whole)
        for place in rng.integers(len(whole) // 10, len(whole) * 9 // 10, 3):  # among the weights
            data[place] ^= 1 << rng.integers(8)
        with pytest.raises(StyleFileError, match=r"damaged|broken|is not|NaN|finds|malformed"):
            parse_style(bytes(data))
    model = onnx.load_model_from_string(whole)
    (entry,) = model.metadata_props
    about = json.loads(entry.value)
    about["name"] = "another"
    entry.value = json.dumps(about)
    with pytest.raises(StyleFileError, match="its checksum is wrong"):
        parse_style(model.SerializeToString())
    del about["sha256"]  # as in files of earlier versions
    entry.value = json.dumps(about)
    assert parse_style(model.SerializeToString()).name == "another"


def test_open_style_reads_a_file(style_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other name.onnx"
    path.write_bytes(style_bytes)
    assert open_style(path).name == "small"
    path.write_bytes(b"not a network")
    with pytest.raises(StyleFileError, match=r"other name\.onnx is not a usable style"):
        open_style(str(path))


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_empty_names_are_refused(name: str) -> None:
    with pytest.raises(StyleFileError, match="is not a style; a style is a picture, a style file"):
        open_style(name)


def test_for_an_unknown_style_the_bundled_ones_are_listed() -> None:
    assert bundled_styles()
    with pytest.raises(StyleFileError, match="no style 'mona-lisa'") as caught:
        open_style("mona-lisa")
    assert all(name in str(caught.value) for name in bundled_styles())


@pytest.mark.parametrize("name", bundled_styles())
def test_bundled_styles_open(name: str) -> None:
    assert open_style(name).card


@pytest.mark.parametrize("name", bundled_styles(FAST))
def test_fast_styles_have_the_same_names_and_smaller_networks(name: str) -> None:
    fast, standard = open_style(name, FAST), open_style(name)
    assert fast.name == name
    assert fast.card["title"] == standard.card["title"]
    assert fast.ranges is not None
    sizes = [sum(w.size for w in style.weights().values()) for style in (fast, standard)]
    assert sizes[0] < 0.4 * sizes[1]


def test_the_tier_of_a_file_is_found_from_its_network(style_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(style_bytes)
    with pytest.raises(StyleFileError, match=r"mine\.onnx is not of the fast tier; give"):
        open_style(path, FAST)
    open_style("mondrian", FAST).renamed("mine").save(path)
    assert open_style(path, FAST).name == "mine"
    assert tier_of(open_style(path)) == FAST
    assert plain_look(str(path), STANDARD).tier == FAST
    assert tier_of(open_style("mondrian")) == tier_of(parse_style(style_bytes)) == STANDARD


def test_a_file_that_has_changed_is_read_again(style_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    for name in ("mondrian", "great-wave"):
        open_style(name).save(path)
        assert open_style(path).name == name
    path.write_bytes(b"rubbish")
    with pytest.raises(StyleFileError, match="not a usable style"):
        open_style(path)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    with pytest.raises(StyleFileError, match="has 42 MB; a style has at most 34"):
        open_style(path)


# Colour spaces.


def convert(
    luma: NDArray[Any], chroma: NDArray[Any], source: ColorSpace, target: ColorSpace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Converts planes of 0..255 through RGB with repeated chroma, as `Style.model_for` should."""
    full = chroma.repeat(2, axis=2).repeat(2, axis=3)
    yuv = np.concatenate((luma, full), axis=1)[0].astype(np.float64) / 255
    from_rgb, offset = source.yuv_from_rgb()
    rgb = np.tensordot(np.linalg.inv(from_rgb), yuv - offset[:, None, None], 1)
    to, to_offset = target.yuv_from_rgb()
    yuv = 255 * (np.tensordot(to, rgb, 1) + to_offset[:, None, None])
    return yuv[None, :1], yuv[None, 1:, ::2, ::2]


@pytest.mark.parametrize("color", COLORS, ids=str)
def test_model_for_another_color_space_paints_the_same(
    style_bytes: bytes, color: ColorSpace
) -> None:
    pytest.importorskip("onnxruntime")
    style, frame = parse_style(style_bytes), draw_frame(color)
    engine = open_engine(style.model_for(color), EngineChoice("onnxruntime", "f32"))
    planes = planes_of(frame)
    painted = painted_by(engine, planes)

    own = [
        *convert(planes.luma, planes.chroma, color, style.color),
        *convert(planes.canvas_luma, planes.canvas_chroma, color, style.color),
    ]
    folded = PlanesGenerator(random_generator().folded()).generator
    with torch.no_grad():
        there = folded(*(torch.from_numpy(plane).float() for plane in own))
    back = convert(*(plane.numpy() for plane in there), style.color, color)
    for plane, expected in zip(painted, back, strict=True):
        difference = np.abs(plane - expected.round().clip(0, 255))
        assert difference.max() <= 1
        assert difference.mean() < 0.08
        assert expected.std() > 3  # the picture is not empty


def test_model_for_leaves_the_style_as_it_is(style_bytes: bytes) -> None:
    style = parse_style(style_bytes)
    before = style.model.SerializeToString()
    assert style.model_for(ColorSpace(SMPTE170M, FULL)) != before
    assert style.model.SerializeToString() == before
    tagged = dataclasses.replace(style.color, primaries=BT709, transfer=BT709)
    assert style.model_for(tagged) == before  # primaries and transfer do not change the planes


def test_nan_weights_are_refused() -> None:
    model = onnx.load(bundled_styles()["starry-night"])
    (kernel,) = (tensor for tensor in model.graph.initializer if tensor.name == "body.head.weight")
    values = numpy_helper.to_array(kernel).copy()
    values.flat[7] = np.nan
    kernel.CopyFrom(numpy_helper.from_array(values, kernel.name))
    with pytest.raises(StyleFileError, match="NaN or infinite values"):
        parse_style(model.SerializeToString())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The Starry Night", "starry-night"), ("STARRY_NIGHT", "starry-night"),
        ("claude monet", "water-lilies"), ("Edvard  Munch", "the-scream"),
        ("hokusai", "great-wave"), ("great wave", "great-wave"), ("Wave", "great-wave"),
        ("night cafe", "night-cafe"), ("The Night Café", "night-cafe"), ("Scream", "the-scream"),
        ("Monet", "water-lilies"), ("Tableau No. 2 / Composition No. VII", "mondrian"),
    ],
)  # fmt: skip
def test_a_style_is_found_by_case_underscore_title_and_painter(text: str, name: str) -> None:
    assert open_style(text).name == name
    assert open_style(text, "fast").shapes() == open_style(name, "fast").shapes()
    assert Look(text, blend={"mondrian": 0.2}) == Look(name, blend={"Mondrian": 0.2})


def test_a_file_comes_before_a_painter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style_bytes: bytes
) -> None:
    (tmp_path / "munch").write_bytes(style_bytes)
    monkeypatch.chdir(tmp_path)
    assert (open_style("munch").name, Look("munch").style) == ("small", "munch")


def test_a_name_of_several_styles_is_refused_with_all_of_them() -> None:
    with pytest.raises(StyleFileError, match="'night' may be night-cafe or starry-night; choose"):
        Look("night")
    for painter in ("van gogh", "Vincent van Gogh"):  # although one of them is the default
        with pytest.raises(StyleFileError, match="may be night-cafe or starry-night; choose one"):
            open_style(painter)
    with pytest.raises(StyleFileError, match="did you mean night-cafe or starry-night") as caught:
        open_style("vangogh")
    with pytest.raises(StyleFileError) as caught:
        Look("udnie", blend={"van gogh": 0.2})
    assert caught.value.setting == "blend"
    for text in ("a", "the", "no", "vii"):  # parts of names that mean nothing
        with pytest.raises(StyleFileError, match="there is no style"):
            open_style(text)


def test_a_title_or_painter_written_wrongly_is_suggested_by_its_style() -> None:
    for text, name in (
        ("hokusay", "great-wave"),
        ("kandinski", "composition-vii"),
        ("Munsch", "the-sc"),
    ):
        with pytest.raises(StyleFileError, match=f"did you mean {name}"):
            open_style(text)


def test_for_a_missing_style_the_nearest_name_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(StyleFileError, match=r"did you mean starry-night\?"):
        open_style("stary-night")
    with pytest.raises(StyleFileError, match="there is no file"):
        open_style(tmp_path / "nothere.onnx")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(StyleFileError, match="is empty"):
        open_style(tmp_path / "empty.onnx")
