"""A page in a browser as the front end of a live job."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue

import av

from realtime_style.live.clock import MICROSECOND, now_us
from realtime_style.live.commands import Command
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.stats import LiveFigures
from realtime_style.web.tracks import PaintedTrack

_TELL_S = 0.5  # how often figures are sent; everything else is sent at once


class PageFrontEnd:
    """A `FrontEnd` that sends pictures to tracks and the status to whoever wants it.

    Attributes:
        viewers: the tracks that get the painted pictures; replaced, never changed.
        is_closed: whether the user has left; the job then ends.
    """

    def __init__(self, tell: Callable[[Shot, LiveStatus], None]) -> None:
        """Args: tell, called on the job's thread with each new status."""
        self.viewers: tuple[PaintedTrack, ...] = ()
        self.is_closed = False
        self._tell = tell
        self._given: SimpleQueue[Command | None] = SimpleQueue()
        self._shot: Shot | None = None
        self._told: LiveStatus | None = None  # without its figures
        self._tell_s = 0.0  # when figures are told again

    def give(self, command: Command) -> None:
        """Passes a command of the user to the job; called on any thread."""
        self._given.put(command)

    def leave(self) -> None:
        """Ends the job; called on any thread."""
        self.is_closed = True
        self._given.put(None)

    def show(self, shot: Shot, status: LiveStatus) -> None:
        """See `FrontEnd`."""
        if shot is not self._shot:
            self._shot = shot
            for viewer in self.viewers:
                viewer.offer(_picture(shot))
        known, now_s = replace(status, figures=LiveFigures()), time.monotonic()
        if known != self._told or now_s >= self._tell_s:
            self._told, self._tell_s = known, now_s + _TELL_S
            self._tell(shot, status)

    def poll(self, timeout_s: float) -> Sequence[Command] | None:
        """See `FrontEnd`."""
        given: list[Command] = []
        try:
            while True:
                command = self._given.get(timeout=0 if given else timeout_s)
                if command is None:
                    return None
                given.append(command)
        except Empty:
            return None if self.is_closed else given

    def close(self) -> None:
        """See `FrontEnd`."""
        self.is_closed = True


def _picture(shot: Shot) -> av.VideoFrame:
    """The painted frame as a picture of its own, timed as of now.

    With the time of its capture a browser would hold pictures back, to even out how long painting
    took for each.
    """
    picture = av.VideoFrame.from_ndarray(shot.painted.i420, "yuv420p")
    picture.pts, picture.time_base = now_us(), MICROSECOND
    return picture
