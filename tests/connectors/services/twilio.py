"""Twilio: the Messages resource of one account, and its webhook, signed by Twilio's own library."""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, urlencode

from twilio.request_validator import RequestValidator

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.twilio.TwilioInput"
ACCOUNT, TOKEN = "AC0123456789abcdef0123456789abcdef", "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
NUMBER, ANN = "+15550001234", "+15551230001"
PLACE = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def answer(self, call: Call) -> Answer:
        assert (call.method, call.path) == ("POST", PLACE)
        assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert call.headers["Authorization"] == "Basic " + b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        check_message(form(call))
        return Answer(201, {"sid": f"SM{next(self._ids):032x}", "status": "queued", "error_code": None})


def form(call: Call) -> dict[str, str]:
    """What a call says, each field once."""
    pairs = parse_qsl(call.raw.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def check_message(fields: dict[str, str]) -> None:
    """What the documents ask of a message."""
    said = {"Body", "MediaUrl", "ContentSid", "ContentVariables"}
    assert set(fields) <= {"To", "From", "MessagingServiceSid", *said}
    assert fields["To"].removeprefix("whatsapp:").startswith("+")
    assert ("From" in fields) != ("MessagingServiceSid" in fields)
    assert {"Body", "MediaUrl", "ContentSid"} & set(fields)
    assert 1 <= len(fields.get("Body", " ")) <= 1600
    assert fields.get("MediaUrl", "http").startswith("http")
    assert "ContentVariables" not in fields or json.loads(fields["ContentVariables"])


def credentials(service: StandIn) -> dict[str, Any]:
    return {"account_sid": ACCOUNT, "auth_token": TOKEN, "api": service.address}


def message(id: str, who: str = ANN, text: str = "", **more: str) -> dict[str, str]:
    """The fields of an incoming message."""
    sid = f"SM{id}"
    known = {"MessageSid": sid, "SmsMessageSid": sid, "SmsSid": sid, "AccountSid": ACCOUNT, "SmsStatus": "received"}
    place = {"From": who, "To": f"whatsapp:{NUMBER}" if who.startswith("whatsapp:") else NUMBER}
    return {**known, **place, "Body": text, "NumMedia": "0", "NumSegments": "1", "ApiVersion": "2010-04-01", **more}


def delivery(fields: dict[str, str], url: str, token: str = TOKEN) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery to this address."""
    signature = RequestValidator(token).compute_signature(url, fields)
    kind = "application/x-www-form-urlencoded; charset=UTF-8"
    return urlencode(fields).encode(), {"X-Twilio-Signature": signature, "Content-Type": kind}
