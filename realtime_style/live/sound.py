"""Sound of live jobs: from a film or a microphone, to recordings and streams."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from realtime_style.media.demuxer import PacketSource
from realtime_style.media.description import describe
from realtime_style.media.film_source import FileSource
from realtime_style.media.muxer import Muxer

RATE_HZ = 48_000
"""Samples per second, in both channels."""

_FORMAT, _LAYOUT = "fltp", "stereo"
_KEPT_S = 10.0  # of sound that a listener does not take
_BLOCK = 1024  # samples that AAC encodes at a time
_TOLERANCE = RATE_HZ // 20  # samples by which sound may be early or late and still be continuous
_SILENT_AFTER, _SILENT_UNTIL = RATE_HZ, RATE_HZ // 2  # samples behind the picture: then silence

Samples = NDArray[np.float32]
"""Stereo samples, (2, N) float32, -1..1, at RATE_HZ."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Some samples, and when the first was heard, in microseconds of `clock.now_us`."""

    samples: Samples
    time_us: int

    @property
    def duration_us(self) -> int:
        """How long it is, in microseconds."""
        return int(self.samples.shape[1]) * 1_000_000 // RATE_HZ


class SoundBus:
    """Passes the sound of a job on to all who listen; thread-safe.

    Attributes:
        is_open: whether there will be sound.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._listeners: list[deque[Sound]] = []
        self._lock = threading.Lock()

    def put(self, sound: Sound) -> None:
        """Passes a sound on; what a listener has not taken for ten seconds is lost."""
        with self._lock:
            for waiting in self._listeners:
                waiting.append(sound)
                while sound.time_us - waiting[0].time_us > _KEPT_S * 1_000_000:
                    waiting.popleft()

    def listen(self) -> deque[Sound]:
        """A new listener: a queue, of which the oldest sound is at the left."""
        waiting: deque[Sound] = deque()
        with self._lock:
            self._listeners.append(waiting)
        return waiting

    def forget(self, waiting: deque[Sound]) -> None:
        """Ends a listener."""
        with self._lock:
            self._listeners = [other for other in self._listeners if other is not waiting]


class Resampler:
    """Turns decoded sound of any kind into `Samples`."""

    def __init__(self) -> None:
        self._given: tuple[object, ...] = ()
        self._resampler = av.AudioResampler(_FORMAT, _LAYOUT, RATE_HZ)

    def __call__(self, frame: av.AudioFrame) -> Samples:
        """The samples of a frame; raises av.FFmpegError for sound that cannot be converted."""
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._given:
            self._given = given
            self._resampler = av.AudioResampler(_FORMAT, _LAYOUT, RATE_HZ)
        frame.pts = None  # whoever reads it knows its time
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, 1) if parts else np.zeros((2, 0), np.float32)


class FilmSound:
    """The first sound of a film that can be converted, read along with its pictures."""

    def __init__(self, film: FileSource) -> None:
        """Opens it; the film must not have been iterated yet."""
        self._packets: PacketSource = film.other_packets()
        known = describe(film.container)
        streams = [
            stream for stream in self._packets.streams
            if stream.index in known and known[stream.index].kind == "audio"
            and known[stream.index].is_known and known[stream.index].is_convertible
        ]  # fmt: skip
        self._stream = streams[0] if streams else None
        self._resampler = Resampler()

    @property
    def exists(self) -> bool:
        """Whether the film has such sound."""
        return self._stream is not None

    def until(self, time_s: float) -> Iterator[tuple[float, Samples]]:
        """Sound up to about a time of the film, in seconds, each with the time it begins at."""
        if self._stream is None:
            return
        for packet in self._packets.until(time_s):
            if packet.stream is not self._stream:
                continue
            try:
                for frame in self._stream.codec_context.decode(packet):
                    if frame.pts is not None:
                        begin_s = float(frame.pts * frame.time_base)
                        yield begin_s, self._resampler(frame)
            except (av.FFmpegError, ValueError):  # damage: what follows may be sound again
                continue

    def close(self) -> None:
        """Closes it."""
        self._packets.close()


class SoundTrack:
    """The sound of a recording or stream: encoded as AAC, in time with its pictures.

    What is missing becomes silence, so that pictures never wait for sound.
    """

    def __init__(self, muxer: Muxer, bus: SoundBus, first_us: int) -> None:
        """Adds the stream; call this before the muxer starts.

        Args:
            first_us: when the first picture was taken, which is time zero.

        Raises:
            av.FFmpegError, ValueError: the container takes no AAC.
        """
        self._muxer, self._bus, self._first_us = muxer, bus, first_us
        self._stream = muxer.add_sound("aac", RATE_HZ, _LAYOUT)
        self._waiting = bus.listen()
        self._pending: list[Samples] = []  # not encoded yet
        self._pending_length = 0
        self._encoded = 0  # samples

    def write_until(self, time_us: int) -> None:
        """Writes what was heard by the time of a picture; raises av.FFmpegError, OSError."""
        while self._waiting:
            self._add(self._waiting.popleft())
        behind = self._position(time_us) - self._length
        if behind > _SILENT_AFTER:
            self._append(np.zeros((2, behind - _SILENT_UNTIL), np.float32))
        self._encode(self._pending_length // _BLOCK * _BLOCK)

    def finish(self, end_us: int) -> None:
        """Writes the rest, exactly as long as the pictures; raises as `write_until`."""
        self.write_until(end_us)
        left = max(0, self._position(end_us) - self._encoded)
        self._append(np.zeros((2, max(0, left - self._pending_length)), np.float32))
        self._encode(left)
        self._muxer.mux_sound(self._stream.encode(None))

    def close(self) -> None:
        """Listens no more."""
        self._bus.forget(self._waiting)

    @property
    def _length(self) -> int:
        return self._encoded + self._pending_length

    def _position(self, time_us: int) -> int:
        return round((time_us - self._first_us) * RATE_HZ / 1_000_000)

    def _add(self, sound: Sound) -> None:
        """Puts a sound in its place: a late one after silence, an early one without its start."""
        gap = self._position(sound.time_us) - self._length
        samples = sound.samples
        if gap > _TOLERANCE or (gap > 0 and not self._length):
            self._append(np.zeros((2, gap), np.float32))
        elif gap < -_TOLERANCE or not self._length:
            samples = samples[:, max(0, -gap) :]
        self._append(samples)

    def _append(self, samples: Samples) -> None:
        self._pending.append(samples)
        self._pending_length += samples.shape[1]

    def _encode(self, count: int) -> None:
        """Encodes so many of the pending samples."""
        if not count:
            return
        whole = np.concatenate(self._pending, 1)
        self._pending, self._pending_length = [whole[:, count:]], whole.shape[1] - count
        for begin in range(0, count, _BLOCK):
            block = np.ascontiguousarray(whole[:, begin : min(begin + _BLOCK, count)])
            frame = av.AudioFrame.from_ndarray(block, _FORMAT, _LAYOUT)
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = self._encoded
            self._encoded += block.shape[1]
            self._muxer.mux_sound(self._stream.encode(frame))
