"""Streams: the open event streams of the web chat's visitors, and what wakes them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

HEARTBEAT_SECONDS = 15.0
_MOST_PASSING = 32  # what does not last is dropped where nobody takes it


class Stream:
    """One visitor's open stream: told that there is something new, and of what does not last (typing)."""

    def __init__(self) -> None:
        self.closed = False
        self._woken = asyncio.Event()
        self._passing: list[tuple[str, Mapping[str, Any]]] = []

    def wake(self, event: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """There is something new to read; or an event happened that is kept nowhere."""
        if event is not None and len(self._passing) < _MOST_PASSING:
            self._passing.append((event, data or {}))
        self._woken.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until woken, for so long at most; whether it was."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    def passing(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The passing events that were not taken yet."""
        passing, self._passing = self._passing, []
        return passing


class Streams:
    """All open streams of this process, by conversation. For one event loop."""

    def __init__(self) -> None:
        self._open: defaultdict[str, set[Stream]] = defaultdict(set)

    def of(self, conversation: str) -> int:
        """How many are open in a conversation."""
        return len(self._open.get(conversation, ()))

    @contextmanager
    def opened(self, conversation: str) -> Iterator[Stream]:
        """A stream that is open as long as the context."""
        stream = Stream()
        self._open[conversation].add(stream)
        try:
            yield stream
        finally:
            self._open[conversation].discard(stream)
            if not self._open[conversation]:
                del self._open[conversation]

    def wake(self, conversation: str, event: str | None = None, data: Mapping[str, Any] | None = None) -> None:
        """Wake the streams of a conversation."""
        for stream in self._open.get(conversation, ()):
            stream.wake(event, data)

    def close(self) -> None:
        """End all of them: the server stops."""
        for streams in self._open.values():
            for stream in streams:
                stream.closed = True
                stream.wake()


def framed(event: str, data: Mapping[str, Any], *, id: int | None = None) -> str:
    """An event as the stream carries it."""
    number = "" if id is None else f"id: {id}\n"
    return f"{number}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


async def follow(
    stream: Stream,
    send: Callable[[str], Awaitable[None]],
    read: Callable[[int], Awaitable[Sequence[Mapping[str, Any]]]],
    *,
    after: int,
) -> None:
    """Send what there is after a message, then what comes, until the stream is closed or nobody listens any more."""
    ready = False
    while not stream.closed:
        # On a heartbeat as well: another process may have written.
        entries = await read(after)
        after = max([after, *(int(entry["message"]) for entry in entries)])
        # The passing events first: a message ends the typing that announced it.
        lines = [framed(event, data) for event, data in stream.passing()]
        lines += [framed("message", entry, id=int(entry["message"])) for entry in entries]
        if not ready:
            lines.append(framed("ready", {}))
            ready = True
        if lines:
            await send("".join(lines))
        if not await stream.wait(HEARTBEAT_SECONDS):
            await send(": here\n\n")
