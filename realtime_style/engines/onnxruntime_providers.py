"""The devices that the installed ONNX Runtime can run on."""

from __future__ import annotations

import contextlib
import sys
from functools import cache

import onnxruntime


@cache
def load_cuda() -> None:
    """Loads CUDA and cuDNN from where pip installed them; what is missing goes to stderr."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):
            onnxruntime.preload_dlls()


def available_providers() -> list[str]:
    """The providers of this build of ONNX Runtime, by its own names."""
    return list(onnxruntime.get_available_providers())
