"""Chatwoot: as an agent bot, or, with `suggest`, as a colleague who only suggests replies to the people who answer.

A conversation that is `pending` is the bot's, one that is `open` the team's. Chatwoot sends the same message once for
each hook that is set up, each time under a new delivery id: what makes it the same is the message's own id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sanic.request import Request

from connectors.base import Channel
from connectors.core import suggestions
from connectors.core.content import Button, Card, Content, Outgoing, cut
from connectors.core.incoming import AgentReply, Feedback, Handover, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.signature import check_fresh, check_hmac

LONGEST_TEXT = 150_000  # that a message of Chatwoot's takes
_STATUS_EVENTS = ("conversation_opened", "conversation_resolved", "conversation_status_changed")
# Whose a conversation is in each status; one that is put off stays whose it was.
_TO_PEOPLE = {"pending": False, "resolved": False, "open": True}


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `account` (its number), `token` (a bot's or a person's access token), `secret` (the hook's).

    `api` is where Chatwoot is; with `suggest` the bot answers no customer.
    """

    account: str
    token: str = secret()
    secret: str = secret()
    api: str = "https://app.chatwoot.com"
    suggest: bool = False


class ChatwootInput(Channel):
    """The channel `chatwoot`."""

    label = "chatwoot"
    Settings = Options
    hands_over = True
    settings: Options

    def __init__(self, settings: Options) -> None:
        super().__init__(settings)
        self.suggests = settings.suggest

    async def verify(self, request: Request) -> None:
        """`X-Chatwoot-Signature: sha256=` and the HMAC of `{timestamp}.{body}`, with `X-Chatwoot-Timestamp`."""
        timestamp = request.headers.get("X-Chatwoot-Timestamp")
        signed = f"{timestamp}.".encode() + request.body
        check_hmac(self.settings.secret, signed, request.headers.get("X-Chatwoot-Signature"), prefix="sha256=")
        check_fresh(timestamp)

    def read(self, request: Request) -> Sequence[Incoming]:
        """The one event of a delivery."""
        event = self.json(request)
        # What is no message has no id of its own. The delivery's is not signed, and matters for repetitions alone.
        delivery = request.headers.get("X-Chatwoot-Delivery") or hashlib.sha256(request.body).hexdigest()
        return [self._incoming(event, delivery)]

    def parts(self, content: Content) -> Sequence[Content]:
        """Cards are a message of their own; what they have to press does nothing there, so it is asked for after."""
        if not content.cards or not all(map(_links, content.cards)):
            return [content]
        rest = replace(content, cards=(), buttons=(*content.unpressed().buttons, *content.named_choices()))
        cards = Content(cards=content.cards, turn=content.turn, decisions=content.decisions)
        return [cards, rest] if rest.choices() else [rest, cards]

    async def send(self, out: Outgoing) -> str | None:
        """One message; a note to the team where it only suggests."""
        body = {"message_type": "outgoing", "private": suggestions.is_note(out.content), **_message(out)}
        answer = await self._call(out.conversation, "messages", body)
        return str(answer["id"]) if isinstance(answer, Mapping) and "id" in answer else None

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Three dots; a version of Chatwoot that allows bots none refuses, to no harm."""
        if not self.suggests:
            await self._call(conversation, "toggle_typing_status", {"typing_status": "on"})

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """The team takes over: the conversation is opened."""
        await self._call(conversation, "toggle_status", {"status": "open"})

    async def _call(self, conversation: str, what: str, body: Mapping[str, Any]) -> Any:
        url = f"{self.settings.api}/api/v1/accounts/{self.settings.account}/conversations/{conversation}/{what}"
        return await self.client.call("POST", url, json=body, headers={"api_access_token": self.settings.token})

    def _incoming(self, event: Mapping[str, Any], delivery: str) -> Incoming:
        kind, account = cut(str(event["event"]), 60), event.get("account")
        if account is not None and str(account["id"]) != self.settings.account:
            return Ignored("another account")
        if kind == "message_created":
            return self._created(event)
        if kind == "message_updated":
            return self._updated(event, delivery)
        to_people = _TO_PEOPLE.get(str(event.get("status")))
        if kind in _STATUS_EVENTS and to_people is not None and not self.suggests:
            return Handover(delivery, str(int(event["id"])), to_people=to_people)
        return Ignored(kind)

    def _created(self, event: Mapping[str, Any]) -> Incoming:
        kind, text = cut(str(event["message_type"]), 60), str(event.get("content") or "")
        key, place = f"message:{int(event['id'])}", event["conversation"]
        conversation = str(int(place["id"]))
        if event.get("private") or not text.strip():
            return Ignored("private note" if event.get("private") else "message without words")
        if kind == "incoming":
            if place.get("status") == "open" and not self.suggests:
                return Ignored("message to people")
            return Message(key, conversation, text, person=_person(event.get("sender")))
        if kind == "outgoing" and self.suggests and (event.get("sender") or {}).get("type") == "user":
            return AgentReply(key, conversation, text)
        return Ignored(f"{kind} message")

    def _updated(self, event: Mapping[str, Any], delivery: str) -> Incoming:
        """A customer chose, or rated the conversation: both change the message that asked for it."""
        submitted, asked = (event.get("content_attributes") or {}).get("submitted_values"), event.get("content_type")
        place = event["conversation"]
        conversation, person = str(int(place["id"])), _person((place.get("meta") or {}).get("sender"))
        if not submitted or asked not in ("input_select", "input_csat"):
            return Ignored("message_updated")
        if asked == "input_select":
            message, value = str(int(event["id"])), str(submitted[0]["value"])
            return Press(f"press:{message}:{value}", conversation, value, person=person, message=message)
        rating = submitted["csat_survey_response"]
        if self.suggests:  # what was rated is what people said
            return Ignored("csat where people answer")
        remark = str(rating.get("feedback_message") or "") or None
        return Feedback(delivery, conversation, "csat", float(rating["rating"]), person=person, comment=remark)


def _person(contact: Mapping[str, Any] | None) -> str | None:
    return str(contact["id"]) if contact and contact.get("id") is not None else None


def _links(card: Card) -> list[Button]:
    """What opens an address; the card itself may."""
    own = [Button(card.title, url=card.url)] if card.url else []
    return [*own, *(button for button in card.buttons if button.url and not button.payload)]


def _message(out: Outgoing) -> dict[str, Any]:
    content = out.content
    if content.cards and all(map(_links, content.cards)):
        items = [_item(card) for card in content.cards]
        return {"content": cut(content.plain(), LONGEST_TEXT), **_form("cards", items)}
    # A choice without a question would be refused.
    message = {"content": cut(content.plain(), LONGEST_TEXT) or "…"}
    options = [
        {"title": button.title, "value": Channel.reference(out.parcel, number)}
        for number, button in enumerate(content.named_choices())
    ]
    return {**message, **_form("input_select", options)} if options else message


def _form(kind: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"content_type": kind, "content_attributes": {"items": items}}


def _item(card: Card) -> dict[str, Any]:
    actions = [{"type": "link", "text": button.title, "uri": button.url} for button in _links(card)]
    item = {"title": card.title, "description": card.subtitle, "media_url": card.image, "actions": actions}
    return {key: value for key, value in item.items() if value}
