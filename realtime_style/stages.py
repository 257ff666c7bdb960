"""The three stages of a job, as protocols: source, painter, sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

from realtime_style.frame import StreamInfo

Read_co = TypeVar("Read_co", covariant=True)


class Frames(Protocol[Read_co]):
    """Frames, all of one size and colour space."""

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""

    def __iter__(self) -> Iterator[Read_co]:
        """Frames in the order they are shown; once. Raises MediaError where reading fails."""


class FrameSource(Frames[Read_co], Protocol[Read_co]):
    """A context manager that iterates over frames."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


Written_contra = TypeVar("Written_contra", contravariant=True)


class FrameSink(Protocol[Written_contra]):
    """A context manager that takes frames; leaving it completes them, or discards on an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Written_contra) -> None:
        """Takes one frame; its buffer is free again on return. Raises MediaError on failure."""


Painted = TypeVar("Painted")


class Painter(Protocol[Painted]):
    """Paints frames, several of which may be on their way."""

    def begin(self, frame: Painted) -> Callable[[], Painted]:
        """Begins to paint a frame; what it returns waits for the painted one, in their order.

        The given frame is not needed any more when it returns.
        """
