"""The device that training runs on, its precision and its memory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch

from realtime_style.errors import TrainingError
from realtime_style.training.parallel import own_gpu

T = TypeVar("T")

_MALLOC = {  # options of glibc's malloc: their numbers in malloc.h, and the values to set
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),
    "M_TOP_PAD": (-2, 2**28),
    "M_MMAP_MAX": (-4, 0),
}


def find_device(name: str) -> torch.device:
    """Finds a device by name.

    Args:
        name: "cpu", "cuda" (the GPU of this process), or "auto" (that GPU if there is one, else
            the CPU).

    Raises:
        TrainingError: there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{own_gpu()}"
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        more = own_gpu() and name.startswith("cuda")
        how = "start no more processes than there are GPUs" if more else "choose cpu or auto"
        raise TrainingError(f"there is no device '{name}'; {how}", setting="device") from error


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """A context in which networks compute in a precision.

    Args:
        device: where they compute.
        precision: "bf16", "f32", or "auto": bf16 if the device has instructions for it. Without,
            bf16 takes more than twice the time of f32.
    """
    is_bf16 = precision == "bf16" or (precision == "auto" and has_bf16(device.type))
    return torch.autocast(device.type, torch.bfloat16, enabled=is_bf16)


def in_precision(
    function: Callable[..., T], device: torch.device, precision: str
) -> Callable[..., T]:
    """A function whose networks compute in a precision; arguments as for `autocast`."""

    def call(*arguments: Any) -> T:
        with autocast(device, precision):
            return function(*arguments)

    return call


@cache
def has_bf16(device: str) -> bool:
    """Whether a type of device, "cpu" or "cuda", has instructions for bf16."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions do not tell
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has for name, has in capabilities.items() if "bf16" in name)


def tune_cpu() -> None:
    """Sets up the process for training on a CPU.

    Denormal numbers are flushed to zero, which is faster. On Linux, glibc is told to keep the
    memory that a step frees for the next one. Otherwise every step requests the same gigabyte from
    the system, page by page, which takes a sixth of the step's time.
    """
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in _MALLOC.values():
            mallopt(option, value)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that the CPU's or the GPU's memory is used up."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
