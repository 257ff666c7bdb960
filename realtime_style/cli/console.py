"""Everything that the commands print: sentences, JSON, progress and errors.

Results go to standard output, everything else to standard error. The library raises facts, and
names the argument that caused them; here an argument becomes the option that the user typed.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

import typer

from realtime_style.errors import StyleError
from realtime_style.system import interrupts, streams
from realtime_style.wording import one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

_LINE_EVERY_S = 5.0

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What Typer raises for a command line that it cannot parse; it has no public name there."""


class Clock:
    """Measures one file after another; the first one's time includes the start of the program."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()

    def start(self, at_s: float) -> None:
        """Sets when the command began, by `time.perf_counter`."""
        self._started_s = at_s

    def leave_out(self, duration_s: float) -> None:
        """Does not count a time that was spent on something other than the next file."""
        self._started_s += duration_s

    def lap(self, at_s: float) -> tuple[float, float]:
        """Seconds until a moment and until now, since the start or the last lap."""
        started_s, self._started_s = self._started_s, time.perf_counter()
        return at_s - started_s, self._started_s - started_s


clock = Clock()

FLAGS: dict[str, str] = {
    # look
    "style": "--style",
    "style_image": "--style-image",
    "blend": "--blend",
    "strength": "--strength",
    "strokes": "--strokes",
    "variation": "--variation",
    "keep_colors": "--keep-colors",
    "tier": "--tier",
    "stability": "--stability",
    "only": "--only",
    "background": "--background",
    # size, part
    "size": "--size",
    "min_size": "--min-size",
    "output_size": "--output-size",
    "start_s": "--start",
    "duration_s": "--duration",
    "rate": "--fps",
    # encoding
    "codec": "--codec",
    "crf": "--crf",
    "preset": "--preset",
    "bit_depth": "--bit-depth",
    # machine
    "engine": "--engine",
    "precision": "--precision",
    "devices": "--devices",
    "device": "--device",
    "hwaccel": "--hwaccel",
    "residency": "--on-gpu",
    "profile": "--profile",
    # input, output
    "source": "IN",
    "out": "OUT",
    "overwrite": "--overwrite",
    "trace": "--trace",
    # live
    "window": "--no-window",
    "record": "--record",
    "streams": "--stream",
    "virtual_camera": "--virtual-camera",
    "microphone": "--microphone",
    "camera_size": "--camera-size",
    "camera_rate": "--camera-fps",
    "style_images": "--style-images",
    # web
    "host": "--host",
    "port": "--port",
    "certificate": "--cert",
    "ice": "--ice",
    "bitrate": "--bitrate",
    # training
    "painting": "PAINTING",
    "content": "--content",
    "features": "--features",
    "base": "--base",
    "steps": "--steps",
    "batch": "--batch",
    "crop_px": "--crop",
    "painting_px": "--painting-size",
    "style_weight": "--style-weight",
    "adversarial": "--adversarial",
    "noise": "--noise",
    "clips": "--clips",
    "learning_rate": "--learning-rate",
    "seed": "--seed",
    "sharp_steps": "--sharp-steps",
    "sharp_gain": "--sharp-gain",
    "sharp_calm": "--sharp-calm",
    "sharp_fine": "--sharp-fine",
    "restart": "--restart",
    "verifies": "--verify",
    "workers": "--workers",
    "cluster": "--cluster",
    "resume": "--resume",
    "card": "--card",
    "pictures": "--frames",
}
"""The option, or argument, for each name that `StyleError.setting` may have."""

OPTIONS = frozenset(FLAGS.values())

ADVICE: dict[str, str] = {
    "overwrite": "give another name, or replace it with --overwrite",
    "window": "use --no-window with --record, --stream or --virtual-camera",
    "residency": "leave --on-gpu out",
    "hwaccel": "leave --hwaccel out",
    "camera_size": "leave --camera-size out to take what the camera offers",
    "camera_rate": "leave --camera-fps out to take what the camera offers",
    "restart": "--restart paints it from the beginning",
    "verifies": "leave --verify out, or paint it from the beginning with --restart",
    "resume": "--resume continues it, --overwrite starts over",
    "content": "--content takes a folder of photos",
    "clips": "--clips takes a folder of films",
    "style_images": "--style-images takes a folder of pictures",
}
"""What to do about an error, where a flag says more than the message."""


def sentence(error: StyleError, options: Container[str] = OPTIONS) -> str:
    """An error as it is printed: with the option that caused it, or with advice.

    Args:
        options: those of the command; others are not named.
    """
    message, setting = str(error), error.setting or ""
    advice, flag = ADVICE.get(setting), FLAGS.get(setting, "")
    if advice:
        return f"{message}; {advice}"
    return f"{flag}: {message}" if flag.startswith("--") and flag in options else message


def reason_of(error: BaseException, options: Container[str] = OPTIONS) -> str | None:
    """What to tell of an error that is not this program's own fault; None of any other.

    Args:
        options: see `sentence`.
    """
    if isinstance(error, StyleError):
        return sentence(error, options)
    if isinstance(error, MemoryError):
        return "out of memory; paint at a smaller --size"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"  # a name too long, a folder that is locked
    return None


class Stopped(KeyboardInterrupt):
    """Ctrl-C that has been reported to the user.

    Attributes:
        report: what was kept, for `--json`.
    """

    def __init__(self, report: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.report = report or {}


class Abandon(BaseException):
    """The process must end at once, because a thread waits for a device and cannot be ended."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def print_line(message: str) -> None:
    """Prints one line on standard error, also with --quiet; see `one_line`."""
    _stderr().print(one_line(message), markup=False)


def print_error(message: str) -> None:
    """Prints one red line on standard error."""
    _stderr().print(f"error: {one_line(message)}", markup=False, style="red")


def print_failure(message: str, *, as_json: bool) -> None:
    """Prints an error that ended a command, and if asked for, the same as its JSON."""
    print_error(message)
    if as_json:
        with contextlib.suppress(StyleError):  # standard output may be what has failed
            print_result(json.dumps({"error": message}))


def print_usage_error(error: Any) -> None:
    """Prints what is wrong with a command line, and where to read how to use it."""
    param, message = getattr(error, "param", None), getattr(error, "message", "")
    hint = getattr(error, "param_hint", None) or (param and _name(param))
    context = getattr(error, "ctx", None)
    if hint in OPTIONS and hint.startswith("--") and context:
        hint = hint if hint in options_of(context.command) else None  # it is an argument here
    if hint:
        print_error(f"{hint}: {message}" if message else f"{hint} is missing")
    else:
        print_error(message if isinstance(error, typer.BadParameter) else error.format_message())
    if context:
        print_line(f"see {context.command_path} --help")


def options_of(command: Any) -> frozenset[str]:
    """The options of a command, in all their forms."""
    return frozenset(option for param in command.params for option in param.opts)


def _name(param: Any) -> str:
    """An argument or option as it is typed."""
    name: str = param.metavar if param.param_type_name == "argument" else max(param.opts, key=len)
    return name


def print_stopped(error: BaseException) -> int:
    """Reports that a signal ended the command, unless that was reported; the exit status."""
    interrupts.ignore()
    if not isinstance(error, Stopped):
        print_line("stopped")
    return interrupts.exit_status()


def duration(seconds: float) -> str:
    """A time in words for people, at least 1 s: 45 s, 3:05 min or 1:02:03 h."""
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


@dataclass(frozen=True, slots=True)
class Output:
    """What one command prints.

    Attributes:
        quiet: whether to print errors only.
        as_json: whether the result is one JSON object, on the last line of standard output.
    """

    quiet: bool = False
    as_json: bool = False

    def say(self, message: str) -> None:
        """Prints a line on standard error, unless quiet."""
        if not self.quiet:
            print_line(message)

    def json(self, value: Any) -> None:
        """Prints the result as JSON, if that was asked for."""
        if self.as_json:
            print_result(json.dumps(value))

    def progress(self, what: str, total: int | None = None) -> Bar:
        """The progress of one task: a context manager."""
        return Bar(what, total, quiet=self.quiet)


def as_size(count: int) -> str:
    """A number of bytes in words: 830 kB, 12.3 MB, 1.24 GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{math.ceil(count / 1e3)} kB"


def print_result(text: str) -> None:
    """Prints one line on standard output, see `one_line`; raises StyleError if that fails."""
    _print_lines(one_line(text))


def _print_lines(text: str) -> None:
    """Prints on standard output; nothing more where its reader has gone.

    Raises StyleError for other failures.
    """
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        streams.silence(sys.stdout)
    except (OSError, ValueError) as error:
        streams.silence(sys.stdout)
        reason = getattr(error, "strerror", None) or error
        raise StyleError(f"standard output cannot be written: {reason}") from error


def print_table(table: RenderableType, widest: int | None = None) -> None:
    """Prints a table or text on standard output, without breaking its lines.

    Args:
        widest: columns that it is fitted into, or fewer on a narrower terminal, by breaking its
            cells and lines between words; None breaks none.
    """
    from rich.console import Console

    # to a file of its own: Rich would end the process where nobody reads the output any more
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    held = io.BytesIO()
    file = io.TextIOWrapper(held, encoding, "backslashreplace", write_through=True)
    screen = Console(
        file=file,
        force_terminal=sys.stdout.isatty() or None,
        width=min(widest, Console().width) if widest else Console().width,
        highlight=False,
        soft_wrap=widest is None,
        emoji=False,
    )
    screen.print(table, markup=False)
    _print_lines(held.getvalue().decode(encoding).removesuffix("\n"))


class Bar:
    """The progress of one task: a bar on a terminal, otherwise a line every five seconds.

    Nothing is shown before the first `update`.
    """

    def __init__(self, what: str, total: int | None, *, quiet: bool) -> None:
        self._what, self._total, self._quiet = what, total, quiet
        self._printed_s = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def line(self, text: Callable[[], str]) -> None:
        """Prints a line, at most every five seconds, where there is no terminal."""
        now = time.monotonic()
        if not self._quiet and now - self._printed_s >= _LINE_EVERY_S:
            if not _stderr().is_interactive:
                print_line(text())
            self._printed_s = now

    def update(self, done: int, text: str) -> None:
        """Shows that so much of the total is done; `text` stands behind the bar."""
        if self._quiet or not _stderr().is_interactive:
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, text="")
        assert self._task is not None
        self._bar.update(self._task, completed=done, text=one_line(text))

    def close(self) -> None:
        """Ends the bar; the next line is printed below it."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


class BuildBar:
    """The progress of building an engine; most engines need no building, and never call it."""

    def __init__(self, output: Output, what: str = "building") -> None:
        self._output = output
        self._bar = output.progress(what, 100)
        self._told = False

    def __call__(self, part: float) -> None:
        """Shows that a part is done, 0..1."""
        if not self._told:
            self._output.say("building an engine for this GPU; it is cached")
            self._told = True
        self._bar.update(round(100 * part), "")

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._bar.close()


@cache
def _stderr() -> Console:
    from rich.console import Console

    file = streams.LastingStderr()
    # FORCE_COLOR gives colours to what is no terminal, but must not draw bars into a log
    is_terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return Console(
        file=cast(IO[str], file),
        force_interactive=is_terminal,
        highlight=False,
        soft_wrap=True,
        emoji=False,
    )


def _bar() -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=_stderr(),
        redirect_stdout=False,
        redirect_stderr=False,  # else what the console prints would come back to it
    )
