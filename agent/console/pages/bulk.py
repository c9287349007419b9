"""Bulk changes: the same note on the conversations that were selected, or on all that a filter finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.console import finding
from agent.console.access import require
from agent.console.finding import PATH, address
from agent.console.index import index_of
from agent.console.language import N_, ngettext
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.pages.account import Field
from agent.console.pages.languages import local
from agent.console.rendering import render
from agent.errors import InvalidInput
from agent.review.bulk import Bulk, Bulks
from agent.review.conversations import count, keys

router = APIRouter(prefix=f"{PATH}/bulk", include_in_schema=False)
Reviewer = Annotated[Visitor, Depends(require("reviewer"))]
Key = Annotated[str, Form(max_length=600)]
Address = Annotated[str, Form(max_length=8_000)]
#: what can be done: the value that the button sends, and what it is called.
ACTIONS = {
    "flag": N_("Flag"),
    "flag:false": N_("Lower the flag"),
    "tag": N_("Put the tag …"),
    "untag": N_("Take off the tag …"),
    "reviewed:good": N_("Reviewed: good"),
    "reviewed:mixed": N_("Reviewed: mixed"),
    "reviewed:bad": N_("Reviewed: bad"),
    "assigned:me": N_("Assign to me"),
    "assigned": N_("Assign to …"),
    "assigned:": N_("Assign to nobody"),
}


def bulks_of(request: Request) -> Bulks:
    """The bulk changes of the application."""
    bulks = request.app.state.bulks
    assert isinstance(bulks, Bulks)
    return bulks


@router.post("")
def change(
    request: Request,
    visitor: Reviewer,
    action: Field = "",
    value: Field = "",
    scope: Field = "selected",
    key: Annotated[list[Key], Form()] = [],  # noqa: B006 (FastAPI copies it)
    query: Address = "",
) -> Response:
    """Note the same on many conversations."""
    if action not in ACTIONS:
        raise InvalidInput(_("choose what to do with the conversations"))
    what, _colon, fixed = action.partition(":")
    noted: str | bool = {"me": visitor.name}.get(fixed, fixed) if _colon else value
    if what == "flag":
        noted = fixed != "false"
    asked, sort = finding.of_query(query)
    back = address(asked.pairs(), sort=sort)
    chosen: Iterable[str]
    if scope == "all":
        index = index_of(request)
        chosen, total = keys(index, asked), count(index, asked, most=2**31)
    else:
        chosen, total = dict.fromkeys(key), len(set(key))
    if not total:
        return tell(RedirectResponse(back, 303), _("No conversation was selected."), good=False)
    return _led(bulks_of(request).note(what, noted, chosen, who=visitor.name, total=total), back)


@router.post("/undo")
def undo(request: Request, visitor: Reviewer, bulk: Field = "", back: Address = PATH) -> Response:
    """Take a bulk change back."""
    return _led(bulks_of(request).undo(bulk, who=visitor.name), local(back))


@router.get("/{bulk}")
def progress(request: Request, _visitor: Reviewer, bulk: str, back: str = PATH) -> HTMLResponse:
    """How far a bulk change is: a page, or the part of it that changes."""
    found = bulks_of(request).find(bulk)
    part = "conversations/progress.html" if "hx-request" in request.headers else "conversations/bulk.html"
    return render(request, part, bulk=found, said=said(found), back=local(back))


def _led(bulk: Bulk, back: str) -> Response:
    """Back to the list where it is done, else to how far it is."""
    if not bulk.over:
        return RedirectResponse(address([], path=f"{PATH}/bulk/{bulk.id}", back=back), 303)
    if bulk.undone:
        return tell(RedirectResponse(back, 303), said(bulk))
    return tell(RedirectResponse(back, 303), said(bulk), undo=f"{PATH}/bulk/undo", bulk=bulk.id, back=back)


def said(bulk: Bulk) -> str:
    """What was done to how many."""
    count = {"count": bulk.done}
    if bulk.undone:
        return (
            ngettext("Taken back of %(count)s conversation.", "Taken back of %(count)s conversations.", bulk.done)
            % count
        )
    return ngettext("%(count)s conversation is changed.", "%(count)s conversations are changed.", bulk.done) % count
