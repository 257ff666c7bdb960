"""Small paintings of one frame of a film, to choose a look by."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realtime_style.engines.choice import EngineChoice
from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.jobs.film import FilmRequest
from realtime_style.jobs.samples import frames_at
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.media.still import read_picture
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.person import PersonFinder
from realtime_style.painting.plan import MaskPlan, PaintPlan
from realtime_style.style.look import Look

_LINES = 360  # height of a preview, in pixels
_PAINTERS, _FRAMES = 16, 8  # how many are kept
_QUALITY = 85
_END_S = 0.2  # the last frame is not later than so many seconds before the end

Rgb = NDArray[np.uint8]


class Previews:
    """Paints previews, one after the other, on a thread of its own."""

    def __init__(self, engine: EngineChoice) -> None:
        """Loads nothing yet. Args: engine, what paints."""
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "previews")
        self._painters: OrderedDict[tuple[Look, MaskPlan | None], PainterChain] = OrderedDict()
        self._finder: PersonFinder | None = None  # loaded when a preview needs it
        self._frames: OrderedDict[tuple[Path, float], Rgb] = OrderedDict()

    async def paint(
        self, path: Path, kind: str, at_s: float, look: Look | None, mask: MaskPlan | None = None
    ) -> bytes:
        """A JPEG file of a film's frame, 360 pixels high.

        Args:
            path: the film or picture.
            kind: "film" or "picture".
            at_s: when the frame is shown, in seconds.
            look: how it is painted; None leaves it as it is.
            mask: which part of it is painted; None paints all.

        Raises:
            StyleError: it cannot be read or painted.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._paint, path, kind, at_s, look, mask)

    def close(self) -> None:
        """Paints nothing more, and waits for what is being painted."""
        self._thread.shutdown(cancel_futures=True)

    def _paint(
        self, path: Path, kind: str, at_s: float, look: Look | None, mask: MaskPlan | None
    ) -> bytes:
        rgb = self._frame(path, kind, at_s)
        if look is not None:
            rgb = self._painter(look, mask).paint_rgb(rgb)
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()

    def _frame(self, path: Path, kind: str, at_s: float) -> Rgb:
        if (path, at_s) not in self._frames:
            rgb = _picture(path) if kind == "picture" else _frame_of(path, at_s)
            self._frames[path, at_s] = rgb
            while len(self._frames) > _FRAMES:
                self._frames.popitem(last=False)
        return self._frames[path, at_s]

    def _painter(self, look: Look, mask: MaskPlan | None) -> PainterChain:
        key = look, mask
        if key not in self._painters:
            plan = PaintPlan(look, self._engine, 0.0, mask=mask)
            if mask and not self._finder:
                self._finder = PersonFinder(self._engine.name)
            self._painters[key] = build_painter(plan, finder=self._finder)
            while len(self._painters) > _PAINTERS:
                self._painters.popitem(last=False)
        self._painters.move_to_end(key)
        return self._painters[key]


def _picture(path: Path) -> Rgb:
    rgb = read_picture(path).rgb
    height, width = rgb.shape[:2]
    if height <= _LINES:
        return rgb
    size = Size(_LINES).of(width, height)
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def _frame_of(path: Path, at_s: float) -> Rgb:
    request = FilmRequest(str(path), "preview.mp4", size=Size(_LINES))
    trouble: Exception | None = None
    for time_s in (at_s, max(0.0, at_s - _END_S), 0.0):
        try:
            return rgb_from_frame(next(frames_at(request, [time_s])))
        except (MediaError, RuntimeError) as error:  # there is no frame so late
            trouble = error
    raise MediaError("the film has no frame that can be shown") from trouble
