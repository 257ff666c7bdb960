"""How frames are to be painted: a value, the same for films, pictures and live streams."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from PIL import ImageColor

from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import StyleError
from realtime_style.style.look import Look
from realtime_style.style.style import Style

PERSON, BACKGROUND = PARTS = ("person", "background")
"""What may be painted alone."""

ORIGINAL, BLUR = "original", "blur"


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """Which part of a picture is painted.

    Attributes:
        only: "person", all people in the picture, or "background", what is around them.
        background: what is seen around painted people: "original", the picture; "blur", the
            picture blurred; or a colour, such as "green", "#00b140" or "rgb(0, 177, 64)".

    Raises:
        StyleError: there is no such part or colour, or a background is asked for that is painted.
    """

    only: str = PERSON
    background: str = ORIGINAL

    def __post_init__(self) -> None:
        if self.only not in PARTS:
            raise StyleError(
                f"there is no part '{self.only}'; choose {' or '.join(PARTS)}", setting="only"
            )
        if self.background == ORIGINAL:
            return
        if self.only == BACKGROUND:
            raise StyleError(
                f"the background is painted, so it cannot be '{self.background}'",
                setting="background",
            )
        if self.background != BLUR:
            self._read_color()

    @property
    def background_rgb(self) -> tuple[int, int, int]:
        """The background's colour, 8-bit RGB; ValueError if it is not a colour."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue

    def _read_color(self) -> None:
        try:
            channels = len(ImageColor.getrgb(self.background))
        except ValueError:
            channels = 0
        if channels != 3:
            raise StyleError(
                f"'{self.background}' is not a background; choose {ORIGINAL}, {BLUR} or a colour, "
                "such as green or #00b140",
                setting="background",
            )


@dataclass(frozen=True, slots=True, init=False)
class PaintPlan:
    """How frames are painted.

    Attributes:
        look: the style, its blend, strength, variation and colours.
        engine: what runs the network.
        stability: flicker reduction, from 0 (none) to 1.
        grain: whether flat areas get a faint grain, so that the network paints strokes there.
        mask: which part of the picture is painted; None paints all of it.
    """

    look: Look
    engine: EngineChoice
    stability: float
    grain: bool
    mask: MaskPlan | None

    def __init__(
        self,
        look: Look | str | Path | Style = DEFAULT_STYLE,
        engine: EngineChoice = EngineChoice(),
        stability: float = DEFAULT_STABILITY,
        grain: bool = True,
        mask: MaskPlan | None = None,
        *,
        strength: float | None = None,
        tier: str | None = None,
    ) -> None:
        """Checks all values.

        Args:
            look: a look, or a style for `Look`.
            engine, stability, grain, mask: see the class.
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
        object.__setattr__(self, "mask", mask)
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
        mask = asdict(self.mask) if self.mask else None
        return plain | {"look": self.look.as_dict(), "engine": asdict(self.engine), "mask": mask}

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
            | {"mask": MaskPlan(**plain["mask"]) if plain["mask"] else None}
        )
