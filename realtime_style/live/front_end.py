"""What a live job and its front end exchange. A front end is a window, or a page in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.commands import Command
from realtime_style.live.stats import LiveFigures
from realtime_style.style.look import Look


@dataclass(frozen=True, slots=True)
class Shot:
    """A live frame before and after painting; the two have the same time, sizes may differ.

    Attributes:
        look: what it is painted in.
        style: the name of the style that the look makes.
        paint_s: how long painting took, in seconds.
    """

    original: Frame
    painted: Frame
    look: Look
    style: str
    paint_s: float


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """What there is to tell about a job at one moment, other than its picture.

    Attributes:
        styles: human-readable names of the styles to choose from, by their numbers
            (`commands.ChooseStyle`).
        chosen: the number of the chosen style, which may still be loading; -1 if it has none.
        look: the chosen look, human-readable.
        engine: name and precision of the engine in use.
        is_frozen: whether the picture is frozen.
        recordings: names of the recordings in progress.
        messages: the current troubles, then what was reported in the last few seconds.
        figures: frame rate and latency.
    """

    styles: tuple[str, ...]
    chosen: int
    look: str
    engine: str
    is_frozen: bool = False
    recordings: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    figures: LiveFigures = field(default_factory=LiveFigures)

    def as_json(self) -> str:
        """All attributes as a JSON object, for a front end in another process."""
        return json.dumps(asdict(self))


class FrontEnd(Protocol):
    """Shows a live job's pictures and passes on its user's commands.

    All calls come from the thread that runs the job.
    """

    def show(self, shot: Shot, status: LiveStatus) -> None:
        """Shows a shot and the status.

        Called for each new shot, and between shots with the last one again, because the status or
        the front end's own size may have changed. The shot's frames stay valid until the call for
        the next shot.
        """

    def poll(self, timeout_s: float) -> Sequence[Command] | None:
        """The commands since the last call; waits for one up to `timeout_s` seconds.

        None once the user has closed the front end.
        """

    def close(self) -> None:
        """Closes the front end; a second call does nothing."""


OpenFrontEnd = Callable[[StreamInfo], FrontEnd]
"""Opens a front end for the frames of a stream, on the thread that runs the job."""
