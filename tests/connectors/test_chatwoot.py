"""Chatwoot, as an agent bot and as one that only suggests, against a stand-in of its API."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rasa")

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.chatwoot import ChatwootInput
from connectors.core.content import Button, Card, Content
from tests.connectors.fuzz import JSON, check_reads, mutated
from tests.connectors.services.chatwoot import (
    ACCOUNT,
    SECRET,
    TOKEN,
    agents,
    chosen,
    delivery,
    message,
    rated,
    status,
)

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
# Of this module alone: what others' feedback teaches shows in no other test.
QUESTION = "Do you offer gift wrapping?"


@pytest.fixture
def service(assistant):
    yield assistant.services["chatwoot"]
    assistant.services["chatwoot"].check()


def deliver(assistant, event, *, channel="chatwoot", **signing):
    answer = assistant.post(channel, *delivery(event, **signing))
    assert answer.status_code == 200, answer.text
    return answer


def said(service, number, *, count=1, what="messages"):
    path = f"/api/v1/accounts/{ACCOUNT}/conversations/{number}/{what}"
    return service.wait_for(lambda call: call.path == path, count=count)


def test_only_chatwoots_own_fresh_deliveries_are_taken(assistant):
    body, headers = delivery({"event": "webwidget_triggered"})
    assert assistant.post("chatwoot", body, headers).status_code == 200
    assert assistant.post("chatwoot", body + b" ", headers).status_code == 403
    assert assistant.post("chatwoot", body, {}).status_code == 401
    for wrong in ({"secret": "another"}, {"at": time.time() - 400}, {"at": time.time() + 400}):
        assert assistant.post("chatwoot", *delivery({"event": "message_created"}, **wrong)).status_code == 403
    later = {**headers, "X-Chatwoot-Timestamp": str(int(headers["X-Chatwoot-Timestamp"]) + 1)}
    assert assistant.post("chatwoot", body, later).status_code == 403
    bare = {**headers, "X-Chatwoot-Signature": headers["X-Chatwoot-Signature"].removeprefix("sha256=")}
    assert assistant.post("chatwoot", body, bare).status_code == 403
    for unreadable in ({}, {"event": "message_created"}, {**message(1, 1, "Hi"), "id": "x"}):
        assert assistant.post("chatwoot", *delivery(unreadable)).status_code == 400
    assert assistant.health("chatwoot")["counts"]["ignored: webwidget_triggered"] >= 1


def test_a_message_is_answered_once_and_rated_changed_and_learned_from(assistant, service):
    event = message(100, 41, QUESTION)
    with ThreadPoolExecutor(5) as pool:  # under a new delivery id each: Chatwoot has more than one hook for it
        list(pool.map(lambda _: deliver(assistant, event), range(10)))
    deliver(assistant, agents(101, 41, "I am one of the team"))
    deliver(assistant, message(102, 41, QUESTION, account={"id": ACCOUNT + 1}))
    deliver(assistant, message(103, 41, QUESTION, private=True))
    deliver(assistant, message(104, 41, None))
    (call,) = said(service, 41)
    assert call.body["private"] is False
    deliver(assistant, rated(105, 41, 2, "Too long"), id="csat-41-a")
    deliver(assistant, rated(105, 41, 2, "Too long"), id="csat-41-a")
    deliver(assistant, rated(105, 41, 5), id="csat-41-b")
    (first,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot:csat-41-a")
    assert (first.body["signal"], first.body["value"], first.body["comment"]) == ("csat", 2.0, "Too long")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first.id)
    (second,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot:csat-41-b")
    (decision, *_) = assistant.events("decision", lambda e: e.conversation == second.conversation)
    assert decision.body["channel"] == "chatwoot"
    counts = assistant.health("chatwoot")["counts"]
    assert counts["repeated"] >= 10
    for what in ("outgoing message", "another account", "private note", "message without words"):
        assert counts[f"ignored: {what}"] >= 1
    assert len([call for call in service.calls if call.path.endswith("/conversations/41/messages")]) == 1


def test_a_choice_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    for number in range(51, 59):  # two of the three wordings have a button
        deliver(assistant, message(number * 10, number, LOCKED))
    calls = {number: said(service, number)[0] for number in range(51, 59)}
    number, call = next((n, c) for n, c in calls.items() if c.body.get("content_type") == "input_select")
    (item, *_) = call.body["content_attributes"]["items"]
    other = next(n for n in calls if n != number)
    deliver(assistant, chosen(2001, other, item["value"]))
    for _ in range(2):  # again, when something else about the message changes
        deliver(assistant, chosen(2002, number, item["value"]))
    id = f"chatwoot:press:2002:{item['value']}:click"
    assistant.wait_for("outcome", lambda e: e.id == id and e.body["signal"] == "click")
    assert len(said(service, number, count=2)) == 2
    assert len(said(service, other)) == 1


def test_people_take_over_and_give_back(assistant, service):
    deliver(assistant, message(600, 61, "I want to talk to a person"))
    assert said(service, 61, what="toggle_status")
    before = len(said(service, 61))
    deliver(assistant, status(61, "open", "conversation_opened"))
    deliver(assistant, message(601, 61, QUESTION, status="open"))
    deliver(assistant, message(602, 61, QUESTION))  # sent before it was opened
    deliver(assistant, status(61, "snoozed"))
    deliver(assistant, status(61, "resolved", "conversation_resolved"))
    service.busy.add(61)
    deliver(assistant, message(603, 61, QUESTION))
    (*_, answer) = said(service, 61, count=before + 2)  # refused once, then taken
    assert answer.body["content"]
    health = assistant.health("chatwoot")
    assert health["counts"]["left to people"] == 1
    assert health["counts"]["ignored: message to people"] == 1


@pytest.fixture
def suggesting(assistant):
    yield assistant.services["chatwoot_suggest"]
    assistant.services["chatwoot_suggest"].check()


def suggested(assistant, service, number, id):
    """The three replies that are suggested to a question."""
    deliver(assistant, message(id, number, QUESTION, status="open"), channel="chatwoot_suggest")
    (note, *_) = said(service, number)
    assert note.body["private"] is True
    replies = [line.split(". ", 1)[1] for line in note.body["content"].split("\n\n")[1:]]
    assert len(set(replies)) == 3
    return replies


def replied(assistant, number, id, text, **more):
    before = assistant.health("chatwoot_suggest")["mailbox"].get("deliveries.done", 0)
    deliver(assistant, agents(id, number, text, **more), channel="chatwoot_suggest")
    until = time.monotonic() + 30
    while assistant.health("chatwoot_suggest")["mailbox"].get("deliveries.done", 0) == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_suggestions_go_to_the_team_and_what_it_makes_of_them_is_the_reward(assistant, suggesting):
    first, _second, _ = suggested(assistant, suggesting, 71, 710)
    deliver(assistant, agents(711, 71, first, private=True), channel="chatwoot_suggest")
    deliver(assistant, agents(712, 71, first, sender={"id": 2, "type": "agent_bot"}), channel="chatwoot_suggest")
    deliver(assistant, rated(713, 71, 5), channel="chatwoot_suggest")
    deliver(assistant, status(71, "open"), channel="chatwoot_suggest")
    replied(assistant, 71, 714, "One moment, please, I have a look.")
    (ignored,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot_suggest:message:714")
    assert (ignored.body["signal"], ignored.body["value"]) == ("suggestion", 0.0)
    replied(assistant, 71, 715, first)  # of several replies the one that used most of it counts
    (accepted,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot_suggest:message:715")
    assert accepted.body["value"] == 1.0
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == ignored.id)
    replied(assistant, 71, 716, "Bye!")
    learning = assistant.learning()
    decisions = learning.log.decisions(column="turn", value=accepted.turn)
    assert {decision.loop for decision in decisions} >= {"actions"}
    assert not assistant.events("outcome", lambda e: e.id == "chatwoot_suggest:message:716")
    assert not assistant.events("outcome", lambda e: e.body["signal"] == "csat" and "suggest" in e.body["source"])
    assert len(said(suggesting, 71)) == 1
    assert assistant.health("chatwoot_suggest")["counts"]["ignored: csat where people answer"] == 1
    learning.close()


def test_another_suggestion_than_the_first_is_taught_as_what_was_done(assistant, suggesting):
    _, second, _ = suggested(assistant, suggesting, 72, 720)
    replied(assistant, 72, 721, f"{second} Best wishes")
    (ignored,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot_suggest:message:721")
    assert ignored.body["value"] == 0.0
    (used,) = assistant.wait_for("outcome", lambda e: e.id == "chatwoot_suggest:message:721:used")
    assert 0.5 <= used.body["value"] <= 1.0
    (observed,) = assistant.wait_for("observed", lambda e: e.decision == used.decision)
    (decision,) = assistant.events("decision", lambda e: e.turn == ignored.turn and e.loop == "actions")
    assert observed.body["candidate"] != decision.body["chosen"]
    replied(assistant, 73, 731, "Nothing was suggested here")


def test_no_secret_is_in_the_servers_log(assistant):
    log = assistant.server.log.read_text(errors="replace")
    assert SECRET not in log
    assert TOKEN not in log


CHANNEL = ChatwootInput.from_credentials({"account": ACCOUNT, "token": TOKEN, "secret": SECRET})
SUGGESTING = ChatwootInput.from_credentials({"account": ACCOUNT, "token": TOKEN, "secret": SECRET, "suggest": True})
SAMPLES = [message(1, 2, "Hi"), agents(3, 2, "Hello"), chosen(4, 2, "r1.0"), rated(5, 2, 4, "Nice"), status(2, "open")]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4) | mutated(SAMPLES))
def test_whatever_is_delivered_is_read_or_refused(event):
    check_reads(CHANNEL, json.dumps(event).encode())
    check_reads(SUGGESTING, json.dumps(event).encode())


def test_every_content_is_one_call_in_its_best_form():
    open_, buy = Button("Open", url="https://example.com/1"), Button("Choose", "/buy")
    text = Content(text="Two of them", turn="t", decisions=("d",))
    cards = (Card("Blue", "A shirt", "https://example.com/1.png", "https://example.com/1", (buy,)),)
    linked = CHANNEL.parts(Content(text="Look", cards=cards, buttons=(Button("None", "/no"),), turn="t"))
    assert [len(part.cards) for part in linked] == [1, 0]
    assert [button.title for button in linked[1].choices()] == ["None", "Blue: Choose"]
    assert all(part.turn == "t" for part in linked)
    unpressed = CHANNEL.parts(Content(text="Look", cards=(Card("A", buttons=(open_,)),)))
    assert [bool(part.cards) for part in unpressed] == [False, True]
    assert CHANNEL.parts(text) == [text]
