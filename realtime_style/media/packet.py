"""Packets of encoded data, and their times."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import av

Packet: TypeAlias = "av.Packet[Any]"
_COARSE, _FINE = Fraction(1, 1000), Fraction(1, av.time_base)


def decoding_s(packet: Packet) -> float | None:
    """When a packet is decoded, in seconds; None if it does not say."""
    ticks = packet.pts if packet.dts is None else packet.dts
    base = packet.time_base
    return None if ticks is None or base is None else ticks * base.numerator / base.denominator


def shift(packet: Packet, shift_s: Fraction) -> None:
    """Moves a packet's times by some seconds, exactly to a millisecond at least."""
    if packet.time_base is None:
        return
    ticks = shift_s / packet.time_base
    if ticks.denominator > 1 and packet.time_base > _COARSE:
        _refine(packet, packet.time_base)
        ticks = shift_s / _FINE
    packet.pts = None if packet.pts is None else packet.pts + round(ticks)
    packet.dts = None if packet.dts is None else packet.dts + round(ticks)


def _refine(packet: Packet, time_base: Fraction) -> None:
    """Counts a packet's times in microseconds: AVI's ticks are as long as a packet of sound."""
    scale = time_base / _FINE
    packet.pts = None if packet.pts is None else round(packet.pts * scale)
    packet.dts = None if packet.dts is None else round(packet.dts * scale)
    packet.duration = round((packet.duration or 0) * scale)
    packet.time_base = _FINE
