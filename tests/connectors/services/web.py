"""What the web chat calls: a desk of people, where hand-overs go; and a site whose pages hold the chat."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.web.WebInput"
ORIGIN = "http://shop.example"
SECRET, DESK_SECRET = "what visitors' tokens are signed with", "what the desk signs with"


class Service(StandIn):
    page = b""  # of the site

    def answer(self, call: Call) -> Answer:
        if call.method == "GET":
            return Answer(body=self.page, headers={"Content-Type": "text/html; charset=utf-8"})
        assert (call.method, call.path) == ("POST", "/desk")
        assert call.headers["Content-Type"] == "application/json"
        expected = signed(call.raw, at=float(call.headers["X-Timestamp"]))[1]
        assert call.headers["X-Signature"] == expected["X-Signature"]
        assert set(call.body) == {"conversation", "messages"}
        assert all({"by", "text"} <= set(message) for message in call.body["messages"])
        return Answer()


def credentials(service: StandIn) -> dict[str, Any]:
    return {
        "secret": SECRET,
        "origins": [ORIGIN, service.address],
        "title": "Wrenfold",
        "suggestions": ["Where is my order?", "How do I return something?"],
        "calls_per_minute": 120,
        "desk": f"{service.address}/desk",
        "desk_secret": DESK_SECRET,
    }


def signed(body: bytes, *, secret: str = DESK_SECRET, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """A body and its headers, as the desk signs it."""
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"X-Timestamp": timestamp, "X-Signature": f"sha256={digest}"}


def from_desk(*events: dict[str, Any], **signing: Any) -> tuple[bytes, dict[str, str]]:
    return signed(json.dumps({"events": events}).encode(), **signing)
