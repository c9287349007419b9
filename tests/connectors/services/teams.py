"""Microsoft's side of Teams: a key set, a log-in, and the Bot Connector's API."""

from __future__ import annotations

import base64
import itertools
import json
import time
import uuid
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.connectors.stand_in import Answer, Call, StandIn

CONNECTOR = "connectors.teams.TeamsInput"
APP_ID, PASSWORD, TENANT = "4f6a-teams-app", "the password of the app", "a-tenant"
BOT, TOKEN = f"28:{APP_ID}", "the token that the log-in gives"
CARD = "application/vnd.microsoft.card.adaptive"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Service(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1_700_000_000_000)
        self.keys = [jwk("current", KEY)]
        self.sent: dict[str, Call] = {}

    def answer(self, call: Call) -> Answer:
        if call.path == "/openid":
            return Answer(body={"issuer": "https://api.botframework.com", "jwks_uri": f"{self.address}/keys"})
        if call.path == "/keys":
            return Answer(body={"keys": self.keys})
        if call.path == f"/{TENANT}/oauth2/v2.0/token":
            form = {name: value for name, (value,) in parse_qs(call.raw.decode()).items()}
            assert form == {
                "grant_type": "client_credentials",
                "client_id": APP_ID,
                "client_secret": PASSWORD,
                "scope": "https://api.botframework.com/.default",
            }
            return Answer(body={"token_type": "Bearer", "expires_in": 3600, "access_token": TOKEN})
        assert call.method == "POST"
        assert call.headers["Authorization"] == f"Bearer {TOKEN}"
        empty, region, version, conversations, conversation, last = call.path.split("/")
        assert (empty, region, version, conversations, last) == ("", "emea", "v3", "conversations", "activities")
        assert call.body["conversation"] == {"id": unquote(conversation)}
        assert call.body["from"] == {"id": BOT}
        if call.body["type"] == "typing":
            assert set(call.body) == {"type", "from", "conversation"}
            return Answer(201, {"id": "t"})
        _check_message(call.body)
        id = str(next(self._ids))
        self.sent[id] = call
        return Answer(201, {"id": id})

    def id_of(self, call: Call) -> str:
        return next(id for id, sent in self.sent.items() if sent is call)


def _check_message(body: dict[str, Any]) -> None:
    assert body["type"] == "message"
    assert set(body) - {"text", "attachments", "attachmentLayout"} == {
        "type", "from", "conversation", "textFormat", "channelData"
    }  # fmt: skip
    assert body["textFormat"] == "plain"
    assert body["channelData"] == {"feedbackLoop": {"type": "default"}}
    assert body.get("text") or body.get("attachments")
    assert len(json.dumps(body).encode("utf-16")) < 80_000
    assert len(body.get("attachments", [])) <= 10
    for attachment in body.get("attachments", []):
        assert set(attachment) == {"contentType", "content"}
        assert attachment["contentType"] == CARD
        card = attachment["content"]
        assert set(card) - {"selectAction"} == {"$schema", "type", "version", "body", "actions"}
        assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
        assert len(card["actions"]) <= 6
        for element in card["body"]:
            assert set(element) <= {"type", "text", "wrap", "weight", "isSubtle", "url", "size"}
            assert element["text"] if element["type"] == "TextBlock" else element["url"]
        for action in card["actions"]:
            if action["type"] == "Action.OpenUrl":
                assert set(action) == {"type", "title", "url"}
                continue
            assert set(action) == {"type", "title", "data"}
            assert action["type"] == "Action.Submit"
            assert set(action["data"]) == {"choice", "msteams"}
            assert set(action["data"]["msteams"]) == {"type", "displayText", "text"}
            assert action["data"]["msteams"]["type"] == "messageBack"


def credentials(service: StandIn) -> dict[str, Any]:
    return {
        "app_id": APP_ID,
        "app_password": PASSWORD,
        "tenant": TENANT,
        "login": service.address,
        "openid": f"{service.address}/openid",
    }


def activity(service: StandIn, conversation: str, **more: Any) -> dict[str, Any]:
    """An activity as Teams sends it."""
    return {
        "type": "message",
        "id": f"f:{uuid.uuid4().hex}",
        "timestamp": "2024-05-04T10:00:00.000Z",
        "channelId": "msteams",
        "serviceUrl": f"{service.address}/emea/",
        "from": {"id": "29:eve", "name": "Eve", "aadObjectId": "0b5b"},
        "recipient": {"id": BOT, "name": "Support"},
        "conversation": {"id": conversation, "conversationType": "personal", "tenantId": "a-tenant"},
        "channelData": {"tenant": {"id": "a-tenant"}},
        **more,
    }


def thumb(service: StandIn, conversation: str, message: str, reaction: str, **more: Any) -> dict[str, Any]:
    """The activity of a thumb under a message."""
    value = {"actionName": "feedback", "actionValue": {"reaction": reaction, "feedback": '{"feedbackText":"Good"}'}}
    named = {"type": "invoke", "name": "message/submitAction", "value": value, "replyToId": message}
    return activity(service, conversation, **named, **more)


def jwk(id: str, key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    n, e = (_base64(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
    return {"kty": "RSA", "use": "sig", "kid": id, "n": n, "e": e, "endorsements": ["msteams", "webchat"], **more}


def token(service_url: str, *, key: rsa.RSAPrivateKey = KEY, header: Any = None, **claims: Any) -> str:
    """A token as the Bot Framework makes it, made without the library that verifies it."""
    header = {"typ": "JWT", "alg": "RS256", "kid": "current", **(header or {})}
    now = int(time.time())
    issued = {"iss": "https://api.botframework.com", "aud": APP_ID, "nbf": now, "exp": now + 3600}
    claims = {name: value for name, value in {**issued, "serviceurl": service_url, **claims}.items() if value}
    signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
    if header["alg"] == "none":
        return f"{signed}."
    if header["alg"] == "HS256":  # with the public key as if it were a shared secret
        shared = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        mac = hmac.HMAC(shared, hashes.SHA256())
        mac.update(signed.encode())
        return f"{signed}.{_base64(mac.finalize())}"
    return f"{signed}.{_base64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
