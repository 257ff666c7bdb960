"""Sound of live jobs: from films and microphones to recordings and streams."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import add_picture, make_film, run_cli
from live_fakes import SIZE, Bench, FakeWindow, User, real_time, until, wait_until

from realtime_style.errors import MediaError
from realtime_style.frame import Frame
from realtime_style.live.clock import MICROSECOND
from realtime_style.live.encoded_sink import EncodedSink
from realtime_style.live.inputs import FilmPlayer
from realtime_style.live.microphone import Microphone
from realtime_style.live.request import LiveRequest, live_job
from realtime_style.live.sound import RATE_HZ, FilmSound, Samples, Sound, SoundBus
from realtime_style.media.film_source import FileSource

RATE = Fraction(25)
START_US = 5_000_000  # of the clock; zero would hide mistakes


@pytest.fixture
def styles(identity_style: Path) -> list[str]:
    return [str(identity_style)]


def tone(seconds: float) -> Samples:
    wave = np.sin(np.arange(round(seconds * RATE_HZ)) * 2 * np.pi * 440 / RATE_HZ)
    return np.stack((wave, wave)).astype(np.float32)


def picture(luma: int, at_s: float) -> Frame:
    planes = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
    planes[: SIZE[1]] = luma
    return Frame(planes, START_US + round(at_s * 1e6), MICROSECOND)


def heard(path: Path) -> Samples:
    """The sound of a film from its time zero, (2, N) at 48 kHz."""
    with av.open(str(path)) as film:
        parts = [frame.to_ndarray() for frame in film.decode(audio=0)]
    return np.concatenate(parts, 1)


def onset_s(path: Path) -> float:
    """When the sound of a film begins to be loud, in seconds of the film."""
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(0) > 0.1)
            if loud.size:
                return float(frame.pts * frame.time_base) + loud[0] / frame.sample_rate
    raise AssertionError("it is silent")


def flash_s(path: Path) -> float:
    """When the picture of a film becomes light, in seconds of the film."""
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            if frame.to_ndarray(format="gray").mean() > 130:
                return float(frame.pts * frame.time_base)
    raise AssertionError("it stays dark")


def loud_part(path: Path) -> float:
    """The part of a film's sound that is loud, 0..1."""
    return float((np.abs(heard(path)).reshape(2, -1).max(0) > 0.02).mean())


def record(path: Path, bus: SoundBus, sounds: list[Sound], frames: int = 50) -> None:
    """Records pictures, with sounds that arrive one picture after they began."""
    first = picture(40, 0)
    with EncodedSink(str(path), first, SIZE, RATE, sent=False, sounds=bus) as sink:
        waiting = list(sounds)
        for number in range(frames):
            now = picture(40, number / 25)
            while waiting and waiting[0].time_us <= now.pts:
                bus.put(waiting.pop(0))
            sink.write(now)


def blocks(begin_s: float, seconds: float, jitter_us: int = 0) -> list[Sound]:
    """A tone in pieces of 20 ms, as a device delivers it."""
    whole, step = tone(seconds), RATE_HZ // 50
    return [
        Sound(
            whole[:, i : i + step],
            START_US + round(begin_s * 1e6) + i * 1_000_000 // RATE_HZ
            + (jitter_us if i // step % 2 else 0),
        )
        for i in range(0, whole.shape[1], step)
    ]  # fmt: skip


def open_bus() -> SoundBus:
    bus = SoundBus()
    bus.is_open = True
    return bus


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_sound_begins_when_it_was_heard_and_is_as_long_as_the_pictures(
    tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    record(out, open_bus(), blocks(0.8, 5.0))
    assert onset_s(out) == pytest.approx(0.8, abs=0.03)
    assert heard(out).shape[1] / RATE_HZ == pytest.approx(2.0, abs=0.06)
    assert np.abs(heard(out)).max() == pytest.approx(1, abs=0.2)


def test_a_devices_uneven_times_make_no_clicks(tmp_path: Path) -> None:
    record(tmp_path / "out.mkv", open_bus(), blocks(0.0, 2.0, jitter_us=15_000))
    steady = heard(tmp_path / "out.mkv")[0, RATE_HZ // 2 : RATE_HZ]
    assert np.abs(np.diff(steady)).max() < 0.08  # 440 Hz: 0.058 from sample to sample


def test_sound_from_before_the_first_picture_is_cut(tmp_path: Path) -> None:
    record(tmp_path / "out.mkv", open_bus(), blocks(-1.0, 1.4))
    quiet = np.abs(heard(tmp_path / "out.mkv")).max(0)
    assert (quiet[4800:14_400] > 0.1).mean() > 0.8
    assert quiet[round(0.5 * RATE_HZ) :].max() < 0.1


def test_where_the_sound_is_missing_it_is_silent_and_the_picture_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    record(out, open_bus(), [*blocks(0.0, 0.5), *blocks(3.0, 0.5)], frames=100)
    loud = np.abs(heard(out)).max(0) > 0.1
    assert loud.size / RATE_HZ == pytest.approx(4.0, abs=0.06)
    assert not loud[round(0.6 * RATE_HZ) : round(2.9 * RATE_HZ)].any()
    assert loud[round(3.1 * RATE_HZ) : round(3.4 * RATE_HZ)].mean() > 0.8


def test_pictures_do_not_wait_for_sound_that_does_not_come(tmp_path: Path) -> None:
    first = picture(40, 0)
    with EncodedSink(
        str(tmp_path / "out.mkv"), first, SIZE, RATE, sent=False, sounds=open_bus()
    ) as sink:
        assert sink._sound
        for number in range(100):
            sink.write(picture(40, number / 25))
            assert number / 25 - sink._sound._encoded / RATE_HZ < 1.05


def test_a_stream_has_sound_too(tmp_path: Path) -> None:
    out, bus = tmp_path / "received.ts", open_bus()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        address = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        with (
            out.open("wb") as file,
            EncodedSink(address, picture(40, 0), SIZE, RATE, sent=True, sounds=bus) as sink,
        ):
            for sound in blocks(0.4, 1.0):
                bus.put(sound)
            for number in range(25):
                sink.write(picture(200 if number >= 10 else 40, number / 25))
                with contextlib.suppress(BlockingIOError):
                    while data := receiver.recv(1 << 16):
                        file.write(data)
    assert onset_s(out) == pytest.approx(flash_s(out), abs=0.06)


def test_without_a_source_of_sound_there_is_no_stream_of_it(tmp_path: Path) -> None:
    record(tmp_path / "out.mp4", SoundBus(), [])
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert not film.streams.audio


def test_a_listener_that_takes_nothing_keeps_ten_seconds() -> None:
    bus = open_bus()
    waiting, other = bus.listen(), bus.listen()
    bus.forget(other)
    for sound in blocks(0, 15):
        bus.put(sound)
    assert len(waiting) == 501
    assert not other


def make_flash(path: Path, at_s: float, seconds: float = 2.0, rate_hz: int = 44_100) -> Path:
    """A film that is dark and silent until a time, then light and loud."""
    with av.open(str(path), "w") as film:
        stream = add_picture(film)
        sound = film.add_stream("aac", rate=rate_hz, layout="mono")
        assert isinstance(sound, av.AudioStream)
        for number in range(round(seconds * 25)):
            planes = np.full((72, 64), 128, np.uint8)
            planes[:48] = 200 if number / 25 >= at_s else 40
            film.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        film.mux(stream.encode(None))
        time_s = np.arange(round(seconds * rate_hz)) / rate_hz
        wave = (np.sin(time_s * 2 * np.pi * 440) * (time_s >= at_s) * 0.8).astype(np.float32)[None]
        for begin in range(0, wave.shape[1], 1024):
            block = np.ascontiguousarray(wave[:, begin : begin + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, begin, Fraction(1, rate_hz)
            film.mux(sound.encode(frame))
        film.mux(sound.encode(None))
    return path


def test_the_sound_of_a_film_is_read_along_with_its_pictures(tmp_path: Path) -> None:
    with FileSource(make_flash(tmp_path / "film.mp4", 1.0)) as film:
        sound = FilmSound(film)
        sound.skip(0.25)
        parts = list(sound.until(0.75))
        assert sum(samples.shape[1] for _, samples in parts) / RATE_HZ == pytest.approx(
            0.5, abs=0.1
        )
        parts += list(sound.until(None))  # type: ignore[arg-type]
        sound.close()
    whole = np.concatenate([samples for _, samples in parts], 1)
    loud_s = parts[0][0] + np.flatnonzero(np.abs(whole[0]) > 0.1)[0] / RATE_HZ
    assert loud_s == pytest.approx(1.0, abs=0.05)


def test_a_film_without_sound_leaves_the_bus_closed(tmp_path: Path, film: Path) -> None:
    for source, has_sound in ((film, True), (make_film(tmp_path / "s.mp4", sound=None), False)):
        bus = SoundBus()
        with FilmPlayer(source, loop=False, sounds=bus):
            assert bus.is_open == has_sound


def test_the_sound_of_a_played_film_is_in_time_with_its_pictures(tmp_path: Path) -> None:
    film, out = make_flash(tmp_path / "film.mp4", 0.4, 0.8), tmp_path / "out.mkv"
    bus = SoundBus()
    with FilmPlayer(film, loop=False, sounds=bus) as player:
        frames = iter(player)
        first = next(frames)
        with EncodedSink(str(out), first, SIZE, RATE, sent=False, sounds=bus) as sink:
            sink.write(first)
            for each in frames:
                sink.write(each)
    assert onset_s(out) == pytest.approx(flash_s(out), abs=0.06)


@pytest.mark.slow
def test_a_recording_of_a_film_has_its_sound(tmp_path: Path, identity_style: Path) -> None:
    film = make_flash(tmp_path / "film.mp4", 0.0, 2.4)
    done = run_cli(
        "webcam", "--source", film, "--loop", "--duration", "4", "--no-window",
        "--record", tmp_path / "out.mkv", "-s", identity_style,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "saved " in done.stderr
    assert loud_part(tmp_path / "out.mkv") > 0.3


def test_a_microphone_passes_on_what_it_hears(tmp_path: Path) -> None:
    bus = SoundBus()
    waiting = bus.listen()
    microphone = Microphone(str(make_flash(tmp_path / "film.mp4", 0.0, 0.5)), bus)
    assert bus.is_open
    microphone.start()
    wait_until(lambda: sum(sound.samples.shape[1] for sound in waiting) > 0.3 * RATE_HZ)
    assert microphone.stop(5)
    assert not microphone.trouble
    pairs = list(waiting)
    for sound, following in pairwise(pairs):
        assert following.time_us - sound.time_us == pytest.approx(sound.duration_us, abs=1)
    assert np.abs(np.concatenate([s.samples for s in pairs], 1)).max() > 0.5


def test_a_microphone_that_breaks_is_a_trouble_and_the_rest_goes_on(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = SoundBus()
    microphone = Microphone("test", bus)

    def unplugged(self: Microphone) -> Iterator[av.AudioFrame]:
        raise av.OSError(5, "Input/output error")

    monkeypatch.setattr(Microphone, "_frames", unplugged)

    def user(window: FakeWindow) -> User:
        yield from until(lambda: bench.has_said("the microphone test stopped"))
        at = len(bench.shots)
        yield from until(lambda: len(bench.shots) > at + 3)
        yield "q"

    bench = Bench(
        real_time(40), styles, FakeWindow(user), sounds=bus, open_microphone=lambda: microphone
    )
    bench.run()
    assert not bench.job.left_behind


def test_recordings_of_the_window_have_sound_too(styles: list[str], tmp_path: Path) -> None:
    bus = SoundBus()

    def user(window: FakeWindow) -> User:
        yield from until(lambda: window.shown)
        yield "r"
        yield from until(lambda: len(bench.shots) > 60)
        yield "r"
        yield "q"

    bench = Bench(
        real_time(40), styles, FakeWindow(user), folder=tmp_path, sounds=bus,
        open_microphone=lambda: Microphone("test", bus),
    )  # fmt: skip
    bench.run()
    (path,) = tmp_path.glob("*.mp4")
    assert loud_part(path) > 0.3


@pytest.mark.parametrize("device", ["nosuchmicrophone", "hw:77", __file__])
def test_a_microphone_that_is_not_there_is_one_line(
    capfd: pytest.CaptureFixture[str], device: str
) -> None:
    with pytest.raises(MediaError, match="cannot be opened") as refused:
        Microphone(device, SoundBus())
    assert refused.value.setting == "microphone"
    assert capfd.readouterr().err == "", "libraries print nothing of their own"


@pytest.mark.skipif(not Path("/usr/share/alsa/alsa.conf").is_file(), reason="needs ALSA's files")
def test_the_default_microphone_is_looked_for_among_the_systems_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without this folder, ALSA reads nothing about cards, and knows no default one."""
    monkeypatch.delenv("ALSA_CONFIG_DIR", raising=False)
    with contextlib.suppress(MediaError):
        Microphone("nosuchmicrophone", SoundBus())
    assert os.environ["ALSA_CONFIG_DIR"] == "/usr/share/alsa"


def test_a_film_without_sound_is_no_microphone(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no sound"):
        Microphone(str(make_film(tmp_path / "film.mp4", sound=None)), SoundBus())


def test_a_microphone_replaces_the_sound_of_a_film(film: Path, tmp_path: Path) -> None:
    request = LiveRequest(str(film), window=False, record=tmp_path / "o.mkv", microphone="test")
    assert dataclasses.replace(request, microphone=None).microphone is None
    job = live_job(request)
    assert job._open_microphone is not None
    with job.feed._open_source() as source:
        assert source._sound is None  # type: ignore[attr-defined]
