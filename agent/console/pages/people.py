"""Users and API keys, for those who administer them."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.access.door import Door
from agent.access.visitor import Visitor
from agent.console.access import address_of, door_of, keep_token, require, visitor_of
from agent.console.pages.account import Field
from agent.console.pages.operations import tabs_for
from agent.console.rendering import render
from agent.errors import Conflict, InvalidInput, Unknown

router = APIRouter(prefix="/people", include_in_schema=False)
_STATUS: dict[type[InvalidInput], int] = {Unknown: 404, Conflict: 409}
Admin = Annotated[Visitor, Depends(require("admin"))]


@router.get("")
def people(request: Request, _visitor: Admin) -> Response:
    """The users and the keys there are."""
    return _people(request)


@router.post("/users")
def create_user(request: Request, visitor: Admin, name: Field = "", role: Field = "", password: Field = "") -> Response:
    """Make a user."""
    door = door_of(request)
    try:
        user = door.users.create(name, role, password)
    except InvalidInput as error:
        return _people(request, error)
    door.audit.write(visitor, f"user added as {user.role}", user.name, address=address_of(request))
    return RedirectResponse("/people", 303)


@router.post("/users/role")
def set_role(request: Request, visitor: Admin, name: Field = "", role: Field = "") -> Response:
    """Give a user another role; who does so to themselves goes on in it, in a new session."""
    try:
        token = door_of(request).set_role(visitor, name, role, address=address_of(request))
    except InvalidInput as error:
        return _people(request, error)
    return _back(request, token)


@router.post("/users/enabled")
def set_enabled(
    request: Request, visitor: Admin, name: Field = "", enabled: Annotated[bool, Form()] = False
) -> Response:
    """Let a user log in, or no longer."""
    try:
        door_of(request).set_enabled(visitor, name, enabled, address=address_of(request))
    except InvalidInput as error:
        return _people(request, error)
    return _back(request, None)


@router.post("/users/password")
def reset_password(request: Request, visitor: Admin, name: Field = "", password: Field = "") -> Response:
    """Give a user a password in place of one that was forgotten."""
    try:
        token = door_of(request).reset_password(visitor, name, password, address=address_of(request))
    except InvalidInput as error:
        return _people(request, error)
    return _back(request, token)


@router.post("/keys")
def create_key(
    request: Request,
    visitor: Admin,
    name: Field = "",
    scopes: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies it)
    days: Field = "",
) -> Response:
    """Make a key, and show it this once."""
    door = door_of(request)
    try:
        key, secret = door.keys.create(name, scopes, creator=visitor.name, days=_days(days))
    except InvalidInput as error:
        return _people(request, error)
    granted = " ".join(sorted(key.scopes))
    door.audit.write(visitor, f"key added for {granted}", key.name, address=address_of(request))
    return _people(request, made=key.name, secret=secret)


@router.post("/keys/revoke")
def revoke_key(request: Request, visitor: Admin, name: Field = "") -> Response:
    """Make a key good for nothing."""
    door = door_of(request)
    try:
        key = door.keys.revoke(name)
    except InvalidInput as error:
        return _people(request, error)
    door.audit.write(visitor, "key revoked", key.name, address=address_of(request))
    return RedirectResponse("/people", 303)


def _days(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"the days that a key is good for are a number; got {text[:50]!r}") from None


def _back(request: Request, token: str | None) -> Response:
    """Back to the list, with a new session where one's own has ended."""
    response = RedirectResponse("/people", 303)
    if token is not None:
        keep_token(request, response, token)
    return response


def _people(
    request: Request, error: InvalidInput | None = None, *, made: str | None = None, secret: str | None = None
) -> Response:
    door: Door = door_of(request)
    status = 200 if error is None else _STATUS.get(type(error), 422)
    users, keys = door.users.listed(), door.keys.listed()
    said = None if error is None else str(error)
    values: dict[str, Any] = {"users": users, "api_keys": keys, "now": time.time(), "error": said}
    values |= {"section": "/operations", "tabs": tabs_for(visitor_of(request))}
    return render(request, "people/people.html", status=status, made=made, secret=secret, **values)
