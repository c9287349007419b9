"""One conversation: the chat as it was, each turn taken apart, and whatever a reviewer has to say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from agent.access.visitor import Visitor
from agent.annotations import LONGEST, VERDICTS
from agent.console import finding, turns
from agent.console.access import door_of, require
from agent.console.api import EventId, service_of
from agent.console.effects import measured, told
from agent.console.finding import PATH, address, given
from agent.console.index import index_of
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.pages.account import Field
from agent.console.reasons import NEAREST
from agent.console.rendering import render
from agent.errors import Conflict, InvalidInput, NoneEligible, Unknown
from agent.log import Event
from agent.neighbours import nearest
from agent.reports import new_id
from agent.review.conversations import beside, facets, place_of
from agent.review.filters import Filter
from agent.review.thread import thread

LIKELIEST = 3  # candidates shown before the rest, which opens on demand
_RIGHT = {"form": "", "event": "", "error": ""}  # nothing was refused
_STATUS: dict[type[InvalidInput], int] = {Unknown: 404, Conflict: 409, NoneEligible: 409}
router = APIRouter(include_in_schema=False)
Viewer = Annotated[Visitor, Depends(require("viewer"))]
Reviewer = Annotated[Visitor, Depends(require("reviewer"))]
Key = Annotated[str, Path(min_length=1, max_length=600)]
Text = Annotated[str, Form(max_length=20_000)]
Address = Annotated[str, Form(max_length=8_000)]


@router.get(f"{PATH}/{{key}}")
def conversation(
    request: Request,
    _visitor: Viewer,
    key: Key,
    open: Annotated[str, Query(max_length=600)] = "",  # noqa: A002
) -> Response:
    """A conversation; the turn named by `open` is open."""
    pairs, sort = given(request.query_params.multi_items())
    return _page(request, key, address(pairs, sort=sort, path=""), opened=open)


@router.get(f"{PATH}/{{key}}/turns/{{turn}}")
def turn(request: Request, _visitor: Viewer, key: Key, turn: EventId, query: str = "") -> Response:
    """What a turn's page opens: its decisions and what came of them. Without htmx, the page with that turn open."""
    if "hx-request" not in request.headers:
        return RedirectResponse(_place(key, query, turn), 303)
    found = turns.turn_of(thread(index_of(request), key), turn)
    o = turns.opened(service_of(request), found)
    return render(
        request, "conversations/turn.html", key=key, query=_short(query), o=o, wrong=_RIGHT, **_words(request)
    )


@router.get("/decisions/{decision_id}/nearest")
def near(request: Request, _visitor: Viewer, decision_id: EventId) -> Response:
    """The past contexts nearest to a decision's. Without htmx, the page that has them."""
    if "hx-request" not in request.headers:
        return RedirectResponse(f"/decisions/{decision_id}/why", 303)
    service = service_of(request)
    decision = service.decision(decision_id)
    rows = nearest(service.log, decision, NEAREST)
    return render(request, "conversations/nearest.html", rows=rows, chosen=decision.body["chosen"])


@router.post(f"{PATH}/{{key}}/correct")
def correct(
    request: Request,
    visitor: Reviewer,
    key: Key,
    event: Text = "",
    value: Field = "",
    why: Text = "",
    seen: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies it)
    turn: Field = "",
    query: Address = "",
) -> Response:
    """Give an outcome another value, unless somebody changed it since it was looked at."""
    service = service_of(request)

    def change() -> str:
        return service.correct(event, value=_number(value), who=visitor.name, why=why, seen=seen).event_id

    typed = {"form": "correct", "event": event, "value": value, "why": why}
    return _changed(request, key, turn, query, _("Corrected."), _about(request, event), change, typed)


@router.post(f"{PATH}/{{key}}/revoke")
def revoke(
    request: Request,
    visitor: Reviewer,
    key: Key,
    event: Text = "",
    why: Text = "",
    turn: Field = "",
    query: Address = "",
) -> Response:
    """Take an outcome back."""
    service = service_of(request)

    def change() -> str:
        return service.revoke(event, who=visitor.name, why=why).event_id

    typed = {"form": "revoke", "event": event, "why": why}
    return _changed(request, key, turn, query, _("Taken back."), _about(request, event), change, typed)


@router.post(f"{PATH}/{{key}}/reward")
def reward(
    request: Request,
    visitor: Reviewer,
    key: Key,
    turn: Field = "",
    value: Field = "",
    why: Text = "",
    once: Field = "",
    query: Address = "",
) -> Response:
    """Say in the customer's place what a turn was worth."""
    service = service_of(request)
    found = turns.turn_of(thread(index_of(request), key), turn)
    about = [service.decision(row["id"]) for row in found.decisions]
    alone = None if found.id or not about else about[0].id

    def change() -> str:
        given = service.record(
            signal="reward",
            value=_number(value),
            turn=found.id,
            decision=alone,
            source="console",
            event_id=once or None,
            who=visitor.name,
            why=why,
        )
        return given.event_id

    typed = {"form": "reward", "value": value, "why": why}
    return _changed(request, key, turn, query, _("Reward given."), about, change, typed)


@router.post(f"{PATH}/{{key}}/reply")
def suggest(
    request: Request,
    visitor: Reviewer,
    key: Key,
    turn: Field = "",
    loop: Field = "",
    text: Text = "",
    question: Text = "",
    why: Text = "",
    query: Address = "",
) -> Response:
    """Write a better reply, which the bot may give from now on; the question is an example of what it answers."""
    examples = [question] if question.strip() else []
    try:
        written = service_of(request).write(loop, texts=[text], examples=examples, who=visitor.name, why=why)
    except InvalidInput as error:
        typed = {"form": "reply", "text": text, "question": question, "why": why, "loop": loop}
        return _refused(request, key, turn, query, error, typed)
    back = _place(key, query, turn)
    said = _("The reply “%(id)s” is written, and may be given from now on.") % {"id": written.id}
    return tell(RedirectResponse(back, 303), said, undo="/undo/reply", loop=loop, id=written.id, back=back)


@router.post(f"{PATH}/{{key}}/annotate")
def annotate(
    request: Request,
    visitor: Reviewer,
    key: Key,
    what: Field = "",
    value: Text = "",
    turn: Field = "",
    once: Field = "",
    query: Address = "",
) -> Response:
    """Flag, tag, comment, review or assign; a comment may be about one turn."""
    column, of = place_of(key)
    if turn:
        found = turns.turn_of(thread(index_of(request), key), turn)
        column, of = ("turn", found.id) if found.id else (column, of)
    noted: str | bool = value != "0" if what == "flag" else value
    try:
        event = service_of(request).annotate(what, noted, who=visitor.name, event_id=once or None, **{column: of})
    except InvalidInput as error:
        return _refused(request, key, turn, query, error, {"form": what, "value": value})
    back = _place(key, query, turn)
    kept = "1" if noted is True else "0" if noted is False else noted
    said = _("Noted: %(what)s") % {"what": turns.noted(what, kept)}
    return tell(RedirectResponse(back, 303), said, undo="/undo", event=event.event_id, back=back)


def _changed(
    request: Request,
    key: str,
    turn: str,
    query: str,
    done: str,
    about: Sequence[Event],
    change: Callable[[], str],
    typed: Mapping[str, str],
) -> Response:
    """Make a change of feedback, and say on the turn's page what it did; or why not, with what was typed."""
    try:
        event, effects = measured(service_of(request), about, change)
    except InvalidInput as error:
        return _refused(request, key, turn, query, error, typed)
    back = _place(key, query, turn)
    said = " ".join(part for part in (done, told(effects)) if part)
    return tell(RedirectResponse(back, 303), said, undo="/undo", event=event, back=back)


def _refused(
    request: Request, key: str, turn: str, query: str, error: InvalidInput, typed: Mapping[str, str]
) -> Response:
    status = _STATUS.get(type(error), 422)
    return _page(request, key, _short(query), opened=turn, status=status, wrong={**typed, "error": str(error)})


def _page(
    request: Request,
    key: str,
    query: str,
    *,
    opened: str = "",
    status: int = 200,
    wrong: Mapping[str, str] | None = None,
) -> HTMLResponse:
    service, index = service_of(request), index_of(request)
    found = thread(index, key)
    asked, sort = _asked(query)
    before, after = beside(index, asked, found.row, sort=sort)
    whole = [event for o in found.outcomes if (event := service.log.event(o["id"])) is not None]
    whole += [change for event in whole for change in service.changes(event)]
    named = next((turn for turn in found.turns if turn.name == opened), None)
    return render(
        request,
        "conversations/conversation.html",
        status=status,
        t=found,
        key=key,
        query=query,
        o=turns.opened(service, named) if named else None,
        whole=turns.told_of(service, sorted(whole, key=lambda event: event.seq)),
        said={turn.name: turns.words_of(service, turn) for turn in found.turns},
        history=turns.history(found),
        wrong={**_RIGHT, **(wrong or {})},
        to_list=address(asked.pairs(), sort=sort),
        earlier=f"{PATH}/{quote(before, safe='')}{query}" if before else None,
        later=f"{PATH}/{quote(after, safe='')}{query}" if after else None,
        tags=facets(index, "tag"),
        people=[user.name for user in door_of(request).users.listed()],
        share=f"{request.url.scheme}://{request.url.netloc}{PATH}/{quote(key, safe='')}",
        **_words(request),
    )


def _words(request: Request) -> dict[str, Any]:
    return {
        "named": finding.outcome_named,
        "noted": turns.noted,
        "choices": turns.choices,
        "likeliest": LIKELIEST,
        "verdicts": VERDICTS,
        "longest": LONGEST,
        "what_if": turns.has_what_if(request.app),
        "once": new_id,
    }


def _about(request: Request, event_id: str) -> list[Event]:
    """The decisions that an outcome is about; none where there is no such outcome, which is then said."""
    service = service_of(request)
    event = service.log.event(event_id)
    return [] if event is None else service.log.addressed(event)


def _asked(query: str) -> tuple[Filter, str]:
    """The list that one came from; all conversations where the address does not say it well."""
    try:
        return finding.of_query(query.removeprefix("?"))
    except InvalidInput:
        return Filter(), "latest"


def _short(query: str) -> str:
    """The part of an address that says which list one came from."""
    asked, sort = _asked(query)
    return address(asked.pairs(), sort=sort, path="")


def _place(key: str, query: str, turn: str) -> str:
    """The page of a conversation, with a turn open where one is named."""
    asked, sort = _asked(query)
    here = address(asked.pairs(), sort=sort, path=f"{PATH}/{quote(key, safe='')}", open=turn or None)
    return f"{here}#turn-{quote(turn, safe='')}" if turn else here


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InvalidInput(f"value: must be a number; got {text[:40]!r}") from None
