"""Undo: whatever people changed is taken back, the taking back as well; and replies they wrote are switched off."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.console.access import require
from agent.console.api import service_of
from agent.console.effects import measured, told
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.pages.account import Field
from agent.console.pages.languages import local
from agent.errors import InvalidInput, Unknown

router = APIRouter(prefix="/undo", include_in_schema=False)
Reviewer = Annotated[Visitor, Depends(require("reviewer"))]
Back = Annotated[str, Form(max_length=8_000)]


@router.post("")
def undo(request: Request, visitor: Reviewer, event: Field = "", why: Field = "", back: Back = "/") -> Response:
    """Take back an outcome, a correction, a note, or an earlier taking back."""
    service = service_of(request)
    target = service.log.event(event)
    if target is None:
        raise Unknown(f"unknown change {event[:80]!r}")
    about = service.log.addressed(target) if target.kind != "annotation" else []
    revoked, effects = measured(service, about, lambda: service.revoke(event, who=visitor.name, why=why))
    said = " ".join(part for part in (_("Taken back."), told(effects)) if part)
    back = local(back)
    return tell(RedirectResponse(back, 303), said, undo="/undo", event=revoked.event_id, back=back)


@router.post("/reply")
def switch(
    request: Request, visitor: Reviewer, loop: Field = "", id: Field = "", state: Field = "disabled", back: Back = "/"
) -> Response:
    """Switch a reply off that was just written, or on again."""
    if state not in ("enabled", "disabled"):
        raise InvalidInput(f"a reply is enabled or disabled here; got {state[:40]!r}")
    service_of(request).mark(loop, id, state=state, who=visitor.name)
    said = _("The reply is switched off.") if state == "disabled" else _("The reply is switched on.")
    other = "enabled" if state == "disabled" else "disabled"
    back = local(back)
    return tell(RedirectResponse(back, 303), said, undo="/undo/reply", loop=loop, id=id, state=other, back=back)
