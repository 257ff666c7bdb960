"""What a training says of itself as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from realtime_style.training.train import TrainStep


def printed(steps: int, every: int) -> Callable[[TrainStep], None]:
    """Prints every so many steps of all: which it is, the seconds since now, the losses."""
    begin = time.perf_counter()

    def on_step(step: TrainStep) -> None:
        if step.step % every == 0:
            losses = " ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
            passed_s = time.perf_counter() - begin
            print(f"step {step.step} of {steps} ({passed_s:.0f} s): {losses}", flush=True)

    return on_step
