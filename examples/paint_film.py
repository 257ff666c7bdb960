"""Paints a film and shows its progress.

    python examples/paint_film.py in.mp4 out.mp4 [STYLE]

A request is a value: it can be stored as JSON, sent to another process and run there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import realtime_style as rs


class Progress:
    """A `FilmObserver` that prints one line and keeps it up to date."""

    def on_build(self, part: float) -> None:
        """Called while an engine is built, with the part done, 0..1; few engines are."""
        print(f"\rbuilding the engine: {part:.0%}", end="", file=sys.stderr)

    def on_plan(self, frames: int) -> None:
        """Called while a long film is read for its scenes, before the first one is painted."""
        print(f"\rlooking for scenes: {frames} frames", end="", file=sys.stderr)

    def on_frame(self, stats: rs.RunStats) -> None:
        """Called after every frame, on the thread of `run`."""
        print(f"\rframes: {stats.frames}", end="", file=sys.stderr)


def main(source: str, out: str, style: str = "starry-night") -> None:
    """Paints a film with large strokes at 360 lines; the new film has the old one's size."""
    plan = rs.PaintPlan(rs.Look(style, strength=0.9, strokes="large"))
    request = rs.FilmRequest(source, out, plan, size=rs.Size.parse("360p"))
    Path(out).with_suffix(".json").write_text(request.as_json())  # run it again at any time
    with rs.open_film(request) as job:
        report = job.run(Progress())
    print(f"\n{report.out}: {report.stats.frames} frames in {report.stats.wall_s:.1f} s")
    for note in report.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except rs.StyleError as error:
        raise SystemExit(f"error: {error}") from error
