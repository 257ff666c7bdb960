import copy
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import painted_by, planes_of, run_cli
from onnx import ModelProto, TensorProto, numpy_helper
from PIL import Image

import realtime_style
from export import to_onnx
from export.frames import PARITY_FRAMES, parity_frames
from export.to_onnx import PlanesGenerator, export_style, export_trained
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.opening import open_engine
from realtime_style.engines.registry import ENGINES, available_engines, engine_trouble
from realtime_style.errors import StyleError
from realtime_style.frame import Frame
from realtime_style.style.bundled import open_style
from realtime_style.style.style import Style
from realtime_style.tools.demo import draw_scene
from realtime_style.training.checkpoint import save_checkpoint, save_generator
from realtime_style.training.color import PLANES_COLOR, planes_from_rgb
from realtime_style.training.generator import Generator, GeneratorConfig
from realtime_style.training.sharp import SharpGenerator

SMALL = GeneratorConfig(trunk_channels=16, edge_channels=8, dilations=(1, 2))


def random_generator(config: GeneratorConfig) -> SharpGenerator:
    torch.manual_seed(0)
    body = Generator(config)
    generator = SharpGenerator(body)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
        body.luma_head.weight.mul_(20)
        body.chroma_head.weight.mul_(20)
    return generator


def draw_frame(width: int, height: int, time_s: float = 0) -> Frame:
    rgb = torch.tensor(draw_scene(time_s, width, height)).permute(2, 0, 1)[None] / 255
    planes = planes_from_rgb(rgb, PLANES_COLOR)
    codes = torch.cat([(plane * 255).round().byte().flatten() for plane in planes])
    return Frame(codes.numpy().reshape(-1, width), 0, Fraction(1), PLANES_COLOR)


@pytest.fixture(scope="module")
def generator() -> SharpGenerator:
    return random_generator(GeneratorConfig())


@pytest.fixture(scope="module")
def exported(generator: SharpGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "new folder" / "random.onnx"
    results = export_style(generator, out, "random", {"title": "Noise"}, [draw_frame(96, 64)])
    assert {result.engine for result in results} == set(available_engines())
    return out


@pytest.fixture
def model(exported: Path) -> ModelProto:
    return onnx.load(exported)


@pytest.fixture
def style(exported: Path) -> Style:
    return open_style(exported)


def test_model_is_valid_and_small(exported: Path, model: ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert 500_000 < exported.stat().st_size < 1_500_000
    assert list(exported.parent.iterdir()) == [exported]  # no partial file is left


def test_kernels_are_stored_in_half_precision(model: ModelProto) -> None:
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kernels = {t.name for t in model.graph.initializer if len(t.dims) == 4}
    assert len(kernels) == 18  # stem, down, 4 blocks of 2, up, head; 3 and 3 of two maps
    assert {types[name] for name in kernels} == {TensorProto.FLOAT16}
    biases = {types[name.replace("weight", "bias")] for name in kernels}
    assert biases == {types["body.center"]} == {TensorProto.FLOAT}


def test_metadata_and_nothing_of_the_exporter(model: ModelProto, style: Style) -> None:
    assert (style.name, style.card) == ("random", {"title": "Noise"})
    assert (style.color, style.version) == (PLANES_COLOR, realtime_style.__version__)
    assert [prop.key for prop in model.metadata_props] == ["realtime_style"]
    assert (model.producer_name, model.doc_string) == ("realtime-style", "")
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("engine_name", ENGINES)
def test_engines_paint_as_pytorch_does_at_every_size(
    generator: SharpGenerator, style: Style, engine_name: str
) -> None:
    if trouble := engine_trouble(engine_name):
        pytest.skip(trouble)
    planes = PlanesGenerator(generator.folded())
    engine = open_engine(style.model_for(style.color), EngineChoice(engine_name, "f32"))
    for width, height, strokes in (
        (96, 64, 1),
        (16, 16, 1),
        (70, 132, 1),
        (96, 64, 11),
        (80, 50, 9),
    ):
        picture = planes_of(draw_frame(width, height, time_s=1), strokes)
        painted = painted_by(engine, picture)
        with torch.inference_mode():
            expected = planes(*map(torch.from_numpy, picture))
        for plane, wanted in zip(painted, expected, strict=True):
            difference = np.abs(plane.astype(int) - wanted.numpy())
            assert difference.max() <= 1
            assert (difference > 0).mean() < 1e-3
        assert painted[0].std() > 5


@pytest.fixture
def wrong_model(model: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    # the exporter writes a model that paints a little too bright
    del model.metadata_props[:]
    bias = next(t for t in model.graph.initializer if t.name == "range.last.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(2), bias.name))
    monkeypatch.setattr(to_onnx, "generator_model", lambda planes: copy.deepcopy(model))


@pytest.mark.usefixtures("wrong_model")
def test_what_fails_parity_is_not_written(generator: SharpGenerator, tmp_path: Path) -> None:
    out = tmp_path / "style.onnx"
    for former in (None, b"the former style"):
        if former:
            out.write_bytes(former)
        with pytest.raises(StyleError, match=r"does not paint like PyTorch: .* up to [23] of 255"):
            export_style(generator, out, "wrong", {}, [draw_frame(64, 64)])
        assert [path.read_bytes() for path in tmp_path.iterdir()] == ([former] if former else [])


def test_what_is_too_large_is_not_written(
    generator: SharpGenerator, model: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.doc_string = "x" * 1_000_000
    monkeypatch.setattr(to_onnx, "generator_model", lambda planes: model)
    with pytest.raises(StyleError, match="at most 1500000"):
        export_style(generator, tmp_path / "style.onnx", "large", {}, [draw_frame(64, 64)])
    assert not list(tmp_path.iterdir())


def test_trained_weights_become_a_style(tmp_path: Path) -> None:
    weights, card = tmp_path / "generator.safetensors", tmp_path / "card.json"
    picture = tmp_path / "picture.png"
    save_generator(weights, random_generator(SMALL), {"training": {"steps": 7}})
    card.write_text(json.dumps({"title": "Noise", "painter": "Nobody"}))
    Image.fromarray(draw_scene(0, 99, 63)).save(picture)
    results = export_trained(weights, tmp_path / "noise.onnx", card=card, pictures=picture)
    style = open_style(tmp_path / "noise.onnx")
    assert style.name == "noise"
    assert style.card == {"title": "Noise", "painter": "Nobody", "training": {"steps": 7}}
    exact = [result for result in results if result.reference == "PyTorch f32"]
    assert [result.engine for result in exact] == available_engines()
    assert all(result.max_difference <= 1 for result in exact)


@pytest.mark.parametrize(
    ("weights", "out", "message"),
    [
        ("garbage.pt", "style.onnx", "garbage.pt is not a checkpoint"),
        ("garbage.safetensors", "style.onnx", "garbage.safetensors does not hold a generator"),
        ("missing.pt", "style.onnx", r"there is no checkpoint .*missing\.pt"),
        ("garbage.pt", "style.txt", r"must end in \.onnx"),
    ],
)
def test_unusable_weights(tmp_path: Path, weights: str, out: str, message: str) -> None:
    for name in ("garbage.pt", "garbage.safetensors"):
        (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(StyleError, match=message):
        export_trained(tmp_path / weights, tmp_path / out)
    assert not (tmp_path / out).exists()


def test_unusable_card_and_pictures(tmp_path: Path) -> None:
    weights, broken = tmp_path / "generator.safetensors", tmp_path / "broken"
    save_generator(weights, random_generator(SMALL), {})
    broken.write_text("{not json")
    with pytest.raises(StyleError, match="broken cannot be read as JSON"):
        export_trained(weights, tmp_path / "style.onnx", card=broken)
    with pytest.raises(StyleError, match="no picture to check parity on"):
        export_trained(weights, tmp_path / "style.onnx", pictures=broken)
    assert not (tmp_path / "style.onnx").exists()


def test_command_line_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "garbage.pt").write_bytes(b"no weights at all")
    done = run_cli("export", tmp_path / "garbage.pt", tmp_path / "style.onnx")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "garbage.pt is not a checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "style.onnx").exists()


@pytest.mark.parametrize("kind", ["style", "exported", "checkpoint", "generator"])
def test_a_full_disk_leaves_the_former_file_and_nothing_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"the former")
    style, generator = open_style("mondrian"), random_generator(SMALL)
    writes: dict[str, Callable[[], None]] = {
        "style": lambda: style.save(out),
        "exported": lambda: to_onnx.write_model(out, b"a style"),
        "checkpoint": lambda: save_checkpoint(out, {"step": 1}),
        "generator": lambda: save_generator(out, generator, {}),
    }
    writes[kind]()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    former = out.read_bytes()
    assert former != b"the former"

    def full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(torch, "save", lambda _, path: full(path, b"half"))
    with pytest.raises((StyleError, OSError), match="No space left on device"):
        writes[kind]()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert out.read_bytes() == former


def test_export_loads_nothing_that_only_training_needs() -> None:
    code = "import sys, export.encoder, export.distill; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    packages = {name.split(".")[0] for name in loaded.stdout.split()}
    assert "torch" in packages
    assert not packages & {"tensorboard", "matplotlib"}


def test_photos_are_found_between_other_files(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02d}-a.txt").write_text("a photo's label")
        Image.new("RGB", (64, 48), (number, 0, 0)).save(tmp_path / f"{number:02d}-b.png")
    frames = parity_frames(tmp_path)
    assert len(frames) == PARITY_FRAMES
    chroma = [float(frame.chroma[0, 1].mean()) for frame in frames]
    assert max(chroma) - min(chroma) > 10  # from all over the folder
