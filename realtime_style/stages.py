"""The three stages of a job, as protocols: source, painter, sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeAlias, TypeVar

from realtime_style.frame import StreamInfo

F = TypeVar("F")
Read_co = TypeVar("Read_co", covariant=True)
Written_contra = TypeVar("Written_contra", contravariant=True)

Pending: TypeAlias = Callable[[], F]
"""A frame being painted: calling it waits for the painted frame, and returns it."""


class Frames(Protocol[Read_co]):
    """Frames, all of one size and colour space."""

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""

    def __iter__(self) -> Iterator[Read_co]:
        """Frames in presentation order, once.

        Raises:
            MediaError: reading fails; or the pictures have changed their size, and the source does
                not scale them to the size of `info`. A live feed then opens the source again.
        """


class FrameSource(Frames[Read_co], Protocol[Read_co]):
    """A context manager that iterates over frames."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


class Painter(Protocol[F]):
    """Paints the frames of one stream, in order. One thread at a time."""

    @property
    def in_flight(self) -> int:
        """How many frames may be begun before the first is waited for."""

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """Gets ready for frames of a size, so that the first takes no longer than the others.

        Args:
            size: width and height, in pixels.
            on_build: called with the part that is done, 0..1, while an engine is built.

        Raises:
            EngineError: the engine cannot be built.
        """

    def begin(self, frame: F) -> Pending[F]:
        """Begins to paint a frame; the caller may reuse the given frame on return.

        Pending frames are waited for in the order in which they were begun. Raises EngineError
        where the network fails, as waiting does.
        """

    def reset(self) -> None:
        """Forgets all frames: the next one is painted as the first, for example after a seek."""

    def cancel(self) -> None:
        """Ends a call in another thread with EngineError; no calls may follow."""


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
        """Takes one frame; the caller may reuse its buffer on return. Raises MediaError."""
