"""Where frames come from."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, Size, StreamInfo
from realtime_style.media.animation import film_of_animation, is_animated_webp
from realtime_style.media.converter import Converter
from realtime_style.system.paths import escaped_pattern, is_numbered, name_of, numbered

_FRAME_A_PACKET = ("h264", "hevc", "mpeg2video", "mjpeg", "prores", "ffv1", "png")
_CUT_S = 0.5  # a film this much shorter than it says was cut off; less is rounding
_OPEN_S = 20.0  # for an address to answer; FFmpeg hears of no Ctrl-C meanwhile
_MOST_REORDERED = 16  # pictures; H.264 and H.265 allow no more
RAW_BYTES = "surrogateescape"  # metadata in other codes than UTF-8 goes through untouched


Given = TypeVar("Given")


class FileSource:
    """The frames of a film, and the packets of all its other streams.

    A film is a file, "-" (standard input), an address that FFmpeg opens (http://, rtsp://, ...), or
    a pattern for numbered pictures (frame_%04d.png, 25 a second).

    While it iterates, packets of `other_streams` are appended to `packets`; who takes none of
    them lets them pile up. Both are moved so that `start_s` is time zero. What is changed besides
    the painting, and what could not be read, is said in `notes`; `lost_s` is how much that is.
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
            size: of the frames; None keeps the film's (odd sides lose one pixel).
            start_s: where to begin, in seconds of the film.
            duration_s: how much to read; None reads to the end.
            rate: of numbered pictures, a second; None takes 25.
            hwaccel: the device that decodes, a name of `hwaccels()`; None decodes on the CPU.
            gpu_device: the number of the NVIDIA GPU that decodes and keeps `pictures`.

        Raises:
            MediaError: the file is missing, is not a film, or has no picture that can be decoded;
                or the device is not there.
        """
        if duration_s is not None and duration_s <= 0:
            raise MediaError(f"a film of {duration_s:g} s has no frames; give a longer --duration")
        self.path = path
        device = None
        if hwaccel is not None:
            device = HWAccel(_known(hwaccel), allow_software_fallback=False)
        if gpu_device is not None:
            device = nvidia_device(gpu_device)
        self._is_waiting = False  # for a packet
        pipe = _Pipe() if str(path) == "-" else None
        self._container = _open(str(path), rate, device, pipe)
        try:
            video = _main_video(self._container)
            if video is None:
                raise MediaError(f"{path} has no picture that can be decoded; give a film")
            video.thread_type = "AUTO"
            if device:  # FFmpeg takes a surface a thread besides; NVIDIA's decoder has 32 at most
                video.thread_type, video.codec_context.thread_count = "SLICE", 1
            self._video = video
            self.other_streams = tuple(
                stream for stream in self._container.streams if stream is not video
            )
            self.packets: deque[Any] = deque()  # av.Packet, of any kind
            self._lost_frames = 0  # that were in the film, but could not be decoded
            self._spoilt_frames = 0  # that were decoded in part
            self._missing_s = 0.0  # at the end, of the length that the film says it has
            self._end_reason = ""
            self._start_s = start_s
            self._end_s = None if duration_s is None else start_s + duration_s
            film_s = self._film_s
            if start_s and film_s is not None and start_s >= film_s:
                raise MediaError(
                    f"{path} is {film_s:.2f} s long; there is nothing at {start_s:g} s"
                )
            self._time_base = Fraction(video.time_base or Fraction(1, 90000))
            self._rate = Fraction(video.average_rate or video.guessed_rate or Fraction(25))
            decoded = self._decode()
            if self._container.format.name == "avi":
                decoded = _with_times_in_order(decoded)
            if video.duration is not None and "mp4" in self._container.format.name:
                decoded = _with_lengths(decoded, (video.start_time or 0) + video.duration)
            self._pictures = self._in_words(self._timed(decoded))
            first = next(self._pictures, None)
            if pipe and pipe.is_stopped:
                raise KeyboardInterrupt
            if first is None:
                raise MediaError(f"{path} has no frame there that can be decoded{self._advice}")
            self._first = first
            self._converter = Converter(first, size, video.sample_aspect_ratio)
            if self._container.format.name == "image2":
                gap = _missing_pictures(Path(path))
                self._converter.notes += [gap] if gap else []
            self.info = self._read_info()
        except BaseException:
            self._container.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What is changed on the way to frames, and what is lost, in words; grows while reading."""
        notes = list(self._converter.notes)
        if self._lost_frames:
            notes.append(
                f"the film is damaged: frames that could not be decoded: {self._lost_frames} (some "
                f"{self._lost_frames / float(self._rate):.2f} s)"
            )
        if self._spoilt_frames:
            notes.append(
                f"the film is damaged: frames that are painted, but spoilt: {self._spoilt_frames}"
            )
        if self._missing_s:
            notes.append(
                f"the film ends early{self._end_reason}: {self._missing_s:.2f} s (some "
                f"{round(self._missing_s * self._rate)} frames) of its length are missing"
            )
        return notes

    @property
    def lost_s(self) -> float:
        """How much of the film could not be read until now, in seconds."""
        return self._missing_s + float(self._lost_frames / self._rate)

    @property
    def is_file(self) -> bool:
        """Whether the film can be opened a second time."""
        return Path(self.path).is_file()

    @property
    def container(self) -> av.container.InputContainer:
        """For its chapters and metadata."""
        return self._container

    @property
    def main_stream(self) -> av.VideoStream:
        """The stream that is painted, for its metadata."""
        return self._video

    @property
    def start_s(self) -> float:
        """The moment of the film that is time zero."""
        return self._start_s

    @property
    def end_s(self) -> float | None:
        """The moment of the film at which reading ends; None for its own end."""
        return self._end_s

    def times_s(self) -> list[float]:
        """When each frame is shown, in seconds, by reading all of the film; no frames come then.

        Raises:
            MediaError: it is no file, and could not be read a second time.
        """
        if not self.is_file and self._container.format.name != "image2":
            raise MediaError(f"{self.path} can be read only once; give a file")
        times = {float((self._first.pts or 0) * self._time_base)}
        with _open(str(self.path), None, None, None) as film, contextlib.suppress(av.FFmpegError):
            for packet in film.demux(film.streams[self._video.index]):
                if packet.pts is not None and packet.size and not packet.is_discard:
                    times.add(float(packet.pts * self._time_base))
        return sorted(times)

    @property
    def _advice(self) -> str:
        if "mp4" in self._container.format.name and not self.is_file:
            return (
                "; an MP4 with its index at the end cannot be read from a pipe: give a file, or "
                "another kind of film, as .mkv"
            )
        return ""

    @property
    def _film_s(self) -> float | None:
        duration = self._container.duration  # microseconds
        return None if duration is None else duration / 1e6

    def _read_info(self) -> StreamInfo:
        film_s, converter = self._film_s, self._converter
        frames: int | None = self._video.frames or (round(film_s * self._rate) if film_s else None)
        if film_s is not None and (self._start_s or self._end_s is not None):
            film_s = min(self._end_s or film_s, film_s) - self._start_s
            frames = round(film_s * self._rate)
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
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not self._is_waiting:  # else another thread is in there, which closing would break
            self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`; what cannot be read is left out, and said in `notes`."""
        yield from self._in_words(self._converter.convert(self.pictures(), self._time_base))

    def pictures(self) -> Iterator[av.VideoFrame]:
        """What the decoder gives, with the times of frames; instead of iterating."""
        yield self._first
        yield from self._pictures

    @property
    def changes(self) -> list[str]:
        """What is done to a picture besides copying it, to make a frame of it, in words."""
        return self._converter.changes(self._first)

    def _in_words(self, given: Iterator[Given]) -> Iterator[Given]:
        """What it is given; errors of FFmpeg's that nobody has foreseen become MediaErrors."""
        try:
            yield from given
        except av.FFmpegError as error:
            raise MediaError(f"{self.path} cannot be read: {error.strerror}") from error

    def _timed(self, pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pictures of the part asked for, each with a time later than the one before."""
        first = round(Fraction(self._start_s) / self._time_base)
        end = None if self._end_s is None else round(Fraction(self._end_s) / self._time_base)
        step = max(1, round(1 / (self._rate * self._time_base)))
        pts = -step
        last: int | None = None
        for picture in pictures:
            # streams of raw video carry no times: then every frame lasts as long as the next
            pts = picture.pts if picture.pts is not None else pts + step
            if pts < first and self._start_s:
                continue
            if end is not None and pts >= end:
                return
            if last is not None and pts <= last:  # damage; no film can hold two at a time
                pts = last + 1
            last = pts
            if end is not None:
                picture.duration = min(picture.duration or 0, end - pts)
            picture.pts = pts - first
            picture.time_base = self._time_base
            yield picture

    def _decode(self) -> Iterator[av.VideoFrame]:
        container = self._container
        if self._start_s:
            container.seek(round(self._start_s * 1e6))
        packets = container.demux(self._video, *self.other_streams)
        reached_s = 0.0
        packets_in = frames_out = 0
        while True:
            try:
                self._is_waiting = True
                packet = next(packets)
                self._is_waiting = False
            except StopIteration:
                break
            except av.FFmpegError as error:  # what came before is still a film
                self._end_reason = f" ({error.strerror})"
                break
            if packet.pts is not None and packet.time_base is not None:
                reached_s = max(
                    reached_s, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                )
            if packet.stream is not self._video:
                self._keep(packet)
                continue
            if packet.has_sidedata("encryption_info"):
                raise MediaError(f"{self.path} is encrypted; give a copy that plays without a key")
            packets_in += packet.size > 0 and not packet.is_discard
            try:
                decoded = packet.decode()
            except av.FFmpegError:  # decoders answer damage with errors of many kinds
                self._lost_frames += 1
                continue
            for frame in decoded:
                if isinstance(frame, av.VideoFrame):
                    frames_out += 1
                    self._spoilt_frames += frame.is_corrupt
                    yield frame
        if self._end_reason:  # then no packet has told the decoder to give what it holds
            with contextlib.suppress(av.FFmpegError):
                for frame in self._video.codec_context.decode(None):
                    frames_out += 1
                    yield frame
        if self._video.codec_context.name in _FRAME_A_PACKET:  # decoders drop some without a word
            self._lost_frames = max(self._lost_frames, packets_in - frames_out)
        said_s = self._film_s
        if container.format.name == "avi":  # the length is guessed of the file's size there
            said_s = float(self._video.frames / self._rate)
        if said_s is not None:
            missing_s = said_s + (container.start_time or 0) / 1e6 - reached_s
            self._missing_s = missing_s if missing_s > _CUT_S else 0.0

    def _keep(self, packet: Any) -> None:
        if packet.size == 0 or packet.time_base is None:
            return
        if packet.pts is not None and (self._start_s or self._end_s is not None):
            seconds = packet.pts * packet.time_base
            if self._start_s and seconds < self._start_s:
                return
            if self._end_s is not None and seconds >= self._end_s:
                return
            shift = round(Fraction(self._start_s) / packet.time_base)
            packet.pts -= shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        self.packets.append(packet)


def _with_times_in_order(pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """AVI gives times in the order of decoding: the n-th picture is shown at the n-th of them."""
    held: deque[av.VideoFrame] = deque()
    times: list[int] = []
    for picture in pictures:
        held.append(picture)
        if picture.pts is not None:
            heappush(times, picture.pts)
        if len(held) > _MOST_REORDERED:
            first = held.popleft()
            first.pts = heappop(times) if times else None
            yield first
    for first in held:
        first.pts = heappop(times) if times else None
        yield first


def _with_lengths(pictures: Iterator[av.VideoFrame], end_pts: int) -> Iterator[av.VideoFrame]:
    """MP4 gives lengths in the order of decoding: each picture is shown until the next one."""
    last = next(pictures, None)
    for picture in pictures:
        assert last is not None
        if picture.pts is not None and last.pts is not None:
            last.duration = picture.pts - last.pts
        yield last
        last = picture
    if last is not None:
        if last.pts is not None and last.pts < end_pts:
            last.duration = end_pts - last.pts
        yield last


def nvidia_device(number: int) -> HWAccel:
    """An NVIDIA GPU that decodes or encodes and keeps frames; the calling thread's GPU.

    It shares the CUDA context that is the thread's then. FFmpeg would open the same one by itself
    (`primary_ctx`), but refuses to where another library has opened it before, as ours have.
    """
    options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
    return HWAccel(
        "cuda", str(number), allow_software_fallback=False, options=options, is_hw_owned=True
    )


def hwaccels() -> list[str]:
    """Devices that this FFmpeg knows how to decode on, whether or not the machine has them."""
    return list(hwdevices_available())


def _known(hwaccel: str) -> str:
    if hwaccel not in hwaccels():
        raise MediaError(
            f"there is no decoding device '{hwaccel}' here; choose {', '.join(hwaccels())}, or "
            "leave --hwaccel out"
        )
    return hwaccel


class _Pipe:
    """Standard input, as PyAV reads it. FFmpeg hears of no Ctrl-C: the film ends there then."""

    def __init__(self) -> None:
        self.is_stopped = False

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        try:
            return b"" if self.is_stopped else os.read(sys.stdin.fileno(), size)
        except KeyboardInterrupt:
            self.is_stopped = True
            return b""


def _open(
    path: str, rate: Fraction | None, device: HWAccel | None, pipe: _Pipe | None
) -> av.container.InputContainer:
    is_address = path == "-" or "://" in path
    is_pattern = is_numbered(path) and not is_address and not Path(path).exists()
    if rate is not None and not is_pattern:
        raise MediaError(f"{path} has its own times; --fps is for numbered pictures")
    if not is_address and not is_pattern:
        if not Path(path).exists():
            raise MediaError(f"there is no file {path}")
        if Path(path).is_file() and not Path(path).stat().st_size:
            raise MediaError(f"{path} is empty; give a film")
    options = {"framerate": str(rate)} if rate else {}
    try:
        if pipe:
            return av.open(pipe, "r", hwaccel=device, metadata_errors=RAW_BYTES)
        if Path(path).is_file() and is_animated_webp(Path(path)):
            return av.open(film_of_animation(Path(path)), "r")
        return av.open(
            escaped_pattern(Path(path)) if is_pattern else path,
            "r",
            options=options,
            hwaccel=device,
            metadata_errors=RAW_BYTES,
            timeout=(_OPEN_S, None) if is_address else None,
        )
    except (av.FFmpegError, OSError) as error:
        if pipe and pipe.is_stopped:
            raise KeyboardInterrupt from error
        if isinstance(error, av.InvalidDataError):
            raise MediaError(
                f"{path} cannot be read as a film: it is of no kind that FFmpeg knows, or its "
                "index is missing, as in an MP4 that was cut off"
            ) from error
        if isinstance(error, av.ExitError):
            raise MediaError(f"{path} does not answer within {_OPEN_S:g} s") from error
        if device:
            raise MediaError(
                f"the device to decode {path} on is not in this machine, or has no driver; "
                f"leave {_option(device)} out"
            ) from error
        raise MediaError(f"{path} cannot be read as a film: {error.strerror}") from error
    except (RuntimeError, NotImplementedError) as error:
        raise MediaError(
            f"the device cannot decode {path}: {error}"
            + (f"; leave {_option(device)} out" if device else "")
        ) from error


def _option(device: HWAccel) -> str:
    return "--on-gpu" if device.is_hw_owned else "--hwaccel"


def _missing_pictures(pattern: Path) -> str | None:
    """What to say of numbered pictures after a gap, which are not read; None if there are none."""
    if not is_numbered(pattern):  # one picture, which some kinds of are read as a sequence of one
        return None
    there = numbered(pattern)
    for one, following in pairwise(sorted(there)):
        if following != one + 1:
            missing = name_of(pattern, one + 1)
            return f"{missing} is missing; the pictures after it are left out"
    return None


def _main_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The film's picture; a cover or a thumbnail is none, unless there is nothing else."""
    best = container.streams.best("video")
    if not isinstance(best, av.VideoStream):
        return None
    context: Any = best.codec_context  # None where FFmpeg has no decoder
    return best if context is not None and context.width else None
