"""Films as sources of frames."""

from __future__ import annotations

import contextlib
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from heapq import heappop, heappush
from itertools import chain, islice, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import av
from av.codec.context import Flags
from av.stream import Disposition

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, Size, StreamInfo
from realtime_style.media.animation import plays_of
from realtime_style.media.converter import Converter
from realtime_style.media.damage import FIELD, MAX_REORDERED, Damage
from realtime_style.media.demuxer import (
    Demuxer,
    PacketSource,
    Part,
    Tee,
    all_packets,
    decoding_device,
    nvidia_device,
    open_film,
    reason_of,
)
from realtime_style.media.description import describe
from realtime_style.media.frame_rate import finest_rate, frame_rate
from realtime_style.media.mp4_boxes import is_cut_off
from realtime_style.media.notes import named
from realtime_style.media.packet import Packet
from realtime_style.media.pipes import StandardInput
from realtime_style.media.tail import Tail
from realtime_style.media.timeline import Timeline, has_times, seek_times_s
from realtime_style.system.paths import is_numbered, name_of, numbered
from realtime_style.wording import source_name

_ONE_FRAME_PER_PACKET = ("h264", "hevc", "mpeg2video", "mjpeg", "prores", "ffv1", "png")
_WITH_HOLES = ("matroska,webm", "mpegts", "mpeg", "flv", "ogg", "asf")  # where packets are missing
_LATEST_TIME_AS_LENGTH = ("matroska,webm", "nut")  # formats, if they begin late
_TOLD_END = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")  # of a stream in Matroska
_ROUNDING = Fraction(1, 1000)  # of a tick
_MAX_PRIMING_S = 0.1  # of sound, before the picture
_PAST_GAP_S = Fraction(1, 2)  # sound is stored not further than this behind the picture
_SOON = 1.5  # frames: a picture that comes later stays where it is
_IMPLAUSIBLE = 10  # times as long, or as short, as a file's size makes likely
_TELLING_BYTES = 1024  # that have been read say how large a second is
_PAUSING = 5  # frames per second: with fewer, a film probably pauses, as screen recordings do
_TELLING_PACKETS = 2000  # of all streams
_MAX_SKIPPED_BYTES = 64 * 2**20  # after a key frame, that wait for the start of a part

Given = TypeVar("Given")


class FileSource:
    """The frames of a film: a file, standard input, an address, or numbered pictures.

    Frames are timed so that `start_s` is time zero. `notes` says what is changed apart from the
    painting, and what could not be read; `lost_s` says how many seconds could not be read. The
    packets of all other streams are only kept if they are requested (`other_packets`).

    Attributes:
        path: where it is read from.
        name: what messages call it.
        info: what is known of its frames.
        timeline: from its container's clock to the time of the film.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        size: Size | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        rate: Fraction | None = None,
        hwaccel: str | None = None,
        gpu_device: int | None = None,
    ) -> None:
        """Opens the film and decodes its first picture.

        Args:
            path: a file, "-" (standard input), an address that FFmpeg opens (http://, rtsp://,
                ...), or a pattern for numbered pictures (frame_%04d.png).
            size: of the frames; None keeps the film's (odd sides lose one pixel).
            start_s: where to begin, in seconds of the film; if the sound's priming comes before the
                picture, of the picture.
            duration_s: how much to read, in seconds; None reads to the end.
            rate: frames per second of numbered pictures (None takes 25) and of raw streams, such
                as .h264 (None takes what they say). Films have their own.
            hwaccel: the device that decodes, a name of `hwaccels()`; None decodes on the CPU.
            gpu_device: the number of the NVIDIA GPU that decodes and keeps `pictures`.

        Raises:
            MediaError: the file is missing, is not a film, or has no picture that can be decoded;
                or there is no such device.
        """
        if duration_s is not None and duration_s <= 0:
            raise MediaError(f"a film of {duration_s:g} s has no frames", setting="duration_s")
        self.path, self.name = path, source_name(path)
        self._given_rate = rate
        device = decoding_device(hwaccel) if hwaccel is not None else None
        if gpu_device is not None:
            device = nvidia_device(gpu_device)
        self._is_waiting = False  # for a packet
        self._has_ended = False
        self._shown_s = 0.0  # how far the pictures have been read
        self._has_both_times = False  # of decoding and of showing, in packets of the picture
        self._read_bytes = 0
        self._tee: Tee | None = None
        self._late: list[str] = []  # kinds of streams that have appeared while reading
        # packets of other streams that cannot be read a second time, until iteration begins
        self._early: list[Packet] | None = None if self.is_file else []
        self._pipe = StandardInput() if str(path) == "-" else None
        self._container = open_film(str(path), rate=rate, device=device, pipe=self._pipe)
        try:
            self.timeline = Timeline(self._container)
            self._video = self._painted_stream()
            self._video.thread_type = "AUTO"
            # else FFmpeg shows up to 31 columns that are cut off at the left
            self._video.codec_context.flags |= Flags.unaligned
            if device:  # FFmpeg takes one more surface per thread; NVIDIA's decoder has at most 32
                self._video.thread_type, self._video.codec_context.thread_count = "SLICE", 1
            self._time_base = Fraction(self._video.time_base or Fraction(1, 90000))
            self._lead_s = self._priming_s()
            self._part = self._part_at(start_s, duration_s)
            self._skip_s: Fraction | None = None  # where reading begins, if within the part
            if not self.timeline.may_jump:  # else its length is known only when it has been read
                self._refuse_start_beyond(self._pictures_s)
            self._begin(size)
        except BaseException:
            self._container.close()
            raise

    def _begin(self, size: Size | None) -> None:
        """Decodes the first picture, and learns from it what the frames will be like."""
        self._rate = self._given_rate or frame_rate(self._video)
        self._damage = self._new_damage()
        self._pictures = self._translated(self._timed(self._from_start()))
        self._first = self._first_picture()
        is_interlaced = self._first.interlaced_frame
        self._rate = self._given_rate or frame_rate(self._video, is_interlaced=is_interlaced)
        self._damage.rate = self._rate
        described = describe(self._container).get(self._video.index)
        self._converter = Converter(
            self._first,
            size,
            self._video.sample_aspect_ratio,
            self._video.codec_context,
            of_the_stream=described.side_data if described else frozenset(),
        )
        if "1" in (v for k, v in self._video.metadata.items() if k.lower() == "alpha_mode"):
            self._note_alpha()
        self._gap: str | None = None
        if self._container.format.name == "image2":
            self._gap = _missing_pictures(Path(self.path))
        self.info = self._read_info()

    def _note_alpha(self) -> None:
        """Notes transparency that the decoder has dropped."""
        note = "transparency is not kept"
        if note not in self._converter.notes:
            self._converter.notes.append(note)

    def _painted_stream(self) -> av.VideoStream:
        """The stream to paint; raises MediaError if there is none."""
        video = _main_video(self._container)
        if video is None:
            raise MediaError(f"{self.name} has no picture that can be decoded", setting="source")
        if Disposition.attached_pic in video.disposition and self._container.streams.audio:
            raise MediaError(
                f"{self.name} is sound with a cover, not a film; save the cover as a picture to "
                "paint it",
                setting="source",
            )
        return video

    def _part_at(self, start_s: float, duration_s: float | None) -> Part:
        """The part asked for, from tick to tick: sound is cut off exactly where the picture is."""
        begin_s = Fraction(start_s) + self._lead_s if start_s else Fraction(0)
        if duration_s is None:
            return Part(self._next_tick_s(begin_s))
        end_s = Fraction(start_s + duration_s) + self._lead_s
        return Part(self._next_tick_s(begin_s), self._next_tick_s(end_s))

    def _priming_s(self) -> Fraction:
        """How much the sound begins before the picture, if that may be a codec's priming.

        A part is counted from the first picture then: else it would begin and end within pictures.
        """
        start, timeline = self._video.start_time, self.timeline
        lead_s = Fraction(0) if start is None else start * self._time_base - timeline.start_s
        return lead_s if 0 < lead_s <= _MAX_PRIMING_S else Fraction(0)

    def _next_tick_s(self, time_s: float | Fraction) -> Fraction:
        """The first time from a given one on that the painted stream can express, in seconds."""
        return math.ceil(Fraction(time_s) / self._time_base - _ROUNDING) * self._time_base

    def _refuse_start_beyond(self, film_s: float | None) -> None:
        if self._part.start_s and film_s is not None and self._part.start_s >= film_s:
            raise MediaError(
                f"{self.name} is {round(film_s, 2):g} s long; there is nothing at "
                f"{float(self._part.start_s - self._lead_s):g} s",
                setting="start_s",
            )

    def _first_picture(self) -> av.VideoFrame:
        first = next(self._pictures, None)
        if self._pipe:
            self._pipe.interrupt.check()
        if first is None:
            self._refuse_start_beyond(self._shown_s or None)
            is_whole = self._part == Part()
            where = "" if is_whole else " in that part"
            raise MediaError(
                f"{self.name}: no frame{where} could be decoded{self._advice}",
                setting="source",
            )
        return first

    def skip_to(self, pts: int) -> None:
        """Lets iteration begin at a frame within the part, with the same times as otherwise.

        Pictures before it that its decoding needs are decoded and dropped. Afterwards `notes` and
        `lost_s` are those of what is read from there.

        Args:
            pts: when that frame is shown, in ticks from the start of the part.

        Raises:
            MediaError: no picture can be decoded from there on.
        """
        if pts <= (self._first.pts or 0):
            return
        self._skip_s = self._part.start_s + pts * self._time_base
        self._damage = self._new_damage()
        self._pictures = self._translated(self._timed(self._from_start()))
        self._first = self._first_picture()

    def skip_all(self) -> None:
        """Counts all frames as read: others have read them."""
        self._has_ended = True

    @property
    def can_skip(self) -> bool:
        """Whether `skip_to` reaches a frame without reading all before it."""
        is_exact = has_times(self._container) and not self.timeline.may_jump
        return self.is_file and is_exact and not is_numbered(Path(self.path))

    @property
    def _begins_s(self) -> Fraction:
        """The first time that is read, in seconds of the film."""
        return self._part.start_s if self._skip_s is None else self._skip_s

    @property
    def notes(self) -> list[str]:
        """What is changed on the way to frames, and what is lost; grows while reading."""
        gaps = [self._gap] if self._gap else []
        late = [f"{named(kind)} that begins half-way is left out" for kind in self._late]
        return [*self._converter.notes, *gaps, *late, *self._damage.notes()]

    @property
    def lost_s(self) -> float:
        """How much of the film could not be read so far, in seconds."""
        return self._damage.lost_s

    @property
    def is_file(self) -> bool:
        """Whether the film can be opened a second time."""
        return Path(self.path).is_file()

    @property
    def plays(self) -> int | None:
        """How often it is to be played, 0 for ever; None if it is no animation."""
        return plays_of(Path(self.path)) if self.is_file else None

    @property
    def has_ended(self) -> bool:
        """Whether all frames of the film, or of the requested part, have been read."""
        return self._has_ended

    @property
    def container(self) -> av.container.InputContainer:
        """For its chapters and metadata."""
        return self._container

    @property
    def main_stream(self) -> av.VideoStream:
        """The stream that is painted, for its metadata."""
        return self._video

    @property
    def part(self) -> Part:
        """The part of the film that is read; one that begins within a frame, begins after it."""
        return self._part

    def other_packets(self) -> PacketSource:
        """The packets of all streams but the painted one; call this before iterating.

        A file is opened a second time for them. From a pipe or an address they are kept while
        frames are read, until they are taken.
        """
        streams = tuple(s for s in self._container.streams if s is not self._video)
        if streams and self.is_file:
            return Demuxer(self.path, self._video.index, self._part)
        self._tee = Tee(streams)
        for packet in self._early or ():
            self._tee.put(packet)
        self._early = None
        return self._tee

    def times_s(self) -> list[float]:
        """When each frame is shown, in seconds, by reading the whole film in a second container.

        They are counted as the start of a part is.

        Raises:
            MediaError: it is not a file, and cannot be read a second time.
        """
        if not self.is_file and self._container.format.name != "image2":
            raise MediaError(f"{self.name} can be read only once; give a file", setting="source")
        first_s = self._part.start_s + (self._first.pts or 0) * self._time_base
        times = {float(first_s - self._lead_s)}
        at_s = 0.0  # of films without times: how long the packets before last
        with open_film(str(self.path)) as film, contextlib.suppress(av.FFmpegError):
            for packet in Timeline(film).moved(all_packets(film)):
                is_painted = packet.stream.index == self._video.index
                if not is_painted or not packet.size or packet.is_discard:
                    continue
                if packet.pts is not None and not self._has_given_times:
                    times.add(float(packet.pts * self._time_base - self._lead_s))
                elif not has_times(film):
                    times.add(at_s)
                    lasts_s = (packet.duration or 0) * self._time_base
                    at_s += float(1 / self._given_rate if self._given_rate else lasts_s)
        return sorted(times)

    @property
    def _has_given_times(self) -> bool:
        """Whether frames are shown at the rate asked for, whatever a raw stream says."""
        return self._given_rate is not None and not has_times(self._container)

    @property
    def _advice(self) -> str:
        if "mp4" in self._container.format.name and not self.is_file:
            return (
                "; an MP4 with its index at the end cannot be read from a pipe: give a file, or "
                "another format, such as .mkv"
            )
        return ""

    @property
    def _film_s(self) -> float | None:
        """How long the film says it is, in seconds; None if it does not."""
        if self._container.duration is None:
            return None
        film_s = self._container.duration / av.time_base
        start_s = float(self.timeline.start_s)
        says_latest = self._container.format.name in _LATEST_TIME_AS_LENGTH
        if says_latest and film_s > start_s > 0:
            return film_s - start_s
        if self.timeline.may_jump and self._is_far_from_size(film_s):
            return None  # the difference between two clocks
        return film_s

    @property
    def _pictures_s(self) -> float | None:
        """How long the film says its pictures are, in seconds; sound may be longer."""
        end_s = None
        if self._video.duration is not None:
            end_s = ((self._video.start_time or 0) + self._video.duration) * self._time_base
        elif told := _TOLD_END.fullmatch(self._video.metadata.get("DURATION", "")):
            end_s = (int(told[1]) * 60 + int(told[2])) * 60 + Fraction(told[3])
        return self._film_s if end_s is None else float(end_s - self.timeline.start_s)

    def _is_far_from_size(self, film_s: float) -> bool:
        """Whether a length cannot be true, going by the file's size and what has been read."""
        if not self.is_file or self._read_bytes < _TELLING_BYTES or not self._damage.reached_s:
            return False
        likely_s = self._container.size / self._read_bytes * self._damage.reached_s
        return not likely_s / _IMPLAUSIBLE < film_s < likely_s * _IMPLAUSIBLE

    def _read_info(self) -> StreamInfo:
        film_s, converter, part = self._film_s, self._converter, self._part
        shown_s = film_s and (self._pictures_s or film_s)
        frames: int | None = self._video.frames or None
        likely = round(shown_s * self._rate) if shown_s else None
        if not frames or (likely and frames > 1.1 * likely):  # fields, or more than is shown
            frames = likely
        if film_s is not None and (part.start_s or part.end_s is not None):
            film_s, shown_s = (
                float(min(part.end_s or end_s, end_s) - part.start_s)
                for end_s in (film_s, shown_s or film_s)
            )
            frames = round(shown_s * self._rate)
        return StreamInfo(
            width=converter.width,
            height=converter.height,
            rate=self._rate,
            time_base=self._time_base,
            color=converter.color,
            frames=frames,
            duration_s=film_s,
            source_width=converter.source_width,
            source_height=converter.source_height,
            sample_aspect_ratio=converter.sample_aspect_ratio,
            finest_rate=self._given_rate or self._finest_rate(),
            source_color=converter.source_color,
        )

    def _finest_rate(self) -> Fraction | None:
        """The rate of the shortest step between frames; None if it is unknown.

        Of a film that pauses, its container may only know the average: then its packets are read.
        """
        finest = finest_rate(self._video)
        if self._rate >= _PAUSING or not self.is_file or not has_times(self._container):
            return finest
        with open_film(str(self.path)) as film, contextlib.suppress(av.FFmpegError):
            read = islice(all_packets(film), _TELLING_PACKETS)
            painted = (packet for packet in read if packet.stream.index == self._video.index)
            times = {packet.pts for packet in painted if packet.size and packet.pts is not None}
        steps = [b - a for a, b in pairwise(sorted(times))]
        shortest = [step for step in steps if step < _SOON * min(steps)]  # they may be rounded
        if not shortest:
            return finest
        return max(finest or self._rate, len(shortest) / (sum(shortest) * self._time_base))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the film; a second call does nothing."""
        if not self._is_waiting:  # else another thread is reading, and closing would crash it
            self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`; what cannot be read is dropped, and counted in `notes`."""
        yield from self._translated(self._converter.convert(self.pictures(), self._time_base))

    def pictures(self) -> Iterator[av.VideoFrame]:
        """The decoder's pictures, with the times of frames; instead of iterating."""
        self._early = None
        yield self._first
        yield from self._pictures
        self._has_ended = True

    @property
    def changes(self) -> list[str]:
        """How a picture is changed to become a frame, apart from being copied."""
        return self._converter.changes(self._first)

    def _translated(self, items: Iterator[Given]) -> Iterator[Given]:
        """The same items; an unexpected FFmpeg error becomes a MediaError."""
        try:
            yield from items
        except av.FFmpegError as error:
            raise MediaError(
                f"{self.name} cannot be read: {error.strerror}", setting="source"
            ) from error

    def _in_order(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures with the times and durations that their container defines."""
        video = self._video
        if self._container.format.name == "avi":
            pictures = _with_times_in_order(pictures)
        if self._container.format.name == "mxf":
            pictures = self._with_times_mended(pictures)
        if video.duration is not None and "mp4" in self._container.format.name:
            start_pts = round(self.timeline.start_s / self._time_base)
            end_pts = (video.start_time or 0) + video.duration - start_pts
            pictures = _with_lengths(pictures, end_pts)
        return pictures

    def _with_times_mended(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures of MXF, in which some writers know no other times than AVI."""
        first = list(islice(pictures, MAX_REORDERED + 1))
        pictures = chain(first, pictures)
        yield from pictures if self._has_both_times else _with_times_in_order(pictures)

    def _timed(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures of the requested part, each with a later time than the one before."""
        part = self._part
        first = round(part.start_s / self._time_base)
        earliest = round(self._begins_s / self._time_base)
        end = None if part.end_s is None else round(part.end_s / self._time_base)
        step = max(1, round(1 / (self._rate * self._time_base)))
        pts = -step
        last: int | None = None
        for picture in pictures:
            # streams of raw video have no times: there every frame is shown for one step
            is_timed = picture.pts is not None and not self._has_given_times
            pts = (picture.pts or 0) if is_timed else pts + step
            if pts < earliest and earliest:
                continue
            if end is not None and pts >= end:
                if has_times(self._container):  # else the part cannot be told from what follows
                    if last is not None and pts - last > _SOON * step:
                        self._read_on(pictures, pts)
                    self._count_lost()
                return
            is_late = 0 < pts - first < _SOON * step
            if last is None and is_late and part.start_s and self._skip_s is None:
                self._begin_part((pts - first) * self._time_base)
                first = pts
            if last is not None and pts <= last:  # damage; no film can show two at a time
                picture.duration = max(0, (picture.duration or 0) - (last + 1 - pts))
                pts = last + 1
            last = pts
            if picture.interlaced_frame and 0 < (picture.duration or 0) <= FIELD * step:
                picture.duration = step  # that of its first field
            if end is not None:
                picture.duration = min(picture.duration or 0, end - pts)
            picture.pts = pts - first
            picture.time_base = self._time_base
            yield picture

    def _read_on(self, pictures: Iterator[av.VideoFrame], pts: int) -> None:
        """Reads past the end of a part in a gap, until the sound after it has been read too."""
        enough = pts + _PAST_GAP_S / self._time_base
        for picture in pictures:
            if picture.pts is None or picture.pts > enough:
                return

    def _begin_part(self, later_s: Fraction) -> None:
        """Lets a part begin with its first picture, so that the new film has one at zero."""
        self._part = replace(self._part, start_s=self._part.start_s + later_s)
        if self._early is not None:
            rest = Part(later_s)
            self._early = [packet for packet in self._early if rest.takes(packet)]

    def _from_start(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures in the order in which they are shown, from the part's start or before.

        Where a picture needs others before it, they have been decoded too.
        """
        start_pts = round(self._begins_s / self._time_base)
        for at_s in seek_times_s(float(self._begins_s)):
            if self._pipe or not self.timeline.seek(at_s):
                break
            self._damage = self._new_damage()
            self._early = None if self._early is None else []
            pictures = self._in_order(self._decode(is_sought=at_s > 0))
            first = next(pictures, None)
            if first is None or first.pts is None:
                is_early = False
            else:
                is_early = first.pts <= start_pts and not first.is_corrupt
            if is_early or not at_s:
                yield from chain([first] if first else [], pictures)
                return
        yield from self._in_order(self._decode())

    def _decode(self, *, is_sought: bool = False) -> Iterator[av.VideoFrame]:
        """Pictures as the decoder returns them; damage is counted, and ends nothing."""
        damage, tail = self._damage, Tail()
        packets = self._painted_packets()
        if self._begins_s and has_times(self._container):
            packets = self._from_key_frame(packets, is_sought=is_sought)
        for packet in packets:
            if packet.has_sidedata("encryption_info"):
                raise MediaError(
                    f"{self.name} is encrypted; give a copy that plays without a key",
                    setting="source",
                )
            if not packet.size and packet.pts is not None:  # the picture before it is shown again
                continue
            self._has_both_times |= packet.pts != packet.dts
            damage.decoding(packet)
            tail.sent(packet)
            try:
                decoded = packet.decode()
            except av.FFmpegError:  # decoders report damage with errors of many kinds
                damage.failed()
                tail.failed()
                continue
            for frame in decoded:
                if isinstance(frame, av.VideoFrame):
                    damage.decoded(frame)
                    tail.decoded(frame)
                    yield frame
        if damage.has_ended_early:  # then no packet has told the decoder to return what it holds
            with contextlib.suppress(av.FFmpegError):
                for frame in self._video.codec_context.decode(None):
                    damage.decoded(frame)
                    tail.decoded(frame)
                    yield frame
        for missed in tail.missed(self._video.codec_context):
            if missed is None:
                damage.failed()
            else:
                damage.decoded(missed)
                yield missed
        self._count_lost()
        self._count_missing()

    def _new_damage(self) -> Damage:
        """Nothing lost so far."""
        finds_holes = self._container.format.name in _WITH_HOLES
        return Damage(self._rate, self._part, self._time_base, finds_holes=finds_holes)

    def _from_key_frame(self, packets: Iterator[Packet], *, is_sought: bool) -> Iterator[Packet]:
        """Packets from the last key frame but one before the part.

        From the last one, pictures that are refreshed bit by bit would not be whole yet.

        Args:
            is_sought: whether reading began within the film, so that nothing before the first key
                frame can be decoded.
        """
        start_pts = round(self._begins_s / self._time_base)
        groups: deque[list[Packet]] = deque(maxlen=2)
        skipped_bytes = 0
        for packet in packets:
            if packet.is_keyframe or not (groups or is_sought):
                groups.append([])
                skipped_bytes = sum(each.size for group in groups for each in group)
            if groups:
                groups[-1].append(packet)
                skipped_bytes += packet.size
            has_begun = packet.pts is not None and packet.pts >= start_pts
            if has_begun or skipped_bytes > _MAX_SKIPPED_BYTES:
                break
        for group in groups:
            yield from group
        yield from packets

    def _painted_packets(self) -> Iterator[Packet]:
        """Packets of the painted stream; those of the others go to `other_packets`."""
        packets = self.timeline.moved(all_packets(self._container))
        while True:
            try:
                self._is_waiting = True
                packet = next(packets)
                self._is_waiting = False
            except StopIteration:
                self._late = [
                    stream.kind
                    for index, stream in describe(self._container).items()
                    if index >= len(self._container.streams)
                ]
                return
            except av.FFmpegError as error:  # what came before is still a film
                self._damage.end_early(reason_of(error))
                return
            self._damage.read(packet)
            self._read_bytes = max(self._read_bytes, packet.pos or 0)
            if packet.stream is self._video:
                if packet.pts is not None:
                    end_s = (packet.pts + (packet.duration or 0)) * self._time_base
                    self._shown_s = max(self._shown_s, float(end_s))
                yield packet
            elif self._tee:
                if self._part.takes(packet):
                    self._tee.put(packet)
            elif self._early is not None and self._part.takes(packet):
                self._early.append(packet)

    def _count_lost(self) -> None:
        """Compares the pictures that were decoded with those that were read."""
        self._damage.reach_end()
        if self._video.codec_context.name in _ONE_FRAME_PER_PACKET:
            self._damage.compare_packets()

    def _count_missing(self) -> None:
        """Compares what was read with the length that the film says it has."""
        length_s = self._film_s
        if self._container.format.name == "avi":  # the duration there is a guess from the size
            length_s = float(self._video.frames * self._time_base)
        if length_s is not None and not self.timeline.has_jumped:
            self._damage.compare_length(length_s)
        if self.is_file and "mp4" in self._container.format.name:
            with contextlib.suppress(OSError):
                if is_cut_off(Path(self.path)):
                    self._damage.cut_off()


def _with_times_in_order(pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Mends times in decoding order: the n-th picture is shown at the n-th of them, sorted."""
    held: deque[av.VideoFrame] = deque()
    times: list[int] = []
    for picture in pictures:
        held.append(picture)
        if picture.pts is not None:
            heappush(times, picture.pts)
        if len(held) > MAX_REORDERED:
            first = held.popleft()
            first.pts = heappop(times) if times else None
            yield first
    for first in held:
        first.pts = heappop(times) if times else None
        yield first


def _with_lengths(pictures: Iterator[av.VideoFrame], end_pts: int) -> Iterator[av.VideoFrame]:
    """MP4 has durations in decoding order: here each picture is shown until the next one."""
    last = next(pictures, None)
    for picture in pictures:
        assert last is not None
        if picture.pts is not None and last.pts is not None:
            last.duration = max(0, picture.pts - last.pts)  # after damage they may go back
        yield last
        last = picture
    if last is not None:
        if last.pts is not None and last.pts < end_pts:
            last.duration = end_pts - last.pts
        yield last


def _missing_pictures(pattern: Path) -> str | None:
    """A note on numbered pictures after a gap, which are ignored; None if there is no gap."""
    if not is_numbered(pattern):  # some kinds of pictures are read as a sequence of one
        return None
    there = numbered(pattern)
    for one, following in pairwise(sorted(there)):
        if following != one + 1:
            missing = name_of(pattern, one + 1)
            return f"{missing} is missing; the pictures after it are ignored"
    return None


def _main_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream with the film's picture; a cover or a thumbnail only if there is nothing else."""
    best = container.streams.best("video")
    if not isinstance(best, av.VideoStream):
        return None
    context: Any = best.codec_context  # None where FFmpeg has no decoder
    return best if context is not None and context.width else None
