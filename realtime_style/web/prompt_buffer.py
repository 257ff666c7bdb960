"""Puts the packets of a browser's pictures together, without waiting for the next picture."""

from __future__ import annotations

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket


class PromptBuffer(JitterBuffer):
    """Gives a picture away with its last packet, which carries a mark (RFC 6184, section 5.1).

    aiortc's own buffer waits for the first packet of the next picture: one picture later.
    """

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        """The first picture that is whole, without which the next packet starts; None if none."""
        while (count := self._first_whole()) and self._origin is not None:
            places = [(self._origin + i) % self.capacity for i in range(count)]
            packets = [packet for i in places if (packet := self._packets[i]) is not None]
            self.remove(count)
            data = b"".join(_data(packet) for packet in packets)
            if data:  # else they only fill the line; the decoder takes nothing for the end
                return JitterFrame(data, packets[0].timestamp)
        return None

    def _first_whole(self) -> int:
        """How many packets the first picture has, if all of them are there; else 0."""
        timestamp: int | None = None
        for count in range(self.capacity):
            packet = self._packets[((self._origin or 0) + count) % self.capacity]
            if packet is None:
                return 0
            if timestamp is not None and packet.timestamp != timestamp:
                return count
            if packet.marker:
                return count + 1
            timestamp = packet.timestamp
        return 0


def _data(packet: RtpPacket) -> bytes:
    """What the receiver has taken from a packet's payload."""
    return bytes(getattr(packet, "_data", b""))
