"""Passthrough: sound, subtitles, attachments and data, carried past the painting."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

from realtime_style.media.carriers import (
    AudioTranscode,
    Carrier,
    Copy,
    SubtitleTranscode,
    give_time,
    move_to,
    usable_sound,
)
from realtime_style.media.comparison import (
    REEL,
    Contents,
    contents_of,
    missing,
    of_the_film,
    one_code,
)
from realtime_style.media.demuxer import RAW_BYTES, PacketSource, Part, all_packets
from realtime_style.media.description import StreamDescription, describe
from realtime_style.media.notes import dropped, named
from realtime_style.media.packet import decoding_s, seconds
from realtime_style.media.silence import Unbroken, silence_of
from realtime_style.media.timecode import with_later_timecode
from realtime_style.media.timeline import Timeline
from realtime_style.system.paths import ffmpeg_name
from realtime_style.wording import counted

_AUDIO_ENCODERS = {  # the first that keeps all channels; else the container's default
    "webm": ("libopus",), "ogv": ("libopus",), "avi": ("libmp3lame", "ac3"), "mpegts": ("aac",),
    "mpeg": ("mp2", "ac3"), "vob": ("mp2", "ac3"),
}  # fmt: skip
_OTHER_AUDIO_ENCODERS = ("aac", "libmp3lame", "mp2", "ac3", "libopus", "pcm_s16le")
_WITH_STILLS = ("avis", "hevc", "hevx", "msf1")  # brands of animations in AVIF and HEIF
_IN_TRANSPORT_STREAMS = (  # their muxer takes all codecs, but most as data that no player plays
    "h264", "hevc", "mpeg1video", "mpeg2video", "aac", "mp2", "mp3", "ac3", "eac3", "dts",
    "truehd", "opus", "dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "timed_id3", "klv",
)  # fmt: skip
_PCM_OF_WAV = (
    "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw",
    "pcm_mulaw",
)  # fmt: skip
_SOUNDS = {  # that players know, or that can be read again at all, of those that muxers take
    "asf": (
        "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "mp3", "mp2", "ac3", "aac",
        *_PCM_OF_WAV,
    ),  # of others, such as FLAC, the times become wrong
    "avi": (
        "mp3", "mp2", "ac3", "aac", "wmav1", "wmav2", "adpcm_ms", "adpcm_ima_wav", *_PCM_OF_WAV,
    ),
    "flv": (  # all others are an addition of 2023
        "aac", "mp3", "speex", "nellymoser", "adpcm_swf", "pcm_u8", "pcm_s16le", "pcm_alaw",
        "pcm_mulaw",
    ),
    "wtv": ("mp2", "ac3", "mp3"),
}  # fmt: skip
_WITH_ONE_SOUND = ("flv",)
_MPEG_PICTURES = ("mpeg1video", "mpeg2video")
_SECOND_PICTURES = {  # those that can be read again, of the codecs that muxers take
    "flv": (), "mpeg": _MPEG_PICTURES, "vob": _MPEG_PICTURES, "dvd": _MPEG_PICTURES,
    "svcd": _MPEG_PICTURES, "vcd": _MPEG_PICTURES, "wtv": (),
}  # fmt: skip
_IN_DECODING_ORDER = ("avi", "asf")  # containers that cannot say that pictures are reordered
_IN_MXF = ("pcm_s16le", "pcm_s24le")  # their muxer cannot be tried with sound alone
_IN_ONE_GO = ("avi", "mxf", "ogg", "ogv")  # containers whose sound must have no holes
_FROM_ZERO = ("avi", "mxf")  # and is heard from the beginning on, all of it
AFTER_ZERO = ("flv", "f4v", "ismv", "nut", "wtv")  # in which priming would move everything
_END_WITH_PICTURE = ("mxf",)
_AHEAD_S = 10  # sound is stored no further than this behind the picture
_PAST_PICTURE_S = 0.1  # less is how long a packet of sound lasts
_AT_48_KHZ = ("mxf",)  # containers that take no other sound
_48_KHZ = 48_000
_WITH_CHAPTERS = ("mp4", "mov", "ipod", "matroska", "webm", "asf", "ogg", "nut", "ffmetadata")
_WITH_COVERS = ("mp4",)  # in others such a stream would be a second picture, or nothing
_WITH_EDIT_LISTS = ("mp4", "mov", "ipod", "3gp", "3g2")
_WITHOUT_LANGUAGES = ("asf", "avi", "dvd", "flv", "mpeg", "mxf", "svcd", "vcd", "vob")
_SUBTITLE_ENCODERS = {
    "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "ass",
}  # fmt: skip
_TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text")
_MPEG_AUDIO = {"mp2": "mp3"}  # layers of one format; transport streams do not say which
_PROBE_PACKETS = 400
_TRIED_PACKETS = 8  # of each stream; some demuxers find no format in fewer
_ATTACHED_PICTURE = Disposition.attached_pic


class PassthroughSource(Protocol):
    """A film whose other streams can be carried over, as `FileSource`."""

    @property
    def path(self) -> Path | str:
        """Where it is read from."""

    @property
    def is_file(self) -> bool:
        """Whether the film can be opened a second time."""

    @property
    def has_ended(self) -> bool:
        """Whether all frames of the film, or of the requested part, have been read."""

    @property
    def plays(self) -> int | None:
        """How often it is to be played, 0 for ever; None if it is no animation."""

    @property
    def part(self) -> Part:
        """The part of the film that is read."""

    @property
    def timeline(self) -> Timeline:
        """From the clock of its container to the time of the film."""

    @property
    def container(self) -> InputContainer:
        """For its chapters and metadata."""

    @property
    def main_stream(self) -> av.VideoStream:
        """The stream that is painted, for its metadata."""

    def other_packets(self) -> PacketSource:
        """The packets of all streams but the painted one; call this before iterating."""


class Passthrough:
    """Every stream of a film but the painted one, on its way into a container.

    Each stream is copied if the container takes it, else transcoded, else dropped. `notes` says
    which were not simply copied. Chapters and metadata are set at once.
    """

    def __init__(
        self, source: PassthroughSource, container: OutputContainer, painted: Any, ending: str
    ) -> None:
        """Plans every stream, trying each in a container of the same format in memory.

        Args:
            source: the film; not read from yet.
            container: open for writing.
            painted: its stream for the painted pictures, already added.
            ending: the container's name in messages, such as ".mp4".
        """
        self._notes: list[str] = []
        self._lost_packets = self._refused_packets = 0
        self._source = source
        self._container = container
        self._ending = ending
        self._carriers: dict[int, Carrier] = {}
        self._covers: list[tuple[Any, Any]] = []  # a stream and its one packet
        self._kept_covers = 0
        self._last_dts: dict[int, tuple[Fraction, int]] = {}  # as given, and in ticks as muxed
        self._names: dict[int, str] = {}  # of the streams that get carriers, by new index
        self._format: str = container.format.name
        self._given_format: str = source.container.format.name
        self._describe(painted, source.main_stream)
        self._before: Contents = contents_of(source.container)
        if reel := self._before.metadata.get(REEL) or painted.metadata.get(REEL):
            place = container if self._format == "mxf" else painted
            place.metadata[REEL] = reel
        self._copies = {source.main_stream.index: painted.index}  # new indices by the old ones
        self._chapters = 0
        self._descriptions = describe(source.container)
        self._packets = source.other_packets()
        try:
            self._plan_all()
        except BaseException:
            self._packets.close()
            raise

    def _plan_all(self) -> None:
        source, streams = self._source, self._packets.streams
        first = _first_packets(source, streams)
        for stream in streams:
            carrier = self._plan(stream, first.get(stream.index, []))
            if carrier is not None:
                self._carriers[stream.index] = self._in_one_go(carrier, stream)
                self._copies[stream.index] = carrier.stream.index
                self._names[carrier.stream.index] = _name(stream)
        self._container.metadata.update(self._kept(source.container.metadata))
        chapters = _moved(source.container.chapters(), source.part, source.timeline.start_s)
        if chapters and self._format in _WITH_CHAPTERS:
            self._container.set_chapters(chapters)
            self._chapters = len(chapters)
        elif chapters:
            self._notes.append(dropped("chapters", self._ending))
        kept = [stream for stream in streams if stream.index in self._copies]
        languages = {stream.metadata.get("language", "und") for stream in kept}
        if languages - {"und"} and self._format in _WITHOUT_LANGUAGES:
            self._notes.append(dropped("language tags", self._ending))

    @property
    def notes(self) -> list[str]:
        """What is not simply copied, and what was lost to damage."""
        notes = list(self._notes)
        if self._lost_packets:
            packets = counted(self._lost_packets, "packet")
            notes.append(f"dropped {packets} without a usable time")
        if self._refused_packets:
            packets = counted(self._refused_packets, "damaged packet")
            notes.append(f"dropped {packets} of other streams")
        if lost := sum(carrier.lost for carrier in self._carriers.values()):
            notes.append(f"dropped {counted(lost, 'packet')} that could not be converted")
        notes += [
            f"{self._names[carrier.stream.index]} has holes that cannot be filled in "
            f"{self._ending}, and plays up to {float(carrier.early_s):.2f} s early; .mkv keeps them"
            for carrier in self._unbroken
            if carrier.early_s
        ]
        notes += [
            f"{self._names[carrier.stream.index]} begins at its first key frame in the part, "
            f"{carrier.late_s:.2f} s late"
            for carrier in self._carriers.values()
            if isinstance(carrier, Copy) and carrier.late_s
        ]
        return notes

    @property
    def _unbroken(self) -> list[Unbroken]:
        return [each for each in self._carriers.values() if isinstance(each, Unbroken)]

    def begin(self, begins_s: Fraction) -> None:
        """Lets sound without times begin at a time of the film, in seconds of it."""
        for carrier in self._unbroken:
            carrier.begins_s = begins_s

    def until(self, time_s: float | None) -> Iterator[Any]:
        """Packets to mux, up to those decoded at a time (in seconds); None: all that are left."""
        while self._covers:
            stream, packet = self._covers.pop()
            packet.stream = stream
            packet.pts = packet.dts = 0
            yield packet
        for packet in self._packets.until(time_s):
            carrier = self._carriers.get(packet.stream.index)
            if carrier is not None:
                yield from self._acceptable(carrier.carry(packet))
        if time_s is not None and self._format in _END_WITH_PICTURE:
            # the muxer holds pictures until it has their sound
            yield from self._filled(Fraction(time_s) - _AHEAD_S)

    def _filled(self, end_s: Fraction) -> Iterator[Any]:
        """Silence up to a time, in sound that has not got so far."""
        for carrier in self._unbroken:
            yield from self._acceptable(carrier.fill(end_s - carrier.begins_s))

    def finish(self, end_s: float, *, is_stopped: bool) -> Iterator[Any]:
        """The last packets to mux: all that are left, or up to the end of the picture.

        Args:
            end_s: when the last frame has been shown. Only a film that was read to its end, and
                was not stopped, keeps sound that is longer.
            is_stopped: whether frames may be missing though they were read.
        """
        is_whole = self._source.has_ended and not is_stopped
        has_end = self._format in _END_WITH_PICTURE
        yield from self.until(end_s if has_end or not is_whole else None)
        for carrier in self._carriers.values():
            yield from self._acceptable(carrier.carry(None))
        if has_end:
            yield from self._filled(Fraction(end_s))
        if has_end and is_whole:
            self._note_sound_after(end_s)

    def _note_sound_after(self, end_s: float) -> None:
        """Notes sound after the last picture that has not been carried over."""
        last_s = end_s
        for packet in self._packets.until(None):
            if packet.stream.type == "audio" and packet.stream.index in self._carriers:
                at_s = decoding_s(packet) or 0.0
                last_s = max(last_s, at_s + seconds(packet.duration or 0, packet.time_base))
        if last_s - end_s > _PAST_PICTURE_S:
            self._notes.append(
                f"{last_s - end_s:.2f} s of sound after the last picture are left out: "
                f"{self._ending} films end with the picture"
            )

    def refused(self) -> None:
        """Counts a packet that the container does not take, because it is damaged."""
        self._refused_packets += 1

    def compare(self, film: InputContainer) -> None:
        """Adds a note on what the finished film does not hold any more, whatever it is."""
        after = contents_of(film)
        for index in self._left_out(film):
            self._notes.append(
                f"{self._names[index]} is left out of {self._ending}: it has no packets"
            )
            copies = {old: new for old, new in self._copies.items() if new != index}
            # streams after it have moved up
            self._copies = {old: new - (new > index) for old, new in copies.items()}
        things = missing(
            self._before,
            after,
            self._copies,
            chapters=self._chapters,
            covers=self._kept_covers,
            has_languages=self._format not in _WITHOUT_LANGUAGES,
        )
        if things:
            self._notes.append(f"not kept in {self._ending}: {', '.join(things)}")

    def _left_out(self, film: InputContainer) -> list[int]:
        """The streams without packets that the finished film does not have, the last one first."""
        kinds = [carrier.stream.type for carrier in self._carriers.values()]
        found = [stream.type for stream in film.streams]
        empty = [
            carrier.stream
            for carrier in self._carriers.values()
            if carrier.stream.index not in self._last_dts
        ]
        left_out = [s for s in empty if found.count(s.type) < kinds.count(s.type)]
        return sorted((stream.index for stream in left_out), reverse=True)

    def close(self) -> None:
        """Closes the file that packets are read from."""
        self._packets.close()

    def _acceptable(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Drops packets without a time, and those that go back in time: containers refuse them."""
        for packet in packets:
            give_time(packet)
            if packet.dts is None:
                self._lost_packets += 1
                continue
            stream, dts = packet.stream, packet.dts * packet.time_base
            lasts_s = (packet.duration or 0) * packet.time_base
            if self._format in AFTER_ZERO and dts + lasts_s / 2 < 0:
                continue
            last_dts, last_ticks = self._last_dts.get(stream.index, (dts, None))
            if dts < last_dts:
                self._lost_packets += 1
                continue
            tick = stream.time_base or packet.time_base
            ticks = round(dts / tick)
            is_strict = stream.type in ("audio", "video") and "matroska" not in self._format
            if is_strict and last_ticks is not None and ticks <= last_ticks:
                # packets shorter than Matroska's milliseconds, or damage
                ticks = last_ticks + 1
                move_to(packet, ticks, tick)
            self._last_dts[stream.index] = (dts, ticks)
            yield packet

    def _plan(self, stream: Any, first: Sequence[Any]) -> Carrier | None:
        """How a stream gets into the container; None if it does not, or not as a stream."""
        what = _name(stream)
        if stream.type == "attachment":
            self._attach(stream, what)
            return None
        if stream.type == "video" and _ATTACHED_PICTURE in stream.disposition:
            self._keep_cover(stream, first)
            return None
        if (
            stream.type == "data"
            and self._source.container.chapters()
            and stream.name == "bin_data"
        ):
            return None  # a QuickTime chapter track; chapters are written by the muxer
        if stream.type == "data" and "timecode" in stream.metadata:
            return None  # a QuickTime timecode track; that too is written by the muxer
        if stream.type == "video" and self._is_still(stream):
            self._notes.append("the still picture is left out: only the animation is painted")
            return None
        if stream.type == "audio" and not self._description(stream).is_known:
            self._notes.append(f"{what} is left out: the film does not say what it holds")
            return None
        if stream.type == "audio" and not self._is_wanted(stream):
            self._notes.append(
                f"{what} is left out: {self._ending} holds one sound; .mkv holds all"
            )
            return None
        if self._takes(stream, first):
            if stream.type == "video":
                self._notes.append(f"{what} is copied, not painted")
            copy = _add_copy(self._container, self._template(stream, first))
            self._describe(copy, stream)
            return Copy(copy, can_cut=self._format in _WITH_EDIT_LISTS)
        transcode: Carrier | None = None
        if not self._description(stream).is_convertible:
            self._notes.append(
                f"{what} dropped: {self._ending} cannot hold it, and its channels "
                f"({self._description(stream).layout}) cannot be converted"
            )
            return None
        if stream.type == "audio" and _codec(stream):
            transcode = self._transcoded_sound(stream, what)
        elif stream.type == "subtitle" and _codec(stream) in _TEXT_SUBTITLES:
            transcode = self._converted_text(stream, what)
        if transcode is None:
            other = "" if "matroska" in self._format else "; .mkv may"
            self._notes.append(dropped(what, self._ending) + other)
        return transcode

    def _is_wanted(self, stream: Any) -> bool:
        """Whether a sound is the default, or the first one, if the container holds only one."""
        sounds = [
            each
            for each in self._packets.streams
            if each.type == "audio" and self._description(each).is_known
        ]
        by_default = [each for each in sounds if Disposition.default in each.disposition]
        first = (by_default or sounds)[0]
        return self._format not in _WITH_ONE_SOUND or stream.index == first.index

    def _in_one_go(self, carrier: Carrier, stream: Any) -> Carrier:
        """The carrier of a stream, without holes if it is sound that has no times."""
        if stream.type != "audio":
            return carrier
        is_copy = isinstance(carrier, Copy)
        context = stream.codec_context if is_copy else carrier.stream.codec_context
        in_mp4 = self._format in _WITH_EDIT_LISTS and context and context.name.startswith("pcm_")
        if not (self._format in _IN_ONE_GO or in_mp4):
            return carrier
        is_known = not is_copy or self._description(stream).is_convertible
        return Unbroken(
            carrier,
            silence_of(context) if is_known else None,
            fills_start=not in_mp4,
            cuts_start=self._format in _FROM_ZERO,
        )

    def _is_still(self, stream: Any) -> bool:
        """Whether a second picture is what AVIF and HEIF show where nothing may move."""
        brand = self._source.container.metadata.get("major_brand", "").strip()
        return brand in _WITH_STILLS and stream.frames == 1

    def _description(self, stream: Any) -> StreamDescription:
        unknown = StreamDescription(stream.type, is_known=False)
        return self._descriptions.get(stream.index, unknown)

    def _attach(self, stream: Any, what: str) -> None:
        if "matroska" not in self._format:
            self._notes.append(f"{dropped(what, self._ending)}; .mkv may")
            return
        self._container.add_attachment(
            stream.name or "attachment",
            stream.mimetype or "application/octet-stream",
            stream.data,
        )

    def _transcoded_sound(self, stream: Any, what: str) -> AudioTranscode | None:
        channels = self._description(stream).channels
        default = _AUDIO_ENCODERS.get(self._format, (self._container.default_audio_codec,))
        for encoder, layout, rate in self._sound_settings(stream, channels, default):
            try:
                transcode = AudioTranscode(stream, self._container, encoder, layout, rate)
            except ValueError:  # the container does not hold it
                continue
            break
        else:
            return None
        self._describe(transcode.stream, stream)
        changed = [layout] if av.AudioLayout(layout).nb_channels != channels else []
        if rate != stream.codec_context.sample_rate and encoder != "libopus":
            changed.append(f"{rate} Hz")
        name = av.Codec(encoder, "w").canonical_name
        if name != _codec(stream):
            becomes, it = f"transcoded to {' '.join([name, *changed])}", "it"
        else:
            becomes = f"converted to {' '.join(changed)}" if changed else "encoded again"
            it = "it as it is"
        reason = f"{self._ending} cannot hold {it}"
        if self._is_pcm_in_mp4(stream):
            reason = f"few players take it in {self._ending}; .mov holds it"
        self._notes.append(f"{what} is {becomes}: {reason}")
        return transcode

    def _is_pcm_in_mp4(self, stream: Any) -> bool:
        """Whether a stream is sound that MP4 has been able to hold since 2023 only.

        Programs from before, such as FFmpeg 5, read most kinds of it as noise, or not at all.
        """
        return self._format == "mp4" and (_codec(stream) or "").startswith("pcm_")

    def _sound_settings(
        self, stream: Any, channels: int, usual: Sequence[str]
    ) -> list[tuple[str, str, int]]:
        """Encoders, layouts and rates (Hz) for a sound, the best one first.

        Args:
            channels: how many the sound has.
            usual: the encoders to use if any can be; of these, that which keeps most channels.
        """
        found = []
        for encoder in dict.fromkeys((*usual, *_OTHER_AUDIO_ENCODERS)):
            if not _can_encode(encoder):
                continue
            any_rate = self._format not in _AT_48_KHZ
            for layout, rate in usable_sound(encoder, stream, channels, any_rate=any_rate):
                if self._holds_sound(stream, encoder, layout, rate):
                    found.append((encoder, layout, rate))
                    break

        def rank(each: tuple[str, str, int]) -> tuple[bool, int]:
            encoder, layout, _ = each
            is_usual = encoder in usual
            return not is_usual, -av.AudioLayout(layout).nb_channels if is_usual else 0

        return sorted(found, key=rank)

    def _holds_sound(self, stream: Any, encoder: str, layout: str, rate: int) -> bool:
        """Whether a container of this format takes sound: FLV, for example, has few rates."""
        if self._format == "mxf":  # it takes none without a picture
            return True
        try:
            with av.open(io.BytesIO(), "w", format=self._format) as trial:
                AudioTranscode(stream, trial, encoder, layout, rate)
                trial.start_encoding()
        except (av.FFmpegError, ValueError, OSError):
            return False
        return True

    def _converted_text(self, stream: Any, what: str) -> SubtitleTranscode | None:
        encoder = _SUBTITLE_ENCODERS.get(self._format)
        if not encoder:
            return None
        subtitles = SubtitleTranscode(stream, self._container, encoder)
        self._describe(subtitles.stream, stream)
        self._notes.append(f"{what} are converted to {encoder}: {self._ending} cannot hold them")
        return subtitles

    def _keep_cover(self, stream: Any, first: Sequence[Any]) -> None:
        """Keeps a cover picture: an attachment in Matroska, a stream of one packet in MP4."""
        if not first:
            self._notes.append("cover dropped: it can only be taken from a file")
        elif "matroska" in self._format:
            kind = {"mjpeg": "jpeg"}.get(str(_codec(stream)), str(_codec(stream)))
            self._container.add_attachment(f"cover.{kind}", f"image/{kind}", bytes(first[0]))
            self._kept_covers += 1
        elif self._format in _WITH_COVERS and self._takes(stream, first):
            copy = _add_copy(self._container, stream)
            self._describe(copy, stream)
            self._covers.append((copy, first[0]))
            self._kept_covers += 1
        elif self._format == "mov":  # it can have one, but none is written
            self._notes.append(f"cover dropped: none is written into {self._ending}; .mp4 keeps it")
        else:
            self._notes.append(dropped("cover", self._ending))

    def _takes(self, stream: Any, first: Sequence[Any]) -> bool:
        """Whether a container of this format really holds the stream's first packets."""
        codec = _codec(stream) or getattr(stream, "name", None)
        if self._format == "mpegts" and codec not in _IN_TRANSPORT_STREAMS:
            return False
        if stream.type == "audio" and codec not in _SOUNDS.get(self._format, (codec,)):
            return False
        if stream.type == "video" and not self._takes_second_picture(stream, first):
            return False
        if self._is_pcm_in_mp4(stream):
            return False
        if self._format == "mxf":  # it holds one picture, and sound
            return codec in _IN_MXF and stream.codec_context.sample_rate == _48_KHZ
        same_kind = self._format in self._source.container.format.name.split(",")
        if stream.type == "data" and not same_kind:
            return False
        if not first and codec in _TEXT_SUBTITLES:  # the first line may come late
            first = [_some_line(stream)]
        file = io.BytesIO()
        try:
            with av.open(file, "w", format=self._format, metadata_errors=RAW_BYTES) as written:
                copy = _add_copy(written, stream)
                written.start_encoding()
                last: int | None = None
                for packet in first[:_TRIED_PACKETS]:
                    packet.stream = copy
                    give_time(packet)
                    if last is not None and packet.dts is not None and packet.dts <= last:
                        continue  # containers refuse it
                    last = packet.dts
                    written.mux_one(packet)
            file.seek(0)
            if first and stream.type in ("audio", "subtitle", "video"):
                with av.open(file, "r", metadata_errors=RAW_BYTES) as read:
                    return self._is_same(stream, read)
        except (av.FFmpegError, ValueError, OSError):
            return False
        return True

    def _takes_second_picture(self, stream: Any, first: Sequence[Any]) -> bool:
        """Whether a container can be read again if it has another picture beside the painted one.

        Muxers take more than that: a trial without the painted picture does not show it.
        """
        if _ATTACHED_PICTURE in stream.disposition:
            return True
        times = [packet.pts for packet in first if packet.pts is not None]
        if self._format in _IN_DECODING_ORDER and times != sorted(times):
            return False
        return _codec(stream) in _SECOND_PICTURES.get(self._format, (_codec(stream),))

    def _is_same(self, stream: Any, trial: InputContainer) -> bool:
        """Whether what was written of a stream reads as the same."""
        before, after = self._description(stream), describe(trial).get(0)
        if len(trial.streams) != 1 or after is None:
            return False
        codecs = {
            _MPEG_AUDIO.get(str(name), name) for name in map(_codec, (stream, *trial.streams))
        }
        return len(codecs) == 1 and (before.kind, before.channels) == (after.kind, after.channels)

    def _template(self, stream: Any, first: Sequence[Any]) -> Any:
        """The stream to copy from, without what the old container alone has said of its blocks.

        AVI says that MP3 has blocks of one size. Copied into AVI, that makes its length wrong.
        """
        if self._format != "avi" or _codec(stream) not in ("mp3", "ac3") or not first:
            return stream
        file = io.BytesIO()
        with av.open(file, "w", format="matroska") as written:
            copy = _add_copy(written, stream)
            first[0].stream = copy
            written.mux_one(first[0])
        file.seek(0)
        return av.open(file, "r").streams[0]

    def _kept(self, metadata: dict[str, str]) -> dict[str, str]:
        """What of a film's or a stream's metadata also describes the new film."""
        source = self._source
        video, later_s = source.main_stream, source.part.start_s
        if (
            later_s and video.start_time is not None and video.time_base
        ):  # timecode is that of the first picture
            begins_s = video.start_time * video.time_base - source.timeline.start_s
            later_s = max(Fraction(0), later_s - begins_s)
        kept = of_the_film(metadata, self._given_format)
        return with_later_timecode(kept, later_s, video.average_rate)

    def _describe(self, new: Any, old: Any) -> None:
        kept = self._kept(old.metadata)
        if "name" in kept:  # MP4's word for a track's title
            kept.setdefault("title", kept.pop("name"))
        if self._format == "mov" and "language" in kept:
            kept["language"] = one_code(kept["language"])
        new.metadata.update(kept)
        new.disposition = old.disposition


def _add_copy(container: OutputContainer, template: Any) -> Any:
    """A stream for the packets of another film's; raises av.FFmpegError, ValueError."""
    # by the decoder's name, PyAV would look for an encoder: AV1 and VC-1 have none of that name
    return container.add_stream_from_template(template, opaque=True)


def _first_packets(source: PassthroughSource, streams: Sequence[Any]) -> dict[int, list[Any]]:
    """A few packets of each stream, from the file's start; a pipe cannot be read twice for them."""
    found: dict[int, list[Any]] = {}
    wanted = {stream.index for stream in streams if stream.type != "attachment"}
    if not source.is_file or not wanted:
        return found
    with av.open(ffmpeg_name(source.path), metadata_errors=RAW_BYTES) as probe:
        try:
            for i, packet in enumerate(all_packets(probe)):
                if packet.size and packet.stream.index in wanted:
                    found.setdefault(packet.stream.index, []).append(packet)
                is_enough = all(len(found.get(index, ())) >= _TRIED_PACKETS for index in wanted)
                if i == _PROBE_PACKETS or is_enough:
                    break
        except av.FFmpegError:
            pass  # the film is damaged; the trial goes on with what has been read
    return found


def _some_line(stream: Any) -> Any:
    """A packet of text subtitles, to try whether a container holds them."""
    line = av.Packet(b"\0\1x" if _codec(stream) == "mov_text" else b"x")
    line.pts = line.dts = 0
    line.duration, line.time_base = round(1 / stream.time_base), stream.time_base
    return line


def _moved(chapters: Sequence[Any], part: Part, film_start_s: Fraction) -> list[Any]:
    """The chapters of a part, counted from its start.

    Args:
        film_start_s: when the film begins on the clock of the chapters, in seconds.
    """
    moved = []
    for chapter in chapters:
        start = round((film_start_s + part.start_s) / chapter["time_base"])
        end = chapter["end"]
        if part.end_s is not None:
            end = min(end, round((film_start_s + part.end_s) / chapter["time_base"]))
        if end > start and end > chapter["start"]:
            moved.append({**chapter, "start": max(0, chapter["start"] - start), "end": end - start})
    return moved


def _codec(stream: Any) -> str | None:
    """FFmpeg's name of the stream's codec; None if it has no decoder for it."""
    context = getattr(stream, "codec_context", None)
    return context.codec.canonical_name if context else None


def _can_encode(encoder: str) -> bool:
    try:
        return av.Codec(encoder, "w").type == "audio"
    except ValueError:
        return False


def _name(stream: Any) -> str:
    codec = _codec(stream) or getattr(stream, "name", None) or "of an unknown format"
    language = stream.metadata.get("language", "und")
    return f"{named(stream.type)} ({codec}{f', {language}' if language != 'und' else ''})"
