"""Timeline: from the clock of a container to the time of the film."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import Container, InputContainer
from av.format import Flags
from av.stream import Disposition

from realtime_style.media.packet import Packet, decoding_s, seconds, shift

_LEAP_S = 10.0  # a clock that goes further ahead than this has jumped; less is a gap
_BACK_S = 0.1  # a clock that goes back further than this has jumped; less is damage
_FAR_BACK_S = 1.0  # the same where packets need not say when they are decoded
_LIVELY_S = 5.0  # streams that were read this short a time ago will go on
_STRAGGLING_S = 1.0  # how far packets of a former clock may lie behind the first of a new one
_SHOWN_S = 2.0  # of a new clock, in which all streams that go on have shown themselves
_CAN_GO_BACK = ("matroska,webm", "flv")  # recorders start them again; browsers join pieces
_SHOWN_AS_SAID = ("h264", "hevc", "vvc")  # codecs whose times of presentation are never made up
_TICK_S = 0.001  # times closer than this are equal
_MAX_HELD = 1000  # packets
_ROUNDING = Fraction(1, 1000)  # of a tick
_PROBED_PACKETS = 400
_IN_DECODING_ORDER = ("avi", "asf")  # formats that store no other times
_MAX_CLOCKS = 4  # streams may still come from former clocks, or each from its own


@dataclass(slots=True)
class _Clock:
    """A clock that packets have shown."""

    shift_s: Fraction  # from it to the film
    used_s: float  # when it was last seen, in seconds of the film
    float_s: float = field(init=False)  # the shift again, for quick comparisons

    def __post_init__(self) -> None:
        self.float_s = float(self.shift_s)


@dataclass(slots=True)
class _Reached:
    """How far a stream has been read, in seconds of the film."""

    at_s: float  # when its latest packet is decoded
    next_s: float  # when its next packet is decoded if nothing is missing
    end_s: float  # when all its packets have been shown
    reordered_s: float = 0.0  # how far before an earlier packet any has been shown


@dataclass(slots=True)
class _Doubt:
    """What is held from the first packet that fits no clock, until it is clear what happened."""

    stream: int  # of that first packet
    position_s: float  # how far the film had been read then
    held: list[tuple[Packet, bool]] = field(default_factory=list)  # and whether it fits no clock
    next_in_film_s: dict[int, float] = field(default_factory=dict)  # where each stream would go on
    first_s: dict[int, float] = field(default_factory=dict)  # when shown, on the new clock
    next_s: dict[int, float] = field(default_factory=dict)  # when decoded, on the new clock
    unfit: int = 0
    has_returned: bool = False  # to a known clock, the stream that gave cause for doubt


class Timeline:
    """Moves the times of packets from the clock of a container to the time of the film.

    A film begins at zero with its first sound or picture, whatever its container's clock says then:
    all streams move by one amount.

    The clock of some formats jumps where recordings were joined or a camera was started again. The
    film continues there: all streams move by one other amount, which leaves no overlap, and no gap
    in one stream. A leap of ten seconds or less is a gap in the film, and stays. A single packet
    with a wrong time continues its stream.

    Attributes:
        start_s: the time on the container's clock when the film begins, in seconds.
        may_jump: whether the clock often jumps in films of this format. Then times are known only
            to those who read the film from its beginning, which is also so where there are none.
        has_jumped: whether it has jumped so far.
    """

    def __init__(self, container: InputContainer) -> None:
        """Args: container, from which nothing has been read yet."""
        self._container = container
        video = container.streams.best("video")
        # streams move by whole ticks of the picture: rounding would move the sound against it
        self._tick_s = Fraction((video.time_base if video else None) or Fraction(1, 90_000))
        self.start_s = self._tick_s * (_first_time_s(container) // self._tick_s)
        self.may_jump = _has_flag(container, Flags.ts_discont) or container.format.name == "flv"
        self.has_jumped = False
        can_go_back = container.format.name in _CAN_GO_BACK
        self._is_steady_clock = not self.may_jump and not can_go_back
        self._leaps = not can_go_back  # there it is a pause
        self._back_s = _BACK_S if self.may_jump else _FAR_BACK_S
        self._clocks = [_Clock(-self.start_s, 0.0)]  # the latest first
        self._steady = {s.index for s in container.streams if _is_steady(s)}
        self._position_s = 0.0  # the latest time of decoding
        self._reached: dict[int, _Reached] = {}
        self._doubt: _Doubt | None = None
        self._is_sought = False

    def moved(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        """The same packets in the same order, with times of the film."""
        if self._is_steady_clock:
            if self._container.format.name == "mxf" and not self._is_sought:
                packets = _from_zero(packets)
            if self._container.format.name in _IN_DECODING_ORDER:
                packets = _shown_when_decoded(packets)
            for packet in packets:
                shift(packet, -self.start_s)
                yield packet
            return
        for packet in packets:
            _mend_reordering(packet, has_both_times=self.may_jump)
            clock = self._clock_of(packet)
            if clock is not None:
                self._move(packet, clock.shift_s)
                clock.used_s = self._position_s
            if clock is None or self._doubt:
                self._hold(packet, is_unfit=clock is None)
                yield from self._settled()
            else:
                yield packet
        yield from self._settled(is_end=True)

    def seek(self, at_s: float) -> bool:
        """Continues to read at a time of the film, or close to it.

        Returns:
            False if that is impossible; then the film is to be read from its beginning.
        """
        if self.may_jump or not has_times(self._container):
            return False
        try:
            self._container.seek(round((self.start_s + Fraction(at_s)) * av.time_base))
        except av.FFmpegError:  # a pipe, or a format without an index
            return False
        self._is_sought = True
        self._clocks, self._reached, self._doubt = self._clocks[-1:], {}, None
        self._position_s = 0.0
        return True

    def _clock_of(self, packet: Packet) -> _Clock | None:
        """The known clock that a packet fits; None if it fits none."""
        time_s = decoding_s(packet)
        if time_s is None:
            return self._clocks[0]
        recently_s = self._position_s - _STRAGGLING_S
        for clock in self._clocks:
            if clock.used_s < recently_s and clock is not self._clocks[0]:
                continue
            if self._fits(packet, time_s + clock.float_s):
                return None if self._fits_doubt(packet, time_s, clock) else clock
        return None

    def _fits(self, packet: Packet, at_s: float) -> bool:
        """Whether a packet may be decoded at a time of the film."""
        reached = self._reached.get(packet.stream.index)
        if reached is None or packet.stream.index not in self._steady:
            earliest_s, latest_s = self._position_s - _LEAP_S, self._position_s + _LEAP_S
        else:
            back_s = _FAR_BACK_S if packet.dts is None else self._back_s
            # where durations are missing, FFmpeg makes them up from the average: too long in gaps
            earliest_s = reached.next_s if self.may_jump else reached.at_s
            earliest_s -= back_s + reached.reordered_s
            latest_s = max(reached.next_s, self._position_s) + _LEAP_S
        return earliest_s <= at_s and (at_s <= latest_s or not self._leaps)

    def _fits_doubt(self, packet: Packet, time_s: float, known: _Clock) -> bool:
        """Whether a packet fits a new clock better than a known one."""
        index, doubt = packet.stream.index, self._doubt
        if doubt is None or index not in doubt.next_s or index not in self._reached:
            return False
        known_s = time_s + known.float_s - self._reached[index].next_s
        return abs(time_s - doubt.next_s[index]) <= abs(known_s) + _TICK_S

    def _move(self, packet: Packet, shift_s: Fraction) -> None:
        """Gives a packet its time in the film, which has been read as far as that then."""
        shift(packet, shift_s)
        at_s = decoding_s(packet)
        if at_s is None or packet.time_base is None:
            return
        length_s = seconds(packet.duration or 0, packet.time_base)
        shown_s = at_s if packet.pts is None else seconds(packet.pts, packet.time_base)
        self._position_s = max(self._position_s, at_s)
        if packet.dts is None:  # then it may be decoded much earlier
            return
        next_s, end_s = at_s + length_s, shown_s + length_s
        last = self._reached.get(packet.stream.index, _Reached(at_s, next_s, end_s))
        reordered_s = max(last.reordered_s, last.end_s - end_s)
        self._reached[packet.stream.index] = _Reached(
            at_s, next_s, max(end_s, last.end_s), reordered_s
        )

    def _hold(self, packet: Packet, *, is_unfit: bool) -> None:
        index = packet.stream.index
        doubt = self._doubt = self._doubt or _Doubt(index, self._position_s)
        doubt.held.append((packet, is_unfit))
        if not is_unfit:
            doubt.has_returned |= index == doubt.stream
            return
        time_s = decoding_s(packet)
        assert time_s is not None
        assert packet.time_base is not None
        shown_s = time_s if packet.pts is None else seconds(packet.pts, packet.time_base)
        doubt.first_s[index] = min(shown_s, doubt.first_s.get(index, shown_s))
        doubt.next_s[index] = time_s + seconds(packet.duration or 0, packet.time_base)
        reached = self._reached.get(index)
        doubt.next_in_film_s.setdefault(index, reached.next_s if reached else self._position_s)
        doubt.unfit += 1

    def _settled(self, *, is_end: bool = False) -> Iterator[Packet]:
        """The packets held, once it is clear where they belong."""
        doubt = self._doubt
        if doubt is None or not (is_end or self._is_clear(doubt)):
            return
        self._doubt = None
        is_damage = doubt.has_returned and doubt.unfit == len(doubt.first_s)
        if not is_damage:
            new = _Clock(self._continued(doubt), self._position_s)
            self._clocks = [new, *self._clocks[: _MAX_CLOCKS - 1]]
            self.has_jumped = True
        for packet, is_unfit in doubt.held:
            if is_unfit:
                clock_s = self._clocks[0].shift_s
                self._move(packet, _in_place(packet, doubt) if is_damage else clock_s)
            yield packet

    def _is_clear(self, doubt: _Doubt) -> bool:
        if doubt.has_returned or len(doubt.held) > _MAX_HELD:
            return True
        if doubt.unfit < 2:
            return False
        lively = {
            index
            for index in self._steady & self._reached.keys()
            if self._reached[index].end_s > self._position_s - _LIVELY_S
        }
        span_s = max(doubt.next_s.values()) - min(doubt.first_s.values())
        return lively <= doubt.first_s.keys() or span_s > _SHOWN_S

    def _continued(self, doubt: _Doubt) -> Fraction:
        """From a new clock to the film, in seconds, so that no stream overlaps itself."""
        shifts_s = [
            self._reached[index].end_s - first_s
            for index, first_s in doubt.first_s.items()
            if index in self._reached
        ]
        shift_s = max(shifts_s or [doubt.position_s - min(doubt.first_s.values())])
        return self._tick_s * math.ceil(Fraction(shift_s) / self._tick_s - _ROUNDING)


def _from_zero(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets of MXF, whose first picture is shown at once.

    If it comes from a pipe, FFmpeg does not know its index, and takes zero for the time when that
    picture is decoded: then all of them are shown too late.
    """
    late: dict[int, int] = {}  # ticks, by stream
    for packet in packets:
        if packet.stream.type == "video" and packet.pts is not None:
            late_pts = packet.pts if packet.dts == 0 else 0
            ticks = late.setdefault(packet.stream.index, late_pts)
            packet.pts -= ticks
            packet.dts = None if packet.dts is None else packet.dts - ticks
        yield packet


def _shown_when_decoded(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets of a format whose only times are those of decoding.

    FFmpeg shows H.264 a frame later, as if it were reordered.
    """
    for packet in packets:
        if packet.stream.type == "video" and packet.dts is not None:
            context: Any = packet.stream.codec_context
            if context is not None and not context.has_b_frames:
                packet.pts = packet.dts
        yield packet


def _mend_reordering(packet: Packet, *, has_both_times: bool) -> None:
    """Removes a time that FFmpeg has made up from another clock, where the clock jumps."""
    if packet.pts is None or packet.dts is None or packet.time_base is None:
        return
    if -_BACK_S <= seconds(packet.pts - packet.dts, packet.time_base) <= _LEAP_S:
        return
    context = packet.stream.codec_context
    if has_both_times and context is not None and context.name not in _SHOWN_AS_SAID:
        packet.pts = packet.dts + (packet.duration or 0)
    else:
        packet.dts = None


def _in_place(packet: Packet, doubt: _Doubt) -> Fraction:
    """What moves a packet with a wrong time to where its stream would go on, in seconds."""
    return Fraction(doubt.next_in_film_s[packet.stream.index] - (decoding_s(packet) or 0.0))


def seek_times_s(start_s: float) -> Iterator[float]:
    """Where to begin reading for a part: at its start; earlier, if no key frame precedes it there.

    Args:
        start_s: in seconds of the film. Nothing need be sought for the film's beginning.
    """
    back_s = 0.0
    while start_s > 0:
        at_s = max(0.0, start_s - back_s)
        yield at_s
        if not at_s:
            return
        back_s = max(1.0, 2 * back_s)


def has_times(container: Container) -> bool:
    """Whether a format has times at all; a stream of raw H.264, for example, has none."""
    return not _has_flag(container, Flags.no_timestamps)


def _has_flag(container: Container, flag: Flags) -> bool:
    bit: Any = flag.value
    return bool(container.format.flags & bit)


def _first_time_s(container: InputContainer) -> Fraction:
    """When the first sound or picture is there, on the container's clock."""
    times_s = [
        stream.start_time * stream.time_base
        for stream in container.streams
        if stream.start_time is not None and stream.time_base and _is_steady(stream)
    ]
    if container.format.name == "asf" and Path(container.name.removeprefix("file:")).is_file():
        times_s = _first_packets_s(container.name) or times_s
    return min(times_s, default=Fraction(container.start_time or 0, av.time_base))


def _first_packets_s(name: str) -> list[Fraction]:
    """When the streams of a file begin, on its clock, by their first packets.

    Pictures of ASF only say when they are decoded: FFmpeg lets them begin with the sound.
    """
    first: dict[int, Fraction] = {}
    with av.open(name, "r") as film, contextlib.suppress(av.FFmpegError):
        steady = {stream.index for stream in film.streams if _is_steady(stream)}
        for packet in islice(film.demux(), _PROBED_PACKETS):
            ticks = packet.pts if packet.dts is None else packet.dts
            if packet.size and ticks is not None and packet.stream.index in steady:
                first.setdefault(packet.stream.index, ticks * packet.time_base)
            if first.keys() == steady:
                break
    return [*first.values()]


def _is_steady(stream: Any) -> bool:
    """Whether a stream goes on without pauses: sound and pictures do, subtitles do not."""
    is_cover = stream.type == "video" and Disposition.attached_pic in stream.disposition
    return stream.type in ("audio", "video") and not is_cover
