"""Sending: one HTTP call to a service, and what its answer means for the message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from agent.errors import RejoinderError

TIMEOUT_SECONDS = 20.0
# Statuses after which the same call may succeed.
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_SHOWN = 300


class Later(RejoinderError):
    """Not now: try again after `seconds`, or as late as the sender thinks fit. `limited`: all else has to wait, too."""

    def __init__(self, why: str, *, seconds: float | None = None, limited: bool = False) -> None:
        super().__init__(why)
        self.seconds, self.limited = seconds, limited


class Undeliverable(RejoinderError):
    """The service refuses the message for good; `status` and `answer` are what it answered, if it did."""

    def __init__(self, why: str, *, status: int | None = None, answer: str = "") -> None:
        super().__init__(why)
        self.status, self.answer = status, answer


class Client:
    """Calls services over HTTP. What it raises names no address: a service's address may hold a secret."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, url: str, **request: Any) -> Any:
        """The JSON (or else the text) that the service answers; arguments are those of aiohttp's `request`.

        Raises:
            Later: it could not be reached, is busy or failed.
            Undeliverable: it refused.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        try:
            async with self._session.request(method, url, **request) as answer:
                content = await answer.text(errors="replace")
                if answer.status >= 300:
                    raise _failure(answer.status, answer.headers, content)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise Later(f"the service cannot be reached ({type(error).__name__})") from None
        with suppress(ValueError):
            return json.loads(content)
        return content

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = None


def _failure(status: int, headers: Mapping[str, str], content: str) -> RejoinderError:
    why = f"the service answered {status}: {content[:_SHOWN]}"
    if status in _PASSING:
        seconds = retry_after(headers.get("Retry-After"))
        return Later(why, seconds=_said_in(content) if seconds is None else seconds, limited=status == 429)
    return Undeliverable(why, status=status, answer=content)


def _said_in(content: str) -> float | None:
    """Seconds that an answer itself asks for, where a service says it there (Telegram: under `parameters`)."""
    with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
        answer = json.loads(content)
        return retry_after(str(answer.get("parameters", answer)["retry_after"]))
    return None


def retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for (a number or a date); None where it says nothing."""
    if not value:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    return None
