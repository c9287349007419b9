"""A stand-in for Chatwoot: its API for bots, and its signed deliveries."""

from __future__ import annotations

import itertools
import json
import re
import time
import uuid
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.chatwoot.ChatwootInput"
SECRET, TOKEN, ACCOUNT, CONTACT = "the hook's secret", "the bot's access token", 7, 31
_PLACE = re.compile(rf"/api/v1/accounts/{ACCOUNT}/conversations/(\d+)/(messages|toggle_status|toggle_typing_status)")
_ITEM = {"title", "description", "media_url", "actions"}


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1001)
        self.busy: set[int] = set()  # conversations of which the next message is refused for now

    def answer(self, call: Call) -> Answer:
        assert {name.lower(): value for name, value in call.headers.items()}["api_access_token"] == TOKEN
        place, body = _PLACE.fullmatch(call.path), call.body
        assert place, call.path
        if place[2] == "toggle_status":
            assert body == {"status": "open"}
            return Answer(
                body={"payload": {"success": True, "current_status": "open", "conversation_id": int(place[1])}}
            )
        if place[2] == "toggle_typing_status":
            assert body == {"typing_status": "on"}
            return Answer()
        if int(place[1]) in self.busy:
            self.busy.discard(int(place[1]))
            return Answer(429, {"error": "slow down"}, {"Retry-After": "1"})
        _check(body)
        return Answer(body={**body, "id": next(self._ids), "conversation_id": int(place[1]), "message_type": 1})


def _check(body: dict[str, Any]) -> None:
    """A message as the documents and the validator of Chatwoot's content attributes have it."""
    assert set(body) <= {"content", "message_type", "private", "content_type", "content_attributes"}
    assert body["message_type"] == "outgoing"
    assert isinstance(body["private"], bool)
    assert isinstance(body["content"], str)
    assert 0 < len(body["content"]) <= 150_000
    kind = body.get("content_type", "text")
    assert kind in ("text", "input_select", "cards")
    assert (kind == "text") == ("content_attributes" not in body)
    items = body.get("content_attributes", {}).get("items", [])
    assert (kind == "text") == (not items)
    for item in items:
        if kind == "input_select":
            assert set(item) == {"title", "value"}
            assert item["title"]
            assert item["value"]
        else:
            assert set(item) <= _ITEM
            assert item["title"]
            assert item["actions"]
            assert all(
                set(action) == {"type", "text", "uri"} and action["type"] == "link" for action in item["actions"]
            )


def credentials(service: StandIn) -> dict[str, Any]:
    return {"account": ACCOUNT, "token": TOKEN, "secret": SECRET, "api": service.address}


def delivery(
    event: dict[str, Any], *, secret: str = SECRET, at: float | None = None, id: str | None = None
) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery, signed by code that is not ours."""
    body, timestamp = json.dumps(event).encode(), str(int(time.time() if at is None else at))
    signer = HMAC(secret.encode(), SHA256())
    signer.update(f"{timestamp}.".encode() + body)
    return body, {
        "X-Chatwoot-Signature": f"sha256={signer.finalize().hex()}",
        "X-Chatwoot-Timestamp": timestamp,
        "X-Chatwoot-Delivery": id or str(uuid.uuid4()),
    }


def conversation(number: int, status: str = "pending") -> dict[str, Any]:
    return {
        "id": number,
        "inbox_id": 3,
        "status": status,
        "channel": "Channel::WebWidget",
        "can_reply": True,
        "meta": {"sender": {"id": CONTACT, "name": "Eve", "type": "contact"}, "assignee": None},
        "messages": [],
    }


def message(id: int, number: int, text: str | None, *, status: str = "pending", **more: Any) -> dict[str, Any]:
    return {
        "event": "message_created",
        "id": id,
        "content": text,
        "content_type": "text",
        "content_attributes": {},
        "message_type": "incoming",
        "private": False,
        "created_at": "2026-01-02T03:04:05.000Z",
        "sender": {"id": CONTACT, "name": "Eve"},
        "conversation": conversation(number, status),
        "inbox": {"id": 3, "name": "Shop"},
        "account": {"id": ACCOUNT, "name": "Wrenfold"},
        **more,
    }


def agents(id: int, number: int, text: str, **more: Any) -> dict[str, Any]:
    """What somebody of the team said."""
    sender = {"id": 5, "name": "Ada", "email": "ada@example.com", "type": "user"}
    return message(id, number, text, status="open", **{"message_type": "outgoing", "sender": sender, **more})


def chosen(id: int, number: int, value: str) -> dict[str, Any]:
    """A customer chose from a message of the bot's."""
    attributes = {"items": [{"title": "A", "value": value}], "submitted_values": [{"title": "A", "value": value}]}
    bot = {"id": 2, "name": "Bot", "type": "agent_bot"}
    about = {
        "message_type": "outgoing",
        "content_type": "input_select",
        "content_attributes": attributes,
        "sender": bot,
    }
    return message(id, number, "Which?", **about, event="message_updated")


def rated(id: int, number: int, rating: int | None, said: str = "") -> dict[str, Any]:
    """A customer rated a conversation."""
    answer = {"csat_survey_response": {"rating": rating, "feedback_message": said}}
    about = {
        "message_type": "template",
        "content_type": "input_csat",
        "content_attributes": {"submitted_values": answer},
    }
    return message(id, number, "Please rate us", **about, event="message_updated", sender=None)


def status(number: int, now: str, kind: str = "conversation_status_changed") -> dict[str, Any]:
    return {"event": kind, **conversation(number, now)}
