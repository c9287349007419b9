"""Slack, end to end against a stand-in that slack_sdk signs and checks for."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

pytest.importorskip("rasa")
pytest.importorskip("slack_sdk")

from hypothesis import given, settings

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Message, Press
from connectors.core.sending import Later, Undeliverable
from connectors.slack import SlackInput
from tests.connectors.fuzz import JSON, LightRequest, check_reads, mutated
from tests.connectors.learned import chosen, expected
from tests.connectors.services.slack import BOT, SECRET, TOKEN, Service, credentials, delivery, event, signed
from tests.connectors.stand_in import Answer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Do you ship abroad?"
ids = itertools.count(1000)


@pytest.fixture
def service(assistant):
    yield assistant.services["slack"]
    assistant.services["slack"].check()


def said_by(who, channel, text, *, kind="message", **more):
    """What somebody says: to the bot alone, or (app_mention) in a channel."""
    number = next(ids)
    place = {"channel": channel, "channel_type": "im"} if kind == "message" else {"channel": channel}
    what = {"type": kind, "user": who, "text": text, "ts": f"1690000000.{number:06}", **place, **more}
    return event(f"Ev{number}", what)


def reacted(user, channel, ts, reaction, *, kind="reaction_added", by=BOT):
    item = {"type": "message", "channel": channel, "ts": ts}
    what = {"type": kind, "user": user, "reaction": reaction, "item_user": by, "item": item}
    return event(f"Ev{next(ids)}", what)


def pressed(user, channel, ts, *actions, thread=None):
    message = {"type": "message", "bot_id": "B1", "user": BOT, "ts": ts, **({"thread_ts": thread} if thread else {})}
    return {
        "type": "block_actions",
        "user": {"id": user, "username": "ada", "team_id": "T1"},
        "api_app_id": "A1",
        "container": {"type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": False},
        "trigger_id": f"1.2.{next(ids)}",
        "channel": {"id": channel, "name": "directmessage"},
        "message": message,
        "actions": [{"action_ts": f"1690000001.{next(ids):06}", "block_id": "b", **action} for action in actions],
    }


def thumb(which):
    return {"type": "feedback_buttons", "action_id": "feedback", "value": which}


def deliver(assistant, *payloads, **signing):
    answers = [assistant.post("slack", *delivery(payload, **signing)) for payload in payloads]
    assert len({answer.status_code for answer in answers}) == 1
    return answers[-1]


def sent(service, channel, *, count=1):
    return service.wait_for(lambda call: call.body["channel"] == channel, count=count)


def blocks(call, kind):
    return [block for block in call.body["blocks"] if block["type"] == kind]


def test_a_delivery_is_taken_when_it_is_signed_right_and_fresh(assistant):
    joined = event("Ev1", {"type": "member_joined_channel", "user": "U1", "channel": "C1"})
    assert deliver(assistant, joined).status_code == 200
    assert assistant.health("slack")["counts"]["ignored: member_joined_channel"] >= 1
    assert deliver(assistant, joined, secret="another").status_code == 403
    assert deliver(assistant, joined, at=time.time() - 400).status_code == 403
    assert deliver(assistant, joined, at=time.time() + 400).status_code == 403
    body, headers = delivery(joined)
    assert assistant.post("slack", body + b" ", headers).status_code == 403
    assert assistant.post("slack", body, {**headers, "X-Slack-Request-Timestamp": "1"}).status_code == 403
    assert assistant.post("slack", body, {"X-Slack-Request-Timestamp": str(int(time.time()))}).status_code == 401
    unversioned = headers["X-Slack-Signature"].removeprefix("v0=")
    assert assistant.post("slack", body, {**headers, "X-Slack-Signature": unversioned}).status_code == 403
    for body in (b"", b"[]", b"{}", b'{"type": "event_callback"}'):
        answer = assistant.post("slack", body, signed(body))
        assert answer.status_code == 400
        assert len(answer.json()["error"].splitlines()) == 1
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, status in ((b"payload=%7B", 400), (b"command=%2Fhelp", 200)):
        assert assistant.post("slack", body, {**form, **signed(body)}).status_code == status


def test_slack_makes_sure_of_the_address(assistant):
    assert deliver(assistant, {"type": "url_verification", "challenge": "3eZb", "token": "x"}).text == "3eZb"
    assert deliver(assistant, {"type": "url_verification", "challenge": "3eZb"}, secret="another").status_code == 403


def test_ten_deliveries_at_once_are_answered_once(assistant, service):
    one = said_by("U10", "D10", QUESTION)

    def again(number):
        body, headers = delivery(one)
        return assistant.post("slack", body, {**headers, "X-Slack-Retry-Num": str(number)})

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(again, range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    deliver(assistant, said_by("U10", "D10", "Thank you"))
    assert len(sent(service, "D10", count=2)) == 2
    counts = assistant.health("slack")["counts"]
    assert counts["repeated"] >= 9
    assert counts["redelivered"] >= 10


def test_feedback_in_a_thread_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    mention = said_by("U20", "C20", f"<@{BOT}> {QUESTION}", kind="app_mention")
    deliver(assistant, mention)
    (call,) = sent(service, "C20")
    thread = mention["event"]["ts"]
    assert call.body["thread_ts"] == thread
    ((buttons,),) = [block["elements"] for block in blocks(call, "context_actions")]
    reply = chosen(learning, "slack")
    before, ts = expected(learning, QUESTION, reply), service.times[id(call)]

    def press(button):
        pressing = pressed("U20", "C20", ts, thumb(buttons[button]["value"]), thread=thread)
        answer = deliver(assistant, pressing)
        assert (answer.status_code, answer.content) == (200, b"")
        return f"slack:C20:{ts}:U20:{pressing['actions'][0]['action_ts']}:feedback"

    first = press("positive_button")
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == first)
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "slack"
    assert expected(learning, QUESTION, reply) > before
    second = press("negative_button")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first)
    assert expected(learning, QUESTION, reply) < before

    # A reaction stands beside it, and goes by itself.
    for reaction, value in (("+1::skin-tone-3", 1.0), ("thumbsdown", 0.0)):
        come, gone = (reacted("U20", "C20", ts, reaction, kind=f"reaction_{how}") for how in ("added", "removed"))
        deliver(assistant, come)
        (outcome,) = assistant.wait_for("outcome", lambda e, c=come: e.id == f"slack:{c['event_id']}")
        assert (outcome.body["value"], outcome.turn) == (value, decision.turn)
        deliver(assistant, gone)
        assistant.wait_for("revoked", lambda e, c=come: e.body["event_id"] == f"slack:{c['event_id']}")
    learning.revoke(second, who="test", why="as if it had never been")
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)
    learning.close()


def test_a_button_says_what_it_stands_for_in_its_own_conversation(assistant, service):
    channels = [f"D3{n}" for n in range(8)]  # two of the three wordings have a button
    deliver(assistant, *(said_by("U30", channel, LOCKED) for channel in channels))
    calls = [sent(service, channel)[0] for channel in channels]
    call = next(call for call in calls if blocks(call, "actions"))
    channel, ts, button = call.body["channel"], service.times[id(call)], blocks(call, "actions")[0]["elements"][0]
    press = {"type": "button", "action_id": button["action_id"], "value": button["value"]}
    own = pressed("U30", channel, ts, press)
    deliver(assistant, pressed("U30", "D39", ts, press), own, own)
    key = f"slack:{channel}:{ts}:U30:{own['actions'][0]['action_ts']}:{button['action_id']}:click"
    assistant.wait_for("outcome", lambda e: e.id == key)
    assert len(sent(service, channel, count=2)) == 2
    assert not [call for call in service.calls if call.body["channel"] == "D39"]
    log = assistant.server.log.read_text(errors="replace")
    assert TOKEN not in log
    assert SECRET not in log


# In process: what is read


CHANNEL = SlackInput.from_credentials({"token": TOKEN, "signing_secret": SECRET})
SAMPLES = [
    said_by("U1", "D1", "Where is my order?"),
    said_by("U1", "C1", f"<@{BOT}> where is <https://shop.example.com|my order>?", kind="app_mention"),
    said_by("U1", "D1", "and now?", thread_ts="1.000001"),
    reacted("U1", "C1", "1.000002", "+1"),
    reacted("U1", "C1", "1.000002", "thumbsdown", kind="reaction_removed"),
    pressed("U1", "C1", "1.000002", thumb("up"), {"type": "button", "action_id": "button-0", "value": "r1.0"}),
    {"type": "url_verification", "challenge": "3eZb", "token": "x"},
]


def read(payload):
    return list(CHANNEL.read(LightRequest(*delivery(payload))))


def test_what_is_said_is_read_in_its_thread():
    def found(*given, **more):
        (one,) = read(said_by("U1", *given, **more))
        return (one.conversation, one.asked) if isinstance(one, Message) else one

    assert found("D1", "Where is it &amp; &lt;when&gt;?") == ("D1", "Where is it & <when>?")
    assert found("D1", "and now?", thread_ts="1.000001") == ("D1:1.000001", "and now?")
    assert found("D1", "see <https://a.example.com|this> <@U2|bob>") == ("D1", "see https://a.example.com @bob")
    assert found("D1", "It came broken", subtype="file_share") == ("D1", "It came broken")
    in_channel = found("C1", f"<@{BOT}> /inform", kind="app_mention", thread_ts="1.000001")
    assert in_channel == ("C1:1.000001", "inform")
    for more in ({"subtype": "message_changed"}, {"bot_id": "B1"}, {"channel_type": "channel"}, {"user": BOT}):
        assert isinstance(found("D1", "Hello", **more), Ignored), more
    assert found("D1", "") == Ignored("message without words")


def test_reactions_other_than_thumbs_on_answers_are_ignored():
    for payload in (
        reacted("U1", "C1", "1.000002", "tada"),
        reacted("U1", "C1", "1.000002", "+1", by="U2"),
        {"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1, "api_app_id": "A1"},
    ):
        assert all(isinstance(one, Ignored) for one in read(payload)), payload


def test_all_that_was_pressed_is_read():
    link = {"type": "button", "action_id": "button-1"}
    other = {"type": "button", "action_id": "approve", "value": "yes"}
    press = {"type": "button", "action_id": "button-0", "value": "r12.0"}
    found = read(pressed("U1", "C1", "1.2", thumb("down"), press, link, other, thread="1.1"))
    assert [type(one) for one in found] == [Feedback, Press, Ignored, Ignored]
    assert {one.conversation for one in found[:2]} == {"C1:1.1"}
    assert (found[0].message, found[0].value) == ("C1:1.2", 0.0)
    assert len({one.key for one in found[:2]}) == 2
    # The first message of a thread stays where it was said.
    (begun,) = read(pressed("U1", "D1", "1.1", press, thread="1.1"))
    assert begun.conversation == "D1"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(JSON | mutated(SAMPLES))
def test_whatever_comes_is_read_or_refused(sample):
    check_reads(CHANNEL, json.dumps(sample).encode())
    form = urlencode({"payload": json.dumps(sample)}).encode()
    check_reads(CHANNEL, b"\xff" + form)
    check_reads(CHANNEL, form, {"Content-Type": "application/x-www-form-urlencoded"})


# In process: what is sent


@pytest.fixture
def api():
    api = Service()
    yield api
    api.close()


def send(api, content, conversation, **options):
    """Send each part as the worker would: the ids, and the calls."""
    channel = SlackInput.from_credentials({**credentials(api), **options})
    before = len(api.calls)

    async def all_parts():
        try:
            return [
                await channel.send(Outgoing(conversation, {}, part, number))
                for number, part in enumerate(channel.contents(content, None), 1)
            ]
        finally:
            await channel.client.close()

    found = asyncio.run(all_parts())
    api.check()
    return found, [call for call in api.calls[before:] if call.body["channel"] == conversation.partition(":")[0]]


DECIDED = {"turn": "t", "decisions": ("d",)}
PHOTO = "https://img.example.com/1.png"


@pytest.mark.parametrize("text", ["word " * 1300, "<&>" * 2000])
def test_long_texts_are_parted_and_escaped(api, text):
    found, calls = send(api, Content(text, **DECIDED), "C41:1.000001")
    assert len(found) == len(calls) >= 3
    assert all(call.body["thread_ts"] == "1.000001" for call in calls)
    assert all(len(blocks(call, "context_actions")) == 1 for call in calls)
    assert found[0] == f"C41:{api.times[id(calls[0])]}"


def test_pictures_cards_and_buttons_are_blocks(api):
    shop = Button("Shop", url="https://shop.example.com")
    card = Card("Kettle & pot", "Holds 1 litre. " * 100, PHOTO, "https://shop.example.com/k", (Button("Buy", "/buy"),))
    content = Content("Look", (Button("b" * 200, "/yes"), shop), (card,) * 12, PHOTO, **DECIDED)
    _, (first, _, last) = send(api, content, "C42")
    kinds = [block["type"] for block in first.body["blocks"]]
    assert kinds == ["section", "image", "actions", *["section", "actions"] * 5, "context_actions"]
    choices = [b["value"] for block in blocks(first, "actions") for b in block["elements"] if "value" in b]
    assert choices == [f"r1.{n}" for n in range(6)]
    assert [block["type"] for block in last.body["blocks"]] == [*["section", "actions"] * 2, "context_actions"]
    _, calls = send(api, Content(buttons=(Button("Yes", "/yes"),) * 40), "C43", feedback=False)
    assert [len(block["elements"]) for block in calls[0].body["blocks"]] == [25]


def test_pictures_that_cannot_be_had_become_links(api):
    missing = "https://img.example.com/missing.png"
    content = Content("Look", (Button("Yes", "/yes"),), (Card("Kettle", image=missing),), missing)
    found, (_, call) = send(api, content, "C44")
    assert found[0] is not None
    assert [block["type"] for block in call.body["blocks"]] == ["section", "actions", "section"]
    assert call.body["blocks"][0]["text"]["text"] == f"Look\n\n{missing}"


@pytest.mark.parametrize(
    ("answer", "raised", "seconds"),
    [
        (Answer(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"}), Later, 7.0),
        (Answer(200, {"ok": False, "error": "ratelimited"}), Later, None),
        (Answer(200, {"ok": False, "error": "channel_not_found"}), Undeliverable, None),
        (Answer(200, b"<html>"), Undeliverable, None),
    ],
)
def test_what_slack_refuses_is_heard(api, answer, raised, seconds):
    api.script.append(answer)
    with pytest.raises(raised) as error:
        send(api, Content("Hello"), "C45")
    assert getattr(error.value, "seconds", None) == seconds
    assert getattr(error.value, "limited", raised is Later) is (raised is Later)
    assert TOKEN not in str(error.value)
