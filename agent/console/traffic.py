"""Traffic: how many requests were answered, how, and in what time. Counted for /metrics alone."""

from __future__ import annotations

import threading
import time
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Traffic:
    """Counts of one process, since it began."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._answered: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, status: int, seconds: float) -> None:
        """Count an answer of this status that took so long."""
        with self._lock:
            self._answered[f"{status // 100}xx"] += 1
            self.seconds += seconds

    def answered(self) -> list[tuple[str, int]]:
        """How many answers there were, by the hundreds of their status: 2xx, 3xx, and so on."""
        with self._lock:
            return sorted(self._answered.items())


class Counting:
    """ASGI middleware that counts what all within it answers."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic) -> None:
        self._app, self._traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count its answer; one that fails on its way counts as a 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            self._traffic.add(status, time.perf_counter() - began)
