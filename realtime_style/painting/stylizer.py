"""Runs the network on frames: frame in, painted frame out."""

from __future__ import annotations

from collections.abc import Callable

from av.video.reformatter import VideoReformatter

from realtime_style.canvas import canvas_size, painted_size
from realtime_style.color import ColorSpace
from realtime_style.engines.engine import Engine, Planes
from realtime_style.frame import Frame, FramePool
from realtime_style.media.scaling import reduced_frame
from realtime_style.painting.enlarger import Enlarger
from realtime_style.painting.grain import Grain, grain_limits
from realtime_style.stages import Pending
from realtime_style.style.style import Style


class Stylizer:
    """A `Painter` of frames of one colour space and any size, each painted by itself.

    The network sees a frame twice: at its own size, and reduced to a canvas, on which it paints
    strokes. Very large frames are painted at `painted_size`, and enlarged with their own detail.
    """

    def __init__(
        self,
        style: Style,
        engine: Engine,
        color: ColorSpace,
        *,
        strokes: float = 1.0,
        grain: Grain | None = None,
    ) -> None:
        """Paints with a loaded engine.

        Args:
            style: the style to paint in.
            engine: an engine that was opened with `style.model_for(color)`.
            color: the colour space of the frames to come.
            strokes: how large strokes are relative to the picture; see `canvas.STROKE_SIZES`.
            grain: the grain that the canvas gets; None for none.
        """
        self.style = style
        self.engine = engine
        self.color = color
        self._strokes = strokes
        laid = grain is not None and engine.lay_grain(grain.tile, grain_limits())
        self._grain = None if laid else grain
        self._pool = FramePool()
        self._small_pool = FramePool()
        self._canvas_pool = FramePool()
        self._reformatters = VideoReformatter(), VideoReformatter()
        self._enlarger = Enlarger()

    @property
    def in_flight(self) -> int:
        """See `Painter`."""
        return self.engine.in_flight

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""
        size = painted_size(*size)
        self.engine.prepare(size, canvas_size(*size, self._strokes), on_build)

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        size = painted_size(frame.width, frame.height)
        if size == (frame.width, frame.height):
            return self._begin(frame)
        small = reduced_frame(frame, size, self._reformatters[0], self._small_pool)
        wait = self._begin(small)
        whole = frame.blank(self._pool)
        whole.i420[...] = frame.i420  # the caller may reuse the frame while it is painted

        def finish() -> Frame:
            painted = wait()
            self._enlarger.enlarge(painted, small, whole)
            painted.release()
            small.release()
            return whole

        return finish

    def reset(self) -> None:
        """See `Painter`; there is nothing to forget."""

    def cancel(self) -> None:
        """See `Painter`."""
        self.engine.cancel()

    def _begin(self, frame: Frame) -> Pending[Frame]:
        """Begins to paint a frame at its own size."""
        size = canvas_size(frame.width, frame.height, self._strokes)
        canvas = reduced_frame(frame, size, self._reformatters[1], self._canvas_pool)
        grained = self._grain.lay_under(canvas) if self._grain else canvas
        painted = frame.blank(self._pool)
        planes = Planes(frame.luma, frame.chroma, grained.luma, grained.chroma)
        wait = self.engine.begin(planes, painted.luma, painted.chroma)
        for used in {id(each): each for each in (canvas, grained)}.values():
            used.release()

        def finish() -> Frame:
            wait()
            return painted

        return finish
