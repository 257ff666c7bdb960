"""Keeps the film's colours under the painting's light."""

from __future__ import annotations

from collections.abc import Callable

from realtime_style.frame import Frame
from realtime_style.stages import Painter, Pending


class KeepColors:
    """A `Painter` that puts the chroma of each frame under the painted luma."""

    def __init__(self, painter: Painter[Frame]) -> None:
        """Wraps the painter whose luma is taken."""
        self._painter = painter

    @property
    def in_flight(self) -> int:
        """See `Painter`."""
        return self._painter.in_flight

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""
        self._painter.prepare(size, on_build)

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        chroma = frame.chroma.copy()  # the caller may reuse the frame while it is painted
        wait = self._painter.begin(frame)

        def finish() -> Frame:
            painted = wait()
            painted.chroma[...] = chroma
            return painted

        return finish

    def reset(self) -> None:
        """See `Painter`."""
        self._painter.reset()

    def cancel(self) -> None:
        """See `Painter`."""
        self._painter.cancel()
