"""Many inputs, one output each: which input becomes which file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.system.paths import is_numbered

FILM_SUFFIXES = frozenset(
    (
        ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
        ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".webp", ".wmv",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """One input (a path, an address, or "-") and the file for its painting.

    `makes_folder` tells whether the folder of `out` is made if it is missing.
    """

    source: str
    out: Path
    makes_folder: bool = True


def pair_up(
    sources: Sequence[str],
    out: str,
    suffixes: frozenset[str],
    *,
    recursive: bool = False,
    new_suffix: str | None = None,
) -> list[Pair]:
    """Names an output for every input.

    Several inputs, or a folder, need `out` to be a folder (made if it is missing; files keep their
    names and sub-folders) or a pattern with {name}, such as "painted/{name}.mp4".

    Args:
        suffixes: endings of the files of a folder that are inputs, in lower case.
        recursive: whether to include sub-folders.
        new_suffix: ending of files written into a folder, where the input's own cannot be kept.

    Raises:
        MediaError: there is nothing to do, `out` does not fit, or two inputs have one output.
    """
    found = _inputs(sources, suffixes, recursive)
    is_folder = Path(out).is_dir() or out.endswith(("/", "\\"))
    is_pattern = not is_folder and _filled(out, "") != Path(out)
    is_single = len(sources) == 1 and not Path(sources[0]).is_dir()
    if not is_single and out == "-":
        raise MediaError(
            f"{len(found)} inputs do not fit into standard output; give a folder", setting="out"
        )
    if is_single and not is_folder and not is_pattern:
        return [Pair(sources[0], Path(out), makes_folder=False)]
    is_file = Path(out).exists() or Path(out).suffix.lower() in suffixes
    if is_file and not is_folder and not is_pattern:
        raise MediaError(
            f"{len(found)} inputs do not fit into one file {out}; give a folder such as painted/, "
            "or a pattern such as painted/{name}.mp4",
            setting="out",
        )
    pairs = [
        Pair(
            source,
            _filled(out, path.stem)
            if is_pattern
            else Path(out) / _renamed(path, suffixes, new_suffix),
        )
        for source, path in found
    ]
    _refuse_shared_outputs(pairs)
    return pairs


def _filled(out: str, name: str) -> Path:
    """A pattern with the name of an input; folders that exist may have {name} in their own."""
    parts = Path(out).parts
    there = next(n for n in range(len(parts), -1, -1) if n == 0 or Path(*parts[:n]).is_dir())
    return Path(*parts[:there], *(part.replace("{name}", name) for part in parts[there:]))


def _inputs(
    sources: Sequence[str], suffixes: frozenset[str], recursive: bool
) -> list[tuple[str, Path]]:
    """Every input and its path below `out`; folders give their files."""
    found: list[tuple[str, Path]] = []
    for source in sources:
        folder = Path(source)
        if not folder.is_dir():
            found.append((source, Path(folder.name)))
            continue
        files = sorted(folder.rglob("*") if recursive else folder.iterdir())
        files = [path for path in files if path.suffix.lower() in suffixes and path.is_file()]
        if not files:
            pattern = "" if ".png" in suffixes else ", or a pattern such as frame_%04d.png"
            raise MediaError(
                f"{source} has nothing to paint; expected {', '.join(sorted(suffixes))} files"
                f"{pattern}",
                setting="source",
            )
        found += [(str(path), path.relative_to(folder)) for path in files]
    return found


def _refuse_shared_outputs(pairs: list[Pair]) -> None:
    source_of: dict[Path, str] = {}
    for pair in pairs:
        if pair.out in source_of:
            raise MediaError(
                f"{source_of[pair.out]} and {pair.source} would both become {pair.out}; give a "
                "folder such as painted/, which keeps sub-folders, or paint them one at a time",
                setting="out",
            )
        source_of[pair.out] = pair.source


def _renamed(path: Path, suffixes: frozenset[str], new_suffix: str | None) -> Path:
    if new_suffix and path.suffix.lower() not in suffixes:
        stem = path.stem
        if is_numbered(path):  # pictures that become one film
            stem = re.sub(r"[-_. ]*%0?\d*d", "", stem) or "film"
        return path.with_name(stem + new_suffix)
    return path
