from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import painter_of, run_cli, scene_rgb
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from realtime_style.errors import MediaError
from realtime_style.jobs.picture import paint_picture
from realtime_style.media.still import read_picture


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_every_format_is_painted(tmp_path: Path, identity_style: Path, suffix: str) -> None:
    rgb = scene_rgb(131, 97)
    source, out = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    Image.fromarray(rgb).save(source)
    assert paint_picture(source, out, painter_of(identity_style)) == []
    with Image.open(out) as painted:
        assert painted.size == (131, 97)
        assert np.abs(np.asarray(painted.convert("RGB"), int) - rgb).mean() < 6
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}


def test_what_belongs_to_a_picture_stays_with_it(tmp_path: Path, identity_style: Path) -> None:
    rgb = scene_rgb(128, 96)
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Somebody"
    exif[ExifTags.Base.Orientation] = 6  # shown after a quarter turn clockwise
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(rgb).save(
        tmp_path / "in.jpg", exif=exif, icc_profile=icc, quality=95, dpi=(300, 300)
    )
    paint_picture(tmp_path / "in.jpg", tmp_path / "out.jpg", painter_of(identity_style))
    with Image.open(tmp_path / "out.jpg") as painted:
        assert painted.size == (96, 128)
        assert painted.info["icc_profile"] == icc
        assert painted.info["dpi"] == (300, 300)
        assert painted.getexif()[ExifTags.Base.Artist] == "Somebody"
        assert painted.getexif().get(ExifTags.Base.Orientation, 1) == 1
        upright = np.rot90(rgb, -1).astype(int)
        assert np.abs(np.asarray(painted, int) - upright).mean() < 6


XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" '
    b'tiff:Make="Canon"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def save_with_xmp(path: Path, xmp: bytes) -> None:
    image = Image.fromarray(scene_rgb(64, 48))
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Somebody"
    if path.suffix == ".png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        image.save(path, pnginfo=text, exif=exif)
    elif path.suffix == ".tif":
        exif[ExifTags.Base.XMLPacket] = xmp
        image.save(path, exif=exif)
    else:
        image.save(path, xmp=xmp, exif=exif)


@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("out", ["jpg", "png", "webp", "tif", "avif", "bmp"])
def test_what_programs_say_of_a_picture_is_kept_or_said_to_be_lost(
    tmp_path: Path, identity_style: Path, source: str, out: str
) -> None:
    path, painted = tmp_path / f"in.{source}", tmp_path / f"out.{out}"
    save_with_xmp(path, XMP)
    notes = paint_picture(path, painted, painter_of(identity_style))
    with Image.open(painted) as opened:
        found, artist = opened.info.get("xmp"), opened.getexif().get(ExifTags.Base.Artist)
    if out == "bmp":
        assert "metadata of programs (XMP) dropped: .bmp cannot hold it" in notes
        return
    assert notes == []
    assert found == XMP.replace(b'Orientation="6"', b'Orientation="1"')  # it is upright now
    assert artist == "Somebody"


def test_too_much_of_it_for_a_jpeg_is_said(tmp_path: Path, identity_style: Path) -> None:
    path, painted = tmp_path / "in.png", tmp_path / "out.jpg"
    save_with_xmp(path, XMP + b" " * 70_000)
    notes = paint_picture(path, painted, painter_of(identity_style))
    assert notes == ["metadata of programs (XMP) dropped: .jpg holds 64 KB"]


@pytest.mark.parametrize("source", ["jpg", "tif"])
@pytest.mark.parametrize("out", ["jpg", "png", "webp", "tif", "bmp"])
def test_what_the_file_says_of_the_picture_is_kept_or_said_to_be_lost(
    tmp_path: Path, identity_style: Path, source: str, out: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Canon"
    if source == "jpg":
        exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    path, painted = tmp_path / f"in.{source}", tmp_path / f"out.{out}"
    Image.fromarray(scene_rgb(64, 48)).save(path, exif=exif)
    notes = paint_picture(path, painted, painter_of(identity_style))
    with Image.open(painted) as opened:
        found = opened.getexif()
        has_make, has_place = ExifTags.Base.Make in found, bool(found.get_ifd(ExifTags.IFD.GPSInfo))
    lost = not has_make or (source == "jpg" and not has_place)
    assert has_make == (out != "bmp")
    assert lost == any("EXIF" in note for note in notes)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_tiffs_are_read_as_they_are(tmp_path: Path, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(scene_rgb(64, 48)).convert(mode)
    stored.save(tmp_path / "in.tif", exif=exif)
    turns = {
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_270,
        8: Image.Transpose.ROTATE_90,
    }
    upright = stored.transpose(turns[orientation]) if orientation in turns else stored
    expected = np.asarray(upright.convert("RGB"))
    assert np.array_equal(read_picture(tmp_path / "in.tif").rgb, expected)


def test_a_profile_of_greys_does_not_go_into_a_picture_of_colours(
    tmp_path: Path, identity_style: Path
) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    grey = Image.new("L", (64, 48), 90)
    grey.save(tmp_path / "in.png", icc_profile=bytes(profile))
    paint_picture(tmp_path / "in.png", tmp_path / "out.png", painter_of(identity_style))
    with Image.open(tmp_path / "out.png") as painted:
        assert "icc_profile" not in painted.info


def test_deep_colours_are_said_to_become_8_bits(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    deep = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40_000, np.uint16), "rgb48le")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "rgb48be"
    encoder.time_base = Fraction(1, 25)
    path.write_bytes(bytes(encoder.encode(deep.reformat(format="rgb48be"))[0]))
    assert read_picture(path).notes == ["16-bit values are converted to 8 bits"]


@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp"])
def test_damaged_pictures_are_read_or_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"in.{ending}"
    Image.fromarray(scene_rgb(64, 48)).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, len(data), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        try:
            assert read_picture(path).rgb.dtype == np.uint8
        except MediaError:
            refused += 1
    assert refused > 0


def test_transparency_is_kept_or_said_to_be_lost(tmp_path: Path, identity_style: Path) -> None:
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    rgba = np.dstack((scene_rgb(64, 48), alpha))
    Image.fromarray(rgba).save(tmp_path / "in.png")
    stylizer = painter_of(identity_style)
    assert paint_picture(tmp_path / "in.png", tmp_path / "out.png", stylizer) == []
    with Image.open(tmp_path / "out.png") as painted:
        assert np.array_equal(np.asarray(painted)[..., 3], alpha)
    (note,) = paint_picture(tmp_path / "in.png", tmp_path / "out.jpg", stylizer)
    assert "the background is white" in note
    with Image.open(tmp_path / "out.jpg") as painted:
        assert np.asarray(painted)[:, 0].min() > 230


def test_deep_and_printed_pictures_are_converted_and_it_is_said(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (48, 1))
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = read_picture(tmp_path / "deep.png")
    assert picture.notes == ["16-bit values are converted to 8 bits"]
    assert np.abs(picture.rgb[0, :, 0].astype(float) - np.linspace(0, 255, 64)).max() <= 1
    Image.new("CMYK", (64, 48), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    picture = read_picture(tmp_path / "print.jpg")
    assert picture.notes == ["CMYK is converted to RGB"]
    assert picture.rgb[0, 0, 0] > 180 > 90 > picture.rgb[0, 0, 1]
    Image.new("L", (64, 48), 90).save(tmp_path / "grey.png")
    assert read_picture(tmp_path / "grey.png").rgb.max() == 90


def test_rubbish_and_unfit_places_are_refused(tmp_path: Path, identity_style: Path) -> None:
    stylizer = painter_of(identity_style)
    Image.fromarray(scene_rgb(64, 48)).save(tmp_path / "in.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "in.png").read_bytes()[:200])
    (tmp_path / "taken.png").write_bytes(b"precious")
    for source, out, message in (
        ("none.png", "o.png", "there is no picture"),
        ("cut.jpg", "o.png", "cannot be read as a picture"),
        ("tiny.png", "o.png", "smallest picture"),
        ("in.png", "o.xyz", "is not a picture format"),
        ("in.png", "no/o.png", "there is no folder"),
        ("in.png", "taken.png", "exists already"),
        ("in.png", "in.png", "over itself"),
    ):
        with pytest.raises(MediaError, match=message):
            paint_picture(tmp_path / source, tmp_path / out, stylizer)
    assert (tmp_path / "taken.png").read_bytes() == b"precious"
    assert not list(tmp_path.glob("o.*"))


def test_the_command_paints_one_many_or_a_folder(tmp_path: Path, identity_style: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(scene_rgb(64, 48, float(i))).save(folder / f"{i}.png")
    (folder / "bad.jpg").write_bytes(b"rubbish")
    style = ["-s", identity_style]
    done = run_cli("image", folder / "0.png", tmp_path / "one.webp", *style)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.webp").exists()
    done = run_cli("image", folder, tmp_path / "painted", *style)
    assert done.returncode == 1
    assert "bad.jpg cannot be read as a picture" in done.stderr
    assert "3 of 4 painted" in done.stderr
    assert sorted(path.name for path in (tmp_path / "painted").iterdir()) == [
        "0.png", "1.png", "2.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        (".png", "only the first of its 3 pictures is painted; as a film, all are"),
        (".avif", "only the first of its 3 pictures is painted; as a film, all are"),
        (".tif", "only the first of its 3 pictures is painted"),  # pages
    ],
)
def test_the_other_pictures_of_a_file_are_told_of(tmp_path: Path, ending: str, said: str) -> None:
    pictures = [Image.new("RGB", (64, 48), (40 * i, 90, 30)) for i in range(3)]
    path = tmp_path / f"a{ending}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    assert read_picture(path).notes == [said]


@pytest.mark.parametrize("name", ["in.eps", "in.jpg", "in.pdf"])
def test_no_format_is_opened_that_runs_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import subprocess

    def refuse(*arguments: object, **named: object) -> None:
        pytest.fail("it runs a program")

    for function in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, function, refuse)
    path = tmp_path / name
    path.write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\n0 setgray\n"
        "0 0 64 48 rectfill\nshowpage\n%%EOF\n"
    )
    with pytest.raises(MediaError, match="not one of JPEG, PNG, WEBP, AVIF, TIFF, BMP, GIF"):
        read_picture(path)


@pytest.mark.parametrize(
    "ending", ["jpg", "jfif", "jpe", "png", "webp", "avif", "tif", "bmp", "gif"]
)
def test_every_listed_format_is_opened(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"in.{ending}"
    Image.fromarray(scene_rgb(64, 48)).save(path)
    difference = np.abs(read_picture(path).rgb.astype(int) - scene_rgb(64, 48)).mean()
    assert difference < 12


def test_lab_is_converted_to_the_colours_that_it_means(tmp_path: Path) -> None:
    colours = np.array([[200, 60, 40], [40, 180, 70], [50, 70, 200], [128, 128, 128]], np.uint8)
    rgb = np.repeat(np.repeat(colours[None], 48, 0), 16, 1)
    lab = ImageCms.profileToProfile(
        Image.fromarray(rgb),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab
    lab.save(tmp_path / "lab.tif")
    picture = read_picture(tmp_path / "lab.tif")
    assert np.abs(picture.rgb.astype(int) - rgb).max() <= 10  # 8 bits of LAB are coarse
    assert picture.notes == ["LAB is converted to RGB"]


def test_floating_point_values_are_scaled_and_those_that_are_none_are_black(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (48, 1))
    Image.fromarray(ramp).save(tmp_path / "float.tif")
    picture = read_picture(tmp_path / "float.tif")
    assert np.abs(picture.rgb[0, :, 0].astype(float) - np.linspace(0, 255, 64)).max() <= 1
    assert picture.notes == ["floating-point values are converted to 8 bits"]
    ramp[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(ramp).save(tmp_path / "float.tif")
    picture = read_picture(tmp_path / "float.tif")
    assert picture.rgb[0, :3].max() == 0
    assert np.abs(picture.rgb[1, :, 0].astype(float) - np.linspace(0, 255, 64)).max() <= 1
    assert picture.notes[-1] == "pixels without a finite value are painted as black"


@pytest.mark.parametrize("size", [(1, 1), (1, 500)])
def test_pictures_that_are_too_small_are_refused_in_one_line(
    tmp_path: Path, identity_style: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "in.png")
    done = run_cli("image", tmp_path / "in.png", tmp_path / "out.png", "-s", identity_style)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"is {size[0]}x{size[1]}; the smallest picture" in done.stderr


def exif_with(entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """EXIF of entries as they are given: tag, type, count, and four bytes of a value."""
    table = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize(
    "entry",
    [
        (ExifTags.Base.Orientation, 2, 4, b"six\0"),  # text
        (ExifTags.Base.Orientation, 5, 1, b"\xff\xff\0\0"),  # a fraction beyond the end
        (ExifTags.Base.Orientation, 3, 2, b"\3\0\3\0"),  # two numbers
        (ExifTags.Base.XResolution, 2, 4, b"abc\0"),
        (ExifTags.Base.DateTime, 4, 1, b"\1\2\3\4"),  # a number
        (ExifTags.IFD.Exif, 2, 4, b"abc\0"),  # text in the place of a table
        (ExifTags.IFD.GPSInfo, 4, 1, b"\xff\xff\xff\x7f"),  # a table beyond the end
        (ExifTags.Base.Make, 99, 1, b"\0\0\0\0"),  # of no type
    ],
)
@pytest.mark.parametrize("out", ["out.jpg", "out.png", "out.tif", "out.webp"])
def test_photos_with_damaged_exif_are_painted(
    tmp_path: Path, identity_style: Path, entry: tuple[int, int, int, bytes], out: str
) -> None:
    exif = exif_with([(ExifTags.Base.Make, 2, 4, b"Cam\0"), entry])
    Image.fromarray(scene_rgb(64, 48)).save(tmp_path / "in.jpg", exif=exif)
    done = run_cli("image", tmp_path / "in.jpg", tmp_path / out, "-s", identity_style)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / out) as painted:
        is_kept = painted.getexif().get(ExifTags.Base.Make) == "Cam"
        assert painted.size == (64, 48)
    assert is_kept or "EXIF" in done.stderr


def test_exif_that_is_too_long_for_a_jpeg_is_dropped_with_a_note(
    tmp_path: Path, identity_style: Path
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 70_000
    Image.fromarray(scene_rgb(64, 48)).save(tmp_path / "in.webp", exif=exif)
    painter = painter_of(identity_style)
    notes = paint_picture(tmp_path / "in.webp", tmp_path / "out.jpg", painter)
    assert notes == ["metadata (EXIF) of 68 KB dropped: .jpg holds 64 KB"]
    assert paint_picture(tmp_path / "in.webp", tmp_path / "out.png", painter) == []
    with Image.open(tmp_path / "out.png") as painted:
        assert len(painted.getexif()[ExifTags.Base.ImageDescription]) == 70_000
