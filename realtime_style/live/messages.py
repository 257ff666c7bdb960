"""What a live job reports: notices shown for a while, troubles shown while they last."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

_NOTICE_S = 4.0  # how long a notice is shown


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that does not work at the moment.

    Attributes:
        text: a sentence that says what does not work.
        when_over: the sentence to report once it works again; None reports nothing.
    """

    text: str
    when_over: str | None = None


class Messages:
    """Passes each message once to a listener, and keeps those that a front end should show.

    Not thread-safe.
    """

    def __init__(
        self, listener: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: listener, called with each message once; clock, returns the time in seconds."""
        self.report = listener
        self._clock = clock
        self._notice: tuple[str, float] = ("", clock())  # its text and when to remove it
        self._troubles: dict[Hashable, Trouble] = {}
        self._reported: set[Hashable] = set()

    def notify(self, text: str) -> None:
        """Reports a notice, and shows it for 4 seconds or until the next one."""
        self._notice = text, self._clock() + _NOTICE_S
        self.report(text)

    def update(self, troubles: Mapping[Hashable, Trouble]) -> None:
        """Replaces all troubles by the present ones, and reports those that are new or over.

        Args:
            troubles: the present troubles. The key is what has the trouble, such as an output; if
                only the text of a trouble has changed, it is not reported again.
        """
        for key, trouble in troubles.items():
            if key not in self._troubles:
                self.report_trouble(key, trouble.text)
        for key, trouble in self._troubles.items():
            if key not in troubles and trouble.when_over:
                self.report(trouble.when_over)
        self._troubles = dict(troubles)

    def report_trouble(self, key: Hashable, text: str) -> None:
        """Reports a trouble of `key`, which `has_reported` remembers."""
        self._reported.add(key)
        self.report(text)

    def discard(self, key: Hashable) -> None:
        """Removes the trouble of something that is closed, without reporting that it is over."""
        self._troubles.pop(key, None)

    def has_reported(self, key: Hashable) -> bool:
        """Whether a trouble of `key` was ever reported."""
        return key in self._reported

    def shown(self) -> tuple[str, ...]:
        """What a front end should show now: all troubles, then the notice."""
        text, until_s = self._notice
        notices = (text,) if self._clock() < until_s else ()
        return (*(trouble.text for trouble in self._troubles.values()), *notices)
