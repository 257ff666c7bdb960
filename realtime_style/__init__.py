"""Paints videos in the style of a painting, in real time, with their sound and timing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_style.color import ColorSpace as ColorSpace
    from realtime_style.engines.choice import EngineChoice as EngineChoice
    from realtime_style.errors import EngineError as EngineError
    from realtime_style.errors import MediaError as MediaError
    from realtime_style.errors import StyleError as StyleError
    from realtime_style.errors import StyleFileError as StyleFileError
    from realtime_style.frame import Frame as Frame
    from realtime_style.frame import Size as Size
    from realtime_style.frame import StreamInfo as StreamInfo
    from realtime_style.jobs.execution import Execution as Execution
    from realtime_style.jobs.film import FilmJob as FilmJob
    from realtime_style.jobs.film import FilmObserver as FilmObserver
    from realtime_style.jobs.film import FilmReport as FilmReport
    from realtime_style.jobs.film import FilmRequest as FilmRequest
    from realtime_style.jobs.film import open_film as open_film
    from realtime_style.jobs.picture import paint_picture as paint_picture
    from realtime_style.jobs.picture import stylize_image as stylize_image
    from realtime_style.jobs.pipeline import Pipeline as Pipeline
    from realtime_style.jobs.pipeline import RunStats as RunStats
    from realtime_style.jobs.trace import Trace as Trace
    from realtime_style.media.encoding import Encoding as Encoding
    from realtime_style.media.film_sink import FileSink as FileSink
    from realtime_style.media.film_source import FileSource as FileSource
    from realtime_style.painting.chain import PainterChain as PainterChain
    from realtime_style.painting.chain import build_painter as build_painter
    from realtime_style.painting.plan import MaskPlan as MaskPlan
    from realtime_style.painting.plan import PaintPlan as PaintPlan
    from realtime_style.stages import FrameSink as FrameSink
    from realtime_style.stages import FrameSource as FrameSource
    from realtime_style.stages import Painter as Painter
    from realtime_style.style.bundled import bundled_styles as bundled_styles
    from realtime_style.style.bundled import open_style as open_style
    from realtime_style.style.look import Look as Look
    from realtime_style.style.style import Style as Style

__version__ = "0.2.0"

_PUBLIC = {
    "realtime_style.errors": ("EngineError", "MediaError", "StyleError", "StyleFileError"),
    "realtime_style.color": ("ColorSpace",),
    "realtime_style.frame": ("Frame", "Size", "StreamInfo"),
    "realtime_style.style.look": ("Look",),
    "realtime_style.jobs.execution": ("Execution",),
    "realtime_style.jobs.trace": ("Trace",),
    "realtime_style.jobs.pipeline": ("Pipeline", "RunStats"),
    "realtime_style.media.encoding": ("Encoding",),
    "realtime_style.media.film_sink": ("FileSink",),
    "realtime_style.media.film_source": ("FileSource",),
    "realtime_style.engines.choice": ("EngineChoice",),
    "realtime_style.painting.chain": ("PainterChain", "build_painter"),
    "realtime_style.painting.plan": ("MaskPlan", "PaintPlan"),
    "realtime_style.jobs.film": (
        "FilmJob",
        "FilmObserver",
        "FilmReport",
        "FilmRequest",
        "open_film",
    ),
    "realtime_style.jobs.picture": ("paint_picture", "stylize_image"),
    "realtime_style.stages": ("FrameSink", "FrameSource", "Painter"),
    "realtime_style.style.bundled": ("bundled_styles", "open_style"),
    "realtime_style.style.style": ("Style",),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `import realtime_style` stays light."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'realtime_style' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
