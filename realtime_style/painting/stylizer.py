"""Runs the network on frames: frame in, painted frame out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from realtime_style.color import ColorSpace
from realtime_style.engines.engine import Engine
from realtime_style.frame import Frame, FramePool
from realtime_style.stages import Pending
from realtime_style.style.style import Style

MAX_WHOLE_PX = 4096 * 2304
"""Frames with more pixels are painted tile by tile, to limit the memory that painting takes."""

TILE_PX = 1024  # side of a tile, without its surroundings


class Stylizer:
    """A `Painter` of frames of one colour space and any size, each painted by itself."""

    def __init__(
        self,
        style: Style,
        engine: Engine,
        color: ColorSpace,
        *,
        max_whole_px: int = MAX_WHOLE_PX,
        tile_px: int = TILE_PX,
    ) -> None:
        """Paints with a loaded engine.

        Args:
            style: the style to paint in.
            engine: an engine that was opened with `style.model_for(color)`.
            color: the colour space of the frames to come.
            max_whole_px: frames with more pixels are painted in tiles. Each is painted together
                with as much of its surroundings as affects it, so that no seams show.
            tile_px: side of a tile in pixels, a multiple of 64.
        """
        self.style = style
        self.engine = engine
        self.color = color
        self._max_whole_px = max_whole_px
        self._tile_px = tile_px
        self._pool = FramePool()
        self._padded_pool = FramePool()

    @property
    def in_flight(self) -> int:
        """See `Painter`."""
        return self.engine.in_flight

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""
        width, height = size
        if width * height > self._max_whole_px:
            width = height = self._tile_px
        self.engine.prepare(self._padded(width), self._padded(height), on_build)

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        painted = frame.blank(self._pool)
        if frame.height * frame.width > self._max_whole_px:
            self._paint_tiles(frame, painted)
            return lambda: painted
        wait = self._begin(frame, painted)

        def finish() -> Frame:
            wait()
            return painted

        return finish

    def reset(self) -> None:
        """See `Painter`; there is nothing to forget."""

    def cancel(self) -> None:
        """See `Painter`."""
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
            Frame(self._padded_pool.take(height, width), 0, frame.time_base, pool=self._padded_pool)
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
        """Begins to paint a whole frame, padded if its sides are not multiples of the style's."""
        height, width = self._padded(frame.height), self._padded(frame.width)
        if (height, width) == (frame.height, frame.width):
            return self.engine.begin(frame.luma, frame.chroma, painted.luma, painted.chroma)
        padded, padded_painted = (
            Frame(self._padded_pool.take(height, width), 0, frame.time_base, pool=self._padded_pool)
            for _ in range(2)
        )
        for source, target in ((frame.luma, padded.luma), (frame.chroma, padded.chroma)):
            short = [(0, t - s) for s, t in zip(source.shape, target.shape, strict=True)]
            target[...] = np.pad(source, short, mode="edge")
        wait = self.engine.begin(
            padded.luma, padded.chroma, padded_painted.luma, padded_painted.chroma
        )
        padded.release()

        def finish() -> None:
            wait()
            for source, target in (
                (padded_painted.luma, painted.luma),
                (padded_painted.chroma, painted.chroma),
            ):
                target[...] = source[:, :, : target.shape[2], : target.shape[3]]
            padded_painted.release()

        return finish
