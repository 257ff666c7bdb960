"""Which style to paint in, how strongly, blended with which others: a value that can be stored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_style.canvas import MAX_STROKES, MIN_STROKES, STROKE_SIZES
from realtime_style.defaults import DEFAULT_STYLE
from realtime_style.errors import StyleFileError
from realtime_style.style.bundled import STANDARD, TIERS, open_style, style_named
from realtime_style.style.file_format import union_of_ranges
from realtime_style.style.style import Style

MAX_STRENGTH = 1.5

_KINSHIP = 0.2  # least cosine of two styles' kernels; it is above 0.4 for one base, 0 for different
_VARIETY = 0.6  # standard deviation of the logarithm of a channel's gain in a variation

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "style": (str,),
    "blend": (list, tuple),
    "strength": (int, float),
    "variation": (int, NoneType),
    "keep_colors": (bool,),
    "tier": (str,),
    "strokes": (int, float, str),
}

_Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, init=False)
class Look:
    """Which style to paint in: one style or a blend, its strength, and a variation of it.

    Generators trained from one base can be interpolated: the weights between two of them paint as
    well as either (deep network interpolation, Wang et al., CVPR 2019, arXiv 1811.10515, sec. 3).
    So a look becomes one style before painting, and costs no time per frame.

    Looks are compared by value, hashable and picklable, even with an opened style in them.

    Attributes:
        style: name of a bundled style, path of a style file or picture, or an opened style. A text
            that `style_named` understands is replaced by the bundled style's name; paths are kept
            as strings.
        blend: pairs of another style (name or path) and its share, 0..1; `style` has the remainder.
            The constructor also accepts a mapping.
        strength: 0..1.5; 0 leaves the film unchanged, 1 is the style, more exaggerates the style.
        variation: number of a variation of the style, from 0; None is the style itself.
        keep_colors: whether only luma is painted, and the film's chroma is kept.
        tier: one of TIERS: the network size of bundled styles.
        strokes: how large strokes are relative to the picture, from MIN_STROKES to MAX_STROKES; 1
            is medium. The constructor also accepts a name in STROKE_SIZES.
    """

    style: str | Style
    blend: tuple[tuple[str, float], ...]
    strength: float
    variation: int | None
    keep_colors: bool
    tier: str
    strokes: float

    def __init__(
        self,
        style: str | Path | Style = DEFAULT_STYLE,
        blend: Mapping[str | Path, float]
        | Mapping[str, float]
        | Iterable[tuple[str | Path, float]] = (),
        strength: float = 1.0,
        variation: int | None = None,
        keep_colors: bool = False,
        tier: str = STANDARD,
        strokes: float | str = 1.0,
    ) -> None:
        """Checks all values, but opens no style.

        Raises:
            StyleFileError: a value is out of range, or a style's name fits several styles.
        """
        pairs = blend.items() if isinstance(blend, Mapping) else blend
        for name, value in (
            ("style", style if isinstance(style, Style) else style_named(os.fspath(style))),
            (
                "blend",
                tuple(
                    (style_named(os.fspath(other), setting="blend"), share)
                    for other, share in pairs
                ),
            ),
            ("strength", strength),
            ("variation", variation),
            ("keep_colors", keep_colors),
            ("tier", tier),
            ("strokes", stroke_size(strokes) if isinstance(strokes, str) else strokes),
        ):
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if self.tier not in TIERS:
            raise StyleFileError(
                f"there is no tier '{self.tier}'; choose {', '.join(TIERS)}", setting="tier"
            )
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise StyleFileError(
                f"strength must be from 0 to {MAX_STRENGTH:g}, not {self.strength:g}",
                setting="strength",
            )
        for name, share in self.blend:
            if not 0 <= share <= 1:
                raise StyleFileError(
                    f"the share of {name} must be from 0 to 1, not {share:g}", setting="blend"
                )
        names = [name for name, _ in self.blend]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise StyleFileError(f"{twice} has two shares in the blend", setting="blend")
        if self._blended > 1 + 1e-9:
            raise StyleFileError(
                f"the shares of the blended styles add up to {self._blended:g}; they may have at "
                "most 1 together, and the style itself has the remainder",
                setting="blend",
            )
        if self.variation is not None and self.variation < 0:
            raise StyleFileError(
                f"variations are numbered from 0 up, not {self.variation}", setting="variation"
            )

        if not MIN_STROKES <= self.strokes <= MAX_STROKES:
            raise StyleFileError(
                f"the size of strokes must be from {MIN_STROKES:g} to {MAX_STROKES:g}, not "
                f"{self.strokes:g}",
                setting="strokes",
            )

    @property
    def _blended(self) -> float:
        """The sum of the shares in `blend`."""
        return sum(share for _, share in self.blend)

    def __str__(self) -> str:
        """A short description for people: the style, and the values that are not the defaults."""
        own = self.style.name if isinstance(self.style, Style) else Path(self.style).stem
        shares = {own: 1 - self._blended}
        shares |= {Path(name).stem: share for name, share in self.blend if share}
        parts = [own]
        if len(shares) > 1:
            parts = [" + ".join(f"{name} {share:.0%}" for name, share in shares.items())]
        if self.strength != 1:
            parts.append(f"strength {self.strength:.1f}")
        if self.variation is not None:
            parts.append(f"variation {self.variation}")
        if self.keep_colors:
            parts.append("the film's colours")
        if self.tier != STANDARD:
            parts.append(f"{self.tier} tier")
        if self.strokes != 1:
            names = {size: name for name, size in STROKE_SIZES.items()}
            parts.append(f"{names.get(self.strokes, f'{self.strokes:g}x')} strokes")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The look as plain values that JSON can hold; `from_dict` reads them.

        Raises:
            StyleFileError: `style` is an opened style, which JSON cannot hold.
        """
        if isinstance(self.style, Style):
            raise StyleFileError(
                f"the opened style '{self.style.name}' cannot be stored in JSON; save it to a "
                "file, and give that file as the style",
                setting="style",
            )
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"blend": [list(pair) for pair in self.blend]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """The look that `as_dict` stored; missing values take their defaults.

        Raises:
            StyleFileError: a value is unknown, of a wrong type, or out of range.
        """
        if unknown := set(values) - set(_JSON_TYPES):
            raise StyleFileError(
                f"a look has no value '{min(unknown)}'; it has {', '.join(_JSON_TYPES)}"
            )
        for name, value in values.items():
            kinds = _JSON_TYPES[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise StyleFileError(f"{name} cannot be {value!r} in a stored look", setting=name)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:  # the blend is not a list of pairs
            raise StyleFileError(f"this is not a look: {dict(values)} ({error})") from error

    def as_json(self) -> str:
        """The look as one line of JSON. Raises StyleFileError as `as_dict` does."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> Look:
        """The look that `as_json` stored. Raises StyleFileError if the text is not a look."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StyleFileError(f"this is not a look in JSON: {error}") from error
        if not isinstance(values, dict):
            raise StyleFileError("a look must be a JSON object")
        return cls.from_dict(values)

    def mixed(self, opener: Callable[[str | Path, str], Style] = open_style) -> Style:
        """The one style that paints like this look, except for `keep_colors`.

        Its card names the styles, shares, strength and variation that it was made from.

        Args:
            opener: opens a style, given its name or path and the tier.

        Raises:
            StyleFileError: a style cannot be read, or cannot be blended with the others.
        """
        first = self.style if isinstance(self.style, Style) else opener(self.style, self.tier)
        if not self.blend and self.strength == 1 and self.variation is None:
            return first
        others = [(opener(name, self.tier), share) for name, share in self.blend]
        weights = _sum([(first, 1 - self._blended), *others])
        styles = [first, *(style for style, _ in others)]
        ranges = [style.ranges for style in styles]
        if self.variation is not None:
            weights = _varied(weights, self.variation)
        name = "+".join(style.name for style in styles)
        mixed = first.with_weights(weights, name, self._card(styles), union_of_ranges(ranges))
        if self.strength == 1:
            return mixed
        return mixed.with_strength(self.strength)

    def _card(self, styles: list[Style]) -> dict[str, Any]:
        made: dict[str, Any] = {"of": {style.name: style.card for style in styles}}
        if self.blend:
            made["shares"] = [1 - self._blended, *(share for _, share in self.blend)]
        if self.strength != 1:
            made["strength"] = self.strength
        if self.variation is not None:
            made["variation"] = self.variation
        titles = [str(style.card.get("title", style.name)) for style in styles]
        return {"title": ", ".join(titles), "made": made}


def stroke_size(text: str) -> float:
    """How large strokes are, from a name in STROKE_SIZES or a number as text.

    Raises:
        StyleFileError: it is neither.
    """
    try:
        return STROKE_SIZES.get(text) or float(text)
    except ValueError:
        raise StyleFileError(
            f"strokes can be {', '.join(STROKE_SIZES)}, or a number such as 1.2, not '{text}'",
            setting="strokes",
        ) from None


def _sum(parts: list[tuple[Style, float]]) -> _Weights:
    """The weighted sum of the styles' weights. Raises StyleFileError if they do not match."""
    first, share = parts[0]
    total = {name: share * weight for name, weight in first.weights().items()}
    for other, share in parts[1:]:
        _refuse_stranger(first, other)
        for name, weight in other.weights().items():
            total[name] += share * weight
    return total


def _refuse_stranger(style: Style, other: Style) -> None:
    """Raises StyleFileError if two styles cannot be blended."""

    def refuse(why: str) -> None:
        raise StyleFileError(
            f"{other.name} cannot be mixed with {style.name}: {why}", setting="style"
        )

    if style.shapes() != other.shapes() or style.wiring() != other.wiring():
        refuse("its network has another shape; blend only styles of the same tier")
    if style.color != other.color:
        refuse(f"it paints in another colour space, {other.color}")
    a, b = (
        np.concatenate([w.ravel() for w in each.weights().values() if w.ndim == 4])
        for each in (style, other)
    )
    if a @ b < _KINSHIP * np.linalg.norm(a) * np.linalg.norm(b):
        refuse("it was trained from another base; train it from the included one")


def _varied(weights: _Weights, seed: int) -> _Weights:
    """Multiplies the channels between the two convolutions of each block by random gains.

    The ReLU between the two convolutions commutes with positive factors, so it is enough to scale
    the kernels and the biases of the first convolution.

    Args:
        weights: weights of a style, by name; not changed.
        seed: number of the variation; the same number gives the same gains.
    """
    random = np.random.default_rng(seed)
    varied = dict(weights)
    for name in sorted(weights):
        if name.startswith("body.blocks.") and name.endswith(".first.weight"):
            bias = name.removesuffix("weight") + "bias"
            scale = np.exp(_VARIETY * random.standard_normal(len(weights[name])))
            varied[name] = weights[name] * scale[:, None, None, None]
            varied[bias] = weights[bias] * scale
    return varied
