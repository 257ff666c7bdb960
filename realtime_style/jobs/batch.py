"""Many inputs, one output each: which input becomes which file."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.media.animation import is_animation
from realtime_style.system.paths import (
    is_address,
    is_numbered,
    numbered,
    unusable_in,
    visible_files,
)
from realtime_style.wording import counted

FILM_SUFFIXES = frozenset(
    (
        ".3g2", ".3gp", ".apng", ".asf", ".avi", ".avif", ".f4v", ".flv", ".gif", ".m2t", ".m2ts",
        ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogv", ".ts",
        ".vob", ".webm", ".webp", ".wmv",
    )
)  # fmt: skip
"""Endings of films that are read and written, in lower case."""

READ_ONLY_FILM_SUFFIXES = frozenset(
    (
        ".264", ".265", ".amv", ".divx", ".dv", ".h264", ".h265", ".hevc", ".m1v", ".m2v", ".mj2",
        ".mjpeg", ".mjpg", ".mod", ".mpe", ".ogm", ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp",
        ".wtv", ".y4m",
    )
)  # fmt: skip
"""Endings of films that are only read: their paintings get another ending."""

FILM_IF_MOVING_SUFFIXES = frozenset((".avif", ".png"))
"""Endings of pictures that are films if they move."""

_NAMED = 5  # how many files a sentence names


@dataclass(frozen=True, slots=True)
class Pair:
    """One input (a path, an address, or "-") and the file for its painting.

    Attributes:
        makes_folder: whether the folder of `out` is made if it is missing.
        takes_patterns: whether `out` may be a pattern for numbered pictures.
    """

    source: str
    out: Path
    makes_folder: bool = True
    takes_patterns: bool = True

    @property
    def is_there(self) -> bool:
        """Whether the file for its painting exists already."""
        if self.takes_patterns and is_numbered(self.out):
            return bool(numbered(self.out))
        return self.out.exists()


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a command line paints.

    Attributes:
        pairs: the inputs and their outputs.
        skipped: what is in the given folders and left alone, except for hidden files; each with
            the reason, which is empty where the ending is not that of an input.
    """

    pairs: tuple[Pair, ...]
    skipped: Mapping[Path, str] = field(default_factory=dict)


def pair_up(
    sources: Sequence[str],
    out: str,
    suffixes: frozenset[str],
    *,
    read_only: frozenset[str] = frozenset(),
    if_moving: frozenset[str] = frozenset(),
    recursive: bool = False,
    new_suffix: str = "",
    takes_patterns: bool = True,
) -> Pairing:
    """Names an output for every input.

    Several inputs, or a folder, need `out` to be a folder (made if it is missing; files keep their
    names and sub-folders) or a pattern with {name}, such as "painted/{name}.mp4". Sources with
    wildcards (*.mp4) give the files that they match. Hidden files in folders, and those in `out`
    itself, are no inputs.

    Args:
        suffixes: endings of files that are inputs and whose paintings keep them, in lower case.
        read_only: endings of further inputs.
        if_moving: endings of pictures that are inputs, in a folder, only if they move.
        recursive: whether to include sub-folders.
        new_suffix: ending of files written into a folder, where the input's own cannot be kept.
        takes_patterns: whether names such as frame_%04d.png mean numbered pictures.

    Raises:
        MediaError: there is nothing to do, `out` does not fit, or two inputs have one output.
    """
    is_folder = Path(out).is_dir() or out.endswith(("/", "\\"))
    is_pattern = not is_folder and _filled(out, "") != Path(out)
    sources = [match for source in sources for match in _matches(source)]
    is_single = len(sources) == 1 and not Path(sources[0]).is_dir()
    if is_single and not is_folder and not is_pattern:
        return Pairing((Pair(sources[0], Path(out), False, takes_patterns),))
    found, skipped = _inputs(sources, suffixes | read_only, if_moving, recursive, Path(out))
    if not is_single and out == "-":
        raise MediaError(
            f"{_together(sources, found)} cannot go to standard output; give a folder",
            setting="out",
        )
    is_file = Path(out).exists() or Path(out).suffix.lower() in suffixes
    if is_file and not is_folder and not is_pattern:
        raise MediaError(
            f"{_together(sources, found)} cannot go into one file {out}; give a folder such as "
            "painted/, or a pattern such as painted/{name}.mp4",
            setting="out",
        )
    if is_pattern:
        suffix = Path(out).suffix if takes_patterns else ""
        outs = [_filled(out, _plain(path.stem, suffix)) for _, path in found]
    else:
        taken = {path for _, path in found if path.suffix.lower() in suffixes}
        if takes_patterns:
            found = [(source, _named(source, path, suffixes, new_suffix)) for source, path in found]
        outs = [Path(out) / _renamed(path, suffixes, new_suffix, taken) for _, path in found]
    pairs = [
        Pair(source, to, takes_patterns=takes_patterns)
        for (source, _), to in zip(found, outs, strict=True)
    ]
    _refuse_shared_outputs(pairs)
    return Pairing(tuple(pairs), skipped)


def _together(sources: Sequence[str], found: Sequence[tuple[str, Path]]) -> str:
    """What several inputs, or a folder with only one, are called."""
    return counted(len(found), "input") if len(found) > 1 else f"the folder {sources[0]}"


def names_of(skipped: Mapping[Path, str]) -> str:
    """The names of a few files in words, with the reasons, and the number of the others."""
    told = [f"{path.name} ({why})" if why else path.name for path, why in skipped.items()]
    names, others = ", ".join(told[:_NAMED]), len(told) - _NAMED
    return f"{names} and {others} more" if others > 0 else names


def _filled(out: str, name: str) -> Path:
    """A pattern with the name of an input; folders that exist may have {name} in their own."""
    parts = Path(out).parts
    there = next(n for n in range(len(parts), -1, -1) if n == 0 or Path(*parts[:n]).is_dir())
    return Path(*parts[:there], *(part.replace("{name}", name) for part in parts[there:]))


def _matches(source: str) -> list[str]:
    """The files that a source with wildcards matches, as shells expand it; else the source."""
    if is_address(source) or not glob.has_magic(source) or Path(source).exists():
        return [source]
    return sorted(glob.glob(source, recursive=True)) or [source]


def _inputs(
    sources: Sequence[str],
    suffixes: frozenset[str],
    if_moving: frozenset[str],
    recursive: bool,
    out: Path,
) -> tuple[list[tuple[str, Path]], dict[Path, str]]:
    """Every input and its path below `out`; then what is left alone, and why."""
    found: list[tuple[str, Path]] = []
    skipped: dict[Path, str] = {}
    for source in sources:
        folder = Path(source)
        if not folder.is_dir():
            found.append((source, Path(folder.name)))
            continue
        files = _files_in(folder, recursive, out)
        reasons = {path: _why_no_input(path, suffixes, if_moving) for path in files}
        fitting = [path for path, why in reasons.items() if why is None]
        others = unusable_in(folder, recursive=recursive)
        others |= {path: why for path, why in reasons.items() if why is not None}
        if not fitting:
            examples = ".jpg or .png" if ".png" in suffixes else ".mp4 or .mkv"
            pattern = "" if ".png" in suffixes else ", or a pattern such as frame_%04d.png"
            there = f": it has {names_of(others)}" if others else ""
            raise MediaError(
                f"{source} has nothing to paint{there}; expected files such as {examples}{pattern}",
                setting="source",
            )
        found += [(str(path), path.relative_to(folder)) for path in fitting]
        skipped |= others
    return found, skipped


def _why_no_input(path: Path, suffixes: frozenset[str], if_moving: frozenset[str]) -> str | None:
    """Why a file in a folder is left alone, "" because of its ending; None if it is an input."""
    suffix = path.suffix.lower()
    if suffix not in if_moving:
        return None if suffix in suffixes else ""
    try:
        return None if is_animation(path) else "a still picture"
    except OSError:
        return "cannot be read"


def _files_in(folder: Path, recursive: bool, out: Path) -> list[Path]:
    """The files of a folder, without hidden ones and those of `out`, if that is inside it."""
    painted = out.resolve()
    is_inside = painted != folder.resolve() and out.is_dir()
    return [
        path
        for path in visible_files(folder, recursive=recursive)
        if not (is_inside and path.resolve().is_relative_to(painted))
    ]


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


def _named(source: str, path: Path, suffixes: frozenset[str], new_suffix: str) -> Path:
    """A name below `out` for a painting, in which nothing is the number of a pattern."""
    suffix = path.suffix if path.suffix.lower() in suffixes else new_suffix
    if is_numbered(path) and not Path(source).exists():
        stem = re.sub(r"[-_. ]*%\d*d", "", path.stem) or "film"
    else:
        stem = _plain(path.stem, suffix)
    return path.with_name(stem + path.suffix)


def _plain(stem: str, suffix: str) -> str:
    """The name of a file, without what would make a pattern for numbered pictures of it."""
    return stem.replace("%", "_") if is_numbered(f"{stem}{suffix}") else stem


def _renamed(path: Path, suffixes: frozenset[str], new_suffix: str, taken: set[Path]) -> Path:
    """The name of a painting; with its input's whole name in it if another has the short one."""
    if not new_suffix or path.suffix.lower() in suffixes:
        return path
    short = path.with_suffix(new_suffix)
    if short not in taken:
        taken.add(short)
        return short
    return path.with_name(path.name + new_suffix)
