"""The devices that the installed ONNX Runtime can run on."""

from __future__ import annotations

import contextlib
import sys
from functools import cache

import onnxruntime


@cache
def load_cuda() -> None:
    """Loads the CUDA and cuDNN libraries that pip installed; missing ones are printed to stderr."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):
            onnxruntime.preload_dlls()


def available_providers() -> list[str]:
    """ONNX Runtime's names of the providers in this build, such as "CPUExecutionProvider"."""
    return list(onnxruntime.get_available_providers())
