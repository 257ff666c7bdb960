"""Streams that are not there yet, or that nothing can understand: none ends a job."""

from __future__ import annotations

import gc
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import add_picture, make_film, times_of
from test_passthrough import carried, carry, film_with_sound, packets_of

from realtime_style.media.description import describe
from realtime_style.media.muxer import Muxer


def codecs_of(path: Path) -> list[str]:
    with av.open(str(path)) as film:
        return [stream.codec_context.codec.canonical_name for stream in film.streams]


def film_with_late_sound(path: Path, sound_s: int, film_s: int = 12) -> Path:
    """Two frames a second; the sound begins at `sound_s`, or never if that is the film's end."""
    with av.open(str(path), "w") as film:
        picture = add_picture(film, rate=Fraction(2))
        sound: Any = film.add_stream("aac", rate=48_000, layout="mono")
        for i in range(2 * film_s):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 2)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for begin in range(48_000 * sound_s, 48_000 * film_s, 1024):
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, begin, Fraction(1, 48_000)
            film.mux(sound.encode(heard))
        film.mux(sound.encode(None))
    return path


def test_sound_that_a_transport_stream_announces_late_is_kept(tmp_path: Path) -> None:
    """Two recordings in one file; the second one has sound."""
    film, out = tmp_path / "film.ts", tmp_path / "out.mp4"
    whole = make_film(tmp_path / "whole.mp4", pts=range(50))
    with film.open("wb") as both:
        for i, kinds in enumerate((("video",), ("video", "audio"))):
            part = tmp_path / f"{i}.ts"
            options = {"output_ts_offset": str(2 * i)}
            with av.open(str(whole)) as read, av.open(str(part), "w", options=options) as new:
                wanted = [stream for stream in read.streams if stream.type in kinds]
                copies = {s.index: new.add_stream_from_template(s) for s in wanted}
                for packet in read.demux(wanted):
                    if packet.size:
                        packet.stream = copies[packet.stream.index]
                        new.mux_one(packet)
            both.write(part.read_bytes())
    with av.open(str(film)) as read:
        assert not all(known.is_known for known in describe(read).values())
        packets = [p for p in read.demux() if p.pts is not None]
        first = [
            min(p.pts for p in packets if p.stream.type == kind) for kind in ("video", "audio")
        ]
    assert carry(film, out) == []
    assert codecs_of(out) == ["h264", "aac"]
    with av.open(str(out)) as painted:
        heard = next(painted.decode(audio=0))
        at_s = float(heard.pts * heard.time_base)  # type: ignore[operator]
        assert at_s == pytest.approx((first[1] - first[0]) / 90_000, abs=0.001)


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm"])
def test_sound_that_begins_after_ffmpeg_stops_looking_is_kept(tmp_path: Path, ending: str) -> None:
    film = film_with_late_sound(tmp_path / "film.ts", 9)
    with av.open(str(film)) as opened:
        assert not describe(opened)[1].is_known
    out = tmp_path / f"out{ending}"
    carry(film, out)
    assert codecs_of(out)[1] == ("opus" if ending == ".webm" else "aac")
    first_s = packets_of(out, "audio")[0][0] - times_of(out)[0]
    assert float(first_s) == pytest.approx(9, abs=0.06)


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm", ".avi", ".ts"])
def test_sound_without_packets_is_left_out_with_a_note(tmp_path: Path, ending: str) -> None:
    film, out = film_with_late_sound(tmp_path / "film.ts", 12), tmp_path / f"out{ending}"
    notes = carry(film, out)
    assert notes[0] == "sound (aac) is left out: the film does not say what it holds"
    assert len(codecs_of(out)) == 1
    assert len(times_of(out)) == 24


@pytest.mark.parametrize("is_piped", [False, True])
def test_a_stream_that_appears_half_way_is_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_piped: bool
) -> None:
    """Broadcasts add sound between two programmes."""
    silent = make_film(tmp_path / "a.ts", pts=range(50), sound=None).read_bytes()
    spoken = make_film(tmp_path / "b.ts", pts=range(50, 60)).read_bytes()
    padding = 2000 * (b"\x47\x1f\xff\x10" + 184 * b"\xff")  # more than FFmpeg reads of the end
    film, out = tmp_path / "film.ts", tmp_path / "out.mkv"
    film.write_bytes(silent + padding + spoken + padding + silent)
    opened = av.open

    def open_quickly(file: Any, mode: str = "r", **settings: Any) -> Any:
        """FFmpeg looks at megabytes of a film when it is opened; here, at its first frames."""
        quick = {"options": {"probesize": "9000"}} if mode == "r" else {}
        return opened(file, mode, **settings | quick)

    monkeypatch.setattr(av, "open", open_quickly)
    with film.open("rb") as piped, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", piped)
        source, _ = carried("-" if is_piped else film, out)
    assert source == ["sound that begins half-way is left out"]
    assert len(times_of(out)) == 110
    assert codecs_of(out) == ["h264"]


def with_unused_channels(film: Path, path: Path) -> Path:
    """A film of MOV with sound of four channels, whose channels are then marked as unused."""
    data = bytearray(film.read_bytes())
    at = data.index(b"chan")
    size = int.from_bytes(data[at - 4 : at], "big")
    channel = (0).to_bytes(4, "big") + bytes(16)  # label, flags and coordinates
    content = bytes(12) + (4).to_bytes(4, "big") + 4 * channel  # "use the descriptions"
    data[at + 4 : at - 4 + size] = content
    grown = len(content) + 8 - size
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"sowt", b"chan"):
        begin = data.rindex(name, 0, at + 4) - 4
        whole = int.from_bytes(data[begin : begin + 4], "big") + grown
        data[begin : begin + 4] = whole.to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", [".mov", ".mkv", ".mp4", ".webm"])
def test_channels_without_a_place_are_copied_or_left_out_with_a_note(
    tmp_path: Path, ending: str
) -> None:
    film = film_with_sound(tmp_path / "film.mov", "pcm_s16le", "quad", 48_000)
    film = with_unused_channels(film, tmp_path / "unused.mov")
    with av.open(str(film)) as opened:
        assert describe(opened)[1].layout == "4 channels (UNSD+UNSD+UNSD+UNSD)"
    out = tmp_path / f"out{ending}"
    notes = carry(film, out)
    gc.collect()
    if ending in (".mov", ".mkv"):
        assert notes == []
        given = b"".join(data for _, data in packets_of(film, "audio"))
        assert b"".join(data for _, data in packets_of(out, "audio")) == given
    else:
        assert notes == [
            f"sound (pcm_s16le) dropped: {ending} cannot hold it, and its channels (4 channels "
            "(UNSD+UNSD+UNSD+UNSD)) cannot be converted"
        ]
        assert len(codecs_of(out)) == 1


def film_with_ambisonic_sound(path: Path) -> Path:
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        sound: Any = film.add_stream("libopus", rate=48_000, options={"mapping_family": "2"})
        sound.codec_context.layout, sound.codec_context.format = "ambisonic 1", "flt"
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for begin in range(0, 48_000, 960):
            block = np.zeros((1, 960 * 4), np.float32)
            heard = av.AudioFrame.from_ndarray(block, "flt", "ambisonic 1")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, begin, Fraction(1, 48_000)
            film.mux(sound.encode(heard))
        film.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm", ".mov", ".avi", ".ts"])
def test_ambisonic_sound_is_copied_or_left_out_with_a_note(tmp_path: Path, ending: str) -> None:
    film, out = film_with_ambisonic_sound(tmp_path / "film.mkv"), tmp_path / f"out{ending}"
    notes = carry(film, out)
    assert len(times_of(out)) == 25
    if ending in (".mkv", ".mp4", ".webm"):
        assert notes == []
        assert len(packets_of(out, "audio")) == len(packets_of(film, "audio"))
    else:
        assert notes == [
            f"sound (opus) dropped: {ending} cannot hold it, and its channels (ambisonic 1) cannot "
            "be converted"
        ]


@pytest.mark.parametrize("ending", [".ts", ".mp4"])
def test_sound_of_six_channels_without_names_becomes_5_1(tmp_path: Path, ending: str) -> None:
    """Matroska does not name the channels of PCM."""
    film = film_with_sound(tmp_path / "film.mkv", "pcm_s16le", "5.1", 48_000)
    with av.open(str(film)) as opened:
        assert describe(opened)[1].layout == "6 channels"
    out = tmp_path / f"out{ending}"
    notes = carry(film, out)
    (note,) = notes
    assert note.startswith("sound (pcm_s16le) is transcoded to aac: ")
    with av.open(str(out)) as painted:
        assert painted.streams.audio[0].codec_context.layout.name == "5.1"


def test_the_last_sound_without_a_time_is_kept(tmp_path: Path) -> None:
    """The decoder of WMA returns its last frame after the last packet, without a time."""
    film, out = (
        film_with_sound(tmp_path / "film.wmv", "wmav2", "stereo", 48_000),
        tmp_path / "o.mp4",
    )
    with av.open(str(film)) as given:
        frames = [frame for packet in given.demux(audio=0) for frame in packet.decode()]
    assert frames[-1].pts is None
    assert carry(film, out) == ["sound (wmav2) is transcoded to aac: .mp4 cannot hold it"]
    with av.open(str(out)) as painted:
        heard = sum(frame.samples for frame in painted.decode(audio=0))
    assert heard >= sum(frame.samples for frame in frames)
    assert float(packets_of(out, "audio")[-1][0]) < 1.1


def test_mp3_keeps_its_length_from_avi_to_avi(tmp_path: Path) -> None:
    film = film_with_sound(tmp_path / "film.avi", "libmp3lame", "mono", 22_050)
    out = tmp_path / "out.avi"
    assert carry(film, out) == []
    header = out.read_bytes()
    at = header.index(b"auds") + 20  # AVIStreamHeader: scale, rate, start, length
    scale, rate, _, length = struct.unpack("<4I", header[at : at + 16])
    assert length * scale / rate == pytest.approx(1.1, abs=0.1)


@pytest.mark.parametrize("codec", ["flac", "eac3"])
def test_avi_gets_sound_that_its_players_know(tmp_path: Path, codec: str) -> None:
    film, out = tmp_path / "film.mkv", tmp_path / "out.avi"
    film_with_sound(film, codec, "stereo", 48_000)
    assert carry(film, out) == [f"sound ({codec}) is transcoded to mp3: .avi cannot hold it"]


def test_3gp_gets_sound_that_it_can_hold(tmp_path: Path) -> None:
    film, out = film_with_sound(tmp_path / "f.mkv", "flac", "stereo", 48_000), tmp_path / "out.3gp"
    assert carry(film, out) == ["sound (flac) is transcoded to aac: .3gp cannot hold it"]
    assert codecs_of(out) == ["h264", "aac"]


def test_damaged_sound_does_not_end_a_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MP4 takes AAC without its headers, and refuses packets whose header is damaged."""
    film, out = make_film(tmp_path / "film.ts", pts=range(25)), tmp_path / "out.mp4"
    usual, seen = Muxer._mux_one, list[Any]()

    def mux_one(muxer: Muxer, packet: Any) -> None:
        if isinstance(packet.stream, av.AudioStream):
            seen.append(packet)
            if len(seen) == 5:
                spoilt = av.Packet(b"\xff" + bytes(40))
                spoilt.stream, spoilt.pts, spoilt.dts = packet.stream, packet.pts, packet.dts
                spoilt.time_base = packet.time_base
                packet = spoilt
        usual(muxer, packet)

    monkeypatch.setattr(Muxer, "_mux_one", mux_one)
    assert carry(film, out) == ["dropped 1 damaged packet of other streams"]
    assert len(times_of(out)) == 25
    assert len(packets_of(out, "audio")) == len(packets_of(film, "audio")) - 1
