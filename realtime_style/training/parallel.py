"""Training one generator in several processes that torchrun starts; they share every batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from realtime_style.errors import TrainingError


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """A context in which the processes that torchrun started are connected.

    If there is only one process, it does nothing.

    Args:
        device: the device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise NCCL uses the first GPU in every process
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def leads() -> bool:
    """Whether this is the process that writes files and prints; works outside `processes`, too."""
    return int(os.environ.get("RANK", "0")) == 0


def own_gpu() -> int:
    """The number of the GPU for this process; each process of a machine has its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def process_count() -> int:
    """How many processes train together; 1 outside `processes`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def shared_batch(size: int) -> int:
    """The smallest batch of at least a size of which every process takes an equal share."""
    return -(-size // process_count()) * process_count()


def part_of(batch: int) -> range:
    """The numbers of the items of a batch that are for this process.

    Args:
        batch: number of items in the whole batch.

    Raises:
        TrainingError: the batch cannot be split evenly.
    """
    if batch % process_count():
        raise TrainingError(
            f"a batch of {batch} cannot be split among {process_count()} processes; it must be a "
            "multiple of their number",
            setting="batch",
        )
    each = batch // process_count()
    return range(_rank() * each, (_rank() + 1) * each)


def in_any_process(here: bool, device: torch.device) -> bool:
    """Whether `here` is True in at least one process. All processes must call it together."""
    if process_count() == 1:
        return here
    most = torch.tensor(int(here), device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return bool(most.item())


def wait_for_all() -> None:
    """Waits until all processes have called it."""
    if process_count() > 1:
        dist.barrier()


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean over all processes of a tensor of any shape; differentiable.

    All processes must call it together, with tensors of the same shape.
    """
    if process_count() == 1:
        return value
    mean: Tensor = _Mean.apply(value)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    """The mean over processes; the gradient is the mean of all gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _Mean._of(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Mean._of(gradient)

    @staticmethod
    def _of(value: Tensor) -> Tensor:
        mean = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(mean)
        return mean / process_count()


def share_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over all processes, which must call it together."""
    if process_count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= process_count()
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, shared in zip(gradients, parts, strict=True):
        gradient.copy_(shared.view_as(gradient))


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the whole batch, over all processes.

    PyTorch's SyncBatchNorm does the same, but only on GPUs.
    """

    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution after which this is normalised already; differentiable.

        It holds for the running statistics, that is in evaluation mode. Of a picture it saves two
        passes over all features, and three of the gradient.

        Args:
            weight: of the convolution, (C, in, k, k).
            bias: (C,).
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = (bias - self.running_mean) * scale + self.bias
        return weight * scale[:, None, None, None], shift

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        if not self.training or process_count() == 1:
            return super().forward(x)
        wide = x.float()
        mean = mean_over_processes(wide.mean((0, 2, 3)))
        # The mean of squares minus the squared mean would lose all precision for a large mean
        centred = wide - mean[:, None, None]
        variance = mean_over_processes(centred.square().mean((0, 2, 3)))
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            count = x.numel() // x.shape[1] * process_count()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(x.dtype)
