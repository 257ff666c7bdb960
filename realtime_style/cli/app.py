"""Registers the commands, and runs one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Annotated, Any

import typer
from typer.completion import shell_complete

from realtime_style import __version__
from realtime_style.cli import console, engine, film, jobs, live, picture, style, tools, train, web
from realtime_style.cli.help import Command, Group, examples
from realtime_style.system import interrupts

NAME = "realtime-style"
_COMPLETION = "_REALTIME_STYLE_COMPLETE"

app = typer.Typer(
    name=NAME,
    cls=Group,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "demo demo.mp4",
        "video holiday.mp4 painted.mp4 --style great-wave",
        "webcam",
    ),
)
engines = typer.Typer(
    cls=Group,
    help="Builds, lists and removes GPU engines.",
    epilog=examples("engine build", "engine list", "engine clean"),
)

job_commands = typer.Typer(
    cls=Group,
    help="Lists and removes the parts of unfinished films.",
    epilog=examples("jobs list", "jobs clean"),
)


def _version(asked: bool) -> None:
    if asked:
        console.print_result(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Paints videos in the style of a painting, in real time, on an ordinary CPU."""


_COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (film.video, film.VIDEO_EXAMPLES),
    (live.webcam, live.WEBCAM_EXAMPLES),
    (web.web, web.WEB_EXAMPLES),
    (picture.image, picture.IMAGE_EXAMPLES),
    (film.demo, film.DEMO_EXAMPLES),
    (style.styles, style.STYLES_EXAMPLES),
    (style.compare, style.COMPARE_EXAMPLES),
    (style.style_from, style.STYLE_FROM_EXAMPLES),
    (train.train, train.TRAIN_EXAMPLES),
    (train.export, train.EXPORT_EXAMPLES),
    (tools.bench, tools.BENCH_EXAMPLES),
    (tools.doctor, tools.DOCTOR_EXAMPLES),
)
_ENGINE_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("build", engine.build, engine.BUILD_EXAMPLES),
    ("list", engine.list_built, engine.LIST_EXAMPLES),
    ("clean", engine.clean, engine.CLEAN_EXAMPLES),
)
_JOB_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("list", jobs.list_jobs, jobs.LIST_EXAMPLES),
    ("clean", jobs.clean, jobs.CLEAN_EXAMPLES),
)
for function, epilog in _COMMANDS:
    app.command(cls=Command, epilog=epilog)(function)
for name, function, epilog in _ENGINE_COMMANDS:
    engines.command(name, cls=Command, epilog=epilog)(function)
for name, function, epilog in _JOB_COMMANDS:
    job_commands.command(name, cls=Command, epilog=epilog)(function)
app.add_typer(engines, name="engine")
app.add_typer(job_commands, name="jobs")


def run(arguments: Sequence[str], started_s: float | None = None) -> int:
    """Runs one command in this process, and prints what goes wrong in one line.

    Args:
        started_s: when the process began, by `time.perf_counter`; None means now.

    Returns:
        The exit status: 0, 1 after an error, 2 for wrong usage, `interrupts.exit_status` after
        Ctrl-C and other signals.

    Raises:
        console.Abandon: the process must end without waiting for its threads.
    """
    console.clock.start(time.perf_counter() if started_s is None else started_s)
    command = typer.main.get_command(app)
    if instruction := os.environ.get(_COMPLETION):  # set by the shell's script for this program
        return shell_complete(command, {}, NAME, _COMPLETION, instruction)
    try:
        with command.make_context(NAME, list(arguments) or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except console.UsageError as error:
        console.print_usage_error(error)
        return 2
    except (Exception, KeyboardInterrupt) as error:
        # a library that is being loaded turns Ctrl-C into another error
        if interrupts.came() or isinstance(error, KeyboardInterrupt):
            return console.print_stopped(error)
        options = console.options_of(_named(command, arguments))
        reason = console.reason_of(error, options)
        if reason:
            console.print_failure(reason, as_json="--json" in options & _flags(arguments))
        elif not isinstance(error, BrokenPipeError):  # whoever read the output has gone
            raise
        return 1
    return 0


def _flags(arguments: Sequence[str]) -> frozenset[str]:
    """The words of a command line before "--", which may be options."""
    return frozenset(takewhile(lambda word: word != "--", arguments))


def _named(command: Any, arguments: Sequence[str]) -> Any:
    """The command that a command line names."""
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    return command
