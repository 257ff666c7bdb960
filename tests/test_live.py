"""The live job without a real window: sources that misbehave, outputs that fail."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from conftest import affine_style, make_film, run_cli, scene_rgb
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import Frame, FramePool, Size, StreamInfo
from realtime_style.live.clock import MICROSECOND, now_us
from realtime_style.live.feed import Feed
from realtime_style.live.inputs import FilmPlayer
from realtime_style.live.outputs import (
    EncodedSink,
    Output,
    OutputKind,
    recording,
    stream,
    virtual_camera,
)
from realtime_style.live.painter import LivePainter
from realtime_style.live.request import LiveRequest
from realtime_style.live.session import LiveJob, live_job
from realtime_style.live.stats import LiveStats
from realtime_style.live.view import Mode, View, fit
from realtime_style.live.window import Pointer
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame, scaled_frame
from realtime_style.painting.chain import load_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.look import Look

SIZE = (64, 48)
INFO = StreamInfo(*SIZE, Fraction(100), MICROSECOND, ColorSpace(), is_live=True)


def frame(luma: int = 100, size: tuple[int, int] = SIZE) -> Frame:
    buffer = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    buffer[: size[1]] = luma
    return Frame(buffer, now_us(), MICROSECOND)


class Camera:
    """A source that does what a test says: `acts` yields frames, sleeps, raises or blocks."""

    def __init__(self, acts: Callable[[], Iterator[Frame]], info: StreamInfo = INFO) -> None:
        self.info, self._acts, self.closed = info, acts, False
        self.description = "a camera"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[Frame]:
        return self._acts()


def steady(count: int = 10_000, every_s: float = 0.005) -> Callable[[], Iterator[Frame]]:
    def acts() -> Iterator[Frame]:
        for i in range(count):
            time.sleep(every_s)
            yield frame(16 + i % 200)

    return acts


class FakeWindow:
    """A window whose keys and mouse are a script: (after so many pictures, keys, pointers)."""

    def __init__(self, *script: tuple[int, str, list[Pointer]], size: tuple[int, int] = SIZE):
        self.size = size
        self.script = list(script)
        self.shown: list[np.ndarray[Any, Any]] = []
        self.full = False
        self.closed = False

    def show(self, bgr: np.ndarray[Any, Any]) -> None:
        assert bgr.shape == (self.size[1], self.size[0], 3)
        self.shown.append(bgr.copy())

    def poll(self, wait_ms: int) -> tuple[list[str], list[Pointer]] | None:
        time.sleep(wait_ms / 1000)
        if self.script and len(self.shown) >= self.script[0][0]:
            _, keys, pointers = self.script.pop(0)
            if keys == "CLOSE":
                return None
            return list(keys), pointers
        return [], []

    def full_screen(self, on: bool) -> None:
        self.full = on

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def styles(tmp_path: Path) -> list[str]:
    """Identity, negative, and a third one that is dark."""
    kinds = {"identity": (1.0, 0.0), "negative": (-1.0, 255.0), "dark": (0.0, 20.0)}
    for name, (gain, bias) in kinds.items():
        (tmp_path / f"{name}.onnx").write_bytes(affine_style(gain, bias, name=name))
    return [str(tmp_path / f"{name}.onnx") for name in kinds]


def plan_of(style: str) -> PaintPlan:
    return PaintPlan(Look(style), EngineChoice("openvino", "f32"))


def job(
    acts: Callable[[], Iterator[Frame]],
    styles: list[str],
    window: FakeWindow | None = None,
    *,
    has_end: bool = True,
    folder: Path = Path(),
    open_source: Callable[[], Any] | None = None,
    outputs: list[Output] | None = None,
) -> LiveJob:
    feed = Feed(open_source or (lambda: Camera(acts)), has_end=has_end, retry_s=0.02)
    return LiveJob(
        feed,
        LivePainter(styles, plan=plan_of(styles[0])),
        (lambda info: window) if window else None,
        lambda info: outputs or [],
        folder=folder,
    )


def test_it_paints_every_frame_it_can_and_ends_with_the_source(styles: list[str]) -> None:
    window = FakeWindow()
    live = job(steady(30, 0.01), styles, window)
    stats = live.run()
    assert 10 <= stats.frames <= 30
    assert stats.frames + stats.dropped >= 29
    assert len(window.shown) >= stats.frames
    assert window.closed
    assert not live.left_behind
    assert 0 < stats.latency_ms(50) < 1000


def test_the_newest_frame_wins_and_nothing_queues(styles: list[str]) -> None:
    live = job(steady(200, 0.002), styles)
    lags: list[float] = []

    def slow(shot: object) -> None:
        time.sleep(0.03)
        lags.append((now_us() - live._shot.original.pts) / 1000)  # type: ignore[union-attr]

    live.on_shot = slow
    stats = live.run()
    assert stats.dropped > stats.frames
    # a queue would make every frame later than the one before: 200 frames at 30 ms, 6 s at the end
    assert max(lags[5:]) < 1000


@pytest.mark.parametrize("key", ["q", "\x1b", "CLOSE"])
def test_ways_to_quit(styles: list[str], key: str) -> None:
    window = FakeWindow((3, ["escape"] if key == "\x1b" else key, []))  # type: ignore[arg-type]
    live = job(steady(), styles, window)
    live.run()
    assert window.closed


def test_styles_change_by_keys_without_a_pause(styles: list[str]) -> None:
    window = FakeWindow((20, "n", []), (60, "n", []), (90, "1", []), (120, "p", []), (150, "q", []))
    live = job(steady(), styles, window)
    seen: list[str] = []
    times: list[float] = []
    live.on_shot = lambda shot: (seen.append(shot.style), times.append(time.monotonic()))  # type: ignore[func-returns-value]
    live.run()
    order = [name for i, name in enumerate(seen) if i == 0 or seen[i - 1] != name]
    assert order == ["identity", "negative", "dark", "identity", "dark"]
    assert max(np.diff(times)) < 1.0


def test_keys_blend_and_keep_the_colours(styles: list[str]) -> None:
    script = "b", "]", "c", "b", "b", "c"
    window = FakeWindow(*((20 * i, key, []) for i, key in enumerate(script, 1)), (150, "q", []))
    live = job(lambda: iter_frames(40), styles, window)
    seen: list[tuple[str, int]] = []
    live.on_shot = lambda shot: seen.append((str(shot.look), int(shot.painted.luma.mean())))
    live.run()
    order = [shot for i, shot in enumerate(seen) if i == 0 or seen[i - 1][0] != shot[0]]
    # identity shows 40, negative 215, dark 20; half and half of the first two lies between them
    assert [look for look, _ in order] == [
        "identity",
        "identity 50% + negative 50%",
        "identity 40% + negative 60%",
        "identity 40% + negative 60%, the film's colours",
        "identity 40% + dark 60%, the film's colours",
        "identity, the film's colours",
        "identity",
    ]
    assert [luma for _, luma in order] == pytest.approx([40, 128, 145, 145, 28, 40, 40], abs=2)


def test_a_dose_that_cannot_be_mixed_leaves_the_former(styles: list[str]) -> None:
    window = FakeWindow((5, "-", []), (80, "q", []))
    live = job(steady(), styles, window)
    said: list[str] = []
    live.say = said.append
    live.run()
    assert live.painter.look.strength == 1
    assert any("strength 0.9: identity cannot be mixed" in message for message in said), said


def test_a_style_that_cannot_be_loaded_leaves_the_former(styles: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"rubbish")
    window = FakeWindow((5, "n", []), (80, "q", []))
    live = job(steady(), [styles[0], str(bad)], window)
    said: list[str] = []
    live.say = said.append
    seen: set[str] = set()
    live.on_shot = lambda shot: seen.add(shot.style)
    live.run()
    assert seen == {"identity"}
    assert any("bad: " in message and "not a usable style" in message for message in said)


def test_a_style_that_failed_is_gone_past(styles: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"rubbish")
    named = [styles[0], str(bad), styles[1]]
    window = FakeWindow((5, "n", []), (60, "n", []), (110, "o", []), (140, "q", []))
    live = job(steady(), named, window)
    said: list[str] = []
    live.say = said.append
    seen: set[str] = set()
    live.on_shot = lambda shot: seen.add(shot.style)
    live.run()
    assert seen == {"identity", "negative"}
    assert sum("bad.png cannot be read as a picture" in message for message in said) >= 1
    assert not any("all is well" in message for message in said)


def test_what_has_no_fast_tier_is_chosen_in_its_own(styles: list[str]) -> None:
    live = job(steady(), ["great-wave", styles[1], "mondrian"], FakeWindow((0, "q", [])))
    painter = live.painter
    painter.look = Look("great-wave", tier="fast")
    painter.choose(2)
    assert painter.look == Look("mondrian", tier="fast")
    painter.choose(1)
    assert painter.look == Look(styles[1])


def test_looks_go_on_being_loaded_when_a_wish_is_taken_back(styles: list[str]) -> None:
    def load(plan: PaintPlan, color: ColorSpace) -> Stylizer:
        return load_stylizer(replace(plan, look=Look(plan.look.style)), color)

    painter = LivePainter(styles, plan=plan_of(styles[0]), load=load)
    usual = Look(styles[0])

    def seen(wish: Look) -> None:
        painter.look = wish
        end = time.monotonic() + 20
        while painter(frame()).look != wish:
            assert time.monotonic() < end, f"{wish} does not come"
            time.sleep(0.01)

    for style in styles:  # all of the usual strength are there
        seen(Look(style))
    seen(replace(usual, strength=0.9))  # its neighbours are to come, in a second
    seen(usual)
    time.sleep(1.5)
    seen(replace(usual, strength=0.5))
    painter.close()


def test_the_thread_that_loads_looks_outlives_any_error(styles: list[str]) -> None:
    def load(plan: PaintPlan, color: ColorSpace) -> Stylizer:
        if plan.look.style == styles[1]:
            raise RuntimeError("a driver fell over")
        return load_stylizer(replace(plan, look=Look(plan.look.style)), color)

    painter = LivePainter(styles, plan=plan_of(styles[0]), load=load)
    painter(frame())
    for wish in (1, 2):
        painter.choose(wish)
        end = time.monotonic() + 20
        while painter(frame()).style != "dark" and "fell over" not in painter.trouble:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert painter(frame()).style == "dark"
    painter.close()


def test_views(styles: list[str]) -> None:
    pointers = [Pointer(16, 5, pressed=True)]
    window = FakeWindow(
        (3, "n", []), (40, "v", []), (50, "", pointers), (60, "v", []), (80, "q", [])
    )
    live = job(lambda: iter_frames(40), styles[:2], window)
    live.run()
    assert live.view.mode is Mode.BESIDE
    assert live.view.divider == pytest.approx(0.25)


def iter_frames(luma: int) -> Iterator[Frame]:
    while True:
        time.sleep(0.005)
        yield frame(luma)


def test_freezing_keeps_the_picture_and_recordings_go_on(styles: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    output = recording(out, SIZE, Fraction(100))
    window = FakeWindow((10, " ", []))
    live = job(steady(), styles, window, outputs=[output])

    def stop_later(shot: object) -> None:
        if live.stats.frames == 60:
            live.stop()

    live.on_shot = stop_later
    live.run()
    assert len(window.shown) <= 20
    assert count(out) >= 40


def count(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def test_snapshots_name_their_style(styles: list[str], tmp_path: Path) -> None:
    window = FakeWindow((5, "s", []), (6, "s", []), (7, "q", []))
    job(steady(), styles, window, folder=tmp_path).run()
    paths = sorted(tmp_path.glob("*.png"))
    assert len(paths) == 2
    with Image.open(paths[0]) as picture:
        assert picture.size == SIZE
        assert picture.info["Style"] == "identity"


def test_recording_by_key(styles: list[str], tmp_path: Path) -> None:
    window = FakeWindow((5, "r", []), (40, "r", []), (45, "r", []), (70, "q", []))
    job(steady(), styles, window, folder=tmp_path).run()
    paths = sorted(tmp_path.glob("*.mp4"))
    assert len(paths) == 2
    for path in paths:
        assert 10 <= count(path) <= 60


def test_help_statistics_mirror_and_full_screen(styles: list[str]) -> None:
    window = FakeWindow((3, "h", []), (20, "h", []), (24, "i", []), (40, "m", []), (44, "f", []),
                        (50, ["escape"], []), (60, "q", []), size=(640, 480))  # type: ignore[arg-type]  # fmt: skip
    live = job(lambda: iter_frames(40), styles[:1], window)
    live.run()
    plain, with_help, with_stats = window.shown[1], window.shown[15], window.shown[35]
    assert plain.max() < 60  # a dark picture: all that is bright is text
    assert (with_help > 200).sum() > (with_stats > 200).sum() > 100
    assert live.view.mirror
    assert not window.full


# Faults -----------------------------------------------------------------------------------------


def test_a_camera_that_goes_comes_back(styles: list[str]) -> None:
    opened = []

    def acts() -> Iterator[Frame]:
        opened.append(1)
        for _ in range(10):
            time.sleep(0.005)
            yield frame()
        raise MediaError("the camera is gone")

    absent = iter([False, False, True, True, False])

    def open_source() -> Camera:
        if next(absent, False):
            raise MediaError("no camera is connected")
        return Camera(acts)

    window = FakeWindow((60, "q", []))
    live = job(acts, styles, window, has_end=False, open_source=open_source)
    said: list[str] = []
    live.say = said.append
    live.run()
    assert len(opened) >= 3
    assert any("the camera is gone; waiting for it" in message for message in said)
    assert any("all is well again" in message for message in said)
    assert live.feed.lost >= 2


def test_a_camera_that_is_not_there_at_first_is_an_error(styles: list[str]) -> None:
    def open_source() -> Camera:
        raise MediaError("there is no camera")

    window = FakeWindow()
    with pytest.raises(MediaError, match="there is no camera"):
        job(steady(), styles, window, open_source=open_source).run()


@pytest.mark.parametrize("when", ["read", "open"])
def test_a_camera_that_never_returns_does_not_keep_anybody(styles: list[str], when: str) -> None:
    forever = threading.Event()

    def acts() -> Iterator[Frame]:
        for _ in range(5):
            yield frame()
            time.sleep(0.01)
        forever.wait(60)

    def open_source() -> Camera:
        if when == "open":
            forever.wait(60)
        return Camera(acts)

    live = job(acts, styles, FakeWindow(), has_end=False, open_source=open_source)
    threading.Timer(4.0 if when == "open" else 1.0, live.stop).start()
    begin = time.monotonic()
    live.run()
    assert time.monotonic() - begin < 8
    assert live.left_behind == ["camera"]
    forever.set()


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

    live = job(acts, styles, has_end=False, open_source=open_source)
    live.duration_s = 1.0
    begin = time.monotonic()
    if answers:
        assert live.run().frames == 1
    else:
        with pytest.raises(MediaError, match="has not answered within 1 s"):
            live.run()
    assert time.monotonic() - begin < 10
    forever.set()


def test_silence_is_said(styles: list[str]) -> None:
    def acts() -> Iterator[Frame]:
        yield frame()
        time.sleep(3)
        yield frame()

    window = FakeWindow(size=(640, 480))
    live = job(acts, styles, window)
    said: list[str] = []
    live.say = said.append
    live.run()
    assert any("no picture for 2 s" in message for message in said)
    assert any((picture > 200).sum() > 100 for picture in window.shown)  # in the window too


def test_a_camera_may_change_its_size(styles: list[str]) -> None:
    sizes = iter([(64, 48), (96, 64)])

    def acts() -> Iterator[Frame]:
        size = next(sizes, (96, 64))
        for _ in range(10):
            time.sleep(0.005)
            yield frame(size=size)

    window = FakeWindow((20, "q", []))
    live = job(acts, styles, window, has_end=False)
    shapes: set[tuple[int, int]] = set()
    live.on_shot = lambda shot: shapes.add((shot.original.width, shot.original.height))
    live.run()
    assert shapes == {(64, 48), (96, 64)}


def test_an_engine_that_fails_ends_the_job(styles: list[str]) -> None:
    live = job(steady(), styles, FakeWindow())

    def broken(frame: Frame) -> Any:
        raise StyleError("the engine fails")

    live.painter = type("P", (), {"prepare": lambda s, c: None, "__call__": lambda s, f: broken(f),
                                  "close": lambda s: None, "trouble": ""})()  # type: ignore[assignment]  # fmt: skip
    with pytest.raises(StyleError, match="the engine fails"):
        live.run()


# Outputs ----------------------------------------------------------------------------------------


def test_recordings_have_the_true_times(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    times_us = [0, 33_000, 50_000, 140_000, 141_000, 1_000_000]
    base = 5_000_000_000
    first = Frame(frame().i420, base, MICROSECOND)
    with EncodedSink(str(path), first, SIZE, Fraction(30), sent=False) as sink:
        for time_us in times_us:
            sink.write(Frame(frame().i420, base + time_us, MICROSECOND))
    with av.open(str(path)) as film:
        found = [float(f.pts * f.time_base) for f in film.decode(video=0)]  # type: ignore[operator]
    assert found == pytest.approx([t / 1e6 for t in times_us], abs=1e-4)


def test_a_recording_plays_after_a_crash(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        path = tmp_path / name
        first = Frame(frame().i420, 0, MICROSECOND)
        sink = EncodedSink(str(path), first, SIZE, Fraction(30), sent=False)
        for i in range(120):
            sink.write(Frame(frame(i).i420, i * 33_333, MICROSECOND))
        left = tmp_path / f"left-{name}"
        left.write_bytes(path.read_bytes())  # what is on disk at the moment of the crash
        assert count(left) >= 60
        sink.__exit__(None, None, None)
        assert count(path) == 120


def test_a_full_disk_ends_the_recording_not_the_job(styles: list[str]) -> None:
    class Sink:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, frame: Frame) -> None:
            raise MediaError("out.mp4 cannot be written: no space left on device")

    output = Output(OutputKind.RECORDING, "out.mp4", lambda first: Sink())
    window = FakeWindow((40, "q", []), size=(640, 480))
    live = job(lambda: iter_frames(40), styles, window, outputs=[output])
    said: list[str] = []
    live.say = said.append
    stats = live.run()
    assert stats.frames >= 30
    assert any("no space left" in message for message in said)
    assert (window.shown[-1] > 200).sum() > 100


def test_without_a_window_a_failed_recording_is_an_error(styles: list[str], tmp_path: Path) -> None:
    output = Output(OutputKind.RECORDING, "a.mp4", lambda first: EncodedSink(
        str(tmp_path / "none" / "a.mp4"), first, SIZE, Fraction(30), sent=False))  # fmt: skip
    live = job(steady(), styles, outputs=[output])
    live.run()  # ends: there is nobody left to paint for
    assert [failed.name for failed in live.failed] == ["recording a.mp4"]
    assert "cannot be written" in str(live.report()["failed"])


def test_a_stream_is_opened_again(styles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_style.live.outputs._RETRY_S", 0.02)
    written: list[list[Frame]] = []

    class Server:
        def __enter__(self) -> Self:
            written.append([])
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, frame: Frame) -> None:
            written[-1].append(frame)
            if len(written) < 3 and len(written[-1]) == 5:
                raise MediaError("the server is gone")

    output = Output(OutputKind.STREAM, "udp://x:1", lambda first: Server(), retries=True)
    live = job(steady(), styles, outputs=[output])
    live.on_shot = lambda shot: live.stop() if live.stats.frames == 80 else None
    said: list[str] = []
    live.say = said.append
    live.run()
    assert len(written) == 3
    assert len(written[-1]) > 10
    assert any("the server is gone" in message for message in said)


def test_an_output_that_fails_in_its_own_way_is_heard(styles: list[str]) -> None:
    class Odd:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            raise RuntimeError("the driver fell over")

    output = Output(OutputKind.VIRTUAL_CAMERA, "/dev/video9", lambda first: Odd())
    live = job(steady(50), styles, outputs=[output])
    live.run()
    assert live.failed == [output]
    assert output.trouble == "virtual camera /dev/video9 failed: the driver fell over"


def test_a_slow_output_holds_up_nobody(styles: list[str]) -> None:
    class Slow:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, frame: Frame) -> None:
            time.sleep(0.2)

    output = Output(OutputKind.STREAM, "udp://x:1", lambda first: Slow())
    live = job(steady(60, 0.01), styles, outputs=[output])
    begin = time.monotonic()
    stats = live.run()
    assert stats.frames >= 30
    assert output.dropped > 0
    assert time.monotonic() - begin < 6


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("udp://127.0.0.1:23456", {}),
        ("rtmp://127.0.0.1:23457/live/x", {"listen": "1", "analyzeduration": "500000"}),
    ],
)
def test_streams_arrive(styles: list[str], address: str, options: dict[str, str]) -> None:
    receiver = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, address, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    )
    output = stream(address, SIZE, Fraction(30))
    live = job(lambda: iter_frames(40), styles[:1], outputs=[output])
    live.on_shot = lambda shot: live.stop() if receiver.poll() is not None else None
    guard = threading.Timer(40, live.stop)
    guard.start()
    live.run()
    guard.cancel()
    receiver.kill()
    lumas = json.loads(receiver.communicate()[0])
    assert len(lumas) == 10
    assert set(lumas) <= {39, 40, 41}


RECEIVER = """
import json, os, sys, av
lumas = []
options = json.loads(sys.argv[2]) | {"probesize": "20000", "fflags": "nobuffer"}
for picture in av.open(sys.argv[1], options=options, timeout=(20, 10)).decode(video=0):
    lumas.append(round(picture.to_ndarray()[: picture.height].mean()))
    if len(lumas) == 10:
        print(json.dumps(lumas), flush=True)
        os._exit(0)
"""


# Parts ------------------------------------------------------------------------------------------


def test_fit_keeps_the_shape() -> None:
    assert fit(640, 480, 1280, 720) == (160, 0, 960, 720)
    assert fit(640, 480, 320, 720) == (0, 240, 320, 240)
    assert fit(1920, 1080, 1, 1)[2:] == (1, 1)


def test_compose_puts_the_two_where_they_belong() -> None:
    light, dark = frame(235, (128, 96)), frame(16)
    view = View(mode=Mode.SPLIT, divider=0.25)
    picture = view.compose(light, dark, 200, 150, {})
    assert picture[:, :48].min() > 240
    assert picture[:, 52:].max() < 10
    view.mirror = True
    mirrored = view.compose(light, dark, 200, 150, {})
    assert mirrored[:, :48].min() > 240  # the camera's half stays left
    view.mode = Mode.BESIDE
    picture = view.compose(light, dark, 400, 150, {})
    assert picture[:, :200].min() > 240
    assert picture[:, 200:].max() < 10


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


def test_statistics() -> None:
    stats = LiveStats()
    assert stats.latency_ms(50) == 0
    for i in range(100):
        stats.shown(i, i / 50)
    assert stats.fps(2.0) == pytest.approx(50)
    assert stats.latency_ms(50) == pytest.approx(49.5)


def test_a_film_is_played_at_its_own_pace_and_again(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", sound=None)  # 10 frames at 25 a second
    with FilmPlayer(film, loop=False) as player:
        begin = time.monotonic()
        frames = list(player)
        assert len(frames) == 10
        assert 0.3 < time.monotonic() - begin < 2
    with FilmPlayer(film, loop=True) as player:
        lumas = [int(f.luma.mean()) for f, _ in zip(player, range(25), strict=False)]
    assert lumas[:5] == pytest.approx(lumas[10:15], abs=2)


def test_requests() -> None:
    assert LiveRequest("0").is_camera
    assert LiveRequest("/dev/video3").is_camera
    assert LiveRequest("film.mp4").is_film
    for source in ("screen", "test", "rtsp://camera/1"):
        assert not LiveRequest(source).is_film
    with pytest.raises(MediaError, match=r"there is no /dev/video97: .*--source takes"):
        LiveRequest("97").open()
    with pytest.raises(MediaError, match="there is no file"):
        LiveRequest("none.mp4").open()


def test_nothing_to_see_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="nothing is to be seen"):
        live_job(LiveRequest("test"), window=False)
    with pytest.raises(MediaError, match=r"ends in \.mp4"):
        live_job(LiveRequest("test"), window=False, record=tmp_path / "a.avi")
    there = tmp_path / "a.mp4"
    there.write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists already"):
        live_job(LiveRequest("test"), window=False, record=there)
    with pytest.raises(MediaError, match="painted over itself"):
        live_job(LiveRequest(str(there)), window=False, record=there, overwrite=True)
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a.mp4", "a.mp4 is no address to stream to; it begins with rtmp://"),
        ("foo://x", "foo://x is no address to stream to"),
        ("udp://127.0.0.1", "lacks a port; give one, as in udp://127.0.0.1:5000"),
    ],
)
def test_what_is_no_address_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"mine")
    with pytest.raises(MediaError, match=message):
        live_job(LiveRequest("test"), window=False, streams=[address])
    assert Path("a.mp4").read_bytes() == b"mine"


def test_a_stream_that_this_ffmpeg_cannot_send_fails_once(styles: list[str]) -> None:
    def unknown(first: Frame) -> Any:
        cause = av.ProtocolNotFoundError(0, "Protocol not found")
        raise MediaError("srt://x cannot be reached: Protocol not found") from cause

    live = job(
        steady(), styles, outputs=[Output(OutputKind.STREAM, "srt://x", unknown, retries=True)]
    )
    live.run()
    assert live.report()["failed"] == {
        "stream srt://x": "srt://x cannot be reached: Protocol not found"
    }


def refusing(error: Exception) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied"), "may not be read: join its group"),
        (OSError(16, "Device or resource busy"), "in use by another program"),
        (OSError(22, "Invalid argument"), "does not give 123x45 at 50 frames a second"),
        (OSError(5, "Input/output error"), "does not give 123x45"),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are files on Linux alone")
def test_cameras_that_refuse(
    error: Exception, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.live.inputs.av.open", refusing(error))
    monkeypatch.setattr("realtime_style.live.devices._camera_format", lambda: ("v4l2", "{}"))
    camera = tmp_path / "video0"
    camera.touch()
    request = LiveRequest("video=x", Size(45, 123), 50)
    monkeypatch.setattr("realtime_style.live.inputs.Path.exists", lambda self: True)
    with pytest.raises(MediaError, match=says):
        request.open()


def test_a_device_that_is_not_what_it_says(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no film")
    with pytest.raises(MediaError, match="cannot be read as a film"):
        LiveRequest(str(text)).open()
    with pytest.raises(MediaError, match="cannot be opened"):
        LiveRequest("http://127.0.0.1:9/nothing").open()


class Loopback:
    """Stands for pyvirtualcam, which needs a driver."""

    sent: ClassVar[list[np.ndarray[Any, Any]]] = []
    device = "/dev/video9"

    class PixelFormat:
        I420 = "I420"

    def __init__(self, width: int, height: int, fps: float, fmt: str, print_fps: bool) -> None:
        if width == 32:
            raise RuntimeError("No v4l2 loopback device found at /dev/video[0-9]+.")
        assert fmt == "I420"
        self.shape = (height * 3 // 2, width)

    def send(self, picture: np.ndarray[Any, Any]) -> None:
        assert picture.shape == self.shape
        Loopback.sent.append(picture.copy())

    def close(self) -> None:
        Loopback.sent.append(np.zeros(0))


def test_virtual_camera(styles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Loopback.Camera = Loopback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyvirtualcam", Loopback)  # type: ignore[arg-type]
    Loopback.sent.clear()
    output = virtual_camera((96, 64), 30)  # another size than the frames'
    assert "/dev/video9" in output.name
    live = job(lambda: iter_frames(40), styles[:1], outputs=[output])
    live.on_shot = lambda shot: live.stop() if live.stats.frames == 20 else None
    live.run()
    assert len(Loopback.sent) >= 10
    assert abs(int(Loopback.sent[0][:64].mean()) - 40) <= 1
    assert Loopback.sent[-1].size == 0  # closed
    with pytest.raises(MediaError, match=r"No v4l2 loopback.*modprobe v4l2loopback"):
        virtual_camera((32, 64), 30)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MediaError, match="pip install pyvirtualcam"):
        virtual_camera((96, 64), 30)


# The command line -------------------------------------------------------------------------------


def test_the_command_records_a_test_pattern(tmp_path: Path, identity_style: Path) -> None:
    out = tmp_path / "out.mp4"
    options = f"--source test --camera-size 128x96 --no-window --record {out} --duration 2 --json"
    done = run_cli("webcam", *options.split(), "--style", identity_style)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["camera_size"] == [128, 96]
    assert report["frames"] > 10
    assert count(out) >= report["frames"] - 10
    assert "128x96" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--source", "97", "--no-window", "--record", "a.mp4"), "there is no /dev/video97"),
        (("--source", "none.mp4", "--no-window", "--record", "a.mp4"), "there is no file"),
        (("--source", "test", "--no-window"), "nothing is to be seen"),
        (
            (
                "--source",
                "test",
            ),
            "--no-window",
        ),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    done = run_cli("webcam", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_display_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    done = run_cli("webcam", "--source", "test", cwd=tmp_path)
    assert done.returncode == 1
    assert "the display :4711 does not answer" in done.stderr
