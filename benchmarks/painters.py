"""Painters as the benchmarks need them."""

from __future__ import annotations

from pathlib import Path

from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.style.style import Style


def painter_of(
    look: Look | Style | str | Path,
    *,
    precision: str = "auto",
    color: ColorSpace | None = None,
    stability: float = 0.0,
) -> PainterChain:
    """A painter of a look or style; without a stability it paints every frame by itself."""
    look = look if isinstance(look, Look) else Look(look)
    return build_painter(PaintPlan(look, EngineChoice(precision=precision), stability), color)
