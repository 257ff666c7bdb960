"""Names of files to read and write: what is refused, free names, numbered pictures."""

from __future__ import annotations

import os
import re
from itertools import count
from pathlib import Path

from realtime_style.errors import MediaError

_NUMBER = re.compile(r"%0?\d*d")


def refuse_unwritable(path: Path, example: str, *, overwrite: bool, setting: str = "out") -> None:
    """Raises MediaError if a file cannot or must not be written.

    Args:
        example: a good name, for the message.
        overwrite: whether an existing file may be replaced.
        setting: the argument that names the file, for the error.
    """
    message = None
    if path.is_dir():
        message = f"{path} is a folder; give the name of a file, such as {example}"
    elif path.exists() and not overwrite:
        raise MediaError(f"{path} exists already", setting="overwrite")
    elif not path.parent.is_dir():
        message = f"there is no folder {path.parent} to write to; create it first"
    elif not os.access(path.parent, os.W_OK):
        message = f"the folder {path.parent} is not writable; choose another"
    if message:
        raise MediaError(message, setting=setting)


def refuse_overwriting_source(source: Path | str, out: Path | str) -> None:
    """Raises MediaError if a file would be painted over itself, through links as well."""
    same = Path(out).exists() and Path(source).exists() and Path(out).samefile(source)
    if is_numbered(out) and is_numbered(source):
        same = _any_number(source) == _any_number(out)
    if same:
        raise MediaError(
            f"{source} would be painted over itself; give the output another name", setting="out"
        )


def make_folder(path: Path) -> None:
    """Creates a folder and its parents; raises MediaError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(
            f"the folder {path} cannot be created: {error.strerror}", setting="out"
        ) from error


def free_name(path: Path) -> Path:
    """The path; if it is taken, the first of name-2, name-3, ... that is not."""
    names = (path if i == 1 else path.with_stem(f"{path.stem}-{i}") for i in count(1))
    return next(name for name in names if not name.exists())


def is_numbered(path: Path | str) -> bool:
    """Whether a name is a pattern for numbered pictures, such as frame_%04d.png."""
    return _NUMBER.search(Path(path).name) is not None


def numbered(pattern: Path) -> dict[int, Path]:
    """The files on disk whose names fit a pattern, by their numbers."""
    place = _NUMBER.search(pattern.name)
    assert place
    before, after = pattern.name[: place.start()], pattern.name[place.end() :]
    found = {}
    for path in pattern.parent.iterdir() if pattern.parent.is_dir() else ():
        digits = path.name[len(before) : len(path.name) - len(after)]
        if digits.isdecimal() and path.name == name_of(pattern, int(digits)):
            found[int(digits)] = path
    return found


def name_of(pattern: Path, number: int) -> str:
    """The file name that a pattern gives to a number."""
    return _NUMBER.sub(lambda place: place[0] % number, pattern.name, count=1)


def escaped_pattern(pattern: Path) -> str:
    """A pattern for FFmpeg: all per cent signs but the number's are doubled."""
    place = _NUMBER.search(pattern.name)
    assert place
    before, after = str(pattern)[: place.start() - len(pattern.name)], pattern.name[place.end() :]
    return f"{before.replace('%', '%%')}{place[0]}{after.replace('%', '%%')}"


def _any_number(pattern: Path | str) -> tuple[Path, str]:
    path = Path(pattern)
    return path.parent.resolve(), _NUMBER.sub("%d", path.name)
