"""The rest of the film: sound, subtitles, attachments and data, carried past the painting."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Protocol

import av
from av.container import OutputContainer
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from realtime_style.runtime.source import RAW_BYTES, FileSource

_OF_THE_FILE = {  # metadata that describes the former file, not the film
    "major_brand", "minor_version", "compatible_brands", "encoder",
    "duration", "bps", "number_of_frames", "number_of_bytes",
    "_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags",
}  # fmt: skip
_AUDIO_ENCODERS = {"webm": "libopus", "avi": "libmp3lame"}  # else the container's default
_SUBTITLE_ENCODERS = {
    "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "ass",
}  # fmt: skip
_OPUS_HZ = 48_000
_BITS_PER_CHANNEL = 96_000
_TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text")
_PROBE_PACKETS = 400


class Carrier(Protocol):
    """Takes the packets of one stream to where they go."""

    def carry(self, packet: Any) -> Iterator[Any]:
        """The packets to mux for one that was read; None at the end of the film."""


class RestOfFilm:
    """Every stream of a film but the painted one, on its way into a container.

    Each is copied as it is if the container takes it; else transcoded; else left out. What is not
    a plain copy is said in `notes`. Chapters and metadata are set at once.
    """

    def __init__(
        self, source: FileSource, container: OutputContainer, painted: Any, ending: str
    ) -> None:
        """Plans every stream, trying each in a container of the same kind in memory.

        Args:
            container: open for writing.
            painted: its stream for the painted pictures, already added.
            ending: how messages call the container, as ".mp4".
        """
        self._notes: list[str] = []
        self._lost_packets = 0
        self._source = source
        self._container = container
        self._ending = ending
        self._carriers: dict[int, Carrier] = {}
        self._last_dts: dict[int, Fraction] = {}
        self._describe(painted, source.main_stream)
        first = _first_packets(source)
        for stream in source.other_streams:
            carrier = self._plan(stream, first.get(stream.index, []))
            if carrier is not None:
                self._carriers[stream.index] = carrier
        container.metadata.update(_kept(source.container.metadata))
        chapters = source.container.chapters()
        if chapters:
            container.set_chapters(_moved(chapters, source.start_s))

    @property
    def notes(self) -> list[str]:
        """What is not a plain copy, and what was lost to damage, in words."""
        if not self._lost_packets:
            return self._notes
        return [*self._notes, f"{self._lost_packets} packets of sound or text had no usable time"]

    def mux_waiting(self) -> None:
        """Muxes what the source has read of the other streams since the last call."""
        packets = self._source.packets
        while packets:
            packet = packets.popleft()
            carrier = self._carriers.get(packet.stream.index)
            if carrier is not None:
                for carried in carrier.carry(packet):
                    self._mux(carried)

    def finish(self) -> None:
        """Muxes the last packets."""
        self.mux_waiting()
        for carrier in self._carriers.values():
            for carried in carrier.carry(None):
                self._mux(carried)

    def _mux(self, packet: Any) -> None:
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:
            self._lost_packets += 1
            return
        dts = packet.dts * packet.time_base
        last = self._last_dts.get(packet.stream.index)
        if last is not None and (dts < last or (dts == last and packet.stream.type == "audio")):
            self._lost_packets += 1  # damage; containers refuse to go back in time
            return
        self._last_dts[packet.stream.index] = dts
        self._container.mux_one(packet)

    def _plan(self, stream: Any, first: Sequence[Any]) -> Carrier | None:
        what = _name(stream)
        if stream.type == "attachment":
            if "matroska" in self._container.format.name:
                self._container.add_attachment(
                    stream.name or "attachment",
                    stream.mimetype or "application/octet-stream",
                    stream.data,
                )
            else:
                self._notes.append(f"{what} is left out: {self._ending} films hold none")
            return None
        if stream.type == "data" and getattr(stream, "codec_tag", "") == "text":
            return None  # a QuickTime chapter track; chapters are written anew
        if self._takes(stream, first):
            copy = self._container.add_stream_from_template(stream)
            self._describe(copy, stream)
            return _Copy(copy)
        if stream.type == "audio" and _codec(stream):
            encoder = _AUDIO_ENCODERS.get(
                self._container.format.name, self._container.default_audio_codec
            )
            if encoder and encoder != "none":
                transcode = _AudioTranscode(stream, self._container, encoder)
                self._describe(transcode.stream, stream)
                self._notes.append(
                    f"{what} is transcoded to {encoder}: {self._ending} films cannot hold it"
                )
                return transcode
        if stream.type == "subtitle" and _codec(stream) in _TEXT_SUBTITLES:
            text_encoder = _SUBTITLE_ENCODERS.get(self._container.format.name)
            if text_encoder:
                subtitles = _SubtitleTranscode(stream, self._container, text_encoder)
                self._describe(subtitles.stream, stream)
                self._notes.append(
                    f"{what} are converted to {text_encoder}: {self._ending} films cannot hold them"
                )
                return subtitles
        self._notes.append(f"{what} left out: {self._ending} films cannot hold it; .mkv may")
        return None

    def _takes(self, stream: Any, first: Sequence[Any]) -> bool:
        """Whether a container of this kind really muxes the stream's first packets."""
        try:
            with av.open(
                io.BytesIO(), "w", format=self._container.format.name, metadata_errors=RAW_BYTES
            ) as trial:
                copy = trial.add_stream_from_template(stream)
                trial.start_encoding()
                for packet in first[:1]:
                    packet.stream = copy
                    if packet.dts is None:
                        packet.dts = packet.pts
                    trial.mux_one(packet)
        except (av.FFmpegError, ValueError, OSError):
            return False
        return True

    def _describe(self, new: Any, old: Any) -> None:
        new.metadata.update(_kept(old.metadata))
        new.disposition = old.disposition


class _Copy:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def carry(self, packet: Any) -> Iterator[Any]:
        if packet is not None:
            packet.stream = self._stream
            yield packet


class _AudioTranscode:
    def __init__(self, old: Any, container: OutputContainer, encoder: str) -> None:
        context = old.codec_context
        rate = _OPUS_HZ if encoder == "libopus" else context.sample_rate
        stream: Any = container.add_stream(encoder, rate=rate)
        stream.codec_context.layout = context.layout.name
        stream.bit_rate = _BITS_PER_CHANNEL * len(context.layout.channels)
        stream.codec_context.open()
        self.stream = stream
        self._decoder = old
        self._resampler = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout=stream.codec_context.layout.name,
            rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )

    def carry(self, packet: Any) -> Iterator[Any]:
        try:
            decoded = self._decoder.codec_context.decode(packet)
        except av.InvalidDataError:
            return
        for frame in decoded:
            for resampled in self._resampler.resample(frame):
                yield from self._encoded(resampled)
        if packet is None:
            for resampled in self._resampler.resample(None):
                yield from self._encoded(resampled)
            yield from self._encoded(None)

    def _encoded(self, frame: Any) -> Iterator[Any]:
        for packet in self.stream.codec_context.encode(frame):
            packet.stream = self.stream
            yield packet


class _SubtitleTranscode:
    def __init__(self, old: Any, container: OutputContainer, encoder: str) -> None:
        stream = container.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        assert isinstance(stream.codec_context, SubtitleCodecContext)
        old.codec_context.open(strict=False)
        stream.codec_context.subtitle_header = old.codec_context.subtitle_header
        self.stream: Any = stream
        self._decoder = old

    def carry(self, packet: Any) -> Iterator[Any]:
        if packet is None:
            return
        try:
            decoded = self._decoder.codec_context.decode2(packet)
            if decoded is None or not len(decoded):
                return
            encoded = self.stream.codec_context.encode_subtitle(decoded)
        except (av.InvalidDataError, ValueError):
            return
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.time_base = packet.time_base
        encoded.stream = self.stream
        yield encoded


def _first_packets(source: FileSource) -> dict[int, list[Any]]:
    """A few packets of each stream, read through a file of its own; none where it cannot be."""
    found: dict[int, list[Any]] = {}
    wanted = {stream.index for stream in source.other_streams if stream.type != "attachment"}
    if not source.is_file or not wanted:
        return found
    with av.open(str(source.path), metadata_errors=RAW_BYTES) as probe:
        try:
            for i, packet in enumerate(probe.demux()):
                if packet.size and packet.stream.index in wanted:
                    found.setdefault(packet.stream.index, []).append(packet)
                if i == _PROBE_PACKETS or wanted <= found.keys():
                    break
        except av.FFmpegError:
            pass  # the film is damaged; the trial goes on with what there is
    return found


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if key.lower().split("-")[0] not in _OF_THE_FILE
    }


def _moved(chapters: Sequence[Any], start_s: float) -> list[Any]:
    """Chapters from `start_s` on, as if that were time zero."""
    moved = []
    for chapter in chapters:
        start = round(Fraction(start_s) / chapter["time_base"])
        if chapter["end"] > start:
            times = {key: max(0, chapter[key] - start) for key in ("start", "end")}
            moved.append({**chapter, **times})
    return moved


def _codec(stream: Any) -> str | None:
    """FFmpeg's name of the stream's codec; None where it has no decoder for it."""
    context = getattr(stream, "codec_context", None)
    return context.name if context else None


def _name(stream: Any) -> str:
    words = {"audio": "sound", "subtitle": "subtitles", "video": "a second picture"}
    codec = _codec(stream) or getattr(stream, "name", None) or "of an unknown kind"
    language = stream.metadata.get("language")
    what = words.get(stream.type, stream.type)
    return f"{what} ({codec}{f', {language}' if language else ''})"
