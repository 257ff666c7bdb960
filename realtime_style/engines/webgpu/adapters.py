"""The adapters of this machine: GPUs that WebGPU can use, and processors that imitate one."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from functools import cache
from glob import glob
from importlib.util import find_spec
from typing import Any

from realtime_style.errors import EngineError

_BACKENDS = ("Vulkan", "Metal", "DX12")  # OpenGL would list each adapter a second time
_ORDER = ("DiscreteGPU", "IntegratedGPU", "VirtualGPU", "Other", "CPU")
_GPU_NODES = ("/dev/dri/renderD*", "/dev/nvidia[0-9]*", "/dev/dxg")
_DRIVER_HINT = (
    "install the driver of your graphics card, with Vulkan (on Debian and Ubuntu: "
    "apt install mesa-vulkan-drivers)"
)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter.

    Attributes:
        number: what `EngineChoice.devices` calls it, from 0; GPUs come before software.
        name: human-readable.
        backend: "Vulkan", "Metal" or "D3D12".
        kind: "DiscreteGPU", "IntegratedGPU", "VirtualGPU", "CPU" or "Other".
        driver: name and version of the driver; may be empty.
        has_half: whether it stores float16.
        has_timestamps: whether it measures how long passes take.
        max_buffer_mb: size of the largest buffer that a kernel may use, in MB.
        workgroup_threads: how many invocations may work together at most.
        workgroup_memory_kb: memory that these share, in KB.
    """

    number: int
    name: str
    backend: str
    kind: str
    driver: str
    has_half: bool
    has_timestamps: bool
    max_buffer_mb: int
    workgroup_threads: int
    workgroup_memory_kb: int

    @property
    def is_software(self) -> bool:
        """Whether a processor imitates a GPU, which is slower than the engines for CPUs."""
        return self.kind == "CPU"

    @property
    def identity(self) -> str:
        """What measurements of it depend on."""
        return f"{self.name}, {self.backend}, {self.driver}"

    def __str__(self) -> str:
        return f"{self.name} ({self.backend})"


def adapters() -> list[Adapter]:
    """All adapters, GPUs first; empty where wgpu is not installed."""
    return [_described(number, each) for number, each in enumerate(_natives())]


def adapter_trouble() -> str:
    """Why no adapter can be used, and what to do; "" if one can."""
    if not find_spec("wgpu"):
        return "wgpu is not installed"
    if _failure():
        return f"WebGPU does not start ({_failure()}); {_DRIVER_HINT}"
    return "" if _natives() else f"WebGPU finds no adapter; {_DRIVER_HINT}"


def software_trouble() -> str:
    """Why no GPU can be used: there is none, or software imitates one; "" if one can."""
    if sys.platform == "linux" and not any(map(glob, _GPU_NODES)):
        return "this computer has no GPU"  # without starting wgpu, which takes half a second
    if trouble := adapter_trouble():
        return trouble
    first = adapters()[0]
    return f"{first} is a processor that imitates a GPU" if first.is_software else ""


def native_adapter(number: int) -> Any:
    """The adapter of a number, as wgpu has it; raises EngineError if there is none."""
    if trouble := adapter_trouble():
        raise EngineError(trouble, setting="engine")
    found = _natives()
    if number >= len(found):
        raise EngineError(
            f"there is no adapter {number}; this computer has {len(found)}, numbered from 0: "
            + ", ".join(str(each) for each in adapters()),
            setting="devices",
        )
    return found[number]


def _described(number: int, native: Any) -> Adapter:
    info, limits, features = native.info, native.limits, native.features
    return Adapter(
        number=number,
        name=str(info["device"] or info["description"]).strip(),
        backend=str(info["backend_type"]),
        kind=str(info["adapter_type"]),
        driver=str(info["description"]).strip(),
        has_half="shader-f16" in features,
        has_timestamps="timestamp-query" in features,
        max_buffer_mb=min(limits["max-buffer-size"], limits["max-storage-buffer-binding-size"])
        >> 20,
        workgroup_threads=limits["max-compute-invocations-per-workgroup"],
        workgroup_memory_kb=limits["max-compute-workgroup-storage-size"] >> 10,
    )


def _natives() -> list[Any]:
    return _found()[0]


def _failure() -> str:
    return _found()[1]


@cache
def _found() -> tuple[list[Any], str]:
    """All adapters as wgpu has them, in order, and why they cannot be listed; asked only once."""
    if not find_spec("wgpu"):
        return [], ""
    try:
        import wgpu
        from wgpu.backends.wgpu_native import extras
    except (ImportError, OSError, RuntimeError) as error:  # its library does not load here
        return [], str(error).strip().splitlines()[0]
    logging.getLogger("wgpu").setLevel(logging.CRITICAL)  # errors are raised as well
    if sys.platform == "linux" and "XDG_RUNTIME_DIR" not in os.environ:
        # Mesa's layer that picks an adapter asks the desktop, and complains where there is none
        os.environ.setdefault("NODEVICE_SELECT", "1")
    with contextlib.suppress(Exception):  # another part of the program has started it already
        extras.set_instance_extras(backends=_BACKENDS)
    try:
        natives = list(wgpu.gpu.enumerate_adapters_sync())
    except Exception as error:  # of drivers, which share no base class
        return [], str(error).strip().splitlines()[0]
    wanted = [each for each in natives if each.info["backend_type"] != "OpenGL"]
    return sorted(wanted, key=lambda each: _rank(each.info["adapter_type"])), ""


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else _ORDER.index("Other")
