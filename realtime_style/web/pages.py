"""The files of the page: read once, served from memory, so that no path is ever looked up."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from aiohttp import web

_FOLDER = Path(str(resources.files("realtime_style"))) / "web" / "static"
_TYPES = {".js": "text/javascript", ".webp": "image/webp", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    tag: str


class Pages:
    """Serves the page and its files."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        """Reads all files of a folder."""
        self._files = {
            "/" + path.relative_to(folder).as_posix(): _read(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    @property
    def names(self) -> list[str]:
        """The paths that are served, besides "/"."""
        return list(self._files)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The page, or one of its files; status 404 for any other path."""
        path = "/index.html" if request.path == "/" else request.path
        file = self._files.get(path)
        if file is None:
            raise web.HTTPNotFound(text=f"there is nothing at {request.path[:100]}\n")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == file.tag:
            return web.Response(status=304, headers=headers)
        response = web.Response(body=file.content, content_type=file.kind, headers=headers)
        if file.kind.startswith("text/"):
            response.charset = "utf-8"
        response.enable_compression()
        return response


def _read(path: Path) -> _File:
    content = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return _File(content, kind or "application/octet-stream", tag)
