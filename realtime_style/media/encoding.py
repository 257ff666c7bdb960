"""Encoder settings: which encoder, at which quality, in which pixel format."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec.codec import find_best_pix_fmt_of_list

from realtime_style.color import FULL, LIMITED, SMPTE170M, ColorSpace
from realtime_style.errors import MediaError
from realtime_style.system.cores import cpu_name_and_flags
from realtime_style.system.paths import is_numbered

CODECS = {  # common names of codecs: FFmpeg's encoders
    "h264": "libx264",
    "h265": "libx265",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
}
_GPU_ENCODERS = {"libx264": "h264_nvenc", "libx265": "hevc_nvenc", "libsvtav1": "av1_nvenc"}
_CODEC_OF = {  # by a film's ending; h264 for all others
    ".webm": "vp9", ".ogv": "libvpx", ".ivf": "av1", ".obu": "av1",
    ".hevc": "h265", ".h265": "h265", ".265": "h265", ".m1v": "mpeg1video", ".m2v": "mpeg2video",
    ".mpg": "mpeg2video", ".mpeg": "mpeg2video", ".vob": "mpeg2video",  # what DVD players read
    ".mjpeg": "mjpeg", ".mjpg": "mjpeg", ".y4m": "rawvideo", ".apng": "apng",
    ".avif": "av1", ".gif": "gif", ".webp": "libwebp_anim",
    ".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg",
    ".tif": "tiff", ".tiff": "tiff", ".bmp": "bmp",
}  # fmt: skip
_ANIMATION_PX = {".gif": 480, ".webp": 640}  # longer side: they hold each picture by itself
_MPEG_RATES = (
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
    Fraction(50), Fraction(60000, 1001), Fraction(60),
)  # fmt: skip
_MPEG4_MAX_TICKS = 65_535  # per second
_RGB = 0  # H.273's matrix for RGB
_8_BIT = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr24", "pal8", "bgra")
_10_BIT = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
_HARDWARE = ("_nvenc", "_qsv", "_amf", "_vaapi", "_videotoolbox", "_mf", "_v4l2m2m", "_vulkan")
_DEFAULTS = {  # about 5 Mbit/s at 720p, at a speed that leaves the processor to the painting
    # As similar as veryfast, in 5 % more bytes and 0.6 of the time: what looking ahead gains is
    # worth more than the partitions and the finer search that superfast leaves out
    "libx264": {
        "crf": "27",
        "preset": "superfast",
        "mbtree": "1",
        "rc-lookahead": "10",
        "b_strategy": "0",
    },
    "libx265": {"crf": "28", "preset": "veryfast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"crf": "45", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
    "libsvtav1": {"crf": "44", "preset": "10"},
    "libvpx": {"crf": "10", "b": "20M", "deadline": "good", "cpu-used": "5"},
}
# x264's macroblock tree reads memory that nobody wrote where it uses AVX-512, in pictures whose
# macroblocks do not fill its registers: a film would have other bytes each time
_X264_WITHOUT_AVX512 = "asm=avx2"
_WITH_OWN_PRESET = ("mbtree", "rc-lookahead", "b_strategy")  # any preset has its own values
_WITHOUT_CRF = (  # they encode at a low bit rate unless they are given a quality
    "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "flv", "h263p",
)  # fmt: skip
_DEFAULTS |= {
    name: {"flags": "+qscale", "global_quality": "354"}  # 3, in units of 1/118
    for name in _WITHOUT_CRF
}
_MAX_CRF = {"libx264": 51, "libx265": 51, "libvpx-vp9": 63, "libsvtav1": 63, "libvpx": 63}
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

    def __post_init__(self) -> None:
        """Refuses values of other types, as JSON may hold them, and bits that films do not have."""
        if self.crf is not None and not isinstance(self.crf, int | float):
            raise MediaError(f"the quality must be a number, not {self.crf!r}", setting="crf")
        for name in ("codec", "preset"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise MediaError(f"the {name} must be a name, not {value!r}", setting=name)
        if self.bit_depth not in (None, 8, 10):
            raise MediaError(f"films have 8 or 10 bits, not {self.bit_depth}", setting="bit_depth")


def encoder_name(path: Path, encoding: Encoding) -> str:
    """FFmpeg's name of the requested encoder, or of the usual one for the file."""
    name = encoding.codec or _default_codec(path)
    return CODECS.get(name.lower(), name)


def is_hardware(encoder: str) -> bool:
    """Whether an encoder of FFmpeg runs on a device of its own, not on the processor."""
    return encoder.endswith(_HARDWARE)


def gpu_encoder_name(path: Path, encoding: Encoding) -> str:
    """FFmpeg's name of the encoder on an NVIDIA GPU; raises MediaError if there is none."""
    name = encoder_name(path, encoding)
    name = _GPU_ENCODERS.get(name, name)
    if name not in _GPU_ENCODERS.values():
        raise MediaError(
            f"a GPU does not encode with {name}; it encodes h264, h265 and av1", setting="codec"
        )
    return name


def usual_size(path: Path, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height, even, of a film that is asked for in no size: its own, unless too large.

    GIF and WebP store painted pictures in many bytes: a second of 1280x720 would be 22 MB of GIF.

    Args:
        size: width and height of the source, in pixels, even.
    """
    longest = None if is_numbered(path) else _ANIMATION_PX.get(path.suffix.lower())
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(2, round(side * longest / max(size) / 2) * 2) for side in size)
    return width, height


def _default_codec(path: Path) -> str:
    if is_numbered(path) and path.suffix.lower() == ".webp":
        return "libwebp"
    return _CODEC_OF.get(path.suffix.lower(), "h264")


def encoded_color(color: ColorSpace, encoder: str, pix_fmt: str) -> ColorSpace:
    """What encoded values mean: some formats have one colour space only; RGB has no matrix."""
    if encoder.startswith("libwebp"):
        return dataclasses.replace(color, matrix=SMPTE170M, range=LIMITED)
    if pix_fmt.startswith("yuvj"):
        return dataclasses.replace(color, matrix=SMPTE170M, range=FULL)
    if av.VideoFormat(pix_fmt).is_rgb:
        return dataclasses.replace(color, matrix=_RGB, range=FULL)
    return color


def pixel_format(codec: av.Codec, bit_depth: int | None) -> str:
    """The encoder's pixel format that is closest to a frame's."""
    supported = [form.name for form in codec.video_formats or []]
    wanted = {8: _8_BIT, 10: _10_BIT, None: _8_BIT + _10_BIT}[bit_depth]
    if codec.name == "tiff":  # its YUV has a fixed matrix and range, whatever the film's are
        wanted = tuple(pix_fmt for pix_fmt in wanted if pix_fmt == "rgb24")
    if codec.name == "mjpeg":
        wanted = tuple(pix_fmt for pix_fmt in wanted if pix_fmt.startswith("yuvj"))
    for pix_fmt in wanted:
        if not supported or pix_fmt in supported:
            return pix_fmt
    if bit_depth is None:
        closest, _ = find_best_pix_fmt_of_list(supported, "yuv420p")
        assert closest is not None
        return closest.name
    raise MediaError(
        f"the encoder {codec.name} has no {bit_depth}-bit pictures; h265, av1 and ffv1 have 8 and "
        "10 bits",
        setting="bit_depth",
    )


def usual_rate(encoder: str, rate: Fraction) -> Fraction:
    """The rate in frames per second, for encoders that take few, closest to a film's."""
    if encoder in ("mpeg1video", "mpeg2video"):
        return min(_MPEG_RATES, key=lambda usual: abs(usual - rate))
    rate = max(Fraction(1), min(Fraction(1000), rate)).limit_denominator(1001)
    return rate if rate.numerator <= _MPEG4_MAX_TICKS else Fraction(round(rate))


def encoder_options(codec: av.CodecContext, encoding: Encoding) -> dict[str, str]:
    """Settings as FFmpeg's options; raises MediaError for those that the encoder does not have."""
    encoder = codec.name
    known = {option.name for option in codec.supported_options.private}
    options = dict(_DEFAULTS.get(encoder, {}))
    if encoding.preset is not None:
        options = {name: options[name] for name in options if name not in _WITH_OWN_PRESET}
    for option, value in (("crf", encoding.crf), ("preset", encoding.preset)):
        if value is None:
            continue
        if option not in known:
            raise MediaError(f"the encoder {encoder} has no {option}", setting=option)
        options[option] = f"{value:g}" if isinstance(value, float) else str(value)
    max_crf = _MAX_CRF.get(encoder)
    if max_crf and encoding.crf is not None and not 0 <= encoding.crf <= max_crf:
        raise MediaError(
            f"crf {encoding.crf:g} is out of range; {encoder} takes 0 to {max_crf}", setting="crf"
        )
    presets = _PRESETS.get(encoder)
    if presets and encoding.preset is not None and encoding.preset not in presets:
        raise MediaError(
            f"{encoder} has no preset '{encoding.preset}'; it has {', '.join(presets)}",
            setting="preset",
        )
    if encoder == "libx264" and "avx512f" in (cpu_name_and_flags()[1] or ()):
        options["x264-params"] = _X264_WITHOUT_AVX512
    if encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other setting for that
    return options
