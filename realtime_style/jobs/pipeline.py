"""Reads, paints and writes at the same time: two worker threads, the sink on the caller's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from realtime_style.channel import Channel
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, GpuFrame
from realtime_style.jobs.trace import Trace
from realtime_style.stages import Frames, FrameSink, Painter, Pending

QUEUE_FRAMES = 3

F = TypeVar("F", bound=Frame | GpuFrame)

_JOIN_S = 1.5  # after Ctrl-C; a source that delivers nothing is left behind, waiting


@dataclass(slots=True)
class RunStats:
    """What a run did. Seconds are wall time within each stage; stages overlap.

    `frames` counts those of earlier runs that this one went on from, which are `resumed`.
    """

    frames: int = 0
    resumed: int = 0
    wall_s: float = 0.0
    read_s: float = 0.0
    paint_s: float = 0.0
    write_s: float = 0.0


class Pipeline(Generic[F]):
    """Takes every frame of a source through a painter to a sink; runs once.

    Every stage waits for the slowest one and no frame is lost; as many are in flight as the
    painter takes.
    """

    def __init__(
        self,
        source: Frames[F],
        painter: Painter[F],
        sink: FrameSink[F],
        trace: Trace | None = None,
        on_painted: Callable[[F], None] | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            trace: gets a span for all that a stage does or waits for.
            on_painted: called with each frame once it has been written; must not keep it.
        """
        self._source, self._painter, self._sink = source, painter, sink
        self._trace, self._on_painted = trace, on_painted
        self._read: Channel[F] = Channel(QUEUE_FRAMES)
        self._painted: Channel[F] = Channel(QUEUE_FRAMES)
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        self._stats = RunStats()

    def run(self, on_frame: Callable[[RunStats], None] | None = None) -> RunStats:
        """Runs to the end of the source.

        Args:
            on_frame: called on this thread after each frame, with the statistics so far.

        Raises:
            The first error of any stage, once all threads have stopped. After KeyboardInterrupt a
            source that delivers nothing is not waited for.
        """
        workers = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("read", self._read_all), ("paint", self._paint_all))
        ]
        timeout_s: float | None = None
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        try:
            self._write_all(start, on_frame)
        except BaseException as error:
            self._painted.cut()
            self._painter.cancel()  # do not wait for a frame that is no longer needed
            if isinstance(error, KeyboardInterrupt):
                timeout_s = _JOIN_S
            raise
        finally:
            self._stopping.set()
            self._read.cut()
            self._painted.cut()
            for worker in workers:
                worker.join(timeout_s)
        if self._errors:
            raise self._errors[0]
        self._stats.wall_s = time.perf_counter() - start
        return self._stats

    @contextmanager
    def _stage(self, output: Channel[F]) -> Iterator[None]:
        """Ends the stage's output when it is done; stops everything when it fails."""
        try:
            yield
        except BaseException as error:  # the caller raises it, whatever it is
            self._errors.append(error)
            self._read.cut()
            self._painted.cut()
        else:
            output.end()

    def _read_all(self) -> None:
        with self._stage(self._read):
            frames = iter(self._source)
            while True:
                with self._timed("read", "decode"):
                    frame = next(frames, None)
                if frame is None or self._stopping.is_set():
                    return
                with self._timed("read", "wait for room"):
                    is_wanted = self._read.put(frame)
                if not is_wanted:
                    return

    def _paint_all(self) -> None:
        pending: deque[Pending[F]] = deque()
        with self._stage(self._painted):
            try:
                for frame in self._arriving("paint", self._read):
                    with self._timed("paint", "begin"):
                        pending.append(self._painter.begin(frame))
                    frame.release()
                    if len(pending) >= self._painter.in_flight and not self._finish_first(pending):
                        return
                while pending:
                    if not self._finish_first(pending):
                        return
            finally:
                for wait in pending:  # the painter still writes into their memory
                    with suppress(StyleError):
                        wait()

    def _finish_first(self, pending: deque[Pending[F]]) -> bool:
        """Waits for the oldest frame in flight and hands it on; False if nobody wants it."""
        with self._timed("paint", "finish"):
            painted = pending.popleft()()
        with self._timed("paint", "wait for room"):
            return self._painted.put(painted)

    def _write_all(self, start: float, on_frame: Callable[[RunStats], None] | None) -> None:
        stats = self._stats
        for frame in self._arriving("write", self._painted):
            with self._timed("write", "encode"):
                self._sink.write(frame)
            stats.wall_s = time.perf_counter() - start
            stats.frames += 1
            if self._on_painted:
                self._on_painted(frame)
            frame.release()
            if on_frame:
                on_frame(stats)

    def _arriving(self, stage: str, channel: Channel[F]) -> Iterator[F]:
        """The frames of a channel."""
        frames = iter(channel)
        while True:
            with self._timed(stage, "wait for a frame"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame

    @contextmanager
    def _timed(self, stage: str, name: str) -> Iterator[None]:
        """Adds the time of a context to the trace, and to the statistics if it is no wait."""
        begin = time.perf_counter()
        try:
            with self._trace.span(stage, name) if self._trace else nullcontext():
                yield
        finally:
            if not name.startswith("wait"):
                total = f"{stage}_s"
                so_far = getattr(self._stats, total)
                setattr(self._stats, total, so_far + time.perf_counter() - begin)
