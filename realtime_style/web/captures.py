"""Snapshots and recordings: listed, downloaded and deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

_SUFFIXES = (".png", ".mp4")


class CaptureRoutes:
    """The files in the folder of snapshots and recordings, and no others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add_to(self, app: web.Application) -> None:
        """Adds the addresses to an application."""
        app.router.add_get("/captures", self._list)
        app.router.add_get("/captures/{name}", self._download)
        app.router.add_delete("/captures/{name}", self._delete)

    def _files(self) -> dict[str, Path]:
        """The files by name. Only names that were listed are ever opened."""
        return {
            path.name: path
            for path in sorted(self._folder.iterdir(), reverse=True)
            if path.suffix in _SUFFIXES and not path.name.startswith(".") and path.is_file()
        }

    async def _list(self, request: web.Request) -> web.Response:
        files = await asyncio.to_thread(self._files)
        listed = [{"name": name, "bytes": path.stat().st_size} for name, path in files.items()]
        return web.json_response(listed, headers={"Cache-Control": "no-store"})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = self._found(request)
        headers = {"Cache-Control": "no-store"}
        if "view" not in request.query:
            headers["Content-Disposition"] = f'attachment; filename="{path.name}"'
        return web.FileResponse(path, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        self._found(request).unlink(missing_ok=True)
        return web.Response(status=204)

    def _found(self, request: web.Request) -> Path:
        path = self._files().get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="there is no such file\n")
        return path
