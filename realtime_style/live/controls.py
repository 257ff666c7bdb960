"""Carries out commands: on the look, the shot on display, and captures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import assert_never

from realtime_style.errors import StyleError
from realtime_style.frame import StreamInfo
from realtime_style.live import commands
from realtime_style.live.captures import Captures
from realtime_style.live.commands import COMMANDS, Command
from realtime_style.live.front_end import Shot
from realtime_style.live.messages import Messages
from realtime_style.live.stage import LiveStage
from realtime_style.painting.plan import ORIGINAL, PARTS, MaskPlan
from realtime_style.painting.style_picture import is_picture
from realtime_style.style.bundled import TIERS
from realtime_style.style.look import MAX_STRENGTH, Look

_FIRST_SHARE = 0.5  # share of a style when it is blended in


class LiveControls:
    """Carries out the commands of a job's user. Not thread-safe.

    Attributes:
        shot: the shot on display: the newest one, or the one that is frozen.
        is_frozen: whether `shot` stays as it is.
    """

    def __init__(
        self,
        stage: LiveStage,
        captures: Captures,
        messages: Messages,
        info: Callable[[], StreamInfo],
        stop: Callable[[], None],
        allowed: Collection[type[Command]] = COMMANDS,
    ) -> None:
        """Shows nothing yet.

        Args:
            stage: its look is changed.
            captures: saves snapshots and recordings.
            messages: receives the result of each command.
            info: returns the info of the open source.
            stop: ends the job.
            allowed: the commands that are carried out; others are reported as not allowed.
        """
        self.shot: Shot | None = None
        self.is_frozen = False
        self._stage, self._captures, self._messages = stage, captures, messages
        self._info, self._stop, self._allowed = info, stop, allowed
        # Number of the style chosen last. Even if loading it has failed, steps continue from there
        self._asked = max(0, stage.chosen)

    def offer(self, shot: Shot) -> bool:
        """Makes `shot` the one on display. Returns False, and does nothing, while frozen."""
        if self.is_frozen and self.shot is not None:
            return False
        self.shot = shot
        return True

    def apply(self, command: Command) -> None:
        """Carries out a command if it is allowed; messages report results and refusals."""
        if type(command) not in self._allowed:
            self._messages.notify(f"the command {type(command).__name__} is not allowed here")
            return
        match command:
            case commands.ChooseStyle(number):
                if 0 <= number < len(self._stage.styles):
                    self._choose(number)
            case commands.StepStyle(by):
                self._choose(self._asked + by)
            case commands.NextPicture():
                self._next_picture()
            case commands.ToggleFreeze():
                self.is_frozen = not self.is_frozen
            case commands.Snapshot():
                if self.shot is not None:
                    self._captures.save_snapshot(self.shot)
            case commands.ToggleRecording():
                self._captures.toggle_recording(self._info())
            case commands.Quit():
                self._stop()
            case commands.SetStability(stability):
                self._stage.set_stability(min(1.0, max(0.0, stability)))
            case commands.PaintOnly(only, background):
                self._paint_only(only, background)
            case commands.NextPart():
                parts = ("", *PARTS)
                now = self._stage.mask.only if self._stage.mask else ""
                self._paint_only(parts[(parts.index(now) + 1) % len(parts)], ORIGINAL)
            case _:
                self._change_look(_changed(self._stage.look, command, self._stage.styles))

    def _paint_only(self, only: str, background: str) -> None:
        try:
            self._stage.set_mask(MaskPlan(only, background) if only else None)
        except StyleError as error:
            self._messages.notify(str(error))
        else:
            self._messages.notify(f"painting only the {only}" if only else "painting everything")

    def _choose(self, number: int) -> None:
        self._asked = number % len(self._stage.styles)
        self._stage.choose(number)
        self._report_look()

    def _next_picture(self) -> None:
        pictures = [i for i, name in enumerate(self._stage.styles) if is_picture(name)]
        if not pictures:
            self._messages.notify("there are no style pictures to choose from")
            return
        self._choose(next((i for i in pictures if i > self._asked), pictures[0]))

    def _change_look(self, look: Look) -> None:
        self._stage.choose_look(look)
        self._report_look()

    def _report_look(self) -> None:
        if self._stage.failure is None:  # the job reports failures as troubles
            later = ", visible once the picture is no longer frozen" if self.is_frozen else ""
            number = self._stage.chosen
            place = f"{number + 1}: " if number >= 0 else ""
            self._messages.notify(f"{place}{self._stage.look}{later}")


_LookCommand = (
    commands.ChangeStrength
    | commands.SetStrength
    | commands.NextBlend
    | commands.ChangeShare
    | commands.BlendIn
    | commands.ToggleColors
    | commands.NextTier
)


def _changed(look: Look, command: _LookCommand, styles: list[str]) -> Look:
    """The look after a command that changes it."""
    match command:
        case commands.ChangeStrength(by):
            strength = min(MAX_STRENGTH, max(0.0, round(look.strength + by, 1)))
            return replace(look, strength=strength)
        case commands.SetStrength(strength):
            return replace(look, strength=min(MAX_STRENGTH, max(0.0, round(strength, 2))))
        case commands.NextBlend():
            return _with_next_blend(look, styles)
        case commands.ChangeShare(by):
            return _with_share(look, by) if look.blend else _with_next_blend(look, styles)
        case commands.BlendIn(number, share):
            return _blended(look, styles, number, share)
        case commands.ToggleColors():
            return replace(look, keep_colors=not look.keep_colors)
        case commands.NextTier():
            tiers = list(TIERS)
            return replace(look, tier=tiers[(tiers.index(look.tier) + 1) % len(tiers)])
        case _:
            assert_never(command)


def _with_next_blend(look: Look, styles: list[str]) -> Look:
    """The look with the next style blended in, at the share of the one before, or at first 0.5."""
    share = sum(part for _, part in look.blend) or _FIRST_SHARE
    following = next((styles.index(name) for name, _ in look.blend if name in styles), -1) + 1
    if following < len(styles) and styles[following] == look.style:
        following += 1
    blend = ((styles[following], share),) if following < len(styles) else ()
    return replace(look, blend=blend)


def _blended(look: Look, styles: list[str], number: int, share: float) -> Look:
    """The look with exactly one style blended in; the look itself for a number that none has."""
    share = min(1.0, max(0.0, round(share, 2)))
    if share and not 0 <= number < len(styles):
        return look
    return replace(look, blend=((styles[number], share),) if share else ())


def _with_share(look: Look, by: float) -> Look:
    """The look with `by` added to the total share of its blended styles, whose ratio is kept."""
    total = sum(part for _, part in look.blend)
    share = min(1.0, max(0.0, round(total + by, 1)))
    blend = tuple((name, share * part / total) for name, part in look.blend) if share else ()
    return replace(look, blend=blend)
