"""Names of files to read and write: what is refused, free names, numbered pictures."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from realtime_style.errors import MediaError, StyleError

_NUMBER = re.compile(r"%(0?1?\d|)d")  # of at most 19 digits: a%20dog.gif is a name from the web
_NUMBERED_SUFFIXES = frozenset(
    (
        ".bmp", ".dpx", ".exr", ".gif", ".hdr", ".jp2", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm",
        ".png", ".pnm", ".ppm", ".qoi", ".sgi", ".tga", ".tif", ".tiff", ".webp",
    )
)  # fmt: skip
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # C:// is a drive
_MAX_NAME_BYTES = 255  # where the system does not tell


def is_address(text: Path | str) -> bool:
    """Whether a text is an address such as http://host/film.mp4, and not the name of a file."""
    return _ADDRESS.match(str(text)) is not None and not Path(text).exists()


def ffmpeg_name(path: Path | str) -> str:
    """A local path for FFmpeg, which would take a colon in it for the end of a protocol's name."""
    return f"file:{path}"


def is_special(path: Path) -> bool:
    """Whether a path is a named pipe, a terminal or another device, which cannot be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def written_through(path: Path) -> Path:
    """The file that a symbolic link leads to, whether or not it exists; other paths as they are."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def refuse_unwritable(path: Path, example: str, *, overwrite: bool, setting: str = "out") -> None:
    """Raises MediaError if a file cannot or must not be written.

    Named pipes and devices are written to, not replaced.

    Args:
        example: a good name, for the message.
        overwrite: whether an existing file may be replaced.
        setting: the argument that names the file, for the error.
    """
    message = None
    folder = written_through(path).parent
    if _is_endless(path):
        message = f"{path} is a link that leads back to itself; choose another"
    elif path.is_dir():
        message = f"{path} is a folder; give the name of a file, such as {example}"
    elif is_special(path):
        if not os.access(path, os.W_OK):
            message = f"{path} is not writable; choose another"
    elif path.exists() and not overwrite:
        raise MediaError(f"{path} exists already", setting="overwrite")
    elif not folder.is_dir() and not os.path.lexists(folder):
        message = f"there is no folder {folder} to write to; create it first"
    else:
        message = _why_no_folder(folder)
    if message:
        raise MediaError(message, setting=setting)


def refuse_no_folder(path: Path) -> None:
    """Raises MediaError if nothing can be written into a folder, or it cannot be made."""
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    if message := _why_no_folder(there):
        raise MediaError(message, setting="out")


def _why_no_folder(path: Path) -> str:
    """Why nothing can be written to what should be a folder; empty if something can."""
    if not path.is_dir():
        return f"{path} is not a folder; choose another"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"the folder {path} is not writable; choose another"
    return ""


def _is_endless(path: Path) -> bool:
    """Whether a path is a symbolic link that leads back to itself."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP and path.is_symlink()
    return False


def absent(path: Path | str, kind: str = "file") -> str:
    """What to say of a file that is not there: a link may be there that leads nowhere."""
    if Path(path).is_symlink():
        return f"{path} is a link that leads nowhere"
    return f"there is no {kind} {path}"


def refuse_overwriting_source(source: Path | str, out: Path | str) -> None:
    """Raises MediaError if a file would be painted over itself, through links as well."""
    same = Path(out).exists() and Path(source).exists() and Path(out).samefile(source)
    if is_numbered(out) and is_numbered(source) and not Path(source).exists():
        same = _any_number(source) == _any_number(out)
    if same:
        raise MediaError(
            f"{source} would be painted over itself; give the output another name", setting="out"
        )


def visible_files(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The files of a folder in alphabetical order, without hidden ones and hidden sub-folders.

    Other programs keep hidden files beside those of a user (._photo.jpg), and so does this one
    while it writes. Raises OSError if the folder cannot be read.
    """
    return [path for path in _visible(folder, recursive) if path.is_file()]


def unusable_in(folder: Path, *, recursive: bool = False) -> dict[Path, str]:
    """What is in a folder, but is no file that can be read; each with the reason in words.

    Links that lead nowhere, named pipes and devices; in sub-folders if these are included, where
    linked folders are not followed. Raises OSError if the folder cannot be read.
    """
    reasons = {path: _why_unusable(path) for path in _visible(folder, recursive)}
    if not recursive:
        return {path: why for path, why in reasons.items() if why and not path.is_dir()}
    return {path: why for path, why in reasons.items() if why}


def _why_unusable(path: Path) -> str:
    """Why something in a folder cannot be taken; empty for files and folders that can."""
    if path.is_file():
        return ""
    if path.is_dir():
        if path.is_symlink():
            return "a link to a folder"
        return "" if os.access(path, os.R_OK | os.X_OK) else "cannot be read"
    return "not a file" if path.exists() else "a link that leads nowhere"


def _visible(folder: Path, recursive: bool) -> list[Path]:
    """What is in a folder, in alphabetical order, without what is hidden."""
    return [
        path
        for path in sorted(folder.rglob("*") if recursive else folder.iterdir())
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that is removed at the end, with its files; raises StyleError without a place.

    Where the root is read-only, the system may have none.
    """
    try:
        folder = TemporaryDirectory(prefix="realtime-style-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StyleError(
            f"there is no place for temporary files ({error.strerror}); set the variable TMPDIR to "
            "a folder that can be written to"
        ) from error
    with folder as name:
        yield Path(name)


def make_folder(path: Path) -> None:
    """Creates a folder and its parents; raises MediaError if that fails."""
    refuse_no_folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(
            f"the folder {path} cannot be created: {error.strerror}", setting="out"
        ) from error


def free_name(path: Path) -> Path:
    """The path; if it is taken, the first of name-2, name-3, ... that is not."""
    names = (path if i == 1 else with_mark(path, f"-{i}") for i in count(1))
    return next(name for name in names if not os.path.lexists(name))


def with_mark(path: Path, mark: str) -> Path:
    """A name beside a path, with a mark before its ending: film.mp4, film.stopped.mp4.

    Names that would be too long for the file system lose the end of their stem.
    """
    return path.with_name(_fitting(path, path.stem, f"{mark}{path.suffix}"))


def name_part(text: str) -> str:
    """A text as a part of file names: without slashes, spaces and other signs, and short."""
    return re.sub(r"[^\w.+-]+", "-", text)[:40]


def hidden_name(path: Path, ending: str) -> Path:
    """A hidden name beside a path, always the same: film.mp4, .film.partial.mp4.

    Names that would be too long for the file system are shortened, but stay different.
    """
    stem = f".{path.stem}"
    name = _fitting(path, stem, ending)
    if name != stem + ending:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]
        name = _fitting(path, stem, f"-{digest}{ending}")
    return path.with_name(name)


def _fitting(path: Path, stem: str, ending: str) -> str:
    """A name of a stem and an ending, in a path's folder: as much of the stem as fits."""
    try:
        limit = os.pathconf(path.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        limit = _MAX_NAME_BYTES
    spare = limit - len(os.fsencode(ending))
    encoded = os.fsencode(stem)
    return (stem if len(encoded) <= spare else encoded[:spare].decode(errors="ignore")) + ending


def is_numbered(path: Path | str) -> bool:
    """Whether a name is a pattern for numbered pictures, such as frame_%04d.png.

    Films may have such names too (100%d.mp4), and are no patterns.
    """
    path = Path(path)
    return path.suffix.lower() in _NUMBERED_SUFFIXES and _NUMBER.search(path.name) is not None


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
    """The file name that a pattern gives to a number, with zeros before it, as FFmpeg does."""
    return _NUMBER.sub(lambda place: f"{number:0{int(place[1] or 0)}d}", pattern.name, count=1)


def ffmpeg_pattern(pattern: Path) -> str:
    """A pattern for FFmpeg: all per cent signs but the number's are doubled."""
    place = _NUMBER.search(pattern.name)
    assert place
    before, after = str(pattern)[: place.start() - len(pattern.name)], pattern.name[place.end() :]
    return ffmpeg_name(f"{before.replace('%', '%%')}{place[0]}{after.replace('%', '%%')}")


def _any_number(pattern: Path | str) -> tuple[Path, str]:
    path = Path(pattern)
    return path.parent.resolve(), _NUMBER.sub("%d", path.name)
