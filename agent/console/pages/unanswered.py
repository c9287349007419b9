"""The inbox of unanswered questions: answer a pile at once, add it to a reply that is there, or dismiss it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.candidates import Reply
from agent.console.access import require
from agent.console.api import service_of
from agent.console.index import index_of, later_of
from agent.console.language import gettext as _
from agent.console.language import ngettext
from agent.console.notices import tell
from agent.console.pages.replies import writable
from agent.console.rendering import render
from agent.editing import MOST_EXAMPLES
from agent.errors import Conflict, InvalidInput, ModelMissing, Unknown
from agent.review.inbox import Inbox, Pile, said, said_of, sort
from agent.review.later import Made
from agent.review.unanswered import REASONS, Search, channels, fallbacks, settled_of
from agent.service import Service

ROWS = 20  # piles a page
EXAMPLES = 30  # texts of a pile that can be ticked
DAYS = (7, 30, 90)
PATIENCE = 60.0  # seconds that a form waits for the inbox: only the first after a start does
router = APIRouter(prefix="/unanswered", include_in_schema=False)
Viewer = Annotated[Visitor, Depends(require("viewer"))]
Reviewer = Annotated[Visitor, Depends(require("reviewer"))]
Key = Annotated[str, Query(min_length=1, max_length=200)]
Text = Annotated[str, Form(max_length=12_000)]
Texts = Annotated[list[str], Form()]


def asked_for(
    days: Annotated[int, Query()] = 30,
    channel: Annotated[str, Query(max_length=100)] = "",
    why: Annotated[str, Query(max_length=40)] = "",
) -> Search:
    """What an address asks for: values that mean nothing are left out."""
    return Search(days if days in DAYS else 30, channel, (why,) if why in REASONS else REASONS)


Asked = Annotated[Search, Depends(asked_for)]


@router.get("")
def inbox(
    request: Request, _visitor: Viewer, search: Asked, page: Annotated[int, Query(ge=1, le=10_000)] = 1
) -> Response:
    """The piles, the largest first."""
    index = index_of(request)
    made = _inbox(request, search, patience=0.15)
    values: dict[str, Any] = {"search": search, "query": query_of(search), "channels": channels(index), "days": DAYS}
    values |= {"why": search.reasons[0] if len(search.reasons) == 1 else "", "reasons": REASONS}
    if made is None:
        return render(request, "unanswered/sorting.html", **values)
    box = made.value.without(settled_of(index, _keys(made.value)))
    pages = max(1, -(-len(box.piles) // ROWS))
    page = min(page, pages)
    shown = box.piles[(page - 1) * ROWS : page * ROWS]
    loops = writable(service_of(request))
    return render(
        request, "unanswered/inbox.html", box=box, piles=shown, fresh=made.fresh, page=page, pages=pages, loops=loops,
        **values,
    )  # fmt: skip


@router.get("/answer")
def answer_form(request: Request, _visitor: Reviewer, about: Key, search: Asked) -> Response:
    """The form for the reply that answers a pile."""
    return _form(request, "answer", search, _current(request, search).pile(about))


@router.post("/answer")
def answer(
    request: Request,
    visitor: Reviewer,
    search: Asked,
    about: Text,
    upto: Annotated[int, Form()],
    loop: Text,
    text: Texts,
    offered: Texts = [],  # noqa: B006 (FastAPI copies it)
    example: Texts = [],  # noqa: B006
    why: Text = "",
) -> Response:
    """Write the reply, with the questions that were ticked, and take those out of the inbox."""
    service, pile = service_of(request), _current(request, search).pile(about)
    texts = [given.replace("\r\n", "\n").strip() for given in text if given.strip()]
    try:
        if loop not in writable(service):
            raise Unknown(f"unknown loop {loop!r}")
        settled = _settled(pile, upto, offered, example)
        reply = service.write(loop, texts=texts, examples=example[:MOST_EXAMPLES], who=visitor.name, why=why)
    except (InvalidInput, ModelMissing) as error:
        given: dict[str, Any] = {"texts": texts, "ticked": example, "loop": loop, "why": why}
        return _form(request, "answer", search, pile, error=error, **given)
    done = service.settle(settled, who=visitor.name, answer=f"{loop}/{reply.id}")
    told = ngettext("Reply written for %(n)s question.", "Reply written for %(n)s questions.", len(settled))
    undo: dict[str, Any] = {"event": done.event_id, "loop": loop, "id": reply.id, "state": "disabled"}
    return tell(_back(search), told % {"n": len(settled)}, undo="/unanswered/undo", **undo)


@router.get("/existing")
def existing_form(request: Request, _visitor: Reviewer, about: Key, search: Asked) -> Response:
    """The form that adds a pile's questions to a reply that is there."""
    return _form(request, "existing", search, _current(request, search).pile(about))


@router.post("/existing")
def existing(
    request: Request,
    visitor: Reviewer,
    search: Asked,
    about: Text,
    upto: Annotated[int, Form()],
    loop: Text,
    id: Text,
    offered: Texts = [],  # noqa: B006
    example: Texts = [],  # noqa: B006
) -> Response:
    """Add the questions that were ticked to the reply's examples; what was learned of it stays."""
    service, pile = service_of(request), _current(request, search).pile(about)
    try:
        settled = _settled(pile, upto, offered, example)
        before = service.history(loop, id)[0].reply
        asked = list(dict.fromkeys((*before.examples, *example)))[-MOST_EXAMPLES:]
        why = "questions from the inbox"
        reply = service.edit(
            loop, id, examples=asked, typo=True, who=visitor.name, why=why, version_seen=before.version
        )
    except (InvalidInput, ModelMissing) as error:
        return _form(request, "existing", search, pile, error=error, ticked=example, loop=loop, chosen=id)
    done = service.settle(settled, who=visitor.name, answer=f"{loop}/{id}")
    told = ngettext("%(n)s question added to %(id)s.", "%(n)s questions added to %(id)s.", len(settled))
    undo: dict[str, Any] = {"event": done.event_id, "loop": loop, "id": id}
    undo |= {"version": str(before.version), "seen": str(reply.version)}
    return tell(_back(search), told % {"n": len(settled), "id": id}, undo="/unanswered/undo", **undo)


@router.post("/dismiss")
def dismiss(request: Request, visitor: Reviewer, search: Asked, about: Text, upto: Annotated[int, Form()]) -> Response:
    """Take a pile out of the inbox without an answer. What is asked like it later comes back."""
    service, box = service_of(request), _current(request, search)
    settled = _settled(box.pile(about), upto, (), ())
    done = service.settle(settled, who=visitor.name)
    told = ngettext("%(n)s question dismissed.", "%(n)s questions dismissed.", len(settled))
    return tell(_back(search), told % {"n": len(settled)}, undo="/unanswered/undo", event=done.event_id)


@router.post("/undo")
def undo(
    request: Request,
    visitor: Reviewer,
    event: Text,
    loop: Text = "",
    id: Text = "",
    state: Text = "",
    version: Annotated[int, Form()] = 0,
    seen: Annotated[int, Form()] = 0,
) -> Response:
    """Open the questions again (or, undoing that, settle them), and put the reply back to what it was."""
    service, who = service_of(request), visitor.name
    again: dict[str, Any] = {"loop": loop, "id": id} if id else {}
    if state:
        again["state"] = service.history(loop, id)[0].reply.state
        service.mark(loop, id, state=state, who=who, why="undone in the inbox")
    elif version:
        old = _version(service, loop, id, version)
        made = service.edit(
            loop, id, old.texts, examples=old.examples, who=who, why="undone in the inbox", version_seen=seen
        )
        again |= {"version": str(seen), "seen": str(made.version)}
    done = service.revoke(event, who=who)
    back = RedirectResponse("/unanswered", 303)
    return tell(back, _("Undone."), undo="/unanswered/undo", event=done.event_id, **again)


def query_of(search: Search) -> dict[str, str]:
    """The search as an address has it."""
    why = search.reasons[0] if len(search.reasons) == 1 else ""
    given = {"days": str(search.days), "channel": search.channel, "why": why}
    return {name: value for name, value in given.items() if value}


def _inbox(request: Request, search: Search, *, patience: float) -> Made[Inbox] | None:
    """The inbox as it is, if that does not take too long; else an older one, or None."""
    service, index, now = service_of(request), index_of(request), time.time()
    key, state = ("unanswered", search, fallbacks()), (index.seq, int(now // 3_600))
    return later_of(request).get(key, state, lambda: sort(service, index, search, now=now), patience=patience)


def _current(request: Request, search: Search) -> Inbox:
    """The inbox that somebody has before them, waited for."""
    made = _inbox(request, search, patience=0.0) or _inbox(request, search, patience=PATIENCE)
    if made is None:
        raise Conflict("the questions are still being sorted: try again in a moment")
    return made.value.without(settled_of(index_of(request), _keys(made.value)))


def _keys(box: Inbox) -> list[str]:
    return [question.key for pile in box.piles for question in pile.questions]


def _settled(pile: Pile, upto: int, offered: Sequence[str], ticked: Sequence[str]) -> list[str]:
    """The questions of a pile that somebody saw and did not untick."""
    left = {said_of(text) for text in offered} - {said_of(text) for text in ticked}
    found = [question.key for question in pile.questions if question.seq <= upto and said(question) not in left]
    if not found:
        raise InvalidInput("tick at least one of the questions")
    return found


def _version(service: Service, loop: str, id: str, version: int) -> Reply:
    for known in service.history(loop, id):
        if known.reply.version == version:
            return known.reply
    raise Unknown(f"unknown candidate {id!r} version {version}")


def _form(
    request: Request,
    kind: str,
    search: Search,
    pile: Pile,
    *,
    error: Exception | None = None,
    loop: str = "",
    ticked: Sequence[str] | None = None,
    **given: Any,
) -> Response:
    service = service_of(request)
    loops, loop = writable(service), loop or pile.loop
    replies = [] if kind == "answer" or loop not in loops else service.overview(loop).candidates
    texts = pile.counts[:EXAMPLES]
    values = {
        "pile": pile,
        "texts": (),
        "why": "",
        "chosen": pile.closest.id if pile.closest else "",
        "counts": texts,
        "hidden": len(pile.texts) - len(texts),
        "ticked": [text for text, _times in texts] if ticked is None else list(ticked),
        "replies": [reply for reply in replies if reply.prior is None],
        "loops": loops,
        "loop": loop,
        "upto": max(question.seq for question in pile.questions),
        "query": query_of(search),
        "error": "" if error is None else str(error),
    }
    conflict = isinstance(error, Conflict)
    status = 200 if error is None else 409 if conflict else 404 if isinstance(error, Unknown) else 422
    page = f"unanswered/{kind}.html"
    return render(request, page, status=status, **{**values, **given})


def _back(search: Search) -> RedirectResponse:
    query = query_of(search)
    return RedirectResponse(f"/unanswered?{urlencode(query)}" if query != {"days": "30"} else "/unanswered", 303)
