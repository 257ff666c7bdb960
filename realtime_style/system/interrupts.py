"""Ctrl-C and the other signals that end a process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until the end: a packet between encoder and file would be lost to Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in _ENDS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            signal.signal(number, lambda *call: came.append(call))
        yield
    finally:
        for number, handler in reversed(ours.items()):  # the last may interrupt at once
            signal.signal(number, handler)
    if came:
        ours[came[0][0]](*came[0])


@contextmanager
def interrupts_held_back() -> Iterator[Callable[[], bool]]:
    """Makes Ctrl-C wait until it is asked for: half an optimiser step cannot be resumed from."""
    asked = False

    def hold(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():  # signals do not come here
        yield lambda: False
        return
    former = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
