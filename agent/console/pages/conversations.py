"""The list of conversations: found, sorted, saved as a view, taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from agent.access.visitor import Visitor
from agent.annotations import VERDICTS
from agent.console import finding
from agent.console.access import address_of, door_of, require
from agent.console.finding import PATH, address, given
from agent.console.index import index_of
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.pages.account import Field
from agent.console.pages.bulk import ACTIONS
from agent.console.rendering import render
from agent.errors import InvalidInput
from agent.review.bulk import AT_ONCE
from agent.review.conversations import COUNTED, SORTS, Page, count, page, tags
from agent.review.export import export
from agent.review.filters import LONGEST_QUERY, Filter

ROWS = 25
# The fields that always show; the others stand behind "More filters".
SHOWN, HIDDEN = (
    ("channel", "outcome", "was"),
    (
        "intent",
        "reply",
        "loop",
        "said",
        "signal",
        "language",
        "hour",
        "tag",
        "verdict",
        "reviewer",
        "assigned",
        "version",
    ),
)
router = APIRouter(prefix=PATH, include_in_schema=False)
Viewer = Annotated[Visitor, Depends(require("viewer"))]
Cursor = Annotated[str | None, Query(max_length=100)]
Query_ = Annotated[str, Form(max_length=4_000)]


@router.get("")
def conversations(request: Request, visitor: Viewer, before: Cursor = None, after: Cursor = None) -> Response:
    """A page of the conversations that the address asks for."""
    asked_for = request.query_params.multi_items()
    pairs, sort = given(asked_for)
    after = None if before else after
    here = address(pairs, sort=sort, before=before, after=after)
    if request.url.query and here != f"{PATH}?{request.url.query}" and not _same(asked_for, pairs, sort, before, after):
        return RedirectResponse(here, 303)  # what a form sends, said shortly: an address to keep and to share
    index, trouble, status, asked = index_of(request), "", 200, Filter()
    try:
        asked = Filter.of(pairs)
        pairs = asked.pairs()
        found = page(index, asked, sort=sort, limit=ROWS, before=before, after=after)
        number = count(index, asked)
    except InvalidInput as error:
        found, number, trouble, status = Page([], None, None), 0, str(error), 422
    query = urlencode([*pairs, *([("sort", sort)] if sort != "latest" else [])])
    return render(
        request,
        "conversations/list.html",
        status=status,
        page=found,
        number=number,
        most=COUNTED,
        at_once=AT_ONCE,
        trouble=trouble,
        pairs=pairs,
        sort=sort,
        query=query,
        chips=[] if trouble else finding.chips(asked, sort),
        options=finding.options(index, pairs),
        tags=tags(index, [row["id"] for row in found.rows]),
        newer=address(pairs, sort=sort, before=found.newer) if found.newer else None,
        older=address(pairs, sort=sort, after=found.older) if found.older else None,
        first=address(pairs, sort=sort) if before or after else None,
        views=door_of(request).views.listed(visitor.name),
        **_words(),
    )


def _same(asked_for: finding.Pairs, pairs: finding.Pairs, sort: str, before: str | None, after: str | None) -> bool:
    """Whether an address says nothing but what it would say in short."""
    rest = [("before", before or ""), ("after", after or ""), ("sort", "" if sort == "latest" else sort)]
    return sorted(asked_for) == sorted([*pairs, *((name, value) for name, value in rest if value)])


def _words() -> dict[str, Any]:
    return {
        "shown": SHOWN,
        "hidden": HIDDEN,
        "names": finding.NAMES,
        "whens": [(name, _(word)) for name, word in finding.WHENS.items()],
        "actions": ACTIONS,
        "sorts": [(name, _(finding.SORT_NAMES[name])) for name in SORTS],
        "worded": finding.worded,
        "address": address,
        "verdicts": VERDICTS,
        "longest": LONGEST_QUERY,
    }


@router.get("/export")
def take_away(
    request: Request, visitor: Viewer, rows: Annotated[str, Query(max_length=40)] = "conversations"
) -> Response:
    """All that the address asks for as a file of comma-separated values, sent as it is read."""
    pairs, _sort = given(request.query_params.multi_items())
    lines = export(index_of(request), Filter.of(pairs), rows)
    what = f"{rows} as CSV: {urlencode(pairs) or 'all'}"
    door_of(request).audit.write(visitor, "export", what, address=address_of(request))
    name = f"{rows}-{datetime.now().astimezone():%Y-%m-%d-%H%M}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_bytes(lines), media_type="text/csv; charset=utf-8", headers=headers)


def _bytes(lines: Iterator[str]) -> Iterator[bytes]:
    yield b"\xef\xbb\xbf"  # or else Excel takes UTF-8 for something else
    for some in lines:
        yield some.encode()


@router.post("/views")
def save_view(
    request: Request, visitor: Viewer, name: Field = "", query: Query_ = "", shared: Annotated[bool, Form()] = False
) -> Response:
    """Keep a filter under a name; one of this name is replaced."""
    asked, sort = finding.of_query(query)
    kept = address(asked.pairs(), sort=sort)
    view = door_of(request).views.save(visitor.name, name, kept.partition("?")[2], shared=shared)
    said = _("The view “%(name)s” is kept.") % {"name": view.name}
    return tell(RedirectResponse(kept, 303), said, undo=f"{PATH}/views/remove", id=str(view.id))


@router.post("/views/remove")
def remove_view(request: Request, visitor: Viewer, id: Annotated[int, Form(ge=0, lt=2**62)] = 0) -> Response:
    """Forget a view of one's own."""
    view = door_of(request).views.remove(visitor.name, id)
    said = _("The view “%(name)s” is removed.") % {"name": view.name}
    shared = "true" if view.shared else "false"
    back = RedirectResponse(PATH, 303)
    return tell(back, said, undo=f"{PATH}/views", name=view.name, query=view.query, shared=shared)
