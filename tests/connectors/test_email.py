"""E-mail against small servers of SMTP and IMAP; what we send is read by the standard library's newer parser."""

from __future__ import annotations

import asyncio
import imaplib
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("rasa")

from hypothesis import given, settings
from hypothesis import strategies as st
from rasa.shared.exceptions import RasaException

from agent.mailbox import Mailbox
from connectors.core.content import Button, Card, Content, Outgoing
from connectors.core.incoming import Ignored, Message
from connectors.core.sending import Later, Undeliverable
from connectors.email import EmailInput
from connectors.mailing.imap import Inbox
from connectors.mailing.mail import address_of, html_words, new_words, read_mail
from tests.connectors.fuzz import LightRequest, receive
from tests.connectors.learned import chosen, expected
from tests.connectors.services.email import (
    ADDRESS,
    PASSWORD,
    SECRET,
    Sent,
    Service,
    _check_mail,
    certificate,
    credentials,
    delivery,
    mail,
)

pytestmark = [pytest.mark.rasa, pytest.mark.slow]
LOCKED = "My account is locked"
QUESTION = "How long does delivery take?"
THANKS = "Thank you"


@pytest.fixture
def service(assistant):
    yield assistant.services["email"]
    assistant.services["email"].check()


def deliver(assistant, text, **more):
    return assistant.post("email", *delivery(mail(text, **more)))


def said(service, person, *, count=1):
    return service.wait_for(lambda sent: sent.recipients == [person], count=count)


def answer_to(sent):
    """The headers by which a program answers."""
    id = str(sent.message["Message-ID"])
    return {"In_Reply_To": id, "References": f"{sent.message['References']} {id}", "Subject": "SV: whatever"}


def test_the_relay_is_believed_when_it_signs_right(assistant):
    body, headers = delivery(mail("hello", Auto_Submitted="auto-replied"))
    assert assistant.post("email", body, headers).status_code == 200
    assert assistant.post("email", body + b" ", headers).status_code == 403
    assert assistant.post("email", *delivery(body, secret="another")).status_code == 403
    assert assistant.post("email", *delivery(body, at=time.time() - 400)).status_code == 403
    assert assistant.post("email", *delivery(body, at=time.time() + 400)).status_code == 403
    assert assistant.post("email", body, {}).status_code == 401
    assert assistant.post("email", body, {**headers, "X-Signature": headers["X-Signature"][7:]}).status_code == 403
    assert assistant.health("email")["counts"]["ignored: mail: automatic"] >= 1
    large = mail("hello", Auto_Submitted="auto-generated") + b"\r\n" + b"x" * 2_000_000
    assert assistant.post("email", *delivery(large)).status_code == 200


def test_one_mail_delivered_ten_times_is_answered_once_and_the_thread_goes_on(assistant, service):
    once = delivery(mail(QUESTION, person="ten@example.org", Subject="Zahlung für Grüße"))
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: assistant.post("email", *once), range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    (first,) = said(service, "ten@example.org")
    assert first.message["Subject"] == "Re: Zahlung für Grüße"
    quoted = "\n".join(f"> {line}" for line in first.text().splitlines())
    reply = f"{THANKS}\n\nOn 1 May 2024, Shop <{ADDRESS}> wrote:\n{quoted}\n"
    deliver(assistant, reply, person="ten@example.org", **answer_to(first))
    second = said(service, "ten@example.org", count=2)[1]
    named = second.message["References"].split()
    assert named[:2] == [*first.message["References"].split(), str(first.message["Message-ID"])]
    deliver(assistant, THANKS, person="other@example.org", **answer_to(first))  # a mail that was passed on
    (other,) = said(service, "other@example.org")
    learning = assistant.learning()
    mailbox = Mailbox(learning.log)
    ids = [int(str(sent.message["Message-ID"]).strip("<").split(".")[0]) for sent in (first, second, other)]
    parcels = [mailbox.parcel("email", id) for id in ids]
    learning.close()
    one, same, different = (parcel.conversation for parcel in parcels)
    assert one == same != different
    assert assistant.health("email")["counts"]["repeated"] >= 9


def test_feedback_finds_its_decision_changes_and_goes_without_a_trace(assistant, service):
    learning = assistant.learning()
    deliver(assistant, QUESTION, person="f@example.org")
    (sent,) = said(service, "f@example.org")
    reply = chosen(learning, "email")
    before = expected(learning, QUESTION, reply)
    link = sent.link("up")
    for _ in range(3):  # a scanner
        page = assistant.client.get(link)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    page = press(assistant, page)
    (outcome,) = assistant.wait_for("outcome", lambda e: e.id.startswith("email:rate:") and ":up:" in e.id)
    (decision, *_) = learning.log.decisions(column="turn", value=outcome.turn)
    assert decision.body["channel"] == "email"
    assert expected(learning, QUESTION, reply) > before
    page = press(assistant, page, "down")
    assistant.wait_for("revoked", lambda e: e.body["event_id"] == outcome.id)
    assert expected(learning, QUESTION, reply) < before
    page = press(assistant, page, "none")
    assistant.wait_for("revoked", lambda e: ":down:" in e.body["event_id"] and "email" in e.body["event_id"])
    assert expected(learning, QUESTION, reply) == pytest.approx(before, abs=1e-9)
    learning.close()
    for wrong in (link.replace("up", "down"), re.sub(r"parcel=\d+", "parcel=1", link), link[:-3] + "000"):
        assert assistant.client.get(wrong).status_code == 403, wrong
    assert assistant.client.get("/webhooks/email/rate").status_code == 401
    assert assistant.client.post("/webhooks/email/rate", content=b"&".join([b"a=1"] * 50)).status_code == 401


def press(assistant, page, value=None):
    """Press a button of the page, as a browser does."""
    for form in re.findall(r"<form .*?</form>", page.text):
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
        if value in (None, fields["value"]):
            done = assistant.client.post("/webhooks/email/rate", data=fields)
            assert done.status_code == 200
            return done
    raise AssertionError(page.text)


def test_a_number_in_answer_to_choices_presses_one(assistant, service):
    for number in range(8):  # two of the three wordings have a button
        deliver(assistant, LOCKED, person=f"b{number}@example.org")
    mails = [said(service, f"b{number}@example.org")[0] for number in range(8)]
    sent = next(one for one in mails if "\n1. " in one.text())
    person = sent.recipients[0]
    answer = mail("1.", person=person, **answer_to(sent))
    key = read_mail(answer).id
    assistant.post("email", *delivery(answer))
    assistant.wait_for("outcome", lambda e: e.id == f"email:{key}:click" and e.body["signal"] == "click")
    said(service, person, count=2)


def test_a_mailbox_is_read_and_marked_once_it_is_kept(assistant, service):
    service.stored[1] = mail(QUESTION, person="imap@example.org")
    service.stored[2] = mail("away", person="imap@example.org", Auto_Submitted="auto-replied")
    service.stored[3] = mail("", person="imap@example.org", html=f"<p>{THANKS}</p><blockquote>old</blockquote>")
    said(service, "imap@example.org", count=2)
    until = time.monotonic() + 30
    while service.seen != {1, 2, 3} and time.monotonic() < until:
        time.sleep(0.05)
    assert service.seen == {1, 2, 3}
    assert len(said(service, "imap@example.org", count=2)) == 2


def test_a_mail_server_that_is_busy_is_asked_again_and_secrets_stay_out_of_the_log(assistant, service):
    service.script += ["451 try again later"]
    deliver(assistant, THANKS, person="busy@example.org")
    said(service, "busy@example.org")
    assert service.script == []
    log = assistant.server.log.read_text(errors="replace")
    assert SECRET not in log
    assert PASSWORD not in log
    assert service.logins


# What is read


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("hello", "hello"),
        ("hello\n\n-- \nEve\nSales", "hello"),
        ("Yes.\n\nOn Mon, 1 May 2024 at 10:00, Shop <a@b.example> wrote:\n> old\n> older", "Yes."),
        ("Yes.\n\nOn Mon, 1 May 2024 at 10:00, Shop\n<a@b.example> wrote:\n\nold without a mark", "Yes."),
        ("Ja.\n\nAm 01.05.2024 um 10:00 schrieb Shop:\n> alt", "Ja."),
        ("Oui.\r\n\r\nLe 1 mai 2024 à 10:00, Shop a écrit :\r\n> vieux", "Oui."),
        ("Tak.\n\nW dniu 1.05.2024 o 10:00, Shop pisze:\n> stare", "Tak."),
        ("Yes\n\nFrom: Shop <a@b.example>\nSent: Monday\nTo: Eve\nSubject: x\n\nold", "Yes"),
        ("Yes\n________________________________\nFrom: Shop", "Yes"),
        ("Yes\n-----Original Message-----\nold", "Yes"),
        ("> 1. card?\n\nno\n\n> 2. bank?\n\nyes", "no\n\nyes"),
        ("I have one question:\n> is it open\nthanks", "I have one question:\nthanks"),
        ("> only quoted", "> only quoted"),
        ("Where is it?\n\nSent from my telephone", "Where is it?"),
        ("On Monday I wrote to you", "On Monday I wrote to you"),
        ("From: here to there\nit takes long", "From: here to there\nit takes long"),
        ("The price -- it went up\n- one\n- two", "The price -- it went up\n- one\n- two"),
    ],
)
def test_only_what_is_new_counts_and_in_doubt_everything(text, new):
    assert new_words(text) == new


def test_pages_are_read_as_words():
    page = (
        "<html><head><title>t</title><style>p{}</style></head><body><p>One &amp; two</p><p>three<br>four</p>"
        "<script>x()</script><div class='gmail_quote'>On x wrote:<div>old</div></div>five</body></html>"
    )
    assert html_words(page) == "One & two\n\nthree\nfour\n\nfive"
    assert read_mail(mail("", html="<blockquote>never closed <p>hello", Subject="x")).text == ""


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, None),
        ({"Auto_Submitted": "no"}, None),
        ({"Auto_Submitted": "No (a person)"}, None),
        ({"Auto_Submitted": "auto-replied; x=y"}, "automatic"),
        ({"Auto_Submitted": "auto-generated"}, "automatic"),
        ({"X_Auto_Response_Suppress": "OOF, AutoReply"}, "automatic"),
        ({"List_Id": "<news.example.org>"}, "a list's"),
        ({"List_Unsubscribe": "<mailto:a@b.example>"}, "a list's"),
        ({"Precedence": "bulk"}, "bulk"),
        ({"Return_Path": "<>"}, "a bounce"),
        ({"Return_Path": "<eve@example.org>"}, None),
        ({"From": "MAILER-DAEMON@example.org"}, "a bounce"),
    ],
)
def test_mails_that_no_person_wrote_are_not_answered(headers, why):
    assert read_mail(mail("hello", **headers)).automatic == why


def test_reports_and_attached_mails_are_not_what_somebody_says():
    report = mail("It bounced").replace(b"Content-Type: text/plain", b"Content-Type: multipart/report")
    assert read_mail(report).automatic == "a bounce"
    attached = (
        b"From: eve@example.org\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nnot said\r\n--x\r\nContent-Type: text/plain\r\n"
        b"Content-Disposition: attachment\r\n\r\na file\r\n--x\r\nContent-Type: text/plain; charset=unheard-of\r\n\r\n"
        b"said\r\n--x--\r\n"
    )
    found = read_mail(attached)
    assert found.text == "said"
    assert found.id == read_mail(attached).id  # without a Message-ID, the same mail is still the same


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("Eve <Eve@Example.org>", "eve@example.org"),
        ("eve@example.org (Eve)", "eve@example.org"),
        ('"<boss@shop.example>" <eve@example.org>', None),
        ("a@example.org, b@example.org", None),
        ("eve@example.org)bob@example.com", None),
        ("eve@localhost", None),
        ("", None),
    ],
)
def test_an_answer_goes_to_one_plain_address(header, address):
    assert address_of(header) == address


# What is sent


@pytest.fixture
def channel(tmp_path):
    return EmailInput.from_credentials({"address": ADDRESS, "smtp_host": "mail.example.com", "secret": SECRET})


def test_headers_cannot_be_smuggled_in_and_long_ids_stay_whole(channel):
    long = f"<{'x' * 120}@DB7PR04MB1234.example.org>"
    raw = mail("hello", References=long).replace(
        b"Subject: A question", b"Subject: =?utf-8?q?Re=3A_a=0D=0ABcc=3A_all=40example=2Eorg?="
    )
    message = channel._incoming(read_mail(raw))
    assert isinstance(message, Message)
    cards = (Card("Shoe", "red & blue", url="https://example.com/?a=1&b=2", buttons=(Button("Buy", "/buy"),)),)
    content = Content("One <b>\n\nTwo", buttons=(Button("Yes", "/y"), Button("Open", url="https://e.org")), cards=cards)
    written = channel._mail(Outgoing("c", message.address, content, 7))
    sent = Sent(ADDRESS, ["eve@example.org"], written.as_bytes(policy=written.policy.clone(linesep="\r\n")), True)
    _check_mail(sent)
    assert sent.message["Bcc"] is None
    assert sent.message["References"].split()[0] == long
    assert sent.text().count("value=") == 0  # without public_url there is no link
    assert "1. Yes\n2. Buy" in sent.text()
    assert "<p>One &lt;b&gt;</p>" in sent.text("html")
    assert isinstance(channel._incoming(read_mail(written.as_bytes())), Ignored)


def test_wrong_settings_are_named():
    right = {"address": ADDRESS, "smtp_host": "mail.example.com", "secret": SECRET}
    for wrong in ({"address": "x"}, {"smtp_security": "none"}, {"smtp_security": "ssl"}, {"link_days": 0}):
        with pytest.raises(RasaException):
            EmailInput.from_credentials({**right, **wrong})
    shown = repr(EmailInput.from_credentials({**right, "smtp_password": PASSWORD})._server)
    assert PASSWORD not in shown


def test_mail_travels_by_tls_to_a_server_that_proves_itself(tmp_path, monkeypatch):
    trusted, context = certificate(tmp_path)
    service = Service(certificate=context)
    options = {**credentials(service), "smtp_security": "starttls", "smtp_host": "localhost"}
    out = Outgoing("c", {"to": "eve@example.org", "subject": "x", "references": ["<a@b.c>"]}, Content("hi"), 1)

    def send():
        return asyncio.run(EmailInput.from_credentials(options).send(out))

    try:
        with pytest.raises(Later, match="SSLCertVerificationError"):
            send()
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert send() == str(service.mails[0].message["Message-ID"])
        assert service.mails[0].secure
        service.script += ["550 no such person"]
        with pytest.raises(Undeliverable, match="550"):
            send()
        service.check()
    finally:
        service.close()
    with pytest.raises(Later):
        send()
    with pytest.raises((OSError, imaplib.IMAP4.error)):
        Inbox("127.0.0.1", service.imap_port, "none", "u", "p").unseen()


def test_no_mail_brings_the_parser_down(channel):
    samples = [
        mail("hello\n> old\n-- \nEve", References="<a@b.c> <d@e.f>", html="<p>hi<blockquote>x"),
        mail("", html="<div class=gmail_quote>x</div>y", Reply_To="r@example.org", Subject="Grüße"),
        b"From: a@example.org\nContent-Type: multipart/mixed; boundary=x\n\n--x\n--x\n\n--x--",
    ]
    pieces = st.sampled_from(
        [b"=?utf-8?b?", b"?=", b"\r\n", b"\r\n\r\n", b"--x", b"<", b">", b"\xff\x00", b"Content-Type: multipart/mixed",
         b"; charset=", b"; boundary=x", b"Content-Transfer-Encoding: base64\r\n", b"=?x?q?=FF?=",
         b"message/rfc822", b"(", b'"']
    )  # fmt: skip

    @st.composite
    def spoilt(draw):
        raw = draw(st.sampled_from(samples))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(raw)))
            raw = raw[:at] + draw(pieces | st.binary(max_size=6)) + raw[at + draw(st.integers(0, 8)) :]
        return raw

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(st.binary(max_size=300) | spoilt())
    def run(raw):
        assert receive(channel, LightRequest(raw)) in (200, 400)

    run()


def test_long_mails_are_read_in_no_time():
    pieces = ["On ", "> ", "<a@b.c> ", "=?utf-8?q?a?= ", "<div class=gmail_quote>", "From: @\n", "a:\n", "(", "--\n"]
    pieces += ["<", "<a ", "<!--", "</", "<a b='", "&#", "<blockquote>", "<div>", "<style", "<!-- -->"]
    for piece in pieces:
        body = f"\nContent-Type: text/html\n\n{piece * 100_000}"
        raw = f"From: a@example.org\nSubject: {piece.strip() * 20_000}{body}".encode()[: 1024 * 1024]
        started = time.process_time()
        read_mail(raw)
        read_mail(raw.replace(b"text/html", b"text/plain"))
        assert time.process_time() - started < 2, piece
