"""WhatsApp: signed by pywa's own measure, read as pywa reads, sent as pywa sends; and from end to end."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rasa")

from pywa import WhatsApp
from pywa.types import Button as PywaButton
from pywa.types import CallbackButton, CallbackSelection, SectionList
from pywa.types import Message as PywaMessage
from pywa.types import Section as PywaSection
from pywa.types import SectionRow as PywaRow
from pywa.types import URLButton as PywaLink
from pywa.utils import webhook_updates_validator

from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Message, Press
from connectors.core.sending import Later, Undeliverable
from connectors.whatsapp import WhatsappInput
from tests.connectors.fuzz import JSON, LightRequest, check_reads, mutated
from tests.connectors.learned import chosen, expected
from tests.connectors.services.whatsapp import (
    APP_SECRET,
    NUMBER,
    PLACE,
    TOKEN,
    VERIFY,
    Service,
    change,
    credentials,
    delivery,
    message,
    signed,
)
from tests.connectors.stand_in import Answer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Which payment methods do you accept?"
ANN = "US.13490000000000000001"

TEXT = message("text", ANN, text={"body": QUESTION})
REACTION = message("reaction", ANN, reaction={"message_id": "wamid.sent1", "emoji": "👍🏽"})
WITHDRAWN = message("withdrawn", "15551230001", reaction={"message_id": "wamid.sent1", "emoji": ""})
REPLY = {"type": "button_reply", "button_reply": {"id": "r7.1", "title": "Yes"}}
ROW = {"type": "list_reply", "list_reply": {"id": "r7.2", "title": "No", "description": "no"}}
PRESSED = message("pressed", ANN, interactive=REPLY, context={"from": "15550001234", "id": "wamid.sent1"})
CHOSEN = message("chosen", ANN, interactive=ROW, context={"from": "15550001234", "id": "wamid.sent1"})
TEMPLATE = message("template", ANN, button={"payload": "/stop", "text": "Stop"}, context={"id": "wamid.sent9"})
PICTURE = {"id": "5", "mime_type": "image/jpeg", "sha256": "aa"}
CAPTION = message("caption", ANN, image={**PICTURE, "caption": "It came broken"})
IMAGE = message("image", ANN, image=PICTURE)
STATUS = {"id": "wamid.sent1", "status": "delivered", "timestamp": "1", "recipient_id": "15551230001"}
SAMPLES = [
    json.loads(delivery([change(one)], [change(statuses=(STATUS,))])[0])
    for one in (TEXT, REACTION, WITHDRAWN, PRESSED, CHOSEN, TEMPLATE, CAPTION, IMAGE)
]


@pytest.fixture
def service(assistant):
    yield assistant.services["whatsapp"]
    assistant.services["whatsapp"].check()


def channel(api="http://127.0.0.1:1", **more):
    options = {"app_secret": APP_SECRET, "access_token": TOKEN, "verify_token": VERIFY, "phone_number_id": NUMBER}
    return WhatsappInput.from_credentials({**options, "api": api, **more})


PLAIN, SPEAKING = channel(), channel(wordless="/attachment")
FUZZ = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def read(*messages, **more):
    body, _ = delivery([change(*messages)])
    return channel(**more).read(LightRequest(body))


def deliver(assistant, *messages):
    answer = assistant.post("whatsapp", *delivery([change(*messages)]))
    assert answer.status_code == 200, answer.text


def said(service, who, *, count=1):
    return service.wait_for(
        lambda call: call.path == PLACE and who in (call.body.get("to"), call.body.get("recipient")), count=count
    )


def ids(service, who):
    return [id for id, body in service.sent.items() if who in (body.get("to"), body.get("recipient"))]


# In


def test_a_delivery_is_taken_when_it_is_signed_with_the_apps_secret(assistant):
    body, headers = delivery([change(statuses=(STATUS,))], [{"field": "account_update", "value": {"event": "new"}}])
    assert webhook_updates_validator(APP_SECRET, body, headers["X-Hub-Signature-256"])
    assert assistant.post("whatsapp", body, headers).status_code == 200
    assert assistant.post("whatsapp", body + b" ", headers).status_code == 403
    assert assistant.post("whatsapp", *signed(body, "another")).status_code == 403
    old = {"X-Hub-Signature": headers["X-Hub-Signature-256"].replace("sha256", "sha1")}
    assert assistant.post("whatsapp", body, old).status_code == 401
    swapped = {"X-Hub-Signature-256": headers["X-Hub-Signature-256"].replace("sha256=", "sha512=")}
    assert assistant.post("whatsapp", body, swapped).status_code == 403
    assert assistant.post("whatsapp", body, {"X-Hub-Signature-256": b"sha256=\xe9"}).status_code == 403
    for unreadable in (b"", b"[]", b"{}", b'{"object": "whatsapp_business_account", "entry": [7]}'):
        answer = assistant.post("whatsapp", *signed(unreadable))
        assert answer.status_code == 400
        assert len(answer.json()["error"].splitlines()) == 1
    counts = assistant.health("whatsapp")["counts"]
    assert counts["ignored: status delivered"] >= 1
    assert counts["ignored: account_update"] >= 1


def test_the_address_is_proved_by_the_verify_token(assistant):
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY}
    answer = assistant.client.get("/webhooks/whatsapp/webhook", params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    for wrong in ({"hub.verify_token": "another"}, {"hub.mode": "unsubscribe"}):
        assert assistant.client.get("/webhooks/whatsapp/webhook", params={**asked, **wrong}).status_code == 403
    assert assistant.client.get("/webhooks/whatsapp/webhook").status_code == 401


def test_what_comes_is_read_as_pywa_reads_it():
    client = WhatsApp(phone_id=NUMBER, token=TOKEN, session=httpx.Client(transport=httpx.MockTransport(lambda _: None)))
    raw = {name: json.loads(delivery([change(one)])[0]) for name, one in _NAMED.items()}

    (text,) = read(TEXT)
    theirs = PywaMessage.from_update(client, raw["text"])
    assert (text.key, text.text, text.person) == (theirs.id, theirs.text, theirs.from_user.bsuid)
    assert text.address == {"number": theirs.metadata.phone_number_id, "message": theirs.id}

    (reaction,) = read(REACTION)
    theirs = PywaMessage.from_update(client, raw["reaction"])
    assert (reaction.key, reaction.message) == (theirs.id, theirs.reaction.message_id)
    assert (reaction.signal, reaction.value, theirs.reaction.emoji) == ("thumb", 1.0, "👍🏽")

    (withdrawn,) = read(WITHDRAWN)
    theirs = PywaMessage.from_update(client, raw["withdrawn"])
    assert theirs.reaction.is_removed if hasattr(theirs.reaction, "is_removed") else not theirs.reaction.emoji
    assert (withdrawn.value, withdrawn.person) == (None, theirs.from_user.wa_id)

    for name, one, kind in (("pressed", PRESSED, CallbackButton), ("template", TEMPLATE, CallbackButton)):
        (press,) = read(one)
        theirs = kind.from_update(client, raw[name])
        assert (press.key, press.choice, press.message) == (theirs.id, theirs.data, theirs.reply_to_message.id)
    (press,) = read(CHOSEN)
    theirs = CallbackSelection.from_update(client, raw["chosen"])
    assert (press.key, press.choice, press.message) == (theirs.id, theirs.data, theirs.reply_to_message.id)


_NAMED = {
    "text": TEXT,
    "reaction": REACTION,
    "withdrawn": WITHDRAWN,
    "pressed": PRESSED,
    "chosen": CHOSEN,
    "template": TEMPLATE,
}


def test_a_person_is_known_by_their_own_id_and_by_the_number_only_without_one():
    both = {**message("b", "15551230001", text={"body": "Hi"}), "from_user_id": ANN}
    (found,) = read(both)
    assert (found.conversation, found.person, found.address["to"]) == (ANN, ANN, "15551230001")
    one = change(message("c", "15551230001", text={"body": "Hi"}))
    one["value"]["contacts"][0]["user_id"] = ANN
    (found,) = channel().read(LightRequest(delivery([one])[0]))
    assert (found.conversation, found.person) == (ANN, ANN)
    (found,) = read(message("d", "15551230001", text={"body": "Hi"}))
    assert (found.conversation, found.person) == ("15551230001", "15551230001")


def test_every_entry_and_change_counts_and_what_cannot_be_read_holds_up_nothing():
    broken, system = message("e", ANN, text=7), message("s", ANN, system={"body": "changed", "type": "x"})
    body, _ = delivery(
        [change(TEXT, broken, IMAGE), change(statuses=(STATUS,))], [change(REACTION), change(CAPTION, system)]
    )
    found = channel().read(LightRequest(body))
    assert [type(one) for one in found] == [Message, Ignored, Ignored, Ignored, Feedback, Message, Ignored]
    assert [one.kind for one in found if isinstance(one, Ignored)] == ["text", "image", "status delivered", "system"]
    assert found[5].text == "It came broken"
    assert read(TEXT | {"timestamp": str(int(time.time()) - 11 * 86_400)})[0] == Ignored("stale")
    (spoken,) = read(IMAGE, wordless="/attachment")
    assert (spoken.text, spoken.key) == ("/attachment", "wamid.image")
    (other,) = read(message("o", ANN, reaction={"message_id": "wamid.sent1", "emoji": "😂"}))
    assert other.value is None  # whoever laughs now, no longer approves
    (down,) = read(message("o", ANN, reaction={"message_id": "wamid.sent1", "emoji": "👎"}))
    assert down.value == 0.0


@FUZZ
@given((JSON | mutated(SAMPLES)).map(lambda found: json.dumps(found).encode()) | st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(body):
    check_reads(PLAIN, body)
    check_reads(SPEAKING, body)


def test_half_a_character_is_replaced():
    (found,) = read(message("half", ANN, text={"body": "a\ud800"}))
    assert found.text == "a?"


# Out


def sent(content, address=None, conversation=ANN):
    """What goes out for a content, each checked by the stand-in."""
    service = Service()
    try:
        made = channel(api=service.address)

        async def send():
            for number, part in enumerate(made.contents(content, None), 1):
                await made.send(Outgoing(conversation, address or {}, part, number))
            await made.client.close()

        asyncio.run(send())
        service.check()
        return [call.body for call in service.calls]
    finally:
        service.close()


def pywas(send):
    """What pywa would send."""
    calls = []

    def answer(request):
        calls.append(json.loads(request.content))
        return httpx.Response(200, json={"messages": [{"id": "wamid.1"}], "contacts": [{"input": "1", "wa_id": "1"}]})

    send(WhatsApp(phone_id=NUMBER, token=TOKEN, session=httpx.Client(transport=httpx.MockTransport(answer))))
    return calls


def test_messages_are_sent_as_pywa_sends_them():
    assert sent(Content("Hello")) == pywas(lambda wa: wa.send_text(ANN, "Hello", preview_url=False))
    number = "15551230001"
    assert sent(Content("Hello"), {"to": number}) == pywas(lambda wa: wa.send_text(number, "Hello", preview_url=False))
    picture = "https://shop.example/a.jpg"
    assert sent(Content("Look", image=picture)) == pywas(lambda wa: wa.send_image(ANN, picture, caption="Look"))
    two = (Button("Yes", "/yes"), Button("No", "/no"))
    buttons = [PywaButton("Yes", "r1.0"), PywaButton("No", "r1.1")]
    assert sent(Content("Sure?", buttons=two)) == pywas(lambda wa: wa.send_text(ANN, "Sure?", buttons=buttons))
    assert sent(Content("Sure?", buttons=two, image=picture)) == pywas(
        lambda wa: wa.send_image(ANN, picture, caption="Sure?", buttons=buttons)
    )
    link = PywaLink("Shop", "https://shop.example")
    assert sent(Content("Come in", buttons=(Button("Shop", url="https://shop.example"),))) == pywas(
        lambda wa: wa.send_text(ANN, "Come in", buttons=link)
    )
    long = "Where a title is longer than a row of a list takes"
    (ours,) = sent(Content("Which?", buttons=(*two, Button("Later", "/later"), Button(long, "/long"))))
    rows = [PywaRow("Yes", "r1.0"), PywaRow("No", "r1.1"), PywaRow("Later", "r1.2")]
    rows.append(PywaRow("Where a title is longer…", "r1.3", long))
    (theirs,) = pywas(
        lambda wa: wa.send_text(ANN, "Which?", buttons=SectionList("Choose", sections=[PywaSection("s", rows)]))
    )
    del theirs["interactive"]["action"]["sections"][0]["title"]  # one section needs none
    assert ours == json.loads(json.dumps(theirs))


def test_whatever_the_bot_says_fits():
    many = tuple(Button(f"Choice {n}", f"/c{n}") for n in range(14))
    (body,) = sent(Content("Which?", buttons=many))
    assert body["text"]["body"].endswith("14. Choice 13")
    long = "Word " * 2000
    assert len(sent(Content(long))) == 3
    found = sent(Content(long, buttons=many[:5], image="https://shop.example/a.jpg"))
    assert [body["type"] for body in found] == ["image", *["text"] * (len(found) - 2), "interactive"]
    cards = tuple(Card(f"Shoe {n}", "blue", f"https://shop.example/{n}.jpg", buttons=many[:1]) for n in range(3))
    found = sent(Content("Look at these", cards=cards))
    assert [body["type"] for body in found] == ["text", "interactive", "interactive", "interactive"]
    assert found[1]["interactive"]["body"]["text"] == "Shoe 0\nblue"
    assert found[1]["interactive"]["header"]["image"]["link"] == "https://shop.example/0.jpg"
    (body,) = sent(Content(buttons=many[:2]))
    assert body["interactive"]["body"]["text"] == "Choose"
    links = (Button("Shop", url="https://shop.example"), Button("Help", url="https://help.example"))
    (body,) = sent(Content("Go", buttons=links))
    assert body["text"] == {
        "body": "Go\n\nShop: https://shop.example\n\nHelp: https://help.example",
        "preview_url": True,
    }
    template = {"type": "template", "template": {"name": "hello_world", "language": {"code": "en_US"}}}
    (body,) = sent(Content(custom=template))
    assert body["template"] == template["template"]


_TITLES = st.text("abc ÄÖ😀", min_size=1, max_size=100).filter(str.strip)
_BUTTONS = st.lists(
    st.builds(Button, _TITLES, st.just("/x")) | st.builds(Button, _TITLES, url=st.just("https://x.example"))
)
_CARDS = st.builds(
    Card, _TITLES, st.text(max_size=9), st.none() | st.just("https://x.example/1.png"), buttons=_BUTTONS.map(tuple)
)


@FUZZ
@given(
    st.text("ab \n", max_size=3000), _BUTTONS, st.lists(_CARDS, max_size=2), st.none() | st.just("https://x.example/p")
)
def test_every_content_is_sent_in_a_documented_form_with_all_its_choices(text, buttons, cards, image):
    from tests.connectors.services.whatsapp import _CHECKS

    made = PLAIN
    content = Content(text, tuple(buttons), tuple(cards), image, turn="t", decisions=("d",))
    parts = made.contents(content, None)
    assert [b.payload for part in parts for b in part.choices()] == [b.payload for b in content.choices()]
    for part in parts:
        assert (part.turn, part.decisions) == ("t", ("d",))
        body = made._message(Outgoing(ANN, {}, part, 3))
        _CHECKS[body["type"]](body[body["type"]])


@pytest.mark.parametrize(
    ("status", "error", "raised", "limited"),
    [
        (400, {"code": 130429}, Later, True),
        (400, {"code": 131056}, Later, False),
        (400, {"code": 100}, Undeliverable, None),
        (400, {"code": 999, "is_transient": True}, Later, False),
        (401, {"code": 190}, Undeliverable, None),
        (429, {"code": 4}, Later, True),
        (503, {"code": 131016}, Later, False),
    ],
)
def test_errors_pass_or_last_by_their_code(status, error, raised, limited):
    service = Service()
    made = channel(api=service.address)
    service.script.append(Answer(status, {"error": {"message": "it failed", **error}}, {"Retry-After": "7"}))

    async def send():
        try:
            await made.send(Outgoing(ANN, {}, Content("Hello"), 1))
        finally:
            await made.client.close()

    with pytest.raises(raised) as caught:
        asyncio.run(send())
    service.close()
    assert TOKEN not in str(caught.value)
    if raised is Later:
        assert caught.value.limited is limited
        assert caught.value.seconds == (7.0 if status in (429, 503) else None)


def test_the_customer_sees_that_it_was_read_and_that_an_answer_is_on_its_way():
    service = Service()
    made = channel(api=service.address)

    async def show():
        await made.typing(ANN, {"message": "wamid.text", "number": NUMBER})
        await made.typing(ANN, {})
        await made.client.close()

    asyncio.run(show())
    service.check()
    service.close()
    (call,) = service.calls
    assert (call.body["status"], call.body["message_id"]) == ("read", "wamid.text")


# From end to end


def test_feedback_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    who = "US.13490000000000000010"
    asked = message("f1", who, text={"body": QUESTION})
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: deliver(assistant, asked), range(10)))
    said(service, who)
    candidate = chosen(learning, "whatsapp")
    before = expected(learning, QUESTION, candidate)
    (sent_id,) = ids(service, who)

    def react(number, emoji):
        deliver(assistant, message(f"f-{number}", who, reaction={"message_id": sent_id, "emoji": emoji}))

    react(1, "👍")
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == "whatsapp:wamid.f-1")
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "whatsapp"
    assert expected(learning, QUESTION, candidate) > before
    react(2, "👎🏿")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "whatsapp:wamid.f-1")
    assert expected(learning, QUESTION, candidate) < before
    react(3, "")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "whatsapp:wamid.f-2")
    assert expected(learning, QUESTION, candidate) == pytest.approx(before, abs=1e-9)
    learning.close()
    assert len(ids(service, who)) == 1
    assert assistant.health("whatsapp")["counts"]["repeated"] >= 9


def test_a_button_says_what_it_stands_for_and_counts_as_a_click(assistant, service):
    people = [f"1555000{n:04}" for n in range(8)]  # two of the three wordings have a button
    deliver(assistant, *(message(f"b{who}", who, text={"body": LOCKED}) for who in people))
    calls = [said(service, who)[0] for who in people]
    body = next(call.body for call in calls if call.body["type"] == "interactive")
    who, pressed = body["to"], body["interactive"]["action"]["buttons"][0]["reply"]
    reply = {"interactive": {"type": "button_reply", "button_reply": pressed}}
    deliver(assistant, message("b-other", "15559990000", **reply), message("b-own", who, **reply))
    assistant.wait_for("outcome", lambda e: e.id == "whatsapp:wamid.b-own:click" and e.body["signal"] == "click")
    assert len(said(service, who, count=2)) == 2
    assert not ids(service, "15559990000")


def test_no_secret_is_logged(assistant):
    log = assistant.server.log.read_text()
    assert not [word for word in (APP_SECRET, TOKEN, VERIFY) if word in log]
    assert "secret" not in repr(channel().settings)


def test_credentials_stand_as_documented():
    class Somewhere:
        address = "https://graph.facebook.com"

    assert WhatsappInput.from_credentials(credentials(Somewhere())).settings.phone_number_id == NUMBER
    assert isinstance(read(TEXT)[0], Message)
    assert isinstance(read(PRESSED)[0], Press)
