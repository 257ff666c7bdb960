"""Several devices used as one: pictures go to them in turn and come back in order."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from realtime_style.engines.engine import Engine, Plane, Planes


class MultiDeviceEngine(Engine):
    """The same network on several devices.

    An engine whose `in_flight` is 1 paints the picture before `begin` returns. Each such engine is
    called on a thread of its own; otherwise the devices would wait for one another.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Args: engines, one for each device, all of the same name and precision."""
        super().__init__()
        self.engines = list(engines)
        first = self.engines[0]
        self.name, self.precision = first.name, first.precision
        self.device = " and ".join(engine.device for engine in self.engines)
        self.in_flight = sum(engine.in_flight for engine in self.engines)
        self._next = 0
        self._threads = [ThreadPoolExecutor(1) if e.in_flight == 1 else None for e in self.engines]
        weakref.finalize(self, _end, self._threads)

    @property
    def notes(self) -> list[str]:
        """The notes of all engines, without repetitions."""
        return list(dict.fromkeys(note for engine in self.engines for note in engine.notes))

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """See `Engine.prepare`; the first engine builds, the others find what it has cached."""
        first, *others = self.engines
        first.prepare(size, canvas, on_build)
        if others:
            with ThreadPoolExecutor(len(others)) as pool:
                list(pool.map(lambda engine: engine.prepare(size, canvas), others))

    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """See `Engine.begin`."""
        engine, thread = self.engines[self._next], self._threads[self._next]
        self._next = (self._next + 1) % len(self.engines)
        if thread is None:
            return engine.begin(planes, out_luma, out_chroma)
        # The caller may reuse its arrays once this returns
        return thread.submit(engine.infer, planes.copy(), out_luma, out_chroma).result

    def lay_grain(self, tile: NDArray[np.int16], limits: Sequence[int]) -> bool:
        """See `Engine.lay_grain`; all engines are of one kind."""
        return all(engine.lay_grain(tile, limits) for engine in self.engines)

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        for engine in self.engines:
            engine.cancel()


def _end(threads: list[ThreadPoolExecutor | None]) -> None:
    for thread in threads:
        if thread:
            thread.shutdown(wait=False)
