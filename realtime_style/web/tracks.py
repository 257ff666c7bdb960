"""The tracks that a browser receives: the painted picture, and its own sound."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame as AnyFrame
from av.packet import Packet

from realtime_style.live.clock import now_us
from realtime_style.live.sound import RATE_HZ, Resampler, Sound, SoundBus

_AGAIN_S = 1.0  # a picture that stays, because it is frozen, is sent again that often
_CLOCK = Fraction(1, 90_000)


class PaintedTrack(MediaStreamTrack):
    """The newest painted picture; older ones that have not been sent are dropped."""

    kind = "video"

    def __init__(self) -> None:
        """Must be called on the event loop."""
        super().__init__()
        self._event_loop = asyncio.get_running_loop()
        self._newest: av.VideoFrame | None = None
        self._last: av.VideoFrame | None = None
        self._sent_s = time.monotonic()
        self._changed = asyncio.Event()

    def offer(self, picture: av.VideoFrame) -> None:
        """Sends a picture next; called on any thread. The picture must not change any more."""
        if not self._event_loop.is_closed():
            self._event_loop.call_soon_threadsafe(self._take, picture)

    def _take(self, picture: av.VideoFrame) -> None:
        self._newest = picture
        self._changed.set()

    async def recv(self) -> AnyFrame | Packet[Any]:
        """The next picture; see `MediaStreamTrack.recv`."""
        while self.readyState == "live":
            try:
                await asyncio.wait_for(self._changed.wait(), _AGAIN_S)
            except TimeoutError:
                if self._last is None:
                    continue
                self._newest = self._again(self._last)
            self._changed.clear()
            if self._newest is not None:
                picture, self._newest = self._newest, None
                self._last, self._sent_s = picture, time.monotonic()
                return picture
        raise MediaStreamError

    def stop(self) -> None:
        """Ends the track."""
        super().stop()
        self._changed.set()

    def _again(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The same picture at the present time."""
        assert picture.pts is not None
        assert picture.time_base is not None
        passed_s = time.monotonic() - self._sent_s
        picture.pts = round(picture.pts * picture.time_base / _CLOCK + passed_s / _CLOCK)
        picture.time_base = _CLOCK
        return picture


class PassingSound(MediaStreamTrack):
    """Passes a browser's sound back to it, and to recordings."""

    kind = "audio"

    def __init__(self, source: MediaStreamTrack, sounds: SoundBus) -> None:
        """Args: source, the browser's sound; sounds, gets it as well."""
        super().__init__()
        self._source, self._sounds = source, sounds
        self._resampler = Resampler()

    async def recv(self) -> AnyFrame | Packet[Any]:
        """The next piece of sound; see `MediaStreamTrack.recv`."""
        frame = await self._source.recv()
        self._sounds.is_open = True
        if self._sounds.is_heard and isinstance(frame, av.AudioFrame):
            pts, time_base = frame.pts, frame.time_base
            samples = self._resampler(frame)
            frame.pts, frame.time_base = pts, time_base
            began_us = now_us() - samples.shape[1] * 1_000_000 // RATE_HZ
            self._sounds.put(Sound(samples, began_us))
        return frame
