"""The command `realtime-style`: parses, prints, turns errors into exit statuses; no logic.

`app` registers the commands, which are in one file a group: film, live, picture, style, engine,
train, tools. `options` holds the options that they share, `help` the help pages, `console` all that
is printed, `batch` one command for many files. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import time
from typing import NoReturn

_STOPPED = 128  # the least exit status after a signal
_STARTED_S = time.perf_counter()  # before the imports: they count as part of the first film


def main() -> NoReturn:
    """Runs the command line and ends the process.

    The exit status is 0, 1 after an error, 2 for a command that is used wrongly, 130 after Ctrl-C,
    143 after SIGTERM, or 129 after SIGHUP.
    """
    import sys

    from realtime_style.system import interrupts, streams

    streams.open_closed()
    streams.print_anything()
    with interrupts.default_action():
        from realtime_style.cli import app, console
    interrupts.install()
    try:
        status = app.run(sys.argv[1:], _STARTED_S)
    except console.Abandon as end:
        interrupts.end_process(end.status)
    interrupts.ignore()
    if status >= _STOPPED:
        interrupts.end_process(status)
    streams.finish()
    sys.exit(status)
