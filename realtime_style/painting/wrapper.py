"""The base class of painters that wrap another painter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from realtime_style.frame import Frame
from realtime_style.stages import Painter, Pending


class Wrapper(ABC):
    """A `Painter` that changes the frames of another painter, before or after they are painted.

    Everything but `begin` is passed on to the wrapped painter.
    """

    def __init__(self, painter: Painter[Frame]) -> None:
        """Args: painter, the one to wrap."""
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

    @abstractmethod
    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""

    def reset(self) -> None:
        """See `Painter`."""
        self._painter.reset()

    def cancel(self) -> None:
        """See `Painter`."""
        self._painter.cancel()
