"""The HTTP API's conversations: found as on the pages, each with its turns, and what reviewers note about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from agent.console import api
from agent.console.access import author_of
from agent.console.bodies import AnnotationBody
from agent.console.index import index_of
from agent.console.problems import RESPONSES
from agent.console.values import SAID
from agent.console.views import MOST_ROWS
from agent.database import Row
from agent.review.conversations import CURSOR, SORTS, page, place_of, tags
from agent.review.filters import KINDS, RANGE, WHENS, Filter
from agent.review.thread import Turn, thread

router = APIRouter(prefix="/v1", responses=RESPONSES)
Key = Annotated[str, Path(min_length=1, max_length=600)]
_OF_CONVERSATION = (
    "key", "started", "last", "channel", "language", "opening", "turns", "decisions", "outcomes", "reward", "worst",
    "uncertainty", "resolved", "verdict", "assigned",
)  # fmt: skip
_OF_DECISION = (
    "id", "at", "loop", "intent", "chosen", "version", "model_version", "propensity", "expected", "deviation", "reward",
)  # fmt: skip
_OF_OUTCOME = ("id", "at", "signal", "value", "source", "comment")
_OF_NOTE = ("id", "at", "what", "value", "who")
_OF_MESSAGE = ("at", "who", "text", "action")
_FLAGS = {"conversation": ("handed_over", "flagged"), "decision": ("live", "activated", "abstained", "explored")}


def _names(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"in": "query", "required": False, "description": description, "schema": schema}


_TEXT = {"type": "string"}
_SEVERAL = {"type": "array", "items": _TEXT}
# Empty values say nothing.
_DATE = {"format": "date", "pattern": r"^(197[1-9]|19[89][0-9]|2[0-9]{3})-"}
_DAY = {"type": "string", "anyOf": [_DATE, {"maxLength": 0}]}
_RANGE = {"type": "string", "pattern": rf"^({RANGE})?$"}
_NOT = {"type": "array", "items": {"type": "string", "pattern": rf"^$|^({'|'.join(KINDS)}):[\s\S]*{SAID}"}}
# What an address of the pages may ask for, the API may as well.
_FILTERS = {
    "parameters": [
        {"name": "q", **_names("words that were said", _TEXT)},
        {"name": "when", **_names("a stretch of days up to today", {"type": "string", "enum": [*WHENS, ""]})},
        {"name": "from", **_names("the first day", _DAY)},
        {"name": "to", **_names("the last day", _DAY)},
        {"name": "reward", **_names("a range, such as 0.2..0.5, ..0.5 or 0.2..", _RANGE)},
        {"name": "uncertainty", **_names("a range", _RANGE)},
        {"name": "not", **_names("kind:value that may not be, such as was:reviewed", _NOT)},
        *({"name": kind, **_names("any of these", _SEVERAL)} for kind in KINDS),
    ]
}


@router.get("/conversations", dependencies=api.READ, openapi_extra=_FILTERS)
def conversations(
    request: Request,
    sort: Annotated[str, Query(json_schema_extra={"enum": list(SORTS)})] = "latest",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
    after: Annotated[str | None, Query(max_length=100, json_schema_extra={"pattern": f"^{CURSOR}$"})] = None,
) -> dict[str, Any]:
    """The conversations that the filters find. `after` in the answer asks for the next page; null on the last."""
    asked, index = Filter.of(request.query_params.multi_items()), index_of(request)
    found = page(index, asked, sort=sort, limit=limit, after=after)
    known = tags(index, [row["id"] for row in found.rows])
    return {"conversations": [_conversation(row, known[row["id"]]) for row in found.rows], "after": found.older}


@router.get("/conversations/{key}", dependencies=api.READ)
def conversation(request: Request, key: Key) -> dict[str, Any]:
    """One conversation: its turns, each with what was said, decided, told and noted."""
    found = thread(index_of(request), key)
    return {
        **_conversation(found.row, found.tags),
        "thread": [_turn(turn) for turn in found.turns],
        "about_all": {"outcomes": _outcomes(found.outcomes), "annotations": _notes(found.annotations)},
        "changes": [
            {"event_id": c["id"], **{name: c[name] for name in ("at", "who", "kind", "about", "why")}}
            | {"taken_back": c["id"] in found.gone}
            for c in found.changes
        ],
    }


@router.post("/conversations/{key}/annotations", dependencies=api.REVIEW)
def annotate(request: Request, key: Key, body: AnnotationBody) -> dict[str, Any]:
    """Note something about a conversation, or a turn of it. The same `event_id` delivered again changes nothing."""
    column, of = place_of(key) if body.turn_id is None else ("turn", body.turn_id)
    if body.turn_id is not None:
        thread(index_of(request), key)  # it must be there
    recorded = api.service_of(request).annotate(
        body.what, body.value, who=author_of(request, body.who), event_id=body.event_id, **{column: of}
    )
    return {"event_id": recorded.event_id, "duplicate": recorded.duplicate}


def _conversation(row: Row, known: Sequence[str]) -> dict[str, Any]:
    return _picked(row, _OF_CONVERSATION, _FLAGS["conversation"]) | {"tags": list(known)}


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "turn_id": turn.id,
        "messages": [_picked(row, _OF_MESSAGE) for row in (*turn.asked, *turn.said)],
        "decisions": [_picked(row, _OF_DECISION, _FLAGS["decision"]) for row in turn.decisions],
        "outcomes": _outcomes(turn.outcomes),
        "annotations": _notes(turn.annotations),
    }


def _outcomes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [_picked(row, _OF_OUTCOME, ("standing", "corrected")) for row in rows]


def _notes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [_picked(row, _OF_NOTE, ("standing",)) for row in rows]


def _picked(row: Row, names: Sequence[str], flags: Sequence[str] = ()) -> dict[str, Any]:
    return {name: row[name] for name in names} | {name: bool(row[name]) for name in flags}
