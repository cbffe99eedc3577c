"""Access control: ASGI middleware for access control and security headers.

The server listens on 127.0.0.1. Other local programs, and pages of other sites in the same browser, can reach it too,
so each request must have the session's token, name this server as its host, and not come from a page of another site.
GET requests change nothing.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOSTS = ("127.0.0.1", "localhost")
SAFE_METHODS = ("GET", "HEAD")
TRUSTED_SITES = ("same-origin", "none")
"""Accepted values of `Sec-Fetch-Site`: a page of this server, or the user."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
TOKEN_MISSING = (
    "These pages need the token that was printed where they were started.\n"
    "Open the whole address from there, beginning with http:// and ending with its token.\n"
)


class Guard:
    """Rejects unauthorized requests, and adds security headers to every response.

    Args:
        app: the application.
        port: the server's port.
        token: the session's token.
    """

    def __init__(self, app: App, port: int, token: str) -> None:
        self._app = app
        self._hosts = {f"{host}:{port}" for host in HOSTS}
        self._token = token
        self._cookie = f"mole_browse_{port}"  # browsers share cookies between the ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: MutableMapping[str, Any]) -> None:
            """Add the headers to the start of a response."""
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, marked)

    def _refused(self, scope: Scope) -> Response | None:
        """Return the response to an unauthorized request or to one with the token in its URL; None to pass it on."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse(f"no host {host[:80]!r} is served here\n", 421)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] in SAFE_METHODS and scope["path"] == "/" and given:
            return self._admitted(given)
        if not self._is_known(self._brought(headers)):
            return PlainTextResponse(TOKEN_MISSING, 403)
        if headers.get("sec-fetch-site", "none") not in TRUSTED_SITES:
            return PlainTextResponse("a page of another site may not ask here\n", 403)
        if scope["method"] not in SAFE_METHODS and headers.get("origin") != f"http://{host}":
            return PlainTextResponse("only a page of this server may change something\n", 403)
        return None

    def _admitted(self, given: str) -> Response:
        """Move the token from the URL to a cookie."""
        if not self._is_known(given):
            return PlainTextResponse(TOKEN_MISSING, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_known(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())

    def _brought(self, headers: Headers) -> str:
        return cookie_parser(headers.get("cookie", "")).get(self._cookie, "")
