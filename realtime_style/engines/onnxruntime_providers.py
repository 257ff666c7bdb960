"""What this ONNX Runtime can run on."""

from __future__ import annotations

import contextlib
import sys
from functools import cache

import onnxruntime


@cache
def _load_cuda() -> None:
    """CUDA and cuDNN, where pip has put them; what is not there is printed, which is no result."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):
            onnxruntime.preload_dlls()


def available_providers() -> list[str]:
    """What this build of ONNX Runtime can compute on, by its own names."""
    return list(onnxruntime.get_available_providers())
