"""Keeps the newest frame of a source; reconnects when the source drops."""

from __future__ import annotations

import threading
import time

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.inputs import OpenSource

_RETRY_S = 1.0  # between attempts to open a lost source
_SILENT_S = 2.0  # without a frame, after which this is reported


class Feed:
    """Reads a source on its own thread, so that no other thread has to wait for it.

    A source that cannot be opened the first time ends the feed with `error`. One that fails later
    is opened again and again until it works.

    Attributes:
        frames: holds the newest frame.
        info: describes the frames of the source; None before it is open.
        description: describes the source for people; "" before it is open.
        error: what ended the feed; None while it runs, and if it has ended well.
        lost: how often the source was lost.
    """

    def __init__(
        self,
        open_source: OpenSource,
        *,
        has_end: bool,
        retry_s: float = _RETRY_S,
        silent_s: float = _SILENT_S,
    ) -> None:
        """Starts no thread yet.

        Args:
            open_source: opens the source, on the thread that reads it.
            has_end: whether the feed ends when the source has no more frames; otherwise the source
                then counts as lost, and is opened again.
            retry_s: seconds between attempts to open a lost source.
            silent_s: seconds without a frame that count as trouble.
        """
        self.frames: Channel[Frame] = Channel(1, newest_only=True)
        self.info: StreamInfo | None = None
        self.description = ""
        self.error: BaseException | None = None
        self.lost = 0
        self._open_source, self._has_end = open_source, has_end
        self._retry_s, self._silent_s = retry_s, silent_s
        self._opened = threading.Event()
        self._stopping = threading.Event()
        self._fault: str | None = None
        self._last_frame_s = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    def start(self) -> None:
        """Begins to open and read the source."""
        self._thread.start()

    def wait_until_open(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` seconds; True once the source has opened or failed."""
        return self._opened.wait(timeout_s)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the source now, as a sentence; None if it works."""
        if fault := self._fault:
            return fault
        silent_s = time.monotonic() - self._last_frame_s
        return f"no picture for {silent_s:.0f} s" if silent_s > self._silent_s else None

    def stop(self, timeout_s: float) -> bool:
        """Stops reading. Returns False if the thread has not ended within `timeout_s` seconds."""
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
                    self._fault = f"{error}; waiting for it"
                else:
                    if self._has_end or self._stopping.is_set():
                        return
                    self._fault = "the source has ended; waiting for it"
                self.lost += 1
                self._stopping.wait(self._retry_s)
        except BaseException as error:  # of any kind: the job raises it on its own thread
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
                self._fault = None
                self._last_frame_s = time.monotonic()
                if self._stopping.is_set() or not self.frames.put(frame):
                    return
