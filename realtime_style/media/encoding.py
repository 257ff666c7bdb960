"""Encoder settings: which encoder, at which quality, in which pixel format."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import av

from realtime_style.color import FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.errors import MediaError
from realtime_style.system.paths import (
    is_numbered,
)

CODECS = {  # what people call a codec: FFmpeg's encoder
    "h264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}


_ON_GPU = {"libx264": "h264_nvenc", "libx265": "hevc_nvenc", "libsvtav1": "av1_nvenc"}


_CODEC_OF = {  # the ending of OUT: its codec, where that is not h264
    ".webm": "vp9", ".gif": "gif", ".webp": "libwebp_anim",
    ".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg",
    ".tif": "tiff", ".tiff": "tiff", ".bmp": "bmp",
}  # fmt: skip


_RGB = 0  # the matrix of H.273 that is none


_8_BIT = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr24", "pal8", "bgra")


HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_mf", "_v4l2m2m", "_vulkan")


_10_BIT = ("yuv420p10le", "yuv422p10le", "yuv444p10le")


_DEFAULTS = {  # good pictures, at a speed that leaves the processor to the painting
    "libx264": {"crf": "20", "preset": "veryfast"},
    "libx265": {"crf": "23", "preset": "veryfast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "30", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    "libsvtav1": {"crf": "30", "preset": "10"},
}


_MAX_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63}


_X26_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip


_PRESETS = {
    "libx264": _X26_PRESETS,
    "libx265": _X26_PRESETS,
    "libsvtav1": tuple(map(str, range(14))),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode. None leaves a setting to the container or the encoder.

    `codec` is a name of CODECS or an FFmpeg encoder's; `crf` the quality (lower is better, each
    encoder has its own scale); `preset` the encoder's speed preset; `bit_depth` 8 or 10.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    bit_depth: int | None = None


def encoder_name(path: Path, encoding: Encoding, is_sequence: bool) -> str:
    """FFmpeg's name of what is asked for, or is usual for the file."""
    name = encoding.codec or _default_codec(path, is_sequence)
    return CODECS.get(name.lower(), name)


def gpu_encoder_name(path: Path, encoding: Encoding) -> str:
    """FFmpeg's name of the encoder on an NVIDIA GPU; raises MediaError where that has none."""
    name = encoder_name(path, encoding, is_numbered(path))
    name = _ON_GPU.get(name, name)
    if name not in _ON_GPU.values():
        raise MediaError(
            f"the GPU does not encode with {name}; try --codec h264, h265 or av1, or leave "
            "--on-gpu out"
        )
    return name


def _default_codec(path: Path, is_sequence: bool) -> str:
    if is_sequence and path.suffix.lower() == ".webp":
        return "libwebp"
    return _CODEC_OF.get(path.suffix.lower(), "h264")


def encoded_color(color: ColorSpace, encoder: str, pix_fmt: str) -> ColorSpace:
    """What the encoded values mean: some kinds know one colour space alone; RGB has no matrix."""
    if encoder.startswith("libwebp"):
        return dataclasses.replace(color, matrix=SMPTE170M, range=LIMITED)
    if pix_fmt.startswith("yuvj"):
        return dataclasses.replace(color, matrix=SMPTE170M, range=FULL)
    if av.VideoFormat(pix_fmt).is_rgb:
        return dataclasses.replace(color, matrix=_RGB, range=FULL)
    return color


def pixel_format(codec: av.Codec, bit_depth: int | None) -> str:
    """The encoder's own pixel format that is nearest to a frame's."""
    takes = [form.name for form in codec.video_formats or []]
    if bit_depth not in (None, 8, 10):
        raise MediaError(f"films have 8 or 10 bits, not {bit_depth}")
    wanted = {8: _8_BIT, 10: _10_BIT, None: _8_BIT + _10_BIT}[bit_depth]
    if codec.name == "tiff":  # its YUV is of one matrix and range, by the numbers in the file
        wanted = tuple(pix_fmt for pix_fmt in wanted if pix_fmt == "rgb24")
    if codec.name == "mjpeg":
        wanted = tuple(pix_fmt for pix_fmt in wanted if pix_fmt.startswith("yuvj"))
    for pix_fmt in wanted:
        if not takes or pix_fmt in takes:
            return pix_fmt
    if bit_depth is None:
        raise MediaError(
            f"the encoder {codec.name} takes none of the pictures that are painted, only "
            f"{', '.join(takes)}; try another --codec, as h264"
        )
    raise MediaError(
        f"the encoder {codec.name} has no {bit_depth}-bit pictures; h265, av1 and ffv1 have 8 and "
        "10 bits"
    )


def encoder_options(stream: av.VideoStream, encoding: Encoding) -> dict[str, str]:
    """Settings as FFmpeg's options, refused where the encoder does not have them."""
    encoder = stream.codec_context.name
    known = {option.name for option in stream.codec_context.supported_options.private}
    options = dict(_DEFAULTS.get(encoder, {}))
    for option, value in (("crf", encoding.crf), ("preset", encoding.preset)):
        if value is None:
            continue
        if option not in known:
            raise MediaError(f"the encoder {encoder} has no --{option}; leave it out")
        options[option] = f"{value:g}" if isinstance(value, float) else str(value)
    most = _MAX_CRF.get(encoder)
    if most and encoding.crf is not None and not 0 <= encoding.crf <= most:
        raise MediaError(f"--crf {encoding.crf:g} is out of range; {encoder} takes 0 to {most}")
    presets = _PRESETS.get(encoder)
    if presets and encoding.preset is not None and encoding.preset not in presets:
        raise MediaError(
            f"{encoder} has no preset '{encoding.preset}'; it has {', '.join(presets)}"
        )
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it asks nobody else
    return options
