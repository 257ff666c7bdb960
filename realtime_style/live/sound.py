"""The sound of live jobs: from a film or a microphone to recordings and streams."""

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
_KEPT_S = 10.0  # how much sound waits for a listener that does not take it
_BLOCK = 1024  # samples that AAC encodes at a time
_TOLERANCE = RATE_HZ // 20  # samples; sound that is less early or late is taken as continuous
# If sound is more samples than the first behind the pictures, silence is written up to the second
_SILENT_AFTER, _SILENT_UNTIL = RATE_HZ, RATE_HZ // 2

Samples = NDArray[np.float32]
"""Stereo samples, (2, N) float32, -1..1, at RATE_HZ."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Some samples; `time_us` is when the first one was heard, on the clock of `clock.now_us`."""

    samples: Samples
    time_us: int

    @property
    def duration_us(self) -> int:
        """The length of the sound in microseconds."""
        return int(self.samples.shape[1]) * 1_000_000 // RATE_HZ


class SoundBus:
    """Passes the sound of a job to all listeners. Thread-safe.

    Attributes:
        is_open: whether something will put sound on the bus; whatever does that sets it.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._listeners: list[deque[Sound]] = []
        self._lock = threading.Lock()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def put(self, sound: Sound) -> None:
        """Passes a sound to every listener. What one has not taken after 10 seconds is dropped."""
        with self._lock:
            for waiting in self._listeners:
                waiting.append(sound)
                while sound.time_us - waiting[0].time_us > _KEPT_S * 1_000_000:
                    waiting.popleft()

    def listen(self) -> deque[Sound]:
        """Adds a listener, and returns its queue. Take sounds from the left, oldest first."""
        waiting: deque[Sound] = deque()
        with self._lock:
            self._listeners.append(waiting)
        return waiting

    def forget(self, waiting: deque[Sound]) -> None:
        """Removes a listener, given its queue."""
        with self._lock:
            self._listeners = [other for other in self._listeners if other is not waiting]


class Resampler:
    """Turns decoded sound of any kind into `Samples`."""

    def __init__(self) -> None:
        self._given: tuple[object, ...] = ()
        self._resampler = av.AudioResampler(_FORMAT, _LAYOUT, RATE_HZ)

    def __call__(self, frame: av.AudioFrame) -> Samples:
        """Converts one decoded frame.

        Raises:
            av.FFmpegError: the sound cannot be converted.
        """
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._given:
            self._given = given
            self._resampler = av.AudioResampler(_FORMAT, _LAYOUT, RATE_HZ)
        frame.pts = None  # the caller keeps track of time
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, 1) if parts else np.zeros((2, 0), np.float32)


class FilmSound:
    """Reads the first sound stream of a film that can be decoded, along with its pictures."""

    def __init__(self, film: FileSource) -> None:
        """Args: film, an open film, which has not been iterated over yet."""
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
        """Whether the film has sound that can be decoded."""
        return self._stream is not None

    def until(self, time_s: float) -> Iterator[tuple[float, Samples]]:
        """Yields the sound that has not been read yet, up to about a time of the film.

        Args:
            time_s: that time, in seconds.

        Yields:
            When a piece of sound begins, in seconds of the film, and its samples.
        """
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
            except (av.FFmpegError, ValueError):  # a damaged packet; the next may be sound again
                continue

    def skip(self, time_s: float) -> None:
        """Leaves out what `until` would return, which saves decoding it."""
        for _ in self._packets.until(time_s):
            pass

    def close(self) -> None:
        """Stops reading the sound; the film stays open."""
        self._packets.close()


class SoundTrack:
    """The sound of a recording or stream, encoded as AAC, in time with its pictures.

    Where sound is missing, silence is written, so that pictures never wait for sound.
    """

    def __init__(self, muxer: Muxer, bus: SoundBus, first_us: int) -> None:
        """Adds a sound stream to a muxer that has not started yet.

        Args:
            muxer: writes the recording or stream.
            bus: where the sound comes from.
            first_us: when the first picture was taken, in microseconds; it becomes time zero.

        Raises:
            av.FFmpegError, ValueError: the container takes no AAC.
        """
        self._muxer, self._bus, self._first_us = muxer, bus, first_us
        self._stream = muxer.add_sound("aac", RATE_HZ, _LAYOUT)
        self._waiting = bus.listen()
        self._pending: list[Samples] = []  # samples that are not encoded yet
        self._pending_length = 0
        self._encoded = 0  # number of samples

    def write_until(self, time_us: int) -> None:
        """Writes the sound up to the time of a picture, in microseconds of `clock.now_us`.

        Raises:
            av.FFmpegError, OSError: it cannot be written.
        """
        while self._waiting:
            self._add(self._waiting.popleft())
        behind = self._position(time_us) - self._length
        if behind > _SILENT_AFTER:
            self._append(np.zeros((2, behind - _SILENT_UNTIL), np.float32))
        self._encode(self._pending_length // _BLOCK * _BLOCK)

    def finish(self, end_us: int) -> None:
        """Writes the rest, so that sound and pictures end at the same time.

        Args:
            end_us: when the last picture ends, in microseconds of `clock.now_us`.

        Raises:
            av.FFmpegError, OSError: it cannot be written.
        """
        self.write_until(end_us)
        left = max(0, self._position(end_us) - self._encoded)
        self._append(np.zeros((2, max(0, left - self._pending_length)), np.float32))
        self._encode(left)
        self._muxer.mux_sound(self._stream.encode(None))

    def close(self) -> None:
        """Stops listening to the bus."""
        self._bus.forget(self._waiting)

    @property
    def _length(self) -> int:
        return self._encoded + self._pending_length

    def _position(self, time_us: int) -> int:
        return round((time_us - self._first_us) * RATE_HZ / 1_000_000)

    def _add(self, sound: Sound) -> None:
        """Appends a sound: after silence if it is late, without its beginning if it is early."""
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
        """Encodes and writes the first `count` of the pending samples."""
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
