"""FFmpeg's log, which says what its errors leave out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av.logging

_ANNOUNCEMENT = re.compile(r"(?<=\.) [^.]*:$")
_lock = Lock()  # the log is one for the whole process


@contextmanager
def captured_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collects FFmpeg's messages of this thread: level, who says it, and text.

    Nobody else sees them. No decoder or encoder with threads should be closed meanwhile: their
    threads need Python's lock to log, and PyAV holds it while it waits for them.
    """
    with _lock:
        level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
        logger = logging.getLogger("libav")
        logger_level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        av.logging.set_skip_repeated(False)
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as messages:
                yield messages
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips)
            logger.setLevel(logger_level)


def first_error(messages: list[tuple[int, str, str]]) -> str | None:
    """The text of the first error among them, on one line; None if there is none.

    Its end is left out if it announces a list, which follows in further messages.
    """
    for level, _, text in messages:
        if level <= av.logging.ERROR:
            return _ANNOUNCEMENT.sub("", " ".join(text.split())).rstrip(".")
    return None
