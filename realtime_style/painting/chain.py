"""Builds painters. Only this module knows what a painter consists of, and in which order.

    frame -> Mask -> Steady -> KeepColors -> Stylizer -> painted frame

The first three wrap the painter after them, and are left out unless the plan asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime_style.color import ColorSpace
from realtime_style.engines.engine import Engine
from realtime_style.engines.opening import open_engine, open_gpu_engine
from realtime_style.engines.tensorrt.cuda import Cuda
from realtime_style.frame import MIN_SIDE_PX, Frame
from realtime_style.media.scaling import frame_from_rgb, rgb_from_frame
from realtime_style.painting.gpu_stylizer import GpuStylizer
from realtime_style.painting.grain import Grain
from realtime_style.painting.keep_colors import KeepColors
from realtime_style.painting.mask import Mask
from realtime_style.painting.person import PersonFinder
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.steady import Steady
from realtime_style.painting.style_picture import open_any_style
from realtime_style.painting.stylizer import Stylizer
from realtime_style.painting.wrapper import Wrapper
from realtime_style.stages import Painter, Pending
from realtime_style.style.look import Look
from realtime_style.style.style import Style


class PainterChain(Wrapper):
    """A `Painter` of frames of one colour space, with everything that a plan asks for.

    Attributes:
        style: the style that the look's blend, strength and variation made.
        engine: what runs the network.
        color: the colour space of the frames.
    """

    def __init__(self, outermost: Painter[Frame], stylizer: Stylizer) -> None:
        """Args: outermost, the painter that the others are in; stylizer, the innermost one."""
        super().__init__(outermost)
        self.style: Style = stylizer.style
        self.engine: Engine = stylizer.engine
        self.color = stylizer.color

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`; the painted frame is a new one of the same size, time and colours."""
        return self._painter.begin(frame)

    def __call__(self, frame: Frame) -> Frame:
        """Paints a frame and waits for it; raises EngineError where the network fails."""
        return self.begin(frame)()

    def paint_rgb(
        self, rgb: NDArray[np.uint8], on_build: Callable[[float], None] | None = None
    ) -> NDArray[np.uint8]:
        """Paints an RGB picture, (H, W, 3) uint8, into a new one of the same size.

        Args:
            rgb: the picture; it is not changed.
            on_build: called while an engine is built, with the finished part of the work, 0..1.

        Raises:
            EngineError: the network fails, or its engine cannot be built.
            ValueError: `rgb` is not such an array, or has a side of less than 16 pixels.
        """
        if min(np.shape(rgb)[:2], default=0) < MIN_SIDE_PX:
            raise ValueError(
                f"expected a picture of at least {MIN_SIDE_PX}x{MIN_SIDE_PX}, (H, W, 3) uint8, "
                f"got an array of {np.shape(rgb)}"
            )
        frame = frame_from_rgb(rgb, self.color)
        self.prepare((frame.width, frame.height), on_build)
        return rgb_from_frame(self(frame))[: rgb.shape[0], : rgb.shape[1]]


def load_stylizer(
    plan: PaintPlan, color: ColorSpace | None = None, *, in_flight: int | None = 1
) -> Stylizer:
    """Loads the network of a plan: the part of a painter that takes time and memory.

    Args:
        plan: its look and its engine are loaded; stability has no effect here.
        color: the colour space of the frames to come; None takes the style's own.
        in_flight: how many frames will be begun before the first is waited for; see `open_engine`.

    Raises:
        StyleError: the style or the engine cannot be used.
    """
    style = plan.look.mixed(open_any_style)
    color = color or style.color
    engine = open_engine(style.model_for(color), plan.engine, in_flight=in_flight)
    return _stylizer(plan, style, engine, color)


def _stylizer(plan: PaintPlan, style: Style, engine: Engine, color: ColorSpace) -> Stylizer:
    """Paints in a loaded style, with the strokes and the grain of a plan."""
    look = plan.look
    grain = Grain(look.variation or 0, min(1.0, look.strength)) if plan.grain else None
    return Stylizer(style, engine, color, strokes=look.strokes, grain=grain)


def build_painter(
    plan: PaintPlan | Look | str | Path | Style,
    color: ColorSpace | None = None,
    *,
    strength: float | None = None,
    tier: str | None = None,
    in_flight: int | None = 1,
    stylizer: Stylizer | None = None,
    finder: PersonFinder | None = None,
) -> PainterChain:
    """Builds the painter of a plan.

    Args:
        plan: how to paint. A look, or a style's name or file, means a plan with this look and
            default values.
        color: the colour space of the frames to come; None takes the style's own, which suits RGB
            pictures.
        strength, tier: replace those of the look; None leaves them as they are.
        in_flight: how many frames will be begun before the first is waited for; see `open_engine`.
        stylizer: what `load_stylizer` returned for the same style, engine and colour space, so
            that nothing is loaded again. Several painters may share it, if only one paints at a
            time.
        finder: finds people, if the plan has a mask; None loads a new one. Painters may share it
            as they may share a stylizer.

    Raises:
        StyleError: the style or the engine cannot be used.
    """
    if not isinstance(plan, PaintPlan):
        plan = PaintPlan(plan)
    if strength is not None or tier is not None:
        look = PaintPlan(plan.look, strength=strength, tier=tier).look
        plan = replace(plan, look=look)
    if stylizer:
        stylizer = _stylizer(plan, stylizer.style, stylizer.engine, stylizer.color)
    else:
        stylizer = load_stylizer(plan, color, in_flight=in_flight)
    painter: Painter[Frame] = stylizer
    if plan.look.keep_colors:
        painter = KeepColors(painter)
    if plan.stability:
        painter = Steady(painter, plan.stability, plan.look.strokes)
    if plan.mask:
        finder = finder or PersonFinder(plan.engine.name)
        painter = Mask(painter, plan.mask, finder, steady=plan.stability > 0)
    return PainterChain(painter, stylizer)


def build_gpu_painter(plan: PaintPlan, cuda: Cuda, color: ColorSpace) -> GpuStylizer:
    """Builds the painter of frames in GPU memory, without stability, grain and mask.

    Args:
        plan: its look, its engine and its strokes are used.
        cuda: the GPU.
        color: the colour space of the frames to come.

    Raises:
        StyleFileError: there is no such style, or it cannot be used.
        EngineError: TensorRT is not available, or does not have the precision.
    """
    style = plan.look.mixed(open_any_style)
    engine = open_gpu_engine(style.model_for(color), cuda, plan.engine)
    return GpuStylizer(
        style, engine, cuda, strokes=plan.look.strokes, keep_colors=plan.look.keep_colors
    )
