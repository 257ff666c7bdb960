"""What the user of a live job can ask for. Keys, buttons and messages are turned into these."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias, get_args

from realtime_style.errors import StyleError


@dataclass(frozen=True, slots=True)
class ChooseStyle:
    """Choose a style by its number, from 0; a number that no style has does nothing."""

    number: int


@dataclass(frozen=True, slots=True)
class StepStyle:
    """Choose the style `by` places after the current one (before it if negative), in a circle."""

    by: int


@dataclass(frozen=True, slots=True)
class NextPicture:
    """Choose the next style that comes from a picture; after the last one, the first."""


@dataclass(frozen=True, slots=True)
class ChangeStrength:
    """Add `by` to the strength of the look, which stays within 0..1.5."""

    by: float


@dataclass(frozen=True, slots=True)
class SetStrength:
    """Give the look a strength; values outside 0..1.5 are moved to the nearer end."""

    strength: float


@dataclass(frozen=True, slots=True)
class NextBlend:
    """Blend in the style after the one that is blended in now; after the last style, none."""


@dataclass(frozen=True, slots=True)
class ChangeShare:
    """Add `by` to the share of the blended styles, which stays within 0..1.

    If none is blended in, do what `NextBlend` does.
    """

    by: float


@dataclass(frozen=True, slots=True)
class BlendIn:
    """Blend in one style, by its number from 0, with a share within 0..1; 0 blends in none."""

    number: int
    share: float


@dataclass(frozen=True, slots=True)
class ToggleColors:
    """Keep the camera's colours, or use those of the style."""


@dataclass(frozen=True, slots=True)
class NextTier:
    """Switch to the next tier, such as from standard to fast."""


@dataclass(frozen=True, slots=True)
class SetStability:
    """Set the flicker reduction; values outside 0..1 are moved to the nearer end."""

    stability: float


@dataclass(frozen=True, slots=True)
class PaintOnly:
    """Paint only a part of the picture, as in `MaskPlan`; with "" as the part, all of it.

    Values that `MaskPlan` refuses change nothing.
    """

    only: str
    background: str


@dataclass(frozen=True, slots=True)
class NextPart:
    """Paint all of the picture, only people, or only the background, in turn."""


@dataclass(frozen=True, slots=True)
class ToggleFreeze:
    """Freeze the picture, or continue."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Save the painted picture on display as a PNG file."""


@dataclass(frozen=True, slots=True)
class ToggleRecording:
    """Start a recording, or complete the one that this command has started."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the job."""


Command: TypeAlias = (
    ChooseStyle
    | StepStyle
    | NextPicture
    | ChangeStrength
    | SetStrength
    | NextBlend
    | ChangeShare
    | BlendIn
    | ToggleColors
    | NextTier
    | SetStability
    | PaintOnly
    | NextPart
    | ToggleFreeze
    | Snapshot
    | ToggleRecording
    | Quit
)

COMMANDS: frozenset[type[Command]] = frozenset(get_args(Command))
"""All kinds of commands."""

WRITE_COMMANDS: frozenset[type[Command]] = frozenset((Snapshot, ToggleRecording))
"""The commands that write files."""

_KINDS: dict[str, type[Command]] = {kind.__name__: kind for kind in get_args(Command)}


def command_as_json(command: Command) -> str:
    """A command as a JSON object, for example `{"command": "StepStyle", "by": 1}`."""
    return json.dumps({"command": type(command).__name__, **asdict(command)})


def command_from_json(text: str) -> Command:
    """Reads the text of `command_as_json`, which may come from an untrusted source.

    Raises:
        StyleError: the text is not a JSON object, names no command, or has other arguments than
            the command.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StyleError(f"the command is not JSON: {error}") from error
    kind = _KINDS.get(str(values.pop("command", ""))) if isinstance(values, dict) else None
    if kind is None:
        raise StyleError(
            f"there is no such command: {text[:80]}; its name must be one of {', '.join(_KINDS)}"
        )
    types = {field.name: field.type for field in fields(kind)}
    if values.keys() != types.keys() or not all(
        _is_a(types[name], value) for name, value in values.items()
    ):
        takes = ", ".join(f"{name} ({kind_})" for name, kind_ in types.items()) or "no arguments"
        raise StyleError(f"the command {kind.__name__} takes {takes}")
    return kind(**values)


def _is_a(type_name: object, value: Any) -> bool:
    """Whether a JSON value fits a field's type: "str", "int", or "float" for any finite number."""
    if type_name == "str":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return type_name == "float" or isinstance(value, int)
