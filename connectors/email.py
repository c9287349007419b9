"""E-mail: in from a mailbox (IMAP) or a relay that posts and signs, out by SMTP, thumbs by signed links.

A conversation is a thread of one correspondent's. Our mails are known by their Message-IDs, which nobody can guess.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import imaplib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.header import Header
from email.message import Message as EmailMessage
from email.utils import formataddr, formatdate
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse

from agent.errors import InvalidInput, LogUnavailable
from agent.mailbox import Parcel
from connectors.base import Channel
from connectors.core import options
from connectors.core.content import Content, Outgoing
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.core.sending import Undeliverable
from connectors.core.signature import check_fresh, check_hmac
from connectors.mailing.imap import MOST_BYTES, Inbox
from connectors.mailing.letter import Letter
from connectors.mailing.mail import Mail, address_of, read_mail
from connectors.mailing.rating import Rating, Ratings
from connectors.mailing.smtp import Server

LARGEST = 30 * 1024 * 1024
SECURITY = ("tls", "starttls", "none")
_LOCAL = ("127.0.0.1", "localhost", "::1")
_NUMBER = re.compile(r"\(?([1-9]\d?)[.)]?")
_SUBJECT = re.compile(r"^(?:(?:re|aw|sv|antw) ?: *)+", re.IGNORECASE)
_MARK = 20  # characters of our Message-IDs that cannot be guessed
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `address` that customers write to, `smtp_host` to send by, and either `imap_host` or a relay.

    `secret` signs what a relay posts, and our links; `public_url` is where the assistant is reached from outside.
    """

    address: str
    smtp_host: str
    secret: str = options.secret()
    name: str = ""
    smtp_port: int = 587
    smtp_security: str = "starttls"
    smtp_user: str = ""
    smtp_password: str = options.secret(default="")
    imap_host: str = ""
    imap_port: int = 993
    imap_security: str = "tls"
    imap_user: str = ""
    imap_password: str = options.secret(default="")
    imap_folder: str = "INBOX"
    imap_seconds: float = 30.0
    public_url: str = ""
    feedback: bool = True
    question: str = "Did this help?"
    good: str = "Yes"
    bad: str = "No"
    link_days: float = 30.0

    def __post_init__(self) -> None:
        if address_of(self.address) is None:
            raise ValueError("address must be an e-mail address")
        for host, security in ((self.smtp_host, self.smtp_security), (self.imap_host, self.imap_security)):
            if security not in SECURITY:
                raise ValueError(f"smtp_security and imap_security are one of {', '.join(SECURITY)}")
            if host and security == "none" and host not in _LOCAL:
                raise ValueError("security none is for a server on the same machine alone")
        if not self.name.isprintable():
            raise ValueError("name must be one line")
        if self.imap_seconds <= 0 or self.link_days <= 0:
            raise ValueError("imap_seconds and link_days must be more than 0")


class EmailInput(Channel):
    """The channel `email`."""

    label = "email"
    max_bytes = LARGEST
    Settings = Options
    settings: Options

    def __init__(self, settings: Options) -> None:
        super().__init__(settings)
        chosen = settings
        self.ratings = Ratings(
            chosen.secret, f"{chosen.public_url.rstrip('/')}/webhooks/{self.label}/rate", days=chosen.link_days
        )
        self._server = Server(
            chosen.smtp_host, chosen.smtp_port, chosen.smtp_security, chosen.smtp_user, chosen.smtp_password
        )
        self._inbox = Inbox(
            chosen.imap_host,
            chosen.imap_port,
            chosen.imap_security,
            chosen.imap_user or chosen.address,
            chosen.imap_password,
            chosen.imap_folder,
        )
        self._polling: asyncio.Task[None] | None = None

    async def verify(self, request: Request) -> None:
        """`X-Signature: sha256=` and the HMAC of `{timestamp}.{mail}`, with `X-Timestamp` in unix seconds."""
        timestamp = request.headers.get("X-Timestamp")
        signed = f"{timestamp}.".encode() + request.body
        check_hmac(self.settings.secret, signed, request.headers.get("X-Signature"), prefix="sha256=")
        check_fresh(timestamp)

    def read(self, request: Request) -> Sequence[Incoming]:
        """One mail, as it came."""
        return [self._incoming(read_mail(request.body[:MOST_BYTES]))]

    async def accept(self, found: Sequence[Incoming], **shown: Any) -> int:
        """As every channel; first, which conversation a mail belongs to is found by the mails that it names."""
        threaded: list[Incoming] = [
            await self.in_thread(self._threaded, one) if isinstance(one, Message) else one for one in found
        ]
        return await super().accept(threaded, **shown)

    async def send(self, out: Outgoing) -> str | None:
        """One mail."""
        message = self._mail(out)
        await asyncio.to_thread(self._server.send, message)
        return str(message["Message-ID"])

    def routes(self, routes: Blueprint) -> None:
        """The page behind the links, and the mailbox."""
        routes.add_route(self.guarded(self._rate), "/rate", methods=["GET", "POST"], name="rate")
        if self.settings.imap_host:
            routes.listener("after_server_start")(self._begin)
            routes.listener("before_server_stop")(self._end)

    # In

    def _incoming(self, mail: Mail) -> Incoming:
        if mail.automatic is not None:
            return Ignored(f"mail: {mail.automatic}")
        if mail.sender is None or mail.reply_to is None:
            return Ignored("mail: no address to answer")
        if self.settings.address.lower() in (mail.sender, mail.reply_to) or self._parcel_of(mail.id) is not None:
            return Ignored("mail: our own")
        if not (text := mail.text or mail.subject):
            return Ignored("mail: without words")
        address = {
            "to": mail.reply_to,
            "person": mail.sender,
            "subject": mail.subject,
            "references": [*mail.references, mail.id],
        }
        return Message(mail.id, mail.id, text, person=mail.sender, address=address)

    def _threaded(self, message: Message) -> Message | Press:
        """The message in its conversation: one of the same person's, for a mail may be passed on to others."""
        for reference in reversed(message.address["references"][:-1]):
            id = self._parcel_of(reference)
            parcel = None if id is None else self.mailbox.parcel(self.label, id)
            conversation = reference if parcel is None else parcel.conversation
            known = self.mailbox.correspondent(self.label, conversation).address
            if known.get("person") == message.person:
                return self._pressed(replace(message, conversation=conversation), parcel)
        return message

    def _pressed(self, message: Message, parcel: Parcel | None) -> Message | Press:
        """A bare number in answer to a mail of ours that offered choices is one of them."""
        number = _NUMBER.fullmatch(message.text)
        choices = Content.from_body(parcel.body).choices() if parcel is not None and number else []
        if parcel is None or number is None or int(number[1]) > len(choices):
            return message
        choice = self.reference(parcel.id, int(number[1]) - 1)
        return Press(message.key, message.conversation, choice, person=message.person, address=message.address)

    async def _begin(self, _app: Any, _loop: Any) -> None:
        self._polling = asyncio.get_running_loop().create_task(self._poll())

    async def _end(self, _app: Any, _loop: Any) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            try:
                await self._take()
            except (OSError, EOFError, ValueError, imaplib.IMAP4.error) as error:
                self.counts["mailbox out of reach"] += 1
                _log.error("%s: the mailbox cannot be read (%s)", self.label, type(error).__name__)
            except LogUnavailable as error:
                _log.error("%s: %s; the mails stay unseen", self.label, error)
            except Exception:  # noqa: BLE001 (nobody else would begin again)
                _log.exception("%s: taking in mail failed", self.label)
            await asyncio.sleep(self.settings.imap_seconds)

    async def _take(self) -> None:
        """Take in what is new; it is marked as seen only after it is kept here."""
        taken = []
        for uid, raw in await asyncio.to_thread(self._inbox.unseen):
            try:
                found = [self._incoming(read_mail(raw))]
            except InvalidInput as error:
                _log.warning("%s: a mail cannot be read (%s)", self.label, error)
                found = [Ignored("mail: unreadable")]
            await self.accept(found)
            taken.append(uid)
        if taken:
            await asyncio.to_thread(self._inbox.mark, taken)

    # Out

    def _mail(self, out: Outgoing) -> EmailMessage:
        known, settings = out.address, self.settings
        if "to" not in known:
            raise Undeliverable("no mail of theirs says where to write to")
        rate = [
            (settings.good, self.ratings.link(out.parcel, "up")),
            (settings.bad, self.ratings.link(out.parcel, "down")),
        ]
        subject = f"Re: {_SUBJECT.sub('', known['subject'], count=1)}".strip()
        asked = settings.feedback and settings.public_url
        letter = Letter(out.content, settings.question if asked else "", rate if asked else ())
        headers = {
            "From": formataddr((settings.name, settings.address)),
            "To": known["to"],
            "Subject": Header(subject, "us-ascii" if subject.isascii() else "utf-8", header_name="Subject").encode(),
            "Date": formatdate(localtime=True),
            "Message-ID": self._message_id(out.parcel),
            "In-Reply-To": known["references"][-1],
            "References": " ".join(known["references"]),
            "Auto-Submitted": "auto-replied",
            "X-Auto-Response-Suppress": "All",
        }
        return letter.message(headers)

    def _message_id(self, parcel: int) -> str:
        return f"<{parcel}.{self._mark(parcel)}@{self.settings.address.partition('@')[2]}>"

    def _mark(self, parcel: int) -> str:
        return hmac.new(self.settings.secret.encode(), f"mail:{parcel}".encode(), hashlib.sha256).hexdigest()[:_MARK]

    def _parcel_of(self, message: str) -> int | None:
        """The parcel that a Message-ID of ours is of; None for somebody else's."""
        parcel, _, mark = message.strip("<>").partition("@")[0].partition(".")
        if not (parcel.isascii() and parcel.isdecimal() and len(parcel) < 19 and mark.isascii()):
            return None
        return int(parcel) if hmac.compare_digest(mark, self._mark(int(parcel))) else None

    # Thumbs

    async def _rate(self, request: Request) -> HTTPResponse:
        """The page behind a link. Only pressing its button counts: mail scanners follow links on their own."""
        rating = self.ratings.read(request)
        parcel = await self.in_thread(self.mailbox.parcel, self.label, rating.parcel)
        if parcel is None:
            raise InvalidInput("there is no such mail")
        if request.method == "POST":
            await self.accept([await self.in_thread(self._thumb, rating, parcel)])
        return self.ratings.page(rating, done=request.method == "POST")

    def _thumb(self, rating: Rating, parcel: Parcel) -> Feedback:
        person = self.mailbox.correspondent(self.label, parcel.conversation).address.get("person")
        key = f"rate:{parcel.id}:{rating.value}:{rating.nonce}"
        return Feedback(key, parcel.conversation, "thumb", rating.thumb, parcel=parcel.id, person=person)
