"""Compares two results of the same benchmark and lists what has become worse.

    git show HEAD~1:benchmarks/results/amx/frame_rate.json > old.json
    python benchmarks/compare.py old.json benchmarks/results/amx/frame_rate.json

Figures with the same name in the same row are compared; the name tells whether more is better. A
figure that has become worse by more than the spread of its runs, or than --noise where no runs are
stored beside it, is a regression. A regression or a missing figure makes the exit status 1. Figures
of different machines, versions or precisions are compared too, and the difference is printed: times
then mean little.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record import run

MORE_IS_BETTER = ("fps", "times_the_published_network", "share", "db", "edges", "kept")
LESS_IS_BETTER = (
    "ms", "s", "mb", "total", "frechet", "grid", "weave", "short", "long", "noise_gain",
    "dropped", "unread", "cores", "style", "content",
)  # fmt: skip
_NOT_COMPARED = (
    "quartiles_ms",
    "start_ms",  # where a line through times meets zero: only noise
    "of_film_short",
    "of_film_long",
    "photo_grid",
    "photo_weave",
    "seconds",
    "about",
)
_NAMES = (
    "name", "engine", "tier", "size", "painting", "camera", "rate", "precision", "fixed", "busy",
    "window", "change",
)  # fmt: skip
_SPREADS = 2.0  # a change of more than this many spreads of the runs is not chance


@dataclass(frozen=True, slots=True)
class Change:
    """One figure, before and now; `part` is how much worse it is, as a part of the old value."""

    figure: str
    before: float
    now: float
    part: float
    noise: float

    @property
    def is_regression(self) -> bool:
        """Whether it has become worse by more than chance."""
        return self.part > self.noise


def changes(before: Any, now: Any, noise: float) -> Iterator[Change]:
    """All figures of both results whose names tell whether more is better."""
    old, new = dict(_figures(before)), dict(_figures(now))
    runs = {**dict(_spreads(before)), **dict(_spreads(now))}
    for figure, value in new.items():
        name = next(part for part in reversed(figure.split("/")) if not part.isdecimal())
        side = _better_side(name)
        if figure not in old or side is None or not math.isfinite(value + old[figure]):
            continue
        worse = (value - old[figure]) * -side
        part = worse / abs(old[figure]) if old[figure] else math.copysign(math.inf, worse)
        if not worse:
            part = 0.0
        yield Change(figure, old[figure], value, part, max(noise, _SPREADS * runs.get(figure, 0.0)))


def _better_side(name: str) -> int | None:
    """1 where more is better, -1 where less is; None where neither."""
    if name in _NOT_COMPARED or name.startswith("photo"):
        return None
    for words, side in ((MORE_IS_BETTER, 1), (LESS_IS_BETTER, -1)):
        if any(name == word or name.endswith(f"_{word}") for word in words):
            return side
    return None


def _figures(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by their paths; rows of a list by their names, not by their positions."""
    if isinstance(found, dict):
        for key, value in found.items():
            if key not in ("machine", "about", "ceilings", "over_time", "by_clip"):
                yield from _figures(value, f"{path}/{key}" if path else key)
    elif isinstance(found, list) and found and isinstance(found[0], dict):
        for row in found:
            yield from _figures(row, f"{path}/{_row_name(row)}")
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from _figures(value, f"{path}/{number}")
    elif isinstance(found, (int, float)) and not isinstance(found, bool):
        yield path, float(found)


def _spreads(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Relative spread of each figure's runs: for `fps`, that of `fps_of_runs`."""
    if isinstance(found, dict):
        for key, value in found.items():
            here = f"{path}/{key}" if path else key
            if key.endswith("_of_runs") and value:
                middle = sorted(value)[len(value) // 2]
                yield here.removesuffix("_of_runs"), (max(value) - min(value)) / abs(middle)
            else:
                yield from _spreads(value, here)
    elif isinstance(found, list) and found and isinstance(found[0], dict):
        for row in found:
            yield from _spreads(row, f"{path}/{_row_name(row)}")


def _row_name(row: dict[str, Any]) -> str:
    return ", ".join(str(row[key]) for key in _NAMES if row.get(key) not in (None, "", False))


def _read(file: Path) -> Any:
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        raise SystemExit(f"error: there is no file {file}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("machine"), dict):
        raise SystemExit(f"error: {file} is not a benchmark result; give one of the .json files")
    return found


def _circumstances(found: Any) -> dict[str, str]:
    """The conditions of the figures: machine and settings, as text."""
    about = dict(found["machine"])
    for key, value in found.items():
        if key in ("precision", "stability", "network", "side_px", "photos", "clips"):
            about[key] = json.dumps(value)
    about.pop("date", None)
    return {key: str(value) for key, value in about.items()}


def _noise(text: str) -> float:
    try:
        noise = float(text)
    except ValueError:
        noise = -1.0
    if not 0 <= noise < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1")
    return noise


def main() -> None:
    """Prints all changes, the worst first; exit status 1 if one is worse or missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="the old result (.json)")
    parser.add_argument(
        "new", type=Path, metavar="NEW", help="the new result of the same benchmark"
    )
    parser.add_argument(
        "--noise", type=_noise, default=0.05, help="relative change to ignore; default: 0.05"
    )
    arguments = parser.parse_args()
    before, now = map(_read, (arguments.old, arguments.new))
    then, today = _circumstances(before), _circumstances(now)
    for key in sorted(then.keys() | today.keys()):
        if then.get(key) != today.get(key):
            print(f"differs          {key}: {then.get(key, 'none')} and {today.get(key, 'none')}")
    found = sorted(changes(before, now, arguments.noise), key=lambda change: -change.part)
    if not found:
        raise SystemExit("error: the two have no figure in common")
    for change in found:
        if abs(change.part) <= change.noise:
            continue
        word = "WORSE " if change.is_regression else "better"
        percent = f"{abs(change.part):.1%}"
        print(f"{word} {percent:>8}  {change.figure}: {change.before:g} to {change.now:g}")
    gone = sorted(set(dict(_figures(before))) - set(dict(_figures(now))))
    for figure in gone:
        print(f"gone             {figure}")
    worse = sum(change.is_regression for change in found)
    print(f"{len(found)} figures, {worse} worse, {len(gone)} gone")
    if worse or gone:
        raise SystemExit(1)


if __name__ == "__main__":
    run(main)
