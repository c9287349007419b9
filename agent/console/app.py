"""The console as an ASGI application: routes, the guard in front of them, and errors said in one clear line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

import policies
from agent.access import limits
from agent.access.door import Door
from agent.console import access, api, health, pages, review_api, sections, standings, suggest
from agent.console.figures import Figures
from agent.console.files import Files
from agent.console.guard import LARGEST_BODY, Guard
from agent.console.language import N_, Language, gettext
from agent.console.problems import Problem
from agent.console.rendering import STATIC, render
from agent.console.traffic import Counting, Traffic
from agent.demo import mark
from agent.errors import (
    AccessUnavailable,
    Conflict,
    InvalidInput,
    LogUnavailable,
    ModelMissing,
    RejoinderError,
    Unknown,
)
from agent.review.bulk import Bulks
from agent.review.index import BATCH, ReviewIndex
from agent.review.later import Later
from agent.service import Service

_RETRY_SECONDS = 2
# htmx puts an error where notices stand, not where the answer would have been.
_INSTEAD = {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML"}
# What a page of an error is called.
_TITLES = {
    400: N_("The request cannot be read"),
    401: N_("Please log in"),
    403: N_("Not allowed"),
    404: N_("Not found"),
    405: N_("Not possible here"),
    409: N_("That contradicts what is there"),
    413: N_("Too much at once"),
    422: N_("Something given is not right"),
    429: N_("Too many requests"),
    500: N_("Something went wrong"),
    503: N_("Not available right now"),
}
# The first that fits holds: the narrower errors come before those they are kinds of.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (policies.InvalidInput, 422),
    (LogUnavailable, 503),
    (AccessUnavailable, 503),
    (ModelMissing, 503),
    (RejoinderError, 500),
)


def create_app(
    service: Service,
    *,
    door: Door | None = None,
    hosts: Iterable[str] = (),
    largest: int = LARGEST_BODY,
    rate: str = limits.API,
) -> FastAPI:
    """The console over a service. `hosts` are names it may be addressed by beside this machine's own.

    Who may do what is the `door`'s to say, the one beside the learning log unless given. `rate` is how often a caller
    of the HTTP API may call, as in `100/s burst 200`. It neither folds on a timer nor closes the service: whoever runs
    it does (see `agent.console.server`).
    """
    # The usual pages that show an API load scripts from elsewhere: they are left out.
    app = FastAPI(title="Rejoinder", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.index = ReviewIndex(service.log, service.home)
    app.state.bulks = Bulks(service, app.state.index)
    app.state.figures = Figures()
    app.state.loading = health.Loading()
    app.state.traffic = Traffic()
    app.state.later = Later()
    app.state.door = door or Door(service.home)
    app.state.limits = limits.Limits(api=rate)
    app.state.simulated = _simulated(service)
    app.state.indexed = lambda: _indexed(app.state.index)
    # Their routes as they are: to include a router is to build each of its routes a second time, a second in all.
    for router in (api.router, review_api.router, standings.router, suggest.router, health.router, *pages.ROUTERS):
        app.router.routes.extend(router.routes)
    app.add_api_route("/v1/openapi.json", app.openapi, include_in_schema=False, dependencies=api.READ)
    app.state.sections = sections.existing(app.routes)
    access.check_routes(app)
    app.mount("/static", Files(directory=STATIC))
    app.add_middleware(access.Access, door=app.state.door, limits=app.state.limits, refuse=_said)
    app.add_middleware(Language)
    app.add_middleware(Guard, hosts=frozenset(hosts), largest=largest)
    app.add_middleware(Counting, traffic=app.state.traffic)
    for error, _ in _STATUS:
        app.add_exception_handler(error, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
    return app


def _simulated(service: Service) -> Callable[[], bool]:
    """Whether the log is one that the demonstration has filled, which its first event says for good."""

    def ask() -> bool:
        try:
            return mark.simulated(service.log)
        except LogUnavailable:  # the page itself will say so
            return False

    return ask


def _indexed(index: ReviewIndex) -> float | None:
    """How much of the log the review index knows, in [0, 1]; None where it is as good as all, or cannot be told."""
    try:
        return index.share if index.behind() > BATCH else None
    except LogUnavailable:
        return None


def _known(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(_RETRY_SECONDS)} if isinstance(error, LogUnavailable | AccessUnavailable) else {}
    return _said(request, status, str(error), headers)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _said(request, 422, _line(error.errors()))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said, headers = error.detail, dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    if error.status_code in {404, 405}:
        said = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
    return _said(request, error.status_code, said, headers)


def _methods(request: Request) -> list[str]:
    """What the path of a request can be asked for with; of several routes, each knows its own methods alone."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in fitting for method in route.methods or ()})


def _unforeseen(request: Request, _error: Exception) -> Response:
    return _said(request, 500, "something went wrong in the console; its log says what")


def _line(errors: Iterable[dict[str, Any]]) -> str:
    """What is wrong with a request in one line: where, then what."""
    said = []
    for error in errors:
        if error["type"] in {"value_error.jsondecode", "json_invalid"}:
            return f"the body is not JSON: {error.get('ctx', {}).get('error', error['msg'])}"
        place = ".".join(str(step) for step in error["loc"][1:] if step != "__root__") or str(error["loc"][0])
        line = f"{place}: {error['msg']}"
        if line not in said:
            said.append(line)
    return "; ".join(said)


def _said(request: Request, status: int, error: str, headers: dict[str, str] | None = None) -> Response:
    """The error as a problem to a program, as a page to a person; who is nobody is sent to log in."""
    if status == HTTPStatus.UNAUTHORIZED:
        return access.unknown(request, error)
    if access.for_programs(request.url.path):
        return Problem(status, error, headers)
    fragment = "hx-request" in request.headers
    return render(
        request,
        "error_fragment.html" if fragment else "error.html",
        status=status,
        headers={**(headers or {}), **(_INSTEAD if fragment else {})},
        title=gettext(_TITLES[status]) if status in _TITLES else HTTPStatus(status).phrase,
        error=error,
    )
