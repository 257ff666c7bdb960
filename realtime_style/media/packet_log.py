"""Packet logs: the encoded pictures of one segment of a film, in a file that knows its damage.

A log is the packets one after the other, each with its times, then what they show as JSON, then a
CRC of all that. It appears under its name only when it is complete and on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import av

from realtime_style.errors import MediaError
from realtime_style.media.encoder import Shown
from realtime_style.media.packet import Packet

_MAGIC = b"realtime-style packets 1\n"
_HEAD = struct.Struct("<Iqqqb")  # bytes, pts, dts, duration, flags
_KEY, _HAS_DTS = 1, 2
_END = 0xFFFFFFFF  # instead of a number of bytes: the JSON follows
_TAIL = struct.Struct("<II")  # bytes of the JSON, CRC


class Entry(NamedTuple):
    """One packet in a log: where its bytes are, and its times in ticks of the film."""

    offset: int
    size: int
    pts: int
    dts: int | None
    duration: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class PacketLog:
    """A complete log that has been read and found undamaged.

    Attributes:
        path: the file.
        entries: its packets, in decoding order.
        shown: what they show.
        crc: of the whole file.
    """

    path: Path
    entries: tuple[Entry, ...]
    shown: Shown
    crc: int

    def payloads(self) -> Iterator[bytes]:
        """The bytes of each packet. Raises OSError."""
        with self.path.open("rb") as file:
            for entry in self.entries:
                file.seek(entry.offset)
                yield file.read(entry.size)


class LogWriter:
    """Writes a log beside its name; `complete` puts it in place, `discard` removes it."""

    def __init__(self, path: Path) -> None:
        """Creates the file beside its name. Raises OSError."""
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}")
        self._file = self._partial.open("wb")
        self._crc = 0
        self._write(_MAGIC)

    def _write(self, content: bytes) -> None:
        self._crc = zlib.crc32(content, self._crc)
        self._file.write(content)

    def add(self, packets: Iterable[Packet]) -> None:
        """Appends packets of one encoder, in its order. Raises OSError."""
        for packet in packets:
            if packet.pts is None:
                raise MediaError("the encoder gives no times; choose another codec")
            flags = _KEY * packet.is_keyframe + _HAS_DTS * (packet.dts is not None)
            content = bytes(packet)
            dts, duration = packet.dts or 0, packet.duration or 0
            self._write(_HEAD.pack(len(content), packet.pts, dts, duration, flags))
            self._write(content)

    def complete(self, shown: Shown, path: Path | None = None) -> PacketLog:
        """Ends the log and puts it in place, or at another path, once it is on the disk.

        Raises OSError.
        """
        path = path or self._path
        text = json.dumps(asdict(shown)).encode()
        self._write(_HEAD.pack(_END, 0, 0, 0, 0))
        self._write(text)
        self._file.write(_TAIL.pack(len(text), self._crc))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(path)
        _sync_folder(path.parent)
        return read_log(path)

    def discard(self) -> None:
        """Removes what has been written; nothing once it is complete."""
        with contextlib.suppress(OSError):  # the disk is full
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Puts a new name in a folder on the disk, where that is possible."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows does not open folders
        return
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def read_log(path: Path) -> PacketLog:
    """Reads a log without keeping its pictures.

    Raises:
        MediaError: it is damaged, or no such log.
        OSError: it cannot be read.
    """
    damaged = MediaError(f"{path} is damaged")
    entries: list[Entry] = []
    with path.open("rb") as file:
        crc = zlib.crc32(magic := file.read(len(_MAGIC)))
        if magic != _MAGIC:
            raise damaged
        while True:
            head = file.read(_HEAD.size)
            if len(head) != _HEAD.size:
                raise damaged
            size, pts, dts, duration, flags = _HEAD.unpack(head)
            crc = zlib.crc32(head, crc)
            if size == _END:
                break
            offset, content = file.tell(), file.read(size)
            if len(content) != size:
                raise damaged
            crc = zlib.crc32(content, crc)
            when = dts if flags & _HAS_DTS else None
            entries.append(Entry(offset, size, pts, when, duration, bool(flags & _KEY)))
        rest = file.read()
    text, tail = rest[: -_TAIL.size], rest[-_TAIL.size :]
    if len(tail) != _TAIL.size or _TAIL.unpack(tail) != (len(text), zlib.crc32(text, crc)):
        raise damaged
    return PacketLog(path, tuple(entries), Shown(**json.loads(text)), zlib.crc32(text, crc))


def joined_packets(logs: Sequence[PacketLog]) -> Iterator[Packet]:
    """The packets of consecutive segments as those of one film. Raises OSError.

    Each encoder has counted its times of decoding for itself. Where they do not rise over a seam,
    those of the whole film are set again: each packet is decoded at the time of the frame that is
    shown so many frames earlier as packets wait at most.
    """
    entries = [entry for log in logs for entry in log.entries]
    dts = decoding_times([(entry.pts, entry.dts) for entry in entries])
    contents = (content for log in logs for content in log.payloads())
    for entry, when, content in zip(entries, dts, contents, strict=True):
        packet: Packet = av.Packet(content)
        packet.pts, packet.dts, packet.duration = entry.pts, when, entry.duration
        packet.is_keyframe = entry.is_key
        yield packet


def decoding_times(times: Sequence[tuple[int, int | None]]) -> list[int]:
    """When packets are decoded, in ticks: rising, and never after they are shown.

    Args:
        times: pts and dts of each packet, in decoding order.
    """
    given = [dts for _, dts in times]
    is_good = all(
        dts is not None and dts <= pts and (i == 0 or given[i - 1] < dts)  # type: ignore[operator]
        for i, (pts, dts) in enumerate(times)
    )
    if is_good:
        return [dts for dts in given if dts is not None]
    shown = sorted(pts for pts, _ in times)
    rank = {pts: i for i, pts in enumerate(shown)}
    delay = max((i - rank[pts] for i, (pts, _) in enumerate(times)), default=0)
    step = max(1, shown[1] - shown[0]) if len(shown) > 1 else 1
    early = [shown[0] - (delay - i) * step for i in range(min(delay, len(shown)))]
    return early + shown[: len(shown) - len(early)]
