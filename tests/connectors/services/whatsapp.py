"""WhatsApp's Cloud API: one phone number's messages, and its webhook."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.whatsapp.WhatsappInput"
APP_SECRET, TOKEN, VERIFY = "7c4f-whatsapp-app-secret", "EAAG-whatsapp-token", "whatsapp-verify-word"
NUMBER, VERSION = "108990001112223", "v23.0"
PLACE = f"/{VERSION}/{NUMBER}/messages"


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.sent: dict[str, Any] = {}  # what was sent, by the id that it was given

    def answer(self, call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert (call.method, call.path) == ("POST", PLACE)
        body = dict(call.body)
        assert body.pop("messaging_product") == "whatsapp"
        if "status" in body:
            assert body.pop("status") == "read"
            assert body.pop("message_id").startswith("wamid.")
            assert body.pop("typing_indicator") == {"type": "text"}
            assert not body
            return Answer(body={"success": True})
        assert body.pop("recipient_type") == "individual"
        who = {name: body.pop(name) for name in ("to", "recipient") if name in body}
        assert len(who) == 1
        assert all(isinstance(value, str) for value in who.values())
        kind = body.pop("type")
        _CHECKS[kind](body.pop(kind))
        assert not body
        id = f"wamid.sent{next(self._ids)}"
        self.sent[id] = call.body
        contacts = [{"input": value, "wa_id": value} for value in who.values()]
        return Answer(body={"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": id}]})


def _text(text: dict[str, Any]) -> None:
    assert set(text) == {"body", "preview_url"}
    assert 1 <= len(text["body"]) <= 4096
    assert isinstance(text["preview_url"], bool)


def _image(image: dict[str, Any]) -> None:
    assert {"link"} <= set(image) <= {"link", "caption"}
    assert image["link"].startswith("http")
    assert 1 <= len(image.get("caption", " ")) <= 1024


def _interactive(interactive: dict[str, Any]) -> None:
    assert {"type", "body", "action"} <= set(interactive) <= {"type", "body", "action", "header"}
    assert set(interactive["body"]) == {"text"}
    assert 1 <= len(interactive["body"]["text"]) <= 1024
    if "header" in interactive:
        assert interactive["type"] in ("button", "cta_url")
        assert interactive["header"]["type"] == "image"
        _image(interactive["header"]["image"])
    {"button": _buttons, "list": _list, "cta_url": _link}[interactive["type"]](interactive["action"])


def _buttons(action: dict[str, Any]) -> None:
    assert set(action) == {"buttons"}
    assert 1 <= len(action["buttons"]) <= 3
    for button in action["buttons"]:
        assert set(button) == {"type", "reply"}
        assert button["type"] == "reply"
        assert set(button["reply"]) == {"id", "title"}
        assert 1 <= len(button["reply"]["title"]) <= 20
        assert 1 <= len(button["reply"]["id"]) <= 256
    assert len({button["reply"]["title"] for button in action["buttons"]}) == len(action["buttons"])


def _list(action: dict[str, Any]) -> None:
    assert set(action) == {"button", "sections"}
    assert 1 <= len(action["button"]) <= 20
    (section,) = action["sections"]
    assert set(section) == {"rows"}
    assert 1 <= len(section["rows"]) <= 10
    for row in section["rows"]:
        assert {"id", "title"} <= set(row) <= {"id", "title", "description"}
        assert 1 <= len(row["id"]) <= 200
        assert 1 <= len(row["title"]) <= 24
        assert 1 <= len(row.get("description", " ")) <= 72
    assert len({row["id"] for row in section["rows"]}) == len(section["rows"])


def _link(action: dict[str, Any]) -> None:
    assert set(action) == {"name", "parameters"}
    assert action["name"] == "cta_url"
    assert set(action["parameters"]) == {"display_text", "url"}
    assert 1 <= len(action["parameters"]["display_text"]) <= 20


def _template(template: dict[str, Any]) -> None:
    assert {"name", "language"} <= set(template)


_CHECKS = {"text": _text, "image": _image, "interactive": _interactive, "template": _template}


def credentials(service: StandIn) -> dict[str, Any]:
    return {
        "app_secret": APP_SECRET,
        "access_token": TOKEN,
        "verify_token": VERIFY,
        "phone_number_id": NUMBER,
        "api": service.address,
    }


def message(id: str, who: str, **content: Any) -> dict[str, Any]:
    """A message as the webhook brings it; with a dot, `who` is a person's own id, else a phone number."""
    known = {"from_user_id": who} if "." in who else {"from": who}
    (kind,) = (name for name in content if name not in ("context", "from"))
    return {"id": f"wamid.{id}", "timestamp": str(int(time.time())), "type": kind, **known, **content}


def change(*messages: dict[str, Any], statuses: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001234", "phone_number_id": NUMBER},
    }
    if messages:
        people = {message.get("from_user_id") or message["from"]: message for message in messages}
        value["contacts"] = [
            {"profile": {"name": "Ann"}, "user_id": message.get("from_user_id", ""), "wa_id": message.get("from", "")}
            for message in people.values()
        ]
        value["messages"] = list(messages)
    if statuses:
        value["statuses"] = list(statuses)
    return {"field": "messages", "value": value}


def delivery(*entries: list[dict[str, Any]], secret: str = APP_SECRET) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery with one entry a list of changes."""
    listed = [{"id": "102290001112223", "changes": changes} for changes in entries]
    return signed(json.dumps({"object": "whatsapp_business_account", "entry": listed}).encode(), secret)


def signed(body: bytes, secret: str = APP_SECRET) -> tuple[bytes, dict[str, str]]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Hub-Signature-256": f"sha256={digest}"}
