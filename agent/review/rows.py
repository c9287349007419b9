"""Rows: what the index keeps of an event. Pure functions of one event, and of the time zone that days are told in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agent.candidates import ABSTAIN
from agent.log import Event
from agent.rewards import SIGNALS

LONGEST_TEXT = 4_000
_OLDEST, _LATEST = 0.0, 32_503_680_000.0  # what a date can be made of: the year 3000


def day_of(at: float) -> int:
    """The day of a unix time where this machine stands, counted as `date.toordinal` does."""
    return datetime.fromtimestamp(min(max(at, _OLDEST), _LATEST)).astimezone().toordinal()


def hour_of(at: float) -> int:
    """The hour of the day, 0 to 23."""
    return datetime.fromtimestamp(min(max(at, _OLDEST), _LATEST)).astimezone().hour


def conversation_of(event: Event) -> str | None:
    """The name of the conversation that a decision or message is of; a decision of none has one to itself."""
    return event.conversation or (f"~{event.id}" if event.kind == "decision" else None)


def decision_row(event: Event) -> dict[str, Any]:
    """A decision, but for its conversation and what became of it."""
    body, index = event.body, event.body["index"]
    expected = [sum(parts) for parts in zip(*body["parts"].values(), strict=True)]
    eligible = [score for score, free in zip(expected, body["eligible"], strict=True) if free]
    features = body["context"]["features"]
    return {
        "seq": event.seq,
        "id": event.id,
        "turn": event.turn,
        "day": day_of(event.at),
        "at": event.at,
        "loop": event.loop or "",
        "channel": body.get("channel") or named(features, "channel"),
        "language": named(features, "language"),
        "intent": named(features, "intent"),
        "text": body.get("text", "")[:LONGEST_TEXT],
        "chosen": body["chosen"],
        "version": body["versions"][index],
        "model_version": body["model_version"],
        "propensity": body["propensity"],
        "expected": expected[index],
        "deviation": body["deviation"][index],
        "explored": int(expected[index] < max(eligible)),
        "live": int(body["live"]),
        "abstained": int(body.get("abstained", False) or body["chosen"] == ABSTAIN),
    }


def message_row(event: Event) -> dict[str, Any]:
    """A message, but for its conversation."""
    features = event.body.get("features") or {}
    part = event.id.rsplit(":", 1)[-1]
    return {
        "seq": event.seq,
        "turn": event.turn,
        "who": event.body["who"],
        "part": int(part) if part.isdigit() else 0,
        "at": event.at,
        "text": event.body["text"][:LONGEST_TEXT],
        "action": named(features, "action"),
        "channel": event.body.get("channel"),
        "intent": named(features, "intent") if event.body["who"] == "user" else None,
    }


def outcome_row(event: Event) -> dict[str, Any]:
    """An outcome as it was given, but for its conversation."""
    body = event.body
    signal = SIGNALS[body["signal"]]
    return {
        "seq": event.seq,
        "id": event.id,
        "turn": event.turn,
        "decision": event.decision,
        "day": day_of(event.at),
        "at": event.at,
        "signal": signal.name,
        "value": float(body["value"]),
        "scaled": signal.scaled(float(body["value"])),
        "explicit": int(signal.explicit),
        "source": body.get("source", ""),
        "comment": body.get("comment"),
    }


def annotation_row(event: Event) -> dict[str, Any]:
    """An annotation, but for its conversation."""
    value = event.body["value"]
    return {
        "seq": event.seq,
        "id": event.id,
        "turn": event.turn,
        "at": event.at,
        "what": event.body["what"],
        "value": str(int(value)) if isinstance(value, bool) else value,
        "who": event.body["who"],
    }


def action_row(event: Event) -> dict[str, Any] | None:
    """What somebody did, but for its conversation; None for events that nobody in particular made."""
    body = event.body
    who = body.get("who")
    if who is None or event.kind in ("message", "decision"):
        return None
    return {
        "seq": event.seq,
        "id": event.id,
        "at": event.at,
        "who": who,
        "kind": event.kind,
        "loop": event.loop,
        "about": _about(event.kind, body),
        "why": body.get("why") or "",
    }


def _about(kind: str, body: Mapping[str, Any]) -> str:
    """What an action was about, in a few words that stay as the log has them."""
    if kind in ("candidate", "mark"):
        said = {name: body[name] for name in ("state", "approved", "from", "until") if name in body and kind == "mark"}
        changed = ", ".join(f"{name} {value}" for name, value in said.items())
        return f"{body['id']} (version {body['version']}){f': {changed}' if changed else ''}"
    if kind == "annotation":
        return f"{body['what']}: {body['value']}"[:200]
    if kind == "outcome":
        return f"{body['signal']}: {body['value']}"
    if kind == "correction":
        return f"{body['event_id']}: {body['value']}"
    if kind == "settings":
        return str(body["settings"].get("policy", ""))
    return str(body.get("event_id") or body.get("action") or body.get("id") or "")


def named(features: Mapping[str, float], kind: str) -> str | None:
    """Of the features `kind:name`, the name of the strongest; None where there is none."""
    prefix = f"{kind}:"
    found = [(-value, name) for name, value in features.items() if name.startswith(prefix) and value > 0.0]
    return min(found)[1][len(prefix) :] if found else None
