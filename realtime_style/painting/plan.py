"""How frames are to be painted: a value, the same for films, pictures and live streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import StyleError
from realtime_style.style.look import Look
from realtime_style.style.style import Style


@dataclass(frozen=True, slots=True, init=False)
class PaintPlan:
    """How frames are painted.

    Attributes:
        look: the style, its blend, strength, variation and colours.
        engine: what runs the network.
        stability: flicker reduction, from 0 (none) to 1.
        grain: whether flat areas get a faint grain, so that the network paints strokes there.
    """

    look: Look
    engine: EngineChoice
    stability: float
    grain: bool

    def __init__(
        self,
        look: Look | str | Path | Style = DEFAULT_STYLE,
        engine: EngineChoice = EngineChoice(),
        stability: float = DEFAULT_STABILITY,
        grain: bool = True,
        *,
        strength: float | None = None,
        tier: str | None = None,
    ) -> None:
        """Checks all values.

        Args:
            look: a look, or a style for `Look`.
            engine, stability, grain: see the class.
            strength, tier: replace those of the look; None leaves them as they are.

        Raises:
            StyleError: a value is out of range.
        """
        look = look if isinstance(look, Look) else Look(look)
        look = look if strength is None else replace(look, strength=strength)
        look = look if tier is None else replace(look, tier=tier)
        object.__setattr__(self, "look", look)
        object.__setattr__(self, "engine", engine)
        object.__setattr__(self, "stability", stability)
        object.__setattr__(self, "grain", grain)
        if not 0 <= self.stability <= 1:
            raise StyleError(
                f"stability must be from 0 to 1, not {self.stability:g}", setting="stability"
            )

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain values, for JSON; `from_dict` reads it.

        Raises:
            StyleFileError: the look holds an opened style, which JSON cannot hold.
        """
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        return plain | {"look": self.look.as_dict(), "engine": asdict(self.engine)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Makes the plan from what `as_dict` returned.

        Raises:
            StyleError: a value is out of range.
            TypeError, KeyError: a value is missing, unknown or of a wrong type.
        """
        return cls(
            **plain
            | {"look": Look.from_dict(plain["look"])}
            | {"engine": EngineChoice(**plain["engine"])}
        )
