"""Encoder: whole reorder groups, and what holds frames back."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.encoder import Encoder, _ReorderGroups
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import FileSink

BASE = Fraction(1, 25)
INFO = StreamInfo(64, 48, Fraction(25), BASE, ColorSpace())


def packet(pts: int) -> av.Packet:
    made = av.Packet(b"data")
    made.pts = pts
    return made


def returned(order: list[int], sent: int) -> list[list[int]]:
    """The groups of packets that come out for packets in a decoding order."""
    groups = _ReorderGroups()
    for pts in range(sent):
        groups.sent(pts)
    out = [[each.pts or 0 for each in groups.arrived(packet(pts))] for pts in order]
    return [group for group in out if group]


def test_b_frames_come_with_the_frame_that_is_decoded_before_them() -> None:
    assert returned([0, 4, 2, 1, 3, 5, 7, 6], 8) == [[0], [4, 2, 1, 3], [5], [7, 6]]


def test_a_frame_that_the_encoder_drops_does_not_hold_the_others_for_ever() -> None:
    order = [pts for pts in range(60) if pts != 3]
    groups = returned(order, 60)
    assert [pts for group in groups for pts in group] == order
    assert groups[:3] == [[0], [1], [2]]
    assert max(map(len, groups)) == 17
    assert groups[-1] == [59]


def test_one_packet_may_stand_for_many_frames() -> None:
    assert returned([0], 9) == [[0]]  # an animated WebP is one packet


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"bf": "8", "b_pyramid": "strict"}])
def test_after_every_call_the_packets_are_the_first_frames(
    tmp_path: Path, seed: int, options: dict[str, str]
) -> None:
    rng = np.random.default_rng(seed)
    texture = rng.integers(40, 210, (48, 300), np.uint8)
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        encoder = Encoder(stream, INFO, {"preset": "veryfast", **options})
        pts: list[int] = []
        at = 0

        def check(packets: list[av.Packet]) -> None:
            pts.extend(each.pts or 0 for each in packets)
            assert sorted(pts) == list(range(len(pts)))
            assert encoder.end_pts == len(pts)

        for i in range(60):
            at += int(rng.integers(0, 5))
            i420 = np.full((72, 64), 128, np.uint8)
            i420[:48] = texture[:, at % 236 : at % 236 + 64]
            check(encoder.encode(Frame(i420, i, BASE)))
        for packets in encoder.flush():
            check(packets)
    assert len(pts) == encoder.frames == encoder.frames_out == 60


def test_without_lookahead_each_frame_is_a_packet_at_once(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        stream = film.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        options = {"preset": "superfast", "tune": "zerolatency"}
        encoder = Encoder(stream, INFO, options, b_frames=False, by_slices=True)
        for i in range(5):
            frame = Frame(np.full((72, 64), 10 * i, np.uint8), i, BASE)
            assert [each.pts for each in encoder.encode(frame)] == [i]


def settings_of_x264(path: Path, encoding: Encoding) -> dict[str, str]:
    """The settings that libx264 wrote into a film of ours."""
    rng = np.random.default_rng(0)
    with FileSink(path, INFO, encoding=encoding, overwrite=True) as sink:
        for i in range(30):
            sink.write(Frame(rng.integers(0, 255, (72, 64), np.uint8), i, BASE))
    text = path.read_bytes().split(b"options: ")[1].split(b"\0")[0].decode("ascii", "ignore")
    return dict(part.partition("=")[::2] for part in text.split())


def test_the_usual_x264_looks_ahead_and_a_preset_is_taken_as_it_is(tmp_path: Path) -> None:
    names = ("subme", "mbtree", "rc_lookahead", "b_adapt", "crf")
    for encoding, expected in (
        (Encoding(), ["1", "1", "10", "0", "27.0"]),
        (Encoding(crf=23), ["1", "1", "10", "0", "23.0"]),
        (Encoding(preset="superfast"), ["1", "0", None, "1", "27.0"]),
        (Encoding(preset="veryfast"), ["2", "1", "10", "1", "27.0"]),
    ):
        found = settings_of_x264(tmp_path / "film.mkv", encoding)
        assert [found.get(name) for name in names] == expected


_ENCODE = """
import sys
from fractions import Fraction
import numpy as np
from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.film_sink import FileSink

noise = np.random.default_rng(0).integers(0, 255, (50, 90), np.uint8).repeat(8, 0).repeat(8, 1)
info = StreamInfo(320, 180, Fraction(25), Fraction(1, 25), ColorSpace())
with FileSink(sys.argv[1], info, threads=2) as sink:
    for i in range(40):
        planes = np.full((270, 320), 128, np.uint8)
        planes[:180] = noise[i : i + 180, 3 * i : 3 * i + 320]
        sink.write(Frame(planes, i, Fraction(1, 25)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc fills memory on request")
def test_bytes_do_not_depend_on_memory_that_nobody_wrote(tmp_path: Path) -> None:
    for fill in ("85", "170"):
        command = [sys.executable, "-c", _ENCODE, str(tmp_path / f"{fill}.mp4")]
        subprocess.run(command, check=True, env=os.environ | {"MALLOC_PERTURB_": fill})
    assert (tmp_path / "85.mp4").read_bytes() == (tmp_path / "170.mp4").read_bytes()
