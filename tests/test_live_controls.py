"""Commands and what they do, the window's keys and pictures, messages, statistics."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from conftest import scene_rgb
from live_fakes import INFO, FakeWindow, User, frame
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool
from realtime_style.live import commands
from realtime_style.live.commands import Command, command_as_json, command_from_json
from realtime_style.live.controls import LiveControls
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.messages import Messages, Trouble
from realtime_style.live.opencv_window import Pointer
from realtime_style.live.stats import LiveFigures, LiveStats
from realtime_style.live.view import Corner, Mode, View, fit
from realtime_style.live.window_front_end import HELP, KEYS, ViewAction, WindowFrontEnd
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame, scaled_frame
from realtime_style.painting.plan import MaskPlan
from realtime_style.style.look import Look


def shot_of(original: Frame, painted: Frame) -> Shot:
    return Shot(original, painted, Look(), "starry-night", 0.01)


# Commands ---------------------------------------------------------------------------------------

EVERY_COMMAND: list[Command] = [
    commands.ChooseStyle(3),
    commands.StepStyle(-1),
    commands.NextPicture(),
    commands.ChangeStrength(0.1),
    commands.SetStrength(0.7),
    commands.NextBlend(),
    commands.ChangeShare(-0.1),
    commands.BlendIn(1, 0.25),
    commands.ToggleColors(),
    commands.NextTier(),
    commands.SetStability(0.5),
    commands.PaintOnly("person", "#00b140"),
    commands.NextPart(),
    commands.ToggleFreeze(),
    commands.Snapshot(),
    commands.ToggleRecording(),
    commands.Quit(),
]


def test_these_are_all_commands() -> None:
    assert {type(command) for command in EVERY_COMMAND} == set(get_args(Command))


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_commands_are_values_that_survive_json(command: Command) -> None:
    assert command_from_json(command_as_json(command)) == command
    assert len({command, dataclasses.replace(command)}) == 1


def test_commands_look_the_same_from_a_browser() -> None:
    assert json.loads(command_as_json(commands.StepStyle(1))) == {"command": "StepStyle", "by": 1}
    assert command_from_json('{"command": "ChangeStrength", "by": 1}') == commands.ChangeStrength(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "no such command"),
        ("{}", "no such command"),
        ('{"command": "Explode"}', "no such command"),
        ('{"command": ["StepStyle"], "by": 1}', "no such command"),
        ('{"command": "StepStyle"}', r"StepStyle takes by \(int\)"),
        ('{"command": "StepStyle", "by": 1, "at": 2}', "StepStyle takes by"),
        ('{"command": "StepStyle", "by": 1.5}', "StepStyle takes by"),
        ('{"command": "StepStyle", "by": true}', "StepStyle takes by"),
        ('{"command": "StepStyle", "by": "1"}', "StepStyle takes by"),
        ('{"command": "PaintOnly", "only": 1, "background": ""}', r"takes only \(str\)"),
        ('{"command": "ChangeStrength", "by": NaN}', r"ChangeStrength takes by \(float\)"),
        ('{"command": "Quit", "by": 1}', "Quit takes no arguments"),
    ],
)
def test_anything_else_is_no_command(text: str, message: str) -> None:
    with pytest.raises(StyleError, match=message):
        command_from_json(text)


# What commands do -------------------------------------------------------------------------------


class StubStage:
    """Remembers the look; every one can be had."""

    def __init__(self, styles: list[str], look: Look) -> None:
        self.styles, self.look, self.failure = styles, look, None
        self.stability = 0.5
        self.mask: MaskPlan | None = None

    @property
    def chosen(self) -> int:
        return self.styles.index(str(self.look.style))

    def choose(self, number: int) -> None:
        style = self.styles[number % len(self.styles)]
        self.look = dataclasses.replace(self.look, style=style)

    def choose_look(self, look: Look) -> None:
        self.look = look

    def set_stability(self, stability: float) -> None:
        self.stability = stability

    def set_mask(self, mask: MaskPlan | None) -> None:
        self.mask = mask


class StubCaptures:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def save_snapshot(self, shot: Shot) -> None:
        self.calls.append(shot)

    def toggle_recording(self, info: object) -> None:
        self.calls.append(info)


class Desk:
    """Controls with stubs around them."""

    def __init__(self, styles: str = "a b c", look: Look | None = None) -> None:
        self.said: list[str] = []
        self.stopped: list[bool] = []
        self.stage = StubStage(styles.split(), look or Look(styles.split()[0]))
        self.captures = StubCaptures()
        self.controls = LiveControls(
            self.stage,  # type: ignore[arg-type]
            self.captures,  # type: ignore[arg-type]
            Messages(self.said.append),
            lambda: INFO,
            lambda: self.stopped.append(True),
        )

    def do(self, *given: Command) -> Look:
        for command in given:
            self.controls.apply(command)
        return self.stage.look


def test_styles_are_chosen_by_number_and_by_steps() -> None:
    desk = Desk()
    assert desk.do(commands.ChooseStyle(2)).style == "c"
    assert desk.do(commands.StepStyle(1)).style == "a"
    assert desk.do(commands.StepStyle(-1)).style == "c"
    said = len(desk.said)
    assert desk.do(commands.ChooseStyle(3), commands.ChooseStyle(-1)).style == "c"
    assert len(desk.said) == said


def test_pictures_are_chosen_in_turn() -> None:
    desk = Desk("a b.png c d.jpg")
    chosen = [desk.do(commands.NextPicture()).style for _ in range(3)]
    assert chosen == ["b.png", "d.jpg", "b.png"]


def test_strength_stays_in_its_range() -> None:
    desk = Desk()
    assert desk.do(*[commands.ChangeStrength(0.1)] * 3).strength == 1.3
    assert desk.do(*[commands.ChangeStrength(0.1)] * 9).strength == 1.5
    assert desk.do(*[commands.ChangeStrength(-0.1)] * 20).strength == 0


def test_sliders_set_strength_share_and_stability() -> None:
    desk = Desk()
    assert desk.do(commands.SetStrength(0.726)).strength == 0.73
    assert desk.do(commands.SetStrength(9)).strength == 1.5
    assert desk.do(commands.SetStrength(-9)).strength == 0
    assert desk.do(commands.BlendIn(2, 0.25)).blend == (("c", 0.25),)
    assert desk.do(commands.BlendIn(1, 7)).blend == (("b", 1.0),)
    assert desk.do(commands.BlendIn(3, 0.5)).blend == (("b", 1.0),)
    assert desk.do(commands.BlendIn(-1, 0)).blend == ()
    for asked, given in ((0.25, 0.25), (2, 1.0), (-1, 0.0)):
        desk.do(commands.SetStability(asked))
        assert desk.stage.stability == given


def test_a_part_is_painted_alone() -> None:
    desk = Desk()
    desk.do(commands.PaintOnly("person", "blur"))
    assert desk.stage.mask == MaskPlan("person", "blur")
    for only, background in (("cat", "original"), ("person", "sunset"), ("background", "blur")):
        desk.do(commands.PaintOnly(only, background))
        assert desk.stage.mask == MaskPlan("person", "blur")
    assert "'sunset' is not a background" in desk.said[-2]
    desk.do(commands.PaintOnly("", "original"))
    assert desk.stage.mask is None
    parts = []
    for _ in range(3):
        desk.do(commands.NextPart())
        parts.append(desk.stage.mask)
    assert parts == [MaskPlan("person"), MaskPlan("background"), None]


def test_blends_go_through_all_other_styles_and_end() -> None:
    desk = Desk(look=Look("b"))
    assert desk.do(commands.NextBlend()).blend == (("a", 0.5),)
    assert desk.do(commands.ChangeShare(0.1)).blend == (("a", 0.6),)
    assert desk.do(commands.NextBlend()).blend == (("c", 0.6),)
    assert desk.do(*[commands.ChangeShare(0.1)] * 9).blend == (("c", 1.0),)
    assert desk.do(commands.NextBlend()).blend == ()
    assert desk.do(commands.ChangeShare(0.1)).blend == (("a", 0.5),)
    assert desk.do(*[commands.ChangeShare(-0.1)] * 5).blend == ()


def test_the_ratio_of_blended_styles_stays() -> None:
    desk = Desk(look=Look("a", {"b": 0.2, "c": 0.3}))
    assert desk.do(commands.ChangeShare(-0.25)).blend == (
        ("b", pytest.approx(0.08)),
        ("c", pytest.approx(0.12)),
    )


def test_colors_and_tiers_alternate() -> None:
    desk = Desk()
    assert [desk.do(commands.ToggleColors()).keep_colors for _ in range(2)] == [True, False]
    assert [desk.do(commands.NextTier()).tier for _ in range(2)] == ["fast", "standard"]
    assert desk.said[-2:] == ["1: a, fast tier", "1: a"]


def test_a_frozen_shot_stays_on_display() -> None:
    desk = Desk()
    shots = [shot_of(frame(luma), frame(luma)) for luma in (50, 60, 70)]
    desk.do(commands.ToggleFreeze())
    assert desk.controls.offer(shots[0])  # there was none yet
    assert not desk.controls.offer(shots[1])
    assert desk.controls.shot is shots[0]
    desk.do(commands.StepStyle(1))
    assert desk.said == ["2: b, visible once the picture is no longer frozen"]
    desk.do(commands.ToggleFreeze())
    assert desk.controls.offer(shots[2])
    assert desk.controls.shot is shots[2]


def test_captures_and_quitting() -> None:
    desk = Desk()
    desk.do(commands.Snapshot())  # nothing to save yet
    shot = shot_of(frame(), frame())
    desk.controls.offer(shot)
    desk.do(commands.Snapshot(), commands.ToggleRecording())
    assert desk.captures.calls == [shot, INFO]
    assert not desk.stopped
    desk.do(commands.Quit())
    assert desk.stopped


# The window -------------------------------------------------------------------------------------

STATUS = LiveStatus(("starry-night", "my"), 0, "starry-night", "openvino int8")


def test_the_help_names_every_key() -> None:
    named = {key for line in HELP.splitlines() for key in line.partition(": ")[0].split(", ")}
    keys = set(KEYS) - {"escape", "="} - set("123456789")
    assert named - {"1 to 9", "drag", "space"} == keys - {" "}


def test_keys_become_commands_and_views_stay_here() -> None:
    def user(window: FakeWindow) -> User:
        yield from ("nP=", "vmhi?", ["escape"], "f", ["escape"])

    window = FakeWindow(user)
    local = WindowFrontEnd(window)
    step = commands.StepStyle
    assert local.poll(0.001) == [step(1), step(-1), commands.ChangeStrength(0.1)]
    assert local.poll(0.001) == []
    assert (local.view.mode, local.view.mirror) == (Mode.SPLIT, True)
    assert local.poll(0.001) == [commands.Quit()]
    assert local.poll(0.001) == []
    assert window.full
    assert local.poll(0.001) == []  # leaves the full screen only
    assert not window.full
    assert all(isinstance(KEYS[key], ViewAction) for key in "vmhif")


def test_the_window_draws_only_what_has_changed() -> None:
    window = FakeWindow(size=(320, 240))
    local = WindowFrontEnd(window)
    shot = shot_of(frame(), frame())
    for _ in range(3):
        local.show(shot, STATUS)
    assert len(window.shown) == 1
    local.show(shot_of(shot.original, shot.painted), STATUS)
    window.size = (300, 240)
    changed = {"is_frozen": True}, {"recordings": ("recording a.mp4",)}, {"messages": ("hello",)}
    for change in ({}, *changed):
        local.show(shot, dataclasses.replace(STATUS, **change))
    assert len(window.shown) == 6


def test_fit_keeps_the_shape() -> None:
    assert fit(640, 480, 1280, 720) == (160, 0, 960, 720)
    assert fit(640, 480, 320, 720) == (0, 240, 320, 240)
    assert fit(1920, 1080, 1, 1)[2:] == (1, 1)


def test_compose_puts_the_two_where_they_belong() -> None:
    shot = shot_of(frame(235, (128, 96)), frame(16))  # light and dark
    view = View(mode=Mode.SPLIT, divider=0.25)
    picture = view.compose(shot, (200, 150), {})
    assert picture[:, :48].min() > 240
    assert picture[:, 52:].max() < 10
    view.mirror = True
    mirrored = view.compose(shot, (200, 150), {})
    assert mirrored[:, :48].min() > 240  # the camera's half stays left
    view.mode = Mode.SIDE_BY_SIDE
    picture = view.compose(shot, (400, 150), {})
    assert picture[:, :200].min() > 240
    assert picture[:, 200:].max() < 10


def test_texts_are_written_into_their_corners() -> None:
    shot = shot_of(frame(16), frame(16))
    texts = {Corner.TOP: "frozen", Corner.BOTTOM: ""}
    top = View().compose(shot, (320, 240), texts)
    bottom = View().compose(shot, (320, 240), {Corner.BOTTOM: "snapshot"})
    assert top[:30].max() > 200
    assert top[30:].max() < 10
    assert bottom[-30:].max() > 200
    assert bottom[:-30].max() < 10
    light = View().compose(shot_of(frame(235), frame(235)), (320, 240), texts)
    assert 90 < light[2, 2].max() < 130  # the picture shines through behind the text


def test_the_divider_follows_the_mouse() -> None:
    def user(window: FakeWindow) -> User:
        yield from ("v", Pointer(60, 5, pressed=True), Pointer(90, 5, pressed=False))

    local = WindowFrontEnd(FakeWindow(user, size=(120, 48)))  # bars of 28 pixels at both sides
    local.show(shot_of(frame(), frame()), STATUS)
    for _ in range(3):
        assert local.poll(0.001) == []
    assert local.view.divider == pytest.approx(0.5)


@pytest.mark.parametrize("size", [(64, 50), (132, 98), (66, 46)])
def test_scaling_takes_any_even_sides(size: tuple[int, int]) -> None:
    rgb = scene_rgb(*size)
    original = frame_from_rgb(rgb, ColorSpace())
    assert np.abs(rgb_from_frame(original).astype(int) - rgb).mean() < 6
    for to in ((96, 72), (34, 26)):
        scaled = scaled_frame(original, to, VideoReformatter(), FramePool())
        assert (scaled.width, scaled.height) == to
        shown = np.asarray(Image.fromarray(rgb).resize(to, Image.Resampling.BOX), int)
        assert np.abs(rgb_from_frame(scaled).astype(int) - shown).mean() < 12


# Messages and statistics ------------------------------------------------------------------------


def test_notices_are_shown_for_a_while() -> None:
    said: list[str] = []
    now_s = [0.0]
    messages = Messages(said.append, clock=lambda: now_s[0])
    messages.notify("first")
    now_s[0] = 3.0
    messages.notify("second")
    assert messages.shown() == ("second",)
    now_s[0] = 6.9
    assert messages.shown() == ("second",)
    now_s[0] = 7.1
    assert messages.shown() == ()
    assert said == ["first", "second"]


def test_troubles_are_reported_once_and_shown_while_they_last() -> None:
    said: list[str] = []
    messages = Messages(said.append)
    camera, style = object(), object()
    for seconds in (2, 3):
        messages.update({camera: Trouble(f"silent for {seconds} s", "it works again"),
                         style: Trouble("a bad style")})  # fmt: skip
    assert said == ["silent for 2 s", "a bad style"]
    assert messages.shown() == ("silent for 3 s", "a bad style")
    assert messages.has_reported(camera)
    assert not messages.has_reported("another")
    messages.update({})
    assert said[2:] == ["it works again"]
    assert messages.shown() == ()
    messages.update({camera: Trouble("silent again", "it works again")})
    messages.discard(camera)  # it is gone: that is no recovery
    messages.update({})
    assert said[3:] == ["silent again"]


def test_statistics() -> None:
    stats = LiveStats()
    assert stats.latency_ms(50) == 0
    assert stats.fps(0.0) == 0
    for i in range(100):
        stats.add(i, i / 50)
    assert stats.fps(2.0) == pytest.approx(50)
    assert stats.fps(100.0) == 0
    assert stats.latency_ms(50) == pytest.approx(49.5)
    assert stats.frames == 100


def test_figures_do_not_change_with_the_stream() -> None:
    stats = LiveStats()
    assert stats.figures(0.0) == LiveFigures()
    for i in range(100):
        stats.add(i, i / 50, dropped=i // 10)
    figures = stats.figures(2.0)
    stats.add(1000, 2.1, dropped=20)
    assert (figures.frames, figures.dropped) == (100, 9)
    assert figures.fps == pytest.approx(50)
    assert figures.latency_p50_ms == pytest.approx(49.5)
    assert figures.latency_p95_ms == pytest.approx(94.05)
    assert figures.latency_p99_ms == pytest.approx(98.01)


def test_a_status_is_a_value_in_json() -> None:
    status = dataclasses.replace(STATUS, messages=("hello",), figures=LiveFigures(3, 1))
    values = json.loads(status.as_json())
    assert values["styles"] == ["starry-night", "my"]
    assert (values["chosen"], values["look"]) == (0, "starry-night")
    assert (values["messages"], values["is_frozen"]) == (["hello"], False)
    assert values["figures"]["frames"] == 3
    assert values.keys() == {field.name for field in dataclasses.fields(status)}
    assert hash(status) == hash(dataclasses.replace(status))
