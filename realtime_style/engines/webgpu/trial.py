"""Trials: whether a device paints right, and faster than the CPU, and which workgroups suit it.

Their results are kept in the cache of built engines.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from realtime_style.canvas import canvas_size
from realtime_style.engines.engine import Engine, Planes
from realtime_style.engines.graphs.precision import structure_digest
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.engines.webgpu.adapters import adapters
from realtime_style.engines.webgpu.program import Tile
from realtime_style.errors import EngineError
from realtime_style.system.cores import cpu_name_and_flags, usable_cores
from realtime_style.wording import counted

TRIAL_SIZE = (1280, 720)
"""Width and height of the pictures that trials paint."""

TILES = (Tile(16, 4), Tile(8, 8), Tile(32, 2), Tile(32, 4), Tile(16, 16))
"""The workgroups that are tried; adapters run at least 256 invocations together."""

MIN_PSNR_DB = {"f16": 40.0, "f32": 50.0}
"""How near paintings on other devices must be to the CPU's, by precision."""

_SMALL_SIZE = (192, 128)
_WARM_UPS = 3
_PICTURES = 12
_BUILDER = "webgpu trial 1"  # raised when kernels change how fast they are


def refuse_slower(
    model: bytes, engine: Engine, cpu_engine: str, open_on_cpu: Callable[[], Engine]
) -> None:
    """Refuses an engine that does not paint faster than the CPU.

    Both paint some pictures of 720p, only once for an adapter and a CPU.

    Args:
        model: what both run, a serialised ONNX model.
        engine: runs on one or several adapters.
        cpu_engine: the name of the engine that would paint instead.
        open_on_cpu: opens that engine.

    Raises:
        EngineError: the CPU is faster.
    """
    drivers = {str(each): each.identity for each in adapters()}
    cpu = f"{cpu_name_and_flags()[0]}, {counted(usable_cores(), 'core')}, {cpu_engine}"
    gpu = " and ".join(drivers.get(name, name) for name in engine.device.split(" and "))
    what = f"{gpu} in {engine.precision} against {cpu}: {structure_digest(model)}"
    measured = kept_trial(what, lambda: _both_ms(engine, open_on_cpu()))
    if measured["gpu_ms"] >= measured["cpu_ms"]:
        raise EngineError(
            f"{engine.device} takes {measured['gpu_ms']:.0f} ms for a picture of 720p, the CPU "
            f"{measured['cpu_ms']:.0f} ms (realtime-style engine clean measures again)"
        )


def refuse_wrong(
    model: bytes, engine: Engine, device: str, open_exact: Callable[[], Engine]
) -> float:
    """Refuses an engine that paints something else than the CPU in float32.

    Both paint a small picture, only once for a device and a shape of network.

    Args:
        model: what both run, a serialised ONNX model.
        engine: in f16 or f32, on a device on which nobody has tested it.
        device: everything about the device that its paintings depend on.
        open_exact: opens an engine on the CPU, in float32.

    Returns:
        How near the paintings are, in dB.

    Raises:
        EngineError: they are less than MIN_PSNR_DB from each other.
    """
    what = f"{engine.name} on {device} in {engine.precision}: {structure_digest(model)}"
    psnr_db = kept_trial(what, lambda: {"psnr_db": compared_db(engine, open_exact())})["psnr_db"]
    if psnr_db < MIN_PSNR_DB[engine.precision]:
        raise EngineError(
            f"{engine.device} in {engine.precision} paints {psnr_db:.1f} dB from the CPU, at least "
            f"{MIN_PSNR_DB[engine.precision]:.0f} are needed; choose another engine"
        )
    return psnr_db


def compared_db(engine: Engine, exact: Engine) -> float:
    """How near the paintings of a small picture by two engines are, in dB of luma."""
    planes = noise(_SMALL_SIZE)
    painted = [np.zeros_like(planes.luma) for _ in range(2)]
    for each, luma in zip((engine, exact), painted, strict=True):
        each.infer(planes, luma, np.zeros_like(planes.chroma))
    error = float(np.square(painted[0].astype(float) - painted[1]).mean())
    return 10 * math.log10(255**2 / max(error, 1e-9))


def kept_trial(what: str, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The result of a trial: measured the first time, then read from the cache.

    Args:
        what: everything that the result depends on.
        measure: returns figures by name.
    """
    cache = PlanCache()
    kept = _figures(cache.read_learned(_BUILDER, what))
    if kept is None:
        kept = measure()
        cache.write_learned(_BUILDER, what, json.dumps(kept).encode())
    return kept


def best_tile(what: str, measure_ms: Callable[[Tile], float]) -> Tile:
    """The workgroup with which an adapter is fastest; see `kept_trial`.

    Args:
        what: everything that the result depends on.
        measure_ms: how long a picture takes with a workgroup.
    """
    by_name = {f"{tile.width}x{tile.height}": tile for tile in TILES}
    times_ms = kept_trial(
        f"workgroups: {what}", lambda: {name: measure_ms(t) for name, t in by_name.items()}
    )
    return by_name[min(by_name, key=lambda name: times_ms.get(name, math.inf))]


def _figures(kept: bytes) -> dict[str, float] | None:
    try:
        return {str(name): float(value) for name, value in json.loads(kept).items()}
    except (AttributeError, TypeError, ValueError):  # nothing is kept, or it is another version's
        return None


def _both_ms(gpu: Engine, cpu: Engine) -> dict[str, float]:
    return {"gpu_ms": picture_ms(gpu), "cpu_ms": picture_ms(cpu)}


def picture_ms(
    engine: Engine, size: tuple[int, int] = TRIAL_SIZE, pictures: int = _PICTURES
) -> float:
    """How long an engine takes for each of some pictures, with as many in flight as it allows.

    Args:
        size: width and height of the pictures in pixels.
        pictures: how many are measured.
    """
    planes = noise(size)
    outs = [(np.zeros_like(planes.luma), np.zeros_like(planes.chroma))] * engine.in_flight
    waiting: list[Callable[[], None]] = []
    begun_s = 0.0
    for number in range(-_WARM_UPS, pictures):
        if number == 0:
            while waiting:
                waiting.pop(0)()
            begun_s = time.perf_counter()
        if len(waiting) == engine.in_flight:
            waiting.pop(0)()
        waiting.append(engine.begin(planes, *outs[number % len(outs)]))
    while waiting:
        waiting.pop(0)()
    return (time.perf_counter() - begun_s) * 1000 / pictures


def noise(size: tuple[int, int] = TRIAL_SIZE) -> Planes:
    """A picture of noise on the canvas of medium strokes."""
    rng: Any = np.random.default_rng(0)
    (width, height), (canvas_width, canvas_height) = size, canvas_size(*size)
    shapes = [
        (1, 1, height, width), (1, 2, height // 2, width // 2),
        (1, 1, canvas_height, canvas_width), (1, 2, canvas_height // 2, canvas_width // 2),
    ]  # fmt: skip
    return Planes(*(rng.integers(0, 256, shape, np.uint8) for shape in shapes))
