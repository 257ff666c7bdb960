"""Animated WebP, which FFmpeg does not read, as a film that it reads."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import av
import numpy as np
from PIL import Image

from realtime_style.errors import MediaError

_MILLISECOND = Fraction(1, 1000)
_NO_DURATION_MS = 100  # browsers show frames without a duration for so long
_HEADER = slice(0, 21)  # RIFF, size, WEBP, VP8X, size, flags
_ANIMATED = 0x02


def is_animated_webp(path: Path) -> bool:
    """Whether a file says that it is a WebP picture that moves."""
    with path.open("rb") as file:
        header = file.read(_HEADER.stop)
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and bool(header[20] & _ANIMATED)


def film_of_animation(path: Path) -> IO[bytes]:
    """The same pictures at the same times, without loss, as a Matroska film in a temporary file.

    Raises:
        MediaError: the animation is damaged before its second picture.
    """
    film = TemporaryFile()  # noqa: SIM115  (the caller reads it; it goes when closed)
    try:
        with Image.open(path) as animation, av.open(film, "w", format="matroska") as container:
            animation.load()
            rate = Fraction(1000, int(animation.info.get("duration", 0)) or _NO_DURATION_MS)
            stream = container.add_stream("ffv1", rate=rate)
            stream.width, stream.height = animation.size
            stream.pix_fmt = "bgra" if animation.mode == "RGBA" else "bgr0"
            stream.time_base = stream.codec_context.time_base = _MILLISECOND
            pts = 0
            for i in range(getattr(animation, "n_frames", 1)):
                try:
                    animation.seek(i)
                    pixels = np.asarray(animation.convert("RGBA"))
                except (OSError, EOFError):
                    if i == 0:
                        raise
                    break  # damage; what came before is a film
                duration = int(animation.info.get("duration", 0)) or _NO_DURATION_MS
                picture = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=stream.pix_fmt)
                picture.pts, picture.time_base, picture.duration = pts, _MILLISECOND, duration
                for packet in stream.encode(picture):
                    packet.duration = duration
                    container.mux(packet)
                pts += duration
            container.mux(stream.encode(None))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        film.close()
        raise MediaError(f"{path} cannot be read as an animation: {error}") from error
    film.seek(0)
    return film
