"""Films with a second picture, which is copied where OUT can hold it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import add_picture, grey
from test_passthrough import carry

from realtime_style.media.muxer import Muxer
from realtime_style.media.packet import Packet

STREAMS = {"bf": "2", "x264-params": "keyint=20:min-keyint=20:scenecut=0"}


def two_pictures(path: Path, frames: int = 40, second: str = "libx264", **options: str) -> Path:
    """Two streams of grey pictures, reordered, the second one small."""
    with av.open(str(path), "w") as film:
        sizes = ((64, 48), (32, 32))
        pictures = [
            add_picture(film, size=sizes[0], options=STREAMS),
            add_picture(film, second, sizes[1], options=STREAMS | options),
        ]
        for i in range(frames):
            for picture, (width, height) in zip(pictures, sizes, strict=True):
                i420 = np.full((height * 3 // 2, width), 128, np.uint8)
                i420[:height] = grey(i)
                frame = av.VideoFrame.from_ndarray(i420, "yuv420p")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                film.mux(picture.encode(frame))
        for picture in pictures:
            film.mux(picture.encode(None))
    return path


def second_picture(film: Path) -> list[tuple[float, float]]:
    """The time of each picture of the second stream, after the first one of all, and its luma."""
    with av.open(str(film)) as opened:
        first_s = next(opened.decode(video=0)).time
    with av.open(str(film)) as opened:
        return [
            (
                round(frame.time - first_s, 2),
                round(float(frame.to_ndarray()[: frame.height].mean())),
            )
            for frame in opened.decode(video=1)
        ]


@pytest.mark.parametrize("given", [".mkv", ".mp4"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov", ".m4v", ".ts"])
def test_all_reordered_pictures_of_a_second_stream_are_copied(
    tmp_path: Path, given: str, ending: str
) -> None:
    film, out = two_pictures(tmp_path / f"film{given}"), tmp_path / f"out{ending}"
    assert carry(film, out) == ["a second picture (h264) is copied, not painted"]
    assert second_picture(out) == second_picture(film)
    assert [at for at, _ in second_picture(out)] == [i / 25 for i in range(40)]
    with av.open(str(out)) as copied:
        dts = [packet.dts for packet in copied.demux(video=1) if packet.size and packet.dts]
    assert dts == sorted(set(dts))


def test_pictures_before_the_first_key_frame_of_a_part_are_left_out_with_a_note(
    tmp_path: Path,
) -> None:
    film, out = two_pictures(tmp_path / "film.mkv"), tmp_path / "out.mp4"
    assert carry(film, out, start_s=0.4) == [
        "a second picture (h264) is copied, not painted",
        "a second picture (h264) begins at its first key frame in the part, 0.40 s late",
    ]
    assert second_picture(out) == [
        (round(at - 0.4, 2), luma) for at, luma in second_picture(film) if at >= 0.8
    ]


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".webm"])
def test_codecs_without_an_encoder_of_their_decoders_name_are_copied(
    tmp_path: Path, ending: str
) -> None:
    film = two_pictures(tmp_path / "film.mkv", 5, "libsvtav1", preset="10")
    out = tmp_path / f"out{ending}"
    assert carry(film, out) == ["a second picture (av1) is copied, not painted"]
    assert second_picture(out) == second_picture(film)


@pytest.mark.parametrize(
    ("ending", "second"),
    [
        (".mxf", "libx264"), (".flv", "libx264"), (".flv", "libvpx-vp9"), (".mpg", "libx264"),
        (".vob", "libx264"), (".mpg", "ffv1"), (".ts", "mpeg4"), (".avi", "libx264"),
        (".wmv", "libx264"), (".wtv", "mpeg4"),
    ],
)  # fmt: skip
def test_a_second_picture_is_not_copied_where_nothing_could_read_it(
    tmp_path: Path, ending: str, second: str
) -> None:
    """Nor where it would spoil the painted one."""
    film = two_pictures(
        tmp_path / "film.mkv", 12, second, **{"x264-params": "b-adapt=0:bframes=2:scenecut=0"}
    )
    out = tmp_path / f"out{ending}"
    name = av.Codec(second, "w").canonical_name
    assert carry(film, out) == [
        f"a second picture ({name}) dropped: {ending} cannot hold it; .mkv may",
    ]
    with av.open(str(out)) as painted:
        assert len(painted.streams.video) == 1
        assert sum(1 for _ in painted.decode(video=0)) == 12


def test_mpg_holds_a_second_picture_of_its_own_kind(tmp_path: Path) -> None:
    film = two_pictures(tmp_path / "film.mkv", second="mpeg2video")
    out = tmp_path / "out.mpg"
    assert carry(film, out) == ["a second picture (mpeg2video) is copied, not painted"]
    assert second_picture(out) == second_picture(film)


def test_packets_of_others_that_a_container_refuses_do_not_end_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, out = two_pictures(tmp_path / "film.mp4"), tmp_path / "out.mp4"
    mux, refused = Muxer._mux_one, []

    def refuses_one(muxer: Muxer, packet: Packet) -> None:
        if packet.stream and packet.stream.index == 1 and not refused:
            refused.append(packet)
            raise av.ArgumentError(22, "Invalid argument")
        mux(muxer, packet)

    monkeypatch.setattr(Muxer, "_mux_one", refuses_one)
    notes = carry(film, out)
    assert "dropped 1 damaged packet of other streams" in notes
    with av.open(str(out)) as painted:
        assert sum(1 for _ in painted.decode(video=0)) == 40
