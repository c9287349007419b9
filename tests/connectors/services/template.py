"""The made-up service of `connectors.template`."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from typing import Any

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.template.TemplateInput"
SECRET, TOKEN = "the secret it signs with", "the token we send with"


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def answer(self, call: Call) -> Answer:
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        if call.path == "/messages":
            assert set(call.body) == {"to", "text", "buttons"}
            assert call.body["text"]
            assert all(set(button) == {"title", "value"} for button in call.body["buttons"])
            return Answer(body={"id": f"m{next(self._ids)}"})
        assert call.path in ("/typing", "/handover")
        return Answer()


def credentials(service: StandIn) -> dict[str, Any]:
    return {"token": TOKEN, "secret": SECRET, "api": service.address}


def delivery(*events: dict[str, Any], secret: str = SECRET, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery, signed."""
    body, timestamp = json.dumps({"events": events}).encode(), str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {"X-Timestamp": timestamp, "X-Signature": f"sha256={digest}"}
