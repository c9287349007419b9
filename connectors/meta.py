"""Meta: what WhatsApp and Messenger have in common: signed batches, the check of an address, and the Graph API."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from sanic.request import Request
from sanic.response import HTTPResponse
from sanic.response import text as text_response

from connectors.base import Channel
from connectors.core.incoming import Ignored, Incoming
from connectors.core.options import secret
from connectors.core.sending import Later, Undeliverable
from connectors.core.signature import Refused, check_hmac, check_secret

# Codes of errors that pass. Meta asks to go by these, not by the HTTP status: some arrive as 400.
_LIMITED = frozenset({4, 17, 32, 613, 80006, 80007, 130429})  # the app, page or number sends too much
_PASSING = frozenset({1, 2, 1200, 131000, 131016, 131056})  # of this message or person alone
# What is older was delivered before, or is none of Meta's: it delivers for 7 days, and we know what we had for 14.
_OLDEST_SECONDS = 10 * 86_400.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MetaOptions:
    """In credentials.yml: the app's secret, a token to send with, and a word of your own for the webhook's set-up.

    `wordless` is what a picture or a voice message without words says to the bot, such as `/attachment`; without it
    those are ignored.
    """

    app_secret: str = secret()
    access_token: str = secret()
    verify_token: str = secret()
    wordless: str = ""
    version: str = "v23.0"
    api: str = "https://graph.facebook.com"


class MetaChannel(Channel):
    """A channel of Meta's. Abstract: `entry` and `send` are a connector's own."""

    #: what the deliveries are about.
    thing: ClassVar[str]
    max_bytes = 4 * 1024 * 1024  # Meta: 3 MB at most
    settings: MetaOptions

    async def verify(self, request: Request) -> None:
        """`X-Hub-Signature-256: sha256=` and the HMAC of the body under the app's secret.

        Raises:
            Refused: it is missing or wrong.
        """
        given = request.headers.get("X-Hub-Signature-256")
        check_hmac(self.settings.app_secret, request.body, given, prefix="sha256=")

    def challenge(self, request: Request) -> HTTPResponse | None:
        """The word that Meta sends when the webhook is set up, given back where the verify token is ours.

        Raises:
            Refused: it is not.
        """
        check_secret(self.settings.verify_token, request.args.get("hub.verify_token"))
        if request.args.get("hub.mode") != "subscribe":
            raise Refused("hub.mode must be subscribe")
        return text_response(request.args.get("hub.challenge") or "")

    def read(self, request: Request) -> Sequence[Incoming]:
        """All that every entry of a delivery brings."""
        body = self.json(request)
        if body["object"] != self.thing:
            return [Ignored(named(body["object"]))]
        return [found for entry in body["entry"] for found in self.entry(entry)]

    def entry(self, entry: Mapping[str, Any]) -> Iterator[Incoming]:
        """What one entry brings."""
        raise NotImplementedError

    async def graph(self, path: str, body: Mapping[str, Any]) -> Any:
        """Call the Graph API.

        Raises:
            Later, Undeliverable: as `Client.call`, but by Meta's own error code.
        """
        url = f"{self.settings.api}/{self.settings.version}/{path}"
        headers = {"Authorization": f"Bearer {self.settings.access_token}"}
        try:
            return await self.client.call("POST", url, json=body, headers=headers)
        except Undeliverable as error:
            code, transient = _failure(error.answer)
            if code in _LIMITED or code in _PASSING or transient:
                raise Later(str(error), limited=code in _LIMITED) from None
            raise


def each(items: Sequence[Any], read: Callable[[Any], Incoming]) -> Iterator[Incoming]:
    """What the items of a batch mean; one that cannot be read holds up none of the others."""
    for item in items:
        yield _readable(item, read)


def _readable(item: Any, read: Callable[[Any], Incoming]) -> Incoming:
    try:
        return read(item)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        _log.warning("an event of Meta's cannot be read (%s: %s)", type(error).__name__, error)
        return Ignored("unreadable")


def stale(at: Any) -> bool:
    """Whether a time (unix seconds) lies so far back that the event must have been delivered before."""
    return time.time() - float(at) > _OLDEST_SECONDS


def word(value: Any) -> str:
    """A text that is not empty.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"a text is wanted, not {type(value).__name__}")
    return value


def named(value: Any) -> str:
    """A kind of event, short enough to be counted by."""
    return str(value)[:40]


def _failure(answer: str) -> tuple[int | None, bool]:
    with suppress(ValueError, KeyError, TypeError):
        error = json.loads(answer)["error"]
        return error.get("code"), error.get("is_transient") is True
    return None, False
