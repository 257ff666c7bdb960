"""Muon: an optimiser whose steps change a convolution's weights equally in all directions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5
_RMS = 0.2  # root mean square of a step, as a multiple of the learning rate; as for Adam
_MOMENTUM = 0.95
_BETAS = (0.9, 0.999)
_EPS = 1e-8


def orthogonalized(matrix: Tensor) -> Tensor:
    """Approximately the nearest matrix whose singular values are all 1; they are 0.7 to 1.2.

    Computed by five steps of a quintic Newton-Schulz iteration (Jordan et al., "Muon", 2024).

    Args:
        matrix: (rows, columns), any float dtype.

    Returns:
        The same shape, in float32.
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).float()
    x = x / (x.norm() + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    even: Tensor = x if wide else x.T
    return even


class Muon(torch.optim.Optimizer):
    """Muon for kernels (4 dimensions), Adam (arXiv 1412.6980) for biases and normalisation.

    A kernel is treated as a matrix (out, in * height * width). Its step is scaled to a root mean
    square of 0.2 times the learning rate (Liu et al., arXiv 2502.16982, eq. 4), which is about that
    of Adam, so that one learning rate serves both. torch.optim.Muon takes only matrices.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        """Args: parameters, what to train; lr, the learning rate, which a schedule may change."""
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Takes one step down the gradients; parameters without a gradient stay as they are.

        Args:
            closure: must be None; it is there because other optimisers have it.
        """
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                change = self._muon(parameter) if parameter.ndim == 4 else self._adam(parameter)
                parameter.add_(change, alpha=-group["lr"])

    def _muon(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        gradient, momentum = parameter.grad, state["momentum"]
        assert gradient is not None
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        matrix = gradient.lerp(momentum, _MOMENTUM).flatten(1)  # Nesterov momentum
        length = _RMS * math.sqrt(max(matrix.shape))
        return (orthogonalized(matrix) * length).view(parameter.shape)

    def _adam(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        state["step"] += 1
        state["mean"].lerp_(parameter.grad, 1 - _BETAS[0])
        state["square"].lerp_(parameter.grad.square(), 1 - _BETAS[1])
        mean = state["mean"] / (1 - _BETAS[0] ** state["step"])
        square = state["square"] / (1 - _BETAS[1] ** state["step"])
        return torch.div(mean, square.sqrt() + _EPS)
