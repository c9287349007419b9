"""The connector to start from, against its service: what every connector has to do, from end to end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rasa")

from tests.connectors.learned import chosen, expected
from tests.connectors.services.template import SECRET, delivery

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Which payment methods do you accept?"


@pytest.fixture
def service(assistant):
    yield assistant.services["template"]
    assistant.services["template"].check()


def deliver(assistant, *events, **signing):
    return assistant.post("template", *delivery(*events, **signing))


def said(service, conversation, *, count=1):
    return service.wait_for(lambda call: call.path == "/messages" and call.body["to"] == conversation, count=count)


def test_a_delivery_is_taken_when_it_is_signed_right_and_fresh(assistant):
    event = {"type": "unheard of", "id": "1", "conversation": "c"}
    assert deliver(assistant, event).status_code == 200
    assert deliver(assistant, event, secret="another").status_code == 403
    assert deliver(assistant, event, at=time.time() - 400).status_code == 403
    assert deliver(assistant, event, at=time.time() + 400).status_code == 403
    body, headers = delivery(event)
    assert assistant.post("template", body + b" ", headers).status_code == 403
    assert assistant.post("template", body, {}).status_code == 401
    assert assistant.post("template", body, {**headers, "X-Timestamp": "soon"}).status_code in (401, 403)
    assert assistant.health("template")["counts"]["ignored: unheard of"] >= 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"events": 3}', b'{"events": [7]}', b"\xff", b'{"events":[{}]}'])
def test_what_cannot_be_read_is_refused_in_one_line(assistant, body):
    import hashlib
    import hmac

    at = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    answer = assistant.post("template", body, {"X-Timestamp": at, "X-Signature": f"sha256={signature}"})
    assert answer.status_code == 400
    assert len(answer.json()["error"].splitlines()) == 1


def test_ten_deliveries_at_once_of_one_message_are_answered_once(assistant, service):
    event = {"type": "message", "id": "ten", "conversation": "ten", "text": QUESTION}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: deliver(assistant, event), range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    deliver(assistant, {"type": "message", "id": "ten-2", "conversation": "ten", "text": "Thank you"})
    assert len(said(service, "ten", count=2)) == 2
    assert assistant.health("template")["counts"]["repeated"] >= 9


def test_feedback_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    deliver(assistant, {"type": "message", "id": "f1", "conversation": "f", "user": "eve", "text": QUESTION})
    (call,) = said(service, "f")
    (message,) = [f"m{n}" for n, c in enumerate((c for c in service.calls if c.path == "/messages"), 1) if c is call]
    reply = chosen(learning, "template")
    before = expected(learning, QUESTION, reply)

    def thumb(number, direction):
        event = {"type": "thumb", "id": f"f-{number}", "conversation": "f", "message": message, "user": "eve"}
        assert deliver(assistant, {**event, "thumb": direction}).status_code == 200

    thumb(1, "up")
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == "template:f-1")
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "template"
    assert expected(learning, QUESTION, reply) > before
    thumb(2, "down")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "template:f-1")
    assert expected(learning, QUESTION, reply) < before
    thumb(3, None)
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "template:f-2")
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)
    learning.close()


def test_a_button_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    for number in range(8):  # two of the three wordings have a button
        deliver(assistant, {"type": "message", "id": f"b{number}", "conversation": f"b{number}", "text": LOCKED})
    calls = [said(service, f"b{number}")[0] for number in range(8)]
    conversation, button = next((c.body["to"], c.body["buttons"][0]) for c in calls if c.body["buttons"])
    other = {"type": "button", "id": "b-other", "conversation": "b-other", "value": button["value"]}
    deliver(assistant, other, {**other, "id": "b-own", "conversation": conversation})
    assistant.wait_for("outcome", lambda e: e.id == "template:b-own:click" and e.body["signal"] == "click")
    assert len(said(service, conversation, count=2)) == 2
    assert not [call for call in service.calls if call.path == "/messages" and call.body["to"] == "b-other"]


def test_people_take_over_and_give_back(assistant, service):
    deliver(assistant, {"type": "message", "id": "h1", "conversation": "h", "text": "I want to talk to a person"})
    service.wait_for(lambda call: call.path == "/handover" and call.body == {"conversation": "h"})
    before = len(said(service, "h"))
    deliver(assistant, {"type": "message", "id": "h2", "conversation": "h", "text": QUESTION})
    deliver(assistant, {"type": "assigned", "id": "h3", "conversation": "h", "to": "bot"})
    deliver(assistant, {"type": "message", "id": "h4", "conversation": "h", "text": QUESTION})
    assert len(said(service, "h", count=before + 1)) == before + 1
