"""The last packets of a film, decoded a second time where the first time has lost pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import av

from realtime_style.media.packet import Packet

_MIN_PACKETS = 96  # more than a decoder holds, with all its threads and reordered pictures
_MAX_BYTES = 64 * 2**20


class Tail:
    """Keeps the latest packets of a stream, from a key frame on, and decodes them once more.

    When a film ends, a decoder with many threads still holds many packets. If one of them is
    damaged, PyAV returns nothing that comes after it.
    """

    def __init__(self) -> None:
        """Keeps nothing yet."""
        self._groups: deque[list[Packet]] = deque()  # each begins with a key frame
        self._packets = self._bytes = 0
        self._last: int | None = None  # time of the latest picture
        self._failures = 0

    def sent(self, packet: Packet) -> None:
        """Takes a packet of the stream, before it is decoded."""
        if not packet.size:
            return
        if packet.is_keyframe:
            self._groups.append([])
        if not self._groups:
            return
        self._groups[-1].append(packet)
        self._packets += 1
        self._bytes += packet.size
        while self._groups and self._is_too_long:
            group = self._groups.popleft()
            self._packets -= len(group)
            self._bytes -= sum(dropped.size for dropped in group)
            self._failures = 0

    @property
    def _is_too_long(self) -> bool:
        """Whether the oldest group of packets is not needed, or takes too much memory."""
        others = self._packets - len(self._groups[0])
        return others >= _MIN_PACKETS or self._bytes > _MAX_BYTES

    def failed(self) -> None:
        """Counts a packet that the decoder refused."""
        self._failures += 1

    def decoded(self, picture: av.VideoFrame) -> None:
        """Notes a picture that the decoder returned."""
        time = _time_of(picture)
        if time is not None and (self._last is None or time > self._last):
            self._last = time

    def missed(self, first_decoder: Any) -> Iterator[av.VideoFrame | None]:
        """The pictures after the latest one, and None for each packet that has not been counted.

        Args:
            first_decoder: the codec context that decoded the stream.
        """
        times = [_time_of(packet) for group in self._groups for packet in group]
        if self._last is None or max((t for t in times if t is not None), default=0) <= self._last:
            return
        decoder: Any = av.CodecContext.create(first_decoder.codec.name, "r")
        decoder.extradata = first_decoder.extradata
        decoder.thread_type = "SLICE"  # such a decoder returns each packet's error at once
        for packet in (*(packet for group in self._groups for packet in group), None):
            try:
                pictures = decoder.decode(packet)
            except av.FFmpegError:
                self._failures -= 1
                if self._failures < 0:
                    yield None
                continue
            yield from (p for p in pictures if (_time_of(p) or 0) > self._last)


def _time_of(item: Packet | av.VideoFrame) -> int | None:
    """When a packet or picture is shown, or else decoded, in units of the stream."""
    return item.dts if item.pts is None else item.pts
