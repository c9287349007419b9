"""The HTTP API's suggestions: replies offered to a person who answers, and what became of them."""

from __future__ import annotations

from itertools import islice
from typing import Any

from fastapi import APIRouter, Request

from agent.console import api
from agent.console.api import EventId
from agent.console.bodies import ReplyBody, SuggestionBody
from agent.console.problems import RESPONSES
from agent.log import Event
from agent.service import Service
from agent.suggestions import OFFERED, SIGNAL, Suggestion, alternatives, credit, judged, words

router = APIRouter(prefix="/v1", responses=RESPONSES, dependencies=api.DECIDE)


@router.post("/suggestions")
def suggest(request: Request, body: SuggestionBody) -> dict[str, Any]:
    """Decide, and offer the chosen reply and the next best. None, with a `reason`, where the loop abstains."""
    decided = api.decide(request, body)
    if decided["decision_id"] is None or decided["chosen"] is None:
        return {"decision_id": decided["decision_id"], "suggestions": [], "reason": decided["reason"]}
    service = api.service_of(request)
    offered = _offered(service, service.decision(decided["decision_id"]))
    found = [{"candidate": one.candidate, "text": one.text} for one in offered]
    return {"decision_id": decided["decision_id"], "suggestions": found, "reason": None}


@router.post("/suggestions/{decision_id}/reply")
def reply(request: Request, decision_id: EventId, body: ReplyBody) -> dict[str, Any]:
    """Say what the person wrote: accepted, edited or ignored, and how much of which suggestion was used (0 to 1).

    That is the reward of the chosen reply, 0 where another was used, which then earns it. The same `event_id` delivered
    again changes nothing.
    """
    service = api.service_of(request)
    decision = service.decision(decision_id)
    offered = _offered(service, decision)
    judgement = judged([one.text for one in offered], body.text)
    value = judgement.value if judgement.index == 0 else 0.0
    id = body.event_id or f"{SIGNAL}-of:{decision_id}"
    recorded = service.record(
        signal=SIGNAL, value=value, decision=decision_id, event_id=id, source=api.WHO, actor=body.actor
    )
    if judgement.index and judgement.value:
        credit(service, decision, offered[judgement.index], judgement.value, id=id)
    return {
        "event_id": recorded.event_id,
        "duplicate": recorded.duplicate,
        "verdict": judgement.verdict,
        "candidate": offered[judgement.index].candidate if judgement.value else None,
        "value": judgement.value,
    }


def _offered(service: Service, decision: Event) -> list[Suggestion]:
    """The chosen reply and the next best, those of them that have words."""
    chosen = decision.body["chosen"]
    text = words(service, decision, decision.body["candidates"].index(chosen))
    first = [] if text is None else [Suggestion(text, chosen)]
    return [*first, *islice(alternatives(service, decision), OFFERED - len(first))]
