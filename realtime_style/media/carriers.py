"""How the packets of one stream get into another container: copied, or transcoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise, product
from typing import Any, Protocol

import av
from av.container import OutputContainer
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

_USUAL_HZ = 48_000  # what all encoders take; libopus takes nothing else
_BITS_PER_CHANNEL = 96_000
_USUAL_LAYOUTS = ("7.1", "6.1", "5.1", "5.0", "quad", "3.0", "stereo", "mono")  # 8 to 1 channels
_MAX_UNDATED = 16  # pictures; no more are reordered
_MAX_PRIMING_S = 0.1  # of sound


class Carrier(Protocol):
    """Takes the packets of one stream of a film to its stream in the new film."""

    @property
    def stream(self) -> Any:
        """The stream of the new film."""

    @property
    def lost(self) -> int:
        """How many packets could not be converted so far."""

    def carry(self, packet: Any) -> Iterator[Any]:
        """The packets to mux for one that was read; None marks the end of the film."""


class Copy:
    """Passes packets on unchanged, without those that an edit list cuts away.

    What a decoder needs before the first packet that is heard is kept: its priming, which is
    short, and in containers that can cut it away again also the last of what was cut away.

    Matroska does not say when packets are decoded: FFmpeg only knows it of those that come after
    the first reordered pictures. The ones before are decoded one step apart before these.

    Attributes:
        late_s: when pictures begin that cannot be decoded before a key frame, in seconds; 0 if none
            had to be left out for it.
    """

    lost = 0

    def __init__(self, stream: Any, *, can_cut: bool = False) -> None:
        """Args: stream, of the new film; whether its container can cut packets away."""
        self.stream: Any = stream
        self._can_cut = can_cut
        self._cut_away: list[Any] = []  # before the first packet that is kept
        self._has_begun = self._is_long = False
        self.late_s = 0.0
        self._has_skipped = self._has_key = False  # pictures
        self._undated: list[Any] = []  # pictures from the first one that may be reordered

    def carry(self, packet: Any) -> Iterator[Any]:
        """See `Carrier`."""
        if packet is None:
            yield from self._dated()
        elif packet.stream.type != "video":
            yield from self._carried(packet)
        else:
            for each in filter(self._is_decodable, self._carried(packet)):
                self._undated.append(each)
                if each.dts is not None or len(self._undated) > _MAX_UNDATED:
                    yield from self._dated()

    def _is_decodable(self, picture: Any) -> bool:
        """Whether a key frame has come before a picture, or it is one."""
        if picture.is_keyframe and self._has_skipped and not self._has_key:
            self.late_s = float((picture.pts or 0) * picture.time_base)
        self._has_key |= picture.is_keyframe
        self._has_skipped |= not self._has_key
        return self._has_key

    def _dated(self) -> Iterator[Any]:
        """The pictures held, with times of decoding."""
        packets, self._undated = self._undated, []
        times = sorted({packet.pts for packet in packets if packet.pts is not None})
        step = max(1, min((b - a for a, b in pairwise(times)), default=1))
        first = min((p.dts for p in packets if p.dts is not None), default=min(times, default=0))
        for i, packet in enumerate(packets):
            if packet.dts is None:
                packet.dts = first - (len(packets) - 1 - i) * step
            yield packet

    def _carried(self, packet: Any) -> Iterator[Any]:
        """The packets of the new film that one makes."""
        if packet.is_discard:
            if not self._has_begun:
                self._cut_away.append(packet)
                self._forget()
            return
        needed, self._cut_away, self._has_begun = self._cut_away, [], True
        for each in [*needed, packet]:
            plain = _without_header(each)
            plain.stream = self.stream
            yield plain

    def _forget(self) -> None:
        """Forgets what was cut away, once it is too long for priming, as far as it can."""
        packets = self._cut_away
        ticks = sum(packet.duration or 0 for packet in packets)
        if ticks * packets[0].time_base <= _MAX_PRIMING_S and not self._is_long:
            return
        self._is_long = True
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        del packets[: keys[-1] if keys and self._can_cut else len(packets)]


def _without_header(packet: Any) -> Any:
    """The same packet, without a header of its stream, which joined films repeat.

    FFmpeg's muxer of Matroska would write it over its own header and what follows that.
    """
    if not packet.has_sidedata("new_extradata"):
        return packet
    plain: Any = av.Packet(bytes(packet))
    plain.pts, plain.dts, plain.duration = packet.pts, packet.dts, packet.duration
    plain.time_base, plain.is_keyframe = packet.time_base, packet.is_keyframe
    return plain


class AudioTranscode:
    """Decodes sound, resamples it and encodes it again; what cannot be converted is dropped.

    Attributes:
        lost: how many packets could not be converted so far; a failed final flush counts as one.
    """

    def __init__(
        self, old: Any, container: OutputContainer, encoder: str, layout: str, rate: int
    ) -> None:
        """Adds a stream to the new film; layout and rate (Hz) as from `usable_sound`."""
        self.stream: Any = container.add_stream(encoder, rate=rate)
        _set_up(self.stream.codec_context, layout, rate)
        self.stream.codec_context.open()
        self.lost = 0
        self._decoder = old
        self._resampler: av.AudioResampler | None = None
        self._given: tuple[object, ...] = ()  # the format that the resampler takes
        self._end_s: Fraction | None = None  # of the latest frame
        self._time_base = Fraction(1)  # of the frames

    def carry(self, packet: Any) -> Iterator[Any]:
        """See `Carrier`."""
        try:
            yield from self._converted(packet)
            if packet is None:
                yield from self._resampled(None)
                yield from self._encoded(None)
        except (av.FFmpegError, ValueError):  # damage, or channels that cannot be converted
            self.lost += 1

    def _converted(self, packet: Any) -> Iterator[Any]:
        for frame in self._decoder.codec_context.decode(packet):
            if frame.pts is None and self._end_s is not None:
                # some decoders return their last frames without times
                frame.time_base = self._time_base
                frame.pts = round(self._end_s / self._time_base)
            if frame.pts is not None:
                length_s = Fraction(frame.samples, frame.sample_rate)
                self._time_base = frame.time_base
                self._end_s = frame.pts * frame.time_base + length_s
            given = (frame.format.name, frame.layout.name, frame.sample_rate)
            if given != self._given:
                yield from self._resampled(None)
                self._resampler, self._given = self._new_resampler(), given
            yield from self._resampled(frame)

    def _new_resampler(self) -> av.AudioResampler:
        context = self.stream.codec_context
        return av.AudioResampler(
            format=context.format.name,
            layout=context.layout.name,
            rate=context.sample_rate,
            frame_size=context.frame_size or None,
        )

    def _resampled(self, frame: Any) -> Iterator[Any]:
        if self._resampler:
            for resampled in self._resampler.resample(frame):
                yield from self._encoded(resampled)

    def _encoded(self, frame: Any) -> Iterator[Any]:
        for packet in self.stream.codec_context.encode(frame):
            packet.stream = self.stream
            yield packet


class SubtitleTranscode:
    """Converts text subtitles to another format; damaged ones are dropped.

    Attributes:
        lost: how many packets could not be converted so far.
    """

    def __init__(self, old: Any, container: OutputContainer, encoder: str) -> None:
        """Adds a stream to the new film."""
        stream = container.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        assert isinstance(stream.codec_context, SubtitleCodecContext)
        old.codec_context.open(strict=False)
        stream.codec_context.subtitle_header = old.codec_context.subtitle_header
        self.stream: Any = stream
        self.lost = 0
        self._decoder = old

    def carry(self, packet: Any) -> Iterator[Any]:
        """See `Carrier`."""
        if packet is None:
            return
        try:
            decoded = self._decoder.codec_context.decode2(packet)
            if decoded is None or not len(decoded):
                return
            encoded = self.stream.codec_context.encode_subtitle(decoded)
        except (av.FFmpegError, ValueError):
            self.lost += 1
            return
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.time_base = packet.time_base
        encoded.stream = self.stream
        yield encoded


def usable_sound(
    encoder: str, stream: Any, channels: int, *, any_rate: bool = True
) -> Iterator[tuple[str, int]]:
    """Channel layouts and rates (Hz) for an encoder: the stream's own, then what is close to them.

    Args:
        encoder: FFmpeg's name.
        any_rate: whether the container takes any rate; else it takes 48 kHz.
        stream: sound that can be converted; see `StreamDescription.is_convertible`.
        channels: how many it has.
    """
    context = stream.codec_context
    layouts = [context.layout.name, *_USUAL_LAYOUTS[max(0, len(_USUAL_LAYOUTS) - channels) :]]
    has_rates = any_rate and encoder != "libopus"
    rates = [context.sample_rate, _USUAL_HZ] if has_rates else [_USUAL_HZ]
    for layout, rate in product(dict.fromkeys(layouts), rates):
        trial: Any = av.CodecContext.create(encoder, "w")
        try:
            _set_up(trial, layout, rate)
            trial.open()
        except (av.FFmpegError, ValueError):
            continue
        yield layout, rate


def _set_up(context: Any, layout: str, rate: int) -> None:
    context.sample_rate, context.layout = rate, layout
    context.format = context.codec.audio_formats[0]
    context.bit_rate = _BITS_PER_CHANNEL * len(context.layout.channels)


def give_time(packet: Any) -> None:
    """Packets without a time of decoding are decoded when they are shown."""
    if packet.dts is None:
        packet.dts = packet.pts


def move_to(packet: Any, dts: int, time_base: Fraction) -> None:
    """Gives a packet a later time of decoding, in units of `time_base` seconds."""
    scale = packet.time_base / time_base
    packet.pts = max(dts, round((packet.dts if packet.pts is None else packet.pts) * scale))
    packet.duration = round((packet.duration or 0) * scale)
    packet.dts, packet.time_base = dts, time_base
