"""Commands that keys, buttons and messages map to."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias, get_args

from realtime_style.errors import StyleError


@dataclass(frozen=True, slots=True)
class ChooseStyle:
    """Choose a style by its number, counted from 0; numbers without a style do nothing."""

    number: int


@dataclass(frozen=True, slots=True)
class StepStyle:
    """Choose the style that many places further on; the first follows the last."""

    by: int


@dataclass(frozen=True, slots=True)
class NextPicture:
    """Choose the next style picture."""


@dataclass(frozen=True, slots=True)
class ChangeStrength:
    """Change the strength of the look, within 0..1.5."""

    by: float


@dataclass(frozen=True, slots=True)
class NextBlend:
    """Blend in the next style instead of the current one; after the last style, none."""


@dataclass(frozen=True, slots=True)
class ChangeShare:
    """Change the share of the blended styles, within 0..1; begins to blend if none is."""

    by: float


@dataclass(frozen=True, slots=True)
class ToggleColors:
    """Keep the camera's colours, or use those of the style."""


@dataclass(frozen=True, slots=True)
class NextTier:
    """Switch to the next tier, such as from standard to fast."""


@dataclass(frozen=True, slots=True)
class ToggleFreeze:
    """Freeze the picture, or continue."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Save the picture shown as PNG."""


@dataclass(frozen=True, slots=True)
class ToggleRecording:
    """Start a recording, or complete the one started this way."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the job."""


Command: TypeAlias = (
    ChooseStyle
    | StepStyle
    | NextPicture
    | ChangeStrength
    | NextBlend
    | ChangeShare
    | ToggleColors
    | NextTier
    | ToggleFreeze
    | Snapshot
    | ToggleRecording
    | Quit
)

COMMANDS: frozenset[type[Command]] = frozenset(get_args(Command))
"""All kinds of commands."""

WRITE_COMMANDS: frozenset[type[Command]] = frozenset((Snapshot, ToggleRecording))
"""Those that write files."""

_KINDS: dict[str, type[Command]] = {kind.__name__: kind for kind in get_args(Command)}


def command_as_json(command: Command) -> str:
    """A command as a JSON object, for example `{"command": "StepStyle", "by": 1}`."""
    return json.dumps({"command": type(command).__name__, **asdict(command)})


def command_from_json(text: str) -> Command:
    """Reads a command from `command_as_json`; the text need not be trusted.

    Raises:
        StyleError: not a JSON object, no such command, or arguments that it does not take.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StyleError(f"the command is not JSON: {error}") from error
    kind = _KINDS.get(str(values.pop("command", ""))) if isinstance(values, dict) else None
    if kind is None:
        raise StyleError(f"there is no such command: {text[:80]}")
    types = {field.name: field.type for field in fields(kind)}
    if values.keys() != types.keys() or not all(
        _is_a(types[name], value) for name, value in values.items()
    ):
        takes = ", ".join(f"{name} ({kind_})" for name, kind_ in types.items()) or "no arguments"
        raise StyleError(f"the command {kind.__name__} takes {takes}")
    return kind(**values)


def _is_a(type_name: object, value: Any) -> bool:
    """Whether a JSON value can be a field's: "int", or "float" for every finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return type_name == "float" or isinstance(value, int)
