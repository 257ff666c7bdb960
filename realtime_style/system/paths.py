"""Where results go: the refusals that every kind of output shares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO

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
        raise MediaError(f"there is no folder {path.parent} to write into; make it first")
    if not os.access(path.parent, os.W_OK):
        raise MediaError(f"{path.parent} may not be written into; give OUT in another folder")


def free_name(path: Path) -> Path:
    """The path, or where it is taken the first of name-2, name-3, ... that is not."""
    names = (path if i == 1 else path.with_stem(f"{path.stem}-{i}") for i in count(1))
    return next(name for name in names if not name.exists())


@contextmanager
def free_file(path: Path) -> Iterator[BinaryIO]:
    """A new file of the path's name, or of the first free one after it; gone again on an error."""
    while True:
        try:
            file = free_name(path).open("xb")
        except FileExistsError:  # somebody else took it just now
            continue
        break
    try:
        with file:
            yield file
    except BaseException:
        Path(file.name).unlink(missing_ok=True)
        raise


_NUMBER = re.compile(r"%0?\d*d")


def is_numbered(path: Path | str) -> bool:
    """Whether a name is a pattern for numbered pictures, as frame_%04d.png."""
    return _NUMBER.search(Path(path).name) is not None


def numbered(pattern: Path) -> dict[int, Path]:
    """The files on disk that have a pattern's names, by their numbers."""
    place = _NUMBER.search(pattern.name)
    assert place
    before, after = pattern.name[: place.start()], pattern.name[place.end() :]
    found = {}
    for path in pattern.parent.iterdir() if pattern.parent.is_dir() else ():
        digits = path.name[len(before) : len(path.name) - len(after)]
        if digits.isdecimal() and path.name == name_of(pattern, int(digits)):
            found[int(digits)] = path
    return found


def as_ffmpeg_reads(pattern: Path) -> str:
    """A pattern in which all other per cent signs are none of FFmpeg's business."""
    place = _NUMBER.search(pattern.name)
    assert place
    before, after = str(pattern)[: place.start() - len(pattern.name)], pattern.name[place.end() :]
    return f"{before.replace('%', '%%')}{place[0]}{after.replace('%', '%%')}"


def name_of(pattern: Path, number: int) -> str:
    """The name that a pattern gives to a number."""
    return _NUMBER.sub(lambda place: place[0] % number, pattern.name, count=1)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; raises MediaError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"the folder {path} cannot be made: {error.strerror}") from error


def refuse_itself(source: Path | str, out: Path | str) -> None:
    """Raises MediaError where a file would be painted over itself, through links too."""
    same = Path(out).exists() and Path(source).exists() and Path(out).samefile(source)
    if is_numbered(out) and is_numbered(source):
        same = _every_number(source) == _every_number(out)
    if same:
        raise MediaError(f"{source} would be painted over itself; give OUT another name")


def _every_number(pattern: Path | str) -> tuple[Path, str]:
    path = Path(pattern)
    return path.parent.resolve(), _NUMBER.sub("%d", path.name)
