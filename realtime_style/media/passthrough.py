"""The rest of the film: sound, subtitles, attachments and data, carried past the painting."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, Protocol

import av
from av.container import OutputContainer
from av.stream import Disposition
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from realtime_style.media.film_source import RAW_BYTES, FileSource

_OF_THE_FILE = {  # metadata that describes the former file, not the film
    "major_brand", "minor_version", "compatible_brands", "encoder",
    "duration", "bps", "number_of_frames", "number_of_bytes",
    "_statistics_writing_app", "_statistics_writing_date_utc", "_statistics_tags",
}  # fmt: skip
_AUDIO_ENCODERS = {  # else the container's default
    "webm": "libopus", "avi": "libmp3lame", "mpegts": "aac",
}  # fmt: skip
_IN_TRANSPORT_STREAMS = (  # their muxer takes anything, as private data that nobody can play
    "aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus", "dvb_subtitle", "dvb_teletext",
    "hdmv_pgs_subtitle", "timed_id3", "klv",
)  # fmt: skip
_WITH_CHAPTERS = ("mp4", "mov", "ipod", "matroska", "webm", "asf", "ogg", "nut", "ffmetadata")
_WITHOUT_LANGUAGES = ("avi", "flv", "mpeg", "vob", "asf")
_QUICKTIME_LANGUAGES = {  # ISO 639-2/T: /B, the only ones that QuickTime's table has
    "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb",
    "hye": "arm", "kat": "geo", "mya": "bur", "msa": "may", "mkd": "mac", "bod": "tib",
}  # fmt: skip
_SUBTITLE_ENCODERS = {
    "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "ass",
}  # fmt: skip
_USUAL_HZ = 48_000  # what all encoders take, and libopus alone
_BITS_PER_CHANNEL = 96_000
_TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text")
_PROBE_PACKETS = 400
_ATTACHED_PICTURE = Disposition.attached_pic


class Carrier(Protocol):
    """Takes the packets of one stream to where they go."""

    def carry(self, packet: Any) -> Iterator[Any]:
        """The packets to mux for one that was read; None at the end of the film."""


class Passthrough:
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
        self._covers: list[tuple[Any, Any]] = []  # a stream and its one packet
        self._last_dts: dict[int, tuple[Fraction, int]] = {}  # as given, and in ticks as muxed
        self._format: str = container.format.name
        self._describe(painted, source.main_stream)
        first = _first_packets(source)
        for stream in source.other_streams:
            carrier = self._plan(stream, first.get(stream.index, []))
            if carrier is not None:
                self._carriers[stream.index] = carrier
        container.metadata.update(_kept(source.container.metadata))
        chapters = _moved(source.container.chapters(), source.start_s, source.end_s)
        if chapters and self._format in _WITH_CHAPTERS:
            container.set_chapters(chapters)
        elif chapters:
            self._notes.append(f"chapters are left out: {ending} films hold none")
        languages = {stream.metadata.get("language", "und") for stream in source.other_streams}
        if languages - {"und"} and self._format in _WITHOUT_LANGUAGES:
            self._notes.append(f"languages are left out: {ending} films hold none")

    @property
    def notes(self) -> list[str]:
        """What is not a plain copy, and what was lost to damage, in words."""
        if not self._lost_packets:
            return self._notes
        return [
            *self._notes,
            f"packets of sound or text without a usable time: {self._lost_packets}",
        ]

    def mux_waiting(self) -> None:
        """Muxes what the source has read of the other streams since the last call."""
        while self._covers:
            stream, packet = self._covers.pop()
            packet.stream = stream
            packet.pts = packet.dts = 0
            self._container.mux_one(packet)
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
        _give_time(packet)
        if packet.dts is None:
            self._lost_packets += 1
            return
        stream, dts = packet.stream, packet.dts * packet.time_base
        last_dts, last_ticks = self._last_dts.get(stream.index, (dts, None))
        if dts < last_dts:
            self._lost_packets += 1  # damage; containers refuse to go back in time
            return
        tick = stream.time_base or packet.time_base
        ticks = round(dts / tick)
        is_strict = stream.type == "audio" and "matroska" not in self._format
        if is_strict and last_ticks is not None and ticks <= last_ticks:
            # packets of less than the milliseconds that Matroska counts in, or damage
            ticks = last_ticks + 1
            _place(packet, ticks, tick)
        self._last_dts[stream.index] = (dts, ticks)
        self._container.mux_one(packet)

    def _plan(self, stream: Any, first: Sequence[Any]) -> Carrier | None:
        what = _name(stream)
        if stream.type == "attachment":
            if "matroska" in self._format:
                self._container.add_attachment(
                    stream.name or "attachment",
                    stream.mimetype or "application/octet-stream",
                    stream.data,
                )
            else:
                self._notes.append(f"{what} is left out: {self._ending} films hold none")
            return None
        if stream.type == "video" and _ATTACHED_PICTURE in stream.disposition:
            self._keep_cover(stream, first)
            return None
        if (
            stream.type == "data"
            and self._source.container.chapters()
            and stream.name == "bin_data"
        ):
            return None  # a QuickTime chapter track; chapters are written anew
        if self._takes(stream, first):
            if stream.type == "video":
                self._notes.append(f"{what} is copied as it is, not painted")
            copy = self._container.add_stream_from_template(stream)
            self._describe(copy, stream)
            return _Copy(copy)
        if stream.type == "audio" and _codec(stream):
            encoder = _AUDIO_ENCODERS.get(self._format, self._container.default_audio_codec)
            plan = _sound_that_opens(encoder, stream) if encoder and encoder != "none" else None
            if encoder and plan:
                layout, rate = plan
                transcode = _AudioTranscode(stream, self._container, encoder, layout, rate)
                self._describe(transcode.stream, stream)
                context = stream.codec_context
                changed = [layout] if layout != context.layout.name else []
                if rate != context.sample_rate and encoder != "libopus":
                    changed.append(f"{rate} Hz")
                self._notes.append(
                    f"{what} is transcoded to {' '.join([encoder, *changed])}: {self._ending} "
                    "films cannot hold it"
                )
                return transcode
        if stream.type == "subtitle" and _codec(stream) in _TEXT_SUBTITLES:
            text_encoder = _SUBTITLE_ENCODERS.get(self._format)
            if text_encoder:
                subtitles = _SubtitleTranscode(stream, self._container, text_encoder)
                self._describe(subtitles.stream, stream)
                self._notes.append(
                    f"{what} are converted to {text_encoder}: {self._ending} films cannot hold them"
                )
                return subtitles
        other = "" if "matroska" in self._format else "; .mkv may"
        self._notes.append(f"{what} left out: {self._ending} films cannot hold it{other}")
        return None

    def _keep_cover(self, stream: Any, first: Sequence[Any]) -> None:
        """A picture that is no film: an attachment in Matroska, a stream of one packet in MP4."""
        if first and "matroska" in self._format:
            kind = {"mjpeg": "jpeg"}.get(str(_codec(stream)), str(_codec(stream)))
            self._container.add_attachment(f"cover.{kind}", f"image/{kind}", bytes(first[0]))
        elif first and self._takes(stream, first):
            copy = self._container.add_stream_from_template(stream)
            self._describe(copy, stream)
            self._covers.append((copy, first[0]))
        else:
            self._notes.append(f"the cover is left out: {self._ending} films hold none")

    def _takes(self, stream: Any, first: Sequence[Any]) -> bool:
        """Whether a container of this kind really muxes the stream's first packets."""
        codec = _codec(stream) or getattr(stream, "name", None)
        if self._format == "mpegts" and codec not in _IN_TRANSPORT_STREAMS:
            return False
        same_kind = self._format in self._source.container.format.name.split(",")
        if stream.type == "data" and not same_kind:
            return False
        try:
            with av.open(
                io.BytesIO(), "w", format=self._format, metadata_errors=RAW_BYTES
            ) as trial:
                copy = trial.add_stream_from_template(stream)
                trial.start_encoding()
                for packet in first[:1]:
                    packet.stream = copy
                    _give_time(packet)
                    trial.mux_one(packet)
        except (av.FFmpegError, ValueError, OSError):
            return False
        return True

    def _describe(self, new: Any, old: Any) -> None:
        kept = _kept(old.metadata)
        if "name" in kept:  # what MP4 calls a track's title
            kept.setdefault("title", kept.pop("name"))
        if self._format == "mov" and "language" in kept:
            kept["language"] = _QUICKTIME_LANGUAGES.get(kept["language"], kept["language"])
        new.metadata.update(kept)
        new.disposition = old.disposition


class _Copy:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def carry(self, packet: Any) -> Iterator[Any]:
        if packet is not None:
            packet.stream = self._stream
            yield packet


def _sound_that_opens(encoder: str, stream: Any) -> tuple[str, int] | None:
    """Layout and rate, the stream's own or near, that an encoder takes; None if there are none."""
    context = stream.codec_context
    own = context.layout.name
    layouts = dict.fromkeys([own, *(["5.1"] if own.startswith("5.1") else []), "stereo", "mono"])
    rates = [_USUAL_HZ] if encoder == "libopus" else [context.sample_rate, _USUAL_HZ]
    for layout, rate in product(layouts, rates):
        trial: Any = av.CodecContext.create(encoder, "w")
        _set_up(trial, layout, rate)
        try:
            trial.open()
        except (av.FFmpegError, ValueError):
            continue
        return layout, rate
    return None


def _set_up(context: Any, layout: str, rate: int) -> None:
    context.sample_rate, context.layout = rate, layout
    context.format = context.codec.audio_formats[0]
    context.bit_rate = _BITS_PER_CHANNEL * len(context.layout.channels)


class _AudioTranscode:
    def __init__(
        self, old: Any, container: OutputContainer, encoder: str, layout: str, rate: int
    ) -> None:
        self.stream: Any = container.add_stream(encoder, rate=rate)
        _set_up(self.stream.codec_context, layout, rate)
        self.stream.codec_context.open()
        self._decoder = old
        self._resampler: av.AudioResampler | None = None
        self._given: tuple[object, ...] = ()  # the kind of sound that the resampler takes

    def carry(self, packet: Any) -> Iterator[Any]:
        try:
            decoded = self._decoder.codec_context.decode(packet)
        except (av.FFmpegError, ValueError):  # damage
            return
        for frame in decoded:
            given = (frame.format.name, frame.layout.name, frame.sample_rate)
            if given != self._given:
                yield from self._resampled(None)
                self._resampler, self._given = self._new_resampler(), given
            yield from self._resampled(frame)
        if packet is None:
            yield from self._resampled(None)
            yield from self._encoded(None)

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


def _moved(chapters: Sequence[Any], start_s: float, end_s: float | None) -> list[Any]:
    """Chapters between two moments, as if the first were time zero."""
    moved = []
    for chapter in chapters:
        start = round(Fraction(start_s) / chapter["time_base"])
        end = chapter["end"]
        if end_s is not None:
            end = min(end, round(Fraction(end_s) / chapter["time_base"]))
        if end > start and end > chapter["start"]:
            moved.append({**chapter, "start": max(0, chapter["start"] - start), "end": end - start})
    return moved


def _give_time(packet: Any) -> None:
    """Packets without a time of decoding are decoded when they are shown."""
    if packet.dts is None:
        packet.dts = packet.pts


def _place(packet: Any, dts: int, time_base: Fraction) -> None:
    """Gives a packet a later time of decoding, in units of its own."""
    scale = packet.time_base / time_base
    packet.pts = max(dts, round((packet.dts if packet.pts is None else packet.pts) * scale))
    packet.duration = round((packet.duration or 0) * scale)
    packet.dts, packet.time_base = dts, time_base


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
