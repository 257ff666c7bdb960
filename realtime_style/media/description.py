"""FFmpeg's own description of a film: what PyAV does not say, or cannot say safely."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import av
from av.container import Container

from realtime_style.media.ffmpeg_log import captured_log

_STREAM = re.compile(r"  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\(.*?\))?: (\w+)(?:: (.*))?")
_SIDE_DATA = re.compile(r"      ([^:]+?)\s*(?::.*)?")
_RATE = re.compile(r", [1-9]\d* Hz")
_SIZE = re.compile(r", [1-9]\d*x[1-9]\d*")
_LAYOUT = re.compile(r", \d+ Hz, ([^,]+)")
_CHANNELS = (  # in the order of their bits in a layout's mask
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR",
    "TBL", "TBC", "TBR", "DL", "DR", "WL", "WR", "SDL", "SDR", "LFE2", "TSL", "TSR", "BFC", "BFL",
    "BFR", "SSL", "SSR", "TTL", "TTR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What FFmpeg knows about a stream.

    Attributes:
        kind: "video", "audio", "subtitle", "data", "attachment" or another word of FFmpeg's.
        layout: the channels of sound, as FFmpeg names them; "" for other streams.
        is_known: whether its parameters were found, without which nothing can decode it.
        side_data: what is said about the whole stream, such as "spherical" or "displaymatrix".
    """

    kind: str
    layout: str = ""
    is_known: bool = True
    side_data: frozenset[str] = frozenset()

    @property
    def channels(self) -> int:
        """How many channels the sound has; 0 for other streams."""
        if count := re.match(r"(\d+) channels", self.layout):
            return int(count[1])
        return av.AudioLayout(self.layout).nb_channels if self.layout else 0

    @property
    def is_convertible(self) -> bool:
        """Whether the stream's channels can be converted to others.

        Else it must not be decoded, nor may PyAV's `layout` of the stream be read: where channels
        have no usual place, or no usual order, PyAV frees their map twice, and the process ends.
        """
        if self.layout.startswith("ambisonic"):  # PyAV can read it, but FFmpeg does not convert it
            return False
        _, has_map, names = self.layout.partition(" (")
        if not has_map:
            return True
        channels = names.removesuffix(")").split("+")
        return [name for name in _CHANNELS if name in channels] == channels


def describe(container: Container) -> dict[int, StreamDescription]:
    """The streams of an open film by index, also those that have appeared since it was opened."""
    with captured_log():
        text: str = container.dumps_format()  # type: ignore[attr-defined]  # missing in its stub
    streams: dict[int, StreamDescription] = {}
    index, in_side_data = -1, False
    for line in text.splitlines():
        if match := _STREAM.fullmatch(line):
            index, kind = int(match[1]), match[2].lower()
            layout, is_known = _parameters(kind, match[3] or "")
            streams[index] = StreamDescription(kind, layout, is_known)
            in_side_data = False
        elif line.startswith("    ") and not line.startswith("     "):
            in_side_data = line.strip() == "Side data:"
        elif in_side_data and index in streams and (match := _SIDE_DATA.fullmatch(line)):
            kinds = streams[index].side_data | {match[1].lower()}
            streams[index] = replace(streams[index], side_data=kinds)
    return streams


def _parameters(kind: str, details: str) -> tuple[str, bool]:
    """`layout` and `is_known` from FFmpeg's description of a stream's codec."""
    if kind == "audio":
        match = _LAYOUT.search(details)
        layout = match[1] if match else ""
        return layout, _RATE.search(details) is not None and layout not in ("", "0 channels")
    return "", kind != "video" or _SIZE.search(details) is not None
