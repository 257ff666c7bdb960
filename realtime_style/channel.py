"""A bounded queue between two threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_WAKE_S = 0.2  # waits are this short because Python on Windows delivers Ctrl-C only between them


class Channel(Generic[T]):
    """A bounded queue from one thread to another, which both sides can close.

    Attributes:
        dropped: number of items that `newest_only` has dropped.
    """

    def __init__(self, size: int, *, newest_only: bool = False) -> None:
        """Opens a channel.

        Args:
            size: how many items it holds.
            newest_only: whether a full channel drops its oldest item, instead of making the
                writer wait.
        """
        self.dropped = 0
        self._size = size
        self._newest_only = newest_only
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._cut = False

    def put(self, item: T) -> bool:
        """Waits for room and adds an item. Returns False, without adding it, after `cut`."""
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
        """Yields items as they arrive, until the channel is over (see `is_over`)."""
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
        """Removes and returns the next item, waiting up to `timeout_s` seconds; else None."""
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
        """Whether no item is left and none will arrive: it has ended and is empty, or was cut."""
        return self._cut or (self._ended and not self._items)

    def end(self) -> None:
        """Called by the writer after its last item; the items in the channel can still be read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def cut(self) -> None:
        """Stops both sides at once; the items in the channel are discarded."""
        with self._changed:
            self._cut = True
            self._items.clear()
            self._changed.notify_all()
