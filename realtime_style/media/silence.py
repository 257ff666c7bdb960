"""Silence, for containers that play sound in one go, whatever its packets' times say."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from realtime_style.media.carriers import Carrier

_HOLE_S = 0.03  # less is rounding
_CHUNK_S = Fraction(1, 25)  # of PCM, so that sound and picture stay close in the file
_TRIED_FRAMES = 4  # of silence: an encoder's first packets may be its priming
_BY_THEMSELVES = (
    "mp2",
    "mp3",
    "ac3",
    "eac3",
    "aac",
    "opus",
    "flac",
)  # and PCM: need no other packet
_SAME = 0.05  # lengths that differ by a smaller part are equal: Matroska rounds them


class Silence:
    """Packets without sound, in the codec of a stream.

    Attributes:
        is_exact: whether packets may have any length, in samples.
    """

    def __init__(self, context: Any) -> None:
        """Encodes one packet of silence.

        Args:
            context: the codec context of the stream: a decoder or an encoder whose sample rate,
                layout and bit rate are known.

        Raises:
            av.FFmpegError, ValueError: the codec has no encoder, or it does not accept these
                parameters.
            IndexError: the encoder returned no packet.
        """
        self._rate: int = context.sample_rate
        codec = av.Codec(context.codec.canonical_name, "w")
        encoder: Any = av.CodecContext.create(codec, "w")
        encoder.sample_rate, encoder.layout = self._rate, context.layout
        encoder.format = codec.audio_formats[0]  # type: ignore[index]
        if context.bit_rate:
            encoder.bit_rate = context.bit_rate
        if codec.name == "libmp3lame":
            encoder.options = {"reservoir": "0"}  # each packet can be decoded by itself
        encoder.open()
        self.is_exact = not encoder.frame_size
        self._is_aac = codec.name == "aac"
        self._samples: int = encoder.frame_size or 1
        self._packet = _one_packet(encoder)

    @property
    def packet_s(self) -> Fraction:
        """How long a packet lasts, in seconds; of PCM a sample."""
        return Fraction(self._samples, self._rate)

    def length_s(self, packet: Any) -> Fraction:
        """How long a packet of the stream lasts, in seconds, more exactly than it may say itself.

        Packets of HE-AAC, which is coded at half its rate, last twice as long as those of AAC.
        """
        if self.is_exact:
            return Fraction(packet.size // len(self._packet), self._rate)
        length_s = Fraction((packet.duration or 0) * packet.time_base)
        if abs(length_s / self.packet_s - 2) < _SAME and self._is_aac:
            self._samples *= 2
        return self.packet_s if self.fits(packet) else length_s

    def fits(self, packet: Any) -> bool:
        """Whether a packet of the stream lasts as long as one of silence, as far as it says."""
        length_s = Fraction((packet.duration or 0) * packet.time_base)
        return self.is_exact or not length_s or abs(length_s / self.packet_s - 1) < _SAME

    def without(self, packet: Any, skipped_s: Fraction) -> Any:
        """A packet of PCM without its first seconds."""
        skipped = round(skipped_s * self._rate) * len(self._packet)
        return av.Packet(bytes(packet)[skipped:])

    def packets(self, length_s: Fraction) -> Iterator[tuple[Any, Fraction]]:
        """Packets of about a length in seconds in all, and how long each lasts, in seconds."""
        number = max(0, round(length_s / self.packet_s))
        at_once = round(_CHUNK_S * self._rate) if self.is_exact else 1
        while number > 0:
            count = min(number, at_once)
            number -= count
            yield av.Packet(count * self._packet), count * self.packet_s


def silence_of(context: Any) -> Silence | None:
    """Silence in a codec, or None if its packets would not fit between others; see `Silence`."""
    name = context.codec.canonical_name
    if name not in _BY_THEMSELVES and not name.startswith("pcm_"):
        return None
    try:
        return Silence(context)
    except (av.FFmpegError, ValueError, IndexError):
        return None


def _one_packet(encoder: Any) -> bytes:
    """A packet of silence, or one sample of PCM, from an encoder that is open."""
    samples = (encoder.frame_size or 1) * _TRIED_FRAMES
    layout = encoder.layout.name
    zeros = np.zeros((1, samples * len(encoder.layout.channels)), np.int16)
    frame = av.AudioFrame.from_ndarray(zeros, "s16", layout)
    frame.sample_rate, frame.pts = encoder.sample_rate, 0
    frame.time_base = Fraction(1, encoder.sample_rate)
    resampler = av.AudioResampler(
        encoder.format.name, layout, encoder.sample_rate, encoder.frame_size or None
    )
    packets = [
        packet
        for resampled in (*resampler.resample(frame), *resampler.resample(None))
        for packet in encoder.encode(resampled)
    ]
    packets += encoder.encode(None)
    data = bytes(packets[len(packets) // 2])
    return data if encoder.frame_size else data[: len(data) // samples]


class Unbroken:
    """Carries sound to a container that plays its packets one after another from the beginning.

    Where the film's sound has a hole, silence is put in.

    Attributes:
        begins_s: when the new film begins, in seconds of the packets.
        at_s: where the packets so far end, in seconds of the new film.
        early_s: how much too early the latest packet is heard, in seconds, because there was no
            silence to put in.
    """

    def __init__(
        self, carrier: Carrier, silence: Silence | None, *, fills_start: bool, cuts_start: bool
    ) -> None:
        """Puts nothing in yet.

        Args:
            carrier: of the packets.
            silence: what to put in; None if there is nothing.
            fills_start: whether the container does not know that sound begins late.
            cuts_start: whether it does not know what is to be heard before the film begins, or
                not at all, as an encoder's priming.
        """
        self._fills_start, self._cuts_start = fills_start, cuts_start
        self.begins_s = self.early_s = self.at_s = Fraction(0)
        self._carrier, self._silence = carrier, silence
        self._end_s: Fraction | None = None  # where the latest packet should end

    @property
    def stream(self) -> Any:
        """See `Carrier`."""
        return self._carrier.stream

    @property
    def lost(self) -> int:
        """See `Carrier`."""
        return self._carrier.lost

    def carry(self, packet: Any) -> Iterator[Any]:
        """See `Carrier`."""
        for each in self._carrier.carry(packet):
            if each.pts is None or each.time_base is None:
                yield each
            else:
                yield from self._placed(each)

    def _placed(self, packet: Any) -> Iterator[Any]:
        """A packet where the ones before it end, after silence if it is to be heard later."""
        begin_s = packet.pts * packet.time_base - self.begins_s
        silence = self._silence
        length_s = silence.length_s(packet) if silence else packet.duration * packet.time_base
        if self._cuts_start and begin_s + length_s / 2 < 0:
            return
        if silence and silence.is_exact and self._cuts_start and begin_s < 0 < begin_s + length_s:
            plain = silence.without(packet, -begin_s)
            plain.stream, plain.time_base = packet.stream, packet.time_base
            packet, begin_s, length_s = plain, Fraction(0), begin_s + length_s
        if self._end_s is None and not self._cuts_start:
            self.at_s = min(begin_s, self.at_s) if self._fills_start else begin_s
        hole_s = begin_s - (self.at_s if self._end_s is None else self._end_s)
        if hole_s > (0 if self._end_s is None else _HOLE_S):
            if silence and silence.fits(packet):
                yield from self.fill(begin_s)
            else:
                self.early_s += hole_s
        self._end_s = begin_s + length_s
        yield self._put(packet, length_s)

    def fill(self, end_s: Fraction) -> Iterator[Any]:
        """Silence up to a time of the new film, in seconds."""
        if self._silence:
            for packet, length_s in self._silence.packets(end_s - self.at_s):
                packet.stream, packet.is_keyframe = self.stream, True
                yield self._put(packet, length_s)

    def _put(self, packet: Any, length_s: Fraction) -> Any:
        """The packet with its time in the new film."""
        packet.time_base = Fraction(1, av.time_base)
        packet.pts = packet.dts = round(self.at_s * av.time_base)
        packet.duration = round(length_s * av.time_base)
        self.at_s += length_s
        return packet
