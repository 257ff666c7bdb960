"""WebGPU's kernels on a software adapter: the paintings of float32, and nothing else is run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import (
    affine_model,
    make_film,
    noise_planes,
    painted_by,
    painter_of,
    planes_of,
    run_cli,
    scene_rgb,
)
from onnx import GraphProto, ModelProto, numpy_helper

from realtime_style.color import BT709, FULL, ColorSpace
from realtime_style.engines import opening
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Engine, Plane, Planes
from realtime_style.engines.graphs.precision import typed_model
from realtime_style.engines.opening import open_engine
from realtime_style.engines.registry import engine_trouble
from realtime_style.engines.webgpu import adapters as adapters_module
from realtime_style.engines.webgpu import trial
from realtime_style.engines.webgpu.adapters import Adapter, adapters
from realtime_style.engines.webgpu.generator import read_generator
from realtime_style.engines.webgpu.program import Tile, program_of, shared_buffers
from realtime_style.engines.webgpu.weights import weights_of
from realtime_style.errors import EngineError
from realtime_style.frame import Frame
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.painting.grain import Grain, grain_limits
from realtime_style.style.bundled import TIERS, bundled_styles, open_style
from realtime_style.style.look import Look
from realtime_style.tools import doctor

# Width, height, and how large strokes are relative to the picture. The canvas is half as large in
# the first; in the second there is no whole ratio, and rows of planes are no whole words
SIZES = ((192, 128, 5.6), (134, 70, 8.0))
STYLES = ("great-wave", "the-scream")
GPU = Adapter(0, "Radeon", "Vulkan", "DiscreteGPU", "RADV 24", True, True, 2048, 1024, 64)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_STYLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def _adapter() -> None:
    if trouble := engine_trouble("webgpu"):
        pytest.skip(trouble)


needs_adapter = pytest.mark.usefixtures("_adapter")


@cache
def scene(width: int, height: int, strokes: float = 1.0) -> Planes:
    return planes_of(frame_from_rgb(scene_rgb(width, height, 1.0), ColorSpace()), strokes)


@cache
def model_of(name: str, tier: str) -> bytes:
    style = open_style(name, tier)
    return style.model_for(style.color)


def apart(model: bytes, engine: Engine, planes: Planes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How far each value of a painting is from that of float32 on the CPU."""
    expected = painted_by(open_engine(model, EngineChoice("openvino", "f32")), planes)
    assert expected[0].std() > 5
    found = painted_by(engine, planes)
    pairs = zip(found, expected, strict=True)
    return np.concatenate([(a.astype(np.int64) - b).reshape(-1) for a, b in pairs])


def psnr_db(differences: np.ndarray[Any, Any]) -> float:
    return float(10 * np.log10(255**2 / max(np.square(differences).mean(), 1e-9)))


@needs_adapter
@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_it_paints_as_float32_does(tier: str) -> None:
    for style in STYLES:
        model = model_of(style, tier)
        exact, half = (open_engine(model, EngineChoice("webgpu", p)) for p in ("f32", "auto"))
        assert (exact.precision, half.precision) == ("f32", "f16")
        for size in SIZES:
            differences = apart(model, exact, scene(*size))
            assert np.abs(differences).max() <= 1
            assert (differences != 0).mean() < 1e-3
            differences = apart(model, half, scene(*size))
            assert psnr_db(differences) > 60
            assert np.abs(differences).max() <= 2
            again = [painted_by(half, scene(*size)) for _ in range(2)]
            assert all(map(np.array_equal, *again))


@needs_adapter
def test_blends_strengths_and_colour_spaces_are_weights() -> None:
    look = Look("great-wave", {"mondrian": 0.4}, strength=0.7, tier="fast")
    for color in (ColorSpace(), ColorSpace(BT709, FULL)):
        model = look.mixed().model_for(color)
        differences = apart(model, open_engine(model, EngineChoice("webgpu", "f32")), scene(96, 64))
        assert np.abs(differences).max() <= 1
        assert (differences != 0).mean() < 1e-3


@needs_adapter
def test_pictures_in_flight_are_those_painted_alone() -> None:
    model = model_of("great-wave", "fast")
    alone = open_engine(model, EngineChoice("webgpu", "f32"))
    engine = open_engine(model, EngineChoice("webgpu", "f32"), in_flight=None)
    assert (alone.in_flight, engine.in_flight) == (1, 2)
    sizes = ((64, 96), (32, 160), (64, 96), (96, 64), (96, 64))
    waiting: list[tuple[Callable[[], None], Planes, tuple[Plane, Plane]]] = []

    def compare_first() -> None:
        wait, planes, out = waiting.pop(0)
        wait()
        assert all(map(np.array_equal, out, painted_by(alone, planes)))

    for seed, size in enumerate(sizes):
        planes = noise_planes(*size, seed)
        mine, out = planes.copy(), (np.zeros_like(planes.luma), np.zeros_like(planes.chroma))
        waiting.append((engine.begin(mine, *out), planes, out))
        for plane in mine:
            plane.fill(0)  # the caller's again
        if len(waiting) == 2:
            compare_first()
    compare_first()


@needs_adapter
def test_a_painting_that_nobody_waits_for_is_no_trouble() -> None:
    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    planes = scene(96, 64)
    engine.begin(noise_planes(64, 96), planes.luma.copy(), planes.chroma.copy())
    expected = painted_by(
        open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32")), planes
    )
    assert all(map(np.array_equal, painted_by(engine, planes), expected))


@needs_adapter
def test_it_can_be_cancelled() -> None:
    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    planes = noise_planes(64, 96)
    wait = engine.begin(planes, planes.luma.copy(), planes.chroma.copy())
    engine.cancel()
    with pytest.raises(EngineError, match="failed: cancelled"):
        wait()
    with pytest.raises(EngineError, match="failed: cancelled"):
        painted_by(engine, planes)


@needs_adapter
def test_a_lost_adapter_is_an_error_and_the_next_engine_starts_it_again() -> None:
    from wgpu.backends.wgpu_native import lib

    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    planes = noise_planes(64, 96)
    painted = painted_by(engine, planes)
    lib.wgpuDeviceDestroy(engine._device.native._internal)  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(EngineError, match=r"failed: .* was lost.*try again"):
            painted_by(engine, planes)
    again = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    assert all(map(np.array_equal, painted_by(again, planes), painted))


@needs_adapter
def test_what_is_too_large_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    device = engine._device  # type: ignore[attr-defined]
    monkeypatch.setattr(device, "adapter", replace(device.adapter, max_buffer_mb=0))
    with pytest.raises(EngineError, match=r"has at most 0 MB; paint a smaller size"):
        painted_by(engine, noise_planes(48, 48))
    monkeypatch.undo()
    painted_by(engine, noise_planes(48, 48))  # nothing was lost


@needs_adapter
def test_an_adapter_that_is_not_there_is_an_error() -> None:
    model = model_of("great-wave", "fast")
    with pytest.raises(EngineError, match=r"no adapter 9; this computer has \d+, .*: .+") as raised:
        open_engine(model, EngineChoice("webgpu", devices=(9,)))
    assert raised.value.setting == "devices"


@needs_adapter
def test_float16_is_refused_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_style.engines.webgpu import engine as engine_module

    device = engine_module.open_device(0)
    monkeypatch.setattr(device, "adapter", replace(device.adapter, has_half=False))
    model = model_of("great-wave", "fast")
    with pytest.raises(EngineError, match=r"does not store float16.*f32 works"):
        open_engine(model, EngineChoice("webgpu", "f16"))
    assert open_engine(model, EngineChoice("webgpu")).precision == "f32"


@needs_adapter
def test_passes_are_timed_one_by_one() -> None:
    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    times = engine.pass_times(noise_planes(64, 96))  # type: ignore[attr-defined]
    names = [name for name, _, _ in times]
    assert names[:3] == ["unpack", "stem", "down"]
    assert names[-1] == "painting"
    assert all(time_ms >= 0 for _, time_ms, _ in times)
    assert sum(time_ms for _, time_ms, _ in times) > 0
    assert (engine.device_ms(noise_planes(64, 96)) or 0) > 0


@needs_adapter
def test_a_film_is_painted_with_it(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", pts=range(3))
    options = ("--engine", "webgpu", "--precision", "f32", "--tier", "fast", "--json")
    done = run_cli("video", film, tmp_path / "out.mp4", *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["engine"], report["precision"]) == ("webgpu", "f32")
    if adapters()[0].is_software:
        assert "a processor that imitates a GPU, which is slow" in done.stderr


def flat_and_textured(width: int, height: int) -> Frame:
    """A sky that is nearly flat, and a textured lower half."""
    i420 = np.full((height * 3 // 2, width), 128, np.uint8)
    i420[:height] = 150 + np.arange(width) // 24
    rows = slice(height // 2, height)
    i420[rows] = np.random.default_rng(0).integers(0, 256, (height - height // 2, width))
    i420[0, :4], i420[1, :4] = 255, 0
    return Frame(i420, 0, Fraction(1))


@needs_adapter
@pytest.mark.parametrize("size", [(1040, 528), (16, 8), (24, 160)])
def test_grain_is_laid_as_on_the_cpu(size: tuple[int, int]) -> None:
    engine = open_engine(model_of("great-wave", "fast"), EngineChoice("webgpu", "f32"))
    grain, frame = Grain(3), flat_and_textured(*size)
    on_cpu = grain.lay_under(frame)
    assert size[0] < 1000 or not np.array_equal(on_cpu.i420, frame.i420)
    assert engine.lay_grain(grain.tile, grain_limits())
    planes = planes_of(frame)._replace(canvas_luma=frame.luma, canvas_chroma=frame.chroma)
    painted_by(engine, planes)
    (network,) = engine._networks.kept()  # type: ignore[attr-defined]
    device = engine._device.native  # type: ignore[attr-defined]
    found = np.frombuffer(device.queue.read_buffer(network._slots[0]._given), np.uint8)
    layout = network.program.layout
    canvas = found[4 * layout.canvas_at :][: frame.luma.size].reshape(size[::-1])
    assert np.array_equal(canvas, on_cpu.luma[0, 0])


@needs_adapter
def test_a_painter_lays_grain_once() -> None:
    frame = flat_and_textured(96, 96)
    painted, expected = (
        painter_of("great-wave", engine=engine, precision="f32")(frame).i420.astype(int)
        for engine in ("webgpu", "openvino")
    )
    without = painter_of("great-wave", engine="openvino", precision="f32", grain=False)(frame)
    assert np.abs(painted - expected).max() <= 1
    assert np.abs(painted - without.i420).mean() > 0.05


# What is run, and what is refused ---------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
def test_every_style_has_the_wiring_of_a_generator(tier: str) -> None:
    for name in bundled_styles(tier):
        generator = read_generator(model_of(name, tier))
        assert [first.dilation for first, _ in generator.blocks] == [1, 4, 8, 2]
        assert generator.stem.weight.shape == (16, 6, 3, 3)
        assert [first.padding for first, _ in generator.blocks] == [2, 5, 9, 3]
    typed = read_generator(typed_model(model_of(name, tier), "f32"))  # casts are gone
    assert np.array_equal(typed.up.weight, generator.up.weight)


def changed_graphs(proto: ModelProto) -> Iterator[tuple[str, ModelProto]]:
    """Models with one fault each: another operator, input, attribute or constant."""
    count = len(proto.graph.node)

    def changed(change: Callable[[GraphProto], object]) -> ModelProto:
        other = ModelProto()
        other.CopyFrom(proto)
        change(other.graph)
        return other

    for number in range(count):
        node = proto.graph.node[number]
        if node.op_type == "Cast" and node.input[0].startswith(("body", "recolor", "range")):
            continue
        said = f"{number} {node.op_type}"
        yield said, changed(lambda g, n=number: setattr(g.node[n], "op_type", "Sigmoid"))
        for place in range(len(node.input)):
            yield (
                f"{said} input {place}",
                changed(lambda g, n=number, p=place: g.node[n].input.__setitem__(p, "high")),
            )
        for place, attribute in enumerate(node.attribute):
            if attribute.name == "strides" or (
                attribute.name == "dilations" and node.op_type == "Conv"
            ):
                continue  # read; sizes that do not fit are refused when passes are planned

            def change(graph: GraphProto, n: int = number, p: int = place) -> None:
                found = graph.node[n].attribute[p]
                found.i, found.f, found.s = found.i + 1, found.f + 1, found.s + b"x"
                found.ints[:] = [value + 1 for value in found.ints]

            yield f"{said} {attribute.name}", changed(change)
    for number, tensor in enumerate(proto.graph.initializer):
        if tensor.data_type == onnx.TensorProto.INT64 or not tensor.dims:
            values = numpy_helper.to_array(tensor)
            other = numpy_helper.from_array(values - np.asarray(1, values.dtype), tensor.name)
            yield tensor.name, changed(lambda g, n=number, o=other: g.initializer[n].CopyFrom(o))


def test_a_network_with_any_other_wiring_is_refused() -> None:
    proto = onnx.load_model_from_string(model_of("great-wave", "fast"))
    faults = 0
    for said, model in changed_graphs(proto):
        faults += 1
        try:
            generator = read_generator(model.SerializeToString())
            program_of(generator, weights_of(generator), (64, 64), (64, 64), Tile())
        except EngineError as error:
            assert "cannot load this model" in str(error), said  # noqa: PT017
        else:
            pytest.fail(f"{said} was not refused")
    assert faults > 300


@pytest.mark.parametrize(
    "model",
    [b"", b"not a model", affine_model().SerializeToString()],
    ids=["empty", "rubbish", "another network"],
)
def test_what_is_not_a_generator_is_refused(model: bytes) -> None:
    with pytest.raises(EngineError, match=r"cannot load this model.*choose another engine"):
        read_generator(model)


def test_buffers_are_used_again_but_never_while_they_are_needed() -> None:
    generator = read_generator(model_of("great-wave", "fast"))
    program = program_of(generator, weights_of(generator), (1280, 720), (640, 360), Tile())
    shared = shared_buffers(program)
    assert set(shared) == set(program.values)
    assert len(set(shared.values())) <= 4
    holds: dict[int, str] = {}
    for each in program.passes:
        for name in each.buffers[:-1]:
            assert name not in shared or holds[shared[name]] == name
        if each.buffers[-1] in shared:
            used = shared[each.buffers[-1]]
            assert used not in [shared.get(name) for name in each.buffers[:-1]]
            holds[used] = each.buffers[-1]
    assert 1.7e9 < program.multiply_adds < 2.1e9


# The choice, where there is a GPU --------------------------------------------------------------


def test_auto_takes_a_gpu_only_if_it_measured_faster_and_measures_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times_ms = {"gpu": 5.0, "cpu": 9.0}
    measured: list[Any] = []

    def picture_ms(engine: Any) -> float:
        measured.append(engine)
        return times_ms["cpu" if engine == "on the cpu" else "gpu"]

    class Fast:
        device, precision = str(GPU), "f16"

    monkeypatch.setattr(trial, "picture_ms", picture_ms)
    monkeypatch.setattr(trial, "adapters", lambda: [GPU])
    given: tuple[Any, ...] = (model_of("great-wave", "fast"), Fast(), "openvino")
    for _ in range(2):
        trial.refuse_slower(*given, lambda: "on the cpu")  # type: ignore[arg-type, return-value]
    assert len(measured) == 2
    times_ms["gpu"] = 12.0
    trial.refuse_slower(*given, lambda: "on the cpu")  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(trial, "adapters", lambda: [replace(GPU, driver="RADV 25")])
    with pytest.raises(EngineError, match="takes 12 ms for a picture of 720p, the CPU 9 ms"):
        trial.refuse_slower(*given, lambda: "on the cpu")  # type: ignore[arg-type, return-value]
    assert len(measured) == 4
    assert "removed 0.0 MB" in run_cli("engine", "clean").stderr
    monkeypatch.setattr(trial, "adapters", lambda: [GPU])
    with pytest.raises(EngineError, match="12 ms"):
        trial.refuse_slower(*given, lambda: "on the cpu")  # type: ignore[arg-type, return-value]


def test_the_fastest_workgroup_is_kept() -> None:
    times_ms = {tile: 10.0 + number for number, tile in enumerate(trial.TILES)}
    times_ms[Tile(32, 2)] = 2.0
    assert trial.best_tile("gpu", times_ms.__getitem__) == Tile(32, 2)
    assert trial.best_tile("gpu", lambda tile: pytest.fail("measured again")) == Tile(32, 2)
    assert trial.best_tile("other", lambda tile: tile.width) == Tile(8, 8)


@needs_adapter
def test_workgroups_are_tried_when_a_gpu_first_paints(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_style.engines.webgpu import engine as engine_module

    device = engine_module.open_device(0)
    monkeypatch.setattr(device, "adapter", replace(device.adapter, kind="IntegratedGPU"))
    monkeypatch.setattr(trial, "TILES", trial.TILES[:1])
    monkeypatch.setattr(engine_module, "noise", lambda: trial.noise((64, 48)))
    model = model_of("great-wave", "fast")
    tried: list[Tile] = []
    measure = engine_module.WebGpuEngine._picture_ms
    monkeypatch.setattr(
        engine_module.WebGpuEngine,
        "_picture_ms",
        lambda self, tile: tried.append(tile) or measure(self, tile),
    )
    for _ in range(2):
        engine = open_engine(model, EngineChoice("webgpu", "f32"))
        assert not engine.notes  # it is no software
        assert painted_by(engine, scene(96, 64))[0].std() > 5
    assert tried == [Tile(16, 4)]


@needs_adapter
def test_a_gpu_that_paints_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime_style.engines.webgpu import engine as engine_module

    device = engine_module.open_device(0)
    monkeypatch.setattr(device, "adapter", replace(device.adapter, kind="DiscreteGPU"))
    monkeypatch.setattr(engine_module, "best_tile", lambda *_: Tile())
    model, compared = model_of("great-wave", "fast"), []
    compare = trial.compared_db
    monkeypatch.setattr(
        trial, "compared_db", lambda *two: compared.append(compare(*two)) or compared[-1]
    )
    for _ in range(2):
        open_engine(model, EngineChoice("webgpu", "f32"))
    assert [decibels > 60 for decibels in compared] == [True]
    monkeypatch.setattr(trial, "compared_db", lambda *_: 12.3)
    monkeypatch.setattr(device, "adapter", replace(device.adapter, driver="a broken one"))
    with pytest.raises(EngineError, match=r"paints 12\.3 dB from the CPU, at least 50 are needed"):
        open_engine(model, EngineChoice("webgpu", "f32"))
    monkeypatch.setattr(device, "adapter", replace(device.adapter, driver="one without float16"))
    monkeypatch.setattr(
        trial, "compared_db", lambda engine, _: 12.3 if engine.precision == "f16" else 80.0
    )
    fallen = open_engine(model, EngineChoice("webgpu"))
    assert fallen.precision == "f32"
    assert re.match(r"f16 is not used: .* paints 12\.3 dB", fallen.notes[0])
    with pytest.raises(EngineError, match=r"in f16 paints 12\.3 dB"):
        open_engine(model, EngineChoice("webgpu", "f16"))


@needs_adapter
@pytest.mark.slow
def test_every_workgroup_paints_the_same() -> None:
    from realtime_style.engines.webgpu.engine import WebGpuEngine

    model, planes = model_of("great-wave", "fast"), scene(134, 70, 8.0)
    first, *others = (
        painted_by(WebGpuEngine(model, "f32", tile=tile), planes) for tile in trial.TILES[:2]
    )
    for other in others:
        assert all(map(np.array_equal, first, other))


@pytest.mark.parametrize(
    ("nodes", "found", "said"),
    [
        ([], [GPU], "this computer has no GPU"),
        (["/dev/dri/renderD128"], [], "no adapter"),
        (["/dev/dri/renderD128"], [replace(GPU, kind="CPU")], "a processor that imitates a GPU"),
        (["/dev/dri/renderD128"], [GPU], ""),
    ],
)
def test_auto_takes_no_software(
    monkeypatch: pytest.MonkeyPatch, nodes: list[str], found: list[Adapter], said: str
) -> None:
    if nodes == []:
        monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(
        adapters_module, "glob", lambda pattern: [n for n in nodes if "dri" in pattern]
    )
    monkeypatch.setattr(adapters_module, "adapters", lambda: found)
    trouble = "" if found else "WebGPU finds no adapter"
    monkeypatch.setattr(adapters_module, "adapter_trouble", lambda: trouble)
    assert said in adapters_module.software_trouble()
    assert bool(said) == bool(adapters_module.software_trouble())


def test_the_cpu_that_is_measured_is_the_one_that_would_paint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def refuse_slower(
        model: bytes, engine: Engine, name: str, open_it: Callable[[], Engine]
    ) -> None:
        asked.extend([name, open_it().name])

    monkeypatch.setattr(trial, "refuse_slower", refuse_slower)
    opening._refuse_slower(model_of("great-wave", "fast"), None)  # type: ignore[arg-type]
    assert asked == ["openvino", "openvino"]


def test_doctor_lists_adapters_with_their_limits() -> None:
    assert doctor._adapter_line(asdict(GPU)) == (
        "adapter 0  Radeon (Vulkan), GPU, float16, buffers of up to 2048 MB, 1024 threads and "
        "64 KB in a workgroup"
    )


def test_the_guide_says_what_passes_take() -> None:
    from webgpu import SIZES as BENCHMARKED
    from webgpu import passes_table

    guide = Path(__file__).parents[1] / "docs/guides/gpu.md"
    assert f"<!-- webgpu passes -->\n{passes_table(BENCHMARKED['720p'])}\n" in guide.read_text()
