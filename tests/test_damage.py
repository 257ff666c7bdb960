"""Damaged films: what can be decoded is painted, the rest is noted; nothing crashes or hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import add_picture, make_film, paint_film, run_cli, scene_rgb, times_of
from PIL import Image

from realtime_style.errors import MediaError
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource

FILMS_A_SEED = 10
KINDS = {  # ending: codec of the picture, codec of the sound
    ".mp4": ("libx264", "aac"),
    ".mkv": ("libx264", "flac"),
    ".ts": ("mpeg2video", "mp2"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".avi": ("mpeg4", "mp3"),
    ".mov": ("libx265", "aac"),
}


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.integers(4)
    if kind == 0:  # cut
        return data[: rng.integers(1, len(data))]
    if kind == 1:  # bits turned over
        array = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(0, len(array), rng.integers(1, 60))
        array[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
        return array.tobytes()
    at = int(rng.integers(1, len(data)))
    if kind == 2:  # the rest of another film
        return data[:at] + other[rng.integers(0, len(other)) :]
    length = int(rng.integers(1, max(2, len(data) // 4)))  # a hole of zeros
    return data[:at] + bytes(length) + data[at + length :]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An undamaged film of each format, by its ending."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        ending: make_film(
            folder / f"whole{ending}",
            pts=range(25),
            codec=codec,
            sound=sound,
            options={"x265-params": "log-level=none"} if codec == "libx265" else {"g": "5"},
        ).read_bytes()
        for ending, (codec, sound) in KINDS.items()
    }


@dataclass
class Tally:
    """What became of damaged films."""

    frames: list[int] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def paint_damaged(folder: Path, whole: dict[str, bytes], style: Path, seed: int) -> Tally:
    """Paints ten films, each damaged differently; no file is left behind."""
    rng = np.random.default_rng(seed)
    tally = Tally()
    for _ in range(FILMS_A_SEED):
        ending, other = rng.choice(list(whole), 2)
        film, out = folder / f"film{ending}", folder / "out.mkv"
        film.write_bytes(damaged(whole[ending], whole[other], rng))
        try:
            frames = paint_film(film, out, style, precision="f32").stats.frames
        except MediaError as error:
            tally.refusals.append(str(error))
        else:
            tally.frames.append(frames)
            assert len(times_of(out)) == frames
            out.unlink()
        film.unlink()
        assert not list(folder.iterdir())
    return tally


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("prores_ks", "yuv422p10le"), ("png", "rgb24"), ("mjpeg", "yuvj420p")]
)
def test_decoders_may_fail_with_any_error(
    tmp_path: Path, identity_style: Path, codec: str, pix_fmt: str
) -> None:
    film, out = tmp_path / "film.mov", tmp_path / "out.mkv"
    whole = make_film(film, codec=codec, pix_fmt=pix_fmt, sound=None).read_bytes()
    body = whole.index(b"mdat") + 4
    rng = np.random.default_rng(0)
    painted, refusals = 0, list[str]()
    for _ in range(25):
        harmed = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(body, len(whole) - 1000, 40)
        harmed[places] ^= rng.integers(1, 256, 40).astype(np.uint8)
        film.write_bytes(harmed.tobytes())
        try:
            report = paint_film(film, out, identity_style, precision="f32")
        except MediaError as error:
            refusals.append(str(error))
            continue
        painted += 1
        assert len(times_of(out)) == report.stats.frames
        assert report.stats.frames + round(report.lost_s * 25) == 10  # each is painted or counted
        out.unlink()
    assert painted > 12
    assert all("film.mov: no frame could be decoded" in each for each in refusals)


def test_a_part_without_a_readable_frame_is_refused(tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    content = bytearray(make_film(film, codec="mjpeg", pix_fmt="yuvj420p", sound=None).read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = bytes(end - begin)
    film.write_bytes(content)
    with pytest.raises(MediaError, match="no frame could be decoded"):
        FileSource(film)
    with pytest.raises(MediaError, match="no frame in that part could be decoded"):
        FileSource(film, start_s=0.1)


def test_a_damaged_picture_among_numbered_ones_is_dropped(
    tmp_path: Path, identity_style: Path
) -> None:
    pictures = [tmp_path / f"f_{i:03}.png" for i in range(6)]
    for i, path in enumerate(pictures):
        Image.new("RGB", (64, 48), (20 * i, 90, 120)).save(path)
    pictures[3].write_bytes(pictures[3].read_bytes()[:60])
    run = run_cli("video", tmp_path / "f_%03d.png", tmp_path / "out.mp4", "-s", identity_style)
    assert run.returncode == 0, run.stderr
    assert "1 frame is damaged and could not be decoded" in run.stderr
    assert len(times_of(tmp_path / "out.mp4")) == 5


@pytest.mark.timeout(60)
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(32))
def test_fuzzed_films_are_painted_or_refused(
    tmp_path: Path, whole: dict[str, bytes], identity_style: Path, seed: int
) -> None:
    tally = paint_damaged(tmp_path, whole, identity_style, seed)
    assert all(frames > 0 for frames in tally.frames)
    assert not any("\n" in message for message in tally.refusals)
    assert len(tally.frames) > 1  # most can be painted


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no memory figures here")
def test_damaged_films_leak_nothing(
    tmp_path: Path, whole: dict[str, bytes], identity_style: Path
) -> None:
    paint_damaged(tmp_path, whole, identity_style, 0)
    early_mb = resident_mb()
    for _ in range(6):
        paint_damaged(tmp_path, whole, identity_style, 0)
    assert resident_mb() - early_mb < 30


def test_a_truncated_film_is_painted_as_far_as_it_goes_with_a_note(
    tmp_path: Path, identity_style: Path
) -> None:
    film = make_film(tmp_path / "film.mkv", pts=range(100), size=(128, 96))
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 2 // 3])
    done = run_cli("video", film, tmp_path / "out.mp4", "-s", identity_style)
    assert done.returncode == 0, done.stderr
    assert 30 < len(times_of(tmp_path / "out.mp4")) < 100


@pytest.mark.parametrize(
    ("kind", "is_told"), [(b"mdat", True), (b"moof", True), (b"mfra", True), (b"", False)]
)
def test_fragments_that_are_cut_off_are_told(tmp_path: Path, kind: bytes, is_told: bool) -> None:
    """They do not say how many follow: what is there may decode without a fault."""
    whole = make_film(tmp_path / "whole.mp4", pts=range(50), options={"g": "12"})
    film = tmp_path / "film.mp4"
    flags = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(whole)) as plain, av.open(str(film), "w", options=flags) as fragments:
        streams = {s.index: fragments.add_stream_from_template(s) for s in plain.streams}
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                fragments.mux(packet)
    data = film.read_bytes()
    film.write_bytes(data[: data.rindex(kind) + 12] if kind else data + b"\0" * 12)
    with FileSource(film) as source:
        assert all(frame.i420.size for frame in source)
        assert ("the film ends early: its file was cut off" in source.notes) == is_told


@pytest.mark.parametrize("offset", [0, 2**31])
def test_an_avi_whose_index_leads_nowhere_is_read_without_it(tmp_path: Path, offset: int) -> None:
    film = make_film(tmp_path / "film.avi", pts=range(50), codec="mpeg4", options={"g": "10"})
    with FileSource(film) as source:
        expected = [bytes(frame.i420) for frame in source]
    with FileSource(film, start_s=1, duration_s=0.4) as source:
        part = [bytes(frame.i420) for frame in source]
    data = bytearray(film.read_bytes())
    index = data.rindex(b"idx1") + 8
    for entry in range(index, index + int.from_bytes(data[index - 4 : index], "little"), 16):
        data[entry + 8 : entry + 12] = offset.to_bytes(4, "little")
    film.write_bytes(data)
    with FileSource(film) as source:
        assert [bytes(frame.i420) for frame in source] == expected
        assert source.notes == []
    with FileSource(film, start_s=1, duration_s=0.4) as source:
        assert [bytes(frame.i420) for frame in source] == part
    assert len(expected) == 50
    assert len(part) == 10


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize(
    ("ending", "codec"), [(".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx-vp9")]
)
def test_frames_at_the_end_after_a_damaged_one_are_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, codec: str, threads: int
) -> None:
    options = {"bf": "0", "g": "100"} if codec != "libvpx-vp9" else {"lag-in-frames": "0"}
    film = make_film(
        tmp_path / f"film{ending}", pts=range(40), codec=codec, sound=None, options=options
    )
    with av.open(str(film)) as whole:
        packets = [bytes(packet) for packet in whole.demux(video=0) if packet.size]
    data, harmed = film.read_bytes(), packets[33]
    at = data.rindex(harmed)
    film.write_bytes(data[:at] + bytes(len(harmed)) + data[at + len(harmed) :])
    usual = FileSource._painted_stream

    def with_threads(source: FileSource) -> av.VideoStream:
        stream = usual(source)
        stream.codec_context.thread_count = threads
        return stream

    monkeypatch.setattr(FileSource, "_painted_stream", with_threads)
    with FileSource(film) as source:
        times = [frame.pts * frame.time_base * 25 for frame in source]
        notes = source.notes
    assert [round(time) for time in times] == [i for i in range(40) if i != 33]
    assert notes == ["1 frame is damaged and could not be decoded (about 0.04 s)"]


def without_packets(path: Path, film: Path, holes: Sequence[tuple[float, float]]) -> Path:
    """The same film without the packets, of all streams, that are shown within spans of time."""
    with av.open(str(film)) as whole, av.open(str(path), "w") as harmed:
        streams = {s.index: harmed.add_stream_from_template(s) for s in whole.streams}
        start_s = float(min(s.start_time * s.time_base for s in whole.streams))  # type: ignore[operator, type-var]
        for packet in whole.demux():
            if packet.pts is None or packet.time_base is None:
                continue
            time_s = float(packet.pts * packet.time_base) - start_s
            if not any(begin_s - 0.001 < time_s < end_s - 0.001 for begin_s, end_s in holes):
                packet.stream = streams[packet.stream.index]
                harmed.mux_one(packet)
    return path


@pytest.mark.parametrize("ending", [".mkv", ".ts", ".flv"])
def test_pictures_missing_in_the_middle_are_counted(tmp_path: Path, ending: str) -> None:
    whole = make_film(tmp_path / f"whole{ending}", pts=range(80), options={"g": "10", "bf": "2"})
    with FileSource(whole) as source:
        times_s = [float(frame.pts * frame.time_base) for frame in source]
        assert source.notes == []  # the picture may begin some milliseconds after the sound
    begin_s = times_s[0]
    film = without_packets(tmp_path / f"film{ending}", whole, [(begin_s + 1.2, begin_s + 2)])
    with FileSource(film) as source:
        assert len(list(source)) == 60
        lost_s, notes = source.lost_s, source.notes
    assert lost_s == pytest.approx(0.8, abs=0.003)
    begin, end = (f"{begin_s + at_s:.2f} s" for at_s in (1.2, 2))
    assert notes == [f"the film has no pictures from {begin} to {end} (about 20 frames)"]


def test_pictures_missing_in_a_part_are_those_of_the_part(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mkv", pts=range(100), sound="flac", options={"g": "5"})
    film = without_packets(tmp_path / "film.mkv", whole, [(1, 1.6), (2, 3)])
    for start_s, duration_s, missing_s in [
        (0, 1, 0),
        (0, 1.2, 0.2),
        (1.2, 0.6, 0.4),
        (1.2, 2, 1.4),
    ]:
        with FileSource(film, start_s=start_s, duration_s=duration_s) as source:
            assert len(list(source)) == round((duration_s - missing_s) * 25)
            assert source.lost_s == pytest.approx(missing_s, abs=0.003)
    assert source.notes == [
        "the film has no pictures at 2 places, first from 1.20 s to 1.60 s, for 1.40 s in all "
        "(about 35 frames)"
    ]


def test_the_end_of_a_part_that_is_cut_off_is_counted(tmp_path: Path) -> None:
    whole = make_film(tmp_path / "whole.mkv", pts=range(100), sound=None, size=(128, 96))
    film = tmp_path / "film.mkv"
    with av.open(str(whole)) as opened:
        cut_at = next(p.pos for p in opened.demux() if p.pts and p.pts > 2000)
    film.write_bytes(whole.read_bytes()[:cut_at])
    for start_s, duration_s, missing_s in [(0, 1, 0), (0, 3.2, 1.2), (1, 1.4, 0.4), (1, 9, 2)]:
        with FileSource(film, start_s=start_s, duration_s=duration_s) as source:
            list(source)
            assert source.lost_s == pytest.approx(missing_s, abs=0.05), (start_s, duration_s)


@pytest.mark.parametrize("ending", [".mkv", ".ts"])
def test_bytes_missing_in_a_silent_film_are_counted(tmp_path: Path, ending: str) -> None:
    film = make_film(tmp_path / f"f{ending}", pts=range(400), sound=None, options={"g": "10"})
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as whole:
        places = [packet.pos for packet in whole.demux(video=0) if packet.size]
    begin, end = places[200], places[220]
    if ending == ".ts":  # packets of 188 bytes are lost on the way
        del data[begin // 188 * 188 : end // 188 * 188]
    else:  # Matroska is read on from the next cluster
        data[begin:end] = b"\xff" * (end - begin)
    film.write_bytes(data)
    with FileSource(film) as source:
        shown = len(list(source))
        assert 250 < shown <= 380
        assert source.lost_s == pytest.approx((400 - shown) / 25, abs=0.05)
        assert any("the film has no pictures from 8.0" in note for note in source.notes)


def test_a_picture_that_stands_still_is_not_missing(tmp_path: Path) -> None:
    times = [*range(40), *range(90, 130)]
    film = make_film(tmp_path / "film.mkv", pts=times)  # the sound goes on
    silent = make_film(tmp_path / "silent.mkv", pts=times, sound=None)
    for path in (film, silent):
        with FileSource(path) as source:
            assert len(list(source)) == 80
            assert source.notes == []
            assert source.lost_s == 0


def test_pictures_at_uneven_times_are_not_missing(tmp_path: Path) -> None:
    times = [0, 1, 2, 3, 4, 10, 11, 12, 13, 20, 21, 22, 23, 24, 30]  # as of a still screen
    film = make_film(tmp_path / "film.mkv", pts=times, sound=None)
    with FileSource(film) as source:
        assert len(list(source)) == 15
        assert source.notes == []
        assert source.lost_s == 0


def test_no_frame_lasts_beyond_the_next_one_after_damage(tmp_path: Path) -> None:
    """After an error, H.264's decoder returns a picture late, after others that are shown later."""
    film, out = tmp_path / "film.mp4", tmp_path / "out.mp4"
    with av.open(str(film), "w") as whole:
        picture = add_picture(whole, options={"bf": "3", "g": "25", "b_strategy": "0"})
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(scene_rgb(64, 48, i / 25), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            whole.mux(picture.encode(frame.reformat(format="yuv420p")))
        whole.mux(picture.encode(None))
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as whole:
        places = [(packet.pos, packet.size) for packet in whole.demux(video=0) if packet.size]
    for pos, size in places[20:30]:
        data[pos : pos + size] = bytes(size)
    film.write_bytes(data)
    spans = []
    with FileSource(film) as source, FileSink(out, source.info) as sink:
        for frame in source:
            spans.append((frame.pts, frame.pts + frame.duration))
            sink.write(frame)
    assert any(begin % 512 for begin, _ in spans)  # late, and so moved behind the others
    assert all(begin <= end <= later for (begin, end), (later, _) in pairwise(spans))
    with av.open(str(out)) as painted:
        assert painted.duration == 2_000_000  # microseconds


def test_killing_the_program_at_any_moment_loses_no_file_of_the_user(
    tmp_path: Path, identity_style: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", size=(320, 240), pts=range(120))
    before = film.read_bytes()
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    command = [sys.executable, "-m", "realtime_style", "video", film, out, "-y", "-q"]
    partial = tmp_path / ".out.partial.mp4"
    for size in (None, 0, 1, 30_000):  # of what has been written when it is killed
        process = subprocess.Popen([*map(str, command), "-s", str(identity_style)])
        while size is not None and process.poll() is None:
            if partial.exists() and partial.stat().st_size >= size:
                break
            time.sleep(0.005)
        process.kill()
        process.wait()
        if out.read_bytes() != b"precious":  # it was faster than the kill
            assert len(times_of(out)) == 120
            out.write_bytes(b"precious")
        assert film.read_bytes() == before
        litter = {path.name for path in tmp_path.iterdir()} - {"film.mp4", "out.mp4"}
        assert litter <= {".out.partial.mp4", ".out.partial.mp4.lock"}
    done = run_cli("video", film, out, "-y", "-q", "-s", identity_style)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "out.mp4"}
    assert len(times_of(out)) == 120
