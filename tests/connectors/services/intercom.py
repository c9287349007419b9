"""A stand-in for Intercom: its REST API as the OpenAPI description has it, and its signed notifications."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.hmac import HMAC

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.intercom.IntercomInput"
SECRET, TOKEN, ADMIN, TEAM = "the app's client secret", "the app's access token", "501", "77"
_PLACE = re.compile(r"/conversations/(\d+)/(reply|parts)")


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(9001)
        self.busy: set[int] = set()  # conversations of which the next call is refused for now

    def answer(self, call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert re.fullmatch(r"\d\.\d+", call.headers["Intercom-Version"])
        place, body = _PLACE.fullmatch(call.path), call.body
        assert place, call.path
        if int(place[1]) in self.busy:
            self.busy.discard(int(place[1]))
            return Answer(429, {"type": "error.list", "errors": []}, {"Retry-After": "1"})
        assert body["admin_id"] == ADMIN
        if place[2] == "parts":
            keys = {"message_type", "type", "admin_id", "assignee_id"}
            assert body == {**dict.fromkeys(keys), "message_type": "assignment", "type": "team", **_who()}
        else:
            _check(body)
        part = {"type": "conversation_part", "id": str(next(self._ids)), "part_type": "comment"}
        parts = {"conversation_parts": [{"id": "1"}, part], "total_count": 2}
        return Answer(body={"type": "conversation", "id": place[1], "conversation_parts": parts})


def _who() -> dict[str, str]:
    return {"admin_id": ADMIN, "assignee_id": TEAM}


def _check(body: dict[str, Any]) -> None:
    """A reply of an admin's."""
    assert body["type"] == "admin"
    if body["message_type"] == "quick_reply":
        assert set(body) == {"message_type", "type", "admin_id", "reply_options"}
        assert body["reply_options"]
        for option in body["reply_options"]:
            assert set(option) == {"text", "uuid"}
            assert option["text"]
            assert uuid.UUID(option["uuid"]).version == 4
        return
    assert body["message_type"] == "comment"
    assert {"body"} <= set(body) - {"message_type", "type", "admin_id"} <= {"body", "attachment_urls"}
    assert re.fullmatch(r"<p>.+</p>", body["body"])
    assert len(body.get("attachment_urls", ())) <= 10


def credentials(service: StandIn) -> dict[str, Any]:
    return {"admin": ADMIN, "assignee": TEAM, "token": TOKEN, "secret": SECRET, "api": service.address}


def delivery(event: Any, *, secret: str = SECRET) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a notification, signed by code that is not ours."""
    body = json.dumps(event).encode()
    signer = HMAC(secret.encode(), SHA1())
    signer.update(body)
    return body, {"X-Hub-Signature": f"sha1={signer.finalize().hex()}"}


def notification(id: str, topic: str, number: int, **item: Any) -> dict[str, Any]:
    """What is told of a conversation."""
    contact = {"type": "contact", "id": f"contact-{number}"}
    about = {
        "type": "conversation",
        "id": str(number),
        "state": "open",
        "admin_assignee_id": None,
        "team_assignee_id": None,
        "contacts": {"type": "contact.list", "contacts": [contact]},
        "conversation_rating": None,
        "conversation_parts": {"type": "conversation_part.list", "conversation_parts": [], "total_count": 0},
        **item,
    }
    data = {"type": "notification_event_data", "item": about}
    return {
        "type": "notification_event",
        "app_id": "a1",
        "id": id,
        "topic": topic,
        "delivery_attempts": 1,
        "data": data,
    }


def created(id: str, number: int, html: str, **item: Any) -> dict[str, Any]:
    author = {"type": "user", "id": f"contact-{number}"}
    source = {"type": "conversation", "id": f"s{number}", "body": html, "author": author}
    return notification(id, "conversation.user.created", number, source=source, **item)


def replied(
    id: str, number: int, html: str, *, by: str = "user", pressed: str | None = None, **item: Any
) -> dict[str, Any]:
    part = {
        "type": "conversation_part",
        "id": f"p{id}",
        "part_type": "comment",
        "body": html,
        "author": {"type": by, "id": f"contact-{number}"},
        "metadata": {"quick_reply_uuid": pressed} if pressed else {},
    }
    parts = {"type": "conversation_part.list", "conversation_parts": [part], "total_count": 1}
    return notification(id, "conversation.user.replied", number, conversation_parts=parts, **item)


def rated(id: str, number: int, rating: int, remark: str | None = None) -> dict[str, Any]:
    rating_ = {
        "rating": rating,
        "remark": remark,
        "created_at": 1,
        "contact": {"type": "contact", "id": f"contact-{number}"},
    }
    return notification(id, "conversation.rating.added", number, conversation_rating=rating_)


def assigned(id: str, number: int, *, admin: str | None = None, team: str | None = None) -> dict[str, Any]:
    whom = {"admin_assignee_id": admin and int(admin), "team_assignee_id": team}
    return notification(id, "conversation.admin.assigned", number, **whom)
