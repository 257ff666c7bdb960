"""Progress of a training, printed by the scripts in this folder."""

from __future__ import annotations

import time

from realtime_style.training.observer import TrainObserver, TrainStep


class ProgressLines(TrainObserver):
    """Prints a line every so many steps: the step, seconds since the start, losses; and notes."""

    def __init__(self, steps: int, every: int) -> None:
        """Args: steps, all of them; every, steps between lines."""
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
