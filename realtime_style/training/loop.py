"""The training loop, which every training in this package uses."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from realtime_style.errors import TrainingError
from realtime_style.system.interrupts import held_back
from realtime_style.training.batches import Batches, BatchReader
from realtime_style.training.checkpoint import save_checkpoint
from realtime_style.training.device import is_out_of_memory
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.parallel import (
    in_any_process,
    leads,
    mean_over_processes,
    process_count,
    share_gradients,
    wait_for_all,
)
from realtime_style.training.schedule import Schedule
from realtime_style.training.state import Learner, TrainState
from realtime_style.wording import counted

MAX_ROLLBACKS = 5

B = TypeVar("B", contravariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Update:
    """One update of one network.

    Attributes:
        learner: the key of the network in `TrainState.learners`, such as "G".
        losses: weighted losses by name, scalars; the optimiser step minimises their sum.
        seen: other values for the log, by name.
    """

    learner: str
    losses: dict[str, Tensor]
    seen: dict[str, float] = field(default_factory=dict)


class Objective(Protocol[B]):
    """What a training minimises: makes losses from batches."""

    def updates(self, state: TrainState, batch: B) -> Iterator[Update]:
        """Yields an update for each network in training, in the step after `state.step`.

        The loop applies each update before it asks for the next, so that a generator's losses can
        come from a discriminator that has just been updated.
        """


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long a training runs, how fast it learns, and where it saves checkpoints.

    Attributes:
        steps: number of optimiser steps of the whole run.
        schedule: the learning rate of each step, as a share of its peak.
        checkpoint: the file for checkpoints; None writes none.
        checkpoint_every: steps between checkpoints.
        finish: changes what was trained, right after the last step.
    """

    steps: int
    schedule: Schedule
    checkpoint: Path | None
    checkpoint_every: int
    finish: Callable[[], None] = lambda: None


def run(
    state: TrainState,
    objective: Objective[T],
    read: BatchReader[T],
    recipe: Recipe,
    observer: TrainObserver,
) -> None:
    """Trains from `state.step` to `recipe.steps`.

    On NaN it goes back to the last checkpoint and halves the learning rate; on an out-of-memory
    error it goes back and halves the batch. Ctrl-C and SIGTERM let the step finish and save a
    checkpoint; a second signal ends the run at once, and the last checkpoint stays.

    Args:
        state: what is trained, changed in place; a resumed run has loaded it from a checkpoint.
        objective: computes the losses.
        read: reads a batch, on another thread.
        recipe: how long to train, and where to save.
        observer: receives progress and notes.

    Raises:
        TrainingError: data that cannot be read, a full disk, a loss that is NaN at every learning
            rate, or too little memory for one photo.
        KeyboardInterrupt: on Ctrl-C and SIGTERM, after the checkpoint is saved.
    """
    batches = Batches(read, state, recipe.steps)
    try:
        batches.wait()  # refuse unreadable data before anything is written
        observer.on_start()
        last_good = copy.deepcopy(state.as_dict())
        began = time.perf_counter() - state.seconds
        with held_back() as stop_requested:
            while state.step < recipe.steps:
                try:
                    step = _take_step(state, objective, batches.take(), recipe)
                except (NanError, MemoryError, RuntimeError) as error:
                    note = _go_back(state, last_good, error)
                    batches.close()
                    batches.restart()
                    observer.on_note(note)
                    continue
                state.step = step.step
                state.history.append(step.losses)
                state.seconds = time.perf_counter() - began
                if state.step == recipe.steps:
                    recipe.finish()
                if state.step % recipe.checkpoint_every == 0:
                    last_good = copy.deepcopy(state.as_dict())
                    _save(last_good, recipe)
                observer.on_step(step)
                if in_any_process(stop_requested(), state.device):
                    _save(state.as_dict(), recipe)
                    wait_for_all()  # torchrun kills all processes as soon as one ends
                    raise KeyboardInterrupt
            _save(state.as_dict(), recipe)
    finally:
        batches.close()
        observer.on_end()


def _take_step(state: TrainState, objective: Objective[T], batch: T, recipe: Recipe) -> TrainStep:
    """Trains every network for one step; raises NanError before NaN gets into the weights."""
    step = state.step + 1
    share = state.rate * recipe.schedule(step, recipe.steps)
    losses: dict[str, float] = {}
    seen: dict[str, float] = {}
    rate = 0.0
    for update in objective.updates(state, batch):
        learner = state.learners[update.learner]
        rate = share * learner.learning_rate
        norm = _descend(learner, update.losses, rate)
        values = torch.stack([value.detach() for value in update.losses.values()])
        losses |= zip(update.losses, mean_over_processes(values).tolist(), strict=True)
        seen |= {f"gradient_norm/{update.learner}": norm} | update.seen
    return TrainStep(step, losses, rate, seen)


def _descend(learner: Learner, losses: dict[str, Tensor], rate: float) -> float:
    """Takes one optimiser step down the sum of losses, at a learning rate.

    Returns:
        The norm of the gradient, before it is clipped.

    Raises:
        NanError: the gradient is not finite; the weights are not changed.
    """
    parameters = learner.parameters()
    learner.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    share_gradients(parameters)
    norm = float(nn.utils.clip_grad_norm_(parameters, learner.max_gradient))
    if not math.isfinite(norm):
        raise NanError
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.step()
    return norm


class NanError(ArithmeticError):
    """A gradient contains NaN or infinity."""


def _go_back(state: TrainState, last_good: dict[str, Any], error: Exception) -> str:
    """Goes back to the last checkpoint after NaN or an out-of-memory error.

    Args:
        state: changed in place: loaded, and with a smaller learning rate or batch.
        last_good: the last checkpoint, from `TrainState.as_dict`.
        error: what has happened.

    Returns:
        A note about it for the user.

    Raises:
        TrainingError: this has been tried too often, or the batch is one photo.
        Exception: `error` itself, if it is of another kind.
    """
    step = state.step + 1
    rate, rollbacks, batch = state.rate, state.rollbacks, state.batch
    if isinstance(error, NanError):
        rate, rollbacks = rate / 2, rollbacks + 1
        if rollbacks > MAX_ROLLBACKS:
            raise TrainingError(
                f"loss became NaN at step {step}, also at {MAX_ROLLBACKS} smaller learning rates; "
                "a smaller learning rate or smaller weights may help",
                setting="learning_rate",
            ) from None
    elif not is_out_of_memory(error) or process_count() > 1:
        raise error
    elif batch == 1:
        raise TrainingError(
            "out of memory with one photo a step; smaller crops need less", setting="crop_px"
        ) from error
    else:
        batch //= 2
    state.load(copy.deepcopy(last_good))
    state.rate, state.rollbacks, state.batch = rate, rollbacks, batch
    if isinstance(error, NanError):
        return (
            f"loss became NaN at step {step}: back to step {state.step}, with the learning rate "
            f"halved (now {rate:g} of its full value)"
        )
    return f"out of memory: from step {state.step} on, {counted(batch, 'photo')} a step"


def _save(saved: dict[str, Any], recipe: Recipe) -> None:
    if recipe.checkpoint and leads():
        save_checkpoint(recipe.checkpoint, saved)
