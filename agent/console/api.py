"""The HTTP API under /v1: decide, activate, record, look up. One endpoint does one thing of the service's.

Endpoints are plain functions: the service waits for disk and encoder, so they run in the thread pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from agent.candidates import Reply
from agent.console.access import author_of, require_scope
from agent.console.bodies import (
    CandidateBody,
    CorrectionBody,
    DecisionBody,
    LoopBody,
    MarkBody,
    ObservationBody,
    OutcomeBody,
)
from agent.console.problems import RESPONSES
from agent.console.values import LONGEST_ID
from agent.console.views import MOST_ROWS, brief, page_of
from agent.decision import Decision
from agent.errors import Conflict, InvalidInput, NoneEligible
from agent.explain import why
from agent.importance import WINDOW
from agent.importance import importance as measured
from agent.reports import Recorded
from agent.service import Service
from agent.settings import LoopSettings

router = APIRouter(prefix="/v1", responses=RESPONSES)
MOST_DECISIONS = 100_000  # that one question may look at
PAST = 2**53  # no event of a log has such a number; every JSON reader keeps those below exactly
_BELOW = "no candidate's expected reward reaches the loop's threshold"
WHO = "api"  # what the log names as the author of a change made here, where nobody says who it is
# What each call needs: to teach, to look, to put right, to administer.
DECIDE, READ, REVIEW, ADMIN = ([Depends(require_scope(scope))] for scope in ("decide", "read", "review", "admin"))
EventId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID)]
CandidateId = Annotated[str, Path(min_length=1, max_length=LONGEST_ID)]
# To Python, `$` is before a line's end as well; what would say the end alone, \Z, the OpenAPI document does not know.
LoopName = Annotated[str, Path(pattern=r"^[\w.:-]{1,100}(?!\n)$")]


def service_of(request: Request) -> Service:
    """The service that the application was made with."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


@router.post("/decisions", dependencies=DECIDE)
def decide(request: Request, body: DecisionBody) -> dict[str, Any]:
    """Choose a candidate. `decision_id` and `chosen` are null when the loop abstains, and `reason` says why.

    With `k` above 1, choose as many to be shown at once, or as there are: `slate` has a decision for each position from
    the top, its probabilities being those among what is not above it; outcomes are about each of them.

    Where abstaining is a candidate of the loop, `chosen` is "abstain" instead, and what others answer is its outcome.
    """
    service = service_of(request)
    if offered := body.offered():
        _add(service, body.loop, offered, update=body.update_candidates, who=author_of(request, WHO))
    try:
        if body.k > 1:
            chosen = service.decide_slate(
                body.loop, body.situation(), candidates=body.names(), k=body.k, seed=body.seed
            )
            return {"loop": body.loop, "slate_id": chosen[0].slate, "slate": [_told(decision) for decision in chosen]}
        decision = service.decide(body.loop, body.situation(), candidates=body.names(), seed=body.seed)
    except NoneEligible as error:
        if body.candidates is not None:  # then the caller can name others
            raise
        return _abstained(body.loop, str(error))
    return _abstained(body.loop, _BELOW) if decision is None else _told(decision)


def _told(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.id,
        "loop": decision.loop,
        "chosen": None if decision.abstained else decision.chosen,
        "propensity": decision.propensity,
        "probabilities": decision.probabilities,
        "model_version": decision.model_version,
        "model_seq": decision.model_seq,
        "turn_id": decision.turn,
        "live": decision.live,
        "reason": _BELOW if decision.abstained else None,
    }


def _abstained(loop: str, reason: str) -> dict[str, Any]:
    blank = ("decision_id", "chosen", "propensity", "probabilities", "model_version", "model_seq", "turn_id", "live")
    return {"loop": loop, **dict.fromkeys(blank), "reason": reason}


@router.get("/decisions", dependencies=READ)
def decisions(
    request: Request,
    loop: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50,
    before: Annotated[int | None, Query(ge=1, lt=PAST)] = None,
) -> dict[str, Any]:
    """The latest decisions, newest first. `before` in the answer asks for the next page; null on the last."""
    page = page_of(service_of(request), loop=loop, limit=limit, before=before)
    return {"decisions": [brief(row) for row in page.rows], "before": page.older}


@router.get("/decisions/{decision_id}", dependencies=READ)
def decision(
    request: Request,
    decision_id: EventId,
    words: bool = False,
    nearest: Annotated[int, Query(ge=0, le=MOST_ROWS)] = 0,
    recompute: bool = False,
) -> dict[str, Any]:
    """One decision taken apart: its candidates, the parts of their scores, and what it earned since.

    Asked for: what each of the `words` did, so many of the `nearest` past contexts, and whether the folded model gives
    the logged probabilities again (`recompute`). Words and recomputing fold the log up to the decision.
    """
    service = service_of(request)
    return why(service, service.decision(decision_id), words=words, nearest=nearest, recompute=recompute)


@router.post("/decisions/{decision_id}/activate", dependencies=DECIDE)
def activate(request: Request, decision_id: EventId) -> dict[str, Any]:
    """Say that the chosen reply was really sent. Saying it again changes nothing."""
    return {"decision_id": decision_id, "duplicate": not service_of(request).activate(decision_id)}


@router.post("/decisions/{decision_id}/observe", dependencies=DECIDE)
def observe(request: Request, decision_id: EventId, body: ObservationBody) -> dict[str, Any]:
    """Say what was used in the place of a decision that was only watched. The first said of one holds."""
    return {"decision_id": decision_id, "duplicate": not service_of(request).observe(decision_id, body.candidate)}


@router.post("/outcomes", dependencies=DECIDE)
def outcome(request: Request, body: OutcomeBody) -> dict[str, Any]:
    """Record a reaction. The same `event_id` delivered again changes nothing."""
    recorded = service_of(request).record(
        signal=body.signal,
        value=body.value,
        decision=body.decision_id,
        turn=body.turn_id,
        conversation=body.conversation,
        event_id=body.event_id,
        source=WHO,
        actor=body.actor,
        at=body.at,
    )
    return _recorded(recorded)


@router.delete("/outcomes/{event_id}", dependencies=REVIEW)
def revoke(
    request: Request,
    event_id: EventId,
    who: Annotated[str, Query(min_length=1, max_length=LONGEST_ID)] = WHO,
    why: Annotated[str, Query(max_length=1_000)] = "",
) -> dict[str, Any]:
    """Take an outcome back, for good."""
    return _recorded(service_of(request).revoke(event_id, who=author_of(request, who), why=why))


@router.patch("/outcomes/{event_id}", dependencies=REVIEW)
def correct(request: Request, event_id: EventId, body: CorrectionBody) -> dict[str, Any]:
    """Replace an outcome's value."""
    who = author_of(request, body.who)
    return _recorded(service_of(request).correct(event_id, value=body.value, who=who, why=body.why))


@router.get("/loops", dependencies=READ)
def loops(request: Request) -> dict[str, Any]:
    """Every loop: its settings, model version and candidates."""
    service = service_of(request)
    return {"loops": [_loop(service, name) for name in service.loops()]}


@router.get("/loops/{loop}/importance", dependencies=READ)
def importance(
    request: Request,
    loop: LoopName,
    last: Annotated[int, Query(ge=1, le=MOST_DECISIONS)] = WINDOW,
    features: bool = False,
) -> dict[str, Any]:
    """What set the loop's candidates apart in its last decisions: the share of each part of the scores.

    With `features` of each named feature as well, for which the log is folded up to each of the decisions.
    """
    service = service_of(request)
    return measured(service.log, loop, last=last, features=features, snapshots=service.snapshots(loop))


@router.post("/loops/{loop}", dependencies=ADMIN, responses={201: {"description": "The loop is new"}})
def create_loop(request: Request, response: Response, loop: LoopName, body: LoopBody) -> dict[str, Any]:
    """Create a loop (201), or add to and change the candidates of one that has these settings (200)."""
    service = service_of(request)
    settings = _settings(body, where=f"loop {loop!r}")
    new = loop not in service.loops()
    if not new and service.settings(loop) != settings:
        raise Conflict(f"loop {loop!r} exists already, with other settings; changing them is not done over HTTP")
    who = author_of(request, WHO)
    service.configure(loop, settings, who=who)
    service.reconcile(loop, [candidate.reply() for candidate in body.candidates], who=who)
    response.status_code = 201 if new else 200
    return _loop(service, loop)


@router.patch("/loops/{loop}/candidates/{candidate:path}", dependencies=REVIEW)
def mark(request: Request, loop: LoopName, candidate: CandidateId, body: MarkBody) -> dict[str, Any]:
    """Enable, disable, pin or block a candidate, or approve its words."""
    service = service_of(request)
    who = author_of(request, body.who)
    reply = service.mark(loop, candidate, state=body.state, approved=body.approved, who=who, why=body.why)
    return {"loop": loop, **reply.as_body()}


def _settings(body: LoopBody, *, where: str) -> LoopSettings:
    given = body.dict(exclude={"candidates"}, exclude_none=True)
    try:
        return LoopSettings(**given)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def _add(service: Service, loop: str, offered: Sequence[CandidateBody], *, update: bool, who: str) -> None:
    """Bring candidates that came with their words into the loop; those it knows change only where that is allowed."""
    known = {reply.id: reply for reply in service.overview(loop).candidates}
    wanted: list[Reply] = []
    for candidate in offered:
        reply = _merged(known.get(candidate.id), candidate)
        if candidate.id in known and not reply.says_the_same(known[candidate.id]) and not update:
            raise Conflict(
                f"candidate {candidate.id!r} of loop {loop!r} has other words or features; "
                '"update_candidates": true replaces them'
            )
        wanted.append(reply)
    service.reconcile(loop, wanted, who=who)


def _merged(known: Reply | None, candidate: CandidateBody) -> Reply:
    """The candidate as it would be: what the caller does not speak of stays."""
    if known is None:
        return candidate.reply()
    features = known.features if candidate.features is None else candidate.features
    return replace(known, texts=candidate.wordings, features=dict(features), approved=False)


def _loop(service: Service, name: str) -> dict[str, Any]:
    loop = service.overview(name)
    return {
        "loop": name,
        "model_version": loop.settings.version,
        "model_seq": loop.seq,
        "settings": loop.settings.as_body(),
        "candidates": [reply.as_body() for reply in loop.candidates],
    }


def _recorded(recorded: Recorded) -> dict[str, Any]:
    return {"event_id": recorded.event_id, "duplicate": recorded.duplicate}
