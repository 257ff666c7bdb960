"""Frame in, painted frame out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime_style.color import ColorSpace
from realtime_style.engines.engine import Engine, done
from realtime_style.engines.opening import open_engine
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame
from realtime_style.painting.grain import Canvas
from realtime_style.painting.style_picture import open_any_style
from realtime_style.style.look import DEFAULT_STYLE, Look
from realtime_style.style.style import Style

MAX_WHOLE_PX = 4096 * 2304
"""Larger frames are painted tile by tile: memory grows with a picture's size."""

TILE_PX = 1024


class Stylizer:
    """Paints frames of one colour space, of any size, in one style. One thread at a time."""

    def __init__(
        self,
        style: Style,
        engine: Engine,
        color: ColorSpace,
        *,
        canvas: Canvas | None = None,
        keep_colors: bool = False,
        max_whole_px: int = MAX_WHOLE_PX,
        tile_px: int = TILE_PX,
    ) -> None:
        """Args: engine, loaded with `style.model_for(color)`; color, that of the frames to come.

        `canvas` lays a grain under flat places; with None they are painted flat. `keep_colors`
        puts the frame's chroma under the painting's luma.
        Frames of more than `max_whole_px` pixels are painted in tiles of `tile_px` (a multiple of
        64) each way, with as much of their surroundings as the network can see: no seams.
        """
        self.style = style
        self.engine = engine
        self.color = color
        self.canvas = canvas
        self.keep_colors = keep_colors
        self._max_whole_px = max_whole_px
        self._tile_px = tile_px
        self._pool = FramePool()
        self._wide_pool = FramePool()

    def prepare(self, width: int, height: int) -> None:
        """Makes the engine ready for frames of a size, so that the first takes no longer."""
        if width * height > self._max_whole_px:
            width = height = self._tile_px
        self.engine.prepare(self._padded(width), self._padded(height))

    def __call__(self, frame: Frame) -> Frame:
        """A new frame of the same size, time and colour space; the given one is left alone.

        Raises:
            EngineError: the network failed.
        """
        return self.begin(frame)()

    def begin(self, frame: Frame) -> Callable[[], Frame]:
        """Begins to paint a frame; what it returns waits for the painted one.

        The given frame is not needed any more when it returns. Up to `engine.depth` frames may be
        on their way, and are waited for in their order. Both raise EngineError.
        """
        painted = frame.blank(self._pool)
        if self.keep_colors:
            kept = frame.chroma.copy()
        grained = self.canvas(frame) if self.canvas else frame
        if frame.height * frame.width <= self._max_whole_px:
            wait = self._begin(grained, painted)
        else:
            self._paint_tiles(grained, painted)
            wait = done
        if grained is not frame:
            grained.release()

        def finish() -> Frame:
            wait()
            if self.keep_colors:
                painted.chroma[...] = kept
            return painted

        return finish

    def cancel(self) -> None:
        """Ends a call in another thread, if there is one, with EngineError; none may follow."""
        self.engine.cancel()

    def _paint_tiles(self, frame: Frame, painted: Frame) -> None:
        multiple = self.style.size_multiple
        margin = -(-self.style.reach_px // multiple) * multiple
        for top in range(0, frame.height, self._tile_px):
            for left in range(0, frame.width, self._tile_px):
                self._paint_tile(frame, painted, top, left, margin)

    def _paint_tile(self, frame: Frame, painted: Frame, top: int, left: int, margin: int) -> None:
        bottom = min(top + self._tile_px, frame.height)
        right = min(left + self._tile_px, frame.width)
        y, x = max(0, top - margin), max(0, left - margin)
        height = min(bottom + margin, frame.height) - y
        width = min(right + margin, frame.width) - x
        tile, painted_tile = (
            Frame(self._wide_pool.take(height, width), 0, frame.time_base, pool=self._wide_pool)
            for _ in range(2)
        )
        tile.luma[...] = frame.luma[:, :, y : y + height, x : x + width]
        half = np.s_[:, :, y // 2 : (y + height) // 2, x // 2 : (x + width) // 2]
        tile.chroma[...] = frame.chroma[half]
        self._begin(tile, painted_tile)()
        for scale, source, target in (
            (1, painted_tile.luma, painted.luma),
            (2, painted_tile.chroma, painted.chroma),
        ):
            target[:, :, top // scale : bottom // scale, left // scale : right // scale] = source[
                :,
                :,
                (top - y) // scale : (bottom - y) // scale,
                (left - x) // scale : (right - x) // scale,
            ]
        tile.release()
        painted_tile.release()

    def _padded(self, side: int) -> int:
        return -(-side // self.style.size_multiple) * self.style.size_multiple

    def _begin(self, frame: Frame, painted: Frame) -> Callable[[], None]:
        """Paints a frame whole, its sides padded to the style's multiple where they are none."""
        height, width = self._padded(frame.height), self._padded(frame.width)
        if (height, width) == (frame.height, frame.width):
            return self.engine.begin(frame.luma, frame.chroma, painted.luma, painted.chroma)
        wide, wide_painted = (
            Frame(self._wide_pool.take(height, width), 0, frame.time_base, pool=self._wide_pool)
            for _ in range(2)
        )
        for source, target in ((frame.luma, wide.luma), (frame.chroma, wide.chroma)):
            short = [(0, t - s) for s, t in zip(source.shape, target.shape, strict=True)]
            target[...] = np.pad(source, short, mode="edge")
        wait = self.engine.begin(wide.luma, wide.chroma, wide_painted.luma, wide_painted.chroma)
        wide.release()

        def finish() -> None:
            wait()
            for source, target in (
                (wide_painted.luma, painted.luma),
                (wide_painted.chroma, painted.chroma),
            ):
                target[...] = source[:, :, : target.shape[2], : target.shape[3]]
            wide_painted.release()

        return finish

    def paint_rgb(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Paints an RGB picture, (H, W, 3) uint8, into a new one of the same size."""
        painted = self(frame_from_rgb(rgb, self.color))
        return rgb_from_frame(painted)[: rgb.shape[0], : rgb.shape[1]]


def open_stylizer(
    style: str | Path | Style | Look = DEFAULT_STYLE,
    *,
    engine: str = "auto",
    precision: str = "auto",
    devices: Sequence[int] = (0,),
    color: ColorSpace | None = None,
    canvas: bool = True,
    overlap: bool = False,
) -> Stylizer:
    """A stylizer ready to paint.

    Args:
        style: a bundled style's name, a style file, a picture to be painted like, an opened
            style, or a look made of them.
        engine: "auto" or a name of realtime_style.engines.registry.ENGINES.
        precision: "auto", "f32", "bf16", "f16" or "int8".
        devices: numbers of the GPUs to share the frames among; CPUs have none.
        color: the colour space of the frames to come; None for RGB pictures.
        canvas: whether flat places are painted with strokes, from a faint grain; else flat.
        overlap: whether up to `engine.depth` frames will be begun before the first is waited for:
            more of them a second, each of them later.

    Raises:
        StyleFileError: no such style, or one that cannot be used.
        EngineError: the engine is not there, or does not have the precision.
    """
    look = style if isinstance(style, Look) else Look(style)
    mixed = look.mixed(open_any_style)
    color = color or mixed.color
    return Stylizer(
        mixed,
        open_engine(mixed.model_for(color), engine, precision, devices, overlap=overlap),
        color,
        canvas=Canvas(look.variation or 0, min(1.0, look.strength)) if canvas else None,
        keep_colors=look.keep_colors,
    )
