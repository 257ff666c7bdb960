"""Every frame keeps its time, and sound stays in step with the picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import grey, lumas_of, make_film, paint_film, times_of, without_length
from PIL import Image
from test_passthrough import carry

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, StreamInfo
from realtime_style.jobs.film import FilmRequest
from realtime_style.jobs.samples import paint_samples
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look

TICK = {".mp4": Fraction(1, 90_000), ".mkv": Fraction(1, 1000), ".mov": Fraction(1, 90_000)}


def first_sound_s(path: Path) -> Fraction:
    """When the first sound packet plays, after the first frame is shown."""
    with av.open(str(path)) as film:
        packet = next(p for p in film.demux(audio=0) if p.size and p.pts is not None)
        return packet.pts * packet.time_base - times_of(path)[0]  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_any_times_in_any_time_base_come_out_as_they_went_in(
    tmp_path: Path, identity_style: Path, seed: int, ending: str
) -> None:
    rng = np.random.default_rng(seed)
    bases = [Fraction(1, 1000)] if ending == ".mkv" else [
        Fraction(1, n) for n in (600, 1000, 12_800, 30_000, 90_000)
    ]  # fmt: skip
    base = bases[rng.integers(len(bases))]
    steps = rng.choice([1, 2, 7, 40, 100, 900], size=30)  # milliseconds: bursts and gaps
    pts = np.cumsum(np.maximum(1, steps * base.denominator // 1000)).tolist()
    film = make_film(
        tmp_path / f"film{ending}", pts=pts, time_base=base, options={"bf": str(seed % 4)}
    )
    paint_film(film, tmp_path / f"out{ending}", identity_style)
    assert times_of(tmp_path / f"out{ending}") == times_of(film)
    assert abs(first_sound_s(tmp_path / f"out{ending}") - first_sound_s(film)) <= TICK[ending]


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "25", "15"])
@pytest.mark.parametrize("ending", [".mp4", ".mov"])
def test_exact_rates(tmp_path: Path, identity_style: Path, rate: str, ending: str) -> None:
    step = 1 / Fraction(rate)
    film = make_film(tmp_path / f"film{ending}", pts=range(30), time_base=step, rate=1 / step)
    out = tmp_path / f"out{ending}"
    paint_film(film, out, identity_style)
    assert times_of(out) == [i * step for i in range(30)]
    with av.open(str(out)) as painted:
        assert painted.streams.video[0].average_rate == Fraction(rate)


@pytest.mark.parametrize(
    "ending",
    [
        ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".f4v", ".ismv", ".flv", ".mxf", ".nut", ".wtv",
        ".webm", ".ogv",
    ],
)  # fmt: skip
def test_films_begin_at_zero(tmp_path: Path, film: Path, ending: str) -> None:
    """Clocks of .ts, .mpg and .vob begin later; in .mkv and .wmv priming of sound comes before."""
    out = tmp_path / f"out{ending}"
    carry(film, out)
    assert len(lumas_of(out)) == 10
    for kind in ("video", "audio"):
        with av.open(str(out)) as painted:
            first = next(packet for packet in painted.demux(**{kind: 0}) if packet.size)
            at = first.dts if first.pts is None else first.pts
            assert abs(at * first.time_base) < (0.03 if kind == "audio" else 0.01)


def test_pictures_of_avi_are_in_step_with_its_sound(tmp_path: Path, film: Path) -> None:
    """FFmpeg says that H.264 in AVI is shown a frame late, also where nothing is reordered."""
    avi, again = tmp_path / "film.avi", tmp_path / "again.mp4"
    carry(film, avi)
    with FileSource(avi) as source:
        assert source.times_s() == [i / 25 for i in range(10)]
        assert [frame.pts * frame.time_base for frame in source] == [
            Fraction(i, 25) for i in range(10)
        ]
    carry(avi, again)
    assert times_of(again) == [Fraction(i, 25) for i in range(10)]


@pytest.mark.parametrize("late_s", [0, 2])
def test_pictures_of_wmv_begin_when_they_do(tmp_path: Path, late_s: int) -> None:
    """FFmpeg lets them begin with the sound, which comes later here."""
    wmv, out = tmp_path / "film.wmv", tmp_path / "out.mp4"
    with av.open(str(make_film(tmp_path / "film.mkv", pts=range(50), sound="mp2"))) as plain:
        packets = [packet for packet in plain.demux() if packet.size]
        for packet in packets:
            if packet.stream.type == "audio":
                ticks = round(late_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks  # type: ignore[operator]
        with av.open(str(tmp_path / "late.mkv"), "w") as late:
            streams = {s.index: late.add_stream_from_template(s) for s in plain.streams}
            for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
                packet.stream = streams[packet.stream.index]
                late.mux_one(packet)
    carry(tmp_path / "late.mkv", wmv)
    assert carry(wmv, out) == []
    times_s = [float(at) for at in times_of(out)]
    assert times_s == pytest.approx([times_s[0] + i / 25 for i in range(50)], abs=0.0011)
    assert times_s[0] < 0.02  # priming of the sound comes before
    assert first_sound_s(out) == pytest.approx(late_s, abs=0.02)


def screen_recording(path: Path) -> tuple[Path, list[Fraction]]:
    """Pictures only while something moves; its container gives their average as their rate."""
    at_s = [Fraction(first_s) + Fraction(i, 30) for first_s in (0, 20, 47) for i in range(10)]
    make_film(
        path,
        pts=[round(at * 90_000) for at in at_s],
        time_base=Fraction(1, 90_000),
        rate=Fraction(300, 481),
        options={"x264-params": "b-adapt=0:bframes=3"},
        sound=None,
    )
    return path, at_s


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".flv"])
def test_recordings_that_pause_keep_their_times(tmp_path: Path, ending: str) -> None:
    film, at_s = screen_recording(tmp_path / f"film{ending}")
    with FileSource(film) as source:
        found = [frame.pts * frame.time_base for frame in source]
    assert [float(at - found[0]) for at in found] == pytest.approx(at_s, abs=0.0011)


@pytest.mark.parametrize("ending", [".avi", ".mxf"])
def test_recordings_that_pause_are_shown_in_steps_as_short_as_theirs(
    tmp_path: Path, ending: str
) -> None:
    film, at_s = screen_recording(tmp_path / "film.mkv")
    with FileSource(film) as source:
        assert source.info.finest_rate == pytest.approx(30, rel=1e-3)
    out = tmp_path / f"out{ending}"
    notes = [note for note in carry(film, out) if "late" in note]
    assert notes == []
    with FileSource(out) as painted:
        shown = {frame.pts * frame.time_base for frame in painted}
    for at in at_s:
        assert min(abs(at - each) for each in shown) < 1 / 30


@pytest.mark.parametrize("shift_ms", [-500, -40, 0, 333])
def test_sound_before_or_after_the_picture_stays_there(
    tmp_path: Path, identity_style: Path, shift_ms: int
) -> None:
    """In .mp4 this is an edit list; a picture may begin before time zero."""
    film = tmp_path / "film.mp4"
    with (
        av.open(str(make_film(tmp_path / "plain.mp4", pts=range(50)))) as plain,
        av.open(str(film), "w") as moved,
    ):
        streams = {s.index: moved.add_stream_from_template(s) for s in plain.streams}
        for packet in plain.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                if packet.stream.type == "video":
                    shift = round(Fraction(shift_ms, 1000) / packet.time_base)  # type: ignore[operator]
                    packet.pts += shift
                    packet.dts += shift
                packet.stream = streams[packet.stream.index]
                moved.mux_one(packet)
    for ending in (".mp4", ".mkv"):
        out = tmp_path / f"out{ending}"
        paint_film(film, out, identity_style)
        assert abs(first_sound_s(out) - first_sound_s(film)) <= TICK[ending]
        lengths = [np.diff([float(t) for t in times_of(path)]) for path in (film, out)]
        assert np.abs(lengths[0] - lengths[1]).max() <= float(TICK[ending])


@pytest.mark.parametrize(
    ("ending", "codec"),
    [(".mkv", "h264"), (".mp4", "h264"), (".mp4", "h265"), (".mov", "prores"), (".mp4", "av1")],
)
def test_the_last_frame_is_shown_as_long_as_it_was(
    tmp_path: Path, identity_style: Path, ending: str, codec: str
) -> None:
    base = Fraction(1, 1000)
    info = StreamInfo(64, 48, Fraction(25), base, ColorSpace(), source_width=64, source_height=48)
    film, out = tmp_path / f"film{ending}", tmp_path / f"out{ending}"
    lengths = [40] * 9 + [460, 2500]  # milliseconds; B-frames end before the last frame is shown
    rng = np.random.default_rng(0)
    with FileSink(film, info, encoding=Encoding(codec)) as sink:
        for i, length in enumerate(lengths):
            i420 = rng.integers(0, 255, (72, 64), np.uint8)
            sink.write(Frame(i420, sum(lengths[:i]), base, duration=length))
    paint_film(film, out, identity_style, encoding=Encoding(codec))
    for path in (film, out):
        with av.open(str(path)) as opened:
            assert opened.duration == pytest.approx(sum(lengths) * 1000, abs=1000)  # microseconds


@pytest.mark.parametrize("is_flat", [False, True], ids=["noise", "flat"])
@pytest.mark.parametrize(
    ("ending", "codec"),
    [(".mp4", "h264"), (".mp4", "h265"), (".mov", "h264"), (".mov", "h265"), (".3gp", "h264")],
)
@pytest.mark.parametrize(
    "lengths", [(100, 500, 20, 40, 1000, 100, 300, 700), (40,) * 9 + (3000,), (200, 40, 40, 40, 90)]
)
def test_the_last_of_uneven_frames_is_shown_as_long_as_it_was(
    tmp_path: Path, lengths: Sequence[int], codec: str, ending: str, is_flat: bool
) -> None:
    base, rng = Fraction(1, 1000), np.random.default_rng(0)
    info = StreamInfo(64, 48, Fraction(25), base, ColorSpace(), source_width=64, source_height=48)
    path = tmp_path / f"film{ending}"
    with FileSink(path, info, encoding=Encoding(codec)) as sink:
        for i, length in enumerate(lengths):
            i420 = rng.integers(0, 255, (72, 64), np.uint8)
            if is_flat:
                i420[...] = grey(i)
            sink.write(Frame(i420, sum(lengths[:i]), base, duration=length))
            i420[...] = 0  # the sink must be done with it
    assert sink.frames == len(lengths)
    assert sink.duration_s == sum(lengths) / 1000
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        assert stream.duration * stream.time_base * 1000 == sum(lengths)  # type: ignore[operator]
        *_, last = film.decode(video=0)
        assert last.duration * last.time_base * 1000 == lengths[-1]  # type: ignore[operator]
    if is_flat:
        assert lumas_of(path) == pytest.approx([grey(i) for i in range(len(lengths))], abs=3)


def test_no_drift_over_an_hour(tmp_path: Path) -> None:
    """A few frames of every minute, at 29.97 per second: times stay exact."""
    step = Fraction(1001, 30_000)
    info = StreamInfo(
        64, 48, Fraction(30_000, 1001), Fraction(1, 30_000), ColorSpace(),
        source_width=64, source_height=48,
    )  # fmt: skip
    frames = [60 * 30 * minute + i for minute in range(61) for i in range(3)]
    path = tmp_path / "long.mp4"
    with FileSink(path, info, encoding=Encoding(preset="ultrafast")) as sink:
        for number in frames:
            sink.write(Frame(np.full((72, 64), 128, np.uint8), number * 1001, info.time_base))
    assert times_of(path) == [number * step for number in frames]


def test_a_film_of_unknown_length(tmp_path: Path, identity_style: Path) -> None:
    film = without_length(make_film(tmp_path / "whole.mkv", pts=range(25)), tmp_path / "live.mkv")
    with av.open(str(film)) as opened:
        assert opened.duration is None
    stats = paint_film(film, tmp_path / "out.mp4", identity_style).stats
    assert stats.frames == 25
    assert times_of(tmp_path / "out.mp4") == times_of(film)
    samples = paint_samples(
        FilmRequest(str(film), str(tmp_path / "samples"), PaintPlan(Look(identity_style))), 4
    )
    lumas = [float(np.asarray(Image.open(path)).mean()) for path in samples]
    assert lumas == sorted(lumas)  # across the film, which grows lighter
    assert lumas[-1] - lumas[0] > 50
