"""Who may use the page: whoever has its token, from a page of this server, under its name."""

from __future__ import annotations

import hmac
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler

from realtime_style.web.settings import WebSettings

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: mediastream:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE = ("GET", "HEAD")
_REFUSED = "open the whole address that the program has printed; it ends in a token\n"


class Gate:
    """Checks every request before anything else sees it.

    - The Host header must be a name of this server, against DNS rebinding.
    - An Origin header must be this server's, against requests from other pages. Whatever changes
      something needs one, unless it carries the token itself, as programs such as OBS do.
    - The token must be in the address (once, it then becomes a cookie), the cookie, or a header
      "Authorization: Bearer".

    Attributes:
        port: the port that the server listens at, for the Host header.
    """

    def __init__(self, settings: WebSettings, token: str) -> None:
        self.port = settings.port
        self._settings, self._token = settings, token

    @property
    def _cookie(self) -> str:
        return f"realtime-style-{self.port}"  # cookies do not tell ports apart

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses a request with status 403, or passes it on and adds the headers for safety."""
        refusal = self._refusal(request)
        if refusal:
            raise_with = web.HTTPForbidden(text=refusal)
            raise_with.headers.update(_HEADERS)
            raise raise_with
        if request.path == "/" and "token" in request.query:
            return self._let_in(request)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> str:
        """Why a request is refused; "" if it is not."""
        if not self._settings.is_ours(request.host, self.port):
            return f"the page is not served under the name {request.host[:100]!r}\n"
        origin = request.headers.get("Origin")
        if origin is not None and not self._is_our_origin(origin, request.host):
            return "requests from other pages are not accepted\n"
        if self._is_token(_bearer(request)):
            return ""
        if request.method == "GET" and self._is_token(request.query.get("token", "")):
            return ""
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return _REFUSED
        if request.method not in _SAFE and origin is None:
            return "the request does not say which page it comes from\n"
        return ""

    def _is_our_origin(self, origin: str, host: str) -> bool:
        schemes = (self._settings.scheme, "https")  # a proxy may add HTTPS
        return origin in (f"{scheme}://{host}" for scheme in schemes)

    def _is_token(self, text: str) -> bool:
        given = text.encode("utf-8", "surrogateescape")  # headers may hold any bytes
        return hmac.compare_digest(given, self._token.encode())

    def _let_in(self, request: web.Request) -> web.StreamResponse:
        """Sends a browser to the address without the token, which becomes a cookie."""
        rest = {key: value for key, value in request.query.items() if key != "token"}
        response = web.Response(status=303, headers=_HEADERS)
        response.headers["Location"] = "/" + (f"?{urlencode(rest)}" if rest else "")
        response.set_cookie(
            self._cookie,
            self._token,
            httponly=True,
            samesite="Strict",
            secure=self._settings.scheme == "https",
            path="/",
        )
        return response


def _bearer(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""
