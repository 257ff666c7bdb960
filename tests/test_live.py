"""The live job without a real window: its looks, views and captures, and what may fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
import pytest
from conftest import affine_style
from live_fakes import (
    CLOSE,
    INFO,
    LONG_S,
    SIZE,
    Bench,
    Camera,
    FakeWindow,
    User,
    frame,
    frames_in,
    grey,
    live_stage,
    rising,
    until,
    wait_until,
)
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.errors import EngineError, MediaError, StyleError, StyleFileError
from realtime_style.frame import Frame, FramePool, Size
from realtime_style.live.captures import rate_of
from realtime_style.live.commands import Command, command_from_json
from realtime_style.live.destinations import recording
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.opencv_window import Pointer
from realtime_style.live.output import Output, OutputKind
from realtime_style.live.view import Mode
from realtime_style.painting.chain import load_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.style import Style


@pytest.fixture
def styles(tmp_path: Path) -> list[str]:
    """Identity, negative, and a third one that is dark."""
    kinds = {"identity": (1.0, 0.0), "negative": (-1.0, 255.0), "dark": (0.0, 20.0)}
    for name, (gain, bias) in kinds.items():
        (tmp_path / f"{name}.onnx").write_bytes(affine_style(gain, bias, name=name))
    return [str(tmp_path / f"{name}.onnx") for name in kinds]


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that do not end are left behind soon."""
    monkeypatch.setattr("realtime_style.live.session._JOIN_S", 0.1)


def test_it_paints_every_frame_and_ends_with_the_source(styles: list[str]) -> None:
    window = FakeWindow()
    bench = Bench(rising(30), styles, window)
    stats = bench.run()
    assert stats.frames == 30
    assert stats.dropped == 0
    assert len(window.shown) >= 30
    assert window.closed
    assert not bench.job.left_behind
    assert stats.latency_ms(50) > 0


def test_the_newest_frame_wins_and_nothing_queues(styles: list[str]) -> None:
    first_is_shown, all_are_given = threading.Event(), threading.Event()
    given: list[int] = []
    shown: list[int] = []

    def acts() -> Iterator[Frame]:
        for i in range(200):
            each = frame()
            given.append(each.pts)
            yield each
            if i == 0:
                assert first_is_shown.wait(LONG_S)
        all_are_given.set()

    def slow(shot: Shot) -> None:
        shown.append(shot.original.pts)
        first_is_shown.set()
        assert all_are_given.wait(LONG_S)

    stats = Bench(acts, styles, at_own_pace=True).run(slow)
    # One is shown, one painted and one read meanwhile; then comes the newest
    assert stats.frames == len(shown) <= 4
    assert (shown[0], shown[-1]) == (given[0], given[-1])
    assert shown == sorted(shown)
    assert stats.frames + stats.dropped == 200


def test_frames_of_the_source_are_released_once_they_are_replaced(styles: list[str]) -> None:
    returned: list[int] = []

    class Pool(FramePool):
        def give(self, buffer: np.ndarray[Any, Any]) -> None:
            returned.append(int(buffer[0, 0]))

    def acts() -> Iterator[Frame]:
        for i in range(20):
            yield frame(100 + i, pool=Pool())

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(bench.shots) >= 10)
        yield " "  # frozen: the frame on display stays, and the new ones go at once

    bench = Bench(acts, styles, FakeWindow(user))
    bench.run()
    assert len(returned) == 19
    frozen = {100 + i for i in range(20)} - set(returned)
    assert len(frozen) == 1
    assert 109 <= frozen.pop() < 119


def test_frames_painted_smaller_need_one_buffer(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool(FramePool):
        taken = given = 0

        def take(self, height: int, width: int) -> np.ndarray[Any, Any]:
            Pool.taken += 1
            return super().take(height, width)

        def give(self, buffer: np.ndarray[Any, Any]) -> None:
            Pool.given += 1
            super().give(buffer)

    monkeypatch.setattr("realtime_style.live.stage.FramePool", Pool)
    stage = live_stage(styles, size=Size(24))
    for _ in range(5):
        assert stage(frame()).painted.height == 24
    stage.close(5)
    assert (Pool.taken, Pool.given) == (5, 5)


@pytest.mark.parametrize("key", [["q"], ["escape"], CLOSE])
def test_ways_to_quit(styles: list[str], key: list[str] | str) -> None:
    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(window.shown) >= 3)
        yield key

    window = FakeWindow(user)
    Bench(rising(), styles, window).run()
    assert window.closed


def test_styles_change_by_keys_without_a_pause(styles: list[str]) -> None:
    may_load = threading.Event()

    def load(plan: PaintPlan, color: ColorSpace) -> Stylizer:
        assert plan.look.style == styles[0] or may_load.wait(LONG_S)
        return load_stylizer(plan, color)

    def user(window: FakeWindow) -> User:
        yield "n"
        at = len(bench.shots)
        yield from until(lambda: len(bench.shots) > at + 5)  # it goes on while the next one loads
        assert bench.shots[-1][1] == "identity"
        may_load.set()
        for key, style in (("", "negative"), ("n", "dark"), ("1", "identity"), ("p", "dark")):
            yield key
            yield from until(lambda style=style: bench.shots[-1][1] == style)
        yield "q"

    stage = live_stage(styles, load=load)
    bench = Bench(rising(), styles, FakeWindow(user), stage=stage)
    bench.run()
    assert order([style for _, style, _ in bench.shots]) == [
        "identity", "negative", "dark", "identity", "dark",
    ]  # fmt: skip


def order(values: list[Any]) -> list[Any]:
    """Values without repetitions one after the other."""
    return [value for i, value in enumerate(values) if i == 0 or values[i - 1] != value]


def test_keys_blend_and_keep_the_colors(styles: list[str]) -> None:
    # identity shows 40, negative 215, dark 20; half and half of the first two lies between them
    steps = {
        "": ("identity", 40),
        "b": ("identity 50% + negative 50%", 128),
        "]": ("identity 40% + negative 60%", 145),
        "c": ("identity 40% + negative 60%, the film's colours", 145),
        "bc": ("identity 40% + dark 60%", 28),
        "bb": ("identity 50% + negative 50%", 128),
    }

    def user(window: FakeWindow) -> User:
        for keys, (look, _) in steps.items():
            yield from keys
            yield from until(lambda look=look: bench.shots and bench.shots[-1][0] == look)
        yield "q"

    bench = Bench(grey(40), styles, FakeWindow(user))
    bench.run()
    seen = {look: luma for look, _, luma in bench.shots}
    for look, luma in steps.values():
        assert seen[look] == pytest.approx(luma, abs=2)


def test_a_strength_that_cannot_be_mixed_leaves_the_previous_look(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(style: Style, amount: float) -> Style:
        raise StyleFileError(f"{style.name} cannot be mixed")

    monkeypatch.setattr(Style, "with_strength", refuse)

    def user(window: FakeWindow) -> User:
        yield "-"
        yield from until(lambda: bench.stage.failure)
        yield from until(lambda: bench.has_said("strength 0.9: identity cannot be mixed"))
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user))
    bench.run()
    assert bench.stage.look.strength == 1
    assert sum("cannot be mixed" in message for message in bench.said) == 1


def test_a_style_that_failed_is_passed_over(styles: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"rubbish")
    picture = tmp_path / "bad.png"
    picture.write_bytes(b"rubbish")

    def user(window: FakeWindow) -> User:
        yield "n"
        yield from until(lambda: bench.has_said("bad: "))
        yield "n"
        yield from until(lambda: bench.shots and bench.shots[-1][1] == "negative")
        yield "o"
        yield from until(lambda: bench.has_said("bad.png cannot be read as a picture"))
        at = len(bench.shots)
        yield from until(lambda: len(bench.shots) > at + 5)
        yield "q"

    bench = Bench(rising(), [styles[0], str(bad), styles[1], str(picture)], FakeWindow(user))
    bench.run()
    assert {style for _, style, _ in bench.shots} == {"identity", "negative"}
    assert bench.has_said("not a usable style")
    assert not bench.has_said("works again")


def test_without_pictures_there_is_none_to_choose(styles: list[str]) -> None:
    def user(window: FakeWindow) -> User:
        yield "o"
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user))
    bench.run()
    assert "there are no style pictures to choose from" in bench.said


def test_views(styles: list[str]) -> None:
    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(window.shown) >= 3)
        yield Pointer(16, 5, pressed=True)  # nothing to move yet
        yield "v"
        assert bench.window
        assert bench.window.view.divider == 0.5
        yield Pointer(16, 5, pressed=True)
        yield Pointer(40, 5, pressed=False)
        yield "v"
        yield "q"

    bench = Bench(grey(40), styles, FakeWindow(user))
    bench.run()
    assert bench.window
    assert bench.window.view.mode is Mode.SIDE_BY_SIDE
    assert bench.window.view.divider == pytest.approx(0.25)


def test_freezing_keeps_the_picture_and_recordings_go_on(styles: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(window.shown) >= 10)
        yield " n"
        yield from until(lambda: output.frames >= 40)
        yield "q"

    output = recording(out, SIZE, Fraction(100))
    window = FakeWindow(user)
    bench = Bench(rising(), styles, window, outputs=[output])
    bench.run()
    assert len(window.shown) <= 20
    assert frames_in(out) >= 40
    assert bench.has_said("negative, visible once the picture is no longer frozen")


def test_snapshots_name_their_style(styles: list[str], tmp_path: Path) -> None:
    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(window.shown) >= 5)
        yield "s"
        yield "s"
        yield "q"

    stage = live_stage(styles, size=Size(24))
    bench = Bench(rising(), styles, FakeWindow(user), folder=tmp_path, stage=stage)
    bench.run()
    paths = sorted(tmp_path.glob("*.png"))
    assert len(paths) == 2
    with Image.open(paths[0]) as picture:
        assert picture.size == SIZE
        assert picture.info["Style"] == "identity"
    assert {f"saved {path}" for path in paths} <= set(bench.said)


def test_a_snapshot_that_cannot_be_written_is_reported(styles: list[str], tmp_path: Path) -> None:
    def user(window: FakeWindow) -> User:
        yield from until(lambda: window.shown)
        yield "s"
        yield from until(lambda: bench.has_said("cannot be written"))
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user), folder=tmp_path / "none")
    bench.run()
    assert bench.has_said("cannot be written")
    assert not (tmp_path / "none").exists()


def test_recording_by_key(styles: list[str], tmp_path: Path) -> None:
    def user(window: FakeWindow) -> User:
        for key in ("r", "r", "q"):  # the last one is completed at the end
            yield from until(lambda: window.shown)
            yield "r"
            yield from until(lambda: bench.job._captures.recording.frames >= 12)
            yield key

    bench = Bench(rising(), styles, FakeWindow(user), folder=tmp_path)
    bench.run()
    paths = sorted(tmp_path.glob("*.mp4"))
    assert len(paths) == 3
    for path in paths:
        assert frames_in(path) >= 12
    assert sum(" frames" in message for message in bench.said) == 3


def test_a_recording_that_fails_ends_and_another_may_begin(
    styles: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "none"

    def user(window: FakeWindow) -> User:
        yield from until(lambda: window.shown)
        yield "r"
        yield from until(lambda: bench.said)
        folder.mkdir()
        yield "r"
        yield from until(lambda: len(list(folder.glob("*.mp4"))) == 1)
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user), folder=folder)
    bench.run()
    assert "there is no folder" in bench.said[0]
    assert bench.said[-1].startswith(f"saved {folder}")


class BrokenSink:
    """A sink that takes a few frames; then the disk is full."""

    def __init__(self) -> None:
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, frame: Frame) -> None:
        self.frames += 1
        if self.frames > 3:
            raise MediaError("out.mp4 cannot be written: no space left on device")


def test_a_recording_by_key_that_breaks_makes_room_for_another(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Output] = []

    def broken(*_: object, **__: object) -> Output:
        opened.append(Output(OutputKind.RECORDING, "out.mp4", lambda first: BrokenSink()))
        return opened[-1]

    monkeypatch.setattr("realtime_style.live.captures.recording", broken)

    def user(window: FakeWindow) -> User:
        for times in (1, 2):
            yield from until(lambda: window.shown)
            yield "r"
            yield from until(
                lambda times=times: (
                    sum("recording stopped: out.mp4 cannot" in said for said in bench.said) == times
                )
            )
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user))
    bench.run()
    assert len(opened) == 2
    assert not bench.has_said("works again")
    wait_until(lambda: not any(output._thread.is_alive() for output in opened))


@pytest.mark.parametrize(
    ("own", "asked", "rate"),
    [(25, None, 25), (90_000, None, 120), (25, 29.97, Fraction(2997, 100)), (25, 240.0, 240)],
)
def test_the_rate_is_the_sources_unless_that_is_absurd(
    own: int, asked: float | None, rate: Fraction
) -> None:
    assert rate_of(replace(INFO, rate=Fraction(own)), asked) == rate


def test_help_statistics_mirror_and_full_screen(styles: list[str]) -> None:
    pictures: dict[str, np.ndarray[Any, Any]] = {}

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(window.shown) >= 2)
        pictures["hint"] = window.shown[1]
        yield "x"  # any key
        yield from until(lambda: window.shown[-1].max() < 60)
        pictures["none"] = window.shown[-1]
        pages = ("h", "help"), ("h", "styles"), ("h", "none again"), ("i", "statistics")
        for key, name in pages:
            yield key
            at = len(window.shown)
            yield from until(lambda at=at: len(window.shown) >= at + 3)
            pictures[name] = window.shown[-1]
        yield "mf"
        assert window.full
        yield ["escape"]
        assert not window.full
        yield "q"

    bench = Bench(grey(40), styles[:1], FakeWindow(user, size=(640, 480)))
    bench.run()
    assert pictures["none"].max() < 60  # a dark picture: everything bright is text
    assert pictures["none again"].max() < 60
    assert pictures["hint"][240:].max() > 200 > 60 > pictures["hint"][:240].max()
    assert (pictures["help"] > 200).sum() > (pictures["styles"] > 200).sum() > 100
    assert (pictures["help"] > 200).sum() > (pictures["statistics"] > 200).sum() > 100
    assert bench.window
    assert bench.window.view.mirror


class Page:
    """A front end without a window: commands come as JSON, as from a page in a browser."""

    def __init__(self, *messages: str) -> None:
        self._messages = list(messages)
        self.statuses: list[LiveStatus] = []
        self.closed = False

    def show(self, shot: Shot, status: LiveStatus) -> None:
        self.statuses.append(status)

    def poll(self, timeout_s: float) -> list[Command]:
        if len(self.statuses) < 5 or not self._messages:
            return []
        return [command_from_json(self._messages.pop(0))]

    def close(self) -> None:
        self.closed = True


def test_a_page_drives_a_job_by_messages(styles: list[str], tmp_path: Path) -> None:
    page = Page(
        '{"command": "ChooseStyle", "number": 2}',
        '{"command": "Snapshot"}',
        '{"command": "ToggleFreeze"}',
        '{"command": "Quit"}',
    )
    bench = Bench(rising(), styles, front_end=page, folder=tmp_path)
    bench.run()
    assert page.closed
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert not page.statuses[0].is_frozen
    assert page.statuses[-1].is_frozen
    assert page.statuses[-1].engine == "openvino f32"
    assert page.statuses[-1].styles == ("identity", "negative", "dark")
    assert [status.chosen for status in (page.statuses[0], page.statuses[-1])] == [0, 2]
    assert page.statuses[-1].look == "dark"
    assert page.statuses[0].figures.frames < page.statuses[-1].figures.frames


# Faults -----------------------------------------------------------------------------------------


def test_a_camera_that_goes_comes_back(styles: list[str]) -> None:
    opened = []

    def acts() -> Iterator[Frame]:
        opened.append(1)
        for _ in range(10):
            yield frame()
        raise MediaError("the camera is gone")

    absent = iter([False, False, True, True, False])

    def open_source() -> Camera:
        if next(absent, False):
            raise MediaError("no camera is connected")
        return Camera(bench.in_step)

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(opened) >= 3 and bench.has_said("works again"))
        yield "q"

    bench = Bench(acts, styles, FakeWindow(user), has_end=False, open_source=open_source)
    bench.run()
    assert bench.has_said("the camera is gone; waiting for it")
    assert bench.feed.lost >= 2


def test_a_camera_that_is_not_there_at_first_is_an_error(styles: list[str]) -> None:
    def open_source() -> Camera:
        raise MediaError("there is no camera")

    with pytest.raises(MediaError, match="there is no camera"):
        Bench(rising(), styles, FakeWindow(), open_source=open_source).run()


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("when", ["read", "open"])
def test_a_camera_that_never_returns_does_not_keep_anybody(
    styles: list[str], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.live.session._ANSWER_S", 0.1)
    forever = threading.Event()

    def acts() -> Iterator[Frame]:
        for _ in range(5):
            yield frame()
        forever.wait(60)

    def open_source() -> Camera:
        if when == "open":
            forever.wait(60)
        return Camera(bench.in_step)

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(bench.shots) == 5)
        yield "q"

    def stop_if_late(message: str) -> None:  # it waits in `run`: nobody else can stop it
        bench.job.stop()

    bench = Bench(
        acts,
        styles,
        FakeWindow(user),
        has_end=False,
        open_source=open_source,
        on_report=stop_if_late,
    )
    bench.run()
    assert bench.job.left_behind == ["camera"]  # it still waits
    assert bench.has_said("does not answer yet") == (when == "open")
    forever.set()


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("answers", [True, False])
def test_a_silent_camera_does_not_outlast_the_duration(styles: list[str], answers: bool) -> None:
    forever = threading.Event()

    def acts() -> Iterator[Frame]:
        yield frame()
        forever.wait(60)

    def open_source() -> Camera:
        if not answers:
            forever.wait(60)
        return Camera(acts)

    bench = Bench(acts, styles, has_end=False, open_source=open_source, duration_s=0.2)
    if answers:
        assert bench.run().frames == 1
    else:
        with pytest.raises(MediaError, match=r"has not answered within 0\.2 s"):
            bench.run()
    assert bench.job.left_behind == ["camera"]  # it still waits
    forever.set()


def test_silence_is_reported(styles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_style.live.window_front_end._HINT_S", 0.0)  # no other text

    def acts() -> Iterator[Frame]:
        yield frame()
        wait_until(is_shown)
        while not bench.has_said("the source works again"):
            yield frame()

    def is_shown() -> bool:
        return any((picture > 200).sum() > 100 for picture in list(window.shown))

    def user(window: FakeWindow) -> User:
        yield from until(lambda: bench.has_said("the source works again"))
        yield "q"

    window = FakeWindow(user, size=(640, 480))
    bench = Bench(acts, styles, window, silent_s=0.1, at_own_pace=True)
    bench.run()
    assert bench.has_said("no picture for ")
    assert is_shown()  # in the window too


def test_a_camera_may_change_its_size(styles: list[str]) -> None:
    sizes = iter([(64, 48), (96, 64)])

    def acts() -> Iterator[Frame]:
        size = next(sizes, (96, 64))
        for _ in range(10):
            yield frame(size=size)

    def user(window: FakeWindow) -> User:
        yield from until(lambda: len(bench.shots) >= 20)
        yield "q"

    shapes: set[tuple[int, int]] = set()
    bench = Bench(acts, styles, FakeWindow(user), has_end=False)
    bench.run(lambda shot: shapes.add((shot.original.width, shot.original.height)))
    assert shapes == {(64, 48), (96, 64)}


class StubStage:
    """Stands for a `LiveStage`, and does what a test says."""

    look, failure, engine, chosen, styles = "none", None, "stub", 0, ("stub",)

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.intervals_s: list[float] = []

    def prepare(self, color: object, interval_s: float) -> None:
        self.intervals_s.append(interval_s)

    def __call__(self, frame: Frame) -> Shot:
        raise StyleError("the engine fails")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def close(self, timeout_s: float) -> bool:
        self.calls.append("close")
        return True


def test_an_engine_that_fails_ends_the_job(styles: list[str]) -> None:
    stage = StubStage()
    with pytest.raises(StyleError, match="the engine fails"):
        Bench(rising(), styles, FakeWindow(), stage=stage).run()
    assert stage.calls == ["close"]


@pytest.mark.parametrize(("rate", "interval_s"), [(None, 1 / 100), (25, 1 / 25)])
def test_the_rate_decides_the_time_for_a_frame(
    styles: list[str], rate: float | None, interval_s: float
) -> None:
    stage = StubStage()
    with pytest.raises(StyleError):
        Bench(rising(), styles, stage=stage, rate=rate).run()
    assert stage.intervals_s == [pytest.approx(interval_s)]


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("heeds", [True, False])
def test_a_painting_that_takes_long_is_cancelled_at_the_end(styles: list[str], heeds: bool) -> None:
    forever, begun = threading.Event(), threading.Event()

    class Slow(StubStage):
        def __call__(self, frame: Frame) -> Shot:
            begun.set()
            forever.wait(60)
            raise EngineError("the call was cancelled")

        def cancel(self) -> None:
            super().cancel()
            if heeds:
                forever.set()

    def stop_soon() -> None:
        begun.wait(20)
        bench.job.stop()

    stage = Slow()
    bench = Bench(rising(), styles, stage=stage)
    stopper = threading.Thread(target=stop_soon)
    stopper.start()
    bench.run()  # the error is only what came of the cancelling
    stopper.join()
    assert stage.calls == ["cancel", "close"]
    assert bench.job.left_behind == ([] if heeds else ["paint"])
    forever.set()


def test_cancel_reaches_the_engine(styles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = live_stage(styles)
    stage.cancel()  # nothing to cancel yet
    stage(frame())
    cancelled: list[bool] = []
    stylizer = stage._looks.stylizer()
    assert stylizer
    monkeypatch.setattr(stylizer.engine, "cancel", lambda: cancelled.append(True))
    stage.cancel()
    stage.close(5)
    assert cancelled == [True]


@pytest.mark.usefixtures("_hasty")
def test_looks_that_load_for_long_are_left_behind(styles: list[str]) -> None:
    forever = threading.Event()

    def user(window: FakeWindow) -> User:
        yield from until(lambda: window.shown)
        yield "q"

    bench = Bench(rising(), styles, FakeWindow(user))
    bench.stage.close = lambda timeout_s: forever.wait(timeout_s)
    bench.run()
    assert bench.job.left_behind == ["looks"]


def test_a_report_has_plain_values(styles: list[str]) -> None:
    bench = Bench(rising(5), styles)
    bench.run()
    report = bench.job.report()
    assert report["source"] == "a camera"
    assert report["camera_size"] == report["painted_size"] == [64, 48]
    assert report["style"] == report["look"] == "identity"
    assert report["engine"] == "openvino f32"
    assert (report["frames"], report["dropped"]) == (5, 0)


def test_a_recording_has_every_frame(styles: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    output = recording(out, SIZE, Fraction(100))
    bench = Bench(rising(30), styles, outputs=[output])
    # the encoder must keep up: what is put into a full queue is dropped
    bench.run(lambda shot: wait_until(lambda: output.frames + 4 > len(bench.shots)))
    with av.open(str(out)) as film:
        assert film.streams.video[0].codec_context.name == "h264"
    assert frames_in(out) == 30
    assert bench.job.report()["outputs"] == {f"recording {out}": 30}
