from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest
from conftest import grey, lumas_of, make_film, scene_rgb, sound_of, times_of
from PIL import Image

from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media import film_sink
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.muxer import Muxer
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame

TIME_BASE = Fraction(1, 1000)
SPACES = [ColorSpace(matrix, reach) for matrix in (SMPTE170M, BT709) for reach in (LIMITED, FULL)]
TIMES_MS = (0, 40, 45, 130, 131, 500)


def info(width: int = 64, height: int = 48, color: ColorSpace = ColorSpace()) -> StreamInfo:
    return StreamInfo(
        width, height, Fraction(25), TIME_BASE, color, source_width=width, source_height=height
    )


def frames() -> list[Frame]:
    made = []
    for i, pts in enumerate(TIMES_MS):
        i420 = np.full((72, 64), 128, np.uint8)
        i420[:48] = grey(i)
        made.append(Frame(i420, pts, TIME_BASE))
    return made


def sound_start_s(film: Path) -> float:
    """When the first sound of a film is heard, in seconds."""
    with av.open(str(film)) as read:
        first = next(read.decode(audio=0))
    return float(first.pts * first.time_base)  # type: ignore[operator]


def write(sink: FileSink) -> None:
    with sink:
        for frame in frames():
            sink.write(frame)
            frame.i420[...] = 0  # the sink must be done with it


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("film.mp4", Encoding()),
        ("film.mkv", Encoding()),
        ("film.mov", Encoding("h264", crf=10, preset="ultrafast")),
        ("film.webm", Encoding()),
        ("film.mkv", Encoding("h265", preset="ultrafast")),
        ("film.mp4", Encoding("av1", preset="10")),
        ("film.mkv", Encoding("ffv1")),
        ("film.mov", Encoding("prores")),
        ("film.mp4", Encoding("h265", preset="ultrafast", bit_depth=10)),
        ("film.mkv", Encoding("h264", bit_depth=10)),
        ("film.mkv", Encoding("mpeg4")),  # these three know only the numbers of frames
        ("film.mkv", Encoding("mpeg2video")),
        ("film.mkv", Encoding("mpeg1video")),
        ("film.mov", Encoding("qtrle")),  # colours only, no planes
        ("film.nut", Encoding("utvideo")),
    ],
)
def test_every_container_keeps_frames_and_times(
    tmp_path: Path, name: str, encoding: Encoding
) -> None:
    path = tmp_path / name
    sink = FileSink(path, info(), encoding=encoding)
    write(sink)
    assert times_of(path) == [Fraction(ms, 1000) for ms in TIMES_MS]
    assert lumas_of(path) == pytest.approx([grey(i) for i in range(6)], abs=3)
    assert sink.frames == 6
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes of this kind")
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_picture_and_sound_begin_at_their_times_in_a_pipe(
    tmp_path: Path, film: Path, ending: str
) -> None:
    pipe = tmp_path / f"pipe{ending}"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with FileSource(film) as source, FileSink(pipe, source.info, passthrough_of=source) as sink:
        for frame in source:
            sink.write(frame)
    reader.join()
    copy = tmp_path / f"copy{ending}"
    copy.write_bytes(received[0])
    assert times_of(copy) == [Fraction(i, 25) for i in range(10)]
    assert sound_start_s(copy) == pytest.approx(sound_start_s(film), abs=0.001)


@pytest.mark.parametrize("name", ["film.gif", "film.webp"])
def test_animated_pictures(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with FileSink(path, info(128, 96)) as sink:
        for i in range(5):
            frame = frame_from_rgb(scene_rgb(128, 96, i / 5), ColorSpace(), 200 * i, TIME_BASE)
            sink.write(dataclasses.replace(frame, duration=200))
    assert sink.duration_s == 1
    with Image.open(path) as film:
        assert getattr(film, "n_frames", 1) == 5
        for i in range(5):
            film.seek(i)
            shown = np.asarray(film.convert("RGB"), int)
            assert np.abs(shown - scene_rgb(128, 96, i / 5)).mean() < 12
            assert film.info["duration"] == pytest.approx(200, abs=10)


def animation(path: Path, loops: dict[str, int]) -> Path:
    """Three pictures, with the loop count of Pillow's writer, which is the format's own."""
    pictures = [Image.new("RGB", (64, 48), (60 * i, 90, 40)) for i in range(3)]
    pictures[0].save(path, append_images=pictures[1:], save_all=True, duration=100, **loops)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("given", "plays"),
    [
        (("a.gif", {}), 1), (("a.gif", {"loop": 0}), 0), (("a.gif", {"loop": 2}), 3),
        (("a.webp", {"loop": 1}), 1), (("a.webp", {"loop": 0}), 0), (("a.webp", {"loop": 3}), 3),
    ],
)  # fmt: skip
def test_animations_are_played_as_often_as_before(
    tmp_path: Path, given: tuple[str, dict[str, int]], plays: int
) -> None:
    film, found = animation(tmp_path / given[0], given[1]), {}
    for ending in (".gif", ".webp", ".apng", ".mp4"):
        out = tmp_path / f"out{ending}"
        with FileSource(film) as source, FileSink(out, source.info, passthrough_of=source) as sink:
            for frame in source:
                sink.write(frame)
        found[ending] = sink.notes
        if ending != ".mp4":
            with Image.open(out) as painted:
                loops = painted.info.get("loop")
            assert loops == ({0: 0, 1: None}.get(plays, plays - 1) if ending == ".gif" else plays)
    how_often = {0: "for ever", 3: "3 times"}.get(plays)
    note = f".mp4 cannot say that it is played {how_often}: most players play it once"
    assert found == {".gif": [], ".webp": [], ".apng": [], ".mp4": [note] if how_often else []}


@pytest.mark.parametrize("color", SPACES, ids=str)
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_numbered_pictures_have_the_film_s_colours(
    tmp_path: Path, ending: str, color: ColorSpace
) -> None:
    with FileSink(tmp_path / f"f_%02d{ending}", info(128, 96, color)) as sink:
        for i in range(2):
            sink.write(frame_from_rgb(scene_rgb(128, 96), color, 40 * i, TIME_BASE))
    names = [f"f_{i:02d}{ending}" for i in (1, 2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        shown = np.asarray(Image.open(tmp_path / name).convert("RGB"), int)
        assert np.abs(shown - scene_rgb(128, 96)).mean() < 8  # JPEG's coding
        if ending in (".png", ".tif", ".bmp"):
            exact = rgb_from_frame(frame_from_rgb(scene_rgb(128, 96), color)).astype(int)
            assert np.abs(shown - exact).max() <= 1


def test_rgb_encoders_keep_colours(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with FileSink(path, info(128, 96), encoding=Encoding("libx264rgb", crf=1)) as sink:
        sink.write(frame_from_rgb(scene_rgb(128, 96), ColorSpace(), 0, TIME_BASE))
    with av.open(str(path)) as film:
        shown = next(film.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - scene_rgb(128, 96)).mean() < 4


@pytest.mark.parametrize("ending", [".avi", ".wmv"])
def test_containers_without_times_get_frames_in_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"film{ending}"
    base = Fraction(1, 25)
    still = StreamInfo(64, 48, Fraction(25), base, ColorSpace(), source_width=64, source_height=48)
    with FileSink(path, still) as sink:
        for i in range(20):
            noise = np.random.default_rng(i).integers(0, 255, (72, 64), np.uint8)
            sink.write(Frame(noise, i, base))
    steps = np.diff([float(at) for at in times_of(path)])
    assert steps == pytest.approx([0.04] * 19, abs=0.002)


def test_a_stopped_sequence_has_names_of_its_own(tmp_path: Path) -> None:
    for again in ("", "1"):
        sink = FileSink(tmp_path / "f_%02d.png", info())
        for frame in frames():
            sink.write(frame)
        sink.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert sink.complete_path == tmp_path / f"f_%02d.stopped{again}.png"
    names = [f"f_{i:02d}.stopped{again}.png" for i in range(1, 7) for again in ("", "1")]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_sequence_has_no_pictures_of_other_runs(tmp_path: Path) -> None:
    pattern = tmp_path / "f_%02d.png"
    killed = FileSink(pattern, info())
    for frame in frames():
        killed.write(frame)
    del killed  # its folder stays
    with FileSink(pattern, info()) as sink:
        sink.write(frames()[0])
    assert [path.name for path in tmp_path.iterdir()] == ["f_01.png"]
    for i in range(2, 9):
        (tmp_path / f"f_{i:02d}.png").write_bytes(b"of a longer film")
    (tmp_path / "f_9.png").write_bytes(b"no name of this pattern")
    with FileSink(pattern, info(), overwrite=True) as sink:
        for frame in frames()[:3]:
            sink.write(frame)
    assert sink.notes == ["removed 5 pictures of the previous sequence"]
    names = ["f_01.png", "f_02.png", "f_03.png", "f_9.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("name", ["shot[1]_%02d.png", "50% of_%02d.png"])
def test_sequences_with_odd_names_are_not_replaced_by_default(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "100%d"
    folder.mkdir()
    for _ in range(2):
        with FileSink(folder / name, info(), overwrite=True) as sink:
            sink.write(frames()[0])
    assert [path.name for path in folder.iterdir()] == [name.replace("%02d", "01")]
    with FileSource(folder / name) as source:
        assert len(list(source)) == 1
    with pytest.raises(MediaError, match="exists already"):
        FileSink(folder / name, info())


def test_a_per_cent_sign_does_not_make_a_sequence(tmp_path: Path) -> None:
    path = tmp_path / "50% off.mkv"
    write(FileSink(path, info()))
    assert len(times_of(path)) == len(TIMES_MS)


def test_a_finished_film_that_cannot_take_its_name_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"open in a player")
    usual = os.replace

    def replace(source: Path, target: Path) -> None:
        if target == path:
            raise PermissionError(13, "Permission denied")
        usual(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(MediaError, match=r"the painted film was saved as .*film.painted.mp4"):
        write(FileSink(path, info(), overwrite=True))
    assert len(times_of(tmp_path / "film.painted.mp4")) == len(TIMES_MS)
    assert path.read_bytes() == b"open in a player"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("unforeseen")])
def test_a_painted_film_that_cannot_be_completed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def finish(muxer: Muxer, end_s: float, *, is_stopped: bool) -> None:
        raise error

    monkeypatch.setattr(Muxer, "finish", finish)
    path = tmp_path / "film.mp4"
    reason = "No space left" if isinstance(error, OSError) else "unforeseen"
    with pytest.raises(MediaError, match=f"{reason}; what was written is .*film.painted.mp4"):
        write(FileSink(path, info(), overwrite=True))
    assert [file.name for file in tmp_path.iterdir()] == ["film.painted.mp4"]
    assert len(times_of(tmp_path / "film.painted.mp4")) == len(TIMES_MS)


def test_gif_leaves_out_frames_that_are_too_short(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    with FileSink(path, info()) as sink:
        for i, pts in enumerate((0, 3, 8, 12, 40, 42, 43, 90)):
            i420 = np.full((72, 64), grey(i), np.uint8)
            sink.write(Frame(i420, pts, TIME_BASE, duration=1))
        notes = sink.notes
    with av.open(str(path)) as film:
        assert len(list(film.decode(video=0))) == 3
    assert notes == ["5 frames dropped: GIF cannot show them so briefly"]


def test_ctrl_c_between_encoder_and_file_loses_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "film.mp4", info(), encoding=Encoding("h264"))
    mux, calls = sink._muxer.mux, 0

    def interrupted_mux(packets: list[av.Packet]) -> None:
        nonlocal calls
        calls += len(packets) > 0
        if calls == 3:  # the encoder has many frames in hand by then
            signal.raise_signal(signal.SIGINT)
        mux(packets)

    monkeypatch.setattr(sink._muxer, "mux", interrupted_mux)
    film = [np.random.default_rng(i).integers(0, 255, (72, 64), np.uint8) for i in range(100)]

    def write_all() -> None:
        with sink:
            for i, noise in enumerate(film):
                sink.write(Frame(noise, 40 * i, TIME_BASE))

    with pytest.raises(KeyboardInterrupt):
        write_all()
    assert sink.complete_path
    times = times_of(sink.complete_path)
    assert 3 < len(times) < 100
    assert times == [Fraction(i, 25) for i in range(len(times))]


def stop_after(sink: FileSink, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a sink by Ctrl-C, and by a second one after some groups of packets."""
    mux, calls = sink._muxer.mux, 0

    def stopped_mux(packets: list[av.Packet]) -> None:
        nonlocal calls
        calls += len(packets) > 0
        if calls == groups:
            signal.raise_signal(signal.SIGINT)
        mux(packets)

    monkeypatch.setattr(sink._muxer, "mux", stopped_mux)
    sink.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


@pytest.fixture(scope="module")
def busy_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that need B-frames, with sound: a texture that moves, and some noise."""
    path = tmp_path_factory.mktemp("busy") / "busy.mkv"
    plain = make_film(path.with_stem("plain"), pts=range(50))
    rng = np.random.default_rng(0)
    texture = rng.integers(60, 190, (48, 200), np.uint8)
    with FileSource(plain) as source, FileSink(
        path, source.info, passthrough_of=source, encoding=Encoding("ffv1")
    ) as sink:  # fmt: skip
        for i, frame in enumerate(source):
            frame.i420[:48] = texture[:, i : i + 64] + rng.integers(0, 9, (48, 64), np.uint8)
            sink.write(frame)
    return path


@pytest.mark.parametrize("is_read", [False, True], ids=["half", "all"])
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_ctrl_c_keeps_every_frame_that_was_written(
    tmp_path: Path, busy_film: Path, ending: str, is_read: bool
) -> None:
    with FileSource(busy_film) as source:
        sink = FileSink(tmp_path / f"film{ending}", source.info, passthrough_of=source)
        with pytest.raises(KeyboardInterrupt), sink:  # noqa: PT012
            frames = list(source) if is_read else source
            for i, frame in enumerate(frames):
                sink.write(frame)
                if i == 24:
                    raise KeyboardInterrupt
    assert sink.complete_path
    assert sink.frames == 25
    start = times_of(sink.complete_path)[0]
    assert [at - start for at in times_of(sink.complete_path)] == [
        Fraction(i, 25) for i in range(25)
    ]
    end_of_sound, _ = sound_of(sink.complete_path)[-1]
    assert 0.95 < end_of_sound - start < 1.0 + 0.03  # a packet has 21 ms


@pytest.mark.parametrize("groups", range(1, 9))
def test_a_film_that_is_cut_anywhere_has_no_gaps_and_its_sound_ends_with_it(
    tmp_path: Path, busy_film: Path, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileSource(busy_film) as source:
        sink = FileSink(
            tmp_path / "film.mkv",
            source.info,
            encoding=Encoding(preset="medium"),
            passthrough_of=source,
        )
        for i, frame in enumerate(source):
            sink.write(frame)
            if i == 39:
                break
        stop_after(sink, groups, monkeypatch)
    assert sink.complete_path
    times = times_of(sink.complete_path)
    start = times[0]
    assert 0 < len(times) < 40
    assert [at - start for at in times] == [Fraction(i, 25) for i in range(len(times))]
    assert sink.frames == len(times)
    end = times[-1] + Fraction(1, 25)
    assert sound_of(sink.complete_path)[-1][0] <= end
    with av.open(str(sink.complete_path)) as film:
        assert film.duration is not None
        assert film.duration / 1e6 < end + 0.05


def test_ctrl_c_while_a_film_is_completed_keeps_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "film.mp4", info())
    for frame in frames():
        sink.write(frame)
    mux = sink._muxer.mux

    def interrupted_mux(packets: list[av.Packet]) -> None:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        mux(packets)

    monkeypatch.setattr(sink._muxer, "mux", interrupted_mux)
    with pytest.raises(KeyboardInterrupt):
        sink.__exit__(None, None, None)
    assert sink.complete_path == tmp_path / "film.stopped.mp4"
    assert len(times_of(sink.complete_path)) == len(TIMES_MS)


def test_ctrl_c_while_a_film_is_put_in_place_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.mp4"
    sink = FileSink(path, info())
    for frame in frames():
        sink.write(frame)
    close = sink._muxer.close

    def interrupted_close() -> None:
        signal.raise_signal(signal.SIGINT)
        close()

    monkeypatch.setattr(sink._muxer, "close", interrupted_close)
    with pytest.raises(KeyboardInterrupt):
        sink.__exit__(None, None, None)
    assert sink.complete_path == path
    assert len(times_of(path)) == len(TIMES_MS)
    assert list(tmp_path.iterdir()) == [path]


def test_messages_of_media_name_no_command_line_flags() -> None:
    """They name settings of the library; only the command line knows its flags."""
    package = Path(film_sink.__file__).parents[1]
    files = [path for room in ("live", "media", "system") for path in package.glob(f"{room}/*.py")]
    assert len(files) > 15
    for file in files:
        assert re.findall(r"[ \"`(]--[a-z]", file.read_text("utf-8")) == [], file


def test_a_sequence_of_pictures_and_back(tmp_path: Path) -> None:
    path = tmp_path / "frame_%04d.png"
    with FileSink(path, info()) as sink:
        for frame in frames():
            sink.write(frame)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"frame_{i:04d}.png" for i in range(1, 7)]
    with FileSource(path) as source:
        assert [float(f.luma.mean()) for f in source] == pytest.approx(
            [grey(i) for i in range(6)], abs=2
        )
    with pytest.raises(MediaError, match=r"frame_0001\.png exists already"):
        FileSink(path, info())


def test_the_film_appears_only_when_complete_and_old_ones_stay_until_then(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"precious")
    sink = FileSink(path, info(), overwrite=True)
    with sink:
        for frame in frames():
            sink.write(frame)
        assert path.read_bytes() == b"precious"
    assert len(times_of(path)) == 6


@pytest.mark.parametrize("error", [MediaError("it broke", setting="source"), RuntimeError("bug")])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm", ".gif"])
def test_an_error_keeps_the_frames_before_it_in_a_film_of_their_own(
    tmp_path: Path, ending: str, error: Exception
) -> None:
    path = tmp_path / f"film{ending}"
    path.write_bytes(b"precious")
    sink = FileSink(path, info(), overwrite=True)
    with pytest.raises(type(error)) as raised, sink:  # noqa: PT012
        for frame in frames()[:5]:
            sink.write(frame)
        raise error
    kept = tmp_path / f"film.stopped{ending}"
    count = 3 if ending == ".gif" else 5  # GIF cannot show them so briefly
    assert len(times_of(kept)) == count
    assert path.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == sorted([path, kept])
    if isinstance(error, MediaError):
        assert str(raised.value) == f"it broke; frames kept in {kept}: {count}"
        assert raised.value.setting == "source"
    assert sink.complete_path == kept


def test_an_error_before_the_first_frame_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"^it broke$"), FileSink(tmp_path / "film.mp4", info()):
        raise MediaError("it broke")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can be larger than 60 kB, as if the disk was full."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    signal.signal(signal.SIGXFSZ, former)


def write_noise(sink: FileSink) -> None:
    rng = np.random.default_rng(0)
    with sink:
        for i in range(500):
            sink.write(Frame(rng.integers(0, 255, (72, 64), np.uint8), 40 * i, TIME_BASE))


@pytest.mark.parametrize("ending", [".mkv", ".ts"])
def test_a_full_disk_keeps_what_can_be_read(tmp_path: Path, small_disk: None, ending: str) -> None:
    kept = tmp_path / f"film.stopped{ending}"
    with pytest.raises(MediaError, match=f"what was written is {re.escape(str(kept))}$"):
        write_noise(FileSink(tmp_path / f"film{ending}", info()))
    assert len(times_of(kept)) > 5
    assert list(tmp_path.iterdir()) == [kept]


def test_a_full_disk_leaves_nothing_that_cannot_be_read(tmp_path: Path, small_disk: None) -> None:
    with pytest.raises(MediaError, match=r"cannot be written: File too large$"):
        write_noise(FileSink(tmp_path / "film.mp4", info()))
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_a_sequence_keeps_its_whole_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "f_%02d.png", info())
    mux = sink._muxer.mux

    def torn(packets: list[av.Packet]) -> None:
        mux(packets)
        fourth = tmp_path / ".f_02d.partial.png" / "f_04.png"
        if fourth.exists():
            fourth.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink._muxer, "mux", torn)
    with pytest.raises(
        MediaError, match=r"No space left on device; what was written is .*stopped.png$"
    ):
        write(sink)
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == [f"f_{i:02d}.stopped.png" for i in (1, 2, 3)]
    assert all(Image.open(path).size == (64, 48) for path in kept)


def test_the_index_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(FileSink(path, info()))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("name", ["copy.mp4", "copy.mkv"])
def test_sound_is_copied_to_the_byte_and_tick(tmp_path: Path, film: Path, name: str) -> None:
    with FileSource(film) as source:
        sink = FileSink(tmp_path / name, source.info, passthrough_of=source)
        with sink:
            for frame in source:
                sink.write(frame)
    before, after = sound_of(film), sound_of(tmp_path / name)
    assert [data for _, data in after] == [data for _, data in before]
    # Matroska has no time before zero: there the whole film moves by the encoder's priming
    shift = times_of(tmp_path / name)[0] - times_of(film)[0]
    moves = [a - b - shift for (a, _), (b, _) in zip(after, before, strict=True)]
    precision = Fraction(1, 48_000) if name.endswith("mp4") else Fraction(1, 1000)
    assert max(map(abs, moves)) <= precision


@pytest.mark.parametrize("matrix", [BT709, SMPTE170M])
@pytest.mark.parametrize("reach", [LIMITED, FULL])
def test_colour_tags_are_kept(tmp_path: Path, matrix: int, reach: int) -> None:
    path = tmp_path / "film.mp4"
    write(FileSink(path, info(color=ColorSpace(matrix, reach, 1, 13))))
    with av.open(str(path)) as film:
        context = film.streams.video[0].codec_context
        assert int(context.colorspace) == matrix
        assert int(context.color_range) == reach
        assert (int(context.color_primaries), int(context.color_trc)) == (1, 13)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (64, 50), (66, 54), (62, 46), (18, 16)])
def test_every_plane_arrives_where_it_was(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "film.mkv"
    frame = frame_from_rgb(scene_rgb(width, height), ColorSpace())
    with FileSink(path, info(width, height), encoding=Encoding("ffv1")) as sink:
        sink.write(frame)
    with FileSource(path) as source:
        (back,) = source
        assert np.array_equal(back.luma, frame.luma)
        assert np.array_equal(back.chroma, frame.chroma)


def test_a_path_that_cannot_be_written_is_refused_at_once() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(MediaError, match=r"/proc/film\.mp4 cannot be written"):
        FileSink("/proc/film.mp4", info())


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
def test_encoders_print_nothing(tmp_path: Path, codec: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import test_sink, realtime_style as rs\n"
        "with rs.FileSink('film.mkv', test_sink.info(),"
        "                 encoding=rs.Encoding(sys.argv[1])) as sink:\n"
        "    for frame in test_sink.frames(): sink.write(frame)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, codec, str(Path(__file__).parent)],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "codec",
    ["utvideo", "huffyuv", "wmv2", "mpeg1video", "msmpeg4v2", "msvideo1", "cinepak", "zlib"],
)
def test_any_encoder_takes_the_frames_of_any_film(tmp_path: Path, codec: str) -> None:
    """The times of a transport stream, in an encoder that counts frames or takes few formats."""
    path, time_base = tmp_path / "film.avi", Fraction(1, 90_000)
    given = dataclasses.replace(info(), rate=Fraction(30_000, 1001), time_base=time_base)
    with FileSink(path, given, encoding=Encoding(codec)) as sink:
        for i, frame in enumerate(frames()):
            sink.write(dataclasses.replace(frame, pts=3003 * i, time_base=time_base))
    assert lumas_of(path) == pytest.approx([grey(i) for i in range(len(TIMES_MS))], abs=8)


@pytest.mark.parametrize("per_second", [25, 1000, 12_800, 90_000])
def test_ogv_keeps_the_times_of_steady_films(tmp_path: Path, per_second: int) -> None:
    path, time_base = tmp_path / "film.ogv", Fraction(1, per_second)
    with FileSink(path, dataclasses.replace(info(), time_base=time_base)) as sink:
        for i, frame in enumerate(frames()):
            pts = i * per_second // 25
            sink.write(dataclasses.replace(frame, pts=pts, time_base=time_base))
    assert times_of(path) == [Fraction(i, 25) for i in range(len(TIMES_MS))]


def test_frames_that_the_encoder_refuses_are_blamed_on_it(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="the encoder vc2 cannot encode") as refused:
        write(FileSink(tmp_path / "film.mkv", info(), encoding=Encoding("vc2")))
    assert refused.value.setting == "codec"


def test_frames_are_scaled_to_the_size_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(FileSink(path, info(), size=(128, 96)))
    with av.open(str(path)) as film:
        assert {(f.width, f.height) for f in film.decode(video=0)} == {(128, 96)}


@pytest.mark.parametrize(
    ("name", "encoding", "message"),
    [
        ("film.xyz", Encoding(), "must name a film format"),
        ("film", Encoding(), "must name a film format"),
        ("film.mp4", Encoding("nonsense"), "no video encoder 'nonsense'; try one of h264"),
        ("film.mp4", Encoding("aac"), "no video encoder 'aac'"),
        ("film.webm", Encoding("h264"), r"\.webm films cannot hold pictures of libx264"),
        ("film.mkv", Encoding("ffv1", crf=20), "the encoder ffv1 has no crf"),
        ("film.mp4", Encoding(preset="warp"), "no preset 'warp'; it has ultrafast"),
        ("film.mp4", Encoding("av1", preset="veryfast"), "no preset 'veryfast'; it has 0"),
        ("film.mp4", Encoding(crf=200), "crf 200 is out of range; libx264 takes 0 to 51"),
        ("film.mp4", Encoding("h265", crf=-1), "crf -1 is out of range"),
        ("film.avi", Encoding("h263"), r"cannot be opened .* of 64x48 .*Valid sizes are 128x96"),
        ("film.mkv", Encoding("utvideo"), r"cannot hold .*, or utvideo fits \.avi$"),
        ("film.mkv", Encoding("h264_nvenc"), "it needs its own device, such as an NVIDIA GPU"),
        ("film.webm", Encoding("h264"), r"try vp9 or av1, or libx264 fits \.mkv, \.mp4, \.mov"),
        ("none/film.mp4", Encoding(), "there is no folder"),
        (".", Encoding(), "is a folder"),
        ("film.webm", Encoding("vp9", bit_depth=10), "has no 10-bit pictures"),
        ("film.mov", Encoding("vp9"), r"\.mov films cannot hold pictures of libvpx-vp9"),
        ("film.png", Encoding(), r"is one picture, not a film; give a pattern .* frame_%04d\.png,"),
        ("film.m3u8", Encoding(), "is no ending of a film: it is a list of many files; give"),
        ("film.flac", Encoding(), "is no ending of a film: it holds only sound; give"),
        ("film.YUV", Encoding(), r"^\.yuv is no ending .* how large its pictures are; give"),
        ("film.mxf", Encoding("h265"), r"^\.mxf films cannot hold .* fits \.mkv, \.mp4 and \.mov$"),
        ("film.avi", Encoding("dvvideo"), r"\(Found no DV profile for 64x48 yuv420p video\);"),
        ("film.mov", Encoding("dnxhd"), r"\(video parameters incompatible with DNxHD\);"),
        ("film.y4m", Encoding("h265"), r"^\.y4m films cannot hold pictures of libx265"),
        ("film.swf", Encoding(), r"^\.swf films cannot hold pictures of libx264"),
        ("f_%02d.gif", Encoding(), r"cannot be written as \.gif; use \.png"),
        ("f_%02d.png", Encoding("h264"), r"cannot be encoded with libx264; use \.png"),
    ],
)
def test_the_impossible_is_refused_at_once(
    tmp_path: Path, name: str, encoding: Encoding, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        FileSink(tmp_path / name, info(), encoding=encoding)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "codec", "setting"),
    [
        ("film.webm", "h264", "codec"), ("film.mp3", None, "out"), ("film.swf", None, "out"),
        ("film.mxf", "h265", "codec"), ("f_%02d.gif", None, "out"), ("f_%02d.jpg", "h264", "codec"),
    ],
)  # fmt: skip
def test_a_codec_is_blamed_only_if_it_was_asked_for(
    tmp_path: Path, name: str, codec: str | None, setting: str
) -> None:
    with pytest.raises(MediaError) as refused:
        FileSink(tmp_path / name, info(), encoding=Encoding(codec))
    assert refused.value.setting == setting


def test_avif_gets_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "film.avif"
    write(FileSink(path, info()))
    with Image.open(path) as animation:
        assert (animation.format, getattr(animation, "n_frames", 1)) == ("AVIF", 6)
    with av.open(str(path)) as film:
        (moving,) = [stream for stream in film.streams.video if stream.frames == 6]
        assert moving.codec_context.name == "libdav1d"


def test_films_have_8_or_10_bits() -> None:
    with pytest.raises(MediaError, match="8 or 10 bits, not 12") as refused:
        Encoding("av1", bit_depth=12)
    assert refused.value.setting == "bit_depth"


def test_an_existing_film_is_not_touched_by_default(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(MediaError, match="exists already") as refused:
        FileSink(path, info())
    assert refused.value.setting == "overwrite"
    assert path.read_bytes() == b"precious"


def test_pixel_shape_is_kept(tmp_path: Path) -> None:
    wide = StreamInfo(
        64, 48, Fraction(25), TIME_BASE, ColorSpace(),
        source_width=64, source_height=48, sample_aspect_ratio=Fraction(4, 3),
    )  # fmt: skip
    write(FileSink(tmp_path / "film.mp4", wide))
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((852, 480), 1), ((640, 360), 1), ((426, 240), 1), ((480, 480), 1)],
)
def test_pixels_stay_square_over_rounded_sides(
    tmp_path: Path, size: tuple[int, int], shape: Fraction
) -> None:
    odd = StreamInfo(
        852, 480, Fraction(25), TIME_BASE, ColorSpace(),
        source_width=853, source_height=480, sample_aspect_ratio=Fraction(1),
    )  # fmt: skip
    path = tmp_path / "film.mp4"
    with FileSink(path, odd, size=size) as sink:
        sink.write(Frame(np.full((720, 852), 128, np.uint8), 0, TIME_BASE))
    with av.open(str(path)) as film:
        assert film.streams.video[0].sample_aspect_ratio == shape


@pytest.mark.parametrize(
    ("size", "pixel", "place"),
    [  # place: left, top, width, height
        ((48, 48), None, (0, 6, 48, 36)), ((96, 48), None, (16, 0, 64, 48)),
        ((64, 48), Fraction(4, 3), (0, 0, 64, 48)), ((64, 36), Fraction(4, 3), (0, 0, 64, 36)),
        ((64, 64), Fraction(4, 3), (0, 14, 64, 36)), ((32, 24), None, (0, 0, 32, 24)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reach", [LIMITED, FULL])
def test_a_film_of_another_shape_has_bars(
    tmp_path: Path,
    size: tuple[int, int],
    pixel: Fraction | None,
    place: tuple[int, ...],
    reach: int,
) -> None:
    color = ColorSpace(BT709, reach)
    source = dataclasses.replace(info(color=color), sample_aspect_ratio=pixel)
    path = tmp_path / "film.mp4"
    picture = np.full((72, 64), 128, np.uint8)
    picture[:48] = 200
    with FileSink(path, source, size=size, encoding=Encoding(crf=1)) as sink:
        sink.write(Frame(picture, 0, TIME_BASE, color))
    left, top, width, height = place
    expected = np.full((size[1], size[0]), 16 if reach == LIMITED else 0)
    expected[top : top + height, left : left + width] = 200
    with av.open(str(path)) as film:
        planes = next(film.decode(video=0)).to_ndarray()
        shape = film.streams.video[0].sample_aspect_ratio
    assert np.abs(planes[: size[1]] - expected).max() <= 2
    assert np.abs(planes[size[1] :].astype(int) - 128).max() <= 2
    assert shape == (pixel if place[2:] == size == (64, 48) else pixel and 1)
    assert ("get bars" in " ".join(sink.notes)) == (place[2:] != size)


def test_a_film_knows_how_large_and_how_long_it_is(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with FileSink(path, info(), encoding=Encoding("ffv1")) as sink:
        assert sink.expected_bytes(1000) is None
        for number in range(60):
            sink.write(dataclasses.replace(frames()[0], pts=40 * number))
        assert sink.expected_bytes(120) == pytest.approx(120 * sink.size_bytes / 60, rel=0.02)
        written = sink.size_bytes
    assert sink.size_bytes == path.stat().st_size >= written > 0
    assert sink.duration_s == pytest.approx(2.4)


@pytest.mark.parametrize("color", [ColorSpace(), ColorSpace(SMPTE170M, FULL)])
def test_rgb_pictures_survive_the_conversion_to_planes_and_back(color: ColorSpace) -> None:
    rgb = scene_rgb(127, 95)
    back = rgb_from_frame(frame_from_rgb(rgb, color))[:95, :127]
    assert np.abs(back.astype(int) - rgb).mean() < 4
    flat = np.full((32, 32, 3), (200, 80, 40), np.uint8)
    assert np.abs(rgb_from_frame(frame_from_rgb(flat, color)).astype(int) - flat).max() <= 2


@pytest.mark.parametrize("color", [ColorSpace(), ColorSpace(SMPTE170M, FULL)])
def test_planes_become_rgb_exactly_with_interpolated_chroma(color: ColorSpace) -> None:
    frame = frame_from_rgb(scene_rgb(128, 96), color)
    chroma = frame.chroma[0].astype(np.float64)
    for axis, side in ((1, 48), (2, 64)):  # each sample in the middle of its two pixels
        at = np.clip((np.arange(2 * side) - 0.5) / 2, 0, side - 1)
        low, part = np.floor(at).astype(int), at % 1
        high = np.minimum(low + 1, side - 1)
        shape = [1, 1, 1]
        shape[axis] = -1
        part = part.reshape(shape)
        chroma = chroma.take(low, axis) * (1 - part) + chroma.take(high, axis) * part
    yuv = np.concatenate((frame.luma[0], chroma)) / 255
    matrix, offset = color.yuv_from_rgb()
    rgb = np.einsum("ij,jhw->hwi", np.linalg.inv(matrix), yuv - offset[:, None, None])
    exact = (rgb * 255).clip(0, 255)
    ours = rgb_from_frame(frame)
    assert np.abs(ours - exact).max() < 2.5
    assert np.abs((ours - exact).mean((0, 1))).max() < 0.05  # swscale's fast way: a code too dark


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    link = tmp_path / ".film.partial.mkv"
    link.symlink_to(full)
    film = make_film(tmp_path / "in.mp4", pts=range(50))
    with FileSource(film) as source, pytest.raises(MediaError, match=r"film\.mkv"):  # noqa: PT012
        sink = FileSink(tmp_path / "film.mkv", source.info)
        with sink:
            for frame in source:
                sink.write(frame)
    assert not (tmp_path / "film.mkv").exists()


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="not on this system")
@pytest.mark.parametrize("codec", ["av1", "h264"])
def test_an_encoder_takes_no_realtime_priority(tmp_path: Path, codec: str) -> None:
    before = os.sched_getscheduler(0)
    try:
        write(FileSink(tmp_path / "film.mp4", info(), encoding=Encoding(codec=codec)))
        assert os.sched_getscheduler(0) == before
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
