"""Waiting for feedback: who waited in vain is said once, and feedback that comes late still counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.errors import InvalidInput
from agent.explain import explain
from agent.verification import verify
from tests.agent.conftest import SETTINGS, asked

WAITING = replace(SETTINGS, wait=100.0, default_reward=0.2, default_weight=0.5)
DEFAULT = {"value": 0.2, "weight": 0.5}


@pytest.fixture
def service(service):
    service.configure("replies", WAITING, who="test")
    return service


def reward(service, decision):
    return explain(service.log, service.decision(decision.id))["reward"]


def sent(service, number: int = 1):
    decision = service.decide("replies", asked(message=f"m{number}"))
    service.activate(decision.id)
    return decision


def test_a_decision_without_feedback_earns_the_default_when_its_wait_is_over(service, clock):
    decision, unsent = sent(service), service.decide("replies", asked(message="m2"))
    assert service.expire() == 0
    clock.now += 100.0
    assert service.expire() == 1
    assert service.expire() == 0
    assert reward(service, decision) == DEFAULT
    assert reward(service, unsent) is None
    assert verify(service)["loops"]["replies"]["credited"] == 1


def test_feedback_that_comes_later_takes_the_defaults_place_and_gives_it_back(service, clock):
    decision = sent(service)
    clock.now += 100.0
    service.expire()
    thumb = service.record(signal="thumb", value=1, decision=decision.id)
    assert reward(service, decision) == {"value": 1.0, "weight": 1.0}
    service.revoke(thumb.event_id, who="test")
    assert reward(service, decision) == DEFAULT
    assert verify(service)["ok"]


def test_what_has_feedback_does_not_expire_until_that_is_taken_back(service, clock):
    decision = sent(service)
    thumb = service.record(signal="thumb", value=1, decision=decision.id)
    clock.now += 100.0
    assert service.expire() == 0
    service.revoke(thumb.event_id, who="test")
    assert service.expire() == 1
    assert reward(service, decision) == DEFAULT


def test_two_processes_say_it_once(open_service, service, clock):
    other = open_service()
    decision = sent(service)
    other.model("replies")
    clock.now += 100.0
    assert service.expire() == 1
    assert other.expire() == 0
    assert service.log.counts()["wait_expired"] == 1
    assert reward(other, decision) == DEFAULT


def test_who_waits_is_known_after_a_restart(open_service, service, clock):
    for number in range(3):
        sent(service, number)
    service.record(signal="thumb", value=1, decision=sent(service, 4).id)
    service.model("replies")
    service.close()
    assert list((service.home / "snapshots" / "replies").iterdir())
    again = open_service()
    again.model("replies")
    clock.now += 100.0
    assert again.expire() == 3
    assert verify(again)["loops"]["replies"]["credited"] == 4


def test_a_loop_without_a_default_leaves_missing_feedback_out(service, clock):
    service.configure("replies", replace(SETTINGS, wait=100.0), who="test")
    sent(service)
    clock.now += 1_000.0
    assert service.expire() == 0


def test_many_that_expire_at_once_are_no_burst_of_feedback(service, clock):
    service.configure("replies", replace(WAITING, burst=1.0), who="test")
    for number in range(5):
        sent(service, number)
    clock.now += 100.0
    assert service.expire() == 5
    assert verify(service)["loops"]["replies"]["damped_bursts"] == 0


def test_nobody_else_may_say_so(service):
    decision = sent(service)
    with pytest.raises(InvalidInput, match="are the log's own"):
        service.record(signal="thumb", value=1, decision=decision.id, event_id=f"expired:{decision.id}")
