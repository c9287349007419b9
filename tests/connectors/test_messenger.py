"""Messenger: every event of every entry, Meta's thumbs and reactions, and threads passed to people and back."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rasa")

from pywa.utils import webhook_updates_validator

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Handover, Ignored, Message, Press
from connectors.messenger import MessengerInput
from tests.connectors.fuzz import JSON, LightRequest, check_reads, mutated
from tests.connectors.learned import chosen, expected
from tests.connectors.services.messenger import (
    APP,
    APP_SECRET,
    INBOX,
    NOW,
    TOKEN,
    VERIFY,
    Service,
    check_message,
    delivery,
    event,
    signed,
)

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Which payment methods do you accept?"
MESSAGES = "/v23.0/me/messages"
ANN = "4400000000000001"

TEXT = event(ANN, message={"mid": "m_text", "text": QUESTION})
ECHO = event("1029384756", message={"mid": "m_echo", "is_echo": True, "app_id": 1, "text": "We accept cards"})
QUICK = event(ANN, message={"mid": "m_quick", "text": "Yes", "quick_reply": {"payload": "r7.0"}})
POSTBACK = event(ANN, postback={"mid": "m_post", "title": "Unlock", "payload": "r7.1"})
GOOD = event(ANN, response_feedback={"feedback": "Good response", "mid": "m_sent1"})
REACTED = event(ANN, reaction={"reaction": "dislike", "emoji": "👎", "action": "react", "mid": "m_sent1"})
UNDONE = event(ANN, at=2, reaction={"reaction": "dislike", "emoji": "👎", "action": "unreact", "mid": "m_sent1"})
PICTURE = event(
    ANN, message={"mid": "m_pic", "attachments": [{"type": "image", "payload": {"url": "https://a.example"}}]}
)
TAKEN = event(ANN, take_thread_control={"previous_owner_app_id": APP, "new_owner_app_id": int(INBOX), "metadata": ""})
PASSED = event(ANN, pass_thread_control={"previous_owner_app_id": INBOX, "new_owner_app_id": APP, "metadata": ""})
READ = event(ANN, read={"watermark": 1})
ALL = [TEXT, ECHO, QUICK, POSTBACK, GOOD, REACTED, UNDONE, PICTURE, TAKEN, PASSED, READ]
SAMPLES = [json.loads(delivery([one], [TEXT])[0]) for one in ALL]
FUZZ = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture
def service(assistant):
    yield assistant.services["messenger"]
    assistant.services["messenger"].check()


def channel(api="http://127.0.0.1:1", **more):
    options = {"app_secret": APP_SECRET, "access_token": TOKEN, "verify_token": VERIFY}
    return MessengerInput.from_credentials({**options, "api": api, **more})


PLAIN, KNOWN = channel(), channel(app_id=APP, wordless="/attachment")


def read(*events, of=PLAIN):
    return of.read(LightRequest(delivery(list(events))[0]))


def deliver(assistant, *events):
    answer = assistant.post("messenger", *delivery(list(events)))
    assert answer.status_code == 200, answer.text


def said(service, who, *, count=1):
    return service.wait_for(lambda call: "message" in call.body and call.body["recipient"] == {"id": who}, count=count)


def mids(service, who):
    return [mid for mid, body in service.sent.items() if body["recipient"] == {"id": who}]


# In


def test_a_delivery_is_taken_when_it_is_signed_with_the_apps_secret(assistant):
    body, headers = delivery([READ, ECHO], standby=[TEXT])
    assert webhook_updates_validator(APP_SECRET, body, headers["X-Hub-Signature-256"])
    assert assistant.post("messenger", body, headers).status_code == 200
    assert assistant.post("messenger", body + b" ", headers).status_code == 403
    assert assistant.post("messenger", *signed(body, "another")).status_code == 403
    assert assistant.post("messenger", body, {}).status_code == 401
    for unreadable in (b"", b"[]", b"{}", b'{"object": "page", "entry": [7]}'):
        assert assistant.post("messenger", *signed(unreadable)).status_code == 400
    counts = assistant.health("messenger")["counts"]
    assert {"ignored: read", "ignored: echo", "ignored: standby"} <= set(counts)


def test_the_address_is_proved_by_the_verify_token(assistant):
    asked = {"hub.mode": "subscribe", "hub.challenge": "77", "hub.verify_token": VERIFY}
    answer = assistant.client.get("/webhooks/messenger/webhook", params=asked)
    assert (answer.status_code, answer.text) == (200, "77")
    asked["hub.verify_token"] = "another"
    assert assistant.client.get("/webhooks/messenger/webhook", params=asked).status_code == 403


def test_every_event_of_every_entry_counts():
    body, _ = delivery([TEXT, event(ANN, message={"mid": 7, "text": "x"}), QUICK], [POSTBACK, GOOD, REACTED, UNDONE])
    text, broken, quick, pressed, good, reacted, undone = PLAIN.read(LightRequest(body))
    assert text == Message("m_text", ANN, QUESTION, person=ANN)
    assert broken == Ignored("unreadable")
    assert quick == Press("m_quick", ANN, "r7.0", person=ANN)
    assert pressed == Press("m_post", ANN, "r7.1", person=ANN)
    assert isinstance(good, Feedback)
    assert (good.signal, good.value, good.message, good.person) == ("thumb", 1.0, "m_sent1", ANN)
    assert (reacted.signal, reacted.value, reacted.facet) == ("thumb", 0.0, "reaction")
    assert (undone.value, undone.facet, undone.message) == (None, "reaction", "m_sent1")
    assert undone.key != reacted.key
    assert PLAIN.read(LightRequest(body)) == [text, broken, quick, pressed, good, reacted, undone]  # so keys repeat
    assert read(event(ANN, at=-11 * 86_400_000, message={"mid": "m_old", "text": "Hi"})) == [Ignored("stale")]
    assert read(PICTURE) == [Ignored("message without words")]
    assert read(PICTURE, of=KNOWN)[0].text == "/attachment"
    assert PLAIN.read(LightRequest(b'{"object": "instagram", "entry": []}')) == [Ignored("instagram")]


@pytest.mark.parametrize(
    ("what", "of", "to_people"),
    [
        (TAKEN, PLAIN, True),
        (TAKEN, KNOWN, True),
        (PASSED, PLAIN, False),
        (PASSED, KNOWN, False),
        (event(ANN, pass_thread_control={"new_owner_app_id": INBOX}), PLAIN, True),
        (event(ANN, pass_thread_control={"new_owner_app_id": "999"}), KNOWN, True),
        (event(ANN, pass_thread_control={"new_owner_app_id": "999"}), PLAIN, False),
        (event(ANN, pass_thread_control={"metadata": ""}), KNOWN, False),
        (event(ANN, take_thread_control={"previous_owner_app_id": APP}), KNOWN, True),
        (event(ANN, take_thread_control={"new_owner_app_id": APP}), KNOWN, False),
    ],
)
def test_who_owns_the_conversation_is_told_by_its_new_owner(what, of, to_people):
    (found,) = read(what, of=of)
    assert isinstance(found, Handover)
    assert found.to_people is to_people


@FUZZ
@given((JSON | mutated(SAMPLES)).map(lambda found: json.dumps(found).encode()) | st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(body):
    check_reads(PLAIN, body)
    check_reads(KNOWN, body)


# Out


def sent(content):
    """What goes out for a content, each checked by the stand-in."""
    service = Service()
    try:
        made = channel(api=service.address)

        async def send():
            for number, part in enumerate(made.contents(content, None), 1):
                await made.send(Outgoing(ANN, {}, part, number))
            await made.client.close()

        asyncio.run(send())
        service.check()
        return [call.body["message"] for call in service.calls]
    finally:
        service.close()


def test_whatever_the_bot_says_fits():
    many = tuple(Button(f"Choice {n}", f"/c{n}") for n in range(14))
    (message,) = sent(Content("Sure?", buttons=many[:2]))
    assert message["text"] == "Sure?"
    assert [quick["payload"] for quick in message["quick_replies"]] == ["r1.0", "r1.1"]
    (message,) = sent(Content("Which?", buttons=many))
    assert message["text"].endswith("14. Choice 13")
    (message,) = sent(Content("Come in", buttons=(Button("Shop", url="https://shop.example"), many[0])))
    assert [button["type"] for button in message["attachment"]["payload"]["buttons"]] == ["web_url", "postback"]
    found = sent(Content("Word " * 1000, buttons=many[:3], image="https://shop.example/a.jpg"))
    assert ["quick_replies" in message for message in found] == [False, False, False, True]
    assert found[-1]["attachment"]["type"] == "image"
    cards = tuple(Card(f"Shoe {n}", "", None, None, many[:1]) for n in range(11))
    found = sent(Content("Look at these", cards=(*cards, Card("Bare"))))
    assert [len(message["attachment"]["payload"]["elements"]) for message in found[1:]] == [10, 2]
    assert found[2]["attachment"]["payload"]["elements"][1] == {"title": "Bare", "subtitle": "Bare"}
    own = {"attachment": {"type": "image", "payload": {"url": "https://a.example", "is_reusable": True}}}
    assert sent(Content(custom=own)) == [own]


_TITLES = st.text("abc ÄÖ😀", min_size=1, max_size=100).filter(str.strip)
_LINKED = st.builds(Button, _TITLES, url=st.just("https://x.example"))
_BUTTONS = st.lists(st.builds(Button, _TITLES, st.just("/x")) | _LINKED, max_size=16)
_PICTURES = st.none() | st.just("https://x.example/1.png")
_CARDS = st.builds(Card, _TITLES, st.text(max_size=99), _PICTURES, buttons=_BUTTONS.map(lambda found: tuple(found[:3])))


@FUZZ
@given(st.text("ab \n", max_size=4000), _BUTTONS, st.lists(_CARDS, max_size=2), _PICTURES)
def test_every_content_is_sent_in_a_documented_form_with_all_its_choices(text, buttons, cards, image):
    content = Content(text, tuple(buttons), tuple(cards), image, turn="t", decisions=("d",))
    parts = PLAIN.contents(content, None)
    choices = [button.title for part in parts for button in part.choices()]
    assert sorted(choices) == sorted(button.title for button in content.choices())
    for part in parts:
        assert (part.turn, part.decisions) == ("t", ("d",))
        check_message(PLAIN._message(Outgoing(ANN, {}, part, 3)))


# From end to end


def test_feedback_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    who = "4400000000000010"
    asked = event(who, message={"mid": "m_f1", "text": QUESTION})
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: deliver(assistant, asked), range(10)))
    said(service, who)
    candidate = chosen(learning, "messenger")
    before = expected(learning, QUESTION, candidate)
    (mid,) = mids(service, who)

    def react(at, reaction, action="react"):
        what = {"reaction": reaction, "emoji": "", "action": action, "mid": mid}
        deliver(assistant, event(who, at=at, reaction=what))
        return f"messenger:reaction:{who}:{NOW + at}:{mid}"

    first = react(1, "love")
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == first)
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "messenger"
    assert expected(learning, QUESTION, candidate) > before
    second = react(2, "dislike")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first)
    assert expected(learning, QUESTION, candidate) < before
    react(3, "dislike", "unreact")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == second)
    assert expected(learning, QUESTION, candidate) == pytest.approx(before, abs=1e-9)

    deliver(assistant, event(who, at=4, response_feedback={"feedback": "Good response", "mid": mid}))
    assistant.wait_for("outcome", lambda e: e.id == f"messenger:response_feedback:{who}:{NOW + 4}")
    assert expected(learning, QUESTION, candidate) > before
    deliver(assistant, event(who, at=5, response_feedback={"feedback": "Bad response", "mid": mid}))
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == f"messenger:response_feedback:{who}:{NOW + 4}")
    assert expected(learning, QUESTION, candidate) < before
    learning.revoke(f"messenger:response_feedback:{who}:{NOW + 5}", who="test", why="the others start from nothing")
    learning.close()
    assert len(mids(service, who)) == 1
    assert assistant.health("messenger")["counts"]["repeated"] >= 9


def test_a_quick_reply_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    people = [f"44000000000001{n:02}" for n in range(8)]  # two of the three wordings have a button
    deliver(assistant, *(event(who, message={"mid": f"m_b{who}", "text": LOCKED}) for who in people))
    bodies = [said(service, who)[0].body for who in people]
    body = next(body for body in bodies if "quick_replies" in body["message"])
    who, quick = body["recipient"]["id"], body["message"]["quick_replies"][0]
    pressed = {"text": quick["title"], "quick_reply": {"payload": quick["payload"]}}
    deliver(
        assistant,
        event("4499", message={"mid": "m_b-other", **pressed}),
        event(who, message={"mid": "m_b-own", **pressed}),
    )
    assistant.wait_for("outcome", lambda e: e.id == "messenger:m_b-own:click" and e.body["signal"] == "click")
    assert len(said(service, who, count=2)) == 2
    assert not mids(service, "4499")


def test_people_take_over_and_give_back(assistant, service):
    who = "4400000000000012"
    deliver(assistant, event(who, message={"mid": "m_h1", "text": "I want to talk to a person"}))
    service.wait_for(lambda call: call.path.endswith("pass_thread_control") and call.body["recipient"]["id"] == who)
    before = len(mids(service, who))
    assert before >= 1
    deliver(assistant, event(who, message={"mid": "m_h2", "text": QUESTION}))
    deliver(assistant, event(who, pass_thread_control={"previous_owner_app_id": INBOX, "new_owner_app_id": APP}))
    deliver(assistant, event(who, message={"mid": "m_h3", "text": QUESTION}))
    said(service, who, count=before + 1)
    assert len(mids(service, who)) == before + 1


def test_no_secret_is_logged(assistant):
    log = assistant.server.log.read_text()
    assert not [word for word in (APP_SECRET, TOKEN, VERIFY) if word in log]
