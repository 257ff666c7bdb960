"""Frame rates of streams that do not say them, or say them wrongly; fields of pictures."""

from __future__ import annotations

import re
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import make_film, times_of
from field_coded import field_coded_film

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, StreamInfo
from realtime_style.live.inputs import DeviceSource, FilmPlayer
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource

NTSC = Fraction(30_000, 1001)


def raw_film(folder: Path, ending: str, rate: Fraction) -> Path:
    """Thirty frames of a stream without a container, or with one that states no rate."""
    path = folder / f"raw{ending}"
    if ending == ".dv":
        return make_film(
            path, pts=range(30), time_base=1 / rate, rate=rate, codec="dvvideo", sound=None,
            size=(720, 480) if rate == NTSC else (720, 576),
            pix_fmt="yuv411p" if rate == NTSC else "yuv420p",
        )  # fmt: skip
    options = {"x265-params": "log-level=none"} if ending == ".hevc" else {}
    return make_film(
        path, pts=range(30), time_base=1 / rate, rate=rate, sound=None, options=options,
        codec="libx265" if ending == ".hevc" else "libx264",
    )  # fmt: skip


RAW = [
    (".h264", Fraction(60)), (".h264", NTSC), (".hevc", Fraction(60)), (".hevc", Fraction(50)),
    (".dv", NTSC), (".dv", Fraction(25)),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "rate"), RAW)
def test_raw_streams_have_the_rate_of_their_codec(
    tmp_path: Path, ending: str, rate: Fraction
) -> None:
    film, out = raw_film(tmp_path, ending, rate), tmp_path / "out.mp4"
    with FileSource(film) as source, FileSink(out, source.info) as sink:
        assert source.info.rate == pytest.approx(rate, rel=1e-4)
        for frame in source:
            sink.write(frame)
    times = [float(at) for at in times_of(out)]
    assert times == pytest.approx([float(i / rate) for i in range(30)], abs=1e-4)
    with av.open(str(out)) as opened:
        assert opened.streams.video[0].average_rate == pytest.approx(rate, rel=1e-3)
        assert opened.streams.video[0].codec_context.level <= 31  # not that of 60,000 a second


@pytest.mark.parametrize(("ending", "rate"), [(".h264", Fraction(60)), (".hevc", Fraction(60))])
def test_raw_streams_of_pipes_have_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, rate: Fraction
) -> None:
    with raw_film(tmp_path, ending, rate).open("rb") as piped:
        monkeypatch.setattr("sys.stdin", piped)
        with FileSource("-") as source:
            assert source.info.rate == rate
            assert [float(f.pts * f.time_base) for f in source] == pytest.approx(
                [i / 60 for i in range(30)]
            )


@pytest.mark.parametrize(("ending", "rate"), RAW)
def test_devices_that_send_raw_streams_have_it_too(
    tmp_path: Path, ending: str, rate: Fraction
) -> None:
    container = av.open(str(raw_film(tmp_path, ending, rate)))
    with DeviceSource(container, "camera") as source:
        assert source.info.rate == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("ending", [".h264", ".hevc", ".m2v", ".mjpeg"])
@pytest.mark.parametrize("rate", [Fraction(24), NTSC, Fraction(50)])
def test_raw_streams_are_shown_at_the_rate_asked_for(
    tmp_path: Path, ending: str, rate: Fraction
) -> None:
    plain = make_film(tmp_path / "plain.mkv", pts=range(30), sound=None)
    film = tmp_path / f"film{ending}"
    with FileSource(plain) as source, FileSink(film, source.info) as sink:  # 25 a second
        for frame in source:
            sink.write(frame)
    expected = [float(i / rate) for i in range(30)]
    with FileSource(film, rate=rate) as source:
        assert source.info.rate == rate
        assert [float(f.pts * f.time_base) for f in source] == pytest.approx(expected, abs=1e-4)
        assert source.times_s() == pytest.approx(expected, abs=1e-4)
    with FileSource(film, rate=rate, start_s=0.5, duration_s=0.25) as source:
        assert len(list(source)) == sum(0.4999 < at < 0.7499 for at in expected)


def test_a_part_of_a_raw_stream_has_the_same_frames_as_the_whole(tmp_path: Path) -> None:
    film = raw_film(tmp_path, ".h264", Fraction(60))
    with FileSource(film) as whole:
        shown = [frame.i420.tobytes() for frame in whole]
    with FileSource(film, start_s=0.2, duration_s=0.1) as part:
        assert [frame.i420.tobytes() for frame in part] == shown[12:18]
        assert part.notes == []


@pytest.mark.parametrize(("ending", "rate"), RAW)
def test_the_times_of_a_raw_stream_are_those_of_its_frames(
    tmp_path: Path, ending: str, rate: Fraction
) -> None:
    with FileSource(raw_film(tmp_path, ending, rate)) as source:
        times = [float(frame.pts * frame.time_base) for frame in source]
        assert source.times_s() == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("rate", [Fraction(60), NTSC])
@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        (".h264", "h264"), (".hevc", "hevc"), (".h265", "hevc"), (".265", "hevc"),
        (".m2v", "mpeg2video"), (".mpg", "mpeg2video"), (".vob", "mpeg2video"),
        (".y4m", "rawvideo"), (".mxf", "h264"),
    ],
)  # fmt: skip
def test_streams_without_times_are_written_at_the_rate_of_the_film(
    tmp_path: Path, ending: str, codec: str, rate: Fraction
) -> None:
    film = make_film(tmp_path / "film.mp4", time_base=1 / rate, rate=rate, sound=None)
    out = tmp_path / f"out{ending}"
    with FileSource(film) as source, FileSink(out, source.info) as sink:
        assert source.info.time_base < 1 / rate  # frames come with much finer times
        for frame in source:
            sink.write(frame)
        assert sink.notes == []
    with av.open(str(out)) as opened:
        stream = opened.streams.video[0]
        assert stream.codec_context.codec.canonical_name == codec
        assert stream.guessed_rate == rate
        assert len(list(opened.decode(video=0))) == 10


def test_frames_of_uneven_length_in_a_stream_without_times_are_noted(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", pts=[0, 1, 2, 10, 20], sound=None)
    with FileSource(film) as source, FileSink(tmp_path / "out.h264", source.info) as sink:
        for frame in source:
            sink.write(frame)
        assert re.fullmatch(
            r"all frames are shown equally long, [\d.]+ in a second: \.h264 holds no times",
            *sink.notes,
        )


def entries_in_index(film: Path) -> int:
    """How many frames an AVI film says it has, of which some may be empty."""
    with av.open(str(film)) as opened:
        return opened.streams.video[0].frames


def test_empty_steps_of_avi_are_no_frames(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.avi", pts=range(0, 60, 2), time_base=Fraction(1, 50))
    with FileSource(film) as source:
        assert source.info.rate == 25
        assert source.info.frames == pytest.approx(30, abs=2)
        assert len([frame.release() for frame in source]) == 30
    assert source.notes == []


@pytest.mark.parametrize("ending", [".ts", ".mkv", ".mp4", ".flv"])
def test_avi_has_one_step_for_each_frame(tmp_path: Path, ending: str) -> None:
    film = make_film(tmp_path / f"film{ending}", pts=range(50), sound=None)
    out = tmp_path / "out.avi"
    with FileSource(film) as source, FileSink(out, source.info) as sink:
        for frame in source:
            sink.write(frame)
    assert entries_in_index(out) == 50
    with av.open(str(out)) as opened:
        assert opened.streams.video[0].average_rate == 25
        assert opened.duration == 2_000_000


@pytest.mark.parametrize(
    ("shown_ms", "finest", "most"),
    [([40, 40, 80, 40, 200], Fraction(25), 11), ([33, 34, 33, 34, 100], Fraction(1000), 30)],
)
def test_frames_of_uneven_length_keep_their_times_in_avi(
    tmp_path: Path, shown_ms: list[int], finest: Fraction, most: int
) -> None:
    out, base = tmp_path / "out.avi", Fraction(1, 1000)
    rate = Fraction(len(shown_ms) * 1000, sum(shown_ms))
    info = StreamInfo(64, 48, rate, base, ColorSpace(), finest_rate=finest)
    at_ms = [sum(shown_ms[:i]) for i in range(len(shown_ms))]
    with FileSink(out, info) as sink:
        for at in at_ms:
            sink.write(Frame(np.full((72, 64), at % 200, np.uint8), at, base))
    with av.open(str(out)) as film:  # it has times of decoding only
        times = [p.dts * p.time_base * 1000 for p in film.demux() if p.size and p.dts is not None]
    assert [float(at) for at in times] == pytest.approx(at_ms, abs=4.2)
    assert entries_in_index(out) <= most


LUMAS = [40 + 16 * i for i in range(10)]


@pytest.mark.parametrize("ending", [".ts", ".m2ts", ".mkv", ".mp4", ".h264"])
def test_fields_coded_by_themselves_are_not_damage(tmp_path: Path, ending: str) -> None:
    film, out = field_coded_film(tmp_path / f"film{ending}", LUMAS), tmp_path / "out.mp4"
    with FileSource(film) as source, FileSink(out, source.info) as sink:
        assert source.info.rate == 25
        for frame in source:
            assert frame.luma.mean() == pytest.approx(LUMAS[sink.frames], abs=1)
            sink.write(frame)
    assert not any("damaged" in note for note in source.notes)
    assert source.lost_s == 0
    assert times_of(out) == [Fraction(i, 25) for i in range(10)]
    with av.open(str(out)) as opened:
        assert opened.duration == 400_000


@pytest.mark.parametrize("ending", [".ts", ".mkv", ".mp4"])
def test_pictures_of_fields_that_are_lost_are_counted(tmp_path: Path, ending: str) -> None:
    film = field_coded_film(tmp_path / f"film{ending}", LUMAS, damaged=(4, 7))
    with FileSource(film) as source:
        assert len([frame.release() for frame in source]) == 8
    assert source.lost_s == pytest.approx(2 / 25)


def joined_at_a_jump(folder: Path) -> Path:
    """A transport stream of twice two seconds, whose clock leaps by a thousand between them."""
    first = make_film(folder / "first.ts", pts=range(50))
    second = folder / "second.ts"
    with av.open(str(first)) as plain, av.open(str(second), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in plain.streams}
        for packet in plain.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts + 90_000_000, packet.dts + 90_000_000
                packet.stream = streams[packet.stream.index]
                out.mux_one(packet)
    film = folder / "joined.ts"
    film.write_bytes(first.read_bytes() + second.read_bytes())
    return film


def test_live_sources_continue_where_the_clock_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = joined_at_a_jump(tmp_path)
    waits_s: list[float] = []
    monkeypatch.setattr(time, "sleep", waits_s.append)
    with FilmPlayer(film, loop=False) as player:
        assert len([frame.release() for frame in player]) == 100
    assert max(waits_s) < 4.2  # nothing is really waited for: the whole film is due at its end
    with DeviceSource(av.open(str(film)), "camera") as camera:
        times = [frame.pts for frame in camera]
    assert len(times) == 100
    assert times == sorted(times)
