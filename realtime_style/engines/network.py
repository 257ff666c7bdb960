"""Runs any ONNX network on the CPU in float32: encoders, masks, whatever is not a style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from realtime_style.engines.registry import (
    available_engines,
    refuse_unusable,
    silence_telemetry,
)

_LOADERS = {  # engines that can run any network, and the modules of their `load_network`
    "openvino": "realtime_style.engines.openvino_engine",
    "onnxruntime": "realtime_style.engines.onnxruntime_engine",
}

Arrays = Mapping[str, NDArray[Any]]


class Network:
    """A loaded ONNX model with any inputs and outputs. Only one thread at a time may call it."""

    def __init__(self, model: bytes, engine: str = "auto") -> None:
        """Loads the model.

        Args:
            engine: "openvino" or "onnxruntime"; any other name takes the first that is installed.

        Raises:
            EngineError: no CPU engine is installed, or it cannot load the model.
        """
        here = [name for name in available_engines() if name in _LOADERS]
        name = engine if engine in here else next(iter(here), "openvino")
        refuse_unusable(name, "f32")
        silence_telemetry(name)
        load_network = import_module(_LOADERS[name]).load_network
        self._run: Callable[[Arrays], dict[str, NDArray[Any]]] = load_network(model)

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs by name, for inputs by name; raises EngineError where the network fails."""
        return self._run(inputs)
