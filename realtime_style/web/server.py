"""The server of the web page."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from realtime_style import __version__
from realtime_style.errors import MediaError
from realtime_style.painting.plan import ORIGINAL
from realtime_style.style.bundled import bundled_cards
from realtime_style.system.interrupts import SIGNALS
from realtime_style.system.paths import make_folder
from realtime_style.web.bucket import Bucket
from realtime_style.web.captures import CaptureRoutes
from realtime_style.web.film_queue import FilmQueue
from realtime_style.web.film_routes import FilmRoutes
from realtime_style.web.gate import Gate
from realtime_style.web.library import Library
from realtime_style.web.live_routes import LiveRoutes
from realtime_style.web.pages import Pages
from realtime_style.web.previews import Previews
from realtime_style.web.sessions import Sessions
from realtime_style.web.settings import WebSettings
from realtime_style.web.style_pictures import StylePictures

_BODY_BYTES = 128 << 10  # of a request that is no upload
_TOKEN_BYTES = 24


class WebServer:
    """Serves the page until it is stopped.

    Attributes:
        sessions: the live sessions.
    """

    def __init__(self, settings: WebSettings, *, offers: Bucket | None = None) -> None:
        """Reads the folder, and opens nothing yet. Must be called on the event loop.

        Args:
            offers: see `Sessions`.

        Raises:
            MediaError: the folder cannot be used.
        """
        self._settings = settings
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._gate = Gate(settings, self._token)
        self.sessions = Sessions(settings, offers)
        app = web.Application(middlewares=[self._gate.check], client_max_size=_BODY_BYTES)
        app.router.add_get("/about", self._about)
        app.router.add_get("/view", self._view)
        LiveRoutes(self.sessions).add_to(app)
        CaptureRoutes(settings.captures).add_to(app)
        make_folder(settings.folder)
        library = Library(settings.folder)
        self._queue = FilmQueue(library, settings.plan.engine)
        self._previews = Previews(settings.plan.engine)
        pictures = StylePictures(settings.style_pictures)
        pictures.add_to(app)
        films = FilmRoutes(library, self._queue, self._previews, pictures)
        films.add_to(app, settings.upload_bytes)
        pages = Pages()
        app.router.add_get("/", pages.serve)
        for name in pages.names:
            app.router.add_get(name, pages.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def address(self) -> str:
        """The address to open in a browser, with the token."""
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"{settings.scheme}://{host}:{self._gate.port}/?token={self._token}"

    async def start(self) -> None:
        """Begins to listen.

        Raises:
            MediaError: the port is in use, the address does not exist, or the certificate or the
                folder cannot be used.
        """
        settings = self._settings
        try:
            make_folder(settings.captures)
            secure = None
            if settings.certificate and settings.key:
                secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                secure.load_cert_chain(settings.certificate, settings.key)
        except ssl.SSLError as error:
            raise MediaError(
                f"{settings.certificate} and {settings.key} are not a certificate and its key, "
                f"in PEM: {error.reason}",
                setting="certificate",
            ) from error
        await self._runner.setup()
        site = web.TCPSite(self._runner, settings.host, settings.port, ssl_context=secure)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise MediaError(
                f"{settings.host}:{settings.port} cannot be listened at: "
                f"{os.strerror(error.errno or 0)}; choose another port, or 0 for any free one",
                setting="port",
            ) from error
        self._queue.start()
        self._gate.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Ends all sessions, completes their recordings, and stops listening."""
        await self.sessions.close()
        await self._queue.stop()
        await asyncio.to_thread(self._previews.close)
        await self._runner.cleanup()

    async def _about(self, request: web.Request) -> web.Response:
        """What the page shows before a session runs."""
        cards: dict[str, dict[str, Any]] = bundled_cards()
        styles = [
            {"name": name, **{key: card.get(key, "") for key in ("title", "painter", "year")}}
            for name, card in cards.items()
        ]
        plan = self._settings.plan
        about = {
            "version": __version__,
            "styles": styles,
            "style": str(plan.look.style),
            "only": plan.mask.only if plan.mask else "",
            "background": plan.mask.background if plan.mask else ORIGINAL,
            "bitrate_mbit": self._settings.bitrate_mbit,
            "ice": list(self._settings.ice),
        }
        return web.json_response(about)

    async def _view(self, request: web.Request) -> web.Response:
        """The address that shows the painting alone, for OBS."""
        scheme = self._settings.scheme
        address = f"{scheme}://{request.host}/?view=clean&token={self._token}"
        return web.json_response({"address": address}, headers={"Cache-Control": "no-store"})


async def serve(settings: WebSettings, on_ready: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C or another signal of `interrupts.SIGNALS`.

    Args:
        on_ready: called with the address to open, once the server listens.

    Raises:
        MediaError: see `WebServer.start`.
        KeyboardInterrupt: at a second signal, or where the system has no such signals.
    """
    server, stopping = WebServer(settings), asyncio.Event()
    await server.start()
    try:
        _set_on_signals(stopping)
        on_ready(server.address)
        await stopping.wait()
    finally:
        await server.stop()


def _set_on_signals(event: asyncio.Event) -> None:
    """Lets the first signal set an event instead of interrupting the loop.

    An interrupted loop cancels the tasks of all connections, which then cannot be closed.
    """

    def stop() -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    for number in SIGNALS:
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stop)
