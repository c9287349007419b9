"""A connector to start from: copy this file, rename it after the service, and change what the comments name.

It is whole: it speaks the webhooks of a made-up service, which signs `{"events": [...]}` with HMAC-SHA256 and takes
messages as JSON. Which events mean what stands in `_incoming`, what a message looks like there in `_message`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sanic.request import Request

from connectors.base import Channel
from connectors.core.content import Outgoing, cut
from connectors.core.incoming import Feedback, Handover, Ignored, Incoming, Message, Press
from connectors.core.options import secret
from connectors.core.signature import check_fresh, check_hmac

# What the service's documents say of it.
LONGEST_TEXT, MOST_BUTTONS = 4000, 5


@dataclass(frozen=True)
class Options:
    """In credentials.yml: `token` (what we send with), `secret` (what it signs with), `api` (where it is)."""

    token: str = secret()
    secret: str = secret()
    api: str = "https://api.example.com"


class TemplateInput(Channel):
    """The channel `template`."""

    label = "template"
    Settings = Options
    hands_over = True
    settings: Options

    async def verify(self, request: Request) -> None:
        """`X-Signature: sha256=` and the HMAC of `{timestamp}.{body}`, with `X-Timestamp` in unix seconds."""
        timestamp = request.headers.get("X-Timestamp")
        signed = f"{timestamp}.".encode() + request.body
        check_hmac(self.settings.secret, signed, request.headers.get("X-Signature"), prefix="sha256=")
        check_fresh(timestamp)

    def read(self, request: Request) -> Sequence[Incoming]:
        """All events of a delivery."""
        return [_incoming(event) for event in self.json(request)["events"]]

    async def send(self, out: Outgoing) -> str | None:
        """One message."""
        answer = await self._call("messages", _message(out, self.reference))
        return str(answer["id"])

    async def typing(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Three dots."""
        await self._call("typing", {"to": conversation})

    async def hand_over(self, conversation: str, address: Mapping[str, Any]) -> None:  # noqa: ARG002
        """People take over."""
        await self._call("handover", {"conversation": conversation})

    async def _call(self, method: str, body: Mapping[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.settings.token}"}
        return await self.client.call("POST", f"{self.settings.api}/{method}", json=body, headers=headers)


def _incoming(event: Mapping[str, Any]) -> Incoming:
    """What an event means; the service's id for it makes a repeated delivery harmless."""
    kind, key, conversation, person = event["type"], str(event["id"]), str(event["conversation"]), event.get("user")
    if kind == "message":
        return Message(key, conversation, str(event["text"]), person=person)
    if kind == "button":
        return Press(key, conversation, str(event["value"]), person=person)
    if kind == "thumb":  # "up", "down", or none where it was taken back
        value = {"up": 1.0, "down": 0.0}.get(event["thumb"])
        return Feedback(key, conversation, "thumb", value, message=str(event["message"]), person=person)
    if kind == "rating":
        return Feedback(key, conversation, "csat", float(event["stars"]), person=person)
    if kind == "assigned":
        return Handover(key, conversation, to_people=event["to"] != "bot")
    return Ignored(str(kind))


def _message(out: Outgoing, reference: Any) -> dict[str, Any]:
    content = out.content
    buttons = [
        {"title": cut(button.title, 20), "value": reference(out.parcel, number)}
        for number, button in enumerate(content.choices()[:MOST_BUTTONS])
    ]
    return {"to": out.conversation, "text": cut(content.plain(), LONGEST_TEXT), "buttons": buttons}
