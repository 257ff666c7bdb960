"""What a live job and its front end exchange. A front end is a window, or a page in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.commands import Command
from realtime_style.live.stats import LiveFigures
from realtime_style.painting.plan import ORIGINAL
from realtime_style.style.bundled import STANDARD
from realtime_style.style.look import Look


@dataclass(frozen=True, slots=True)
class Shot:
    """A live frame before and after painting. Both have the same time; their sizes may differ.

    Attributes:
        original: the frame as it was captured.
        painted: the painted frame.
        look: the look that it is painted in.
        style: the name of the look's style, as in `Style.name`.
        paint_s: how long scaling and painting took, in seconds.
    """

    original: Frame
    painted: Frame
    look: Look
    style: str
    paint_s: float


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """Everything that a front end can show about a job at one moment, other than its picture.

    Attributes:
        styles: names of the styles to choose from, for people. The index of a name is the number
            for `commands.ChooseStyle`.
        chosen: the index in `styles` of the chosen style, which may still be loading; -1 if it is
            not one of them.
        look: the chosen look, described for people.
        strength: its strength, 0..1.5.
        blended: the index in `styles` of the style that is blended in; -1 if none is, or several.
        share: the share of all blended styles, 0..1.
        keeps_colors: whether the camera's colours are kept.
        tier: its tier, such as "standard".
        stability: the flicker reduction, 0..1.
        only: the part of the picture that is painted, "person" or "background"; "" for all of it.
        background: what is seen around painted people; see `MaskPlan`.
        engine: name and precision of the engine in use, such as "openvino int8".
        is_frozen: whether the picture is frozen.
        recordings: names of the recordings in progress.
        messages: sentences: all present troubles, then the last notice while it is new.
        figures: frame rate and latency.
    """

    styles: tuple[str, ...]
    chosen: int
    look: str
    engine: str
    strength: float = 1.0
    blended: int = -1
    share: float = 0.0
    keeps_colors: bool = False
    tier: str = STANDARD
    stability: float = 0.0
    only: str = ""
    background: str = ORIGINAL
    is_frozen: bool = False
    recordings: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    figures: LiveFigures = field(default_factory=LiveFigures)

    def as_json(self) -> str:
        """All attributes by name as one JSON object, for a front end in another process."""
        return json.dumps(asdict(self))


class FrontEnd(Protocol):
    """Shows the pictures of a live job, and passes on the commands of the user.

    All methods are called on the thread that runs the job.
    """

    def show(self, shot: Shot, status: LiveStatus) -> None:
        """Shows a shot and the status.

        It is called for each new shot; and between shots, with the last shot again, because the
        status or the size of a window may have changed. The frames of a shot may be read until the
        call with the next shot.
        """

    def poll(self, timeout_s: float) -> Sequence[Command] | None:
        """The commands that the user has given since the last call, in order.

        If there are none, it waits for one up to `timeout_s` seconds, and then returns an empty
        sequence. It returns None once the user has closed the front end.
        """

    def close(self) -> None:
        """Closes the front end; a second call does nothing."""


OpenFrontEnd = Callable[[StreamInfo], FrontEnd]
"""Opens a front end for the frames of a stream, on the thread that runs the job."""
