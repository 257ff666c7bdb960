"""Many inputs, one output each: which file becomes which."""

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
    """One input (a path, an address, or "-") and the file that will hold its painting.

    `makes_folder`: whether the folder of `out` is to be made, if it is not there.
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

    Several inputs, or a folder, need OUT to be a folder (made if it is not there; its files are
    named as the inputs, sub-folders are kept) or a pattern with {name}, as "painted/{name}.mp4".

    Args:
        suffixes: which files of a folder are inputs, in lower case.
        recursive: whether to look into sub-folders too.
        new_suffix: of files written into a folder, where the input's own cannot be kept.

    Raises:
        MediaError: nothing to do, an input or OUT that does not fit, two inputs for one output.
    """
    found: list[tuple[str, Path]] = []  # an input, and its place below OUT
    for source in sources:
        folder = Path(source)
        if not folder.is_dir():
            found.append((source, Path(Path(source).name)))
            continue
        files = sorted(folder.rglob("*") if recursive else folder.iterdir())
        files = [path for path in files if path.suffix.lower() in suffixes and path.is_file()]
        if not files:
            raise MediaError(
                f"{source} has nothing to paint; expected files of {', '.join(sorted(suffixes))}"
                + ("" if ".png" in suffixes else ", or a pattern for pictures, as frame_%04d.png")
            )
        found += [(str(path), path.relative_to(folder)) for path in files]
    if out == "-" and (len(sources) > 1 or Path(sources[0]).is_dir()):
        raise MediaError(f"{len(found)} inputs do not fit into standard output; give a folder")
    single = len(sources) == 1 and not Path(sources[0]).is_dir()
    is_folder = Path(out).is_dir() or out.endswith(("/", "\\"))
    is_pattern = "{name}" in out
    if "{" in out and not is_pattern:
        raise MediaError(f"{out} is no pattern; the input's name goes where {{name}} is")
    if single and not is_folder and not is_pattern:
        return [Pair(sources[0], Path(out), makes_folder=False)]
    is_file = Path(out).exists() or Path(out).suffix.lower() in suffixes
    if is_file and not is_folder and not is_pattern:
        raise MediaError(
            f"{len(found)} inputs do not fit into one file {out}; give a folder, as painted/, or "
            "a pattern, as painted/{name}.mp4"
        )
    pairs = [
        Pair(
            source,
            Path(out.replace("{name}", place.stem))
            if is_pattern
            else Path(out) / _renamed(place, suffixes, new_suffix),
        )
        for source, place in found
    ]
    taken: dict[Path, str] = {}
    for pair in pairs:
        if pair.out in taken:
            raise MediaError(
                f"{taken[pair.out]} and {pair.source} would both become {pair.out}; "
                "give a folder, as painted/, which keeps sub-folders, or paint them one at a time"
            )
        taken[pair.out] = pair.source
    return pairs


def _renamed(place: Path, suffixes: frozenset[str], new_suffix: str | None) -> Path:
    if new_suffix and place.suffix.lower() not in suffixes:
        stem = place.stem
        if is_numbered(place):  # pictures that become one film
            stem = re.sub(r"[-_. ]*%0?\d*d", "", stem) or "film"
        return place.with_name(stem + new_suffix)
    return place
