"""Films whose frames stay in GPU memory: decoded, painted and encoded there.

PyAV hands over the output of NVIDIA's decoder, and takes the input of its encoder, as DLPack
tensors (https://dmlc.github.io/dlpack): addresses in GPU memory, and who frees them. Times, sound
and everything else take the same way as on the CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import av
from av.video.frame import CudaContext

from realtime_style.engines.engine import GpuEngine, GpuPicture
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.errors import EngineError, MediaError
from realtime_style.frame import GpuFrame, StreamInfo
from realtime_style.media.film_source import FileSource
from realtime_style.stages import Pending
from realtime_style.style.style import Style

_PITCH = 256  # bytes: rows begin at multiples of it, which the encoder reads best
_CUDA = 2  # kDLCUDA


class GpuSource:
    """`Frames` of a film that are decoded on a GPU and stay there.

    Nothing is converted: the film must be 8-bit 4:2:0, progressive and upright.
    """

    def __init__(self, film: FileSource, cuda: Cuda, multiple: int) -> None:
        """Reads a film that was opened on a GPU.

        Args:
            film: opened with `gpu_device`.
            multiple: both sides of the film must be multiples of it.

        Raises:
            MediaError: the film needs a conversion, or has other sides.
        """
        self.film = film
        self.info: StreamInfo = film.info
        self._cuda = cuda
        if film.changes:
            raise self._cannot_stay(film.changes[0])
        if self.info.width % multiple or self.info.height % multiple:
            raise self._cannot_stay(
                f"{self.info.width}x{self.info.height} are not multiples of {multiple}"
            )

    def __iter__(self) -> Iterator[GpuFrame]:
        """See `Frames`."""
        self._cuda.use()
        info = self.info
        for picture in self.film.pictures():
            planes = picture.planes
            is_here = planes[0].__dlpack_device__() == self._cuda.dlpack_device
            if len(planes) != 2 or not is_here:  # FFmpeg falls back to the CPU where it must
                raise self._cannot_stay("the GPU does not decode it")
            if (picture.width, picture.height) != (info.width, info.height):
                raise self._cannot_stay("the size of its pictures changes")
            if picture.interlaced_frame:
                raise self._cannot_stay("it is interlaced")
            self._cuda.wait(0)  # the decoder writes on the stream that all share
            assert picture.pts is not None
            yield GpuFrame(picture, picture.pts, info.time_base, info.color, picture.duration or 0)

    def _cannot_stay(self, reason: str) -> MediaError:
        return MediaError(
            f"{self.film.path} cannot stay in GPU memory: {reason}", setting="residency"
        )


class GpuStylizer:
    """A `Painter` of frames in GPU memory, each painted by itself. One thread at a time."""

    def __init__(
        self, style: Style, engine: GpuEngine, cuda: Cuda, *, keep_colors: bool = False
    ) -> None:
        """Paints with a loaded engine.

        Args:
            engine: opened by `open_gpu_engine` with `style.model_for(color)`.
            keep_colors: whether the film's chroma is kept, under the painted luma.
        """
        self.style = style
        self.engine = engine
        self._cuda = cuda
        self._keep_colors = keep_colors
        self._memory = _Memory(cuda)
        self._context: Any = None  # one for all frames: FFmpeg stores what it knows of sizes there

    @property
    def in_flight(self) -> int:
        """See `Painter`."""
        return self.engine.in_flight

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""
        self.engine.prepare(*size, on_build)

    def reset(self) -> None:
        """See `Painter`; there is nothing to forget."""

    def begin(self, frame: GpuFrame) -> Pending[GpuFrame]:
        """See `Painter`."""
        self._cuda.use()
        picture = frame.picture
        planes = [_Plane(plane) for plane in picture.planes]
        given = GpuPicture(
            picture.width, picture.height,
            planes[0].address, planes[0].pitch, planes[1].address, planes[1].pitch,
        )  # fmt: skip
        block = self._memory.take(picture.width, picture.height)
        wait = self.engine.begin_gpu_picture(given, block.picture)

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
        if kind == _CUDA and self._context is None:
            # the thread's own, like the decoder's and the encoder's (see `device_of_films`)
            self._context = CudaContext(device_id=number, primary_ctx=False, current_ctx=True)
        width, height = picture.width, picture.height
        luma, chroma = (
            _capsule(block, address, (rows, width), pitch, self._cuda.dlpack_device)
            for address, pitch, rows in (
                (picture.luma, picture.luma_pitch, height),
                (picture.chroma, picture.chroma_pitch, height // 2),
            )
        )
        return av.VideoFrame.from_dlpack(
            (luma, chroma), "nv12", width, height, cuda_context=self._context
        )


# Memory ----------------------------------------------------------------------------------------


class _Block:
    """Memory of one painted picture, in use until the object is collected."""

    def __init__(self, picture: GpuPicture) -> None:
        self.picture = picture


class _Memory:
    """A pool of blocks of one size."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._size = 0
        self._free: list[int] = []
        self._close = weakref.finalize(self, _free_all, cuda, self._free)

    def take(self, width: int, height: int) -> _Block:
        """A block for a picture: its chroma rows follow the luma rows, as the encoder needs it."""
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


# DLPack ----------------------------------------------------------------------------------------


class _Device(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int32), ("number", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("dimensions", ctypes.c_int32),
        ("type", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("delete", _Deleter))


_BYTES = _Type(1, 8, 1)  # unsigned, 8 bits, one lane
_NAME = b"dltensor"
_held: dict[
    int, tuple[Any, ...]
] = {}  # by address: tensors that others still read, and the memory they are in
_delete = _Deleter(lambda address: _held.pop(address, None) and None)
_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _capsule(
    owner: _Block, address: int, shape: tuple[int, int], pitch: int, device: tuple[int, int]
) -> Any:
    """A plane of bytes as a DLPack capsule; holds its owner until the other library frees it."""
    sides, strides = (ctypes.c_int64 * 2)(*shape), (ctypes.c_int64 * 2)(pitch, 1)
    tensor = _Tensor(address, _Device(*device), 2, _BYTES, sides, strides, 0)
    managed = _Managed(tensor, None, _delete)
    at = ctypes.addressof(managed)
    _held[at] = (owner, managed, sides, strides)
    return _api.PyCapsule_New(at, _NAME, None)


class _Plane:
    """A plane of another library, held as long as this object lives."""

    def __init__(self, plane: Any) -> None:
        self._capsule = plane.__dlpack__()
        at = _api.PyCapsule_GetPointer(self._capsule, _NAME)
        tensor = _Managed.from_address(at).tensor
        self.address: int = tensor.data + tensor.offset
        self.pitch: int = tensor.strides[0]
