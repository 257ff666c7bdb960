"""Runs any ONNX network on the CPU in float32, such as an encoder; styles have `Engine`."""

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

    def __init__(self, model: bytes, engine: str = "auto", *, threads: int | None = None) -> None:
        """Loads the model.

        Args:
            model: a serialised ONNX model.
            engine: "openvino" or "onnxruntime". With any other name, or if that engine is not
                installed, the first of the two that is installed runs the model.
            threads: how many threads run it; None takes as many as the engine likes. A small
                network in one thread costs less, because threads wait for each other.

        Raises:
            EngineError: neither engine is installed, or the engine cannot load the model.
        """
        here = [name for name in available_engines() if name in _LOADERS]
        name = engine if engine in here else next(iter(here), "openvino")
        refuse_unusable(name, "f32")
        silence_telemetry(name)
        load_network = import_module(_LOADERS[name]).load_network
        self._run: Callable[[Arrays], dict[str, NDArray[Any]]] = load_network(model, threads)

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the network.

        Args:
            inputs: one array for each input of the model, by name, in the model's types.

        Returns:
            All outputs, by name.

        Raises:
            EngineError: an input is missing or does not fit, or the network fails.
        """
        return self._run(inputs)
