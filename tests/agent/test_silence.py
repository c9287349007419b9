"""What silence says: who left in the middle, and who presumably has what they came for."""

from __future__ import annotations

import pytest

from agent.candidates import Reply
from agent.decision import Situation
from agent.rewards import Earned, earned
from agent.service import Service
from agent.settings import LoopSettings
from agent.silence import Silence

HOUR = 3600.0


@pytest.fixture
def service(home):
    clock = [1000.0]
    found = Service(home, clock=lambda: clock[0])
    found.configure("actions", LoopSettings(), who="test")
    found.reconcile("actions", [Reply("one", ("one",)), Reply("two", ("two",))], who="test")
    yield found
    found.close()


def talk(service, conversation, *, intent="delivery", answer="utter_faq_delivery", at=1000.0):
    situation = Situation(
        ["When?"], conversation=conversation, person=conversation, message_id="m", features={f"intent:{intent}": 0.9}
    )
    service.hear(situation, at=at)
    decision = service.decide("actions", situation)
    service.activate(decision.id)
    if answer:
        said = Situation(["Then."], conversation=conversation, message_id="m", features={f"action:{answer}": 1.0})
        service.hear(said, who="bot", at=at + 1.0)
    return decision


def silence(service):
    return Silence(
        service, after=HOUR, unanswered=["nlu_fallback"], handed_over=["speak_to_human"], asking=["utter_ask_*"]
    )


def outcomes(service):
    return [(e.turn, e.body["signal"], e.body["value"]) for e in service.log.read(kinds=("outcome",))]


@pytest.mark.parametrize(
    ("intent", "answer", "signal"),
    [
        ("delivery", "utter_faq_delivery", "resolved_assumed"),
        ("delivery", "utter_ask_order_number", "left"),
        ("nlu_fallback", "utter_default", "left"),
        ("delivery", None, "left"),
        ("speak_to_human", "utter_handover", None),
    ],
)
def test_how_a_conversation_ended_is_a_signal_about_its_last_turn(service, intent, answer, signal):
    decision = talk(service, "ann", intent=intent, answer=answer)
    ears = silence(service)
    assert ears.record(1000.0 + HOUR - 1.0) == 0
    ears.record(1002.0 + HOUR)
    ears.record(1002.0 + 2 * HOUR)
    assert outcomes(service) == ([] if signal is None else [(decision.turn, signal, 1.0)])


def test_it_is_recorded_once_whoever_looks_and_after_a_restart(service):
    talk(service, "ann")
    for _ in range(2):
        silence(service).record(1002.0 + HOUR)
    assert len(outcomes(service)) == 1


def test_who_writes_again_has_not_left(service):
    talk(service, "ann")
    ears = silence(service)
    ears.record(1000.0 + HOUR / 2)
    again = Situation(["And when?"], conversation="ann", message_id="m2", features={"intent:delivery": 0.9})
    service.hear(again, at=1000.0 + HOUR / 2)
    assert ears.record(1002.0 + HOUR) == 0
    ears.record(1002.0 + 2 * HOUR)
    assert outcomes(service) == []  # nothing was decided in the turn that ended it


def test_the_reward_is_slight_and_gives_way_to_words(service):
    decision = talk(service, "ann")
    silence(service).record(1002.0 + HOUR)
    event = service.decision(decision.id)
    assert earned(service.log.evidence(event)) == Earned(1.0, 0.1, at=1001.0 + HOUR)
    service.record(signal="thumb", value=0, turn=decision.turn)
    assert earned(service.log.evidence(event)).value == 0.0
