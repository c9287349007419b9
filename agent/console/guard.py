"""The guard in front of every route: whose pages may call, how much they may send, what a browser may do.

A web page open in a browser that can reach the port is kept out: by the Host header (a name made to point here) and by
the Origin and Sec-Fetch-Site headers (a form or script of another site). Who comes in is asked after that, in
`agent.console.access`.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.console.problems import Problem

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY = 1 << 20  # bytes
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",  # with none at all, a form of ours posts with the Origin "null"
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware that refuses before any route is reached, and marks every answer.

    `hosts` are the names, without port, that a request may be addressed to beside this machine's own.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = (), largest: int = LARGEST_BODY) -> None:
        self._app = app
        self._hosts = LOCAL_HOSTS | {host.lower() for host in hosts}
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is None:
            try:
                body = await self._body(receive, headers)
            except _TooLarge:
                refusal = (413, f"the body is larger than {self._largest} bytes")
            else:
                await self._app(scope, _replay(body, receive), marked)
                return
        # The rest of the body may never be read: the connection is of no more use.
        await Problem(*refusal, {"connection": "close"})(scope, receive, marked)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return (
                400,
                f"the Host header {host[:100]!r} names another machine; known are {', '.join(sorted(self._hosts))}",
            )
        if method in _READING:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"refused: the request comes from a page of {origin[:100]!r}"
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return 403, "refused: the request comes from a page of another site"
        return None

    async def _body(self, receive: Receive, headers: Headers) -> bytes:
        """The whole body: it is small, and so an endpoint never starts on half of one."""
        stated = headers.get("content-length", "0")
        if stated.isdigit() and int(stated) > self._largest:
            raise _TooLarge
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._largest:
                raise _TooLarge
        return bytes(body)


class _TooLarge(Exception):
    pass


def _name(host: str) -> str:
    """The host without its port, brackets and case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body already read, then what the connection says next."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
