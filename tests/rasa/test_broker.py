"""The event broker: what of the conversation reaches the learning log."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rasa")

from rasa.utils.endpoints import EndpointConfig

from agent.candidates import Reply
from agent.decision import Situation
from agent.errors import InvalidInput
from agent.plugin.behaviour import Behaviour, Utterance
from agent.plugin.events import LearningLogBroker
from agent.plugin.runtime import Runtime
from agent.settings import LoopSettings

pytestmark = [pytest.mark.rasa, pytest.mark.slow, pytest.mark.usefixtures("shared")]


def said(text: str, intent: str, number: int, at: float) -> dict[str, Any]:
    parse = {"intent": {"name": intent, "confidence": 0.9}, "intent_ranking": [{"name": intent, "confidence": 0.9}]}
    return {
        "sender_id": "ann", "event": "user", "text": text, "parse_data": parse, "message_id": f"m{number}",
        "input_channel": "rejoinder", "timestamp": at,
    }  # fmt: skip


def decided(shared: Runtime, number: int) -> str:
    shared.prepare("actions", LoopSettings(), [Reply("one", ("one",)), Reply("two", ("two",))], who="test")
    situation = Situation(["a question"], conversation="ann", message_id=f"m{number}")
    found = shared.decide("actions", situation, candidates=["one", "two"])
    assert found is not None
    assert found.decision is not None
    return found.decision


@pytest.mark.parametrize(
    ("text", "intent", "signals"),
    [
        ("where is my package right now?", "parcel", ["rephrased"]),
        ("where is my package right now?", "nlu_fallback", ["rephrased"]),
        ("where is my package right now?", "order", []),
        ("do you sell gift cards?", "parcel", []),
        ("thank you!", "thanks", ["thanks"]),
        ("let me talk to a person", "speak_to_human", ["handover"]),
        ("that solved it", "solved", ["resolved_confirmed"]),
    ],
)
def test_behaviour_is_a_signal_about_the_turn_before(
    shared: Runtime, text: str, intent: str, signals: list[str]
) -> None:
    decision = decided(shared, 1)
    action = {
        "event": "action",
        "sender_id": "ann",
        "name": "one",
        "metadata": {"rejoinder": {"decision_id": decision}},
    }
    events = [said("where is my package now?", "parcel", 1, 100.0), action, said(text, intent, 2, 130.0)]
    for _ in range(2):  # as after a crash: the same again, to a broker that remembers nothing
        broker = LearningLogBroker()
        for event in events:
            broker.publish(event)
        assert broker.end()
    log = shared.service().log
    outcomes = list(log.read(kinds=("outcome",)))
    assert [event.body["signal"] for event in outcomes] == signals
    assert all(event.turn == log.event(decision).turn for event in outcomes)  # type: ignore[union-attr]
    assert log.counts()["activated"] == 1
    assert log.counts()["message"] == 2


def test_messages_long_after_or_by_button_rephrase_nothing() -> None:
    behaviour = Behaviour()
    before = Utterance("where is it?", "parcel", 0.0)
    assert behaviour.signals(before, Utterance("where is it?", "parcel", 10.0)) == [("rephrased", 1.0)]
    assert behaviour.signals(before, Utterance("where is it?", "parcel", 10_000.0)) == []
    assert behaviour.signals(Utterance("/parcel", "parcel", 0.0), Utterance("/parcel", "parcel", 1.0)) == []


def test_who_comes_back_with_the_same_problem_had_no_answer(shared: Runtime) -> None:
    decision = decided(shared, 1)
    broker = LearningLogBroker(Behaviour(left_after=60.0))
    broker.publish(said("where is my package?", "parcel", 1, 1000.0))
    action = {"event": "action", "sender_id": "ann", "name": "one", "timestamp": 1001.0}
    broker.publish({**action, "metadata": {"rejoinder": {"decision_id": decision}}})
    broker.publish(
        {
            "sender_id": "ann",
            "event": "bot",
            "text": "On its way.",
            "metadata": {"utter_action": "one"},
            "timestamp": 1001.0,
        }
    )
    assert broker.end()
    service = shared.service()
    broker._ended().record(2000.0)
    turn = service.decision(decision).turn
    outcomes = [(e.turn, e.body["signal"]) for e in service.log.read(kinds=("outcome",))]
    assert outcomes == [(turn, "resolved_assumed")]
    # In a process that remembers nothing.
    again = LearningLogBroker()
    again.publish(said("so where is my package?", "parcel", 2, 1000.0 + 86_400.0))
    assert again.end()
    outcomes = [(e.turn, e.body["signal"]) for e in service.log.read(kinds=("outcome",))]
    assert outcomes == [(turn, "resolved_assumed"), (turn, "returned")]
    (revoked,) = service.log.read(kinds=("revoked",))
    assert revoked.body["event_id"] == f"resolved_assumed:{turn}"


def test_every_message_of_the_bot_is_kept(shared: Runtime) -> None:
    broker = LearningLogBroker()
    broker.publish(said("hello", "hello", 1, 1.0))
    for text in ("one", "two", "one"):
        broker.publish({"sender_id": "ann", "event": "bot", "text": text, "metadata": {"utter_action": "utter_one"}})
    assert broker.end()
    heard = [(e.body["who"], e.body["text"]) for e in shared.service().log.read(kinds=("message",))]
    assert heard == [("user", "hello"), ("bot", "one"), ("bot", "two"), ("bot", "one")]


def test_a_broker_that_has_ended_leaves_no_thread_and_begins_again_with_the_next_event(shared: Runtime) -> None:
    broker = LearningLogBroker()
    for number in (1, 2):
        broker.publish(said("hello", "hello", number, float(number)))
        assert broker.end()
        assert not [thread for thread in threading.enumerate() if thread.name == "rejoinder-log"]
        assert shared.service().log.counts() == {"message": number}


def test_the_broker_outlasts_events_that_it_cannot_read(shared: Runtime) -> None:
    broker = LearningLogBroker()
    broker.publish({"event": "user", "sender_id": "ann", "text": "hello", "message_id": "m0", "parse_data": 5})
    broker.publish(said("hello", "hello", 1, 1.0))
    assert broker.end()
    assert shared.service().log.counts() == {"message": 1}


@pytest.mark.parametrize("options", [{"colour": "red"}, {"thanks_intents": "thanks"}, {"rephrased_similarity": "high"}])
def test_wrong_options_of_the_broker_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"event_broker in endpoints\.yml"):
        asyncio.run(LearningLogBroker.from_endpoint_config(EndpointConfig(**options)))


def test_disabled_the_broker_touches_nothing(home: Path) -> None:
    broker = asyncio.run(LearningLogBroker.from_endpoint_config(EndpointConfig(enabled=False)))
    broker.publish(said("hello", "hello", 1, 1.0))
    asyncio.run(broker.close())
    assert not home.exists()
