"""A sink that other programs see as a camera."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from av.video.reformatter import VideoReformatter

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import scaled_frame


class VirtualCameraSink:
    """A `FrameSink` that other programs see as a camera.

    The camera is v4l2loopback on Linux, and that of OBS Studio on Windows and macOS.
    """

    def __init__(self, size: tuple[int, int], rate: float) -> None:
        """Opens the virtual camera.

        Args:
            size: (width, height) of its pictures in pixels, even; frames are scaled to it.
            rate: frames per second.

        Raises:
            MediaError: there is no virtual camera; the message says how to install one.
        """
        try:
            import pyvirtualcam
        except ImportError as error:
            raise MediaError(
                "the virtual camera needs pyvirtualcam; install it with: pip install pyvirtualcam",
                setting="virtual_camera",
            ) from error
        self._size = size
        self._reformatter, self._pool = VideoReformatter(), FramePool()
        try:
            self._camera: Any = pyvirtualcam.Camera(
                *size, rate, fmt=pyvirtualcam.PixelFormat.I420, print_fps=False
            )
        except RuntimeError as error:
            raise MediaError(
                f"there is no virtual camera ({str(error).strip().splitlines()[0]}); on Linux: "
                "sudo apt install v4l2loopback-dkms && sudo modprobe v4l2loopback "
                "exclusive_caps=1; on Windows and macOS install OBS Studio and start its virtual "
                "camera once",
                setting="virtual_camera",
            ) from error

    @property
    def device(self) -> str:
        """The camera's name in other programs."""
        return str(self._camera.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._camera.close()

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        if (frame.width, frame.height) != self._size:
            frame = scaled_frame(frame, self._size, self._reformatter, self._pool)
        self._camera.send(frame.i420)
        if frame.pool is self._pool:
            frame.release()
