from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import affine_style

from realtime_style import engines
from realtime_style.engines import ENGINES, Engine, available_engines, open_engine
from realtime_style.errors import EngineError
from realtime_style.style import open_style, parse_style

rng = np.random.default_rng(0)


def planes(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    luma = rng.integers(0, 256, (1, 1, height, width), dtype=np.uint8)
    chroma = rng.integers(0, 256, (1, 2, height // 2, width // 2), dtype=np.uint8)
    return luma, chroma


def negative() -> bytes:
    style = parse_style(affine_style(gain=-1, bias=255))
    return style.model_for(style.color)


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param not in available_engines():
        pytest.skip(f"{request.param} is not installed")
    return open_engine(negative(), request.param, "f32")


def test_every_engine_paints_into_the_given_arrays(engine: Engine) -> None:
    luma, chroma = planes(48, 64)
    kept = luma.copy()
    out_luma, out_chroma = np.zeros_like(luma), np.zeros_like(chroma)
    engine.infer(luma, chroma, out_luma, out_chroma)
    assert np.array_equal(out_luma, 255 - luma.astype(int))
    assert np.array_equal(out_chroma, chroma)
    assert np.array_equal(luma, kept)


def test_every_engine_takes_views_of_one_buffer_and_changing_sizes(engine: Engine) -> None:
    for height, width in ((48, 64), (16, 16), (200, 120), (48, 64), (720, 1280)):
        i420 = rng.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
        out = np.zeros_like(i420)
        half = (1, 2, height // 2, width // 2)
        engine.infer(
            i420[:height][None, None],
            i420[height:].reshape(half),
            out[:height][None, None],
            out[height:].reshape(half),
        )
        assert np.array_equal(out[:height], 255 - i420[:height])
        assert np.array_equal(out[height:], i420[height:])


def test_every_engine_forgets_former_frames(engine: Engine) -> None:
    frames = [planes(32, 32) for _ in range(4)]
    painted = []
    for luma, chroma in (*frames, *frames):
        out = np.zeros_like(luma), np.zeros_like(chroma)
        engine.infer(luma, chroma, *out)
        painted.append(out[0])
    for first, second in zip(painted[:4], painted[4:], strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("name", list(ENGINES))
def test_every_engine_can_be_cancelled(name: str) -> None:
    if name not in available_engines():
        pytest.skip(f"{name} is not installed")
    style = open_style("starry-night")
    engine = open_engine(style.model_for(style.color), name, "f32")
    large = planes(4096, 4096)
    errors: list[EngineError] = []

    def paint() -> None:
        try:
            engine.infer(*large, *(np.zeros_like(plane) for plane in large))
        except EngineError as error:
            errors.append(error)

    thread = Thread(target=paint)
    thread.start()
    while thread.is_alive():  # again and again: the call may not have begun
        engine.cancel()
        time.sleep(0.01)
    thread.join()
    assert len(errors) == 1


def test_every_engine_says_what_and_where_it_is(engine: Engine) -> None:
    assert engine.name in ENGINES
    assert engine.precision == "f32"
    assert engine.device


def test_every_engine_refuses_sizes_that_do_not_fit(engine: Engine) -> None:
    luma, _ = planes(48, 64)
    _, chroma = planes(32, 32)
    with pytest.raises(EngineError, match="failed"):
        engine.infer(luma, chroma, np.zeros_like(luma), np.zeros_like(chroma))


@pytest.mark.parametrize("name", list(ENGINES))
def test_every_engine_refuses_a_broken_model(name: str) -> None:
    if name not in available_engines():
        pytest.skip(f"{name} is not installed")
    with pytest.raises(EngineError, match="cannot load"):
        open_engine(b"not a model", name)


def test_bfloat16_is_used_or_refused_by_name() -> None:
    if open_engine(negative(), "openvino", "auto").precision == "bf16":
        assert open_engine(negative(), "openvino", "bf16").precision == "bf16"
    else:
        with pytest.raises(EngineError, match="--precision f32"):
            open_engine(negative(), "openvino", "bf16")
    if "onnxruntime" in available_engines():
        with pytest.raises(EngineError, match="--engine openvino"):
            open_engine(negative(), "onnxruntime", "bf16")


def test_what_is_not_there_is_an_error_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda module: None)
    with pytest.raises(EngineError, match=r"pip install onnxruntime"):
        open_engine(negative(), "onnxruntime")
    with pytest.raises(EngineError, match="pip install openvino"):
        open_engine(negative())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(EngineError, match="choose auto, openvino, onnxruntime"):
        open_engine(negative(), "abacus")
    with pytest.raises(EngineError, match="choose auto, f32, bf16"):
        open_engine(negative(), precision="f8")


def test_the_runtime_never_imports_torch_nor_opencv(tmp_path: Path) -> None:
    code = """
import sys
import realtime_style.cli
from realtime_style.style import bundled_styles
for name in realtime_style.__all__:
    getattr(realtime_style, name)
style = next(iter(bundled_styles()), None)
assert style, "no bundled style"
import numpy
realtime_style.open_stylizer(style).paint_rgb(numpy.zeros((32, 32, 3), numpy.uint8))
heavy = {"torch", "cv2", "tensorboard", "safetensors", "onnxscript"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_signals_are_handled_after_engines_came_and_went(identity_style: Path) -> None:
    code = (
        "import faulthandler, gc, signal, sys; faulthandler.enable()\n"
        "from realtime_style import open_stylizer\n"
        "first = open_stylizer(sys.argv[1], engine='openvino')\n"
        "for _ in range(3):\n"
        "    first = open_stylizer(sys.argv[1], engine='openvino'); gc.collect()\n"
        "del first; gc.collect()\n"
        "signal.signal(signal.SIGINT, lambda *_: print('handled'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(identity_style)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
