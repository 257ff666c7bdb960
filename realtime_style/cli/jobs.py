"""The commands `jobs list` and `jobs clean`: films that have been begun and not finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_style.cli.console import Output, as_size
from realtime_style.cli.help import examples
from realtime_style.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_style.jobs.parts import PartsFolder

LIST_EXAMPLES = examples("jobs list", "jobs list painted/", "jobs list ~/films")
CLEAN_EXAMPLES = examples("jobs clean", "jobs clean painted/", "jobs clean ~/films")

Folder = Annotated[
    Path, typer.Argument(metavar="[FOLDER]", help="Where the films are. Default: this folder.")
]


def list_jobs(folder: Folder = Path()) -> None:
    """Lists films that have been begun and not finished."""
    output = Output(False, False)
    for parts in _parts_in(folder):
        manifest = parts.manifest()
        assert manifest
        done, plan = parts.finished(), manifest.plan
        segments = counted(len(plan.segments) if plan.is_whole else done, "segment")
        of = f"{done} of {segments}" if plan.is_whole else segments
        output.say(f"{parts.out}: {of} of {manifest.source}, {as_size(parts.size_bytes())}")


def clean(folder: Folder = Path()) -> None:
    """Removes the finished segments of films that have been begun; the films stay."""
    from realtime_style.system.whole_file import lock_of

    output = Output(False, False)
    for parts in _parts_in(folder):
        lock = lock_of(parts.out)
        try:
            freed = parts.remove()
        finally:
            lock.release()
        output.say(f"removed {parts.path}, {as_size(freed)}")


def _parts_in(folder: Path) -> Iterator[PartsFolder]:
    """The folders of parts in a folder; others are left alone."""
    from realtime_style.errors import MediaError
    from realtime_style.jobs.parts import PartsFolder

    for path in sorted(folder.glob("*.partial")):
        parts = PartsFolder(path.with_suffix(""))
        try:
            if path.is_dir() and parts.manifest():
                yield parts
        except MediaError:
            continue
