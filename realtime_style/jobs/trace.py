"""A trace of a job: what each of its stages did when, for Perfetto and chrome://tracing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realtime_style.system.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class Span:
    """What a stage did for a while.

    `begin_s` counts from the start of the trace; `cpu_s` is the processor time of the stage's own
    thread, without that of the threads of decoders, networks and encoders.
    """

    stage: str
    name: str
    begin_s: float
    wall_s: float
    cpu_s: float


class Trace:
    """Spans of the stages of a job. Any thread may add some."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._zero_s = time.perf_counter()
        self.spans: list[Span] = []

    @contextmanager
    def span(self, stage: str, name: str) -> Iterator[None]:
        """Adds the time until the context is left, also if it is left by an error."""
        begin_s, cpu_s = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall_s, cpu_s = time.perf_counter() - begin_s, time.thread_time() - cpu_s
            self.spans.append(Span(stage, name, begin_s - self._zero_s, wall_s, cpu_s))

    def as_json(self) -> str:
        """The trace in the Trace Event Format, with one track for each stage.

        Times are in µs. Each complete event ("ph": "X") has `cpu_ms` among its arguments.
        """
        process = os.getpid()
        stages = list(dict.fromkeys(span.stage for span in self.spans))
        events: list[dict[str, object]] = [
            {"ph": "M", "name": "thread_name", "pid": process, "tid": number + 1,
             "args": {"name": stage}}
            for number, stage in enumerate(stages)
        ]  # fmt: skip
        events += [
            {"ph": "X", "name": span.name, "cat": span.stage, "pid": process,
             "tid": stages.index(span.stage) + 1, "ts": round(1e6 * span.begin_s, 1),
             "dur": round(1e6 * span.wall_s, 1), "args": {"cpu_ms": round(1e3 * span.cpu_s, 3)}}
            for span in self.spans
        ]  # fmt: skip
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})

    def write(self, path: Path) -> None:
        """Writes the JSON, which replaces an existing file; raises OSError."""
        with whole_file(path) as partial:
            partial.write_text(self.as_json())
