"""The state of a training run: everything that a checkpoint holds."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from realtime_style.errors import TrainingError

_COUNTERS = ("batch", "step", "rate", "rollbacks", "seconds", "history")


@dataclass(frozen=True, slots=True)
class Learner:
    """A network in training.

    Attributes:
        net: the network; all of it is saved in checkpoints.
        optimizer: updates the parameters that are trained, all of `net` or some.
        learning_rate: the peak of the schedule.
        max_gradient: the norm to which longer gradients are clipped.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: float
    max_gradient: float = math.inf

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return [each for group in self.optimizer.param_groups for each in group["params"]]


@dataclass
class TrainState:
    """Everything that changes during training.

    Attributes:
        learners: the networks in training, by the letter they have in checkpoints: "G" for netG.
        batch: photos per step; smaller than requested after an out-of-memory error.
        about: what the checkpoint belongs to, such as its configuration; plain values.
        step: how many steps are complete.
        rate: a factor for all learning rates, halved after every NaN.
        rollbacks: how many times a NaN has led back to a checkpoint.
        seconds: how long all steps took.
        history: the losses of every step, by name.
        memory: what losses keep from earlier steps, by loss; tensors in lists and dicts.
    """

    learners: dict[str, Learner]
    batch: int
    about: dict[str, Any]
    step: int = 0
    rate: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The networks' device."""
        learner = next(iter(self.learners.values()))
        return learner.parameters()[0].device

    def as_dict(self) -> dict[str, Any]:
        """For `save_checkpoint`; shares its tensors with the networks."""
        saved: dict[str, Any] = {"netD": None, "optimizer_D": None}
        for name, learner in self.learners.items():
            saved[f"net{name}"] = learner.net.state_dict()
            saved[f"optimizer_{name}"] = learner.optimizer.state_dict()
        saved |= {name: getattr(self, name) for name in _COUNTERS}
        return saved | {"memory": self.memory, "rng": torch.get_rng_state()} | self.about

    def load(self, saved: dict[str, Any], origin: Path | None = None) -> None:
        """Takes over what `as_dict` returned; `origin` is the file, for messages.

        Raises:
            TrainingError: a network of another shape, or the state of another kind of training.
        """
        try:
            for name, learner in self.learners.items():
                learner.net.load_state_dict(saved[f"net{name}"])
                learner.optimizer.load_state_dict(saved[f"optimizer_{name}"])
            counters = {name: saved[name] for name in _COUNTERS}
            torch.set_rng_state(saved["rng"])
        except RuntimeError as error:
            raise TrainingError(f"{origin} holds a network of another shape") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{origin} was written by another kind of training") from error
        for name, value in counters.items():
            setattr(self, name, copy.copy(value))
        self.memory = copy.copy(saved.get("memory", {}))  # older checkpoints have none
