"""H.264 as some cameras record it: each field of an interlaced picture is coded by itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

SIDE_PX = 32
_MACROBLOCK = 16
_CLOCK = Fraction(1, 90_000)
FIELD_TICKS = 1800  # 50 fields per second


def unsigned(value: int) -> str:
    """Exp-Golomb code of a number, in bits."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def unit(header: int, bits: str) -> bytes:
    """A NAL unit: its bits, ended, aligned and without start codes of their own."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    content = bytearray()
    zeros = 0
    for byte in int(bits, 2).to_bytes(len(bits) // 8, "big"):
        if zeros == 2 and byte <= 3:
            content.append(3)
            zeros = 0
        content.append(byte)
        zeros = 0 if byte else zeros + 1
    return b"\0\0\0\1" + bytes([header]) + bytes(content)


def parameters() -> bytes:
    """What holds for all pictures: their size, that they may be fields, and 50 fields a second."""
    blocks = SIDE_PX // _MACROBLOCK
    sequence = f"{77:08b}{0:08b}{31:08b}" + "".join(map(unsigned, (0, 0, 0, 4, 1))) + "0"
    sequence += unsigned(blocks - 1) + unsigned(blocks // 2 - 1)
    sequence += "0010" + "1" + "0000" + f"1{1:032b}{50:032b}1" + "0000"
    pictures = unsigned(0) * 2 + "00" + unsigned(0) * 3 + "000" + unsigned(0) * 3 + "100"
    return unit(0x67, sequence) + unit(0x68, pictures)


def field(number: int, luma: int, *, is_second: bool) -> bytes:
    """A field of one grey, uncompressed; the second of a picture refers to the first."""
    bits = unsigned(0) + unsigned(7) + unsigned(0) + "0000" + "1" + str(int(is_second))
    bits += f"{1:08b}0" if is_second else unsigned(number % 2) + f"{0:08b}00"
    bits += unsigned(0) + unsigned(1)
    grey = f"{luma:08b}" * 256 + f"{128:08b}" * 128
    for _ in range((SIDE_PX // _MACROBLOCK) ** 2 // 2):
        bits += unsigned(25)
        bits += "0" * (-len(bits) % 8) + grey
    return unit(0x61 if is_second else 0x65, bits)


def field_coded_film(path: Path, lumas: list[int], damaged: tuple[int, ...] = ()) -> Path:
    """A film of 25 grey pictures per second, each of two fields; `damaged` ones are unreadable."""
    fields = []
    for number, luma in enumerate(lumas):
        for is_second in (False, True):
            coded = field(number, luma, is_second=is_second)
            if number in damaged:
                coded = coded[:5] + b"\xff" * 40
            fields.append(coded if is_second else parameters() + coded)
    raw = path.with_suffix(".h264")
    raw.write_bytes(b"".join(b"\0\0\0\1\x09\x10" + coded for coded in fields))
    if path == raw:
        return path
    with av.open(str(raw)) as source, av.open(str(path), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        packets = (packet for packet in source.demux() if packet.size)
        for i, packet in enumerate(packets):
            packet.pts = packet.dts = i * FIELD_TICKS
            packet.duration, packet.time_base, packet.stream = FIELD_TICKS, _CLOCK, stream
            film.mux_one(packet)
    return path
