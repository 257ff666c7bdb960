"""The addresses of films and pictures: upload, preview, queue, download."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import MAX_SIDE_PX, MIN_SIDE_PX
from realtime_style.style.bundled import FAST, STANDARD, bundled_styles
from realtime_style.style.look import Look
from realtime_style.web.estimates import Estimates
from realtime_style.web.film_queue import FilmQueue, request_of
from realtime_style.web.library import DONE, QUEUED, Film, Library, Painting, new_painting
from realtime_style.web.previews import Previews
from realtime_style.web.style_pictures import StylePictures

_CHUNK_BYTES = 1 << 20
_CHUNK_S = 60.0  # how long an upload may pause
_SPARE_BYTES = 1 << 30  # left on the disk
_UPLOADS = 3  # at once


class FilmRoutes:
    """Everything that the page does with films and pictures."""

    def __init__(
        self, library: Library, queue: FilmQueue, previews: Previews, pictures: StylePictures
    ) -> None:
        self._library, self._queue, self._previews = library, queue, previews
        self._pictures, self._estimates = pictures, Estimates()
        self._upload_bytes = self._uploads = 0

    def add_to(self, app: web.Application, upload_bytes: int) -> None:
        """Adds the addresses to an application.

        Args:
            upload_bytes: the largest file that may be uploaded.
        """
        self._upload_bytes = upload_bytes
        app.router.add_get("/films", self._list)
        app.router.add_post("/films", self._upload)
        app.router.add_delete("/films/{id}", self._remove_film)
        app.router.add_get("/films/{id}/preview", self._preview)
        app.router.add_post("/films/{id}/paint", self._paint)
        app.router.add_post("/films/{id}/estimate", self._estimate)
        app.on_shutdown.append(self._stop)
        app.router.add_post("/paintings/{id}/cancel", self._cancel)
        app.router.add_post("/paintings/{id}/again", self._again)
        app.router.add_delete("/paintings/{id}", self._remove_painting)
        app.router.add_get("/paintings/{id}/file", self._download)
        app.router.add_get("/paintings/{id}/newest", self._newest)

    async def _stop(self, app: web.Application) -> None:
        await self._estimates.stop()

    async def _list(self, request: web.Request) -> web.Response:
        listed = {
            "films": [asdict(film) for film in self._library.films.values()],
            "paintings": [_shown(painting) for painting in self._library.paintings.values()],
        }
        return web.json_response(listed, headers={"Cache-Control": "no-store"})

    async def _upload(self, request: web.Request) -> web.Response:
        """Takes a file as the body of a request, written to disk as it comes."""
        name, library = request.query.get("name", ""), self._library
        self._refuse_too_large(request.content_length or 0)
        if self._uploads >= _UPLOADS:
            raise web.HTTPServiceUnavailable(text="too many files are being uploaded\n")
        try:
            film_id, path = library.new_upload(name)
        except MediaError as error:
            raise web.HTTPUnsupportedMediaType(text=f"{error}\n") from error
        self._uploads += 1
        try:
            await self._receive(request, path)
            film = await asyncio.to_thread(library.read_film, film_id, name, path)
        except StyleError as error:
            library.drop_upload(film_id)
            raise web.HTTPUnsupportedMediaType(text=f"{error}\n") from error
        except BaseException:
            library.drop_upload(film_id)
            raise
        finally:
            self._uploads -= 1
        library.add_film(film)
        return web.json_response(asdict(film))

    async def _receive(self, request: web.Request, path: Path) -> None:
        received = 0
        with path.open("wb") as file:
            while True:
                try:
                    chunk = await asyncio.wait_for(request.content.read(_CHUNK_BYTES), _CHUNK_S)
                except TimeoutError as error:
                    raise web.HTTPRequestTimeout(text="the upload has stopped\n") from error
                if not chunk:
                    return
                received += len(chunk)
                self._refuse_too_large(received)
                await asyncio.to_thread(file.write, chunk)

    def _refuse_too_large(self, size_bytes: int) -> None:
        if size_bytes > self._upload_bytes:
            limit = f"{self._upload_bytes / 1e9:.3g} GB"
            raise web.HTTPRequestEntityTooLarge(
                self._upload_bytes, size_bytes, text=f"files may have at most {limit}\n"
            )
        free = shutil.disk_usage(self._library.folder).free
        if size_bytes > free - _SPARE_BYTES:
            raise web.HTTPInsufficientStorage(text="the disk has too little room for this file\n")

    async def _preview(self, request: web.Request) -> web.Response:
        film = self._film(request)
        at_s = _number(request.query.get("at", "0"), 0.0, film.duration_s or math.inf)
        try:
            look = self._look(dict(request.query)) if request.query.get("style") else None
            path = self._library.path_of(film)
            content = await self._previews.paint(path, film.kind, at_s, look)
        except StyleError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        headers = {"Cache-Control": "private, max-age=3600"}
        return web.Response(body=content, content_type="image/jpeg", headers=headers)

    async def _paint(self, request: web.Request) -> web.Response:
        film = self._film(request)
        look, stability, lines = await self._wanted(request)
        painting = self._library.add_painting(film, look, stability, lines)
        self._queue.wake()
        return web.json_response(_shown(painting))

    async def _estimate(self, request: web.Request) -> web.Response:
        """How long a film would take, and how large it would be; null if that is unknown."""
        film = self._film(request)
        painting = new_painting(film, *await self._wanted(request))
        asked = request_of(self._library, self._queue.engine, film, painting)
        estimate = await self._estimates.of(film, asked)
        return web.json_response(estimate and asdict(estimate))

    async def _wanted(self, request: web.Request) -> tuple[Look, float, int | None]:
        """The look, the flicker reduction and the height that the body of a request asks for."""
        try:
            values = json.loads(await request.text())
            lines = values.get("lines")
        except (ValueError, RecursionError, AttributeError) as error:
            raise web.HTTPBadRequest(text="the request is not a JSON object\n") from error
        if lines is not None and not (
            isinstance(lines, int) and MIN_SIDE_PX <= lines <= MAX_SIDE_PX
        ):
            raise web.HTTPBadRequest(text=f"the size must be {MIN_SIDE_PX} to {MAX_SIDE_PX}\n")
        try:
            look = self._look(values)
        except StyleError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return look, _number(values.get("stability", 0.5), 0.0, 1.0), lines

    async def _cancel(self, request: web.Request) -> web.Response:
        await self._queue.cancel(self._painting(request))
        return web.Response(status=204)

    async def _again(self, request: web.Request) -> web.Response:
        painting = self._painting(request)
        if painting.state in ("failed", "cancelled"):
            self._library.update(replace(painting, state=QUEUED, done=0.0, notes=()))
            self._queue.wake()
        return web.Response(status=204)

    async def _remove_film(self, request: web.Request) -> web.Response:
        film = self._film(request)
        for painting in tuple(self._library.paintings.values()):
            if painting.film == film.id and painting.state != DONE:
                await self._queue.cancel(painting)
        self._library.remove_film(film.id)
        return web.Response(status=204)

    async def _remove_painting(self, request: web.Request) -> web.Response:
        painting = self._painting(request)
        await self._queue.cancel(painting)
        self._library.remove_painting(painting)
        return web.Response(status=204)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        painting = self._painting(request)
        if painting.state != DONE:
            raise web.HTTPNotFound(text="it is not painted yet\n")
        response = web.FileResponse(self._library.out_of(painting))
        if "view" not in request.query:
            response.headers["Content-Disposition"] = _attachment(painting.name)
        response.headers["Cache-Control"] = "private, no-cache"
        return response

    async def _newest(self, request: web.Request) -> web.StreamResponse:
        """The newest painted frame; nothing before the first, and once the film is done."""
        path = self._library.newest_of(self._painting(request))
        if not path.is_file():
            return web.Response(status=204)
        return web.FileResponse(path, headers={"Cache-Control": "no-store"})

    def _look(self, values: dict[str, Any]) -> Look:
        """The look that a page asks for: a bundled style or a style picture, by its name.

        Raises:
            StyleError: there is no such style, or a value is out of range.
        """
        name, tier = str(values.get("style", "")), FAST if _is_on(values.get("fast")) else STANDARD
        style: str | Path | None = name if name in bundled_styles() else None
        style = style or self._pictures.paths().get(name)
        if style is None:
            raise MediaError(f"there is no style '{name[:40]}'")
        if isinstance(style, str) and style not in bundled_styles(tier):
            tier = STANDARD
        strength = _number(values.get("strength", 1.0), 0.0, 1.5)
        return Look(style, (), strength, None, _is_on(values.get("colors")), tier)

    def _film(self, request: web.Request) -> Film:
        film = self._library.films.get(request.match_info["id"])
        if film is None:
            raise web.HTTPNotFound(text="there is no such film\n")
        return film

    def _painting(self, request: web.Request) -> Painting:
        painting = self._library.paintings.get(request.match_info["id"])
        if painting is None:
            raise web.HTTPNotFound(text="there is no such painting\n")
        return painting


def _shown(painting: Painting) -> dict[str, Any]:
    """A painting as the page sees it: with the style's name, and no path."""
    values = asdict(painting)
    style = Path(str(painting.look["style"])).stem
    return values | {"look": {**painting.look, "style": style}}


def _is_on(value: object) -> bool:
    return value in (True, "true", "1")


def _number(value: object, least: float, most: float) -> float:
    """A number, moved into a range; the least for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        return least
    return min(most, max(least, number)) if math.isfinite(number) else least


def _attachment(name: str) -> str:
    """A header that names a downloaded file, in letters that every browser reads (RFC 6266)."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " .-_") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
