"""The addresses of live sessions: the page's own, WHIP for OBS's output, WHEP for viewers."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from realtime_style.errors import MediaError
from realtime_style.web.sdp import MAX_BYTES
from realtime_style.web.session import BusyError
from realtime_style.web.sessions import Sessions

_SDP = "application/sdp"


class LiveRoutes:
    """Opens and ends live sessions on request."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def add_to(self, app: web.Application) -> None:
        """Adds the addresses to an application."""
        app.router.add_get("/live", self._list)
        app.router.add_post("/live", self._open)
        app.router.add_post("/live/{id}/end", self._leave)
        app.router.add_post("/whip", self._whip)
        app.router.add_delete("/whip/{id}", self._end)
        app.router.add_post("/whep/{id}", self._whep)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([{"id": session} for session in self._sessions.ids])

    async def _open(self, request: web.Request) -> web.Response:
        values = await _json(request)
        session, answer = await self._opened(values.get("sdp"), sends_back=True)
        return web.json_response({"id": session, "sdp": answer})

    async def _whip(self, request: web.Request) -> web.Response:
        session, answer = await self._opened(await _description(request), sends_back=False)
        location = {"Location": f"/whip/{session}", "Link": f'</whep/{session}>; rel="whep"'}
        return web.Response(status=201, text=answer, content_type=_SDP, headers=location)

    async def _whep(self, request: web.Request) -> web.Response:
        session = self._sessions.find(request.match_info["id"])
        if session is None:
            raise web.HTTPNotFound(text="there is no such session\n")
        try:
            answer = await self._sessions.watch(session, await _description(request))
        except BusyError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
        except MediaError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return web.Response(status=201, text=answer, content_type=_SDP)

    async def _end(self, request: web.Request) -> web.Response:
        session = self._sessions.find(request.match_info["id"])
        if session is not None:
            session.end()
        return web.Response(status=204 if session else 404)

    async def _leave(self, request: web.Request) -> web.Response:
        """Ends a session whose page is left; it may have ended by itself already."""
        await self._end(request)
        return web.Response(status=204)

    async def _opened(self, offer: Any, *, sends_back: bool) -> tuple[str, str]:
        if not isinstance(offer, str):
            raise web.HTTPBadRequest(text="the offer must be a text\n")
        try:
            session, answer = await self._sessions.open(offer, sends_back=sends_back)
        except BusyError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
        except MediaError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        return session.id, answer


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        values = json.loads(await request.text())
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text="the request is not JSON\n") from error
    if not isinstance(values, dict):
        raise web.HTTPBadRequest(text="the request is not a JSON object\n")
    return values


async def _description(request: web.Request) -> str:
    if request.content_type != _SDP:
        raise web.HTTPUnsupportedMediaType(text=f"send the offer as {_SDP}\n")
    if (request.content_length or 0) > MAX_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BYTES, request.content_length or 0)
    return await request.text()
