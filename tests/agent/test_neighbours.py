"""Neighbours: exactly those that comparing every past decision by hand finds."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from agent.neighbours import nearest
from agent.settings import LoopSettings
from tests.agent.conftest import REPLIES, SETTINGS, asked


def cosine(one, other):
    dot = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(math.fsum(a * a for a in one)) / math.sqrt(math.fsum(b * b for b in other))


def context(service, messages, history):
    rows = service.encoder("any").encode(messages)
    weights = [history**age for age in reversed(range(len(messages)))]
    return [math.fsum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(len(rows[0]))]


def played(service, history, number=60):
    """Decisions with and without feedback of every sort; id, messages and reward of each that has earned something."""
    service.configure("replies", replace(SETTINGS, history=history), who="test")
    service.configure("other", SETTINGS, who="test")
    service.reconcile("other", REPLIES, who="test")
    rng, earned = random.Random(5), []
    for n in range(number):
        messages = [f"text {rng.randrange(20)}" for _ in range(rng.randrange(1, 4))]
        situation = replace(asked(message=f"m{n}", conversation=f"c{n}"), messages=messages)
        made = service.decide("replies", situation, live=n % 7 != 0)
        service.record(signal="thumb", value=1, decision=service.decide("other", situation).id)
        value = rng.randrange(2)
        kind = rng.choice(["none", "sent only", "turn", "conversation", "decision", "unsent", "revoked", "watched"])
        if n % 7 == 0:
            service.record(signal="thumb", value=value, turn=made.turn)
            continue
        if kind in ("sent only", "turn", "conversation"):
            service.activate(made.id)
        if kind in ("turn", "unsent"):
            service.record(signal="thumb", value=value, turn=made.turn)
        if kind == "conversation":
            service.record(signal="csat", value=1 + 4 * value, conversation=f"c{n}")
        if kind in ("decision", "revoked"):
            outcome = service.record(signal="thumb", value=value, decision=made.id)
            if kind == "revoked":
                service.revoke(outcome.event_id, who="test")
        if kind in ("turn", "conversation", "decision"):
            earned.append((made.id, messages if history else messages[-1:], float(value)))
    assert len(earned) > 10
    return earned


@pytest.mark.parametrize("history", [0.0, 0.5])
@pytest.mark.parametrize("n", [1, 5, 1000])
def test_the_nearest_are_those_of_brute_force(service, history, n, monkeypatch):
    monkeypatch.setattr("agent.neighbours._BLOCK", 7)
    monkeypatch.setattr("agent.neighbours._FIRST_LOOK", 2)
    earned = played(service, history)
    asked_now = ["text 3", "text 4"]
    made = service.decision(service.decide("replies", replace(asked(message="now"), messages=asked_now)).id)
    # What comes later is not known then: neither another decision, nor what an earlier one goes on to earn.
    late = service.decide("replies", replace(asked(message="late"), messages=asked_now))
    service.record(signal="thumb", value=1, decision=late.id)
    service.record(signal="rating", value=3, decision=earned[0][0])
    point = context(service, asked_now if history else asked_now[-1:], history)
    by_hand = [(cosine(point, context(service, messages, history)), id, value) for id, messages, value in earned]
    by_hand = [by_hand[i] for i in sorted(range(len(by_hand)), key=lambda i: (-round(by_hand[i][0], 10), -i))]
    found = nearest(service.log, made, n)
    assert [row["decision_id"] for row in found] == [id for _, id, _ in by_hand[:n]]
    assert [row["reward"]["value"] for row in found] == [value for _, _, value in by_hand[:n]]
    assert [row["similarity"] for row in found] == pytest.approx([near for near, _, _ in by_hand[:n]], abs=1e-12)
    events = [service.decision(row["decision_id"]) for row in found]
    assert [(row["chosen"], row["text"], row["at"]) for row in found] == [
        (event.body["chosen"], event.body["text"], event.at) for event in events
    ]


def test_the_first_decision_has_no_neighbours(service):
    made = service.decision(service.decide("replies", asked()).id)
    service.record(signal="thumb", value=1, decision=made.id)
    assert nearest(service.log, made, 5) == []


def test_contexts_of_another_encoder_are_not_compared(service):
    before = service.decide("replies", asked())
    service.record(signal="thumb", value=1, decision=before.id)
    service.configure("replies", LoopSettings(encoder="another"), who="test")
    service.reconcile("replies", REPLIES, who="test")
    new = service.decision(service.decide("replies", asked("other words", message="m2")).id)
    assert nearest(service.log, new, 5) == []
    old = service.decision(service.decide("replies", asked(message="m3")).id)
    assert [row["decision_id"] for row in nearest(service.log, old, 5)] == [before.id]
