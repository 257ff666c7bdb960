"""Outputs of a live job: recordings, streams, the virtual camera; those that fail or are slow."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Self

import av
import numpy as np
import pytest
from conftest import affine_style
from live_fakes import (
    SIZE,
    Bench,
    FakeWindow,
    User,
    frame,
    frames_in,
    grey,
    real_time,
    rising,
    until,
)

from realtime_style.errors import MediaError
from realtime_style.frame import Frame
from realtime_style.live.clock import MICROSECOND
from realtime_style.live.destinations import stream, virtual_camera
from realtime_style.live.encoded_sink import EncodedSink
from realtime_style.live.output import Output, OutputKind, PermanentError


@pytest.fixture
def styles(tmp_path: Path) -> list[str]:
    """The file of the identity style, as a list of styles to choose from."""
    (tmp_path / "identity.onnx").write_bytes(affine_style(name="identity"))
    return [str(tmp_path / "identity.onnx")]


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
        assert frames_in(left) >= 60
        sink.__exit__(None, None, None)
        assert frames_in(path) == 120


def test_a_full_disk_ends_the_recording_not_the_job(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.live.window_front_end._HINT_S", 0.0)  # no other text

    class Sink:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, frame: Frame) -> None:
            raise MediaError("out.mp4 cannot be written: no space left on device")

    output = Output(OutputKind.RECORDING, "out.mp4", lambda first: Sink())

    def user(window: FakeWindow) -> User:
        yield from until(lambda: bench.has_said("no space left"))
        at = len(window.shown)
        yield from until(lambda: len(window.shown) >= at + 30)
        yield "q"

    window = FakeWindow(user, size=(640, 480))
    bench = Bench(grey(40), styles, window, outputs=[output])
    assert bench.run().frames >= 30
    assert (window.shown[-1] > 200).sum() > 100


def test_without_a_window_a_failed_recording_is_an_error(styles: list[str], tmp_path: Path) -> None:
    output = Output(OutputKind.RECORDING, "a.mp4", lambda first: EncodedSink(
        str(tmp_path / "none" / "a.mp4"), first, SIZE, Fraction(30), sent=False))  # fmt: skip
    bench = Bench(rising(), styles, outputs=[output])
    bench.run()  # ends: there is nobody left to paint for
    assert [failed.name for failed in bench.job.failed] == ["recording a.mp4"]
    assert "cannot be written" in str(bench.job.report()["failed"])


def test_a_stream_is_opened_again(styles: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_style.live.output._RETRY_S", 0.02)
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
    bench = Bench(rising(), styles, outputs=[output])
    bench.run(
        lambda shot: bench.job.stop() if len(written) == 3 and len(written[-1]) > 10 else None
    )
    assert len(written[-1]) > 10
    assert bench.has_said("the server is gone")
    assert bench.has_said("stream udp://x:1 works again")


def test_an_output_that_does_not_end_is_left_behind(
    styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.live.captures._COMPLETE_S", 0.05)
    forever = threading.Event()

    class Stuck:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            forever.wait(60)

    bench = Bench(
        rising(5), styles, outputs=[Output(OutputKind.STREAM, "udp://x:1", lambda first: Stuck())]
    )
    bench.run()
    assert bench.job.left_behind == ["stream udp://x:1"]
    forever.set()


def test_an_output_that_fails_in_its_own_way_is_heard(styles: list[str]) -> None:
    class Odd:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None: ...

        def write(self, frame: Frame) -> None:
            raise RuntimeError("the driver fell over")

    output = Output(OutputKind.VIRTUAL_CAMERA, "/dev/video9", lambda first: Odd())
    bench = Bench(rising(), styles, outputs=[output])
    bench.run()
    assert bench.job.failed == [output]
    assert bench.job.has_reported(output)
    assert sum("the driver fell over" in message for message in bench.said) == 1
    assert output.trouble == "virtual camera /dev/video9 failed: the driver fell over"


def test_a_slow_output_holds_up_nobody(styles: list[str]) -> None:
    goes_on = threading.Event()

    class Slow:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, frame: Frame) -> None:
            goes_on.wait(60)

    def resume(shot: object) -> None:
        if bench.job.stats.frames == 30:
            goes_on.set()

    output = Output(OutputKind.STREAM, "udp://x:1", lambda first: Slow())
    bench = Bench(rising(30), styles, outputs=[output])
    assert bench.run(resume).frames == 30
    assert output.dropped >= 30 - 8 - 1 - 8  # 8 wait, one is written; more once it goes on
    assert not bench.job.left_behind


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("udp://127.0.0.1:{}", {}),
        ("rtmp://127.0.0.1:{}/live/x", {"listen": "1", "analyzeduration": "500000"}),
    ],
)
def test_streams_arrive(styles: list[str], address: str, options: dict[str, str]) -> None:
    kind = socket.SOCK_DGRAM if address.startswith("udp") else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as unused:
        unused.bind(("127.0.0.1", 0))
        address = address.format(unused.getsockname()[1])
    receiver = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, address, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    )
    output = stream(address, SIZE, Fraction(30))
    bench = Bench(real_time(40), styles, outputs=[output], at_own_pace=True)
    guard = threading.Timer(40, bench.job.stop)
    guard.start()
    bench.run(lambda shot: bench.job.stop() if receiver.poll() is not None else None)
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


def test_an_address_that_this_ffmpeg_cannot_send_to_is_a_permanent_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise av.ProtocolNotFoundError(0, "Protocol not found")

    monkeypatch.setattr("realtime_style.live.encoded_sink.Muxer", unknown)
    with pytest.raises(PermanentError, match="srt://x:1 cannot be reached: Protocol not found"):
        EncodedSink("srt://x:1", frame(), SIZE, Fraction(30), sent=True)


def test_a_stream_that_this_ffmpeg_cannot_send_fails_once(styles: list[str]) -> None:
    def unknown(first: Frame) -> Any:
        raise PermanentError("srt://x cannot be reached: Protocol not found")

    bench = Bench(
        rising(), styles, outputs=[Output(OutputKind.STREAM, "srt://x", unknown, retries=True)]
    )
    bench.run()
    assert bench.job.report()["failed"] == {
        "stream srt://x": "srt://x cannot be reached: Protocol not found"
    }


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
    bench = Bench(grey(40), styles, outputs=[output])
    bench.run(lambda shot: bench.job.stop() if output.frames >= 10 else None)
    assert len(Loopback.sent) >= 10
    assert abs(int(Loopback.sent[0][:64].mean()) - 40) <= 1
    assert Loopback.sent[-1].size == 0  # closed
    with pytest.raises(MediaError, match=r"No v4l2 loopback.*modprobe v4l2loopback"):
        virtual_camera((32, 64), 30)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MediaError, match="pip install pyvirtualcam"):
        virtual_camera((96, 64), 30)
