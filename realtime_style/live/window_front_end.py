"""The front end on this computer: a window, its keys, its mouse and its texts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from realtime_style.live import commands
from realtime_style.live.commands import Command
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.opencv_window import Pointer
from realtime_style.live.view import Bgr, Corner, Mode, View

_STEP = 0.1  # how much a key changes strength and shares

HELP = """n, p: next, previous style
1 to 9, 0: style by number
+, -: more, less of the style
b: blend in the next style
], [: more, less of the blended style
c: keep the camera's colours
a: paint all, people or background
o: next style picture
t: fast or standard tier
v: painted, split or side by side
drag: move the divider
m: mirror
f: full screen
space: freeze
s: snapshot
r: record, or stop recording
i: statistics
h: this help, then the styles
q: quit"""


HINT = "h: help"
_HINT_S = 10.0  # how long the hint is shown, unless a key is pressed earlier


class Page(Enum):
    """What is written over the picture when help is asked for."""

    NONE = auto()
    KEYS = auto()
    STYLES = auto()


class ViewAction(Enum):
    """What a key does to the window itself, rather than to the job."""

    NEXT_MODE = auto()
    MIRROR = auto()
    FULL_SCREEN = auto()
    LEAVE = auto()  # leaves the full screen; in a window, ends the job
    STATISTICS = auto()
    HELP = auto()


KEYS: dict[str, Command | ViewAction] = {
    "q": commands.Quit(),
    "escape": ViewAction.LEAVE,
    "n": commands.StepStyle(1),
    "p": commands.StepStyle(-1),
    "+": commands.ChangeStrength(_STEP),
    "=": commands.ChangeStrength(_STEP),  # the same key as +, on keyboards where + needs Shift
    "-": commands.ChangeStrength(-_STEP),
    "b": commands.NextBlend(),
    "]": commands.ChangeShare(_STEP),
    "[": commands.ChangeShare(-_STEP),
    "c": commands.ToggleColors(),
    "a": commands.NextPart(),
    "t": commands.NextTier(),
    "o": commands.NextPicture(),
    " ": commands.ToggleFreeze(),
    "s": commands.Snapshot(),
    "r": commands.ToggleRecording(),
    "v": ViewAction.NEXT_MODE,
    "m": ViewAction.MIRROR,
    "f": ViewAction.FULL_SCREEN,
    "i": ViewAction.STATISTICS,
    "h": ViewAction.HELP,
    **{str(number % 10): commands.ChooseStyle(number - 1) for number in range(1, 11)},
}
"""What each key does. A key is a character, letters in lower case, or "escape"."""


class PictureWindow(Protocol):
    """A window that shows pictures, such as `opencv_window.Window`."""

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the content in pixels."""

    def show(self, bgr: Bgr) -> None:
        """Shows a picture of any size, (H, W, 3) uint8, BGR."""

    def poll(self, wait_ms: int) -> tuple[Sequence[str], Sequence[Pointer]] | None:
        """The keys pressed and the mouse positions since the last call, both in order.

        It waits for a key up to `wait_ms` milliseconds. A key is one character, such as "q" or "+",
        or "escape". It returns None once the user has closed the window.
        """

    def full_screen(self, on: bool) -> None:
        """Fills the screen, or returns to a window if `on` is False."""

    def close(self) -> None:
        """Closes the window; a second call does nothing."""


class WindowFrontEnd:
    """A `FrontEnd` in a window."""

    def __init__(
        self,
        window: PictureWindow,
        *,
        mirror: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Shows nothing yet.

        Args:
            window: an open window.
            mirror: whether pictures are mirrored at first.
            clock: returns the time in seconds.
        """
        self._clock, self._hint_until_s = clock, clock() + _HINT_S
        self.view = View(mirror=mirror)
        self._window = window
        self._shot: Shot | None = None
        self._shown: tuple[object, ...] = ()  # everything that the last picture depended on
        self._is_full_screen = False
        self._has_statistics = False
        self._page = Page.NONE

    def show(self, shot: Shot, status: LiveStatus) -> None:
        """See `FrontEnd`. Draws only if something that is visible has changed."""
        size, view = self._window.size, self.view
        texts = {
            Corner.TOP: self._top_text(shot, status),
            Corner.BOTTOM: "\n".join([*status.messages, *self._hints()]),
        }
        state = (size, view.mode, view.divider, view.mirror, *texts.values())
        if shot is self._shot and state == self._shown:
            return
        self._shot, self._shown = shot, state
        self._window.show(view.compose(shot, size, texts))

    def poll(self, timeout_s: float) -> list[Command] | None:
        """See `FrontEnd`."""
        events = self._window.poll(round(timeout_s * 1000))
        if events is None:
            return None
        keys, pointers = events
        if keys:
            self._hint_until_s = -math.inf
        actions = [KEYS[key.lower()] for key in keys if key.lower() in KEYS]
        given = [
            self._change_view(action) if isinstance(action, ViewAction) else action
            for action in actions
        ]
        for pointer in pointers:
            if pointer.pressed and self.view.mode is Mode.SPLIT and self._shot:
                self.view.move_divider(pointer.x, self._shot, self._window.size)
        return [command for command in given if command is not None]

    def close(self) -> None:
        """See `FrontEnd`."""
        self._window.close()

    def _change_view(self, action: ViewAction) -> Command | None:
        match action:
            case ViewAction.NEXT_MODE:
                self.view.next_mode()
            case ViewAction.MIRROR:
                self.view.toggle_mirror()
            case ViewAction.FULL_SCREEN:
                self._fill_screen(not self._is_full_screen)
            case ViewAction.STATISTICS:
                self._has_statistics = not self._has_statistics
            case ViewAction.HELP:
                pages = list(Page)
                self._page = pages[(pages.index(self._page) + 1) % len(pages)]
            case ViewAction.LEAVE if self._is_full_screen:
                self._fill_screen(False)
            case ViewAction.LEAVE:
                return commands.Quit()
        return None

    def _fill_screen(self, on: bool) -> None:
        self._is_full_screen = on
        self._window.full_screen(on)

    def _hints(self) -> list[str]:
        """The line that names the key for help: for 10 s, or until a key is pressed."""
        return [HINT] if self._clock() < self._hint_until_s else []

    def _top_text(self, shot: Shot, status: LiveStatus) -> str:
        lines = ["frozen"] if status.is_frozen else []
        lines += status.recordings
        if self._has_statistics:
            lines += _statistics(shot, status)
        if self._page is Page.KEYS:
            lines.append(HELP)
        if self._page is Page.STYLES:
            lines += [
                f"{number}: {name}{' *' if number == status.chosen + 1 else ''}"
                for number, name in enumerate(status.styles, 1)
            ]
        return "\n".join(lines)


def _statistics(shot: Shot, status: LiveStatus) -> list[str]:
    figures = status.figures
    return [
        f"{shot.look}   {status.engine}",
        f"{figures.fps:.0f} fps   latency "
        f"{figures.latency_p50_ms:.0f} ms, 99 %: {figures.latency_p99_ms:.0f} ms",
        f"camera {shot.original.width}x{shot.original.height}, painted at "
        f"{shot.painted.width}x{shot.painted.height}",
        f"dropped {figures.dropped} of {figures.frames + figures.dropped}",
    ]
