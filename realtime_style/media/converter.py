"""Decoded pictures to frames: upright, progressive, 8-bit YUV 4:2:0, one size and colour space."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace

from realtime_style.color import BT709, BT2020_NCL, FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.frame import Frame, FramePool, Size

PQ, HLG = 16, 18  # transfer characteristics of H.273 that are high dynamic range
SWSCALE_MATRIX = {BT709: Colorspace.ITU709, BT2020_NCL: Colorspace.BT2020}  # else BT.601
_HD_LINES = 720  # untagged films are BT.709 from this height on, BT.601 below
_MATRICES = {1: BT709, 5: SMPTE170M, 6: SMPTE170M, 9: BT2020_NCL}  # H.273 code: a frame's
_OTHER_MATRICES = {4: "fcc", 7: "smpte240m", 8: "ycgco", 10: "bt2020c", 14: "ictcp"}
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


class Converter:
    """Converts decoded pictures to frames.

    Pictures that have a frame's format are copied plane by plane; all others go through FFmpeg's
    filters.

    Attributes:
        width, height: of the frames, in pixels.
        color: the frames' colour space.
        sample_aspect_ratio: a frame pixel's width over its height; None if unknown.
        source_width, source_height: of the upright picture before scaling, in pixels.
        notes: what is changed apart from the size, as sentences.
    """

    def __init__(
        self, first: av.VideoFrame, size: Size | None, sample_aspect_ratio: Fraction | None
    ) -> None:
        """Args: first, a picture of the film, which the others are expected to be like."""
        self.notes: list[str] = []
        self._turn = self._filters_upright(first)
        turned = any(name == "transpose" for name, _ in self._turn)
        self.source_width, self.source_height = first.width, first.height
        self.sample_aspect_ratio = sample_aspect_ratio
        if turned:
            self.source_width, self.source_height = first.height, first.width
            self.sample_aspect_ratio = 1 / sample_aspect_ratio if sample_aspect_ratio else None
        whole = self.source_width & ~1, self.source_height & ~1
        if whole != (self.source_width, self.source_height):
            self.notes.append(
                f"sides must be even: {self.source_width}x{self.source_height} is cut to "
                f"{whole[0]}x{whole[1]}"
            )
        self.width, self.height = size.of(*whole) if size else whole
        self._hdr = int(first.color_trc) in (PQ, HLG)
        self._input = _tags_of(first)
        self.color = self._color_of(first)
        known = first.format.is_rgb or self._input[0] in (*_MATRICES, *_OTHER_MATRICES)
        if not known:  # untagged, or with an invalid tag
            self._input = (self.color.matrix, *self._input[1:])
        self._note_format(first)
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
            if self._is_exact(picture):
                yield self._copied(picture, time_base)
                continue
            kind = (picture.format.name, picture.width, picture.height)
            if self._graph is None or kind != self._graph_of:
                yield from self._flushed(time_base)
                self._graph, self._graph_of = self._make_graph(picture), kind
            matrix, color_range, primaries, transfer = self._input
            picture.colorspace, picture.color_range = matrix, color_range
            picture.color_primaries, picture.color_trc = primaries, transfer
            self._graph.push(picture)
            yield from self._pulled(time_base)
        yield from self._flushed(time_base)

    def changes(self, first: av.VideoFrame) -> list[str]:
        """How a picture is changed, apart from being copied, as sentences."""
        turned = ["it is turned upright"] if self._turn else []
        interlaced = ["it is interlaced"] if first.interlaced_frame else []
        scaled = []
        if (self.width, self.height) != (self.source_width, self.source_height):
            scaled = ["it is painted at another size"]
        return [*turned, *interlaced, *self.notes, *scaled]

    def _is_exact(self, picture: av.VideoFrame) -> bool:
        return (
            picture.format.name in _EXACT
            and not self._turn
            and not self._deinterlace
            and not self._hdr
            and self._input[0] in _MATRICES
            and (picture.width & ~1, picture.height & ~1) == (self.width, self.height)
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

    def _make_graph(self, picture: av.VideoFrame) -> Graph:
        matrix, color_range, _, _ = self._input
        graph = Graph()
        assert picture.time_base is not None
        size = f"video_size={picture.width}x{picture.height}:pix_fmt={picture.format.name}"
        times = f"time_base={picture.time_base.numerator}/{picture.time_base.denominator}"
        chain = [graph.add("buffer", f"{size}:{times}:colorspace={matrix}:range={color_range}")]
        if self._deinterlace:
            chain.append(graph.add("bwdif", "mode=send_frame:deint=interlaced"))
        chain += [graph.add(name, setting or None) for name, setting in self._turn]
        width, height = picture.width, picture.height
        if any(name == "transpose" for name, _ in self._turn):
            width, height = height, width
        if (width & ~1, height & ~1) != (width, height):
            chain.append(graph.add("crop", f"{width & ~1}:{height & ~1}:0:0"))
        to = f"w={self.width}:h={self.height}:flags=bicubic+accurate_rnd"
        names = {BT709: "bt709", BT2020_NCL: "bt2020nc"}
        to += f":out_color_matrix={names.get(self.color.matrix, 'smpte170m')}"
        to += f":out_range={'pc' if self.color.range == FULL else 'tv'}"
        if self._hdr:
            to += ":out_transfer=bt709:out_primaries=bt709:intent=perceptual"
        chain.append(graph.add("scale", to))
        chain.append(graph.add("format", "yuvj420p" if self.color.range == FULL else "yuv420p"))
        chain.append(graph.add("buffersink"))
        graph.link_nodes(*chain).configure()
        return graph

    def _filters_upright(self, first: av.VideoFrame) -> tuple[tuple[str, str], ...]:
        try:
            side_data: Any = first.side_data  # its annotations are narrower than its values
        except ValueError:  # PyAV does not know every kind, such as EXIF beside a matrix
            return _TURNED.get(first.rotation % 360, ())
        data = side_data.get(SideDataType.DISPLAYMATRIX)
        if data is None:
            return ()
        a, b, _, c, d = np.sign(np.frombuffer(bytes(data), np.int32)[:5]).tolist()
        if (a, b, c, d) not in _UPRIGHT:
            self.notes.append(
                "the film has a rotation that is not a multiple of 90°; it is ignored"
            )
        return _UPRIGHT.get((a, b, c, d), ())

    def _color_of(self, first: av.VideoFrame) -> ColorSpace:
        matrix, color_range, primaries, transfer = self._input
        if self._hdr:
            return ColorSpace(BT709, LIMITED, 1, 1)
        by_size = BT709 if first.height >= _HD_LINES else SMPTE170M
        if first.format.is_rgb:
            return ColorSpace(by_size, LIMITED, primaries, transfer)
        if matrix in _OTHER_MATRICES:
            return ColorSpace(BT709, LIMITED, primaries, transfer)
        return ColorSpace(_MATRICES.get(matrix, by_size), color_range, primaries, transfer)

    def _note_format(self, first: av.VideoFrame) -> None:
        form, exact = first.format, _EXACT
        if first.sw_format is not None:  # in a GPU's memory
            form, exact = first.sw_format, _EXACT_ON_GPU
        if self._hdr:
            kind = "PQ" if int(first.color_trc) == PQ else "HLG"
            self.notes.append(f"high dynamic range ({kind}) is tone-mapped to BT.709")
        elif self._input[0] in _OTHER_MATRICES:
            self.notes.append(f"colours are converted from {_OTHER_MATRICES[self._input[0]]}")
        if any(component.is_alpha for component in form.components):
            self.notes.append("transparency is not kept")
        if form.name not in exact:
            self.notes.append(f"pictures are converted from {form.name} to 8-bit 4:2:0")


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
        int(picture.color_primaries),
        int(picture.color_trc),
    )
