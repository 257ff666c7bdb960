"""Ctrl-C and the other signals that end a process: the one policy.

A library must not decide this for its caller, so nothing is installed on import. A program calls
`install` once; from then on Ctrl-C, SIGTERM and SIGHUP all raise KeyboardInterrupt on the main
thread, and whoever is running completes what can be kept. Six cases need more than that:

- Code that must not be interrupted half-way (a packet between encoder and file): `deferred`.
- Reports on what is complete already: `remembered`.
- A loop that stops only between two steps (training): `held_back`.
- C code that swallows exceptions raised in its callbacks: `Latch`; and modules being loaded, which
  may take the process down with them: `check`.
- C code that runs for minutes, during which Python runs no signal handlers: `interruptible`.
- Threads that wait for a device and cannot be ended: `end_process`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TypeVar

from realtime_style.system.streams import finish

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""The polite requests to end: Ctrl-C, a request from another process, a closed terminal."""

_HANG_UP = getattr(signal, "SIGHUP", None)
_POLL_S = 0.05

T = TypeVar("T")

_came = False
_latest: int = signal.SIGINT  # the signal that came last, if any did


def install() -> None:
    """Makes every signal of `SIGNALS` raise KeyboardInterrupt on the main thread.

    SIGINT is handled even where a script ignores it for its background jobs. SIGHUP stays ignored
    where it was ignored before (nohup). Does nothing on other threads: Python allows no handlers
    there.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _handled():
            signal.signal(number, _interrupt)


def came() -> bool:
    """Whether a signal has come since `install`, also if a library swallowed it."""
    return _came


def exit_status() -> int:
    """The exit status of a process that such a signal has ended, as shells give it.

    130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    return 128 + _latest


def check() -> None:
    """Raises KeyboardInterrupt if a signal came that could not raise it, or was swallowed.

    Called between two frames, pictures or steps, and after modules have been loaded.
    """
    if _came:
        raise KeyboardInterrupt


def remember(number: int | None = None) -> None:
    """Makes `came` and `check` know of a KeyboardInterrupt that its catcher does not pass on.

    Args:
        number: the signal; None is the one that came last.
    """
    global _came, _latest
    _came = True
    _latest = _latest if number is None else number


def ignore() -> None:
    """Ignores further signals, while what was completed is reported."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def end_process(status: int) -> NoReturn:
    """Ends the process at once: threads that wait for a source or a device would hold it up."""
    finish()
    os._exit(status)


@contextmanager
def default_action() -> Iterator[None]:
    """Within it, Ctrl-C ends the process as it ends a program in C, without a traceback.

    For loading modules: KeyboardInterrupt would leave them half loaded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def deferred() -> Iterator[None]:
    """Signals wait until the block has ended, then reach the handlers that they were meant for.

    On other threads it does nothing: Python runs handlers on the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            signal.signal(number, lambda *call: waiting.append(call))
        yield
    finally:
        for number, handler in reversed(ours.items()):  # the last may interrupt at once
            signal.signal(number, handler)
    if waiting:
        ours[waiting[0][0]](*waiting[0])


@contextmanager
def remembered() -> Iterator[None]:
    """Signals only make `check` raise, later: for reports on what is complete already.

    On other threads it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in ours:
            signal.signal(number, lambda number, frame: remember(number))
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """Signals only set a flag, which the loop polls: a run cannot resume from half a step.

    A second signal raises KeyboardInterrupt at once. On other threads the flag is never set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def hold(number: int, frame: FrameType | None) -> None:
        global _latest
        nonlocal asked
        _latest = number
        if asked:
            raise KeyboardInterrupt
        asked = True

    previous = {number: signal.signal(number, hold) for number in _handled()}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Latch:
    """Keeps a KeyboardInterrupt that would be lost, and raises it later.

    For Python functions that C code calls, such as a pipe that FFmpeg reads: FFmpeg takes an
    exception raised there for an I/O error, or drops it.

    Attributes:
        is_set: whether there was one.
    """

    def __init__(self) -> None:
        self.is_set = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Ends the block, without an exception, if Ctrl-C comes within it."""
        try:
            yield
        except KeyboardInterrupt:
            self.is_set = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if there was one."""
        if self.is_set:
            raise KeyboardInterrupt


def interruptible(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Does work in C on a separate thread, so that Ctrl-C is noticed here meanwhile.

    Args:
        work: what to do; its result is returned, its exception raised.
        stop: called after Ctrl-C, to end the work early. It is waited for.

    Raises:
        KeyboardInterrupt: passed on, once the work has ended.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    ended = threading.Event()  # an interrupted `join` takes the thread for ended

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # the caller's, whatever it is
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="interruptible", daemon=True)
    try:
        thread.start()
        while not ended.wait(_POLL_S):
            pass
    except KeyboardInterrupt:
        stop()
        ended.wait()
        raise
    if errors:
        raise errors[0]
    return results[0]


def _interrupt(number: int, frame: FrameType | None) -> None:
    remember(number)
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return  # a module written in C++ may end the process over it: `check` raises later
        frame = frame.f_back
    raise KeyboardInterrupt


def _handled() -> list[int]:
    """The signals to handle: all but SIGHUP under nohup."""
    return [
        number
        for number in SIGNALS
        if number != _HANG_UP or signal.getsignal(number) is not signal.SIG_IGN
    ]
