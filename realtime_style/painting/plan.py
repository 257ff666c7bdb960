"""What a painting is asked to be: a value, the same for films, pictures and live streams."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import StyleError
from realtime_style.style.look import Look

DEFAULT_STABILITY = 0.5


@dataclass(frozen=True, slots=True)
class PaintPlan:
    """How frames are painted.

    Attributes:
        look: the style, its blend, strength, variation and colours.
        engine: what runs the network.
        stability: flicker reduction, 0 (every frame by itself) to 1.
        grain: whether flat areas get a faint grain, so that the network paints strokes there.

    Raises:
        StyleError: a stability outside 0..1.
    """

    look: Look = field(default_factory=Look)
    engine: EngineChoice = field(default_factory=EngineChoice)
    stability: float = DEFAULT_STABILITY
    grain: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.stability <= 1:
            raise StyleError(
                f"stability goes from 0 to 1, not {self.stability:g}", setting="stability"
            )
