"""Paints queued films one after the other, each in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from realtime_style.engines.choice import EngineChoice
from realtime_style.frame import Size
from realtime_style.jobs.film import FilmRequest
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.web.film_process import FilmProcess
from realtime_style.web.library import (
    CANCELLED,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    Film,
    Library,
    Painting,
)


class FilmQueue:
    """The queue of a library. All methods are called on the event loop.

    Attributes:
        engine: what paints.
    """

    def __init__(self, library: Library, engine: EngineChoice) -> None:
        """Starts nothing yet. Args: engine, what paints."""
        self._library, self.engine = library, engine
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: tuple[str, FilmProcess] | None = None
        self._is_stopping = False

    def start(self) -> None:
        """Begins to paint what is queued."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stops painting; what is not done is queued when the server starts again."""
        self._is_stopping = True
        self._wake.set()
        if self._running:
            await self._running[1].stop()
        if self._task:
            await self._task

    def wake(self) -> None:
        """Looks for queued paintings again."""
        self._wake.set()

    async def cancel(self, painting: Painting) -> None:
        """Takes a painting out of the queue, or stops it; its files are removed."""
        is_running = self._running is not None and self._running[0] == painting.id
        if painting.state in (QUEUED, RUNNING):
            self._library.update(replace(painting, state=CANCELLED, left_s=None))
        if is_running and self._running:
            await self._running[1].stop()

    async def _run(self) -> None:
        while not self._is_stopping:
            queued = (each for each in self._library.paintings.values() if each.state == QUEUED)
            painting = next(queued, None)
            if painting is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            film = self._library.films.get(painting.film)
            if film is None:
                notes = ("its film has been deleted",)
                self._library.update(replace(painting, state=FAILED, notes=notes))
            else:
                await self._paint(film, painting)

    async def _paint(self, film: Film, painting: Painting) -> None:
        library = self._library
        library.clear(painting, keeps_segments=True)
        library.update(replace(painting, state=RUNNING, done=0.0, newest=0, notes=()))
        task = {
            "kind": film.kind,
            "request": request_of(library, self.engine, film, painting).as_json(),
            "newest": str(library.newest_of(painting)),
        }
        process = await FilmProcess.start(task)
        self._running = painting.id, process
        said: dict[str, Any] = {}
        try:
            async for said in process.messages():
                if "frames" in said and painting.id in library.paintings:
                    now = library.paintings[painting.id]
                    library.update(_progressed(now, film, said))
        finally:
            await process.stop()
            self._running = None
        self._settle(painting.id, said)

    def _settle(self, painting_id: str, said: Mapping[str, Any]) -> None:
        """Notes how a process has ended, by the last that it said."""
        library = self._library
        painting = library.paintings.get(painting_id)
        if painting is None:
            return
        if "done" in said and painting.state == RUNNING:
            size = library.out_of(painting).stat().st_size
            library.newest_of(painting).unlink(missing_ok=True)
            done = replace(painting, state=DONE, done=1.0, left_s=None, newest=0, size_bytes=size)
            library.update(replace(done, notes=tuple(said["done"])))
            return
        if painting.state == RUNNING:
            if self._is_stopping:
                library.update(replace(painting, state=QUEUED, done=0.0, left_s=None))
            else:
                why = str(said.get("error", "the process that painted it has ended"))
                why = why.replace(str(library.out_of(painting)), painting.name)
                library.update(replace(painting, state=FAILED, left_s=None, notes=(why,)))
        library.clear(painting, keeps_segments=painting.state != CANCELLED)


def request_of(
    library: Library, engine: EngineChoice, film: Film, painting: Painting
) -> FilmRequest:
    """What a painting of a film is asked for."""
    look = Look.from_dict(dict(painting.look))
    stability = painting.stability if film.kind == "film" else 0.0
    return FilmRequest(
        str(library.path_of(film)),
        str(library.out_of(painting)),
        PaintPlan(look, engine, stability),
        size=Size(painting.lines) if painting.lines else None,
    )


def _progressed(painting: Painting, film: Film, said: Mapping[str, Any]) -> Painting:
    """A painting with its progress after so many frames."""
    frames, wall_s = int(said["frames"]), float(said["wall_s"])
    new = frames - int(said["resumed"])
    total = film.duration_s * film.rate
    part = min(0.99, frames / total) if total else 0.0
    left_s = wall_s * max(0.0, total - frames) / new if new > 0 else None
    fps = new / wall_s if wall_s else 0.0
    newest = int(said["newest"])
    return replace(painting, done=part, fps=fps, left_s=left_s, newest=newest)
