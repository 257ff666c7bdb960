"""Paints live frames: the style that is chosen, at the size that can be kept up with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from av.video.reformatter import VideoReformatter

from realtime_style.errors import StyleError
from realtime_style.frame import ColorSpace, Frame, FramePool, Size
from realtime_style.live.ladder import SizeLadder
from realtime_style.runtime.picture import scaled_frame
from realtime_style.runtime.stability import DEFAULT_STABILITY, Steady
from realtime_style.runtime.stylizer import Stylizer, open_stylizer

_SETTLE_S = 1.0  # between the loading of two styles that nobody waits for


@dataclass(frozen=True, slots=True)
class Shot:
    """A live frame, as it came and as it is painted; both have its time, sizes may differ."""

    original: Frame
    painted: Frame
    style: str
    paint_s: float


class LivePainter:
    """Paints with one of several styles; another can be chosen at any time, from any thread.

    Styles are loaded and tried on a thread of their own, so that choosing one does not hold up
    the stream: the former paints until the new one is ready. `trouble` says which could not be.
    """

    def __init__(
        self,
        styles: Sequence[str],
        *,
        first: int = 0,
        size: Size | None = None,
        interval_s: float = 1 / 30,
        stability: float = DEFAULT_STABILITY,
        engine: str = "auto",
        precision: str = "auto",
        open_style: Callable[..., Stylizer] = open_stylizer,
    ) -> None:
        """Args: styles, names or files; size, None chooses what can be painted in `interval_s`."""
        self.styles = [Path(style).stem for style in styles]
        self.trouble = ""
        self.interval_s = interval_s
        self._named = list(styles)
        self._size = size
        self._stability = stability
        self._steady: tuple[Stylizer, Steady] | None = None
        self._open = partial(open_style, engine=engine, precision=precision)
        self._chosen = first
        self._painting = first  # the style at work, until the chosen one is ready
        self._color: ColorSpace | None = None
        self._ready: dict[int, Stylizer] = {}
        self._failed: dict[int, str] = {}
        self._ladder: SizeLadder | None = None
        self._ladder_of = (0, 0)
        self._size_now: tuple[int, int] | None = None
        self._small_pool = FramePool()
        self._reformatter = VideoReformatter()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._make_ready, name="styles", daemon=True)

    @property
    def chosen(self) -> int:
        """The number of the chosen style."""
        return self._chosen

    @property
    def engine(self) -> str:
        """Engine and precision at work, for people to read."""
        stylizer = self._ready.get(self._painting)
        return f"{stylizer.engine.name} {stylizer.engine.precision}" if stylizer else ""

    def choose(self, number: int) -> None:
        """Chooses a style by its number, counted round."""
        number %= len(self.styles)
        with self._changed:
            self.trouble = self._failed.get(number, "")
            if not self.trouble:
                self._chosen = number
                self._changed.notify_all()

    def prepare(self, color: ColorSpace) -> None:
        """Loads the chosen style for frames of a colour space, unless it is loaded for it.

        Raises:
            StyleError: it cannot be loaded.
        """
        if color == self._color:
            return
        stylizer = self._open(self._named[self._chosen], color=color)
        with self._changed:
            self._color = color
            self._painting = self._chosen
            self._ready = {self._chosen: stylizer}
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def __call__(self, frame: Frame) -> Shot:
        """Paints a frame.

        Raises:
            StyleError: the style at work, or its engine, fails.
        """
        self.prepare(frame.color)
        with self._changed:
            if self._chosen in self._ready:
                self._painting = self._chosen
            stylizer, style = self._ready[self._painting], self.styles[self._painting]
        if self._steady is None or self._steady[0] is not stylizer:
            self._steady = stylizer, Steady(stylizer, self._stability)
        steady = self._steady[1]
        begin = time.perf_counter()
        self._size_now = self._size_for(frame)
        if self._size_now == (frame.width, frame.height):
            painted = steady(frame)
        else:
            small = scaled_frame(frame, self._size_now, self._reformatter, self._small_pool)
            painted = steady(small)
            small.release()
        now = time.perf_counter()
        if self._ladder:
            self._ladder.observe(now - begin, now)
        return Shot(frame, painted, style, now - begin)

    def close(self) -> None:
        """Ends the thread that loads styles, after the one at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _size_for(self, frame: Frame) -> tuple[int, int]:
        if self._size:
            return self._size.of(frame.width, frame.height)
        if self._ladder is None or self._ladder_of != (frame.width, frame.height):
            self._ladder_of = (frame.width, frame.height)
            self._ladder = SizeLadder(*self._ladder_of, self.interval_s)
        return self._ladder.size

    def _make_ready(self) -> None:
        """Loads the chosen style, then the others, the nearest first, as long as any is not."""
        while True:
            with self._changed:
                while (number := self._next_to_load()) is None and not self._closed:
                    self._changed.wait()
                if number != self._chosen and not self._closed:  # no hurry: painting goes first
                    self._changed.wait(_SETTLE_S)
                    number = self._next_to_load()
                color = self._color
            if self._closed or number is None or color is None:
                return
            try:
                stylizer = self._open(self._named[number], color=color)
                self._warm_up(stylizer)
            except StyleError as error:
                with self._changed:
                    self._failed[number] = f"{self.styles[number]}: {error}"
                    if self._chosen == number:
                        self._chosen = self._painting
                        self.trouble = self._failed[number]
                continue
            with self._changed:
                if color == self._color:
                    self._ready[number] = stylizer

    def _next_to_load(self) -> int | None:
        count = len(self.styles)
        waiting = set(range(count)) - self._ready.keys() - self._failed.keys()
        return min(
            waiting,
            key=lambda i: min((i - self._chosen) % count, (self._chosen - i) % count),
            default=None,
        )

    def _warm_up(self, stylizer: Stylizer) -> None:
        """The first picture of a size takes longer: not on the stream's time."""
        if self._size_now:
            width, height = self._size_now
            grey = Frame(FramePool().take(height, width), 0, Fraction(1), stylizer.color)
            grey.i420.fill(128)
            stylizer(grey)
