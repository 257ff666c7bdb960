"""Who paints the segments of a film: this process, or several."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from realtime_style.errors import EngineError, StyleError
from realtime_style.frame import Frame
from realtime_style.jobs.request import FilmRequest
from realtime_style.jobs.segments import Part, Segment, paint_segment
from realtime_style.jobs.trace import Trace
from realtime_style.painting.chain import PainterChain

_MOST_TRIES = 3  # at a segment whose process ends without a word
_WAIT_S = 0.2
_STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """A segment to paint: what any process needs to know.

    Attributes:
        request: the film.
        segment: the part of it.
        folder: where its packet log goes.
        threads: see `paint_segment`.
    """

    request: FilmRequest
    segment: Segment
    folder: Path
    threads: int


OnFrame = Callable[[int, int], None]
"""Called with the number of a segment, and how many of its frames have been encoded."""


class Workers(Protocol):
    """Paints segments, in any order."""

    def paint(self, tasks: Iterator[Task], on_frame: OnFrame) -> Generator[Part]:
        """Paints all tasks, which are taken as workers become free; gives parts as they are done.

        Raises:
            StyleError: a segment cannot be painted.
        """


class ThisProcess:
    """Paints one segment after the other in this process: `Workers`."""

    def __init__(
        self,
        painter: PainterChain,
        if_stopped: Path | None = None,
        trace: Trace | None = None,
        on_painted: Callable[[Frame], None] | None = None,
    ) -> None:
        """For the arguments see `paint_segment`."""
        self._painter, self._if_stopped, self._trace = painter, if_stopped, trace
        self._on_painted = on_painted

    def paint(self, tasks: Iterator[Task], on_frame: OnFrame) -> Generator[Part]:
        """See `Workers`."""
        for task in tasks:
            number = task.segment.number
            yield paint_segment(
                task.request,
                task.segment,
                task.folder,
                threads=task.threads,
                painter=self._painter,
                on_frame=lambda frames, number=number: on_frame(number, frames),  # type: ignore[misc]
                if_stopped=self._if_stopped,
                trace=self._trace,
                on_painted=self._on_painted,
            )


class LocalProcesses:
    """Paints in several processes on this machine, each with its share of the cores: `Workers`.

    A film that is painted on several GPUs gets a GPU for each process instead, in turn. A process
    that is killed is replaced, and its segment is painted again.
    """

    def __init__(self, count: int) -> None:
        """Args: count, how many processes, at least 1."""
        self._count = count
        self._messages: queue.Queue[tuple[_Process, Any]] = queue.Queue()

    def paint(self, tasks: Iterator[Task], on_frame: OnFrame) -> Generator[Part]:
        """See `Workers`."""
        processes: dict[int, _Process] = {}
        again: deque[Task] = deque()
        tries: dict[int, int] = {}
        try:
            while True:
                self._give(processes, again, tasks)
                if not any(process.task for process in processes.values()):
                    return
                try:
                    process, message = self._messages.get(timeout=_WAIT_S)
                except queue.Empty:
                    continue
                task = process.task
                if task is None:
                    continue
                if isinstance(message, Part):
                    process.task = None
                    yield message
                elif isinstance(message, int):
                    on_frame(task.segment.number, message)
                elif isinstance(message, StyleError):
                    raise message
                else:
                    del processes[process.number]
                    on_frame(task.segment.number, 0)
                    number = task.segment.number
                    tries[number] = tries.get(number, 0) + 1
                    if tries[number] == _MOST_TRIES:
                        raise EngineError(
                            f"the process that painted segment {number + 1} has ended "
                            f"{_MOST_TRIES} times ({process.how_it_ended()}); perhaps memory is "
                            f"too small for {self._count} of them",
                            setting="workers",
                        )
                    again.append(task)
        finally:
            for process in processes.values():
                process.stop()

    def _give(
        self, processes: dict[int, _Process], again: deque[Task], tasks: Iterator[Task]
    ) -> None:
        """Gives a task to every process that has none, and starts those that are missing."""
        for number in range(self._count):
            process = processes.get(number)
            if process and process.task:
                continue
            task = again.popleft() if again else next(tasks, None)
            if task is None:
                return
            if process is None:
                process = processes[number] = _Process(number, self._count, self._messages)
            process.give(task)


class _Process:
    """A process that paints one segment at a time; see `jobs.worker`."""

    def __init__(
        self, number: int, count: int, messages: queue.Queue[tuple[_Process, Any]]
    ) -> None:
        """Starts it.

        Args:
            number: from 0.
            count: how many there are.
            messages: gets what it says: frames done (int), parts, errors; None when it has ended.
        """
        self.number, self._count = number, count
        self.task: Task | None = None
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "realtime_style.jobs.worker", str(number), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()

    def give(self, task: Task) -> None:
        """Lets it paint a segment."""
        self.task = task
        devices = task.request.plan.engine.devices
        if len(devices) > 1:
            engine = replace(
                task.request.plan.engine, devices=(devices[self.number % len(devices)],)
            )
            plan = replace(task.request.plan, engine=engine)
            task = replace(task, request=replace(task.request, plan=plan))
        assert self._popen.stdin
        with contextlib.suppress(OSError):  # it has ended: its listener says so
            pickle.dump(task, self._popen.stdin)
            self._popen.stdin.flush()

    def _listen(self, messages: queue.Queue[tuple[_Process, Any]]) -> None:
        assert self._popen.stdout
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                messages.put((self, pickle.load(self._popen.stdout)))
        self._popen.wait()
        messages.put((self, None))

    def how_it_ended(self) -> str:
        """Its exit status in words."""
        status = self._popen.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def stop(self) -> None:
        """Ends it at once; what it was painting is discarded."""
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def share_of_cores(number: int, count: int) -> None:
    """Leaves this process its share of the cores, where the system lets it choose.

    Args:
        number: of this process, from 0.
        count: how many processes share the cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    share = cores[number * len(cores) // count : (number + 1) * len(cores) // count]
    os.sched_setaffinity(0, share or [cores[number % len(cores)]])
