"""Teams against its stand-in; tokens are made by hand with cryptography, and verified with PyJWT."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rasa")

from hypothesis import given, settings

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Message, Press
from connectors.teams import TeamsInput
from tests.connectors.fuzz import JSON, LightRequest, mutated, receive
from tests.connectors.learned import chosen, expected
from tests.connectors.services.teams import (
    APP_ID,
    BOT,
    OTHER_KEY,
    PASSWORD,
    TOKEN,
    _check_message,
    activity,
    credentials,
    jwk,
    thumb,
    token,
)
from tests.connectors.stand_in import Answer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
SHOES = range(12)
QUESTION = "How long do I have to return something?"


@pytest.fixture
def service(assistant):
    yield assistant.services["teams"]
    assistant.services["teams"].check()


def deliver(assistant, sent, **signing):
    bearer = token(sent["serviceUrl"], **signing)
    return assistant.post("teams", json.dumps(sent).encode(), {"Authorization": f"Bearer {bearer}"})


def said(service, conversation, *, count=1, after=0):
    def wanted(call):
        return call.path.startswith("/emea/") and call.body["type"] == "message" and place(call) == conversation

    return service.wait_for(wanted, count=count, after=after)


def place(call):
    return call.body["conversation"]["id"]


def test_only_the_bot_framework_itself_is_believed(assistant, service):
    sent = activity(service, "v", type="unheard of")
    now = time.time()
    assert deliver(assistant, sent).status_code == 200
    assert deliver(assistant, sent, exp=now - 200, nbf=now - 400).status_code == 200  # clocks differ by 5 minutes
    for wrong in (
        {"header": {"alg": "none"}},
        {"header": {"alg": "HS256"}},
        {"header": {"alg": "RS384"}},
        {"header": {"kid": "unheard of"}},
        {"key": OTHER_KEY},
        {"iss": "https://sts.windows.net/"},
        {"iss": None},
        {"aud": "another app"},
        {"exp": now - 400},
        {"exp": None},
        {"nbf": now + 400},
        {"serviceurl": "https://smba.example.com/emea/"},
        {"serviceurl": None},
    ):
        assert deliver(assistant, sent, **wrong).status_code == 403, wrong
    assert deliver(assistant, {**sent, "channelId": "directline"}).status_code == 403  # no key is endorsed for it
    elsewhere = {
        **sent,
        "serviceUrl": "http://smba.example.com/emea/",
    }  # signed so, but our token would be in the clear
    assert deliver(assistant, elsewhere).status_code == 403
    body, right = json.dumps(sent).encode(), token(sent["serviceUrl"])
    for header in ({}, {"Authorization": right}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Bearer"}):
        assert assistant.post("teams", body, header).status_code == 401, header
    assert assistant.post("teams", body, {"Authorization": f"Bearer {right[:-4]}AAAA"}).status_code == 403
    assert assistant.post("teams", b"[]", {"Authorization": f"Bearer {right}"}).status_code == 400
    assert assistant.health("teams")["counts"]["ignored: unheard of"] >= 2


def test_strangers_do_not_make_us_ask_for_keys_again_and_again(assistant, service):
    deliver(assistant, activity(service, "k", type="typing"))
    service.keys.append(jwk("new", OTHER_KEY))
    for _ in range(5):
        deliver(assistant, activity(service, "k", type="typing"), header={"kid": "new"}, key=OTHER_KEY)
    assert len([call for call in service.calls if call.path == "/keys"]) <= 2


def test_one_message_delivered_ten_times_is_answered_once(assistant, service):
    sent = activity(service, "ten", text=f"<at>Support</at> {QUESTION}")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: deliver(assistant, sent), range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    deliver(assistant, activity(service, "ten", text="Thank you"))
    assert len(said(service, "ten", count=2)) == 2
    assert len([call for call in service.calls if call.path.endswith("/token")]) == 1


def test_typing_is_shown(service):
    async def show():
        channel = TeamsInput.from_credentials(credentials(service))
        await channel.typing("dots", {"service": f"{service.address}/emea/", "bot": {"id": BOT}})
        await channel.client.close()

    asyncio.run(show())
    service.wait_for(lambda call: call.raw and call.path.startswith("/emea/") and place(call) == "dots")


def test_feedback_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    thread = "19:c@thread.tacv2;messageid=17"
    deliver(assistant, activity(service, thread, text=QUESTION))
    message = service.id_of(said(service, thread)[0])
    reply = chosen(learning, "teams")
    before = expected(learning, QUESTION, reply)

    def react(conversation, **what):
        sent = activity(service, conversation, type="messageReaction", replyToId=message, **what)
        assert deliver(assistant, sent).status_code == 200
        return f"teams:{sent['id']}"

    def press(reaction):
        sent = thumb(service, thread, message, reaction)
        answer = deliver(assistant, sent)
        assert (answer.status_code, answer.json()) == (200, {})
        return f"teams:{sent['id']}"

    liked = f"{react('19:c@thread.tacv2', reactionsAdded=[{'type': 'like'}, {'type': 'laugh'}])}:+like"
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == liked)
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "teams"
    assert expected(learning, QUESTION, reply) > before
    react(thread, reactionsRemoved=[{"type": "like"}])
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == liked)
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)
    first = press("dislike")
    assistant.wait_for("outcome", lambda e: e.id == first)
    assert expected(learning, QUESTION, reply) < before
    press("like")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == first)
    assert expected(learning, QUESTION, reply) > before
    learning.close()


def test_a_button_says_what_it_stands_for(assistant, service):
    for number in range(8):  # two of the three wordings have a button
        deliver(assistant, activity(service, f"b{number}", text=LOCKED))
    calls = [said(service, f"b{number}")[0] for number in range(8)]
    call = next(call for call in calls if "attachments" in call.body)
    data = call.body["attachments"][0]["content"]["actions"][0]["data"]
    pressed = activity(service, place(call), text="x", value={"choice": data["choice"]}, replyToId=service.id_of(call))
    deliver(assistant, pressed)
    assistant.wait_for("outcome", lambda e: e.id == f"teams:{pressed['id']}:click" and e.body["signal"] == "click")
    assert len(said(service, place(call), count=2)) == 2


def test_a_limit_an_ended_token_and_a_redirection_are_borne(assistant, service):
    deliver(assistant, activity(service, "r", text="Thank you"))
    said(service, "r")
    asked = len([call for call in service.calls if call.path.endswith("/token")])
    real, refusals = service.answer, [Answer(429, headers={"Retry-After": "1"}), Answer(401), Answer(412)]

    def answer(call):
        if refusals and call.path.startswith("/emea/") and call.body["type"] == "message" and place(call) == "r":
            return refusals.pop(0)
        return real(call)

    service.answer = answer
    try:
        after = len(service.calls)
        deliver(assistant, activity(service, "r", text=QUESTION))
        calls = said(service, "r", count=4, after=after)
    finally:
        service.answer = real
    assert calls[1].at - calls[0].at >= 1.0
    assert len([call for call in service.calls if call.path.endswith("/token")]) == asked + 1
    log = assistant.server.log.read_text(errors="replace")
    assert PASSWORD not in log
    assert TOKEN not in log


@pytest.fixture(scope="module")
def channel():
    return TeamsInput.from_credentials({"app_id": APP_ID, "app_password": PASSWORD})


@pytest.fixture
def samples(channel):
    class Place:
        address = "https://smba.example.com"

    here = Place()
    reactions = {"reactionsAdded": [{"type": "yes-tone3"}], "reactionsRemoved": [{"type": "angry"}]}
    return [
        activity(here, "c", text="<at>Support</at>\u00a0hello", entities=[mention(BOT, "<at>Support</at>")]),
        activity(here, "c", text="hello <at>Ann</at>", entities=[mention("29:ann", "<at>Ann</at>")]),
        activity(here, "c", text="Yes", value='{"choice": "r7.1"}', replyToId="1"),
        activity(here, "c", type="messageReaction", replyToId="1", **reactions),
        thumb(here, "c", "1", "like"),
        activity(here, "c", type="conversationUpdate", membersAdded=[{"id": BOT}]),
        activity(here, "c", type="invoke", name="adaptiveCard/action", value={}),
        activity(here, "c", text="hello", **{"from": {"id": BOT}}),
        activity(here, "c", attachments=[{"contentType": "image/png"}]),
    ]


def mention(id, text):
    return {"type": "mention", "mentioned": {"id": id, "name": "x"}, "text": text}


def test_activities_mean_what_they_say(channel, samples):
    read = [channel.read(LightRequest(json.dumps(sample).encode())) for sample in samples]
    (called,), (said,), (pressed,), reactions, (thumbed,), *rest = read
    assert isinstance(called, Message)
    assert (called.text, called.person, called.conversation) == ("hello", "29:eve", "c")
    assert called.address == {"service": "https://smba.example.com/emea/", "bot": {"id": BOT}}
    assert said.text == "hello Ann"
    assert isinstance(pressed, Press)
    assert (pressed.choice, pressed.message) == ("r7.1", "1")
    assert [(one.value, one.facet) for one in reactions] == [(None, "reaction angry"), (1.0, "reaction yes")]
    assert isinstance(thumbed, Feedback)
    assert thumbed.comment == "Good"
    assert (thumbed.value, thumbed.message, thumbed.facet) == (1.0, "1", None)
    assert [one.kind for (one,) in rest if isinstance(one, Ignored)] == [
        "conversationUpdate", "invoke adaptiveCard/action", "our own message", "message without words"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (Content("Hello\n\nworld"), 1),
        (Content("x" * 45_000), 3),
        (Content("Which?", buttons=tuple(Button(str(n), f"/{n}") for n in range(14))), 3),
        (Content("A link", buttons=(Button("Open", url="https://example.com"), Button("No", "/no"))), 1),
        (Content(image="https://example.com/a.png"), 1),
        (Content("See", attachment="https://example.com/a.pdf"), 1),
        (Content("Shoes", cards=tuple(Card(f"Shoe {n}", "red", buttons=(Button("Buy", f"/{n}"),)) for n in SHOES)), 3),
        (Content(cards=(Card("One", image="https://example.com/a.png", url="https://example.com"),)), 1),
    ],
)  # fmt: skip
def test_everything_that_a_bot_says_fits_what_teams_takes(channel, content, count):
    parts = channel.contents(content, None)
    assert len(parts) == count
    bodies = [channel._activity(Outgoing("c", {}, part, number)) for number, part in enumerate(parts)]
    for part, body in zip(parts, bodies, strict=True):
        _check_message({**body, "from": {"id": BOT}, "conversation": {"id": "c"}})
        actions = [a for one in body.get("attachments", ()) for a in one["content"]["actions"]]
        references = [a["data"]["choice"] for a in actions if "data" in a]
        payloads = [part.choices()[channel.referred(reference)[1]].payload for reference in references]
        assert payloads == [button.payload for button in part.choices()]
    shown = json.dumps(bodies)
    assert all(button.title in shown for button in (*content.buttons, *(b for c in content.cards for b in c.buttons)))
    assert sum(len(body.get("text", "")) for body in bodies) in (0, len(content.text), len(content.plain()))


def test_a_token_travels_by_tls_only():
    from rasa.shared.exceptions import RasaException

    for option in ("login", "openid"):
        with pytest.raises(RasaException, match="https"):
            TeamsInput.from_credentials({"app_id": "a", "app_password": "p", option: "http://example.com"})
    assert PASSWORD not in repr(TeamsInput.from_credentials({"app_id": "a", "app_password": PASSWORD}).settings)


def test_no_activity_brings_the_parser_down(samples):
    channel = TeamsInput.from_credentials({"app_id": APP_ID, "app_password": PASSWORD})

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(JSON | mutated(samples))
    def run(document):
        assert receive(channel, LightRequest(json.dumps(document).encode())) in (200, 400)

    run()
