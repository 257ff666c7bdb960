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
        net: the network; checkpoints hold all of it.
        optimizer: updates the parameters that are trained, which may be only some of `net`.
        learning_rate: the peak of the learning rate, which the schedule scales.
        max_gradient: gradients with a larger norm are scaled down to this norm.
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
        learners: the networks in training. The keys are letters, which name them in checkpoints:
            "G" for netG.
        batch: photos per step; smaller than requested after an out-of-memory error.
        about: further entries of the checkpoint, such as the configuration; plain values.
        step: how many steps are complete.
        rate: a factor for all learning rates, which is halved after every NaN.
        rollbacks: how many times NaN has led back to a checkpoint.
        seconds: how long all complete steps took together.
        history: for every complete step the losses by name.
        memory: what losses keep from earlier steps, by name of the loss: tensors, or lists and
            dicts of them.
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
        """The device of the networks."""
        learner = next(iter(self.learners.values()))
        return learner.parameters()[0].device

    def as_dict(self) -> dict[str, Any]:
        """The state for `save_checkpoint`; its tensors are the networks' own, not copies."""
        saved: dict[str, Any] = {"netD": None, "optimizer_D": None}
        for name, learner in self.learners.items():
            saved[f"net{name}"] = learner.net.state_dict()
            saved[f"optimizer_{name}"] = learner.optimizer.state_dict()
        saved |= {name: getattr(self, name) for name in _COUNTERS}
        return saved | {"memory": self.memory, "rng": torch.get_rng_state()} | self.about

    def load(self, saved: dict[str, Any], origin: Path | None = None) -> None:
        """Restores what `as_dict` returned, and PyTorch's random numbers.

        Args:
            saved: from `as_dict`; not changed.
            origin: the file that it comes from, for messages.

        Raises:
            TrainingError: it holds a network of another shape, or is of another kind of training.
        """
        try:
            for name, learner in self.learners.items():
                learner.net.load_state_dict(saved[f"net{name}"])
                learner.optimizer.load_state_dict(saved[f"optimizer_{name}"])
            counters = {name: saved[name] for name in _COUNTERS}
            torch.set_rng_state(saved["rng"])
        except RuntimeError as error:
            raise TrainingError(
                f"{origin} holds a network of another shape; train from the start, or with the "
                "version that wrote it"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(
                f"{origin} was written by another kind of training; train from the start"
            ) from error
        for name, value in counters.items():
            setattr(self, name, copy.copy(value))
        self.memory = copy.copy(saved.get("memory", {}))  # older checkpoints have none
