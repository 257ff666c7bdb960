"""An adapter that was started, with the kernels that were compiled for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import wgpu

from realtime_style.engines.webgpu.adapters import Adapter, adapters, native_adapter
from realtime_style.engines.webgpu.program import Pass
from realtime_style.errors import EngineError

_LIMITS = ("max-buffer-size", "max-storage-buffer-binding-size")
_UNIFORM_STRIDE = 256  # bytes; uniforms begin at multiples of this
_UNIFORM_BYTES = 64

_LOST = re.compile(r"device .*(lost|invalid|destroyed)|is (lost|destroyed)", re.I)

_devices: dict[int, Device] = {}


def open_device(number: int) -> Device:
    """The started adapter of a number, which all engines share; a lost one is started again.

    Raises:
        EngineError: there is no such adapter, or it does not start.
    """
    device = _devices.get(number)
    if device is None or device.is_lost:
        device = _devices[number] = Device(number)
    return device


class Device:
    """A started adapter.

    Attributes:
        adapter: what it is.
        native: wgpu's device.
        is_lost: whether it has failed; then nothing on it works any more.
    """

    def __init__(self, number: int) -> None:
        native = native_adapter(number)
        self.adapter: Adapter = adapters()[number]
        self.is_lost = False
        features = [name for name in ("shader-f16", "timestamp-query") if name in native.features]
        try:
            self.native = native.request_device_sync(
                required_features=features,
                required_limits={name: native.limits[name] for name in _LIMITS},
            )
        except Exception as error:  # of drivers, which share no base class
            raise EngineError(f"{self.adapter} does not start: {_reason(error)}") from error
        self._pipelines: dict[tuple[str, tuple[tuple[str, int | bool], ...], str], Any] = {}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns wgpu's errors into EngineError; a lost device is noted."""
        try:
            yield
        except (wgpu.GPUError, RuntimeError, ValueError, OSError) as error:
            said = _reason(error)
            # Whatever it was, the next engine gets a new device
            self.is_lost = True
            if _LOST.search(str(error)):
                raise EngineError(
                    f"WebGPU failed: {self.adapter} was lost, after a fault of its driver or "
                    "because another program used it up; try again, or choose another engine"
                ) from error
            raise EngineError(f"WebGPU failed: {said}") from error

    def pipeline(self, each: Pass, precision: str) -> Any:
        """The compiled kernel of a pass; each is compiled only once."""
        key = (each.kernel, each.constants, precision)
        if key not in self._pipelines:
            module = self.native.create_shader_module(code=source_of(each, precision))
            self._pipelines[key] = self.native.create_compute_pipeline(
                layout="auto", compute={"module": module, "entry_point": "main"}
            )
        return self._pipelines[key]

    def buffer(self, size_bytes: int, *, is_read_back: bool = False) -> Any:
        """A new buffer. Raises EngineError if the adapter has none of this size."""
        if size_bytes > self.adapter.max_buffer_mb << 20:
            raise EngineError(
                f"WebGPU failed: such pictures need a buffer of {size_bytes >> 20} MB, and "
                f"{self.adapter} has at most {self.adapter.max_buffer_mb} MB; paint a smaller size"
            )
        usage = wgpu.BufferUsage.COPY_DST | (
            wgpu.BufferUsage.MAP_READ
            if is_read_back
            else wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
        )
        return self.native.create_buffer(size=-(-size_bytes // 16) * 16, usage=usage)

    def filled_buffer(self, values: np.ndarray[Any, Any]) -> Any:
        """A new buffer that holds values."""
        buffer = self.buffer(values.nbytes)
        self.native.queue.write_buffer(buffer, 0, values)
        return buffer

    def uniforms(self, passes: Sequence[Pass]) -> list[dict[str, Any]]:
        """The uniform of each pass, as what a binding takes."""
        values = np.zeros((len(passes), _UNIFORM_STRIDE // 4), np.int32)
        for row, each in zip(values, passes, strict=True):
            row[: len(each.shape)] = each.shape
        buffer = self.native.create_buffer(
            size=values.nbytes, usage=wgpu.BufferUsage.UNIFORM | wgpu.BufferUsage.COPY_DST
        )
        self.native.queue.write_buffer(buffer, 0, values)
        return [
            {"buffer": buffer, "offset": i * _UNIFORM_STRIDE, "size": _UNIFORM_BYTES}
            for i in range(len(passes))
        ]

    def bind_group(self, each: Pass, precision: str, resources: Sequence[dict[str, Any]]) -> Any:
        """The resources of a pass in the order of its bindings."""
        return self.native.create_bind_group(
            layout=self.pipeline(each, precision).get_bind_group_layout(0),
            entries=[{"binding": i, "resource": r} for i, r in enumerate(resources)],
        )


def source_of(each: Pass, precision: str) -> str:
    """The WGSL of a pass: its constants and the type of its values, then its kernel."""
    real = "f16" if precision == "f16" else "f32"
    head = ["enable f16;"] if real == "f16" else []
    head += [f"alias real = {real};", f"alias real4 = vec4<{real}>;"]
    for name, value in each.constants:
        kind = "bool" if isinstance(value, bool) else "i32"
        head.append(f"const {name}: {kind} = {str(value).lower()};")
    return "\n".join([*head, _kernel(each.kernel)])


@cache
def _kernel(name: str) -> str:
    return (files(__package__) / "kernels" / f"{name}.wgsl").read_text("utf-8")


def _reason(error: Exception) -> str:
    """What wgpu says last: it begins with a title, and names the cause at the end."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
