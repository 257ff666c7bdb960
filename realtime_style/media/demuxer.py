"""Films opened for reading, and the packets of the streams that are not painted."""

from __future__ import annotations

import contextlib
import errno
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer

from realtime_style.errors import MediaError
from realtime_style.media.animation import film_of_animation, is_animated_webp, is_animation
from realtime_style.media.description import describe
from realtime_style.media.packet import Packet, decoding_s, shift
from realtime_style.media.pipes import StandardInput
from realtime_style.media.timeline import Timeline, has_times, seek_times_s
from realtime_style.system.paths import (
    absent,
    ffmpeg_name,
    ffmpeg_pattern,
    is_address,
    is_numbered,
    numbered,
)
from realtime_style.wording import source_name

RAW_BYTES = "surrogateescape"  # metadata that is not UTF-8 passes through unchanged
_OPEN_S = 20.0  # for an address to answer; FFmpeg does not notice Ctrl-C in that time
_READ_S = 30.0  # for an address to send more of a film
_PROBE_FURTHER = {  # µs, bytes; also in streams that a transport stream announces late
    "analyzeduration": "600000000", "probesize": "100000000", "scan_all_pmts": "1",
}  # fmt: skip
_LIKE_A_NUMBER = re.compile(r"%\d*d")  # to FFmpeg, whatever is there
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp")
_AVI_KINDS = (b"AVI ", b"AVIX", b"AVI\x19", b"AMV ")
_AHEAD_S = 10  # packets further ahead than this have a damaged time, and do not wait for it
_PAST_END_S = 2  # how far streams of a film may lie apart
_SHOWN_S = 10  # how long subtitles are usually shown, at most
_MAX_WAITING_BYTES = 256 * 2**20


def open_film(
    path: str,
    *,
    rate: Fraction | None = None,
    device: HWAccel | None = None,
    pipe: StandardInput | None = None,
) -> InputContainer:
    """Opens a file, an address or a pattern for numbered pictures; see `FileSource`.

    Args:
        rate: of numbered pictures, and of streams without times, per second; None takes 25, or
            what the stream says.
        device: what decodes; None decodes on the CPU.
        pipe: where to read "-" from.

    Raises:
        MediaError: it is missing, empty, not a film, or does not answer; or it has its own times,
            but is given a rate.
    """
    is_local = path != "-" and not is_address(path)
    is_pattern = is_local and is_numbered(path) and not Path(path).exists()
    if is_pattern and not numbered(Path(path)):
        raise MediaError(f"there are no pictures {path}", setting="source")
    if is_local and not is_pattern:
        if not Path(path).exists():
            raise MediaError(absent(path), setting="source")
        if Path(path).is_dir():
            raise MediaError(f"{path} is a folder; give one film", setting="source")
        if Path(path).is_file() and not Path(path).stat().st_size:
            raise MediaError(f"{path} is empty", setting="source")
    try:
        film = _opened(path, rate, device, pipe, is_pattern=is_pattern)
    except (av.FFmpegError, OSError, RuntimeError, NotImplementedError) as error:
        if pipe and pipe.interrupt.is_set:
            raise KeyboardInterrupt from error
        if pipe and pipe.is_empty:
            raise MediaError(
                "standard input is empty; pipe a film into it", setting="source"
            ) from error
        raise _not_opened(path, error, device) from error
    if rate is not None and not is_pattern and has_times(film):
        film.close()
        raise MediaError(
            f"{source_name(path)} has its own times; a rate is for numbered pictures and for raw "
            "streams, such as .h264",
            setting="rate",
        )
    return film


def _opened(
    path: str,
    rate: Fraction | None,
    device: HWAccel | None,
    pipe: StandardInput | None,
    *,
    is_pattern: bool,
) -> InputContainer:
    """The open film; arguments as of `open_film`, whose caller gets FFmpeg's errors."""
    is_local = path != "-" and not is_address(path)
    options = {"framerate": str(rate)} if rate else {}
    if is_local and not is_pattern and _LIKE_A_NUMBER.search(path):
        options["pattern_type"] = "none"  # it is the name of one file
    if pipe:
        return av.open(pipe, "r", options=options, hwaccel=device, metadata_errors=RAW_BYTES)
    if Path(path).is_file() and is_animated_webp(Path(path)):
        return av.open(film_of_animation(Path(path)), "r")
    name = ffmpeg_name(path) if is_local else path
    if Path(path).is_file() and _index_leads_nowhere(Path(path), name):
        return av.open(_Forward(Path(path)), "r", hwaccel=device, metadata_errors=RAW_BYTES)
    if is_pattern and (numbers := numbered(Path(path))):  # FFmpeg looks for 0 to 4 as the first
        options["start_number"] = str(min(numbers))
    film = av.open(
        ffmpeg_pattern(Path(path)) if is_pattern else name,
        "r",
        format=None if is_pattern or not is_local else _format_despite_name(Path(path)),
        options=options,
        hwaccel=device,
        metadata_errors=RAW_BYTES,
        timeout=None if is_local else (_OPEN_S, _READ_S),
    )
    if not Path(path).is_file() or all(known.is_known for known in describe(film).values()):
        return film
    film.close()  # a stream begins later than FFmpeg looks, if it has any packets
    return av.open(name, "r", options=_PROBE_FURTHER, hwaccel=device, metadata_errors=RAW_BYTES)


def _index_leads_nowhere(path: Path, name: str) -> bool:
    """Whether a file is an AVI in whose index no packet of the picture can be found.

    FFmpeg believes such an index, unless the file can only be read from front to back.
    """
    with path.open("rb") as file:
        if file.read(12)[8:] not in _AVI_KINDS:
            return False
    with av.open(name, "r", metadata_errors=RAW_BYTES) as film:
        video = film.streams.video
        return bool(video) and not any(packet.size for packet in film.demux(video[0]))


class _Forward:
    """A file that FFmpeg can only read from front to back."""

    def __init__(self, path: Path) -> None:
        """Opens the file; it is closed with its container. Raises OSError."""
        self._file = path.open("rb")
        self.name = str(path)
        self.read, self.close = self._file.read, self._file.close


def _format_despite_name(path: Path) -> str | None:
    """FFmpeg's format of a file that it would take for numbered pictures; None of all others."""
    if not _LIKE_A_NUMBER.search(path.name):
        return None
    if path.suffix.lower() == ".gif":
        return "gif"
    return "apng" if path.suffix.lower() == ".png" and is_animation(path) else None


def all_packets(film: InputContainer) -> Iterator[Packet]:
    """The packets of all streams that the film had when it was opened, then an empty one for each.

    Packets of streams that appear later are left out. Raises av.FFmpegError.
    """
    with contextlib.suppress(IndexError):  # PyAV looks for the new ones at the end
        yield from film.demux()


def reason_of(error: av.FFmpegError | OSError, address: str = "") -> str:
    """Why reading a film failed, in words."""
    if isinstance(error, av.ProtocolNotFoundError):
        return f"FFmpeg knows no addresses that begin with {address.partition(':')[0]}://"
    if isinstance(error, av.ExitError):
        return f"its server has sent nothing for {_READ_S:g} s"
    return str(error.strerror)


def _not_opened(path: str, error: Exception, device: HWAccel | None) -> MediaError:
    """Why a film cannot be opened."""
    name = source_name(path)
    setting = "source"
    if device:
        setting = "residency" if device.is_hw_owned else "hwaccel"
    if isinstance(error, av.ExitError):
        return MediaError(f"{name} does not answer within {_OPEN_S:g} s", setting="source")
    if reason := _fault_of(path, error):
        return MediaError(f"{name} cannot be read as a film: {reason}", setting="source")
    if not isinstance(error, av.FFmpegError | OSError):
        return MediaError(f"the device cannot decode {name}: {error}", setting=setting)
    if device:
        return MediaError(
            f"the device to decode {name} on is not in this machine, or has no driver",
            setting=setting,
        )
    return MediaError(f"{name} cannot be read as a film: {error.strerror}", setting=setting)


def _fault_of(path: str, error: Exception) -> str:
    """What is wrong with a film, by the error that FFmpeg raised at it; "" if nothing may be."""
    if isinstance(error, av.InvalidDataError):
        if not Path(path).is_file():
            return (
                "FFmpeg does not know its format, or its index is missing, as in an MP4 that was "
                "cut off"
            )
        if _is_mp4(Path(path)):
            return "its index is missing or damaged, as in an MP4 that was cut off"
        return "FFmpeg does not know its format"
    if isinstance(error, av.ProtocolNotFoundError):
        return reason_of(error, path)
    if path == "-" and isinstance(error, av.NotImplementedError):
        return "its format cannot be read from a pipe; give a file"
    # FFmpeg reports a header that ends early in either way; on the way from a server it may be true
    is_cut_off = isinstance(error, av.EOFError) or getattr(error, "errno", None) == errno.EIO
    if is_cut_off and not is_address(path):
        return "it is damaged, or was cut off before its first picture"
    return ""


def _is_mp4(path: Path) -> bool:
    """Whether a file begins as MP4 and MOV do: with a box of a known kind."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(8)[4:] in _FIRST_BOXES
    return False


def nvidia_device(number: int) -> HWAccel:
    """An NVIDIA GPU that decodes or encodes and keeps frames; the calling thread's GPU.

    It uses the CUDA context that is current on this thread. FFmpeg could open the primary context
    itself (`primary_ctx`), but refuses to if another library has opened it before, as ours have.
    """
    options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
    return HWAccel(
        "cuda", str(number), allow_software_fallback=False, options=options, is_hw_owned=True
    )


def decoding_device(name: str) -> HWAccel:
    """A device of `hwaccels()` that decodes; raises MediaError for any other name."""
    if name not in hwaccels():
        raise MediaError(
            f"unknown decoding device '{name}'; this FFmpeg has {', '.join(hwaccels()) or 'none'}",
            setting="hwaccel",
        )
    return HWAccel(name, allow_software_fallback=False)


def hwaccels() -> list[str]:
    """Devices that this FFmpeg can decode on, whether or not the machine has them."""
    return list(hwdevices_available())


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a film, in seconds of the film; its start becomes time zero. None: to the end."""

    start_s: Fraction = Fraction(0)
    end_s: Fraction | None = None

    def takes(self, packet: Packet) -> bool:
        """Whether a packet has content, and belongs to the part; if so, its times are moved.

        Subtitles are shown in the part for as long as they are shown in the film.
        """
        if packet.size == 0 or packet.time_base is None:
            return False
        if packet.pts is None or not (self.start_s or self.end_s is not None):
            return True
        if packet.stream.type == "subtitle":
            self._cut(packet)
        seconds = packet.pts * packet.time_base
        if self.start_s and seconds < self.start_s:
            return False
        if self.end_s is not None and seconds >= self.end_s:
            return False
        shift(packet, -self.start_s)
        return True

    def _cut(self, packet: Packet) -> None:
        """Lets subtitles begin and end with the part, if they say how long they are shown."""
        assert packet.pts is not None
        base = packet.time_base
        end = packet.pts + (packet.duration or 0)
        first = math.ceil(self.start_s / base)
        if self.start_s and packet.pts < first < end:
            packet.pts = packet.dts = first
        if self.end_s is not None:
            end = min(end, math.ceil(self.end_s / base))
        if packet.duration:
            packet.duration = max(0, end - packet.pts)


class PacketSource(Protocol):
    """The packets of all streams of a film but the painted one."""

    streams: tuple[Any, ...]

    def until(self, time_s: float | None) -> Iterator[Packet]:
        """The next packets, up to those decoded at a time of the part; None: all there are."""

    def close(self) -> None:
        """No packets will be read any more."""


class Demuxer:
    """Packets read on demand through a second container."""

    def __init__(self, path: Path | str, painted: int, part: Part) -> None:
        """Opens the film a second time; `painted` is the index of the stream to skip."""
        self._container = open_film(str(path))
        self._timeline = Timeline(self._container)
        self._painted, self._part = painted, part
        self.streams: tuple[Any, ...] = tuple(
            stream for stream in self._container.streams if stream.index != painted
        )
        self._read = self._demux() if self.streams else iter(())
        self._next: tuple[float | None, Packet | None] | None = None

    def until(self, time_s: float | None) -> Iterator[Packet]:
        """See `PacketSource`."""
        while True:
            self._next = self._next or next(self._read, None)
            if self._next is None:
                return
            decoded_s, packet = self._next
            if _waits(decoded_s, time_s):
                return
            self._next = None
            if packet is not None:
                yield packet

    def _demux(self) -> Iterator[tuple[float | None, Packet | None]]:
        """Times of decoding, counted from the start of the part, and packets of the streams.

        Those of the painted stream come as None: they only show how far the file has been read.
        """
        part = self._part
        start_s = float(part.start_s)
        last_s = None if part.end_s is None else float(part.end_s) - start_s + _PAST_END_S
        packets = self._from_start()
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:  # what came before is still a film
                return
            if packet is None:
                return
            time_s = decoding_s(packet)
            if time_s is not None:
                time_s -= start_s
                if last_s is not None and time_s >= last_s:
                    return
            if packet.stream.index == self._painted:
                yield time_s, None
            elif part.takes(packet):
                yield time_s, packet

    def _from_start(self) -> Iterator[Packet]:
        """All packets from the start of the part or before, with times of the film."""
        timeline, container = self._timeline, self._container
        start_s = float(self._part.start_s)
        has_text = any(stream.type == "subtitle" for stream in self.streams)
        for at_s in seek_times_s(start_s - (_SHOWN_S if has_text else _PAST_END_S)):
            if not timeline.seek(at_s):
                break
            packets = timeline.moved(all_packets(container))
            first = next(packets, None)
            time_s = None if first is None else decoding_s(first)
            if first is not None and (not at_s or time_s is None or time_s <= start_s):
                yield first
                yield from packets
                return
        yield from timeline.moved(all_packets(container))

    def close(self) -> None:
        """See `PacketSource`."""
        self._container.close()


class Tee:
    """Packets of a film that can be read only once: those that its one demuxer has passed.

    One thread puts, another takes. What waits is limited in bytes, not in packets: the thread that
    reads must not wait for the one that writes, which waits for its frames.
    """

    def __init__(self, streams: tuple[Any, ...]) -> None:
        self.streams = streams
        self._arrived: SimpleQueue[Packet] = SimpleQueue()
        self._waiting: deque[Packet] = deque()  # used by the taking thread only
        self._put_bytes = self._taken_bytes = 0

    def put(self, packet: Packet) -> None:
        """Adds a packet of the part; raises MediaError if too much waits."""
        self._put_bytes += packet.size
        if self._put_bytes - self._taken_bytes > _MAX_WAITING_BYTES:
            raise MediaError(
                "sound and picture are too far apart to read this film from a pipe or an address; "
                "save it as a file first",
                setting="source",
            )
        self._arrived.put(packet)

    def until(self, time_s: float | None) -> Iterator[Packet]:
        """See `PacketSource`."""
        while True:
            if not self._waiting:
                try:
                    self._waiting.append(self._arrived.get_nowait())
                except Empty:
                    return
            if _waits(decoding_s(self._waiting[0]), time_s):
                return
            packet = self._waiting.popleft()
            self._taken_bytes += packet.size
            yield packet

    def close(self) -> None:
        """See `PacketSource`; the `FileSource` closes the film."""


def _waits(decoded_s: float | None, time_s: float | None) -> bool:
    """Whether a packet is for later than `time_s`, and says so credibly."""
    return decoded_s is not None and time_s is not None and time_s < decoded_s <= time_s + _AHEAD_S
