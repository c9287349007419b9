"""The review queue: one conversation after the other, with the keyboard alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from agent.annotations import VERDICTS
from agent.console.access import require, visitor_of
from agent.console.api import service_of
from agent.console.index import index_of
from agent.console.language import N_
from agent.console.language import gettext as _
from agent.console.notices import tell
from agent.console.rendering import render
from agent.database import Row
from agent.review.conversations import conversation, place_of
from agent.review.queue import PARTS, agreements, progress, upcoming
from agent.review.thread import thread
from agent.rewards import signal
from agent.service import Service

router = APIRouter(include_in_schema=False, dependencies=[Depends(require("viewer"))])
#: what the parts of the queue are called, and why one would look there.
NAMES = {
    "useful": (N_("Most useful"), N_("What matters most first, with a few of the others among them.")),
    "dissatisfied": (N_("Dissatisfied"), N_("Customers said that they were not helped.")),
    "disagreeing": (N_("Disagreeing"), N_("The same conversation was praised and blamed.")),
    "handed over": (N_("Handed over"), N_("People had to take over from the bot.")),
    "uncertain": (N_("Uncertain"), N_("The model knew least what to say.")),
    "new": (N_("New replies"), N_("Replies that hardly anybody has been given yet.")),
    "control": (N_("Random"), N_("Drawn at random: only these tell how good the bot is on the whole.")),
    "second": (N_("Second look"), N_("Somebody else has reviewed these: where two look, it shows how far they agree.")),
    "mine": (N_("Assigned to me"), N_("What somebody has given to you.")),
}
VERDICT_NAMES = {"good": N_("Good"), "bad": N_("Bad"), "mixed": N_("Mixed"), "none": N_("No verdict")}
_AHEAD = 25
Part = Annotated[str, Query(max_length=40)]
Key = Annotated[str, Path(min_length=1, max_length=500)]
Text = Annotated[str, Form(max_length=4_000)]
Reviewer = Depends(require("reviewer"))


@router.get("/queue")
def queue(request: Request, part: Part = "useful") -> Response:
    """What is next, how far people have come, and how far they agree."""
    index, who = index_of(request), visitor_of(request).name
    return render(
        request,
        "queue/list.html",
        part=part,
        names=NAMES,
        verdicts=VERDICT_NAMES,
        items=upcoming(index, who, part=part, limit=_AHEAD),
        progress=progress(index, who),
        agreements=agreements(index),
    )


@router.get("/queue/next")
def go_on(request: Request, part: Part = "useful", before: str = "") -> Response:
    """On to the first conversation of a part of the queue."""
    items = upcoming(index_of(request), visitor_of(request).name, part=part, limit=1)
    if not items:
        return tell(RedirectResponse(_list(part), 303), _("Nothing is left in this part of the queue."))
    return RedirectResponse(_item(items[0].row["key"], part, before), 303)


@router.get("/queue/{key:path}")
def item(request: Request, key: Key, part: Part = "useful", before: str = "") -> Response:
    """One conversation to review, and those beside it in the queue."""
    index, who = index_of(request), visitor_of(request).name
    items = upcoming(index, who, part=part, limit=_AHEAD)
    keys = [found.row["key"] for found in items]
    place = keys.index(key) if key in keys else -1
    found = thread(index, key)
    return render(
        request,
        "queue/item.html",
        thread=found,
        part=part,
        names=NAMES,
        verdicts=[(name, VERDICT_NAMES[name]) for name in VERDICTS if name != "none"],
        reasons=items[place].reasons if place >= 0 else [],
        item_part=items[place].part if place >= 0 else part,
        given=_given(found.annotations),
        correctable={o["id"]: _correctable(service_of(request), o) for turn in found.turns for o in turn.outcomes}
        | {o["id"]: _correctable(service_of(request), o) for o in found.outcomes},
        progress=progress(index, who),
        following=_item(keys[place + 1], part, key) if place + 1 < len(keys) else None,
        preceding=_item(keys[place - 1], part) if place > 0 else _item(before, part) if before else None,
    )


@router.post("/queue/{key:path}/verdict", dependencies=[Reviewer])
def verdict(request: Request, key: Key, verdict: Text, part: Text = "useful") -> Response:
    """Give a verdict, and go on to the next."""
    made = _note(request, key, "reviewed", verdict)
    there = f"/queue/next?{urlencode({'part': part, 'before': key})}"
    said = _("Reviewed: %(verdict)s.") % {"verdict": _(VERDICT_NAMES[verdict])}
    return tell(RedirectResponse(there, 303), said, undo="/queue/undo", event=made, key=key, part=part)


@router.post("/queue/{key:path}/note", dependencies=[Reviewer])
def note(request: Request, key: Key, what: Text, value: Text = "", part: Text = "useful") -> Response:
    """Flag it, comment on it, or give it to somebody."""
    made = _note(request, key, what, value if what != "flag" else value != "0")
    response = RedirectResponse(_item(key, part), 303)
    return tell(response, _("Noted."), undo="/queue/undo", event=made, key=key, part=part)


@router.post("/queue/{key:path}/correct", dependencies=[Reviewer])
def correct(
    request: Request,
    key: Key,
    event: Text,
    value: Annotated[float, Form()],
    part: Text = "useful",
    seen: Text = "",
    why: Text = "",
) -> Response:
    """Put another value in the place of what a customer signalled."""
    who = visitor_of(request).name
    made = service_of(request).correct(event, value=value, who=who, why=why, seen=seen.split())
    response = RedirectResponse(_item(key, part), 303)
    return tell(response, _("Corrected."), undo="/queue/undo", event=made.event_id, key=key, part=part)


@router.post("/queue/undo", dependencies=[Reviewer])
def undo(request: Request, event: Text, key: Text, part: Text = "useful") -> Response:
    """Take back what was just done, and go back to where it was."""
    service_of(request).revoke(event, who=visitor_of(request).name, why="undo")
    return tell(RedirectResponse(_item(key, part), 303), _("Undone."))


def _note(request: Request, key: str, what: str, value: str | bool) -> str:
    column, name = place_of(conversation(index_of(request), key)["key"])
    return service_of(request).annotate(what, value, who=visitor_of(request).name, **{column: name}).event_id


def _correctable(service: Service, outcome: Row) -> dict[str, Any] | None:
    """What a form needs that corrects an outcome; None where there is nothing to correct."""
    kind = signal(outcome["signal"])
    if not outcome["standing"] or math.isinf(kind.best):
        return None
    low, high = sorted((kind.worst, kind.best))
    event = service.log.event(outcome["id"])
    seen = [] if event is None else [change.id for change in service.changes(event)]
    step = 1 if kind.whole_numbers else "any"
    return {"low": low, "high": high, "step": step, "value": f"{outcome['value']:g}", "seen": " ".join(seen)}


def _given(annotations: Sequence[Row]) -> dict[str, str]:
    """The verdict of each reviewer as it stands."""
    return {row["who"]: row["value"] for row in annotations if row["what"] == "reviewed" and row["standing"]}


def _list(part: str) -> str:
    return f"/queue?{urlencode({'part': part})}"


def _item(key: str, part: str, before: str = "") -> str:
    asked = {"part": part, **({"before": before} if before else {})}
    return f"/queue/{key}?{urlencode(asked)}"


assert set(NAMES) == set(PARTS)
