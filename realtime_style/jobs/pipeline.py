"""Read, stylize and write at the same time: two worker threads, the sink on the caller's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from realtime_style.channel import Channel
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, GpuFrame
from realtime_style.stages import Frames, FrameSink, Painter

QUEUE_FRAMES = 3

F = TypeVar("F", bound=Frame | GpuFrame)


_JOIN_S = 1.5  # after Ctrl-C; a source that gives nothing is left behind, waiting


@dataclass(slots=True)
class RunStats:
    """What a run did. Seconds are wall time within each stage; stages overlap.

    `dropped` counts frames of a live source that newer ones replaced.
    """

    frames: int = 0
    dropped: int = 0
    wall_s: float = 0.0
    read_s: float = 0.0
    stylize_s: float = 0.0
    write_s: float = 0.0


@dataclass
class Pipeline(Generic[F]):
    """Takes every frame of a source through a stylizer to a sink.

    Files wait for the slowest stage, no frame is lost; live sources keep the newest frame.
    `on_frame` is called on the calling thread after each frame, with the statistics so far.
    Up to `painted_at_once` frames of a file are on their way in the stylizer; the order stays.
    `cancel` ends a call of the stylizer before it is done: nobody waits for a large frame then.
    """

    source: Frames[F]
    stylizer: Painter[F]
    sink: FrameSink[F]
    on_frame: Callable[[RunStats], None] | None = None
    cancel: Callable[[], None] | None = None
    painted_at_once: int = 1
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def stop(self) -> None:
        """Ends the run after the frames already read; for any thread."""
        self._stopping.set()

    def run(self) -> RunStats:
        """Runs to the end of the source.

        Raises:
            Whatever a stage raised first, once all threads have stopped; KeyboardInterrupt too,
            then without waiting for a source that gives nothing.
        """
        stats = RunStats()
        live = self.source.info.is_live
        depth, at_once = (1, 1) if live else (QUEUE_FRAMES, self.painted_at_once)
        read: Channel[F] = Channel(depth, newest_only=live)
        painted: Channel[F] = Channel(depth)
        errors: list[BaseException] = []

        @contextmanager
        def stage(output: Channel[F]) -> Iterator[None]:
            """Ends the stage's output when it is done; stops everything when it fails."""
            try:
                yield
            except BaseException as error:  # a worker's error belongs to the caller, whatever it is
                errors.append(error)
                read.cut()
                painted.cut()
            else:
                output.end()

        def read_all() -> None:
            with stage(read):
                begin = time.perf_counter()
                for frame in self.source:
                    stats.read_s += time.perf_counter() - begin
                    if self._stopping.is_set() or not read.put(frame):
                        return
                    begin = time.perf_counter()
                stats.read_s += time.perf_counter() - begin

        def stylize_all() -> None:
            with stage(painted):
                begun: deque[Callable[[], F]] = deque()

                def put_first() -> bool:
                    begin = time.perf_counter()
                    result = begun.popleft()()
                    stats.stylize_s += time.perf_counter() - begin
                    return painted.put(result)

                try:
                    for frame in read:
                        begin = time.perf_counter()
                        begun.append(self.stylizer.begin(frame))
                        stats.stylize_s += time.perf_counter() - begin
                        frame.release()
                        if len(begun) >= at_once and not put_first():
                            return
                    while begun:
                        if not put_first():
                            return
                finally:
                    for wait in begun:  # what they are painted into must outlast their painting
                        with suppress(StyleError):
                            wait()

        workers = [
            threading.Thread(target=read_all, name="read", daemon=True),
            threading.Thread(target=stylize_all, name="stylize", daemon=True),
        ]
        longest_s: float | None = None
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        try:
            for frame in painted:
                begin = time.perf_counter()
                self.sink.write(frame)
                now = time.perf_counter()
                stats.write_s += now - begin
                stats.wall_s = now - start
                stats.frames += 1
                stats.dropped = read.dropped
                frame.release()
                if self.on_frame:
                    self.on_frame(stats)
        except BaseException as error:
            painted.cut()
            if self.cancel:
                self.cancel()
            if isinstance(error, KeyboardInterrupt):
                longest_s = _JOIN_S
            raise
        finally:
            self._stopping.set()
            read.cut()
            painted.cut()
            for worker in workers:
                worker.join(longest_s)
        if errors:
            raise errors[0]
        stats.wall_s = time.perf_counter() - start
        return stats
