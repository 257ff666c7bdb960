"""An output: a sink on its own thread, which gets frames as long as it keeps up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import Frame
from realtime_style.stages import FrameSink

_WAITING = 8  # frames for an output that is slow for a moment; later ones are dropped
_RETRY_S, _MAX_RETRY_S = 1.0, 10.0

OpenSink = Callable[[Frame], FrameSink[Frame]]
"""Opens a sink for frames like the first one."""


class PermanentError(MediaError):
    """A sink that cannot work, however often it is opened again."""


class OutputKind(Enum):
    """What an output is; the values are human-readable."""

    RECORDING = "recording"
    STREAM = "stream"
    VIRTUAL_CAMERA = "virtual camera"


class Output:
    """A sink on its own thread, so that a slow or broken one holds up nothing else.

    Attributes:
        kind: what it is.
        target: the file, address or device.
        name: its kind and target, human-readable.
        trouble: the present problem, as a sentence; empty if there is none.
        failed: whether it is broken for good, and takes no more frames.
        frames: how many were written.
    """

    def __init__(
        self, kind: OutputKind, target: str, open_sink: OpenSink, *, retries: bool = False
    ) -> None:
        """Starts the thread.

        Args:
            target: the file, address or device.
            open_sink: called on that thread once the first frame is there.
            retries: whether the sink is opened again after a failure, as often as needed, unless
                it fails with `PermanentError`.
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
        """Frames dropped because it was too slow."""
        return self._waiting.dropped

    def put(self, frame: Frame) -> None:
        """Takes a frame, which must not be changed afterwards; never waits."""
        if not self.failed:
            self._waiting.put(frame)

    def close(self, timeout_s: float) -> bool:
        """Writes the frames that wait, and closes; False if that takes longer."""
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
            except Exception as error:  # for example of a driver: it must not end silently
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
