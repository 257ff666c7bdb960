"""Encodes painted pictures as H.264 for a browser, without delay."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from aiortc.codecs.h264 import H264Encoder
from av.frame import Frame as AnyFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

_LEAST_BITS = 500_000  # per second; a browser may ask for less on a bad line
_BUFFER_S = 0.25  # a key frame may take so many seconds' worth of bits
_RATE = Fraction(30)  # what the encoder plans its bits for; frames carry their own times
_KEY_EVERY = 300  # frames; browsers ask for key frames when they need one
# no key frame where the picture changes much: it would be late, and is not needed
_OPTIONS = {"preset": "veryfast", "tune": "zerolatency", "forced-idr": "1", "sc_threshold": "0"}
_CLOCK = Fraction(1, 90_000)


class LiveVideoEncoder(H264Encoder):
    """An encoder for `RTCRtpSender`, in place of aiortc's.

    It takes a third of aiortc's time at the same quality; it is built again only when the size
    changes, not with each estimate of the bitrate, which would cost a key frame each time.
    """

    def __init__(self, bitrate_mbit: float) -> None:
        """Args: bitrate_mbit, the highest and first bitrate, in Mbit/s."""
        super().__init__()
        self._most_bits = round(bitrate_mbit * 1_000_000)
        self._target_bits = self._most_bits
        self._context: VideoCodecContext | None = None

    @property
    def target_bitrate(self) -> int:
        """Bits per second to aim at; aiortc sets it to what the receiver estimates."""
        return self._target_bits

    @target_bitrate.setter
    def target_bitrate(self, bits: int) -> None:
        self._target_bits = max(_LEAST_BITS, min(bits, self._most_bits))

    def encode(self, frame: AnyFrame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Encodes a picture.

        Args:
            frame: a picture in yuv420p, with a time.
            force_keyframe: whether the receiver needs a key frame.

        Returns:
            The payloads of RTP packets, and the time in units of 1/90000 s.
        """
        assert isinstance(frame, av.VideoFrame)
        assert frame.pts is not None
        assert frame.time_base is not None
        time = round(frame.pts * frame.time_base / _CLOCK)
        frame.pts, frame.time_base = time, _CLOCK
        frame.pict_type = PictureType.I if force_keyframe else PictureType.NONE
        data = b"".join(bytes(packet) for packet in self._context_for(frame).encode(frame))
        units: Iterator[bytes] = self._split_bitstream(data)
        return self._packetize(units), time

    def _context_for(self, frame: av.VideoFrame) -> VideoCodecContext:
        context = self._context
        if context is None or (context.width, context.height) != (frame.width, frame.height):
            context = self._context = self._opened_for(frame)
        if context.bit_rate != self._target_bits:  # x264 changes it without being built again
            context.bit_rate = self._target_bits
        return context

    def _opened_for(self, frame: av.VideoFrame) -> VideoCodecContext:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height = frame.width, frame.height
        context.pix_fmt = "yuv420p"
        context.time_base, context.framerate = _CLOCK, _RATE
        context.bit_rate = self._target_bits
        context.gop_size = _KEY_EVERY
        context.color_range, context.colorspace = frame.color_range, frame.colorspace
        # Without a buffer, x264 would follow a new bitrate only after many seconds
        buffer = {
            "maxrate": str(self._most_bits),
            "bufsize": str(round(self._most_bits * _BUFFER_S)),
        }
        context.options = _OPTIONS | buffer
        context.profile = "Baseline"
        return context
