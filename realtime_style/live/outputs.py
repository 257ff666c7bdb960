"""Where painted live frames go, apart from the window: a recording, a stream, a virtual camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.video.reformatter import VideoReformatter

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.media.encoder import Encoder
from realtime_style.media.muxer import Muxer
from realtime_style.media.scaling import scaled_frame
from realtime_style.stages import FrameSink
from realtime_style.system.paths import refuse_unwritable

_TICKS = 90_000  # per second; MPEG's own clock
_KEY_EVERY_S = 1.0  # a crash loses no more than this
_WAITING = 8  # frames for an output that is slow for a moment; later ones are dropped
_RETRY_S, _MOST_RETRY_S = 1.0, 10.0
_RECORDINGS = (".mp4", ".mov", ".mkv")
_STREAM_FORMATS = {  # by an address's scheme
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
}

_RECORDED = {"preset": "superfast", "crf": "21", "bf": "0"}
_SENT = {**_RECORDED, "tune": "zerolatency"}  # else the encoder holds a frame back

OpenSink = Callable[[Frame], FrameSink[Frame]]
"""Opens a sink for frames like the first one."""


class EncodedSink:
    """Frames encoded as they come, each with its true time: H.264 in a file, or sent to an address.

    Files are fragmented MP4 or Matroska, written in place: what is on disk plays at any moment.
    """

    def __init__(
        self, target: str, first: Frame, size: tuple[int, int], rate: Fraction, *, sent: bool
    ) -> None:
        """Opens the target.

        Args:
            target: a file, or an address.
            first: a frame like those to come; its time is zero.
            size: width and height of the film, in pixels, even.
            rate: frames per second, at most.
            sent: whether a receiver waits for each frame, so that none may be held back.

        Raises:
            MediaError: it cannot be written, or nobody answers there.
        """
        self.target = target
        self._size = size
        self._first_us = int(first.pts * first.time_base * 1_000_000)
        self._last_pts = -1
        self._reformatter = VideoReformatter()
        self._pool = FramePool()
        info = StreamInfo(*size, rate, Fraction(1, _TICKS), first.color, is_live=True)
        container_format, options = _container_of(target, sent)
        try:
            self._muxer = Muxer(
                target,
                ending=Path(target).suffix,
                container_format=container_format,
                options=options,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._unusable(error, sent) from error
        try:
            self._encoder = Encoder(
                self._muxer.add_video("libx264", rate),
                info,
                _SENT if sent else _RECORDED,
                b_frames=False,
                key_frame_every=max(1, round(rate * _KEY_EVERY_S)),
                by_slices=True,
            )
            self._muxer.start()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._muxer.discard()
            raise self._unusable(error, sent) from error
        except BaseException:
            self._muxer.discard()
            raise

    def _unusable(self, error: Exception, sent: bool) -> MediaError:
        reason = getattr(error, "strerror", None) or error
        what = "cannot be reached" if sent else "cannot be written"
        return MediaError(f"{self.target} {what}: {reason}", setting="stream" if sent else "record")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            if kind is None or not issubclass(kind, MediaError):
                for packets in self._encoder.flush():
                    self._muxer.mux(packets)
            self._muxer.close()
        except (av.FFmpegError, OSError) as failure:
            if kind is None:
                raise MediaError(
                    f"{self.target} could not be completed: {failure.strerror}"
                ) from failure

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        time_us = int(frame.pts * frame.time_base * 1_000_000) - self._first_us
        pts = max(round(time_us * _TICKS / 1_000_000), self._last_pts + 1)
        self._last_pts = pts
        if (frame.width, frame.height) != self._size:
            frame = scaled_frame(frame, self._size, self._reformatter, self._pool)
        timed = Frame(frame.i420, pts, Fraction(1, _TICKS), frame.color)
        try:
            self._muxer.mux(self._encoder.encode(timed))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.target} cannot be written: {error.strerror}") from error
        if frame.pool is self._pool:
            frame.release()


def _container_of(target: str, sent: bool) -> tuple[str | None, dict[str, str]]:
    """FFmpeg's format and its options for a target."""
    if sent:
        return _STREAM_FORMATS[target.partition("://")[0]], {"flush_packets": "1"}
    if Path(target).suffix.lower() == ".mkv":
        return None, {"flush_packets": "1", "cluster_time_limit": "1000"}
    flags = "frag_keyframe+empty_moov+default_base_moof"
    return None, {"movflags": flags, "flush_packets": "1"}


class VirtualCameraSink:
    """A camera for other programs: v4l2loopback on Linux, OBS's on Windows and macOS."""

    def __init__(self, size: tuple[int, int], rate: float) -> None:
        """Raises MediaError, with how to get one, if there is none."""
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
        """Its name in other programs."""
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


class OutputKind(Enum):
    """What an output is; the values are for people to read."""

    RECORDING = "recording"
    STREAM = "stream"
    VIRTUAL_CAMERA = "virtual camera"


class Output:
    """A sink on its own thread, so that a slow or broken one holds up nothing else.

    `retries` opens it again after a failure, as often as needed; without, it has `failed` and
    takes no more frames. `trouble` is the present problem in words, empty if there is none.
    """

    def __init__(
        self, kind: OutputKind, target: str, open_sink: OpenSink, *, retries: bool = False
    ) -> None:
        self.kind = kind
        self.name = f"{kind.value} {target}"
        self.trouble = ""
        self.failed = False
        self.frames = 0
        self._open_sink, self._retries = open_sink, retries
        self._waiting: Channel[Frame] = Channel(_WAITING, newest_only=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames dropped because it was too slow."""
        return self._waiting.dropped

    def put(self, frame: Frame) -> None:
        """Takes a frame, which must not be changed afterwards; never waits."""
        if not self.failed:
            self._waiting.put(frame)

    def close(self, timeout_s: float) -> bool:
        """Writes the frames that wait, and closes; False if that takes longer."""
        self._stopping.set()
        self._waiting.end()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        frames = iter(self._waiting)
        pause_s = _RETRY_S
        for first in frames:
            began = time.monotonic()
            try:
                with self._open_sink(first) as sink:
                    self._write_all(sink, first, frames)
                return
            except MediaError as error:
                self.trouble = str(error)
                is_hopeless = isinstance(error.__cause__, av.ProtocolNotFoundError)
            except Exception as error:  # for example of a driver: it must not end silently
                self.trouble = f"{self.name} failed: {error}"
                is_hopeless = True
            if is_hopeless or not self._retries:
                self.failed = True
                self._waiting.cut()
                return
            if time.monotonic() - began > _MOST_RETRY_S:  # it worked for a while
                pause_s = _RETRY_S
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _MOST_RETRY_S)

    def _write_all(self, sink: FrameSink[Frame], first: Frame, frames: Any) -> None:
        sink.write(first)
        self.trouble = ""
        self.frames += 1
        for frame in frames:
            sink.write(frame)
            self.frames += 1


def refuse_recording(path: Path, *, overwrite: bool = False) -> None:
    """Raises MediaError if a recording cannot be written, or its name is not that of a film."""
    if path.suffix.lower() not in _RECORDINGS:
        raise MediaError(
            f"{path} is no name for a recording; it ends in {', '.join(_RECORDINGS)}",
            setting="record",
        )
    refuse_unwritable(path, "out.mp4", overwrite=overwrite, setting="record")


def recording(
    path: Path, size: tuple[int, int], rate: Fraction, *, overwrite: bool = False
) -> Output:
    """Records to a file, at the size of the camera's frames; raises as `refuse_recording`."""
    refuse_recording(path, overwrite=overwrite)
    return Output(
        OutputKind.RECORDING,
        str(path),
        lambda first: EncodedSink(str(path), first, size, rate, sent=False),
    )


def refuse_stream(address: str) -> None:
    """Raises MediaError if an address cannot be streamed to."""
    scheme, _, place = address.partition("://")
    if scheme not in _STREAM_FORMATS or not place:
        raise MediaError(
            f"{address} is no address to stream to; it begins with "
            f"{', '.join(f'{name}://' for name in _STREAM_FORMATS)}, "
            "for example udp://192.168.1.5:5000",
            setting="stream",
        )
    if scheme in ("udp", "tcp") and ":" not in place:
        raise MediaError(
            f"{address} lacks a port; give one, as in {address}:5000", setting="stream"
        )


def stream(address: str, size: tuple[int, int], rate: Fraction) -> Output:
    """Streams the frames; retries while nobody answers; raises as `refuse_stream`."""
    refuse_stream(address)
    return Output(
        OutputKind.STREAM,
        address,
        lambda first: EncodedSink(address, first, size, rate, sent=True),
        retries=True,
    )


def virtual_camera(size: tuple[int, int], rate: float) -> Output:
    """A camera for other programs; raises MediaError if there is none."""
    sink = VirtualCameraSink(size, rate)
    return Output(OutputKind.VIRTUAL_CAMERA, sink.device, lambda _: sink)
