"""Tests every engine, encoder and decoder on this machine, by using it."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import av
import numpy as np

from realtime_style import __version__
from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.registry import ENGINES, engine_trouble
from realtime_style.engines.tensorrt.cuda import gpu_trouble, gpus
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.engines.webgpu.adapters import adapters
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.devices import list_cameras
from realtime_style.live.virtual_camera import VirtualCameraSink
from realtime_style.media.encoding import Encoding, is_hardware
from realtime_style.media.film_sink import FileSink
from realtime_style.painting.chain import build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.system.cores import cpu_name_and_flags, usable_cores
from realtime_style.system.paths import temporary_folder
from realtime_style.wording import counted

_PACKAGES = (
    "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "cuda-python", "wgpu",
    "av", "onnx", "numpy", "torch",
)  # fmt: skip
_ENCODERS = (
    "libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1",
    "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "h264_amf",
    "h264_videotoolbox", "hevc_videotoolbox",
)  # fmt: skip
_DECODERS = ("h264", "hevc", "av1", "libdav1d", "vp9", "mpeg4", "prores", "ffv1", "gif")
_TRIAL_SIZE = (128, 192)  # height and width in pixels
_TRIAL_S = 20.0  # seconds until a window counts as not working


def examine() -> dict[str, Any]:
    """Tests this machine. It takes some seconds, and raises nothing.

    Returns:
        A report of values that JSON can hold:

        - "version", "python", "system": text
        - "cpu": see `describe_cpu`
        - "packages": version by name; None where not installed
        - "engines": for each engine and precision, whether it painted a picture ("works"), and
          its "device", or the "reason" why not
        - "gpus": the NVIDIA GPUs; "gpu_trouble": why none can be used, or ""
        - "adapters": what WebGPU can use, with limits; empty where wgpu is not installed
        - "engine_cache": folder, number of engines, size in MB, and trouble
        - "encoders", "decoders": whether they work, by name
        - "chosen": what "auto" takes, as in "engines"
        - "live": camera names; what is wrong with windows and the virtual camera, or ""
    """
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": describe_cpu(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "engines": [
            _try_engine(name, precision)
            for name in ENGINES
            for precision in ENGINES[name].precisions
        ],
        "chosen": _try_engine("auto", "auto"),
        "gpus": [asdict(gpu) for gpu in gpus()],
        "gpu_trouble": gpu_trouble(),
        "adapters": [asdict(adapter) for adapter in adapters()],
        "engine_cache": _describe_cache(),
        "encoders": {name: _encodes(name) for name in _ENCODERS},
        "decoders": {name: name in av.codecs_available for name in _DECODERS},
        "live": {
            "cameras": [name for name, _ in list_cameras()],
            "window": _window_trouble(),
            "virtual_camera": _virtual_camera_trouble(),
        },
    }


def table(report: dict[str, Any]) -> str:
    """The report of `examine` as human-readable text."""
    cpu = report["cpu"]
    flags = " ".join(cpu["flags"]) or "no AVX2"
    if not cpu["flags_known"]:
        flags = "its instructions are not known"
    lines = [
        f"realtime-style {report['version']}, Python {report['python']}, {report['system']}",
        f"CPU        {cpu['name']}, {counted(cpu['cores'], 'core')}, {flags}",
    ]
    for name, found in report["packages"].items():
        lines.append(f"package    {name} {found or 'is not installed'}")
    for gpu in report["gpus"]:
        lines.append(
            f"GPU {gpu['number']}      {gpu['name']}, compute capability {gpu['capability']}, "
            f"{gpu['memory_mb']} MB"
        )
    if report["gpu_trouble"]:
        lines.append(f"GPU        {report['gpu_trouble']}")
    lines += (_adapter_line(adapter) for adapter in report["adapters"])
    for engine in report["engines"]:
        if report["gpu_trouble"] and ENGINES[engine["name"]].is_nvidia:
            continue  # one line for the GPU is enough
        state = f"works on {engine['device']}" if engine["works"] else engine["reason"]
        lines.append(f"engine     {engine['name']} {engine['precision']}: {state}")
    cache = report["engine_cache"]
    lines.append(
        f"cache      {cache['trouble']}"
        if cache["trouble"]
        else f"cache      {counted(cache['engines'], 'built engine')}, {cache['mb']} MB, in "
        f"{cache['folder']}"
    )
    for kind in ("encoders", "decoders"):
        works = [name for name, found in report[kind].items() if found]
        lines.append(f"{kind}   {', '.join(works)}")
    missing = [name for name, found in report["encoders"].items() if not found]
    if missing:
        lines.append(f"missing    {', '.join(missing)} (hardware encoders need their device)")
    live = report["live"]
    lines.append(f"cameras    {', '.join(live['cameras']) or 'none connected'}")
    lines.append(f"window     {live['window'] or 'works'}")
    lines.append(f"virtual    {live['virtual_camera'] or 'camera works'}")
    return "\n".join([*lines, "", *verdict(report)])


def _adapter_line(adapter: dict[str, Any]) -> str:
    """An adapter of a report as a line of the table."""
    kinds = {"DiscreteGPU": "GPU", "IntegratedGPU": "GPU in the processor", "CPU": "software"}
    return (
        f"adapter {adapter['number']}  {adapter['name']} ({adapter['backend']}), "
        f"{kinds.get(adapter['kind'], 'another device')}, "
        f"{'float16' if adapter['has_half'] else 'float32 only'}, buffers of up to "
        f"{adapter['max_buffer_mb']} MB, {adapter['workgroup_threads']} threads and "
        f"{adapter['workgroup_memory_kb']} KB in a workgroup"
    )


def can_paint(report: dict[str, Any]) -> bool:
    """Whether the machine of a report can paint films."""
    return bool(report["chosen"]["works"] and report["encoders"].get("libx264"))


def hardware_encoders(report: dict[str, Any]) -> list[str]:
    """The encoders of a report that work on a device of their own."""
    return [name for name, works in report["encoders"].items() if works and is_hardware(name)]


def verdict(report: dict[str, Any]) -> list[str]:
    """What the machine of a report can do, in sentences; the first is about films."""
    chosen, live = report["chosen"], report["live"]
    if not chosen["works"]:
        said = [f"This computer cannot paint: {chosen['reason']}."]
    elif not can_paint(report):
        said = ["This computer cannot paint films: H.264 cannot be encoded (libx264)."]
    else:
        where = f"{chosen['name']} in {chosen['precision']}, on {chosen['device']}"
        said = [f"This computer paints films and pictures, with {where}."]
    if live["window"]:
        said.append(f"Live painting has no window: {live['window']}. It can record and stream.")
    elif not live["cameras"]:
        said.append("Live painting works; no camera is connected, but films can be played.")
    else:
        said.append(f"Live painting works, with {', '.join(live['cameras'])}.")
    if hardware := hardware_encoders(report):
        said.append(
            f"Its hardware encodes films ({', '.join(hardware)}), which leaves the processor to "
            "the painting."
        )
    if report["gpu_trouble"]:
        said.append("No NVIDIA GPU can be used, and none is needed.")
    return said


def describe_cpu() -> dict[str, Any]:
    """The CPU: "name", usable "cores", "flags" (instruction sets for networks), "flags_known"."""
    name, flags = cpu_name_and_flags()
    known = flags is not None
    return {
        "name": name, "cores": usable_cores(), "flags": list(flags or ()), "flags_known": known,
    }  # fmt: skip


def _describe_cache() -> dict[str, Any]:
    cache = PlanCache()
    plans = cache.plans()
    total = sum(plan.size for plan in plans)
    return {
        "folder": str(cache.folder), "engines": len(plans), "mb": round(total / 1e6, 1),
        "trouble": cache.trouble,
    }  # fmt: skip


def version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _try_engine(name: str, precision: str) -> dict[str, Any]:
    report: dict[str, Any] = {"name": name, "precision": precision, "works": False}
    if name != "auto" and (trouble := engine_trouble(name)):
        return report | {"reason": trouble}
    try:
        plan = PaintPlan(engine=EngineChoice(name, precision), stability=0, grain=False)
        painter = build_painter(plan, ColorSpace())
        picture = np.random.default_rng(0).integers(0, 256, (*_TRIAL_SIZE, 3), dtype=np.uint8)
        painted = painter.paint_rgb(picture)
    except StyleError as error:
        return report | {"reason": str(error)}
    if painted.std() < 1:
        return report | {"reason": f"it paints nothing on {painter.engine.device}"}
    engine = painter.engine
    return report | {
        "works": True, "name": engine.name, "precision": engine.precision, "device": engine.device
    }  # fmt: skip


def _window_trouble() -> str:
    """Why no window can be opened, or ""; tested in a separate process, which may crash."""
    trial = "from realtime_style.live.opencv_window import Window; Window('trial', 64, 48).close()"
    try:
        done = subprocess.run(
            [sys.executable, "-c", trial], capture_output=True, text=True, timeout=_TRIAL_S
        )
    except subprocess.TimeoutExpired:
        return "does not open"
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["the display killed the process"])[-1]
    return last.partition("MediaError: ")[2] or last


def _virtual_camera_trouble() -> str:
    try:
        with VirtualCameraSink((640, 360), 30):
            return ""
    except StyleError as error:
        return str(error)


def _encodes(name: str) -> bool:
    color, size = ColorSpace(), 256
    info = StreamInfo(size, size, Fraction(25), Fraction(1, 25), color)
    frame = Frame(np.full((size * 3 // 2, size), 128, np.uint8), 0, info.time_base, color)
    with temporary_folder() as folder:
        path = folder / "trial.mkv"
        try:
            with FileSink(path, info, encoding=Encoding(name)) as sink:
                sink.write(frame)
        except StyleError:
            return False
        return path.stat().st_size > 0
