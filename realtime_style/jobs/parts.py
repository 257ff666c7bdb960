"""The folder of parts beside a film: what a job that was ended has finished, and for what."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import av

from realtime_style import __version__
from realtime_style.errors import MediaError
from realtime_style.jobs.request import FilmRequest
from realtime_style.jobs.segments import PART_SUFFIX, FilmPlan
from realtime_style.media.packet_log import PacketLog, read_log
from realtime_style.painting.chain import PainterChain
from realtime_style.system.cores import cpu_name_and_flags

_MANIFEST = "manifest.json"
_WHOLE_SOURCE = "whole source"  # setting: the hash of all of it
_EDGE_BYTES = 2**20  # of a film's head and tail that are hashed
_ENGINE_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What parts belong to.

    Attributes:
        source: the film that is painted, as it was named.
        settings: all that pictures and bytes depend on, by name.
        plan: the segments; none before the film has been read to its end.
    """

    source: str
    settings: dict[str, str]
    plan: FilmPlan

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads a manifest; raises KeyError, TypeError, ValueError."""
        plain = json.loads(text)
        return cls(plain["source"], plain["settings"], FilmPlan.from_dict(plain["plan"]))

    def as_json(self) -> str:
        """The manifest as JSON; `from_json` reads it."""
        plain = {"source": self.source, "settings": self.settings, "plan": self.plan.as_dict()}
        return json.dumps(plain, indent=1)


class PartsFolder:
    """The folder OUT.partial: a manifest, and one packet log for each finished segment.

    Attributes:
        out: the film.
        path: the folder, which need not exist.
    """

    def __init__(self, out: Path) -> None:
        """Args: out, the film."""
        self.out = out
        self.path = out.with_name(f"{out.name}.partial")

    def manifest(self) -> Manifest | None:
        """What the parts belong to; None if there are none.

        Raises:
            MediaError: the folder is no folder of parts, or its manifest is damaged.
        """
        path = self.path / _MANIFEST
        try:
            return Manifest.from_json(path.read_text("utf-8"))
        except FileNotFoundError:
            if self.path.exists() and any(self._foreign()):
                raise MediaError(
                    f"{self.path} is not a folder of finished segments; move it elsewhere",
                    setting="out",
                ) from None
            return None
        except OSError as error:
            raise MediaError(f"{path} cannot be read: {error.strerror}", setting="out") from error
        except (KeyError, TypeError, ValueError) as error:
            raise MediaError(f"{path} is damaged", setting="restart") from error

    def store(self, manifest: Manifest) -> None:
        """Writes the manifest, in a folder that is made if it is missing. Raises MediaError."""
        try:
            self.path.mkdir(exist_ok=True)
            partial = self.path / f".{_MANIFEST}"
            with partial.open("w", encoding="utf-8") as file:
                file.write(manifest.as_json())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path / _MANIFEST)
        except OSError as error:
            raise MediaError(
                f"{self.path} cannot be written: {error.strerror}", setting="out"
            ) from error

    def remove_stale(self) -> None:
        """Removes logs that a killed run has not completed. Only the run that owns OUT may."""
        for path in [*self.path.glob(".*.packets.*"), self.stopped]:
            path.unlink(missing_ok=True)

    def remove(self) -> int:
        """Removes the parts, and the folder if nothing else is in it; returns the bytes freed."""
        freed = 0
        for path in self._own():
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
        if self.path.exists() and not any(self.path.iterdir()):
            self.path.rmdir()
        return freed

    def size_bytes(self) -> int:
        """How large the parts are together."""
        return sum(path.stat().st_size for path in self._own())

    def finished(self) -> int:
        """How many segments have a part, damaged or not."""
        return sum(1 for _ in self.path.glob(f"[0-9]*{PART_SUFFIX}"))

    def read_parts(self) -> tuple[dict[int, PacketLog], list[Path]]:
        """The logs of all segments, by their numbers, and those that are damaged."""
        logs, damaged = {}, []
        for path in sorted(self.path.glob(f"[0-9]*{PART_SUFFIX}")):
            try:
                logs[int(path.stem)] = read_log(path)
            except (MediaError, OSError, ValueError):
                damaged.append(path)
        return logs, damaged

    @property
    def stopped(self) -> Path:
        """Where the beginning of a segment is logged that was stopped half-way."""
        return self.path / f".stopped{PART_SUFFIX}"

    def _own(self) -> Iterator[Path]:
        yield from self.path.glob("*.packets")
        yield from self.path.glob(".*.packets*")
        yield from self.path.glob(_MANIFEST)
        yield from self.path.glob(f".{_MANIFEST}")

    def _foreign(self) -> Iterator[Path]:
        own = set(self._own())
        return (path for path in self.path.iterdir() if path not in own)


def refuse_other(folder: PartsFolder, manifest: Manifest, settings: dict[str, str]) -> None:
    """Raises MediaError if parts were painted with other settings; it names the first."""
    before = manifest.settings
    if _WHOLE_SOURCE in settings and _WHOLE_SOURCE not in before:
        raise MediaError(
            f"{folder.path} was begun without looking at the whole film, so it cannot be said "
            "whether that has changed",
            setting="verifies",
        )
    if differs := difference(before, settings):
        name, old, new = differs
        is_source = name in ("source", _WHOLE_SOURCE)
        what = "the film has changed" if is_source else f"{name} was {old}, and is {new} now"
        raise MediaError(f"{folder.path} has segments that do not fit: {what}", setting="restart")


def difference(first: dict[str, str], second: dict[str, str]) -> tuple[str, str, str] | None:
    """The first of two jobs' settings that differs, by name, with both values; None if none does.

    The hash of the whole source is compared only where both have looked.
    """
    for name in sorted(first.keys() | second.keys()):
        old, new = first.get(name, "none"), second.get(name, "none")
        if old != new and not (name == _WHOLE_SOURCE and "none" in (old, new)):
            return name, old, new
    return None


def settings_of(
    request: FilmRequest, painter: PainterChain, encoder: str, *, verifies: bool = False
) -> dict[str, str]:
    """All that the pictures and bytes of a film depend on, by name, in words and digests.

    Args:
        verifies: whether the whole source is read for that.

    Raises:
        OSError: the source cannot be read.
    """
    plan, engine = request.plan, painter.engine
    settings = {
        "source": _fingerprint(Path(request.source)),
        "style": f"{painter.style.name} ({painter.style.digest[:16]})",
        "tier": str(plan.look.tier),
        "strokes": f"{plan.look.strokes:g}",
        "keep colors": str(plan.look.keep_colors),
        "stability": f"{plan.stability:g}",
        "variation": str(plan.look.variation),
        "strength": f"{plan.look.strength:g}",
        "grain": str(plan.grain),
        "painted part": f"{plan.mask.only}, {plan.mask.background}" if plan.mask else "all",
        "engine": f"{engine.name} {_version(_ENGINE_PACKAGES.get(engine.name, engine.name))}",
        "precision": _precision(engine.precision),
        "encoder": f"{encoder} {_libraries()}",
        "ending": Path(request.out).suffix.lower(),
        "realtime-style": __version__,
    }
    if verifies:
        with Path(request.source).open("rb") as file:
            settings[_WHOLE_SOURCE] = hashlib.file_digest(file, "sha256").hexdigest()
    for name in ("size", "output_size", "start_s", "duration_s", "hwaccel"):
        settings[name.removesuffix("_s").replace("_", " ")] = str(getattr(request, name))
    for name in ("codec", "crf", "preset", "bit_depth"):
        settings[name.replace("_", " ")] = str(getattr(request.encoding, name))
    return settings


def _fingerprint(path: Path) -> str:
    """The size, the time and a hash of the head and the tail of a file. Raises OSError."""
    stat = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_EDGE_BYTES))
        file.seek(max(0, stat.st_size - _EDGE_BYTES))
        digest.update(file.read(_EDGE_BYTES))
    return f"{stat.st_size} {stat.st_mtime_ns} {digest.hexdigest()}"


def _precision(name: str) -> str:
    """A precision, with the class of CPU where its results depend on that."""
    if name in ("int8", "f32"):  # identical with VNNI and AMX
        return f"{name} on {platform.machine()}"
    flags = cpu_name_and_flags()[1]
    kind = "unknown" if flags is None else " ".join(f for f in flags if "bf16" in f) or "without"
    return f"{name} on {platform.machine()}, bf16: {kind}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _libraries() -> str:
    """The version of FFmpeg's encoders, which PyAV comes with."""
    numbers: Any = av.library_versions.get("libavcodec", ())
    return f"{'.'.join(map(str, numbers))}, av {av.__version__}"
