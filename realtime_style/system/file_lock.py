"""A lock on a file that is being written, so that two runs do not write it at once."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from io import FileIO
from pathlib import Path

from realtime_style.errors import MediaError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE = 1 << 20  # Windows locks bytes, which nobody else can read then: one after the text


class FileLock:
    """Held while a file is written; the system releases it when the process ends, however it ends.

    Where the file system has no locks, it does nothing.
    """

    def __init__(self, path: Path, of: Path, *, setting: str = "out") -> None:
        """Takes the lock.

        Args:
            path: the lock's own file; made if it is missing, removed by `release`.
            of: the file that is written, for the message.
            setting: the argument that names that file, for the error.

        Raises:
            MediaError: another run holds it; the message says which.
        """
        self._path = path
        self._file: FileIO | None = None
        while self._file is None:
            try:
                file = FileIO(path, "a+")
            except OSError:  # what is to be written here will fail too, and say why
                return
            try:
                _lock(file)
            except BlockingIOError:
                with file:
                    raise MediaError(
                        f"{of} is being written by another run{_text_of(file)}; give another "
                        "name, or wait until that one has ended",
                        setting=setting,
                    ) from None
            except OSError:  # no locks here
                file.close()
                return
            if _is_at(file, path):
                self._file = file
            else:  # the previous holder has just removed it
                file.close()
        self._file.truncate(0)
        text = f" (process {os.getpid()} on {socket.gethostname()})"
        with contextlib.suppress(OSError):  # a full disk
            self._file.write(text.encode(errors="replace"))

    def release(self) -> None:
        """Removes the lock; a second call does nothing."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if sys.platform == "win32":  # which removes no open file
            file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        file.close()


def _lock(file: FileIO) -> None:
    """Raises BlockingIOError if another run holds it, and OSError where there are no locks."""
    if sys.platform == "win32":
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _text_of(file: FileIO) -> str:
    file.seek(0)
    return file.read(200).decode(errors="replace")
