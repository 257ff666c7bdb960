"""Decoded pictures to frames: upright, progressive, 8-bit YUV 4:2:0, one size and colour space."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace

from realtime_style.color import BT709, BT2020_NCL, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.frame import Frame, FramePool, Size

_HDR = {16: "PQ", 18: "HLG"}  # transfer characteristics of H.273: high dynamic range
SWSCALE_MATRIX = {BT709: Colorspace.ITU709, BT2020_NCL: Colorspace.BT2020}  # else BT.601
_HD_LINES = 720  # untagged films are BT.709 from this height on, BT.601 below
_MATRICES = {1: BT709, 5: SMPTE170M, 6: SMPTE170M, 9: BT2020_NCL}  # H.273 code: a frame's
_OTHER_MATRICES = {4: "fcc", 7: "smpte240m", 8: "ycgco", 10: "bt2020c", 14: "ictcp"}
_UNSPECIFIED = 2
_PRIMARIES = (1, *range(4, 13), 22)  # those of H.273
_TRANSFERS = (1, *range(4, 19))
_WITH_ALPHA_LAST = ("rgba", "bgra")  # four bytes for each pixel
_WITH_ALPHA_PLANE = ("yuva", "gbrap")  # how their names begin
_EXACT: tuple[str, ...] = ("yuv420p", "yuvj420p")
_EXACT_ON_GPU = ("nv12",)
_UPRIGHT = {  # signs of the display matrix (a, b, c, d): filters that turn the picture that way
    (1, 0, 0, 1): (),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}

_TURNED = {  # by degrees, counterclockwise
    90: (("transpose", "cclock"),),
    180: (("hflip", ""), ("vflip", "")),
    270: (("transpose", "clock"),),
}
_BESIDE_PICTURES = {  # FFmpeg's side data: what it is
    "A53_CC": "text in the picture (closed captions)",
    "SPHERICAL": "how the picture is projected (360°)",
    "STEREO3D": "how the picture is split for two eyes (3D)",
    "S12M_TIMECODE": "timecode in the picture",
    "ICC_PROFILE": "a colour profile",
    "AFD": "which part of the picture is active",
}
_OF_STREAMS = {"STEREO3D": "stereo 3d"}  # FFmpeg's names, where containers have it as well
_NOT_MISSED = (  # applied, noted as a conversion, or about how the pictures were encoded
    "DISPLAYMATRIX", "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS",
    "DYNAMIC_HDR_VIVID", "AMBIENT_VIEWING_ENVIRONMENT", "DOVI_RPU_BUFFER", "DOVI_METADATA",
    "GOP_TIMECODE", "SEI_UNREGISTERED", "FILM_GRAIN_PARAMS", "VIDEO_ENC_PARAMS", "VIDEO_HINT",
    "MOTION_VECTORS", "PANSCAN",
)  # fmt: skip
_TRANSPARENT = "transparency is not kept"
_SAME_SHAPE = 0.015  # a shape that differs by less is rounding, and needs no bars


@dataclass(frozen=True, slots=True)
class _Kind:
    """What pictures must have in common to be converted in the same way.

    Attributes:
        pix_fmt: FFmpeg's name of the pixel format.
        width, height: as stored, in pixels.
        turn: the filters that turn it upright.
        tags: matrix, range, primaries and transfer, as H.273 codes.
    """

    pix_fmt: str
    width: int
    height: int
    turn: tuple[tuple[str, str], ...]
    tags: tuple[int, int, int, int]

    @property
    def is_turned(self) -> bool:
        """Whether its sides change places."""
        return any(name == "transpose" for name, _ in self.turn)

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels."""
        return (self.height, self.width) if self.is_turned else (self.width, self.height)

    @property
    def is_hdr(self) -> bool:
        """Whether it has a high dynamic range."""
        return self.tags[3] in _HDR

    @property
    def color(self) -> tuple[int, int]:
        """The matrix as a frame has it, or as it is if no frame has it, and the range."""
        return _MATRICES.get(self.tags[0], self.tags[0]), self.tags[1]


class Converter:
    """Converts decoded pictures to frames.

    Pictures that have a frame's format are copied plane by plane; all others go through FFmpeg's
    filters. Pictures may change half-way: those of another shape are fitted, with black bars, and
    each is read with its own colour tags.

    Attributes:
        width, height: of the frames, in pixels.
        color: the frames' colour space.
        sample_aspect_ratio: a frame pixel's width over its height; None if unknown.
        source_width, source_height: of the upright picture before scaling, in pixels.
        source_color: the colours of the first picture in words, if frames have others; else "".
        notes: what is changed apart from the size, as sentences.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        size: Size | None,
        sample_aspect_ratio: Fraction | None,
        decoder: av.VideoCodecContext | None = None,
        *,
        of_the_stream: Set[str] = frozenset(),
    ) -> None:
        """Reads the first picture's size and colours, which become those of all frames.

        Args:
            first: a picture of the film.
            size: of the frames; None keeps the film's (odd sides lose one pixel).
            sample_aspect_ratio: a pixel's width over its height; None if unknown.
            decoder: what decodes the pictures, in order to notice a change of that ratio; None if
                it cannot change.
            of_the_stream: FFmpeg's names of side data that the whole stream has: a comparison of
                the films tells what becomes of it.
        """
        self.notes: list[str] = []
        self._decoder, self._of_the_stream = decoder, of_the_stream
        self._first_ratio = decoder.sample_aspect_ratio if decoder else None
        self._ratio_changes = False
        self.color, self._first_height = _color_of(first), first.height
        self._first = self._kind_of(first)
        self.source_color = _color_in_words(first, self._first)
        self.sample_aspect_ratio = sample_aspect_ratio
        self.source_width, self.source_height = self._first.upright
        if self._first.is_turned and sample_aspect_ratio:
            self.sample_aspect_ratio = 1 / sample_aspect_ratio
        whole = self.source_width & ~1, self.source_height & ~1
        if whole != (self.source_width, self.source_height):
            self.notes.append(
                f"sides must be even: {self.source_width}x{self.source_height} is cut to "
                f"{whole[0]}x{whole[1]}"
            )
        self.width, self.height = size.of(*whole) if size else whole
        self._notice_transparency(first)
        self._note_format(first, self._first)
        self._pool = FramePool()
        self._graph: Graph | None = None
        self._graph_of: tuple[object, ...] = ()
        self._deinterlace = False

    def convert(self, pictures: Iterator[av.VideoFrame], time_base: Fraction) -> Iterator[Frame]:
        """One frame for each picture, with its time in units of `time_base` (seconds)."""
        for picture in pictures:
            if picture.interlaced_frame and not self._deinterlace:
                self.notes.append("interlaced pictures are made progressive")
                yield from self._flushed(time_base)
                self._deinterlace = True
            self._notice_transparency(picture)
            kind = self._kind_of(picture)
            if kind != self._first:
                self._note_change(picture, kind)
            self._notice_ratio()
            if self._is_exact(kind):
                yield self._copied(picture, time_base)
                continue
            graph_of = (kind, self._ratio_changes)
            if self._graph is None or graph_of != self._graph_of:
                yield from self._flushed(time_base)
                self._graph, self._graph_of = self._make_graph(picture, kind), graph_of
            picture.colorspace, picture.color_range = kind.tags[:2]
            picture.color_primaries, picture.color_trc = kind.tags[2:]
            self._graph.push(picture)
            yield from self._pulled(time_base)
        yield from self._flushed(time_base)

    def changes(self, first: av.VideoFrame) -> list[str]:
        """How a picture is changed, apart from being copied, as sentences."""
        turned = ["it is turned upright"] if self._first.turn else []
        interlaced = ["it is interlaced"] if first.interlaced_frame else []
        scaled = []
        if (self.width, self.height) != (self.source_width, self.source_height):
            scaled = ["it is painted at another size"]
        return [*turned, *interlaced, *self.notes, *scaled]

    def _kind_of(self, picture: av.VideoFrame) -> _Kind:
        matrix, color_range, primaries, transfer = _tags_of(picture)
        if not picture.format.is_rgb and matrix not in (*_MATRICES, *_OTHER_MATRICES):
            # untagged, or with an invalid tag
            matrix = self.color.matrix
            if picture.height != self._first_height:
                matrix = _usual_matrix(picture)
        return _Kind(
            picture.format.name,
            picture.width,
            picture.height,
            self._filters_upright(picture),
            (matrix, color_range, primaries, transfer),
        )

    def _notice_ratio(self) -> None:
        """Notices that pixels have changed their shape: not later than their first picture."""
        if self._ratio_changes or self._decoder is None:
            return
        if (self._decoder.sample_aspect_ratio or 1) != (self._first_ratio or 1):
            self._ratio_changes = True
            self._note_once(self._bars)

    def _notice_transparency(self, picture: av.VideoFrame) -> None:
        """Notes transparent pixels; those of the first picture at once."""
        if _TRANSPARENT not in self.notes and is_transparent(picture):
            self.notes.append(_TRANSPARENT)

    def _note_change(self, picture: av.VideoFrame, kind: _Kind) -> None:
        first = self._first
        if kind.upright != first.upright:
            self._note_once(self._bars)
        if kind.color != first.color and not kind.is_hdr and not picture.format.is_rgb:
            self._note_once("pictures change their colour space half-way; all are converted to one")
        self._note_format(picture, kind)

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    @property
    def _bars(self) -> str:
        return (
            "pictures change their size or shape half-way; all are fitted into "
            f"{self.width}x{self.height}, with bars"
        )

    def _is_exact(self, kind: _Kind) -> bool:
        width, height = kind.upright
        return (
            kind.pix_fmt in _EXACT
            and not kind.turn
            and not self._deinterlace
            and not self._ratio_changes
            and not kind.is_hdr
            and kind.color == (self.color.matrix, self.color.range)
            and kind.upright == self._first.upright
            and (width & ~1, height & ~1) == (self.width, self.height)
        )

    def _flushed(self, time_base: Fraction) -> Iterator[Frame]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled(time_base)
            self._graph = None

    def _pulled(self, time_base: Fraction) -> Iterator[Frame]:
        assert self._graph is not None
        while True:
            try:
                picture = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield self._copied(picture, time_base)

    def _copied(self, picture: av.VideoFrame, time_base: Fraction) -> Frame:
        assert picture.pts is not None
        assert picture.time_base is not None
        pts, duration = picture.pts, picture.duration or 0
        if picture.time_base != time_base:
            pts = round(pts * picture.time_base / time_base)
            duration = round(duration * picture.time_base / time_base)
        buffer = self._pool.take(self.height, self.width)
        frame = Frame(buffer, pts, time_base, self.color, duration, self._pool)
        copy_planes(picture, frame)
        return frame

    def _make_graph(self, picture: av.VideoFrame, kind: _Kind) -> Graph:
        matrix, color_range, _, _ = kind.tags
        graph = Graph()
        assert picture.time_base is not None
        size = f"video_size={kind.width}x{kind.height}:pix_fmt={kind.pix_fmt}"
        times = f"time_base={picture.time_base.numerator}/{picture.time_base.denominator}"
        chain = [graph.add("buffer", f"{size}:{times}:colorspace={matrix}:range={color_range}")]
        if self._deinterlace:
            chain.append(graph.add("bwdif", "mode=send_frame:deint=interlaced"))
        chain += [graph.add(name, setting or None) for name, setting in kind.turn]
        width, height = kind.upright
        if (width & ~1, height & ~1) != (width, height):
            chain.append(graph.add("crop", f"{width & ~1}:{height & ~1}:0:0"))
        is_fitted = kind.upright != self._first.upright or self._ratio_changes
        to = self._fitted_size() if is_fitted else f"w={self.width}:h={self.height}"
        to += ":flags=bicubic+accurate_rnd"
        names = {BT709: "bt709", BT2020_NCL: "bt2020nc"}
        to += f":out_color_matrix={names.get(self.color.matrix, 'smpte170m')}"
        to += f":out_range={'pc' if self.color.range == FULL else 'tv'}"
        if kind.is_hdr:
            to += ":out_transfer=bt709:out_primaries=bt709:intent=perceptual"
        chain.append(graph.add("scale", to))
        if is_fitted:
            middle = "x=2*trunc((ow-iw)/4):y=2*trunc((oh-ih)/4)"
            chain.append(graph.add("pad", f"{self.width}:{self.height}:{middle}:eval=frame"))
        chain.append(graph.add("format", "yuvj420p" if self.color.range == FULL else "yuv420p"))
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        return graph

    def _fitted_size(self) -> str:
        """The scale filter's size of a picture within the frame, for each picture's own shape.

        The first picture's shape fills the frame, whatever size the frame has.
        """
        width, height = self._first.upright
        shape = Fraction(width & ~1, height & ~1)
        if self._first_ratio:
            shape *= 1 / self._first_ratio if self._first.is_turned else self._first_ratio
        wider = f"dar/{float(shape):.6f}"  # than the first
        is_same = f"lt(abs({wider}-1),{_SAME_SHAPE})"
        fitted_width = f"max(2,2*round({self.width}*min(1,{wider})/2))"
        fitted_height = f"max(2,2*round({self.height}*min(1,1/({wider}))/2))"
        return (
            f"w='if({is_same},{self.width},{fitted_width})'"
            f":h='if({is_same},{self.height},{fitted_height})':eval=frame"
        )

    def _filters_upright(self, picture: av.VideoFrame) -> tuple[tuple[str, str], ...]:
        try:
            # Not picture.side_data, which the picture would keep: they would refer to each other,
            # and only a garbage collection would free the picture's memory.
            # Its annotations lack the argument, and are narrower than its values
            side_data: Any = SideDataContainer(picture)  # type: ignore[call-arg]
        except ValueError:  # PyAV does not know every kind, such as EXIF beside a matrix
            return _TURNED.get(picture.rotation % 360, ())
        for item in side_data:
            kind = item.type.name
            if kind not in _NOT_MISSED and _OF_STREAMS.get(kind) not in self._of_the_stream:
                self._note_once(f"{_BESIDE_PICTURES.get(kind, kind)} is not kept")
        data = side_data.get(SideDataType.DISPLAYMATRIX)
        if data is None:
            return ()
        a, b, _, c, d = np.sign(np.frombuffer(bytes(data), np.int32)[:5]).tolist()
        if (a, b, c, d) not in _UPRIGHT:
            self._note_once("the film has a rotation that is not a multiple of 90°; it is ignored")
        return _UPRIGHT.get((a, b, c, d), ())

    def _note_format(self, picture: av.VideoFrame, kind: _Kind) -> None:
        form, exact = picture.format, _EXACT
        if picture.sw_format is not None:  # in a GPU's memory
            form, exact = picture.sw_format, _EXACT_ON_GPU
        if kind.is_hdr:
            name = _HDR[kind.tags[3]]
            self._note_once(f"high dynamic range ({name}) is tone-mapped to BT.709")
        elif kind.tags[0] in _OTHER_MATRICES:
            self._note_once(f"colours are converted from {_OTHER_MATRICES[kind.tags[0]]}")
        if form.name not in exact:
            self._note_once(f"pictures are converted from {form.name} to 8-bit 4:2:0")


def is_transparent(picture: av.VideoFrame) -> bool:
    """Whether any pixel of a picture in main memory is not opaque."""
    form = picture.format
    alpha = next((each for each in form.components if each.is_alpha), None)
    if alpha is None and form.name != "pal8":
        return False
    has_plane = form.name.startswith(_WITH_ALPHA_PLANE) and not form.name.endswith("be")
    if alpha and has_plane and alpha.bits <= 16:
        opaque, plane, step = 2**alpha.bits - 1, picture.planes[alpha.plane], 1
    else:
        if form.name not in _WITH_ALPHA_LAST:
            picture = picture.reformat(format="rgba")
        opaque, plane, step = 255, picture.planes[0], 4
    values = np.frombuffer(memoryview(plane), np.uint8 if opaque <= 255 else np.uint16)
    rows = values.reshape(picture.height, -1)[:, step - 1 : step * picture.width : step]
    return bool(rows.min() < opaque)


def _color_of(first: av.VideoFrame) -> ColorSpace:
    """The colour space of frames for a film whose first picture is this one."""
    matrix, color_range, primaries, transfer = _tags_of(first)
    if transfer in _HDR:
        return ColorSpace(BT709, LIMITED, 1, 1)
    if first.format.is_rgb:
        return ColorSpace(_usual_matrix(first), LIMITED, primaries, transfer)
    if matrix in _OTHER_MATRICES:
        return ColorSpace(BT709, LIMITED, primaries, transfer)
    matrix = _MATRICES.get(matrix, _usual_matrix(first))
    return ColorSpace(matrix, color_range, primaries, transfer)


def _color_in_words(first: av.VideoFrame, kind: _Kind) -> str:
    """The colours of a film's first picture, such as "RGB", if no frame has them; else ""."""
    if first.format.is_rgb or first.format.name == "pal8":
        return "RGB"
    matrix, color_range, _, transfer = kind.tags
    reach = "full" if color_range == FULL else "limited"
    name = _OTHER_MATRICES.get(matrix)
    if transfer in _HDR:
        name = name or str(ColorSpace(*kind.color)).partition(" ")[0]
        return f"{name} {reach}, high dynamic range ({_HDR[transfer]})"
    return f"{name} {reach}" if name else ""


def _usual_matrix(picture: av.VideoFrame) -> int:
    """The matrix of untagged pictures of this height."""
    return BT709 if picture.height >= _HD_LINES else SMPTE170M


def picture_of(frame: Frame) -> av.VideoFrame:
    """The frame as a 4:2:0 picture for FFmpeg, sharing its buffer where PyAV can."""
    # PyAV misreads the height of buffers unless it is a multiple of 4: others are copied
    if frame.height % 4:
        return av.VideoFrame.from_ndarray(frame.i420, "yuv420p")
    return av.VideoFrame.from_numpy_buffer(frame.i420, "yuv420p")


def copy_planes(picture: av.VideoFrame, frame: Frame) -> None:
    """Copies FFmpeg's 4:2:0 picture, whose rows are padded, into a frame that is not larger."""
    targets = (frame.luma[0, 0], frame.chroma[0, 0], frame.chroma[0, 1])
    for plane, target in zip(picture.planes, targets, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        np.copyto(target, rows[: target.shape[0], : target.shape[1]])


def _tags_of(picture: av.VideoFrame) -> tuple[int, int, int, int]:
    """Matrix, range, primaries and transfer of a decoded picture, as H.273 codes."""
    full = int(picture.color_range) == FULL or picture.format.name.startswith("yuvj")
    if picture.format.is_rgb:
        full = True
    return (
        int(picture.colorspace),
        FULL if full else LIMITED,
        _known(int(picture.color_primaries), _PRIMARIES),
        _known(int(picture.color_trc), _TRANSFERS),
    )


def _known(tag: int, known: tuple[int, ...]) -> int:
    """A tag, or the one for "unspecified" where it means nothing: FFmpeg refuses such pictures."""
    return tag if tag in known else _UNSPECIFIED
