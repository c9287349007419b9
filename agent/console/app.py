"""The console as an ASGI application: routes, the guard in front of them, and errors said in one clear line."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import policies
from agent.console import api, health, pages, suggest
from agent.console.guard import LARGEST_BODY, Guard
from agent.errors import Conflict, InvalidInput, LogUnavailable, ModelMissing, RejoinderError, Unknown
from agent.service import Service

_RETRY_SECONDS = 2
# The first that fits holds: the narrower errors come before those they are kinds of.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (policies.InvalidInput, 422),
    (LogUnavailable, 503),
    (ModelMissing, 503),
    (RejoinderError, 500),
)


def create_app(service: Service, *, hosts: Iterable[str] = (), largest: int = LARGEST_BODY) -> FastAPI:
    """The console over a service. `hosts` are names it may be addressed by beside this machine's own.

    It neither folds on a timer nor closes the service: whoever runs it does (see `agent.console.server`).
    """
    # The usual pages that show an API load scripts from elsewhere: they are left out.
    app = FastAPI(title="Rejoinder", openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None)
    app.state.service = service
    app.state.loading = health.Loading()
    app.include_router(api.router)
    app.include_router(suggest.router)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=pages.HERE / "static"))
    app.add_middleware(Guard, hosts=frozenset(hosts), largest=largest)
    for error, _ in _STATUS:
        app.add_exception_handler(error, _known)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)
    return app


def _known(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(_RETRY_SECONDS)} if isinstance(error, LogUnavailable) else {}
    return _said(request, status, str(error), headers)


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _said(request, 422, _line(error.errors()))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = error.detail
    if error.status_code in {404, 405}:
        said = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
    return _said(request, error.status_code, said, dict(error.headers or {}))


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
    """The error as JSON, or as a page where one was asked for."""
    path = request.url.path
    if request.method in {"GET", "HEAD"} and (path == "/" or path.startswith(("/decisions", "/loops"))):
        title = HTTPStatus(status).phrase
        return HTMLResponse(pages.render("error.html", title=title, error=error), status, headers)
    return JSONResponse({"error": error}, status, headers)
