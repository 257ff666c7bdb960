"""A bounded queue between two threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A bounded queue between two threads that either side can close.

    `newest_only` drops the oldest item where a full channel would make its writer wait.
    """

    def __init__(self, size: int, *, newest_only: bool = False) -> None:
        self.dropped = 0
        self._size = size
        self._newest_only = newest_only
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._cut = False

    def put(self, item: T) -> bool:
        """Waits for room and puts the item; False if the channel was cut."""
        with self._changed:
            if self._newest_only and len(self._items) == self._size:
                self._items.popleft()
                self.dropped += 1
            while len(self._items) == self._size and not self._cut:
                self._changed.wait(_WAKE_S)
            if self._cut:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def __iter__(self) -> Iterator[T]:
        """Items as they come, until the writer has ended and none is left, or it was cut."""
        while True:
            with self._changed:
                while not self._items and not self._ended and not self._cut:
                    self._changed.wait(_WAKE_S)
                if self._cut or not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def take(self, timeout_s: float) -> T | None:
        """The next item; None if none came in that time, or none will."""
        with self._changed:
            if not self._items and not self.is_over:
                self._changed.wait(timeout_s)
            if self._cut or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def is_over(self) -> bool:
        """Whether no item is there, and none will come."""
        return self._cut or (self._ended and not self._items)

    def end(self) -> None:
        """No more items will come; those within are still read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """Stops both sides at once; items within are lost."""
        with self._changed:
            self._cut = True
            self._items.clear()
            self._changed.notify_all()


_WAKE_S = 0.2  # Python on Windows delivers Ctrl-C only between waits
