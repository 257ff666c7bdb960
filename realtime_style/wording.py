"""The wording of messages: numbers with their nouns, names of files, texts on one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_NOT_SHOWN = re.compile(
    "[\0-\x1f\x7f-\x9f"  # control characters, line breaks among them
    "\u2028\u2029"  # further line breaks
    "\u202a-\u202e\u2066-\u2069"  # those that turn the direction of what follows
    "\ud800-\udfff]"  # bytes of a file name that are not text
)


def counted(count: int, noun: str) -> str:
    """A number and a noun that takes an s in the plural: "1 frame", "2 frames"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words in a sentence: "a", "a and b", "a, b and c"."""
    *others, final = words
    return f"{', '.join(others)} {last} {final}" if others else final


def source_name(path: Path | str) -> str:
    """What messages call an input; "-" is standard input."""
    return "standard input" if str(path) == "-" else str(path)


def out_name(path: Path | str) -> str:
    """What messages call an output; "-" is standard output."""
    return "standard output" if str(path) == "-" else str(path)


def one_line(text: str) -> str:
    r"""A text, such as one with the name of a file in it, that is one line and moves no cursor.

    Line breaks, control characters and bytes that are not text become escapes: a\nb, \xff.
    """
    return _NOT_SHOWN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not text
        return f"\\x{code - 0xDC00:02x}"
    return found[0].encode("unicode_escape").decode()
