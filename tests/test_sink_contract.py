"""What every sink of frames keeps to: `FrameSink`, run over all of them."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from conftest import grey
from numpy.typing import NDArray
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.live.encoded_sink import EncodedSink
from realtime_style.live.virtual_camera import VirtualCameraSink
from realtime_style.media.film_sink import FileSink
from realtime_style.stages import FrameSink

FRAMES = 6
SIZE = (64, 48)
STEP_MS = 40
BASE = Fraction(1, 1000)
FILES = ("film.mp4", "film.mkv", "film.webm", "film.mov", "film.avi", "film.gif", "film.webp")
RECORDINGS = ("recording.mp4", "recording.mkv")
KINDS = (*FILES, "f_%02d.png", "pipe", *RECORDINGS, "stream", "camera")


class Pool(FramePool):
    """Counts the buffers that come back."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def give(self, buffer: NDArray[np.uint8]) -> None:
        self.given += 1
        super().give(buffer)


class Camera:
    """Stands for pyvirtualcam, which needs a driver."""

    sent: ClassVar[list[NDArray[np.uint8]]] = []
    device = "/dev/video9"

    class PixelFormat:
        I420 = "I420"

    def __init__(self, width: int, height: int, fps: float, fmt: str, print_fps: bool) -> None:
        self.is_open = True

    def send(self, picture: NDArray[np.uint8]) -> None:
        assert self.is_open
        Camera.sent.append(picture.copy())

    def close(self) -> None:
        self.is_open = False


@dataclass
class Target:
    """A kind of sink: how to open it, and what came out."""

    kind: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    received: bytearray = field(default_factory=bytearray)

    def open(self) -> FrameSink[Frame]:
        info = StreamInfo(
            *SIZE, Fraction(25), BASE, ColorSpace(), source_width=SIZE[0], source_height=SIZE[1]
        )
        first = frames(1)[0]
        if self.kind in RECORDINGS:
            path = str(self.folder / self.kind)
            return EncodedSink(path, first, SIZE, Fraction(25), sent=False)
        if self.kind == "stream":
            return EncodedSink(self._receiver(), first, SIZE, Fraction(25), sent=True)
        if self.kind == "camera":
            Camera.Camera = Camera  # type: ignore[attr-defined]
            Camera.sent.clear()
            self.monkeypatch.setitem(sys.modules, "pyvirtualcam", Camera)  # type: ignore[arg-type]
            return VirtualCameraSink(SIZE, 25)
        if self.kind == "pipe":
            self.monkeypatch.setattr(sys, "stdout", (self.folder / "piped.mkv").open("wb"))
            return FileSink("-", info)
        return FileSink(self.folder / self.kind, info)

    def _receiver(self) -> str:
        """Listens for one connection, and keeps what it brings; its address."""
        server = socket.create_server(("127.0.0.1", 0))

        def receive() -> None:
            with server, closing(server.accept()[0]) as connection:
                while data := connection.recv(1 << 16):
                    self.received += data

        self._thread = threading.Thread(target=receive, daemon=True)
        self._thread.start()
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def lumas(self) -> list[float]:
        """The mean luma of each frame that came out."""
        if self.kind == "camera":
            return [float(picture[: SIZE[1]].mean()) for picture in Camera.sent]
        if "%" in self.kind:
            return [brightness(Image.open(self.folder / name)) for name in self.files()]
        if self.kind in ("film.gif", "film.webp"):
            with Image.open(self.folder / self.kind) as animation:
                return [brightness(at(animation, i)) for i in range(FRAMES)]
        path = self.folder / self.kind
        if self.kind == "stream":
            self._thread.join(10)
            path = self.folder / "received.ts"
            path.write_bytes(self.received)
        elif self.kind == "pipe":
            path = self.folder / "piped.mkv"
        with av.open(str(path)) as film:
            return [float(f.to_ndarray()[: f.height].mean()) for f in film.decode(video=0)]


def at(animation: Image.Image, index: int) -> Image.Image:
    animation.seek(index)
    return animation


def brightness(picture: Image.Image) -> float:
    """The luma, limited range, of a grey picture."""
    return float(np.asarray(picture.convert("L")).mean()) * 219 / 255 + 16


def frames(count: int = FRAMES, pool: FramePool | None = None) -> list[Frame]:
    """Grey frames, each of another shade."""
    made = []
    for i in range(count):
        i420 = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        i420[: SIZE[1]] = grey(2 * i)
        made.append(Frame(i420, i * STEP_MS, BASE, ColorSpace(), STEP_MS, pool))
    return made


@pytest.fixture(params=KINDS)
def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Target]:
    return Target(request.param, tmp_path, monkeypatch)


def test_every_frame_comes_out_though_its_buffer_is_used_again(target: Target) -> None:
    with target.open() as sink:
        for frame in frames():
            sink.write(frame)
            frame.i420[...] = 0
    assert target.lumas() == pytest.approx([grey(2 * i) for i in range(FRAMES)], abs=4)


def test_frames_stay_the_caller_s(target: Target) -> None:
    pool = Pool()
    with target.open() as sink:
        for frame in frames(pool=pool):
            sink.write(frame)
    assert pool.given == 0


def test_an_error_leaves_no_half_film(target: Target) -> None:
    """But what a recording, a pipe or a stream has written cannot be taken back."""
    kept = f"film.stopped{Path(target.kind).suffix}"
    with pytest.raises(RuntimeError, match="elsewhere"), target.open() as sink:  # noqa: PT012
        for frame in frames():
            sink.write(frame)
        raise RuntimeError("elsewhere")
    if target.kind in RECORDINGS:
        assert len(target.lumas()) == FRAMES
    elif target.kind.startswith("f_"):
        assert target.files() == [f"f_{i:02d}.stopped.png" for i in range(1, FRAMES + 1)]
    elif target.kind != "pipe":
        assert target.files() == ([kept] if isinstance(sink, FileSink) else [])


def test_ctrl_c_keeps_what_was_written(target: Target) -> None:
    with pytest.raises(KeyboardInterrupt), target.open() as sink:  # noqa: PT012
        for frame in frames():
            sink.write(frame)
        raise KeyboardInterrupt
    if isinstance(sink, FileSink):
        assert sink.frames == FRAMES
    if isinstance(sink, FileSink) and target.kind != "pipe":
        assert sink.complete_path
        assert target.kind.partition(".")[0] + ".stopped" in sink.complete_path.name
        target.kind = sink.complete_path.name
        if target.kind.endswith((".gif", ".webp")):
            with Image.open(sink.complete_path) as animation:
                assert getattr(animation, "n_frames", 1) == FRAMES
            return
    assert len(target.lumas()) == FRAMES


def test_it_may_be_left_without_a_frame(target: Target) -> None:
    try:
        with target.open():
            pass
    except MediaError:  # an animation needs a picture
        assert target.kind.endswith((".gif", ".webp"))
        assert target.files() == []


def refuse_all(*_: Any) -> None:
    raise av.OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", ["film.mp4", "recording.mkv"])
def test_a_failing_write_is_a_media_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    target = Target(kind, tmp_path, monkeypatch)
    with pytest.raises(MediaError, match="No space left on device"), target.open() as sink:  # noqa: PT012
        monkeypatch.setattr(sink._muxer, "mux", refuse_all)  # type: ignore[attr-defined]
        for frame in frames():
            sink.write(frame)


def test_a_pipe_without_a_reader_is_a_media_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        info = StreamInfo(*SIZE, Fraction(25), BASE, ColorSpace())
        with pytest.raises(MediaError, match="Broken pipe"), FileSink("-", info) as sink:  # noqa: PT012
            for frame in frames():
                sink.write(frame)


def pictures_begun(stream: bytes) -> int:
    """How many pictures of an MPEG transport stream (of video only) have begun (H.222.0, 2.4.3)."""
    packets = [stream[i : i + 188] for i in range(0, len(stream) - 187, 188)]
    starts = [packet for packet in packets if packet[0] == 0x47 and packet[1] & 0x40]
    return sum(b"\0\0\1\xe0" in packet for packet in starts)


def test_a_stream_sends_every_frame_at_once() -> None:
    """Without the encoder's tune for it, each is held back until the next one comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        address = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        made, received = frames(), b""
        with EncodedSink(address, made[0], SIZE, Fraction(25), sent=True) as sink:
            for i, frame in enumerate(made):
                sink.write(frame)
                while pictures_begun(received) <= i:  # the receiver's timeout is the limit
                    received += receiver.recv(1 << 16)
                assert pictures_begun(received) == i + 1
