"""Session descriptions (SDP, RFC 8866): which codec was agreed on, and bitrates for Chrome."""

from __future__ import annotations

import re

MAX_BYTES = 64 << 10
"""The longest description that is read; a browser's has about 8 KB."""

_MAX_MEDIA = 8  # sections; a page's offer has three
_START = 0.8  # the bitrate to start with, as a share of the highest
_LEAST = 0.5  # the lowest bitrate, as a share of the highest


def refusal_of(offer: str) -> str:
    """Why an offer is not read, as a sentence; "" if nothing speaks against it."""
    if len(offer.encode("utf-8", "replace")) > MAX_BYTES:
        return f"the offer is longer than {MAX_BYTES >> 10} KB"
    if not offer.startswith("v=0"):
        return "the offer is not a session description; it must start with v=0"
    if not 1 <= len(re.findall(r"^m=", offer, re.M)) <= _MAX_MEDIA:
        return f"the offer must have 1 to {_MAX_MEDIA} media sections"
    return ""


def video_codec(description: str) -> str:
    """The name of the first video codec of a description, in upper case; "" if it has none."""
    media = re.search(r"^m=video \d+ \S+ (\d+)", description, re.M)
    codec = media and re.search(rf"^a=rtpmap:{media[1]} ([^/\s]+)/", description, re.M)
    return codec[1].upper() if codec else ""


def with_bitrates(answer: str, bitrate_mbit: float) -> str:
    """An answer that tells Chrome which bitrates to send at.

    Otherwise it begins with about 0.35 Mbit/s at 640x360, and takes half a minute to rise.

    Args:
        answer: a session description.
        bitrate_mbit: the highest bitrate, in Mbit/s.
    """
    kbit = bitrate_mbit * 1000
    limits = (
        f"x-google-start-bitrate={kbit * _START:.0f};x-google-min-bitrate={kbit * _LEAST:.0f};"
        f"x-google-max-bitrate={kbit:.0f}"
    )
    media = re.search(r"^m=video \d+ \S+ (.*?)\r?$", answer, re.M)
    if not media:
        return answer
    for payload in media[1].split():
        codec = re.search(rf"^a=rtpmap:{payload} ([^/\s]+)/[^\r\n]*", answer, re.M)
        if codec is None or codec[1].lower() == "rtx":
            continue
        known = re.search(rf"^a=fmtp:{payload} [^\r\n]*", answer, re.M)
        if known:
            answer = answer.replace(known[0], f"{known[0]};{limits}", 1)
        else:
            answer = answer.replace(codec[0], f"{codec[0]}\r\na=fmtp:{payload} {limits}", 1)
    return answer
