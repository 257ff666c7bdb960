"""Packets of encoded data, and their times."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

import av

Packet: TypeAlias = "av.Packet[Any]"
_COARSE, _FINE = Fraction(1, 1000), Fraction(1, av.time_base)


def seconds(ticks: int, time_base: Fraction) -> float:
    """Ticks of a stream in seconds; much faster than with fractions."""
    return ticks * time_base.numerator / time_base.denominator


def decoding_s(packet: Packet) -> float | None:
    """When a packet is decoded, in seconds; None if it does not say."""
    ticks, base = packet.pts if packet.dts is None else packet.dts, packet.time_base
    return None if ticks is None or base is None else seconds(ticks, base)


def shift(packet: Packet, shift_s: Fraction) -> None:
    """Moves a packet's times by some seconds, exactly to a millisecond at least."""
    base = packet.time_base
    if base is None:
        return
    ticks, is_exact = _ticks(shift_s, base)
    if not is_exact and base > _COARSE:
        _refine(packet, base)
        ticks, _ = _ticks(shift_s, _FINE)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


@lru_cache(maxsize=64)
def _ticks(time_s: Fraction, time_base: Fraction) -> tuple[int, bool]:
    """A time in whole ticks, and whether it has no other part."""
    ticks = time_s / time_base
    return round(ticks), ticks.denominator == 1


def _refine(packet: Packet, time_base: Fraction) -> None:
    """Counts a packet's times in microseconds: AVI's ticks are as long as a packet of sound."""
    scale = time_base / _FINE
    packet.pts = None if packet.pts is None else round(packet.pts * scale)
    packet.dts = None if packet.dts is None else round(packet.dts * scale)
    packet.duration = round((packet.duration or 0) * scale)
    packet.time_base = _FINE
