"""Twilio: signed and sent as its own library does it, choices by number, and thumbs on what was said last."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("rasa")

from twilio.http.http_client import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client as TwilioClient

from agent.log import LearningLog
from agent.mailbox import Mailbox
from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Message, Press
from connectors.core.sending import Later, Undeliverable
from connectors.core.signature import Refused
from connectors.core.worker import Worker
from connectors.twilio import TwilioInput
from tests.connectors.fuzz import LightRequest, check_reads
from tests.connectors.learned import chosen, expected
from tests.connectors.services.twilio import (
    ACCOUNT,
    ANN,
    NUMBER,
    PLACE,
    TOKEN,
    Service,
    check_message,
    delivery,
    form,
    message,
)
from tests.connectors.stand_in import Answer

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "Which payment methods do you accept?"
FUZZ = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture
def service(assistant):
    yield assistant.services["twilio"]
    assistant.services["twilio"].check()


def channel(api="http://127.0.0.1:1", **more):
    return TwilioInput.from_credentials({"account_sid": ACCOUNT, "auth_token": TOKEN, "api": api, **more})


PLAIN = channel()


def read(fields, of=PLAIN):
    (found,) = of.read(LightRequest(urlencode(fields).encode()))
    return found


def webhook(assistant):
    return f"http://127.0.0.1:{assistant.server.port}/webhooks/twilio/webhook"


def deliver(assistant, fields):
    answer = assistant.post("twilio", *delivery(fields, webhook(assistant)))
    assert answer.status_code == 200, answer.text
    return answer


def said(service, who, *, count=1):
    return [form(call) for call in service.wait_for(lambda call: form(call)["To"] == who, count=count)]


# In


def test_a_delivery_is_taken_when_twilio_signed_it_with_or_without_the_port(assistant):
    status, url = {"MessageSid": "SMx", "MessageStatus": "sent", "Empty": "", "Ä": "ö 😀"}, webhook(assistant)
    answer = deliver(assistant, status)
    assert answer.text == '<?xml version="1.0" encoding="UTF-8"?><Response/>'
    assert answer.headers["content-type"].startswith("text/xml")
    portless = url.replace(f":{assistant.server.port}", "")
    assert assistant.post("twilio", *delivery(status, portless)).status_code == 200
    body, headers = delivery(status, url)
    assert assistant.post("twilio", body + b"&Body=hello", headers).status_code == 403
    assert assistant.post("twilio", *delivery(status, url, "another")).status_code == 403
    assert assistant.post("twilio", *delivery(status, f"{url}?x=1")).status_code == 403
    queried = delivery(status, f"{url}?x=1")
    assert assistant.post("twilio", *queried, path="webhook?x=1").status_code == 200
    assert assistant.post("twilio", body, {"Content-Type": headers["Content-Type"]}).status_code == 401
    for unreadable in ({}, {"MessageSid": "SM1"}, {"MessageSid": "", "From": ""}):
        assert assistant.post("twilio", *delivery(unreadable, url)).status_code == 400
    assert assistant.health("twilio")["counts"]["ignored: status sent"] >= 1


@dataclass
class Sent(LightRequest):
    path: str = "/webhooks/twilio/webhook"
    query_string: str = ""
    scheme: str = "http"
    headers: dict = field(default_factory=dict)


@pytest.mark.parametrize(
    ("signed", "headers", "options", "right"),
    [
        (
            "https://bot.example/webhooks/twilio/webhook",
            {"Host": "bot.example", "X-Forwarded-Proto": "https"},
            {},
            True,
        ),
        (
            "https://bot.example:443/webhooks/twilio/webhook",
            {"Host": "bot.example", "X-Forwarded-Proto": "https"},
            {},
            True,
        ),
        (
            "http://bot.example/webhooks/twilio/webhook",
            {"Host": "bot.example", "X-Forwarded-Proto": "https"},
            {},
            False,
        ),
        ("https://bot.example/t?a=b", {"Host": "10.0.0.1"}, {"url": "https://bot.example/t?a=b"}, True),
        ("https://bot.example:8443/t", {"Host": "10.0.0.1"}, {"url": "https://bot.example:8443/t"}, True),
        ("https://bot.example/t", {"Host": "10.0.0.1"}, {"url": "https://bot.example:8443/t"}, True),
        ("https://bot.example/t", {"Host": "[::"}, {}, False),
        ("https://bot.example/t", {"Host": "bot.example:x"}, {}, False),
    ],
)
def test_the_address_is_the_one_that_twilio_knows(signed, headers, options, right):
    body, signature = delivery(message("1", text="Hi"), signed)
    request = Sent(body, headers={**headers, **signature})
    if right:
        asyncio.run(channel(**options).verify(request))
        assert RequestValidator(TOKEN).validate(signed, message("1", text="Hi"), signature["X-Twilio-Signature"])
    else:
        with pytest.raises(Refused):
            asyncio.run(channel(**options).verify(request))


def test_fields_that_come_twice_are_signed_as_twilio_signs_them():
    class Fields(dict):
        def getlist(self, name):
            return self[name]

    fields = Fields({"MediaUrl": ["b", "a", "b"], "Body": ["x"]})
    signature = RequestValidator(TOKEN).compute_signature("https://bot.example/t", fields)
    body = urlencode({name: list(values) for name, values in fields.items()}, doseq=True).encode()
    asyncio.run(channel(url="https://bot.example/t").verify(Sent(body, headers={"X-Twilio-Signature": signature})))


def test_what_comes_is_a_message_a_choice_or_a_thumb():
    assert read(message("1", text=" Hello ")) == Message("SM1", ANN, "Hello", person=ANN, address={"from": NUMBER})
    whatsapp = f"whatsapp:{ANN}"
    press = read(message("2", whatsapp, "Yes", ButtonPayload="/yes", OriginalRepliedMessageSid="SM9"))
    place = {"from": f"whatsapp:{NUMBER}"}
    assert press == Press("SM2", whatsapp, "/yes", person=whatsapp, message="SM9", address=place)
    thumb = Feedback("SM3", ANN, "thumb", 1.0, quoted="", person=ANN)
    assert read(message("3", text="👍🏽")) == thumb
    assert read(message("3", text="👎")).value == 0.0
    about = read(message("3", whatsapp, "👍", OriginalRepliedMessageSid="SM9"))
    assert (about.message, about.quoted) == ("SM9", None)
    assert isinstance(read(message("3", text="👍"), channel(thumbs=False)), Message)
    assert isinstance(read(message("3", text="👍 thanks")), Message)
    assert isinstance(read(message("3", text="🙏")), Message)
    liked = read(message("4", text="Liked “We take cards”"))
    assert (liked.value, liked.quoted) == (1.0, "We take cards")
    assert read(message("4", text='Disliked "We take cards"')).value == 0.0
    assert read(message("4", text="Laughed at “We take cards”")).value is None
    undone = read(message("4", text="Removed a like from “We take cards”"))
    assert (undone.value, undone.quoted, undone.facet) == (None, "We take cards", None)
    assert isinstance(read(message("4", text="Liked your shoes")), Message)
    assert read(message("5", text="STOP", OptOutType="STOP")) == Ignored("opting out or in")
    assert read(message("6", NumMedia="1", MediaUrl0="https://a.example")) == Ignored("message without words")
    assert read(message("6", NumMedia="1"), channel(wordless="/attachment")).text == "/attachment"


_NAMES = st.sampled_from([*message("1"), "MessageStatus", "ButtonPayload", "OptOutType", "ListId"]) | st.text(
    max_size=9
)


@FUZZ
@given(
    st.dictionaries(_NAMES, st.text(max_size=40)).map(lambda found: urlencode(found).encode()) | st.binary(max_size=80)
)
def test_whatever_comes_is_read_or_refused(body):
    check_reads(PLAIN, body)
    check_reads(PLAIN, urlencode(message("1")).encode() + b"&" + body)
    with pytest.raises(Refused):
        asyncio.run(PLAIN.verify(Sent(body, headers={"X-Twilio-Signature": "AAAA", "Host": "x"})))


# Out


def sent(content, *, to=ANN, address=None, **options):
    """What goes out for a content, each checked by the stand-in."""
    service = Service()
    try:
        made = channel(api=service.address, **options)

        async def send():
            try:
                for number, part in enumerate(made.contents(content, None), 1):
                    await made.send(Outgoing(to, {"from": NUMBER} if address is None else address, part, number))
            finally:
                await made.client.close()

        asyncio.run(send())
        service.check()
        return [form(call) for call in service.calls]
    finally:
        service.close()


class Captured(HttpClient):
    """Keeps what Twilio's own client would send."""

    def __init__(self):
        self.calls = []

    def request(
        self, method, url, params=None, data=None, headers=None, auth=None, timeout=None, allow_redirects=False
    ):
        self.calls.append((method, url, data, auth))
        return Response(201, '{"sid": "SM1"}')


def test_messages_are_sent_as_twilios_own_client_sends_them():
    theirs = Captured()
    client = TwilioClient(ACCOUNT, TOKEN, http_client=theirs)
    client.messages.create(to=ANN, from_=NUMBER, body="Hello")
    client.messages.create(to=ANN, messaging_service_sid="MG1", body="Hello")
    client.messages.create(to=ANN, from_=NUMBER, content_sid="HX1", content_variables='{"1": "x"}')
    assert all(url == f"https://api.twilio.com{PLACE}" for _, url, _, _ in theirs.calls)
    assert all(auth == (ACCOUNT, TOKEN) for _, _, _, auth in theirs.calls)
    ours = [
        *sent(Content("Hello")),
        *sent(Content("Hello"), number="MG1"),
        *sent(Content(custom={"ContentSid": "HX1", "ContentVariables": {"1": "x"}})),
    ]
    kept = [{name: value for name, value in data.items() if isinstance(value, str)} for _, _, data, _ in theirs.calls]
    assert ours == kept


def test_whatever_the_bot_says_fits():
    two = (Button("Yes", "/yes"), Button("Shop", url="https://shop.example"), Button("No", "/no"))
    (fields,) = sent(Content("Sure?", buttons=two))
    assert fields["Body"] == "Sure?\n\nShop: https://shop.example\n\n1. Yes\n2. No"
    long = sent(Content("Word " * 700, buttons=two))
    assert len(long) == 3
    assert long[-1]["Body"].endswith("2. No")
    picture = Content("Look", image="https://a.example/1.jpg", buttons=two[:1])
    (fields,) = sent(picture)
    assert fields["Body"] == "Look\n\nhttps://a.example/1.jpg\n\n1. Yes"
    for fields in (*sent(picture, mms=True), *sent(picture, to=f"whatsapp:{ANN}")):
        assert (fields["Body"], fields["MediaUrl"]) == ("Look\n\n1. Yes", "https://a.example/1.jpg")
    assert sent(Content("Hello"), address={}, number="+15550009999")[0]["From"] == "+15550009999"
    with pytest.raises(Undeliverable, match="number"):
        sent(Content("Hello"), address={})


_TITLES = st.text("abc ÄÖ😀", min_size=1, max_size=300).filter(str.strip)
_LINKED = st.builds(Button, _TITLES, url=st.just("https://x.example"))
_BUTTONS = st.lists(st.builds(Button, _TITLES, st.just("/x")) | _LINKED, max_size=12)
_PICTURES = st.none() | st.just("https://x.example/1.png")
_CARDS = st.builds(Card, _TITLES, st.text(max_size=99), _PICTURES, buttons=_BUTTONS.map(tuple))


@FUZZ
@given(st.text("ab \n", max_size=4000), _BUTTONS, st.lists(_CARDS, max_size=2), _PICTURES)
def test_every_content_is_sent_in_a_documented_form_with_all_its_choices(text, buttons, cards, image):
    content = Content(text, tuple(buttons), tuple(cards), image, turn="t", decisions=("d",))
    parts = PLAIN.contents(content, None)
    assert [b.title for part in parts for b in part.choices()] == [b.title for b in content.choices()]
    for part in parts:
        assert (part.turn, part.decisions) == ("t", ("d",))
        for to in (ANN, f"whatsapp:{ANN}"):
            out = Outgoing(to, {"from": NUMBER}, part, 3)
            check_message({**PLAIN._from(out), **PLAIN._what(out)})


@pytest.mark.parametrize(("status", "code", "raised"), [(429, 20429, Later), (400, 21610, Undeliverable)])
def test_too_many_messages_wait_and_unwanted_ones_are_given_up(status, code, raised):
    service = Service()
    service.script.append(Answer(status, {"code": code, "message": "no", "status": status}, {"Retry-After": "3"}))
    made = channel(api=service.address)

    async def send():
        try:
            await made.send(Outgoing(ANN, {"from": NUMBER}, Content("Hello"), 1))
        finally:
            await made.client.close()

    with pytest.raises(raised) as caught:
        asyncio.run(send())
    service.close()
    assert TOKEN not in str(caught.value)
    assert raised is Undeliverable or (caught.value.seconds, caught.value.limited) == (3.0, True)


# From end to end


def test_a_thumb_finds_what_was_said_last_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    who = "+15551230010"
    asked = message("f1", who, QUESTION)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: deliver(assistant, asked), range(10)))
    (answer,) = said(service, who)
    candidate = chosen(learning, "twilio")
    before = expected(learning, QUESTION, candidate)

    deliver(assistant, message("f2", who, "👍"))
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id == "twilio:SMf2")
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "twilio"
    assert expected(learning, QUESTION, candidate) > before
    deliver(assistant, message("f3", who, f"Disliked “{answer['Body']}”"))
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "twilio:SMf2")
    assert expected(learning, QUESTION, candidate) < before
    deliver(assistant, message("f4", who, f"Removed a dislike from “{answer['Body']}”"))
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == "twilio:SMf3")
    assert expected(learning, QUESTION, candidate) == pytest.approx(before, abs=1e-9)
    learning.close()
    assert len(said(service, who)) == 1
    assert assistant.health("twilio")["counts"]["repeated"] >= 9


def test_a_number_alone_is_the_choice_that_was_listed_under_it(assistant, service):
    people = [f"+1555124{n:04}" for n in range(8)]  # two of the three wordings have a button
    for who in people:
        deliver(assistant, message(f"b{who[1:]}", who, LOCKED))
    answers = {who: said(service, who)[0]["Body"] for who in people}
    who = next(who for who, body in answers.items() if "\n1. " in body)
    deliver(assistant, message("b-own", who, "1."))
    (click,) = assistant.wait_for("outcome", lambda e: e.id == "twilio:SMb-own:click" and e.body["signal"] == "click")
    assert click.turn
    said(service, who, count=2)


_NO_CHOICE = ("0", "3", "1000", "²", "٢", "one", "-1", "")


@pytest.fixture
def worker(tmp_path):
    """A worker with a mailbox of its own, and a way to say that something was sent."""
    log = LearningLog(tmp_path / "learning.db")
    made = channel()
    made._mailbox = Mailbox(log)

    def sent(content):
        made.mailbox.post("twilio", ANN, [content.body()])
        parcel = made.mailbox.next_parcel("twilio", ANN)
        made.mailbox.sent(parcel, f"SM{parcel.id}")
        return parcel

    yield Worker(made), sent
    log.close()


def test_a_number_is_a_choice_only_where_the_latest_turn_listed_so_many(worker):
    worker, sent = worker

    def heard(text):
        return worker._numbered(Message("SM1", ANN, text, person=ANN, address={"from": NUMBER}))

    two = (Button("Yes", "/yes"), Button("No", "/no"))
    assert heard("1").text == "1"
    parcel = sent(Content("Sure?", buttons=two, turn="t1"))
    sent(Content("Take your time.", turn="t1"))
    reference = channel().reference
    assert heard(" 2. ") == Press("SM1", ANN, reference(parcel.id, 1), person=ANN, address={"from": NUMBER})
    assert [heard(text).text for text in _NO_CHOICE] == list(_NO_CHOICE)
    sent(Content("How many shoes are it?", turn="t2"))
    assert heard("1").text == "1"
    titles = sent(Content("Which size?", buttons=(Button("2", "/two"), Button("1", "/one")), turn="t3"))
    assert heard("1").choice == reference(titles.id, 1)
    reminder = sent(Content("Still there?", buttons=two))  # no turn led to it
    assert heard("1").choice == reference(reminder.id, 0)
    sent(Content("I will wait."))
    assert heard("1").text == "1"
    template = Content(custom={"ContentSid": "HX1"}, buttons=two, turn="t4")
    sent(template)
    assert heard("1").text == "1"


def test_words_find_the_latest_message_that_has_them(worker):
    worker, sent = worker
    first = sent(Content("We take cards.", turn="t1"))
    second = sent(Content("We take cards, and cash.", turn="t2"))
    listed = sent(Content("Sure?", buttons=(Button("Yes", "/yes"),), turn="t3"))
    sent(Content(handover=True))
    assert worker._quoted(ANN, "We take cards.") == worker._channel.mailbox.parcel("twilio", first.id)
    assert worker._quoted(ANN, "We take cards").id == second.id
    assert worker._quoted(ANN, "Sure?\n\n1. Yes").id == listed.id
    assert worker._quoted(ANN, "Sent from a trial account - We take cards.").id == first.id
    assert worker._quoted(ANN, "").id == listed.id
    assert worker._quoted(ANN, "Something else") is None
    assert worker._quoted("+1", "") is None


def test_no_secret_is_logged(assistant):
    assert TOKEN not in assistant.server.log.read_text()
    assert TOKEN not in repr(PLAIN.settings)
