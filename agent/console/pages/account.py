"""Logging in and out, and one's own password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.console.access import (
    LOG_IN,
    address_of,
    anyone,
    door_of,
    drop_token,
    keep_token,
    limits_of,
    require,
    token_of,
)
from agent.console.language import gettext
from agent.console.notices import tell
from agent.console.pages.languages import local
from agent.console.rendering import render
from agent.errors import InvalidInput

LONGEST = 1_000  # characters of a field; what may be in it is decided further in
router = APIRouter(include_in_schema=False)
Field = Annotated[str, Form(max_length=LONGEST)]
Someone = Annotated[Visitor, Depends(anyone)]
Viewer = Annotated[Visitor, Depends(require("viewer"))]


@router.get(LOG_IN)
def log_in_page(request: Request, visitor: Someone, next: str = "/") -> Response:  # noqa: A002 (what it is called in addresses)
    """The page to log in at; who is known already goes on."""
    if visitor.known:
        return RedirectResponse(local(next), 303)
    return render(request, "account/login.html", next=local(next), name="", error=None)


@router.post(LOG_IN)
def log_in(
    request: Request,
    _visitor: Someone,
    name: Field = "",
    password: Field = "",
    next: Annotated[str, Form(max_length=4_000)] = "/",  # noqa: A002
) -> Response:
    """Log in, and go on to where one wanted to be."""
    door, address = door_of(request), address_of(request)
    if not door.users.exist():
        return RedirectResponse("/", 303)

    def again(status: int, error: str) -> Response:
        return render(request, "account/login.html", status=status, next=local(next), name=name, error=error)

    if wait := limits_of(request).log_in(door.users.known(name) or name, address):
        refused = again(429, _later(wait))
        refused.headers["Retry-After"] = str(wait)
        return refused
    token = door.log_in(name, password, address=address, before=token_of(request))
    if token is None:
        return again(401, gettext("Name or password are wrong, or the user is disabled."))
    response = RedirectResponse(local(next), 303)
    keep_token(request, response, token)
    return response


@router.post("/logout")
def log_out(request: Request, visitor: Viewer, everywhere: Annotated[bool, Form()] = False) -> Response:
    """Log out here, or everywhere."""
    door_of(request).log_out(visitor, token_of(request), everywhere=everywhere, address=address_of(request))
    response = RedirectResponse(LOG_IN, 303)
    drop_token(request, response)
    # What the pages left in this browser goes as well.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/account")
def account(request: Request, visitor: Viewer) -> Response:
    """Who one is here, where one is logged in, and one's password."""
    return _account(request, visitor)


@router.post("/account/password")
def change_password(
    request: Request, visitor: Viewer, now: Field = "", then: Field = "", again: Field = ""
) -> Response:
    """Change one's own password: every session ends, and this browser gets a new one."""
    if not visitor.csrf:  # a key, or nobody who has a password
        return _account(request, visitor, 422, error=gettext("There is no user to give a password to."))
    if wait := limits_of(request).log_in(visitor.name, address_of(request)):
        refused = _account(request, visitor, 429, error=_later(wait))
        refused.headers["Retry-After"] = str(wait)
        return refused
    if then != again:
        return _account(request, visitor, 422, error=gettext("The new password was written in two ways."))
    try:
        token = door_of(request).change_password(visitor, now, then, address=address_of(request))
    except InvalidInput as error:
        return _account(request, visitor, 422, error=str(error))
    response = RedirectResponse("/account", 303)
    keep_token(request, response, token)
    return tell(response, gettext("Your password was changed, and every other browser was logged out."))


def _later(seconds: int) -> str:
    return gettext("Too many attempts: try again in %(seconds)s seconds.") % {"seconds": seconds}


def _account(request: Request, visitor: Visitor, status: int = 200, *, error: str | None = None) -> Response:
    sessions = door_of(request).sessions.listed(visitor.name)
    return render(request, "account/account.html", status=status, sessions=sessions, error=error)
