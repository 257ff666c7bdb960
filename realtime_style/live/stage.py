"""Paints live frames in the chosen look, at the largest size that keeps up with the source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from av.video.reformatter import VideoReformatter

from realtime_style.color import ColorSpace
from realtime_style.frame import Frame, FramePool, Size
from realtime_style.live.front_end import Shot
from realtime_style.live.ladder import SizeLadder
from realtime_style.live.look_loader import LoadStylizer, LookFailure, LookLoader
from realtime_style.media.scaling import scaled_frame
from realtime_style.painting.chain import PainterChain, build_painter, load_stylizer
from realtime_style.painting.person import PersonFinder
from realtime_style.painting.plan import MaskPlan, PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.look import Look

MIN_SIZE = Size(360)
"""The smallest size to paint at, unless another is chosen: below it little can be recognised."""

_DEFAULT_INTERVAL_S = 1 / 30
# How long sizes are tried. That long, because looks are loaded meanwhile, which slows painting.
# Afterwards the size is kept, and with it how sharp the picture is
_TRY_SIZES_S = 30.0


class LiveStage:
    """Paints one live frame at a time, in a look that may change at any time.

    Looks may be chosen from any thread; they are loaded in the background (see `LookLoader`).

    Attributes:
        styles: names or files of the styles to choose from, by number.
    """

    def __init__(
        self,
        styles: Sequence[str],
        plan: PaintPlan,
        *,
        size: Size | None = None,
        min_size: Size = MIN_SIZE,
        load: LoadStylizer = load_stylizer,
    ) -> None:
        """Loads nothing yet.

        Args:
            styles: names or files of the styles to choose from.
            plan: how to paint; its look is the first one.
            size: the size to paint at; None chooses the largest that can be painted in time.
            min_size: the smallest size to choose, by its shorter side; see `LiveRequest`.
            load: loads a look's network.
        """
        self.styles = list(styles)
        self._plan, self._size, self._min_size = plan, size, min_size
        self._looks = LookLoader(self.styles, plan, load)
        self._interval_s = _DEFAULT_INTERVAL_S
        self._chain: PainterChain | None = None
        self._chain_of: tuple[PaintPlan, Stylizer] | None = None  # what `_chain` was built for
        self._finder: PersonFinder | None = None  # loaded when the first frame needs it, and kept
        self._ladder: SizeLadder | None = None
        self._ladder_of = (0, 0)
        self._small_pool = FramePool()
        self._reformatter = VideoReformatter()

    @property
    def look(self) -> Look:
        """The chosen look; it may still be loading."""
        return self._looks.wanted

    @property
    def failure(self) -> LookFailure | None:
        """Why the look that was chosen last is not used; None if it did not fail."""
        return self._looks.failure

    @property
    def chosen(self) -> int:
        """The index of the chosen look's style in `styles`; -1 if it is not one of them."""
        return self._looks.chosen

    @property
    def stability(self) -> float:
        """The flicker reduction, 0..1."""
        return self._plan.stability

    @property
    def style_names(self) -> tuple[str, ...]:
        """Names of `styles` for people: of a file only the name, without folder and ending."""
        return tuple(Path(style).stem for style in self.styles)

    @property
    def engine(self) -> str:
        """Name and precision of the engine in use; "" before the first look is loaded."""
        stylizer = self._looks.stylizer()
        return f"{stylizer.engine.name} {stylizer.engine.precision}" if stylizer else ""

    def choose_look(self, look: Look) -> None:
        """Chooses a look. If it has failed before, only sets `failure`."""
        self._looks.want(look)

    def choose(self, number: int) -> None:
        """Chooses the present look in another style, as `choose_look` does.

        Args:
            number: index in `styles`, modulo their number. If that style exists only in the
                standard tier, the look gets that tier.
        """
        self._looks.want_style(number)

    def set_stability(self, stability: float) -> None:
        """Sets the flicker reduction, 0..1, from the next frame on; may be called on any thread."""
        self._plan = replace(self._plan, stability=stability)

    @property
    def mask(self) -> MaskPlan | None:
        """Which part of the picture is painted; None if all of it is."""
        return self._plan.mask

    def set_mask(self, mask: MaskPlan | None) -> None:
        """Sets what is painted, from the next frame on; may be called on any thread."""
        self._plan = replace(self._plan, mask=mask)

    def prepare(self, color: ColorSpace, interval_s: float) -> None:
        """Loads the chosen look, and waits for it.

        Args:
            color: the colour space of the frames to come.
            interval_s: the time for each frame, in seconds, which decides the size to paint at.

        Raises:
            StyleError: the look cannot be loaded.
        """
        self._interval_s = interval_s
        self._looks.load_for(color)

    def __call__(self, frame: Frame) -> Shot:
        """Paints a frame, scaled down if need be. The given frame becomes the shot's original.

        Raises:
            StyleError: the look cannot be loaded for a new colour space, or the engine fails.
        """
        self._looks.load_for(frame.color)
        begin_s = time.perf_counter()
        size = self._size_for(frame)
        look, stylizer = self._looks.current(size)
        chain = self._chain_for(look, stylizer)
        if size == (frame.width, frame.height):
            painted = chain(frame)
        else:
            small = scaled_frame(frame, size, self._reformatter, self._small_pool)
            painted = chain(small)
            small.release()
        now_s = time.perf_counter()
        if self._ladder:
            self._ladder.observe(now_s - begin_s, now_s)
        return Shot(frame, painted, look, stylizer.style.name, now_s - begin_s)

    def cancel(self) -> None:
        """Makes a call that is running in another thread raise EngineError; no calls may follow."""
        if self._chain:
            self._chain.cancel()

    def close(self, timeout_s: float) -> bool:
        """Ends the thread that loads looks; False if it still runs after `timeout_s` seconds."""
        return self._looks.close(timeout_s)

    def _chain_for(self, look: Look, stylizer: Stylizer) -> PainterChain:
        plan = replace(self._plan, look=look)
        if self._chain is None or self._chain_of != (plan, stylizer):
            if plan.mask and not self._finder:
                self._finder = PersonFinder(plan.engine.name)
            if self._finder and self._chain_of and self._chain_of[0].mask != plan.mask:
                self._finder.reset()  # it may not have seen frames for a while
            self._chain = build_painter(
                plan, stylizer.color, stylizer=stylizer, finder=self._finder
            )
            self._chain_of = plan, stylizer
        return self._chain

    def _size_for(self, frame: Frame) -> tuple[int, int]:
        if self._size:
            return self._size.of(frame.width, frame.height)
        if self._ladder is None or self._ladder_of != (frame.width, frame.height):
            self._ladder_of = (frame.width, frame.height)
            shorter = min(self._min_size.height, self._min_size.width or self._min_size.height)
            self._ladder = SizeLadder(
                *self._ladder_of,
                self._interval_s,
                min_side_px=shorter,
                keep_after_s=_TRY_SIZES_S,
            )
        return self._ladder.size
