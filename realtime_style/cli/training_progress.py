"""Shows a training run; a separate module, because its base class is part of training."""

from __future__ import annotations

from pathlib import Path

from realtime_style.cli.console import Output
from realtime_style.system import interrupts
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.wording import counted

_PARTS = {"training": "training", "strokes": "strokes", "sharp": "sharp generator"}
"""How the parts of a run are called."""


class TrainingProgress(TrainObserver):
    """Shows the steps and the losses of a run.

    Attributes:
        has_begun: whether training has begun, now or before it was resumed. A checkpoint in the
            run's folder then belongs to this run, and not to an older one that it replaces.
    """

    def __init__(self, output: Output, run_dir: Path, *, has_begun: bool) -> None:
        """Shows nothing yet.

        Args:
            run_dir: the folder for all results.
            has_begun: whether an interrupted run is resumed.
        """
        self.has_begun = has_begun
        self._output, self._run_dir = output, run_dir
        self._part, self._steps = "training", 0
        self._bar = output.progress(self._part, None)

    def on_part(self, name: str, steps: int) -> None:
        """Prepares a bar for the part."""
        self._part, self._steps = _PARTS[name], steps
        self._bar = self._output.progress(self._part, steps)

    def on_start(self) -> None:
        """Says what begins, and where everything goes."""
        self.has_begun = True
        what = "training" if self._part == "training" else f"training of the {self._part}"
        self._output.say(
            f"{what} for {counted(self._steps, 'step')}; all results go to {self._run_dir}"
        )

    def on_step(self, step: TrainStep) -> None:
        """Shows the losses."""
        interrupts.check()
        losses = " ".join(f"{name} {value:.3f}" for name, value in step.losses.items())
        part = "" if self._part == "training" else f"{self._part}: "
        self._bar.update(step.step, losses)
        self._bar.line(lambda: f"{part}step {step.step} of {self._steps}: {losses}")

    def on_note(self, note: str) -> None:
        """Prints what did not go as planned."""
        self._output.say(f"note: {note}")

    def on_end(self) -> None:
        """Ends the bar."""
        self._bar.close()
