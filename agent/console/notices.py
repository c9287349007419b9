"""Notices: what a post did, said on the page it leads to, once, with the way back.

Carried by a cookie, since there may be no session. It is signed with a key that this process alone knows: another
server on this machine can set our cookies, and must not put words or buttons into our pages.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from starlette.requests import Request
from starlette.responses import Response

COOKIE = "notice"
_LONGEST = 600  # characters of the text: a cookie holds 4 kB
_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Notice:
    """A sentence, whether it is good news, and the post that takes back what it tells of (empty: none does)."""

    text: str
    good: bool = True
    undo: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def tell(response: Response, text: str, *, undo: str = "", good: bool = True, **fields: str) -> Response:
    """Say it on the next page. `undo` is the path that its Undo button posts the fields to."""
    packed = base64.urlsafe_b64encode(json.dumps(asdict(Notice(text[:_LONGEST], good, undo, fields))).encode())
    signed = f"{packed.decode()}.{_signature(packed)}"
    response.set_cookie(COOKIE, signed, max_age=60, httponly=True, samesite="strict")
    return response


def heard(request: Request) -> Notice | None:
    """What is to be said now, if anything, and if it is ours."""
    packed, _, signature = request.cookies.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(_signature(packed.encode()).encode(), signature.encode()):
        return None
    return Notice(**json.loads(base64.urlsafe_b64decode(packed)))


def forget(response: Response) -> None:
    """It was said."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _signature(packed: bytes) -> str:
    return hmac.new(_KEY, packed, hashlib.sha256).hexdigest()
