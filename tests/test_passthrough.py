"""Passthrough: every stream but the picture, chapters and metadata."""

from __future__ import annotations

import functools
import io
import sys
import threading
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet
from conftest import MILLISECOND, add_picture, grey
from PIL import Image

from realtime_style.media import passthrough
from realtime_style.media.demuxer import Part
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource

CLICK_S = 0.5
FILM_S = 2
LINES = ((200, 400, "Good evening"), (900, 500, "Good night"))
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, \
Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@pytest.fixture
def rich_film(tmp_path: Path) -> Path:
    """Two sounds, subtitles, a font, chapters, a title: 50 grey frames of 64x48."""
    path = tmp_path / "rich.mkv"
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        picture.metadata["title"] = "The picture"
        sounds = [add_sound(film, "aac", "deu"), add_sound(film, "flac", "fra")]
        sounds[0].disposition = Disposition.default
        sounds[1].disposition = Disposition.comment
        text: Any = film.add_stream("subrip")
        text.codec_context.subtitle_header = ASS_HEADER
        text.metadata["language"] = "ita"
        text.disposition = Disposition.forced
        film.add_attachment("font.ttf", "application/x-truetype-font", bytes(range(256)))
        film.metadata["title"] = "A film"
        film.metadata["artist"] = "Somebody"
        film.set_chapters(
            [
                {
                    "id": i,
                    "start": 1000 * i,
                    "end": 1000 * (i + 1),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": f"Part {i}"},
                }
                for i in range(2)
            ]
        )
        for i in range(25 * FILM_S):
            i420 = np.full((72, 64), 128, np.uint8)
            i420[:48] = grey(i)
            frame = av.VideoFrame.from_ndarray(i420, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for sound in sounds:
            write_click(film, sound)
        for start, length, words in LINES:
            line = SubtitleSet.create(f"0,0,Default,,0,0,0,,{words}".encode(), 0, length)
            packet = text.codec_context.encode_subtitle(line)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = start
            packet.duration = length
            film.mux(packet)
    return path


def add_sound(film: Any, codec: str, language: str) -> Any:
    sound = film.add_stream(codec, rate=44_100, layout="stereo")
    sound.metadata["language"] = language
    return sound


def write_click(film: Any, sound: Any) -> None:
    """Silence with one loud click, whose time can be found afterwards."""
    wave = np.zeros((2, 44_100 * FILM_S), np.float32)
    at = int(CLICK_S * 44_100)
    wave[:, at : at + 400] = np.sin(np.arange(400) * 0.6)
    resampler = av.AudioResampler(format=sound.codec_context.format.name, layout="stereo")
    for begin in range(0, wave.shape[1], 1024):
        block = np.ascontiguousarray(wave[:, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, begin, Fraction(1, 44_100)
        for resampled in resampler.resample(frame):
            film.mux(sound.encode(resampled))
    film.mux(sound.encode(None))


def carry(path: Path | str, out: Path, **part: float) -> list[str]:
    """Copies a film through source and sink, without painting; returns the sink's notes."""
    return carried(path, out, **part)[1]


def carried(path: Path | str, out: Path, **part: float) -> tuple[list[str], list[str]]:
    """As `carry`; returns the notes of both source and sink."""
    with FileSource(path, **part) as source:  # type: ignore[arg-type]
        sink = FileSink(out, source.info, passthrough_of=source)
        with sink:
            for frame in source:
                sink.write(frame)
        return source.notes, sink.notes


def packets_of(path: Path, kind: str, index: int = 0) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as film:
        stream = [stream for stream in film.streams if stream.type == kind][index]
        return [(p.pts * p.time_base, bytes(p)) for p in film.demux(stream) if p.size]  # type: ignore[operator]


def click_s(path: Path, index: int) -> float:
    """When the click is heard, in seconds after the first frame is shown."""
    with av.open(str(path)) as film:
        first = next(film.decode(video=0)).time
    with av.open(str(path)) as film:
        for frame in film.decode(audio=index):
            found = np.flatnonzero(as_float(frame) > 0.2)
            if len(found):
                return float(frame.time - first + found[0] / frame.sample_rate)
    raise AssertionError("there is no click")


def as_float(frame: av.AudioFrame) -> Any:
    (block,) = av.AudioResampler(format="fltp", layout="mono").resample(frame)
    return np.abs(block.to_ndarray()[0])


def test_matroska_keeps_everything_unchanged(tmp_path: Path, rich_film: Path) -> None:
    out = tmp_path / "out.mkv"
    assert carry(rich_film, out) == []
    with av.open(str(rich_film)) as before, av.open(str(out)) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        for old, new in zip(before.streams, after.streams, strict=True):
            assert new.metadata.get("language") == old.metadata.get("language")
            assert new.metadata.get("title") == old.metadata.get("title")
            assert new.disposition == old.disposition
        assert after.streams[4].data == before.streams[4].data == bytes(range(256))
        assert {k: after.metadata[k] for k in ("title", "ARTIST")} == {
            "title": "A film",
            "ARTIST": "Somebody",
        }
        assert [c["metadata"]["title"] for c in after.chapters()] == ["Part 0", "Part 1"]
    for kind, index in (("audio", 0), ("audio", 1), ("subtitle", 0)):
        assert packets_of(out, kind, index) == packets_of(rich_film, kind, index)


@pytest.mark.parametrize("kind", ["pipe", "address"])
def test_what_can_be_read_only_once_is_carried_like_a_file(
    tmp_path: Path, rich_film: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out = tmp_path / "out.mkv"
    if kind == "pipe":
        with rich_film.open("rb") as piped:
            monkeypatch.setattr(sys, "stdin", piped)
            assert carry("-", out) == []
    else:
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
            threading.Thread(target=http.serve_forever, daemon=True).start()
            assert carry(f"http://127.0.0.1:{http.server_port}/rich.mkv", out) == []
            http.shutdown()
    for kind, index in (("audio", 0), ("audio", 1), ("subtitle", 0)):
        assert packets_of(out, kind, index) == packets_of(rich_film, kind, index)
    with av.open(str(out)) as film:
        assert film.metadata["title"] == "A film"
        assert film.streams[4].data == bytes(range(256))
        assert [c["metadata"]["title"] for c in film.chapters()] == ["Part 0", "Part 1"]


def test_mp4_converts_what_it_cannot_hold_with_a_note(tmp_path: Path, rich_film: Path) -> None:
    out = tmp_path / "out.mp4"
    notes = carry(rich_film, out)
    assert notes == [
        "subtitles (subrip, ita) are converted to mov_text: .mp4 cannot hold them",
        "attachment (font.ttf) dropped: .mp4 cannot hold it; .mkv may",
    ]
    with av.open(str(out)) as film:
        kinds = [(s.type, s.codec_context.name) for s in film.streams if s.type != "data"]
        assert kinds == [
            ("video", "h264"), ("audio", "aac"), ("audio", "flac"), ("subtitle", "mov_text"),
        ]  # fmt: skip
        assert [s.metadata["language"] for s in list(film.streams)[1:4]] == ["deu", "fra", "ita"]
        assert film.metadata["title"] == "A film"
        assert [c["metadata"]["title"] for c in film.chapters()] == ["Part 0", "Part 1"]
    lines = [(at, data[2:].decode()) for at, data in packets_of(out, "subtitle") if len(data) > 2]
    assert lines == [(Fraction(start, 1000), words) for start, _, words in LINES]
    assert [d for _, d in packets_of(out, "audio")] == [
        d for _, d in packets_of(rich_film, "audio")
    ]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("defaults", [(), (0,), (1,)])
def test_subtitles_are_shown_by_default_only_if_they_were(
    tmp_path: Path, ending: str, defaults: tuple[int, ...]
) -> None:
    path, out = tmp_path / "film.mkv", tmp_path / f"out{ending}"
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        for i, language in enumerate(("ita", "fra")):
            text: Any = film.add_stream("subrip")
            text.codec_context.subtitle_header = ASS_HEADER
            text.metadata["language"] = language
            text.disposition = Disposition.default if i in defaults else Disposition(0)
        film.set_chapters(
            [{"id": 1, "start": 0, "end": 400, "time_base": MILLISECOND, "metadata": {}}]
        )
        film.start_encoding()
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey(i), np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for stream in list(film.streams)[1:]:
            line = av.Packet(b"Buona sera")
            line.pts = line.dts = 100
            line.duration, line.time_base, line.stream = 200, MILLISECOND, stream
            film.mux_one(line)
    carry(path, out)
    with av.open(str(out)) as painted:
        subtitles = painted.streams.subtitles
        assert [stream.metadata["language"] for stream in subtitles] == ["ita", "fra"]
        shown = [Disposition.default in stream.disposition for stream in subtitles]
        assert shown == [i in defaults for i in range(2)]
        assert Disposition.default in painted.streams.video[0].disposition or ending == ".mkv"
        assert len(painted.chapters()) == 1


def test_webm_gets_sound_that_it_can_hold_at_its_time(tmp_path: Path, rich_film: Path) -> None:
    out = tmp_path / "out.webm"
    notes = carry(rich_film, out)
    assert notes[:2] == [
        "sound (aac, deu) is transcoded to opus: .webm cannot hold it",
        "sound (flac, fra) is transcoded to opus: .webm cannot hold it",
    ]
    with av.open(str(out)) as film:
        assert [s.codec_context.name for s in film.streams.audio] == ["opus", "opus"]
        assert [s.metadata["language"] for s in film.streams.audio] == ["deu", "fra"]
    for index in range(2):
        assert click_s(out, index) == pytest.approx(click_s(rich_film, index), abs=0.003)


def test_a_part_takes_its_part_of_everything(tmp_path: Path, rich_film: Path) -> None:
    out = tmp_path / "out.mkv"
    carry(rich_film, out, start_s=0.4, duration_s=1.2)
    assert click_s(out, 1) == pytest.approx(CLICK_S - 0.4, abs=0.003)
    lines = packets_of(out, "subtitle")
    assert [data.decode() for _, data in lines] == ["Good evening", "Good night"]
    assert [float(at) for at, _ in lines] == pytest.approx([0, 0.5], abs=0.03)
    with av.open(str(out)) as film:
        ends = [
            [float(c[end] * c["time_base"]) for end in ("start", "end")] for c in film.chapters()
        ]
    assert np.ravel(ends).tolist() == pytest.approx([0, 0.6, 0.6, 1.2])


@pytest.mark.parametrize(
    ("written", "ending", "language"),
    [
        ("deu", ".mp4", "deu"),
        ("deu", ".mov", "ger"),
        ("fre", ".mov", "fra"),
        ("cze", ".mov", "ces"),
    ],
)
def test_tracks_keep_title_and_language_through_mp4_and_mov(
    tmp_path: Path, rich_film: Path, written: str, ending: str, language: str
) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / f"second{ending}"
    carry(rich_film, tmp_path / "titled.mkv")
    with av.open(str(rich_film)) as old, av.open(str(first), "w") as film:
        sound = film.add_stream_from_template(old.streams.audio[0])
        picture = film.add_stream_from_template(old.streams.video[0])
        sound.metadata.update({"title": "Deutsch", "language": written})
        film.set_chapters(old.chapters())
        for packet in old.demux(0, 1):
            if packet.size:
                packet.stream = picture if packet.stream.type == "video" else sound
                film.mux(packet)
    assert carry(first, second) == []  # not a word of the chapters' own track
    with av.open(str(second)) as film:
        assert film.streams.audio[0].metadata["name"] == "Deutsch"
        assert film.streams.audio[0].metadata["language"] == language
        assert [c["metadata"]["title"] for c in film.chapters()] == ["Part 0", "Part 1"]


@pytest.mark.parametrize("ending", [".mp4", ".m4v", ".mkv"])
def test_a_cover_is_kept(tmp_path: Path, film: Path, ending: str) -> None:
    out = tmp_path / f"out{ending}"
    assert carry(with_cover(film, tmp_path / "covered.mp4"), out) == []
    with av.open(str(out)) as painted:
        pictures = [s for s in painted.streams.video if Disposition.attached_pic in s.disposition]
        assert [(s.codec_context.name, s.width) for s in pictures] == [("mjpeg", 32)]


def test_m4v_says_that_it_is_m4v(tmp_path: Path, film: Path) -> None:
    out = tmp_path / "out.m4v"
    assert carry(film, out) == []
    with av.open(str(out)) as painted:
        assert painted.metadata["major_brand"] == "M4V "


def with_cover(film: Path, path: Path) -> Path:
    """A film of MP4 with a picture of 32x32 as its cover."""
    jpeg = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(jpeg, "JPEG")
    with av.open(str(film)) as plain, av.open(str(path), "w") as covered:
        streams = {s.index: covered.add_stream_from_template(s) for s in plain.streams}
        cover = covered.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.Packet(jpeg.getvalue())
        picture.stream, picture.pts, picture.dts = cover, 0, 0
        covered.mux(picture)
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                covered.mux(packet)
    return path


def test_what_a_format_cannot_hold_is_noted(tmp_path: Path, rich_film: Path) -> None:
    avi, ts = carry(rich_film, tmp_path / "out.avi"), carry(rich_film, tmp_path / "out.ts")
    assert "chapters dropped: .avi cannot hold them" in avi
    assert "language tags dropped: .avi cannot hold them" in avi
    assert "sound (flac, fra) is transcoded to aac: .ts cannot hold it" in ts
    assert any("subtitles (subrip, ita) dropped: .ts cannot hold them" in note for note in ts)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_sound_without_packets_is_kept_or_noted(tmp_path: Path, ending: str) -> None:
    path, out = tmp_path / "film.mkv", tmp_path / f"out{ending}"
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        for language in ("deu", "fra"):
            sound: Any = film.add_stream("aac", rate=48_000, layout="mono")
            sound.metadata.update(language=language, title=f"in {language}")
        film.start_encoding()
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), grey(i), np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        heard.sample_rate, heard.pts = 48_000, 0
        film.mux([*sound.encode(heard), *sound.encode(None)])  # the second one only
    notes = carry(path, out)
    with av.open(str(out)) as painted:
        kept = [stream.metadata["language"] for stream in painted.streams.audio]
    if ending == ".mkv":
        assert (kept, notes) == (["deu", "fra"], [])
    else:
        assert kept == ["fra"]
        assert notes == [f"sound (aac, deu) is left out of {ending}: it has no packets"]


def test_packets_that_lost_their_time_to_damage_are_counted(
    tmp_path: Path, rich_film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robbed = 0
    takes = Part.takes

    def damaged(part: Part, packet: av.Packet[Any]) -> bool:
        nonlocal robbed
        taken = takes(part, packet)
        if robbed < 3 and packet.stream.type == "audio":
            packet.pts = packet.dts = None
            robbed += 1
        return taken

    monkeypatch.setattr(Part, "takes", damaged)
    out = tmp_path / "out.mkv"
    notes = carry(rich_film, out)
    assert robbed == 3
    assert "dropped 3 packets without a usable time" in notes
    before = len(packets_of(rich_film, "audio", 0)) + len(packets_of(rich_film, "audio", 1))
    assert len(packets_of(out, "audio", 0)) + len(packets_of(out, "audio", 1)) == before - 3


def film_with_sound(path: Path, codec: str, layout: str, rate: int, block: int = 960) -> Path:
    """A second of a grey picture and of noise, in blocks of so many samples."""
    rng = np.random.default_rng(0)
    channels = len(av.AudioLayout(layout).channels)
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        sound: Any = film.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 128_000
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for begin in range(0, rate, block):
            noise = rng.uniform(-0.3, 0.3, (channels, min(block, rate - begin))).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(np.ascontiguousarray(noise), "fltp", layout)
            heard.sample_rate, heard.pts, heard.time_base = rate, begin, Fraction(1, rate)
            film.mux(sound.encode(heard))
        film.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "layout", "rate", "ending", "becomes"),
    [
        ("ac3", "5.1", 48_000, ".webm", "opus"),
        ("libopus", "5.1", 48_000, ".avi", "ac3:"),
        ("flac", "5.1", 48_000, ".avi", "ac3:"),
        ("flac", "6.1", 48_000, ".avi", "ac3 5.1:"),
        ("flac", "stereo", 48_000, ".avi", "mp3:"),
        ("flac", "5.1", 48_000, ".mpg", "ac3:"),
        ("alac", "5.1", 48_000, ".flv", "stereo"),
        ("flac", "stereo", 192_000, ".ts", "aac 48000 Hz"),
        ("aac", "stereo", 44_100, ".mxf", "pcm_s16le 48000 Hz"),
        ("flac", "stereo", 48_000, ".wmv", "wmav2:"),  # whose times it does not store
        ("eac3", "stereo", 48_000, ".asf", "wmav2:"),
        ("flac", "mono", 8_000, ".flv", "mp3 48000 Hz:"),  # it has few rates
        ("aac", "stereo", 48_000, ".wtv", "ac3:"),
    ],
)
def test_sound_that_the_encoder_does_not_take_is_converted_as_little_as_possible(
    tmp_path: Path, codec: str, layout: str, rate: int, ending: str, becomes: str
) -> None:
    film = film_with_sound(tmp_path / "film.mkv", codec, layout, rate)
    out = tmp_path / f"out{ending}"
    notes = carry(film, out)
    assert any(f"{becomes}" in note and "is transcoded to" in note for note in notes), notes
    with av.open(str(out)) as painted:
        heard_s = sum(f.samples / f.sample_rate for f in painted.decode(audio=0))
    assert heard_s == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("codec", ["ac3", "mp2", "libmp3lame", "pcm_s16le"])
@pytest.mark.parametrize("ending", [".wmv", ".avi"])
def test_sound_that_is_copied_is_heard_as_it_was(tmp_path: Path, codec: str, ending: str) -> None:
    film = film_with_sound(tmp_path / "film.mkv", codec, "stereo", 48_000)
    out = tmp_path / f"out{ending}"
    assert carry(film, out) == []
    ours, theirs = heard_in(out), heard_in(film)
    same = [  # decoders skip more or less of an encoder's priming
        later
        for later in range(-3000, 3000)
        if abs(ours[5000 + later] - theirs[5000]) < 1e-4
        and np.allclose(ours[5000 + later :][:35_000], theirs[5000:][:35_000], atol=1e-3)
    ]
    assert len(same) == 1


def heard_in(path: Path) -> Any:
    """The sound of a film, with its channels mixed."""
    with av.open(str(path)) as film:
        return np.concatenate([as_float(frame)[: frame.samples] for frame in film.decode(audio=0)])


@pytest.mark.parametrize(("codec", "rate"), [("pcm_s16le", 48_000), ("pcm_s24le", 48_000)])
def test_sound_that_mxf_holds_is_copied(tmp_path: Path, codec: str, rate: int) -> None:
    film = film_with_sound(tmp_path / "film.mov", codec, "stereo", rate)
    out = tmp_path / "out.mxf"
    assert carry(film, out) == []
    assert sound_bytes(out) == sound_bytes(film)


def sound_bytes(path: Path) -> bytes:
    """All bytes of the sound of a film."""
    return b"".join(data for _, data in packets_of(path, "audio"))


def test_sound_that_keeps_its_codec_is_not_said_to_become_it(tmp_path: Path) -> None:
    film = film_with_sound(tmp_path / "film.mov", "pcm_s16le", "stereo", 44_100)
    notes = carry(film, tmp_path / "out.mxf")
    assert notes == ["sound (pcm_s16le) is converted to 48000 Hz: .mxf cannot hold it as it is"]


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_f32le"])
@pytest.mark.parametrize("given", [".mkv", ".mov"])
def test_pcm_becomes_aac_in_mp4_whatever_its_channels(
    tmp_path: Path, codec: str, layout: str, given: str
) -> None:
    film, out = (
        film_with_sound(tmp_path / f"film{given}", codec, layout, 48_000),
        tmp_path / "o.mp4",
    )
    assert carry(film, out) == [
        f"sound ({codec}) is transcoded to aac: few players take it in .mp4; .mov holds it"
    ]
    with av.open(str(out)) as painted:
        sound = painted.streams.audio[0]
        assert (sound.codec_context.name, sound.layout.name) == ("aac", layout)
    assert carry(film, tmp_path / "o.mov") == []


def test_packets_with_the_same_time_are_all_kept(tmp_path: Path) -> None:
    """Blocks shorter than the milliseconds that Matroska counts in, as TrueHD's."""
    film = film_with_sound(tmp_path / "film.mkv", "pcm_s16le", "mono", 48_000, block=40)
    given = packets_of(film, "audio")
    assert len({at for at, _ in given}) < len(given)
    for ending in (".mkv", ".mov"):
        out = tmp_path / f"out{ending}"
        carry(film, out)
        found = packets_of(out, "audio")
        assert b"".join(data for _, data in found) == b"".join(data for _, data in given)


def test_sound_that_changes_on_the_way_is_transcoded_through(tmp_path: Path) -> None:
    mono = film_with_sound(tmp_path / "mono.mkv", "ac3", "mono", 48_000)
    stereo = film_with_sound(tmp_path / "stereo.mkv", "ac3", "stereo", 48_000)
    changing = tmp_path / "changing.mkv"
    with av.open(str(mono)) as one, av.open(str(stereo)) as two, av.open(
        str(changing), "w"
    ) as film:  # fmt: skip
        streams = [film.add_stream_from_template(stream) for stream in one.streams]
        for packet in one.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                film.mux_one(packet)
        for packet in two.demux():
            if packet.size and packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts + round(1 / packet.time_base)
                packet.stream = streams[packet.stream.index]
                film.mux_one(packet)
    out = tmp_path / "out.webm"
    carry(changing, out)
    with av.open(str(out)) as painted:
        heard_s = sum(frame.samples / frame.sample_rate for frame in painted.decode(audio=0))
    assert heard_s == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_titles_that_are_not_utf_8_pass_through_unchanged(
    tmp_path: Path, film: Path, ending: str
) -> None:
    title = b"Caf\xe9".decode(errors="surrogateescape")  # Latin-1
    path, out = tmp_path / "old.mkv", tmp_path / f"out{ending}"
    with av.open(str(film)) as plain, av.open(
        str(path), "w", metadata_errors="surrogateescape"
    ) as old:  # fmt: skip
        streams = {s.index: old.add_stream_from_template(s) for s in plain.streams}
        old.metadata["title"] = title
        streams[0].metadata["title"] = title
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                old.mux_one(packet)
    carry(path, out)
    with av.open(str(out), metadata_errors="surrogateescape") as painted:
        assert painted.metadata["title"] == title


@pytest.mark.parametrize("are_late", [False, True])
@pytest.mark.parametrize("ending", [".mpg", ".avi", ".flv"])
def test_text_subtitles_are_not_copied_where_nothing_reads_them(
    tmp_path: Path, rich_film: Path, monkeypatch: pytest.MonkeyPatch, ending: str, are_late: bool
) -> None:
    if are_late:
        monkeypatch.setattr(passthrough, "_PROBE_PACKETS", 2)
    out = tmp_path / f"out{ending}"
    notes = carry(rich_film, out)
    assert f"subtitles (subrip, ita) dropped: {ending} cannot hold them; .mkv may" in notes
    with av.open(str(out)) as film:
        assert not film.streams.subtitles


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm"])
def test_late_subtitles_are_carried(
    tmp_path: Path, rich_film: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(passthrough, "_PROBE_PACKETS", 2)
    out = tmp_path / f"out{ending}"
    carry(rich_film, out)
    assert sum(len(data) > 2 for _, data in packets_of(out, "subtitle")) == len(LINES)
