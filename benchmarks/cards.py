"""Puts the figures of benchmarks/results into the cards of the bundled styles and re-exports them.

    python benchmarks/cards.py PHOTOS [STYLE ...]

The facts in a card (painting, painter, year, training data, training command) are written by hand;
the figures of quality.py and stability.py come from their results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from record import rows_of, run

from export.to_onnx import export_trained
from realtime_style import bundled_styles
from realtime_style.defaults import DEFAULT_STABILITY

STYLES = Path(__file__).resolve().parents[1] / "realtime_style" / "styles"


def figures_of(style: str) -> dict[str, Any]:
    """A style's figures in the results, at the default stability; missing ones are left out.

    Quality is a share of the published candy network's total, lower is better; grid is the energy
    of periods 2, 4 and 8 over their neighbourhood, weave the share of peaks at any period in the
    fine texture; warping error is in 0..1 RGB, median of clips.
    """
    figures: dict[str, Any] = {}
    for row in rows_of("quality"):
        if row["name"] == style:
            figures |= {
                name: round(row[key], digits)
                for name, key, digits in (
                    ("quality", "total", 3),
                    ("grid", "grid", 2),
                    ("weave", "weave", 3),
                )
            }
    for row in rows_of("stability"):
        if row["name"] == f"{style}, stability {DEFAULT_STABILITY:g}":
            figures |= {
                "warping_error": round(row["short"], 4),
                "warping_error_of_film": round(row["of_film_short"], 4),
            }
    return figures


def main() -> None:
    """Writes the cards and the style files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, help="photos for checking parity and measuring ranges")
    parser.add_argument("styles", nargs="*", metavar="STYLE")
    arguments = parser.parse_args()
    for style in arguments.styles or bundled_styles():
        file = STYLES / f"{style}.json"
        card = json.loads(file.read_text()) | {"figures": figures_of(style)}
        file.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
        parities = export_trained(
            file.with_suffix(".safetensors"),
            STYLES / f"{style}.onnx",
            card=file,
            pictures=arguments.photos,
        )
        print(style, card["figures"], *parities)


if __name__ == "__main__":
    run(main)
