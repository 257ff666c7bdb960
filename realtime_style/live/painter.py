"""Paints live frames: in the look that is chosen, at the size that can be kept up with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from av.video.reformatter import VideoReformatter

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, FramePool, Size
from realtime_style.live.ladder import SizeLadder
from realtime_style.media.scaling import scaled_frame
from realtime_style.painting.chain import PainterChain, build_painter, load_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.bundled import STANDARD, bundled_styles
from realtime_style.style.look import Look

_SETTLE_S = 1.0  # between the loading of two looks that nobody waits for
_SPARE = 4  # looks that are kept besides one for every style


@dataclass(frozen=True, slots=True)
class Shot:
    """A live frame, as it came and as it is painted; both have its time, sizes may differ."""

    original: Frame
    painted: Frame
    look: Look
    style: str
    paint_s: float


class LivePainter:
    """Paints in one look; another can be chosen at any time, from any thread.

    Looks are mixed, loaded and tried on a thread of their own, so that choosing one does not hold
    up the stream: the former paints until the new one is ready, and of several that were chosen
    meanwhile only the last is made. `trouble` says which could not be.
    """

    def __init__(
        self,
        styles: Sequence[str],
        *,
        plan: PaintPlan | None = None,
        size: Size | None = None,
        interval_s: float = 1 / 30,
        load: Callable[[PaintPlan, ColorSpace], Stylizer] = load_stylizer,
    ) -> None:
        """Loads nothing yet.

        Args:
            styles: names or files to choose from.
            plan: the look to begin with, engine and stability; None takes the first style.
            size: at which to paint; None chooses what can be painted in `interval_s`.
        """
        self.styles = [Path(style).stem for style in styles]
        self.trouble = ""
        self.interval_s = interval_s
        self.named = list(styles)
        self._size = size
        self._plan = plan or PaintPlan(Look(styles[0]))
        self._painter: tuple[Look, Stylizer, PainterChain] | None = None
        self._load = load
        self._wish = self._plan.look
        self._painting = self._wish  # the look at work, until the one that is wished is ready
        self._color: ColorSpace | None = None
        self._ready: dict[Look, Stylizer] = {}  # by looks with the painting's colours
        self._failed: dict[Look, str] = {}
        self._ladder: SizeLadder | None = None
        self._ladder_of = (0, 0)
        self._size_now: tuple[int, int] | None = None
        self._small_pool = FramePool()
        self._reformatter = VideoReformatter()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._make_ready, name="looks", daemon=True)

    @property
    def look(self) -> Look:
        """The look that is chosen; setting one chooses it."""
        return self._wish

    @look.setter
    def look(self, look: Look) -> None:
        with self._changed:
            self.trouble = self._failed.get(_loaded_as(look), "")
            if not self.trouble:
                self._wish = look
                self._changed.notify_all()

    @property
    def chosen(self) -> int:
        """The number of the chosen style; -1 if it is none of `styles`."""
        return self.named.index(self._wish.style) if self._wish.style in self.named else -1

    @property
    def engine(self) -> str:
        """Engine and precision at work, for people to read."""
        stylizer = self._ready.get(_loaded_as(self._painting))
        return f"{stylizer.engine.name} {stylizer.engine.precision}" if stylizer else ""

    def choose(self, number: int) -> None:
        """Chooses a style by its number, counted round; all else of the look stays.

        But for the tier, where the style comes in no other than the standard one.
        """
        self.look = _of_style(self._wish, self.named[number % len(self.named)])

    def prepare(self, color: ColorSpace) -> None:
        """Loads the chosen look for frames of a colour space, unless it is loaded for it.

        Raises:
            StyleError: it cannot be loaded.
        """
        if color == self._color:
            return
        wish = self._wish
        stylizer = self._load(self._plan_of(_loaded_as(wish)), color)
        with self._changed:
            self._color = color
            self._painting = wish
            self._ready = {_loaded_as(wish): stylizer}
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def __call__(self, frame: Frame) -> Shot:
        """Paints a frame.

        Raises:
            StyleError: the look at work, or its engine, fails.
        """
        self.prepare(frame.color)
        with self._changed:
            if _loaded_as(self._wish) in self._ready:
                self._painting = self._wish
            look, stylizer = self._painting, self._ready[_loaded_as(self._painting)]
        if self._painter is None or self._painter[:2] != (look, stylizer):
            chain = build_painter(self._plan_of(look), stylizer=stylizer)
            self._painter = look, stylizer, chain
        painter = self._painter[2]
        begin = time.perf_counter()
        self._size_now = self._size_for(frame)
        if self._size_now == (frame.width, frame.height):
            painted = painter(frame)
        else:
            small = scaled_frame(frame, self._size_now, self._reformatter, self._small_pool)
            painted = painter(small)
            small.release()
        now = time.perf_counter()
        if self._ladder:
            self._ladder.observe(now - begin, now)
        return Shot(frame, painted, look, stylizer.style.name, now - begin)

    def close(self) -> None:
        """Ends the thread that loads looks, after the one at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _plan_of(self, look: Look) -> PaintPlan:
        return replace(self._plan, look=look)

    def _size_for(self, frame: Frame) -> tuple[int, int]:
        if self._size:
            return self._size.of(frame.width, frame.height)
        if self._ladder is None or self._ladder_of != (frame.width, frame.height):
            self._ladder_of = (frame.width, frame.height)
            self._ladder = SizeLadder(*self._ladder_of, self.interval_s)
        return self._ladder.size

    def _make_ready(self) -> None:
        """Loads the chosen look, then the same of the other styles, the nearest first."""
        while True:
            with self._changed:
                while (look := self._next_to_load()) is None and not self._closed:
                    self._changed.wait()
                if look != _loaded_as(self._wish) and not self._closed:
                    self._changed.wait(_SETTLE_S)  # no hurry: painting goes first
                    look = self._next_to_load()
                if self._closed:
                    return
                color = self._color
            if look is None:  # another was chosen meanwhile, which is there
                continue
            assert color
            try:
                stylizer = self._load(self._plan_of(look), color)
                if self._size_now:  # what takes an engine long; not on the stream's time
                    stylizer.prepare(self._size_now)
            except Exception as error:  # whatever it is: without this thread no other look comes
                with self._changed:
                    self._failed[look] = f"{look}: {error}"
                    if _loaded_as(self._wish) == look:
                        self._wish = self._painting
                        self.trouble = self._failed[look]
                continue
            with self._changed:
                if color == self._color:
                    self._ready[look] = stylizer
                    self._forget()

    def _next_to_load(self) -> Look | None:
        """The chosen look, else the nearest other style in the same way, unless it is there."""
        wish, count, chosen = _loaded_as(self._wish), len(self.named), self.chosen
        around = sorted(range(count), key=lambda i: min((i - chosen) % count, (chosen - i) % count))
        looks = [wish, *(_of_style(wish, self.named[i]) for i in around)]
        known = self._ready.keys() | self._failed.keys()
        return next((look for look in looks if look not in known), None)

    def _forget(self) -> None:
        """Drops looks that are long out of use; the first that were loaded go first."""
        for look in list(self._ready):
            if len(self._ready) <= len(self.named) + _SPARE:
                return
            if look not in (_loaded_as(self._painting), _loaded_as(self._wish)):
                del self._ready[look]


def _of_style(look: Look, style: str) -> Look:
    """The same of another style, in its own tier if it has not that one."""
    tier = look.tier if style in bundled_styles(look.tier) else STANDARD
    return replace(look, style=style, tier=tier)


def _loaded_as(look: Look) -> Look:
    """Looks that differ by this alone share what is loaded."""
    return replace(look, keep_colors=False)
