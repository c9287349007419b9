"""Intercom against a stand-in of its API."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rasa")

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.core.content import Button, Card, Content
from connectors.intercom import IntercomInput, identified, referred, words
from tests.connectors.fuzz import JSON, check_reads, mutated
from tests.connectors.services.intercom import (
    ADMIN,
    SECRET,
    TEAM,
    TOKEN,
    assigned,
    created,
    delivery,
    notification,
    rated,
    replied,
)

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "<p>My account is locked</p>"
# Of this module alone: what others' feedback teaches shows in no other test.
QUESTION = "<p>Where can I get&nbsp;an invoice?</p>"


@pytest.fixture
def service(assistant):
    yield assistant.services["intercom"]
    assistant.services["intercom"].check()


def deliver(assistant, event):
    answer = assistant.post("intercom", *delivery(event))
    assert answer.status_code == 200, answer.text


def said(service, number, *, count=1, what="reply", kind="comment"):
    path = f"/conversations/{number}/{what}"
    return service.wait_for(lambda c: c.path == path and c.body["message_type"] == kind, count=count)


def test_only_intercoms_own_notifications_are_taken(assistant):
    ping = {"type": "notification_event", "topic": "ping", "data": {"item": {"type": "ping", "message": "hi"}}}
    body, headers = delivery(ping)
    assert assistant.post("intercom", body, headers).status_code == 200
    assert assistant.post("intercom", body + b" ", headers).status_code == 403
    assert assistant.post("intercom", body, {}).status_code == 401
    assert assistant.post("intercom", *delivery(ping, secret="another")).status_code == 403
    other = {"X-Hub-Signature": headers["X-Hub-Signature"].replace("sha1=", "sha256=")}
    assert assistant.post("intercom", body, other).status_code == 403
    for unreadable in ([], {}, {"topic": "conversation.user.created", "data": {"item": {"type": "conversation"}}}):
        assert assistant.post("intercom", *delivery(unreadable)).status_code == 400
    assert assistant.client.head("/webhooks/intercom/webhook").status_code == 200
    assert assistant.health("intercom")["counts"]["ignored: ping"] == 1


def test_a_message_is_answered_once_and_rated_changed_and_resolved(assistant, service):
    event = created("n1", 81, QUESTION)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: deliver(assistant, event), range(10)))
    for by in ("admin", "bot", "team"):
        deliver(assistant, replied(f"n2{by}", 81, "<p>Hello</p>", by=by))
    deliver(assistant, replied("n3", 81, '<img src="x.png">'))
    assert len(said(service, 81)) == 1
    deliver(assistant, rated("n4", 81, 2, "Not what I asked"))
    deliver(assistant, rated("n5", 81, 4))
    (first,) = assistant.wait_for("outcome", lambda e: e.id == "intercom:n4")
    assert (first.body["signal"], first.body["value"], first.body["comment"]) == ("csat", 2.0, "Not what I asked")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "intercom:n4")
    (second,) = assistant.wait_for("outcome", lambda e: e.id == "intercom:n5")
    (decision, *_) = assistant.events("decision", lambda e: e.conversation == second.conversation)
    assert decision.body["channel"] == "intercom"
    for number, state in enumerate(("assumed_resolution", "assumed_resolution", "confirmed_resolution")):
        event = notification(f"n6{number}", "conversation.read", 81, ai_agent={"resolution_state": state})
        deliver(assistant, event)
    (assumed,) = assistant.wait_for("outcome", lambda e: e.body["signal"] == "resolved_assumed")
    (confirmed,) = assistant.wait_for("outcome", lambda e: e.body["signal"] == "resolved_confirmed")
    assert assumed.body["value"] == confirmed.body["value"] == 1.0
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == assumed.id)
    counts = assistant.health("intercom")["counts"]
    assert counts["repeated"] >= 10
    assert counts["ignored: part by admin"] == counts["ignored: message without words"] == 1
    replies = [call.body["message_type"] for call in service.calls if call.path == "/conversations/81/reply"]
    assert replies.count("comment") == 1


def test_a_quick_reply_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    for number in range(820, 828):  # two of the three wordings have a button
        deliver(assistant, created(f"q{number}", number, LOCKED))
    for number in range(820, 828):
        said(service, number)
    (call, *_) = service.wait_for(lambda c: c.body.get("message_type") == "quick_reply")
    number, (option, *_) = int(call.path.split("/")[2]), call.body["reply_options"]
    other = next(n for n in range(820, 828) if n != number)
    deliver(assistant, replied("q-other", other, option["text"], pressed=option["uuid"]))
    deliver(assistant, replied("q-own", number, option["text"], pressed=option["uuid"]))
    assistant.wait_for("outcome", lambda e: e.id == "intercom:q-own:click" and e.body["signal"] == "click")
    assert len(said(service, number, count=2)) == 2
    assert len(said(service, other)) == 1


def test_people_take_over_and_give_back(assistant, service):
    deliver(assistant, created("h1", 84, "<p>I want to talk to a person</p>"))
    assert said(service, 84, what="parts", kind="assignment")
    before = len(said(service, 84))
    deliver(assistant, assigned("h2", 84, team=TEAM))
    deliver(assistant, replied("h3", 84, QUESTION))
    deliver(assistant, replied("h4", 84, QUESTION, admin_assignee_id=502))
    deliver(assistant, assigned("h5", 84, admin=ADMIN, team=TEAM))
    service.busy.add(84)
    deliver(assistant, replied("h6", 84, QUESTION))
    assert len(said(service, 84, count=before + 2)) == before + 2  # refused once, then taken
    counts = assistant.health("intercom")["counts"]
    assert counts["left to people"] == 1
    assert counts["ignored: message to people"] == 1


def test_no_secret_is_in_the_servers_log(assistant):
    log = assistant.server.log.read_text(errors="replace")
    assert SECRET not in log
    assert TOKEN not in log


CHANNEL = IntercomInput.from_credentials({"admin": ADMIN, "assignee": TEAM, "token": TOKEN, "secret": SECRET})
SAMPLES = [
    created("1", 2, QUESTION),
    replied("2", 2, "<p>Yes</p>", pressed=identified(3, 0), ai_agent={"resolution_state": "escalated"}),
    rated("3", 2, 5, "Nice"),
    assigned("4", 2, admin="9"),
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4) | mutated(SAMPLES))
def test_whatever_is_delivered_is_read_or_refused(event):
    check_reads(CHANNEL, json.dumps(event).encode())


@given(st.text())
def test_any_html_has_words(html):
    assert words(html) == words(html).strip()
    assert "script" not in words(f"<p>a</p><script>script {html.replace('<', '')}</script>")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One &amp; <b>two</b></p><p>Three<br>four</p>", "One & two\n\nThree\nfour"),
        ("plain, 3 < 4 & so on", "plain, 3 < 4 & so on"),
        ("<img src='x'>", ""),
        ("", ""),
    ],
)
def test_what_html_says(html, text):
    assert words(html) == text


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**14 - 1))
def test_a_uuid_holds_which_choice_of_which_message_it_is(parcel, number):
    assert IntercomInput.referred(referred(identified(parcel, number)) or "") == (parcel, number)


@given(st.uuids() | st.text() | st.none())
def test_the_uuids_of_others_mean_nothing(given_):
    assert referred(given_ if given_ is None else str(given_)) is None
    assert referred(str(uuid.uuid4())) is None


def test_words_and_choices_are_two_calls():
    card = Card("Blue", "A shirt", "https://example.com/1.png", None, (Button("Choose", "/buy"),))
    said_, asked = CHANNEL.parts(Content(text="Look", cards=(card,), buttons=(Button("Open", url="https://e.com"),)))
    assert said_.plain() == "Look\n\nBlue\nA shirt\n\nOpen: https://e.com"
    assert [button.title for button in asked.choices()] == ["Blue: Choose"]
    assert CHANNEL.contents(Content(buttons=(Button("Yes", "/yes"),)), None) == [
        Content(buttons=(Button("Yes", "/yes"),))
    ]
