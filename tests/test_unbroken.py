"""Containers that show pictures and play sound in one go, and have no times to say otherwise."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import add_picture, grey, lumas_of, make_film, times_of
from test_passthrough import as_float, carry

from realtime_style.errors import MediaError
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.silence import Unbroken

HZ = 48_000
CLICKS_S = [0.45, 0.95, 1.95]  # when they are heard in films with a hole


def sounding_film(
    path: Path,
    codec: str,
    spans: list[tuple[float, float]],
    film_s: float = 2.4,
    first_s: Fraction = Fraction(0),
) -> Path:
    """Grey frames from a time on, and sound in some spans of time: a click in each half second."""
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        picture.codec_context.time_base = Fraction(1, 1000)
        sound: Any = film.add_stream(codec, rate=HZ, layout="mono")
        for i in range(round(25 * film_s)):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey(i), np.uint8), "yuv420p")
            frame.pts, frame.time_base = round(1000 * first_s) + 40 * i, Fraction(1, 1000)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for begin_s, end_s in spans:
            wave = np.zeros(round((end_s - begin_s) * HZ), np.float32)
            for click_s in np.arange(0.45, end_s, 0.5):
                if click_s > begin_s:
                    at = round((click_s - begin_s) * HZ)
                    wave[at : at + 300] = 0.8 * np.sin(np.arange(300) * 0.6)
            for packet in encoded(codec, wave, round(begin_s * HZ)):
                packet.stream = sound
                film.mux(packet)
    return path


def encoded(codec: str, wave: Any, pts: int) -> list[Any]:
    """Packets of mono sound, from an encoder of their own: none knows of the others."""
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout = HZ, "mono"
    encoder.format = encoder.codec.audio_formats[0]
    encoder.open()
    resampler = av.AudioResampler(encoder.format.name, "mono", HZ, encoder.frame_size or 960)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = HZ, pts, Fraction(1, HZ)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for each in (*frames, None) for packet in encoder.encode(each)]


def clicks_s(path: Path) -> list[float]:
    """When clicks are heard, in seconds."""
    found: list[float] = []
    with av.open(str(path)) as film:
        for frame in film.decode(audio=0):
            for i in np.flatnonzero(as_float(frame) > 0.3):
                at_s = float(frame.time + i / frame.sample_rate)
                if not found or at_s > found[-1] + 0.05:
                    found.append(at_s)
                found[-1] = max(found[-1], at_s - 0.05)
    return found


def packets_in(path: Path) -> list[int]:
    """How many packets each stream of a film has."""
    with av.open(str(path)) as film:
        counts = [0] * len(film.streams)
        for packet in film.demux():
            counts[packet.stream.index] += packet.size > 0
    return counts


@pytest.mark.parametrize(
    ("codec", "ending", "within_s"),
    [
        ("aac", ".avi", 0.012),
        ("libmp3lame", ".avi", 0.014),
        ("ac3", ".avi", 0.018),
        ("pcm_s16le", ".avi", 0.002),
        ("flac", ".avi", 0.014),  # becomes MP3
        ("aac", ".mxf", 0.002),
        ("pcm_s16le", ".mxf", 0.002),
        ("pcm_s16le", ".mov", 0.002),
        ("libopus", ".ogv", 0.018),
        ("aac", ".ogv", 0.018),
    ],
)
def test_sound_that_begins_late_or_has_a_hole_is_heard_at_its_times(
    tmp_path: Path, codec: str, ending: str, within_s: float
) -> None:
    film = sounding_film(tmp_path / "film.mkv", codec, [(0.3, 1.1), (1.7, 2.4)])
    assert clicks_s(film) == pytest.approx(CLICKS_S, abs=0.002)
    out = tmp_path / f"out{ending}"
    notes = carry(film, out)
    assert all("is transcoded to" in note for note in notes)
    assert clicks_s(out) == pytest.approx(CLICKS_S, abs=within_s)


def test_holes_that_nothing_can_fill_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.media.silence._BY_THEMSELVES", ())
    film = sounding_film(tmp_path / "film.mkv", "aac", [(0.5, 1.0)])
    notes = carry(film, tmp_path / "out.avi")
    assert notes == [
        "sound (aac) has holes that cannot be filled in .avi, and plays up to 0.48 s early; "
        ".mkv keeps them"
    ]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_mxf_keeps_pictures_after_the_sound(tmp_path: Path, codec: str) -> None:
    film = sounding_film(tmp_path / "film.mkv", codec, [(0.0, 1.0)])
    out = tmp_path / "out.mxf"
    carry(film, out)
    assert packets_in(out) == [60, 60]  # an edit unit of each
    assert lumas_of(out) == pytest.approx([grey(i) for i in range(60)], abs=2)


def test_mxf_says_that_sound_after_the_last_picture_is_left_out(tmp_path: Path) -> None:
    film = sounding_film(tmp_path / "film.mkv", "pcm_s16le", [(0.0, 2.0)], film_s=1.0)
    out = tmp_path / "out.mxf"
    notes = carry(film, out)
    assert notes == [
        "1.00 s of sound after the last picture are left out: .mxf films end with the picture"
    ]
    assert packets_in(out) == [25, 25]
    part = carry(film, tmp_path / "part.mxf", duration_s=0.4)  # asked for
    assert part == []
    assert packets_in(tmp_path / "part.mxf") == [10, 10]


def test_sound_of_mxf_without_packets_is_silent(tmp_path: Path) -> None:
    film, out = sounding_film(tmp_path / "film.mkv", "pcm_s16le", []), tmp_path / "out.mxf"
    carry(film, out)
    assert packets_in(out) == [60, 60]


def test_pictures_of_mxf_do_not_wait_for_late_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its muxer holds them in memory until it has the sound beside them."""
    monkeypatch.setattr("realtime_style.media.passthrough._AHEAD_S", 1)
    ends_s = []
    put = Unbroken._put

    def noted(carrier: Unbroken, packet: Any, length_s: Fraction) -> Any:
        ends_s.append(float(carrier.at_s + length_s))
        return put(carrier, packet, length_s)

    monkeypatch.setattr(Unbroken, "_put", noted)
    film = sounding_film(tmp_path / "film.mkv", "pcm_s16le", [(2.1, 2.4)])
    with FileSource(film) as source:
        sink = FileSink(tmp_path / "out.mxf", source.info, passthrough_of=source)
        with sink:
            for frame in source:
                sink.write(frame)
                if frame.pts * frame.time_base < 2.1:
                    before_s = max(ends_s, default=0.0)
    assert 0.4 < before_s < 1.2
    assert packets_in(tmp_path / "out.mxf") == [60, 60]


@pytest.mark.parametrize(("codec", "frames"), [("libx264", 260), ("mpeg2video", 140)])
@pytest.mark.parametrize("is_stopped", [False, True])
def test_mxf_takes_films_of_any_length(
    tmp_path: Path, codec: str, frames: int, is_stopped: bool
) -> None:
    film = make_film(tmp_path / "film.mkv", pts=range(frames), sound="pcm_s16le", codec=codec)
    out = tmp_path / "out.mxf"
    with FileSource(film) as source:
        sink = FileSink(out, source.info, passthrough_of=source)
        try:
            with sink:
                for frame in source:
                    sink.write(frame)
                if is_stopped:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            out = tmp_path / "out.stopped.mxf"
    assert packets_in(out) == [frames, frames]
    assert not list(tmp_path.glob("*.painted*"))


@pytest.mark.parametrize(
    ("rate", "becomes"),
    [
        (Fraction(12), 24), (Fraction(25, 2), 25), (Fraction(15), 30), (Fraction(30), 30),
        (Fraction(24_000, 1001), Fraction(24_000, 1001)), (Fraction(29), Fraction(30_000, 1001)),
    ],
)  # fmt: skip
def test_mxf_repeats_frames_where_it_has_no_such_rate(
    tmp_path: Path, rate: Fraction, becomes: Fraction
) -> None:
    film = make_film(tmp_path / "film.mp4", time_base=1 / rate, rate=rate, sound=None)
    out = tmp_path / "out.mxf"
    notes = carry(film, out)
    with av.open(str(out)) as painted:
        assert painted.streams.video[0].guessed_rate == becomes
    lumas, times = lumas_of(out), times_of(out)
    assert len(times) == round(10 * becomes / rate)
    for luma, at_s in zip(lumas, times, strict=True):
        assert luma == pytest.approx(grey(min(9, round(at_s * rate + Fraction(1, 100)))), abs=9)
    repeated = len(times) - 10
    plural = "frame is" if repeated == 1 else "frames are"
    per_second = f"{float(becomes):.4g} in a second"
    expected = f"{repeated} {plural} repeated: .mxf shows all equally long, {per_second}"
    assert notes == ([expected] if repeated else [])


def test_mxf_shows_uneven_frames_at_their_times(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", pts=[0, 1, 2, 7, 8, 9], sound=None)
    out = tmp_path / "out.mxf"
    notes = carry(film, out)
    shown = [0, 1, 2, 2, 2, 2, 2, 3, 4, 5]
    assert lumas_of(out) == pytest.approx([grey(i) for i in shown], abs=2)
    assert notes == ["4 frames are repeated: .mxf shows all equally long, 25 in a second"]


def test_picture_of_mxf_that_begins_late_stays_with_its_sound(tmp_path: Path) -> None:
    film = sounding_film(tmp_path / "film.mkv", "pcm_s16le", [(0.0, 2.4)], first_s=Fraction(9, 100))
    out = tmp_path / "out.mxf"
    carry(film, out)
    assert lumas_of(out)[:6] == pytest.approx([grey(i) for i in (0, 0, 0, 1, 2, 3)], abs=2)
    # the film begins 10 ms later than its source, as a frame of it does
    assert clicks_s(out) == pytest.approx([0.44, 0.94, 1.44, 1.94], abs=0.001)


def test_rates_that_mxf_does_not_reach_are_refused(tmp_path: Path) -> None:
    rate = Fraction(200)
    film = make_film(tmp_path / "film.mp4", time_base=1 / rate, rate=rate, sound=None)
    with pytest.raises(MediaError, match="at most 120 fps, not 200") as refused:
        carry(film, tmp_path / "out.mxf")
    assert refused.value.setting == "out"
    assert not list(tmp_path.glob("*.mxf*"))


@pytest.mark.parametrize(
    ("codec", "options"),
    [("mpeg2video", {"bf": "2"}), ("mpeg2video", {}), ("libx264", {"bf": "2"}), ("libx264", {})],
)
@pytest.mark.parametrize("is_piped", [False, True])
def test_mxf_has_the_same_times_as_a_file_and_from_a_pipe(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    codec: str,
    options: dict[str, str],
    is_piped: bool,
) -> None:
    film = make_film(tmp_path / "film.mxf", pts=range(20), sound=None, codec=codec, options=options)
    with film.open("rb") as piped:
        monkeypatch.setattr("sys.stdin", piped)
        with FileSource("-" if is_piped else film) as source:
            frames = list(source)
            assert source.notes == []
    assert [frame.pts * frame.time_base * 25 for frame in frames] == list(range(20))
    expected = [grey(i) for i in range(20)]
    assert [frame.luma.mean() for frame in frames] == pytest.approx(expected, abs=5)
