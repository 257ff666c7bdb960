"""Pictures of every format become upright frames of one size, colour space and depth."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from conftest import add_picture, make_film, paint_film, scene_rgb, times_of
from numpy.typing import NDArray
from PIL import Image

from realtime_style.color import BT709, BT2020_NCL, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.frame import Size
from realtime_style.media.converter import Converter
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_source import FileSource
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.painting.grain import Grain

WHITE_NITS = 203.0  # ITU-R BT.2408: reference white in high dynamic range


def write_film(
    path: Path,
    pictures: list[av.VideoFrame],
    codec: str = "ffv1",
    rotation: int = 0,
    flags: dict[str, str] | None = None,
) -> Path:
    first = pictures[0]
    with av.open(str(path), "w") as film:
        size = first.width, first.height
        stream = add_picture(film, codec, size, first.format.name, options=flags)
        context = stream.codec_context
        context.colorspace, context.color_range = first.colorspace, first.color_range
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
        if rotation:
            stream.set_display_rotation(rotation)
        for i, picture in enumerate(pictures):
            picture.pts, picture.time_base = i, Fraction(1, 25)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


def corners(rgb: NDArray[np.uint8]) -> list[str]:
    """Which colour each corner has: upper left, upper right, lower left, lower right."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    h, w = rgb.shape[:2]
    places = ((h // 8, w // 8), (h // 8, -w // 8), (-h // 8, w // 8), (-h // 8, -w // 8))
    return [names[tuple((rgb[y, x] > 128).astype(int).tolist())] for y, x in places]


@pytest.mark.parametrize(
    ("rotation", "shown", "size"),
    [
        (0, ["red", "green", "blue", "white"], (64, 48)),
        (90, ["green", "white", "red", "blue"], (48, 64)),
        (180, ["white", "blue", "green", "red"], (64, 48)),
        (-90, ["blue", "red", "white", "green"], (48, 64)),
    ],
)
def test_films_of_rotated_phones_are_upright(
    tmp_path: Path, rotation: int, shown: list[str], size: tuple[int, int]
) -> None:
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[:24, :32, 0] = rgb[:24, 32:, 1] = rgb[24:, :32, 2] = 255
    rgb[24:, 32:] = 255
    picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
    path = write_film(tmp_path / "phone.mp4", [picture] * 3, "libx264", rotation)
    with FileSource(path) as source:
        frames = list(source)
        assert (source.info.width, source.info.height) == size
        assert (source.info.source_width, source.info.source_height) == size
        assert {(frame.width, frame.height) for frame in frames} == {size}
        assert corners(rgb_from_frame(frames[0])) == shown
        assert [frame.pts * frame.time_base for frame in frames] == times_of(path)


def test_wide_pixels_of_a_turned_film_are_tall(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as film:
        stream = add_picture(film)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)
        film.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        film.mux(stream.encode(None))
    with FileSource(path) as source:
        assert source.info.sample_aspect_ratio == Fraction(3, 4)


@pytest.mark.parametrize(
    ("matrix", "code"), [(BT709, 1), (SMPTE170M, 6), (BT2020_NCL, 9), (BT709, 7)]
)
@pytest.mark.parametrize("reach", [LIMITED, FULL])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le"])
def test_a_colour_chart_keeps_its_colours(
    tmp_path: Path, pix_fmt: str, matrix: int, code: int, reach: int
) -> None:
    chart = chart_rgb()
    names = {1: "ITU709", 6: "ITU601", 9: "BT2020", 7: "SMPTE240M"}
    picture = av.VideoFrame.from_ndarray(chart, "rgb24").reformat(
        format=pix_fmt,
        dst_colorspace=getattr(av.video.reformatter.Colorspace, names[code]),
        src_color_range=FULL,
        dst_color_range=reach,
    )
    picture.colorspace, picture.color_range = code, reach
    path = write_film(tmp_path / "chart.mkv", [picture])
    with FileSource(path) as source:
        (frame,) = source
        assert frame.color.matrix == matrix
        assert frame.color.range == (LIMITED if code == 7 else reach)
        back = rgb_from_frame(frame).astype(int)
    middle = np.s_[4::16, 4::16]
    # swscale makes the chart and reads it: each way rounds, and the way from code 7 to 1 once more
    assert np.abs(back[middle] - chart[middle]).max() <= (5 if code == 7 else 3)


@pytest.mark.parametrize("matrix", [BT709, SMPTE170M])
@pytest.mark.parametrize("reach", [LIMITED, FULL])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_a_colour_chart_survives_the_identity_style(
    tmp_path: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    pix_fmt: str,
    matrix: int,
    reach: int,
) -> None:
    """From file to file; the generator works in BT.709 limited. Both conversions are ours."""
    monkeypatch.setattr(Grain, "lay_under", lambda self, frame: frame)  # no grain
    chart = chart_rgb()
    to_yuv, offset = ColorSpace(matrix, reach).yuv_from_rgb()
    yuv = np.round((chart / 255 @ to_yuv.T + offset) * 255).astype(np.uint8)
    step = 2 if pix_fmt == "yuv420p" else 1
    planes = (yuv[..., 0], yuv[::step, ::step, 1], yuv[::step, ::step, 2])
    picture = av.VideoFrame(chart.shape[1], chart.shape[0], pix_fmt)
    for plane, values in zip(picture.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[:, : values.shape[1]] = values
    picture.colorspace, picture.color_range = matrix, reach
    out = tmp_path / "out.mkv"
    film = write_film(tmp_path / "film.mkv", [picture])
    paint_film(film, out, identity_style, encoding=Encoding("ffv1"), precision="f32")
    with av.open(str(out)) as painted:
        back = next(painted.decode(video=0))
    assert (back.colorspace, back.color_range) == (matrix, reach)
    i420 = back.to_ndarray(format="yuv420p" if reach == LIMITED else "yuvj420p")
    height, width = chart.shape[:2]
    chroma = i420[height:].reshape(2, height // 2, width // 2).repeat(2, 1).repeat(2, 2)
    painted_yuv = np.stack((i420[:height], *chroma), -1) / 255
    rgb = (painted_yuv - offset) @ np.linalg.inv(to_yuv).T * 255
    middle = np.s_[4::16, 4::16]
    assert np.abs(rgb[middle] - chart[middle]).max() <= 2


def chart_rgb() -> NDArray[np.uint8]:
    """Flat squares of 16 pixels, of colours all over the cube."""
    levels = np.array([30, 120, 220], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)[:24]
    return colours.reshape(4, 6, 3).repeat(16, 0).repeat(16, 1)


def test_pictures_are_freed_without_a_garbage_collection(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", pts=range(60), sound=None)
    gc.collect()
    gc.disable()
    try:
        with FileSource(film) as source:
            for frame in source:
                frame.release()
            kept = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert kept < 10


def test_interlaced_films_become_progressive_and_keep_every_frame(tmp_path: Path) -> None:
    pictures = []
    for i in range(12):
        i420 = np.full((72, 64), 128, np.uint8)
        for field in range(2):  # a bar that moves from field to field
            i420[field:48:2, 4 * i + 2 * field : 4 * i + 2 * field + 8] = 235
        pictures.append(av.VideoFrame.from_ndarray(i420, "yuv420p"))
    flags = {"flags": "+ilme+ildct", "x264-params": "tff=1", "crf": "5"}
    path = write_film(tmp_path / "tv.mkv", pictures, "libx264", flags=flags)
    with FileSource(path) as source:
        frames = [(frame.pts * frame.time_base, frame.luma[0, 0].astype(int)) for frame in source]
        assert "interlaced pictures are made progressive" in source.notes
    assert [at for at, _ in frames] == times_of(path)
    comb = [np.abs(luma[1:-1] * 2 - luma[:-2] - luma[2:]).mean() for _, luma in frames[1:-1]]
    with FileSource(make_film(tmp_path / "plain.mkv")) as plain:
        assert plain.notes == []
    assert max(comb) < 8  # 50 or so where fields are woven together


def test_high_dynamic_range_is_tone_mapped(tmp_path: Path) -> None:
    nits = np.linspace(0, 1000, 256)
    code = np.round(64 + 876 * pq(nits)).astype(np.uint16)
    picture = av.VideoFrame(256, 64, "yuv420p10le")
    planes = (np.tile(code, (64, 1)), *2 * [np.full((32, 128), 512, np.uint16)])
    for plane, values in zip(picture.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[:, : values.shape[1] * 2] = values.view(np.uint8)
    picture.colorspace, picture.color_range = 9, 1
    picture.color_primaries, picture.color_trc = 9, 16
    path = write_film(tmp_path / "hdr.mkv", [picture], "libx265")
    with FileSource(path) as source:
        (frame,) = source
        assert any("PQ" in note and "tone-mapped" in note for note in source.notes)
        assert source.info.source_color == "BT.2020 limited, high dynamic range (PQ)"
        assert str(source.info.color) == "BT.709 limited"
        assert (frame.color.matrix, frame.color.transfer, frame.color.primaries) == (1, 1, 1)
    luma = frame.luma[0, 0, 32].astype(int)
    assert luma[0] <= 20
    assert 110 < luma[int(WHITE_NITS / 1000 * 255)] < 200
    assert (np.diff(luma[::16]) > 0).all()  # highlights keep their differences
    assert np.abs(frame.chroma.astype(int) - 128).max() <= 3


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084, inverse: luminance to code value in 0..1."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (nits / 10_000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


@pytest.mark.parametrize(
    ("pix_fmt", "notes"),
    [
        ("yuv420p", []),
        ("yuv422p", ["pictures are converted from yuv422p to 8-bit 4:2:0"]),
        ("gray", ["pictures are converted from gray to 8-bit 4:2:0"]),
        ("yuva420p", ["pictures are converted from yuva420p to 8-bit 4:2:0"]),
    ],
)
def test_conversions_are_noted(tmp_path: Path, pix_fmt: str, notes: list[str]) -> None:
    picture = av.VideoFrame.from_ndarray(scene_rgb(128, 96), "rgb24").reformat(format=pix_fmt)
    with FileSource(write_film(tmp_path / "f.mkv", [picture])) as source:
        assert source.notes == notes


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuva420p", "yuva444p10le", "gbrap", "gbrap12be", "rgba", "bgra", "argb", "ya8", "rgba64le"],
)
@pytest.mark.parametrize("alpha", [255, 120])
def test_transparency_is_noted_where_any_pixel_is_not_opaque(pix_fmt: str, alpha: int) -> None:
    pixels = np.full((48, 66, 4), 255, np.uint8)  # rows are padded
    # In one thread, because swscale makes some rows half transparent where its slices meet
    opaque = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=pix_fmt, threads=1)
    pixels[40, 65, 3] = alpha
    second = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=pix_fmt, threads=1)
    converter = Converter(opaque, None, None)
    assert not any("transparency" in note for note in converter.notes)
    for pts, picture in enumerate((opaque, second)):
        picture.pts, picture.time_base = pts, Fraction(1, 25)
    assert len(list(converter.convert(iter((opaque, second)), Fraction(1, 25)))) == 2
    assert ("transparency is not kept" in converter.notes) == (alpha < 255)


@pytest.mark.parametrize("alpha", [255, 0])
@pytest.mark.parametrize("name", ["f.gif", "f.webp", "f_%d.png"])
def test_animations_have_transparency_only_where_it_is_used(
    tmp_path: Path, name: str, alpha: int
) -> None:
    pictures = []
    for i in range(3):
        pixels = np.dstack([scene_rgb(64, 48, i / 3), np.full((48, 64), 255, np.uint8)])
        pixels[:8, :8, 3] = alpha
        pictures.append(Image.fromarray(pixels))
    if name.endswith(".png"):
        for i, picture in enumerate(pictures):
            picture.quantize().save(tmp_path / f"f_{i}.png")
    else:
        pictures[0].save(
            tmp_path / name, append_images=pictures[1:], save_all=True, lossless=True, disposal=2
        )
    with FileSource(tmp_path / name) as source:
        assert ("transparency is not kept" in source.notes) == (alpha < 255)


@pytest.mark.parametrize(("primaries", "transfer"), [(2, 164), (90, 2), (2, 19)])
def test_colour_tags_that_mean_nothing_are_no_error(
    tmp_path: Path, primaries: int, transfer: int
) -> None:
    whole = write_film(
        tmp_path / "film.mov",
        [av.VideoFrame.from_ndarray(scene_rgb(64, 48), "rgb24").reformat(format="yuv422p10le")] * 2,
        codec="prores_ks",
    )
    data = bytearray(whole.read_bytes())
    header = data.index(b"icpf") + 4  # of the first picture
    data[header + 14 : header + 16] = bytes((primaries, transfer))
    whole.write_bytes(data)
    with FileSource(whole) as source:
        assert len([frame.release() for frame in source]) == 2


def test_odd_sides_are_cut_with_a_note(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(scene_rgb(65, 49), "rgb24").reformat(format="yuv444p")
    with FileSource(write_film(tmp_path / "odd.mkv", [picture])) as source:
        (frame,) = source
        assert (frame.width, frame.height) == (64, 48)
        assert "sides must be even: 65x49 is cut to 64x48" in source.notes
        back = rgb_from_frame(frame).astype(int)
    assert np.abs(back - scene_rgb(65, 49)[:48, :64]).mean() < 5  # cut, not squeezed


def joined(folder: Path, parts: list[tuple[NDArray[np.uint8], Fraction, int, int]]) -> Path:
    """A film of parts of ten frames: RGB picture, pixel shape, matrix and range of each."""
    path = folder / "joined.ts"
    content = b""
    for i, (rgb, ratio, matrix, reach) in enumerate(parts):
        part = folder / f"{i}.ts"
        picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709 if matrix == BT709 else Colorspace.ITU601,
            dst_color_range=reach,
        )
        with av.open(str(part), "w") as film:
            size = picture.width, picture.height
            stream = add_picture(film, size=size, options={"crf": "1"})
            context = stream.codec_context
            context.sample_aspect_ratio = ratio
            context.colorspace, context.color_range = matrix, reach
            for k in range(10):
                picture.pts, picture.time_base = 10 * i + k, Fraction(1, 25)
                film.mux(stream.encode(picture))
            film.mux(stream.encode(None))
        content += part.read_bytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("size", "ratio", "inner"),
    [
        ((96, 80), 1, (58, 48)),  # another size and shape
        ((128, 96), 1, (64, 48)),  # another size
        ((48, 64), 1, (36, 48)),  # a camera that was turned
        ((64, 48), Fraction(4, 3), (64, 36)),  # wider pixels
        ((64, 64), Fraction(4, 3), (64, 48)),  # the same shape in other pixels
    ],
)
def test_pictures_of_another_shape_are_fitted_with_bars(
    tmp_path: Path, size: tuple[int, int], ratio: Fraction, inner: tuple[int, int]
) -> None:
    white = np.full((48, 64, 3), 255, np.uint8)
    other = np.full((size[1], size[0], 3), 255, np.uint8)
    one = Fraction(1)
    parts = [(white, one, BT709, LIMITED), (other, Fraction(ratio), BT709, LIMITED)]
    with FileSource(joined(tmp_path, parts)) as source:
        lumas = [frame.luma[0, 0].copy() for frame in source]
        notes = source.notes
    assert notes == [
        "pictures change their size or shape half-way; all are fitted into 64x48, with bars"
    ]
    expected = np.full((48, 64), 16)
    x, y = (64 - inner[0]) // 4 * 2, (48 - inner[1]) // 4 * 2  # even, as chroma needs it
    expected[y : y + inner[1], x : x + inner[0]] = 235
    assert len(lumas) == 20
    for luma in lumas[:10]:
        assert np.abs(luma.astype(int) - 235).max() <= 2
    for luma in lumas[10:]:
        assert np.abs(luma.astype(int) - expected).max() <= 8


@pytest.mark.parametrize("reach", [LIMITED, FULL])
def test_each_picture_is_read_with_its_own_colour_tags(tmp_path: Path, reach: int) -> None:
    chart = chart_rgb()
    one = Fraction(1)
    parts = [(chart, one, BT709, LIMITED), (chart, one, SMPTE170M, reach)]
    with FileSource(joined(tmp_path, parts)) as source:
        frames = [(frame.color, rgb_from_frame(frame).astype(int)) for frame in source]
        notes = source.notes
    assert len(frames) == 20
    assert {color for color, _ in frames} == {ColorSpace(BT709, LIMITED)}
    middle = np.s_[4::16, 4::16]
    for _, rgb in frames:
        assert np.abs(rgb[middle] - chart[middle]).max() <= 6
    assert notes == ["pictures change their colour space half-way; all are converted to one"]


def test_any_format_is_scaled_to_the_size_asked_for(tmp_path: Path) -> None:
    picture = av.VideoFrame.from_ndarray(scene_rgb(128, 96), "rgb24")
    path = write_film(tmp_path / "f.mkv", [picture.reformat(format="yuv444p")])
    with FileSource(path, size=Size.parse("64x48")) as source:
        assert [(frame.width, frame.height) for frame in source] == [(64, 48)]
