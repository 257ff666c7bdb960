"""Puts the tables of the README together from benchmarks/results.

    python benchmarks/readme.py [--check]

A table stands between `<!-- figures: NAME -->` and `<!-- end -->`; what stands there is replaced.
`--check` changes nothing, and ends with status 1 where a table says other than the results.
"""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from record import rows_of, run

from realtime_style.style.bundled import bundled_styles, open_style

README = Path(__file__).resolve().parents[1] / "README.md"
ALONE, PUBLISHED = "starry-night, alone", "published "
_CALM = ("short", "long", "sharpness")
PICTURES = {  # that no bundled style and no encoder has learned: the style trained for it, a title
    "vangogh_wheat_field_cypresses": ("wheat", "Vincent van Gogh, *Wheat Field with Cypresses*"),
    "gauguin_tahiti": ("gauguin", "Paul Gauguin, *Tahiti*"),
    "leger_contrast_of_forms": ("leger", "Fernand Léger, *Contrast of Forms*"),
}


def quality() -> str:
    """Totals of the networks, published and ours."""
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


def pictures() -> str:
    """Totals of pictures, painted like at once, and by styles that were trained for them."""
    rows = {row["name"]: row for row in rows_of("quality")}
    lines = ["| picture | at once | trained | only its colours |", "|---|---|---|---|"]
    for picture, (trained, title) in PICTURES.items():
        totals = [f"{rows[n]['total']:.2f}" for n in (picture, trained, f"colors:{picture}")]
        lines.append(f"| {title} | {' | '.join(totals)} |")
    return "\n".join(lines)


def calm() -> str:
    """Warping errors and noise."""
    rows = {row["name"]: row for row in rows_of("stability")}
    ours = {name: rows[f"{name}, stability 0.5"] for name in bundled_styles()}
    fast = [rows[f"{name}, fast, stability 0.5"] for name in bundled_styles()]

    def middle(of: list[dict[str, Any]]) -> dict[str, Any]:
        found = {key: statistics.median(row[key] for row in of) for key in _CALM}
        return found | {"noise_gain": [0, statistics.median(row["noise_gain"][1] for row in of)]}

    calmest, liveliest = (
        pick(ours, key=lambda name: float(ours[name]["short"])) for pick in (min, max)
    )
    film = ours["starry-night"]
    titles = {name: open_style(name).card["title"] for name in ours}
    shown = {
        "published network, candy": rows["published candy"],
        "published network, Udnie": rows["published udnie"],
        "ours, median of all styles": middle(list(ours.values())),
        "the same in the fast tier": middle(fast),
        f"ours, the calmest: {titles[calmest]}": ours[calmest],
        f"ours, the liveliest: {titles[liveliest]}": ours[liveliest],
        "The Starry Night": film,
        "the same, every frame painted alone (`--stability 0`)": rows[ALONE],
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
    """Frames a second of whole jobs."""
    lines = ["| | frames a second | times the published network |", "|---|---|---|"]
    for row in rows_of("frame_rate"):
        is_ours = "engine" in row
        name = f"{row['name']}, {row['precision']}" if is_ours else f"published, {row['name']}"
        name = re.sub(r"(, \w+)\1$", r"\1", name)  # the precision is said once
        times = row["times_the_published_network"]
        lines.append(f"| {name} | {row['fps']:.1f} | {times:.1f} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "pictures": pictures, "quality": quality, "calm": calm, "speed": speed,
}  # fmt: skip


def filled(text: str) -> str:
    """The README with all tables anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- figures: {name} -->\n", "\n<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(text)
        if not found:
            raise SystemExit(f"error: the README has no place for '{name}'")
        text = text[: found.start()] + begin + table() + end + text[found.end() :]
    return text


def difference(text: str, new: str) -> str:
    """In words, where a README first says other than the results."""
    lines = zip_longest(text.split("\n"), new.split("\n"), fillvalue="")
    said, wanted = next((said, wanted) for said, wanted in lines if said != wanted)
    return f"the README says '{said}' where the results say '{wanted}'"


def _title(name: str) -> str:
    card = open_style(name).card
    return f"{card['painter']}, *{card['title']}*"


def main() -> None:
    """Writes the README anew, or compares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    text = README.read_text()
    new = filled(text)
    if not parser.parse_args().check:
        README.write_text(new)
    elif new != text:
        raise SystemExit(f"error: {difference(text, new)}; run python benchmarks/readme.py")


if __name__ == "__main__":
    run(main)
