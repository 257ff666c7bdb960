"""Runs any ONNX network once, on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.registry import ENGINES, _keep_quiet, _usable, available_engines


def run_once(model: bytes, array: NDArray[np.uint8], name: str = "auto") -> NDArray[np.float32]:
    """The first output of any ONNX model of one input, on the CPU, in float32.

    Raises:
        EngineError: no engine for the CPU is installed, or it fails.
    """
    on_cpu = [each for each in available_engines() if not ENGINES[each].on_gpu]
    name = _usable(name if name in on_cpu else next(iter(on_cpu), "openvino"), "f32")
    _keep_quiet(name)
    if name == "openvino":
        from realtime_style.engines.openvino_engine import run_once
    else:
        from realtime_style.engines.onnxruntime_engine import run_once
    return run_once(model, array)
