"""realtime-style turns any video into a moving painting, in real time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_style.errors import EngineError as EngineError
    from realtime_style.errors import MediaError as MediaError
    from realtime_style.errors import StyleError as StyleError
    from realtime_style.errors import StyleFileError as StyleFileError
    from realtime_style.frame import ColorSpace as ColorSpace
    from realtime_style.frame import Frame as Frame
    from realtime_style.frame import Size as Size
    from realtime_style.frame import StreamInfo as StreamInfo
    from realtime_style.look import Look as Look
    from realtime_style.runtime.pipeline import Pipeline as Pipeline
    from realtime_style.runtime.pipeline import RunStats as RunStats
    from realtime_style.runtime.sink import Encoding as Encoding
    from realtime_style.runtime.sink import FileSink as FileSink
    from realtime_style.runtime.source import FileSource as FileSource
    from realtime_style.runtime.stability import Steady as Steady
    from realtime_style.runtime.stylizer import Stylizer as Stylizer
    from realtime_style.runtime.stylizer import open_stylizer as open_stylizer
    from realtime_style.runtime.video import VideoJob as VideoJob
    from realtime_style.runtime.video import stylize_video as stylize_video
    from realtime_style.style import Style as Style
    from realtime_style.style import bundled_styles as bundled_styles
    from realtime_style.style import open_style as open_style

__version__ = "0.1.0"

_PUBLIC = {
    "realtime_style.errors": ("EngineError", "MediaError", "StyleError", "StyleFileError"),
    "realtime_style.frame": ("ColorSpace", "Frame", "Size", "StreamInfo"),
    "realtime_style.look": ("Look",),
    "realtime_style.runtime.pipeline": ("Pipeline", "RunStats"),
    "realtime_style.runtime.sink": ("Encoding", "FileSink"),
    "realtime_style.runtime.source": ("FileSource",),
    "realtime_style.runtime.stability": ("Steady",),
    "realtime_style.runtime.stylizer": ("Stylizer", "open_stylizer"),
    "realtime_style.runtime.video": ("VideoJob", "stylize_video"),
    "realtime_style.style": ("Style", "bundled_styles", "open_style"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for: `import realtime_style` stays light."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'realtime_style' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
