"""What a film holds besides pictures and sound is kept, or a note says that it is not."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from conftest import MILLISECOND, add_picture, make_film, run_cli
from PIL import Image
from test_passthrough import ASS_HEADER, carried, carry, with_cover

from realtime_style.errors import MediaError
from realtime_style.media.comparison import Contents, StreamContents, missing
from realtime_style.media.description import describe
from realtime_style.media.film_source import FileSource
from realtime_style.media.timecode import later_timecode

APPLE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 12",
    "com.apple.quicktime.location.ISO6709": "+48.1371+011.5754+520/",
    "com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200",
}


def retold(film: Path, path: Path, change: Callable[[Any], None], **settings: Any) -> Path:
    """The same film in another file, with a change to its container before the header."""
    with av.open(str(film)) as plain, av.open(str(path), "w", **settings) as new:
        streams = {s.index: new.add_stream_from_template(s) for s in plain.streams}
        change(new)
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux_one(packet)
    return path


@pytest.fixture
def phone_film(tmp_path: Path, film: Path) -> Path:
    """A film of MOV with the metadata that phones write."""
    return retold(
        film,
        tmp_path / "phone.mov",
        lambda new: new.metadata.update(APPLE),
        options={"movflags": "use_metadata_tags"},
    )


@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv"])
def test_make_place_and_time_of_a_phone_are_kept(
    tmp_path: Path, phone_film: Path, ending: str
) -> None:
    with av.open(str(phone_film)) as given:
        assert given.metadata.items() >= APPLE.items()
    out = tmp_path / f"out{ending}"
    assert carry(phone_film, out) == []
    with av.open(str(out)) as painted:
        found = {key.lower(): value for key, value in painted.metadata.items()}
    assert found.items() >= {key.lower(): value for key, value in APPLE.items()}.items()


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize(
    "free",
    [
        {"make": "Acme", "model": "Phone 9"},
        {"com.android.manufacturer": "Acme", "com.android.version": "14"},
    ],
)
def test_free_keys_of_mp4_are_kept(
    tmp_path: Path, film: Path, ending: str, free: dict[str, str]
) -> None:
    tags = {"title": "A walk", "location": "+48.1371+011.5754/"} | free
    phone_film = retold(
        film,
        tmp_path / "phone.mp4",
        lambda new: new.metadata.update(tags),
        options={"movflags": "use_metadata_tags"},
    )
    out = tmp_path / f"out{ending}"
    assert carry(phone_film, out) == []
    with av.open(str(out)) as painted:
        assert painted.metadata.items() >= tags.items()


def test_a_title_alone_is_written_where_players_look_for_it(tmp_path: Path, film: Path) -> None:
    named = retold(film, tmp_path / "named.mp4", lambda new: new.metadata.update(title="A walk"))
    assert carry(named, tmp_path / "out.mp4") == []
    assert b"\xa9nam" in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_turned_film_is_painted_upright_and_misses_nothing(
    tmp_path: Path, film: Path, ending: str
) -> None:
    turned = retold(
        film,
        tmp_path / "turned.mp4",
        lambda new: new.streams.video[0].set_display_rotation(90),
    )
    assert carry(turned, tmp_path / f"out{ending}") == []


def test_metadata_that_a_container_cannot_hold_is_noted(tmp_path: Path, phone_film: Path) -> None:
    notes = carry(phone_film, tmp_path / "out.avi")
    assert f"not kept in .avi: metadata ({', '.join(APPLE)})" in notes


def test_what_is_found_missing_in_the_finished_film_is_told(
    tmp_path: Path, phone_film: Path, identity_style: Path
) -> None:
    done = run_cli("video", phone_film, tmp_path / "out.avi", "-s", identity_style, "--json")
    assert done.returncode == 0, done.stderr
    note = "not kept in .avi: metadata (com.apple.quicktime.make"
    assert done.stderr.count(note) == 1
    assert note in done.stdout


@pytest.mark.parametrize("ending", [".mov", ".mp4", ".mkv", ".avi"])
def test_timecode_is_kept_or_noted(tmp_path: Path, film: Path, ending: str) -> None:
    def set_timecode(new: Any) -> None:
        new.streams[0].metadata["timecode"] = "01:02:03:04"

    timed = retold(film, tmp_path / "timed.mov", set_timecode)
    with av.open(str(timed)) as given:
        assert [stream.type for stream in given.streams] == ["video", "audio", "data"]
    out = tmp_path / f"out{ending}"
    notes = carry(timed, out)
    with av.open(str(out)) as painted:
        found = {key.lower(): value for key, value in painted.streams[0].metadata.items()}
    if ending == ".avi":
        assert "not kept in .avi: metadata of stream 0 (timecode)" in notes
    else:
        assert notes == []
        assert found["timecode"] == "01:02:03:04"
    part = tmp_path / f"part{ending}"
    notes = carry(timed, part, start_s=0.2)
    if ending != ".avi":
        assert notes == []
        assert timecode_of(part) == "01:02:03:09"


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".avi", ".mxf"])
def test_of_mxf_the_timecode_is_kept_and_its_own_numbers_are_not_missed(
    tmp_path: Path, ending: str
) -> None:
    def set_timecode(new: Any) -> None:
        new.metadata["timecode"] = "01:02:03:04"

    film = make_film(tmp_path / "film.mov", codec="mpeg2video", sound="pcm_s16le")
    timed = retold(film, tmp_path / "timed.mxf", set_timecode)
    with av.open(str(timed)) as given:
        assert given.metadata["timecode"] == "01:02:03:04"
        assert {"uid", "product_name", "material_package_umid"} <= set(given.metadata)
        assert "file_package_umid" in given.streams[0].metadata
    out = tmp_path / f"out{ending}"
    notes = carry(timed, out)
    assert [note for note in notes if "is transcoded to aac" not in note] == []
    with av.open(str(out)) as painted:
        found = {**painted.metadata, **painted.streams[0].metadata}
    found = {key.lower(): value for key, value in found.items()}
    assert found["timecode"] == "01:02:03:04"
    assert ending == ".mxf" or not {"uid", "product_name", "file_package_umid"} & set(found)


def timecode_of(film: Path) -> str:
    with av.open(str(film)) as opened:
        found = {**opened.metadata, **opened.streams[0].metadata}
    return {key.lower(): value for key, value in found.items()}["timecode"]


@pytest.mark.parametrize("given", [".mxf", ".mkv"])
@pytest.mark.parametrize("ending", [".mxf", ".mov", ".mkv"])
def test_the_timecode_of_a_part_is_that_of_its_first_frame(
    tmp_path: Path, given: str, ending: str
) -> None:
    def set_timecode(new: Any) -> None:
        new.metadata["timecode"] = new.streams[0].metadata["timecode"] = "01:02:03:04"

    film = make_film(tmp_path / "film.mov", codec="mpeg2video", sound="pcm_s16le")
    timed, out = retold(film, tmp_path / f"timed{given}", set_timecode), tmp_path / f"out{ending}"
    carry(timed, out, start_s=0.2)
    assert timecode_of(out) == "01:02:03:09"


@pytest.mark.parametrize(
    ("text", "later_s", "rate", "expected"),
    [
        ("01:02:03:04", Fraction(61), Fraction(25), "01:03:04:04"),
        ("23:59:59:24", Fraction(1, 25), Fraction(25), "00:00:00:00"),
        ("00:00:59;29", Fraction(1001, 30_000), Fraction(30_000, 1001), "00:01:00;02"),
        ("00:09:59;29", Fraction(1001, 30_000), Fraction(30_000, 1001), "00:10:00;00"),
        ("00:00:00;00", Fraction(1001 * 17_982, 30_000), Fraction(30_000, 1001), "00:10:00;00"),
        ("00:08:59;29", Fraction(1001 * 2, 30_000), Fraction(30_000, 1001), "00:09:00;03"),
        ("00:00:59;59", Fraction(1001, 60_000), Fraction(60_000, 1001), "00:01:00;04"),
        ("00:00:59:29", Fraction(1001, 30_000), Fraction(30_000, 1001), "00:01:00:00"),
        ("00:00:59:30", Fraction(1), Fraction(25), None),
        ("later", Fraction(1), Fraction(25), None),
    ],
)
def test_timecode_counts_frames(
    text: str, later_s: Fraction, rate: Fraction, expected: str | None
) -> None:
    assert later_timecode(text, later_s, rate) == expected


def test_a_timecode_that_is_lost_is_noted(tmp_path: Path) -> None:
    def set_timecode(new: Any) -> None:
        new.metadata["timecode"] = "01:02:03:04"

    film = make_film(tmp_path / "film.mov", codec="mpeg2video", sound=None)
    timed = retold(film, tmp_path / "timed.mxf", set_timecode)
    assert carry(timed, tmp_path / "out.ts") == ["not kept in .ts: metadata (timecode)"]


def test_languages_of_what_is_not_carried_are_not_missed(tmp_path: Path, film: Path) -> None:
    """QuickTime's timecode track has one."""

    def set_timecode(new: Any) -> None:
        new.streams[0].metadata["timecode"] = "01:02:03:04"

    timed = retold(film, tmp_path / "timed.mov", set_timecode)
    with av.open(str(timed)) as given:
        assert given.streams[2].metadata["language"] == "eng"
    only = ["sound (aac) is transcoded to pcm_s16le: .mxf cannot hold it"]
    assert carry(timed, tmp_path / "out.mxf") == only


def test_3d_is_kept_or_noted_once(tmp_path: Path) -> None:
    def mark(new: Any) -> None:
        new.streams[0].metadata["stereo_mode"] = "left_right"

    film = make_film(tmp_path / "film.mkv", sound=None)
    split = retold(film, tmp_path / "split.mkv", mark)
    assert carried(split, tmp_path / "out.mkv") == ([], [])
    with av.open(str(tmp_path / "out.mkv")) as painted:
        assert painted.streams[0].metadata["stereo_mode"] == "left_right"
        assert "stereo 3d" in describe(painted)[0].side_data
    flat = ["not kept in .mp4: how the picture is split for two eyes (3D)"]
    assert carried(split, tmp_path / "out.mp4") == ([], flat)


def test_3d_that_only_the_pictures_tell_of_is_noted(tmp_path: Path) -> None:
    """Frame packing in the pictures of H.264, which the new film's pictures do not have."""
    film = make_film(tmp_path / "film.mkv", sound=None, options={"x264-params": "frame-packing=3"})
    lost = ["how the picture is split for two eyes (3D) is not kept"]
    assert carried(film, tmp_path / "out.mkv") == (lost, [])


def test_the_still_picture_of_an_animation_is_named(tmp_path: Path) -> None:
    animation = tmp_path / "film.avif"
    pictures = [Image.new("RGB", (64, 48), (40 * i, 90, 30)) for i in range(5)]
    pictures[0].save(animation, save_all=True, append_images=pictures[1:], duration=100)
    with av.open(str(animation)) as given:
        assert sorted(stream.frames for stream in given.streams.video) == [1, 5]
    out = tmp_path / "out.mkv"
    assert carry(animation, out) == ["the still picture is left out: only the animation is painted"]
    with av.open(str(out)) as painted:
        assert len(list(painted.decode(video=0))) == 5


def with_projection(film: Path, path: Path) -> Path:
    """A film of MOV whose picture is marked as an equirectangular panorama."""
    data = bytearray(film.read_bytes())
    namespace = "http://ns.google.com/videos/1.0/spherical/"
    marked = "".join(
        f"<GSpherical:{key}>{value}</GSpherical:{key}>"
        for key, value in (
            ("Spherical", "true"), ("Stitched", "true"), ("StitchingSoftware", "a camera"),
            ("ProjectionType", "equirectangular"),
        )
    )  # fmt: skip
    text = (
        f'<rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        f'xmlns:GSpherical="{namespace}">{marked}</rdf:SphericalVideo>'
    )
    content = bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + text.encode()
    box = (len(content) + 8).to_bytes(4, "big") + b"uuid" + content
    movie = data.rindex(b"moov") - 4
    track = data.index(b"trak", movie) - 4
    end = track + int.from_bytes(data[track : track + 4], "big")
    data[end:end] = box
    for begin in (movie, track):
        size = int.from_bytes(data[begin : begin + 4], "big") + len(box)
        data[begin : begin + 4] = size.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_a_panorama_that_becomes_flat_is_noted(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mov")
    panorama = with_projection(film, tmp_path / "panorama.mov")
    source, sink = carried(panorama, tmp_path / "out.mov")
    assert source == ["how the picture is projected (360°) is not kept"]
    assert sink == []


def test_text_in_the_picture_is_noted(tmp_path: Path) -> None:
    """A/53 captions, in the user data of MPEG-2 pictures."""
    film = make_film(tmp_path / "film.mpg", codec="mpeg2video", sound=None)
    with av.open(str(film)) as plain:
        stream = b"".join(bytes(packet) for packet in plain.demux(video=0))
    caption = b"\x00\x00\x01\xb2GA94\x03\x41\xff\xfc\x94\x25\xff"
    parts, last = [], 0
    at = stream.find(b"\x00\x00\x01\xb5")
    while at >= 0:
        following = stream.find(b"\x00\x00\x01", at + 4)
        if stream[at + 4] >> 4 == 8:  # after the extension of a picture's header
            parts += [stream[last:following], caption]
            last = following
        at = stream.find(b"\x00\x00\x01\xb5", following)
    captioned = tmp_path / "captioned.m2v"
    captioned.write_bytes(b"".join(parts) + stream[last:])
    source, _ = carried(captioned, tmp_path / "out.mp4")
    assert source == ["text in the picture (closed captions) is not kept"]


def test_transparency_that_the_decoder_drops_is_noted(tmp_path: Path) -> None:
    def mark(new: Any) -> None:
        new.streams[0].metadata["alpha_mode"] = "1"

    film = make_film(tmp_path / "film.webm", codec="libvpx-vp9", sound=None)
    marked, out = retold(film, tmp_path / "marked.webm", mark), tmp_path / "out.webm"
    source, sink = carried(marked, out)
    assert source == ["transparency is not kept"]
    assert sink == []
    with av.open(str(out)) as painted:
        assert "alpha_mode" not in {key.lower() for key in painted.streams[0].metadata}


def test_kinds_that_nobody_thought_of_are_named() -> None:
    before = Contents(
        {"title": "A", "encoder": "x", "mood": "blue"},
        {
            0: StreamContents({"eyes": "two"}, frozenset({"cpb properties", "smell"})),
            2: StreamContents({"language": "fre"}, marks=frozenset({"commentary"})),
            3: StreamContents({"language": "gle"}),
        },
        chapters=2,
        covers=1,
    )
    after = Contents(
        {"TITLE": "A"},
        {0: StreamContents(), 1: StreamContents({"language": "fra"}), 2: StreamContents()},
        chapters=1,
    )
    copies = {0: 0, 2: 1, 3: 2}
    assert missing(before, after, copies, chapters=2, covers=1) == [
        "metadata (mood)", "metadata of stream 0 (eyes)", "smell", "marks of stream 2 (commentary)",
        "the language of stream 3 (gle)", "chapters", "cover",
    ]  # fmt: skip
    assert "gle" not in str(missing(before, after, copies, chapters=2, has_languages=False))
    assert missing(before, before, {0: 0, 2: 2}, chapters=2, covers=1) == []


@pytest.fixture
def marked_film(tmp_path: Path) -> Path:
    """A commentary in Irish, which QuickTime has no number for, and forced subtitles."""
    path = tmp_path / "marked.mkv"
    with av.open(str(path), "w") as film:
        picture = add_picture(film)
        sounds: list[Any] = []
        for codec, language, disposition in (
            ("ac3", "gle", Disposition.comment),
            ("libopus", "cym", Disposition.default),
        ):
            sound: Any = film.add_stream(codec, rate=48_000, layout="stereo")
            sound.metadata.update(language=language, title=f"In {language}")
            sound.disposition = disposition
            sounds.append(sound)
        text: Any = film.add_stream("subrip")
        text.codec_context.subtitle_header = ASS_HEADER
        text.disposition = Disposition.forced
        film.start_encoding()
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        for sound in sounds:
            resampler = av.AudioResampler(
                sound.codec_context.format.name, "stereo", 48_000, sound.codec_context.frame_size
            )
            heard = av.AudioFrame.from_ndarray(np.zeros((2, 19_200), np.float32), "fltp", "stereo")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, 0, Fraction(1, 48_000)
            for each in (*resampler.resample(heard), *resampler.resample(None), None):
                film.mux(sound.encode(each))
        line = av.Packet(b"Buona sera")
        line.pts, line.dts, line.duration, line.time_base = 100, 100, 200, MILLISECOND
        line.stream = text
        film.mux_one(line)
    return path


@pytest.mark.parametrize(
    ("ending", "lost"),
    [
        (".mkv", ""),
        (".mp4", ""),
        (
            ".mov",
            "the language of stream 1 (gle), marks of stream 1 (commentary), marks of stream 3 "
            "(forced)",
        ),
        (".webm", "marks of stream 1 (commentary)"),
        (
            ".3gp",
            "metadata of stream 1 (title), marks of stream 1 (commentary), metadata of stream 2 "
            "(title)",
        ),
        (".avi", "marks of stream 1 (commentary)"),
        (".flv", "metadata of stream 2 (title)"),
    ],
)
def test_languages_and_marks_are_kept_or_noted(
    tmp_path: Path, marked_film: Path, ending: str, lost: str
) -> None:
    notes = carry(marked_film, tmp_path / f"out{ending}")
    found = [note for note in notes if note.startswith("not kept in")]
    assert found == ([f"not kept in {ending}: {lost}"] if lost else [])


def test_flv_gets_one_sound_that_players_know(tmp_path: Path, marked_film: Path) -> None:
    out = tmp_path / "out.flv"
    notes = carry(marked_film, out)
    assert notes[:2] == [
        "sound (ac3, gle) is left out: .flv holds one sound; .mkv holds all",
        "sound (opus, cym) is transcoded to mp3: .flv cannot hold it",
    ]
    with av.open(str(out)) as film:
        codecs = [stream.codec_context.codec.canonical_name for stream in film.streams]
    assert codecs == ["h264", "mp3"]


@pytest.mark.parametrize(
    ("ending", "note"),
    [
        (".mov", "cover dropped: none is written into .mov; .mp4 keeps it"),
        (".avi", "cover dropped: .avi cannot hold it"),
        (".wmv", "cover dropped: .wmv cannot hold it"),
    ],
)
def test_a_cover_becomes_no_second_picture(
    tmp_path: Path, film: Path, ending: str, note: str
) -> None:
    out = tmp_path / f"out{ending}"
    assert note in carry(with_cover(film, tmp_path / "covered.mp4"), out)
    with av.open(str(out)) as painted:
        assert len(painted.streams.video) == 1


@pytest.mark.parametrize(
    ("ending", "is_kept"), [(".mov", True), (".mkv", True), (".mxf", True), (".mp4", False)]
)
def test_the_name_of_the_reel_is_kept_or_noted(
    tmp_path: Path, film: Path, ending: str, is_kept: bool
) -> None:
    def set_reel(new: Any) -> None:
        new.streams[0].metadata.update(timecode="01:02:03:04", reel_name="A001")

    filmed = retold(film, tmp_path / "filmed.mov", set_reel)
    out = tmp_path / f"out{ending}"
    notes = carry(filmed, out)
    assert ("not kept in .mp4: metadata (reel_name)" in notes) is not is_kept
    with av.open(str(out)) as painted:
        found = [value for stream in painted.streams for value in stream.metadata.values()]
    assert ("A001" in [*found, *painted.metadata.values()]) is is_kept


def test_sound_with_a_cover_is_not_a_film(tmp_path: Path) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(jpeg, "JPEG")
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as song:
        sound: Any = song.add_stream("aac", rate=48_000, layout="mono")
        cover: Any = song.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.Packet(jpeg.getvalue())
        picture.stream, picture.pts, picture.dts = cover, 0, 0
        song.mux(picture)
        for begin in range(0, 48_000, 1024):
            heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, begin, Fraction(1, 48_000)
            song.mux(sound.encode(heard))
        song.mux(sound.encode(None))
    with pytest.raises(MediaError, match="is sound with a cover, not a film") as refused:
        FileSource(path)
    assert refused.value.setting == "source"
