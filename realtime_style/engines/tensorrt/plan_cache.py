"""Built engines, kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from platformdirs import user_cache_path

from realtime_style.system.whole_file import whole_file

FOLDER_VARIABLE = "REALTIME_STYLE_CACHE"
"""Of the environment: the folder to keep engines in, instead of the user's cache folder."""

_MAGIC = b"realtime-style plan 1\n"
_MAX_ABOUT_BYTES = 65536
_MOST_PLANS = 200  # TensorRT-RTX makes one for each mixture of styles, of 3 MB


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What an engine belongs to: it is of use with nothing else.

    `model` is the checksum of the ONNX model that it was built of, without its weights where those
    are put in when it is loaded; `profile` the sizes, `builder` the library and its version,
    `device` the GPU and its compute capability, `level` and `workspace_mb` how it was built.
    """

    model: str
    profile: str
    precision: str
    builder: str
    device: str
    level: int | None = None
    workspace_mb: int | None = None

    @property
    def digest(self) -> str:
        """A short name for all that an engine must have in common with what is wanted."""
        what = asdict(replace(self, level=None, workspace_mb=None))
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def serves(self, wanted: PlanKey) -> bool:
        """Whether an engine of this key is what is wanted; None there: built in whatever way."""
        ways = ((self.level, wanted.level), (self.workspace_mb, wanted.workspace_mb))
        fits = all(wish is None or own == wish for own, wish in ways)
        return fits and self.digest == wanted.digest


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """An engine in the cache, of so many bytes; `key` is None where the file is damaged.

    `used_s` is when it was last written or read, in seconds since 1970.
    """

    path: Path
    size: int
    used_s: float
    key: PlanKey | None


class PlanCache:
    """A folder of engines, one file each, which appear there only when complete.

    Several programs may use it at once: they may build the same engine twice, nothing worse. Where
    the folder cannot be written, nothing is kept, and `trouble` says so.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Args: folder, None for the user's own cache folder."""
        named = os.environ.get(FOLDER_VARIABLE)
        self.folder = folder or (Path(named) if named else user_cache_path("realtime-style"))
        self.trouble = ""

    def read(self, key: PlanKey) -> bytes | None:
        """An engine; None where there is none. One that is damaged is said in `trouble`."""
        path = self._path(key)
        try:
            kept, plan = _read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            self.trouble = f"the engine {path.name} is damaged ({error}) and is built anew"
            return None
        with contextlib.suppress(OSError):  # the folder is not ours to write to
            os.utime(path)
        return plan if kept.serves(key) else None

    def write(self, key: PlanKey, plan: bytes) -> None:
        """Keeps an engine; what it replaces, of other versions of the library, goes."""
        about = json.dumps(asdict(key) | {"sha256": hashlib.sha256(plan).hexdigest()}).encode()
        if not self._store(self._path(key), b"".join((_MAGIC, about, b"\n", plan))):
            return
        others = [each for each in self._found(_read_key) if each.path != self._path(key)]
        others.sort(key=lambda each: each.used_s, reverse=True)
        for number, old in enumerate(others):
            if number >= _MOST_PLANS or (old.key and _replaces(key, old.key)):
                with contextlib.suppress(OSError):
                    old.path.unlink()

    def read_learned(self, builder: str, device: str) -> bytes:
        """What was learned of a GPU before: timings of kernels (TensorRT), or kernels (RTX).

        Nothing where there is nothing whole.

        TensorRT ends the process over a timing cache with a wrong byte: its own hash stands
        before it.
        """
        try:
            data = self._learned_path(builder, device).read_bytes()
        except OSError:
            return b""
        digest, learned = data[:32], data[32:]
        return learned if hashlib.sha256(learned).digest() == digest else b""

    def write_learned(self, builder: str, device: str, learned: bytes) -> None:
        """Keeps what was learned."""
        if learned:
            path = self._learned_path(builder, device)
            self._store(path, hashlib.sha256(learned).digest() + learned)

    def plans(self) -> list[KeptPlan]:
        """All engines, by name; damaged ones too."""
        return self._found(lambda path: _read(path)[0])

    def _found(self, read_key: Callable[[Path], PlanKey]) -> list[KeptPlan]:
        if self.folder.exists() and not self.folder.is_dir():
            self.trouble = (
                f"{self.folder} is a file, so no engine can be kept; set {FOLDER_VARIABLE} to a "
                "folder"
            )
        found = []
        for path in sorted(self.folder.glob("*.plan")):
            with contextlib.suppress(OSError):  # another program may have taken it away
                about = path.stat()
                try:
                    key: PlanKey | None = read_key(path)
                except ValueError:
                    key = None
                found.append(KeptPlan(path, about.st_size, about.st_mtime, key))
        return found

    def clean(self) -> int:
        """Takes all engines, timings and half-written files away; how many bytes there were."""
        freed = 0
        for path in self._files():
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        return freed

    def _files(self) -> Iterator[Path]:
        for pattern in ("*.plan", "*.learned", ".*.partial", "onnxruntime/*"):
            yield from self.folder.glob(pattern)

    def _path(self, key: PlanKey) -> Path:
        return self.folder / f"{key.precision}-{key.digest}.plan"

    def _learned_path(self, builder: str, device: str) -> Path:
        name = hashlib.sha256(f"{builder} {device}".encode()).hexdigest()[:16]
        return self.folder / f"{name}.learned"

    def _store(self, path: Path, data: bytes) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(path, unique=True) as partial:
                partial.write_bytes(data)
        except OSError as error:
            self.trouble = (
                f"{self.folder} cannot be written ({error.strerror}), so engines are built anew "
                f"each time; set {FOLDER_VARIABLE} to a folder that can"
            )
            return False
        return True


def _replaces(new: PlanKey, old: PlanKey) -> bool:
    same_library = new.builder.split()[0] == old.builder.split()[0]
    return same_library and replace(old, builder=new.builder).digest == new.digest


def _read(path: Path) -> tuple[PlanKey, bytes]:
    """Key and engine of a file; raises OSError, and ValueError where it is damaged."""
    with path.open("rb") as file:
        key, digest = _read_about(file)
        plan = file.read()
    if hashlib.sha256(plan).hexdigest() != digest:
        raise ValueError("its checksum is wrong")
    return key, plan


def _read_key(path: Path) -> PlanKey:
    """What a file says of itself, without its engine; raises as `_read`."""
    with path.open("rb") as file:
        return _read_about(file)[0]


def _read_about(file: IO[bytes]) -> tuple[PlanKey, str]:
    """Key and the engine's checksum; the engine comes next."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin as an engine of this program")
    line = file.readline(_MAX_ABOUT_BYTES)
    if not line.endswith(b"\n"):
        raise ValueError("it is cut short")
    try:
        about = json.loads(line)
        digest = about.pop("sha256")
        return PlanKey(**about), digest
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("what it says of itself is broken") from error
