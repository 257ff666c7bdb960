"""Whether a film job survives kill -9 at any moment: the same film, and nothing painted twice.

    python benchmarks/kills.py FILM [--kills 50] [--seed 0]

FILM should have several segments: a few minutes, with cuts. It is painted once as a whole. Then it
is painted again and again by a command that is killed after random times, each drawn anew between
nothing and the time that the whole film takes, until it is complete or so many kills have come;
after a film is complete the next one begins. A segment that is finished must never be written
again, and each film must have the bytes of the first. Writes benchmarks/results/kills.json and .md.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from record import add_usual, counted, in_one_line, keep, machine, run

from realtime_style.errors import MediaError
from realtime_style.jobs.parts import PartsFolder


def main() -> None:
    """Kills jobs and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("film", type=Path, metavar="FILM")
    parser.add_argument("--kills", type=counted, default=50)
    parser.add_argument("--seed", type=int, default=0)
    add_usual(parser)
    options = parser.parse_args()
    if options.quick:
        options.kills = 3
    with TemporaryDirectory() as folder:
        row = kill_often(options.film, Path(folder), options.kills, random.Random(options.seed))
    about = machine()
    text = (
        "# kill -9 at random moments\n\n"
        f"A film of {row['segments']} segments, killed {row['kills']} times at random moments, "
        f"{row['before_the_end']} of them before it was complete: {row['films']} films completed, "
        f"each with the bytes of the film painted in one go; {row['finished']} finished segments "
        f"seen, {row['painted_twice']} of them written again.\n\n"
        f"`python benchmarks/kills.py FILM --kills {options.kills} --seed {options.seed}`. "
        f"{in_one_line(about)}\n"
    )
    print(text)
    if not options.quick:
        keep("kills", {"machine": about, "rows": [row]}, text, folder=options.out)


def kill_often(film: Path, folder: Path, kills: int, rng: random.Random) -> dict[str, int]:
    """Paints a film until it has been killed so often; see the top."""
    whole, out = folder / "whole.mp4", folder / "out.mp4"
    began_s = time.perf_counter()
    subprocess.run(command(film, whole), check=True)
    longest_s = time.perf_counter() - began_s
    row = dict.fromkeys(
        ("kills", "before_the_end", "films", "finished", "painted_twice", "segments"), 0
    )
    written: dict[str, int] = {}
    while row["kills"] < kills:
        with subprocess.Popen(command(film, out), stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(rng.uniform(0, longest_s))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                row["kills"] += 1
                row["before_the_end"] += not out.exists()
        parts = PartsFolder(out)
        for path in parts.path.glob("*.packets"):
            time_ns = path.stat().st_mtime_ns
            row["painted_twice"] += written.get(path.name, time_ns) != time_ns
            row["finished"] += path.name not in written
            written[path.name] = time_ns
        manifest = parts.manifest()
        row["segments"] = max(row["segments"], len(manifest.plan.segments) if manifest else 0)
        if out.exists() and not parts.path.exists():
            if out.read_bytes() != whole.read_bytes():
                raise MediaError(f"after {row['kills']} kills the film has other bytes")
            out.unlink()
            written.clear()
            row["films"] += 1
        elif out.exists():  # killed while it removed the parts
            out.unlink()
    return row


def command(film: Path, out: Path) -> list[str]:
    """The command that paints a film."""
    return [sys.executable, "-m", "realtime_style", "video", str(film), str(out), "--quiet"]


if __name__ == "__main__":
    run(main)
