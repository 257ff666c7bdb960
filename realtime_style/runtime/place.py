"""Where results go: the refusals that every kind of output shares."""

from __future__ import annotations

from pathlib import Path

from realtime_style.errors import MediaError


def refuse_place(path: Path, example: str, *, overwrite: bool) -> None:
    """Raises MediaError where a file cannot or must not be written.

    Args:
        example: a good name, for the message.
        overwrite: whether a file that is there may be replaced.
    """
    if path.is_dir():
        raise MediaError(f"{path} is a folder; OUT is the name of a file, as {example}")
    if path.exists() and not overwrite:
        raise MediaError(
            f"{path} exists already; give another name, or replace it with --overwrite"
        )
    if not path.parent.is_dir():
        raise MediaError(f"there is no folder {path.parent} to write into")


def refuse_itself(source: Path | str, out: Path | str) -> None:
    """Raises MediaError where a file would be painted over itself, through links too."""
    if Path(out).exists() and Path(source).exists() and Path(out).samefile(source):
        raise MediaError(f"{source} would be painted over itself; give OUT another name")
