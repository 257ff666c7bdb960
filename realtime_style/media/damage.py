"""What could not be read of a film, counted while it is read."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from heapq import heappop, heappush

import av

from realtime_style.media.demuxer import Part
from realtime_style.media.packet import Packet, seconds
from realtime_style.wording import counted

FIELD = Fraction(3, 4)  # of a frame's duration: what lasts less is half an interlaced picture
MAX_REORDERED = 16  # pictures; H.264 and H.265 allow no more
_CUT_S = 0.5  # a film this much shorter than it says was cut off; less is rounding
_HOLE_S = 0.1  # of even steps; less are a few frames that a recorder has dropped
_ONE_STEP = 1.9  # usual steps: what lasts longer is more than one
_SKIPPED_BYTES = 256  # more than headers take
_IN_ONE_PIECE = ("matroska,webm", "flv")  # formats in which packets follow each other
_APART_S = 0.2  # how far apart streams may lie where they are damaged
_EVEN = 8  # times as many single steps as longer ones: then the longer ones are holes


class Damage:
    """Counts the frames and the seconds that a film has lost.

    Attributes:
        has_ended_early: whether reading failed before the film's end.
        reached_s: the latest end of a packet, in seconds of the film.
        rate: of the film, in frames per second.
    """

    def __init__(
        self, rate: Fraction, part: Part, time_base: Fraction, *, finds_holes: bool = False
    ) -> None:
        """Begins with nothing lost.

        Args:
            rate: the film's, in frames per second.
            part: what is missed if it is lost; other pictures are decoded only because the first
                of the part depend on them.
            time_base: of the painted stream, in seconds.
            finds_holes: whether packets may be missing without a trace but the time between
                those around them.
        """
        self.has_ended_early = False
        self.reached_s = 0.0
        self.rate, self._part, self._time_base = rate, part, time_base
        self._holes = _Holes(time_base) if finds_holes else None
        self._is_counted = True  # the packet that was sent last
        self._packets = self._frames = 0  # of the painted pictures: read, and decoded
        self._lengths: Counter[Fraction] = Counter()  # how many packets last how many seconds
        self._is_interlaced = False
        self._lost = 0  # frames that were in the film, but could not be decoded
        self._damaged = 0  # frames that were decoded in part
        self._missing_s = 0.0  # at the end, of the length that the film says it has
        self._has_length = self._is_cut_off = False
        self._reason = ""

    @property
    def lost_s(self) -> float:
        """How much of the film could not be read so far, in seconds."""
        return self._missing_s + self._hole_s + float(self._lost / self.rate)

    @property
    def _hole_s(self) -> float:
        """How long no picture is shown though the film has even steps, in seconds of the part."""
        return sum(end_s - begin_s for begin_s, end_s in self._holes_in_part)

    @property
    def _holes_in_part(self) -> list[tuple[float, float]]:
        """When holes begin and end, in seconds of the film."""
        found = self._holes.found() if self._holes else []
        return [each for hole in found if (each := self._clipped(*hole)) is not None]

    def _clipped(self, begin_s: float, end_s: float) -> tuple[float, float] | None:
        """What of a span of time lies in the part, in seconds of the film; None if nothing."""
        begin_s = max(begin_s, float(self._part.start_s))
        if self._part.end_s is not None:
            end_s = min(end_s, float(self._part.end_s))
        return (begin_s, end_s) if begin_s < end_s else None

    def _counts(self, pts: int | None) -> bool:
        """Whether a picture shown at a time, in ticks of the stream, belongs to the part."""
        if pts is None or self._part == Part():
            return True
        time_s = pts * self._time_base
        end_s = self._part.end_s
        return time_s >= self._part.start_s and (end_s is None or time_s < end_s)

    def read(self, packet: Packet) -> None:
        """Takes note of a packet of any stream: how far the film has been read."""
        if self._holes:
            self._holes.read(packet)
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.reached_s = max(self.reached_s, end_s)

    def decoding(self, packet: Packet) -> None:
        """Counts a packet of the painted pictures, before it is decoded."""
        if self._holes and packet.size and not packet.is_discard:
            self._holes.add(packet)
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
        if not self.reached_s:  # no packet had a time, as in MXF from a pipe
            self.reached_s = float(self._frames / self.rate)
        missing = self._clipped(self.reached_s, length_s)
        if missing and length_s - self.reached_s > _CUT_S:
            self._missing_s = missing[1] - missing[0]

    def cut_off(self) -> None:
        """Records that the file ends in the middle of something."""
        self._is_cut_off = True

    def reach_end(self) -> None:
        """Takes note that all packets of the part have been read."""
        if self._holes:
            end_s = self._part.end_s
            self._holes.end(None if end_s is None else math.ceil(end_s / self._time_base))

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
        if holes := self._holes_in_part:
            begin_s, end_s = holes[0]
            where = f"from {begin_s:.2f} s to {end_s:.2f} s"
            if len(holes) > 1:
                where = f"at {len(holes)} places, first {where}, for {self._hole_s:.2f} s in all"
            frames = counted(round(self._hole_s * self.rate), "frame")
            notes.append(f"the film has no pictures {where} (about {frames})")
        if self._missing_s:
            frames = counted(round(self._missing_s * self.rate), "frame")
            notes.append(
                f"the film ends early{self._reason}: {self._missing_s:.2f} s (about {frames}) "
                "of its length are missing"
            )
        elif self._is_cut_off:
            notes.append("the film ends early: its file was cut off")
        elif self.has_ended_early and not self._has_length:
            notes.append(f"the film ends early{self._reason}; it does not say how long it is")
        return notes


class _Holes:
    """Looks for times without pictures in a stream that shows them in even steps.

    A picture may also stand still. What is missing leaves a trace: the sound has a hole there too,
    the demuxer has found a packet incomplete, or bytes were skipped.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._read_s = 0.0  # the time of the latest packet
        self._read_to: int | None = None  # where it ends in the file
        self._heard: dict[int, float] = {}  # how far each sound has been read, in seconds
        self._traces: list[tuple[float, float]] = []  # times at which something was lost
        self._times: list[tuple[int, int]] = []  # a heap: of packets, and their durations
        self._last: tuple[int, int] | None = None
        self._steps: Counter[int] = Counter()
        self._long: list[tuple[int, int]] = []  # begin and end

    def add(self, packet: Packet) -> None:
        """Takes a packet of the stream, in the order of decoding."""
        if packet.pts is None:
            return
        heappush(self._times, (packet.pts, packet.duration or 0))
        if len(self._times) > MAX_REORDERED:
            self._show(*heappop(self._times))

    def read(self, packet: Packet) -> None:
        """Takes note of a packet of any stream, in the order of the file."""
        if packet.pts is None or not packet.size:
            return
        begin_s = seconds(packet.pts, packet.time_base)
        end_s = begin_s + seconds(packet.duration or 0, packet.time_base)
        is_sound = packet.stream.type == "audio"
        heard_s = self._heard.get(packet.stream.index, begin_s) if is_sound else begin_s
        skipped = self._skipped_bytes(packet)
        if packet.is_corrupt or begin_s - heard_s > _HOLE_S or skipped > _SKIPPED_BYTES:
            self._traces.append((min(self._read_s, heard_s), begin_s))
        if is_sound:
            self._heard[packet.stream.index] = end_s
        self._read_s = begin_s

    def _skipped_bytes(self, packet: Packet) -> int:
        """How many bytes of the file lie between a packet and the one before; 0 if unknown."""
        before, at = self._read_to, packet.pos
        self._read_to = None if at is None or at < 0 else at + packet.size
        is_apart = packet.stream.container.format.name in _IN_ONE_PIECE
        return at - before if is_apart and before is not None and at is not None else 0

    def end(self, end_pts: int | None) -> None:
        """No packet follows that is shown before a time; None: none at all."""
        while self._times:
            time, duration = heappop(self._times)
            self._show(time, duration)
            if end_pts is not None and time >= end_pts:
                self._times.clear()

    def _show(self, time: int, duration: int) -> None:
        if self._last is not None:
            begin, lasts = self._last
            step = time - begin
            self._steps[step] += 1
            if step * self._time_base > _HOLE_S and begin + lasts < time:
                self._long.append((begin, time))
        self._last = time, duration

    def found(self) -> list[tuple[float, float]]:
        """When each hole begins and ends, in seconds of the stream."""
        if not self._long:
            return []
        usual = max(self._steps, key=lambda step: self._steps[step])
        single = sum(n for step, n in self._steps.items() if 0 < step <= _ONE_STEP * usual)
        if single < _EVEN * (self._steps.total() - single):
            return []
        tick_s = float(self._time_base)
        return [
            ((begin + usual) * tick_s, end * tick_s)
            for begin, end in self._long
            if end - begin > _ONE_STEP * usual
            and (end - begin - usual) * tick_s > _HOLE_S
            and self._has_trace(begin * tick_s, end * tick_s)
        ]

    def _has_trace(self, begin_s: float, end_s: float) -> bool:
        """Whether something was lost about then; streams may lie apart in the file."""
        return any(
            first_s < end_s + _APART_S and last_s > begin_s - _APART_S
            for first_s, last_s in self._traces
        )
