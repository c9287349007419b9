"""Twilio: SMS, and WhatsApp through Twilio. Choices are numbered; a thumb alone is about what the bot said last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from aiohttp import BasicAuth
from sanic.request import Request
from sanic.response import HTTPResponse

from agent.errors import InvalidInput
from connectors.base import Channel
from connectors.core import emoji
from connectors.core.content import Content, Outgoing, cut, in_words
from connectors.core.incoming import Feedback, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.sending import Undeliverable
from connectors.core.signature import Refused, check_hmac

# What Twilio's documents say of it.
LONGEST_TEXT, MOST_FIELDS = 1600, 1000
# What an iPhone sends by SMS where somebody reacts to a message, and takes that back.
_REACTED = re.compile(r"(Liked|Loved|Disliked|Laughed at|Emphasized|Questioned) [“\"](.*)[”\"]", re.DOTALL)
_UNDONE = re.compile(r"Removed an? (like|heart|dislike|laugh|exclamation|question mark) from [“\"](.*)[”\"]", re.DOTALL)
_MEANS = {"Liked": 1.0, "Loved": 1.0, "Disliked": 0.0}


@dataclass(frozen=True)
class Options:
    """In credentials.yml: the account, and what differs from the usual.

    `url` is the webhook's address as Twilio knows it, where a proxy changes it; `number` what to send from where
    nobody wrote to one of ours (a number, or a Messaging Service's `MG…`, which then sends everything). `mms` sends
    pictures as such over SMS, too, not as links. `thumbs: false` leaves thumbs to the bot as messages. `wordless` is
    what a picture without words says to it.
    """

    account_sid: str
    auth_token: str = secret()
    url: str = ""
    number: str = ""
    mms: bool = False
    thumbs: bool = True
    wordless: str = ""
    api: str = "https://api.twilio.com"


class TwilioInput(Channel):
    """The channel `twilio`."""

    label = "twilio"
    Settings = Options
    settings: Options

    async def verify(self, request: Request) -> None:
        """`X-Twilio-Signature`: base64 HMAC-SHA1 of the address and the sorted fields, under the account's token.

        Raises:
            Refused: it is missing or wrong.
        """
        fields = "".join(name + value for name, value in sorted(set(_fields(request.body))))
        given = request.headers.get("X-Twilio-Signature")
        addresses = _addresses(request, self.settings.url)
        wrong = [_wrong(self.settings.auth_token, f"{url}{fields}", given) for url in addresses]
        if refused := all(wrong) and wrong[0]:
            raise refused

    def read(self, request: Request) -> Sequence[Incoming]:
        """One message a request."""
        return [self._incoming(dict(_fields(request.body)))]

    def _incoming(self, form: Mapping[str, str]) -> Incoming:
        if "MessageStatus" in form:
            return Ignored(f"status {form['MessageStatus']}"[:40])
        key, who = form["MessageSid"], form["From"]
        if not (key and who):
            raise InvalidInput("a message without an id or a sender")
        if form.get("OptOutType"):  # STOP, START, HELP: Twilio answers
            return Ignored("opting out or in")
        about, address = form.get("OriginalRepliedMessageSid") or None, {"from": form["To"]}
        if pressed := form.get("ButtonPayload") or form.get("ListId"):
            return Press(key, who, pressed, person=who, message=about, address=address)
        text = form.get("Body", "").strip()
        if reacted := _REACTED.fullmatch(text) or _UNDONE.fullmatch(text):
            did, quoted = reacted.groups()
            return Feedback(key, who, "thumb", _MEANS.get(did), quoted=quoted, person=who)
        if self.settings.thumbs and text[:1] in ("👍", "👎") and (value := emoji.thumb(text)) is not None:
            quoted = None if about else ""
            return Feedback(key, who, "thumb", value, message=about, quoted=quoted, person=who)
        said = text or (self.settings.wordless if form.get("NumMedia", "0") != "0" else "")
        if not said:
            return Ignored("message without words")
        return Message(key, who, said, person=who, address=address, command=not text)

    def acknowledgement(self, request: Request, found: Sequence[Incoming]) -> HTTPResponse:  # noqa: ARG002
        """TwiML that does nothing: answers go out by the REST API."""
        return HTTPResponse('<?xml version="1.0" encoding="UTF-8"?><Response/>', content_type="text/xml")

    def parts(self, content: Content) -> Sequence[Content]:
        """Words, in as many messages as they need; a picture goes with the first, if it goes as one."""
        if content.custom.get("ContentSid"):
            return [content]
        room = LONGEST_TEXT - (len(content.image) + 2 if content.image else 0)  # for it may go as a link
        first, *others = in_words(replace(content, image=None), max(room, LONGEST_TEXT // 2))
        return [replace(first, image=content.image), *others]

    def numbered(self, content: Content) -> bool:
        """Always, but for templates: their buttons are Twilio's own."""
        return not content.custom.get("ContentSid")

    async def send(self, out: Outgoing) -> str | None:
        """One message."""
        options = self.settings
        url = f"{options.api}/2010-04-01/Accounts/{options.account_sid}/Messages.json"
        known = BasicAuth(options.account_sid, options.auth_token)
        answer = await self.client.call("POST", url, data={**self._from(out), **self._what(out)}, auth=known)
        return str(answer["sid"])

    def _from(self, out: Outgoing) -> dict[str, str]:
        number = self.settings.number
        if number.startswith("MG"):
            return {"To": out.conversation, "MessagingServiceSid": number}
        sender = out.address.get("from") or number
        if not sender:
            raise Undeliverable("nobody wrote to a number of ours, and none is named to send from (`number`)")
        return {"To": out.conversation, "From": sender}

    def _what(self, out: Outgoing) -> dict[str, str]:
        content = out.content
        if content.custom.get("ContentSid"):
            named = {name: content.custom.get(name) for name in ("ContentSid", "ContentVariables")}
            return {name: _field(value) for name, value in named.items() if value}
        as_picture = content.image and (self.settings.mms or out.conversation.startswith("whatsapp:"))
        said = replace(content, image=None) if as_picture else content
        body = cut(said.plain(numbered=True), LONGEST_TEXT)
        return {**({"Body": body} if body else {}), **({"MediaUrl": str(content.image)} if as_picture else {})}


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise InvalidInput(f"the body is no form: {error}") from error


def _wrong(token: str, signed: str, given: str | None) -> Refused | None:
    try:
        check_hmac(token, signed.encode("utf-8", "surrogateescape"), given, algorithm="sha1", encoding="base64")
    except Refused as error:
        return error
    return None


def _addresses(request: Request, known: str) -> list[str]:
    """The address that Twilio may have signed: with the port and without, for it does either."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0]
    url = known or f"{scheme}://{request.headers.get('Host', '')}{request.path}"
    if request.query_string and "?" not in url:
        url = f"{url}?{request.query_string}"
    with suppress(ValueError):
        parts = urlsplit(url)
        bare = re.sub(r":\d+$", "", parts.netloc)
        ported = f"{bare}:{443 if parts.scheme == 'https' else 80}"
        return [url, *(urlunsplit(parts._replace(netloc=netloc)) for netloc in (bare, ported))]
    return [url]


def _field(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
