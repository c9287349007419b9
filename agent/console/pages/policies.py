"""Policies: the versions of each loop, which answer whom and what that earned; put on trial, promoted, rolled back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

import policies
from agent.console.access import require, visitor_of
from agent.console.api import LoopName, service_of
from agent.console.index import index_of
from agent.console.language import N_
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.rendering import render
from agent.console.versions import typed, versions_of
from agent.errors import Conflict, InvalidInput, Unknown
from agent.service import Service
from agent.standing import Standing
from policies.settings import DEFAULTS

router = APIRouter(include_in_schema=False, dependencies=[Depends(require("viewer"))])
Admin = Depends(require("admin"))
Seen = Annotated[int | None, Form(ge=0, lt=2**62)]
Why = Annotated[str, Form(max_length=1_000)]
Text = Annotated[str, Form(max_length=20_000)]
_STATUS: tuple[tuple[type[Exception], HTTPStatus], ...] = (
    (Conflict, HTTPStatus.CONFLICT),
    (Unknown, HTTPStatus.NOT_FOUND),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (policies.InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
)
# What each step is called once it is done.
DONE = {
    "stage": N_("The challenger is staged."),
    "share": N_("The share is changed."),
    "promote": N_("The version is promoted: it answers everybody from now on."),
    "roll-back": N_("Rolled back: the version before answers everybody again."),
    "withdraw": N_("The challenger is withdrawn."),
}


@router.get("/policies")
def loops(request: Request) -> Response:
    """What is in force in each loop, and what challenges it."""
    service, index = service_of(request), index_of(request)
    found = [versions_of(service, index, loop) for loop in service.loops()]
    return render(request, "policies/list.html", loops=found)


@router.get("/policies/{loop}")
def versions(request: Request, loop: LoopName) -> Response:
    """The versions of a loop, and what can be done with them."""
    return _page(request, loop)


@router.post("/policies/{loop}/stage", dependencies=[Admin])
def stage(
    request: Request,
    loop: LoopName,
    policy: Text = "",
    settings: Text = "",
    percent: Text = "",
    why: Why = "",
    seen: Seen = None,
) -> Response:
    """Let other settings answer a share of the conversations."""

    def do(service: Service, who: str) -> Standing:
        challenger = typed(settings, policy, base=service.settings(loop))
        return service.stage(loop, challenger, share=_share(percent), who=who, why=_said(why), seen=seen)

    said = {"policy": policy, "settings": settings, "percent": percent, "why": why}
    return _step(request, loop, "stage", do, said)


@router.post("/policies/{loop}/share", dependencies=[Admin])
def share(request: Request, loop: LoopName, percent: Text = "", why: Why = "", seen: Seen = None) -> Response:
    """Give the challenger another share of the conversations."""

    def do(service: Service, who: str) -> Standing:
        challenger = service.standing(loop).challenger
        if challenger is None:
            raise InvalidInput(_("There is no challenger, so it has no share."))
        return service.stage(loop, challenger, share=_share(percent), who=who, why=_said(why), seen=seen)

    return _step(request, loop, "share", do, {"percent": percent, "why": why})


@router.post("/policies/{loop}/promote", dependencies=[Admin])
def promote(request: Request, loop: LoopName, version: Text = "", why: Why = "", seen: Seen = None) -> Response:
    """Let a version answer everybody."""

    def do(service: Service, who: str) -> Standing:
        return service.promote(loop, version, who=who, why=_said(why), seen=seen)

    return _step(request, loop, "promote", do, {"version": version, "why": why})


@router.post("/policies/{loop}/roll-back", dependencies=[Admin])
def roll_back(request: Request, loop: LoopName, why: Why = "", seen: Seen = None) -> Response:
    """Bring the version back that was in force before."""

    def do(service: Service, who: str) -> Standing:
        return service.roll_back(loop, who=who, why=_said(why), seen=seen)

    return _step(request, loop, "roll-back", do, {"why": why})


@router.post("/policies/{loop}/withdraw", dependencies=[Admin])
def withdraw(request: Request, loop: LoopName, why: Why = "", seen: Seen = None) -> Response:
    """Take the challenger off the conversations."""

    def do(service: Service, who: str) -> Standing:
        return service.withdraw(loop, who=who, why=_said(why), seen=seen)

    return _step(request, loop, "withdraw", do, {"why": why})


@router.post("/policies/{loop}/undo", dependencies=[Admin])
def undo(request: Request, loop: LoopName, seq: Annotated[int, Form(ge=1, lt=2**62)]) -> Response:
    """Take back the step that was just taken."""
    response = RedirectResponse(_path(loop), 303)
    try:
        service_of(request).take_back(loop, seq=seq, who=visitor_of(request).name, why="undo")
    except (Conflict, InvalidInput) as error:
        return tell(response, str(error), good=False)
    return tell(response, _("Undone."))


def _step(
    request: Request,
    loop: str,
    action: str,
    do: Callable[[Service, str], Standing],
    said: Mapping[str, str],
) -> Response:
    """Take a step, and say so on the page; if it cannot be taken, say why, and keep what was typed."""
    service = service_of(request)
    before = service.standing(loop)
    try:
        standing = do(service, visitor_of(request).name)
    except tuple(kind for kind, _status in _STATUS) as error:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return _page(request, loop, status=status, action=action, said=said, error=str(error))
    response = RedirectResponse(_path(loop), 303)
    if standing.seq == before.seq:
        return tell(response, _("Nothing has changed: so it was already."))
    return tell(response, _(DONE[action]), undo=f"{_path(loop)}/undo", seq=str(standing.seq))


def _page(
    request: Request,
    loop: str,
    *,
    status: int = 200,
    action: str = "",
    said: Mapping[str, str] | None = None,
    error: str = "",
) -> Response:
    service = service_of(request)
    found = versions_of(service, index_of(request), loop)
    return render(
        request,
        "policies/versions.html",
        status=status,
        found=found,
        loop_name=loop,
        names=list(DEFAULTS),
        action=action,
        said=dict(said or {}),
        error=error,
        outdated=status == HTTPStatus.CONFLICT,
        latest=max(found.all, key=lambda one: one.version.until or one.version.since).version if found.all else None,
    )


def _share(percent: str) -> float:
    try:
        number = float(percent.strip().removesuffix("%").replace(",", "."))
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 100.0:
        raise InvalidInput(_("The share must be a number from 0 to 100."))
    return number / 100.0


def _said(why: str) -> str:
    if not why.strip():
        raise InvalidInput(_("Say why: whoever looks back wants to know."))
    return why.strip()


def _path(loop: str) -> str:
    return f"/policies/{quote(loop)}"
