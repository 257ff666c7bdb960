"""What does it cost to paint only people, or only what is around them?

    python benchmarks/mask.py FILM [--size 720p] [--frames 60]

Prints the processor time of a frame, of all threads together, without the painting itself: of the
network, and of everything else. Each row is the median of five runs over the frames, which are in
memory. The film should show a person.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realtime_style.frame import Frame, FramePool, Size
from realtime_style.media.film_source import FileSource
from realtime_style.painting.mask import Mask
from realtime_style.painting.person import MASK_HEIGHT, MASK_WIDTH, PersonFinder
from realtime_style.painting.plan import MaskPlan
from realtime_style.stages import Pending

RUNS = 5
PLANS = (
    MaskPlan(),
    MaskPlan("background"),
    MaskPlan("person", "green"),
    MaskPlan("person", "blur"),
)


class NoPainter:
    """A painter that takes no time: its frames are undefined."""

    in_flight = 1

    def __init__(self) -> None:
        self._pool = FramePool()

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        painted = frame.blank(self._pool)
        return lambda: painted

    def prepare(self, size: tuple[int, int], on_build: Any = None) -> None:
        """See `Painter`."""

    def reset(self) -> None:
        """See `Painter`."""

    def cancel(self) -> None:
        """See `Painter`."""


def cpu_ms(work: Callable[[Frame], None], frames: Sequence[Frame]) -> float:
    """Processor time of a frame in milliseconds: the median of several runs."""
    times = []
    for run in range(RUNS + 1):
        began_s = time.process_time()
        for frame in frames:
            work(frame)
        if run:  # the first one warms up
            times.append((time.process_time() - began_s) / len(frames))
    return 1000 * statistics.median(times)


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("film", type=Path)
    parser.add_argument("--size", type=Size.parse, default=Size(720))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    with FileSource(str(options.film), size=options.size) as source:
        frames = [frame.kept() for frame, _ in zip(source, range(options.frames), strict=False)]
    finder = PersonFinder(options.engine)
    picture = np.zeros((1, MASK_HEIGHT, MASK_WIDTH, 3), np.uint8)
    network = cpu_ms(lambda frame: finder._network({"picture": picture}) and None, frames)
    print(f"{frames[0].width}x{frames[0].height}, {len(frames)} frames of {options.film.name}\n")
    print("| only | around people | CPU-ms a frame without the network |\n|---|---|---|")
    for plan in PLANS:
        painter = Mask(NoPainter(), plan, finder)
        cost = cpu_ms(lambda frame, painter=painter: painter.begin(frame)().release(), frames)
        print(f"| {plan.only} | {plan.background} | {cost - network:.2f} |")
    print(f"\nThe network: {network:.2f} CPU-ms.")


if __name__ == "__main__":
    main()
