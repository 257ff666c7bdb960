"""The boxes of an MP4 or MOV file, for what FFmpeg does not say, or write as it is asked to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_ENABLED = 0x01  # of a track header's flags; players show such a track by default
_OF_SUBTITLES = (b"sbtl", b"subt", b"text", b"clcp", b"subp")
_OF_HANDLER = 8  # bytes in a handler box before the kind of its track
_HEADER = 8  # bytes: size and kind
_OF_FILMS = (b"mdat", b"moof", b"moov", b"sidx", b"styp", b"emsg", b"mfra", b"free")


def show_no_subtitles(path: Path) -> None:
    """Lets players show subtitles only when they are asked for.

    FFmpeg enables the first subtitles of a film in which none are the default. Raises OSError.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        for kind, begin, stop in _boxes(file, 0, end):
            if kind == b"moov":
                for track, inner, inner_stop in _boxes(file, begin, stop):
                    if track == b"trak" and _has_subtitles(file, inner, inner_stop):
                        _disable(file, inner, inner_stop)


def is_cut_off(path: Path) -> bool:
    """Whether a file ends within a box: fragments do not say how many follow. Raises OSError."""
    with path.open("rb") as file:
        stop = file.seek(0, os.SEEK_END)
        begin = max((end for _, _, end in _boxes(file, 0, stop)), default=0)
        file.seek(begin)
        return file.read(_HEADER)[4:] in _OF_FILMS


def _boxes(file: IO[bytes], begin: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box between two places of a file, and where its content begins and ends."""
    while begin + _HEADER <= stop:
        file.seek(begin)
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        content = begin + _HEADER
        if size == 1:  # the true one follows, in eight bytes
            size, content = int.from_bytes(file.read(8), "big"), content + 8
        end = begin + size if size else stop
        if not content <= end <= stop:
            return
        yield kind, content, end
        begin = end


def _has_subtitles(file: IO[bytes], begin: int, stop: int) -> bool:
    """Whether the content of a track box is subtitles."""
    for kind, inner, inner_stop in _boxes(file, begin, stop):
        if kind == b"mdia" and _has_subtitles(file, inner, inner_stop):
            return True
        if kind == b"hdlr":
            file.seek(inner + _OF_HANDLER)
            return file.read(4) in _OF_SUBTITLES
    return False


def _disable(file: IO[bytes], begin: int, stop: int) -> None:
    """Clears the flag in the header of a track box: a version, and three bytes of flags."""
    for kind, inner, _ in _boxes(file, begin, stop):
        if kind == b"tkhd":
            file.seek(inner + 3)
            flags = file.read(1)[0]
            file.seek(inner + 3)
            file.write(bytes([flags & ~_ENABLED]))
