"""The newest frame of a source that may be late, vanish, come back, or never return."""

from __future__ import annotations

import threading
import time

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.inputs import OpenSource

_RETRY_S = 1.0
_SILENT_S = 2.0  # without a frame, until it is said


class Feed:
    """Reads a source on a thread of its own, of which nobody ever waits for the end.

    The newest frame waits in `frames`. A source that fails after its first frame is opened again
    and again; one that fails before is an error of the user's. `trouble` says what is the matter.
    """

    def __init__(
        self, open_source: OpenSource, *, has_end: bool, retry_s: float = _RETRY_S
    ) -> None:
        """Args: has_end, whether an end of the frames is the end, and nothing to wait for."""
        self.frames: Channel[Frame] = Channel(1, newest_only=True)
        self.info: StreamInfo | None = None
        self.description = ""
        self.error: BaseException | None = None
        self.lost = 0  # times that the source went away
        self._open_source, self._has_end, self._retry_s = open_source, has_end, retry_s
        self._opened = threading.Event()
        self._stopping = threading.Event()
        self._trouble = ""
        self._last_s = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def wait_until_open(self, timeout_s: float) -> bool:
        """Whether the source was opened, or failed to, in that time."""
        return self._opened.wait(timeout_s)

    @property
    def trouble(self) -> str:
        """What is the matter with the source, for people to read; empty where all is well."""
        if self._trouble:
            return self._trouble
        silent_s = time.monotonic() - self._last_s
        return f"no picture for {silent_s:.0f} s" if silent_s > _SILENT_S else ""

    def stop(self, timeout_s: float) -> bool:
        """Ends reading; False if the source does not return from a read."""
        self._stopping.set()
        self.frames.cut()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._read_once()
                except MediaError as error:
                    if self.info is None:
                        raise
                    self._trouble = f"{error}; waiting for it"
                else:
                    if self._has_end or self._stopping.is_set():
                        return
                    self._trouble = "the source has ended; waiting for it"
                self.lost += 1
                self._stopping.wait(self._retry_s)
        except BaseException as error:  # the caller's thread raises it, whatever it is
            self.error = error
        finally:
            self._opened.set()
            self.frames.end()

    def _read_once(self) -> None:
        with self._open_source() as source:
            self.info = source.info
            self.description = source.description
            self._opened.set()
            for frame in source:
                self._trouble = ""
                self._last_s = time.monotonic()
                if self._stopping.is_set() or not self.frames.put(frame):
                    return
