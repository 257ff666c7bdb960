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
        """Size, rate and colour space of the frames, known before the first one is read."""

    def __iter__(self) -> Iterator[Read_co]:
        """Yields the frames in presentation order; a source can be iterated over only once.

        Raises:
            MediaError: reading fails; or the pictures have changed their size, and the source does
                not scale them to the size of `info`. A live feed then opens the source again.
        """


class FrameSource(Frames[Read_co], Protocol[Read_co]):
    """`Frames` that are opened and closed as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


class Painter(Protocol[F]):
    """Paints the frames of one stream, in order.

    Only one thread at a time may call it; `cancel` may be called from any thread.
    """

    @property
    def in_flight(self) -> int:
        """How many frames may be begun before the first is waited for."""

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """Gets ready for frames of a size, so that the first takes no longer than the others.

        Args:
            size: width and height, in pixels.
            on_build: called while an engine is built, with the finished part of the work, 0..1.

        Raises:
            EngineError: the engine cannot be built.
        """

    def begin(self, frame: F) -> Pending[F]:
        """Begins to paint a frame. Call the result to wait for the painted frame.

        The given frame may be reused as soon as this returns. Frames must be waited for in the
        order in which they were begun.

        Raises:
            EngineError: the network fails; waiting for the frame may raise it as well.
        """

    def reset(self) -> None:
        """Forgets all frames: the next one is painted as the first, for example after a seek."""

    def cancel(self) -> None:
        """Makes a call that is running in another thread raise EngineError; no calls may follow."""


class FrameSink(Protocol[Written_contra]):
    """A context manager that frames are written to.

    Leaving it completes the output; leaving it with an error discards the output.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Written_contra) -> None:
        """Writes one frame, which the caller may reuse as soon as this returns.

        Raises:
            MediaError: the frame cannot be encoded or written.
        """
