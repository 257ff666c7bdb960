"""All settings of a training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train on, and how. The defaults made the bundled styles.

    Sizes are pixels, `learning_rate` is the peak of a one-cycle schedule (arXiv 1708.07120),
    weights multiply the losses of losses.py.
    """

    painting: Path
    content: Path
    features: tuple[Path, ...] = ()
    base: Path | None = None
    steps: int = 3000
    batch: int = 4
    crop_px: int = 224
    painting_px: int = 1200
    painting_detail_px: int = 640
    painting_scales: tuple[int, ...] = (1, 2, 4)
    content_weight: float = 1.0
    style_weight: float = 20.0
    tv_weight: float = 0.6
    gamut_weight: float = 20.0
    grid_weight: float = 200.0
    learning_rate: float = 2e-3
    seed: int = 0
    device: str = "auto"
    checkpoint_every: int = 200
    sample_every: int = 200

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and style cards; paths by their file names alone."""
        plain = dataclasses.asdict(self)
        plain["painting"] = self.painting.name
        plain["content"] = self.content.name
        plain["features"] = [path.name for path in self.features]
        plain["base"] = self.base.name if self.base else None
        return plain
