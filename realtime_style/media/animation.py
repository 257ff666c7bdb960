"""Animated pictures: WebP, which FFmpeg writes but does not read, and GIF."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import av
import numpy as np
from av.filter import Graph
from PIL import Image

from realtime_style.errors import MediaError

_MILLISECOND = Fraction(1, 1000)
_PNG = b"\x89PNG\r\n\x1a\n"
_MOVING_BRANDS = (b"avis", b"msf1")  # of AVIF and HEIF
_MAX_BRANDS = 1024  # bytes
_NO_DURATION_MS = 100  # how long browsers show frames without a duration
_HEADER = slice(0, 21)  # RIFF, size, WEBP, VP8X, size, flags
_ANIMATED = 0x02
_GIF_STEPS = 2  # hundredths of a second; frames shown for one are shown for ten by all players


def is_animated_webp(path: Path) -> bool:
    """Whether a file's header says that it is an animated WebP picture."""
    with path.open("rb") as file:
        header = file.read(_HEADER.stop)
    return header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and bool(header[20] & _ANIMATED)


def is_animation(path: Path) -> bool:
    """Whether a PNG, AVIF, HEIF or WebP file says that its picture moves; False for other files.

    Raises OSError if it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(8) == _PNG:
            while len(header := file.read(8)) == 8 and header[4:] not in (b"IDAT", b"acTL"):
                file.seek(int.from_bytes(header[:4]) + 4, os.SEEK_CUR)  # and a checksum
            return header[4:] == b"acTL"
        file.seek(0)
        size, kind = int.from_bytes(file.read(4)), file.read(4)
        if kind == b"ftyp":
            brands = file.read(min(size - 8, _MAX_BRANDS)) if size > 8 else b""
            return any(brands[i : i + 4] in _MOVING_BRANDS for i in range(0, len(brands), 4))
    return is_animated_webp(path)


def plays_of(path: Path) -> int | None:
    """How often an animation is to be played, 0 without end; None for files of other kinds."""
    try:
        with Image.open(path, formats=["GIF", "WEBP", "PNG"]) as animation:
            kind, loops = animation.format, animation.info.get("loop")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if kind == "GIF":  # which says how often it is repeated, or nothing
        return 1 if loops is None else loops and int(loops) + 1
    return None if loops is None else int(loops)


def loop_options(ending: str, plays: int | None) -> dict[str, str]:
    """FFmpeg's option of a format for how often it is played; none if it cannot say so.

    Args:
        ending: of the file, such as ".gif".
        plays: 0 for ever, which is also what None stands for.
    """
    plays = plays or 0
    if ending == ".gif":  # says how often it is repeated
        return {"loop": str({0: 0, 1: -1}.get(plays, plays - 1))}
    option = {".avif": "loop", ".webp": "loop", ".apng": "plays"}.get(ending)
    return {option: str(plays)} if option else {}


def film_of_animation(path: Path) -> IO[bytes]:
    """The same pictures at the same times, lossless, as a Matroska film in a temporary file.

    Raises:
        MediaError: the animation is damaged before its second picture.
    """
    try:
        film = TemporaryFile()  # noqa: SIM115  (the caller reads it; it is deleted when closed)
    except OSError as error:
        raise MediaError(
            f"there is no place for temporary files ({error.strerror}); set the variable TMPDIR to "
            "a folder that can be written to"
        ) from error
    try:
        with (
            Image.open(path, formats=["WEBP"]) as animation,
            av.open(film, "w", format="matroska") as container,
        ):
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
                    break  # damage; what came before is still a film
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
        raise MediaError(
            f"{path} cannot be read as an animation: {error}", setting="source"
        ) from error
    film.seek(0)
    return film


class GifTimes:
    """Decides which frames to drop because GIF cannot show them so briefly; counts them.

    Attributes:
        dropped: how many were dropped.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._last: int | None = None  # hundredths of a second

    def takes(self, pts: int, time_base: Fraction) -> bool:
        """Whether the frame before has been shown long enough by then."""
        hundredth = round(pts * time_base * 100)
        if self._last is not None and hundredth - self._last < _GIF_STEPS:
            self.dropped += 1
            return False
        self._last = hundredth
        return True


def set_last_duration(path: Path, duration_ms: int) -> None:
    """Writes how long the last picture of an animated WebP is shown, which its encoder guesses.

    The file is RIFF: chunks of a name, a size and a content, padded to even sizes. An ANMF chunk
    has its duration in 24 bits, after the picture's place and size (WebP container specification).
    """
    if not duration_ms:
        return
    with path.open("r+b") as file:
        file.seek(12)
        last = None
        while len(header := file.read(8)) == 8:
            if header[:4] == b"ANMF":
                last = file.tell()
            size = int.from_bytes(header[4:], "little")
            file.seek(size + size % 2, os.SEEK_CUR)
        if last is not None:
            file.seek(last + 12)
            file.write(min(duration_ms, 2**24 - 1).to_bytes(3, "little"))


def palette_graph(width: int, height: int, time_base: Fraction) -> Graph:
    """A filter that gives every picture (rgb24) its own 256 colours, dithered."""
    graph = Graph()
    times = f"time_base={time_base.numerator}/{time_base.denominator}"
    source = graph.add("buffer", f"video_size={width}x{height}:pix_fmt=rgb24:{times}")
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
