"""An output: a sink on its own thread. If it cannot keep up, frames are dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import Frame
from realtime_style.stages import FrameSink

_WAITING = 8  # frames that wait for an output that is slow for a moment; then the oldest is dropped
_RETRY_S, _MAX_RETRY_S = 1.0, 10.0  # the first pause before opening a sink again, and the longest

OpenSink = Callable[[Frame], FrameSink[Frame]]
"""Opens a sink, given the first frame that will be written to it; raises MediaError."""


class PermanentError(MediaError):
    """A sink fails in a way that opening it again cannot mend."""


class OutputKind(Enum):
    """The kinds of outputs; the values are words for people."""

    RECORDING = "recording"
    STREAM = "stream"
    VIRTUAL_CAMERA = "virtual camera"


class Output:
    """A sink on its own thread, so that a slow or broken one holds up nothing else.

    Attributes:
        kind: the kind of output.
        target: the file, address or device.
        name: the kind and the target, such as "recording me.mp4".
        trouble: the present problem, as a sentence; "" if there is none.
        failed: whether the output is broken for good, and ignores frames.
        frames: how many frames were written.
    """

    def __init__(
        self, kind: OutputKind, target: str, open_sink: OpenSink, *, retries: bool = False
    ) -> None:
        """Starts the thread.

        Args:
            kind: the kind of output.
            target: the file, address or device, for `name`.
            open_sink: called on that thread when the first frame arrives.
            retries: whether a sink that fails with MediaError is opened again, as often as needed;
                never after `PermanentError`.
        """
        self.kind, self.target = kind, target
        self.name = f"{kind.value} {target}"
        self.trouble = ""
        self.failed = False
        self.frames = 0
        self._open_sink, self._retries = open_sink, retries
        self._waiting: Channel[Frame] = Channel(_WAITING, newest_only=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many frames were dropped because the sink was too slow."""
        return self._waiting.dropped

    def put(self, frame: Frame) -> None:
        """Takes a frame without waiting; the caller must not change or release it afterwards."""
        if not self.failed:
            self._waiting.put(frame)

    def close(self, timeout_s: float) -> bool:
        """Writes the waiting frames, and closes the sink.

        Returns:
            False if that is not done after `timeout_s` seconds; the thread then goes on.
        """
        self._stopping.set()
        self._waiting.end()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        frames = iter(self._waiting)
        pause_s = _RETRY_S
        for first in frames:
            began = time.monotonic()
            try:
                with self._open_sink(first) as sink:
                    self._write_all(sink, first, frames)
                return
            except MediaError as error:
                self.trouble = str(error)
                is_permanent = isinstance(error, PermanentError)
            except Exception as error:  # such as a driver's: the thread must not end silently
                self.trouble = f"{self.name} failed: {error}"
                is_permanent = True
            if is_permanent or not self._retries:
                self.failed = True
                self._waiting.cut()
                return
            if time.monotonic() - began > _MAX_RETRY_S:  # it worked for a while
                pause_s = _RETRY_S
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _MAX_RETRY_S)

    def _write_all(self, sink: FrameSink[Frame], first: Frame, frames: Iterator[Frame]) -> None:
        sink.write(first)
        self.trouble = ""
        self.frames += 1
        for frame in frames:
            sink.write(frame)
            self.frames += 1
