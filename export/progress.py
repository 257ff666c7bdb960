"""Progress of a training, printed by the scripts in this folder."""

from __future__ import annotations

import time

from realtime_style.training.observer import TrainObserver, TrainStep


class ProgressLines(TrainObserver):
    """An observer that prints notes, and a line with time and losses every few steps."""

    def __init__(self, steps: int, every: int) -> None:
        """Args: steps, number of steps of the run; every, number of steps from line to line."""
        self._steps = steps
        self._every = every
        self._began = time.perf_counter()

    def on_step(self, step: TrainStep) -> None:
        """Prints a line if one is due."""
        if step.step % self._every == 0:
            losses = " ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
            passed_s = time.perf_counter() - self._began
            print(f"step {step.step} of {self._steps} ({passed_s:.0f} s): {losses}", flush=True)

    def on_note(self, note: str) -> None:
        """Prints the note."""
        print(f"note: {note}", flush=True)
