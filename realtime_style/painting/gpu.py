"""Films whose frames never leave the GPU: decoded, painted and encoded there.

PyAV hands over what NVIDIA's decoder has written, and takes what its encoder reads, by DLPack
(https://dmlc.github.io/dlpack): addresses on the GPU, and who frees them. Times, sound and all else
of the film go the same way as on the CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import av
from av.video.frame import CudaContext

from realtime_style.color import ColorSpace
from realtime_style.engines.engine import GpuEngine, GpuPicture
from realtime_style.engines.opening import open_gpu_engine
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.errors import EngineError, MediaError
from realtime_style.frame import GpuFrame, StreamInfo
from realtime_style.media.film_source import FileSource
from realtime_style.painting.style_picture import open_any_style
from realtime_style.style.look import Look
from realtime_style.style.style import Style

_PITCH = 256  # bytes: rows begin at multiples of it, as the encoder reads best
_CUDA = 2  # a kind of device in DLPack
_ADVICE = "; leave --on-gpu out"


class GpuSource:
    """The frames of a film, decoded on a GPU and left there: `Frames` of a `FileSource`.

    Nothing is converted there: the film must be 8-bit 4:2:0, progressive and upright.
    """

    def __init__(self, film: FileSource, cuda: Cuda, multiple: int) -> None:
        """Args: film, opened with `gpu_device`; multiple, of which its sides must be.

        Raises:
            MediaError: the film is not what can be painted so.
        """
        self.film = film
        self.info: StreamInfo = film.info
        self._cuda = cuda
        if film.changes:
            raise MediaError(f"{film.path} cannot stay on the GPU: {film.changes[0]}{_ADVICE}")
        if self.info.width % multiple or self.info.height % multiple:
            raise MediaError(
                f"{film.path} cannot stay on the GPU: {self.info.width}x{self.info.height} are no "
                f"multiples of {multiple}{_ADVICE}"
            )

    def __iter__(self) -> Iterator[GpuFrame]:
        """See `Frames`."""
        self._cuda.use()
        size = self.info.width, self.info.height
        for picture in self.film.pictures():
            planes = picture.planes
            there = planes[0].__dlpack_device__() == self._cuda.dlpack_device
            if len(planes) != 2 or not there:  # FFmpeg goes on without the GPU where it must
                raise MediaError(
                    f"{self.film.path} cannot stay on the GPU: the GPU does not decode it{_ADVICE}"
                )
            if (picture.width, picture.height) != size or picture.interlaced_frame:
                raise MediaError(
                    f"{self.film.path} cannot stay on the GPU: its pictures change{_ADVICE}"
                )
            self._cuda.wait(0)  # the decoder writes on the stream that all share
            assert picture.pts is not None
            yield GpuFrame(
                picture, picture.pts, self.info.time_base, self.info.color, picture.duration or 0
            )


class GpuStylizer:
    """Paints frames on the GPU; one thread at a time. Every frame is painted alone."""

    def __init__(
        self, style: Style, engine: GpuEngine, cuda: Cuda, *, keep_colors: bool = False
    ) -> None:
        """Args: engine, opened for pictures on the GPU; keep_colors as for `Stylizer`."""
        self.style = style
        self.engine = engine
        self._cuda = cuda
        self._keep_colors = keep_colors
        self._memory = _Memory(cuda)
        self._context: Any = None  # one for all frames: FFmpeg keeps what it knows of sizes there

    def prepare(self, width: int, height: int) -> None:
        """See `Stylizer.prepare`."""
        self.engine.prepare(width, height)

    def begin(self, frame: GpuFrame) -> Callable[[], GpuFrame]:
        """Begins to paint a frame, as `Stylizer.begin`; raises EngineError."""
        self._cuda.use()
        picture = frame.picture
        planes = [_Plane(plane) for plane in picture.planes]
        given = GpuPicture(
            picture.width, picture.height,
            planes[0].address, planes[0].pitch, planes[1].address, planes[1].pitch,
        )  # fmt: skip
        block = self._memory.take(picture.width, picture.height)
        wait = self.engine.begin_on_gpu(given, block.picture)

        def finish() -> GpuFrame:
            wait()
            if self._keep_colors:
                ours = (block.picture.chroma, block.picture.chroma_pitch)
                theirs = (given.chroma, given.chroma_pitch)
                self._cuda.copy_rows(ours, theirs, (picture.height // 2, picture.width), 0)
                self._cuda.wait(0)
            planes.clear()  # the decoder's again
            painted = self._as_frame(block)
            return GpuFrame(painted, frame.pts, frame.time_base, frame.color, frame.duration)

        return finish

    def cancel(self) -> None:
        """See `Stylizer.cancel`."""
        self.engine.cancel()

    def _as_frame(self, block: _Block) -> av.VideoFrame:
        picture = block.picture
        kind, number = self._cuda.dlpack_device
        if kind == _CUDA and self._context is None:
            # the thread's own, as of the decoder and the encoder (`nvidia_device`)
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


def open_gpu_stylizer(
    look: Look, cuda: Cuda, color: ColorSpace, *, engine: str = "auto", precision: str = "auto"
) -> GpuStylizer:
    """Opens a style for frames of a colour space on a GPU; see `open_stylizer`.

    Raises:
        StyleFileError: no such style, or one that cannot be used.
        EngineError: TensorRT is not there, or does not have the precision.
    """
    style = look.mixed(open_any_style)
    opened = open_gpu_engine(style.model_for(color), cuda, engine, precision)
    return GpuStylizer(style, opened, cuda, keep_colors=look.keep_colors)


# Memory ----------------------------------------------------------------------------------------


class _Block:
    """Memory of one painted picture, lent until nobody holds it."""

    def __init__(self, picture: GpuPicture) -> None:
        self.picture = picture


class _Memory:
    """Blocks that are used again and again, one size at a time."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._size = 0
        self._free: list[int] = []
        self._close = weakref.finalize(self, _give_back, cuda, self._free)

    def take(self, width: int, height: int) -> _Block:
        """Room for a picture: chroma's rows follow luma's, as NVIDIA's encoder takes them."""
        pitch = -(-width // _PITCH) * _PITCH
        size = pitch * height * 3 // 2
        if size != self._size:
            _give_back(self._cuda, self._free)
            self._size = size
        try:
            pointer = self._free.pop()
        except IndexError:
            pointer = self._cuda.take(size)
        chroma = pointer + pitch * height
        block = _Block(GpuPicture(width, height, pointer, pitch, chroma, pitch))
        weakref.finalize(block, self._take_back, pointer, size)
        return block

    def _take_back(self, pointer: int, size: int) -> None:
        if size == self._size:
            self._free.append(pointer)
        else:
            _give_back(self._cuda, [pointer])


def _give_back(cuda: Cuda, pointers: list[int]) -> None:
    with contextlib.suppress(EngineError):  # of a GPU that is lost, which was said when it was
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
_held: dict[int, tuple[Any, ...]] = {}  # by address: what others still read, and all it is of
_delete = _Deleter(lambda address: _held.pop(address, None) and None)
_api = ctypes.pythonapi
_api.PyCapsule_New.restype = ctypes.py_object
_api.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_api.PyCapsule_GetPointer.restype = ctypes.c_void_p
_api.PyCapsule_GetPointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _capsule(
    owner: _Block, address: int, shape: tuple[int, int], pitch: int, device: tuple[int, int]
) -> Any:
    """A plane of bytes, for another library to take over; holds its owner until that is done."""
    sides, strides = (ctypes.c_int64 * 2)(*shape), (ctypes.c_int64 * 2)(pitch, 1)
    tensor = _Tensor(address, _Device(*device), 2, _BYTES, sides, strides, 0)
    managed = _Managed(tensor, None, _delete)
    at = ctypes.addressof(managed)
    _held[at] = (owner, managed, sides, strides)
    return _api.PyCapsule_New(at, _NAME, None)


class _Plane:
    """A plane of another library's, which is held as long as this is."""

    def __init__(self, plane: Any) -> None:
        self._capsule = plane.__dlpack__()
        at = _api.PyCapsule_GetPointer(self._capsule, _NAME)
        tensor = _Managed.from_address(at).tensor
        self.address: int = tensor.data + tensor.offset
        self.pitch: int = tensor.strides[0]
