"""Loads looks in the background, so that choosing one does not hold up the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from realtime_style.color import ColorSpace
from realtime_style.painting.chain import load_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.stylizer import Stylizer
from realtime_style.style.bundled import STANDARD, bundled_styles
from realtime_style.style.look import Look

LoadStylizer = Callable[[PaintPlan, ColorSpace], Stylizer]
"""Loads the network of a plan for frames of a colour space; raises StyleError."""

_SETTLE_S = 1.0  # pause before loading a look in advance
_SPARE = 4  # how many loaded looks are kept, in addition to one for each style


@dataclass(frozen=True, slots=True)
class LookFailure:
    """A look that cannot be loaded; `text` says why, as a sentence."""

    look: Look
    text: str


class LookLoader:
    """Loads the wanted look on its own thread, and then, in advance, that look in all other styles.

    The previous look stays in use until the wanted one is loaded. If several are wanted in quick
    succession, only the last is loaded. Looks that differ only in `keep_colors` share a network.
    Looks may be wanted from any thread; `load_for` and `current` are for the thread that paints.

    Attributes:
        wanted: the look to use as soon as it is loaded.
        in_use: the look that frames are painted in.
        failure: why the look that was wanted last is not used; None if it did not fail.
    """

    def __init__(
        self,
        styles: Sequence[str],
        plan: PaintPlan,
        load: LoadStylizer = load_stylizer,
        settle_s: float = _SETTLE_S,
    ) -> None:
        """Starts no thread yet.

        Args:
            styles: names or files of the styles to load in advance.
            plan: the look to begin with, and the engine for all looks.
            load: loads a look's network.
            settle_s: seconds to wait before loading a look in advance.
        """
        self.wanted = self.in_use = plan.look
        self.failure: LookFailure | None = None
        self._styles, self._plan = list(styles), plan
        self._load, self._settle_s = load, settle_s
        self._color: ColorSpace | None = None
        self._size: tuple[int, int] | None = None
        self._loaded: dict[Look, Stylizer] = {}  # keys from `_network_of`; oldest first
        self._failed: dict[Look, LookFailure] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="looks", daemon=True)

    @property
    def chosen(self) -> int:
        """The index of the wanted look's style in `styles`; -1 if it is not one of them."""
        style = self.wanted.style
        return self._styles.index(style) if style in self._styles else -1

    def want(self, look: Look) -> None:
        """Uses a look as soon as it is loaded. If it has failed before, only sets `failure`."""
        with self._changed:
            self.failure = self._failed.get(_network_of(look))
            if not self.failure:
                self.wanted = look
                self._changed.notify_all()

    def want_style(self, number: int) -> None:
        """Wants the present look in another style, as `want` does.

        Args:
            number: index in `styles`, modulo their number. If that style exists only in the
                standard tier, the look gets that tier.
        """
        self.want(_in_style(self.wanted, self._styles[number % len(self._styles)]))

    def load_for(self, color: ColorSpace) -> None:
        """Loads the wanted look and waits for it, unless looks are loaded for this colour space.

        Args:
            color: the colour space of the frames to come.

        Raises:
            StyleError: the look cannot be loaded.
        """
        if color == self._color:
            return
        look = self.wanted
        stylizer = self._load(self._plan_of(look), color)
        with self._changed:
            self._color = color
            self.in_use = look
            self._loaded = {_network_of(look): stylizer}
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def current(self, size: tuple[int, int]) -> tuple[Look, Stylizer]:
        """The look to paint the next frame in, and its network.

        Args:
            size: (width, height) of that frame in pixels; looks that are loaded later are prepared
                for this size.

        Raises:
            KeyError: `load_for` has not been called.
        """
        with self._changed:
            self._size = size
            if _network_of(self.wanted) in self._loaded:
                self.in_use = self.wanted
            return self.in_use, self._loaded[_network_of(self.in_use)]

    def stylizer(self) -> Stylizer | None:
        """The network in use; None before the first one is loaded."""
        return self._loaded.get(_network_of(self.in_use))

    def close(self, timeout_s: float) -> bool:
        """Ends the thread. Returns False if it is still loading after `timeout_s` seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (look := self._next()) is None and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                # Painting has priority over what nobody asked for, and so has a new wish
                in_advance = look != _network_of(self.wanted)
                if in_advance and self._changed.wait(self._settle_s):
                    continue
                color, size = self._color, self._size
            if look is not None and color is not None:
                self._load_one(look, color, size)

    def _load_one(self, look: Look, color: ColorSpace, size: tuple[int, int] | None) -> None:
        try:
            stylizer = self._load(self._plan_of(look), color)
            if size:  # here, because this may build an engine, and painting must not wait for it
                stylizer.prepare(size)
        # Of any kind, because it would end this thread, and no look would be loaded any more
        except Exception as error:
            with self._changed:
                failure = self._failed[look] = LookFailure(look, f"{look}: {error}")
                if _network_of(self.wanted) == look:
                    self.wanted, self.failure = self.in_use, failure
            return
        with self._changed:
            if color == self._color:
                self._loaded[look] = stylizer
                self._forget()

    def _next(self) -> Look | None:
        """The look to load next; None if all have been loaded or have failed.

        It is the wanted look first, and then the same look in the styles nearest to the wanted one.
        """
        wanted, count, chosen = _network_of(self.wanted), len(self._styles), self.chosen
        nearest = sorted(
            range(count), key=lambda i: min((i - chosen) % count, (chosen - i) % count)
        )
        looks = [wanted, *(_in_style(wanted, self._styles[i]) for i in nearest)]
        known = self._loaded.keys() | self._failed.keys()
        return next((look for look in looks if look not in known), None)

    def _forget(self) -> None:
        """Frees the looks that were loaded first, if more are loaded than should be kept."""
        needed = {_network_of(self.in_use), _network_of(self.wanted)}
        for look in list(self._loaded):
            if len(self._loaded) <= len(self._styles) + _SPARE:
                return
            if look not in needed:
                del self._loaded[look]

    def _plan_of(self, look: Look) -> PaintPlan:
        return replace(self._plan, look=_network_of(look))


def _in_style(look: Look, style: str) -> Look:
    """The look in another style; in the standard tier if the style does not have the look's."""
    tier = look.tier if style in bundled_styles(look.tier) else STANDARD
    return replace(look, style=style, tier=tier)


def _network_of(look: Look) -> Look:
    """The look without what does not change its network, as a key for loaded networks."""
    return replace(look, keep_colors=False)
