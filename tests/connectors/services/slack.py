"""Slack's Web API, checked with slack_sdk: its methods' parameters, its blocks and their limits; it signs, too."""

from __future__ import annotations

import inspect
import itertools
import json
import time
from typing import Any
from urllib.parse import urlencode

from slack_sdk import WebClient
from slack_sdk.models.blocks import Block
from slack_sdk.signature import SignatureVerifier

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.slack.SlackInput"
TOKEN, SECRET = "xoxb-the-token-we-send-with", "the secret it signs with"
BOT = "U0BOT"


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self.times: dict[int, str] = {}  # of messages, by the identity of the calls that sent them

    def answer(self, call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        assert call.headers["Content-Type"].startswith("application/json")
        assert (call.method, call.path) == ("POST", "/chat.postMessage")
        body = call.body
        assert {"channel", "text"} <= set(body) <= set(inspect.signature(WebClient.chat_postMessage).parameters)
        assert body["text"]
        assert len(body["text"]) <= 4000
        assert isinstance(body.get("thread_ts", ""), str)
        check_blocks(body.get("blocks", []))
        if "missing" in json.dumps([b for b in body.get("blocks", []) if "image" in json.dumps(b)]):
            return Answer(body={"ok": False, "error": "invalid_blocks"})
        ts = self.times[id(call)] = f"1700000000.{next(self._ids):06}"
        return Answer(body={"ok": True, "channel": body["channel"], "ts": ts, "message": {"ts": ts}})


def check_blocks(blocks: list[dict[str, Any]]) -> None:
    assert len(blocks) <= 50
    for block in blocks:
        parsed = Block.parse(block)
        assert parsed is not None
        # `to_dict` checks lengths and numbers, and keeps no key that slack_sdk does not know.
        assert parsed.to_dict() == block
        names = [element["action_id"] for element in block.get("elements", ())]
        assert len(set(names)) == len(names)
        if block["type"] == "section":
            assert block["text"]["text"].strip()
    texts = sum(len(block["text"]["text"]) for block in blocks if block["type"] == "section")
    assert texts + 125 * len(blocks) <= 13_000


def credentials(service: StandIn) -> dict[str, Any]:
    return {"token": TOKEN, "signing_secret": SECRET, "api": service.address}


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    assert signature is not None
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature}


def event(key: str, event: dict[str, Any]) -> dict[str, Any]:
    """An event in its envelope."""
    return {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "event_id": key,
        "event_time": 1_700_000_000,
        "authorizations": [{"team_id": "T1", "user_id": BOT, "is_bot": True, "is_enterprise_install": False}],
        "event": event,
    }


def delivery(payload: dict[str, Any], **signing: Any) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery: interactions come in a form."""
    if payload["type"] == "block_actions":
        body, kind = urlencode({"payload": json.dumps(payload)}).encode(), "application/x-www-form-urlencoded"
    else:
        body, kind = json.dumps(payload).encode(), "application/json"
    return body, {"Content-Type": kind, **signed(body, **signing)}
