"""What a training run reports while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrainStep:
    """What one optimiser step reports.

    Attributes:
        step: its number, from 1.
        losses: the weighted losses by name, means over all processes.
        learning_rate: the one of the network that was updated last: the generator's.
        seen: other values that deserve a curve, by name, such as gradient norms.
    """

    step: int
    losses: dict[str, float]
    learning_rate: float
    seen: dict[str, float] = field(default_factory=dict)


class TrainObserver:
    """Receives the progress of a run. Every method does nothing; override those you need.

    Methods are called in the thread that trains. An exception ends the run and is passed on; the
    last checkpoint stays.
    """

    def on_start(self) -> None:
        """Everything is loaded; the first step follows."""

    def on_step(self, step: TrainStep) -> None:
        """A step is complete."""

    def on_note(self, note: str) -> None:
        """Something the user should know, in one line, such as a file that was skipped."""

    def on_end(self) -> None:
        """The loop has ended, also by an error. Called in any case."""


class Observers(TrainObserver):
    """Several observers as one, called in their order."""

    def __init__(self, observers: Sequence[TrainObserver]) -> None:
        self._observers = observers

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
