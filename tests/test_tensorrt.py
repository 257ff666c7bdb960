"""TensorRT without a GPU: the real parser and builder of TensorRT-RTX, and fakes of the rest."""

from __future__ import annotations

import gc
import os
from _thread import interrupt_main
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from fake_gpu import FakeCuda, FakeTensorRt, FakeTensorRtRtx

from realtime_style.color import ColorSpace
from realtime_style.engines.graphs.precision import (
    digest,
    nv12_model,
    structure_digest,
    typed_model,
)
from realtime_style.engines.multi_device import MultiDeviceEngine
from realtime_style.engines.tensorrt import builder, plan_cache
from realtime_style.engines.tensorrt import engine as tensorrt_engine
from realtime_style.engines.tensorrt.builder import PROFILES, Profile, build_engine
from realtime_style.engines.tensorrt.engine import TensorRtEngine
from realtime_style.engines.tensorrt.plan_cache import PlanCache, PlanKey
from realtime_style.errors import EngineError
from realtime_style.style.bundled import TIERS, bundled_styles, open_style

rng = np.random.default_rng(0)
KEY = PlanKey("0" * 64, "1080p", "f16", "tensorrt 10.13", "Fake GPU 0.0")


def model() -> bytes:
    style = open_style("starry-night")
    return style.model_for(style.color)


def planes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    luma = rng.integers(0, 256, (1, 1, height, width), dtype=np.uint8)
    chroma = rng.integers(0, 256, (1, 2, height // 2, width // 2), dtype=np.uint8)
    return luma, chroma


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def trt(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRt:
    fake = FakeTensorRt(cuda)
    monkeypatch.setattr(tensorrt_engine, "build_engine", fake.build)
    monkeypatch.setattr(tensorrt_engine, "refit_engine", fake.refit)
    return fake


def engine_of(trt: FakeTensorRt, folder: Path, **asked: object) -> TensorRtEngine:
    return TensorRtEngine(model(), "auto", trt, trt.cuda, PlanCache(folder), **asked)


# The engine ---------------------------------------------------------------------------------


def test_sizes_may_change_from_picture_to_picture(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    for height, width in ((720, 1280), (64, 96), (720, 1280), (1088, 1920), (48, 64)):
        luma, chroma = planes(height, width)
        out = np.zeros_like(luma), np.zeros_like(chroma)
        engine.infer(luma, chroma, *out)
        assert np.array_equal(out[0], 255 - luma)
        assert np.array_equal(out[1], chroma)
    assert trt.builds == 2  # webcam, then 1080p, which also holds the small sizes
    assert trt.cuda.launches == 5
    assert (engine.name, engine.precision) == ("tensorrt", "f16")


def test_kernels_that_rtx_compiles_are_cached(
    cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtx = FakeTensorRtRtx(cuda)
    monkeypatch.setattr(tensorrt_engine, "build_engine", rtx.build)
    for _ in range(2):
        engine = engine_of(rtx, tmp_path)
        for height, width in ((64, 96), (64, 96), (48, 64)):
            pair = planes(height, width)
            engine.infer(*pair, *map(np.zeros_like, pair))
    assert rtx.known == [b"kernels of [(1, 1, 48, 64)]"]  # in the second engine
    (path,) = tmp_path.glob("*.learned")
    path.write_bytes(path.read_bytes()[:-1])
    engine_of(rtx, tmp_path).prepare(64, 96)
    assert len(rtx.known) == 1  # damaged, so TensorRT must not see it


def test_three_pictures_are_in_flight_and_come_back_in_order(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    given = [planes(64, 64) for _ in range(9)]
    outs = [tuple(map(np.zeros_like, pair)) for pair in given]
    waits = []
    for i, (pair, out) in enumerate(zip(given, outs, strict=True)):
        pair = tuple(plane.copy() for plane in pair)
        waits.append(engine.begin(*pair, *out))
        pair[0].fill(0)  # the caller may reuse the planes after begin
        pair[1].fill(0)
        if i >= engine.in_flight - 1:
            waits.pop(0)()
    for wait in waits:
        wait()
    for (luma, chroma), out in zip(given, outs, strict=True):
        assert np.array_equal(out[0], 255 - luma)
        assert np.array_equal(out[1], chroma)
    assert len(trt.cuda.streams) == engine.in_flight
    assert [context.runs for context in trt.contexts] == [2] * 3  # once to warm up, once to capture


def test_more_pictures_than_can_be_in_flight_are_an_error(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    pair = planes(64, 64)
    for _ in range(engine.in_flight):
        engine.begin(*pair, *map(np.zeros_like, pair))
    with pytest.raises(EngineError, match="more pictures"):
        engine.begin(*pair, *map(np.zeros_like, pair))


def test_all_gpu_memory_is_freed(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    for side in (64, 1280, 1920, 2048, 64):
        engine.prepare(side, side)
    assert trt.cuda.left < trt.cuda.memory
    del engine
    gc.collect()
    assert trt.cuda.left == trt.cuda.memory
    assert (trt.cuda.host, trt.cuda.streams, trt.cuda.graphs) == ({}, {}, [])
    assert trt.cuda.buffers == {}


def test_it_may_be_used_in_another_thread_than_the_one_it_was_created_in(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    luma, chroma = planes(64, 64)
    out = np.zeros_like(luma), np.zeros_like(chroma)
    thread = Thread(target=engine.infer, args=(luma, chroma, *out))
    thread.start()
    thread.join()
    assert np.array_equal(out[0], 255 - luma)


def test_a_full_and_a_lost_gpu_are_errors_with_advice(trt: FakeTensorRt, tmp_path: Path) -> None:
    trt.cuda.left = trt.cuda.memory = 1 << 20
    with pytest.raises(EngineError, match="no memory left; paint at a smaller size"):
        engine_of(trt, tmp_path).prepare(1280, 720)
    trt.cuda.left = 1 << 30
    engine = engine_of(trt, tmp_path)
    pair = planes(64, 64)
    engine.infer(*pair, *map(np.zeros_like, pair))
    trt.cuda.lost = True
    with pytest.raises(EngineError, match="lost"):
        engine.infer(*pair, *map(np.zeros_like, pair))
    trt.cuda.lost = False


def test_sizes_that_do_not_fit_are_refused(trt: FakeTensorRt, tmp_path: Path) -> None:
    luma, _ = planes(48, 64)
    _, chroma = planes(32, 32)
    with pytest.raises(EngineError, match="do not fit together"):
        engine_of(trt, tmp_path).infer(luma, chroma, np.zeros_like(luma), np.zeros_like(chroma))


def test_a_size_outside_all_profiles_gets_its_own_engine_and_a_note(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    engine.prepare(8192, 64)
    assert "8192x64 is outside" in engine.notes[0]
    assert trt.builds == 2


def test_after_a_size_that_does_not_fit_in_memory_the_previous_one_still_paints(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    trt.cuda.left = trt.cuda.memory = 1 << 20
    engine = engine_of(trt, tmp_path)
    luma, chroma = planes(48, 64)
    for _ in range(2):
        out = np.zeros_like(luma), np.zeros_like(chroma)
        engine.infer(luma, chroma, *out)
        assert np.array_equal(out[0], 255 - luma)
        with pytest.raises(EngineError, match="no memory left"):
            engine.prepare(1280, 720)


def test_if_contexts_cannot_be_created_the_previous_size_still_paints(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    luma, chroma = planes(48, 64)
    for has_room in (True, False):
        out = np.zeros_like(luma), np.zeros_like(chroma)
        engine.infer(luma, chroma, *out)
        assert np.array_equal(out[0], 255 - luma)
        trt.has_room = has_room
    with pytest.raises(EngineError, match=r"cannot start the engine on this GPU.*openvino"):
        engine.prepare(1920, 1088)
    out = np.zeros_like(luma), np.zeros_like(chroma)
    engine.infer(luma, chroma, *out)
    assert np.array_equal(out[0], 255 - luma)


def test_slots_of_the_previous_engine_are_freed_at_once(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    previous = engine._slots  # still referred to, so only `close` can free them
    engine.prepare(1920, 1088)
    assert len(previous) == len(trt.cuda.streams) == 3
    assert len(trt.cuda.host) == 6


@pytest.mark.parametrize("wider", [96, 1400])  # in the same profile and in another
def test_the_size_cannot_change_while_a_picture_is_in_flight(
    trt: FakeTensorRt, tmp_path: Path, wider: int
) -> None:
    engine = engine_of(trt, tmp_path)
    pair, wide = planes(48, 64), planes(48, wider)
    out = tuple(map(np.zeros_like, pair))
    wait = engine.begin(*pair, *out)
    with pytest.raises(EngineError, match="the size changed"):
        engine.begin(*wide, *map(np.zeros_like, wide))
    wait()
    assert np.array_equal(out[0], 255 - pair[0])


def test_a_lost_gpu_is_not_reported_again_when_memory_is_freed(
    trt: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    trt.cuda.lost = True
    del engine
    gc.collect()
    assert capsys.readouterr().err == ""


def test_if_tensorrt_does_not_start_the_constructor_raises(
    trt: FakeTensorRt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "Runtime", lambda log: None)
    with pytest.raises(EngineError, match="TensorRT does not start"):
        engine_of(trt, tmp_path)


def test_after_cancel_calls_raise(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    engine.cancel()
    pair = planes(64, 64)
    with pytest.raises(EngineError, match="cancelled"):
        engine.infer(*pair, *map(np.zeros_like, pair))


def test_several_gpus_take_turns_and_keep_the_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    members = []
    for number in range(2):
        fake = FakeTensorRt(FakeCuda(number))
        monkeypatch.setattr(tensorrt_engine, "build_engine", fake.build)
        monkeypatch.setattr(tensorrt_engine, "refit_engine", fake.refit)
        members.append(engine_of(fake, tmp_path))
    engine = MultiDeviceEngine(members)
    parts: list[float] = []
    engine.prepare(64, 64, parts.append)
    assert parts == [0.5, 1.0]
    assert len(PlanCache(tmp_path).plans()) == 1  # the second GPU is of the same kind
    given = [planes(64, 64) for _ in range(20)]
    painted, waits = [], []
    for pair in given:
        out = tuple(map(np.zeros_like, pair))
        waits.append(engine.begin(*pair, *out))
        painted.append(out)
        if len(waits) == engine.in_flight:
            waits.pop(0)()
    for wait in waits:
        wait()
    for (luma, _), (found, _) in zip(given, painted, strict=True):
        assert np.array_equal(found, 255 - luma)
    assert [len(m._cuda.streams) for m in members] == [3, 3]
    assert [m._cuda.launches for m in members] == [10, 10]
    assert engine.device == "Fake GPU (GPU 0) and Fake GPU (GPU 1)"


# The cache of engines --------------------------------------------------------------------


def test_an_engine_is_built_once_and_found_in_the_cache(trt: FakeTensorRt, tmp_path: Path) -> None:
    parts: list[float] = []
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64, parts.append)
    assert parts == [0.5, 1.0]
    again: list[float] = []
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64, again.append)
    assert (trt.builds, again) == (1, [])
    engine.prepare(1920, 1088)
    assert trt.timing_caches == [b"", b"learned"]
    kept, other = PlanCache(tmp_path).plans()
    for plan in (kept, other):
        assert plan.key
        assert plan.key.device == "Fake GPU 0.0"
        assert plan.size > 0


@pytest.mark.parametrize("change", ["version", "device", "precision", "structure"])
def test_engines_for_anything_else_are_not_used(
    trt: FakeTensorRt, tmp_path: Path, change: str
) -> None:
    engine_of(trt, tmp_path).prepare(64, 64)
    precision, data = "auto", model()
    if change == "version":
        trt.__version__ = "10.14"
    elif change == "device":
        trt.cuda.gpu = replace(trt.cuda.gpu, name="Another")
    elif change == "precision":
        precision = "f32"
    else:
        proto = onnx.load_model_from_string(data)
        proto.graph.node[-1].name = "another"
        data = proto.SerializeToString()
    TensorRtEngine(data, precision, trt, trt.cuda, PlanCache(tmp_path)).prepare(64, 64)
    assert trt.builds == 2
    # An older version's is deleted, others stay
    assert len(PlanCache(tmp_path).plans()) == (1 if change == "version" else 2)


def test_an_engine_serves_requests_for_its_build_settings_and_for_any(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    builds = []
    for asked in ({}, {"level": 5}, {"level": 5}, {}, {"level": 5, "workspace_mb": 64}, {}):
        engine_of(trt, tmp_path, **asked).prepare(64, 64)
        builds.append(trt.builds)
    assert builds == [1, 2, 2, 2, 3, 3]
    (kept,) = PlanCache(tmp_path).plans()
    assert kept.key
    assert (kept.key.level, kept.key.workspace_mb) == (5, 64)


def test_when_the_cache_is_full_the_least_recently_used_engines_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_cache, "_MAX_PLANS", 2)
    cache = PlanCache(tmp_path)
    keys = [replace(KEY, model=str(i)) for i in range(4)]
    for i, key in enumerate(keys[:3]):
        cache.write(key, b"plan")
        (path,) = (plan.path for plan in cache.plans() if plan.key == key)
        os.utime(path, (i, i))
    assert cache.read(keys[0]) == b"plan"  # which makes it the most recently used
    cache.write(keys[3], b"plan")
    assert {plan.key for plan in cache.plans()} == {keys[0], keys[2], keys[3]}


def test_processes_may_write_and_delete_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_cache, "_MAX_PLANS", 3)

    def write(first: int) -> None:
        cache = PlanCache(tmp_path)
        for i in range(first, first + 150):
            cache.write(replace(KEY, model=str(i)), b"plan")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (0, 1000, 2000)))
    assert len(PlanCache(tmp_path).plans()) >= 3


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "other", "headless"])
def test_damaged_engines_are_rebuilt_with_a_note(
    trt: FakeTensorRt, tmp_path: Path, harm: str
) -> None:
    engine_of(trt, tmp_path).prepare(64, 64)
    (path,) = tmp_path.glob("*.plan")
    data = path.read_bytes()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    harmed = {
        "cut": data[:-3],
        "flipped": flipped,
        "empty": b"",
        "other": b"PNG",
        "headless": data[:40],
    }
    path.write_bytes(harmed[harm])
    assert [plan.key for plan in PlanCache(tmp_path).plans()] == [None]
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    assert trt.builds == 2
    assert "is damaged" in engine.notes[0]
    assert PlanCache(tmp_path).plans()[0].key


def test_styles_share_an_engine_that_is_refitted(trt: FakeTensorRt, tmp_path: Path) -> None:
    styles = [open_style(name) for name in list(bundled_styles())[:3]]
    for style in styles:
        data = style.model_for(ColorSpace())
        TensorRtEngine(data, "auto", trt, trt.cuda, PlanCache(tmp_path)).prepare(64, 64)
    assert trt.builds == 1
    assert trt.refitted == [typed_model(s.model_for(ColorSpace()), "f16") for s in styles[1:]]


def test_an_engine_that_cannot_be_refitted_is_rebuilt(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine_of(trt, tmp_path).prepare(64, 64)
    trt.refits = False
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    assert trt.builds == 2
    assert "cannot be used" in engine.notes[0]


def test_an_engine_that_tensorrt_refuses_is_rebuilt(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine_of(trt, tmp_path).prepare(64, 64)
    trt.refuses = b"plan 1280x1280 1"
    engine = engine_of(trt, tmp_path)
    engine.prepare(64, 64)
    assert trt.builds == 2
    assert "cannot be used" in engine.notes[0]


def test_a_folder_that_cannot_be_written_gives_a_note(trt: FakeTensorRt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = engine_of(trt, tmp_path / "file")
    engine.prepare(64, 64)
    assert "REALTIME_STYLE_CACHE" in engine.notes[0]


def test_the_folder_is_the_users_or_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REALTIME_STYLE_CACHE", str(tmp_path))
    assert PlanCache().folder == tmp_path
    monkeypatch.delenv("REALTIME_STYLE_CACHE")
    assert PlanCache().folder.name == "realtime-style"


def test_processes_may_store_the_same_engine_at_the_same_time(tmp_path: Path) -> None:
    plan = os.urandom(1 << 20)

    def keep_and_read(number: int) -> bool:
        cache = PlanCache(tmp_path)
        cache.write(KEY, plan)
        return cache.read(KEY) == plan and not cache.trouble

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(keep_and_read, range(32)))
    assert [path.suffix for path in tmp_path.iterdir()] == [".plan"]


def test_cleaning_deletes_the_cache_and_nothing_else(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.write(KEY, b"plan")
    cache.write_learned("tensorrt 10", "GPU", b"learned")
    (tmp_path / ".half-1.partial").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime/style.engine").write_bytes(b"engine of ONNX Runtime's provider")
    assert cache.clean() > 73
    assert list((tmp_path / "onnxruntime").iterdir()) == []
    (tmp_path / "onnxruntime").rmdir()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_timing_cache_with_a_wrong_byte_is_not_used(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    assert cache.read_learned("tensorrt 10", "GPU") == b""
    cache.write_learned("tensorrt 10", "GPU", b"learned")
    assert cache.read_learned("tensorrt 10", "GPU") == b"learned"
    assert cache.read_learned("tensorrt 11", "GPU") == b""
    (path,) = tmp_path.glob("*.learned")
    path.write_bytes(path.read_bytes()[:-1] + b"D")
    assert cache.read_learned("tensorrt 10", "GPU") == b""


# Half precision -----------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", list(bundled_styles()))
def test_f16_paints_nearly_the_same_as_f32(name: str, tier: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from PIL import Image

    from realtime_style.media.scaling import frame_from_rgb

    style = open_style(name, tier)
    whole = style.model_for(style.color)
    half = typed_model(whole, "f16")
    errors = []
    for photo in (data.astronaut(), data.coffee()):
        rgb = np.asarray(Image.fromarray(photo).resize((192, 160)))
        frame = frame_from_rgb(rgb, style.color)
        given = {"luma": frame.luma, "chroma": frame.chroma}
        outputs = [
            onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, given)
            for each in (whole, half)
        ]
        errors += [np.square(a.astype(float) - b) for a, b in zip(*outputs, strict=True)]
    assert 10 * np.log10(255**2 / np.concatenate([e.ravel() for e in errors]).mean()) > 40


def test_an_f16_model_has_no_f32_values() -> None:
    proto = onnx.load_model_from_string(typed_model(model(), "f16"))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    kinds = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    kinds |= {tensor.data_type for tensor in inferred.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds


def test_digests_are_of_the_network_and_the_structure_without_weights() -> None:
    proto = onnx.load_model_from_string(typed_model(model(), "f32"))

    def digests() -> tuple[str, str]:
        data = proto.SerializeToString()
        return digest(data), structure_digest(data)

    own = digests()
    proto.producer_name, proto.doc_string = "another", "described"
    proto.metadata_props[0].value = "{}"
    assert digests() == own  # the description does not count
    kernel = next(t for t in proto.graph.initializer if t.name == "head.weight")
    values = onnx.numpy_helper.to_array(kernel) + 1
    seen = {own[0]}
    for _ in range(2):
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
        assert digests()[1] == own[1]
        seen.add(digests()[0])
        kernel.ClearField("raw_data")
        kernel.float_data.extend(values.ravel().tolist())  # the other way to store them
        assert digests()[1] == own[1]
        seen.add(digests()[0])
        values = values + 1
    assert len(seen) == 5
    kernel.dims[0] += 1
    assert digests()[1] != own[1]


@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_nv12_chroma_is_painted_the_same(precision: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    plain = typed_model(model(), precision)
    luma, chroma = planes(64, 96)
    given = {"luma": luma, "chroma": chroma}
    expected = onnxruntime.InferenceSession(plain).run(None, given)
    given["chroma"] = np.ascontiguousarray(chroma.transpose(0, 2, 3, 1))
    painted = onnxruntime.InferenceSession(nv12_model(plain)).run(None, given)
    assert np.array_equal(painted[0], expected[0])
    assert np.array_equal(painted[1].transpose(0, 3, 1, 2), expected[1])


# The real builder ---------------------------------------------------------------------------


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")


def layer_types(model: bytes, trt) -> list[tuple[str, str, str]]:
    """Kind, input type and output type of each layer of a model, as TensorRT parses it."""
    log = builder.listening_log(trt)
    empty = builder.started(trt.Builder, log)
    network, _parser = builder.parsed(empty, model, trt, log)
    return [
        (layer.type.name, layer.get_input(0).dtype.name, layer.get_output(0).dtype.name)
        for layer in map(network.get_layer, range(network.num_layers))
        if layer.num_inputs
    ]


@pytest.mark.parametrize("tier", TIERS)
def test_tensorrt_builds_every_bundled_style(rtx, tier: str) -> None:
    halves = []
    for name in bundled_styles(tier):
        style = open_style(name, tier)
        halves.append(typed_model(style.model_for(style.color), "f16"))
        assert layer_types(halves[-1], rtx) == layer_types(halves[0], rtx)
    # They differ only in their weights, so one build stands for all
    assert len({structure_digest(half) for half in halves}) == 1
    assert len({digest(half) for half in halves}) == len(halves) == 12
    parts: list[float] = []
    plan, learned = build_engine(halves[0], PROFILES["4k"], rtx, on_build=parts.append)
    assert len(plan) > 100_000
    assert isinstance(learned, bytes)
    assert parts == sorted(parts)
    assert 0 < parts[-1] <= 1


def test_tensorrt_reads_f16_layers_with_uint8_only_in_casts(rtx) -> None:
    layers = layer_types(typed_model(model(), "f16"), rtx)
    convolutions = [layer for layer in layers if layer[0] == "CONVOLUTION"]
    assert len(convolutions) == 12
    assert all(layer[1:] == ("HALF", "HALF") for layer in convolutions)
    assert [layer for layer in layers if "UINT8" in layer] == (
        [("CAST", "UINT8", "HALF")] * 2 + [("CAST", "HALF", "UINT8")] * 2
    )
    assert not any("FLOAT" in layer for layer in layers)
    assert {"FLOAT"} <= {kind for layer in layer_types(model(), rtx) for kind in layer}


def test_the_nv12_model_builds_too(rtx) -> None:
    half = nv12_model(typed_model(model(), "f16"))
    plan, _ = build_engine(half, PROFILES["1080p"], rtx)
    assert len(plan) > 100_000
    layers = layer_types(half, rtx)
    assert not any("FLOAT" in layer for layer in layers)
    assert not [layer for layer in layers if "UINT8" in layer and layer[0] != "CAST"]


def test_data_that_is_not_a_model_is_refused_with_tensorrts_reason(rtx) -> None:
    with pytest.raises(EngineError, match="does not accept this model"):
        build_engine(b"no model", PROFILES["webcam"], rtx)


def test_a_build_ends_with_ctrl_c(rtx) -> None:
    parts: list[float] = []

    def stop(part: float) -> None:
        parts.append(part)
        if len(parts) == 1:
            interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        build_engine(typed_model(model(), "f16"), PROFILES["4k"], rtx, on_build=stop)


def test_progress_sums_up_nested_phases_and_can_stop_the_build(rtx) -> None:
    parts: list[float] = []
    progress = builder._progress(rtx, parts.append)
    progress.phase_start("all", None, 2)
    progress.phase_start("some", "all", 4)
    assert progress.step_complete("some", 0)
    assert progress.step_complete("some", 3)
    progress.phase_finish("some")
    assert progress.step_complete("all", 0)
    assert progress.step_complete("unheard of", 0)
    assert parts == [0.125, 0.5]
    progress.stopping.set()
    assert not progress.step_complete("all", 1)


@pytest.mark.parametrize("rtx_like", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_a_build_is_configured_for_its_library(rtx_like: bool, known: bool) -> None:
    log: list[object] = []

    def set_timing_cache(cache: bytes, *, ignore_mismatch: bool) -> bool:
        log.append(("timing cache", cache, ignore_mismatch))
        return known or not cache

    config = SimpleNamespace(
        add_optimization_profile=lambda sizes: log.append("sizes"),
        set_flag=lambda flag: log.append(flag),
        create_timing_cache=lambda data: data,
        set_timing_cache=set_timing_cache,
    )
    sizes = SimpleNamespace(set_shape=lambda *shapes: log.append(shapes))
    fake = SimpleNamespace(
        create_builder_config=lambda: config, create_optimization_profile=lambda: sizes
    )
    inputs = [
        SimpleNamespace(name="luma", shape=(1, 1, -1, -1)),
        SimpleNamespace(name="chroma", shape=(1, -1, -1, 2)),
    ]
    network = SimpleNamespace(num_inputs=2, get_input=inputs.__getitem__)
    trt = SimpleNamespace(
        BuilderFlag=SimpleNamespace(REFIT="refittable"),
        ProfilingVerbosity=SimpleNamespace(DETAILED="detailed"),
    )
    if rtx_like:
        trt.IRuntimeCache = object
    profile = Profile((32, 36), (640, 480), (1280, 720))
    assert builder._config(fake, network, profile, trt, b"learned") is config
    shapes = [
        ("luma", (1, 1, 36, 32), (1, 1, 480, 640), (1, 1, 720, 1280)),
        ("chroma", (1, 18, 16, 2), (1, 240, 320, 2), (1, 360, 640, 2)),
        "sizes",
    ]
    learned, new = ("timing cache", b"learned", False), ("timing cache", b"", False)
    refit = [] if rtx_like else ["refittable", learned, *([] if known else [new])]
    assert log == [*shapes, *refit]
    assert config.profiling_verbosity == "detailed"


def test_profiles_hold_their_sizes_in_both_orientations() -> None:
    profile = Profile((32, 32), (640, 480), (1280, 720))
    assert profile.holds(1280, 720)
    assert profile.holds(32, 32)
    assert not profile.holds(720, 1280)
    assert not profile.holds(16, 64)
    for name, (width, height) in {
        "webcam": (720, 1280), "1080p": (1088, 1920), "4k": (2160, 3840)
    }.items():  # fmt: skip
        assert PROFILES[name].holds(width, height)
        assert PROFILES[name].holds(height, width)
