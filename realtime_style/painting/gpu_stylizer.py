"""Paints frames that stay in GPU memory from NVIDIA's decoder to NVIDIA's encoder.

PyAV hands over the decoder's output, and takes the encoder's input, as DLPack tensors
(https://dmlc.github.io/dlpack): addresses in GPU memory, and who frees them. Times, sound and
everything else are handled as on the CPU.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import av
from av.video.frame import CudaContext

from realtime_style.canvas import canvas_size
from realtime_style.engines.engine import GpuEngine, GpuPicture
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.errors import EngineError
from realtime_style.frame import GpuFrame
from realtime_style.painting.dlpack import CUDA_DEVICE, ForeignPlane, plane_capsule
from realtime_style.stages import Pending
from realtime_style.style.style import Style

_PITCH = 256  # bytes; rows begin at multiples of this, which the encoder reads fastest


class GpuStylizer:
    """A `Painter` of frames in GPU memory, each painted by itself, at its own size."""

    def __init__(
        self,
        style: Style,
        engine: GpuEngine,
        cuda: Cuda,
        *,
        strokes: float = 1.0,
        keep_colors: bool = False,
    ) -> None:
        """Paints with a loaded engine.

        Args:
            style: the style to paint in.
            engine: opened by `open_gpu_engine` with `style.model_for(color)`.
            cuda: the GPU.
            strokes: how large strokes are relative to the picture; see `canvas.STROKE_SIZES`.
            keep_colors: whether only luma is painted, and the film's chroma is kept.
        """
        self.style = style
        self.engine = engine
        self._cuda = cuda
        self._strokes = strokes
        self._keep_colors = keep_colors
        self._memory = _Memory(cuda)
        self._context: Any = None  # one for all frames, because FFmpeg keeps data about sizes in it

    @property
    def in_flight(self) -> int:
        """See `Painter`."""
        return self.engine.in_flight

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""
        self.engine.prepare(size, canvas_size(*size, self._strokes), on_build)

    def reset(self) -> None:
        """See `Painter`; there is nothing to forget."""

    def begin(self, frame: GpuFrame) -> Pending[GpuFrame]:
        """See `Painter`."""
        self._cuda.use()
        picture = frame.picture
        planes = [ForeignPlane(plane) for plane in picture.planes]
        given = GpuPicture(
            picture.width, picture.height,
            planes[0].address, planes[0].pitch, planes[1].address, planes[1].pitch,
        )  # fmt: skip
        block = self._memory.take(picture.width, picture.height)
        canvas = canvas_size(picture.width, picture.height, self._strokes)
        wait = self.engine.begin_gpu_picture(given, block.picture, canvas)

        def finish() -> GpuFrame:
            wait()
            if self._keep_colors:
                ours = (block.picture.chroma, block.picture.chroma_pitch)
                theirs = (given.chroma, given.chroma_pitch)
                self._cuda.copy_rows(ours, theirs, (picture.height // 2, picture.width), 0)
                self._cuda.wait(0)
            planes.clear()  # returns them to the decoder
            painted = self._as_frame(block)
            return GpuFrame(painted, frame.pts, frame.time_base, frame.color, frame.duration)

        return finish

    def cancel(self) -> None:
        """See `Painter`."""
        self.engine.cancel()

    def _as_frame(self, block: _Block) -> av.VideoFrame:
        picture = block.picture
        kind, number = self._cuda.dlpack_device
        if kind == CUDA_DEVICE and self._context is None:
            # the CUDA context that is current in this thread, as for the decoder and the encoder
            self._context = CudaContext(device_id=number, primary_ctx=False, current_ctx=True)
        width, height = picture.width, picture.height
        luma, chroma = (
            plane_capsule(block, address, (rows, width), pitch, self._cuda.dlpack_device)
            for address, pitch, rows in (
                (picture.luma, picture.luma_pitch, height),
                (picture.chroma, picture.chroma_pitch, height // 2),
            )
        )
        return av.VideoFrame.from_dlpack(
            (luma, chroma), "nv12", width, height, cuda_context=self._context
        )


class _Block:
    """The memory of one painted picture; it returns to the pool when this object is deleted."""

    def __init__(self, picture: GpuPicture) -> None:
        self.picture = picture


class _Memory:
    """A pool of blocks for pictures of one size."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._size = 0
        self._free: list[int] = []
        self._close = weakref.finalize(self, _free_all, cuda, self._free)

    def take(self, width: int, height: int) -> _Block:
        """A block for a picture; the chroma rows follow the luma rows, as the encoder needs it."""
        pitch = -(-width // _PITCH) * _PITCH
        size = pitch * height * 3 // 2
        if size != self._size:
            _free_all(self._cuda, self._free)
            self._size = size
        try:
            pointer = self._free.pop()
        except IndexError:
            pointer = self._cuda.take(size)
        chroma = pointer + pitch * height
        block = _Block(GpuPicture(width, height, pointer, pitch, chroma, pitch))
        weakref.finalize(block, self._return, pointer, size)
        return block

    def _return(self, pointer: int, size: int) -> None:
        if size == self._size:
            self._free.append(pointer)
        else:
            _free_all(self._cuda, [pointer])


def _free_all(cuda: Cuda, pointers: list[int]) -> None:
    with contextlib.suppress(EngineError):  # the GPU is lost, which has been reported
        cuda.use()
        while pointers:
            cuda.give_back(pointers.pop())
