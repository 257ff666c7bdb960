"""Fills the tables of the README and of the documentation from benchmarks/results.

    python benchmarks/readme.py [--check]

A table stands between `<!-- figures: NAME -->` and `<!-- end -->` in one of PAGES; everything
between the two is replaced. With `--check` nothing is written, and the exit status is 1 if a table
differs from the results.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from record import RESULTS, rows_of, run

from realtime_style.style.bundled import bundled_styles, open_style

ROOT = Path(__file__).resolve().parents[1]
ALONE, PUBLISHED = "starry-night, alone", "published "
_MEDIANS = ("short", "long", "sharpness")
CPUS = {"amx": "with AMX", "vnni": "with VNNI alone"}
"""The folders of results of kinds of CPUs, and what tables call them."""
_README_ROWS = ("standard, 720p", "fast, 720p", "fast, 1080p", "ONNX Runtime")
# Pictures that neither a bundled style nor the encoder has learned: the style trained for each
# (a row of quality.json) and its title.
PICTURES = {
    "vangogh_wheat_field_cypresses": ("wheat", "Vincent van Gogh, *Wheat Field with Cypresses*"),
    "gauguin_tahiti": ("gauguin", "Paul Gauguin, *Tahiti*"),
    "leger_contrast_of_forms": ("leger", "Fernand Léger, *Contrast of Forms*"),
}


def quality() -> str:
    """Totals of the published networks and of ours, the best of ours first."""
    rows = {row["name"]: row for row in rows_of("quality")}
    lines = ["| painting | published | trained for marks | ours | fast tier |"]
    lines.append("|---|---|---|---|---|")

    def row(title: str, *networks: str) -> str:
        totals = [f"{rows[name]['total']:.3f}" if name in rows else "" for name in networks]
        return f"| {title} | {' | '.join(totals)} |"

    lines.append(row("candy", "published candy", "our-candy", "", ""))
    for name in sorted(bundled_styles(), key=lambda name: float(rows[name]["total"])):
        marked = f"our-{name}"
        lines.append(row(_title(name), f"{PUBLISHED}{name}", marked, name, f"{name}, fast"))
    return "\n".join(lines)


def calm() -> str:
    """Warping error, noise gain and sharpness of the films, the published networks and ours."""
    rows = {row["name"]: row for row in rows_of("stability")}
    ours = {name: rows[f"{name}, stability 0.5"] for name in bundled_styles()}
    fast = [rows[f"{name}, fast, stability 0.5"] for name in bundled_styles()]

    def medians(rows: list[dict[str, Any]]) -> dict[str, Any]:
        found = {key: statistics.median(row[key] for row in rows) for key in _MEDIANS}
        return found | {"noise_gain": [0, statistics.median(row["noise_gain"][1] for row in rows)]}

    calmest, liveliest = (
        pick(ours, key=lambda name: float(ours[name]["short"])) for pick in (min, max)
    )
    film = ours["starry-night"]
    titles = {name: open_style(name).card["title"] for name in ours}
    shown = {
        "published network, candy": rows["published candy"],
        "published network, Udnie": rows["published udnie"],
        "ours, median of all styles": medians(list(ours.values())),
        "the same in the fast tier": medians(fast),
        f"ours, the calmest: {titles[calmest]}": ours[calmest],
        f"ours, the liveliest: {titles[liveliest]}": ours[liveliest],
        "The Starry Night": film,
        "the same with `--stability 0`": rows[ALONE],
    }
    lines = ["| | 1 frame | 10 frames | noise gain | sharpness |", "|---|---|---|---|---|"]
    lines.append(
        f"| the films themselves | {film['of_film_short']:.3f} | {film['of_film_long']:.3f} | 1 | |"
    )
    for name, row in shown.items():
        lines.append(
            f"| {name} | {row['short']:.3f} | {row['long']:.3f} | {row['noise_gain'][1]:.1f} | "
            f"{row['sharpness']:.1f} |"
        )
    return "\n".join(lines)


def speed() -> str:
    """Frames per second of whole jobs, ours and the published network's."""
    return _speed_table(lambda name: True)


def speed_in_short() -> str:
    """The rows of `speed` that the README shows."""
    return _speed_table(lambda name: name in _README_ROWS)


def _speed_table(is_shown: Callable[[str], bool]) -> str:
    """Frames per second on each kind of CPU, and in brackets the published network's multiple."""
    kinds = {kind: rows_of("frame_rate", RESULTS / folder) for folder, kind in CPUS.items()}
    cells: dict[str, dict[str, str]] = {}
    for kind, rows in kinds.items():
        for row in rows:
            if is_shown(row["name"]):
                times = row["times_the_published_network"]
                cells.setdefault(_job(row), {})[kind] = f"{row['fps']:.1f} ({times:.1f})"
    lines = [f"| | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    lines += [
        f"| {job} | {' | '.join(found.get(kind, '') for kind in kinds)} |"
        for job, found in cells.items()
    ]
    return "\n".join(lines)


def _job(row: dict[str, Any]) -> str:
    if "engine" not in row:
        return f"published, {row['name']}"
    name = f"{row['name']}, {row['precision']}"
    return re.sub(r"(, \w+)\1$", r"\1", name)  # some names end with the precision already


def latency() -> str:
    """Delay of a live picture, without changes of the look; the longest runs only."""
    rows = [row for row in rows_of("latency") if not row["change"]]
    longest = max(row["seconds"] for row in rows)
    lines = ["| camera | painted at | half within | 99 % within |", "|---|---|---|---|"]
    for row in (row for row in rows if row["seconds"] == longest):
        notes = [f"{row['camera']}, {row['rate']:g} fps", row["engine"].split()[-1]]
        notes += ["another program on one core"] if row["busy"] else []
        notes += ["`--size 720p`"] if row["fixed"] else []
        lines.append(
            f"| {', '.join(notes)} | {row['painted']} | {row['p50_ms']:.0f} ms | "
            f"{row['p99_ms']:.0f} ms |"
        )
    return "\n".join(lines)


def file_size() -> str:
    """Bitrate, similarity and cost of the default of each codec, and of other qualities."""
    rows = {row["name"]: row for row in rows_of("file_size")}
    shown = {
        "h264 20": "`--crf 20`: hard to tell from the painting",
        "h264 27": "the default (`h264`, 27)",
        "h264 27 veryfast": "`--preset veryfast`",
        "h264 30": "`--crf 30`: fine strokes become blurred",
        "h265 28 veryfast": "`--codec h265`",
        "av1 44 10": "`--codec av1`",
        "vp9 45": "`--codec vp9`, as in `.webm`",
    }
    lines = ["| | Mbit/s | SSIM to the painting | CPU time of the encoder |", "|---|---|---|---|"]
    default = rows["h264 27"]["cpu_ratio"]
    lines += [
        f"| {title} | {rows[name]['mbit_s']:.1f} | {rows[name]['ssim']:.2f} | "
        f"{rows[name]['cpu_ratio'] / default:.1f} |"
        for name, title in shown.items()
    ]
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "calm": calm, "file size": file_size, "latency": latency,
    "quality": quality, "speed": speed, "speed in short": speed_in_short,
}  # fmt: skip
PAGES = {
    "README.md": "speed in short",
    "docs/guides/films.md": "file size",
    "docs/guides/live.md": "latency",
    "docs/quality.md": "quality",
    "docs/speed.md": "speed",
    "docs/stability.md": "calm",
}
"""The pages with a table, and which one it is."""


def filled(text: str, page: str) -> str:
    """Returns a page's text with its table made from the results.

    Raises SystemExit if the page has no place for its table.
    """
    name = PAGES[page]
    begin, end = f"<!-- figures: {name} -->\n", "<!-- end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    found = pattern.search(text)
    if not found:
        raise SystemExit(f"error: {page} has no place for the table '{name}'")
    return text[: found.start()] + f"{begin}{TABLES[name]()}\n{end}" + text[found.end() :]


def difference(page: str, text: str, new: str) -> str:
    """Describes the first line of a page that differs from the results."""
    lines = zip_longest(text.split("\n"), new.split("\n"), fillvalue="")
    shown, wanted = next((shown, wanted) for shown, wanted in lines if shown != wanted)
    return f"{page} says '{shown}' where the results say '{wanted}'"


def _title(name: str) -> str:
    card = open_style(name).card
    return f"{card['painter']}, *{card['title']}*"


def main() -> None:
    """Writes the tables, or compares them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    is_check = parser.parse_args().check
    for page in PAGES:
        text = (ROOT / page).read_text()
        new = filled(text, page)
        if not is_check:
            (ROOT / page).write_text(new)
        elif new != text:
            raise SystemExit(
                f"error: {difference(page, text, new)}; run python benchmarks/readme.py"
            )


if __name__ == "__main__":
    run(main)
