"""A stand-in for Zendesk: the Sunshine Conversations API, its webhooks, and those of Support's triggers."""

from __future__ import annotations

import base64
import itertools
import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.zendesk.ZendeskInput"
KEY_ID, KEY_SECRET, SECRET, SATISFACTION = (
    "app_key",
    "the API key's secret",
    "the webhook's secret",
    "the trigger's secret",
)
BOT, PEOPLE, FIELD = "rejoinder-bot", "zd-agentWorkspace", "360001"
_PLACE = re.compile(r"/v2/apps/app1/conversations/([0-9a-z]+)/(messages|activity|passControl)")


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.busy: set[str] = set()  # conversations of which the next message is refused for now

    def answer(self, call: Call) -> Answer:
        kind, key = call.headers["Authorization"].split(" ")
        assert (kind, base64.b64decode(key).decode()) == ("Basic", f"{KEY_ID}:{KEY_SECRET}")
        place, body = _PLACE.fullmatch(call.path), call.body
        assert place, call.path
        if place[2] == "activity":
            assert body == {"author": {"type": "business"}, "type": "typing:start"}
            return Answer()
        if place[2] == "passControl":
            ticket = {f"dataCapture.ticketField.{FIELD}": place[1]}
            assert body == {"switchboardIntegration": PEOPLE, "metadata": ticket}
            return Answer()
        if place[1] in self.busy:
            self.busy.discard(place[1])
            return Answer(429, {"errors": [{"code": "too_many_requests"}]}, {"Retry-After": "1"})
        assert set(body) == {"author", "content"}
        assert body["author"] == {"type": "business"}
        check(body["content"])
        return Answer(201, {"messages": [{"id": f"m{next(self._ids)}", **body}]})


def check(content: dict[str, Any]) -> None:
    """The content of a message, as the API's description has it."""
    if content["type"] == "text":
        assert set(content) <= {"type", "text", "actions"}
        assert content.get("text") or content.get("actions")
        assert len(content.get("text", "")) <= 4096
        _check_actions(content.get("actions", []), {"reply"}, {"link"})
    elif content["type"] == "image":
        assert set(content) == {"type", "mediaUrl"}
    else:
        assert set(content) == {"type", "items"}
        assert content["type"] == "carousel"
        assert 1 <= len(content["items"]) <= 10
        for item in content["items"]:
            assert {"title", "actions"} <= set(item) <= {"title", "description", "mediaUrl", "actions"}
            assert max(len(item["title"]), len(item.get("description", ""))) <= 128
            assert 1 <= len(item["actions"]) <= 3
            _check_actions(item["actions"], {"postback", "link"})


def _check_actions(actions: list[dict[str, Any]], *kinds: set[str]) -> None:
    assert any({action["type"] for action in actions} <= together for together in kinds)
    for action in actions:
        own = "uri" if action["type"] == "link" else "payload"
        assert set(action) == {"type", "text", own}
        assert action["text"]
        assert action[own]


def credentials(service: StandIn) -> dict[str, Any]:
    return {
        "app": "app1",
        "integration": BOT,
        "key_id": KEY_ID,
        "key_secret": KEY_SECRET,
        "webhook_secret": SECRET,
        "satisfaction_secret": SATISFACTION,
        "ticket_field": FIELD,
        "api": service.address,
    }


def delivery(*events: dict[str, Any], secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery."""
    body = {"app": {"id": "app1"}, "webhook": {"id": "w1", "version": "v2"}, "events": events}
    return json.dumps(body).encode(), {"X-API-Key": secret}


def conversation(id: str, active: str | None = BOT) -> dict[str, Any]:
    control = {} if active is None else {"activeSwitchboardIntegration": {"id": f"id-{active}", "name": active}}
    return {"id": id, "type": "personal", **control}


def message(id: str, place: str, *, by: str = "user", active: str | None = BOT, **content: Any) -> dict[str, Any]:
    author = {"type": by, "userId": "u1"} if by == "user" else {"type": by, "displayName": "Bot"}
    said = {"id": f"m-{id}", "author": author, "content": {"type": "text", **content}, "source": {"type": "web"}}
    payload = {"conversation": conversation(place, active), "message": said}
    return {"id": id, "type": "conversation:message", "createdAt": "2026-01-02T03:04:05.678Z", "payload": payload}


def postback(id: str, place: str, pressed: str) -> dict[str, Any]:
    payload = {"conversation": conversation(place), "postback": {"payload": pressed}, "user": {"id": "u1"}}
    return {"id": id, "type": "conversation:postback", "payload": payload}


def control(id: str, place: str, active: str | None, kind: str = "passControl") -> dict[str, Any]:
    return {"id": id, "type": f"switchboard:{kind}", "payload": {"conversation": conversation(place, active)}}


def satisfaction(
    place: str, rating: str, *, run: str, secret: str = SATISFACTION, late: float = 0.0, **more: Any
) -> tuple[bytes, dict[str, str]]:
    """What a trigger of Support's sends by our template, signed by code that is not ours."""
    body = json.dumps({"conversation": place, "ticket": "12", "rating": rating, **more}).encode()
    at = (datetime.now(timezone.utc) - timedelta(seconds=late)).strftime("%Y-%m-%dT%H:%M:%SZ")
    signer = HMAC(secret.encode(), SHA256())
    signer.update(at.encode() + body)
    return body, {
        "X-Zendesk-Webhook-Signature": base64.b64encode(signer.finalize()).decode(),
        "X-Zendesk-Webhook-Signature-Timestamp": at,
        "X-Zendesk-Webhook-Invocation-Id": run,
    }
