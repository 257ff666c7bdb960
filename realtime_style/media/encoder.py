"""Encoder: frames to packets."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from realtime_style.color import FULL
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, FramePool, GpuFrame, StreamInfo
from realtime_style.media.animation import palette_graph
from realtime_style.media.converter import SWSCALE_MATRIX, picture_of
from realtime_style.media.encoding import encoded_color, is_hardware, pixel_format, usual_rate
from realtime_style.media.ffmpeg_log import captured_log, first_error
from realtime_style.media.packet import Packet
from realtime_style.media.scaling import EXACT, UNSHIFTED, frame_with_bars, is_of_source, place_of
from realtime_style.system.cores import scheduling_kept, usable_cores

_MAX_REORDERED = 16  # frames; H.264 and H.265 allow no more


@dataclass(frozen=True, slots=True)
class Shown:
    """Encoded frames: how many, and when they are shown, in ticks of the film.

    Attributes:
        frames: how many.
        first_pts: when the first is shown.
        end_pts: when the last has been shown.
        last_duration: how long the last is shown; 0 if it does not say.
    """

    frames: int
    first_pts: int
    end_pts: int
    last_duration: int


class Encoder:
    """Turns frames into the packets of one stream.

    Packets are returned in whole reorder groups (a B-frame is decoded after the P-frame that is
    shown after it): wherever a film is cut between two calls, no frame before the cut is missing.

    Attributes:
        size: width and height of the film, in pixels.
        color: what the encoded values mean.
        frames: how many frames were given.
        frames_out: how many of them have been returned as packets.
        end_pts: when the latest of those has been shown, in units of the time base.
        last_duration: of the last frame given, in the same units; 0 if it has none.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        info: StreamInfo,
        options: Mapping[str, str],
        *,
        size: tuple[int, int] | None = None,
        bit_depth: int | None = None,
        on_gpu: bool = False,
        b_frames: bool = True,
        key_frame_every: int | None = None,
        by_slices: bool = False,
        ends_with_key: bool = False,
        threads: int | None = None,
    ) -> None:
        """Opens the encoder of a stream that was added to a container.

        Args:
            info: the frames that will come.
            options: FFmpeg's, such as crf and preset.
            size: width and height of the film, in pixels, even; None takes the frames'. Pictures
                of another shape get bars.
            bit_depth: 8 or 10; None leaves it to the encoder.
            on_gpu: whether frames come in a GPU's memory; the stream has a device then.
            b_frames: whether frames may be reordered.
            key_frame_every: the most frames between two key frames; None leaves it to the encoder.
            by_slices: whether threads share each picture, so that none is held back for them.
            ends_with_key: whether the last frame is a key frame if it is not shown as long as
                most: then it is also the last in decoding order, by which MP4 knows lengths.
            threads: how many the encoder starts, on which its bytes may depend; None leaves it to
                this machine.

        Raises:
            MediaError: the encoder does not take such frames, or cannot be opened.
        """
        self._stream, self._context = stream, stream.codec_context
        self.size = size or (info.width, info.height)
        self._place = place_of(info, self.size)
        self._reformatter, self._bars_reformatter = VideoReformatter(), VideoReformatter()
        self._groups = _ReorderGroups()
        self._durations: dict[int, int] = {}  # of frames in the encoder, by their pts
        self._last_pts: int | None = None  # of the frames returned
        self._time_base = info.time_base
        self._step = max(1, round(1 / (info.rate * info.time_base)))
        self._first_pts: int | None = None
        self._may_end_with_key = ends_with_key and not on_gpu
        self._held: Frame | None = None  # the last frame given, if it may have to be a key frame
        self._sent_frames = self.frames = self.frames_out = 0
        self.end_pts = self.last_duration = 0
        pix_fmt = "nv12" if on_gpu else pixel_format(self._context.codec, bit_depth)
        self.color = encoded_color(info.color, self.name, pix_fmt)
        self._describe(info, pix_fmt)
        context = self._context
        context.options = dict(options)
        if self._may_end_with_key and self.name in ("libx264", "libx265"):
            context.options |= {"forced-idr": "1"}  # nothing shown earlier is decoded after it
        context.thread_type = "SLICE" if by_slices else "AUTO"
        if self.name == "libx264" and not by_slices:
            # by default it starts 1.5 threads a core, each with its own pictures
            context.thread_count = usable_cores()
        if threads:
            context.thread_count = threads
        if not b_frames:
            context.max_b_frames = 0
        if key_frame_every:
            context.gop_size = key_frame_every
        self._counted: dict[int, int] | None = None  # times of frames by number, see `_open`
        self._open(info)
        self._palette: Graph | None = None
        if pix_fmt == "pal8":
            self._palette = palette_graph(*self.size, info.time_base)

    def _describe(self, info: StreamInfo, pix_fmt: str) -> None:
        """Tells the encoder what pictures it gets, and what their values mean."""
        stream, context = self._stream, self._context
        stream.width, stream.height = self.size
        stream.pix_fmt = pix_fmt
        stream.time_base = context.time_base = info.time_base
        context.colorspace = self.color.matrix
        context.color_range = self.color.range
        context.color_primaries = info.color.primaries
        context.color_trc = info.color.transfer
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = _pixel_shape(info, self.size)

    def take_over(self, shown: Shown) -> None:
        """Counts frames that other encoders with the same settings have encoded."""
        self.frames = self.frames_out = self._sent_frames = shown.frames
        self._first_pts, self.end_pts = shown.first_pts, shown.end_pts
        self.last_duration = shown.last_duration

    @property
    def counts(self) -> Shown:
        """The frames that were given and returned so far."""
        return Shown(self.frames, self._first_pts or 0, self.end_pts, self.last_duration)

    @property
    def name(self) -> str:
        """FFmpeg's name of the encoder."""
        return self._context.name

    @property
    def has_bars(self) -> bool:
        """Whether pictures have another shape than the film, and get bars."""
        return self._place != (0, 0, *self.size)

    @property
    def shown(self) -> int:
        """How long the returned frames are shown, in units of the time base."""
        return 0 if self._first_pts is None else max(0, self.end_pts - self._first_pts)

    def _open(self, info: StreamInfo) -> None:
        """Opens the encoder, with the film's times or with the numbers of frames.

        Some old encoders only know whole frames at the rates of their day. They get the numbers of
        frames, and their packets get the times afterwards.
        """
        context = self._context
        try:
            with scheduling_kept():  # SVT-AV1 takes a realtime priority if root runs it
                context.open(strict=False)
        except (av.FFmpegError, ValueError):
            self._counted = {}
            context.framerate = usual_rate(self.name, info.rate)
            context.time_base = 1 / context.framerate
            context.max_b_frames = 0
            with captured_log() as messages:
                try:
                    context.open(strict=False)
                except (av.FFmpegError, ValueError) as error:
                    raise self._not_opened(error, first_error(messages)) from error

    def _not_opened(self, error: Exception, reason: str | None) -> MediaError:
        context, name = self._context, self.name
        settings = ", ".join(f"{key} {value}" for key, value in context.options.items())
        reason = reason or getattr(error, "strerror", None) or str(error)
        message = (
            f"the encoder {name} cannot be opened for pictures of {self.size[0]}x"
            f"{self.size[1]}{f' with {settings}' if settings else ''} ({reason})"
        )
        if is_hardware(name):
            message += (
                ": it needs its own device, such as an NVIDIA GPU for nvenc, with its driver, "
                "and a size that it supports; h264 needs no device"
            )
        else:
            message += "; try another codec or output size"
        return MediaError(message, setting="codec")

    def encode(self, frame: Frame | GpuFrame) -> list[Packet]:
        """Takes a frame; returns the packets that are ready, in decoding order.

        The caller may reuse the frame on return. Raises MediaError if the encoder refuses it.
        """
        self.frames += 1
        self.last_duration = frame.duration
        ready = self._sent(self._held) if self._held else []
        self._held = None
        if isinstance(frame, Frame) and self._may_end_with_key and self._is_uneven(frame):
            self._held = frame.kept()
            return ready
        return ready + self._sent(frame)

    def _is_uneven(self, frame: Frame) -> bool:
        """Whether a frame is not shown for one step, even if times are rounded."""
        return frame.duration > 0 and abs(frame.duration - self._step) > max(1, self._step // 50)

    def _sent(self, frame: Frame | GpuFrame, *, as_key: bool = False) -> list[Packet]:
        """Sends a frame to the encoder; the packets that are ready."""
        picture = frame.picture if isinstance(frame, GpuFrame) else self._formatted(frame)
        picture.pts, picture.time_base = frame.pts, frame.time_base
        if self._counted is not None:
            assert self._context.time_base is not None
            picture.pts, picture.time_base = self._sent_frames, self._context.time_base
            self._counted[self._sent_frames] = frame.pts
        self._sent_frames += 1
        if self._palette:
            self._palette.push(picture)
            picture = self._palette.vpull()
        if as_key:
            picture.pict_type = PictureType.I
        if frame.duration:
            self._durations[frame.pts] = frame.duration
        if self._first_pts is None:
            self._first_pts = frame.pts
        self._groups.sent(frame.pts)
        ready: list[Packet] = []
        try:
            packets = self._stream.encode(picture)
        except av.FFmpegError as error:
            raise MediaError(
                f"the encoder {self.name} cannot encode these pictures of {self.size[0]}x"
                f"{self.size[1]} ({error.strerror}); try another codec",
                setting="codec",
            ) from error
        for packet in packets:
            ready += self._groups.arrived(self._timed(packet))
        return self._returned(ready)

    def flush(self) -> Iterator[list[Packet]]:
        """The packets of all frames that are still in the encoder, group by group."""
        if self._held:
            held, self._held = self._held, None
            yield self._sent(held, as_key=True)
        for packet in self._stream.encode_lazy(None):
            yield self._returned(self._groups.arrived(self._timed(packet)))
        yield self._returned(self._groups.rest())
        self.frames_out = self.frames
        if self._durations and self.name == "libwebp_anim":  # all frames are in one packet
            latest = max(self._durations)
            self.end_pts = max(self.end_pts, latest + (self._durations[latest] or self._step))

    def _timed(self, packet: Packet) -> Packet:
        """A packet with the time of its frame, if the encoder has only its number."""
        if self._counted is not None and packet.pts is not None:
            packet.pts = packet.dts = self._counted.pop(packet.pts)
            packet.time_base, packet.duration = self._time_base, self._step
        return packet

    def _returned(self, packets: list[Packet]) -> list[Packet]:
        """Gives packets the durations of their frames."""
        for packet in packets:
            if packet.pts is not None and packet.dts is not None:
                duration = self._durations.pop(packet.pts, None)
                if self._last_pts is None or packet.pts >= self._last_pts:
                    self._last_pts = packet.pts
                    self.end_pts = packet.pts + (duration or self._step)
                packet.duration = packet.duration if duration is None else duration
        self.frames_out += len(packets)
        return packets

    def _formatted(self, frame: Frame) -> av.VideoFrame:
        """The frame in the size and the pixel format that the encoder takes."""
        if self.has_bars:
            canvas = frame.blank(FramePool(), self.size[1], self.size[0])
            frame = frame_with_bars(frame, self._place, self._bars_reformatter, canvas)
        picture = picture_of(frame)
        pix_fmt = "rgb24" if self._palette else self._context.pix_fmt or "yuv420p"
        same = (self.color.matrix, self.color.range) == (frame.color.matrix, frame.color.range)
        if (frame.width, frame.height) == self.size and pix_fmt == "yuv420p" and same:
            if not self.name.startswith("lib"):  # with threads, FFmpeg's own encoders keep pictures
                picture = av.VideoFrame.from_ndarray(frame.i420, "yuv420p")
            picture.colorspace, picture.color_range = frame.color.matrix, frame.color.range
            return picture
        matrix, to_matrix = (
            SWSCALE_MATRIX.get(color.matrix, Colorspace.ITU601)
            for color in (frame.color, self.color)
        )
        is_rgb = av.VideoFormat(pix_fmt).is_rgb
        # a palette takes twice as long to find for the many colours of interpolated chroma
        to_rgb = UNSHIFTED if self._palette else EXACT
        picture = self._reformatter.reformat(
            picture,
            *self.size,
            pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=None if is_rgb else to_matrix,
            src_color_range=ColorRange.JPEG if frame.color.range == FULL else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG if self.color.range == FULL else ColorRange.MPEG,
            interpolation=to_rgb if is_rgb else None,
        )
        picture.colorspace, picture.color_range = self.color.matrix, self.color.range
        return picture


class _ReorderGroups:
    """Holds packets until every frame that is shown before the latest of them has arrived too."""

    def __init__(self) -> None:
        self._expected: deque[int] = deque()  # pts of frames whose packets have not arrived
        self._held: list[Packet] = []
        self._latest: int | None = None

    def sent(self, pts: int) -> None:
        """Notes a frame that goes into the encoder; times rise."""
        self._expected.append(pts)

    def arrived(self, packet: Packet) -> list[Packet]:
        """Takes a packet from the encoder; returns a whole group, or nothing."""
        self._held.append(packet)
        if packet.pts is not None:
            with contextlib.suppress(ValueError):
                self._expected.remove(packet.pts)
            self._latest = max(packet.pts, packet.pts if self._latest is None else self._latest)
        if len(self._held) > _MAX_REORDERED:  # the encoder has dropped a frame
            while self._is_open():
                self._expected.popleft()
        return [] if self._is_open() else self.rest()

    def rest(self) -> list[Packet]:
        """All packets that are held, whether or not they are a whole group."""
        released, self._held = self._held, []
        return released

    def _is_open(self) -> bool:
        """Whether a frame is missing that is shown before the latest one."""
        return (
            bool(self._expected) and self._latest is not None and self._expected[0] < self._latest
        )


def _pixel_shape(info: StreamInfo, size: tuple[int, int]) -> Fraction:
    """The sample aspect ratio of a film of a size: the source's, or square where it has bars."""
    assert info.sample_aspect_ratio
    return info.sample_aspect_ratio if is_of_source(info, size) else Fraction(1)
