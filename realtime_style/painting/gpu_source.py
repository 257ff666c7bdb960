"""The frames of a film, decoded in GPU memory."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.errors import MediaError
from realtime_style.frame import GpuFrame, StreamInfo
from realtime_style.media.film_source import FileSource


class GpuSource:
    """`Frames` of a film that are decoded on a GPU and stay in its memory.

    They are not converted, so the film must be 8-bit 4:2:0, progressive and not rotated.
    """

    def __init__(self, film: FileSource, cuda: Cuda) -> None:
        """Reads a film that was opened on a GPU.

        Args:
            film: opened with `gpu_device`.
            cuda: the same GPU.

        Raises:
            MediaError: the film would have to be converted, or cut to even sides.
        """
        self.film = film
        self.info: StreamInfo = film.info
        self._cuda = cuda
        if film.changes:
            raise self._cannot_stay(film.changes[0])

    def __iter__(self) -> Iterator[GpuFrame]:
        """See `Frames`."""
        self._cuda.use()
        info = self.info
        for picture in self.film.pictures():
            planes = picture.planes
            is_here = planes[0].__dlpack_device__() == self._cuda.dlpack_device
            if len(planes) != 2 or not is_here:  # FFmpeg falls back to the CPU for some codecs
                raise self._cannot_stay("the GPU does not decode it")
            if (picture.width, picture.height) != (info.width, info.height):
                raise self._cannot_stay("the size of its pictures changes")
            if picture.interlaced_frame:
                raise self._cannot_stay("it is interlaced")
            self._cuda.wait(0)  # the decoder writes on CUDA's default stream
            assert picture.pts is not None
            yield GpuFrame(picture, picture.pts, info.time_base, info.color, picture.duration or 0)

    def _cannot_stay(self, reason: str) -> MediaError:
        return MediaError(
            f"{self.film.path} cannot stay in GPU memory: {reason}", setting="residency"
        )
