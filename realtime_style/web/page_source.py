"""The pictures of a browser's camera as a live source."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Self

import av

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import MAX_SIDE_PX, MIN_SIDE_PX, Frame, StreamInfo
from realtime_style.live.clock import MICROSECOND, now_us
from realtime_style.media.converter import Converter

_FIRST_S = 20.0  # how long the first picture may take
_WAIT_S = 0.2  # between checks whether the inbox was closed
_RATE = Fraction(30)  # browsers tell no rate; pictures carry their own times
_LARGER = 1.2  # a picture of so many times the width is not scaled down to the first one's size


class Inbox:
    """Holds the newest picture of a browser, from the event loop to the thread that paints.

    Attributes:
        heard_s: when the last picture came, in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.heard_s = time.monotonic()
        self._pictures: Channel[av.VideoFrame] = Channel(1, newest_only=True)

    @property
    def dropped(self) -> int:
        """How many pictures were replaced by a newer one before they were read."""
        return self._pictures.dropped

    def put(self, picture: av.VideoFrame) -> None:
        """Takes a picture, as of now."""
        self.heard_s = time.monotonic()
        picture.pts, picture.time_base = now_us(), MICROSECOND
        self._pictures.put(picture)

    def close(self) -> None:
        """Ends every source that reads from it."""
        self._pictures.cut()

    def first(self, timeout_s: float = _FIRST_S) -> av.VideoFrame:
        """Waits for a picture.

        Raises:
            MediaError: there is none within the time, or the inbox was closed.
        """
        end_s = time.monotonic() + timeout_s
        while not self._pictures.is_over and time.monotonic() < end_s:
            picture = self._pictures.take(_WAIT_S)
            if picture is not None:
                return picture
        raise MediaError("the browser sends no pictures")

    def __iter__(self) -> Iterator[av.VideoFrame]:
        """Yields the newest pictures until the inbox is closed."""
        return iter(self._pictures)

    def open(self) -> PageSource:
        """Opens a source of these pictures; see `PageSource`."""
        return PageSource(self)


class PageSource:
    """A `LiveSource` of the pictures in an inbox, all in the size of the first one.

    Smaller pictures, which browsers send on bad lines, are enlarged. Larger ones, and those of a
    phone that was turned, end the source with MediaError, and it is opened again.
    """

    def __init__(self, inbox: Inbox) -> None:
        """Waits for the first picture.

        Raises:
            MediaError: no picture comes, or it is too small or too large to be painted.
        """
        self._inbox = inbox
        self._first = first = inbox.first()
        if not MIN_SIDE_PX <= min(first.width, first.height) <= MAX_SIDE_PX:
            raise MediaError(f"pictures of {first.width}x{first.height} cannot be painted")
        self._converter = Converter(first, None, Fraction(1))
        self.info = StreamInfo(
            width=self._converter.width,
            height=self._converter.height,
            rate=_RATE,
            time_base=MICROSECOND,
            color=self._converter.color,
            source_width=first.width,
            source_height=first.height,
            is_live=True,
        )

    @property
    def description(self) -> str:
        """The source for people."""
        return f"a browser's camera ({self._first.width}x{self._first.height})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None

    def __iter__(self) -> Iterator[Frame]:
        """See `FrameSource`."""
        return self._converter.convert(self._pictures(), MICROSECOND)

    def _pictures(self) -> Iterator[av.VideoFrame]:
        yield self._first
        width, height = self._first.width, self._first.height
        for picture in self._inbox:
            is_turned = (picture.width > picture.height) != (width > height)
            if is_turned or picture.width > _LARGER * width:
                raise MediaError(
                    f"pictures have become {picture.width}x{picture.height}, from {width}x{height}"
                )
            yield picture
