"""Zendesk: messaging by the Sunshine Conversations API, and the satisfaction that a ticket's trigger reports.

Who speaks for a conversation is what its switchboard says: the bot is one integration there, the agents' workspace
another. When the bot hands over, it writes the conversation's id into a field of the ticket: a trigger on the ticket's
satisfaction brings it back, to `/webhooks/zendesk/satisfaction`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp
from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import json as json_response

from connectors.base import Channel, json_object
from connectors.core.content import Button, Card, Content, Outgoing, cut
from connectors.core.incoming import Feedback, Handover, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.signature import Refused, check_fresh, check_hmac, check_secret

# What the API takes.
LONGEST_TEXT, LONGEST_TITLE, MOST_ACTIONS, MOST_ITEMS, MOST_ITEM_ACTIONS = 4096, 128, 10, 10, 3
_CONTROL = ("switchboard:passControl", "switchboard:acceptControl", "switchboard:releaseControl")
# A trigger reports one of two; `offered` and `unoffered` are no ratings yet.
_RATINGS = {"good": 5.0, "bad": 1.0}


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `app` (its id), `key_id` and `key_secret` (its API key), `webhook_secret` (the webhook's).

    `integration` is the bot's name in the switchboard, `people` that of whom it hands over to. `api` is where the API
    is: `https://SUBDOMAIN.zendesk.com/sc`. `satisfaction_secret` is that of the webhook of the ticket's triggers, and
    `ticket_field` the id of the field that holds the conversation's id.
    """

    app: str
    integration: str
    key_id: str
    key_secret: str = secret()
    webhook_secret: str = secret()
    satisfaction_secret: str = secret(default="")
    ticket_field: str = ""
    people: str = "zd-agentWorkspace"
    api: str = "https://api.smooch.io"


class ZendeskInput(Channel):
    """The channel `zendesk`."""

    label = "zendesk"
    Settings = Options
    hands_over = True
    settings: Options

    async def verify(self, request: Request) -> None:
        """`X-API-Key` is the webhook's secret itself: nothing is signed, so the address must be https."""
        check_secret(self.settings.webhook_secret, request.headers.get("X-API-Key"))

    def read(self, request: Request) -> Sequence[Incoming]:
        """All events of a delivery."""
        return [self._incoming(event) for event in self.json(request)["events"]]

    def parts(self, content: Content) -> Sequence[Content]:
        """Words, an image and a carousel are messages of their own; what can be pressed belongs to the last of all."""
        origin = Content(turn=content.turn, decisions=content.decisions)
        carousel = content.cards if content.cards and all(map(_actions_of, content.cards)) else ()
        rest = replace(content, image=None, cards=() if carousel else content.cards)
        # The actions of a message are of one kind: beside replies, links are words.
        replies = tuple(rest.named_choices())
        buttons = replies or rest.buttons
        words = rest.unpressed() if replies else replace(rest, buttons=())
        found = [replace(origin, text=text) for text in _split(words.plain(), LONGEST_TEXT)]
        if content.image:
            found.append(replace(origin, image=content.image))
        starts = range(0, len(carousel), MOST_ITEMS)
        found += [replace(origin, cards=carousel[start : start + MOST_ITEMS]) for start in starts]
        if buttons:
            last = found.pop() if found and found[-1].text else origin
            found.append(replace(last, buttons=buttons))
        return found

    async def send(self, out: Outgoing) -> str | None:
        """One message."""
        body = {"author": {"type": "business"}, "content": _content(out)}
        answer = await self._call(out.conversation, "messages", body)
        messages = answer.get("messages") if isinstance(answer, Mapping) else None
        return str(messages[0]["id"]) if messages else None

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Three dots."""
        await self._call(conversation, "activity", {"author": {"type": "business"}, "type": "typing:start"})

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Control is passed by name: passed twice, it stays there."""
        body: dict[str, Any] = {"switchboardIntegration": self.settings.people}
        if self.settings.ticket_field:
            body["metadata"] = {f"dataCapture.ticketField.{self.settings.ticket_field}": conversation}
        await self._call(conversation, "passControl", body)

    def routes(self, routes: Blueprint) -> None:
        """Where a ticket's triggers report how satisfied its requester was."""
        routes.add_route(self.guarded(self._rated), "/satisfaction", methods=["POST"], name="satisfaction")

    async def _call(self, conversation: str, what: str, body: Mapping[str, Any]) -> Any:
        url = f"{self.settings.api}/v2/apps/{self.settings.app}/conversations/{quote(conversation, safe='')}/{what}"
        key = aiohttp.BasicAuth(self.settings.key_id, self.settings.key_secret)
        return await self.client.call("POST", url, json=body, auth=key)

    async def _rated(self, request: Request) -> HTTPResponse:
        if not self.settings.satisfaction_secret:
            raise Refused("there is no satisfaction_secret in credentials.yml to check this with")
        timestamp = request.headers.get("X-Zendesk-Webhook-Signature-Timestamp") or ""
        given = request.headers.get("X-Zendesk-Webhook-Signature")
        signed = timestamp.encode("utf-8", "surrogateescape") + request.body
        check_hmac(self.settings.satisfaction_secret, signed, given, encoding="base64")
        check_fresh(_seconds(timestamp))
        # One run of the trigger, however often it is delivered.
        run = request.headers.get("X-Zendesk-Webhook-Invocation-Id") or str(given)
        await self.accept([rating_of(json_object(request.body), run)])
        return json_response({})

    def _incoming(self, event: Mapping[str, Any]) -> Incoming:
        kind, key = cut(str(event["type"]), 60), str(event["id"])
        payload: Mapping[str, Any] = event.get("payload") or {}
        if kind in _CONTROL:
            return Handover(key, _id(payload["conversation"]), to_people=self._is_peoples(payload["conversation"]))
        if kind not in ("conversation:message", "conversation:postback"):
            return Ignored(kind)
        conversation = _id(payload["conversation"])
        if self._is_peoples(payload["conversation"]):
            return Ignored("message to people")
        if kind == "conversation:postback":
            return Press(key, conversation, str(payload["postback"]["payload"]), person=_person(payload))
        author, content = payload["message"]["author"], payload["message"]["content"]
        if author["type"] != "user":
            return Ignored(f"message by {cut(str(author['type']), 20)}")
        if content.get("payload"):  # the reply that a button stands for
            return Press(key, conversation, str(content["payload"]), person=_person(author))
        text = str(content.get("text") or "")
        if content.get("type") != "text" or not text.strip():
            return Ignored("message without words")
        return Message(key, conversation, text, person=_person(author))

    def _is_peoples(self, conversation: Mapping[str, Any]) -> bool:
        """Whether another integration than the bot's has control; nobody's is the bot's."""
        active: Mapping[str, Any] = conversation.get("activeSwitchboardIntegration") or {}
        return bool(active) and self.settings.integration not in (active.get("name"), active.get("id"))


def rating_of(body: Mapping[str, Any], run: str) -> Incoming:
    """What a trigger reports: `{"conversation", "rating": "good" or "bad", "ticket"}`, written by our template."""
    conversation, rating = str(body.get("conversation") or "").strip(), str(body.get("rating") or "").strip().lower()
    if not conversation:
        return Ignored("rating of another ticket")
    if rating not in _RATINGS:
        return Ignored("rating that is none")
    remark = str(body.get("comment") or "") or None
    return Feedback(f"satisfaction:{run}", conversation, "csat", _RATINGS[rating], comment=remark)


def _id(conversation: Mapping[str, Any]) -> str:
    if not isinstance(conversation["id"], str) or not conversation["id"]:
        raise TypeError("a conversation's id is a text")
    return str(conversation["id"])


def _person(of: Mapping[str, Any]) -> str | None:
    user: Mapping[str, Any] = of.get("user") or {}
    id = of.get("userId") or user.get("id")
    return None if id is None else str(id)


def _seconds(timestamp: str) -> str:
    """A time of signing such as `2026-01-02T03:04:05Z` in unix seconds; nothing where it is none."""
    with suppress(ValueError):
        at = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
        return str(at.timestamp()) if at.tzinfo else ""
    return ""


def _split(text: str, length: int) -> list[str]:
    """A text in as few pieces as a service takes, cut at the end of a line or word where there is one."""
    pieces = []
    while len(text) > length:
        end = max(text.rfind("\n", 1, length), text.rfind(" ", 1, length))
        end = end if end > length // 2 else length
        pieces.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*pieces, *([text] if text else [])]


def _actions_of(card: Card) -> list[Button]:
    """What a card's actions are: it has to have some."""
    own = [Button(card.title, url=card.url)] if card.url and not any(button.url for button in card.buttons) else []
    return [*card.buttons, *own]


def _content(out: Outgoing) -> dict[str, Any]:
    content = out.content
    references = iter(Channel.reference(out.parcel, number) for number in range(len(content.choices())))
    if content.cards:
        items = [_item(card, references) for card in content.cards]
        return {"type": "carousel", "items": items}
    if content.image:
        return {"type": "image", "mediaUrl": content.image}
    actions = [_action("reply", button, references) for button in content.buttons[:MOST_ACTIONS]]
    words = {"type": "text", "text": content.text} if content.text else {"type": "text"}
    return {**words, "actions": actions} if actions else words


def _item(card: Card, references: Iterator[str]) -> dict[str, Any]:
    # Every choice takes its number, also one for which there is no room.
    actions = [_action("postback", button, references) for button in _actions_of(card)]
    item = {
        "title": cut(card.title, LONGEST_TITLE) or "…",
        "description": cut(card.subtitle, LONGEST_TITLE),
        "mediaUrl": card.image,
        "actions": actions[:MOST_ITEM_ACTIONS],
    }
    return {key: value for key, value in item.items() if value}


def _action(kind: str, button: Button, references: Iterator[str]) -> dict[str, Any]:
    text = cut(button.title, LONGEST_TITLE) or "…"
    if button.payload:
        return {"type": kind, "text": text, "payload": next(references)}
    return {"type": "link", "text": text, "uri": button.url}
