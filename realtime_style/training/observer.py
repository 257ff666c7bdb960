"""What a training run reports while it runs, and the interface that receives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What one optimiser step reports.

    Attributes:
        step: number of the step, from 1.
        losses: the weighted losses by name, means over all processes.
        learning_rate: the learning rate of the network that was updated last, the generator.
        seen: other values to log, by name, such as gradient norms.
    """

    step: int
    losses: dict[str, float]
    learning_rate: float
    seen: dict[str, float] = field(default_factory=dict)


class TrainObserver:
    """Receives the progress of a run. Its methods do nothing; override those that you need.

    They are called on the thread that trains. An exception in one of them ends the run, and is
    raised by it; the last checkpoint stays.
    """

    def on_part(self, name: str, steps: int) -> None:
        """A part of a run begins to load; see `RunPart.name`.

        Trainings that are not of a style have no parts.

        Args:
            name: of the part.
            steps: number of its steps.
        """

    def on_start(self) -> None:
        """Everything is loaded; the first step follows."""

    def on_step(self, step: TrainStep) -> None:
        """A step is complete."""

    def on_note(self, note: str) -> None:
        """There is a note for the user, one line, such as about a file that was skipped."""

    def on_end(self) -> None:
        """The run has ended, with or without an error."""


class Observers(TrainObserver):
    """Several observers as one; they are called in the given order."""

    def __init__(self, observers: Sequence[TrainObserver]) -> None:
        self._observers = observers

    def on_part(self, name: str, steps: int) -> None:
        """Calls every observer."""
        for observer in self._observers:
            observer.on_part(name, steps)

    def on_start(self) -> None:
        """Calls every observer."""
        for observer in self._observers:
            observer.on_start()

    def on_step(self, step: TrainStep) -> None:
        """Calls every observer."""
        for observer in self._observers:
            observer.on_step(step)

    def on_note(self, note: str) -> None:
        """Calls every observer."""
        for observer in self._observers:
            observer.on_note(note)

    def on_end(self) -> None:
        """Calls every observer."""
        for observer in self._observers:
            observer.on_end()
