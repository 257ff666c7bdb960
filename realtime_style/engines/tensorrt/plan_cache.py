"""The cache of built engines ("plans"), in the user's cache folder."""

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
"""Environment variable: the folder for built engines, in place of the user's cache folder."""

_MAGIC = b"realtime-style plan 1\n"
_MAX_HEADER_BYTES = 65536
_MAX_PLANS = 200  # engines that are kept; TensorRT-RTX builds one of 5 MB for every blend


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a built engine depends on: with any other key it cannot be used.

    Attributes:
        model: digest of the ONNX model, without its weights if the engine can be refitted.
        profile: the sizes that the engine paints, as `str(Profile)`.
        precision: "f16" or "f32".
        builder: the library and its version, such as "tensorrt 10.12.0".
        device: the GPU's name and compute capability, such as "NVIDIA L4 8.9".
        level, workspace_mb: how the engine was built, see `build_engine`; None is the library's
            default.
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
        """16 hexadecimal digits that depend on everything but `level` and `workspace_mb`."""
        what = asdict(replace(self, level=None, workspace_mb=None))
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]

    def serves(self, wanted: PlanKey) -> bool:
        """Whether an engine with this key can be used where another is wanted.

        A `level` or `workspace_mb` of None in `wanted` accepts any.
        """
        ways = ((self.level, wanted.level), (self.workspace_mb, wanted.workspace_mb))
        fits = all(wish is None or own == wish for own, wish in ways)
        return fits and self.digest == wanted.digest


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A built engine in the cache.

    Attributes:
        path: its file.
        size: size of the file in bytes.
        used_s: when the file was last written or read, in seconds since 1970.
        key: what the engine depends on; None if the file is damaged.
    """

    path: Path
    size: int
    used_s: float
    key: PlanKey | None


class PlanCache:
    """A folder of built engines, one file each.

    A file appears only when it is complete. Several processes may use the folder at the same time;
    at worst they build the same engine twice.

    Attributes:
        folder: the folder, which need not exist yet.
        trouble: the last problem, in one sentence, such as a folder that cannot be written; "" if
            there was none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Opens a cache.

        Args:
            folder: None takes the one that FOLDER_VARIABLE names, or else the user's cache folder.
        """
        named = os.environ.get(FOLDER_VARIABLE)
        self.folder = folder or (Path(named) if named else user_cache_path("realtime-style"))
        self.trouble = ""

    def read(self, key: PlanKey) -> bytes | None:
        """The serialised engine for a key; None if it is not cached, or damaged (see `trouble`)."""
        path = self._path(key)
        try:
            kept, plan = _read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            self.trouble = f"the cached engine {path.name} is damaged ({error}) and is rebuilt"
            return None
        with contextlib.suppress(OSError):  # the folder may be read-only
            os.utime(path)
        return plan if kept.serves(key) else None

    def write(self, key: PlanKey, plan: bytes) -> None:
        """Stores a serialised engine; a failure is reported by `trouble` only.

        Deletes engines of other versions of the library, and beyond 200 those unused for longest.
        """
        about = json.dumps(asdict(key) | {"sha256": hashlib.sha256(plan).hexdigest()}).encode()
        if not self._store(self._path(key), b"".join((_MAGIC, about, b"\n", plan))):
            return
        others = [each for each in self._found(_read_key) if each.path != self._path(key)]
        others.sort(key=lambda each: each.used_s, reverse=True)
        for number, old in enumerate(others):
            if number >= _MAX_PLANS or (old.key and _replaces(key, old.key)):
                with contextlib.suppress(OSError):
                    old.path.unlink()

    def read_learned(self, builder: str, device: str) -> bytes:
        """What an earlier build or run has learned about a GPU; b"" if nothing, or damaged.

        It is TensorRT's timing cache, or the kernels that TensorRT-RTX compiled. The file begins
        with a SHA-256, because one wrong byte would make TensorRT kill the process.

        Args:
            builder, device: as in `PlanKey`.
        """
        try:
            data = self._learned_path(builder, device).read_bytes()
        except OSError:
            return b""
        digest, learned = data[:32], data[32:]
        return learned if hashlib.sha256(learned).digest() == digest else b""

    def write_learned(self, builder: str, device: str, learned: bytes) -> None:
        """Stores what was learned about a GPU; see `read_learned`."""
        if learned:
            path = self._learned_path(builder, device)
            self._store(path, hashlib.sha256(learned).digest() + learned)

    def plans(self) -> list[KeptPlan]:
        """All engines in the cache, in the order of their file names, including damaged ones."""
        return self._found(lambda path: _read(path)[0])

    def _found(self, read_key: Callable[[Path], PlanKey]) -> list[KeptPlan]:
        if self.folder.exists() and not self.folder.is_dir():
            self.trouble = (
                f"{self.folder} is a file, so engines cannot be cached; set {FOLDER_VARIABLE} to a "
                "folder"
            )
        found = []
        for path in sorted(self.folder.glob("*.plan")):
            with contextlib.suppress(OSError):  # another process may have deleted it
                about = path.stat()
                try:
                    key: PlanKey | None = read_key(path)
                except ValueError:
                    key = None
                found.append(KeptPlan(path, about.st_size, about.st_mtime, key))
        return found

    def clean(self) -> int:
        """Deletes everything in the cache. Returns how many bytes that has freed."""
        freed = 0
        for path in self._files():
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        return freed

    def _files(self) -> Iterator[Path]:
        for pattern in ("*.plan", "*.learned", ".*.partial", "onnxruntime/*", "openvino/*"):
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
                f"{self.folder} cannot be written ({error.strerror}), so engines are rebuilt each "
                f"time; set {FOLDER_VARIABLE} to a writable folder"
            )
            return False
        return True


def _replaces(new: PlanKey, old: PlanKey) -> bool:
    """Whether two engines differ at most in the library's version and in how they were built."""
    same_library = new.builder.split()[0] == old.builder.split()[0]
    return same_library and replace(old, builder=new.builder).digest == new.digest


def _read(path: Path) -> tuple[PlanKey, bytes]:
    """The key and the engine in a file. Raises OSError, or ValueError if it is damaged."""
    with path.open("rb") as file:
        key, digest = _read_header(file)
        plan = file.read()
    if hashlib.sha256(plan).hexdigest() != digest:
        raise ValueError("its checksum is wrong")
    return key, plan


def _read_key(path: Path) -> PlanKey:
    """The key in a file, without reading the engine. Raises the same errors as `_read`."""
    with path.open("rb") as file:
        return _read_header(file)[0]


def _read_header(file: IO[bytes]) -> tuple[PlanKey, str]:
    """Reads the key, and the checksum of the engine; the file is then at the engine's first byte.

    Raises:
        ValueError: it is not the file of a cached engine, or is damaged.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not a cached engine")
    line = file.readline(_MAX_HEADER_BYTES)
    if not line.endswith(b"\n"):
        raise ValueError("it is truncated")
    try:
        about = json.loads(line)
        digest = about.pop("sha256")
        return PlanKey(**about), digest
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("its header is broken") from error
