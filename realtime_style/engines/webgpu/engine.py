"""WebGPU on any GPU: Vulkan, Metal or Direct3D 12, in float16 or float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import wgpu
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, Planes
from realtime_style.engines.graphs.precision import structure_digest
from realtime_style.engines.sized_networks import SizedNetworks
from realtime_style.engines.webgpu.adapters import Adapter
from realtime_style.engines.webgpu.device import Device, open_device
from realtime_style.engines.webgpu.generator import read_generator
from realtime_style.engines.webgpu.program import (
    WIDE_BUFFERS,
    GrainPasses,
    PlanesLayout,
    Program,
    Sizes,
    Tile,
    program_of,
    shared_buffers,
)
from realtime_style.engines.webgpu.trial import best_tile, noise
from realtime_style.engines.webgpu.weights import as_bytes, weights_of
from realtime_style.errors import EngineError

_IN_FLIGHT = 2
_SMALL = (64, 64)
_TRIALS = 4  # pictures for each workgroup; the first one also compiles it


class WebGpuEngine(Engine):
    """A style as compute passes on a GPU.

    Values between passes are stored in the precision's type; all sums are float32.
    """

    name = "webgpu"

    def __init__(
        self,
        model: bytes,
        precision: str = "auto",
        number: int = 0,
        *,
        in_flight: int | None = 1,
        tile: Tile | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Reads the network and starts the adapter; passes are planned for each size.

        Args:
            model: a serialised ONNX model, from `Style.model_for`.
            precision: "f16", "f32", or "auto" for f16 where the adapter has it.
            number: the number of the adapter, see `adapters`.
            in_flight: see `open_engine`.
            tile: how many invocations work together; None tries which are fastest on a GPU, when
                it first paints, and keeps the result.
            notes: see `Engine`.

        Raises:
            EngineError: the network is not a generator, there is no such adapter, it does not
                start, or it does not have the precision.
        """
        super().__init__(notes)
        self._generator = read_generator(model)
        self._weights = weights_of(self._generator)
        self._grain: GrainPasses | None = None
        self._tile = tile
        # Refuses layers that do not fit together
        program_of(self._generator, self._weights, _SMALL, _SMALL, Tile())
        self._device = open_device(number)
        adapter = self._device.adapter
        if precision == "f16" and not adapter.has_half:
            raise EngineError(
                f"{adapter} does not store float16 (shader-f16); f32 works", setting="precision"
            )
        self.precision = "f16" if precision != "f32" and adapter.has_half else "f32"
        self.device = str(adapter)
        if adapter.is_software:
            self.notes.append(
                f"{adapter} is a processor that imitates a GPU, which is slow; use another engine"
            )
        self.in_flight = 1 if in_flight == 1 else _IN_FLIGHT
        with self._device.errors():
            kernels = as_bytes(self._weights.kernels, self.precision)
            self._buffers = {
                "kernels": self._device.filled_buffer(kernels),
                "constants": self._device.filled_buffer(self._weights.constants),
            }
        self._trial = f"{adapter.identity} in {self.precision}: {structure_digest(model)}"
        if adapter.is_software or not adapter.has_timestamps:
            self._tile = self._tile or Tile()
        self._networks = SizedNetworks[_Network]()
        self._cancelled = False

    @property
    def adapter(self) -> Adapter:
        """What it runs on."""
        return self._device.adapter

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """See `Engine.prepare`."""
        self._networks.of_size(size, canvas, self._load)

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`."""
        _refuse_unfitting(planes, out_luma, out_chroma)
        self._refuse_cancelled()
        network = self._networks.of_size(planes.size, planes.canvas, self._load)
        with self._device.errors():
            slot = network.start(planes)
        return partial(self._finish, slot, out_luma, out_chroma)

    def _finish(self, slot: _Slot, out_luma: Plane, out_chroma: Plane) -> None:
        with self._device.errors():
            slot.finish(out_luma, out_chroma)
        self._refuse_cancelled()

    def lay_grain(self, tile: NDArray[np.int16], limits: Sequence[int]) -> bool:
        """See `Engine.lay_grain`."""
        with self._device.errors():
            self._buffers["grain tile"] = self._device.filled_buffer(np.ascontiguousarray(tile))
        self._grain = GrainPasses(len(tile), tuple(limits))
        self._networks = SizedNetworks[_Network]()
        return True

    def cancel(self) -> None:
        """See `Engine.cancel`; it takes effect when the pictures in flight are painted."""
        self._cancelled = True

    def device_ms(self, planes: Planes) -> float | None:
        """See `Engine.device_ms`."""
        if not self.adapter.has_timestamps:
            return None
        return sum(time_ms for _, time_ms, _ in self.pass_times(planes))

    def pass_times(self, planes: Planes) -> list[tuple[str, float, int]]:
        """Paints a picture, and measures each pass on the adapter.

        Returns:
            For each pass its name, how long it took in ms, and its multiplications with additions.

        Raises:
            EngineError: the adapter has no timestamps, or painting fails.
        """
        if not self._device.adapter.has_timestamps:
            raise EngineError(f"{self.device} does not measure time (timestamp-query)")
        network = self._networks.of_size(planes.size, planes.canvas, self._load)
        with self._device.errors():
            times_ms = network.times_ms(planes)
        passes = network.program.passes
        return [(e.name, t, e.multiply_adds) for e, t in zip(passes, times_ms, strict=True)]

    def _load(self, size: tuple[int, int], canvas: tuple[int, int]) -> _Network:
        if self._tile is None:
            self._tile = best_tile(self._trial, self._picture_ms)
        return self._network_of(size, canvas, self._tile)

    def _network_of(self, size: Sizes, canvas: Sizes, tile: Tile) -> _Network:
        program = program_of(self._generator, self._weights, size, canvas, tile, self._grain)
        with self._device.errors():
            return _Network(program, self._device, self.precision, self._buffers, self.in_flight)

    def _picture_ms(self, tile: Tile) -> float:
        """How long a picture of 720p takes with a workgroup: the best of some."""
        planes = noise()
        network = self._network_of(planes.size, planes.canvas, tile)
        with self._device.errors():
            return min(sum(network.times_ms(planes)) for _ in range(_TRIALS))

    def _refuse_cancelled(self) -> None:
        if self._cancelled:
            raise EngineError("WebGPU failed: cancelled")


class _Network:
    """The passes for one size, with slots that paint in turn."""

    def __init__(
        self,
        program: Program,
        device: Device,
        precision: str,
        weights: dict[str, Any],
        in_flight: int,
    ) -> None:
        self.program = program
        self._device = device
        real_bytes = 2 if precision == "f16" else 4
        shared = shared_buffers(program)
        sizes = [0] * len(set(shared.values()))
        for name, number in shared.items():
            value_bytes = 4 if name in WIDE_BUFFERS else real_bytes
            sizes[number] = max(sizes[number], program.values[name] * value_bytes)
        made = [device.buffer(size) for size in sizes]
        buffers = weights | {name: made[number] for name, number in shared.items()}
        self._pipelines = [device.pipeline(each, precision) for each in program.passes]
        uniforms = device.uniforms(program.passes)
        self._slots = [
            _Slot(program, device, precision, buffers, uniforms) for _ in range(in_flight)
        ]
        self._next = 0

    def start(self, planes: Planes) -> _Slot:
        """Starts to paint a picture, in the slot whose turn it is."""
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        slot.write(planes)
        encoder = self._device.native.create_command_encoder()
        work = encoder.begin_compute_pass()
        self._dispatch(work, slot, range(len(self._pipelines)))
        work.end()
        slot.submit(encoder)
        return slot

    def times_ms(self, planes: Planes) -> list[float]:
        """Paints a picture; returns how long each pass took."""
        slot, native, count = self._slots[0], self._device.native, len(self._pipelines)
        slot.write(planes)
        queries = native.create_query_set(type="timestamp", count=2 * count)
        usage = wgpu.BufferUsage.QUERY_RESOLVE | wgpu.BufferUsage.COPY_SRC
        stamps = native.create_buffer(size=16 * count, usage=usage)
        encoder = native.create_command_encoder()
        for number in range(count):
            work = encoder.begin_compute_pass(
                timestamp_writes={
                    "query_set": queries,
                    "beginning_of_pass_write_index": 2 * number,
                    "end_of_pass_write_index": 2 * number + 1,
                }
            )
            self._dispatch(work, slot, [number])
            work.end()
        encoder.resolve_query_set(queries, 0, 2 * count, stamps, 0)
        native.queue.submit([encoder.finish()])
        ticks = np.frombuffer(native.queue.read_buffer(stamps), np.uint64).astype(np.int64)
        return [float(end - begin) / 1e6 for begin, end in ticks.reshape(-1, 2)]

    def _dispatch(self, work: Any, slot: _Slot, numbers: Sequence[int]) -> None:
        for number in numbers:
            work.set_pipeline(self._pipelines[number])
            work.set_bind_group(0, slot.bind_groups[number])
            work.dispatch_workgroups(*self.program.passes[number].workgroups)


class _Slot:
    """The planes of one picture in flight."""

    def __init__(
        self,
        program: Program,
        device: Device,
        precision: str,
        buffers: dict[str, Any],
        uniforms: Sequence[dict[str, Any]],
    ) -> None:
        self._layout = layout = program.layout
        self._native = device.native
        self._given = device.buffer(4 * layout.words)
        self._painted = device.buffer(4 * layout.canvas_at)
        self._read_back = device.buffer(4 * layout.canvas_at, is_read_back=True)
        self._bytes = np.zeros(4 * layout.words, np.uint8)
        self._mapped: Any = None
        buffers = buffers | {"planes": self._given, "painted": self._painted}
        self.bind_groups = [
            device.bind_group(
                each, precision, [uniform, *({"buffer": buffers[name]} for name in each.buffers)]
            )
            for each, uniform in zip(program.passes, uniforms, strict=True)
        ]

    def write(self, planes: Planes) -> None:
        """Copies a picture to the adapter; the caller may reuse its planes at once."""
        self._discard()
        luma, chroma = _picture_planes(self._bytes, self._layout)
        luma[...], chroma[...] = planes.luma[0, 0], planes.chroma[0]
        rest = self._bytes[4 * self._layout.canvas_at :]
        rest[: planes.canvas_luma.size] = planes.canvas_luma.reshape(-1)
        rest[planes.canvas_luma.size :] = planes.canvas_chroma.reshape(-1)
        self._native.queue.write_buffer(self._given, 0, self._bytes)

    def submit(self, encoder: Any) -> None:
        """Sends the work, then the copy of what it painted."""
        encoder.copy_buffer_to_buffer(
            self._painted, 0, self._read_back, 0, 4 * self._layout.canvas_at
        )
        self._native.queue.submit([encoder.finish()])
        self._mapped = self._read_back.map_async(wgpu.MapMode.READ)

    def finish(self, out_luma: Plane, out_chroma: Plane) -> None:
        """Waits for the painting, and copies it into arrays."""
        self._mapped.sync_wait()
        self._mapped = None
        painted = np.frombuffer(self._read_back.read_mapped(copy=False), np.uint8)
        luma, chroma = _picture_planes(painted, self._layout)
        out_luma[0, 0], out_chroma[0] = luma, chroma
        del painted, luma, chroma
        self._read_back.unmap()

    def _discard(self) -> None:
        """Waits for a painting that nobody has waited for."""
        if self._mapped is not None:
            self._mapped.sync_wait()
            self._mapped = None
            self._read_back.unmap()


def _picture_planes(
    data: np.ndarray[Any, np.dtype[np.uint8]], layout: PlanesLayout
) -> tuple[Plane, Plane]:
    """Luma (H, W) and chroma (2, H/2, W/2) in bytes, whose rows begin at whole words."""
    width, height = layout.size
    luma, chroma = data[: 4 * layout.chroma_at], data[4 * layout.chroma_at : 4 * layout.canvas_at]
    return (
        luma.reshape(height, 4 * layout.luma_words)[:, :width],
        chroma.reshape(2, height // 2, 4 * layout.chroma_words)[:, :, : width // 2],
    )


def _refuse_unfitting(planes: Planes, out_luma: Plane, out_chroma: Plane) -> None:
    """Raises EngineError for planes whose shapes do not fit together."""
    (width, height), (canvas_width, canvas_height) = planes.size, planes.canvas
    chroma = (1, 2, height // 2, width // 2)
    given = [each.shape for each in (*planes, out_luma, out_chroma)]
    fitting = [
        (1, 1, height, width), chroma, (1, 1, canvas_height, canvas_width),
        (1, 2, canvas_height // 2, canvas_width // 2), (1, 1, height, width), chroma,
    ]  # fmt: skip
    odd = width % 2 or height % 2 or canvas_width % 8 or canvas_height % 8
    if given != fitting or odd or not all(planes.size + planes.canvas):
        raise EngineError(f"WebGPU failed: planes of {given} do not fit together")
