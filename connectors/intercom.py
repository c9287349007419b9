"""Intercom: an app that answers in an admin's name, by webhooks and the REST API.

An option of a quick reply is known by a UUID and nothing else. Ours holds which choice of which message it is: so what
comes back can be read without keeping a list.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

from sanic import Blueprint
from sanic.request import Request
from sanic.response import HTTPResponse, empty

from connectors.base import Channel
from connectors.core.content import Content, Outgoing, cut
from connectors.core.incoming import Feedback, Handover, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.signature import check_hmac

VERSION = "2.13"  # of the API, whatever the app is set to
MOST_IMAGES = 10
_LONGEST_TEXT = 10_000  # no limit is documented; what is longer nobody reads in a messenger
_SAID = ("conversation.user.created", "conversation.user.replied")
_ASSIGNED = ("conversation.admin.assigned", "conversation.admin.open.assigned", "conversation.admin.opened")
# What Intercom's own bot made of a conversation, as signals; the first is its guess, the second the customer's word.
_RESOLUTIONS = {
    "assumed_resolution": ("resolved_assumed", 1.0),
    "confirmed_resolution": ("resolved_confirmed", 1.0),
    "negative_feedback": ("resolved_confirmed", 0.0),
    "escalated": ("handover", 1.0),
}
_MARK = 0x72656A6F696E  # 48 bits that tell our UUIDs from others'
_BLOCKS = ("p", "div", "br", "li", "ul", "ol", "h1", "h2", "h3", "tr", "blockquote", "pre")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>")


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `token` (the app's access token), `secret` (its client secret), `admin` (who answers, an id).

    `assignee` is whom a conversation is handed to (the id of a team, or with `assignee_type: admin` of a person), `api`
    where Intercom is: workspaces in Europe and Australia have addresses of their own.
    """

    admin: str
    assignee: str
    token: str = secret()
    secret: str = secret()
    assignee_type: str = "team"
    api: str = "https://api.intercom.io"

    def __post_init__(self) -> None:
        if self.assignee_type not in ("team", "admin"):
            raise ValueError("assignee_type must be team or admin")


class IntercomInput(Channel):
    """The channel `intercom`."""

    label = "intercom"
    Settings = Options
    hands_over = True
    settings: Options

    async def verify(self, request: Request) -> None:
        """`X-Hub-Signature: sha1=` and the HMAC-SHA1 of the body; Intercom signs no time."""
        given = request.headers.get("X-Hub-Signature")
        check_hmac(self.settings.secret, request.body, given, algorithm="sha1", prefix="sha1=")

    def read(self, request: Request) -> Sequence[Incoming]:
        """The one notification of a delivery, and what its conversation says of itself besides."""
        notification = self.json(request)
        topic, item = cut(str(notification["topic"]), 60), (notification.get("data") or {}).get("item") or {}
        if not topic.startswith("conversation.") or item.get("type") != "conversation":
            return [Ignored(topic)]
        key, conversation = str(notification["id"]), str(int(item["id"]))
        found = [*self._topic(topic, key, conversation, item), *_resolution(conversation, item)]
        return found or [Ignored(topic)]

    def parts(self, content: Content) -> Sequence[Content]:
        """Words and images in one comment; what can be pressed is a quick reply after it, which may hold no words."""
        choices = tuple(content.named_choices())
        asked = Content(buttons=choices, turn=content.turn, decisions=content.decisions)
        return [content.unpressed(), asked] if choices else [content]

    async def send(self, out: Outgoing) -> str | None:
        """One part of the conversation."""
        body = {"type": "admin", "admin_id": self.settings.admin, **_reply(out)}
        answer = await self._call(out.conversation, "reply", body)
        return _newest(answer)

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """People take over: the conversation is assigned to them."""
        assigned = {
            "message_type": "assignment",
            "type": self.settings.assignee_type,
            "admin_id": self.settings.admin,
            "assignee_id": self.settings.assignee,
        }
        await self._call(conversation, "parts", assigned)

    def routes(self, routes: Blueprint) -> None:
        """Before it takes an address, Intercom asks for its head."""

        async def head(_: Request) -> HTTPResponse:
            return empty(status=200)

        routes.add_route(head, "/webhook", methods=["HEAD"], name="head")

    async def _call(self, conversation: str, what: str, body: Mapping[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.settings.token}", "Intercom-Version": VERSION}
        url = f"{self.settings.api}/conversations/{conversation}/{what}"
        return await self.client.call("POST", url, json=body, headers={**headers, "Accept": "application/json"})

    def _topic(self, topic: str, key: str, conversation: str, item: Mapping[str, Any]) -> list[Incoming]:
        people = {str(item.get("admin_assignee_id") or 0), self.settings.admin} - {"0", self.settings.admin}
        if topic in _SAID:
            return (
                [Ignored("message to people")] if people else _said(key, conversation, item, created=topic == _SAID[0])
            )
        if topic in _ASSIGNED:
            own = str(item.get("admin_assignee_id")) == self.settings.admin
            waits = not people and (own or str(item.get("team_assignee_id") or 0) == "0")
            return [Handover(key, conversation, to_people=not waits)]
        if topic == "conversation.admin.closed":
            return [Handover(key, conversation, to_people=False)]
        if topic == "conversation.rating.added":
            rating = item["conversation_rating"]
            remark, person = str(rating.get("remark") or "") or None, _contact(item)
            return [Feedback(key, conversation, "csat", float(rating["rating"]), person=person, comment=remark)]
        return []


def _said(key: str, conversation: str, item: Mapping[str, Any], *, created: bool) -> list[Incoming]:
    """What a customer said: the part that a conversation begins with is its `source`."""
    parts = [item["source"]] if created else item["conversation_parts"]["conversation_parts"]
    found: list[Incoming] = []
    for number, part in enumerate(parts):
        person, text = part.get("author") or {}, words(str(part.get("body") or ""))
        own = key if number == 0 else f"{key}:{number}"
        metadata: Mapping[str, Any] = part.get("metadata") or {}
        # Both names occur; without either, the words of the option are what was said.
        pressed = referred(metadata.get("quick_reply_uuid") or metadata.get("quick_reply_option_uuid"))
        if person.get("type") not in ("user", "lead", "contact"):
            found.append(Ignored(f"part by {cut(str(person.get('type')), 20)}"))
        elif pressed is not None:
            found.append(Press(own, conversation, pressed, person=str(person["id"])))
        elif text:
            found.append(Message(own, conversation, text, person=str(person["id"])))
        else:
            found.append(Ignored("message without words"))
    return found


def _resolution(conversation: str, item: Mapping[str, Any]) -> list[Incoming]:
    """What Intercom's own bot made of it: on every notification, so the state and not the notification is the key."""
    state = str((item.get("ai_agent") or {}).get("resolution_state"))
    if state not in _RESOLUTIONS:
        return []
    signal, value = _RESOLUTIONS[state]
    key = f"resolution:{conversation}:{state}"
    return [Feedback(key, conversation, signal, value, person=_contact(item), facet="resolution")]


def _contact(item: Mapping[str, Any]) -> str | None:
    contacts = (item.get("contacts") or {}).get("contacts") or []
    return str(contacts[0]["id"]) if contacts else None


def _reply(out: Outgoing) -> dict[str, Any]:
    content = out.content
    if choices := content.choices():
        options = [{"text": button.title, "uuid": identified(out.parcel, n)} for n, button in enumerate(choices)]
        return {"message_type": "quick_reply", "reply_options": options}
    images = [link for link in (content.image, *(card.image for card in content.cards)) if link]
    text = cut(replace(content, image=None).plain() or content.plain(), _LONGEST_TEXT)
    body = {"message_type": "comment", "body": _html(text)}
    return {**body, "attachment_urls": images[:MOST_IMAGES]} if images else body


def _html(text: str) -> str:
    """Words as Intercom takes them; one that reads like markup stays as it is."""
    paragraphs = escape(text, quote=False).split("\n\n")
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs).replace("\n", "<br>")


def _newest(answer: Any) -> str | None:
    """The id of the part just added: the answer is the whole conversation, the latest part last."""
    parts = answer.get("conversation_parts", {}).get("conversation_parts", []) if isinstance(answer, Mapping) else []
    return str(parts[-1]["id"]) if parts else None


def identified(parcel: int, number: int) -> str:
    """The UUID of a choice of a message."""
    # In the form of version 4, the one that every check of UUIDs takes.
    return str(uuid.UUID(int=_MARK << 80 | 4 << 76 | 2 << 62 | (number & 0x3FFF) << 48 | (parcel & 0xFFFFFFFFFFFF)))


def referred(given: Any) -> str | None:
    """The reference (`Channel.reference`) that a UUID stands for; None for one that is not ours."""
    try:
        bits = uuid.UUID(str(given)).int
    except ValueError:
        return None
    if bits >> 80 != _MARK or (bits >> 62) & 0x3FFFF != 4 << 14 | 2:
        return None
    return Channel.reference(bits & 0xFFFFFFFFFFFF, (bits >> 48) & 0x3FFF)


def words(html: str) -> str:
    """What HTML says; from version 2.15 on webhooks bring plain words, which stay as they are."""
    if not _MARKUP.search(html):
        return unescape(html).strip()
    reader = _Words()
    reader.feed(html)
    reader.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(reader.found)).strip()


class _Words(HTMLParser):
    """Collects the words, a line for each block; images and what is hidden say nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
        self._hidden += tag in ("script", "style")
        if tag in _BLOCKS:
            self.found.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in ("script", "style")))
        if tag in _BLOCKS and tag != "br":
            self.found.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)
