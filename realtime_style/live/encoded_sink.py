"""A sink that encodes live frames, to a file or to an address."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.reformatter import VideoReformatter

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.live.output import PermanentError
from realtime_style.live.sound import SoundBus, SoundTrack
from realtime_style.media.encoder import Encoder
from realtime_style.media.muxer import Muxer
from realtime_style.media.scaling import scaled_frame
from realtime_style.system.paths import ffmpeg_name, is_special
from realtime_style.system.whole_file import lock_of

STREAM_FORMATS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
    "srt": "mpegts",
}
"""FFmpeg's container format for each scheme of an address to stream to."""

_TICKS = 90_000  # units of time per second, as in MPEG
_KEY_EVERY_S = 1.0  # seconds between key frames; a crash loses no more than these
_RECORDED = {"preset": "superfast", "crf": "26", "bf": "0"}  # about 8 Mbit/s at 720p
_SENT = {**_RECORDED, "tune": "zerolatency"}  # without it the encoder holds frames back


class EncodedSink:
    """A `FrameSink` that encodes frames as H.264, each with its true time.

    Files are fragmented MP4 or Matroska, and written under their own name: they can be played at
    any moment, even after a crash.
    """

    def __init__(
        self,
        target: str,
        first: Frame,
        size: tuple[int, int],
        rate: Fraction,
        *,
        sent: bool,
        sounds: SoundBus | None = None,
    ) -> None:
        """Opens the target.

        Args:
            target: a file, or an address with a scheme in STREAM_FORMATS.
            first: the first frame, not written yet; its time becomes zero, and later frames must
                have its colour space.
            size: (width, height) of the film in pixels, even; frames are scaled to it.
            rate: frames per second, at most.
            sent: whether `target` is an address, where a receiver waits for each frame.
            sounds: the sound that goes with the frames; None, or a bus without sound, is silent.

        Raises:
            MediaError: the file cannot be written, or no server answers at the address.
            PermanentError: this FFmpeg does not support the scheme of the address.
        """
        self.target = target
        self._size = size
        self._first_us = int(first.pts * first.time_base * 1_000_000)
        self._last_pts = -1
        self._sound: SoundTrack | None = None
        self._reformatter = VideoReformatter()
        self._pool = FramePool()
        self._step = round(_TICKS / rate)
        info = StreamInfo(*size, rate, Fraction(1, _TICKS), first.color, is_live=True)
        is_file = not sent and not is_special(Path(target))
        self._lock = lock_of(Path(target), setting="record") if is_file else None
        self._muxer = self._open_muxer(sent)
        try:
            self._encoder = Encoder(
                self._muxer.add_video("libx264", rate),
                info,
                _SENT if sent else _RECORDED,
                b_frames=False,
                key_frame_every=max(1, round(rate * _KEY_EVERY_S)),
                by_slices=True,
            )
            if sounds and sounds.is_open:
                self._sound = SoundTrack(self._muxer, sounds, self._first_us)
            self._muxer.start()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise self._unusable(error, sent) from error
        except BaseException:
            self._discard()
            raise

    def _open_muxer(self, sent: bool) -> Muxer:
        container_format, options = _container_of(self.target, sent)
        try:
            return Muxer(
                self.target if sent else ffmpeg_name(self.target),
                ending=Path(self.target).suffix,
                container_format=container_format,
                options=options,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            self._release()
            raise self._unusable(error, sent) from error

    def _discard(self) -> None:
        self._muxer.discard()
        self._release()

    def _release(self) -> None:
        if self._sound:
            self._sound.close()
        if self._lock:
            self._lock.release()

    def _unusable(self, error: Exception, sent: bool) -> MediaError:
        reason = getattr(error, "strerror", None) or error
        what = "cannot be reached" if sent else "cannot be written"
        is_permanent = isinstance(error, av.ProtocolNotFoundError)  # this FFmpeg lacks it
        kind = PermanentError if is_permanent else MediaError
        return kind(f"{self.target} {what}: {reason}", setting="streams" if sent else "record")

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
                if self._sound:
                    self._sound.finish(self._first_us + self._end_us)
                for packets in self._encoder.flush():
                    self._muxer.mux(packets)
            self._muxer.close()
        except (av.FFmpegError, OSError) as failure:
            if kind is None:
                raise MediaError(
                    f"{self.target} could not be completed: {failure.strerror}"
                ) from failure
        finally:
            self._release()

    @property
    def _end_us(self) -> int:
        """When the last frame ends, in microseconds after the beginning of the first."""
        return (self._last_pts + self._step) * 1_000_000 // _TICKS

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        time_us = int(frame.pts * frame.time_base * 1_000_000) - self._first_us
        pts = max(round(time_us * _TICKS / 1_000_000), self._last_pts + 1)
        self._last_pts = pts
        if (frame.width, frame.height) != self._size:
            frame = scaled_frame(frame, self._size, self._reformatter, self._pool)
        timed = Frame(frame.i420, pts, Fraction(1, _TICKS), frame.color)
        try:
            if self._sound:
                self._sound.write_until(self._first_us + time_us)
            self._muxer.mux(self._encoder.encode(timed))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.target} cannot be written: {error.strerror}") from error
        if frame.pool is self._pool:
            frame.release()


def _container_of(target: str, sent: bool) -> tuple[str | None, dict[str, str]]:
    """FFmpeg's container format (None: by the file's ending), and its options."""
    if sent:
        return STREAM_FORMATS[target.partition("://")[0]], {"flush_packets": "1"}
    if Path(target).suffix.lower() == ".mkv":
        return None, {"flush_packets": "1", "cluster_time_limit": "1000"}
    flags = "frag_keyframe+empty_moov+default_base_moof"
    return None, {"movflags": flags, "flush_packets": "1"}
