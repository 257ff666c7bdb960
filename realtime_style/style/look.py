"""How a film is to be painted: styles mixed, dosed and varied into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import StyleFileError
from realtime_style.style.bundled import PLAINS, STANDARD, TIERS, open_style
from realtime_style.style.style import Style, ranges_of_all

DEFAULT_STYLE = "starry-night"
MAX_STRENGTH = 1.5

_BEYOND = 0.4  # of each strength beyond 1: weights that go all the way out paint noise
_KINSHIP = 0.2  # cosine of the kernels of two styles: 0.4 and more of one base, 0 of two
_VARIETY = 0.4  # standard deviation of the logarithm of what a channel counts

_Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Look:
    """What is asked of a painting; a style, a few others in it, how much of it, which version.

    Generators that were trained from one base lie in one valley: the straight way between any two
    leads through generators that paint as well (deep network interpolation, Wang et al., CVPR 2019,
    arXiv 1811.10515). What is mixed of their weights is a style like any other, at no cost a frame.

    Attributes:
        style: a bundled style's name, a style file, or an opened style.
        blend: other styles, and the share of each, 0..1; `style` has the rest.
        strength: 0..1.5; 0 leaves the film as it is, 1 is the style, more exaggerates it.
        variation: another version of the style for each number from 0 up; None is the style.
        keep_colors: whether the film's chroma is kept, under the painting's luma.
        tier: one of TIERS, of bundled styles: "fast" takes half the time of "standard".
    """

    style: str | Path | Style = DEFAULT_STYLE
    blend: Mapping[str | Path, float] = field(default_factory=dict, hash=False)
    strength: float = 1.0
    variation: int | None = None
    keep_colors: bool = False
    tier: str = STANDARD

    def __post_init__(self) -> None:
        """Refuses what is out of range, with StyleFileError."""
        if self.tier not in TIERS:
            raise StyleFileError(f"there is no tier '{self.tier}'; choose {', '.join(TIERS)}")
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise StyleFileError(f"strength goes from 0 to {MAX_STRENGTH:g}, not {self.strength:g}")
        for name, share in self.blend.items():
            if not 0 <= share <= 1:
                raise StyleFileError(f"the share of {name} goes from 0 to 1, not {share:g}")
        if (whole := sum(self.blend.values())) > 1 + 1e-9:
            raise StyleFileError(
                f"the blended styles have {whole:g} of the whole together; 1 is all there is, and "
                "the style has what they leave"
            )
        if self.variation is not None and self.variation < 0:
            raise StyleFileError(f"variations are numbered from 0 up, not {self.variation}")

    def __str__(self) -> str:
        """For people to read: what differs from the plain style is said."""
        own = self.style.name if isinstance(self.style, Style) else Path(self.style).stem
        shares = {own: 1 - sum(self.blend.values())}
        shares |= {Path(name).stem: share for name, share in self.blend.items() if share}
        said = [own]
        if len(shares) > 1:
            said = [" + ".join(f"{name} {share:.0%}" for name, share in shares.items())]
        if self.strength != 1:
            said.append(f"strength {self.strength:.1f}")
        if self.variation is not None:
            said.append(f"variation {self.variation}")
        if self.keep_colors:
            said.append("the film's colours")
        if self.tier != STANDARD:
            said.append(f"{self.tier} tier")
        return ", ".join(said)

    def mixed(self, opener: Callable[[str | Path, str], Style] = open_style) -> Style:
        """The one style that paints like this, but for `keep_colors`; its card tells what it is of.

        Args:
            opener: opens styles by their names and files, and the tier.

        Raises:
            StyleFileError: a style that cannot be read, or that does not go with the others.
        """
        first = self.style if isinstance(self.style, Style) else opener(self.style, self.tier)
        if not self.blend and self.strength == 1 and self.variation is None:
            return first
        others = [(opener(name, self.tier), share) for name, share in self.blend.items()]
        weights = _sum([(first, 1 - sum(self.blend.values())), *others])
        mixed = [first, *(style for style, _ in others)]
        if self.variation is not None:
            weights = _varied(weights, self.variation)
        if self.strength != 1:
            plain = _plain_like(first)
            _refuse_stranger(plain, first)
            amount = min(self.strength, 1) + _BEYOND * max(self.strength - 1, 0)
            mixed.append(plain)
            start = plain.weights()
            weights = {name: start[name] + amount * (weights[name] - start[name]) for name in start}
        name = "+".join(style.name for style, _ in [(first, 1), *others])
        card = self._card([first, *(style for style, _ in others)])
        return first.with_weights(weights, name, card, ranges_of_all(mixed))

    def _card(self, styles: list[Style]) -> dict[str, Any]:
        made: dict[str, Any] = {"of": {style.name: style.card for style in styles}}
        if self.blend:
            made["shares"] = [1 - sum(self.blend.values()), *self.blend.values()]
        if self.strength != 1:
            made["strength"] = self.strength
        if self.variation is not None:
            made["variation"] = self.variation
        titles = [str(style.card.get("title", style.name)) for style in styles]
        return {"title": ", ".join(titles), "made": made}


def _sum(parts: list[tuple[Style, float]]) -> _Weights:
    first, share = parts[0]
    total = {name: share * weight for name, weight in first.weights().items()}
    for other, share in parts[1:]:
        _refuse_stranger(first, other)
        for name, weight in other.weights().items():
            total[name] += share * weight
    return total


def _plain_like(style: Style) -> Style:
    """The plain style of the shape of another; the standard one where none has it."""
    plains = [open_style(path) for path in PLAINS.values()]
    return next((plain for plain in plains if plain.shapes() == style.shapes()), plains[0])


def _refuse_stranger(style: Style, other: Style) -> None:
    """Raises StyleFileError where two styles cannot be mixed."""

    def refuse(why: str) -> None:
        raise StyleFileError(f"{other.name} cannot be mixed with {style.name}: {why}")

    if style.shapes() != other.shapes() or style.wiring() != other.wiring():
        refuse("its network has another shape (is one of the two of the fast tier? See --tier)")
    if style.color != other.color:
        refuse(f"it paints in another colour space, {other.color}")
    a, b = (
        np.concatenate([w.ravel() for w in each.weights().values() if w.ndim == 4])
        for each in (style, other)
    )
    if a @ b < _KINSHIP * np.linalg.norm(a) * np.linalg.norm(b):
        refuse("it was trained from another base (train it from the bundled one)")


def _varied(weights: _Weights, seed: int) -> _Weights:
    """Within each block of the trunk, some channels count more and others less.

    Their ReLU lets a scale through: the first convolution's outputs are scaled, its offsets too.
    """
    random = np.random.default_rng(seed)
    varied = dict(weights)
    for name in sorted(weights):
        if name.endswith(".first.weight"):
            offset = name.removesuffix("weight") + "bias"
            scale = np.exp(_VARIETY * random.standard_normal(len(weights[name])))
            varied[name] = weights[name] * scale[:, None, None, None]
            varied[offset] = weights[offset] * scale
    return varied
