"""How frames are to be painted: a value, the same for films, pictures and live streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import StyleError
from realtime_style.style.look import Look


@dataclass(frozen=True, slots=True)
class PaintPlan:
    """How frames are painted.

    Attributes:
        look: the style, its blend, strength, variation and colours.
        engine: what runs the network.
        stability: flicker reduction, from 0 (none) to 1.
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
                f"stability must be from 0 to 1, not {self.stability:g}", setting="stability"
            )

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain values, for JSON; `from_dict` reads it.

        Raises:
            StyleFileError: the look holds an opened style, which has no name.
        """
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        return plain | {"look": self.look.as_dict(), "engine": asdict(self.engine)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Reads what `as_dict` returned.

        Raises:
            StyleError: a value is out of range.
            TypeError, KeyError: these are not the values of a plan.
        """
        return cls(
            **plain
            | {"look": Look.from_dict(plain["look"])}
            | {"engine": EngineChoice(**plain["engine"])}
        )
