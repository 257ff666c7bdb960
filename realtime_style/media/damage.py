"""What could not be read of a film, counted while it is read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import av

from realtime_style.media.notes import counted
from realtime_style.media.packet import Packet

FIELD = Fraction(3, 4)  # of a frame's duration: what lasts less is half an interlaced picture
_CUT_S = 0.5  # a film this much shorter than it says was cut off; less is rounding


class Damage:
    """Counts the frames and the seconds that a film has lost.

    Attributes:
        has_ended_early: whether reading failed before the film's end.
        reached_s: the latest end of a packet, in seconds of the film.
        rate: of the film, in frames per second.
    """

    def __init__(self, rate: Fraction, counts: Callable[[int | None], bool]) -> None:
        """Begins with nothing lost.

        Args:
            rate: the film's, in frames per second.
            counts: whether a picture shown at a time, in ticks of its stream, is missed if it is
                lost; others are decoded only because the first of a part depend on them.
        """
        self.has_ended_early = False
        self.reached_s = 0.0
        self.rate, self._counts = rate, counts
        self._is_counted = True  # the packet that was sent last
        self._packets = self._frames = 0  # of the painted pictures: read, and decoded
        self._lengths: Counter[Fraction] = Counter()  # how many packets last how many seconds
        self._is_interlaced = False
        self._lost = 0  # frames that were in the film, but could not be decoded
        self._damaged = 0  # frames that were decoded in part
        self._missing_s = 0.0  # at the end, of the length that the film says it has
        self._has_length = False
        self._reason = ""

    @property
    def lost_s(self) -> float:
        """How much of the film could not be read so far, in seconds."""
        return self._missing_s + float(self._lost / self.rate)

    def read(self, packet: Packet) -> None:
        """Takes note of a packet of any stream: how far the film has been read."""
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.reached_s = max(self.reached_s, end_s)

    def decoding(self, packet: Packet) -> None:
        """Counts a packet of the painted pictures, before it is decoded."""
        self._is_counted = self._counts(packet.pts)
        if self._is_counted and packet.size and not packet.is_discard:
            self._packets += 1
            self._lengths[(packet.duration or 0) * (packet.time_base or Fraction(1))] += 1

    def failed(self) -> None:
        """Counts a packet that the decoder refused."""
        self._lost += self._is_counted

    def decoded(self, picture: av.VideoFrame) -> None:
        """Counts a decoded picture."""
        if self._counts(picture.pts):
            self._frames += 1
            self._damaged += picture.is_corrupt
            self._is_interlaced |= picture.interlaced_frame

    def end_early(self, reason: str) -> None:
        """Records why reading failed before the film's end."""
        self.has_ended_early = True
        self._reason = f" ({reason})"

    def compare_packets(self) -> None:
        """Counts pictures that the decoder dropped silently; for codecs of one per packet.

        In interlaced films a packet may also be a field, half a picture, and lasts half as long.
        """
        fields = 0
        if self._is_interlaced:
            longest_s = FIELD / self.rate
            fields = sum(n for length_s, n in self._lengths.items() if 0 < length_s <= longest_s)
        failed = math.ceil(self._lost / 2) if fields else self._lost
        self._lost = max(failed, self._packets - fields // 2 - self._frames)

    def compare_length(self, length_s: float) -> None:
        """Compares how far the film was read with the length that it says it has."""
        self._has_length = True
        missing_s = length_s - self.reached_s
        self._missing_s = missing_s if missing_s > _CUT_S else 0.0

    def notes(self) -> list[str]:
        """The damage, in sentences."""
        notes = []
        if self._lost:
            verb = "is" if self._lost == 1 else "are"
            notes.append(
                f"{counted(self._lost, 'frame')} {verb} damaged and could not be decoded (about "
                f"{self._lost / float(self.rate):.2f} s)"
            )
        if self._damaged:
            verb = "was" if self._damaged == 1 else "were"
            notes.append(f"{counted(self._damaged, 'damaged frame')} {verb} painted anyway")
        if self._missing_s:
            frames = counted(round(self._missing_s * self.rate), "frame")
            notes.append(
                f"the film ends early{self._reason}: {self._missing_s:.2f} s (about {frames}) "
                "of its length are missing"
            )
        elif self.has_ended_early and not self._has_length:
            notes.append(f"the film ends early{self._reason}; it does not say how long it is")
        return notes
