"""Sharp generators as ONNX: every engine paints like PyTorch at every ratio."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="the extra [train] is not installed")

from numpy.typing import NDArray  # noqa: E402
from test_sharp import loud_generator  # noqa: E402
from torch.nn import functional  # noqa: E402

from export.to_onnx import PlanesGenerator, generator_model, input_ranges  # noqa: E402
from realtime_style.engines.engine import Plane, Planes  # noqa: E402
from realtime_style.engines.graphs.int8 import int8_model  # noqa: E402
from realtime_style.engines.graphs.precision import outer_casts, typed_model  # noqa: E402
from realtime_style.engines.graphs.size import model_of_size, strokes_kernel  # noqa: E402
from realtime_style.engines.network import Network  # noqa: E402
from realtime_style.style.file_format import describe  # noqa: E402
from realtime_style.tools.demo import draw_scene  # noqa: E402
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb  # noqa: E402
from realtime_style.training.generator import GeneratorConfig  # noqa: E402
from realtime_style.training.sharp import pack, reduced  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

ENGINES = ("openvino", "onnxruntime")
LEAST_DB = 34.0
RATIOS = {1.0: (96, 64), 1.5: (144, 96), 2.0: (192, 128), 3.0: (288, 192), 4.0: (384, 256)}
CANVAS = (96, 64)


def picture(size: tuple[int, int], canvas: tuple[int, int] = CANVAS) -> dict[str, Plane]:
    """The inputs of a model: planes of a picture and of its canvas, of a (width, height) each."""
    rgb = torch.tensor(draw_scene(1, *size)).permute(2, 0, 1)[None] / 255
    luma, chroma = planes_from_rgb(rgb, PLANES_COLOR)
    small = reduced(luma, canvas[::-1]), reduced(chroma, (canvas[1] // 2, canvas[0] // 2))
    names = ("luma", "chroma", "canvas_luma", "canvas_chroma")
    planes = ((255 * plane).round().to(torch.uint8).numpy() for plane in (luma, chroma, *small))
    return dict(zip(names, planes, strict=True))


@pytest.fixture(scope="module")
def planes() -> PlanesGenerator:
    return PlanesGenerator(loud_generator(GeneratorConfig()).folded()).eval()


@pytest.fixture(scope="module")
def model(planes: PlanesGenerator) -> bytes:
    made = generator_model(planes)
    ranges = input_ranges(planes, [Planes(**picture(size)) for size in RATIOS.values()])
    describe(made, "loud", {}, PLANES_COLOR, "1", ranges)
    return bytes(made.SerializeToString())


def painted(model: bytes, engine: str, given: dict[str, Plane]) -> list[NDArray[np.int64]]:
    out = Network(model, engine)(given)
    return [out[name].astype(np.int64) for name in ("painted_luma", "painted_chroma")]


def psnr_db(found: list[NDArray[np.int64]], expected: list[NDArray[np.int64]]) -> float:
    apart = [(a - b).reshape(-1) for a, b in zip(found, expected, strict=True)]
    return float(10 * np.log10(255**2 / np.square(np.concatenate(apart)).mean()))


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_paint_as_pytorch_does_at_every_ratio(
    planes: PlanesGenerator, model: bytes, engine: str
) -> None:
    pytest.importorskip(engine)
    network = Network(model, engine)
    sizes = [*RATIOS.values(), (130, 70), (96, 64)]
    for size in sizes:  # one loaded model for all
        canvas = (64, 40) if size == (130, 70) else CANVAS
        given = picture(size, canvas)
        with torch.inference_mode():
            expected = planes(*(torch.from_numpy(plane) for plane in given.values()))
        out = network(given)
        for name, wanted in zip(("painted_luma", "painted_chroma"), expected, strict=True):
            assert out[name].dtype == np.uint8
            difference = np.abs(out[name].astype(int) - wanted.numpy())
            assert difference.max() <= 1
            assert (difference > 0).mean() < 1e-3
            assert out[name].std() > 5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ratio", RATIOS)
def test_a_model_of_one_size_paints_the_same(model: bytes, ratio: float, engine: str) -> None:
    pytest.importorskip(engine)
    given = picture(RATIOS[ratio])
    fixed = model_of_size(model, RATIOS[ratio], CANVAS)
    onnx.checker.check_model(onnx.load_model_from_string(fixed), full_check=True)
    found, expected = (painted(each, engine, given) for each in (fixed, model))
    for plane, wanted in zip(found, expected, strict=True):
        difference = np.abs(plane - wanted)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3


@pytest.mark.parametrize(
    ("ratio", "resizes", "convolutions"), [(1.0, 1, 18), (1.5, 3, 18), (2.0, 1, 19), (4.0, 1, 19)]
)
def test_whole_ratios_are_enlarged_by_a_convolution(
    model: bytes, ratio: float, resizes: int, convolutions: int
) -> None:
    fixed = onnx.load_model_from_string(model_of_size(model, RATIOS[ratio], CANVAS))
    kinds = Counter(node.op_type for node in fixed.graph.node)
    assert (kinds["Resize"], kinds["Conv"]) == (resizes, convolutions)
    dims = [dim.dim_value for dim in fixed.graph.output[1].type.tensor_type.shape.dim]
    width, height = RATIOS[ratio]
    assert dims == [1, 2, height // 2, width // 2]


@pytest.mark.parametrize("engine", ENGINES)
def test_int8_is_near_float32(model: bytes, engine: str) -> None:
    pytest.importorskip(engine)
    rounded = int8_model(model)
    for ratio in (1.5, 2.0):
        given = picture(RATIOS[ratio])
        expected = painted(model, engine, given)
        assert psnr_db(painted(rounded, engine, given), expected) > LEAST_DB
        fixed = model_of_size(rounded, RATIOS[ratio], CANVAS)
        assert psnr_db(painted(fixed, engine, given), expected) > LEAST_DB


def test_int8_convolutions_read_bytes(model: bytes) -> None:
    graph = onnx.load_model_from_string(int8_model(model)).graph
    maker = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type == "Conv":
            before = maker[node.input[0]]
            while before.op_type == "Pad":
                before = maker[before.input[0]]
            if before.op_type == "Concat":  # of bytes: it is rounded after it
                before = maker[before.input[0]]
            assert before.op_type == "DequantizeLinear", node.name


@pytest.mark.parametrize("ratio", [2, 3, 4, 6])
def test_the_kernel_is_an_enlargement(ratio: int) -> None:
    luma = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
    chroma = torch.rand(1, 2, 8, 12, generator=torch.Generator().manual_seed(1))
    around = pack(
        *(functional.pad(p, [m] * 4, mode="replicate") for p, m in ((luma, 2), (chroma, 1)))
    )
    phases = functional.conv2d(around, torch.from_numpy(strokes_kernel(ratio)))
    large = functional.interpolate(luma, scale_factor=ratio, mode="bicubic")
    large_chroma = functional.interpolate(chroma, scale_factor=ratio, mode="bilinear")
    torch.testing.assert_close(functional.pixel_shuffle(phases, ratio), pack(large, large_chroma))


def test_bytes_only_at_the_ends_paint_the_same(model: bytes) -> None:
    pytest.importorskip("onnxruntime")
    outer = outer_casts(model)
    graph = onnx.load_model_from_string(outer).graph
    ends = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        if ends.intersection((*node.input, *node.output)):
            assert node.op_type == "Cast"
    given = picture(RATIOS[1.5])
    for plane, wanted in zip(
        painted(outer, "onnxruntime", given), painted(model, "onnxruntime", given), strict=True
    ):
        assert np.array_equal(plane, wanted)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_tensorrt_rtx_reads_it(model: bytes, ratio: float) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    fixed = model_of_size(outer_casts(model), RATIOS[ratio], CANVAS)
    for each in (outer_casts(model), fixed):
        builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
        read = parser.parse(typed_model(each, "f16"))
        assert read, [parser.get_error(i).desc() for i in range(parser.num_errors)]
        assert network.num_outputs == 2


def test_the_model_is_small_and_holds_half_precision_kernels(model: bytes) -> None:
    proto = onnx.load_model_from_string(model)
    onnx.checker.check_model(proto, full_check=True)
    assert len(model) < 800_000
    kernels = [tensor for tensor in proto.graph.initializer if len(tensor.dims) == 4]
    assert len(kernels) == 18
    assert {tensor.data_type for tensor in kernels} == {onnx.TensorProto.FLOAT16}
