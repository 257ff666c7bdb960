"""Files that appear only when they are complete.

What is being written has a hidden name beside its own (.film.partial.mp4), and is renamed at the
end. An existing file of that name stays until then; after an error nothing is left behind. A lock
beside it (.film.partial.mp4.lock) keeps a second run from writing the same file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realtime_style.system.file_lock import FileLock
from realtime_style.system.paths import (
    free_name,
    hidden_name,
    is_special,
    name_of,
    numbered,
    temporary_folder,
    with_mark,
    written_through,
)


def lock_of(path: Path, *, setting: str = "out") -> FileLock:
    """Takes the lock that whoever writes a file holds; raises MediaError if another run has it."""
    lock = hidden_name(written_through(path), f".partial{path.suffix}.lock")
    return FileLock(lock, path, setting=setting)


class PartialFile:
    """One file on its way: written to `partial`, then put in place or discarded.

    A symbolic link is written through, and what replaces a file keeps its permissions.
    """

    def __init__(self, path: Path, *, unique: bool = False) -> None:
        """Reserves the name.

        Args:
            unique: whether other processes may be writing the same file now.

        Raises:
            MediaError: another run is writing the file.
        """
        self.path = path
        self._is_settled = False  # the name of the partial file may be another run's by now
        self._lock: FileLock | None = None
        real = written_through(path)
        if unique:
            ending = f"{path.suffix}-{secrets.token_hex(4)}.partial"
        else:
            ending = f".partial{path.suffix}"  # FFmpeg takes the format from it
            self._lock = lock_of(path)
        self.partial = hidden_name(real, ending)

    def put_in_place(self, target: Path | None = None) -> None:
        """Renames it to `target` (None: to `path`), replacing an existing file. Raises OSError."""
        _replace(self.partial, target or self.path)
        self._release()

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
                _replace(self.partial, target)
            self.path = target
            self.discard()
            return

    def keep(self, target: Path) -> Path:
        """Keeps it under a name near a target that cannot be replaced; returns that name.

        For example, a program on Windows may have the existing file open.
        """
        kept = free_name(with_mark(target, ".painted"))
        try:
            os.replace(self.partial, kept)
        except OSError:
            kept = self.partial
        self._release()
        return kept

    def discard(self) -> None:
        """Removes what has been written, as far as that is possible; nothing once it is kept."""
        if not self._is_settled:
            with contextlib.suppress(OSError):  # the error that led here is the one to report
                self.partial.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        self._is_settled = True
        if self._lock:
            self._lock.release()


class PartialSequence:
    """Numbered files on their way, in a hidden folder beside them; `partial` is their pattern.

    Attributes:
        removed: how many files of a longer existing sequence `put_in_place` has removed.
    """

    def __init__(self, pattern: Path) -> None:
        """Makes the folder, emptied if a killed run left one.

        Raises:
            MediaError: another run is writing the sequence.
            OSError: the folder cannot be made.
        """
        self.path = pattern
        self.removed = 0
        self._is_settled = False
        folder = hidden_name(pattern, f".partial{pattern.suffix}")
        self._folder = folder.with_name(folder.name.replace("%", ""))
        self._lock = lock_of(pattern)
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir()
        except OSError:
            self._lock.release()
            raise
        self.partial = self._folder / pattern.name

    def put_in_place(self, target: Path | None = None) -> None:
        """Renames all files to the pattern `target` (None: `path`), replacing an existing one.

        Existing files with higher numbers are removed. Raises OSError.
        """
        target = target or self.path
        existing, new = numbered(target), numbered(self.partial)
        for number, path in sorted(new.items()):
            _replace(path, target.with_name(name_of(target, number)))
        for number in existing.keys() - new.keys():
            existing[number].unlink()
            self.removed += 1
        self._folder.rmdir()
        self._release()

    def remove_last(self) -> None:
        """Removes the file with the highest number, which an error has left incomplete."""
        if files := numbered(self.partial):
            files[max(files)].unlink()

    def keep(self, target: Path) -> Path:
        """Leaves the files in their folder, and returns that; see `PartialFile.keep`."""
        self._release()
        return self._folder

    def discard(self) -> None:
        """Removes the folder and the files in it; nothing once they are kept."""
        if not self._is_settled:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        self._is_settled = True
        self._lock.release()


def _replace(partial: Path, target: Path) -> None:
    """Moves a file to a name, or to where a link of that name leads. Raises OSError.

    A file that was there gives its permissions and, where that is allowed, its owner.
    """
    target = written_through(target)
    with contextlib.suppress(FileNotFoundError):
        former = target.stat()
        if hasattr(os, "chown"):
            with contextlib.suppress(OSError):
                os.chown(partial, former.st_uid, former.st_gid)
        with contextlib.suppress(PermissionError):
            partial.chmod(former.st_mode & 0o777)
    try:
        os.replace(partial, target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # a link that leads to another file system
            raise
        shutil.copyfile(partial, target)
        partial.unlink()


@contextmanager
def whole_file(path: Path, *, unique: bool = False) -> Iterator[Path]:
    """Yields a temporary path to write to; it is renamed to `path` when the block succeeds.

    An error in the block deletes the temporary file, and leaves `path` as it was. Named pipes and
    devices are not replaced: they get the whole content at the end.

    Args:
        unique: whether other processes may be writing the same file now.

    Raises:
        MediaError: another run is writing the file.
        OSError: the temporary file cannot be renamed to `path`.
    """
    if is_special(path):
        with temporary_folder() as folder:
            partial = folder / path.name
            yield partial
            with partial.open("rb") as content, path.open("wb") as device:
                shutil.copyfileobj(content, device)
        return
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
