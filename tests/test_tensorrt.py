"""TensorRT without a GPU: the real parser and builder of TensorRT-RTX, and fakes of the rest."""

from __future__ import annotations

import gc
import os
from _thread import interrupt_main
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from av.video.reformatter import VideoReformatter
from conftest import affine_style
from fake_gpu import FakeCuda, FakeTensorRt, FakeTensorRtRtx

from realtime_style.canvas import MAX_STROKES, MIN_STROKES, STROKE_SIZES, canvas_size
from realtime_style.color import ColorSpace
from realtime_style.engines.engine import GpuPicture, Planes
from realtime_style.engines.graphs.canvas import reducing_model, reduction, reductions
from realtime_style.engines.graphs.precision import (
    digest,
    nv12_model,
    outer_casts,
    structure_digest,
    typed_model,
)
from realtime_style.engines.multi_device import MultiDeviceEngine
from realtime_style.engines.tensorrt import builder, plan_cache
from realtime_style.engines.tensorrt import engine as tensorrt_engine
from realtime_style.engines.tensorrt.builder import (
    PROFILES,
    Profile,
    SizeRange,
    build_engine,
    input_shapes,
)
from realtime_style.engines.tensorrt.engine import TensorRtEngine
from realtime_style.engines.tensorrt.plan_cache import PlanCache, PlanKey
from realtime_style.errors import EngineError
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import frame_from_rgb, reduced_frame
from realtime_style.style.bundled import TIERS, bundled_styles, open_style
from realtime_style.tools.demo import draw_scene

rng = np.random.default_rng(0)
KEY = PlanKey("0" * 64, "1080p", "f16", "tensorrt 10.13", "Fake GPU 0.0")


SMALL = (64, 64)  # a size of pictures and of canvases


def model() -> bytes:
    return affine_style(gain=-1, bias=255)


def planes(height: int, width: int, canvas: tuple[int, int] | None = None) -> Planes:
    """A picture of noise, with a canvas of other noise."""
    size = width, height
    shapes = input_shapes(size, canvas or canvas_size(*size), gpu_frames=False)
    return Planes(*(rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes.values()))


def true_model() -> bytes:
    """A style's network, whose canvas matters."""
    style = open_style("great-wave")
    return style.model_for(style.color)


def outs_of(given: Planes) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros_like(given.luma), np.zeros_like(given.chroma)


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
    sizes = [(720, 1280), (64, 96), (720, 1280), (1080, 1920), (50, 66)]
    for height, width in sizes:
        given = planes(height, width)
        out = outs_of(given)
        engine.infer(given, *out)
        assert np.array_equal(out[0], 255 - given.luma)
        assert np.array_equal(out[1], given.chroma)
        assert np.array_equal(trt.canvas, given.canvas_luma[0, 0])
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
            given = planes(height, width)
            engine.infer(given, *outs_of(given))
    assert rtx.known == [b"kernels of [(1, 1, 48, 64)]"]  # in the second engine
    (path,) = tmp_path.glob("*.learned")
    path.write_bytes(path.read_bytes()[:-1])
    engine_of(rtx, tmp_path).prepare((96, 64), SMALL)
    assert len(rtx.known) == 1  # damaged, so TensorRT must not see it


def test_three_pictures_are_in_flight_and_come_back_in_order(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    given = [planes(64, 64) for _ in range(9)]
    outs = [outs_of(picture) for picture in given]
    waits, canvases = [], []

    def wait() -> None:
        waits.pop(0)()
        canvases.append(trt.canvas)

    for i, (picture, out) in enumerate(zip(given, outs, strict=True)):
        copied = picture.copy()
        waits.append(engine.begin(copied, *out))
        for plane in copied:
            plane.fill(0)  # the caller may reuse the planes after begin
        if i >= engine.in_flight - 1:
            wait()
    while waits:
        wait()
    for picture, out, canvas in zip(given, outs, canvases, strict=True):
        assert np.array_equal(out[0], 255 - picture.luma)
        assert np.array_equal(out[1], picture.chroma)
        assert np.array_equal(canvas, picture.canvas_luma[0, 0])
    assert len(trt.cuda.streams) == engine.in_flight
    assert [context.runs for context in trt.contexts] == [2] * 3  # once to warm up, once to capture


def test_more_pictures_than_can_be_in_flight_are_an_error(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    given = planes(64, 64)
    for _ in range(engine.in_flight):
        engine.begin(given, *outs_of(given))
    with pytest.raises(EngineError, match="more pictures"):
        engine.begin(given, *outs_of(given))


def test_all_gpu_memory_is_freed(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    for side in (64, 1280, 1920, 2048, 64):
        engine.prepare((side, side), SMALL)
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
    engine.prepare(SMALL, SMALL)
    given = planes(64, 64)
    out = outs_of(given)
    thread = Thread(target=engine.infer, args=(given, *out))
    thread.start()
    thread.join()
    assert np.array_equal(out[0], 255 - given.luma)


def test_a_full_and_a_lost_gpu_are_errors_with_advice(trt: FakeTensorRt, tmp_path: Path) -> None:
    trt.cuda.left = trt.cuda.memory = 1 << 20
    with pytest.raises(EngineError, match="no memory left; paint at a smaller size"):
        engine_of(trt, tmp_path).prepare((1280, 720), (640, 360))
    trt.cuda.left = 1 << 30
    engine = engine_of(trt, tmp_path)
    given = planes(64, 64)
    engine.infer(given, *outs_of(given))
    trt.cuda.lost = True
    with pytest.raises(EngineError, match="lost"):
        engine.infer(given, *outs_of(given))
    trt.cuda.lost = False


@pytest.mark.parametrize("wrong", ["chroma", "canvas_chroma", "out_luma", "out_chroma"])
def test_planes_that_do_not_fit_are_refused(trt: FakeTensorRt, tmp_path: Path, wrong: str) -> None:
    given, other = planes(48, 64), planes(32, 32)
    out_luma, out_chroma = outs_of(other if wrong == "out_luma" else given)
    if wrong == "out_chroma":
        out_chroma = other.chroma
    elif wrong != "out_luma":
        given = given._replace(**{wrong: getattr(other, wrong)})
    with pytest.raises(EngineError, match="do not fit together"):
        engine_of(trt, tmp_path).infer(given, out_luma, out_chroma)


def test_a_size_outside_all_profiles_gets_its_own_engine_and_a_note(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL)
    engine.prepare((8192, 64), (512, 32))
    assert "8192x64, painted on a canvas of 512x32, is outside" in engine.notes[0]
    assert trt.builds == 2
    engine.prepare((8192, 64), (1024, 64))
    assert "8192x64, painted on a canvas of 1024x64, is outside" in engine.notes[1]
    engine.prepare((64, 64), (8, 8))
    assert "64x64, painted on a canvas of 8x8, is outside" in engine.notes[2]
    assert trt.builds == 4


def test_after_a_size_that_does_not_fit_in_memory_the_previous_one_still_paints(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    trt.cuda.left = trt.cuda.memory = 1 << 20
    engine = engine_of(trt, tmp_path)
    given = planes(48, 64)
    for _ in range(2):
        out = outs_of(given)
        engine.infer(given, *out)
        assert np.array_equal(out[0], 255 - given.luma)
        with pytest.raises(EngineError, match="no memory left"):
            engine.prepare((1280, 720), (640, 360))


def test_if_contexts_cannot_be_created_the_previous_size_still_paints(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    engine = engine_of(trt, tmp_path)
    given = planes(48, 64)
    for has_room in (True, False):
        out = outs_of(given)
        engine.infer(given, *out)
        assert np.array_equal(out[0], 255 - given.luma)
        trt.has_room = has_room
    with pytest.raises(EngineError, match=r"cannot start the engine on this GPU.*openvino"):
        engine.prepare((1920, 1080), (640, 360))
    out = outs_of(given)
    engine.infer(given, *out)
    assert np.array_equal(out[0], 255 - given.luma)


def test_slots_of_the_previous_engine_are_freed_at_once(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL)
    previous = engine._slots  # still referred to, so only `close` can free them
    engine.prepare((1920, 1080), (640, 360))
    assert len(previous) == len(trt.cuda.streams) == 3
    assert len(trt.cuda.host) == 6


@pytest.mark.parametrize(
    "other",
    [planes(48, 96), planes(48, 1400), planes(48, 64, (32, 32))],
    ids=["of the same profile", "of another profile", "on another canvas"],
)
def test_the_size_cannot_change_while_a_picture_is_in_flight(
    trt: FakeTensorRt, tmp_path: Path, other: Planes
) -> None:
    engine = engine_of(trt, tmp_path)
    given = planes(48, 64)
    out = outs_of(given)
    wait = engine.begin(given, *out)
    with pytest.raises(EngineError, match="the size changed"):
        engine.begin(other, *outs_of(other))
    wait()
    assert np.array_equal(out[0], 255 - given.luma)


def test_a_lost_gpu_is_not_reported_again_when_memory_is_freed(
    trt: FakeTensorRt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL)
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
    given = planes(64, 64)
    with pytest.raises(EngineError, match="cancelled"):
        engine.infer(given, *outs_of(given))


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
    engine.prepare(SMALL, SMALL, parts.append)
    assert parts == [0.5, 1.0]
    assert len(PlanCache(tmp_path).plans()) == 1  # the second GPU is of the same kind
    given = [planes(64, 64) for _ in range(20)]
    painted, waits = [], []
    for picture in given:
        out = outs_of(picture)
        waits.append(engine.begin(picture, *out))
        painted.append(out)
        if len(waits) == engine.in_flight:
            waits.pop(0)()
    for wait in waits:
        wait()
    for picture, (found, _) in zip(given, painted, strict=True):
        assert np.array_equal(found, 255 - picture.luma)
    assert [len(m._cuda.streams) for m in members] == [3, 3]
    assert [m._cuda.launches for m in members] == [10, 10]
    assert engine.device == "Fake GPU (GPU 0) and Fake GPU (GPU 1)"


# Pictures in GPU memory ----------------------------------------------------------------------


def in_gpu_memory(cuda: FakeCuda, width: int, height: int) -> tuple[GpuPicture, list[np.ndarray]]:
    """A picture in NV12 whose rows have a pitch; and its rows of luma and of chroma."""
    cuda.use()
    pitch = width + 12
    luma, chroma = cuda.take(pitch * height), cuda.take(pitch * height // 2)
    rows = [
        cuda.at(at, pitch * count).reshape(count, pitch)[:, :width]
        for at, count in ((luma, height), (chroma, height // 2))
    ]
    return GpuPicture(width, height, luma, pitch, chroma, pitch), rows


@pytest.mark.parametrize("precision", ["f16", "f32"])
def test_pictures_in_gpu_memory_are_painted_there(
    trt: FakeTensorRt, tmp_path: Path, precision: str
) -> None:
    engine = TensorRtEngine(model(), precision, trt, trt.cuda, PlanCache(tmp_path), gpu_frames=True)
    for size, canvas in (((66, 50), (64, 48)), ((96, 64), (48, 32)), ((96, 64), (40, 32))):
        picture, (luma, chroma) = in_gpu_memory(trt.cuda, *size)
        painted, (painted_luma, painted_chroma) = in_gpu_memory(trt.cuda, *size)
        engine.begin_gpu_picture(picture, painted, canvas)()
        assert np.array_equal(painted_luma, 255 - luma)
        assert np.array_equal(painted_chroma, chroma)
        small = reduction(size[1], canvas[1]) @ luma @ reduction(size[0], canvas[0]).T
        assert np.abs(trt.canvas - small).max() < (0.2 if precision == "f16" else 1e-3)
        assert trt.cuda.host == {}  # the matrices are sent only once
    assert trt.builds == 1
    with pytest.raises(EngineError, match="another size"):
        engine.begin_gpu_picture(picture, in_gpu_memory(trt.cuda, 64, 64)[0], canvas)


# The cache of engines --------------------------------------------------------------------


def test_an_engine_is_built_once_and_found_in_the_cache(trt: FakeTensorRt, tmp_path: Path) -> None:
    parts: list[float] = []
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL, parts.append)
    assert parts == [0.5, 1.0]
    again: list[float] = []
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL, again.append)
    assert (trt.builds, again) == (1, [])
    engine.prepare((1920, 1080), (640, 360))
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
    engine_of(trt, tmp_path).prepare(SMALL, SMALL)
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
    TensorRtEngine(data, precision, trt, trt.cuda, PlanCache(tmp_path)).prepare(SMALL, SMALL)
    assert trt.builds == 2
    # An older version's is deleted, others stay
    assert len(PlanCache(tmp_path).plans()) == (1 if change == "version" else 2)


def test_an_engine_serves_requests_for_its_build_settings_and_for_any(
    trt: FakeTensorRt, tmp_path: Path
) -> None:
    builds = []
    for asked in ({}, {"level": 5}, {"level": 5}, {}, {"level": 5, "workspace_mb": 64}, {}):
        engine_of(trt, tmp_path, **asked).prepare(SMALL, SMALL)
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
    engine_of(trt, tmp_path).prepare(SMALL, SMALL)
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
    engine.prepare(SMALL, SMALL)
    assert trt.builds == 2
    assert "is damaged" in engine.notes[0]
    assert PlanCache(tmp_path).plans()[0].key


def test_styles_share_an_engine_that_is_refitted(trt: FakeTensorRt, tmp_path: Path) -> None:
    models = [affine_style(gain) for gain in (1, 0.5, 0)]
    for data in models:
        TensorRtEngine(data, "auto", trt, trt.cuda, PlanCache(tmp_path)).prepare(SMALL, SMALL)
    assert trt.builds == 1
    assert trt.refitted == [typed_model(outer_casts(data), "f16") for data in models[1:]]


def test_an_engine_that_cannot_be_refitted_is_rebuilt(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine_of(trt, tmp_path).prepare(SMALL, SMALL)
    trt.refits = False
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL)
    assert trt.builds == 2
    assert "cannot be used" in engine.notes[0]


def test_an_engine_that_tensorrt_refuses_is_rebuilt(trt: FakeTensorRt, tmp_path: Path) -> None:
    engine_of(trt, tmp_path).prepare(SMALL, SMALL)
    trt.refuses = b"plan 1280x1280 1"
    engine = engine_of(trt, tmp_path)
    engine.prepare(SMALL, SMALL)
    assert trt.builds == 2
    assert "cannot be used" in engine.notes[0]


def test_a_folder_that_cannot_be_written_gives_a_note(trt: FakeTensorRt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    engine = engine_of(trt, tmp_path / "file")
    engine.prepare(SMALL, SMALL)
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


def with_canvas(frame: Frame, canvas: tuple[int, int]) -> Planes:
    """A frame with its canvas, as `Stylizer` makes it."""
    small = reduced_frame(frame, canvas, VideoReformatter(), FramePool())
    return Planes(frame.luma, frame.chroma, small.luma, small.chroma)


# Half precision -----------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", list(bundled_styles()))
def test_f16_paints_nearly_the_same_as_f32(name: str, tier: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    from PIL import Image

    style = open_style(name, tier)
    whole = style.model_for(style.color)
    half = typed_model(outer_casts(whole), "f16")
    errors = []
    for photo in (data.astronaut(), data.coffee()):
        rgb = np.asarray(Image.fromarray(photo).resize((192, 160)))
        given = with_canvas(frame_from_rgb(rgb, style.color), (96, 80))._asdict()
        outputs = [
            onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, given)
            for each in (whole, half)
        ]
        errors += [np.square(a.astype(float) - b) for a, b in zip(*outputs, strict=True)]
    assert 10 * np.log10(255**2 / np.concatenate([e.ravel() for e in errors]).mean()) > 40


@pytest.mark.parametrize("rewrite", [outer_casts, lambda m: reducing_model(outer_casts(m))])
def test_an_f16_model_has_no_f32_values(rewrite: Callable[[bytes], bytes]) -> None:
    proto = onnx.load_model_from_string(typed_model(rewrite(true_model()), "f16"))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    kinds = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    kinds |= {value.type.tensor_type.elem_type for value in inferred.graph.input}
    kinds |= {tensor.data_type for tensor in inferred.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert onnx.TensorProto.FLOAT not in kinds


def test_digests_are_of_the_network_and_the_structure_without_weights() -> None:
    proto = onnx.load_model_from_string(typed_model(true_model(), "f32"))

    def digests() -> tuple[str, str]:
        data = proto.SerializeToString()
        return digest(data), structure_digest(data)

    own = digests()
    proto.producer_name, proto.doc_string = "another", "described"
    proto.metadata_props[0].value = "{}"
    assert digests() == own  # the description does not count
    kernel = next(t for t in proto.graph.initializer if t.name == "body.head.weight")
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


# The model for pictures in GPU memory --------------------------------------------------------


def gpu_model(data: bytes, precision: str) -> bytes:
    return typed_model(nv12_model(reducing_model(outer_casts(data))), precision)


@pytest.mark.parametrize(("precision", "least_db"), [("f16", 55.0), ("f32", 100.0)])
def test_the_model_for_gpu_memory_reduces_the_picture_itself(
    precision: str, least_db: float
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    plain = onnxruntime.InferenceSession(typed_model(outer_casts(true_model()), precision))
    proto = onnx.load_model_from_string(gpu_model(true_model(), precision))
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    float_type = np.float16 if precision == "f16" else np.float32
    for size, canvas in (((96, 64), (96, 64)), ((130, 98), (64, 48)), ((192, 128), (64, 40))):
        frame = frame_from_rgb(draw_scene(1.0, *size), ColorSpace())
        matrices = reductions(size, canvas)
        small = (
            matrices[f"{name}_rows"] @ plane.astype(np.float32) @ matrices[f"{name}_columns"]
            for name, plane in (("luma", frame.luma), ("chroma", frame.chroma))
        )
        codes = (plane.round().astype(np.uint8) for plane in small)
        expected = plain.run(None, Planes(frame.luma, frame.chroma, *codes)._asdict())
        given = {name: matrix.astype(float_type) for name, matrix in matrices.items()}
        given["luma"] = frame.luma
        given["chroma"] = np.ascontiguousarray(frame.chroma.transpose(0, 2, 3, 1))
        shapes = input_shapes(size, canvas, gpu_frames=True)
        assert {name: value.shape for name, value in given.items()} == shapes
        luma, chroma = session.run(None, given)
        apart = [
            luma - expected[0].astype(int),
            chroma.transpose(0, 3, 1, 2) - expected[1].astype(int),
        ]
        if size == canvas:  # otherwise the canvas of the other model is rounded
            error = np.square(np.concatenate([each.ravel() for each in apart])).mean()
            assert 10 * np.log10(255**2 / max(error, 1e-9)) > least_db
        assert max(np.abs(each).mean() for each in apart) < 0.5
        assert luma.std() > 20


@pytest.mark.parametrize(("larger", "smaller"), [(96, 96), (96, 48), (98, 32), (90, 88), (50, 8)])
def test_matrices_reduce_as_pytorch_does(larger: int, smaller: int) -> None:
    torch = pytest.importorskip("torch", reason="the extra [train] is not installed")
    values = torch.rand(1, 1, larger, larger, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(
        values, (smaller, smaller), mode="bilinear", antialias=True
    )
    matrix = reduction(larger, smaller)
    found = matrix @ values.numpy()[0, 0] @ matrix.T
    assert np.allclose(found, expected.numpy()[0, 0], atol=1e-5)


@pytest.mark.parametrize("size", [(1280, 720), (1000, 562)])
def test_matrices_reduce_as_frames_in_host_memory_are_reduced(size: tuple[int, int]) -> None:
    frame = frame_from_rgb(draw_scene(1.0, *size), ColorSpace())
    canvas = canvas_size(*size)
    planes = with_canvas(frame, canvas)
    matrices = reductions(size, canvas)
    for name, plane, small in (
        ("luma", planes.luma, planes.canvas_luma),
        ("chroma", planes.chroma, planes.canvas_chroma),
    ):
        found = matrices[f"{name}_rows"] @ plane.astype(np.float32) @ matrices[f"{name}_columns"]
        difference = (small - found)[:, :, 2:-2, 2:-2]  # swscale repeats edges
        assert np.abs(difference).mean() < 0.3  # it rounds, which is 0.25 on average
        assert abs(difference.mean()) < 0.1
        assert np.abs(difference).max() < 3


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
        halves.append(typed_model(outer_casts(style.model_for(style.color)), "f16"))
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


@pytest.mark.parametrize("gpu_frames", [False, True])
def test_tensorrt_reads_f16_layers_with_uint8_only_in_casts(rtx, gpu_frames: bool) -> None:
    data = true_model()
    half = gpu_model(data, "f16") if gpu_frames else typed_model(outer_casts(data), "f16")
    layers = layer_types(half, rtx)
    convolutions = [layer for layer in layers if layer[0] == "CONVOLUTION"]
    assert len(convolutions) == 18
    assert all(layer[1:] == ("HALF", "HALF") for layer in convolutions)
    planes_in = 2 if gpu_frames else 4
    assert [layer for layer in layers if "UINT8" in layer] == (
        [("CAST", "UINT8", "HALF")] * planes_in + [("CAST", "HALF", "UINT8")] * 2
    )
    products = [layer[1:] for layer in layers if layer[0] == "MATRIX_MULTIPLY"]
    assert products == ([("HALF", "HALF")] * 4 if gpu_frames else [])
    assert not any("FLOAT" in layer for layer in layers)


@pytest.mark.parametrize("profile", [*PROFILES.values(), Profile.of_size((66, 50), (64, 48))])
def test_the_model_for_gpu_memory_builds_too(rtx, profile: Profile) -> None:
    plan, _ = build_engine(gpu_model(true_model(), "f16"), profile, rtx)
    assert len(plan) > 100_000


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
        build_engine(
            typed_model(outer_casts(true_model()), "f16"), PROFILES["4k"], rtx, on_build=stop
        )


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


@pytest.mark.parametrize("gpu_frames", [False, True])
@pytest.mark.parametrize("rtx_like", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_a_build_is_configured_for_its_library(
    rtx_like: bool, known: bool, gpu_frames: bool
) -> None:
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
    canvas = ("luma_rows", "luma_columns") if gpu_frames else ("canvas_luma", "canvas_chroma")
    inputs = [SimpleNamespace(name=name) for name in ("luma", "chroma", *canvas)]
    network = SimpleNamespace(num_inputs=4, get_input=inputs.__getitem__)
    trt = SimpleNamespace(
        BuilderFlag=SimpleNamespace(REFIT="refittable"),
        ProfilingVerbosity=SimpleNamespace(DETAILED="detailed"),
    )
    if rtx_like:
        trt.IRuntimeCache = object
    profile = Profile(
        SizeRange((32, 36), (640, 480), (1280, 720)), SizeRange((24, 16), (480, 360), (960, 480))
    )
    assert builder._config(fake, network, profile, trt, b"learned") is config
    shapes: list[object] = [("luma", (1, 1, 36, 32), (1, 1, 480, 640), (1, 1, 720, 1280))]
    if gpu_frames:
        shapes += [
            ("chroma", (1, 18, 16, 2), (1, 240, 320, 2), (1, 360, 640, 2)),
            ("luma_rows", (16, 36), (360, 480), (480, 720)),
            ("luma_columns", (32, 24), (640, 480), (1280, 960)),
        ]
    else:
        shapes += [
            ("chroma", (1, 2, 18, 16), (1, 2, 240, 320), (1, 2, 360, 640)),
            ("canvas_luma", (1, 1, 16, 24), (1, 1, 360, 480), (1, 1, 480, 960)),
            ("canvas_chroma", (1, 2, 8, 12), (1, 2, 180, 240), (1, 2, 240, 480)),
        ]
    learned, new = ("timing cache", b"learned", False), ("timing cache", b"", False)
    refit = [] if rtx_like else ["refittable", learned, *([] if known else [new])]
    assert log == [*shapes, "sizes", *refit]
    assert config.profiling_verbosity == "detailed"


def test_profiles_hold_their_sizes_in_both_orientations() -> None:
    profile = Profile.of_range(SizeRange((32, 32), (640, 480), (1280, 720)))
    assert profile.canvases == SizeRange((32, 32), (480, 360), (1280, 720))
    assert profile.holds((1280, 720), (640, 360))
    assert profile.holds((32, 32), (32, 32))
    assert not profile.holds((720, 1280), (360, 640))
    assert not profile.holds((16, 64), (32, 64))
    assert not profile.holds((64, 64), (16, 64))
    for name, (width, height) in {
        "webcam": (720, 1280), "1080p": (1080, 1920), "4k": (2160, 3840)
    }.items():  # fmt: skip
        assert PROFILES[name].holds((width, height), canvas_size(width, height))
        assert PROFILES[name].holds((height, width), canvas_size(height, width))


@pytest.mark.parametrize("strokes", [MIN_STROKES, *STROKE_SIZES.values(), MAX_STROKES])
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_hold_strokes_of_all_sizes(name: str, strokes: float) -> None:
    sides = (16, 34, 88, 98, 360, 804, 1080, 1280, 1920, 3840, 4096)
    for size in product(sides, sides):
        if PROFILES[name].pictures.holds(size):
            assert PROFILES[name].holds(size, canvas_size(*size, strokes))


def test_the_text_of_a_profile_has_all_its_sizes() -> None:
    one = Profile.of_size((64, 48), (32, 24))
    assert str(one) == "64x48 64x48 64x48 (canvas 32x24 32x24 32x24)"
    assert str(replace(one, canvases=SizeRange((8, 8), (32, 24), (64, 48)))) != str(one)
