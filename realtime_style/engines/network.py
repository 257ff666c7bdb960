"""Runs any ONNX network on the CPU in float32: encoders, masks, whatever is not a style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from realtime_style.engines.registry import (
    ENGINES,
    available_engines,
    refuse_unusable,
    silence_telemetry,
)

Arrays = Mapping[str, NDArray[Any]]


class Network:
    """A loaded ONNX model with any inputs and outputs. Only one thread at a time may call it."""

    def __init__(self, model: bytes, engine: str = "auto") -> None:
        """Loads the model.

        Args:
            engine: a CPU engine of `registry.ENGINES`; "auto" and GPU engines take the first CPU
                engine that is installed.

        Raises:
            EngineError: no CPU engine is installed, or it cannot load the model.
        """
        on_cpu = [name for name in available_engines() if not ENGINES[name].is_gpu]
        name = engine if engine in on_cpu else next(iter(on_cpu), "openvino")
        refuse_unusable(name, "f32")
        silence_telemetry(name)
        if name == "openvino":
            from realtime_style.engines.openvino_engine import load_network
        else:
            from realtime_style.engines.onnxruntime_engine import load_network
        self._run: Callable[[Arrays], dict[str, NDArray[Any]]] = load_network(model)

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by name, for inputs by name; raises EngineError where the network fails."""
        return self._run(inputs)
