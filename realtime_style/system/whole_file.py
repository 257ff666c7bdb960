"""Files that appear only when they are complete.

What is being written has a hidden name beside its own (.film.partial.mp4), and is renamed at the
end. An existing file of that name stays until then; after an error nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realtime_style.system.paths import free_name, name_of, numbered


class PartialFile:
    """One file on its way: written to `partial`, then put in place or discarded."""

    def __init__(self, path: Path, *, unique: bool = False) -> None:
        """Args: unique, whether other processes may be writing the same file now."""
        self.path = path
        name = f".{path.stem}.partial{path.suffix}"  # FFmpeg takes the format from the ending
        if unique:
            name = f".{path.name}-{secrets.token_hex(4)}.partial"
        self.partial = path.with_name(name)

    def put_in_place(self, target: Path | None = None) -> None:
        """Renames it to `target` (None: to `path`), replacing an existing file. Raises OSError."""
        os.replace(self.partial, target or self.path)

    def put_in_free_place(self) -> None:
        """Gives it the name `path`, or the first free one after it, which becomes `path`.

        Raises OSError.
        """
        while True:
            target = free_name(self.path)
            try:
                os.link(self.partial, target)  # unlike renaming, it never replaces a file
            except FileExistsError:  # another process has just taken the name
                continue
            except OSError:  # this file system has no links
                os.replace(self.partial, target)
            self.path = target
            self.discard()
            return

    def keep(self, target: Path) -> Path:
        """Keeps it under a name near a target that cannot be replaced; returns that name.

        For example, a program on Windows may have the existing file open.
        """
        kept = free_name(target.with_stem(f"{target.stem}.painted"))
        try:
            os.replace(self.partial, kept)
        except OSError:
            return self.partial
        return kept

    def discard(self) -> None:
        """Removes what has been written, as far as that is possible."""
        with contextlib.suppress(OSError):  # the error that led here is the one to report
            self.partial.unlink(missing_ok=True)


class PartialSequence:
    """Numbered files on their way, in a hidden folder beside them; `partial` is their pattern.

    Attributes:
        removed: how many files of a longer existing sequence `put_in_place` has removed.
    """

    def __init__(self, pattern: Path) -> None:
        """Makes the folder, emptied if a killed run left one. Raises OSError."""
        self.path = pattern
        self.removed = 0
        self._folder = pattern.with_name(f".{pattern.stem}.partial".replace("%", ""))
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self.partial = self._folder / pattern.name

    def put_in_place(self, target: Path | None = None) -> None:
        """Renames all files to the pattern `target` (None: `path`), replacing an existing one.

        Existing files with higher numbers are removed. Raises OSError.
        """
        target = target or self.path
        existing, new = numbered(target), numbered(self.partial)
        for number, path in sorted(new.items()):
            os.replace(path, target.with_name(name_of(target, number)))
        for number in existing.keys() - new.keys():
            existing[number].unlink()
            self.removed += 1
        self._folder.rmdir()

    def keep(self, target: Path) -> Path:
        """Leaves the files in their folder, and returns that; see `PartialFile.keep`."""
        return self._folder

    def discard(self) -> None:
        """Removes the folder and the files in it."""
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def whole_file(path: Path, *, unique: bool = False) -> Iterator[Path]:
    """Yields the name to write under; the file takes its place when the block ends without error.

    Args:
        unique: whether other processes may be writing the same file now.

    Raises:
        OSError: it cannot take its place.
    """
    file = PartialFile(path, unique=unique)
    try:
        yield file.partial
        file.put_in_place()
    except BaseException:
        file.discard()
        raise


@contextmanager
def new_whole_file(path: Path) -> Iterator[PartialFile]:
    """As `whole_file`, but never replaces a file: if the name is taken, it gets the next free one.

    Yields the file: write to its `partial`; afterwards its `path` is the name that it has got.
    """
    file = PartialFile(path, unique=True)
    try:
        yield file
        file.put_in_free_place()
    except BaseException:
        file.discard()
        raise
