"""Films whose containers tell another time: late clocks, jumps, parts, edit lists."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import make_film, without_length

from realtime_style.color import ColorSpace
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.timeline import Timeline

CODECS = {  # of picture and sound, by ending; H.264 and AAC for all others
    ".mpg": ("mpeg2video", "mp2"), ".vob": ("mpeg2video", "mp2"), ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "mp3"), ".wmv": ("wmv2", "mp3"), ".mxf": ("mpeg2video", "pcm_s16le"),
    ".ogv": ("libvpx", "libopus"), ".3gp": ("mpeg4", "aac"),
}  # fmt: skip
WRAP_S = 2**33 / 90_000  # MPEG's clock starts again
TICK_S = 1 / 1000
PRIMING_S = 1025 / 48_000  # of AAC


def film_as(ending: str, folder: Path, frames: int = 50, **options: str) -> Path:
    """Two seconds of picture and sound, with reordered pictures and a key frame every half."""
    codec, sound = CODECS.get(ending, ("libx264", "aac"))
    if codec in ("libx264", "mpeg2video", "mpeg4"):
        options = {"bf": "2"} | options
    path = folder / f"film{ending}"
    return make_film(
        path, pts=range(frames), codec=codec, sound=sound, options={"g": "12"} | options
    )


def at_another_time(film: Path, shift_s: float) -> Path:
    """The same film, with times that are later, in all streams."""
    moved = film.with_stem("moved")
    with av.open(str(film)) as plain, av.open(str(moved), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in plain.streams}
        for packet in plain.demux():
            if packet.size and packet.pts is not None:
                ticks = round(Fraction(shift_s) / packet.time_base)
                packet.pts += ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
                packet.stream = streams[packet.stream.index]
                out.mux_one(packet)
    return moved


def joined(path: Path, *films: Path) -> Path:
    """Films joined byte after byte, as `cat` does."""
    path.write_bytes(b"".join(film.read_bytes() for film in films))
    return path


def without_decoding_times(film: Path) -> Path:
    """The same transport stream, whose pictures only say when they are shown."""
    data = bytearray(film.read_bytes())
    for at in range(0, len(data), 188):
        packet = memoryview(data)[at : at + 188]
        header = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        if packet[1] & 0x40 and packet[header + 3] >> 4 == 0xE and packet[header + 7] >> 6 == 3:
            packet[header + 7] = packet[header + 7] & 0x3F | 0x80
            packet[header + 9] = packet[header + 9] & 0x0F | 0x20
            packet[header + 14 : header + 19] = b"\xff" * 5  # stuffing
    film.write_bytes(data)
    return film


def frames_of(source: FileSource) -> list[tuple[Fraction, bytes]]:
    """The time of each frame, in seconds, and what it shows."""
    return [(frame.pts * frame.time_base, frame.i420.tobytes()) for frame in source]


def sound_in(source: FileSource) -> list[tuple[Fraction, bytes]]:
    """The time of each packet of sound, in seconds, and its bytes."""
    packets = source.other_packets().until(None)
    return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets]  # type: ignore[operator]


def copied(source: FileSource, out: Path) -> dict[str, Any]:
    """Writes a film as painting it would; returns what ffprobe says of it."""
    with source, FileSink(out, source.info, passthrough_of=source) as sink:
        for frame in source:
            sink.write(frame)
    return probed(out)


def probed(film: Path) -> dict[str, Any]:
    """When a film and each of its packets begin, in seconds, as ffprobe says, or else PyAV."""
    with av.open(str(film)) as opened:
        found = {
            "start_s": (opened.start_time or 0) / 1e6,
            "duration_s": (opened.duration or 0) / 1e6,
        }
        packets = [
            (p.stream.index, (p.dts if p.pts is None else p.pts) * p.time_base)  # type: ignore[operator]
            for p in opened.demux()
            if p.size and not p.is_discard
        ]
    if shutil.which("ffprobe"):
        entries = "format=start_time,duration:packet=stream_index,pts_time,dts_time,flags"
        command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", entries, str(film)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        said = json.loads(done.stdout)
        found = {
            "start_s": float(said["format"]["start_time"]),
            "duration_s": float(said["format"]["duration"]),
        }
        packets = [
            (packet["stream_index"], float(packet.get("pts_time") or packet["dts_time"]))
            for packet in said["packets"]
            if "D" not in packet["flags"]
        ]
    picture, sound = (sorted(float(at) for i, at in packets if i == index) for index in (0, 1))
    return {**found, "picture_s": picture, "sound_s": sound}


@pytest.mark.parametrize(
    ("ending", "clock_s"),
    [
        (".ts", 0), (".ts", 24_549), (".ts", WRAP_S - 1), (".ts", WRAP_S - 30), (".m2ts", 7000),
        (".mpg", 3600), (".vob", WRAP_S - 1), (".flv", 100), (".mkv", 24_549), (".nut", 100),
    ],
)  # fmt: skip
@pytest.mark.parametrize("out", [".mp4", ".mkv"])
def test_a_film_begins_at_its_first_time_whatever_its_clock_says(
    tmp_path: Path, ending: str, clock_s: float, out: str
) -> None:
    film = at_another_time(film_as(ending, tmp_path), clock_s)
    source = FileSource(film)
    assert source.info.duration_s == pytest.approx(2, abs=0.15)
    found = copied(source, tmp_path / f"out{out}")
    assert source.notes == []
    assert source.lost_s == 0
    assert found["start_s"] == pytest.approx(0, abs=PRIMING_S)  # which a player does not play
    assert found["duration_s"] == pytest.approx(2, abs=0.1)
    assert found["picture_s"][0] == pytest.approx(0, abs=0.05)
    assert len(found["picture_s"]) == 50  # ... of which none is cut off
    assert min(found["picture_s"]) >= 0


@pytest.mark.parametrize("clock_s", [0, 24_549, WRAP_S - 1])
def test_all_streams_move_by_one_amount(tmp_path: Path, clock_s: float) -> None:
    film = at_another_time(film_as(".ts", tmp_path), clock_s)
    before = probed(film)
    after = copied(FileSource(film), tmp_path / "out.mkv")
    for kind in ("picture_s", "sound_s"):
        moved = [at - before["start_s"] for at in before[kind]]
        assert after[kind] == pytest.approx(moved, abs=TICK_S)


ENDINGS = [
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mpg", ".vob", ".flv", ".wmv",
    ".mxf", ".nut", ".ogv", ".3gp",
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_part_has_the_same_frames_and_sound_as_the_whole(tmp_path: Path, ending: str) -> None:
    film = film_as(ending, tmp_path)
    with FileSource(film) as source:
        sound, frames = sound_in(source), frames_of(source)
    for start_s, length_s in ((0.1, 0.3), (1.0, 0.4), (1.7, 9.0)):
        with FileSource(film, start_s=start_s, duration_s=length_s) as part:
            some_sound, some = sound_in(part), frames_of(part)
            begin, end = part.part.start_s, part.part.end_s
            assert part.notes == []
        assert end is not None
        assert -1e-6 < begin - start_s < 0.081  # at a picture of its own
        assert some[0][0] == 0
        expected = [(at - begin, shown) for at, shown in frames if begin <= at < end]
        assert [shown for _, shown in some] == [shown for _, shown in expected]
        assert [at for at, _ in some] == [at for at, _ in expected]
        heard = [(at - begin, data) for at, data in sound if begin <= at < end]
        assert [data for _, data in some_sound] == [data for _, data in heard]
        times_s = [float(at) for at, _ in heard]
        assert [float(at) for at, _ in some_sound] == pytest.approx(times_s, abs=TICK_S)


@pytest.mark.parametrize(
    "options",
    [{"x264-params": "open-gop=1"}, {"x264-params": "intra-refresh=1:keyint=12", "bf": "0"}],
)
@pytest.mark.parametrize("ending", [".ts", ".mkv"])
def test_a_part_is_exact_where_key_frames_are_no_clean_cuts(
    tmp_path: Path, ending: str, options: dict[str, str]
) -> None:
    film = film_as(ending, tmp_path, **options)
    with FileSource(film) as whole:
        frames = frames_of(whole)
    for start_s in (0.6, 1.0, 1.1, 1.2, 1.3):
        with FileSource(film, start_s=start_s) as part:
            expected = [shown for at, shown in frames if at >= part.part.start_s]
            assert [shown for _, shown in frames_of(part)] == expected
            assert part.notes == []


def test_a_part_of_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = without_length(film_as(".mkv", tmp_path), tmp_path / "piped.mkv")
    with FileSource(film) as whole:
        frames = frames_of(whole)
    with film.open("rb") as piped:
        monkeypatch.setattr("sys.stdin", piped)
        with FileSource("-", start_s=1.1, duration_s=0.5) as part:
            assert [shown for _, shown in frames_of(part)] == [
                shown for at, shown in frames if part.part.start_s <= at < Fraction(8, 5)
            ]


@pytest.mark.parametrize("ending", [".ts", ".mpg", ".flv"])
def test_a_start_beyond_the_end_is_refused_where_the_length_must_be_read(
    tmp_path: Path, ending: str
) -> None:
    with pytest.raises(MediaError, match=r"is 2\.\d\d s long; there is nothing at 9 s") as refused:
        FileSource(film_as(ending, tmp_path), start_s=9)
    assert refused.value.setting == "start_s"


@pytest.mark.parametrize("ending", [".ts", ".mpg", ".vob", ".m2ts"])
@pytest.mark.parametrize("clocks_s", [(0, 0, 0), (0, 1000, 5), (5000, 0, 1), (WRAP_S - 1, 0, 90)])
def test_a_clock_that_jumps_moves_all_streams_alike(
    tmp_path: Path, ending: str, clocks_s: tuple[float, ...]
) -> None:
    plain = film_as(ending, tmp_path)
    parts = [
        at_another_time(plain, clock_s).rename(tmp_path / f"{i}{ending}")
        for i, clock_s in enumerate(clocks_s)
    ]
    film = joined(tmp_path / f"joined{ending}", *parts)
    with FileSource(parts[0]) as one:
        pieces = len(sound_in(one))
    source = FileSource(film)
    found = copied(source, tmp_path / "out.mkv")
    assert source.notes == []
    assert len(found["picture_s"]) == 150
    assert len(found["sound_s"]) == 3 * pieces
    steps = {kind: steps_of(found[kind]) for kind in ("picture_s", "sound_s")}
    assert min(steps["picture_s"]) > 0.039
    assert max(steps["picture_s"]) < 0.2  # where one ends later than the other
    assert min(steps["sound_s"]) > 0.02
    assert max(steps["sound_s"]) < 0.2
    distances = [found["sound_s"][i * pieces] - found["picture_s"][i * 50] for i in range(3)]
    assert distances == pytest.approx([distances[0]] * 3, abs=0.0011)


@pytest.mark.parametrize("bf", ["2", "6"])
def test_pictures_that_do_not_say_when_they_are_decoded(tmp_path: Path, bf: str) -> None:
    plain = without_decoding_times(film_as(".ts", tmp_path, bf=bf, b_strategy="0"))
    later = without_decoding_times(at_another_time(film_as(".ts", tmp_path, bf=bf), 1000))
    with av.open(str(plain)) as film:
        timeline = Timeline(film)
        list(timeline.moved(film.demux()))
        assert not timeline.has_jumped
    found = copied(FileSource(joined(tmp_path / "j.ts", plain, later, plain)), tmp_path / "o.mkv")
    assert len(found["picture_s"]) == 150
    assert min(steps_of(found["picture_s"])) > 0.039
    assert max(steps_of(found["picture_s"])) < 0.2
    assert max(steps_of(found["sound_s"])) < 0.2


@pytest.mark.parametrize("ending", [".webm", ".mkv"])
def test_pieces_of_matroska_that_were_joined_follow_each_other(tmp_path: Path, ending: str) -> None:
    piece = film_as(ending, tmp_path)
    with FileSource(piece) as one:
        pieces = len(sound_in(one))
    found = copied(FileSource(joined(tmp_path / f"j{ending}", piece, piece)), tmp_path / "o.mkv")
    assert len(found["picture_s"]) == 100
    assert len(found["sound_s"]) == 2 * pieces
    assert min(steps_of(found["picture_s"])) > 0.039
    assert max(steps_of(found["picture_s"])) < 0.2


def test_a_recorder_that_starts_again_repeats_its_headers(tmp_path: Path) -> None:
    piece, film = film_as(".flv", tmp_path), tmp_path / "restarted.flv"
    film.write_bytes(piece.read_bytes() + piece.read_bytes()[13:])  # without the file's header
    found = copied(FileSource(film), tmp_path / "out.mkv")
    assert len(found["picture_s"]) == 100
    assert max(steps_of(found["picture_s"])) < 0.2
    assert max(steps_of(found["sound_s"])) < 0.2
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert [stream.type for stream in out.streams] == ["video", "audio"]
        header = out.streams.audio[0].codec_context.extradata
    with av.open(str(piece)) as before:
        assert header == before.streams.audio[0].codec_context.extradata


def steps_of(times_s: list[float]) -> list[float]:
    """How far each time is from the next."""
    return [b - a for a, b in pairwise(times_s)]


def test_the_difference_between_two_clocks_is_no_length(tmp_path: Path) -> None:
    plain, noise = tmp_path / "film.ts", np.random.default_rng(0)
    info = StreamInfo(64, 48, Fraction(25), Fraction(1, 25), ColorSpace())
    with FileSink(plain, info) as sink:
        for i in range(75):
            sink.write(Frame(noise.integers(0, 255, (72, 64), np.uint8), i, info.time_base))
    film = joined(tmp_path / "joined.ts", plain, at_another_time(plain, 24_549))
    with FileSource(film) as source:
        assert source.info.duration_s is None
        assert source.info.frames is None
    with FileSource(plain) as source:
        assert source.info.duration_s == pytest.approx(3)
        assert source.info.frames == 75


def test_a_part_after_a_jump_is_that_of_the_whole(tmp_path: Path) -> None:
    plain = film_as(".ts", tmp_path)
    film = joined(tmp_path / "joined.ts", plain, at_another_time(plain, 1000), plain)
    with FileSource(film) as whole:
        sound, frames = sound_in(whole), frames_of(whole)
    with FileSource(film, start_s=4.5, duration_s=1) as part:
        some_sound, some = sound_in(part), frames_of(part)
        start_s, end_s = part.part.start_s, part.part.end_s
    assert end_s is not None
    assert float(end_s) == pytest.approx(5.5 + PRIMING_S, abs=TICK_S)  # as the picture begins
    assert start_s == pytest.approx(4.5 + PRIMING_S, abs=0.041)
    assert some == [(at - start_s, shown) for at, shown in frames if start_s <= at < end_s]
    assert some_sound == [(at - start_s, data) for at, data in sound if start_s <= at < end_s]


def test_the_times_of_a_jumping_film_are_those_of_its_frames(tmp_path: Path) -> None:
    plain = film_as(".ts", tmp_path)
    with FileSource(joined(tmp_path / "joined.ts", plain, plain)) as source:
        frames = frames_of(source)
        expected = [float(at - frames[0][0]) for at, _ in frames]  # the sound begins before
        assert source.times_s() == pytest.approx(expected)


class TestGaps:
    """Packets of a transport stream, with times changed by hand."""

    @pytest.fixture
    def film(self, tmp_path: Path) -> Iterator[av.container.InputContainer]:
        with av.open(str(film_as(".ts", tmp_path))) as opened:
            yield opened

    @staticmethod
    def times_s(packets: list[Any]) -> dict[int, list[float]]:
        times: dict[int, list[float]] = {0: [], 1: []}
        for packet in packets:
            if packet.size:
                times[packet.stream.index].append(float(packet.dts * packet.time_base))
        return times

    def test_a_gap_that_is_real_stays(self, film: av.container.InputContainer) -> None:
        timeline, packets = Timeline(film), list(film.demux())
        for packet in packets[len(packets) // 2 : -2]:
            packet.pts, packet.dts = packet.pts + 8 * 90_000, packet.dts + 8 * 90_000
        times = self.times_s(list(timeline.moved(iter(packets))))
        assert max(steps_of(times[0])) == pytest.approx(8.04, abs=0.001)
        assert max(steps_of(times[1])) == pytest.approx(8.021, abs=0.001)
        assert not timeline.has_jumped

    @pytest.mark.parametrize("shift_s", [-0.5, -1000, 1000])
    @pytest.mark.parametrize("kind", [0, 1])
    def test_one_packet_with_a_wrong_time_continues_its_stream(
        self, film: av.container.InputContainer, shift_s: float, kind: int
    ) -> None:
        timeline, packets = Timeline(film), list(film.demux())
        expected = [Fraction(p.dts, 90_000) - timeline.start_s for p in packets if p.size]
        wrong = [p for p in packets if p.stream.index == kind][20]
        wrong.pts, wrong.dts = (at + round(shift_s * 90_000) for at in (wrong.pts, wrong.dts))
        moved = list(timeline.moved(iter(packets)))
        assert moved == packets  # in their order
        found = [Fraction(p.dts, 90_000) for p in moved if p.size]
        assert [float(at) for at in found] == pytest.approx([float(at) for at in expected])
        assert not timeline.has_jumped

    def test_slow_pictures_among_steady_sound_are_no_jump(
        self, film: av.container.InputContainer
    ) -> None:
        timeline, packets = Timeline(film), list(film.demux())
        packets = [p for p in packets if p.size]
        first = min(p.dts for p in packets)
        for packet in packets:  # a picture in 12 s, sound in 6.4 s
            packet.pts = packet.dts = first + 300 * (packet.dts - first)
            packet.duration *= 300
        list(timeline.moved(iter(sorted(packets, key=lambda packet: packet.dts))))
        assert not timeline.has_jumped

    def test_streams_with_clocks_of_their_own_stay_together(
        self, film: av.container.InputContainer
    ) -> None:
        timeline, packets = Timeline(film), list(film.demux())
        for packet in packets:
            if packet.size and packet.stream.index == 1:
                packet.pts, packet.dts = packet.pts + 9_000_000, packet.dts + 9_000_000
        times = self.times_s(list(timeline.moved(iter(packets))))
        assert max(steps_of(times[1])) < 0.03
        assert times[1][0] == pytest.approx(times[0][0], abs=0.3)


@pytest.mark.parametrize("out", [".mp4", ".mov", ".mkv", ".ts", ".avi", ".webm"])
def test_what_an_edit_list_cuts_away_stays_away(tmp_path: Path, out: str) -> None:
    film = at_another_time(film_as(".mp4", tmp_path), -1)  # MP4 keeps what lies before zero
    with av.open(str(film)) as opened:
        assert sum(packet.is_discard for packet in opened.demux(audio=0)) > 40
    found = copied(FileSource(film), tmp_path / f"out{out}")
    assert found["duration_s"] == pytest.approx(1, abs=0.1)
    assert len(found["picture_s"]) == 25
    assert len(found["sound_s"]) <= 53  # a second, and what its decoder needs first
    assert found["sound_s"][0] == pytest.approx(found["picture_s"][0], abs=0.05)


def test_chapters_move_with_the_film(tmp_path: Path) -> None:
    plain, film = film_as(".mkv", tmp_path), tmp_path / "chapters.mkv"
    with av.open(str(plain)) as source, av.open(str(film), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        base = Fraction(1, 1000)
        chapter = {"id": 1, "start": 101_000, "end": 102_000, "time_base": base, "metadata": {}}
        out.set_chapters([chapter])
        for packet in source.demux():
            if packet.size and packet.pts is not None:
                packet.pts += 100_000
                packet.dts = None if packet.dts is None else packet.dts + 100_000
                packet.stream = streams[packet.stream.index]
                out.mux_one(packet)
    copied(FileSource(film), tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as opened:
        (found,) = opened.chapters()
    assert found["start"] * found["time_base"] == pytest.approx(1, abs=0.03)
    assert found["end"] * found["time_base"] == pytest.approx(2, abs=0.03)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="FFmpeg's command is not here")
def test_a_picture_that_is_shown_again_is_not_damage(tmp_path: Path) -> None:
    film = tmp_path / "still.ogv"  # Theora has empty packets for these, which only FFmpeg writes
    grey = ["-f", "lavfi", "-i", "color=gray:size=64x48:rate=25:duration=1", "-c:v", "libtheora"]
    subprocess.run(["ffmpeg", "-v", "error", *grey, str(film)], check=True)
    with av.open(str(film)) as opened:
        assert any(not p.size and p.pts is not None for p in opened.demux(video=0))
    with FileSource(film) as source:
        assert len(frames_of(source)) > 0
    assert source.notes == []
    assert source.lost_s == 0
