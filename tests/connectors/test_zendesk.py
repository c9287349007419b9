"""Zendesk against a stand-in of the Sunshine Conversations API and of Support's triggers."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("rasa")

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Ignored
from connectors.zendesk import LONGEST_TEXT, ZendeskInput, _content, rating_of
from tests.connectors.fuzz import JSON, REFUSED, check_reads, mutated
from tests.connectors.services.zendesk import (
    BOT,
    KEY_SECRET,
    PEOPLE,
    SATISFACTION,
    SECRET,
    check,
    control,
    credentials,
    delivery,
    message,
    postback,
    satisfaction,
)

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
# Of this module alone: what others' feedback teaches shows in no other test.
QUESTION = "How do I unsubscribe from the newsletter?"


@pytest.fixture
def service(assistant):
    yield assistant.services["zendesk"]
    assistant.services["zendesk"].check()


def deliver(assistant, *events):
    answer = assistant.post("zendesk", *delivery(*events))
    assert answer.status_code == 200, answer.text


def said(service, place, *, count=1, what="messages"):
    path = f"/v2/apps/app1/conversations/{place}/{what}"
    return service.wait_for(lambda call: call.path == path, count=count)


def test_only_zendesks_own_deliveries_are_taken(assistant):
    body, headers = delivery({"id": "1", "type": "conversation:read", "payload": {}})
    assert assistant.post("zendesk", body, headers).status_code == 200
    assert assistant.post("zendesk", body, {}).status_code == 401
    assert assistant.post("zendesk", body, {"X-API-Key": f"{SECRET} "[:-2]}).status_code == 403
    for unreadable in (
        b"",
        b"[]",
        b"{}",
        b'{"events": [{}]}',
        b'{"events": [{"id": 1, "type": "conversation:message"}]}',
    ):
        assert assistant.post("zendesk", unreadable, headers).status_code == 400
    assert assistant.health("zendesk")["counts"]["ignored: conversation:read"] == 1


def test_a_batch_is_answered_once_and_its_satisfaction_finds_it(assistant, service):
    batch = [message("e1", "c1", text=QUESTION), message("e2", "c2", text=QUESTION, active=None)]
    others = [message("e3", "c1", by="business", text="Hello"), message("e4", "c1", type="image", mediaUrl="x")]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: deliver(assistant, *batch, *others), range(10)))
    assert len(said(service, "c1")) == 1
    assert len(said(service, "c2")) == 1

    def rate(*given_, **more):
        return assistant.post("zendesk", *satisfaction(*given_, **more), path="satisfaction").status_code

    assert rate("c1", "good", run="s0", secret="another") == 403
    assert rate("c1", "good", run="s0", late=400) == 403
    body, headers = satisfaction("c1", "good", run="s0")
    assert assistant.post("zendesk", body + b" ", headers, path="satisfaction").status_code == 403
    assert assistant.post("zendesk", body, {}, path="satisfaction").status_code == 401
    assert rate("c1", "offered", run="s1") == 200
    assert rate("", "good", run="s1") == 200
    assert rate("c1", "bad", run="s2", comment="It took long") == 200
    assert rate("c1", "bad", run="s2", comment="It took long") == 200
    assert rate("c1", "good", run="s3") == 200
    (first,) = assistant.wait_for("outcome", lambda e: e.id == "zendesk:satisfaction:s2")
    assert (first.body["signal"], first.body["value"], first.body["comment"]) == ("csat", 1, "It took long")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first.id)
    (second,) = assistant.wait_for("outcome", lambda e: e.id == "zendesk:satisfaction:s3" and e.body["value"] == 5)
    (decision, *_) = assistant.events("decision", lambda e: e.conversation == second.conversation)
    assert decision.body["channel"] == "zendesk"
    counts = assistant.health("zendesk")["counts"]
    assert counts["repeated"] >= 19
    for what in ("message by business", "message without words", "rating that is none", "rating of another ticket"):
        assert counts[f"ignored: {what}"] >= 1


def test_a_reply_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    places = [f"b{number}" for number in range(8)]  # two of the three wordings have a button
    deliver(assistant, *[message(f"l-{place}", place, text=LOCKED) for place in places])
    contents = {place: said(service, place)[0].body["content"] for place in places}
    place, action = next((p, c["actions"][0]) for p, c in contents.items() if "actions" in c)
    other = next(p for p in places if p != place)
    deliver(assistant, postback("l-other", other, action["payload"]))
    deliver(assistant, message("l-own", place, text=action["text"], payload=action["payload"]))
    assistant.wait_for("outcome", lambda e: e.id == "zendesk:l-own:click" and e.body["signal"] == "click")
    assert len(said(service, place, count=2)) == 2
    assert len(said(service, other)) == 1


def test_people_take_over_and_give_back(assistant, service):
    deliver(assistant, message("h1", "h", text="I want to talk to a person"))
    assert said(service, "h", what="passControl")
    before = len(said(service, "h"))
    deliver(
        assistant,
        control("h2", "h", PEOPLE),
        message("h3", "h", text=QUESTION, active=PEOPLE),
        message("h4", "h", text=QUESTION),  # sent before control was passed
        control("h5", "h", PEOPLE, "offerControl"),
        control("h6", "h", None, "releaseControl"),
        control("h7", "h", BOT),
    )
    service.busy.add("h")
    deliver(assistant, message("h8", "h", text=QUESTION))
    assert len(said(service, "h", count=before + 2)) == before + 2  # refused once, then taken
    counts = assistant.health("zendesk")["counts"]
    assert counts["left to people"] == counts["ignored: message to people"] == 1


def test_no_secret_is_in_the_servers_log(assistant):
    log = assistant.server.log.read_text(errors="replace")
    for secret in (SECRET, KEY_SECRET, SATISFACTION):
        assert secret not in log


class _Nowhere:
    address = "http://127.0.0.1:9"


CHANNEL = ZendeskInput.from_credentials(credentials(_Nowhere()))
SAMPLES = [
    json.loads(delivery(event)[0])
    for event in (message("1", "c", text="Hi"), postback("2", "c", "r1.0"), control("3", "c", PEOPLE))
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4) | mutated(SAMPLES))
def test_whatever_is_delivered_is_read_or_refused(event):
    check_reads(CHANNEL, json.dumps(event).encode())


@settings(max_examples=200, deadline=None)
@given(mutated([{"conversation": "c", "rating": "good", "ticket": "12", "comment": "Nice"}]))
def test_whatever_a_trigger_reports_is_a_rating_or_none(body):
    try:
        found = rating_of(body, "1")
    except REFUSED:
        return
    assert isinstance(found, Ignored) or found.value in (1.0, 5.0)


def test_the_template_that_is_shipped_is_what_is_read():
    text = Path(__file__).parents[2] / "docs-zendesk.md"
    if not text.exists():
        text = Path(__file__).parents[2] / "README.md"
    templates = re.findall(r'^ *(\{"conversation": "\{\{.*\})$', text.read_text(), flags=re.MULTILINE)
    assert len(templates) == 2
    for template in templates:
        filled = template.replace("{{ticket.ticket_field_FIELD}}", "c1").replace("{{ticket.id}}", "12")
        assert rating_of(json.loads(filled), "1").conversation == "c1"


links = st.none() | st.just("https://example.com/a")
buttons = st.builds(Button, title=st.text(max_size=150), payload=st.sampled_from(["", "/a"]), url=links).filter(
    lambda button: button.payload or button.url
)
cards = st.builds(
    Card,
    title=st.text(max_size=150),
    subtitle=st.text(max_size=150),
    image=links,
    url=links,
    buttons=st.lists(buttons, max_size=4).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Content,
        text=st.text(max_size=30) | st.just("word " * 3000),
        buttons=st.lists(buttons, max_size=12).map(tuple),
        cards=st.lists(cards, max_size=12).map(tuple),
        image=links,
        turn=st.just("t"),
    )
)
def test_every_content_is_messages_that_the_api_takes(content):
    for number, part in enumerate(CHANNEL.contents(content, None)):
        assert part.turn == "t"
        check(_content(Outgoing("c", {}, part, number)))


def test_a_long_text_is_cut_between_words_and_nothing_is_lost():
    text = "word " * 3000
    found = CHANNEL.parts(Content(text=text, buttons=(Button("Yes", "/yes"),)))
    assert " ".join(part.text for part in found).split() == text.split()
    assert all(len(part.text) <= LONGEST_TEXT for part in found)
    assert [bool(part.buttons) for part in found] == [False] * (len(found) - 1) + [True]
