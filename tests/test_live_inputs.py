"""Live requests, and what they open: films, cameras, addresses."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_film, run_cli
from live_fakes import Camera, frame, frames_in, real_time
from PIL import Image

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.live import commands
from realtime_style.live.commands import COMMANDS, Command
from realtime_style.live.devices import open_camera
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.inputs import FilmPlayer, ScreenSource
from realtime_style.live.opencv_window import load_opencv
from realtime_style.live.request import LiveRequest, live_job
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.bundled import bundled_styles
from realtime_style.style.look import Look


class FakeTime:
    """A clock that only goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """The clock by which live sources pace themselves."""
    fake = FakeTime()
    monkeypatch.setattr("realtime_style.live.inputs.time", fake)
    return fake


def test_a_film_is_played_at_its_own_pace_and_again(tmp_path: Path, clock: FakeTime) -> None:
    film = make_film(tmp_path / "film.mp4", sound=None)  # 10 frames at 25 a second
    with FilmPlayer(film, loop=False) as player:
        times_s = [clock.now_s for _ in player]
        assert np.diff(times_s) == pytest.approx([0.04] * 9)
    with FilmPlayer(film, loop=True) as player:
        shown = [(clock.now_s, int(f.luma.mean())) for f, _ in zip(player, range(25), strict=False)]
    times_s, lumas = zip(*shown, strict=True)
    assert np.diff(times_s) == pytest.approx([0.04] * 24)  # also from one round to the next
    assert lumas[:5] == pytest.approx(lumas[10:15], abs=2)


def test_a_film_catches_up_unless_it_has_fallen_far_behind(tmp_path: Path, clock: FakeTime) -> None:
    film = make_film(tmp_path / "film.mp4", sound=None, pts=range(30))
    begin_s = clock.now_s
    delays = {4: 0.1, 19: 0.7}  # whoever takes the frames is slow after these
    times_s = []
    with FilmPlayer(film, loop=False) as player:
        for i, _ in enumerate(player):
            times_s.append(clock.now_s - begin_s)
            clock.now_s += delays.get(i, 0.0)
    assert times_s[3:5] == pytest.approx([0.12, 0.16])
    assert times_s[5:8] == pytest.approx([0.26, 0.26, 0.28])  # it catches up
    assert times_s[19] == pytest.approx(0.76)
    assert times_s[20:23] == pytest.approx([1.46, 1.50, 1.54])  # it goes on from there


def test_a_test_pattern_has_the_rate_that_was_asked_for(clock: FakeTime) -> None:
    with LiveRequest("test", camera_size=Size(48), camera_rate=50).open_source() as pattern:
        assert (pattern.info.width, pattern.info.height, pattern.info.rate) == (84, 48, 50)
        times_s = [clock.now_s for _ in zip(pattern, range(5), strict=False)]
    assert np.diff(times_s) == pytest.approx([0.02] * 4)


def test_requests_know_their_kind() -> None:
    assert LiveRequest("0").is_camera
    assert LiveRequest("/dev/video3").is_camera
    assert LiveRequest("film.mp4").is_film
    for source in ("screen", "test", "rtsp://camera/1"):
        assert not LiveRequest(source).is_film
        assert not LiveRequest(source).is_camera
    assert hash(LiveRequest("0")) == hash(LiveRequest("0", streams=()))


def test_sources_that_are_not_there_are_refused() -> None:
    with pytest.raises(
        MediaError, match=r"there is no /dev/video97 \(.*may also be a film"
    ) as refusal:
        LiveRequest("97").open_source()
    assert refusal.value.setting == "source"
    with pytest.raises(MediaError, match="there is no file"):
        LiveRequest("none.mp4").open_source()


@pytest.mark.parametrize(
    ("values", "message", "setting"),
    [
        ({"window": False}, "nothing to output: there is no window", "window"),
        ({"rate": 0}, "the rate must be positive and finite, not 0", "rate"),
        ({"camera_rate": -1.0}, "the rate must be positive and finite, not -1", "camera_rate"),
        ({"duration_s": 0}, "the duration must be positive, not 0 s", "duration_s"),
    ],
)
def test_requests_are_checked(values: dict[str, Any], message: str, setting: str | None) -> None:
    with pytest.raises(MediaError, match=message) as refusal:
        LiveRequest("test", **values)
    assert refusal.value.setting == setting


def test_recordings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"must end in \.mp4"):
        live_job(LiveRequest("test", window=False, record=tmp_path / "a.avi"))
    there = tmp_path / "a.mp4"
    there.write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists already"):
        live_job(LiveRequest("test", window=False, record=there))
    with pytest.raises(MediaError, match="painted over itself"):
        live_job(LiveRequest(str(there), window=False, record=there, overwrite=True))
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("a.mp4", "a.mp4 cannot be streamed to; an address begins with rtmp://"),
        ("foo://x", "foo://x cannot be streamed to"),
        ("udp://127.0.0.1", "has no port; give one, such as udp://127.0.0.1:5000"),
    ],
)
def test_addresses_that_cannot_be_streamed_to_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"mine")
    with pytest.raises(MediaError, match=message):
        live_job(LiveRequest("test", window=False, streams=(address,)))
    assert Path("a.mp4").read_bytes() == b"mine"


def test_the_styles_to_choose_from(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "notes.txt"):
        (tmp_path / name).touch()
    request = LiveRequest("test", PaintPlan(Look("my.onnx")), style_images=tmp_path)
    pictures = [str(tmp_path / "a.jpg"), str(tmp_path / "b.png")]
    assert live_job(request).stage.styles == ["my.onnx", *bundled_styles(), *pictures]
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, message in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "notes.txt", "is not a folder"),
        (empty, "has no pictures"),
    ):
        with pytest.raises(MediaError, match=message) as refusal:
            live_job(LiveRequest("test", style_images=folder))
        assert refusal.value.setting == "style_images"


class Page:
    """A front end that sends commands once it has shown a few shots, and then quits."""

    def __init__(self, *given: Command) -> None:
        self._given = [*given, commands.Quit()]
        self.shown = 0

    def show(self, shot: Shot, status: LiveStatus) -> None:
        self.shown += 1

    def poll(self, timeout_s: float) -> list[Command]:
        return [self._given.pop(0)] if self.shown > 5 and self._given else []

    def close(self) -> None:
        pass


@pytest.mark.parametrize("allowed", [None, COMMANDS, {commands.Quit, commands.Snapshot}])
def test_another_front_end_writes_files_only_where_it_may(
    tmp_path: Path, identity_style: Path, allowed: set[type[Command]] | None
) -> None:
    said: list[str] = []
    page = Page(commands.ToggleFreeze(), commands.Snapshot())
    folder = tmp_path / "captures"
    folder.mkdir()
    job = live_job(
        LiveRequest(plan=PaintPlan(Look(str(identity_style)))),
        said.append,
        open_source=lambda: Camera(real_time(40)),
        open_front_end=lambda info: page,
        folder=folder,
        allowed=allowed,
    )
    assert job.run().frames
    may_write = allowed is not None
    assert len(list(folder.iterdir())) == may_write
    assert ("the command Snapshot is not allowed here" in said) == (not may_write)
    assert ("the command ToggleFreeze is not allowed here" in said) == (
        allowed is not None and commands.ToggleFreeze not in allowed
    )


def test_a_job_may_end_with_the_source_that_it_is_given(identity_style: Path) -> None:
    camera = Camera(lambda: (frame(i) for i in range(5)))
    page = Page()
    job = live_job(
        LiveRequest(plan=PaintPlan(Look(str(identity_style)))),
        open_source=lambda: camera,
        has_end=True,
        open_front_end=lambda info: page,
    )
    stats = job.run()
    assert 0 < stats.frames <= 5
    assert job.feed.lost == 0


def test_a_screen_that_changes_its_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed opens it again, with the new size."""
    sizes = iter([(96, 64), (96, 64), (64, 48)])

    def grab(xdisplay: str) -> Image.Image:
        return Image.new("RGB", next(sizes))

    monkeypatch.setattr("realtime_style.live.inputs.ImageGrab.grab", grab)
    with ScreenSource(":9", Size(48, 64), 1000) as screen:
        shots = iter(screen)
        first = next(shots)
        assert (first.width, first.height) == (64, 48)
        with pytest.raises(MediaError, match="the size of the screen :9 has changed"):
            next(shots)


def refusing(error: Exception) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("error", "message", "setting"),
    [
        (PermissionError(13, "Permission denied"), "without permission: join its group", None),
        (OSError(16, "Device or resource busy"), "in use by another program", None),
        (OSError(22, "Invalid argument"), "does not offer 123x45 at 50 frames", "camera_size"),
        (OSError(5, "Input/output error"), "does not offer 123x45", "camera_size"),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are files only on Linux")
def test_cameras_that_refuse(
    error: Exception,
    message: str,
    setting: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime_style.live.devices.av.open", refusing(error))
    camera = tmp_path / "video0"
    camera.touch()
    with pytest.raises(MediaError, match=message) as refusal:
        open_camera(str(camera), Size(45, 123), 50)
    assert refusal.value.setting == setting


def test_files_and_addresses_that_are_not_pictures(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no film")
    with pytest.raises(MediaError, match="cannot be read as a film"):
        LiveRequest(str(text)).open_source()
    with pytest.raises(MediaError, match="cannot be opened"):
        LiveRequest("http://127.0.0.1:9/nothing").open_source()
    with pytest.raises(MediaError, match="FFmpeg knows no addresses that begin with foo://"):
        LiveRequest("foo://bar").open_source()


def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_style.live.devices._OPEN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/film"
        with pytest.raises(MediaError, match=r"cannot be opened: nothing has answered within 0.5"):
            LiveRequest(address).open_source()


# The command line -------------------------------------------------------------------------------


def test_the_command_records_a_test_pattern(tmp_path: Path, identity_style: Path) -> None:
    out = tmp_path / "out.mp4"
    options = f"--source test --camera-size 128x96 --no-window --record {out} --duration 2 --json"
    done = run_cli("webcam", *options.split(), "--style", identity_style)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["camera_size"] == [128, 96]
    assert report["frames"] > 0
    assert report["outputs"] == {f"recording {out}": frames_in(out)}
    assert 0 < frames_in(out) <= report["frames"]
    assert "128x96" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--source 97 --no-window --record a.mp4", "there is no /dev/video97"),
        ("--source test", "there is no display to open a window on"),
    ],
)
def test_errors_are_one_line(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    done = run_cli("webcam", *arguments.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_display_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(MediaError, match="the display :4711 does not answer") as refusal:
        load_opencv()
    assert refusal.value.setting == "window"
