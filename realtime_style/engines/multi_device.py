"""Several devices as one: pictures go to them in turn, and come back in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from realtime_style.engines.engine import Engine, Plane


class SeveralEngines(Engine):
    """An `Engine` of the same network on several devices.

    Engines that paint a picture before they return from `begin` do so on a thread each, or the
    devices would wait for one another.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Args: engines, one a device, all of one kind."""
        self.engines = list(engines)
        first = self.engines[0]
        self.name, self.precision = first.name, first.precision
        self.device = " and ".join(engine.device for engine in self.engines)
        self.depth = sum(engine.depth for engine in self.engines)
        self._next = 0
        self._threads = [ThreadPoolExecutor(1) if e.depth == 1 else None for e in self.engines]

    @property
    def notes(self) -> Sequence[str]:
        """Of all of them, each once."""
        return list(dict.fromkeys(note for engine in self.engines for note in engine.notes))

    @notes.setter
    def notes(self, notes: Sequence[str]) -> None:
        self.engines[0].notes = list(notes)

    def prepare(self, width: int, height: int) -> None:
        """See `Engine.prepare`; after the first, the others find what it has built."""
        first, *others = self.engines
        first.on_build = self.on_build
        first.prepare(width, height)
        if others:
            with ThreadPoolExecutor(len(others)) as pool:
                list(pool.map(lambda engine: engine.prepare(width, height), others))

    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """See `Engine.begin`."""
        engine, thread = self.engines[self._next], self._threads[self._next]
        self._next = (self._next + 1) % len(self.engines)
        if thread is None:
            return engine.begin(luma, chroma, out_luma, out_chroma)
        given = luma.copy(), chroma.copy()  # which may change while the thread reads
        return thread.submit(engine.infer, *given, out_luma, out_chroma).result

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        for engine in self.engines:
            engine.cancel()
