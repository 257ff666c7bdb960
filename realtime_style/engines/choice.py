"""Which engine should run a network, in which precision, on which devices."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_style.engines.registry import ENGINES, PRECISIONS, refuse_precision
from realtime_style.errors import EngineError


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """A choice of engine. Whether this machine has the engine is not checked here.

    Attributes:
        name: "auto" (the best engine of this machine) or a name in `registry.ENGINES`.
        precision: "auto" (f16 on a GPU; int8 or bf16 where the CPU has it, else f32), "f32",
            "bf16", "f16" or "int8".
        devices: numbers of the GPUs that share the frames: of NVIDIA's, or of WebGPU's adapters.
            Engines for CPUs ignore them.

    Raises:
        EngineError: there is no such engine or precision, the engine never has that precision, or
            `devices` is empty or names a GPU twice.
    """

    name: str = "auto"
    precision: str = "auto"
    devices: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.name != "auto" and self.name not in ENGINES:
            raise EngineError(
                f"there is no engine '{self.name}'; choose auto, {', '.join(ENGINES)}",
                setting="engine",
            )
        if self.precision not in PRECISIONS:
            raise EngineError(
                f"there is no precision '{self.precision}'; choose {', '.join(PRECISIONS)}",
                setting="precision",
            )
        if self.name != "auto":
            refuse_precision(self.name, self.precision)
        object.__setattr__(self, "devices", tuple(self.devices))
        if not self.devices or len(set(self.devices)) < len(self.devices):
            raise EngineError(
                f"the devices are {self.devices}; give at least one GPU number, each only once",
                setting="devices",
            )
