"""From events to what a page or a list shows. Read from the log alone: no model is folded for looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.explain import explain
from agent.ledger import credit_of, rules_of
from agent.log import Event
from agent.rewards import SIGNALS, activated, taken_back
from agent.service import Service

MOST_ROWS = 200
_NEWEST = 2**62


@dataclass(frozen=True)
class Row:
    """One decision in a list, with what became of it so far. `reward` is None while nothing is known."""

    seq: int
    id: str
    at: float
    loop: str
    text: str
    chosen: str
    words: Sequence[str]
    propensity: float
    expected: float
    live: bool
    activated: bool
    outcomes: int
    reward: float | None


@dataclass(frozen=True)
class Page:
    """Rows, newest first, and the `seq` from which the pages beside this one go on (None: there is none)."""

    rows: Sequence[Row]
    newer: int | None
    older: int | None


def page_of(
    service: Service, *, loop: str | None, limit: int, before: int | None = None, after: int | None = None
) -> Page:
    """A page of the decisions, of one loop or of all: the latest, those before a `seq`, or those next after one."""
    log = service.log
    backwards = after is None
    upto = _NEWEST if before is None else before - 1
    found = list(
        log.read(after=after or 0, upto=upto, kinds=("decision",), loop=loop, newest_first=backwards, limit=limit + 1)
    )
    more = len(found) > limit
    found = found[:limit] if backwards else found[:limit][::-1]
    if not found:
        return Page([], None, None)
    newest, oldest = found[0].seq, found[-1].seq
    return Page(
        rows=[_row(service, event) for event in found],
        newer=newest if (before is not None if backwards else more) else None,
        older=oldest if (more if backwards else True) else None,
    )


def alerts_of(service: Service, *, loop: str | None, since: float) -> list[Event]:
    """The latest alert of each loop, or of one, of those since a unix time; newest first."""
    latest = {alert.loop: alert for alert in service.log.read(kinds=("alert",), loop=loop) if alert.at >= since}
    return sorted(latest.values(), key=lambda alert: -alert.seq)


def brief(row: Row) -> dict[str, Any]:
    """A row as the HTTP API gives it."""
    return {
        "decision_id": row.id,
        "seq": row.seq,
        "at": row.at,
        "loop": row.loop,
        "text": row.text,
        "chosen": row.chosen,
        "propensity": row.propensity,
        "expected": row.expected,
        "live": row.live,
        "activated": row.activated,
        "outcomes": row.outcomes,
        "reward": row.reward,
    }


def _row(service: Service, event: Event) -> Row:
    body, index = event.body, event.body["index"]
    evidence = service.log.evidence(event)
    reward = credit_of(service.log, event, evidence, rules_of(service.log, event.loop))
    return Row(
        seq=event.seq,
        id=event.id,
        at=event.at,
        loop=event.loop or "",
        text=body.get("text", ""),
        chosen=body["chosen"],
        words=_words(service, event, index),
        propensity=body["propensity"],
        expected=sum(part[index] for part in body["parts"].values()),
        live=body["live"],
        activated=activated(evidence),
        outcomes=len([outcome for outcome in reactions(evidence) if outcome.standing]),
        reward=None if reward is None else reward.value,
    )


@dataclass(frozen=True)
class Reaction:
    """An outcome as it stands: its latest value, and whether it was taken back.

    `about` is "decision", "turn" or "conversation"; `who` changed it last, and `why`.
    """

    event_id: str
    at: float
    signal: str
    value: float
    scaled: float
    about: str
    source: str
    was: float | None = None
    who: str = ""
    why: str = ""
    standing: bool = True


def reactions(evidence: Sequence[Event]) -> list[Reaction]:
    """The outcomes among a decision's evidence, oldest first, each with what was later changed about it."""
    found: dict[str, Reaction] = {}
    gone = taken_back(evidence)
    for event in evidence:
        target = found.get(event.body.get("event_id", ""))
        if event.kind == "outcome":
            found[event.id] = _reaction(event)
        elif target is None or event.id in gone:
            continue
        elif event.kind == "revoked":
            found[target.event_id] = replace(target, standing=False, who=_who(event), why=_why(event))
        elif event.kind == "correction":
            value = float(event.body["value"])
            scaled, was = SIGNALS[target.signal].scaled(value), target.value if target.was is None else target.was
            changed = replace(target, value=value, scaled=scaled, was=was)
            found[target.event_id] = replace(changed, who=_who(event), why=_why(event)) if target.standing else changed
    return list(found.values())


def _reaction(event: Event) -> Reaction:
    body = event.body
    about = "decision" if event.decision else "turn" if event.turn else "conversation"
    value = float(body["value"])
    scaled = SIGNALS[body["signal"]].scaled(value)
    return Reaction(event.id, event.at, body["signal"], value, scaled, about, body.get("source", ""))


def _who(event: Event) -> str:
    return str(event.body.get("who") or "")


def _why(event: Event) -> str:
    return str(event.body.get("why") or "")


@dataclass(frozen=True)
class Detail:
    """One decision with everything its page shows: the explanation, and the words behind the ids."""

    explanation: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    parts: Sequence[str]
    words: Sequence[str]
    reactions: Sequence[Reaction]
    turn: str | None


def detail_of(service: Service, decision_id: str) -> Detail:
    """Take a decision apart.

    Raises:
        Unknown: there is no such decision.
    """
    event = service.decision(decision_id)
    explanation = explain(service.log, event)
    place = {candidate: i for i, candidate in enumerate(event.body["candidates"])}
    rows = [{**row, "words": _words(service, event, place[row["candidate"]])} for row in explanation["candidates"]]
    return Detail(
        explanation=explanation,
        rows=rows,
        parts=list(event.body["parts"]),
        words=_words(service, event, event.body["index"]),
        reactions=reactions(service.log.evidence(event)),
        turn=event.turn,
    )


def _words(service: Service, decision: Event, index: int) -> Sequence[str]:
    """The wordings of the candidate at an index when the decision was made; none where the log holds none."""
    id, version = decision.body["candidates"][index], decision.body["versions"][index]
    reply = service.reply(decision.loop or "", id, version)
    # An action that has no words of its own is known by its name, which is shown already.
    return () if reply is None or reply.texts == (id,) else reply.texts
