"""Pictures that were uploaded as styles: files in one folder, called by names of their own."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from aiohttp import web
from PIL import Image

from realtime_style.errors import MediaError
from realtime_style.media.still import read_picture
from realtime_style.painting.style_picture import is_picture
from realtime_style.style.bundled import bundled_styles
from realtime_style.system.paths import free_name, make_folder, name_part
from realtime_style.system.whole_file import whole_file

_BYTES = 30 << 20  # the largest picture
_MOST = 60  # pictures: each is loaded ahead in every live session
_THUMB_PX = (240, 135)


class StylePictures:
    """The style pictures of a folder, and their addresses.

    Attributes:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder; raises MediaError if it cannot be made."""
        make_folder(folder)
        self.folder = folder

    def paths(self) -> dict[str, Path]:
        """The pictures by name."""
        return {
            path.stem: path
            for path in sorted(self.folder.iterdir())
            if is_picture(path) and not path.name.startswith(".")
        }

    def add_to(self, app: web.Application) -> None:
        """Adds the addresses to an application."""
        app.router.add_get("/styles", self._list)
        app.router.add_post("/styles", self._add)
        app.router.add_get("/styles/{name}", self._thumb)
        app.router.add_delete("/styles/{name}", self._remove)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(list(self.paths()), headers={"Cache-Control": "no-store"})

    async def _add(self, request: web.Request) -> web.Response:
        """Keeps the picture in the body of a request as a style."""
        content = bytearray()
        while chunk := await request.content.read(1 << 16):
            content += chunk
            if len(content) > _BYTES:
                limit = f"style pictures may have at most {_BYTES >> 20} MB\n"
                raise web.HTTPRequestEntityTooLarge(_BYTES, len(content), text=limit)
        if len(self.paths()) >= _MOST:
            raise web.HTTPConflict(text=f"there are {_MOST} style pictures; delete some first\n")
        try:
            name = await asyncio.to_thread(
                self._keep, request.query.get("name", ""), bytes(content)
            )
        except MediaError as error:
            raise web.HTTPUnsupportedMediaType(text=f"{error}\n") from error
        return web.json_response({"name": name})

    def _keep(self, given: str, content: bytes) -> str:
        """Writes a picture as PNG under a name that no style has yet, and returns that."""
        stem = name_part(Path(given).stem).lstrip(".") or "picture"
        stem = f"{stem}-picture" if stem in bundled_styles() else stem
        path = free_name(self.folder / f"{stem}.png")
        with whole_file(path, unique=True) as partial:
            partial.write_bytes(content)
            try:
                rgb = read_picture(partial).rgb
            except MediaError as error:
                raise MediaError("this is not a picture that can be read") from error
            Image.fromarray(rgb).save(partial, "PNG")
        return path.stem

    async def _thumb(self, request: web.Request) -> web.Response:
        path = self._found(request)
        content = await asyncio.to_thread(_thumb_of, path)
        return web.Response(body=content, content_type="image/jpeg")

    async def _remove(self, request: web.Request) -> web.Response:
        self._found(request).unlink(missing_ok=True)
        return web.Response(status=204)

    def _found(self, request: web.Request) -> Path:
        path = self.paths().get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="there is no such style picture\n")
        return path


def _thumb_of(path: Path) -> bytes:
    picture = Image.open(path).convert("RGB")
    picture.thumbnail(_THUMB_PX)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()
