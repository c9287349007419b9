"""Messenger: the Send API of one page, its webhook, and the hand-over of threads."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.messenger.MessengerInput"
APP_SECRET, TOKEN, VERIFY = "51bd-messenger-app-secret", "EAAM-page-token", "messenger-verify-word"
PAGE, APP, INBOX = "1029384756", "220011223344", "263902037430900"


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.sent: dict[str, Any] = {}  # what was sent, by the mid that it was given

    def answer(self, call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert call.method == "POST"
        assert "access_token" not in call.path
        body = dict(call.body)
        person = body.pop("recipient")
        assert set(person) == {"id"}
        if call.path == "/v23.0/me/pass_thread_control":
            assert set(body) == {"target_app_id", "metadata"}
            assert body["target_app_id"] == INBOX
            return Answer(body={"success": True})
        assert call.path == "/v23.0/me/messages"
        if "sender_action" in body:
            assert body == {"sender_action": "typing_on"}
            return Answer(body={"recipient_id": person["id"]})
        assert body.pop("messaging_type") == "RESPONSE"
        check_message(body.pop("message"))
        assert not body
        mid = f"m_sent{next(self._ids)}"
        self.sent[mid] = call.body
        return Answer(body={"recipient_id": person["id"], "message_id": mid})


def check_message(message: dict[str, Any]) -> None:
    """What the documents ask of a message."""
    assert set(message) <= {"text", "attachment", "quick_replies"}
    assert ("text" in message) != ("attachment" in message)
    assert 1 <= len(message.get("text", " ")) <= 2000
    if "attachment" in message:
        assert set(message["attachment"]) == {"type", "payload"}
        _CHECKS[message["attachment"]["type"]](message["attachment"]["payload"])
    if "quick_replies" in message:
        assert 1 <= len(message["quick_replies"]) <= 13
    for quick in message.get("quick_replies", ()):
        assert set(quick) == {"content_type", "title", "payload"}
        assert quick["content_type"] == "text"
        assert 1 <= len(quick["title"]) <= 20
        assert 1 <= len(quick["payload"]) <= 1000


def _image(payload: dict[str, Any]) -> None:
    assert set(payload) == {"url", "is_reusable"}
    assert payload["url"].startswith("http")


def _template(payload: dict[str, Any]) -> None:
    if payload["template_type"] == "button":
        assert set(payload) == {"template_type", "text", "buttons"}
        assert 1 <= len(payload["text"]) <= 640
        _buttons(payload["buttons"])
        return
    assert payload["template_type"] == "generic"
    assert set(payload) == {"template_type", "elements"}
    assert 1 <= len(payload["elements"]) <= 10
    for element in payload["elements"]:
        assert {"title"} < set(element) <= {"title", "subtitle", "image_url", "default_action", "buttons"}
        assert set(element) & {"subtitle", "image_url", "buttons"}
        assert 1 <= len(element["title"]) <= 80
        assert 1 <= len(element.get("subtitle", " ")) <= 80
        if "default_action" in element:
            assert set(element["default_action"]) == {"type", "url"}
        if "buttons" in element:
            _buttons(element["buttons"])


def _buttons(buttons: list[dict[str, Any]]) -> None:
    assert 1 <= len(buttons) <= 3
    for button in buttons:
        assert set(button) == {"type", "title", {"postback": "payload", "web_url": "url"}[button["type"]]}
        assert 1 <= len(button["title"]) <= 20
        assert 1 <= len(button.get("payload", " ")) <= 1000


_CHECKS = {"image": _image, "template": _template}


def credentials(service: StandIn) -> dict[str, Any]:
    return {
        "app_secret": APP_SECRET,
        "access_token": TOKEN,
        "verify_token": VERIFY,
        "app_id": APP,
        "api": service.address,
    }


NOW = int(time.time() * 1000)


def event(person: str, at: int = 0, **content: Any) -> dict[str, Any]:
    """An event as the webhook brings it, so many milliseconds from now."""
    return {"sender": {"id": person}, "recipient": {"id": PAGE}, "timestamp": NOW + at, **content}


def delivery(*entries: list[dict[str, Any]], secret: str = APP_SECRET, **more: Any) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery with one entry a list of events."""
    listed = [{"id": PAGE, "time": NOW, "messaging": events, **more} for events in entries]
    return signed(json.dumps({"object": "page", "entry": listed}).encode(), secret)


def signed(body: bytes, secret: str = APP_SECRET) -> tuple[bytes, dict[str, str]]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Hub-Signature-256": f"sha256={digest}"}
