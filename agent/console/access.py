"""Who a request comes from, and whether that is enough: one middleware, and what a route says it needs.

The middleware puts `request.state.visitor`, turns away who is nobody, counts the calls of the HTTP API, and checks the
CSRF token of whatever a cookie speaks for. A route says `Depends(require(ROLE))` or `Depends(require_scope(SCOPE))`,
or `Depends(anyone)`; an application with one that says nothing does not start.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.access.door import Door
from agent.access.limits import Limits
from agent.access.visitor import SOMEBODY, STRANGER, Visitor, checked_role
from agent.console.guard import LOCAL_HOSTS
from agent.console.problems import Problem
from agent.errors import AccessUnavailable

LOG_IN, LANGUAGE = "/login", "/language"
# What who is nobody may ask for: to log in, in which language, what that page is made of, whether the server is well.
_OPEN_PATHS = frozenset({LOG_IN, LANGUAGE, "/healthz"})
_OPEN_FOLDER = "/static/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_COOKIE = "rejoinder_session"
_PROGRAMS = ("/v1/", "/metrics", "/healthz")  # read by programs, so that errors are theirs to read
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Need:
    """What a route asks of a visitor: a role, a scope of the HTTP API, or neither."""

    role: str | None = None
    scope: str | None = None

    def met(self, visitor: Visitor) -> bool:
        """Whether the visitor may go on."""
        return (self.role is None or visitor.may(self.role)) and (self.scope is None or visitor.allows(self.scope))

    def __str__(self) -> str:
        return f"the role {self.role}" if self.role else f"the scope {self.scope}" if self.scope else "nothing"


_NEEDS: dict[Callable[..., Any], Need] = {}


@cache
def require(role: str) -> Callable[[Request], Visitor]:
    """A dependency that lets nobody through who may less than this role, and gives the visitor."""
    return _dependency(Need(role=checked_role(role)))


@cache
def require_scope(scope: str) -> Callable[[Request], Visitor]:
    """A dependency that lets through who has an API key of this scope, or a role that holds it."""
    return _dependency(Need(scope=scope))


def _dependency(need: Need) -> Callable[[Request], Visitor]:
    def check(request: Request) -> Visitor:
        visitor = visitor_of(request)
        if not need.met(visitor):
            if not visitor.known:
                raise HTTPException(401, "log in first")
            raise HTTPException(403, f"{visitor.name} may not do this: it takes {need}")
        return visitor

    _NEEDS[check] = need
    return check


def anyone(request: Request) -> Visitor:
    """The dependency of a route that is for everybody."""
    return visitor_of(request)


_NEEDS[anyone] = Need()


def needs(route: APIRoute) -> list[Need]:
    """What a route says it needs; all of it must be met."""
    return [_NEEDS[call] for call in _calls(route.dependant) if call in _NEEDS]


def check_routes(app: FastAPI) -> None:
    """Fail where a route says nothing of who may call it.

    Raises:
        RuntimeError: which ones.
    """
    silent = [route.path for route in app.routes if isinstance(route, APIRoute) and not needs(route)]
    if silent:
        raise RuntimeError(f"routes that do not say whom they are for: {', '.join(sorted(set(silent)))}")


def visitor_of(request: Request) -> Visitor:
    """Who the request comes from."""
    visitor = getattr(request.state, "visitor", STRANGER)
    assert isinstance(visitor, Visitor)
    return visitor


def door_of(request: Request) -> Door:
    """The door that the application was made with."""
    door = request.app.state.door
    assert isinstance(door, Door)
    return door


def limits_of(request: Request) -> Limits:
    """What the application counts calls and log-ins with."""
    limits = request.app.state.limits
    assert isinstance(limits, Limits)
    return limits


def address_of(request: Request) -> str:
    """The address a request comes from."""
    return request.client.host if request.client else ""


def author_of(request: Request, claimed: str) -> str:
    """Whom the log names as the author of a change: nobody acts in the name of another.

    Where nobody has to log in, it is who the caller says; a program's key speaks for people, and is named with them.
    """
    visitor = visitor_of(request)
    if visitor.open:
        return claimed
    if visitor.scopes is None:
        return visitor.name
    return f"{claimed} ({visitor.name})"


def token_of(request: Request) -> str | None:
    """The token of the session that the browser shows."""
    return request.cookies.get(_cookie(request)) or None


def keep_token(request: Request, response: Response, token: str) -> None:
    """Let the browser keep a session's token: for this site alone, out of reach of scripts, until it is closed."""
    secure = request.url.scheme == "https"
    response.set_cookie(_cookie(request), token, path="/", httponly=True, samesite="lax", secure=secure)


def drop_token(request: Request, response: Response) -> None:
    """Let the browser forget the token."""
    secure = request.url.scheme == "https"
    response.delete_cookie(_cookie(request), path="/", httponly=True, samesite="lax", secure=secure)


def for_programs(path: str) -> bool:
    """Whether what stands at a path is read by programs rather than by people."""
    return path == "/v1" or path.startswith(_PROGRAMS)


def to_log_in(request: Request) -> Response:
    """Where who is nobody is sent: to log in, and back to what was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    there = asked if request.method in {"GET", "HEAD"} else "/"
    where = f"{LOG_IN}?{urlencode({'next': there}, quote_via=quote)}" if there != "/" else LOG_IN
    if request.headers.get("hx-request") == "true":  # a redirect would put the page into a part of this one
        return Response(status_code=401, headers={"hx-redirect": where})
    return RedirectResponse(where, 303)


class Access:
    """ASGI middleware that finds out who a request comes from, and turns away who may not ask at all.

    `refuse` makes the answer to a request that is turned away: (request, status, detail, headers).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        limits: Limits,
        refuse: Callable[[Request, int, str, dict[str, str]], Response],
    ) -> None:
        self._app = app
        self._door = door
        self._limits = limits
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on with its visitor."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.visitor = STRANGER
        if request.url.path.startswith(_OPEN_FOLDER):  # what it holds says nothing of anybody
            await self._app(scope, receive, send)
            return
        try:
            request.state.visitor = await run_in_threadpool(self._visitor, request)
        except AccessUnavailable as error:
            await self._refuse(request, 503, str(error), {"Retry-After": "2"})(scope, receive, send)
            return
        refused = self._turned_away(request)
        if refused is None and _spoken_for(request):
            body = await request.body()  # Guard has read it whole, and has said how large it may be
            receive = _again(body, receive)
            if not await _csrf(scope, body, visitor_of(request)):
                said = "the form is out of date: go back, load the page again, and send it once more"
                refused = self._refuse(request, 403, said, {})
        await (self._app if refused is None else refused)(scope, receive, send)

    def _visitor(self, request: Request) -> Visitor:
        if not self._door.users.exist():
            return SOMEBODY
        authorization = request.headers.get("authorization")
        if authorization is not None:  # a wrong key is not made good by a cookie
            kind, _, secret = authorization.partition(" ")
            found = self._door.keys.visitor(secret.strip()) if kind.lower() == "bearer" else None
        else:
            token = token_of(request)
            found = self._door.sessions.visitor(token) if token else None
        return found or STRANGER

    def _turned_away(self, request: Request) -> Response | None:
        visitor, path = visitor_of(request), request.url.path
        if visitor.open and (request.url.hostname or "") not in LOCAL_HOSTS:
            said = "nobody has to log in yet, so this machine alone is answered: `rejoinder users add` makes a user"
            return self._refuse(request, 403, said, {})
        if path.startswith("/v1/"):
            caller = visitor.name if visitor.known and not visitor.open else f"address {address_of(request)}"
            if wait := self._limits.call(caller):
                return self._refuse(request, 429, "too many calls", {"Retry-After": str(wait)})
        if visitor.known or path in _OPEN_PATHS:
            return None
        return self._refuse(request, 401, "log in first, or show an API key", {})


def unknown(request: Request, detail: str) -> Response:
    """The answer to who is nobody and may not be here."""
    if for_programs(request.url.path):
        return Problem(401, detail, {"WWW-Authenticate": "Bearer"})
    return to_log_in(request)


def _spoken_for(request: Request) -> bool:
    """Whether a request changes something in the name of whom a cookie says it is; to log in is done in no name."""
    return bool(visitor_of(request).csrf) and request.method not in _READING and request.url.path != LOG_IN


async def _csrf(scope: Scope, body: bytes, visitor: Visitor) -> bool:
    """Whether a request that a cookie speaks for shows what only a page of this session knows."""
    request = Request(scope, _again(body, None))
    given: object = request.headers.get("x-csrf-token")
    if given is None and request.headers.get("content-type", "").partition(";")[0].strip().lower() in _FORMS:
        try:
            async with request.form(max_files=10, max_fields=1_000) as form:
                given = form.get("csrf")
        except HTTPException:  # a form that is none
            return False
    return isinstance(given, str) and hmac.compare_digest(given.encode(), visitor.csrf.encode())


def _again(body: bytes, rest: Receive | None) -> Receive:
    """A `receive` that gives a body already read."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await rest() if rest is not None else {"type": "http.disconnect"}

    return receive


def _cookie(request: Request) -> str:
    """Over https the browser takes the name from no other host and no other path, nor over plain http."""
    return f"__Host-{_COOKIE}" if request.url.scheme == "https" else _COOKIE


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for inner in dependant.dependencies:
        if inner.call is not None:
            yield inner.call
        yield from _calls(inner)
