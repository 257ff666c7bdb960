"""Packets of encoded data, and their times."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import av

Packet: TypeAlias = "av.Packet[Any]"


def decoding_s(packet: Packet) -> float | None:
    """When a packet is decoded, in seconds; None if it does not say."""
    ticks = packet.pts if packet.dts is None else packet.dts
    base = packet.time_base
    return None if ticks is None or base is None else ticks * base.numerator / base.denominator


def shift(packet: Packet, shift_s: Fraction) -> None:
    """Moves a packet's times by some seconds, to the nearest tick of its stream."""
    if packet.time_base is None:
        return
    ticks = _ticks(shift_s, packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


@lru_cache(maxsize=64)
def _ticks(shift_s: Fraction, time_base: Fraction) -> int:
    return round(shift_s / time_base)
