"""Keeps the chroma of the film, and takes only luma from the painting."""

from __future__ import annotations

from realtime_style.frame import Frame
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Pending


class KeepColors(Wrapper):
    """A `Painter` whose frames have the painted luma and the film's own chroma."""

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        chroma = frame.chroma.copy()  # the caller may reuse the frame while it is painted
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            painted.chroma[...] = chroma
            return painted

        return finish
