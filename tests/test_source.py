from __future__ import annotations

import gc
import socket
import sys
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from conftest import (
    SHARED_DATA,
    add_picture,
    grey,
    make_film,
    scene_rgb,
    sound_of,
    times_of,
    without_length,
)
from PIL import ExifTags, Image

from realtime_style.color import BT709, FULL, LIMITED, SMPTE170M
from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.media import demuxer
from realtime_style.media.film_source import FileSource

VFR_MS = (0, 40, 45, 130, 131, 500, 504, 1200, 1233, 1266)


def read(source: FileSource) -> list[tuple[Fraction, float, tuple[int, int]]]:
    """Time in seconds, mean luma and size of each frame."""
    frames = []
    with source:
        for frame in source:
            size = (frame.width, frame.height)
            frames.append((frame.pts * frame.time_base, float(frame.luma.mean()), size))
            frame.release()
    return frames


@pytest.mark.parametrize(
    "name", ["film.mp4", "film.mkv", "film.mov", "film.avi", "film.ts", "film.webm"]
)
def test_every_source_gives_all_frames_with_their_times(tmp_path: Path, name: str) -> None:
    webm = name.endswith("webm")
    path = make_film(
        tmp_path / name,
        codec="libvpx-vp9" if webm else "libx264",
        sound="libopus" if webm else "aac",
    )
    with av.open(str(path)) as film:
        start_s = (film.start_time or 0) / av.time_base  # of transport streams not zero
        expected = sorted(frame.time - start_s for frame in film.decode(video=0))
    with FileSource(path) as source:
        assert (source.info.width, source.info.height) == (64, 48)
        assert source.info.rate == 25
        assert not source.info.is_live
        frames = read(source)
    assert [float(at) for at, _, _ in frames] == pytest.approx(expected, abs=1e-5)
    assert [luma for _, luma, _ in frames] == pytest.approx([grey(i) for i in range(10)], abs=3)


@pytest.mark.parametrize(("name", "time_base"), [("f.mkv", 1000), ("f.mp4", 90_000)])
def test_frames_of_uneven_length_keep_their_times(
    tmp_path: Path, name: str, time_base: int
) -> None:
    pts = [ms * time_base // 1000 for ms in VFR_MS]
    path = make_film(tmp_path / name, pts=pts, time_base=Fraction(1, time_base))
    assert [at for at, _, _ in read(FileSource(path))] == [Fraction(ms, 1000) for ms in VFR_MS]


@pytest.mark.parametrize(
    ("pix_fmt", "codec"),
    [
        ("yuv420p", "libx264"),
        ("yuvj420p", "libx264"),
        ("yuv422p", "libx264"),
        ("yuv444p", "libx264"),
        ("yuv420p10le", "libx264"),
        ("bgr0", "ffv1"),
        ("gray", "ffv1"),
        ("bgra", "ffv1"),
    ],
)
def test_any_pixel_format_becomes_the_same_planes(tmp_path: Path, pix_fmt: str, codec: str) -> None:
    path = tmp_path / "film.mkv"
    rgb = scene_rgb(128, 96)
    with av.open(str(path), "w") as film:
        options = {"crf": "1"} if codec == "libx264" else {}
        stream = film.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pix_fmt
        picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
        film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    with FileSource(path) as source:
        frame = next(iter(source))
        assert frame.color.matrix == SMPTE170M  # below 720 lines, nothing said
        assert frame.color.range == (FULL if pix_fmt == "yuvj420p" else LIMITED)
        matrix, offset = frame.color.yuv_from_rgb()
    expected = (np.einsum("ij,hwj->hwi", matrix, rgb / 255) + offset) * 255
    assert np.abs(frame.luma[0, 0] - expected[..., 0]).mean() < 1.5
    if pix_fmt != "gray":
        halves = expected[..., 1:].reshape(48, 2, 64, 2, 2).mean((1, 3)).transpose(2, 0, 1)
        assert np.abs(frame.chroma[0] - halves).mean() < 2.5


@pytest.mark.parametrize(("lines", "matrix"), [(478, SMPTE170M), (720, BT709)])
def test_untagged_films_follow_the_common_rule(tmp_path: Path, lines: int, matrix: int) -> None:
    path = make_film(tmp_path / "film.mp4", size=(64, lines), pts=(0,), sound=None)
    with FileSource(path) as source:
        assert source.info.color.matrix == matrix


def test_odd_sides_lose_a_pixel(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "odd.mkv"), "w") as film:
        stream = film.add_stream("libvpx-vp9", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuv420p"
        film.mux(stream.encode(av.VideoFrame(65, 49, "yuv420p")))
        film.mux(stream.encode(None))
    assert [size for _, _, size in read(FileSource(tmp_path / "odd.mkv"))] == [(64, 48)]


def test_frames_come_at_the_size_asked_for(film: Path) -> None:
    sizes = {size for _, _, size in read(FileSource(film, size=Size.parse("32x24")))}
    assert sizes == {(32, 24)}


def test_a_part_of_the_film_starts_at_zero(film: Path) -> None:
    source = FileSource(film, start_s=0.12, duration_s=0.16)
    others = source.other_packets()
    frames = read(source)
    assert [at for at, _, _ in frames] == [Fraction(i, 25) for i in range(4)]
    assert [luma for _, luma, _ in frames] == pytest.approx([grey(i) for i in range(3, 7)], abs=3)
    kept = [packet.pts * packet.time_base for packet in others.until(None)]
    assert 0 <= kept[0] < 0.025
    assert 0.13 < kept[-1] < 0.16


def test_sound_packets_are_kept_whole(film: Path) -> None:
    source = FileSource(film)
    others = source.other_packets()
    read(source)
    assert [bytes(packet) for packet in others.until(None)] == [data for _, data in sound_of(film)]


def sound_packets_alive() -> int:
    gc.collect()
    packets = [thing for thing in gc.get_objects() if isinstance(thing, av.Packet)]
    return sum(isinstance(packet.stream, av.AudioStream) for packet in packets)


@pytest.mark.parametrize("is_piped", [False, True])
def test_packets_that_nobody_asked_for_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_piped: bool
) -> None:
    film = make_film(tmp_path / "film.mkv", pts=range(100))
    before = sound_packets_alive()
    with film.open("rb") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        with FileSource("-" if is_piped else film) as source:
            for i, frame in enumerate(source):
                frame.release()
                if i == 95:
                    assert sound_packets_alive() - before < 10
    assert i == 99


def test_sound_packets_of_a_pipe_are_those_of_a_file(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_film(film.with_suffix(".mkv"), pts=range(100))
    with film.open("rb") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        with FileSource("-", duration_s=2) as source:
            others = source.other_packets()
            found: list[tuple[Fraction, bytes]] = []
            for frame in source:
                now = frame.pts * frame.time_base
                some = [(p.pts * p.time_base, bytes(p)) for p in others.until(float(now))]
                assert all(at <= now for at, _ in some)
                found += some
            found += [(p.pts * p.time_base, bytes(p)) for p in others.until(None)]
    assert found == [(at, data) for at, data in sound_of(film) if at < 2]


def test_only_the_part_is_read_for_its_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_film(tmp_path / "film.mkv", pts=range(200))
    reached = []
    takes = demuxer.Part.takes

    def noted(part: demuxer.Part, packet: av.Packet) -> bool:
        reached.append(packet.pts * packet.time_base if packet.size else 0)
        return takes(part, packet)

    monkeypatch.setattr(demuxer.Part, "takes", noted)
    with FileSource(film, duration_s=1) as source:
        sound = list(source.other_packets().until(None))
    assert max(reached) < 3.1  # of 8 s: streams may lie two seconds apart
    assert float(sound[-1].pts * sound[-1].time_base) > 0.95


def test_a_packet_with_a_damaged_time_holds_up_no_other() -> None:
    tee = demuxer.Tee(())
    for ms in (0, 500_000, 100, 5_000):
        packet = av.Packet(b"sound")
        packet.dts, packet.time_base = ms, Fraction(1, 1000)
        tee.put(packet)
    assert [packet.dts for packet in tee.until(1.0)] == [0, 500_000, 100]
    assert [packet.dts for packet in tee.until(None)] == [5_000]


def test_sound_that_waits_too_long_in_memory_is_an_error(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demuxer, "_MAX_WAITING_BYTES", 500)
    film = make_film(film.with_suffix(".mkv"), pts=range(100))
    with film.open("rb") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        message = "sound and picture are too far apart"
        with FileSource("-") as source, pytest.raises(MediaError, match=message):  # noqa: PT012
            source.other_packets()
            list(source)


@pytest.mark.parametrize("content", [b"", b"not a film at all" * 50, b"\x00\x00\x00\x18ftypmp42"])
def test_rubbish_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"film\.mp4 (cannot be read as a film|is empty)"):
        FileSource(path)


def test_missing_files_and_files_without_a_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="there is no file"):
        FileSource(tmp_path / "none.mp4")
    (tmp_path / "link.mp4").symlink_to("none.mp4")
    with pytest.raises(MediaError, match=r"link\.mp4 is a link that leads nowhere"):
        FileSource(tmp_path / "link.mp4")
    with pytest.raises(MediaError, match="is a folder; give one film"):
        FileSource(tmp_path)
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("pcm_s16le", rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        block = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 8000
        film.mux(stream.encode(block))
    with pytest.raises(MediaError, match="no picture"):
        FileSource(path)


def test_numbered_pictures_at_a_rate_up_to_a_gap(tmp_path: Path) -> None:
    for i in (1, 2, 3, 5, 6):
        Image.new("RGB", (64, 48), (grey(i),) * 3).save(tmp_path / f"f_{i:03d}.png")
    with FileSource(tmp_path / "f_%03d.png", rate=Fraction(24)) as source:
        assert [frame.pts * frame.time_base * 24 for frame in source] == [0, 1, 2]
        assert "f_004.png is missing; the pictures after it are ignored" in source.notes


def test_numbered_pictures_begin_at_any_number(tmp_path: Path) -> None:
    for i in (1001, 1002, 1003):
        Image.new("RGB", (64, 48), (grey(i - 1000),) * 3).save(tmp_path / f"f_{i}.png")
    for pattern in ("f_%04d.png", "f_%d.png"):
        with FileSource(tmp_path / pattern) as source:
            assert sum(1 for _ in source) == 3
            assert not any("missing" in note for note in source.notes)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_photos_with_exif_are_read_and_upright(tmp_path: Path, ending: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Canon"
    half = np.zeros((48, 64, 3), np.uint8)
    half[:, :32] = 200  # light on the left; above, when it is turned
    for orientation, size in ((1, (64, 48)), (6, (48, 64)), (3, (64, 48))):
        exif[ExifTags.Base.Orientation] = orientation
        path = tmp_path / f"photo.{ending}"
        Image.fromarray(half).save(path, exif=exif)
        with FileSource(path) as source:
            (frame,) = source
        assert (frame.width, frame.height) == size
        luma = frame.luma[0, 0].astype(int)
        if orientation == 6:
            assert luma[:20].mean() > luma[-20:].mean() + 100
        elif orientation == 3:
            assert luma[:, :20].mean() < luma[:, -20:].mean() - 100
        else:
            assert luma[:, :20].mean() > luma[:, -20:].mean() + 100


def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demuxer, "_OPEN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/film.mp4"
        with pytest.raises(MediaError, match=r"film.mp4 does not answer within 0.5 s"):
            FileSource(address)


def test_a_rate_is_for_numbered_pictures(film: Path) -> None:
    message = "has its own times; a rate is for numbered pictures and for raw streams"
    with pytest.raises(MediaError, match=message) as refused:
        FileSource(film, rate=Fraction(24))
    assert refused.value.setting == "rate"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"These are words,\nnot a film.\n" * 9, "FFmpeg does not know its format$"),
        (None, "its index is missing or damaged, as in an MP4 that was cut off$"),
    ],
)
def test_a_file_that_is_no_film_is_told_from_one_that_was_cut_off(
    tmp_path: Path, film: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "a.mp4"
    whole = film.read_bytes()
    path.write_bytes(content or whole[: whole.index(b"moov")])
    with pytest.raises(MediaError, match=reason):
        FileSource(path)


def test_frames_before_the_first_key_frame_are_counted_as_lost(tmp_path: Path) -> None:
    path, cut = (
        make_film(tmp_path / "film.mkv", pts=range(60), options={"g": "30"}),
        tmp_path / "cut.mkv",
    )
    with av.open(str(path)) as whole, av.open(str(cut), "w") as film:
        stream = film.add_stream_from_template(whole.streams.video[0])
        for i, packet in enumerate(whole.demux(video=0)):
            if packet.size and i >= 10:
                packet.stream = stream
                film.mux(packet)
    source = FileSource(cut)
    frames = len(read(source))
    assert 25 <= frames < 50
    assert source.lost_s == pytest.approx((50 - frames) / 25)
    assert any(f"{50 - frames} frames are damaged and could not" in note for note in source.notes)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_animations_keep_their_uneven_times(tmp_path: Path, ending: str) -> None:
    path, shown_ms = tmp_path / f"animation{ending}", [40, 100, 40, 500]
    pictures = [Image.new("RGB", (64, 48), (grey(i),) * 3) for i in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=shown_ms)
    frames = read(FileSource(path))
    assert [at * 1000 for at, _, _ in frames] == [0, 40, 140, 180]
    full = [(luma - 16) * 255 / 219 for _, luma, _ in frames]
    assert full == pytest.approx([grey(i) for i in range(4)], abs=4)


def test_a_damaged_animation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "animation.webp"
    pictures = [Image.new("RGB", (64, 48), (grey(i),) * 3) for i in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MediaError, match="cannot be read as an animation"):
        FileSource(path)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_a_start_beyond_the_end_is_refused(tmp_path: Path, ending: str) -> None:
    """By the length of the pictures: the sound is a little longer."""
    film = make_film(tmp_path / f"film{ending}")
    for start_s in (0.41, 9):
        with pytest.raises(MediaError, match=rf"is 0\.4 s long; .* at {start_s:g} s"):
            FileSource(film, start_s=start_s)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts"])
def test_frames_are_expected_by_the_length_of_the_pictures(tmp_path: Path, ending: str) -> None:
    """Not by that of a sound which is longer."""
    film = tmp_path / f"film{ending}"
    with (
        av.open(str(make_film(tmp_path / "short.mp4", sound=None))) as pictures,
        av.open(str(make_film(tmp_path / "long.mp4", pts=range(50)))) as sound,
        av.open(str(film), "w") as both,
    ):
        streams = pictures.streams.video[0], sound.streams.audio[0]
        copies = [both.add_stream_from_template(stream) for stream in streams]
        for container, stream, copy in zip((pictures, sound), streams, copies, strict=True):
            for packet in container.demux(stream):
                if packet.size:
                    packet.stream = copy
                    both.mux(packet)
    with FileSource(film) as source:
        assert source.info.duration_s == pytest.approx(2, abs=0.1)
        assert source.info.frames == pytest.approx(10, abs=1)
    with FileSource(film, start_s=0.2, duration_s=1) as source:
        assert source.info.frames == pytest.approx(5, abs=1)


def test_names_that_look_like_patterns_are_those_of_files_that_are_there(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 48), (grey(i),) * 3) for i in range(4)]
    for name in ("x%d.gif", "v%3db.gif", "a%20dog.gif", "x%d.png", "a%20dog.png"):
        path = tmp_path / name
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
        assert [at for at, _, _ in read(FileSource(path))] == [Fraction(i, 10) for i in range(4)]
    pictures[0].save(tmp_path / "p%d.jpg")
    assert len(read(FileSource(tmp_path / "p%d.jpg"))) == 1


def test_a_film_that_ends_within_its_header_is_called_that(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    for count in (40, 200):  # FFmpeg finds the end of the file, or an input/output error
        path = tmp_path / "cut.mkv"
        path.write_bytes(film.read_bytes()[:count])
        reason = "it is damaged, or was cut off before its first picture$"
        with pytest.raises(MediaError, match=reason) as refused:
            FileSource(path)
        assert refused.value.setting == "source"


def test_what_is_no_film_is_told_without_words_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    for source, said in (
        ("none_%03d.png", "there are no pictures none_%03d.png"),
        ("films", "films is a folder; give one film"),
        ("foo://bar", "foo://bar cannot be read as a film: FFmpeg knows no addresses that begin "
                      "with foo://"),
    ):  # fmt: skip
        with pytest.raises(MediaError) as refused:
            FileSource(source)
        assert (str(refused.value), refused.value.setting) == (said, "source")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "^standard input is empty; pipe a film into it$"),
        ("a.png", "its format cannot be read from a pipe; give a file$"),
    ],
)
def test_what_cannot_be_read_from_a_pipe_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    pictures = [Image.new("RGB", (64, 48), (grey(i),) * 3) for i in range(4)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    (tmp_path / "empty").touch()
    with (tmp_path / name).open("rb") as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        with pytest.raises(MediaError, match=reason):
            FileSource("-")


def test_a_damaged_film_gives_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    path = make_film(
        tmp_path / "film.ts", size=(64, 48), pts=range(60), sound=None, options={"g": "10"}
    )
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for at in rng.integers(len(data) // 3, len(data) * 2 // 3, 60):
        data[at] ^= 0xFF
    path.write_bytes(data)
    source = FileSource(path)
    assert 10 < len(read(source)) <= 60
    assert source.lost_s > 0
    assert any("damaged" in note for note in source.notes)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".avi"])
def test_a_film_that_was_cut_off_is_read_to_its_end_with_a_note(
    tmp_path: Path, ending: str
) -> None:
    path = make_film(
        tmp_path / f"film{ending}",
        size=(128, 96),
        pts=range(100),
        codec="mpeg4",
        sound="mp3" if ending == ".avi" else "aac",
    )
    if ending in (".mp4", ".mov"):  # the index first, or a cut film has none
        with av.open(str(path)) as plain:
            moved = tmp_path / f"moved{ending}"
            with av.open(str(moved), "w", options={"movflags": "+faststart"}) as film:
                streams = {s.index: film.add_stream_from_template(s) for s in plain.streams}
                for packet in plain.demux():
                    if packet.size:
                        packet.stream = streams[packet.stream.index]
                        film.mux_one(packet)
        path = moved
    whole = FileSource(path)
    assert len(read(whole)) == 100
    assert whole.lost_s == 0
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = FileSource(path)
    frames = len(read(source))
    assert 30 < frames < 90
    assert source.lost_s == pytest.approx((100 - frames) / 25, abs=0.3)
    assert any("ends early" in note for note in source.notes)


def test_an_encrypted_film_is_refused(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "locked.mp4"
    locks = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    with av.open(str(film)) as plain, av.open(str(path), "w", options=locks) as locked:
        streams = {s.index: locked.add_stream_from_template(s) for s in plain.streams}
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                locked.mux_one(packet)
    with pytest.raises(MediaError, match="is encrypted"):
        FileSource(path)


CLIPS = sorted((SHARED_DATA / "videos").glob("*")) if SHARED_DATA.is_dir() else []


@pytest.mark.skipif(not CLIPS, reason="the real clips of shared/data are not here")
@pytest.mark.parametrize("path", CLIPS[:6], ids=lambda path: path.stem)
def test_real_clips_are_read_whole(path: Path) -> None:
    assert [at for at, _, _ in read(FileSource(path))] == times_of(path)


@pytest.mark.parametrize("has_length", [True, False])
def test_a_film_whose_server_stalls_ends_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_length: bool
) -> None:
    monkeypatch.setattr(demuxer, "_READ_S", 0.5)
    monkeypatch.setattr(demuxer, "_OPEN_S", 3.0)  # FFmpeg looks for the length at the end as well
    film = make_film(tmp_path / "film.mkv", size=(320, 240), pts=range(50), codec="mjpeg",
                     pix_fmt="yuvj420p", sound=None)  # fmt: skip
    if not has_length:
        film = without_length(film, tmp_path / "live.mkv")
    data, done = film.read_bytes(), Event()

    class Half(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            done.wait(60)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        with FileSource(f"http://127.0.0.1:{http.server_port}/film.mkv") as source:
            frames = len(list(source))
            notes = source.notes
        done.set()
        http.shutdown()
    assert 15 < frames < 35
    (note,) = notes
    assert note.startswith("the film ends early (its server has sent nothing for 0.5 s)")
    assert ("of its length are missing" in note) is has_length


def test_columns_that_are_cut_off_at_the_left_stay_away(tmp_path: Path) -> None:
    whole, film = tmp_path / "whole.ts", tmp_path / "film.ts"
    shown = np.full((72, 64), 128, np.uint8)
    shown[:48] = 200
    shown[:48, :10] = 20
    with av.open(str(whole), "w") as written:
        picture = add_picture(written, options={"crf": "1"})
        for i in range(25):
            frame = av.VideoFrame.from_ndarray(shown, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            written.mux(picture.encode(frame))
        written.mux(picture.encode(None))
    with av.open(str(whole)) as plain, av.open(str(film), "w") as cut:
        stream = cut.add_stream_from_template(plain.streams.video[0])
        crop = BitStreamFilterContext("h264_metadata=crop_left=10:crop_right=2", stream)
        for packet in plain.demux():
            for each in crop.filter(packet if packet.size else None):
                each.stream = stream
                cut.mux(each)
    with FileSource(film) as source:
        assert (source.info.source_width, source.info.width) == (52, 52)
        assert min(frame.luma.min() for frame in source) > 150
