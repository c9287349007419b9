"""A form goes on undisturbed, and a question that has nothing to do with it is answered on the way."""

from __future__ import annotations

import uuid

import pytest

from tests.rasa.server import RasaServer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]


def test_a_form_is_filled_without_the_bandit(shipped: RasaServer) -> None:
    sender = uuid.uuid4().hex
    asked = shipped.say("I want to know the status of my order", sender=sender)
    assert "order number" in asked[-1]["text"].lower()
    told = shipped.say("AB12345", sender=sender)
    assert any("AB12345" in message["text"] for message in told)


def test_a_question_inside_a_form_is_answered_and_the_form_asks_again(shipped: RasaServer) -> None:
    sender = uuid.uuid4().hex
    asked = shipped.say("I want to know the status of my order", sender=sender)[-1]["text"]
    answered = shipped.say("do you deliver on saturdays?", sender=sender)
    assert len(answered) == 2, answered
    assert answered[0]["decision_ids"], "the bandit answers the question"
    assert "order number" in answered[1]["text"].lower(), f"the form asks again, as in {asked!r}"
    told = shipped.say("AB12345", sender=sender)
    assert any("AB12345" in message["text"] for message in told), "the form still takes its answer"
