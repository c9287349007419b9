"""Visitors of the web chat: who may speak in which conversation, from where, and how often."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from sanic.request import Request

from connectors.core.signature import Refused

_VERSION = "1"
_REMEMBERED = 10_000  # visitors whose pace is watched at once


class Visitors:
    """Gives visitors tokens, and knows them again by these. A token is `version.conversation.expiry.signature`."""

    def __init__(self, key: bytes, *, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._key, self._seconds, self._clock = key, seconds, clock

    def admit(self, conversation: str | None = None) -> tuple[str, str]:
        """A conversation, a new one unless named, and a fresh token for it. Nobody can guess a conversation's name."""
        conversation = conversation or secrets.token_urlsafe(18)
        said = f"{_VERSION}.{conversation}.{int(self._clock() + self._seconds)}"
        return conversation, f"{said}.{self._signature(said)}"

    def conversation(self, token: str | None) -> str:
        """The conversation that a token is for.

        Raises:
            Refused: there is no token (401), it has expired (401) or is not one of ours (403).
        """
        if not token:
            raise Refused("the request carries no visitor token", status=401)
        said, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._signature(said).encode(), signature.encode("utf-8", "surrogatepass")):
            raise Refused("the visitor token is wrong")
        version, conversation, expires = said.split(".")
        if version != _VERSION or int(expires) < self._clock():
            raise Refused("the visitor token has expired", status=401)
        return conversation

    def _signature(self, said: str) -> str:
        digest = hmac.new(self._key, said.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Pace:
    """How often each visitor may call: `burst` calls at once, and `per_minute` in the long run."""

    def __init__(self, per_minute: float, *, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_minute / 60.0, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, visitor: str, *, cost: float = 1.0) -> float:
        """Seconds until the visitor may call; 0 where that is now, and the call is counted."""
        now = self._clock()
        left, at = self._left.pop(visitor, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= cost
        self._left[visitor] = (left - cost if allowed else left, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return 0.0 if allowed else (cost - left) / self._rate


class Origins:
    """Whose pages may use the chat: the server's own, and those of the origins allowed."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = frozenset(allowed)

    def check(self, request: Request) -> None:
        """Check where a request comes from, as far as a browser says so; what is no browser needs a token as well.

        Raises:
            Refused: from a page of another origin.
        """
        origin = request.headers.get("Origin")
        # Browsers say themselves whether a page calls its own server, and no page can alter that.
        if not origin or request.headers.get("Sec-Fetch-Site") == "same-origin" or origin in self._allowed:
            return
        if urlsplit(origin).netloc.lower() != request.host.lower():
            raise Refused("pages of this origin may not use the chat; the option origins allows them")

    def headers(self, request: Request) -> dict[str, str]:
        """What an answer says about who may read it."""
        headers, origin = {"Cache-Control": "no-store", "Vary": "Origin"}, request.headers.get("Origin")
        if origin in self._allowed:
            headers |= {
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": "GET, POST",
                "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID",
                "Access-Control-Expose-Headers": "Retry-After",
                "Access-Control-Max-Age": "600",
            }
        return headers
